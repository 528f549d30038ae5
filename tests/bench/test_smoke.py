"""The pipeline's own cost, held against a committed baseline: a doubling is caught here, not in production.

CPU time in turns of a fixed loop, never wall time. Where the machine is so busy that a measurement fails, two more are taken:
a real slowdown fails them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench.smoke import TOO_MUCH, baseline, turns_of_a_request

if TYPE_CHECKING:
    from proxy.model import Reply, RequestHead

_TRIES = 3


class _Kept:
    """A body that may be read again."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.gone = False

    async def read(self) -> bytes:
        return self._body


class _Twice:
    """A pipeline that does everything twice: the slowdown that must be caught."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    async def serve(self, head: RequestHead, incoming: Any) -> Reply | None:
        body = _Kept(await incoming.read())
        await self._pipeline.serve(head, body)
        reply: Reply | None = await self._pipeline.serve(head, body)
        return reply


def _times_baseline(wrapped: Any = lambda pipeline: pipeline) -> list[float]:
    """Measured until one is good, at most three times."""
    taken: list[float] = []
    while len(taken) < _TRIES and not (taken and taken[-1] < TOO_MUCH):
        taken.append(turns_of_a_request(wrapped) / baseline())
    return taken


def test_a_request_costs_no_more_than_it_did() -> None:
    """Well over the committed baseline is too much; `python -m tests.bench.smoke --write` renews it."""
    taken = _times_baseline()
    assert min(taken) < TOO_MUCH, f"a request costs {min(taken):.2f} times its baseline: what was added to the pipeline?"


def test_the_baseline_is_of_this_pipeline() -> None:
    """A pipeline that became twice as fast has a new baseline, else the next doubling would pass."""
    ratio = turns_of_a_request() / baseline()
    assert ratio > 0.5, f"a request costs {ratio:.2f} times its baseline: run `python -m tests.bench.smoke --write`"


def test_a_doubling_is_caught() -> None:
    """A pipeline that serves each request twice fails each try."""
    taken = _times_baseline(_Twice)
    assert min(taken) >= TOO_MUCH
    assert len(taken) == _TRIES
