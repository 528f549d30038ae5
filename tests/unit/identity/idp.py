"""An issuer on loopback: real sockets, counted fetches, and every way to fail that a test asks for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Clock:
    """A clock that stands until it is told to move."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time at which it stands."""
        return self.now


class Idp:
    """Serves `/jwks` and `/.well-known/openid-configuration`. `raw` replaces an answer; `held` keeps answers back."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.discovery: dict[str, Any] = {}
        self.raw: bytes | None = None
        self.held = asyncio.Event()
        self.held.set()
        self.asked = asyncio.Event()
        self.fetches: Counter[str] = Counter()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.discovery = {"issuer": self.url, "jwks_uri": self.url + "/jwks"}
        return self

    async def __aexit__(self, *_: object) -> None:
        self.held.set()
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode()
            self.fetches[path] += 1
            self.asked.set()
            await self.held.wait()
            writer.write(self.raw if self.raw is not None else self._document(path))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gateway has had enough
        finally:
            writer.close()

    def _document(self, path: str) -> bytes:
        body = json.dumps({"keys": self.keys} if path == "/jwks" else self.discovery).encode()
        return answer(b"200 OK", body)


def answer(status: bytes, body: bytes, *headers: bytes) -> bytes:
    """A whole HTTP/1.1 answer."""
    head = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), b"connection: close", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def until(condition: Callable[[], object], step: Callable[[], Awaitable[object]] | None = None) -> None:
    """Let the loop run until `condition` holds; a test that never gets there fails after 5 s."""
    async with asyncio.timeout(5):
        while not condition():
            await (step() if step else asyncio.sleep(0.001))
