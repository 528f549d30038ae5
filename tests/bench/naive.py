"""The baseline: the gateway that a careful engineer writes in an afternoon, on FastAPI, httpx, PyJWT and botocore.

It does less than the product (no rules on keys, no STS, no limits, no deadlines, no strict JSON). Started by tests/bench/peers.py
in an environment of its own; UPSTREAM, JWKS and CAFILE tell it where it is.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jwt
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import Counter, Histogram, make_asgi_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UPSTREAM = os.environ["UPSTREAM"]
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzE" + "A" * 300)
POLICY = {"example_dag": {"airflow_runs": {"GetItem", "PutItem", "Query", "BatchWriteItem"}}}
KEYS = {key.key_id: key for key in jwt.PyJWKSet.from_dict(json.loads(Path(os.environ["JWKS"]).read_text())).keys}

REQUESTS = Counter("naive_requests_total", "requests", ["dag", "table", "operation", "status"])
LATENCY = Histogram("naive_upstream_seconds", "upstream latency", ["operation"])
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
audit = logging.getLogger("audit")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client while the app runs."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=100)
    async with httpx.AsyncClient(timeout=10, verify=os.environ.get("CAFILE") or True, limits=limits) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/metrics", make_asgi_app())


def tables_of(call: dict[str, Any]) -> set[str]:
    """The tables that a call names."""
    if "RequestItems" in call:
        return set(call["RequestItems"])
    return {call["TableName"]} if "TableName" in call else set()


def claims_of(token: str) -> dict[str, Any]:
    """What a token proves. Raises HTTPException."""
    try:
        key = KEYS[jwt.get_unverified_header(token)["kid"]]
        return dict(jwt.decode(token, key, algorithms=["RS256"], audience="dynamodb-proxy", issuer="https://issuer.test"))
    except (jwt.PyJWTError, KeyError):
        raise HTTPException(401, "bad token") from None


@app.post("/")
async def proxy(request: Request) -> Response:
    """Verify, judge, sign, send, count, tell."""
    claims = claims_of(request.headers.get("authorization", "").removeprefix("Bearer "))
    target = request.headers.get("x-amz-target", "")
    operation = target.rpartition(".")[2]
    body = await request.body()
    tables = tables_of(json.loads(body))
    allowed = POLICY.get(claims["dag_id"], {})
    if not tables or any(operation not in allowed.get(table, ()) for table in tables):
        raise HTTPException(403, "denied")
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"}
    signed = AWSRequest("POST", UPSTREAM + "/", headers=headers, data=body)
    SigV4Auth(CREDENTIALS, "dynamodb", "us-east-1").add_auth(signed)
    with LATENCY.labels(operation).time():
        answer = await request.app.state.client.post(UPSTREAM + "/", content=body, headers=dict(signed.headers))
    table = ",".join(sorted(tables))
    REQUESTS.labels(claims["dag_id"], table, operation, answer.status_code).inc()
    told = {"dag": claims["dag_id"], "operation": operation, "table": table, "status": answer.status_code, "bytes": len(body)}
    audit.info(json.dumps(told))
    kept = {name: value for name, value in answer.headers.items() if name in ("content-type", "x-amz-crc32", "x-amzn-requestid")}
    return Response(answer.content, answer.status_code, kept)
