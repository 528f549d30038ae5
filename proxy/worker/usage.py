"""What this process asked of DynamoDB since its task began: calls, throttles, time in back-off, units, denials, tables.

Counted by events of botocore's clients; threads of a task count together. Standard library only.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.worker import denials

if TYPE_CHECKING:
    from collections.abc import Iterator

THROTTLES = frozenset(
    {"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "ReplicatedWriteConflictException"}
)
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
READS = frozenset({"GetItem", "Query", "Scan", "BatchGetItem", "TransactGetItems"})
_WAITING = "ddb_proxy_waiting_since"
_TABLES = "ddb_proxy_tables"


class Table(NamedTuple):
    """A table as the request names it, in the Region of its client."""

    region: str
    name: str


class Usage:
    """The counters of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Begin anew: a task starts, or a child process that inherited its parent's numbers."""
        self._lock = threading.Lock()
        self.calls = self.denied = 0
        self.backoff_seconds = self.read_units = self.write_units = 0.0
        self.throttled: Counter[str] = Counter()
        self.tables_read: set[Table] = set()
        self.tables_written: set[Table] = set()

    def add_call(self) -> None:
        """A call of the SDK, however often it is tried."""
        with self._lock:
            self.calls += 1

    def add_backoff(self, seconds: float) -> None:
        """The SDK waited between two attempts."""
        with self._lock:
            self.backoff_seconds += seconds

    def add_throttles(self, labels: list[str]) -> None:
        """An attempt was throttled, for these reasons."""
        with self._lock:
            self.throttled.update(labels)

    def add_denial(self) -> None:
        """The gateway refused a call."""
        with self._lock:
            self.denied += 1

    def add_success(self, operation: str, tables: tuple[set[Table], set[Table]], units: float) -> None:
        """A call was answered; `units` as DynamoDB told them."""
        with self._lock:
            self.tables_read |= tables[0]
            self.tables_written |= tables[1]
            if operation in WRITES:
                self.write_units += units
            else:
                self.read_units += units

    def line(self) -> str:
        """One line for the task's log, or "" where DynamoDB was not used."""
        if not self.calls and not self.denied:
            return ""
        throttles = ", ".join(label for label, _ in self.throttled.most_common(3))
        parts = (
            (self.calls, f"{self.calls:,} call{'s'[: self.calls != 1]}"),
            (self.throttled.total(), f"{self.throttled.total():,} throttled ({throttles})"),
            (round(self.backoff_seconds, 1), f"{self.backoff_seconds:,.{0 if self.backoff_seconds >= 10 else 1}f} s in back-off"),
            (self.read_units, f"{_short(self.read_units)} read units"),
            (self.write_units, f"{_short(self.write_units)} write units"),
            (self.denied, f"{self.denied:,} denied"),
        )
        return "gateway: " + ", ".join(text for number, text in parts if number)

    def summary(self) -> dict[str, Any]:
        """The same as plain values, for an XCom."""
        return {
            "calls": self.calls,
            "throttled": dict(self.throttled),
            "backoff_seconds": round(self.backoff_seconds, 3),
            "read_units": self.read_units,
            "write_units": self.write_units,
            "denied": self.denied,
            "tables_read": sorted({table.name for table in self.tables_read}),
            "tables_written": sorted({table.name for table in self.tables_written}),
        }


def _short(number: float) -> str:
    return f"{number:,.1f}".removesuffix(".0")


USAGE = Usage()
os.register_at_fork(after_in_child=USAGE.clear)


class Counting:
    """The handlers that count one client's calls."""

    def __init__(self, region: str, *, asks_units: bool) -> None:
        self._region, self._asks_units = region, asks_units

    def note_tables(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        """Which tables the call reads and writes; with `asks_units` its cost is asked for where the caller did not."""
        context[_TABLES] = tables_of(model.name, params, self._region)
        if self._asks_units and model.input_shape is not None and "ReturnConsumedCapacity" in model.input_shape.members:
            params.setdefault("ReturnConsumedCapacity", "TOTAL")

    def note_call(self, **_: Any) -> None:
        """A call begins."""
        USAGE.add_call()

    def note_attempt(self, request: Any, **_: Any) -> None:
        """Another attempt: the time since the last answer was back-off."""
        since = request.context.pop(_WAITING, None)
        if since is not None:
            USAGE.add_backoff(time.monotonic() - since)

    def note_answer(self, parsed_response: dict[str, Any] | None, context: dict[str, Any], **_: Any) -> None:
        """An attempt was answered or broke."""
        context[_WAITING] = time.monotonic()
        if parsed_response and parsed_response.get("Error", {}).get("Code") in THROTTLES:
            USAGE.add_throttles(throttles_of(parsed_response))

    def note_end(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        """The call ends, by what its last answer says; a final refusal ends the task."""
        error = parsed.get("Error")
        if not error:
            USAGE.add_success(model.name, context.get(_TABLES, (set(), set())), units_of(parsed))
            return
        code = str(error.get("Code", ""))
        if denials.is_final(code, denials.reason_of(parsed)):
            USAGE.add_denial()
            # the words of botocore's own exception, so that who searches the logs finds both
            denials.end_task(f"An error occurred ({code}) when calling the {model.name} operation: {error.get('Message', '')}")


def throttles_of(parsed: dict[str, Any]) -> list[str]:
    """`reason on table` for each distinct reason that DynamoDB gave, else the name of the error."""
    reasons = parsed.get("ThrottlingReasons") or parsed.get("throttlingReasons") or []
    said = {f"{reason['reason']} on {_place(reason.get('resource', ''))}" for reason in reasons if reason.get("reason")}
    return sorted(said)[:1] or [str(parsed["Error"]["Code"])]


def _place(arn: str) -> str:
    """`table` or `table/index` of an ARN."""
    parts = arn.rpartition(":")[2].split("/")
    return "/".join(part for place, part in enumerate(parts) if place % 2) or arn or "a table"


def units_of(parsed: dict[str, Any]) -> float:
    """Capacity units that the answer tells; none where nobody asked."""
    told = parsed.get("ConsumedCapacity") or []
    return sum(float(part.get("CapacityUnits", 0)) for part in ([told] if isinstance(told, dict) else told))


def tables_of(operation: str, params: dict[str, Any], region: str) -> tuple[set[Table], set[Table]]:
    """(Read, written) tables of a data operation, PartiQL aside."""
    read: set[Table] = set()
    written: set[Table] = set()
    for name, is_read in _named(operation, params):
        if isinstance(name, str) and name:
            (read if is_read else written).add(Table(region, name.rpartition("/")[2]))
    return read, written


def _named(operation: str, params: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
    if operation not in READS | WRITES:
        return
    yield params.get("TableName"), operation in READS
    items = params.get("RequestItems")
    for name in items if isinstance(items, dict) else ():
        yield name, operation in READS
    actions = params.get("TransactItems")
    for action in actions if isinstance(actions, list) else ():
        for kind, part in action.items() if isinstance(action, dict) else ():
            if isinstance(part, dict):
                yield part.get("TableName"), kind in ("Get", "ConditionCheck")
