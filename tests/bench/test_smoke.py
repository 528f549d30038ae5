"""The pipeline's own cost, held against a committed baseline: a doubling is caught here, not in production.

CPU time in turns of a fixed loop, never wall time. Where the machine is so busy that a measurement fails, two more are taken:
a real slowdown fails them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.smoke import STALE, TOO_MUCH, baseline, turns_of_a_request

if TYPE_CHECKING:
    from proxy.model import Reply, RequestHead

_TRIES = 3


class _Kept:
    """A body that may be read again."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.known: Any = None
        self.gone = False

    def at_hand(self) -> bytes | None:
        return self._body

    async def read(self) -> bytes:
        return self._body


class _Twice:
    """A pipeline that does everything twice: the slowdown that must be caught."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    async def serve(self, head: RequestHead, incoming: Any) -> Reply | None:
        body = _Kept(incoming.at_hand() or await incoming.read())
        await self._pipeline.serve(head, body)
        reply: Reply | None = await self._pipeline.serve(head, body)
        return reply


def _times_baseline() -> list[float]:
    """Measured until one is good, at most three times."""
    taken: list[float] = []
    while len(taken) < _TRIES and not (taken and STALE < taken[-1] < TOO_MUCH):
        taken.append(turns_of_a_request() / baseline())
    return taken


@pytest.mark.needs("compiled")
def test_a_request_costs_what_it_did() -> None:
    """Much over the committed baseline is a regression; far under it, a doubling would no longer be seen."""
    taken = _times_baseline()
    assert min(taken) < TOO_MUCH, f"a request costs {min(taken):.2f} times its baseline: what was added to the pipeline?"
    assert max(taken) > STALE, f"a request costs {max(taken):.2f} times its baseline: run `python -m tests.bench.smoke --write`"


def test_a_doubling_is_caught() -> None:
    """A pipeline that serves each request twice costs more than is let pass, by a baseline taken just before."""
    assert any(turns_of_a_request(_Twice) / turns_of_a_request() >= TOO_MUCH for _ in range(_TRIES))
