"""How late the event loop is: a timer that comes late was held up by work in between, or by a machine that is busy elsewhere.

One timer every 20 ms costs two thousandths of a core at rest. What holds the loop longer is seen, short by 20 ms at most.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

STEP: Final = 0.02  # seconds


class LoopLag:
    """Tells `tell` how many seconds late each of its timers came. Belongs to one event loop."""

    def __init__(self, tell: Callable[[float], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._clock = clock  # not the loop's own, which uvloop reads once a turn and in milliseconds
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        self._due = self._clock() + STEP
        self._timer = asyncio.get_running_loop().call_later(STEP, self._on_time)

    def stop(self) -> None:
        """Tell no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._tell(max(0.0, self._clock() - self._due))
        self.start()
