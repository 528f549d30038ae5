"""The gate: what is a request, and the reason of every refusal."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.gate import Lines, Route, check_beginning, read_head
from proxy.edge.limits import EdgeLimits
from proxy.refusal import Malformed, Reason, Refusal

LIMITS = EdgeLimits()
PEER = "192.0.2.1:1234"
GOOD = [b"POST / HTTP/1.1", b"Host: localhost:8000", b"Content-Type: application/x-amz-json-1.0", b"Content-Length: 2"]

FORM = b"Content-Type: application/x-www-form-urlencoded; charset=utf-8"


def head(*lines: bytes) -> bytes:
    """Lines as they go over the wire."""
    return b"\r\n".join(lines) + b"\r\n\r\n"


def good(*more: bytes, without: bytes = b"-", line: bytes = GOOD[0]) -> bytes:
    """A head that passes, with lines added or one taken away."""
    return head(line, *(one for one in GOOD[1:] if not one.lower().startswith(without)), *more)


REFUSED = {
    "http 0.9": (head(b"GET /"), Reason.MALFORMED_REQUEST),
    "http 1.0": (good(line=b"POST / HTTP/1.0"), Reason.MALFORMED_REQUEST),
    "http 1.10": (good(line=b"POST / HTTP/1.10"), Reason.MALFORMED_REQUEST),
    "http 2 in the request line": (good(line=b"POST / HTTP/2.0"), Reason.MALFORMED_REQUEST),
    "http 2 preface": (head(b"PRI * HTTP/2.0"), Reason.MALFORMED_REQUEST),
    "rtsp": (good(line=b"POST / RTSP/1.1"), Reason.MALFORMED_REQUEST),
    "two spaces in the request line": (good(line=b"POST  / HTTP/1.1"), Reason.MALFORMED_REQUEST),
    "space after the version": (good(line=b"POST / HTTP/1.1 "), Reason.MALFORMED_REQUEST),
    "empty line before": (b"\r\n" + good(), Reason.MALFORMED_REQUEST),
    "no host": (good(without=b"host"), Reason.MALFORMED_REQUEST),
    "empty host": (good(b"Host:", without=b"host"), Reason.MALFORMED_REQUEST),
    "host with a path": (good(b"Host: a/metrics?", without=b"host"), Reason.MALFORMED_REQUEST),
    "two hosts": (good(b"Host: localhost:8000"), Reason.MALFORMED_REQUEST),
    "transfer-encoding": (good(b"Transfer-Encoding: chunked"), Reason.MALFORMED_REQUEST),
    "transfer-encoding alone": (good(b"Transfer-Encoding: chunked", without=b"content-length"), Reason.MALFORMED_REQUEST),
    "transfer-encoding identity": (good(b"transfer-encoding: identity"), Reason.MALFORMED_REQUEST),
    "transfer-encoding with a space before the colon": (good(b"Transfer-Encoding : chunked"), Reason.MALFORMED_REQUEST),
    "no content-length": (good(without=b"content-length"), Reason.MALFORMED_REQUEST),
    "two content-lengths": (good(b"Content-Length: 3"), Reason.MALFORMED_REQUEST),
    "two equal content-lengths": (good(b"Content-Length: 2"), Reason.MALFORMED_REQUEST),
    "te": (good(b"TE: trailers"), Reason.MALFORMED_REQUEST),
    "trailer": (good(b"Trailer: x-amz-target"), Reason.MALFORMED_REQUEST),
    "upgrade": (good(b"Upgrade: h2c", b"Connection: close"), Reason.MALFORMED_REQUEST),
    "content-encoding": (good(b"Content-Encoding: gzip"), Reason.MALFORMED_REQUEST),
    "another protocol": (good(b"Smithy-Protocol: rpc-v2-cbor"), Reason.MALFORMED_REQUEST),
    "connection names a header": (good(b"Connection: close, authorization"), Reason.MALFORMED_REQUEST),
    "connection upgrade": (good(b"Connection: Upgrade, HTTP2-Settings"), Reason.MALFORMED_REQUEST),
    "other expectation": (good(b"Expect: 200-ok"), Reason.MALFORMED_REQUEST),
    "underscore in a name": (good(b"X_DAG_Token: a"), Reason.MALFORMED_REQUEST),
    "illegal name": (good(b"X@Y: a"), Reason.MALFORMED_REQUEST),
    "space before the colon": (good(b"X-Y : a"), Reason.MALFORMED_REQUEST),
    "empty name": (good(b": a"), Reason.MALFORMED_REQUEST),
    "line without colon": (good(b"Accept"), Reason.MALFORMED_REQUEST),
    "folded header": (good(b"X-Y: a", b" b"), Reason.MALFORMED_REQUEST),
    "folded with a tab": (good(b"X-Y: a", b"\tb"), Reason.MALFORMED_REQUEST),
    "bare line feed": (good(b"X-Y: a\nTransfer-Encoding: chunked"), Reason.MALFORMED_REQUEST),
    "bare carriage return": (good(b"X-Y: a\rb"), Reason.MALFORMED_REQUEST),
    "line feed first": (good(b"X-Y: a\n\rb"), Reason.MALFORMED_REQUEST),
    "nul": (good(b"X-Y: a\0b"), Reason.MALFORMED_REQUEST),
    "escape": (good(b"X-Y: \x1b[31m"), Reason.MALFORMED_REQUEST),
    "delete": (good(b"X-Y: \x7f"), Reason.MALFORMED_REQUEST),
    "two authorizations": (good(b"Authorization: a", b"authorization: b"), Reason.MALFORMED_REQUEST),
    "two targets": (good(b"X-Amz-Target: a", b"x-amz-target: b"), Reason.MALFORMED_REQUEST),
    "two claims": (good(b"X-Airflow-Dag-Id: a", b"x-airflow-dag-id: b"), Reason.MALFORMED_REQUEST),
    "101 headers": (good(*(b"a%d: b" % number for number in range(98))), Reason.MALFORMED_REQUEST),
    "head over the limit": (good(*(b"a%d: %s" % (number, b"b" * 9000) for number in range(4))), Reason.TOO_LARGE),
    "value over the limit": (good(b"Authorization: Bearer " + b"a" * 16_384), Reason.TOO_LARGE),
    "body over the limit": (
        good(b"Content-Length: %d" % (LIMITS.body_bytes + 1), without=b"content-length"),
        Reason.TOO_LARGE,
    ),
    "health with a body": (good(line=b"GET /healthz HTTP/1.1"), Reason.MALFORMED_REQUEST),
    "no content type": (good(without=b"content-type"), Reason.UNSUPPORTED_ROUTE),
    "large form": (
        head(GOOD[0], GOOD[1], FORM, b"Content-Length: 65537"),
        Reason.TOO_LARGE,
    ),
    "form of two media types": (
        good(b"Content-Type: application/x-www-form-urlencoded, application/json", without=b"content-type"),
        Reason.UNSUPPORTED_ROUTE,
    ),
    "newer json": (good(b"Content-Type: application/x-amz-json-1.1", without=b"content-type"), Reason.UNSUPPORTED_ROUTE),
    "cbor": (good(b"Content-Type: application/cbor", without=b"content-type"), Reason.UNSUPPORTED_ROUTE),
    "credentials with a body": (good(line=b"GET /v1/credentials HTTP/1.1"), Reason.MALFORMED_REQUEST),
    "credentials with a query": (good(line=b"GET /v1/credentials?a=b HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "credentials by post": (good(line=b"POST /v1/credentials HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "metrics": (good(line=b"GET /metrics HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "query string": (good(line=b"POST /?a=b HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "health with a query": (good(line=b"GET /healthz?x HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "whole url": (good(line=b"POST http://localhost/ HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "connect": (good(line=b"CONNECT localhost:443 HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "double slash": (good(line=b"POST // HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "dot segment": (good(line=b"POST /. HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "encoded slash": (good(line=b"POST %2f HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "get": (good(line=b"GET / HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "lower-case method": (good(line=b"post / HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
    "put": (good(line=b"PUT / HTTP/1.1"), Reason.UNSUPPORTED_ROUTE),
} | {
    f"content-length {value!r}": (good(b"Content-Length: " + value, without=b"content-length"), Reason.MALFORMED_REQUEST)
    for value in (b"", b"+2", b"-2", b"2,2", b"2 2", b"0x2", b"02", b"2_0", b"2.0", b"\xb2", b"\xd9\xa2", b"99999999999999999999")
}


@pytest.mark.parametrize(("raw", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_an_sdk_never_sends_is_refused_with_its_reason(raw: bytes, reason: Reason) -> None:
    """Each malformed or unserved head has its reason and a sentence in our style."""
    with pytest.raises(Refusal) as caught:
        read_head(raw, PEER, LIMITS)
    assert caught.value.reason is reason
    assert not caught.value.message.endswith(".")


def test_a_dynamodb_request_passes_with_its_headers_in_lower_case() -> None:
    """Names are lowered, white space around values goes, everything else stays."""
    admitted = read_head(good(b"X-Amz-Target:  DynamoDB_20120810.GetItem  ", b"x-DAG-token: T", b"X-Odd: \xe9"), PEER, LIMITS)
    assert admitted.route is Route.DYNAMODB
    assert (admitted.body_length, admitted.awaits_continue, admitted.closes) == (2, False, False)
    assert admitted.head.method == b"POST"
    assert admitted.head.path == b"/"
    assert admitted.head.peer == PEER
    assert admitted.head.headers == {
        b"host": b"localhost:8000",
        b"content-type": b"application/x-amz-json-1.0",
        b"content-length": b"2",
        b"x-amz-target": b"DynamoDB_20120810.GetItem",
        b"x-dag-token": b"T",
        b"x-odd": b"\xe9",
    }


@pytest.mark.parametrize(
    ("raw", "route", "length"),
    [
        (good(FORM, without=b"content-type"), Route.STS, 2),
        (good(b"Content-Type: Application/X-WWW-Form-URLencoded", without=b"content-type"), Route.STS, 2),
        (head(b"GET /v1/credentials HTTP/1.1", b"Host: a"), Route.CREDENTIALS, 0),
        (head(b"GET /v1/credentials HTTP/1.1", b"Host: a", b"Content-Length: 0"), Route.CREDENTIALS, 0),
    ],
)
def test_logins_have_routes_of_their_own(raw: bytes, route: Route, length: int) -> None:
    """A form on DynamoDB's path is a call of STS; credentials are a GET without a body."""
    admitted = read_head(raw, PEER, LIMITS)
    assert (admitted.route, admitted.body_length) == (route, length)


