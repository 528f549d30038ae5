"""Tests of the wire are played twice: writes go at once, as in a quiet gateway, and at the end of a turn, as in a busy one."""

from __future__ import annotations

import asyncio

from proxy.outbox import Outbox


def busy_outbox() -> Outbox:
    """An outbox in which everything waits for the end of the turn, however little it is."""
    outbox = Outbox(at_once=0)
    outbox._quiet = -1_000_000
    return outbox


async def one_turn() -> None:
    """Let the loop end this turn, no more: what waits for that is done, or never will be."""
    await asyncio.sleep(0)


OUTBOXES = {"at once": Outbox, "together": busy_outbox}
