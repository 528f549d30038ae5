"""Tests of the wire are played twice: writes go at once, as in a quiet gateway, and at the end of a turn, as in a busy one."""

from __future__ import annotations

from proxy.outbox import Outbox


def busy_outbox() -> Outbox:
    """An outbox in which everything waits for the end of the turn, however little it is."""
    outbox = Outbox(at_once=0)
    outbox._quiet = -1_000_000
    return outbox


OUTBOXES = {"at once": Outbox, "together": busy_outbox}