def test_connection_options_and_expectation_are_told() -> None:
    """`Connection: close` and `Expect: 100-continue` reach the connection, whatever their case."""
    admitted = read_head(good(b"Connection: keep-alive, Close", b"Expect: 100-Continue"), PEER, LIMITS)
    assert admitted.closes
    assert admitted.awaits_continue
    assert not read_head(good(b"Connection: Keep-Alive"), PEER, LIMITS).closes


def test_nobody_waits_for_permission_to_send_nothing() -> None:
    """An expectation with an empty body is not answered."""
    assert not read_head(
        good(b"Expect: 100-continue", b"Content-Length: 0", without=b"content-length"), PEER, LIMITS
    ).awaits_continue


@pytest.mark.parametrize("kind", [b"application/json", b"APPLICATION/X-AMZ-JSON-1.0 ; charset=utf-8"])
def test_content_type_parameters_and_case_do_not_matter(kind: bytes) -> None:
    """Media types compare without case and parameters."""
    assert read_head(good(b"Content-Type: " + kind, without=b"content-type"), PEER, LIMITS).route is Route.DYNAMODB


def test_health_needs_a_host_and_nothing_else() -> None:
    """`GET /healthz` without a body is a route of its own."""
    assert read_head(head(b"GET /healthz HTTP/1.1", b"host: dynamodb_proxy:8000"), PEER, LIMITS).route is Route.HEALTH


