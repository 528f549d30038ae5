"""The gate: which bytes are a request at all. Pure; what is not exactly as an AWS SDK would send it is refused.

The grammar is the part of RFC 9112 that leaves nothing to interpret: a known request line, `name: value` lines ended by CRLF,
printable values, a length in digits. Everything on which two HTTP parsers could differ (transfer codings, folding, bare
line feeds, doubled headers, underscores) ends the connection. Tests hold it against httptools: what passes, llhttp reads alike.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from proxy.model import RequestHead
from proxy.refusal import Malformed, Reason, Unreadable

if TYPE_CHECKING:
    from proxy.edge.limits import EdgeLimits
    from proxy.refusal import Refusal


class Route(Enum):
    """Where an admitted request goes."""

    DYNAMODB = "dynamodb"
    STS = "sts"  # the same request line, with a form
    CREDENTIALS = "credentials"
    HEALTH = "health"


class Admitted(NamedTuple):
    """A request head that passed, and how its body and its connection are to be handled."""

    route: Route
    head: RequestHead
    body_length: int
    awaits_continue: bool  # `Expect: 100-continue`
    closes: bool  # `Connection: close`


Lines = dict[bytes, tuple[bytes, bytes]]  # header lines -> lower-case name, value

_ROUTES = {
    b"POST / HTTP/1.1": Route.DYNAMODB,
    b"GET /v1/credentials HTTP/1.1": Route.CREDENTIALS,
    b"GET /healthz HTTP/1.1": Route.HEALTH,
}
_WITHOUT_BODY = (Route.HEALTH, Route.CREDENTIALS)
_JSON = frozenset({b"application/x-amz-json-1.0", b"application/json"})
_FORM = b"application/x-www-form-urlencoded"
_MOST_OF_A_FORM = 64 * 1024  # bytes; a token of 16 KiB, percent-encoded throughout, fits

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.1")
_NAME = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]+")  # RFC 9110 token without `_`, which other servers read as `-`
_HOST = re.compile(rb"[0-9A-Za-z._:\[\]-]{1,300}")  # `_` stands in service names of Docker Compose
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,14}")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_PRINTABLE = bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_TLS_HANDSHAKE = 0x16

# Names as clients spell them -> lower case; any other name is checked against `_NAME` and lowered.
_SPELLINGS = {
    spelling: name.lower()
    for name in (
        b"Accept",
        b"Accept-Encoding",
        b"Authorization",
        b"Connection",
        b"Content-Length",
        b"Content-Type",
        b"Host",
        b"User-Agent",
        b"X-Amz-Content-Sha256",
        b"X-Amz-Date",
        b"X-Amz-Security-Token",
        b"X-Amz-Target",
        b"X-DAG-Token",
        b"amz-sdk-invocation-id",
        b"amz-sdk-request",
    )
    for spelling in (name, name.lower(), name.title())
}

# Written once more by each intermediary and read by nobody here; every other header may come only once.
_REPEATABLE = frozenset(
    {b"via", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"tracestate", b"baggage"}
)

_FORBIDDEN = {
    b"transfer-encoding": "a transfer coding was used; send the body with a `Content-Length`",
    b"te": "the `TE` header is not served; leave it out",
    b"trailer": "trailers are not served; leave the `Trailer` header out",
    b"upgrade": "no other protocol is spoken here; leave the `Upgrade` header out",
    b"http2-settings": "no other protocol is spoken here; speak HTTP/1.1",
    b"content-encoding": "the body is encoded; send plain JSON without `Content-Encoding`",
}

# What someone could reasonably try -> what to do instead.
_ELSEWHERE = {
    b"/v1/credentials": "credentials are had by `GET /v1/credentials`, without a query string",
    b"/readyz": "readiness is told on the admin port",
    b"/metrics": "metrics are told on the admin port",
}
_TLS_ON_PLAINTEXT = "TLS was spoken to a plaintext port; write `http://` in endpoint_url or give the gateway a certificate"


def read_head(raw: bytes, peer: str, limits: EdgeLimits, judged: Lines | None = None) -> Admitted:
    """Judge one request head (`raw` ends with its empty line) or raise the `Refusal` that ends its connection.

    `judged` holds the lines of the connection's last head and is brought up to date: callers repeat most of them byte for byte,
    and what a line says depends on nothing else. Source of the grammar: RFC 9112 sections 3, 5 and 6, without every optional
    leniency.
    """
    lines = raw[:-4].split(b"\r\n")
    route = _ROUTES.get(lines[0])
    if route is None:
        _check_request_line(lines[0])
    headers = _read_headers(raw, lines, limits, {} if judged is None else judged)
    if not _FORBIDDEN.keys().isdisjoint(headers):
        raise _malformed(next(sentence for name, sentence in _FORBIDDEN.items() if name in headers))
    if not _HOST.fullmatch(headers.get(b"host", b"")):
        raise _malformed("exactly one `Host` header with a host name is needed")
    closes = _closes(headers)
    awaits_continue = _awaits_continue(headers)
    if route is None:
        raise _unsupported(lines[0])
    if route is Route.DYNAMODB and (content_type := _content_type(headers)) not in _JSON:
        if content_type != _FORM:
            raise Unreadable(
                Reason.UNSUPPORTED_ROUTE, "the content type is not `application/x-amz-json-1.0`; send DynamoDB's JSON protocol"
            )
        route = Route.STS
    length = _body_length(headers, route, limits)
    method, path, _ = lines[0].split(b" ")
    return Admitted(route, RequestHead(method, path, headers, peer), length, awaits_continue and length > 0, closes)


def check_beginning(raw: bytes | bytearray, seen: int, limits: EdgeLimits) -> None:
    """Refuse the beginning of a head as soon as it can no longer become one; `seen` bytes were checked before."""
    if raw[0] == _TLS_HANDSHAKE:
        raise _malformed(_TLS_ON_PLAINTEXT)
    if not raw[:1].isalpha():
        raise _malformed("what was sent is not HTTP; speak HTTP/1.1")
    if len(raw) >= limits.head_bytes:
        raise _head_too_large(limits)
    if _BARE_LINE_FEED.search(raw, seen):
        raise _malformed("a line ends without carriage return; end header lines with CRLF")
    end = raw.find(b"\r\n", max(0, seen - 1))
    if end >= 0 and raw.find(b"\r\n", 0, seen) < 0:
        _check_request_line(bytes(raw[:end]))


def head_is_slow() -> Refusal:
    """The refusal for a head that did not become whole in time."""
    return Malformed(Reason.TOO_SLOW, "the request's headers did not arrive in time; look at the network, then retry")


def _read_headers(raw: bytes, lines: list[bytes], limits: EdgeLimits, judged: Lines) -> dict[bytes, bytes]:
    """Headers by lower-case name."""
    if len(raw) > limits.head_bytes:
        raise _head_too_large(limits)
    if len(lines) - 1 > limits.header_count:
        raise _malformed(f"more than {limits.header_count} headers; leave out what is not needed")
    headers: dict[bytes, bytes] = {}
    fields: Lines = {}
    for line in lines[1:]:
        field = fields[line] = judged.get(line) or _field(line)
        name, value = field
        if name in headers and name not in _REPEATABLE:
            raise _malformed("a header was sent twice; send each header once")
        headers[name] = value
    if len(raw) > limits.value_bytes and max(map(len, headers.values()), default=0) > limits.value_bytes:
        raise Malformed(Reason.TOO_LARGE, f"a header is longer than {limits.value_bytes} bytes; is the token the right one?")
    judged.clear()
    judged.update(fields)
    return headers


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Lower-case name and value of one line. White space around values is dropped, as RFC 9112 section 5 has it."""
    if line.translate(None, _PRINTABLE):  # one pass in C finds every control character, bare line ends among them
        raise _malformed("a control character, tab or bare line end stands among the headers; is there a line break in a token?")
    spelling, colon, value = line.partition(b":")
    name = _SPELLINGS.get(spelling) or _lowered(spelling)
    if not colon:
        raise _malformed("a header line has no colon")
    return name, value.strip(b" ")


