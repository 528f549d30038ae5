"""What replies say: error, throttles and unprocessed items, never an exception."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dynamodb.operation import read_operation
from proxy.dynamodb.reply import summarise
from proxy.model import Operation, Reply, ReplySummary, Throttle

KEY = {"pk": {"S": "a"}}
ARN = "arn:aws:dynamodb:us-east-1:111122223333:table/orders"
DYNAMODB = "com.amazonaws.dynamodb.v20120810#"


def operation(name: str, body: Any) -> Operation:
    """A request as the gateway understood it."""
    return read_operation(b"DynamoDB_20120810." + name.encode(), orjson.dumps(body))


GET = operation("GetItem", {"TableName": "orders", "Key": KEY})
BATCH_GET = operation("BatchGetItem", {"RequestItems": {"orders": {"Keys": [KEY]}}})
BATCH_WRITE = operation("BatchWriteItem", {"RequestItems": {"orders": [{"DeleteRequest": {"Key": KEY}}]}})
TRANSACTION = operation(
    "TransactWriteItems",
    {"TransactItems": [{"Put": {"TableName": table, "Item": KEY}} for table in ("orders", "stock", "orders")]},
)


def summary(asked: Operation, status: int, body: Any) -> ReplySummary:
    """The summary of a reply with `body`, an object or raw bytes."""
    return summarise(asked, Reply(status, (), body if isinstance(body, bytes) else orjson.dumps(body)))


def error(name: Any, **members: Any) -> dict[str, Any]:
    """An error's body."""
    return {"__type": name, "message": "slow down", **members}


FAILED = b'{"Responses":[{"Error":{"Code":"ThrottlingError"}}]}'  # said by a batch of statements only


@pytest.mark.parametrize("asked", [GET, BATCH_GET, BATCH_WRITE, TRANSACTION])
@pytest.mark.parametrize("body", [b"", b"{}", b"not json", b'{"Item":{"Unprocessed":{"S":"x"}}}', b"[1]", b"Unprocessed", FAILED])
def test_an_ordinary_answer_says_nothing(asked: Operation, body: bytes) -> None:
    """A 200 without leftovers has an empty summary, whatever it holds."""
    assert summary(asked, 200, body) == ReplySummary()


@pytest.mark.parametrize(
    ("asked", "body", "unprocessed"),
    [
        (BATCH_WRITE, {"UnprocessedItems": {}}, ()),
        (BATCH_WRITE, b'{"UnprocessedItems": {}, "ItemCollectionMetrics": {}}', ()),
        (BATCH_WRITE, {"UnprocessedItems": {"orders": [{}, {}], "stock": [{}]}}, (("orders", 2), ("stock", 1))),
        (BATCH_WRITE, {"UnprocessedItems": {"orders": [{}], ARN: [{}, {}]}}, (("orders", 3),)),
        (BATCH_WRITE, {"UnprocessedItems": {"orders": []}}, ()),
        (BATCH_WRITE, {"UnprocessedItems": {"orders": 3, "a b": [{}], "stock": {"Keys": 1}}}, ()),
        (BATCH_WRITE, {"UnprocessedItems": [1]}, ()),
        (BATCH_GET, {"UnprocessedKeys": {"orders": {"Keys": [KEY, KEY], "ConsistentRead": True}}}, (("orders", 2),)),
        (BATCH_GET, {"UnprocessedKeys": {}, "Responses": {"orders": []}}, ()),
        (
            BATCH_GET,
            {"Responses": {"orders": [{"a": {"S": '"UnprocessedKeys":{}'}}]}, "UnprocessedKeys": {"t-1": {"Keys": [KEY]}}},
            (("t-1", 1),),
        ),
        (GET, {"UnprocessedItems": {"orders": [{}]}}, ()),
    ],
)
def test_unprocessed_items_are_counted_by_table(asked: Operation, body: Any, unprocessed: tuple[tuple[str, int], ...]) -> None:
    """Writes count as items and reads as keys; name and ARN of one table count together; only batches have leftovers."""
    assert summary(asked, 200, body) == ReplySummary(unprocessed=unprocessed)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (DYNAMODB + "ConditionalCheckFailedException", "ConditionalCheckFailedException"),
        ("com.amazon.coral.validate#ValidationException", "ValidationException"),
        ("ValidationException:http://internal.amazon.com/coral/", "ValidationException"),
        ("AccessDeniedException", "AccessDeniedException"),
        ("", ""),
        ("x" * 65, ""),
        ("white space", ""),
        ("Name\n", ""),
        (7, ""),
        (None, ""),
        (["a#b"], ""),
    ],
)
def test_the_error_is_the_bare_name(name: Any, expected: str) -> None:
    """The part after `#` and before `:`, if it has the form of a name."""
    assert summary(GET, 400, error(name)) == ReplySummary(expected)


