"""A Redis of its own on a free port of loopback, in memory only: Celery's broker."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from tests.stack.process import Program, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def redis(logs: Path) -> Iterator[str]:
    """Start it; yields its URL."""
    port = free_port()

    def is_up(_: Program) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            client.sendall(b"PING\r\n")
            return client.recv(7) == b"+PONG\r\n"
        return False

    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with running("redis", command, logs, ready=is_up, cwd=logs):
        yield f"redis://127.0.0.1:{port}"
