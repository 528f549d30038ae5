"""The compiled forms take nothing that the forms in Python would not take, with the same result, and take what is usual."""

from __future__ import annotations

import base64
import json
import random
from typing import TYPE_CHECKING, Any

import jiter
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.aws.whole_reply import read_by_line
from proxy.dynamodb.members import INPUTS
from proxy.dynamodb.operation import read_operation
from proxy.dynamodb.shapes import Attributes
from proxy.dynamodb.values import MAX_NESTING, Misfit
from proxy.edge.gate import Route, read_head
from proxy.edge.limits import EdgeLimits
from proxy.model import Reply, RequestHead
from proxy.native import (
    each_once,
    joined_answer,
    joined_in_python,
    nothing_is_plain,
    passed_in_python,
    passed_lines,
    plain_head,
    plain_line,
    plain_reply,
    plainly_fits,
    same_in_python,
    same_values,
    value_in,
    value_in_python,
)
from proxy.refusal import Reason, Refusal, Unreadable
from tests.made_requests import RequestMaker, damaged_body
from tests.plans import fits
from tests.stack.process import ROOT

if TYPE_CHECKING:
    from proxy.edge.gate import Admitted

pytestmark = pytest.mark.needs("compiled")
LIMITS = EdgeLimits()
PEER = "192.0.2.1:1234"


@pytest.fixture(autouse=True)
def _are_there() -> None:
    """Where all is Python, there is nothing to compare."""
    if plain_head is nothing_is_plain:
        pytest.fail("the compiled forms were built, and yet they are not in use; is DDB_PROXY_PURE set?")


# ------------------------------------------------------------------------------------------------------ heads


def read_in_python(data: bytes, limits: EdgeLimits) -> Admitted | None:
    """The head with which `data` begins as `Connection` would find it, None where it is refused or not whole."""
    end = data.find(b"\r\n\r\n", 0, limits.head_bytes)
    if end < 0:
        return None
    try:
        return read_head(data[: end + 4], PEER, limits)
    except Refusal:
        return None


def check_behind(first: bytes, found: Any, data: bytes, arguments: Any) -> None:
    """Behind another head of its connection a head is read as behind none."""
    taken = plain_head(first, *arguments, None)
    if taken is None:  # it could not come before
        return
    before = taken[3]
    assert before is not None
    headers = dict(before[1])
    behind = plain_head(data, *arguments, before)
    assert before[1] == headers  # which the request before may still hold
    assert (behind and behind[:3]) == (found and found[:3])
    if found is not None:
        assert list(behind[0].headers.items()) == list(found[0].headers.items())
        assert behind[0].headers is not headers
        assert behind[3] is before or behind[3] == found[3]


def check_head(data: bytes, limits: EdgeLimits = LIMITS) -> bool:
    """Compare; True if the compiled form took it. The same bytes in a bytearray are read alike."""
    arguments = (PEER, RequestHead, limits.head_bytes, limits.header_count, limits.value_bytes, limits.body_bytes)
    found = plain_head(data, *arguments, None)
    assert plain_head(bytearray(data), *arguments, None) == found
    for first in BEFORE:
        check_behind(first, found, data, arguments)
    if found is None:
        return False
    head, end, length, kept = found
    assert kept == ((data[:end], head.headers, length) if end <= 8192 else None)
    admitted = read_in_python(data, limits)
    assert admitted is not None
    assert admitted[:5] == (Route.DYNAMODB, head, length, False, False)
    assert type(head) is RequestHead
    assert data[:end].endswith(b"\r\n\r\n")
    assert data.index(b"\r\n\r\n") == end - 4
    assert list(head.headers) == list(admitted.head.headers)  # in the same order
    return True


BASE = (
    b"Host: localhost:8000", b"Accept-Encoding: identity", b"X-Amz-Target: DynamoDB_20120810.GetItem",
    b"Content-Type: application/x-amz-json-1.0", b"User-Agent: Boto3/1.40.61 md/Botocore#1.40.61 ua/2.1 m/b,Z,D",
    b"X-Amz-Date: 20260101T000000Z", b"Authorization: Bearer " + b"a.b-c_" * 170, b"amz-sdk-invocation-id: 6d2e2e6c-aaaa",
    b"amz-sdk-request: attempt=1", b"Content-Length: 2",
)  # fmt: skip
USUAL = b"\r\n".join([b"POST / HTTP/1.1", *BASE, b"", b"{}"])


