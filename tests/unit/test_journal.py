"""What is recorded at the end of a busy turn is what was decided, and all of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from proxy.observe.audit import AuditLog
from proxy.observe.journal import Journal
from proxy.observe.sink import LineSink
from proxy.refusal import Reason, Unavailable
from tests.outboxes import OUTBOXES, one_turn
from tests.unit.observe.test_audit import Counts
from tests.unit.test_pipeline import READ, WRITE, Trial, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.model import Exchange
    from proxy.outbox import Outbox


class Counted(Counts):
    """What metrics would count: how each request ended."""

    def __init__(self) -> None:
        super().__init__()
        self.endings: list[str] = []
        self.fails = False

    def record(self, exchange: Exchange, _: object) -> None:
        """Count it."""
        if self.fails:
            raise ZeroDivisionError
        self.endings.append(str(exchange.ending))


class Source:
    """Whose policies are in force."""

    current = None


class Recorded:
    """A pipeline with a real audit on a real file."""

    def __init__(self, folder: Path, outbox: Outbox, backlog: int = 10_000) -> None:
        self.file = folder / "audit.jsonl"
        self.metrics = Counted()
        self.audit = AuditLog(LineSink(str(self.file)), self.metrics, "w-1", backlog=backlog, later=outbox.later)
        self.outbox = outbox
        self.trial = Trial()
        self.trial.pipeline._journal = Journal(self.audit, self.metrics, Source(), outbox)  # type: ignore[arg-type]  # of metrics and gateway what a journal uses

    def records(self) -> list[dict[str, Any]]:
        """All, once what waits is written."""
        self.outbox.flush()
        self.audit.close()
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []


def failing_once(make: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but for its first call: a defect that nobody knows yet."""
    defects = [ZeroDivisionError("CANARY")]

    def call(*about: Any) -> Any:
        if defects:
            raise defects.pop()
        return make(*about)

    return call


@pytest.fixture(params=OUTBOXES.values(), ids=OUTBOXES)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Recorded:
    """In a quiet turn and in a busy one."""
    make: Callable[[], Outbox] = request.param
    return Recorded(tmp_path, make())


async def test_a_decision_is_recorded_as_it_was_though_its_request_fails_in_the_same_turn(recorded: Recorded) -> None:
    """Allowed by a rule, and then there was no connection: the decision does not say what came after it."""
    recorded.trial.upstream.failure = Unavailable(Reason.UPSTREAM_UNREACHABLE, "no connection")
    recorded.trial.upstream.fails_after_sending = False
    assert told(await recorded.trial.ask("GetItem", READ))[0] == Reason.UPSTREAM_UNREACHABLE
    decision, outcome = recorded.records()
    assert (decision["record"], decision["decision"], decision["reason"], decision["message"]) == (
        "decision",
        "allow",
        "allowed",
        "",
    )
    assert (outcome["record"], outcome["ending"], outcome["reason"]) == ("outcome", "broken", "upstream_unreachable")


async def test_each_request_of_a_turn_is_recorded_whole_and_in_order(recorded: Recorded) -> None:
    """Reads, writes and refusals at once: two records each, its decision first, and one count."""
    asked = [("GetItem", READ), ("PutItem", WRITE), ("GetItem", READ.replace(b"orders", b"others")), ("PutItem", WRITE)] * 5
    replies = await asyncio.gather(*(recorded.trial.ask(name, body) for name, body in asked))
    assert len(replies) == len(asked)
    records = recorded.records()
    assert [record["seq"] for record in records] == list(range(1, 2 * len(asked) + 1))
    by_id: dict[str, list[str]] = {}
    for record in records:
        by_id.setdefault(record["id"], []).append(record["record"])
    assert list(by_id.values()) == [["decision", "outcome"]] * len(asked)
    assert sorted(recorded.metrics.endings) == ["refused"] * 5 + ["served"] * 15


async def test_a_refusal_behind_the_end_of_another_request_is_recorded_in_order(recorded: Recorded) -> None:
    """Its decision before its outcome, whatever the turn had to record first."""
    recorded.trial.upstream.held.clear()
    waiting = asyncio.ensure_future(recorded.trial.ask("GetItem", READ))
    await one_turn()  # it is on its way
    recorded.outbox.flush()
    recorded.trial.upstream.held.set()
    await waiting
    await recorded.trial.ask("GetItem", READ.replace(b"orders", b"others"))
    assert [record["record"] for record in recorded.records()] == ["decision", "outcome", "decision", "outcome"]


