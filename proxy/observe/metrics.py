"""The object that counts what `metric_table` has.

Every label is bounded: DAGs and tables by the policy's names, operations, endings and reasons by closed lists, all else
by the settings. A request is tallied in plain numbers, looked up once; prometheus-client hears of them when somebody looks
(`settle`), for its own counting costs ten times as much. A budget keeps `/metrics` small.
Counters say what AWS said: throttles are DynamoDB's own, not ours. With several workers prometheus-client keeps its numbers
in files below `PROMETHEUS_MULTIPROC_DIR`, so it is imported late: call `fleet.share_between_workers` before the first `Metrics`.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from proxy.model import Ending
from proxy.observe.fleet import CONTENT_TYPE, METRICS_DIRECTORY, render_shared
from proxy.observe.metric_table import DENIAL_KINDS, METRICS, METRICS_BY_NAME, PREFIX, THROTTLE_REASONS
from proxy.observe.tallies import BUCKETS, Row, Times, collector_of
from proxy.refusal import ANSWERS, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.model import Exchange

NONE: Final = "none"  # label of what a request does not have: a DAG before its token is read, a table before its body is
OTHER: Final = "other"  # label of what the policy does not name

_SERIES_BYTES: Final = 700_000  # label series of one scrape; with histograms and headings `/metrics` stays below 1 MB
_OBSERVED: Final = Reason.OBSERVED
_ALLOWED: Final = Reason.ALLOWED  # here, for looking up a member of an enum is slow (Python 3.11)
UNKNOWN_OPERATION: Final = "unknown"  # as `operation_name` calls it
_EXPECTED_DAGS: Final = 200  # those beyond are shown from their first request on
_MOST_KNOWN: Final = 4096  # names as requests said them
_BROKEN: Final = Ending.BROKEN


class Labels(Protocol):
    """What bounds DAG and table labels: the policy, as it was when the request was judged."""

    def dag_label(self, dag_id: str, /) -> str:
        """The DAG id if the policy names it, else `other`."""

    def table_label(self, name: str, /) -> str:
        """The table's name if the policy names it, else `other`."""


class Denied(Protocol):
    """An entry of the deny list."""

    @property
    def kind(self) -> str:
        """What it stops: one of DENIAL_KINDS."""


