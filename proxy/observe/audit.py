"""What happened, for those who must answer for it: two JSON lines a request, `decision` and `outcome`, joined by `id`.

The decision of an allowed write is in the sink (with the kernel: safe from SIGKILL, not from a power cut) before its first
byte goes upstream, or the write is refused. Other records wait up to 100 ms or 64 records. While the sink fails they are kept
and tried again, and writes are refused; with a full backlog reads are refused too, so that nothing goes upstream unrecorded.
`seq` counts per worker: a gap shows what is lost, which is counted too (a refusal's with a full backlog, and what a defect of
ours keeps from being written).
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from typing import TYPE_CHECKING, Final, Protocol

from proxy.defects import where
from proxy.observe.records import KINDS, Records
from proxy.refusal import Reason, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.model import Exchange
    from proxy.observe.sink import LineSink

log = logging.getLogger("proxy.audit")

_FLUSH_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 1.0
_FLUSH_RECORDS: Final = 64
_OBSERVED: Final = Reason.OBSERVED
_ALLOWED: Final = Reason.ALLOWED  # named here, for looking up a member of an enum is slow (Python 3.11)


class AuditCounts(Protocol):
    """Where the log counts itself."""

    def audit_written(self, record: str, count: int, /) -> None:
        """Records of a kind that the sink took."""

    def audit_failed(self, count: int, /) -> None:
        """Records that one try did not bring into the sink."""

    def audit_lost(self, count: int, /) -> None:
        """Records given up, because the backlog is full."""


def _at_once(job: Callable[[Sequence[Exchange]], None]) -> Callable[[Exchange], None]:
    return lambda exchange: job((exchange,))


class AuditLog:
    """The audit log of one worker. For one event loop, or for none: then every record is written at once."""

    def __init__(
        self,
        sink: LineSink,
        counts: AuditCounts,
        worker: str = "",
        *,
        backlog: int = 10_000,
        clock: Callable[[], float] = time.time,
        later: Callable[[Callable[[Sequence[Exchange]], None]], Callable[[Exchange], None]] = _at_once,
    ) -> None:
        """`worker` must be unique for ever, since `seq` starts anew with it; `backlog` is a number of records.

        `later` puts off what nobody waits for, as decisions that no write waits for; until that is done, and before `outcome` is
        called, an exchange must not change what its decision is made of.
        """
        self.worker = worker or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._records = Records(self.worker)
        self._sink = sink
        self._counts = counts
        self._clock = clock
        self._decide_later = later(self._note_decisions)
        self._backlog = backlog
        self._waiting: list[bytes] = []  # lines in the order of `seq`
        self._kinds: list[str] = []  # the kind of each of these lines
        self._seq = 0
        self._is_failing = False
        self._timer: asyncio.TimerHandle | None = None
        self._moment = self._second = -1
        self._moment_text = self._second_text = ""

    @property
    def is_failing(self) -> bool:
        """Whether the last try to write failed; writes are refused until one succeeds."""
        return self._is_failing

    def decision(self, exchange: Exchange) -> None:
        """Record the decision; return once it may be acted upon, with `exchange.decided` set.

        Raises Unavailable if the record of an allowed write is not in the sink, or an allowed read finds the backlog full.
        """
        if exchange.decided:
            return
        operation = exchange.operation
        is_allowed = exchange.reason is _ALLOWED or exchange.reason is _OBSERVED
        if is_allowed and operation is not None and operation.is_write:
            self._note_decision(exchange, self._time())
            if not self._flush():
                self._take_back_last()
                raise Unavailable(
                    Reason.AUDIT_UNAVAILABLE, "the audit log takes no records, so no write is sent: try again later"
                )
            exchange.decided = True
            return
        if len(self._waiting) >= self._backlog:
            if is_allowed:
                raise Unavailable(
                    Reason.AUDIT_UNAVAILABLE, "the audit log takes no records and its backlog is full: try again later"
                )
            return  # its outcome takes both records, or tells that both are lost
        exchange.decided = True
        self._decide_later(exchange)
        if not exchange.decided and is_allowed:  # it was tried at once
            raise Unavailable(Reason.AUDIT_UNAVAILABLE, "the decision cannot be recorded; the gateway's log has the reason")

    def outcomes(self, exchanges: Sequence[Exchange]) -> None:
        """Record how requests ended, and the decisions of those that have none yet; a second call does nothing."""
        moment, waiting, outcome_of = self._time(), self._waiting, self._records.outcome
        for exchange in exchanges:
            if exchange.recorded:
                continue
            exchange.recorded = True
            try:
                if not exchange.decided:
                    if len(waiting) >= self._backlog:
                        self._lose(2)
                        continue
                    self._note_decision(exchange, moment)
                    exchange.decided = True
                # what was decided may always end in a record: the requests in flight bound it
                waiting.append(outcome_of(exchange, moment, self._seq + 1))
                self._kinds.append("outcome")
                self._seq += 1
            except Exception as defect:  # noqa: BLE001 - what cannot be told must stop neither an answer nor other records
                self._lose(1 if exchange.decided else 2)
                log.error("the outcome of decision %s is not in the audit: %s", exchange.id, where(defect))
        self._flush_soon()

    def event(self, name: str, **details: str) -> None:
        """Record a change of the gateway itself: start, stop, policy loaded or refused, an issuer's keys changed."""
        if len(self._waiting) >= self._backlog:
            self._lose(1)
            return
        self._seq += 1
        self._waiting.append(self._records.event(name, details, self._time(), self._seq))
        self._kinds.append("event")
        self._flush_soon()

    def reopen(self) -> None:
        """Open the sink anew, for SIGHUP."""
        self._flush()
        self._sink.reopen()

    def close(self) -> int:
        """Write what waits and close the sink. Returns how many records could not be written."""
        self._flush()
        self._stop_timer()
        self._sink.close()
        return len(self._waiting)

    # ------------------------------------------------------------------------------------------- the records

    def _note_decision(self, exchange: Exchange, moment: str) -> None:
        """Let its record wait in its place."""
        self._waiting.append(self._records.decision(exchange, moment, self._seq + 1))
        self._kinds.append("decision")
        self._seq += 1

    def _note_decisions(self, exchanges: Sequence[Exchange]) -> None:
        """The records of reads and refusals. Where one cannot be made, `decided` is taken back: its outcome tries again."""
        moment = self._time()
        for exchange in exchanges:
            try:
                self._note_decision(exchange, moment)
            except Exception as defect:  # noqa: BLE001 - what cannot be told of one must not cost the others their records
                exchange.decided = False
                log.error("the decision %s is not in the audit: %s", exchange.id, where(defect))
        self._flush_soon()

    def _time(self) -> str:
        """UTC in ISO 8601 with milliseconds."""
        moment = int(self._clock() * 1000)
        if moment != self._moment:  # busy, several records share one
            self._moment = moment
            second, millisecond = divmod(moment, 1000)
            if second != self._second:
                self._second = second
                self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._moment_text = f"{self._second_text}{millisecond:03d}Z"
        return self._moment_text

    def _take_back_last(self) -> None:
        """Drop the record of a write that was refused for want of a sink; the refusal is recorded in its place."""
        self._waiting.pop()
        self._kinds.pop()
        self._seq -= 1

    def _lose(self, records: int) -> None:
        self._seq += records  # the gap that shows
        self._counts.audit_lost(records)

    # ---------------------------------------------------------------------------------------- into the sink

    def _flush_soon(self) -> None:
        if len(self._waiting) >= _FLUSH_RECORDS and not self._is_failing:
            self._flush()
        elif self._timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self._flush()
            else:
                self._timer = loop.call_later(_RETRY_SECONDS if self._is_failing else _FLUSH_SECONDS, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if not self._flush():
            self._flush_soon()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> bool:
        """Write all that waits, piecewise, for the sink may still be full; whether nothing is left."""
        waiting, kinds = self._waiting, self._kinds
        while waiting:
            count = min(len(waiting), _FLUSH_RECORDS)
            done = self._sink.append(waiting[:count])
            taken = kinds[:done]
            del waiting[:done], kinds[:done]
            for kind in KINDS:
                if of_kind := taken.count(kind):
                    self._counts.audit_written(kind, of_kind)
            if done < count:
                self._is_failing = True
                self._counts.audit_failed(count - done)
                return False
        if self._is_failing:
            self._is_failing = False
            self._stop_timer()  # it was set for a retry, which is later than an ordinary flush
        return True
