"""Two records a request, the decision of a write before it leaves, nothing secret, nothing lost without a trace."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from proxy.model import Credentials, Ending, ReplySummary, Subject, TableReference, Throttle, Touch
from proxy.observe.audit import AuditLog
from proxy.observe.records import CAP
from proxy.observe.sink import LineSink
from proxy.refusal import Reason, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJkYWc6ZXRsIn0.c2lnbmF0dXJlLWNhbmFyeQ"


class Counts:
    """Counts of the log, as metrics would keep them."""

    def __init__(self) -> None:
        self.written: Counter[str] = Counter()
        self.failed = 0
        self.lost = 0

    def audit_written(self, record: str, count: int) -> None:
        """Count written ones."""
        self.written[record] += count

    def audit_failed(self, count: int) -> None:
        """Count failed tries."""
        self.failed += count

    def audit_lost(self, count: int) -> None:
        """Count lost ones."""
        self.lost += count


class SwitchedSink(LineSink):
    """A real file that can be told to be full."""

    is_full = False

    def append(self, lines: list[bytes]) -> int:
        """Take nothing while full."""
        return 0 if self.is_full else super().append(lines)


class Trial:
    """An audit log on a real file."""

    def __init__(self, file: Path, backlog: int = 10_000) -> None:
        self.file = file
        self.counts = Counts()
        self.sink = SwitchedSink(str(file))
        self.log = AuditLog(self.sink, self.counts, "w-1", backlog=backlog, clock=lambda: 1_790_000_000.0678)

    def records(self) -> list[dict[str, Any]]:
        """What the file holds."""
        return [json.loads(line) for line in self.file.read_bytes().splitlines()] if self.file.exists() else []


@pytest.fixture
def trial(tmp_path: Path):
    """An audit log of its own for each test."""
    trial = Trial(tmp_path / "audit.log")
    yield trial
    trial.log.close()


async def until(condition) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # the condition is a file's content, which nobody announces
            await asyncio.sleep(0)


def test_an_allowed_read_leaves_two_records_joined_by_id(trial: Trial, build) -> None:
    """All that an auditor asks is in two lines, with numbers that follow each other."""
    exchange = build()
    trial.log.decision(exchange)
    trial.log.outcomes([exchange])
    decision, outcome = trial.records()
    assert decision == {
        "record": "decision", "time": "2026-09-21T14:13:20.067Z", "seq": 1, "worker": "w-1", "id": "d-1",
        "peer": "127.0.0.1:40000", "issuer": "airflow", "subject": "dag:etl.orders", "token_id": "0123456789abcdef",
            "session": "",
        "dag": "etl.orders", "evidence": "verified", "source": "claim", "workload": "tasks", "task_id": "load",
        "run_id": "scheduled__2026-11-22", "try_number": "1", "map_index": "-1", "claimed": [],
        "operation": "GetItem",
        "touches": [["GetItem", "orders", "", 1]], "decision": "allow", "reason": "allowed", "would_deny": None,
            "rule": "orders.yaml:12",
        "role_arn": "arn:aws:iam::123456789012:role/dag-orders", "policy_digest": "abcdef",
        "invocation_id": "11111111-2222-3333-4444-555555555555", "attempt": 1, "request_bytes": 120, "message": "",
    }  # fmt: skip
    assert outcome == {
        "record": "outcome", "time": "2026-09-21T14:13:20.067Z", "seq": 2, "worker": "w-1", "id": "d-1", "ending": "served",
        "status": 200, "reason": "allowed", "sent": "yes", "error": "", "aws_request_id": "AWSREQUEST", "throttles": [],
        "unprocessed": [], "gateway_ms": 0.4, "upstream_ms": 4.0, "reply_bytes": 300,
    }  # fmt: skip
    assert trial.counts.written == {"decision": 1, "outcome": 1}


def test_each_record_has_the_time_at_which_it_was_made(tmp_path: Path, build) -> None:
    """Within a millisecond, within a second, and beyond, though all are written together."""
    times = iter([0.9991, 0.9994, 1.0, 1.0509, 86_400.0])
    log = AuditLog(LineSink(str(file := tmp_path / "audit.log")), Counts(), "w-1", clock=lambda: next(times))
    for number in range(5):
        log.event(str(number))
    log.close()
    assert [json.loads(line)["time"] for line in file.read_bytes().splitlines()] == [
        "1970-01-01T00:00:00.999Z", "1970-01-01T00:00:00.999Z", "1970-01-01T00:00:01.000Z", "1970-01-01T00:00:01.050Z",
        "1970-01-02T00:00:00.000Z",
    ]  # fmt: skip


async def test_a_record_tells_what_was_known_when_it_was_made(trial: Trial, build) -> None:
    """A request that fails after its decision changes nothing in the record of the decision that still waits."""
    exchange = build()
    trial.log.decision(exchange)
    exchange.reason, exchange.message, exchange.ending = Reason.CREDENTIALS_REFUSED, "AWS did not accept it", Ending.BROKEN
    trial.log.outcomes([exchange])
    trial.log.close()
    decision, outcome = trial.records()
    assert (decision["decision"], decision["reason"], decision["message"]) == ("allow", "allowed", "")
    assert (outcome["reason"], outcome["sent"]) == ("credentials_refused", "unknown")


ENDINGS = [
    (Ending.SERVED, True, "yes"),
    (Ending.REFUSED, False, "no"),
    (Ending.BROKEN, True, "unknown"),
    (Ending.BROKEN, False, "no"),
    (Ending.ABANDONED, False, "no"),
    (None, True, "unknown"),
]


@pytest.mark.parametrize(("ending", "sent", "told"), ENDINGS)
def test_each_ending_has_one_outcome_that_says_whether_it_was_sent(trial: Trial, build, ending, sent, told) -> None:
    """However a request ends, and however often its end is told, there is one decision and one outcome."""
    exchange = build(ending=ending, sent=sent)
    trial.log.outcomes([exchange])
    trial.log.outcomes([exchange])
    decision, outcome = trial.records()
    assert (decision["record"], outcome["record"], outcome["sent"]) == ("decision", "outcome", told)
    assert outcome["ending"] == (ending or "broken")


def test_a_refusal_before_the_token_is_read_has_both_records(trial: Trial, build) -> None:
    """What the gate refuses is as visible as the rest, with the same members left empty."""
    exchange = build(identity=None, operation=None, operation_name="", reason=Reason.TOO_LARGE, ending=Ending.REFUSED, sent=False)
    trial.log.outcomes([exchange])
    full = build()
    trial.log.outcomes([full])
    refused, _, allowed, _ = trial.records()
    assert (refused["decision"], refused["reason"], refused["dag"], refused["touches"]) == ("deny", "too_large", "", [])
    assert list(refused) == list(allowed)


def test_a_known_subject_without_a_dag_is_named(trial: Trial, build) -> None:
    """A token that was good but may not speak for the DAG shows whose it was."""
    subject = Subject("airflow", "someone", {}, (), 2e9, "jti-1")
    trial.log.outcomes([build(identity=None, subject=subject, reason=Reason.NOT_ENTITLED)])
    decision = trial.records()[0]
    assert (decision["issuer"], decision["subject"], decision["token_id"], decision["dag"]) == ("airflow", "someone", "jti-1", "")


def test_a_caller_that_leaves_before_the_decision_has_none(trial: Trial, build) -> None:
    """Without a reason the record says that nothing was decided."""
    trial.log.outcomes([build(reason=None, ending=Ending.ABANDONED, sent=False, status=0)])
    assert [record.get("decision") for record in trial.records()] == ["none", None]


async def test_the_decision_of_a_write_is_in_the_file_at_once(trial: Trial, build) -> None:
    """When `decision` returns for a write, it and all before it are in the sink."""
    trial.log.decision(build(id="read"))
    assert trial.records() == []
    write = build(id="write", is_write=True)
    trial.log.decision(write)
    assert [record["id"] for record in trial.records()] == ["read", "write"]
    assert write.decided


async def test_a_write_that_is_only_observed_is_in_the_file_at_once(trial: Trial, build) -> None:
    """It goes upstream like an allowed one, and its record says why it would have been refused."""
    write = build(is_write=True, reason=Reason.OBSERVED, would_deny=Reason.NO_RULE, message="dag 'd' may not PutItem")
    trial.log.decision(write)
    (record,) = trial.records()
    assert [record[name] for name in ("decision", "reason", "would_deny", "message")] == [
        "allow",
        "observed",
        "no_rule",
        "dag 'd' may not PutItem",
    ]
    assert write.decided


async def test_reads_are_flushed_within_a_moment(trial: Trial, build) -> None:
    """A read's records reach the sink by themselves."""
    trial.log.decision(build())
    await until(trial.records)


