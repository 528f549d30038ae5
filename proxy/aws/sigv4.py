"""Signature Version 4 for DynamoDB's JSON protocol: from what was judged to the bytes of one whole HTTP/1.1 request.

The request is built from nothing: method, path and headers are ours, the body is the one that was judged, and nothing of the
client's gets in but what `PassedHeaders` let through, which is never signed.
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
from typing import TYPE_CHECKING, Literal, NamedTuple, NewType

from proxy import __version__
from proxy.native import passed_lines

if TYPE_CHECKING:
    from _hashlib import HASH
    from collections.abc import Mapping

    from proxy.model import Credentials

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
_OURS = frozenset(
    b"accept-encoding authorization connection content-encoding content-length content-type date expect host keep-alive te"
    b" trailer transfer-encoding upgrade user-agent".split()
)
_BLOCK = 64  # bytes of a SHA-256 block, to which HMAC fills up its key
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


UnsignedLines = NewType("UnsignedLines", bytes)  # `name: value` lines, each ended by CRLF; `PassedHeaders` makes them
NO_LINES = UnsignedLines(b"")


class PassedHeaders:
    """The headers of a client's that travel to AWS, unsigned. `names` are lower case, each once, none twice.

    Raises ValueError for a name that frames, routes or authenticates: even a wrong allow-list cannot add a second Host or key.
    """

    def __init__(self, *names: bytes) -> None:
        for name in names:
            if not _NAME.fullmatch(name) or name in _OURS or name.startswith((b"x-amz-", b"proxy-")) or names.count(name) > 1:
                raise ValueError(f"not a header to pass on: `{name.decode('latin-1')}`")
        self._names = names

    def lines(self, headers: Mapping[bytes, bytes]) -> UnsignedLines:
        """What of `headers` travels; a value that is not short plain text stays behind."""
        return UnsignedLines(passed_lines(headers, self._names))


class _Day(NamedTuple):
    """What all requests of one credentials and endpoint share on one day. Hash states are copied and never updated."""

    inner: HASH  # of `keyed_hashes`
    outer: HASH
    scope: bytes
    canonical_head: bytes  # canonical request up to the date
    canonical_middle: bytes  # from there to the target's value
    canonical_tail: bytes  # from there to the body's hash
    wire_head: bytes  # request line and headers up to the date
    wire_middle: bytes  # from there to the signature


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What they share within one second, for one target."""

    canonical: HASH  # of the canonical request up to the body's hash
    inner: HASH  # of the string to sign up to the canonical request's hash
    outer: HASH
    wire_head: bytes  # up to the signature
    wire_tail: bytes  # from there to what each request has of its own


def signed_request(
    endpoint: Endpoint, target: bytes, body: bytes, credentials: Credentials, now: float, extra: UnsignedLines = NO_LINES
) -> bytes:
    """The whole request: `POST /` with `target` (X-Amz-Target) and `body`, signed at `now` (seconds since the epoch).

    `extra` travels unsigned. Raises ValueError for a target, key id or session token that no AWS service would have made.
    """
    ready = _prepare(
        credentials.access_key_id,
        credentials.secret_access_key,
        credentials.session_token,
        endpoint.authority,
        endpoint.region,
        floor(now),
        target,
    )
    canonical = ready.canonical.copy()
    canonical.update(sha256(body).hexdigest().encode())
    inner = ready.inner.copy()
    inner.update(canonical.hexdigest().encode())
    outer = ready.outer.copy()
    outer.update(inner.digest())
    length = b"content-length: %d\r\n\r\n" % len(body)
    return b"".join((ready.wire_head, outer.hexdigest().encode(), ready.wire_tail, extra, length, body))


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, Region and service; `date` is YYYYMMDD. 32 bytes."""
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@lru_cache(maxsize=4096)
def keyed_hashes(secret: str, date: str, region: str, service: str) -> tuple[HASH, HASH]:
    """HMAC-SHA256 under that key is outer(inner(message)) (RFC 2104): both, with the key taken in. To be copied, never updated.

    To copy two hashes takes half of what a whole HMAC does.
    """
    key = signing_key(secret, date, region, service).ljust(_BLOCK, b"\0")
    return sha256(bytes([byte ^ 0x36 for byte in key])), sha256(bytes([byte ^ 0x5C for byte in key]))


# Keyed by strings, which know their hash, and not by what holds them, which would work it out each time.
@lru_cache(maxsize=1024)
def _prepare(key_id: str, secret: str, token: str, authority: str, region: str, second: int, target: bytes) -> _Prepared:
    if not _TARGET.fullmatch(target):
        raise ValueError("not an X-Amz-Target: give it as `DynamoDB_20120810.Operation`")
    moment = _moment(second)
    day = _prepare_day(key_id, secret, token, authority, region, moment[:8])
    amz_date = moment.encode()
    inner = day.inner.copy()
    inner.update(b"%b\n%b\n%b\n" % (_ALGORITHM, amz_date, day.scope))
    return _Prepared(
        sha256(b"".join((day.canonical_head, amz_date, day.canonical_middle, target, day.canonical_tail))),
        inner,
        day.outer,
        wire_head=b"".join((day.wire_head, amz_date, day.wire_middle)),
        wire_tail=b"\r\nx-amz-target: %b%b" % (target, _UNCHANGING),
    )


@lru_cache(maxsize=1024)
def _prepare_day(key_id: str, secret: str, token: str, authority: str, region: str, date: str) -> _Day:
    if not _WORD.fullmatch(key_id) or (token and not _WORD.fullmatch(token)):
        raise ValueError("the access key id or session token holds characters that no header can carry")
    scope = f"{date}/{region}/{SERVICE}/aws4_request".encode()
    inner, outer = keyed_hashes(secret, date, region, SERVICE)
    host, security_token = authority.encode(), token.encode()
    signed = (
        b"content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
        if token
        else b"content-type;host;x-amz-date;x-amz-target"
    )
    canonical_token = b"x-amz-security-token:%b\n" % security_token if token else b""
    wire_token = b"x-amz-security-token: %b\r\n" % security_token if token else b""
    return _Day(
        inner=inner,
        outer=outer,
        scope=scope,
        canonical_head=b"POST\n/\n\ncontent-type:%b\nhost:%b\nx-amz-date:" % (CONTENT_TYPE, host),
        canonical_middle=b"\n%bx-amz-target:" % canonical_token,
        canonical_tail=b"\n\n%b\n" % signed,
        wire_head=b"POST / HTTP/1.1\r\nhost: %b\r\ncontent-type: %b\r\nx-amz-date: " % (host, CONTENT_TYPE),
        wire_middle=b"\r\n%bauthorization: %b Credential=%b/%b, SignedHeaders=%b, Signature="
        % (wire_token, _ALGORITHM, key_id.encode(), scope, signed),
    )


@lru_cache(maxsize=8)
def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%SZ")
