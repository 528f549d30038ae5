"""The gateway as its users start it: `python -m proxy serve --config FILE` in its own environment, ready when /readyz says so."""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.stack.environments import python_of
from tests.stack.process import Program, answers, free_port, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SCRAPE_AGE = 0.12  # seconds that a scrape can be old, and a little
_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway. While it writes, the last line of its audit may be half there: it is not counted."""

    url: str
    admin_url: str
    audit: Path
    program: Program

    def records(self) -> list[dict[str, Any]]:
        """Its audit records so far."""
        whole = self.audit.read_text().rpartition("\n")[0] if self.audit.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def settled(self, decision_id: str = "", requests: int = 1) -> list[dict[str, Any]]:
        """The decisions and outcomes, of one id or of all, once `requests` outcomes are written; a read's may come late."""

        def of_requests() -> list[dict[str, Any]]:
            return [record for record in self.records() if decision_id in ("", record.get("id")) and record["record"] != "event"]

        wait_until(
            lambda: sum(r["record"] == "outcome" for r in of_requests()) >= requests, 10, f"{requests} outcomes are audited"
        )
        return of_requests()

    def record(self, **fields: str) -> dict[str, Any]:
        """The last audit record with these members, once there is one."""

        def fitting() -> list[dict[str, Any]]:
            return [record for record in self.records() if fields.items() <= record.items()]

        wait_until(lambda: bool(fitting()), 10, f"a record with {fields} is audited")
        return fitting()[-1]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of one metric that have these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            found = _SAMPLE.fullmatch(line)
            if found and found[1] == f"dynamodb_proxy_{name}" and labels.items() <= dict(_LABEL.findall(found[2] or "")).items():
                total += float(found[3])
        return total

    def metrics(self) -> str:
        """The text of /metrics, as of now: the gateway makes it ten times a second at most."""
        time.sleep(_SCRAPE_AGE)
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