BEFORE = [
    b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""])
    for lines in (BASE, BASE[:4] + BASE[5:], BASE[::-1], (*BASE, b"x:"), (b"X: y", *BASE))
]


def test_usual_requests_are_plain() -> None:
    """As boto3 sends them, with every channel of a token, the plugin's headers, and a connection that is kept."""
    more = (
        b"Connection: keep-alive",
        b"X-DAG-Token: t",
        b"X-Airflow-Dag-Id: a%20b",
        b"X-Amz-Security-Token: ddbproxy1-x",
        b"a: b",
    )
    assert check_head(USUAL)
    assert check_head(b"\r\n".join([b"POST / HTTP/1.1", *BASE, *more, b"", b"{}"]))
    assert check_head(USUAL.replace(b"x-amz-json-1.0", b"json"))


_LINES = st.sampled_from(
    [*BASE, b"host: a", b"Host:", b"Host: a/b", b"Host: a b", b"Content-Length: 02", b"Content-Length: +2", b"content-length: 0",
     b"Content-Length: 999999999999999", b"Content-Length: 9999999999999999", b"Content-Length:", b"Content-Length: 16842752",
     b"Content-Length: 16842753", b"Transfer-Encoding: chunked", b"TE: trailers", b"Trailer: a", b"Upgrade: h2c",
     b"http2-settings: x", b"Content-Encoding: gzip", b"Expect: 100-continue", b"Expect: x", b"Connection: close",
     b"Smithy-Protocol: rpc-v2-cbor",
     b"Connection: keep-alive", b"Connection: Keep-Alive", b"connection: close, x", b"Via: a", b"via: b", b"Keep-Alive: 5",
     b"Content-Type: application/json", b"Content-Type: application/json; charset=utf-8", b"Content-Type: text/plain",
     b"X_DAG_Token: a", b"X@Y: a", b" folded: a", b"x : y", b"x\t: y", b": y", b"x", b"", b"x:", b"x: ", b"x:   y  ", b"x: y\r",
     b"x: y\n", b"x: \x00", b"x: \x1f", b"x: \x7f", b"x: \x80\xff", b"x: a\tb", b"X-" + b"n" * 40 + b": v", b"x: " + b"v" * 200]
)  # fmt: skip
_FIRST = st.sampled_from(
    [*[b"POST / HTTP/1.1"] * 8, b"POST / HTTP/1.0", b"GET / HTTP/1.1", b"POST /x HTTP/1.1", b"post / HTTP/1.1", b""]
)
_SMALL = EdgeLimits(head_bytes=1700, header_count=12, value_bytes=1100)


@given(
    _FIRST, st.lists(_LINES, max_size=6), st.integers(0, 10), st.sampled_from([b"", b"{}", b"POST / HTTP/1.1\r\n"]), st.booleans()
)
@settings(max_examples=4000, deadline=None)
def test_a_plain_head_is_what_the_gate_takes(first: bytes, lines: list[bytes], kept: int, behind: bytes, is_small: bool) -> None:
    """Some of the usual lines among others, in any order: whatever is taken, the gate takes, and means the same."""
    data = b"\r\n".join([first, *BASE[:kept], *lines, *BASE[kept:][::-1], b"", behind])
    check_head(data, _SMALL if is_small else LIMITS)


@given(st.data())
@settings(max_examples=3000, deadline=None)
def test_a_damaged_head_is_what_the_gate_takes(data: st.DataObject) -> None:
    """A usual head with some bytes changed, put in or taken out."""
    damaged = bytearray(USUAL)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        piece = data.draw(
            st.sampled_from([b"\r", b"\n", b"\r\n", b":", b" ", b"\x00", b"\xff", b"_", b"A", b"\t", b"\r\n\r\n", b""])
        )
        damaged[place : place + data.draw(st.integers(0, 2))] = piece
    check_head(bytes(damaged))