async def test_what_cannot_be_recorded_does_not_hold_up_the_rest(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """A defect in making one record is told in the log; the answer goes out, the other requests are recorded."""
    recorded.audit._records.outcome = failing_once(recorded.audit._records.outcome)  # type: ignore[method-assign]  # a defect
    for _ in range(2):
        assert await recorded.trial.ask("GetItem", READ) is recorded.trial.upstream.reply
    records = recorded.records()
    assert [record["record"] for record in records] == ["decision", "decision", "outcome"]
    assert recorded.metrics.lost == 1
    assert records[-1]["seq"] == 4  # a gap for what is lost
    assert "ZeroDivisionError" in caplog.text


async def test_what_can_never_be_made_a_record_is_counted_as_lost(recorded: Recorded) -> None:
    """Its decision and its outcome, with a gap of two."""
    make = recorded.audit._records.decision

    def fails_for_reads(exchange: Any, *more: Any) -> bytes:
        if exchange.operation_name == "GetItem":
            raise ZeroDivisionError
        return make(exchange, *more)

    recorded.audit._records.decision = fails_for_reads  # type: ignore[method-assign]  # a defect
    for name, body in (("PutItem", WRITE), ("GetItem", READ), ("PutItem", WRITE)):
        await recorded.trial.ask(name, body)
        recorded.outbox.flush()
    assert [record["seq"] for record in recorded.records()] == [1, 2, 5, 6]
    assert recorded.metrics.lost == 2


async def test_a_read_whose_decision_cannot_be_made_a_record_is_not_sent(tmp_path: Path) -> None:
    """Where its record is made at once a defect in that is told to the request, which fails closed."""
    recorded = Recorded(tmp_path, OUTBOXES["at once"]())
    recorded.audit._records.decision = failing_once(recorded.audit._records.decision)  # type: ignore[method-assign]  # a defect
    assert told(await recorded.trial.ask("GetItem", READ))[0] == Reason.AUDIT_UNAVAILABLE
    assert recorded.trial.upstream.requests == []
    assert [record["reason"] for record in recorded.records()] == ["audit_unavailable", "audit_unavailable"]


async def test_one_decision_that_cannot_be_made_a_record_costs_no_other_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the end of a turn they are made one after the other; its outcome makes up for it, and no text of the defect is told."""
    recorded = Recorded(tmp_path, OUTBOXES["together"]())
    recorded.audit._records.decision = failing_once(recorded.audit._records.decision)  # type: ignore[method-assign]  # a defect
    await asyncio.gather(*(recorded.trial.ask("GetItem", READ) for _ in range(3)))
    records = recorded.records()
    assert sorted((record["id"], record["record"]) for record in records) == sorted(
        (record["id"], kind) for record in records if record["record"] == "outcome" for kind in ("decision", "outcome")
    )
    assert sorted(record["seq"] for record in records) == list(range(1, 7))  # nothing is lost, so there is no gap
    assert recorded.metrics.lost == 0
    assert "is not in the audit: ZeroDivisionError at" in caplog.text
    assert "CANARY" not in caplog.text


async def test_what_breaks_in_the_audit_stops_neither_answer_nor_count(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it breaks behind the records."""
    recorded.audit.outcomes = failing_once(recorded.audit.outcomes)  # type: ignore[method-assign]  # a defect
    assert await recorded.trial.ask("GetItem", READ) is recorded.trial.upstream.reply
    recorded.outbox.flush()
    assert recorded.metrics.endings == ["served"]
    assert "outcomes of 1 requests are not in the audit" in caplog.text


async def test_policies_that_cannot_be_had_stop_no_answer(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """What bounds the labels is asked for with each count."""

    def current(_: Source) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Source, "current", property(current))
    assert await recorded.trial.ask("GetItem", READ) is recorded.trial.upstream.reply
    assert len(recorded.records()) == 2


async def test_the_decision_of_a_write_is_in_the_file_when_the_write_leaves(recorded: Recorded) -> None:
    """It waits for no end of a turn."""
    seen: list[list[str]] = []
    send = recorded.trial.upstream.send

    async def looked_at(request: bytes, **more: Any) -> Any:
        seen.append([json.loads(line)["operation"] for line in recorded.file.read_text().splitlines()])
        return await send(request, **more)

    recorded.trial.upstream.send = looked_at  # type: ignore[method-assign]  # looks at the file first
    await recorded.trial.ask("PutItem", WRITE)
    assert seen == [["PutItem"]]


async def test_a_read_is_refused_where_its_decision_has_no_place(tmp_path: Path) -> None:
    """In a busy turn too it is told before anything is sent."""
    recorded = Recorded(tmp_path, OUTBOXES["together"](), backlog=0)
    assert told(await recorded.trial.ask("GetItem", READ))[0] == Reason.AUDIT_UNAVAILABLE
    assert recorded.trial.upstream.requests == []


async def test_what_cannot_be_counted_takes_nothing_of_the_audit(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """Nor of the requests behind it."""
    recorded.metrics.fails = True
    for _ in range(3):
        assert await recorded.trial.ask("GetItem", READ) is recorded.trial.upstream.reply
    assert len(recorded.records()) == 6
    assert caplog.text.count("is not counted") == 3
