"""A guard against what would never end; it measures nothing."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 60


def _give_up(*_: object) -> None:
    raise TimeoutError(f"no end after {_SECONDS} s of CPU time")


@contextlib.contextmanager
def an_end() -> Iterator[None]:
    """Raise TimeoutError in what has taken a minute of CPU time: only for work that is done in no time or, broken, never."""
    before = signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
