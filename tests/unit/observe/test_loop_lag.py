"""The loop's lateness: told at each step, zero at the least, and no more after the end."""

from __future__ import annotations

import asyncio
import time

from proxy.observe.loop_lag import STEP, LoopLag


async def test_a_loop_that_was_held_is_late() -> None:
    """Work that holds the loop for 80 ms makes the next timer late by most of that."""
    told: asyncio.Queue[float] = asyncio.Queue()
    lag = LoopLag(told.put_nowait)
    lag.start()
    await told.get()
    ends = time.monotonic() + 0.08
    while time.monotonic() < ends:
        pass
    assert await told.get() >= 0.05
    lag.stop()


async def test_a_timer_that_comes_early_is_not_late() -> None:
    """A loop that rounds its times down tells 0, never less."""
    told: asyncio.Queue[float] = asyncio.Queue()
    lag = LoopLag(told.put_nowait, clock=lambda: 5.0)
    lag.start()
    assert [await told.get(), await told.get()] == [0.0, 0.0]
    lag.stop()


async def test_it_tells_no_more_after_its_end() -> None:
    """Stopping twice, or what never started, is nothing."""
    told: list[float] = []
    lag = LoopLag(told.append)
    lag.stop()
    lag.start()
    lag.stop()
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(2 * STEP, later.set)  # one that was still set would have come before
    await later.wait()
    assert told == []