async def test_sixty_four_records_are_flushed_at_once(trial: Trial, build) -> None:
    """A busy gateway does not wait for the clock."""
    for number in range(64):
        trial.log.decision(build(id=str(number)))
    assert [record["seq"] for record in trial.records()] == list(range(1, 65))


async def test_close_writes_what_waits(trial: Trial, build) -> None:
    """A stop loses no record, and says how many it could not write."""
    trial.log.decision(build())
    assert trial.log.close() == 0
    assert len(trial.records()) == 1
    trial.sink.is_full = True
    trial.log.outcomes([build()])
    assert trial.log.close() == 2


def test_a_write_is_refused_on_a_full_disk(build) -> None:
    """With ENOSPC from the kernel no write goes upstream."""
    log = AuditLog(LineSink("/dev/full"), counts := Counts(), "w-1")
    write = build(is_write=True)
    with pytest.raises(Unavailable, match="audit log takes no records") as caught:
        log.decision(write)
    assert caught.value.reason is Reason.AUDIT_UNAVAILABLE
    assert not write.decided
    assert log.is_failing
    assert counts.failed == 1
    log.close()


async def test_records_wait_for_a_sink_that_comes_back(trial: Trial, build) -> None:
    """While the sink is full reads go on, writes are refused; later all records are there, in order, without a gap."""
    trial.sink.is_full = True
    read = build(id="read")
    trial.log.decision(read)
    write = build(id="write", is_write=True)
    with pytest.raises(Unavailable):
        trial.log.decision(write)
    write.reason, write.ending, write.sent = Reason.AUDIT_UNAVAILABLE, Ending.REFUSED, False
    trial.log.outcomes([write])
    trial.log.outcomes([read])
    assert trial.log.is_failing
    trial.sink.is_full = False
    await until(trial.records)
    assert not trial.log.is_failing
    told = [(record["seq"], record["record"], record["id"], record["reason"]) for record in trial.records()]
    assert told == [
        (1, "decision", "read", "allowed"),
        (2, "decision", "write", "audit_unavailable"),
        (3, "outcome", "write", "audit_unavailable"),
        (4, "outcome", "read", "allowed"),
    ]
    trial.log.decision(build(id="next", is_write=True))
    assert trial.records()[-1]["id"] == "next"
    trial.log.event("reload")
    trial.log.close()
    assert trial.counts.written == Counter(record["record"] for record in trial.records())
    assert trial.counts.written == {"decision": 3, "outcome": 2, "event": 1}


