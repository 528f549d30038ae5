"""The gateway as its users start it: `python -m proxy serve --config FILE` in its own environment, ready when /readyz says so."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.stack.environments import python_of
from tests.stack.process import Program, answers, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway."""

    url: str
    admin_url: str
    audit: Path
    program: Program

    def records(self) -> list[dict[str, Any]]:
        """Its audit records so far."""
        return [json.loads(line) for line in self.audit.read_text().splitlines()] if self.audit.exists() else []

    def metrics(self) -> str:
        """The text of /metrics."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.admin_url}/metrics", timeout=10) as reply:
            return str(reply.read().decode())

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        return self.program.stop()


@contextlib.contextmanager
def gateway(
    settings: Mapping[str, Any],
    folder: Path,
    *,
    policies: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    environment: str = "server",
) -> Iterator[Gateway]:
    """Start it with `settings` and free loopback ports; `policies` (file name -> text) become its policy folder.

    The settings file is written as JSON, which is YAML.
    """
    folder.mkdir(parents=True)
    listen, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    audit = folder / "audit.jsonl"
    whole = {"listen": listen, "admin_listen": admin, "audit": {"path": str(audit)}, **settings}
    if policies is not None:
        whole["policies"] = str(folder / "policies")
        for name, text in policies.items():
            file = folder / "policies" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    config = folder / "proxy.yaml"
    config.write_text(json.dumps(whole, indent=1))
    command = [str(python_of(environment)), "-m", "proxy", "serve", "--config", str(config), *arguments]
    ready = f"http://{admin}/readyz"
    with running("gateway", command, folder, env=env, ready=lambda _: answers(ready, status=200)) as program:
        yield Gateway(f"http://{listen}", f"http://{admin}", audit, program)
