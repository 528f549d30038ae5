"""The outbox: late only where much leaves in one turn, in order always, and nothing of it is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy.outbox import AT_ONCE, FEW, Outbox
from tests.outboxes import busy_outbox, one_turn

if TYPE_CHECKING:
    from collections.abc import Sequence


class Sink(asyncio.WriteTransport):
    """Where bytes go."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closing = False
        self.fails = False

    def write(self, data: bytes) -> None:  # type: ignore[override]  # bytes are all that comes
        """Take them."""
        if self.fails:
            raise RuntimeError("the handler is closed")
        self.written.append(data)

    def is_closing(self) -> bool:
        """Whether it takes none any more."""
        return self.closing


def fill(outbox: Outbox, sink: Sink, writes: int) -> None:
    """Some writes of one turn."""
    for number in range(writes):
        outbox.write(sink, b"%d" % number)


async def test_what_comes_seldom_goes_at_once() -> None:
    """At first, and again after some turns with few writes each; now and then one is looked at."""
    outbox, sink = Outbox(), Sink()
    late = 0
    for number in range(10 * AT_ONCE):
        outbox.write(sink, b"")
        late += len(sink.written) != number + 1
        await one_turn()
        assert len(sink.written) == number + 1
    assert 0 < late < 10 * AT_ONCE / 12


async def test_what_comes_often_leaves_together_at_the_end_of_the_turn() -> None:
    """As long as turns have several writes."""
    outbox, sink = Outbox(0), Sink()
    for _ in range(20):
        sink.written.clear()
        fill(outbox, sink, FEW)
        assert sink.written == []
        await one_turn()
        assert sink.written == [b"%d" % number for number in range(FEW)]


async def test_a_turn_with_few_writes_between_busy_ones_changes_nothing() -> None:
    """Only several quiet turns in a row do."""
    outbox, sink = Outbox(0), Sink()
    for turn in range(30):
        sink.written.clear()
        fill(outbox, sink, FEW if turn % 3 == 0 else 1)
        assert sink.written == []
        await one_turn()


async def test_jobs_come_behind_the_writes_of_their_turn() -> None:
    """One job after the other, as they were made, each for all at once and in order.

    There and then where writes go at once, unless they always wait.
    """
    outbox, sink = busy_outbox(), Sink()
    decide = outbox.later(lambda about: sink.written.append(b"decided " + b" ".join(about)))
    count = outbox.later(sink.written.extend)
    for about in (b"1", b"2"):
        count(about)
        decide(about)
    outbox.write(sink, b"answer")
    assert sink.written == []
    await one_turn()
    assert sink.written == [b"answer", b"decided 1 2", b"1", b"2"]
    quiet = Outbox()
    quiet.later(sink.written.extend, always=True)(b"told")
    quiet.later(sink.written.extend)(b"now")
    quiet.write(sink, b"another")
    assert sink.written[4:] == [b"now", b"another"]
    await one_turn()
    assert sink.written[4:] == [b"now", b"another", b"told"]


async def test_what_is_told_does_not_make_a_turn_busy() -> None:
    """Nor quiet: only turns in which writes wait are looked at."""
    outbox, sink = Outbox(), Sink()
    tell = outbox.later(sink.written.extend, always=True)
    for number in range(AT_ONCE - 1):
        tell(b"")
        outbox.write(sink, b"%d" % number)
        assert sink.written[-1] == b"%d" % number
        await one_turn()
    assert len(sink.written) == 2 * (AT_ONCE - 1)
    outbox.write(sink, b"the last at once")
    outbox.write(sink, b"late")
    assert sink.written[-1] == b"the last at once"


async def test_a_flush_leaves_nothing_to_the_end_of_the_turn() -> None:
    """Nothing is written or done twice."""
    outbox, sink = busy_outbox(), Sink()
    outbox.later(sink.written.extend)(b"told")
    outbox.write(sink, b"answer")
    outbox.flush()
    assert sink.written == [b"answer", b"told"]
    outbox.write(sink, b"more")
    await one_turn()
    await one_turn()
    assert sink.written == [b"answer", b"told", b"more"]


async def test_one_bad_connection_takes_nothing_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A closed one is passed over, one that fails is told of; whoever comes behind them is answered."""

    def bad(_: Sequence[bytes]) -> None:
        raise ZeroDivisionError

    outbox, closed, failing, good = busy_outbox(), Sink(), Sink(), Sink()
    for sink in (closed, failing, good):
        outbox.write(sink, b"answer")
    outbox.later(bad)(b"")
    outbox.later(good.written.extend)(b"told")
    closed.closing = failing.fails = True
    await one_turn()
    assert (closed.written, good.written) == ([], [b"answer", b"told"])
    assert "could not be written to" in caplog.text
    assert "could not be done" in caplog.text


async def test_what_a_job_brings_leaves_with_the_next_turn() -> None:
    """A job may write, and have more done."""
    outbox, sink = busy_outbox(), Sink()
    outbox.later(lambda about: outbox.write(sink, *about))(b"late")
    await one_turn()
    assert sink.written == []
    await one_turn()
    assert sink.written == [b"late"]


def test_what_no_loop_brings_to_an_end_waits_for_a_flush() -> None:
    """Nor does it keep what a loop could end from being ended."""
    outbox, sink = Outbox(), Sink()
    tell = outbox.later(sink.written.extend, always=True)
    with pytest.raises(RuntimeError):
        tell(b"1")

    async def within() -> None:
        tell(b"2")
        await one_turn()

    asyncio.run(within())
    assert sink.written == [b"1", b"2"]
