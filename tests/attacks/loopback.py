"""Servers on loopback ports, all on one thread with its own loop: asyncio streams, no framework, every byte as it came."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any


class Received(NamedTuple):
    """One request as it came. Header names in lower case; of doubled ones the last counts, `head` has all."""

    head: bytes
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The request target."""
        return self.head.split(b" ", 2)[1].decode("latin-1")

    @property
    def raw(self) -> bytes:
        """Head and body."""
        return self.head + self.body


class Loopback:
    """The thread. `with Loopback() as loop: port = loop.listen(handler)`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="stubs", daemon=True)
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    def listen(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> int:
        """Listen on a free port; `serve` has each connection."""
        return int(self.run(self._listen(serve)))

    def answer(self, reply: Callable[[Received], bytes | Awaitable[bytes]]) -> int:
        """Listen on a free port; `reply` makes a whole HTTP answer for each request, connections are kept."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while (received := await read_request(reader)) is not None:
                answer = reply(received)
                writer.write(answer if isinstance(answer, bytes) else await answer)
                await writer.drain()

        return self.listen(serve)

    async def _listen(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> int:
        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._open.add(task)
            try:
                with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                    await serve(reader, writer)
            finally:
                self._open.discard(task)
                writer.close()

        server = await asyncio.start_server(guarded, "127.0.0.1", 0, limit=1 << 26)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> Received | None:
    """The next request of a connection; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head[:-4].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return Received(head, headers, await reader.readexactly(int(headers.get("content-length", 0))))
    except asyncio.IncompleteReadError:
        return None


def http_answer(status: str, body: bytes, **headers: str) -> bytes:
    """A whole HTTP/1.1 answer; underscores in header names stand for hyphens."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