@pytest.mark.parametrize("cut", range(0, len(USUAL) - 2, 7))
def test_a_head_that_is_not_whole_is_not_plain(cut: int) -> None:
    """A request that comes in pieces is left to Python until its head is there."""
    assert not check_head(USUAL[:cut])


@pytest.mark.parametrize("place", range(len(BASE)))
@pytest.mark.parametrize(
    "value",
    [b"Content-Length: 3", b"Content-Length: 02", b"Content-Length: 99999999999999", b"Host: a b", b"Connection: close", b"x: y",
     b"Content-Type: text/plain", b"Content-Type: application/json", b"amz-sdk-request: attempt=2; max=3", b"Host: other",
     b"User-Agent: \x00", b"User-Agent: a\tb", b"", b"Transfer-Encoding: chunked", b"Authorization:", b"User-Agent:  a  "],
)  # fmt: skip
def test_one_line_changes_from_one_head_to_the_next(place: int, value: bytes) -> None:
    """Put in the place of another, put between others, or another left out: read as if nothing had come before."""
    lines = list(BASE)
    for changed in ([*lines[:place], value, *lines[place + 1 :]], [*lines[:place], value, *lines[place:]],
                    lines[:place] + lines[place + 1 :], [*lines[:place], lines[place] + value, *lines[place + 1 :]]):  # fmt: skip
        check_head(b"\r\n".join([b"POST / HTTP/1.1", *changed, b"", b"{}"]))
        check_head(b"\r\n".join([b"POST / HTTP/1.1", *changed, b"", b"{}"]), _SMALL)


def test_the_limits_are_exact_for_what_changes_too() -> None:
    """A head that comes behind a shorter one of the same lines may be as large as any, and no larger."""
    grown = USUAL.replace(b"Accept-Encoding: identity", b"Accept-Encoding: " + b"i" * 1100)
    head = len(grown) - 2
    for limits, is_fit in (
        (EdgeLimits(value_bytes=1100), True),
        (EdgeLimits(value_bytes=1099), False),
        (EdgeLimits(head_bytes=head), True),
        (EdgeLimits(head_bytes=head - 1), False),
        (EdgeLimits(body_bytes=2), True),
    ):
        assert check_head(USUAL, limits)
        assert check_head(grown, limits) is is_fit
    assert not check_head(USUAL.replace(b"Length: 2", b"Length: 3"), EdgeLimits(body_bytes=2))
    for cut in range(head):
        assert not check_head(grown[:cut])


def test_what_says_the_same_is_taken_as_it_was_read() -> None:
    """To the very object, and what differs is new; a head that is long is not kept."""
    first, end, _, kept = _plain(USUAL, None)
    again, _, _, still = _plain(USUAL, kept)
    assert again.headers is not first.headers
    assert all(again.headers[name] is value for name, value in first.headers.items())
    assert still is kept
    other, _, length, still = _plain(USUAL.replace(b"Length: 2", b"Length: 17").replace(b"6d2e2e6c", b"7d2e2e6c"), kept)
    assert still is kept
    assert length == 17
    assert {name for name in other.headers if other.headers[name] is not first.headers[name]} == {
        b"content-length", b"amz-sdk-invocation-id"
    }  # fmt: skip
    assert _plain(USUAL.replace(b"identity", b"identity" * 1000), None)[3] is None
    assert _plain(USUAL[: end - 2] + b"x: y\r\n\r\n", kept)[3] is not kept


def _plain(data: bytes, before: Any) -> Any:
    return plain_head(
        data, PEER, RequestHead, LIMITS.head_bytes, LIMITS.header_count, LIMITS.value_bytes, LIMITS.body_bytes, before
    )


