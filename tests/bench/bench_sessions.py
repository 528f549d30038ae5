"""What a session adds to each of its requests: `python -m tests.bench.bench_sessions`. Held against its bar by `make bench`.

CPU time of opening a known session and verifying its inbound signature over a GetItem, body's hash included; minima of rounds.
"""

from __future__ import annotations

import sys
import time

from botocore.credentials import Credentials

from proxy.aws.inbound import read_signature
from proxy.identity.minting import SessionMint
from proxy.identity.token import Issuer, KeySource
from proxy.model import Subject
from tests.signing import signed_headers

GOAL = 40.0  # microseconds
BODY = b'{"TableName":"orders","Key":{"pk":{"S":"orders#1"},"sk":{"S":"2026-11-22"}}}'
_ROUNDS, _CALLS = 20, 500
_CLAIMS = {"dag_id": "orders_daily", "task_id": "load", "run_id": "scheduled__2026-11-22T00:00:00+00:00"}


def measure() -> float:
    """Microseconds a request."""
    now = time.time()
    issuer = Issuer("eks", "https://idp.test", ("dynamodb-proxy",), ("RS256",), KeySource("discovery"), {}, ("*",))
    mint = SessionMint((bytes(32),), (issuer,), "prod")
    subject = Subject("eks", "system:serviceaccount:airflow:worker", _CLAIMS, ("*",), now, "jti")
    made = mint.mint(subject, now, 3600)
    plain = {
        "host": "gateway.airflow.svc:8080",
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": "DynamoDB_20120810.GetItem",
        **{f"x-airflow-{name.replace('_', '-')}": value for name, value in _CLAIMS.items()},
    }
    signer = Credentials(made.access_key_id, made.secret_access_key, made.session_token)
    headers = {name.encode(): value.encode() for name, value in signed_headers(signer, plain, BODY, moment=now).items()}
    token = headers[b"x-amz-security-token"]

    def verify() -> None:
        session = mint.open(token, now)
        read_signature(headers, session.subject.session_id, session.secret, "dynamodb", now).check(BODY)

    return min(_seconds(verify) for _ in range(_ROUNDS)) / _CALLS * 1e6


def _seconds(call: object) -> float:
    assert callable(call)
    started = time.process_time()
    for _ in range(_CALLS):
        call()
    return time.process_time() - started


def main() -> int:
    """Print it; 1 where it is over the goal."""
    taken = measure()
    print(f"opening a known session and verifying its signature: {taken:.1f} us (goal: {GOAL:g} us)")
    return 1 if taken > GOAL else 0


if __name__ == "__main__":
    sys.exit(main())
