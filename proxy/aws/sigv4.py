"""Signature Version 4 for DynamoDB's JSON protocol: from what was judged to the bytes of one whole HTTP/1.1 request.

The request is built from nothing: method, path and headers are ours, the body is the one that was judged, and nothing of the
client's gets in but `extra`, whose names the caller takes from its allow-list and which are never signed.
Pure: the time is passed in. What does not change within a second is kept in small bounded memos.
Source: AWS General Reference, "Signature Version 4 signing process"; equal to botocore's `SigV4Auth` byte for byte (tests).
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from math import floor
from typing import TYPE_CHECKING, Literal, NamedTuple

from proxy import __version__
from proxy.refusal import Malformed, Reason

if TYPE_CHECKING:
    from proxy.model import Credentials, Headers

SERVICE = "dynamodb"
CONTENT_TYPE = b"application/x-amz-json-1.0"

_ALGORITHM = b"AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|\[[0-9a-f:.]+\]")
_REGION = re.compile(r"[a-z0-9-]+")
# Visible ASCII without spaces: SigV4's trimming of white space then changes nothing, what is sent is what was signed.
_WORD = re.compile(r"[!-~]+")
_TARGET = re.compile(rb"[A-Za-z0-9_]+\.[A-Za-z0-9]+")
_NAME = re.compile(rb"[a-z0-9-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_OURS = frozenset(
    b"accept-encoding authorization connection content-encoding content-length content-type date expect host keep-alive te"
    b" trailer transfer-encoding upgrade user-agent".split()
)
_UNCHANGING = b"\r\naccept-encoding: identity\r\nuser-agent: dynamodb-proxy/%b\r\n" % __version__.encode()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where signed requests go, from configuration alone. IPv6 addresses stand in brackets: `[::1]`."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    region: str
    authority: str = field(init=False, compare=False)  # the Host header: the scheme's default port is left out

    def __post_init__(self) -> None:
        if self.scheme not in _DEFAULT_PORTS or not 0 < self.port < 65536:
            raise ValueError(f"not an endpoint: `{self.scheme}`, port {self.port}; use http or https and a port of 1 to 65535")
        if not _HOST.fullmatch(self.host) or not _REGION.fullmatch(self.region):
            raise ValueError(f"not an endpoint: host `{self.host}` or Region `{self.region}` is not a plain lower-case name")
        is_default = self.port == _DEFAULT_PORTS[self.scheme]
        object.__setattr__(self, "authority", self.host if is_default else f"{self.host}:{self.port}")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


class _Prepared(NamedTuple):
    """What all requests of one credentials, endpoint and second share."""

    key: bytes
    canonical_head: bytes  # canonical request up to the target's value
    canonical_tail: bytes  # from there to the body's hash
    to_sign: bytes  # string to sign up to the canonical request's hash
    wire_head: bytes  # request line and headers up to the signature


def signed_request(
    endpoint: Endpoint, target: bytes, body: bytes, credentials: Credentials, now: float, extra: Headers = ()
) -> bytes:
    """The whole request: `POST /` with `target` (X-Amz-Target) and `body`, signed at `now` (seconds since the epoch).

    `extra` travels unsigned; names are lower case. Raises Malformed for an extra header that could not travel safely,
    ValueError for a target, key id or session token that no AWS service would have made.
    """
    if not _TARGET.fullmatch(target):
        raise ValueError("not an X-Amz-Target: give it as `DynamoDB_20120810.Operation`")
    ready = _prepare(credentials, endpoint, floor(now))
    canonical = b"%b%b%b%b" % (ready.canonical_head, target, ready.canonical_tail, sha256(body).hexdigest().encode())
    to_sign = ready.to_sign + sha256(canonical).hexdigest().encode()
    signature = hmac.digest(ready.key, to_sign, "sha256").hex().encode()
    tail = _lines(extra) if extra else b""
    return b"%b%b\r\nx-amz-target: %b\r\ncontent-length: %d%b%b\r\n%b" % (
        ready.wire_head, signature, target, len(body), _UNCHANGING, tail, body
    )  # fmt: skip


@lru_cache(maxsize=4096)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, Region and service; `date` is YYYYMMDD. 32 bytes."""
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@lru_cache(maxsize=1024)
def _prepare(credentials: Credentials, endpoint: Endpoint, second: int) -> _Prepared:
    token = credentials.session_token
    if not _WORD.fullmatch(credentials.access_key_id) or (token and not _WORD.fullmatch(token)):
        raise ValueError("the access key id or session token holds characters that no header can carry")
    moment = _moment(second)
    date = moment[:8]
    scope = f"{date}/{endpoint.region}/{SERVICE}/aws4_request".encode()
    amz_date, host, security_token = moment.encode(), endpoint.authority.encode(), token.encode()
    signed = (
        b"content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
        if token
        else b"content-type;host;x-amz-date;x-amz-target"
    )
    canonical_token = b"x-amz-security-token:%b\n" % security_token if token else b""
    wire_token = b"x-amz-security-token: %b\r\n" % security_token if token else b""
    return _Prepared(
        key=signing_key(credentials.secret_access_key, date, endpoint.region, SERVICE),
        canonical_head=b"POST\n/\n\ncontent-type:%b\nhost:%b\nx-amz-date:%b\n%bx-amz-target:"
        % (CONTENT_TYPE, host, amz_date, canonical_token),
        canonical_tail=b"\n\n%b\n" % signed,
        to_sign=b"%b\n%b\n%b\n" % (_ALGORITHM, amz_date, scope),
        wire_head=b"POST / HTTP/1.1\r\nhost: %b\r\ncontent-type: %b\r\nx-amz-date: %b\r\n%b"
        b"authorization: %b Credential=%b/%b, SignedHeaders=%b, Signature="
        % (host, CONTENT_TYPE, amz_date, wire_token, _ALGORITHM, credentials.access_key_id.encode(), scope, signed),
    )


@lru_cache(maxsize=8)
def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%SZ")


def _lines(extra: Headers) -> bytes:
    """The extra headers as they travel; each name once, none that frames, routes or authenticates."""
    if not _may_travel(tuple([name for name, _ in extra])):
        raise Malformed(Reason.MALFORMED_REQUEST, "a header meant for AWS has a name that may not be passed on; leave it out")
    for name, value in extra:
        if not _VALUE.fullmatch(value):
            raise Malformed(
                Reason.MALFORMED_REQUEST, f"header `{name.decode()}` holds a control character; send one line of printable text"
            )
    return b"".join([b"%b: %b\r\n" % line for line in extra])


@lru_cache(maxsize=64)
def _may_travel(names: tuple[bytes, ...]) -> bool:
    """Whether these names, which the caller takes from its allow-list, are well formed, not ours, and each there once."""
    return len(set(names)) == len(names) and all(
        _NAME.fullmatch(name) and name not in _OURS and not name.startswith((b"x-amz-", b"proxy-")) for name in names
    )
