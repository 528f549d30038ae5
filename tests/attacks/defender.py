"""What is attacked: the gateway as its users start it, or what a test puts in its place."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tests.attacks.client import converse
from tests.stack.process import Program, answers, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.attacks.testbed import Surroundings


class Defender(Protocol):
    """What is attacked: the gateway, or what stands in for it."""

    host: str
    port: int

    def output(self) -> bytes:
        """Logs and audit so far."""

    def records(self) -> list[dict[str, Any]]:
        """Audit records so far."""

    def metrics(self) -> str:
        """The text of a scrape."""

    def memory(self, *, start: bool = False) -> float:
        """The most memory in MiB that it had since the last `start`."""

    def stop(self) -> int:
        """End it; its exit code."""


@dataclass
class GatewayProcess:
    """`python -m proxy serve`, in a process of its own."""

    port: int
    admin_port: int
    audit: Path
    program: Program
    host: str = "127.0.0.1"

    def output(self) -> bytes:
        """Logs and audit so far."""
        return self.program.log.read_bytes() + self.audit.read_bytes()

    def records(self) -> list[dict[str, Any]]:
        """Audit records so far; a line that is not JSON raises."""
        return [json.loads(line) for line in self.audit.read_bytes().split(b"\n")[:-1]]

    def metrics(self) -> str:
        """The text of a scrape."""
        conversation = asyncio.run(
            converse(self.host, self.admin_port, b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n", answers=1)
        )
        return conversation.responses[0].body.decode()

    def memory(self, *, start: bool = False) -> float:
        """Peak resident memory in MiB; `start` forgets the peak of before."""
        process = Path(f"/proc/{self.program.process.pid}")
        if start:
            (process / "clear_refs").write_text("5")
        peak = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        return self.program.stop()


@contextlib.contextmanager
def gateway(surroundings: Surroundings, folder: Path, policies: Path) -> Iterator[GatewayProcess]:
    """Start the gateway; ready when it serves and knows both issuers' keys."""
    folder.mkdir(parents=True)
    port, admin_port, audit = free_port(), free_port(), folder / "audit.jsonl"
    addresses = {"listen": f"127.0.0.1:{port}", "admin_listen": f"127.0.0.1:{admin_port}"}
    config = folder / "proxy.yaml"
    config.write_text(
        json.dumps({**surroundings.settings(), **addresses, "policies": str(policies), "audit": {"path": str(audit)}})
    )
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
    before = {name: server.fetches for name, server in surroundings.issuers.items()}

    def is_ready(_: Program) -> bool:
        has_keys = all(server.fetches > before[name] for name, server in surroundings.issuers.items())
        return has_keys and answers(f"http://127.0.0.1:{admin_port}/readyz", status=200)

    with running("gateway", command, folder, ready=is_ready, env=surroundings.environment()) as program:
        yield GatewayProcess(port, admin_port, audit, program)
