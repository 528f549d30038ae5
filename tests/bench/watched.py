"""The gateway with instruments: `python -m tests.bench.watched FILE serve --config ...` writes a JSON line a second into FILE.

    {"t", "rss_mib", "lag_ms", "held_ms", "gc": [collections by generation], "gc_ms"}

`lag_ms` is how late a timer came at most, `held_ms` the most CPU time that the loop's thread spent between two timers: work of
ours, whatever the neighbours do. `gc_ms` is the CPU time of the longest collection of garbage.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from proxy.__main__ import main
from proxy.observe.loop_lag import LoopLag

_STEP = 0.02  # of LoopLag


class Instruments:
    """What was seen since the last line; the loop's thread writes, another reads."""

    def __init__(self) -> None:
        self.lag = self.held = self.pause = 0.0
        self._collecting = 0.0
        self._wall = self._cpu = 0.0
        gc.callbacks.append(self.collects)

    def collects(self, phase: str, _: dict[str, int]) -> None:
        """Time a collection."""
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self.pause = max(self.pause, time.thread_time() - self._collecting)

    def ticks(self) -> None:
        """A timer of the loop has come."""
        wall, cpu = time.monotonic(), time.thread_time()
        if self._wall:
            self.lag = max(self.lag, wall - self._wall - _STEP)
            self.held = max(self.held, cpu - self._cpu)
        self._wall, self._cpu = wall, cpu

    def line(self) -> str:
        """What was seen, and begin anew."""
        lag, held, pause, self.lag, self.held, self.pause = self.lag, self.held, self.pause, 0.0, 0.0, 0.0
        collections = [generation["collections"] for generation in gc.get_stats()]
        told: dict[str, Any] = {"t": time.time(), "rss_mib": _resident_mib(), "lag_ms": lag * 1e3, "held_ms": held * 1e3}
        return json.dumps(told | {"gc": collections, "gc_ms": pause * 1e3})


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def _write(instruments: Instruments, file: Path) -> None:
    with file.open("w") as out:
        while True:
            time.sleep(1)
            print(instruments.line(), file=out, flush=True)


if __name__ == "__main__":
    watching = Instruments()
    on_time = LoopLag._on_time  # the product has no hook for this, and needs none

    def _watched(self: LoopLag) -> None:
        watching.ticks()
        on_time(self)

    LoopLag._on_time = _watched  # type: ignore[method-assign]  # to watch it
    threading.Thread(target=_write, args=(watching, Path(sys.argv[1])), daemon=True).start()
    sys.exit(main(sys.argv[2:]))
