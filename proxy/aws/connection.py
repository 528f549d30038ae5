"""One HTTP/1.1 connection to AWS that carries one exchange at a time.

Each exchange has a parser of its own, or none where `whole_reply` reads the answer, so that nothing of one answer (trailers, half
a header) can reach the next one, which may be another DAG's. An answer is whole or it is an error: a cut one is never passed on.
When in doubt the connection is thrown away.
Source: RFC 9112 sections 6 (message body), 9.3 (persistence); RFC 9110 section 7.6.1 (hop-by-hop fields).
"""

from __future__ import annotations

import asyncio
import json
import select
import zlib
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from proxy.aws.whole_reply import whole_reply
from proxy.model import Reply
from proxy.runs import Prompt

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from proxy.aws.whole_reply import Lines
    from proxy.model import Headers
    from proxy.outbox import Outbox

# Bytes on the wire, chunk framing and trailers included in the body's.
HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 32 * 1024 * 1024

_HOP_BY_HOP = frozenset(b"connection keep-alive transfer-encoding content-length te trailer upgrade".split())


class Owner(Protocol):
    """Who is told how a connection fares: the pool."""

    def exchange_ended(self, connection: Connection, now: float) -> None:
        """The exchange is over, whole or not; `connection.usable` says whether there can be another. `now` is the loop's."""

    def connection_ended(self, connection: Connection) -> None:
        """The socket is closed."""


