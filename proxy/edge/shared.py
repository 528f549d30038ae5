"""What the connections of one process share: pipeline, limits, bytes in memory, the sweeper of deadlines, the end.

Nothing here knows how a request is read; connections come and go by `opened` and `closed`.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from proxy.native import joined_answer
from proxy.outbox import Outbox
from proxy.refusal import Reason, Throttled

if TYPE_CHECKING:
    from proxy.edge.connection import Connection
    from proxy.edge.limits import EdgeLimits
    from proxy.model import Reply, RequestHead
    from proxy.refusal import Refusal
    from proxy.runs import Run

_SMALL_BODY = 64 * 1024  # such bodies are bounded by the number of connections, so large ones cannot crowd them out
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_OF_THE_EDGE = frozenset({b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"date"})


class Service(Protocol):
    """What stands behind the edge: the pipeline."""

    async def serve(self, head: RequestHead, incoming: Connection) -> Reply | None:
        """Answer one request; never raises. None: the caller left before anything was done."""

    def turn_away(self, refusal: Refusal, peer: str) -> Reply:
        """The answer to what the gate refused, recorded like any other."""


class LoginService(Protocol):
    """What stands behind the routes that give credentials."""

    async def serve(self, head: RequestHead, incoming: Connection) -> Reply | None:
        """Answer one login; never raises. None: the caller left."""


class Edge:
    """What the connections of one process share: the pipeline, the limits, the bytes in memory, the sweeper.

    `connections`, `requests` and `body_bytes` may be read at any time, for metrics.
    """

    def __init__(
        self,
        service: Service,
        limits: EdgeLimits,
        loop: asyncio.AbstractEventLoop,
        logins: LoginService | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self.service = service
        self.logins = logins or service
        self.outbox = outbox or Outbox()
        self.limits = limits
        self.loop = loop
        self.is_draining = False
        self.connections: set[Connection] = set()
        self.requests: set[Run[Reply | None]] = set()
        self.body_bytes = 0
        self._quiet = asyncio.Event()
        self._sweeper: asyncio.TimerHandle | None = None
        self._beginnings: dict[int, bytes] = {}  # of the answers of this second: status line and date

    def opened(self, connection: Connection) -> None:
        """Count a connection and have its deadlines swept."""
        self.connections.add(connection)
        if self._sweeper is None:
            self._beginnings.clear()
            self._sweeper = self.loop.call_later(self.limits.sweep_seconds, self._sweep)

    def closed(self, connection: Connection) -> None:
        """Forget a connection; its request, if it still runs, is counted apart."""
        self.connections.discard(connection)
        self.look_for_quiet()

    def look_for_quiet(self) -> None:
        """Wake whoever waits for the last connection and the last request to end."""
        if not self.connections and not self.requests:
            self._quiet.set()

    async def drain(self, seconds: float) -> bool:
        """Close what is idle, wait for the rest; False if something still runs after `seconds`."""
        for connection in list(self.connections):
            connection.close_if_idle()
        self._quiet.clear()
        self.look_for_quiet()
        try:
            await asyncio.wait_for(self._quiet.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def cancel_requests(self) -> None:
        """Cancel what still runs, and come back when each has had its last word (the record of its outcome)."""
        while self.requests:
            for run in list(self.requests):
                run.cancel()
            await asyncio.sleep(0)

    def reserve(self, size: int) -> int:
        """Reserve memory for a body of `size` bytes; returns what is to be released. Raises `Throttled`."""
        if size <= _SMALL_BODY:
            return 0
        if self.body_bytes + size > self.limits.bodies_in_memory:
            raise Throttled(Reason.OVERLOADED, "the gateway holds as many large requests as it may; retry with back-off")
        self.body_bytes += size
        return size

    def written(self, reply: Reply, *, closes: bool) -> bytes:
        """One HTTP/1.1 answer, ready for the socket. Framing and connection headers are ours alone."""
        beginning = self._beginnings.get(reply.status) or self._beginning(reply.status)
        end = b"connection: close\r\n\r\n" if closes else b"\r\n"
        return joined_answer(beginning, reply.headers, _OF_THE_EDGE, end, reply.body)

    def _beginning(self, status: int) -> bytes:
        line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        beginning = self._beginnings[status] = b"%bdate: %b\r\n" % (line, formatdate(time.time(), usegmt=True).encode())
        return beginning

    def _sweep(self) -> None:
        self._beginnings.clear()
        self._sweeper = self.loop.call_later(self.limits.sweep_seconds, self._sweep) if self.connections else None
        now = self.loop.time()
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            connection.expire()
