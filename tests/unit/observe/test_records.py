"""What is written once for many requests reads as if each record had been written whole, byte for byte."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.model import Ending, Evidence, Exchange, Identity, Operation, ReplySummary, Subject, TableReference, Throttle, Touch
from proxy.observe.records import CAP, CAPS, MOST_REMEMBERED, Records
from proxy.refusal import Reason

TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJkYWc6ZXRsIn0.c2lnbmF0dXJlLWNhbmFyeQ"
TIME = "2026-09-21T14:13:20.067Z"
LONG = 1200


# ------------------------------------------------------------------------------------------ the plain way, whole


def written_whole(fields: dict[str, Any]) -> bytes:
    """One record, looked at as a whole."""
    try:
        line = orjson.dumps(fields)
    except TypeError:
        line = b""
    if not line or len(line) > LONG:
        line = orjson.dumps({name: tidied(value, CAPS.get(name, CAP)) for name, value in fields.items()})
    return re.sub(rb"eyJ[A-Za-z0-9_-]{12,}(?:\.[A-Za-z0-9_-]*)*", b"(token)", line) + b"\n"


def tidied(value: Any, cap: int) -> Any:
    """The value within bounds."""
    if isinstance(value, str):
        return str(value)[:cap].encode(errors="backslashreplace").decode()
    if isinstance(value, (list, tuple)):
        return [tidied(member, cap) for member in value]
    return "out of range" if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def whole_decision(exchange: Exchange, seq: int) -> bytes:
    """A decision, member by member."""
    identity, operation = exchange.identity, exchange.operation
    subject = identity.subject if identity else exchange.subject
    counted = Counter((touch.action, touch.table, touch.index) for touch in (operation.touches if operation else ()))
    let = (Reason.ALLOWED, Reason.OBSERVED)
    return written_whole(
        {
            "record": "decision", "time": TIME, "seq": seq, "id": exchange.id, "peer": exchange.peer,
            "invocation_id": exchange.invocation_id, "attempt": exchange.attempt, "request_bytes": exchange.request_bytes,
            "worker": "w-1",
            "issuer": subject.issuer if subject else "", "subject": subject.subject if subject else "",
            "token_id": subject.token_id if subject else "", "session": subject.session_id if subject else "",
            "dag": identity.dag_id if identity else "", "evidence": identity.evidence if identity else "",
            "source": identity.source if identity else "", "workload": identity.workload if identity else "",
            "task_id": identity.task_id if identity else "", "run_id": identity.run_id if identity else "",
            "try_number": identity.try_number if identity else "", "map_index": identity.map_index if identity else "",
            "claimed": identity.claimed if identity else [],
            "operation": exchange.operation_name or (operation.name if operation else ""),
            "touches": [(action, named(table), index, count) for (action, table, index), count in counted.items()],
            "decision": "none" if exchange.reason is None else "allow" if exchange.reason in let else "deny",
            "reason": exchange.reason, "would_deny": exchange.would_deny, "rule": exchange.rule, "role_arn": exchange.role_arn,
            "policy_digest": exchange.policy_digest, "message": exchange.message,
        }
    )  # fmt: skip


def whole_outcome(exchange: Exchange, seq: int) -> bytes:
    """An outcome, member by member."""
    ending, summary = exchange.ending or Ending.BROKEN, exchange.summary
    sent = "yes" if ending is Ending.SERVED or summary.error else "unknown"
    return written_whole(
        {
            "record": "outcome", "time": TIME, "seq": seq, "id": exchange.id, "aws_request_id": exchange.aws_request_id,
            "gateway_ms": round(exchange.gateway_seconds * 1e6) / 1000,
            "upstream_ms": round(exchange.upstream_seconds * 1e6) / 1000,
            "reply_bytes": exchange.reply_bytes, "worker": "w-1", "ending": ending, "status": exchange.status,
            "reason": exchange.reason, "sent": sent if exchange.sent else "no", "error": summary.error,
            "throttles": summary.throttles and [tuple(throttle) for throttle in summary.throttles],
            "unprocessed": summary.unprocessed,
        }
    )  # fmt: skip


def named(table: TableReference) -> str:
    """A table's name or ARN."""
    name, *home = table
    return f"arn:{home[0]}:dynamodb:{home[1]}:{home[2]}:table/{name}" if any(home) else name


# ---------------------------------------------------------------------------------------------------- any request

