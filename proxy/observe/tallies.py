"""What requests add up to, in plain numbers, and how prometheus-client hears of it: its own counting costs ten times as much."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from proxy.observe.metric_table import Metric

BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class Times:
    """How long something took, tallied by bucket. One loop adds, under one lock somebody else settles what is new."""

    __slots__ = ("_child", "_told_counts", "_told_total", "counts", "total")

    def __init__(self, child: Any) -> None:
        self._child = child
        self.counts = [0] * (len(BUCKETS) + 1)  # the last is beyond all bounds
        self.total = 0.0
        self._told_counts = list(self.counts)
        self._told_total = 0.0

    def settle(self) -> None:
        """Tell prometheus-client what came since the last time."""
        counts, total = list(self.counts), self.total
        if counts != self._told_counts:
            self._child.add([now - told for now, told in zip(counts, self._told_counts, strict=True)], total - self._told_total)
            self._told_counts, self._told_total = counts, total


class Row:
    """What requests of one label set added: how many there were, how many of them first attempts."""

    __slots__ = ("_children", "_told", "calls", "dag", "gateway", "requests", "table", "upstream")

    def __init__(self, dag: str, table: str, children: tuple[Any, Any, Any], gateway: Times, upstream: Times) -> None:
        """`dag` and `table` are labels; `children` are those of requests, attempts and calls, or None."""
        self.dag = dag
        self.table = table
        self.requests = 0
        self.calls = 0
        self.gateway = gateway
        self.upstream = upstream
        self._children = children
        self._told = (0, 0)

    def settle(self) -> None:
        """Tell prometheus-client what came since the last time."""
        now = (self.requests, self.calls)
        if now != self._told:
            requests, calls = now[0] - self._told[0], now[1] - self._told[1]
            for child, count in zip(self._children, (requests, requests, calls), strict=True):
                if child is not None and count:
                    child.inc(count)
            self._told = now


def collector_of(metric: Metric, registry: Any) -> Any:
    """The collector of a row of the table, in a registry of prometheus-client's."""
    import prometheus_client as prometheus

    if metric.kind == "counter":
        return prometheus.Counter(metric.name, metric.meaning, metric.labels, registry=registry)
    if metric.kind == "histogram":
        return _tallied_histogram()(metric.name, metric.meaning, metric.labels, registry=registry, buckets=BUCKETS)
    mode: Any = metric.across
    return prometheus.Gauge(metric.name, metric.meaning, metric.labels, registry=registry, multiprocess_mode=mode)


@cache
def _tallied_histogram() -> Any:
    """prometheus-client's histogram, and a way to add many observations at once; made late, as that is imported late."""
    from prometheus_client import Histogram

    class TalliedHistogram(Histogram):
        def add(self, counts: list[int], total: float) -> None:
            """Add so many observations to each bucket (in the order of bounds, the last without one), `total` in sum."""
            for bucket, count in zip(self._buckets, counts, strict=True):
                if count:
                    bucket.inc(count)
            self._sum.inc(total)

    return TalliedHistogram
