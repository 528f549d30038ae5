"""One HTTP exchange with the gateway, past every proxy of the environment, and what a token says. Standard library only."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxy.worker.times import LAST_SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


def exchange(
    endpoint: str,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    *,
    seconds: float = 10,
) -> tuple[int, dict[str, str], bytes]:
    """One request over a connection of its own. Returns status, lower-case headers, body; raises OSError or HTTPException."""
    url = urlsplit(endpoint)
    host, port = url.hostname or "", url.port
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        context = ssl.create_default_context(
            cafile=os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or None
        )
        connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def claims_of(token: str) -> dict[str, Any] | None:
    """The claims, unverified, or None where it is no JWT."""
    parts = token.split(".")
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))) if len(parts) == 3 else None
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def flaw_of(text: str) -> str:
    """Why a text is no JWT, as it stands in brackets behind that; "" where it has the form of one."""
    if not text:
        return "it is empty"
    return "" if _COMPACT.fullmatch(text) and claims_of(text) is not None else "three parts, separated by dots"


def expiry_of(token: str) -> float | None:
    """Its `exp`, in Unix seconds; None where it says none that is a time."""
    expires = (claims_of(token) or {}).get("exp")
    if isinstance(expires, bool) or not isinstance(expires, int | float) or not 0 <= expires <= LAST_SECOND:
        return None
    return float(expires)
