"""How several workers are seen as one: readiness from one small file each, swapped whole, and metrics joined in a scrape.

The fleet is ready when every expected worker lives and says that it is ready. A file whose process is gone is removed;
one that cannot be read, or that was not written for `stale_after` seconds, means a worker that is not ready.
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jiter
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
METRICS_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client reads it when it is imported


class WorkerReport(NamedTuple):
    """What one worker last said of itself. `pid` is from the name of its file."""

    pid: int
    is_ready: bool
    missing: tuple[str, ...]
    policy_digest: str
    started: float
    written: float


class WorkerStatus:
    """The file in which this process says how it is: `<runtime_dir>/worker-<pid>.json`."""

    def __init__(self, runtime_dir: Path, started: float) -> None:
        self._file = runtime_dir / f"worker-{os.getpid()}.json"
        self._next = runtime_dir / f"worker-{os.getpid()}.next"
        self._started = started

    def write(self, missing: Sequence[str], policy_digest: str) -> None:
        """Say what is still missing (nothing: ready). Raises OSError. To be repeated every few seconds, as a sign of life."""
        report = {
            "ready": not missing,
            "missing": list(missing),
            "policy_digest": policy_digest,
            "started": self._started,
            "written": time.time(),
        }
        self._next.write_bytes(orjson.dumps(report))
        self._next.replace(self._file)

    def remove(self) -> None:
        """Take the file away at the end; without it the worker counts as not there."""
        self._file.unlink(missing_ok=True)


def worker_reports(runtime_dir: Path) -> list[WorkerReport]:
    """What every living worker last said, by pid. Files of dead ones are removed."""
    return sorted(_living_reports(runtime_dir))


def fleet_status(runtime_dir: Path, expected: int, stale_after: float = math.inf) -> tuple[bool, list[str]]:
    """Whether all `expected` workers are ready, and what is missing, one line each."""
    now = time.time()
    reports = worker_reports(runtime_dir)
    missing = []
    for report in reports:
        prefix = f"worker {report.pid}: "
        if now - report.written > stale_after:
            missing.append(prefix + f"no sign of life for {now - report.written:.0f} s")
        elif not report.is_ready:
            missing += [prefix + what for what in report.missing] or [prefix + "not ready"]
    if len(reports) < expected:
        missing.append(f"workers: {len(reports)} of {expected} run")
    return not missing, missing


def _living_reports(runtime_dir: Path) -> Iterable[WorkerReport]:
    for file in runtime_dir.glob("worker-*.json"):
        pid = file.stem.removeprefix("worker-")
        if not pid.isdecimal():
            continue
        if _is_alive(int(pid)):
            yield _read(file, int(pid))
        else:
            file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # another user's, but there
    return True


def _read(file: Path, pid: int) -> WorkerReport:
    """A report, or one that says that there is none to be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        said: Any = jiter.from_json(file.read_bytes())
        return WorkerReport(
            pid=pid,
            is_ready=said["ready"] is True,
            missing=tuple(str(what) for what in said["missing"]),
            policy_digest=str(said["policy_digest"]),
            started=float(said["started"]),
            written=float(said["written"]),
        )
    return WorkerReport(
        pid, is_ready=False, missing=("its status cannot be read",), policy_digest="", started=0.0, written=math.inf
    )


# ------------------------------------------------------------------------------------------- metrics, joined


def share_between_workers(directory: Path) -> None:
    """Let the workers of this process count in `directory`, emptied first. Before any `Metrics`, in the parent.

    Raises RuntimeError if prometheus-client was imported already: it has chosen by then.
    """
    if "prometheus_client" in sys.modules and os.environ.get(METRICS_DIRECTORY) != str(directory):
        raise RuntimeError("metrics cannot be shared any more: call `share_between_workers` before the first `Metrics`")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left_over in directory.glob("*.db"):
        left_over.unlink()
    os.environ[METRICS_DIRECTORY] = str(directory)


def render_shared(directory: Path) -> tuple[str, bytes]:
    """Content type and text of a scrape over all workers that count in `directory`. Gauges of dead workers are removed."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    _forget_dead_workers(directory)
    joined = MultiProcessCollector(None, str(directory))  # type: ignore[no-untyped-call]  # it has no types
    registry = CollectorRegistry()
    registry.register(_Joined(joined))
    return CONTENT_TYPE, generate_latest(registry)


class _Joined:
    """The collector over all workers, without policies that no worker holds any more."""

    def __init__(self, joined: Any) -> None:
        self._joined = joined

    def describe(self) -> list[Any]:
        """Nothing: names are known only when the files are read."""
        return []

    def collect(self) -> list[Any]:
        """Every family of every worker, joined."""
        families = list(self._joined.collect())
        for family in families:
            if family.name == "dynamodb_proxy_policy_info":
                family.samples = [sample for sample in family.samples if sample.value]
        return families


def _forget_dead_workers(directory: Path) -> None:
    """Remove live gauges of processes that are gone; their counters stay, for a counter never falls."""
    for file in directory.glob("gauge_live*.db"):
        pid = re.search(r"_(\d+)\.db$", file.name)
        if pid and not _is_alive(int(pid[1])):
            file.unlink(missing_ok=True)