# few values, so that what is remembered is met again; among them all that a record must not hold as it came
HOSTILE = ("", "etl.Jobs", "eyJ", TOKEN, "\udc80", '"},{\n\\', "J" * 240, "\U0001f600" * 400, "x" * 1100)
TEXTS = st.integers(0, len(HOSTILE) - 1).map(HOSTILE.__getitem__)  # by its place: hypothesis shows what it draws from
TABLES = st.tuples(TEXTS, st.sampled_from(["", "aws"])).map(lambda parts: TableReference(*parts))
TOUCHES = st.tuples(st.sampled_from(["GetItem", "PutItem"]), TABLES, st.sampled_from(["", "by_day"])).map(
    lambda parts: Touch(*parts)
)
SUBJECT = Subject("airflow", "worker", {}, (), 2e9, "jti")
IDENTITY = Identity(SUBJECT, "etl", Evidence.VERIFIED, "claim", "tasks", task_id="load", run_id="1", claimed=("run_id",))
OPERATION = Operation("GetItem", "", False, (Touch("GetItem", TableReference("orders")),), b"")
ORDINARY = Exchange(
    "d-1", 0.0, "127.0.0.1:40000", 0.0004, 0.004, IDENTITY, SUBJECT, OPERATION, "GetItem", Reason.ALLOWED, status=200, sent=True,
    rule="orders.yaml:12", ending=Ending.SERVED,
)  # fmt: skip
VARIED = {
    **dict.fromkeys(("id", "peer", "invocation_id", "aws_request_id", "rule", "role_arn", "policy_digest", "message"), TEXTS),
    "subject": st.none() | TEXTS.map(lambda text: replace(SUBJECT, subject=text, session_id=text)),
    "identity": st.none() | TEXTS.map(lambda text: replace(IDENTITY, dag_id=text, subject=replace(SUBJECT, issuer=text))),
    "operation": st.none()
    | st.tuples(TEXTS, st.lists(TOUCHES)).map(lambda parts: OPERATION._replace(name=parts[0], touches=tuple(parts[1]))),
    "operation_name": TEXTS,
    "reason": st.none() | st.sampled_from(Reason),
    "would_deny": st.just(Reason.NO_RULE),
    "ending": st.none() | st.sampled_from(Ending),
    "sent": st.booleans(),
    "status": st.sampled_from([0, 200, 400]),
    "attempt": st.sampled_from([2, 10**30]),
    "gateway_seconds": st.floats(-1, 1e4),
    "upstream_seconds": st.floats(0, 1e4),
    "summary": TEXTS.map(lambda text: ReplySummary(text, (Throttle("ThrottlingException", text),), ((text, 1),))),
}
EXCHANGES = st.fixed_dictionaries({}, optional=VARIED).map(lambda fields: replace(ORDINARY, **fields))


@settings(max_examples=200, deadline=None)
@given(st.lists(EXCHANGES, min_size=1, max_size=4))
def test_records_are_those_that_would_be_written_whole(exchanges: list[Exchange]) -> None:
    """Whatever came before, and however often, each line has the bytes that the whole record has."""
    records = Records("w-1")
    for seq, exchange in enumerate((ORDINARY, *exchanges) * 2):
        assert records.decision(exchange, TIME, seq) == whole_decision(exchange, seq)
        assert records.outcome(exchange, TIME, seq) == whole_outcome(exchange, seq)


ORDINARY_FIELDS = ["operation_name", "rule", "role_arn", "policy_digest", "id", "peer", "invocation_id", "aws_request_id"]


@pytest.mark.parametrize("name", ORDINARY_FIELDS)
@pytest.mark.parametrize("value", ["other", "\udc80", TOKEN, "x" * 2000, '"\n'])
def test_a_request_that_differs_in_one_thing_shares_no_record(build, name: str, value: str) -> None:
    """Each member is told as it is, though all others are as in the request before."""
    records = Records("w-1")
    usual, other = build(), build(**{name: value})
    for seq, exchange in enumerate((usual, other, usual, other)):
        assert records.decision(exchange, TIME, seq) == whole_decision(exchange, seq)
        assert records.outcome(exchange, TIME, seq) == whole_outcome(exchange, seq)


def test_tasks_of_one_dag_are_told_apart(build) -> None:
    """Identities that come and go, perhaps each in the place in memory of the last, have their own names in their records."""
    records = Records("w-1")
    for number in range(3 * MOST_REMEMBERED):
        exchange = build(identity=build.identity(run_id=f"run-{number}"))
        assert json.loads(records.decision(exchange, TIME, number))["run_id"] == f"run-{number}"
    assert len(records._shared) == MOST_REMEMBERED


def test_what_is_remembered_holds_no_long_text(build) -> None:
    """Names that make a record long, and records with something to hide, are not kept."""
    records = Records("w-1")
    for identity in (build.identity("x" * 2000), build.identity(task_id=TOKEN), build.identity(run_id="\udc80")):
        records.decision(build(identity=identity), TIME, 1)
    assert not records._shared


def test_a_record_that_waits_holds_nothing_of_the_body(build) -> None:
    """Until it is written a record is a line of names and numbers, not the request."""
    records = Records("w-1")
    exchange = build()
    for record in (records.decision(exchange, TIME, 1), records.outcome(exchange, TIME, 2)):
        assert "CANARY" not in repr(record)
        assert type(record) is bytes


def test_a_decision_stands_as_it_was_made(build) -> None:
    """What becomes of a request later does not change its decision, whenever the line goes to the sink."""
    records = Records("w-1")
    exchange = build()
    expected = whole_decision(exchange, 1)
    record = records.decision(exchange, TIME, 1)
    exchange.reason, exchange.message, exchange.rule = Reason.CREDENTIALS_REFUSED, "AWS did not accept the session", ""
    assert record == expected


def test_what_an_operation_touches_is_no_other_operation(build) -> None:
    """Operations that differ in name, table, index or the number of items have each their own record."""
    records = Records("w-1")
    here, there = TableReference("orders"), TableReference("orders", "aws", "eu-west-1", "123456789012")
    put, other = Touch("PutItem", here), Touch("PutItem", there, "by_day")
    operations = [build.operation(name, touches=touches) for name in ("PutItem", "BatchWriteItem") for touches in (
        (put,), (put, put), (put, other), (other, put), (other,), (put, put, other), (Touch("DeleteItem", here),)
    )]  # fmt: skip
    for seq, operation in enumerate(operations * 2):
        exchange = build(operation=operation, operation_name="")
        assert records.decision(exchange, TIME, seq) == whole_decision(exchange, seq)


def test_details_of_an_event_are_bounded() -> None:
    """What is told of a change of the gateway is cut like everything else."""
    told = json.loads(Records("w-1").event("policy_refused", {"problem": "x" * 5000, "token": TOKEN}, TIME, 7))
    assert told == {
        "record": "event", "time": TIME, "seq": 7, "worker": "w-1", "event": "policy_refused",
        "details": {"problem": "x" * CAPS["details"], "token": "(token)"},
    }  # fmt: skip
