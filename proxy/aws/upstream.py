"""The keep-alive pool to one AWS endpoint: `send` a signed request once, and say honestly what became of it.

Before the first byte a failure is Unavailable (nothing was sent); after it, Broken (nobody can say whether it was done).
A write is never sent twice. A slot is the right to run one exchange; it comes back when the exchange ends, whoever still waits.
Proxy settings of the environment are never read, and TLS is never given up. Idle connections are taken last in, first out.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.aws.connection import Connection, Cut
from proxy.outbox import Outbox
from proxy.refusal import Broken, Reason, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.aws.sigv4 import Endpoint
    from proxy.aws.tls_sessions import ResumingContext
    from proxy.model import Reply

_PAUSES = (0.05, 0.2)  # seconds before the second and third try to connect
_TIMED_OUT = "timed out"
_ADVICE = "look at the endpoint, DNS and network policy of the gateway"
_TLS_ADVICE = "look at the endpoint's host name and at the CA bundle that the gateway trusts"


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Bounds of one pool; times in seconds. `wait` and `connect` count inside `total`."""

    connections: int = 256
    waiting: int = 1024  # callers in line for a slot
    wait: float = 5.0
    connect: float = 2.0  # all tries together, DNS and TLS included
    total: float = 30.0  # one `send`
    idle: float = 20.0
    lifetime: float = 300.0  # a connection older than this is not used again, so that changes of DNS are followed
    sweep: float = 0.25  # how often deadlines are looked at, hence their precision


