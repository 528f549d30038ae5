"""Coroutines that go on in the very turn of the loop in which what they wait for is there, without a task.

asyncio's Task wakes its coroutine by the loop's queue, a turn later, and each request would take three such turns. A `Run` drives
its coroutine by hand: it begins at once, and whoever settles the `Prompt` that it waits for goes on with it, there and then. Any
other future wakes it as it wakes a task. Within a run `asyncio.current_task()` is None: what needs one (`asyncio.timeout`, most
client libraries) belongs into a task of its own, which the run awaits. Work that would hold the loop is cut into steps: `Turns`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")


class Prompt(asyncio.Future[T]):
    """A future of one waiter. Settling it may run that waiter's code: let it be the last that a callback does."""

    run: Run[Any] | None = None

    def settle(self, result: T) -> None:
        """Hand over the result, and go on with the run that waits for it; nothing happens where it was cancelled."""
        if not self.done():
            self.set_result(result)
            run, self.run = self.run, None  # a circle of the two would be left to the garbage collector
            if run is not None:
                run.step()

    def fail(self, error: BaseException) -> None:
        """As `settle`, with what the waiter is to raise."""
        if not self.done():
            self.set_exception(error)
            run, self.run = self.run, None
            if run is not None:
                run.step()


class Run(Generic[T]):
    """One coroutine on its way. `ended` is called once, with its result or with what it raised."""

    __slots__ = ("_coroutine", "_ended", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, T], ended: Callable[[Run[T], T | BaseException], None]) -> None:
        self._coroutine = coroutine
        self._ended = ended
        self._waits_for: asyncio.Future[Any] | None = None  # None too while it gives a turn to others

    def step(self, _: object = None) -> None:
        """Begin, or go on until the coroutine waits again or ends; the callback of what it waits for."""
        try:
            waits_for = self._waits_for = self._coroutine.send(None)
        except StopIteration as end:
            result = end.value
        except BaseException as error:  # noqa: BLE001 - it is the coroutine's end, and handed on as such
            result = error
        else:
            if type(waits_for) is Prompt:
                waits_for.run = self
            elif waits_for is None:  # `asyncio.sleep(0)`: a turn of the loop, and no more
                asyncio.get_running_loop().call_soon(self.step)
            else:
                waits_for.add_done_callback(self.step)
            return
        self._ended(self, result)

    def cancel(self) -> None:
        """Cancel what it waits for, as a task's `cancel` does."""
        waits_for = self._waits_for
        if waits_for is not None and waits_for.cancel() and type(waits_for) is Prompt:
            self.step()


class Turns:
    """A line for pieces of long work: one of them a turn of the loop, whoever's it is; in between all others are served."""

    def __init__(self) -> None:
        self._line: deque[Prompt[None]] = deque()

    async def next(self) -> None:
        """Come back in a turn of the loop in which nobody else who asked here works."""
        loop = asyncio.get_running_loop()
        turn: Prompt[None] = Prompt(loop=loop)
        self._line.append(turn)
        if len(self._line) == 1:
            loop.call_soon(self._give)
        await turn

    async def take(self, steps: Generator[None, None, T]) -> T:
        """What `steps` returns, each of its steps in a turn of its own; the first begins at once. Raises what they raise."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            await self.next()

    def _give(self) -> None:
        """The first in line stays there until its turn comes, so that whoever joins meanwhile knows of the call that is due."""
        turn = self._line.popleft()
        if self._line:
            asyncio.get_running_loop().call_soon(self._give)
        turn.settle(None)