async def test_a_full_backlog_refuses_reads_and_shows_a_gap(tmp_path: Path, build) -> None:
    """Nothing goes upstream unrecorded, what was begun is still told, and what is lost leaves a gap in `seq`."""
    trial = Trial(tmp_path / "audit.log", backlog=3)
    trial.sink.is_full = True
    reads = [build(id=str(number)) for number in range(3)]
    for read in reads:
        trial.log.decision(read)
    with pytest.raises(Unavailable, match="backlog is full"):
        trial.log.decision(late := build(id="late"))
    trial.log.decision(denied := build(id="denied", reason=Reason.NO_RULE))
    trial.log.outcomes([denied])
    late.reason = Reason.AUDIT_UNAVAILABLE
    trial.log.outcomes([late])
    trial.log.event("reload")
    for read in reads:
        trial.log.outcomes([read])
    trial.sink.is_full = False
    trial.log.decision(build(id="write", is_write=True))
    assert [(record["seq"], record["id"]) for record in trial.records()] == [
        (1, "0"), (2, "1"), (3, "2"), (9, "0"), (10, "1"), (11, "2"), (12, "write"),
    ]  # fmt: skip
    assert trial.counts.lost == 5
    trial.log.close()


def test_touches_of_a_batch_are_told_once_with_their_number(trial: Trial, build) -> None:
    """Twenty-five puts into two tables are two entries, a table named by ARN keeps its ARN."""
    here, there = TableReference("orders"), TableReference("stock", "aws", "eu-west-1", "123456789012")
    touches = tuple(Touch("PutItem", here if n % 2 else there, "", n) for n in range(1, 26))
    trial.log.outcomes([build(operation=build.operation("BatchWriteItem", is_write=True, touches=touches))])
    assert trial.records()[0]["touches"] == [
        ["PutItem", "orders", "", 13],
        ["PutItem", "arn:aws:dynamodb:eu-west-1:123456789012:table/stock", "", 12],
    ]


