"""What a task asked of DynamoDB: counted as DynamoDB tells it, told in one line, and nothing invented."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.worker.usage import Table, Usage, tables_of, throttles_of, units_of

REGION = "eu-west-1"


def used(**changes: Any) -> Usage:
    """A usage with these numbers."""
    usage = Usage()
    for name, value in changes.items():
        setattr(usage, name, value)
    return usage


def test_the_line_of_a_busy_task() -> None:
    """As the README shows it."""
    usage = used(calls=1204, backoff_seconds=41.2, write_units=612.0, denied=1)
    usage.add_throttles(["TableWriteKeyRangeThroughputExceeded on prod-events"] * 37)
    assert usage.line() == (
        "gateway: 1,204 calls, 37 throttled (TableWriteKeyRangeThroughputExceeded on prod-events), 41 s in back-off, "
        "612 write units, 1 denied"
    )


@pytest.mark.parametrize(
    ("usage", "line"),
    [
        (used(), ""),
        (used(calls=1), "gateway: 1 call"),
        (used(denied=2), "gateway: 2 denied"),
        (used(calls=2, backoff_seconds=0.04, read_units=0.5), "gateway: 2 calls, 0.5 read units"),
        (used(calls=2, backoff_seconds=3.14), "gateway: 2 calls, 3.1 s in back-off"),
        (used(calls=2, write_units=1234567.5), "gateway: 2 calls, 1,234,567.5 write units"),
    ],
)
def test_nothing_is_told_that_was_not(usage: Usage, line: str) -> None:
    """Zeros are left out; a task that did not use DynamoDB has no line."""
    assert usage.line() == line


def test_the_commonest_reasons_stand_first() -> None:
    """Three of them; the XCom has all."""
    usage = used(calls=1)
    usage.add_throttles(["a", "b", "b", "c", "c", "c", "d", "d", "d", "d"])
    assert "10 throttled (d, c, b)" in usage.line()
    assert usage.summary()["throttled"] == {"a": 1, "b": 2, "c": 3, "d": 4}


@pytest.mark.parametrize(
    ("operation", "params", "read", "written"),
    [
        ("GetItem", {"TableName": "a"}, ["a"], []),
        ("Query", {"TableName": "arn:aws:dynamodb:eu-west-1:111122223333:table/a"}, ["a"], []),
        ("UpdateItem", {"TableName": "a"}, [], ["a"]),
        ("BatchGetItem", {"RequestItems": {"a": {}, "b": {}}}, ["a", "b"], []),
        ("BatchWriteItem", {"RequestItems": {"a": []}}, [], ["a"]),
        ("TransactGetItems", {"TransactItems": [{"Get": {"TableName": "a"}}]}, ["a"], []),
        (
            "TransactWriteItems",
            {"TransactItems": [{"Put": {"TableName": "a"}}, {"ConditionCheck": {"TableName": "b"}}]},
            ["b"],
            ["a"],
        ),
        ("DescribeTable", {"TableName": "a"}, [], []),
        ("ExecuteStatement", {"Statement": "SELECT * FROM a"}, [], []),
        ("GetItem", {"TableName": 7}, [], []),
        ("BatchGetItem", {"RequestItems": ["a"]}, [], []),
        ("TransactGetItems", {"TransactItems": ["a", {"Get": "b"}, {"Get": {}}]}, [], []),
        ("TransactGetItems", {"TransactItems": "a"}, [], []),
    ],
)
def test_tables_of_a_call(operation: str, params: dict[str, Any], read: list[str], written: list[str]) -> None:
    """By their names, before botocore has checked the parameters: anything may stand there."""
    expected = ({Table(REGION, name) for name in read}, {Table(REGION, name) for name in written})
    assert tables_of(operation, params, REGION) == expected


@pytest.mark.parametrize(
    ("parsed", "labels"),
    [
        ({}, ["ThrottlingException"]),
        ({"throttlingReasons": [{"reason": "R", "resource": "arn:aws:dynamodb:r:1:table/t/index/i"}]}, ["R on t/i"]),
        ({"ThrottlingReasons": [{"reason": "R", "resource": "odd"}]}, ["R on odd"]),
        ({"ThrottlingReasons": [{"reason": "R"}]}, ["R on a table"]),
        ({"ThrottlingReasons": [{}]}, ["ThrottlingException"]),
    ],
)
def test_reasons_of_a_throttle(parsed: dict[str, Any], labels: list[str]) -> None:
    """One label for one attempt, so that the number is that of attempts."""
    assert throttles_of({"Error": {"Code": "ThrottlingException"}, **parsed}) == labels


def test_units_of_an_answer() -> None:
    """One table's or several tables'."""
    assert units_of({}) == 0
    assert units_of({"ConsumedCapacity": {"CapacityUnits": 2.5}}) == 2.5
    assert units_of({"ConsumedCapacity": [{"CapacityUnits": 1.0}, {"CapacityUnits": 2.0}, {}]}) == 3.0


def test_clearing_begins_anew() -> None:
    """The next task of the process starts at nothing."""
    usage = used(calls=3)
    usage.add_success("GetItem", ({Table(REGION, "a")}, set()), 1.0)
    usage.clear()
    assert usage.line() == ""
    assert usage.summary()["tables_read"] == []