THROTTLE = "ProvisionedThroughputExceededException"


@pytest.mark.parametrize(
    ("body", "throttles"),
    [
        (error(DYNAMODB + THROTTLE), [Throttle(THROTTLE, "")]),
        (error(DYNAMODB + THROTTLE, ThrottlingReasons=[]), [Throttle(THROTTLE, "")]),
        (error(DYNAMODB + THROTTLE, ThrottlingReasons="x"), [Throttle(THROTTLE, "")]),
        (error(DYNAMODB + THROTTLE, ThrottlingReasons=[7]), [Throttle(THROTTLE, "")]),
        (
            error(
                DYNAMODB + THROTTLE,
                ThrottlingReasons=[
                    {"reason": "TableWriteKeyRangeThroughputExceeded", "resource": ARN},
                    {"reason": "IndexWriteProvisionedThroughputExceeded", "resource": ARN + "/index/by_status"},
                    {"reason": "IndexWriteProvisionedThroughputExceeded", "resource": ARN + "/index/by_day"},
                ],
            ),
            [
                Throttle("TableWriteKeyRangeThroughputExceeded", "orders"),
                Throttle("IndexWriteProvisionedThroughputExceeded", "orders"),
            ],
        ),
        (
            error(
                "x#RequestLimitExceeded", ThrottlingReasons=[{"reason": "TableReadAccountLimitExceeded", "resource": "orders"}]
            ),
            [Throttle("TableReadAccountLimitExceeded", "orders")],
        ),
        (
            error(
                "x#ThrottlingException", throttlingReasons=[{"reason": "TableReadMaxOnDemandThroughputExceeded", "resource": ARN}]
            ),
            [Throttle("TableReadMaxOnDemandThroughputExceeded", "orders")],
        ),
        (
            error("x#ThrottlingException", throttlingReasons=[{"reason": "made up", "resource": "no name: x"}, {"reason": []}]),
            [Throttle("ThrottlingException", "")],
        ),
        (
            error(DYNAMODB + "ConditionalCheckFailedException", ThrottlingReasons=[{"reason": "TableReadAccountLimitExceeded"}]),
            [],
        ),
    ],
)
def test_throttles_have_reason_and_table(body: dict[str, Any], throttles: list[Throttle]) -> None:
    """Reasons come from DynamoDB's sixteen, else the error's name stands for them; each pair counts once."""
    assert list(summary(GET, 400, body).throttles) == throttles


@pytest.mark.parametrize(
    ("codes", "throttles"),
    [
        (["None", "ThrottlingError", "None"], [Throttle("ThrottlingError", "stock")]),
        (
            ["ProvisionedThroughputExceeded", "ConditionalCheckFailed", "ProvisionedThroughputExceeded"],
            [Throttle("ProvisionedThroughputExceeded", "orders")],
        ),
        ([None, 7, ["ThrottlingError"], "ThrottlingError"], []),
        ([], []),
    ],
)
def test_a_cancelled_transaction_names_the_throttled_tables(codes: list[Any], throttles: list[Throttle]) -> None:
    """Reasons stand in the order of the request's members, which tells their tables."""
    body = error(DYNAMODB + "TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])
    assert summary(TRANSACTION, 400, body) == ReplySummary("TransactionCanceledException", tuple(throttles))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"\xff\xfe",
        b"null",
        b'"x"',
        b"[" * 100_000,
        b'{"__type":"x#ValidationException"' + b" " * (4 << 20) + b"}",
        b'{"__type":"x#ValidationException","a":[' + b"1," * 30_000 + b"1]}",
    ],
)
def test_errors_that_cannot_be_read_have_an_empty_summary(body: bytes) -> None:
    """Malformed, huge or foreign bodies cost little and never raise."""
    assert summary(GET, 503, body) == ReplySummary()