def test_what_aws_held_back_is_told(trial: Trial, build) -> None:
    """Throttles and unprocessed items stand in the outcome."""
    summary = ReplySummary("ThrottlingException", (Throttle("TableReadAccountLimitExceeded", "orders"),), (("orders", 3),))
    trial.log.outcomes([build(summary=summary)])
    outcome = trial.records()[1]
    assert outcome["throttles"] == [["TableReadAccountLimitExceeded", "orders"]]
    assert outcome["unprocessed"] == [["orders", 3]]
    assert outcome["error"] == "ThrottlingException"


def test_nothing_secret_comes_out(trial: Trial, build) -> None:
    """Tokens, credentials, claims and item values, put wherever a request can carry them, are in no record."""
    credentials = Credentials("ASIAEXAMPLE", "SECRET-KEY-CANARY", "SESSION-CANARY", 2e9)
    strayed = build.identity(task_id=TOKEN, run_id="x" + TOKEN, try_number=TOKEN[:60])
    exchange = build(identity=strayed, invocation_id=TOKEN, message=f"cannot use {TOKEN}: {credentials!r}", aws_request_id=TOKEN)
    trial.log.decision(exchange)
    trial.log.outcomes([exchange])
    text = trial.file.read_text()
    assert len(trial.records()) == 2
    for canary in ("eyJ", "c2lnbmF0dXJl", "ITEM-VALUE", "CLAIM-CANARY", "SECRET-KEY", "SESSION-CANARY", "etl.*"):
        assert canary not in text


def test_hostile_strings_stay_one_short_line(trial: Trial, build) -> None:
    """Line breaks, quotes, lone surrogates, endless names and numbers end in one valid line of bounded length."""
    hostile = '\n\r\u2028"\\\x00\udc80' + "\U0001f600" * 100_000
    identity = build.identity(hostile, task_id=hostile, run_id=hostile, try_number=hostile, map_index=hostile)
    touches = (Touch("GetItem", TableReference(hostile), hostile),)
    exchange = build(
        identity=identity, invocation_id=hostile, message=hostile, attempt=10**5000, aws_request_id=hostile,
        operation=build.operation(touches=touches), summary=ReplySummary(hostile, (Throttle(hostile, hostile),), ((hostile, 1),)),
    )  # fmt: skip
    trial.log.decision(exchange)
    trial.log.outcomes([exchange])
    lines = trial.file.read_bytes().split(b"\n")
    assert [json.loads(line)["record"] for line in lines[:-1]] == ["decision", "outcome"]
    assert lines[-1] == b""
    assert max(map(len, lines)) < 20_000
    decision = json.loads(lines[0])
    assert decision["attempt"] == "out of range"
    assert decision["dag"].startswith('\n\r\u2028"\\\x00\\udc80')
    assert len(decision["dag"]) <= CAP + 5


def test_events_of_the_gateway_stand_between_requests(trial: Trial) -> None:
    """Loading a policy is a record with a number of its own."""
    trial.log.event("policy_loaded", digest="abcdef", environment="prod")
    assert trial.records() == [
        {
            "record": "event", "time": "2026-09-21T14:13:20.067Z", "seq": 1, "worker": "w-1",
            "event": "policy_loaded", "details": {"digest": "abcdef", "environment": "prod"},
        }
    ]  # fmt: skip


def test_a_worker_without_a_name_makes_one_that_is_its_own(tmp_path: Path) -> None:
    """`seq` starts anew with each worker, so two of one process have different names."""
    names = {AuditLog(LineSink(str(tmp_path / "a")), Counts()).worker for _ in range(2)}
    assert len(names) == 2
    assert all(re.search(rf"-{os.getpid()}-[0-9a-f]{{6}}$", name) for name in names)


def test_sighup_moves_to_the_new_file(trial: Trial, build, tmp_path: Path) -> None:
    """After `reopen` records go to the file that the path names."""
    trial.log.outcomes([build(id="old")])
    trial.file.rename(tmp_path / "audit.log.1")
    trial.log.reopen()
    trial.log.outcomes([build(id="new")])
    assert {record["id"] for record in trial.records()} == {"new"}
