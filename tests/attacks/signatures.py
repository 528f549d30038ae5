"""Signature Version 4 from the server's side: would AWS accept this request? Owes nothing to the code of the signer."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.attacks.loopback import Received

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/ ]+)/(?P<scope>[^, ]+), ?"
    r"SignedHeaders=(?P<names>[^, ]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_SKEW = 300


def fault_of_signature(received: Received, secret: str, service: str, session_token: str = "") -> str:
    """What is wrong with the signature of a request, "" if nothing is."""
    headers = received.headers
    said = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if said is None:
        return "no signature of AWS"
    if not secret:
        return f"signed with a key that STS never gave: {said['key']}"
    names = said["names"].split(";")
    lines = received.head[:-4].decode("latin-1").lower().split("\r\n")[1:]
    if any(sum(line.startswith(f"{name}:") for line in lines) != 1 for name in (*names, "authorization")):
        return "a signed header is missing or doubled"
    needed = {
        "host",
        "x-amz-date",
        *(("x-amz-security-token",) if session_token else ()),
        *(("x-amz-target",) if service == "dynamodb" else ()),
    }
    if not needed <= set(names):
        return f"not signed: {', '.join(sorted(needed - set(names)))}"
    if session_token and headers["x-amz-security-token"] != session_token:
        return "the session token is not that of the key"
    date, region, its_service, end = said["scope"].split("/")
    if (its_service, end) != (service, "aws4_request") or not headers["x-amz-date"].startswith(date):
        return f"scope {said['scope']}"
    if abs(_seconds(headers["x-amz-date"]) - time.time()) > _SKEW:
        return "signed at another time"
    method, path, _ = received.head.split(b"\r\n")[0].decode().split(" ")
    path, _, query = path.partition("?")
    canonical = "\n".join(
        [
            method,
            path,
            query,
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            ";".join(names),
            _hash(received.body),
        ]
    )
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{said['scope']}\n{_hash(canonical.encode())}"
    right = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return "" if hmac.compare_digest(right, said["signature"]) else "the signature does not match"


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _seconds(amz_date: str) -> float:
    return calendar.timegm(time.strptime(amz_date, "%Y%m%dT%H%M%SZ"))
