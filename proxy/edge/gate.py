"""The gate: which bytes are a request at all. Pure; what is not exactly as an AWS SDK would send it is refused.

The grammar is the part of RFC 9112 that leaves nothing to interpret: a known request line, `name: value` lines ended by CRLF,
printable values, a length in digits. Everything on which two HTTP parsers could differ (transfer codings, folding, bare
line feeds, doubled headers, underscores) ends the connection. Tests hold it against httptools: what passes, llhttp reads alike.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.model import RequestHead
from proxy.native import plain_head
from proxy.refusal import Malformed, Reason, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.edge.limits import EdgeLimits
    from proxy.native import Before
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
    lines: Lines


Lines = dict[bytes, tuple[bytes, bytes]]  # header lines that passed -> lower-case name, value

_ROUTES = {
    b"POST / HTTP/1.1": (Route.DYNAMODB, b"POST", b"/"),
    b"GET /v1/credentials HTTP/1.1": (Route.CREDENTIALS, b"GET", b"/v1/credentials"),
    b"GET /healthz HTTP/1.1": (Route.HEALTH, b"GET", b"/healthz"),
}
_DYNAMODB: Final = Route.DYNAMODB  # named here, for looking up a member of an enum is slow (Python 3.11)
NO_LINES: Final[Lines] = {}
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
    b"smithy-protocol": "another protocol is named; send DynamoDB's JSON without `Smithy-Protocol`",
    b"content-encoding": "the body is encoded; send plain JSON without `Content-Encoding`",
}

# What someone could reasonably try -> what to do instead.
_ELSEWHERE = {
    b"/v1/credentials": "credentials are had by `GET /v1/credentials`, without a query string",
    b"/readyz": "readiness is told on the admin port",
    b"/metrics": "metrics are told on the admin port",
}
_ONE_HOST = "exactly one `Host` header with a host name is needed"
_NO_LENGTH = "`Content-Length` is missing or not a plain decimal number"
_TLS_ON_PLAINTEXT = "TLS was spoken to a plaintext port; write `http://` in endpoint_url or give the gateway a certificate"


def read_plain_head(
    data: bytes | bytearray, peer: str, limits: EdgeLimits, before: Before | None = None
) -> tuple[RequestHead, int, int, Before | None] | None:
    """The head with which `data` begins, where it is plainly one of DynamoDB's that waits for nothing and keeps its connection.

    With it come its length, that of its body, and what to give as `before` with the next one of the connection: callers repeat
    most of a head byte for byte. None: `read_head` must look.
    """
    return plain_head(
        data, peer, RequestHead, limits.head_bytes, limits.header_count, limits.value_bytes, limits.body_bytes, before
    )


def read_head(raw: bytes, peer: str, limits: EdgeLimits, judged: Lines | None = None) -> Admitted:
    """Judge one request head (`raw` ends with its empty line) or raise the `Refusal` that ends its connection.

    `judged` are the lines of the connection's last head: callers repeat most of them byte for byte, and what a line says depends
    on nothing else. Source of the grammar: RFC 9112 sections 3, 5 and 6, without every optional leniency.
    """
    lines = raw[:-4].split(b"\r\n")
    request_line = lines[0]
    found = _ROUTES.get(request_line)
    if found is None:
        _check_request_line(request_line)
    fields = _fields(raw, lines, limits, judged or {})
    headers = dict(fields.values())
    if len(headers) != len(lines) - 1:
        _check_repeated(lines, fields)
    if b"host" not in headers:
        raise _malformed(_ONE_HOST)
    if len(raw) > limits.value_bytes and max(map(len, headers.values())) > limits.value_bytes:
        raise Malformed(Reason.TOO_LARGE, f"a header is longer than {limits.value_bytes} bytes; is the token the right one?")
    if found is None:
        raise _unsupported(request_line)
    route, method, path = found
    if route is _DYNAMODB and headers.get(b"content-type") not in _JSON:
        route = _route_of(headers.get(b"content-type", b""))
    length = _body_length(headers.get(b"content-length"), route, limits)
    connection = headers.get(b"connection")
    closes = connection is not None and b"close" in _options(connection)
    return Admitted(route, RequestHead(method, path, headers, peer), length, length > 0 and b"expect" in headers, closes, fields)


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


def _fields(raw: bytes, lines: list[bytes], limits: EdgeLimits, judged: Lines) -> Lines:
    """What each header line says; a line that came twice is here once."""
    if len(raw) > limits.head_bytes:
        raise _head_too_large(limits)
    if len(lines) - 1 > limits.header_count:
        raise _malformed(f"more than {limits.header_count} headers; leave out what is not needed")
    return {line: judged.get(line) or _field(line) for line in lines[1:]}


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Lower-case name and value of one line. White space around values is dropped, as RFC 9112 section 5 has it."""
    if line.translate(None, _PRINTABLE):  # one pass in C finds every control character, bare line ends among them
        raise _malformed("a control character, tab or bare line end stands among the headers; is there a line break in a token?")
    spelling, colon, value = line.partition(b":")
    name = _SPELLINGS.get(spelling) or _lowered(spelling)
    if not colon:
        raise _malformed("a header line has no colon")
    value = value.strip(b" ")
    check = _CHECKS.get(name)
    if check is not None:
        check(value)
    return name, value