class Metrics:
    """All metrics of one process. Not for threads: one event loop counts, any thread may `settle` and `render`."""

    def __init__(self, version: str, workers: int = 1) -> None:
        """Make every metric. `workers` is how many processes share the size budget of one scrape."""
        import prometheus_client as prometheus

        shared = os.environ.get(METRICS_DIRECTORY)
        self._directory = Path(shared) if shared else None
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the size and say little
        self._registry = prometheus.CollectorRegistry()
        self._metrics = {metric.name: collector_of(metric, self._registry) for metric in METRICS}
        self._children: dict[tuple[str, ...], Any] = {}
        self._rows: dict[tuple[str, str, str, str, int], Row] = {}
        self._known: dict[tuple[str | None, str | None, str, str, int], Row] = {}  # by names as they came, under `_labels`
        self._labels: Labels | None = None
        self._times: dict[str, tuple[Times, Times]] = {}  # operation -> gateway's, upstream's
        self._written: dict[str, int] = {}  # kind of record -> how many the audit's sink took, since the start
        self._told_written: dict[str, int] = {}
        self._settling = threading.Lock()
        self._room = _SERIES_BYTES // workers
        self._policy: tuple[str, str] | None = None
        self._child("build_info", version).set(1)
        self._sts_calls = {result: self._child("sts_calls_total", result) for result in ("ok", "refused", "unavailable")}

    def record(self, exchange: Exchange, labels: Labels | None) -> None:
        """Count one request at its end. `labels` is the policy that judged it; without one DAGs and tables are `other`."""
        if labels is not self._labels:
            self._labels, self._known = labels, {}
        operation, identity = exchange.operation, exchange.identity
        dag_id = None if identity is None else identity.dag_id
        table = None
        if operation is not None:
            touches = operation.touches
            table = touches[0].table.name if len(touches) == 1 else operation.table
        name = exchange.operation_name or (operation.name if operation else NONE)
        ending = (exchange.ending or _BROKEN)._value_  # its plain text: an enum's hash is slow
        key = (dag_id, table, name, ending, exchange.status)
        row = self._known.get(key) or self._row_of(*key)
        row.requests += 1
        if exchange.attempt <= 1:
            row.calls += 1
        seconds = exchange.gateway_seconds
        row.gateway.counts[bisect_left(BUCKETS, seconds)] += 1
        row.gateway.total += seconds
        if exchange.sent:
            seconds = exchange.upstream_seconds
            row.upstream.counts[bisect_left(BUCKETS, seconds)] += 1
            row.upstream.total += seconds
        if exchange.reason is not _ALLOWED:
            self._record_reason(exchange, row.dag)
        if exchange.summary.throttles or exchange.summary.unprocessed:
            self._record_pressure(exchange, labels, row.dag, row.table, name)

    def _row_of(self, dag_id: str | None, table: str | None, name: str, ending: str, status: int) -> Row:
        """The row of these names by the labels in force, kept by the names themselves: callers choose them, so only so many."""
        labels = self._labels
        dag = NONE if dag_id is None else labels.dag_label(dag_id) if labels else OTHER
        key = (dag, NONE if table is None else _table_label(labels, table), name, ending, status)
        row = self._rows.get(key) or self._open_row(*key)
        if len(self._known) >= _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[dag_id, table, name, ending, status] = row
        return row

    def _record_reason(self, exchange: Exchange, dag: str) -> None:
        """Count what the gateway refused, or would have."""
        reason = exchange.reason
        if reason is not None and reason is not _OBSERVED:
            self._bounded("refusals_total", dag, reason.value).inc()
        if exchange.would_deny is not None:
            self._bounded("observed_denials_total", dag, exchange.would_deny.value).inc()

    def _record_pressure(self, exchange: Exchange, labels: Labels | None, dag: str, table: str, name: str) -> None:
        """Count what DynamoDB held back, by the table that it named, else by the request's own."""
        for throttle in exchange.summary.throttles:
            where = _table_label(labels, throttle.table) if throttle.table else table
            reason = throttle.reason if throttle.reason in THROTTLE_REASONS else OTHER
            self._bounded("throttles_total", dag, where, name, reason).inc()
        for held_back, count in exchange.summary.unprocessed:
            self._bounded("unprocessed_items_total", dag, _table_label(labels, held_back), name).inc(count)

    def _open_row(self, dag: str, table: str, name: str, ending: str, status: int) -> Row:
        """Make the children of one label set. Bounded: policy names x operations x endings x statuses."""
        seen = name != NONE
        code = str(status) if 100 <= status <= 599 else NONE
        if name not in self._times:
            self._times[name] = (
                Times(self._child("gateway_seconds", name)),
                Times(self._child("upstream_seconds", name)),
            )
        children = (
            self._bounded("requests_total", dag, table, name, ending, code),
            self._bounded("sdk_attempts_total", dag, name) if seen else None,
            self._bounded("sdk_calls_total", dag, name) if seen else None,
        )
        row = Row(dag, table, children, *self._times[name])
        self._rows[dag, table, name, ending, status] = row
        return row

    def _bounded(self, name: str, *labels: str) -> Any:
        """The child of these labels, or that of DAG (and table) `other` once the size budget of a scrape is spent."""
        child = self._children.get((name, *labels))
        if child is not None:
            return child
        size = sum(len(label.encode(errors="replace")) for label in labels) + 10 * len(labels) + len(PREFIX + name) + 25
        if size <= self._room:
            self._room -= size
            return self._child(name, *labels)
        called = METRICS_BY_NAME[PREFIX + name].labels
        folded = [OTHER if label in ("dag", "table") else value for label, value in zip(called, labels, strict=True)]
        child = self._children[(name, *labels)] = self._child(name, *folded)
        return child

    def _child(self, name: str, *labels: str) -> Any:
        key = (name, *labels)
        child = self._children.get(key)
        if child is None:
            metric = self._metrics[PREFIX + name]
            # a lone surrogate would break every scrape that follows
            printable = [label.encode(errors="backslashreplace").decode() for label in labels]
            child = self._children[key] = metric.labels(*printable) if labels else metric
        return child

    # ------------------------------------------------------------------------ what happens beside requests

    def sts_called(self, result: Literal["ok", "refused", "unavailable"], at: float) -> None:
        """Count an AssumeRole call that ended at `at` (seconds since the epoch)."""
        self._sts_calls[result].inc()
        if result == "ok":
            self._child("credentials_last_refresh_timestamp_seconds").set(at)

    def keys_fetched(self, issuer: str, result: Literal["ok", "failed"], at: float) -> None:
        """Count a fetch of an issuer's keys that ended at `at` (seconds since the epoch). `issuer` is its settings' name."""
        self._child("jwks_fetches_total", issuer, result).inc()
        if result == "ok":
            self._child("jwks_last_fetch_timestamp_seconds", issuer).set(at)

    def keys_stale(self, issuer: str, stale: bool) -> None:
        """Say whether an issuer's keys are used past their refresh time."""
        self._child("jwks_stale", issuer).set(stale)

    def policy_loaded(self, digest: str, environment: str) -> None:
        """Name the policy in force, and clear `policy_reload_failed`."""
        if self._policy not in (None, (digest, environment)):
            self._forget_policy()
        self._policy = (digest, environment)
        self._child("policy_info", digest, environment).set(1)
        self.policy_reload_failed(False)

    def _forget_policy(self) -> None:
        """Take the former policy out. Files of several workers cannot forget: `render_shared` leaves zeros out."""
        former = self._policy or ("", "")
        self._children.pop(("policy_info", *former)).set(0)
        if self._directory is None:
            self._metrics[PREFIX + "policy_info"].remove(*former)

    def policy_reload_failed(self, failed: bool) -> None:
        """Say whether the files on disk could not be loaded, so that the last good policy holds."""
        self._child("policy_reload_failed").set(failed)

    def denials_loaded(self, denials: Iterable[Denied]) -> None:
        """Tell what the deny list in force stops, by kind."""
        kinds = [denial.kind for denial in denials]
        for kind in DENIAL_KINDS:
            self._child("denied_entries", kind).set(kinds.count(kind))

    def file_reload_failed(self, file: str, failed: bool) -> None:
        """Say whether a file that is followed could not be read, so that what was read last holds."""
        self._child("file_reload_failed", file).set(failed)

    def expect(self, dags: Iterable[str]) -> None:
        """Show from the start, at zero, what a caller could otherwise bring forth by asking for operations that nobody knows."""
        for dag in islice(dags, _EXPECTED_DAGS):
            self._open_row(dag, NONE, UNKNOWN_OPERATION, Ending.REFUSED.value, ANSWERS[Reason.UNKNOWN_OPERATION].status)
            self._bounded("refusals_total", dag, Reason.UNKNOWN_OPERATION.value)

    def set_ready(self, ready: bool) -> None:
        """Say whether this process can serve."""
        self._child("ready").set(ready)

    def set_inflight(self, requests: int) -> None:
        """Tell the number of requests being served; once a second is often enough."""
        self._child("inflight_requests").set(requests)

    def loop_late(self, seconds: float) -> None:
        """Tell how late a timer of the event loop came."""
        self._child("loop_lag_seconds").observe(seconds)

    def audit_written(self, record: str, count: int) -> None:
        """Count records that the audit sink took: with each write, so it is tallied as requests are."""
        self._written[record] = self._written.get(record, 0) + count

    def audit_failed(self, count: int) -> None:
        """Count records that the audit sink did not take; they are kept and tried again."""
        self._child("audit_failures_total").inc(count)

    def audit_lost(self, count: int) -> None:
        """Count records that were given up."""
        self._child("audit_lost_total").inc(count)

    # --------------------------------------------------------------------------------------------- a scrape

    def settle(self) -> None:
        """Bring the tallies into prometheus-client; with several workers to be called each second, for others look there."""
        with self._settling:
            for row in tuple(self._rows.values()):
                row.settle()
            for gateway, upstream in tuple(self._times.values()):
                gateway.settle()
                upstream.settle()
            for record, count in tuple(self._written.items()):
                self._child("audit_records_total", record).inc(count - self._told_written.get(record, 0))
                self._told_written[record] = count

    def render(self) -> tuple[str, bytes]:
        """Content type and text of a scrape: of this process, or of all workers where they share a directory."""
        self.settle()
        if self._directory is not None:
            return render_shared(self._directory)
        from prometheus_client import generate_latest

        return CONTENT_TYPE, generate_latest(self._registry)


def _table_label(labels: Labels | None, table: str) -> str:
    """The bounded label of a table that a request or DynamoDB named by name or ARN; `several` stays."""
    if table == "several":
        return table
    if table.startswith("arn:"):
        table = table.partition(":table/")[2].partition("/")[0]
    return labels.table_label(table) if labels else OTHER