def test_the_limits_are_exact() -> None:
    """The largest head, the longest value, the most headers and the largest body that the gate takes, and not one more."""
    head = USUAL[:-2]
    for limits, more in (
        ({"head_bytes": len(head)}, b"y"),
        ({"value_bytes": 1027}, b""),
        ({"header_count": len(BASE)}, b""),
        ({"body_bytes": 2}, b""),
    ):
        assert check_head(USUAL, EdgeLimits(**limits)), limits
        ((name, value),) = limits.items()
        assert not check_head(USUAL + more, EdgeLimits(**{name: value - 1})), limits


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_each_place(byte: int) -> None:
    """In a name, a value, the host, and at the end of a word of eight: taken as the gate takes it."""
    one = bytes([byte])
    for line in (
        b"x" + one + b"y: v",
        b"x: a" + one,
        b"x: " + one + b"aaaaaaa",
        b"x: aaaaaaa" + one + b"b",
        b"x: aaaaaaaaa" + one,
        b"x: " + b"a" * 40 + one + b"b" * 40,
    ):
        check_head(USUAL.replace(b"Accept-Encoding: identity", line))
    check_head(USUAL.replace(b"localhost", b"local" + one + b"host"))


# ---------------------------------------------------------------------------------------------------- answers

ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: Server\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/x-amz-json-1.0\r\n"
    b"Content-Length: 2\r\nConnection: keep-alive\r\nx-amzn-RequestId: A1\r\nx-amz-crc32: 2745614147\r\n\r\n{}"
)


def check_reply(data: bytes) -> bool:
    """Compare; True if the compiled form took it."""
    reply = plain_reply(data, Reply)
    if reply is None:
        return False
    assert type(reply) is Reply
    assert read_by_line(data, {}) == reply
    return True


def test_usual_answers_are_plain() -> None:
    """Those of success and of refusal, by AWS and by what stands before it."""
    assert check_reply(ANSWER)
    assert check_reply(ANSWER.replace(b"200 OK", b"400 Bad Request"))
    assert check_reply(ANSWER.replace(b"Server: Server\r\n", b"X-Cache-" + b"n" * 40 + b": v\r\nserver:\r\n"))


