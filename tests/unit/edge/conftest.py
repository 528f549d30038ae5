"""An edge on a free port with a small pipeline behind it, and a client that speaks bytes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import uvloop

from proxy.edge.connection import Connection
from proxy.edge.limits import EdgeLimits
from proxy.edge.shared import Edge
from proxy.model import Reply
from proxy.refusal import Abandoned, Refusal
from tests.outboxes import OUTBOXES

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine

    from proxy.model import RequestHead


class EchoPipeline:
    """Answers each body with itself; `x-do` steers: `refuse` (unread), `wait` (until `go`), `none`, `crash`, `large`.

    `late` and `refuse-late` look at the body, or do not, when `go` is there.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.heads: list[RequestHead] = []
        self.refusals: list[Refusal] = []
        self.endings: list[str] = []
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, head: RequestHead, incoming: Connection) -> Reply | None:
        """Do what `x-do` says."""
        self.heads.append(head)
        do = head.headers.get(b"x-do", b"")
        if do.endswith(b"late"):
            await self.go.wait()
        if do.startswith(b"refuse"):
            return Reply(400, (), b"refused unread")
        self.started.set()
        try:
            body = await incoming.read()
        except Refusal as refusal:
            self.refusals.append(refusal)
            return Reply(refusal.answer.status, (), refusal.reason.encode())
        except Abandoned:
            self.endings.append("abandoned")
            self.left.set()
            return None
        self.bodies.append(body)
        if do == b"wait":
            await self.go.wait()
            self.endings.append("gone" if incoming.gone else "there")
            self.left.set()
        if do == b"twice":
            await incoming.read()
        if do == b"crash":
            raise ZeroDivisionError
        if do == b"none":
            return None
        return Reply(200, ((b"x-order", b"%d" % len(self.bodies)),), b"x" * 8_000_000 if do == b"large" else body)

    def turn_away(self, refusal: Refusal, peer: str) -> Reply:
        """Write the refusal down and answer with its message."""
        self.refusals.append(refusal)
        return Reply(refusal.answer.status, ((b"x-peer", peer.encode()),), refusal.message.encode())


class Wire:
    """One client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)

    async def reply(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """The next answer: status, headers, body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        status, *lines = head[:-4].split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        body = await asyncio.wait_for(self.reader.readexactly(int(headers.get(b"content-length", b"0"))), 10)
        return int(status.split(b" ")[1]), headers, body

    async def rest(self) -> bytes:
        """All bytes until the other side closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), 10)
        except ConnectionResetError:
            return b""


class Bench:
    """A running edge, its pipeline, and connections to it."""

    def __init__(self, pipeline: EchoPipeline, edge: Edge, port: int, client_tls: ssl.SSLContext | None) -> None:
        self.pipeline = pipeline
        self.edge = edge
        self.port = port
        self._client_tls = client_tls
        self._wires: list[Wire] = []

    async def connect(self, *, plaintext: bool = False) -> Wire:
        """A new connection."""
        tls = None if plaintext else self._client_tls
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port, ssl=tls))
        self._wires.append(wire)
        return wire

    async def until(self, condition: Callable[[], bool]) -> None:
        """Yield to the loop until `condition` holds."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - any condition, not an event
                await asyncio.sleep(0.001)

    async def close(self) -> None:
        """Close all connections."""
        for wire in self._wires:
            wire.writer.close()


@asynccontextmanager
async def running_benches() -> AsyncIterator[Callable[..., object]]:
    """Gives what starts benches: `await start(head_seconds=0.1, tls=..., client_tls=...)`."""
    loop = asyncio.get_running_loop()
    opened: list[tuple[Bench, asyncio.Server]] = []

    async def start(*, tls: ssl.SSLContext | None = None, client_tls: ssl.SSLContext | None = None, **limits: float) -> Bench:
        pipeline = EchoPipeline()
        edge = Edge(pipeline, EdgeLimits(**limits), loop)  # type: ignore[arg-type]  # a stand-in
        server = await loop.create_server(partial(Connection, edge), "127.0.0.1", 0, ssl=tls)
        bench = Bench(pipeline, edge, server.sockets[0].getsockname()[1], client_tls)
        opened.append((bench, server))
        return bench

    yield start
    for bench, server in opened:
        bench.pipeline.go.set()
        server.close()
        await bench.close()
        assert await bench.edge.drain(10)


@pytest.fixture(params=OUTBOXES.values(), ids=OUTBOXES, autouse=True)
def outbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """When what is written leaves: the outbox that is made where, as here, none is given."""
    monkeypatch.setattr("proxy.edge.shared.Outbox", request.param)


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., object]]:
    """Starts benches on the test's loop."""
    async with running_benches() as start:
        yield start


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest) -> Callable[[Callable[..., Coroutine[None, None, None]]], None]:
    """Runs a scenario on each of the two loops, for what they do differently."""

    def run(scenario: Callable[..., Coroutine[None, None, None]]) -> None:
        async def play() -> None:
            async with running_benches() as start:
                await scenario(start)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(play())

    return run
