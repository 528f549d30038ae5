"""Several processes on one socket: the parent starts them, restarts the dead, and passes a stop on to all.

Spawned, not forked, so that no lock, loop or random state is shared (decision 19). A worker whose parent is gone drains by
itself.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from uvicorn.config import STARTUP_FAILURE

from proxy.server import load_tls, run_server

if TYPE_CHECKING:
    import socket
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from proxy.server import DataPlane

log = logging.getLogger("proxy.server")

RESTART_SECONDS = 1.0  # a worker that dies faster is not restarted faster
_spawn = multiprocessing.get_context("spawn")


def serve_data_plane(plane: DataPlane, listener: socket.socket) -> int:
    """Serve until a signal; returns the exit status (0 after a drain, 3 when the app did not start). Raises `CannotServe`."""
    load_tls(plane)  # in a parent too: a bad certificate is told once and at once
    return supervise(plane, listener) if plane.workers > 1 else run_server(plane, listener)


def supervise(plane: DataPlane, listener: socket.socket) -> int:
    """Run `plane.workers` processes until a signal; returns 0 after a drain, 3 when a worker could not start its app."""
    workers = Workers(plane, listener)
    for number in (signal.SIGTERM, signal.SIGINT):  # for good: what comes while the process ends changes nothing
        signal.signal(number, workers.stop)
    signal.signal(signal.SIGHUP, workers.pass_on)
    return workers.run()


class Workers:
    """The worker processes, by the handle that tells of their end."""

    def __init__(self, plane: DataPlane, listener: socket.socket) -> None:
        self._plane = plane
        self._listener = listener
        self._running: dict[int, tuple[SpawnProcess, float]] = {}  # sentinel -> process, when it was started
        self._is_starting = False
        self._is_stopping = False
        self._has_replaced = False
        self._status = 0

    def run(self) -> int:
        """Start all, then wait for ends until the last."""
        for _ in range(self._plane.workers):
            if not self._is_stopping:
                self._start()
        while self._running:
            for sentinel in wait(list(self._running)):
                assert isinstance(sentinel, int)  # noqa: S101 - we gave it integers
                self._ended(*self._running.pop(sentinel))
        return self._status

    def stop(self, number: int | None = None, frame: FrameType | None = None) -> None:  # noqa: ARG002 - a signal handler
        """Have every worker drain; also the handler of SIGTERM and SIGINT."""
        self._is_stopping = True
        if not self._is_starting:
            self._stop_workers()

    def pass_on(self, number: int, frame: FrameType | None = None) -> None:  # noqa: ARG002 - a signal handler
        """Give a signal on to every worker: SIGHUP, after which each opens its audit file anew."""
        for process, _ in list(self._running.values()):
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)

    def _stop_workers(self) -> None:
        self._listener.close()  # else callers would wait in the queue of a port that nobody serves
        for process, _ in list(self._running.values()):
            process.terminate()

    def _start(self) -> None:
        self._is_starting = True  # a signal now must neither close what the worker inherits nor miss the worker
        process = _spawn.Process(target=_work, args=(self._plane, self._listener))
        process.start()
        self._running[process.sentinel] = (process, time.monotonic())
        self._is_starting = False
        if self._is_stopping:
            self._stop_workers()

    def _ended(self, process: SpawnProcess, started: float) -> None:
        process.join()
        if self._is_stopping:
            return
        if process.exitcode == STARTUP_FAILURE and not self._has_replaced:
            self._status = STARTUP_FAILURE
            self.stop()
            return
        log.error("worker %s ended with status %s and is replaced", process.pid, process.exitcode)
        time.sleep(max(0.0, RESTART_SECONDS - (time.monotonic() - started)))
        if not self._is_stopping:
            self._has_replaced = True  # from here on a worker that cannot start is no reason to stop those that serve
            self._start()


def _work(plane: DataPlane, listener: socket.socket) -> None:
    """The main function of a worker process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the app says what it means
    threading.Thread(target=_drain_without_parent, daemon=True).start()
    sys.exit(run_server(plane, listener))


def _drain_without_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