_FIELDS = st.sampled_from(
    [b"Server: x", b"server:", b"content-length: 2", b"Content-Length: 0", b"Content-Length : 2", b"content-length:", b"te: x",
     b"Content-Length: 02", b"Connection: keep-alive", b"connection: close", b"transfer-encoding: chunked",
     b"x-a:  b  ",
     b"keep-alive: 5", b"x_y: z", b" folded", b"", b"a:b:c", b"x: \x80\xff", b"x: \x00", b"Upgrade: y", b"x: a\rb", b"x: a\nb",
     b"Proxy-Status: x", b"proxy-: x", b"Proxy: x", b"trailer: x", b"Expect: x", b"host: x",
     b"x" * 40 + b": 1", b"proxy-" + b"x" * 40 + b": 1"]
)  # fmt: skip
_STATUS = st.sampled_from([*[b"HTTP/1.1 200 OK"] * 3, b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 200", b"HTTP/1.1 204 No Content"])


@given(_STATUS, st.lists(_FIELDS, max_size=6), st.sampled_from([b"", b"{}", b"{}{"]))
@example(b"HTTP/1.1 200 OK", [b"content-length: 2"], b"{}")
@settings(max_examples=4000, deadline=None)
def test_a_plain_reply_is_what_python_reads(first: bytes, lines: list[bytes], body: bytes) -> None:
    """Whatever is taken, `read_by_line` takes, and reads the same."""
    check_reply(b"\r\n".join([first, *lines, b"", body]))


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_a_cut_answer_is_not_plain(cut: int) -> None:
    """Nor is one with something behind it, or with a head beyond all measure."""
    assert not check_reply(ANSWER[:cut])
    assert not check_reply(ANSWER + ANSWER[: cut + 1])
    assert not check_reply(ANSWER.replace(b"Server\r", b"S" * 16_384 + b"\r"))


_NAMES = st.sampled_from([b"a", b"date", b"content-length", b"x-amzn-requestid", b""])


@given(st.binary(), st.lists(st.tuples(_NAMES, st.binary(max_size=20))), st.binary(max_size=9), st.binary())
def test_an_answer_is_joined_alike(beginning: bytes, headers: list[tuple[bytes, bytes]], end: bytes, body: bytes) -> None:
    """Byte for byte, with the fields left out that are the edge's own."""
    left_out = frozenset((b"date", b"content-length"))
    expected = joined_in_python(beginning, tuple(headers), left_out, end, body)
    assert joined_answer(beginning, tuple(headers), left_out, end, body) == expected


@given(st.lists(st.tuples(_NAMES, st.binary(max_size=3))).map(tuple), _NAMES)
def test_a_value_is_found_alike(headers: tuple[tuple[bytes, bytes], ...], name: bytes) -> None:
    """The first of a name, or nothing."""
    assert value_in(headers, name) == value_in_python(headers, name)


_PASSED = st.one_of(
    st.binary(max_size=3), st.sampled_from([b"", b"attempt=1; max=3", b"a" * 128, b"a" * 129, b"a\n", b"a\r\nb: c"])
)


@given(st.dictionaries(_NAMES, _PASSED))
def test_what_travels_on_is_chosen_alike(headers: dict[bytes, bytes]) -> None:
    """The same lines of the same headers, and never a line more."""
    names = (b"a", b"x-amzn-requestid", b"date")
    lines = passed_lines(headers, names)
    assert lines == passed_in_python(headers, names)
    assert lines.count(b"\n") <= len(headers)


def test_each_byte_travels_on_or_stays_alike() -> None:
    """In a value of one byte and of several."""
    for byte in range(256):
        for value in (bytes([byte]), b"ab" + bytes([byte])):
            assert passed_lines({b"a": value}, (b"a",)) == passed_in_python({b"a": value}, (b"a",))
    with pytest.raises(ValueError, match="room"):
        passed_lines({b"n" * 2000: b"v"}, (b"n" * 2000,))


_PAIRS = st.dictionaries(_NAMES, st.sampled_from([b"", b"a", b"b", b"ab"]))


@given(_PAIRS, _PAIRS, st.lists(_NAMES).map(tuple))
def test_values_are_compared_alike(some: dict[bytes, bytes], others: dict[bytes, bytes], names: tuple[bytes, ...]) -> None:
    """The same under each name, or nothing both."""
    assert same_values(some, others, names) is same_in_python(some, others, names)
    assert same_values(some, dict(some), names)


# ----------------------------------------------------------------------------------------------------- records

_OF_A_LINE = st.one_of(
    st.text(st.characters(codec="ascii"), max_size=8),
    st.sampled_from(
        ["", "eyJ", "xeyJ", "eyj", "ey", '"', "\\", "\x7f", "\n", "\u00e9", "\udc80", "a" * 100, True, None, b"", Reason.ALLOWED]
    ),
    st.integers(-(2**64), 2**64),
    st.integers(0, 10**13).map(lambda thousandths: thousandths / 1000),
    st.floats(),
)


@given(st.lists(_OF_A_LINE, min_size=1, max_size=4), st.integers(0, 60), st.integers(0, 300))
@example([0.0, 1.0, 999999999999.999], 0, 300)
@example([1e12], 0, 300)
@example([0.0005], 0, 300)
@example([-0.0], 0, 300)
@settings(max_examples=3000, deadline=None)
def test_a_plain_line_is_what_json_writes(values: list[Any], rest: int, longest: int) -> None:
    """Byte for byte where it is written at all: not longer than it may be, and with nothing in it that is to be tidied."""
    names = [f"n{place}" for place in range(len(values))]
    pieces = tuple(b'%b"%b":' % (b"," if place else b"{", name.encode()) for place, name in enumerate(names))
    line = plain_line(pieces, tuple(values), b"}" * rest, longest)
    if line is None:
        return
    assert line == orjson.dumps(dict(zip(names, values, strict=True)))[:-1] + b"}" * rest
    assert len(line) <= longest
    assert b"eyJ" not in line


def test_usual_values_make_a_plain_line() -> None:
    """To the very last byte that there is room for, and never beyond what the compiled form holds."""
    pieces, values = (b'{"a":', b',"b":', b',"c":'), ("x", 2**63 - 1, 0.125)
    whole = b'{"a":"x","b":9223372036854775807,"c":0.125}'
    assert plain_line(pieces, values, b"}", 200) == whole
    assert plain_line((b'{"a":',), ("xy",), b"}", 10) == b'{"a":"xy"}'
    assert plain_line((b'{"a":',), ("xy",), b"}", 9) is None
    for length in range(2000, 2100):
        for text in ("x" * length, "x"):
            line = plain_line((b'{"a":' + b" " * (length - len(text)),), (text,), b"}", 10**9)
            assert line is None or line == b'{"a":' + b" " * (length - len(text)) + b'"' + text.encode() + b'"}'
    assert plain_line((b'{"a":',), ("x",), b"}" * 3000, 10**9) is None
    assert plain_line((), (), b"}", -(2**63)) is None


@pytest.mark.parametrize("code", range(0x180))
def test_each_character_is_written_or_left(code: int) -> None:
    """Alone and among others."""
    for text in (chr(code), "ab" + chr(code), chr(code) + "ab"):
        line = plain_line((b"",), (text,), b"", 100)
        assert line is None or line == orjson.dumps(text)
        assert (line is not None) == (text.isascii() and text.isprintable() and not {'"', "\\"} & set(text))


def test_a_wrong_call_for_a_line_is_an_error() -> None:
    """As many values as pieces, the pieces bytes."""
    for arguments in (
        ((b"",), ("a", "b"), b"", 9),
        (("",), ("a",), b"", 9),
        ((b"",), ("a",), "", 9),
        ((b"",), ["a"], b"", 9),
        ((b"",),),
    ):
        with pytest.raises(TypeError):
            plain_line(*arguments)  # type: ignore[arg-type]  # wrong on purpose


# ----------------------------------------------------------------------------------------------------- bodies

JUDGES = {name: shape.judge() for name, shape in INPUTS.items()}
PLANS = {name: shape.plan() for name, shape in INPUTS.items()}


def is_taken(name: str, request: Any) -> bool:
    """Whether the form in Python takes it."""
    try:
        JUDGES[name](request)
    except Misfit:
        return False
    return True


ITEM_OPERATIONS = (
    "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "BatchGetItem", "BatchWriteItem", "TransactGetItems",
    "TransactWriteItems", "ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction",
)  # fmt: skip


@pytest.mark.parametrize("name", ITEM_OPERATIONS)
def test_usual_bodies_fit_plainly(name: str) -> None:
    """All that is made of the shapes of operations on items, unless a table is named by its ARN, which Python judges."""
    maker = RequestMaker(random.Random(name))
    taken = 0
    for _ in range(200):
        request = maker.body(name)
        assert is_taken(name, request)
        if b"arn:" not in orjson.dumps(request):
            assert plainly_fits(PLANS[name], request)
            taken += 1
    assert taken > 50


def test_captured_bodies_fit_plainly() -> None:
    """Every body that real clients sent."""
    lines = [line.split("\t") for line in (ROOT / "tests" / "captures" / "requests.txt").read_text().splitlines()[1:]]
    assert len(lines) > 10
    for _, target, body in lines:
        assert plainly_fits(PLANS[target.partition(".")[2]], orjson.loads(body)), body[:200]


@given(st.sampled_from(sorted(INPUTS)), st.integers())
@settings(max_examples=6000, deadline=None)
def test_a_body_fits_plainly_as_its_plan_says(name: str, seed: int) -> None:
    """Bodies of every operation with some parts changed: what the compiled form takes, plan and judge take, and no less."""
    request = damaged_body(name, seed)
    found = plainly_fits(PLANS[name], request)
    assert found == fits(PLANS[name], request)
    assert not found or is_taken(name, request)


_TEXTS = st.one_of(
    st.text(max_size=6),
    st.from_regex(r"[+-]?[0-9]{0,3}\.?[0-9]{0,3}([eE][+-]?[0-9]{0,2})?", fullmatch=True),
    st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode()),
    st.text("ABab01+/=", max_size=9),
    st.sampled_from(["9" * 64, "9" * 65, "AAAA" * 40, "AAA=" * 2, "٣"]),
)
_CONTENTS = st.one_of(_TEXTS, st.lists(_TEXTS, max_size=3), st.booleans(), st.none(), st.integers())
_VALUES = st.recursive(
    st.dictionaries(
        st.sampled_from(["S", "N", "B", "SS", "NS", "BS", "BOOL", "NULL", "M", "L", "s", "BO", "NULLS"]), _CONTENTS, max_size=2
    ),
    lambda inner: st.one_of(
        inner,
        st.fixed_dictionaries({"M": st.dictionaries(st.text(max_size=2), inner, max_size=2)}),
        st.fixed_dictionaries({"L": st.lists(inner, max_size=2)}),
    ),
    max_leaves=6,
)


@given(_VALUES)
@settings(max_examples=6000, deadline=None)
def test_attribute_values_are_judged_alike(value: Any) -> None:
    """Both take the same values, but for numbers and binary values that are long, which are left to Python."""
    judge = Attributes().judge()
    try:
        judge({"a": value})
        expected = True
    except Misfit:
        expected = False
    found = plainly_fits((6,), {"a": value})
    assert found == expected or (not found and "9" * 65 in str(value))


@pytest.mark.parametrize(("length", "fits"), [(1 << 20, True), ((1 << 20) + 4, False)])
def test_the_longest_binary_value(length: int, fits: bool) -> None:
    """A longer one is left to Python."""
    assert plainly_fits((6,), {"a": {"B": "A" * length}}) is fits


@pytest.mark.parametrize("kind", ["M", "L"])
def test_the_deepest_value_fits_and_no_deeper_one(kind: str) -> None:
    """MAX_NESTING levels, as in Python."""
    value: dict[str, Any] = {"S": "x"}
    for _ in range(MAX_NESTING):
        value = {"L": [value]} if kind == "L" else {"M": {"a": value}}
    assert plainly_fits((6,), {"a": value})
    assert not plainly_fits((6,), {"a": {"L": [value]}})


_WRONG_PLANS = (
    None, 7, (), (99,), (0,), (0, 1), ("x",), (2,), (2, 3), (7,), (7, 0, 9), (8,),
    (8, 1), (9,), (10,), (10, {}), (10, [], (), False)
)  # fmt: skip


@pytest.mark.parametrize("plan", _WRONG_PLANS)
def test_a_wrong_plan_takes_nothing(plan: Any) -> None:
    """Whatever a plan lacks, nothing fits it but what is empty, and the process lives."""
    for value in ("x", {}, {"abc": 1}, [1], 1, None):
        try:
            assert not plainly_fits(plan, value) or value in ({}, [])
        except (TypeError, IndexError, SystemError):
            continue


_WRONG_ARGUMENTS: tuple[tuple[Any, ...], ...] = (
    (), (1,), (1, 2, 3), (b"",), (b"", [], frozenset(), b"", 1), (b"", [], frozenset(), b"", b""),
    (b"", ((b"a",),), frozenset(), b"", b"")
)  # fmt: skip


@pytest.mark.parametrize("arguments", _WRONG_ARGUMENTS)
def test_wrong_arguments_are_errors(arguments: tuple[Any, ...]) -> None:
    """Of the wrong number or kind: an error, not a crash."""
    for function in (plain_head, plain_reply, joined_answer, plainly_fits, same_values, value_in, passed_lines):
        with pytest.raises((TypeError, IndexError)):
            function(*arguments)
    for reply in (list, 1):
        with pytest.raises(TypeError):
            plain_reply(ANSWER, reply)  # type: ignore[arg-type]  # what is tried
        with pytest.raises(TypeError):
            plain_head(USUAL, PEER, reply, 9999, 99, 9999, 99, None)  # type: ignore[arg-type]  # what is tried
    for before in (1, (), (b"", {}), ("", {}, 1), (b"", [], 1), (b"", {}, "1")):
        with pytest.raises(TypeError):
            plain_head(USUAL, PEER, RequestHead, 9999, 99, 9999, 99, before)  # type: ignore[arg-type]  # what is tried


# Members that come twice, each way in which JSON can spell that, and what two parsers could read in two ways.
_TWICE = (
    (b'"S":', b'"S":"x","S":'),
    (b'"S":', b'"\\u0053":"x","S":'),
    (b'"TableName":', b'"TableName":"orders","TableName":'),
    (b"{", b'{"a":{"S":"b"},"a":{"S":"b"},'),
    (b"}", b',"a":1,"a":1}'),
    (b"}", b',"":{},"":{}}'),
)
_ODD = (
    (b'"', b'\\"'), (b":", b" : "), (b",", b"\n,\t"), (b"a", b"\\u0061"), (b"a", b"\\\\"), (b"d#", b'\\":\\"'),
    (b"d#", b":{}\\\\"), (b"1", b"1.0"),
    (b"1", b"9223372036854775808"), (b"1", b"-0"), (b"1", b"1e0"), (b"1", b"18446744073709551616"), (b"a", b"\\ud800"),
    (b"a", b"\\ud83d\\ude00"), (b"a", b"\xff"), (b"a", b"\x00"), (b"a", b"\\u0000"), (b"{", b"\xef\xbb\xbf{"), (b"}", b"}}"),
    (b"}", b"} "),
    (b"true", b"True"), (b"}", b",}"), (b"[", b"[" * 300), (b"]", b"]/**/"),
)  # fmt: skip


def read_as(is_compiled: bool, name: str, body: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is read, or why not, with members counted or kept apart."""
    monkeypatch.setattr("proxy.dynamodb.operation.IS_COMPILED", is_compiled)
    try:
        operation = read_operation(b"DynamoDB_20120810." + name.encode(), body)
    except Unreadable as refusal:
        return refusal.message
    facts = [getattr(touch.facts, "_given", None) for touch in operation.touches]
    return operation.body, operation.is_write, [touch[:4] for touch in operation.touches], facts


@pytest.mark.parametrize("name", ITEM_OPERATIONS)
def test_bodies_are_read_alike_where_members_are_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a member twice is refused as by the strict parser, with the same words; all else is read the same."""
    chance = random.Random(name)
    maker = RequestMaker(chance)
    served = refused = 0
    for _ in range(60):
        body = orjson.dumps(maker.body(name))
        bodies = [body, json.dumps(orjson.loads(body)).encode()]
        for old, new in (*_TWICE, *_ODD):
            for place in {chance.randrange(len(body)) for _ in range(2)}:
                at = body.find(old, place)
                if at >= 0:
                    bodies.append(body[:at] + new + body[at + len(old) :])
        for one in bodies:
            found = read_as(True, name, one, monkeypatch)
            assert found == read_as(False, name, one, monkeypatch), one
            served, refused = served + isinstance(found, tuple), refused + isinstance(found, str)
    assert served > 100
    assert refused > 100


@pytest.mark.parametrize(
    ("text", "is_once"),
    [
        (b'{"a":1}', True),
        (b'{"a":1,"a":1}', False),
        (b'{"a":1,"\\u0061":2}', False),
        (b'[{"a":[{"b":1,"b":2}]}]', False),
        (b'[{"a":[{"b":1,"c":{"b":2}}]},{"a":0}]', True),
        (b'{"a:":":","b":"\\":","c\\\\":":\\\\","d":"\\\\\\":\\\\"}', True),
        (b'{"a:":":","b":"\\":","b":":\\\\","d":"\\\\\\":\\\\"}', False),
        (b'{"x":{"a":":"},"x":{"b":1}}', False),
        (b" [ ] ", True),
        (b'":"', True),
        (b"[" * 65 + b"]" * 65, True),
        (b"[" * 66 + b"]" * 66, False),
        (b'{"a":' * 64 + b"0" + b"}" * 64, True),
        (b'{"a":' * 65 + b"0" + b"}" * 65, False),
    ],
)
def test_a_name_that_comes_twice_is_seen(text: bytes, is_once: bool) -> None:
    """By the colons outside of strings, whatever is inside of them; what is nested deep is left to Python."""
    assert each_once(text, jiter.from_json(text)) is is_once


@given(
    st.recursive(
        st.text('a:"\\\u00e9', max_size=5) | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a:"\\'), inner, max_size=3),
    )
)
def test_what_json_writes_has_each_name_once(value: Any) -> None:
    """And no more once a member is written twice."""
    text = json.dumps(value).encode()
    assert each_once(text, value)
    assert not each_once(b'{"a":%b,"a":%b}' % (text, text), {"a": value})


def test_a_wrong_call_for_names_is_an_error() -> None:
    """A text that is no JSON is never plain, and one that is no bytes is a mistake."""
    assert not each_once(b'"', "")
    with pytest.raises(TypeError):
        each_once("{}", {})  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError):
        each_once(b"{}")  # type: ignore[call-arg]  # wrong on purpose
