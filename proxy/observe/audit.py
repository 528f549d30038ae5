"""What happened, for those who must answer for it: two JSON lines a request, `decision` and `outcome`, joined by `id`.

The decision of an allowed write is in the sink (with the kernel: safe from SIGKILL, not from a power cut) before its first
byte goes upstream, or the write is refused. Other records
wait up to 100 ms or 64 records. While the sink fails they are kept and tried again, and writes are refused; with a full
backlog reads are refused too, so that nothing goes upstream unrecorded. `seq` counts per worker: a gap shows what is lost.
Only named fields come in: never a token, a credential, a key or an item value; what callers sent is capped and escaped.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
import time
from collections import Counter, deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from proxy.model import Ending
from proxy.refusal import Reason, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.model import Exchange, Operation, TableReference
    from proxy.observe.sink import LineSink

CAP: Final = 250  # characters of a string in a long record; Airflow's longest DAG, task and run ids
CAPS: Final = {
    "message": 1000,
    "rule": 1000,
    "details": 1000,
    "role_arn": 2048,
    "touches": 400,
    "throttles": 400,
    "unprocessed": 400,
}
_LONG: Final = 1200  # bytes of a record that is looked at string by string
_FLUSH_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 1.0
_FLUSH_RECORDS: Final = 64
_TOKEN: Final = re.compile(rb"eyJ[A-Za-z0-9_-]{12,}(?:\.[A-Za-z0-9_-]*)*")  # a JWT that strayed into a field

# named here, for looking up a member of an enum is slow (Python 3.11)
_ALLOWED: Final = Reason.ALLOWED
_BROKEN: Final = Ending.BROKEN
_SERVED: Final = Ending.SERVED


class AuditCounts(Protocol):
    """Where the log counts itself."""

    def audit_written(self, record: str, count: int, /) -> None:
        """Records of a kind that the sink took."""

    def audit_failed(self, count: int, /) -> None:
        """Records that one try did not bring into the sink."""

    def audit_lost(self, count: int, /) -> None:
        """Records given up, because the backlog is full."""


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
    ) -> None:
        """`worker` must be unique for ever, since `seq` starts anew with it; `backlog` is a number of records."""
        self.worker = worker or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._sink = sink
        self._counts = counts
        self._clock = clock
        self._backlog = backlog
        self._waiting: deque[tuple[str, bytes]] = deque()  # kind, line; in the order of `seq`
        self._seq = 0
        self._is_failing = False
        self._timer: asyncio.TimerHandle | None = None
        self._second = -1
        self._second_text = ""

    @property
    def is_failing(self) -> bool:
        """Whether the last try to write failed; writes are refused until one succeeds."""
        return self._is_failing

    def decision(self, exchange: Exchange) -> None:
        """Record the decision; return once it may be acted upon, with `exchange.decided` set.

        Raises Unavailable if the record of an allowed write is not in the sink, or an allowed read finds the backlog full.
        """
        operation = exchange.operation
        is_allowed = exchange.reason is _ALLOWED
        if is_allowed and operation is not None and operation.is_write:
            self._put("decision", self._decision_fields(exchange))
            if not self._flush():
                self._take_back_last()
                raise Unavailable(
                    Reason.AUDIT_UNAVAILABLE, "the audit log takes no records, so no write is sent: try again later"
                )
        else:
            if len(self._waiting) >= self._backlog:
                if is_allowed:
                    raise Unavailable(
                        Reason.AUDIT_UNAVAILABLE, "the audit log takes no records and its backlog is full: try again later"
                    )
                self._lose(1)
                return
            self._put("decision", self._decision_fields(exchange))
            self._flush_soon()
        exchange.decided = True

    def outcome(self, exchange: Exchange) -> None:
        """Record how a request ended, and its decision if it has none yet. Never raises; a second call does nothing."""
        if exchange.recorded:
            return
        exchange.recorded = True
        if not exchange.decided:
            if len(self._waiting) >= self._backlog:
                self._lose(2)
                return
            self._put("decision", self._decision_fields(exchange))
            exchange.decided = True
        # what was decided may always end in a record: the requests in flight bound it
        self._put("outcome", self._outcome_fields(exchange))
        self._flush_soon()

    def event(self, name: str, **details: str) -> None:
        """Record a change of the gateway itself: start, stop, policy loaded or refused, an issuer's keys changed."""
        if len(self._waiting) >= self._backlog:
            self._lose(1)
            return
        fields = {"record": "event", "time": self._time(), "seq": 0, "worker": self.worker, "event": name, "details": details}
        self._put("event", fields)
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

    # ---------------------------------------------------------------------------------------- into the sink

    def _put(self, kind: str, fields: dict[str, Any]) -> None:
        self._seq += 1
        fields["seq"] = self._seq
        self._waiting.append((kind, _line(fields)))

    def _take_back_last(self) -> None:
        """Drop the record of a write that was refused for want of a sink; the refusal is recorded in its place."""
        self._waiting.pop()
        self._seq -= 1

    def _lose(self, records: int) -> None:
        self._seq += records  # the gap that shows
        self._counts.audit_lost(records)

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
        """Write all that waits; whether nothing is left. Piecewise, for a long backlog must not be copied over and over."""
        waiting = self._waiting
        while waiting:
            batch = list(islice(waiting, _FLUSH_RECORDS))
            done = self._sink.append([line for _, line in batch])
            written = Counter(kind for kind, _ in batch[:done])
            for kind, count in written.items():
                self._counts.audit_written(kind, count)
            for _ in range(done):
                waiting.popleft()
            if done < len(batch):
                self._is_failing = True
                self._counts.audit_failed(len(batch) - done)
                return False
        if self._is_failing:
            self._is_failing = False
            self._stop_timer()  # it was set for a retry, which is later than an ordinary flush
        return True

    # ------------------------------------------------------------------------------------------- the records

    def _time(self) -> str:
        """UTC in ISO 8601 with milliseconds."""
        second, millisecond = divmod(int(self._clock() * 1000), 1000)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._second_text}{millisecond:03d}Z"

    def _decision_fields(self, exchange: Exchange) -> dict[str, Any]:
        operation = exchange.operation
        reason = exchange.reason
        return {
            "record": "decision",
            "time": self._time(),
            "seq": 0,
            "worker": self.worker,
            "id": exchange.id,
            "peer": exchange.peer,
            **_who(exchange),
            "operation": exchange.operation_name or (operation.name if operation else ""),
            "touches": _touches(operation) if operation else [],
            "decision": "none" if reason is None else "allow" if reason is _ALLOWED else "deny",
            "reason": reason,
            "rule": exchange.rule,
            "role_arn": exchange.role_arn,
            "policy_digest": exchange.policy_digest,
            "invocation_id": exchange.invocation_id,
            "attempt": exchange.attempt,
            "request_bytes": exchange.request_bytes,
            "message": exchange.message,
        }

    def _outcome_fields(self, exchange: Exchange) -> dict[str, Any]:
        ending = exchange.ending or _BROKEN
        summary = exchange.summary
        return {
            "record": "outcome",
            "time": self._time(),
            "seq": 0,
            "worker": self.worker,
            "id": exchange.id,
            "ending": ending,
            "status": exchange.status,
            "reason": exchange.reason,
            "sent": "no" if not exchange.sent else "yes" if ending is _SERVED else "unknown",
            "error": summary.error,
            "aws_request_id": exchange.aws_request_id,
            "throttles": [(throttle.reason, throttle.table) for throttle in summary.throttles],
            "unprocessed": summary.unprocessed,
            "gateway_ms": round(exchange.gateway_seconds * 1000, 3),
            "upstream_ms": round(exchange.upstream_seconds * 1000, 3),
            "reply_bytes": exchange.reply_bytes,
        }