class Cut(Exception):
    """The exchange did not end with a whole answer. `cause` is a few words; `answered` says that some byte had arrived."""

    def __init__(self, cause: str, *, answered: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.answered = answered


class Connection(asyncio.Protocol):
    """The socket, the parser of the running exchange, and the prompt on which its caller waits.

    A caller that goes away cancels only its future: the exchange goes on to its end, and the connection stays in step.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_complete",
        "_fault",
        "_head_bytes",
        "_headers",
        "_in_body",
        "_is_last",
        "_judged",
        "_loop",
        "_outbox",
        "_owner",
        "_parser",
        "_poll",
        "_received",
        "_status",
        "_transport",
        "deadline",
        "idle_since",
        "opened",
        "usable",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self._owner = owner
        self._outbox = outbox
        self._loop = loop
        self._transport: asyncio.Transport  # from `connection_made` on, before which nobody has the connection
        self._answer: Prompt[Reply] | None = None
        self._judged: Lines = {}
        self._poll = select.poll()
        self._fault = ""
        self.usable = False
        self.deadline = 0.0  # of the running exchange, on the loop's clock
        self.opened = self.idle_since = loop.time()

    # ---------------------------------------------------------------------------------------- its owner's side

    @property
    def is_busy(self) -> bool:
        """An exchange is running."""
        return self._answer is not None

    @property
    def tls(self) -> ssl.SSLObject:
        """The TLS of a connection that has it."""
        return cast("ssl.SSLObject", self._transport.get_extra_info("ssl_object"))

    @property
    def has_something_to_read(self) -> bool:
        """While idle: the end of the stream, or bytes nobody asked for, of which the loop has not told yet. One system call."""
        return bool(self._poll.poll(0))

    def start(self, request: bytes, deadline: float, *, is_write: bool) -> Prompt[Reply]:
        """Write the request; the prompt holds the reply, or raises Cut.

        One that writes does not wait for the end of the turn, for until then the connection could go stale, or bytes that nobody
        asked for come and pass for the answer.
        """
        self._received = 0
        self.deadline = deadline
        answer: Prompt[Reply] = Prompt(loop=self._loop)
        self._answer = answer
        if is_write:
            self._transport.write(request)
        else:
            self._outbox.write(self._transport, request)
        return answer

    def _start_parser(self) -> None:
        """Get ready for an answer that comes in pieces, or is not the usual one."""
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._head_bytes = self._status = 0
        self._fault = ""
        self._in_body = self._complete = self._is_last = False

    def discard(self, cause: str) -> None:
        """Close at once, without ceremony; a running exchange ends with this cause."""
        self.usable = False
        self._transport.abort()
        if self._answer is not None:
            self._end(Cut(cause, answered=self._received > 0))

    # ------------------------------------------------------------------------------------------ the loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands, TLS included."""
        self._transport = cast("asyncio.Transport", transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; without an exchange there must be none."""
        if self._answer is None:
            self.discard("bytes that nobody asked for")
            return
        if not self._received:
            reply = whole_reply(data, self._judged)
            if reply is not None:
                self._end(reply)
                return
            self._start_parser()
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self._complete:  # what came after a whole answer is no HTTP; the answer itself is
                self._is_last = True
            else:
                self._fault = self._fault or "the answer is not HTTP/1.1"
        if self._received > (HEAD_LIMIT + BODY_LIMIT if self._in_body else HEAD_LIMIT):
            self._fault = self._fault or "the answer is too large"
        if self._fault:
            self.discard(self._fault)
        elif self._complete:
            self._finish()

    def eof_received(self) -> None:
        """The end of the stream also ends an answer that has no length, if it can be shown to be whole."""
        if self._answer is None or not self._received:
            return
        if self._in_body and not self._complete and not self._fault and self._is_close_delimited():
            body = b"".join(self._body)
            if _is_whole(self._headers, body):
                self.usable = False
                self._end(Reply(self._status, _end_to_end(self._headers), body))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by either side."""
        self.usable = False
        self._owner.connection_ended(self)
        if self._answer is not None:
            cause = "reset" if exc is not None else "closed" if not self._received else "closed in the middle of the answer"
            self._end(Cut(cause, answered=self._received > 0))

    # ---------------------------------------------------------------------------------------- the parser's side

    def on_message_begin(self) -> None:
        """A second message after a whole one was never asked for: the connection is out of step."""
        if self._complete:
            self._is_last = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; trailers are counted and dropped."""
        if self._complete:
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_LIMIT:
            self._fault = self._fault or "the answer's head is too large"
        elif not self._in_body:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """What follows is the body."""
        if self._complete:
            return
        self._in_body = True
        self._status = self._parser.get_status_code()  # kept: a second message would overwrite it

    def on_body(self, piece: bytes) -> None:
        """A piece of the body, untouched."""
        if not self._complete:
            self._body.append(piece)

    def on_message_complete(self) -> None:
        """An answer, or a provisional one (1xx), after which the real one follows."""
        if self._complete:
            return
        if 100 <= self._status < 200 and self._status != 101:
            self._headers, self._in_body = [], False
        elif 200 <= self._status < 600:
            self._complete = True
            self._is_last = not self._parser.should_keep_alive()
        else:
            self._fault = "the answer has no usable status"

    # ------------------------------------------------------------------------------------------------- endings

    def _finish(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        reply = Reply(self._status, _end_to_end(self._headers), body)
        if self._is_last:
            self.usable = False
            self._transport.abort()
        self._end(reply)

    def _end(self, outcome: Reply | Cut) -> None:
        """Free the connection first: going on with the caller may begin the next exchange on it."""
        answer, self._answer = self._answer, None
        if self._received:
            del self._parser, self._headers, self._body
            self._received = 0
        self._owner.exchange_ended(self, self._loop.time())
        if answer is None:
            return
        if isinstance(outcome, Reply):
            answer.settle(outcome)
        else:
            answer.fail(outcome)

    def _is_close_delimited(self) -> bool:
        return not any(
            name == b"content-length" or (name == b"transfer-encoding" and b"chunked" in value.lower())
            for name, value in self._headers
        )


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Without the fields that concern this connection only, nor those that `connection` names as such."""
    kept = []
    named: set[bytes] = set()
    for line in headers:
        name, value = line
        if name == b"connection":
            named.update(word.strip().lower() for word in value.split(b","))
        elif name not in _HOP_BY_HOP and not name.startswith(b"proxy-"):
            kept.append(line)
    return tuple([line for line in kept if line[0] not in named] if named else kept)


def _is_whole(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
    """Whether an answer that ends with its connection is all there: by its checksum, else by being a whole JSON object.

    The end of a stream looks the same whether the server was done or died; the proper start of an object is never an object.
    """
    for name, value in headers:
        if name == b"x-amz-crc32":
            return value.strip() == b"%d" % zlib.crc32(body)
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False