def _lowered(spelling: bytes) -> bytes:
    if not _NAME.fullmatch(spelling):
        raise _malformed("a header name has an underscore, a space or another character that does not belong there")
    return spelling.lower()


def _check_request_line(line: bytes) -> None:
    if not _REQUEST_LINE.fullmatch(line):
        raise _malformed("the request line is not `METHOD /path HTTP/1.1`; speak HTTP/1.1")


def _closes(headers: dict[bytes, bytes]) -> bool:
    """Whether the caller closes after this request. Other connection options would name headers to strip: refused."""
    value = headers.get(b"connection")
    if value is None:
        return False
    options = {option.strip() for option in value.lower().split(b",")}
    if not options <= {b"close", b"keep-alive"}:
        raise _malformed("`Connection` may say `close` or `keep-alive` only")
    return b"close" in options


def _awaits_continue(headers: dict[bytes, bytes]) -> bool:
    value = headers.get(b"expect")
    if value is not None and value.lower() != b"100-continue":
        raise _malformed("`Expect` may say `100-continue` only")
    return value is not None


def _content_type(headers: dict[bytes, bytes]) -> bytes:
    return headers.get(b"content-type", b"").split(b";", 1)[0].strip(b" ").lower()


def _body_length(headers: dict[bytes, bytes], route: Route, limits: EdgeLimits) -> int:
    value = headers.get(b"content-length", b"0" if route in _WITHOUT_BODY else b"")
    if not _LENGTH.fullmatch(value):
        raise _malformed("`Content-Length` is missing or not a plain decimal number")
    length = int(value)
    if route in _WITHOUT_BODY:
        if length:
            raise _malformed("a `GET` request takes no body here")
    elif length > limits.body_bytes:
        raise Malformed(Reason.TOO_LARGE, f"the body is larger than {limits.body_bytes} bytes; send fewer items at once")
    elif route is Route.STS and length > _MOST_OF_A_FORM:
        raise Malformed(Reason.TOO_LARGE, f"the form is larger than {_MOST_OF_A_FORM} bytes; no STS call is")
    return length


def _unsupported(request_line: bytes) -> Refusal:
    """Name what is wrong with a well-formed request line that is not in the table."""
    _, target, _ = request_line.split(b" ")
    path, question, _ = target.partition(b"?")
    if not target.startswith(b"/"):
        what = "the request names a whole URL, as for a forward proxy; set endpoint_url to the gateway, not HTTP_PROXY"
    elif path in _ELSEWHERE:
        what = _ELSEWHERE[path]
    elif question:
        what = "the request has a query string; DynamoDB requests are `POST /` without one"
    elif path != b"/":
        what = "only the path `/` is served; write endpoint_url without a path"
    else:
        what = "only `POST` is served; use an AWS SDK with endpoint_url"
    return Unreadable(Reason.UNSUPPORTED_ROUTE, what)


def _head_too_large(limits: EdgeLimits) -> Refusal:
    return Malformed(Reason.TOO_LARGE, f"the headers take more than {limits.head_bytes} bytes; leave out what is not needed")


def _malformed(message: str) -> Refusal:
    return Malformed(Reason.MALFORMED_REQUEST, message)
