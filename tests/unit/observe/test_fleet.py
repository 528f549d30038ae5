"""The fleet is ready when all its workers are, and nothing that a file says can make it so otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.observe.fleet import WorkerStatus, fleet_status, worker_reports

ROOT = Path(__file__).parents[3]
OTHER = """
import sys
from pathlib import Path
from proxy.observe.fleet import WorkerStatus
WorkerStatus(Path(sys.argv[1]), 1.0).write([], "abcdef")
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path):
    """A second worker, ready, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    yield process
    process.communicate(timeout=30)


def test_all_workers_ready_is_ready(tmp_path: Path, other) -> None:
    """Two of two ready workers make a ready fleet, and their digests can be compared."""
    WorkerStatus(tmp_path, 2.0).write([], "abcdef")
    assert fleet_status(tmp_path, 2) == (True, [])
    assert {(report.pid, report.policy_digest) for report in worker_reports(tmp_path)} == {
        (os.getpid(), "abcdef"),
        (other.pid, "abcdef"),
    }


def test_what_a_worker_misses_is_told(tmp_path: Path, other) -> None:
    """One that waits for keys makes the fleet not ready, by name."""
    status = WorkerStatus(tmp_path, 2.0)
    status.write(["keys of issuer airflow"], "abcdef")
    assert fleet_status(tmp_path, 2) == (False, [f"worker {os.getpid()}: keys of issuer airflow"])
    status.write([], "abcdef")
    assert fleet_status(tmp_path, 2) == (True, [])
    status.remove()
    assert fleet_status(tmp_path, 2) == (False, ["workers: 1 of 2 run"])


def test_a_dead_worker_does_not_count_and_leaves_nothing(tmp_path: Path, other) -> None:
    """After SIGKILL the file of a worker is removed by the next look."""
    WorkerStatus(tmp_path, 2.0).write([], "abcdef")
    other.kill()
    other.wait()
    assert fleet_status(tmp_path, 2) == (False, ["workers: 1 of 2 run"])
    assert not (tmp_path / f"worker-{other.pid}.json").exists()


def test_a_worker_that_says_nothing_any_more_is_missing(tmp_path: Path) -> None:
    """A loop that hangs no longer writes, so the worker stops being ready."""
    WorkerStatus(tmp_path, 2.0).write([], "abcdef")
    ready, missing = fleet_status(tmp_path, 1, stale_after=-1.0)
    assert not ready
    assert "no sign of life" in missing[0]


BROKEN = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"ready": true}',
    b'{"ready": 1, "missing": [], "policy_digest": "", "started": 1, "written": 1}',
    b'{"ready": false, "missing": [], "policy_digest": "", "started": 1, "written": 1}',
    json.dumps({"ready": True, "missing": 5, "policy_digest": "", "started": 1, "written": 1}).encode(),
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_says_nothing_clear_is_not_ready(tmp_path: Path, text: bytes) -> None:
    """Whatever a status file holds, only a plain `true` is ready."""
    (tmp_path / f"worker-{os.getpid()}.json").write_bytes(text)
    ready, missing = fleet_status(tmp_path, 1)
    assert not ready
    assert missing[0].startswith(f"worker {os.getpid()}: ")


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    """Names that are no worker's, and pids that no system has."""
    (tmp_path / "worker-abc.json").write_text("{}")
    (tmp_path / f"worker-{10**30}.json").write_text("{}")
    (tmp_path / "other.json").write_text("{}")
    assert fleet_status(tmp_path, 0) == (True, [])
    assert (tmp_path / "worker-abc.json").exists()
    assert not (tmp_path / f"worker-{10**30}.json").exists()


def test_a_process_of_another_user_is_alive(tmp_path: Path) -> None:
    """Process 1 lives whether or not we may signal it."""
    (tmp_path / "worker-1.json").write_bytes(b"{}")
    assert [report.pid for report in worker_reports(tmp_path)] == [1]