def test_headers_of_intermediaries_may_repeat() -> None:
    """A mesh may add `Via` or `X-Forwarded-For` lines; nobody reads them."""
    assert read_head(good(b"Via: a", b"Via: b", b"X-Forwarded-For: a", b"x-forwarded-for: b"), PEER, LIMITS)


BEGINNINGS = {
    "tls": (b"\x16\x03\x01", Reason.MALFORMED_REQUEST),
    "empty line": (b"\r\n", Reason.MALFORMED_REQUEST),
    "binary": (b"\xff", Reason.MALFORMED_REQUEST),
    "http 0.9": (b"GET /\r\n", Reason.MALFORMED_REQUEST),
    "http 2 preface": (b"PRI * HTTP/2.0\r\n", Reason.MALFORMED_REQUEST),
    "bare line feed": (b"POST / HTTP/1.1\nHost", Reason.MALFORMED_REQUEST),
    "endless": (b"POST / HTTP/1.1\r\na: " + b"b" * LIMITS.head_bytes, Reason.TOO_LARGE),
}


@pytest.mark.parametrize(("raw", "reason"), BEGINNINGS.values(), ids=BEGINNINGS.keys())
@pytest.mark.parametrize("at_once", [True, False])
def test_a_hopeless_beginning_is_refused_before_its_end(raw: bytes, reason: Reason, at_once: bool) -> None:
    """Also byte for byte: nobody keeps us waiting for the end of what cannot become a request."""

    def arrive() -> None:
        for seen in [0] if at_once else range(len(raw)):
            check_beginning(raw if at_once else raw[: seen + 1], seen, LIMITS)

    with pytest.raises(Malformed) as caught:
        arrive()
    assert caught.value.reason is reason


