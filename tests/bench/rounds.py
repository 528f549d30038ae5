"""Rounds of load in which the targets take turns, so that a busy machine troubles all alike: read ratios, not absolute times.

The figure is CPU time of the target's whole process tree for each request; rates and latencies of a closed loop are told, not
judged.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.processes import cpu_seconds, pinned
from tests.bench.world import BENCH, LOAD_CPU

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.bench.peers import Started


@dataclass(frozen=True, slots=True)
class Sample:
    """One target under load for a few seconds."""

    name: str
    cpu_us: float  # a request
    rate: float
    p50_ms: float
    p99_ms: float
    requests: int
    failed: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What the rounds say of one target: medians, and the least CPU time of any round."""

    name: str
    cpu_us: float
    least_cpu_us: float
    rate: float
    p50_ms: float
    p99_ms: float
    failed: int


def load(target: Started, requests: Path, seconds: int, connections: int = 16) -> Sample:
    """Send as fast as `connections` callers can, who each wait for their answer.

    Then the audit log is cut back, so that the next round writes into memory that the machine has used before: a virtual machine
    has each page from its host at first touch, for 8 us where this was measured, and a log that only grows touches one in each
    fourth request.
    """
    pid = target.program.process.pid
    before = cpu_seconds(pid)
    command = [*pinned(LOAD_CPU), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    done = subprocess.run(
        [*command, "-s", str(BENCH / "load.lua"), target.target.url],
        env={"REQUESTS": str(requests), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    used = cpu_seconds(pid) - before
    if target.target.audit is not None:
        os.truncate(target.target.audit, 0)
    lines = [line for line in done.stdout.splitlines() if line.startswith("JSON ")]
    if not lines:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    told = json.loads(lines[0][5:])
    count = max(1, told["requests"])
    rate = count / (told["us"] / 1e6)
    p50, p99 = told["p50_us"] / 1e3, told["p99_us"] / 1e3
    return Sample(target.target.name, used / count * 1e6, rate, p50, p99, count, told["failed"])


def interleave(targets: Sequence[Started], rounds: int, measure: Callable[[Started], Sample]) -> dict[str, Figures]:
    """Measure each target once a round, in turning order; a first round warms up and is not counted."""
    samples: dict[str, list[Sample]] = {target.target.name: [] for target in targets}
    for number in range(rounds + 1):
        for target in targets[:: -1 if number % 2 else 1]:
            sample = measure(target)
            if number:
                samples[sample.name].append(sample)
    return {name: _figures(name, taken) for name, taken in samples.items()}


def _figures(name: str, samples: list[Sample]) -> Figures:
    cpu = [sample.cpu_us for sample in samples]
    return Figures(
        name,
        statistics.median(cpu),
        min(cpu),
        statistics.median(sample.rate for sample in samples),
        statistics.median(sample.p50_ms for sample in samples),
        statistics.median(sample.p99_ms for sample in samples),
        sum(sample.failed for sample in samples),
    )
