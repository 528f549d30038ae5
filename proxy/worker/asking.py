"""The last part of `doctor` on a worker: one real and harmless request through the gateway, whose refusal names the link.

Whoever listens there is greeted first, and told no token before it has shown the gateway's mark. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from proxy.worker.chain import Finding, judge_answer, probe
from proxy.worker.wire import exchange

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SKEW_SECONDS = 60
# What a gateway says of a table that was invented: the chain holds up to there.
_REFUSED_TABLE = ("no_rule", "denied_by_rule", "outside_boundary")


def ask_gateway(endpoint: str, token: str, options: argparse.Namespace) -> Iterator[Finding]:
    """Send the probe and read what comes back."""
    table = options.table or "dynamodb-proxy-doctor"
    operation = options.operation
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
    }
    if options.dag:
        headers["X-Airflow-Dag-Id"] = quote(options.dag, safe="")
    try:
        yield from greet(endpoint)
        status, answer_headers, body = exchange(endpoint, "POST", "/", headers, probe(operation, table))
    except (OSError, http.client.HTTPException, ValueError) as error:
        yield unreachable(endpoint, error)
        return
    reason = answer_headers.get("x-ddb-proxy-reason", "")
    error_name, message = words_of(body)
    if status != 200 and not error_name:
        yield Finding(
            "gateway",
            "broken",
            f"{endpoint} answered {status}, not in DynamoDB's words",
            "look at what stands before the gateway",
        )
        return
    if not options.table and (reason in _REFUSED_TABLE or error_name == "ResourceNotFoundException"):
        yield from (finding for finding in judge_answer(status, "no_rule", error_name, message, table) if finding.state == "ok")
        yield Finding("policy", "note", "name a table with --table to walk on to policy, role and table")
        return
    fix = "name the DAG with --dag, as its task would say it" if reason == "no_dag_claim" and not options.dag else ""
    for finding in judge_answer(status, reason, error_name, message, table):
        yield replace(finding, fix=fix) if fix and finding.state == "broken" else finding


def greet(endpoint: str) -> Iterator[Finding]:
    """What is wrong with whoever listens there, if anything. It is told no token: not the gateway is a stranger."""
    status, headers, body = exchange(endpoint, "GET", "/healthz")
    yield from clock(headers.get("date"))
    if reason := headers.get("x-ddb-proxy-reason"):
        yield from judge_answer(status, reason, *words_of(body), "")
    elif "x-ddb-proxy" not in headers:
        is_admin = status == 200 and _is_admin(endpoint)
        yield Finding(
            "gateway",
            "broken",
            f"{endpoint} is not the gateway: it answered {status} to GET /healthz, without the gateway's mark",
            "this is its admin port; use that of `listen`" if is_admin else "write the address of the gateway's data plane",
        )


def _is_admin(endpoint: str) -> bool:
    """Whether the admin plane listens there: nobody else names what is missing for it to be ready."""
    _, _, body = exchange(endpoint, "GET", "/readyz")
    try:
        return set(json.loads(body)) == {"ready", "missing"}
    except (ValueError, TypeError):
        return False


def words_of(body: bytes) -> tuple[str, str]:
    """Error name and message of an answer; empty strings where it has none."""
    try:
        said = json.loads(body)
        return str(said.get("__type", "")).rsplit("#", 1)[-1], str(said.get("message") or said.get("Message") or "")
    except (ValueError, AttributeError):
        return "", ""


def unreachable(endpoint: str, error: Exception) -> Finding:
    """Why the gateway cannot be reached, in words that say what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Finding(
            "gateway", "broken", f"{endpoint}: {error.verify_message}", "set AWS_CA_BUNDLE to the CA of the gateway's certificate"
        )
    if isinstance(error, ssl.SSLError):
        return Finding(
            "gateway",
            "broken",
            f"{endpoint} does not speak TLS",
            "write http:// in the endpoint, or give the gateway a certificate",
        )
    if isinstance(error, ConnectionRefusedError):
        return Finding(
            "gateway", "broken", f"nobody listens at {endpoint}", "start the gateway, or mend host and port of the endpoint"
        )
    words = str(error) or "no answer"
    return Finding("gateway", "broken", f"{endpoint}: {words}", "look at name, port and network policy")


def clock(date: str | None) -> Iterator[Finding]:
    """The clock of this machine against the gateway's."""
    try:
        skew = time.time() - parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return
    if abs(skew) > SKEW_SECONDS:
        yield Finding(
            "gateway",
            "broken",
            f"this machine's clock is {skew:+.0f} s off the gateway's",
            "set the clock (NTP): tokens are judged by it",
        )