def _who(exchange: Exchange) -> dict[str, str]:
    """Who asked, as far as it was proven; the same members in every record."""
    identity = exchange.identity
    subject = exchange.subject if identity is None else identity.subject
    if identity is not None and subject is not None:
        return {
            "issuer": subject.issuer,
            "subject": subject.subject,
            "token_id": subject.token_id,
            "dag": identity.dag_id,
            "evidence": identity.evidence,
            "source": identity.source,
            "workload": identity.workload,
            "task_id": identity.task_id,
            "run_id": identity.run_id,
            "try_number": identity.try_number,
            "map_index": identity.map_index,
        }
    nobody = dict.fromkeys(
        (
            "issuer",
            "subject",
            "token_id",
            "dag",
            "evidence",
            "source",
            "workload",
            "task_id",
            "run_id",
            "try_number",
            "map_index",
        ),
        "",
    )
    if subject is not None:
        nobody.update(issuer=subject.issuer, subject=subject.subject, token_id=subject.token_id)
    return nobody


def _line(fields: dict[str, Any]) -> bytes:
    """One record as JSON and a line feed. Lone surrogates are written out as text, a stray token as `(token)`.

    Strings are cut only in a line that is longer than any record of honest names: to look at each costs more than to write.
    """
    try:
        line = orjson.dumps(fields)
    except TypeError:
        line = b""
    if not line or len(line) > _LONG:
        tidy = {name: _tidy(value, CAPS.get(name, CAP)) for name, value in fields.items()}
        line = orjson.dumps(tidy)
    if b"J" in line and b"eyJ" in line:  # one letter is found five times faster
        line = _TOKEN.sub(b"(token)", line)
    return line + b"\n"  # a copy of the right size: to keep what `dumps` returns costs three times as much


def _tidy(value: Any, cap: int) -> Any:
    """The same value with strings cut, lone surrogates spelled out, and no integer that JSON readers would bend."""
    if isinstance(value, str):
        return str(value)[:cap].encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {name: _tidy(member, cap) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tidy(member, cap) for member in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "out of range"
    return value


def _touches(operation: Operation) -> list[tuple[str, str, str, int]]:
    """What an operation touches as (action, table, index, count), equal ones of a batch together."""
    touches = operation.touches
    if len(touches) == 1:
        action, table, index, _ = touches[0]
        return [(action, _table(table), index, 1)]
    counted = Counter((touch.action, touch.table, touch.index) for touch in touches)
    return [(action, _table(table), index, count) for (action, table, index), count in counted.items()]


def _table(table: TableReference) -> str:
    """The name of the caller's own table, the ARN of one that was named by ARN."""
    name, partition, region, account = table
    return f"arn:{partition}:dynamodb:{region}:{account}:table/{name}" if partition or region or account else name