class UpstreamPool:
    """Connections to one endpoint. `tls` is the trust for an https endpoint, made once by the caller."""

    def __init__(
        self,
        endpoint: Endpoint,
        tls: ResumingContext | None = None,
        limits: PoolLimits | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        if (endpoint.scheme == "https") != (tls is not None):
            raise ValueError("an https endpoint needs a TLS context, and an http one must have none")
        self.endpoint = endpoint
        self._host = endpoint.host.strip("[]")
        self._name = f"{endpoint.host}:{endpoint.port}"
        self._tls = tls
        self._limits = limits or PoolLimits()
        self._outbox = outbox or Outbox()
        self._slots = self._limits.connections
        self._idle: deque[Connection] = deque()  # the most recently used one is at the right
        self._connections: set[Connection] = set()
        self._ticketless: set[Connection] = set()  # TLS connections whose session is not kept yet
        self._line: deque[tuple[asyncio.Future[None], float]] = deque()  # (turn, deadline), first come first served
        self._loop: asyncio.AbstractEventLoop  # from the first `_wake` on
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._emptied = asyncio.Event()  # set when the last connection of a closed pool is gone

    @property
    def busy(self) -> int:
        """Exchanges that are running or connecting."""
        return self._limits.connections - self._slots

    @property
    def open(self) -> int:
        """Connections that stand, idle ones included."""
        return len(self._connections)

    async def send(self, request: bytes, *, is_write: bool, sent: Callable[[], None]) -> Reply:
        """One whole HTTP/1.1 request, one whole reply.

        `sent` is called once, immediately before the first byte is handed to the transport. Raises Unavailable if it was not
        called, Broken if it was. Only a read on a kept connection that died before any byte of an answer is sent once more.
        """
        if self._sweeper is None:  # at rest, or closed
            self._wake()
        deadline = self._loop.time() + self._limits.total
        if self._slots:
            self._slots -= 1
        else:
            await self._wait_for_slot()
        connection = self._take_idle(is_write=is_write)
        was_kept = connection is not None
        if connection is None:
            connection = await self._connect()
        try:
            sent()
        except BaseException:
            self.exchange_ended(connection, self._loop.time())
            raise
        try:
            answer = connection.start(request, deadline, is_write=is_write)
            if is_write:
                request = b""  # it is never sent again, and need not be kept until the answer is there
            return await answer
        except Cut as cut:
            if is_write or not was_kept or cut.answered or cut.cause == _TIMED_OUT:
                raise self._broken(cut.cause, is_write=is_write) from None
        return await self._send_again(request, deadline)

    async def warm(self, connections: int = 1) -> None:
        """Open some connections ahead of the first request. Raises Unavailable if the endpoint cannot be reached."""
        for _ in range(connections - len(self._idle)):
            await self._take_slot()
            self.exchange_ended(await self._connect(), asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Close everything and come back when the sockets are closed; running exchanges end as broken. Drain first."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._line:
            turn, _ = self._line.popleft()
            if not turn.done():
                turn.set_exception(_stopping())
        for connection in tuple(self._connections):
            connection.discard("closed by the gateway, which is stopping")
        if self._connections:
            await self._emptied.wait()

    # -------------------------------------------------------------------------------------- what connections report

    def exchange_ended(self, connection: Connection, now: float) -> None:
        """Keep the connection for the next exchange if it can have one, and pass the slot on."""
        if connection.usable and not self._is_closed and now - connection.opened < self._limits.lifetime:
            connection.idle_since = now
            self._idle.append(connection)
        elif connection.usable:
            connection.discard("")
        if self._line:
            self._give_slot()
        else:
            self._slots += 1

    def connection_ended(self, connection: Connection) -> None:
        """Forget it. While idle it is in both collections."""
        self._connections.discard(connection)
        self._ticketless.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._is_closed and not self._connections:
            self._emptied.set()

    # ----------------------------------------------------------------------------------------------------- slots

    def _wake(self) -> None:
        """See to it that deadlines are looked at. Raises Unavailable where the pool is closed."""
        if self._is_closed:
            raise _stopping()
        if self._sweeper is None:
            self._loop = asyncio.get_running_loop()
            self._sweeper = self._loop.call_later(self._limits.sweep, self._sweep)

    async def _take_slot(self) -> None:
        self._wake()
        if self._slots:
            self._slots -= 1
        else:
            await self._wait_for_slot()

    async def _wait_for_slot(self) -> None:
        if len(self._line) >= self._limits.waiting:
            raise self._no_slot()
        turn: asyncio.Future[None] = self._loop.create_future()
        self._line.append((turn, self._loop.time() + self._limits.wait))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_slot()  # the turn came in the moment in which the caller left
            raise

    def _give_slot(self) -> None:
        while self._line:
            turn, _ = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._slots += 1

    def _take_idle(self, *, is_write: bool) -> Connection | None:
        """The connection used last. Before a write its socket is asked whether it is stale; a read would be sent again."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and not (is_write and connection.has_something_to_read):
                return connection
            connection.discard("")
        return None

    # ------------------------------------------------------------------------------------------------ connecting

    async def _connect(self) -> Connection:
        """A new connection for the slot that the caller holds; the slot is given back if there is none.

        Made in a task of its own, as asyncio's timeouts need one.
        """
        loop = asyncio.get_running_loop()
        connecting = loop.create_task(self._connect_within(loop.time() + self._limits.connect))
        try:
            return await connecting
        except BaseException:
            if connecting.done():
                self._give_back(connecting)
            else:
                connecting.add_done_callback(self._give_back)
            raise

    def _give_back(self, connecting: asyncio.Task[Connection]) -> None:
        """Nobody waits for the connection any more: it may have been made all the same."""
        if connecting.cancelled() or connecting.exception() is not None:
            self._give_slot()
        else:
            self.exchange_ended(connecting.result(), asyncio.get_running_loop().time())

    async def _connect_within(self, deadline: float) -> Connection:
        cause, failure = _TIMED_OUT, None
        tries = len(_PAUSES) + 1
        for attempt in range(tries):
            try:
                async with asyncio.timeout_at(deadline):  # 8 us, on the way of a new connection only
                    if attempt:
                        await asyncio.sleep(_PAUSES[attempt - 1])
                    return await self._try_connect(attempt, deadline, tries - attempt)
            except OSError as error:  # TimeoutError, TLS and DNS errors are among them
                cause, failure = _connect_cause(error), error
                if self._tls is not None:
                    self._tls.forget_session(self._host)
                if self._is_closed or asyncio.get_running_loop().time() >= deadline:
                    break
        if self._is_closed:
            raise _stopping() from None
        advice = _TLS_ADVICE if isinstance(failure, ssl.SSLError) else _ADVICE
        message = f"cannot connect to {self._name}: {cause}; nothing was sent; {advice}"
        raise Unavailable(Reason.UPSTREAM_UNREACHABLE, message) from None

    async def _try_connect(self, attempt: int, deadline: float, tries_left: int) -> Connection:
        """One try at one address. Where there are several, a silent one may take only its share of the time."""
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(self._host, self.endpoint.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = addresses[attempt % len(addresses)]
        now = loop.time()
        share = (deadline - now) / (tries_left if len(addresses) > 1 else 1)
        async with asyncio.timeout_at(now + share):
            plain = await self._dial(family, kind, protocol, address)
            _, connection = await loop.create_connection(
                lambda: Connection(self, loop, self._outbox),
                sock=plain,  # owned and closed by the loop from here on
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
        if not connection.usable:
            raise ConnectionResetError
        return self._adopt(connection)

    async def _dial(self, family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
        plain = socket.socket(family, kind, protocol)
        try:
            plain.setblocking(False)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(plain, address)
        except BaseException:
            plain.close()
            raise
        return plain

    def _adopt(self, connection: Connection) -> Connection:
        if self._is_closed:
            connection.discard("")
            raise ConnectionAbortedError
        self._connections.add(connection)
        if self._tls is not None:
            self._ticketless.add(connection)
        if len(self._connections) > self._limits.connections and self._idle:
            self._idle.popleft().discard("")
        return connection

    async def _send_again(self, request: bytes, deadline: float) -> Reply:
        """A read once more, on a fresh connection. It has been sent before, so that every failure is Broken."""
        try:
            await self._take_slot()
            connection = await self._connect()
            return await connection.start(request, deadline, is_write=False)
        except Unavailable:
            raise self._broken("cut, and no connection for a second try", is_write=False) from None
        except Cut as cut:
            raise self._broken(cut.cause, is_write=False) from None

    # ------------------------------------------------------------------------------------------------- deadlines

    def _sweep(self) -> None:
        """Look at all deadlines at once; a timer for each request would cost more than the request."""
        self._sweeper = None
        now = self._loop.time()
        while self._line and (self._line[0][0].done() or self._line[0][1] <= now):
            turn, _ = self._line.popleft()
            if not turn.done():
                turn.set_exception(self._no_slot())
        for connection in tuple(self._connections):
            if connection.is_busy:
                if connection.deadline <= now:
                    connection.discard(_TIMED_OUT)
            elif connection.idle_since + self._limits.idle <= now:  # not busy is idle
                connection.discard("")
        if self._tls is not None:
            self._ticketless = {one for one in self._ticketless if not self._tls.keep_session(one.tls)}
        if self._connections or self._line or self.busy:
            self._sweeper = self._loop.call_later(self._limits.sweep, self._sweep)

    # --------------------------------------------------------------------------------------------------- refusals

    def _no_slot(self) -> Unavailable:
        return Unavailable(
            Reason.UPSTREAM_UNREACHABLE,
            f"all {self._limits.connections} connections to {self._name} are busy and the line is full or slow; "
            "nothing was sent; try again, and raise the limit of connections if it stays so",
        )

    def _broken(self, cause: str, *, is_write: bool) -> Broken:
        advice = "whether it was done is unknown; read the item before writing it again" if is_write else "try again"
        return Broken(Reason.UPSTREAM_BROKEN, f"the exchange with {self._name} broke: {cause}; {advice}")


def _stopping() -> Unavailable:
    return Unavailable(Reason.UPSTREAM_UNREACHABLE, "the gateway is stopping; nothing was sent; try again")


def _connect_cause(error: OSError) -> str:
    """Why a connection could not be made, in a few words that hold nothing of the error's own text but the TLS reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate refused ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    if isinstance(error, socket.gaierror):
        return "the name does not resolve"
    if isinstance(error, TimeoutError):
        return _TIMED_OUT
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionError):
        return "reset"
    return "no route"
