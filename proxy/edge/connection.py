"""The connections of the data plane: one strict gate, then the pipeline, one request at a time and in order.

What is refused at the gate ends its connection: the answer is flushed, nothing behind it is looked at. A request that was
handed on is never cancelled; when its caller leaves, `gone` says so and the answer is dropped. Deadlines are plain
numbers on the connection; one sweeper per process looks at them. The bytes behind a running request are the queue, bounded.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Any, cast

from proxy.defects import where
from proxy.edge.gate import NO_LINES, Admitted, Route, check_beginning, head_is_slow, read_head, read_plain_head
from proxy.edge.tls import TlsOrPlaintext
from proxy.model import Reply, RequestHead
from proxy.refusal import Abandoned, Malformed, Reason, Refusal, Throttled
from proxy.runs import Prompt, Run

if TYPE_CHECKING:
    from proxy.edge.gate import Lines
    from proxy.edge.shared import Edge, LoginService, Service
    from proxy.model import Known
    from proxy.native import Before

log = logging.getLogger("proxy.edge")

_READ_AHEAD = 64 * 1024  # bytes kept of what nobody asked for yet: bodies before their turn, pipelined requests
_TURNED_AWAY = 64  # connections over the limit that may still hear why
_END_OF_HEAD = b"\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_HEALTHY = Reply(200, ((b"content-type", b"application/json"), (b"x-ddb-proxy", b"ok")), b'{"status": "ok"}')  # `doctor` looks


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "the first byte of a request"
    HEAD = "the rest of a head"
    SERVING = "the pipeline"
    BODY = "the rest of a body that the pipeline asked for"
    WRITING = "the caller to read its answer"
    CLOSING = "the caller to leave"


# Named here, for looking up a member of an enum is slow (Python 3.11).
_IDLE, _HEAD, _SERVING, _BODY, _WRITING, _CLOSING = Phase
_DYNAMODB, _HEALTH = Route.DYNAMODB, Route.HEALTH
_WHOLE = Admitted(_DYNAMODB, RequestHead(b"POST", b"/", {}, ""), 0, False, False, NO_LINES)  # nothing of it is in the buffer


class Connection(asyncio.Protocol):
    """One connection, and the `Incoming` of the request that it serves.

    `deadline` is the loop's time at which `expire` is called; it belongs to the phase.
    """

    def __init__(self, edge: Edge) -> None:
        self.deadline = inf
        self.gone = False
        self.known: Known | None = None
        self._edge = edge
        self._phase = _IDLE
        self._transport: asyncio.Transport
        self._peer = ""
        self._buffer = bytearray()
        self._checked = 0  # bytes of an incomplete head that were looked at
        self._judged: Lines = {}  # the header lines of the last head that was not plain
        self._before: Before | None = None  # a plain head that came before
        self._admitted: Admitted
        self._has_turn = False  # the loop will come back to the buffer
        self._has_body = False  # the buffer begins with the body of the running request
        self._body: bytes | None = None  # its body, where it came whole with its head
        self._reserved = 0
        self._body_whole: Prompt[None] | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._unsent = 0  # bytes of an answer at the last look

    # ------------------------------------------------------------------------------- what asyncio tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the connection, or turn it away at once."""
        self._transport = transport = cast("asyncio.Transport", transport)
        self._peer = _address(transport.get_extra_info("peername"))
        self._enter(_IDLE, self._edge.limits.first_byte_seconds)
        self._edge.opened(self)
        tls = transport.get_extra_info("ssl_object")
        excess = len(self._edge.connections) - self._edge.limits.connections
        if excess > _TURNED_AWAY:
            transport.abort()
        elif excess > 0:
            self._refuse(Throttled(Reason.OVERLOADED, "the gateway has as many connections as it may; retry with back-off"))
        elif isinstance(tls, TlsOrPlaintext) and tls.is_plaintext:
            self._refuse(Malformed(Reason.PLAINTEXT_TO_TLS, "this port speaks TLS; write `https://` in endpoint_url"))

    def data_received(self, data: bytes) -> None:
        """Take bytes in; those behind the end of a conversation are not looked at."""
        if self._phase is _CLOSING:
            return
        if self._phase is _IDLE and not self._buffer and self._try_whole_request(data):
            return
        self._buffer += data
        if self._phase is _IDLE or self._phase is _HEAD:
            if not self._has_turn:
                self._advance()
        elif self._phase is _BODY and len(self._buffer) >= self._admitted.body_length:
            self._end_wait_for_body(None)
        if len(self._buffer) > _READ_AHEAD or self._reading_paused:
            self._pace_reading()

    def eof_received(self) -> bool:
        """The caller sends no more: it has left, or (seldom) closed its half only; a running request may still answer."""
        self.gone = True
        self._edge.outbox.flush()  # or what waits for the end of this turn would find the transport closed
        self._end_wait_for_body(Abandoned())
        return self._phase is _SERVING and self._transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is no more; its running request goes on and learns of it by `gone`."""
        self.gone = True
        self._end_wait_for_body(Abandoned())
        self._phase = _CLOSING
        self.deadline = inf
        self._edge.closed(self)

    def pause_writing(self) -> None:
        """The caller reads slower than we write."""
        self._writing_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        if self._phase is _IDLE:  # the answer had waited for the end of the turn
            self._enter(_WRITING, self._edge.limits.write_seconds)

    def resume_writing(self) -> None:
        """The caller caught up; look at its next request."""
        self._writing_paused = False
        if self._phase is _WRITING:
            self._enter(_IDLE, self._edge.limits.idle_seconds)
            self._advance()
            if self._edge.is_draining:
                self.close_if_idle()
        elif self._phase is _CLOSING:
            self._enter(_CLOSING, self._edge.limits.linger_seconds)

    # -------------------------------------------------------------------------------- what the edge tells us

    def expire(self) -> None:
        """The deadline of the phase has passed."""
        self.deadline = inf
        if self._phase is _HEAD:
            self._refuse(head_is_slow())
        elif self._phase is _BODY:
            self._end_wait_for_body(
                Malformed(Reason.TOO_SLOW, "the request's body did not arrive in time; look at the network, then retry")
            )
        elif self._writing_paused and self._is_read():
            self._enter(self._phase, self._edge.limits.write_seconds)
        elif self._phase is _WRITING or self._transport.is_closing():
            self._transport.abort()
        else:
            self._close()

    def close_if_idle(self) -> None:
        """Close unless a request has begun."""
        if self._phase is _IDLE and not self._buffer:
            self._close()

    # ------------------------------------------------------------------------------------- one request

    def _try_whole_request(self, data: bytes) -> bool:
        """Begin to serve a plain request that came alone and in one piece, as most do: nothing of it need wait in the buffer.

        False, and nothing is done, where `data` is anything else.
        """
        plain = read_plain_head(data, self._peer, self._edge.limits, self._before)
        if plain is None:
            return False
        head, end, length, self._before = plain
        if len(data) - end != length:
            return False
        self._body = data[end:]
        self._admitted = _WHOLE
        self._has_body = False
        self._serve(self._edge.service, head)
        return True

    def _advance(self) -> None:
        """Take the next request from the buffer, one a turn of the loop: thousands that wait for nothing fit in a buffer."""
        if self._buffer and (self._phase is _IDLE or self._phase is _HEAD) and (admitted := self._take_head()):
            if admitted.route is _HEALTH:
                self._answer(_HEALTHY, closes=admitted.closes or self._edge.is_draining)
                if self._buffer:
                    self._look_further()
            else:
                self._start(admitted)
        if self._reading_paused:
            self._pace_reading()

    def _look_further(self) -> None:
        """What is pipelined has a turn of its own, so that the others have theirs."""
        if not self._has_turn:
            self._has_turn = True
            self._edge.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._has_turn = False
        self._advance()

    def _take_head(self) -> Admitted | None:
        """The next request's head, past the gate; None while it is incomplete, or when it was refused."""
        buffer = self._buffer
        limits = self._edge.limits
        if not self._checked:  # not again for each piece of a head that comes slowly
            plain = read_plain_head(buffer, self._peer, limits, self._before)
            if plain is not None:
                head, end, length, self._before = plain
                del buffer[:end]
                return Admitted(_DYNAMODB, head, length, False, False, NO_LINES)
        try:
            end = buffer.find(_END_OF_HEAD, max(0, self._checked - 3), limits.head_bytes)
            if end < 0:
                check_beginning(buffer, self._checked, limits)
                self._checked = len(buffer)
                if self._phase is _IDLE:
                    self._enter(_HEAD, limits.head_seconds)
                return None
            admitted = read_head(bytes(buffer[: end + 4]), self._peer, limits, self._judged)
            self._judged = admitted.lines
        except Refusal as refusal:
            self._refuse(refusal)
            return None
        del buffer[: end + 4]
        self._checked = 0
        return admitted

    def _start(self, admitted: Admitted) -> None:
        """Begin to serve; a request that waits for nothing is answered when this returns."""
        self._admitted = admitted
        self._has_body = True
        self._serve(self._edge.service if admitted.route is _DYNAMODB else self._edge.logins, admitted.head)

    def _serve(self, service: Service | LoginService, head: RequestHead) -> None:
        self._phase, self.deadline = _SERVING, inf
        run = Run(service.serve(head, self), self._served)
        self._edge.requests.add(run)
        run.step()

    def _served(self, run: Run[Reply | None], result: Reply | BaseException | None) -> None:
        """The pipeline is done. It never raises; should it do so all the same, the connection ends rather than hangs."""
        edge = self._edge
        edge.requests.discard(run)
        if self._reserved:
            edge.body_bytes -= self._reserved
            self._reserved = 0
        self._body = None  # refused without looking at it
        if isinstance(result, BaseException):
            if not isinstance(result, asyncio.CancelledError):
                log.error("the pipeline let an error through: %s", where(result))
            result = None
        self._finish(result)
        if not edge.connections:
            edge.look_for_quiet()

    def at_hand(self) -> bytes | None:
        """The whole body, once, if it came with its head; None: `read` waits for it. Raises a `Refusal` (overloaded)."""
        body, self._body = self._body, None
        if body is not None:
            self._reserved = self._edge.reserve(len(body))
            return body
        if len(self._buffer) < self._admitted.body_length:
            return None
        self._reserve()
        return self._take_body()

    async def read(self) -> bytes:
        """The whole body, once. Raises a `Refusal` (too slow, overloaded) or `Abandoned`."""
        body = self.at_hand()
        if body is None:
            self._reserve()
            await self._wait_for_body()
            body = self._take_body()
        return body

    def _reserve(self) -> None:
        if not self._has_body:  # what stands in the buffer now is another request
            raise RuntimeError("the body was read before")
        self._reserved = self._edge.reserve(self._admitted.body_length)

    def _take_body(self) -> bytes:
        self._has_body = False
        buffer, length = self._buffer, self._admitted.body_length
        if len(buffer) == length:
            body = bytes(buffer)
            buffer.clear()
        else:
            body = bytes(memoryview(buffer)[:length])
            del buffer[:length]
        if self._reading_paused:  # it came while nobody asked for it yet
            self._pace_reading()
        return body

    async def _wait_for_body(self) -> None:
        if self.gone:
            raise Abandoned
        body_whole = self._body_whole = Prompt(loop=self._edge.loop)
        self._enter(_BODY, self._edge.limits.body_seconds)
        if self._admitted.awaits_continue and not self._buffer:
            self._edge.outbox.write(self._transport, _CONTINUE)
        self._pace_reading()
        await body_whole

    def _end_wait_for_body(self, error: Exception | None) -> None:
        if self._phase is not _BODY or self._body_whole is None:
            return
        self._enter(_SERVING, inf)
        if error is None:
            self._body_whole.settle(None)
        else:
            self._body_whole.fail(error)

    def _finish(self, reply: Reply | None) -> None:
        """Answer the running request, if there is still somebody to hear it."""
        if self._phase is _CLOSING or self._transport.is_closing():
            return
        if reply is None:
            self._close()
            return
        closes = self._admitted.closes or self._edge.is_draining or self.gone
        if self._has_body:  # refused without looking at it
            closes = closes or len(self._buffer) < self._admitted.body_length
            del self._buffer[: self._admitted.body_length]
        self._answer(reply, closes=closes)
        if self._buffer:
            self._look_further()

    # ------------------------------------------------------------------------------------ answers and ends

    def _refuse(self, refusal: Refusal) -> None:
        self._enter(_CLOSING, self._edge.limits.linger_seconds)
        self._answer(self._edge.service.turn_away(refusal, self._peer), closes=True)

    def _answer(self, reply: Reply, *, closes: bool) -> None:
        edge = self._edge
        edge.outbox.write(self._transport, edge.written(reply, closes=closes))
        if closes:
            self._linger()
        elif self._writing_paused:
            self._enter(_WRITING, edge.limits.write_seconds)
        else:
            self._enter(_IDLE, edge.limits.idle_seconds)
        if self._reading_paused:  # for a body that was dropped unread
            self._pace_reading()

    def _linger(self) -> None:
        """Say that nothing more comes and let the caller finish: closing on unread bytes would reset our answer away."""
        if self.gone:
            self._close()
            return
        self._edge.outbox.flush()
        self._buffer.clear()
        self._enter(_CLOSING, self._patience())
        if self._transport.can_write_eof():
            try:
                self._transport.write_eof()
            except OSError:  # it was reset while nothing was read of it
                self._transport.abort()

    def _close(self) -> None:
        """Close when all is flushed, and by force when that takes too long."""
        self._edge.outbox.flush()
        self._enter(_CLOSING, self._patience())
        self._transport.close()

    def _patience(self) -> float:
        """How long a conversation that ends may take; longer while its last answer is still on the way."""
        limits = self._edge.limits
        return limits.write_seconds if self._writing_paused else limits.linger_seconds

    def _is_read(self) -> bool:
        """Whether the caller took anything since the last look."""
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        return self._unsent < before

    def _enter(self, phase: Phase, seconds: float) -> None:
        self._phase = phase
        self.deadline = self._edge.loop.time() + seconds

    def _pace_reading(self) -> None:
        """Stop reading when more lies here than anybody asked for; go on when it was taken."""
        wanted = _READ_AHEAD + (self._admitted.body_length if self._phase is _BODY else 0)
        should_pause = len(self._buffer) > wanted
        if should_pause != self._reading_paused and not self._transport.is_closing():
            self._reading_paused = should_pause
            if should_pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()


def _address(peername: Any) -> str:
    """`192.0.2.1:1234` or `[2001:db8::1]:1234`; empty where the transport does not know."""
    if not isinstance(peername, tuple):
        return ""
    host, port = peername[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
