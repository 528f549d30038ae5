"""A client that sends exact bytes. It reads while it sends, for a refusal may come in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

_SECONDS = 20.0  # longer than any deadline of the gateway for a head


@dataclass(frozen=True)
class Response:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes = field(repr=False)


@dataclass(frozen=True)
class Conversation:
    """What one connection brought. `faults` are answers that are no HTTP."""

    sent: bytes
    responses: tuple[Response, ...]
    seconds: float  # to the last answer
    closed: bool  # the gateway closed first
    rest: bytes  # what came and is no answer


async def converse(host: str, port: int, data: bytes, *, answers: int | None, seconds: float = _SECONDS) -> Conversation:
    """Send `data`, then read `answers` answers, or with None until the gateway closes.

    After the last expected answer our side is closed, so that whatever else the gateway has to say is read to its end.
    """
    started = time.monotonic()
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 26)
    received = bytearray()
    sending = asyncio.ensure_future(_send(writer, data))
    last = 0.0
    closed = said_all = False
    try:
        async with asyncio.timeout(seconds):
            while chunk := await _read(reader):
                received += chunk
                last = time.monotonic() - started
                found, rest = _parsed(bytes(received))
                if not rest.startswith(b"HTTP/1.1 "[: len(rest)]):
                    break
                if answers is not None and not said_all and len(found) >= answers:
                    said_all = True
                    await asyncio.wait([sending], timeout=2)
                    with contextlib.suppress(OSError):
                        writer.write_eof()
            closed = not said_all
    except TimeoutError:
        pass
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    responses, rest = _parsed(bytes(received))
    return Conversation(data, tuple(responses), last, closed, rest)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(OSError):
        writer.write(data)
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1 << 16)
    except OSError:
        return b""  # a reset ends the conversation like an end of stream


def _parsed(data: bytes) -> tuple[list[Response], bytes]:
    """The whole answers at the start of `data`, provisional ones left out, and what follows them."""
    found: list[Response] = []
    while (end := data.find(b"\r\n\r\n")) >= 0:
        lines = data[:end].decode("latin-1").split("\r\n")
        words = lines[0].split(" ", 2)
        if len(words) < 2 or words[0] != "HTTP/1.1" or not words[1].isdigit():
            break
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = headers.get("content-length", "0")
        whole = end + 4 + (int(length) if length.isdigit() else 0)
        if len(data) < whole:
            break
        if not words[1].startswith("1"):
            found.append(Response(int(words[1]), headers, data[end + 4 : whole], data[:whole]))
        data = data[whole:]
    return found, data