def test_the_beginning_of_a_good_head_may_come_in_any_pieces() -> None:
    """No prefix of a good head is refused."""
    whole = good()
    for seen in range(len(whole) - 4):
        check_beginning(whole[: seen + 1], seen, LIMITS)


class Seen:
    """What httptools read."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.target = b""

    def on_url(self, url: bytes) -> None:
        """The target, possibly in pieces."""
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, as we would write it down."""
        self.headers.append((name.lower(), value.strip(b" ")))


names = st.sampled_from([b"Host", b"Content-Length", b"Connection", b"Transfer-Encoding", b"A", b"a_b", b"Via", b"x y", b""])
values = st.one_of(st.sampled_from([b"", b"2", b"close", b"chunked", b"a:b"]), st.binary(max_size=6))
breaks = st.sampled_from([b"\r\n"] * 20 + [b"\n", b"\r", b"\r\n "])


@given(st.lists(st.tuples(names, st.sampled_from([b":", b": ", b" :"]), values, breaks).map(b"".join), max_size=3).map(b"".join))
def test_what_passes_is_read_alike_by_llhttp(more: bytes) -> None:
    """Differential: no head that the gate lets through has another meaning for httptools."""
    raw = good()[:-2] + more + b"\r\n\r\n"
    raw = raw[: raw.index(b"\r\n\r\n") + 4]  # a head is what ends with the first empty line
    try:
        admitted = read_head(raw, PEER, LIMITS)
    except Refusal:
        return
    seen = Seen()
    parser = httptools.HttpRequestParser(seen)
    parser.feed_data(raw)
    assert (parser.get_method(), parser.get_http_version(), seen.target) == (b"POST", "1.1", b"/")
    assert {name: value for name, value in seen.headers if name != b"via"} == {
        name: value for name, value in admitted.head.headers.items() if name != b"via"
    }


lines = st.tuples(names, st.sampled_from([b":", b": ", b" :"]), values).map(b"".join)


@given(st.lists(st.lists(lines, max_size=4), min_size=2, max_size=4))
def test_lines_that_were_judged_before_are_judged_alike(heads: list[list[bytes]]) -> None:
    """On one connection each head has the outcome that it has alone, and only the last one's lines are kept."""
    judged: Lines = {}
    for more in heads:
        raw = good(*more)
        alone, after_others = outcome_of(raw), outcome_of(raw, judged)
        assert alone == after_others
        assert len(b"".join(judged)) <= max(len(good(*one)) for one in heads)


def outcome_of(raw: bytes, judged: Lines | None = None) -> object:
    """What the gate says: the head, or the refusal's reason and message."""
    try:
        return read_head(raw, PEER, LIMITS, judged)
    except Refusal as refusal:
        return refusal.reason, refusal.message


@given(st.binary(max_size=200))
def test_random_bytes_are_only_ever_refused(raw: bytes) -> None:
    """No bytes raise anything but a refusal."""
    with pytest.raises(Refusal):
        read_head(raw + b"\r\n\r\n", PEER, LIMITS)
