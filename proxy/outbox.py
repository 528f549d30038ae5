"""What leaves in one turn of the loop leaves together at its end, where it is much.

A turn of a busy loop has many events, and uvloop writes to a socket there and then. Each such write wakes who waits at the other
end and runs the kernel's code where the gateway's own was in the processor's caches; behind the last event, one write after the
other costs a quarter less of everything. Where little happens there is nothing to gain, and what waits would only be late: then
all goes at once, but for the record of how a request ended, without which one that is alone has its answer sooner.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from proxy.defects import where

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("proxy.outbox")

FEW = 3  # writes; a turn with fewer is not worth the wait
_QUIET_TURNS = 4  # one after the other, until writes go at once again
AT_ONCE = 64  # writes, before it is looked again how many a turn has

T = TypeVar("T")


class Outbox:
    """What waits for the end of the turn, in order. For one event loop.

    Writes to one transport stay in order as long as all of them come here; who closes a transport calls `flush` first.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once  # so many writes go at once, and what is to be done behind them too
        self._quiet = 0  # turns with few writes, one after the other
        self._writes: list[tuple[asyncio.WriteTransport, bytes]] = []
        self._jobs: list[tuple[Callable[[Sequence[Any]], None], list[Any]]] = []
        self._is_due = False

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write to a transport, by the end of this turn; nothing where it is closed by then."""
        if self._at_once:
            self._at_once -= 1
            transport.write(data)
            return
        self._writes.append((transport, data))
        if not self._is_due:
            self._come_back()

    def later(self, job: Callable[[Sequence[T]], None], *, always: bool = False) -> Callable[[T], None]:
        """What calls `job` behind this turn's writes, once, with all that it was called with itself: nobody waits for it.

        One job after the other, in the order in which they were made. Where writes go at once so does a job, unless `always`.
        """
        waiting: list[T] = []
        self._jobs.append((job, waiting))

        def do_later(about: T) -> None:
            if self._at_once and not always:
                job((about,))
                return
            waiting.append(about)
            if not self._is_due:
                self._come_back()

        return do_later

    def flush(self) -> None:
        """Write and do at once what waits."""
        writes, self._writes = self._writes, []
        for transport, data in writes:
            if not transport.is_closing():
                try:
                    transport.write(data)
                except Exception as defect:  # noqa: BLE001 - one that fails must not take the others' answers with it
                    log.error("a connection could not be written to: %s", where(defect))
        for job, waiting in self._jobs:
            if waiting:
                all_about = waiting.copy()
                waiting.clear()
                try:
                    job(all_about)
                except Exception as defect:  # noqa: BLE001 - nor what the other jobs do
                    log.error("what was left to the end of a turn could not be done: %s", where(defect))

    def _come_back(self) -> None:
        asyncio.get_running_loop().call_soon(self._end_turn)
        self._is_due = True

    def _end_turn(self) -> None:
        self._is_due = False
        if not self._at_once:
            self._quiet = 0 if len(self._writes) >= FEW else self._quiet + 1
            if self._quiet >= _QUIET_TURNS:
                self._quiet, self._at_once = 0, AT_ONCE
        self.flush()