def test_a_hundred_reasons_are_told() -> None:
    """More than a transaction has members."""
    reasons = [{"reason": "TableReadKeyRangeThroughputExceeded", "resource": f"t{number:03}"} for number in range(101)]
    found = summary(GET, 400, error("x#ThrottlingException", throttlingReasons=reasons)).throttles
    assert [throttle.table for throttle in found] == [f"t{number:03}" for number in range(100)]


@pytest.mark.parametrize("more", [0, 1])
def test_errors_are_read_up_to_a_size(more: int) -> None:
    """4 MiB, and 20,000 colons and commas; what has one more is not looked into."""
    read = ReplySummary() if more else ReplySummary("ValidationException")
    head = b'{"__type":"x#ValidationException"'
    assert summary(GET, 400, head + b" " * ((4 << 20) - len(head) - 1 + more) + b"}") == read
    assert summary(GET, 400, head + b',"a":[' + b"1," * (20_000 - 3 + more) + b"1]}") == read


@given(st.sampled_from([GET, BATCH_GET, BATCH_WRITE, TRANSACTION]), st.sampled_from([200, 400, 500]), st.binary(max_size=100))
def test_no_reply_makes_the_summary_fail(asked: Operation, status: int, body: bytes) -> None:
    """Whatever comes from upstream, the answer of the worker does not depend on our understanding it."""
    summary(asked, status, b'{"UnprocessedKeys":' + body)
    summary(asked, status, body)


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["ThrottlingError", "TableReadAccountLimitExceeded", ARN]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Code", "reason", "resource", "Keys", "orders"]), inner)
    ),
    max_leaves=8,
)
MEMBERS = ["ThrottlingReasons", "throttlingReasons", "CancellationReasons", "UnprocessedItems", "UnprocessedKeys"]
ERRORS = [DYNAMODB + THROTTLE, "x#ThrottlingException", "RequestLimitExceeded", "TransactionCanceledException"]


@given(st.sampled_from([BATCH_GET, BATCH_WRITE, TRANSACTION]), st.sampled_from([200, 400]), st.sampled_from(ERRORS), st.data())
def test_no_shape_of_a_known_error_makes_the_summary_fail(asked: Operation, status: int, name: str, data: st.DataObject) -> None:
    """Members of the right name and the wrong shape are passed over."""
    body = error(name, **data.draw(st.dictionaries(st.sampled_from(MEMBERS), junk, max_size=3)))
    found = summary(asked, status, json.dumps(body).encode())
    assert all(isinstance(throttle.reason, str) and isinstance(throttle.table, str) for throttle in found.throttles)


STATEMENTS = operation(
    "BatchExecuteStatement",
    {"Statements": [{"Statement": f"DELETE FROM \"{table}\" WHERE pk = 'a'"} for table in ("orders", "stock", "orders")]},  # noqa: S608 - no SQL
)


@pytest.mark.parametrize(
    ("body", "throttles"),
    [
        ({"Responses": [{"Item": {}}, {}, {}]}, ()),
        ({"Responses": [{"Error": {"Code": "ThrottlingError"}}, {}, {"Error": {"Code": "ThrottlingError"}}]},
         (Throttle("ThrottlingError", "orders"),)),
        ({"Responses": [{}, {"Error": {"Code": "RequestLimitExceeded"}}]}, (Throttle("RequestLimitExceeded", "stock"),)),
        ({"Responses": [{"Error": {"Code": "DuplicateItem"}}, {"Error": "odd"}, "odd"]}, ()),
        ({"Responses": {"Error": 1}}, ()),
        (b'{"Error"', ()),
    ],
)  # fmt: skip
def test_statements_of_a_batch_are_throttled_each_for_itself(body: Any, throttles: tuple[Throttle, ...]) -> None:
    """A 200 whose members hold errors names the table of each statement that was throttled."""
    assert summary(STATEMENTS, 200, body) == ReplySummary(throttles=throttles)


def test_a_transaction_of_statements_is_cancelled_by_member() -> None:
    """As for TransactWriteItems: each reason belongs to the statement in its place."""
    asked = operation("ExecuteTransaction", {"TransactStatements": [{"Statement": "DELETE FROM \"stock\" WHERE pk = 'a'"}]})
    body = error(DYNAMODB + "TransactionCanceledException", CancellationReasons=[{"Code": "ThrottlingError"}])
    assert summary(asked, 400, body).throttles == (Throttle("ThrottlingError", "stock"),)
