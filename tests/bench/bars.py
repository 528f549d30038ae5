"""What was promised, as a table: each row is a figure of a run, the limit that it must keep, and the goal beyond.

A `Run` gathers figures by name; `judge` holds them against the rows. A figure that was not taken (a peer that is not there) is
left out and told, never passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Bar(NamedTuple):
    """`figure` must be at most `limit`; `stretch` is the goal beyond, None where there is none."""

    figure: str
    meaning: str
    unit: str
    limit: float
    stretch: float | None = None


class Verdict(NamedTuple):
    """A bar and the figure that was taken; `value` None where it was not."""

    bar: Bar
    value: float | None

    @property
    def word(self) -> str:
        """How it stands."""
        if self.value is None:
            return "not taken"
        if self.value > self.bar.limit:
            return "FAIL"
        return "stretch" if self.bar.stretch is not None and self.value <= self.bar.stretch else "pass"


BARS = (
    Bar("plain/envoy", "CPU a request, against Envoy with token cache and signing", "x", 0.70, 0.50),
    Bar("plain/envoy lua", "the same, with a body policy in Lua in Envoy", "x", 0.45, 0.30),
    Bar("plain/nginx", "against nginx that moves bytes", "x", 4.5, 3.0),
    Bar("plain/naive", "against FastAPI, httpx, PyJWT and botocore", "x", 1 / 50),
    Bar("tls/envoy", "TLS upstream, against Envoy with token cache and signing", "x", 0.75, 0.50),
    Bar("tls/naive", "TLS upstream, against FastAPI, httpx, PyJWT and botocore", "x", 1 / 35),
    Bar("plain/aws-sigv4-proxy tuned", "against aws-sigv4-proxy with a larger idle pool", "x", 1.0),
    Bar("tls/aws-sigv4-proxy tuned", "TLS upstream, against the same", "x", 0.9),
    Bar("tls/aws-sigv4-proxy as shipped", "TLS upstream, against aws-sigv4-proxy as shipped", "x", 0.2),
    Bar("batch/envoy", "batches of 100 KB, against Envoy with token cache and signing", "x", 1.0),
    Bar("rate/p50", "added latency at 300 a second, p50, against Envoy's", "x", 0.6),
    Bar("rate/p99", "added latency at 300 a second, p99, against Envoy's", "x", 0.6),
    Bar("workers/2", "CPU a request of 2 workers, against one", "x", 1.10),
    Bar("workers/4", "CPU a request of 4 workers, against one", "x", 1.10),
    Bar("dags/64", "CPU a request of 64 DAGs with own sessions, against one", "x", 1.10),
    Bar("dags/10000", "CPU a request under a policy of 10,000 DAGs, against 10", "x", 1.10),
    Bar("start/refusal", "from exec to the first correct refusal", "s", 0.6),
    Bar("start/signed", "from exec to the first signed request", "s", 1.5),
    Bar("memory/loaded", "resident memory after the load", "MiB", 120),
    Bar("stall/reload", "the loop held by a reload of 1,000 rules", "ms", 50),
    Bar("stall/body", "the loop held by the worst body that the gate admits", "ms", 50),
    Bar("cold/checks", "signature checks of a cold token that 1,000 requests bring at once", "", 1),
    Bar("check/seconds", "`check` of 1,000 rules in two environments", "s", 0.5),
    Bar("session/bearer", "CPU a request with a minted session and its signature, against a bearer token", "x", 1.4),
    Bar("judge/warm", "reading and deciding a GetItem under 10 rules, its expressions seen before", "us", 10),
    Bar("session/verify", "opening a known session and verifying its inbound signature", "us", 40, 25),
)


@dataclass(slots=True)
class Run:
    """The figures of a run by name, tables of what was measured, and what was left out."""

    figures: dict[str, float] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Everything, with the verdicts."""
        verdicts = [
            {"figure": bar.figure, "meaning": bar.meaning, "unit": bar.unit, "value": value, "limit": bar.limit,
             "stretch": bar.stretch, "verdict": Verdict(bar, value).word}
            for bar, value in judge(self.figures)
        ]  # fmt: skip
        return {"bars": verdicts, "figures": self.figures, "tables": self.tables, "left_out": self.left_out}


def judge(figures: Mapping[str, float]) -> Iterator[Verdict]:
    """Each bar with its figure."""
    for bar in BARS:
        yield Verdict(bar, figures.get(bar.figure))
