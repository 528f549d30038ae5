"""What is read in one go is what a parser reads; all else is left to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.aws.whole_reply import read_by_line, whole_reply

if TYPE_CHECKING:
    from proxy.aws.whole_reply import Lines

HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: Server\r\nContent-Type: application/x-amz-json-1.0\r\n"
    b"Content-Length: 2\r\nx-amzn-RequestId: A1\r\n"
)
USUAL = HEAD + b"Connection: keep-alive\r\nx-amz-crc32: 2745614147\r\n\r\n{}"


class Parsed:
    """What httptools makes of the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.messages = 0
        self.keeps_alive = False
        self.parser = httptools.HttpResponseParser(self)
        self.parser.feed_data(data)
        self.status = self.parser.get_status_code()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field."""
        self.headers.append((name.lower(), value))

    def on_body(self, piece: bytes) -> None:
        """A piece."""
        self.body += piece

    def on_message_complete(self) -> None:
        """One message."""
        self.messages += 1
        self.keeps_alive = self.parser.should_keep_alive()


def test_the_usual_answer() -> None:
    """Status, body and the fields of AWS, without those of the connection."""
    reply = whole_reply(USUAL, {})
    assert reply is not None
    assert read_by_line(USUAL, {}) == reply
    assert (reply.status, reply.body) == (200, b"{}")
    assert reply.headers == (
        (b"server", b"Server"),
        (b"content-type", b"application/x-amz-json-1.0"),
        (b"x-amzn-requestid", b"A1"),
        (b"x-amz-crc32", b"2745614147"),
    )


OTHERS: dict[str, bytes] = {
    "half a head": USUAL[:60],
    "half a body": USUAL[:-1],
    "a byte too many": USUAL + b"H",
    "no length": USUAL.replace(b"Content-Length: 2\r\n", b""),
    "two lengths": USUAL.replace(b"Server: Server", b"content-length: 2"),
    "a signed length": USUAL.replace(b"Length: 2", b"Length: +2"),
    "a padded length": USUAL.replace(b"Length: 2", b"Length: 02"),
    "an empty length": USUAL.replace(b"Length: 2", b"Length:"),
    "an empty length before a length": USUAL.replace(b"Server: Server", b"content-length:"),
    "a coding": USUAL.replace(b"Server: Server", b"Transfer-Encoding: chunked"),
    "a closing connection": USUAL.replace(b"keep-alive", b"close"),
    "a connection that names fields": USUAL.replace(b"keep-alive", b"keep-alive, server"),
    "an upgrade": USUAL.replace(b"Server: Server", b"Upgrade: h2c"),
    "a proxy's field": USUAL.replace(b"Server: Server", b"Proxy-Status: x"),
    "a folded line": USUAL.replace(b"Server: Server", b"Server: Server\r\n more"),
    "a bare line feed": USUAL.replace(b"Server: Server", b"Server: Ser\nver"),
    "a tab": USUAL.replace(b"Server: Server", b"Server:\tServer"),
    "no colon": USUAL.replace(b"Server: Server", b"Server"),
    "no name": USUAL.replace(b"Server: Server", b": Server"),
    "a space before the colon": USUAL.replace(b"Server: Server", b"Server : Server"),
    "HTTP/1.0": USUAL.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a provisional answer": USUAL.replace(b"200 OK", b"100 Continue"),
    "an answer without body": USUAL.replace(b"200 OK", b"204 No Content"),
    "a redirect": USUAL.replace(b"200 OK", b"302 Found"),
    "no HTTP": b"SSH-2.0\r\n\r\n",
    "a long head": USUAL.replace(b"Server: Server", b"Server: " + b"s" * 20_000),
}


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else_is_left_to_the_parser(name: str) -> None:
    """Whatever could be read in two ways is not read here, after usual answers neither."""
    assert whole_reply(OTHERS[name], {}) is None
    judged: Lines = {}
    assert read_by_line(USUAL, judged) is not None
    assert read_by_line(OTHERS[name], judged) is None


def test_what_is_remembered_of_a_connection_is_bounded() -> None:
    """Lines that AWS repeats, and no more than some dozens, whatever it says."""
    judged: Lines = {}
    for number in range(1000):
        said = USUAL.replace(b"RequestId: A1", b"RequestId: %d" % number)
        assert read_by_line(said, judged) is not None
    assert set(judged) == {
        b"Server: Server", b"Content-Type: application/x-amz-json-1.0", b"Content-Length: 2", b"Connection: keep-alive"
    }  # fmt: skip
    for number in range(1000):
        assert read_by_line(USUAL.replace(b"Server: Server", b"Date: %d" % number), judged) is not None
    assert len(judged) <= 32


_LINE = st.sampled_from(
    [b"Server: x", b"Date: y", b"content-length: 2", b"Content-Length: 0", b"Content-Length : 2", b"content-length:",
     b"Connection: keep-alive",
     b"connection: close", b"transfer-encoding: chunked", b"x-a:  b  ", b"x-\xff: b", b"x_y: z", b" folded", b"", b"a:b:c",
     b"x-amz-crc32:1", b"x-amz-crc32: 12", b"x-amz-crc32: 1 ", b"x-amz-crc32: \xe4", b"x-amzn-RequestId: A\n",
     b"x-amzn-RequestId: A-", b"x: \x80\xff", b"x: \x00", b"te: x", b"Upgrade: y", b"x: a\rb", b"x: a\nb"]
)  # fmt: skip
_START = st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 99 x"])

REMEMBERED: Lines = {}


@given(_START, st.lists(_LINE, max_size=6), st.sampled_from([b"", b"{}", b"{}{", b"\r\n"]))
@example(b"HTTP/1.1 200 OK", [b"content-length: 2"], b"{}")
@settings(max_examples=2000)
def test_what_is_read_is_what_a_parser_reads(start: bytes, lines: list[bytes], body: bytes) -> None:
    """Status, fields and body are httptools' own, of one whole message on a connection that can be used again."""
    data = b"\r\n".join([start, *lines, b"", body])
    reply: Any = read_by_line(data, {})
    assert read_by_line(data, REMEMBERED) == reply  # what other answers said changes nothing
    assert whole_reply(data, {}) == reply  # nor does the compiled form, where there is one
    if reply is None:
        return
    parsed = Parsed(data)
    assert (parsed.messages, parsed.status, parsed.body, parsed.keeps_alive) == (1, reply.status, reply.body, True)
    # httptools leaves the white space behind a value, which is not part of it (RFC 9112, 5)
    kept = [(name, value.rstrip(b" ")) for name, value in parsed.headers if name not in (b"content-length", b"connection")]
    assert list(reply.headers) == kept
