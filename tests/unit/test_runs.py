"""Coroutines driven by hand: at once, in the same turn, with one end each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from proxy.runs import Prompt, Run, Turns

if TYPE_CHECKING:
    from collections.abc import Generator


class Ends:
    """What runs ended with."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    def __call__(self, run: Run[Any], result: Any) -> None:
        """One end."""
        assert isinstance(run, Run)
        self.results.append(result)


async def test_what_waits_for_nothing_ends_within_the_first_step() -> None:
    """No turn of the loop passes."""

    async def answer() -> str:
        return "whole"

    ends = Ends()
    Run(answer(), ends).step()
    assert ends.results == ["whole"]


async def test_a_settled_prompt_goes_on_at_once() -> None:
    """Whoever settles it has run the waiter's code when `settle` returns."""
    prompt: Prompt[int] = Prompt()

    async def wait() -> int:
        return await prompt + 1

    ends = Ends()
    Run(wait(), ends).step()
    assert ends.results == []
    prompt.settle(1)
    assert ends.results == [2]
    assert prompt.run is None  # no circle is left for the garbage collector


async def test_a_failed_prompt_raises_where_it_is_awaited() -> None:
    """And what the coroutine lets through is handed on as its end."""
    prompt: Prompt[int] = Prompt()

    async def wait() -> int:
        return await prompt

    ends = Ends()
    Run(wait(), ends).step()
    prompt.fail(ConnectionResetError("cut"))
    assert [str(end) for end in ends.results] == ["cut"]


async def test_other_futures_and_tasks_wake_a_run() -> None:
    """Tasks, shields and futures of asyncio, one after the other."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def one() -> int:
        await asyncio.sleep(0)
        return 1

    async def wait() -> int:
        return await future + await asyncio.create_task(one()) + await asyncio.shield(asyncio.create_task(one()))

    ends = Ends()
    Run(wait(), ends).step()
    future.set_result(5)
    async with asyncio.timeout(5):
        while not ends.results:  # noqa: ASYNC110 - a list, not an event
            await asyncio.sleep(0)
    assert ends.results == [7]


async def test_a_run_may_leave_a_turn_to_others() -> None:
    """`asyncio.sleep(0)` yields no future; a run that took it for one would never end, and a drain wait for it for ever."""

    async def wait() -> str:
        await asyncio.sleep(0)
        return "whole"

    ends = Ends()
    run = Run(wait(), ends)
    run.step()
    run.cancel()  # there is nothing that could be cancelled
    assert ends.results == []
    await asyncio.sleep(0)
    assert ends.results == ["whole"]


async def test_a_prompt_may_be_awaited_by_a_task() -> None:
    """It is a future like any other to those."""
    prompt: Prompt[int] = Prompt()
    task = asyncio.ensure_future(asyncio.wait_for(prompt, 5))
    await asyncio.sleep(0)
    prompt.settle(3)
    assert await task == 3


@pytest.mark.parametrize("kind", [Prompt, asyncio.Future])
async def test_a_cancelled_run_ends_cancelled_once(kind: type[asyncio.Future[int]]) -> None:
    """Its coroutine hears it where it waits; settling afterwards changes nothing."""
    waits_for = kind()
    heard = []

    async def wait() -> int:
        try:
            return await waits_for
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    ends = Ends()
    run = Run(wait(), ends)
    run.cancel()  # not yet begun: nothing to cancel
    run.step()
    run.cancel()
    run.cancel()
    await asyncio.sleep(0)
    if isinstance(waits_for, Prompt):
        waits_for.settle(1)
        waits_for.fail(ValueError())
    assert heard == ["cancelled"]
    assert [type(end) for end in ends.results] == [asyncio.CancelledError]


async def _all(ends: Ends, count: int) -> None:
    async with asyncio.timeout(5):
        while len(ends.results) < count:  # noqa: ASYNC110 - a list, not an event
            await asyncio.sleep(0)


async def test_long_work_has_one_step_a_turn_whoever_does_it() -> None:
    """Two who work at once take turns, and between two steps the loop goes round."""
    turns, ends, done = Turns(), Ends(), []
    loop = asyncio.get_running_loop()

    def steps(name: str) -> Generator[None, None, str]:
        for number in range(3):
            done.append(f"{name}{number}")
            yield
        return name

    def tick() -> None:
        done.append("|")
        if len(ends.results) < 2:
            loop.call_soon(tick)

    loop.call_soon(tick)
    Run(turns.take(steps("a")), ends).step()
    Run(turns.take(steps("b")), ends).step()
    await _all(ends, 2)
    assert ends.results == ["a", "b"]
    assert "".join(done).strip("|") == "a0b0|a1|b1|a2|b2"


async def test_what_a_step_raises_ends_the_work() -> None:
    """And the next in line has its turn."""
    turns, ends = Turns(), Ends()

    def failing() -> Generator[None, None, None]:
        yield
        raise ValueError("unfit")

    Run(turns.take(failing()), ends).step()
    Run(turns.next(), ends).step()
    await _all(ends, 2)
    assert [str(end) for end in ends.results] == ["unfit", "None"]


async def test_who_is_cancelled_in_line_holds_up_nobody() -> None:
    """Its turn passes; those behind come to theirs."""
    turns, ends = Turns(), Ends()
    first, second = Run(turns.next(), ends), Run(turns.next(), ends)
    first.step()
    second.step()
    first.cancel()
    assert [type(end) for end in ends.results] == [asyncio.CancelledError]
    await _all(ends, 2)
    assert ends.results[1] is None
