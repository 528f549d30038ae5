"""One child process: started in a group of its own, its output in a file, ready when it says so, gone when the block ends.

Waiting is for a condition, never for a time. A component that dies or does not become ready shows the end of its output.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
_POLL_SECONDS = 0.02
_SHOWN_LINES = 40
# What the machine says about AWS, Airflow and proxies must not reach a component under test.
_FOREIGN = ("AWS_", "AIRFLOW", "DDB_PROXY_", "BOTO", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "PYTHON")


class NotReady(RuntimeError):
    """A component did not start; the message carries the end of its output."""


@dataclass(slots=True)
class Program:
    """A running component."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    is_stopped: bool = False

    def output(self) -> str:
        """Everything that it has printed."""
        return self.log.read_text(errors="replace")

    def stop(self, seconds: float = 15) -> int:
        """Ask it to end (SIGTERM), wait, and return its exit code; after `seconds` the whole group is killed."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        if not self.is_stopped:  # once: later its number may be another's
            self.is_stopped = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # also what it left behind
        return self.process.wait()


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The machine's environment without what would steer AWS clients, Airflow or Python, and with `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    nothing = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**kept, **nothing, "PYTHONUNBUFFERED": "1", **(extra or {})}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now, for components that cannot say which one they took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once `condition()` holds; NotReady with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NotReady(f"{what}: not within {seconds:g} s")
        time.sleep(_POLL_SECONDS)


def answers(url: str, *, status: int | None = None) -> bool:
    """True if `url` answers HTTP: with `status`, or with any where none is named."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as reply:
            seen = reply.status
    except urllib.error.HTTPError as error:
        with error:
            seen = error.code
    except OSError:
        return False
    return status is None or seen == status


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    folder: Path,
    *,
    ready: Callable[[Program], bool],
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    seconds: float = 60,
) -> Iterator[Program]:
    """Start `command`, yield it once `ready(program)` holds, and end it and its children with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=clean_environment(env),
            cwd=cwd,
            start_new_session=True,
        )
    program = Program(name, process, log)
    try:
        wait_until(lambda: process.poll() is not None or ready(program), seconds, f"{name} becomes ready")
        if process.poll() is not None:
            raise NotReady(f"{name} ended at once with exit code {process.returncode}")
        yield program
    except BaseException as error:
        shown = program.output().splitlines()[-_SHOWN_LINES:]
        error.add_note(f"--- {name}, the end of its output ---\n" + "\n".join(shown))
        raise
    finally:
        program.stop()