def _check_repeated(lines: list[bytes], fields: Lines) -> None:
    seen: set[bytes] = set()
    for line in lines[1:]:
        name, _ = fields[line]
        if name in seen and name not in _REPEATABLE:
            raise _malformed("a header was sent twice; send each header once")
        seen.add(name)


def _lowered(spelling: bytes) -> bytes:
    if not _NAME.fullmatch(spelling):
        raise _malformed("a header name has an underscore, a space or another character that does not belong there")
    return spelling.lower()


def _check_request_line(line: bytes) -> None:
    if not _REQUEST_LINE.fullmatch(line):
        raise _malformed("the request line is not `METHOD /path HTTP/1.1`; speak HTTP/1.1")


def _check_host(value: bytes) -> None:
    if not _HOST.fullmatch(value):
        raise _malformed(_ONE_HOST)


def _check_options(value: bytes) -> None:
    """Other connection options would name headers to strip: refused."""
    if not _options(value) <= {b"close", b"keep-alive"}:
        raise _malformed("`Connection` may say `close` or `keep-alive` only")


def _options(value: bytes) -> set[bytes]:
    return {option.strip() for option in value.lower().split(b",")}


def _check_expectation(value: bytes) -> None:
    if value.lower() != b"100-continue":
        raise _malformed("`Expect` may say `100-continue` only")


def _check_length(value: bytes) -> None:
    if not _LENGTH.fullmatch(value):
        raise _malformed(_NO_LENGTH)


def _forbids(sentence: str) -> Callable[[bytes], None]:
    def check(_: bytes) -> None:
        raise _malformed(sentence)

    return check


# What a value must be for its name, whatever the other headers say.
_CHECKS: dict[bytes, Callable[[bytes], None]] = {
    b"host": _check_host,
    b"connection": _check_options,
    b"expect": _check_expectation,
    b"content-length": _check_length,
} | {name: _forbids(sentence) for name, sentence in _FORBIDDEN.items()}


def _route_of(content_type: bytes) -> Route:
    """What is posted to `/`, for a type that is not plainly DynamoDB's."""
    media_type = content_type.split(b";", 1)[0].strip(b" ").lower()
    if media_type in _JSON:
        return Route.DYNAMODB
    if media_type == _FORM:
        return Route.STS
    raise Unreadable(
        Reason.UNSUPPORTED_ROUTE, "the content type is not `application/x-amz-json-1.0`; send DynamoDB's JSON protocol"
    )


def _body_length(value: bytes | None, route: Route, limits: EdgeLimits) -> int:
    if value is None and route not in _WITHOUT_BODY:
        raise _malformed(_NO_LENGTH)
    length = int(value or b"0")
    if length > limits.body_bytes:
        raise Malformed(Reason.TOO_LARGE, f"the body is larger than {limits.body_bytes} bytes; send fewer items at once")
    if route is _DYNAMODB:
        return length
    if length and route in _WITHOUT_BODY:
        raise _malformed("a `GET` request takes no body here")
    if length > _MOST_OF_A_FORM:
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
