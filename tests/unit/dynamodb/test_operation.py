"""Reading requests: what real clients send is understood, what cannot be named is refused."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import jiter
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dynamodb import names as shapes
from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.members import INPUTS
from proxy.dynamodb.operation import MAX_BACKSLASHES, operation_name, read_in_steps, read_operation
from proxy.dynamodb.seals import OpenedIterator, Seals
from proxy.dynamodb.shapes import (
    Attributes,
    ByTable,
    Choice,
    Flag,
    ListOf,
    MapOf,
    Matching,
    Number,
    Shape,
    Structure,
    Text,
    Value,
    Whole,
)
from proxy.model import Operation, TableReference, Touch
from proxy.native import IS_COMPILED
from proxy.refusal import Reason, Unreadable

V1 = b"DynamoDB_20120810."
SEALS = Seals((bytes(32),))
OPENED = OpenedIterator("arn:aws:dynamodb:us-east-1:111122223333:table/orders/stream/2026-01-01T00:00:00.000", "AAAAAAAAAAGQ")
TARGETS = {row.name: row.target.encode() for row in OPERATIONS}
ORDERS = TableReference("orders")
KEY = {"pk": {"S": "a"}}
CAPTURES = Path(__file__).parents[2] / "captures" / "requests.txt"


def read(name: str, body: Any) -> Operation:
    """Read `body`, an object or raw bytes, as a request of operation `name`."""
    return read_operation(TARGETS[name], body if isinstance(body, bytes) else orjson.dumps(body))


def refused(name: str, body: Any) -> str:
    """The message with which `body` is refused as unreadable."""
    with pytest.raises(Unreadable) as caught:
        read(name, body)
    assert caught.value.reason is Reason.UNREADABLE_BODY
    return caught.value.message


def bare(operation: Operation) -> list[Touch]:
    """Its touches without their facts."""
    return [touch._replace(facts=None) for touch in operation.touches]


# ------------------------------------------------------------------------------------------------- targets


def test_every_operation_is_served() -> None:
    """No operation of the service model is merely unknown: its body is read, and an unknown member is its own."""
    for row in OPERATIONS:
        with pytest.raises(Unreadable) as caught:
            read_operation(row.target.encode(), b'{"Frobnicate":1}')
        assert caught.value.reason is Reason.UNREADABLE_BODY
        assert caught.value.message.startswith(f"the body of {row.name} has a member `Frobnicate` that")


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"GetItem",
        b"DynamoDB_20120810.getitem",
        b"dynamodb_20120810.GetItem",
        b"DynamoDB_20111205.GetItem",
        b"DynamoDBStreams_20120810.GetItem",
        b"DynamoDB_20120810.GetRecords",
        b"DynamoDB_20120810.FrobnicateTable",
        b"DynamoDB_20120810.GetItem ",
        b"DynamoDB_20120810.GetItem\n",
        b"DynamoDB_20120810.GetItem,DynamoDB_20120810.DeleteTable",
        b"DynamoDB_20120810.G\xc3\xa9tItem",
        b"DynamoDB_20120810.GetItem\x00",
        b"x" * 9000,
    ],
)
def test_a_target_that_is_not_exactly_a_known_one_is_unknown(target: bytes) -> None:
    """Case, version, surroundings: the whole target is compared, and its label is bounded."""
    with pytest.raises(Unreadable) as caught:
        read_operation(target, b"{}")
    assert caught.value.reason is Reason.UNKNOWN_OPERATION
    assert len(caught.value.message) < 250
    assert caught.value.message.isprintable()
    assert operation_name(target) == "unknown"


def test_the_label_of_a_known_target_is_its_name() -> None:
    """Labels come from the product's table, for served and refused operations alike."""
    assert operation_name(b"DynamoDB_20120810.GetItem") == "GetItem"
    assert operation_name(b"DynamoDB_20120810.DeleteTable") == "DeleteTable"
    assert operation_name(b"DynamoDBStreams_20120810.GetRecords") == "GetRecords"


# --------------------------------------------------------------------------------------------- strict JSON


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xef\xbb\xbf" + b'{"TableName":"orders","Key":{}}',
        '{"TableName":"orders","Key":{}}'.encode("utf-16"),
        '{"TableName":"orders","Key":{}}'.encode("utf-16-le"),
        b'{"TableName":"orders","Key":{},"TableName":"secrets"}',
        b'{"TableName":"orders","Key":{},"Table\\u004eame":"secrets"}',
        b'{"TableName":"orders","Key":{"pk":{"S":"a"},"pk":{"S":"b"}}}',
        b'{"TableName":"orders","Key":{"pk":{"S":"a","S":"b"}}}',
        b'{"TableName":"orders","Key":{}}{}',
        b'{"TableName":"orders","Key":{}} x',
        b'{"TableName":"orders","Key":{},}',
        b"{'TableName':'orders'}",
        b'{"TableName":"orders","Key":{"a":{"S":"\\ud800"}}}',
        b'{"TableName":"orders","Key":{"a":{"S":"\xed\xa0\x80"}}}',
        b'{"TableName":"orders","Key":{"a":{"S":"\xff"}}}',
        b'{"TableName":"orders","Key":{"a":{"S":"\n"}}}',
        b'{"TableName":"orders","Key":{"a":' + b"[" * 50_000,
        b'{"TableName":"orders","Key":' + b'{"a":' * 201 + b"1" + b"}" * 202,
        b'{"TableName":"orders","Key":{}/* */}',
        b'{"TableName":"orders","Key":{"a":NaN}}',
        b'{"TableName":"orders","Key":{"a":-Infinity}}',
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    """Whatever two parsers could read in two ways is refused before anything is judged."""
    assert "not strict JSON" in refused("GetItem", body)


def test_no_request_renames_the_attributes_of_another() -> None:
    """As orjson would: its cache of keys compares hashes alone (xxh3, 64 bits, no seed), and this one is that of `status`."""
    chosen = b"aWY6EJllUyl84A1nzBodyv7mBcgmLoWZSEh7SLF86ChbpClE93AQ-gxlxkDngppC"
    read("PutItem", b'{"TableName":"mine","Item":{"%b":{"S":"x"}}}' % chosen)
    others = b'{"TableName":"orders","Item":{"pk":{"S":"a"},"status":{"S":"paid"}}}'
    assert read("PutItem", others).body == others


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"10.0", b"1e1", b"9" * 5000, b"-1", b"0", b"01"]
)
def test_a_limit_that_is_no_whole_number_is_refused(number: bytes) -> None:
    """Floats and what is out of range never travel: 1e400 would be written as null."""
    refused("Query", b'{"TableName":"orders","Limit":' + number + b"}")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true", b'[{"TableName":"orders"}]'])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    """The top level is an object."""
    assert refused("Scan", body) == "the body of Scan must be an object"


def test_messages_about_bad_json_quote_nothing_of_it() -> None:
    """A duplicate member's name may be an attribute or a value gone astray."""
    message = refused("GetItem", b'{"TableName":"orders","Key":{"s3cret":{"S":"a"},"s3cret":{"S":"b"}}}')
    assert "s3cret" not in message
    strict = "UTF-8 without byte order mark, each member once, no NaN, at most 200 levels"
    assert re.sub("[0-9]+", "1", message) == f"the body is not strict JSON (line 1 column 1): {re.sub('[0-9]+', '1', strict)}"


def test_a_body_of_too_many_members_is_refused_before_it_is_parsed() -> None:
    """The bound counts colons and commas, so that it costs microseconds."""
    body = orjson.dumps({"TableName": "orders", "Item": {f"a{i}": {"N": "1"} for i in range(30)}})
    assert len(read_operation(V1 + b"PutItem", body, max_members=100).touches) == 1
    with pytest.raises(Unreadable, match="more than 90 colons and commas"):
        read_operation(V1 + b"PutItem", body, max_members=90)
    count = body.count(b":") + body.count(b",")
    assert len(read_operation(V1 + b"PutItem", body, max_members=count).touches) == 1
    for one in (b"1,  ", b"1,"):  # the second as dense as can be
        assert "more than 60000 colons and commas" in refused("PutItem", b"[" + one * 60_001 + b"1]")
    assert "must be an object" in refused("PutItem", b"[" + b"1,  " * 60_000 + b"1]")


def test_a_body_of_too_many_escapes_is_refused_before_it_is_parsed() -> None:
    """Each takes ten times as long as a letter, to be read and to be written."""
    escapes = b"\\n" * MAX_BACKSLASHES
    assert "must be an object" in refused("PutItem", b'"%s"' % escapes)
    assert "more than 2000000 backslashes" in refused("PutItem", b'"%s\\n"' % escapes)
    shorter = b"\\\\" * (MAX_BACKSLASHES - 1)  # of so few bytes nothing is counted
    assert "must be an object" in refused("PutItem", b'"%s"' % shorter)


def test_what_is_read_in_steps_is_the_same() -> None:
    """The operation of the whole, after pauses; and its refusals, whichever step finds them."""

    def in_steps(name: str, body: bytes) -> Any:
        steps = read_in_steps(TARGETS.get(name, b"unknown"), body, 60_000, SEALS, "etl")
        pauses = 0
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return pauses, end.value
            except Unreadable as refusal:
                return pauses, refusal.message
            pauses += 1

    put = orjson.dumps({"TableName": "orders", "Item": {"pk": {"S": "a"}}})
    pauses, operation = in_steps("PutItem", put)
    whole = read("PutItem", put)
    strictly = 0 if IS_COMPILED else 1  # a pause more, where members are not counted
    assert pauses == 4 + strictly
    assert (operation.name, operation.target, operation.is_write) == (whole.name, whole.target, whole.is_write)
    assert (operation.body, operation.plane, operation.stream) == (whole.body, whole.plane, whole.stream)
    assert [touch[:4] for touch in operation.touches] == [touch[:4] for touch in whole.touches]
    assert in_steps("PutItem", b"[" + b"1,  " * 60_001 + b"1]") == (2, refused("PutItem", b"[" + b"1,  " * 60_001 + b"1]"))
    large = b'"' + b" " * 4_000_001 + b'"'  # colons, commas and backslashes are each counted in a turn of their own
    assert in_steps("PutItem", large) == (5 + strictly, "the body of PutItem must be an object")
    assert in_steps("PutItem", b"\\" * 4_000_001) == (3, refused("PutItem", b"\\" * 4_000_001))
    assert in_steps("PutItem", b"{")[0] == 3  # of what cannot be counted the strict parser tells
    assert in_steps("PutItem", b'{"TableName":"a","TableName":"a"}')[0] == 3
    assert in_steps("PutItem", b"[]") == (3 + strictly, "the body of PutItem must be an object")
    records = orjson.dumps({"ShardIterator": SEALS.seal_iterator(OPENED, "etl", bytes(12))})
    assert in_steps("GetRecords", records)[1].stream == OPENED.stream
    assert in_steps("GetRecord", records)[0] == 0


@pytest.mark.parametrize(
    ("name", "body", "is_write"),
    [
        ("ExecuteStatement", {"Statement": "SELECT * FROM orders WHERE pk = 'a'"}, False),
        ("ExecuteStatement", {"Statement": "DELETE FROM orders WHERE pk = 'a'"}, True),
        ("ExecuteTransaction", {"TransactStatements": [{"Statement": "SELECT * FROM orders WHERE pk = 'a'"}]}, False),
        (
            "BatchExecuteStatement",
            {"Statements": [{"Statement": f"{verb} FROM orders WHERE pk = 'a'"} for verb in ("SELECT *", "DELETE")]},
            True,
        ),
    ],
)
def test_statements_are_a_write_where_one_of_them_writes(name: str, body: Any, is_write: bool) -> None:
    """A write is recorded before it leaves; what only reads need not wait for that."""
    assert read(name, orjson.dumps(body)).is_write is is_write


# ------------------------------------------------------------------------------------------------- touches


def put(table: str = "orders") -> dict[str, Any]:
    """A transaction's Put."""
    return {"Put": {"TableName": table, "Item": KEY}}


@pytest.mark.parametrize(
    ("name", "body", "is_write", "touches"),
    [
        ("GetItem", {"TableName": "orders", "Key": KEY}, False, [Touch("GetItem", ORDERS)]),
        ("PutItem", {"TableName": "orders", "Item": KEY}, True, [Touch("PutItem", ORDERS)]),
        ("UpdateItem", {"TableName": "orders", "Key": KEY}, True, [Touch("UpdateItem", ORDERS)]),
        ("DeleteItem", {"TableName": "orders", "Key": KEY}, True, [Touch("DeleteItem", ORDERS)]),
        ("Query", {"TableName": "orders"}, False, [Touch("Query", ORDERS)]),
        ("Query", {"TableName": "orders", "IndexName": "by_status"}, False, [Touch("Query", ORDERS, "by_status")]),
        ("Scan", {"TableName": "orders", "IndexName": "by_status"}, False, [Touch("Scan", ORDERS, "by_status")]),
        (
            "BatchGetItem",
            {"RequestItems": {"orders": {"Keys": [KEY, KEY]}, "stock": {"Keys": [KEY]}}},
            False,
            [
                Touch("GetItem", ORDERS, "", 1),
                Touch("GetItem", ORDERS, "", 2),
                Touch("GetItem", TableReference("stock"), "", 3),
            ],
        ),
        (
            "BatchWriteItem",
            {"RequestItems": {"orders": [{"PutRequest": {"Item": KEY}}, {"DeleteRequest": {"Key": KEY}}]}},
            True,
            [Touch("PutItem", ORDERS, "", 1), Touch("DeleteItem", ORDERS, "", 2)],
        ),
        (
            "TransactGetItems",
            {"TransactItems": [{"Get": {"TableName": "orders", "Key": KEY}}, {"Get": {"TableName": "stock", "Key": KEY}}]},
            False,
            [Touch("GetItem", ORDERS, "", 1), Touch("GetItem", TableReference("stock"), "", 2)],
        ),
        (
            "TransactWriteItems",
            {
                "TransactItems": [
                    put(),
                    {"Update": {"TableName": "orders", "Key": KEY, "UpdateExpression": "SET a = :a"}},
                    {"Delete": {"TableName": "orders", "Key": KEY}},
                    {"ConditionCheck": {"TableName": "stock", "Key": KEY, "ConditionExpression": "attribute_exists(pk)"}},
                ]
            },
            True,
            [
                Touch("PutItem", ORDERS, "", 1),
                Touch("UpdateItem", ORDERS, "", 2),
                Touch("DeleteItem", ORDERS, "", 3),
                Touch("ConditionCheckItem", TableReference("stock"), "", 4),
            ],
        ),
    ],
)
def test_each_member_is_one_touch(name: str, body: Any, is_write: bool, touches: list[Touch]) -> None:
    """Every member of a batch or transaction has its action, table and place; single operations have one touch."""
    operation = read(name, body)
    assert (operation.name, operation.target) == (name, f"DynamoDB_20120810.{name}")
    assert operation.is_write is is_write
    assert bare(operation) == touches


def test_an_arn_names_partition_region_and_account() -> None:
    """The account and Region of an ARN are part of what is touched."""
    operation = read("GetItem", {"TableName": "arn:aws-cn:dynamodb:cn-north-1:999999999999:table/orders", "Key": KEY})
    assert operation.touches[0].table == TableReference("orders", "aws-cn", "cn-north-1", "999999999999")


def test_name_and_arn_of_one_table_are_judged_each_for_itself() -> None:
    """A batch may name one table in both forms; each is a touch of its own."""
    arn = "arn:aws:dynamodb:us-east-1:111122223333:table/orders"
    operation = read("BatchGetItem", {"RequestItems": {"orders": {"Keys": [KEY]}, arn: {"Keys": [KEY]}}})
    assert [touch.table for touch in operation.touches] == [
        ORDERS,
        TableReference("orders", "aws", "us-east-1", "111122223333"),
    ]


BAD_TABLES = [
    "",
    "ab",
    "x" * 256,
    "orders\n",
    "orders ",
    "ord\u00ebrs",
    "\uff4frders",
    "orders/index/by_status",
    "*",
    "ord*",
    "arn:aws:dynamodb:us-east-1:111122223333:table/orders/index/by_status",
    "arn:aws:dynamodb:us-east-1:111122223333:table/orders/stream/2026-01-01T00:00:00.000",
    "arn:aws:dynamodb:us-east-1:111122223333:table/*",
    "arn:aws:dynamodb:*:111122223333:table/orders",
    "arn:aws:dynamodb:us-east-1::table/orders",
    "arn:aws:dynamodb::111122223333:table/orders",
    "arn:aws:dynamodb:us-east-1:11112222333\u0663:table/orders",
    "arn:aws:s3:us-east-1:111122223333:table/orders",
    "ARN:aws:dynamodb:us-east-1:111122223333:table/orders",
    "arn:aws:dynamodb:us-east-1:111122223333:table/orders\n",
    " arn:aws:dynamodb:us-east-1:111122223333:table/orders",
    None,
    7,
    ["orders"],
    {"S": "orders"},
]


@pytest.mark.parametrize("table", BAD_TABLES)
def test_a_table_that_is_neither_name_nor_exact_arn_is_refused(table: Any) -> None:
    """What could name another resource than the one that is judged does not pass, wherever a table stands."""
    assert refused("GetItem", {"TableName": table, "Key": KEY}).startswith("`TableName` of GetItem ")
    message = refused("TransactWriteItems", {"TransactItems": [put(), put(table)]})
    assert message.startswith("`TransactItems[1].Put.TableName` of TransactWriteItems ")
    if isinstance(table, str):
        refused("BatchGetItem", {"RequestItems": {table: {"Keys": [KEY]}}})
        message = refused("BatchWriteItem", {"RequestItems": {table: [{"PutRequest": {"Item": KEY}}]}})
        assert message.startswith("`RequestItems` of BatchWriteItem has a key that must name a table")


@pytest.mark.parametrize("index", ["", "ab", "x" * 256, "by status", "orders/index/by_status", None, 3])
def test_an_index_that_is_no_name_is_refused(index: Any) -> None:
    """An index is named plainly or not at all."""
    assert refused("Query", {"TableName": "orders", "IndexName": index}).startswith("`IndexName` of Query ")


# ------------------------------------------------------------------------------------------------- members


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("GetItem", {}, "the body of GetItem lacks `Key`, `TableName`"),
        ("GetItem", {"TableName": "orders", "Key": KEY, "tablename": "x"}, "the body of GetItem has a member `tablename` that"),
        ("GetItem", {"TableName": "orders", "Key": KEY, "a b": "x"}, "the body of GetItem has a member whose name the gateway"),
        ("Query", {"TableName": "orders", "VectorIndexes": []}, "the body of Query has a member `VectorIndexes` that"),
        ("Query", {"TableName": "orders", "Limit": None}, "`Limit` of Query is null; leave the member out"),
        ("Query", {"TableName": "orders", "ConsistentRead": "true"}, "`ConsistentRead` of Query must be true or false"),
        ("Query", {"TableName": "orders", "Select": "count"}, "`Select` of Query must be one of ALL_ATTRIBUTES, "),
        ("Query", {"TableName": "orders", "Select": ["COUNT"]}, "`Select` of Query must be one of ALL_ATTRIBUTES, "),
        ("Query", {"TableName": "orders", "Limit": True}, "`Limit` of Query must be a whole number from 1 to 2147483647"),
        ("Query", {"TableName": "orders", "AttributesToGet": []}, "`AttributesToGet` of Query must have at least 1 members"),
        ("Query", {"TableName": "orders", "AttributesToGet": "a"}, "`AttributesToGet` of Query must be a list"),
        ("Query", {"TableName": "orders", "AttributesToGet": [1]}, "`AttributesToGet[0]` of Query must be a string"),
        ("Query", {"TableName": "orders", "KeyConditions": []}, "`KeyConditions` of Query must be an object"),
        ("Query", {"TableName": "orders", "KeyConditions": {"pk": {}}}, "`KeyConditions.*` of Query lacks `ComparisonOperator`"),
        (
            "Query",
            {"TableName": "orders", "QueryFilter": {"secret": {"ComparisonOperator": "LIKE"}}},
            "`QueryFilter.*.ComparisonOperator` of Query must be one of EQ, ",
        ),
        ("Scan", {"TableName": "orders", "Segment": 1_000_000}, "`Segment` of Scan must be a whole number from 0 to 999999"),
        ("Scan", {"TableName": "orders", "TotalSegments": 0}, "`TotalSegments` of Scan must be a whole number from 1 to 1000000"),
        ("PutItem", {"TableName": "orders", "Item": []}, "`Item` of PutItem must be an object of attributes"),
        ("PutItem", {"TableName": "orders", "Item": KEY, "Expected": {"a": 1}}, "`Expected.*` of PutItem must be an object"),
        ("BatchGetItem", {"RequestItems": {}}, "`RequestItems` of BatchGetItem must name 1 to 100 tables"),
        ("BatchGetItem", {"RequestItems": []}, "`RequestItems` of BatchGetItem must be an object of tables"),
        (
            "BatchGetItem",
            {"RequestItems": {"orders": {"Keys": []}}},
            "`RequestItems.orders.Keys` of BatchGetItem must have 1 to 100",
        ),
        ("BatchGetItem", {"RequestItems": {"orders": None}}, "`RequestItems.orders` of BatchGetItem must be an object"),
        (
            "BatchGetItem",
            {"RequestItems": {"orders": {"Keys": [KEY] * 60}, "stock": {"Keys": [KEY] * 41}}},
            "the body of BatchGetItem asks for 101 keys over all tables; DynamoDB takes 100",
        ),
        ("BatchWriteItem", {"RequestItems": {}}, "`RequestItems` of BatchWriteItem must name 1 to 25 tables"),
        ("BatchWriteItem", {"RequestItems": {"orders": []}}, "`RequestItems.orders` of BatchWriteItem must have 1 to 25 members"),
        (
            "BatchWriteItem",
            {"RequestItems": {"orders": [{"PutRequest": {"Item": KEY}}] * 16 + [{}]}},
            "`RequestItems.orders[16]` of BatchWriteItem must have exactly one of PutRequest, DeleteRequest",
        ),
        (
            "BatchWriteItem",
            {"RequestItems": {"orders": [{"PutRequest": {"Item": KEY}, "DeleteRequest": {"Key": KEY}}]}},
            "`RequestItems.orders[0]` of BatchWriteItem must have exactly one of PutRequest, DeleteRequest",
        ),
        (
            "BatchWriteItem",
            {"RequestItems": {"orders": [{"PutRequest": {"Item": KEY}}] * 16 + [{"PutRequest": {"Item": {"a": "plain"}}}]}},
            "`RequestItems.orders[16].PutRequest.Item` of BatchWriteItem has a value that is not an object of exactly one type",
        ),
        (
            "BatchWriteItem",
            {"RequestItems": {table: [{"PutRequest": {"Item": KEY}}] * 13 for table in ("orders", "stock")}},
            "the body of BatchWriteItem has 26 writes over all tables; DynamoDB takes 25",
        ),
        (
            "DescribeBackup",
            {"BackupArn": "nightly"},
            "`BackupArn` of DescribeBackup must be exactly arn:<partition>:dynamodb:<region>:<account>:table/<name>/backup/",
        ),
        ("TransactGetItems", {"TransactItems": []}, "`TransactItems` of TransactGetItems must have 1 to 100 members"),
        ("TransactGetItems", {"TransactItems": [{}]}, "`TransactItems[0]` of TransactGetItems lacks `Get`"),
        ("TransactGetItems", {"TransactItems": [put()]}, "`TransactItems[0]` of TransactGetItems has a member `Put` that"),
        ("TransactWriteItems", {"TransactItems": [{}]}, "`TransactItems[0]` of TransactWriteItems must have exactly one of"),
        ("TransactWriteItems", {"TransactItems": [{"Put": None}]}, "`TransactItems[0].Put` of TransactWriteItems is null"),
        (
            "TransactWriteItems",
            {"TransactItems": [put()] * 101},
            "`TransactItems` of TransactWriteItems must have 1 to 100 members",
        ),
        (
            "TransactWriteItems",
            {"TransactItems": [{**put(), "Delete": {"TableName": "secrets", "Key": KEY}}]},
            "`TransactItems[0]` of TransactWriteItems must have exactly one of ConditionCheck, Put, Delete, Update",
        ),
        (
            "TransactWriteItems",
            {"TransactItems": [put()], "ClientRequestToken": "x" * 37},
            "`ClientRequestToken` of TransactWriteItems must have 1 to 36 characters",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(name: str, body: Any, message: str) -> None:
    """Unknown, missing, null, mistyped and miscounted members are refused; the sentence leads to them."""
    assert refused(name, body).startswith(message)


def test_the_largest_batches_are_read() -> None:
    """As many members as DynamoDB takes, over tables and in one."""
    puts = [{"PutRequest": {"Item": KEY}}] * 25
    for tables in ({"orders": puts}, {"orders": puts[:12], "stock": puts[12:]}):
        assert len(read("BatchWriteItem", orjson.dumps({"RequestItems": tables})).touches) == 25
    for counts in ((100,), (60, 40)):
        wanted = {f"table{at}": {"Keys": [KEY] * count} for at, count in enumerate(counts)}
        assert len(read("BatchGetItem", orjson.dumps({"RequestItems": wanted})).touches) == 100
    assert len(read("TransactWriteItems", orjson.dumps({"TransactItems": [put()] * 100})).touches) == 100


def test_members_are_forwarded_in_their_order_and_without_white_space() -> None:
    """What leaves is the judged object, written again: escapes resolved, order kept."""
    operation = read("GetItem", b' {"Key" : {"b":{"S":"\\u00e9\\u0000"}, "a":{"N":"01.50"}},\n "TableName": "\\u006frders"}\r\n')
    assert operation.body == '{"Key":{"b":{"S":"é\\u0000"},"a":{"N":"01.50"}},"TableName":"orders"}'.encode()
    assert operation.table == "orders"


def test_data_that_looks_like_a_request_stays_data() -> None:
    """Attributes may be named as members are, and hold any text."""
    item = {"pk": {"S": "a"}, "TableName": {"S": "secrets"}, "notes": {"S": '{"TableName":"secrets"}\r\nX-Amz-Target: x'}}
    operation = read("PutItem", {"TableName": "orders", "Item": item})
    assert bare(operation) == [Touch("PutItem", ORDERS)]
    assert json.loads(operation.body)["Item"] == item


# ---------------------------------------------------------------------------------------------- real input


def captured() -> list[tuple[str, bytes]]:
    """Target and body of each captured request."""
    lines = CAPTURES.read_text("utf-8").splitlines()[1:]
    return [(target, body.encode()) for _, target, body in (line.split("\t") for line in lines)]


@pytest.mark.parametrize(("target", "body"), captured())
def test_what_real_clients_send_is_read_and_forwarded_unchanged(target: str, body: bytes) -> None:
    """Bodies of boto3, aiobotocore and Airflow's hooks pass, equal as JSON."""
    operation = read_operation(target.encode(), body)
    assert json.loads(operation.body) == json.loads(body)


AIRFLOW_USES = {
    "BatchGetItem",
    "BatchWriteItem",
    "DeleteItem",
    "GetItem",
    "PutItem",
    "Query",
    "Scan",
    "TransactWriteItems",
    "UpdateItem",
}


def test_the_captures_cover_the_operations_that_airflow_uses() -> None:
    """A capture file that lost its rows would prove nothing."""
    assert {operation_name(target.encode()) for target, _ in captured()} == AIRFLOW_USES


# ---------------------------------------------------------------------------------------------- properties

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
names = st.from_regex(r"[A-Za-z0-9_.\-]{3,20}", fullmatch=True)
tables = names | names.map("arn:aws:dynamodb:eu-central-1:111122223333:table/{}".format)
numbers = st.from_regex(r"[+-]?([0-9]{1,20}(\.[0-9]{0,18})?|\.[0-9]{1,9})([eE][+-]?[0-9]{1,2})?", fullmatch=True)
blobs = st.binary(max_size=12).map(lambda raw: base64.b64encode(raw).decode())
leaves = st.one_of(
    text.map(lambda value: {"S": value}),
    numbers.map(lambda value: {"N": value}),
    blobs.map(lambda value: {"B": value}),
    st.lists(text, max_size=2).map(lambda value: {"SS": value}),
    st.lists(numbers, max_size=2).map(lambda value: {"NS": value}),
    st.lists(blobs, max_size=2).map(lambda value: {"BS": value}),
    st.booleans().map(lambda value: {"BOOL": value}),
    st.just({"NULL": True}),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda value: {"L": value})
        | st.dictionaries(text, inner, max_size=2).map(lambda value: {"M": value})
    ),
    max_leaves=4,
)


TABLE_ARN = "arn:aws:dynamodb:eu-central-1:111122223333:table/orders"
MATCHING: dict[Matching, st.SearchStrategy[str]] = {
    shapes.TABLE: tables,
    shapes.OWN_TABLE: names,
    shapes.INDEX: names,
    shapes.BACKUP: names,
    shapes.BACKUP_ARN: st.just(f"{TABLE_ARN}/backup/01489602797149-73d8d5bc"),
    shapes.EXPORT_ARN: st.just(f"{TABLE_ARN}/export/01489602797149-73d8d5bc"),
    shapes.IMPORT_ARN: st.just(f"{TABLE_ARN}/import/01489602797149-73d8d5bc"),
    shapes.BULK_OPERATION_ARN: st.just(f"{TABLE_ARN}/bulk-operation/01489602797149-73d8d5bc"),
    shapes.STREAM_ARN: st.just(f"{TABLE_ARN}/stream/2026-01-01T00:00:00.000"),
    shapes.KINESIS_ARN: st.just("arn:aws:kinesis:eu-central-1:111122223333:stream/changes"),
    shapes.RESOURCE_ARN: st.sampled_from([TABLE_ARN, f"{TABLE_ARN}/stream/2026-01-01T00:00:00.000"]),
    shapes.REGION: st.sampled_from(["eu-central-1", "us-gov-west-1"]),
    shapes.BUCKET: st.just("my-bucket.1"),
    shapes.ACCOUNT: st.just("111122223333"),
    shapes.KMS_KEY: st.sampled_from(["alias/orders", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"]),
    shapes.ROLE_ARN: st.just("arn:aws:iam::111122223333:role/aws-service-role/scaling"),
}


def valid(shape: Shape) -> st.SearchStrategy[Any]:
    """Everything small that fits `shape`."""
    match shape:
        case Text():
            return st.text(
                st.characters(exclude_categories=("Cs",)),
                min_size=shape.shortest,
                max_size=max(shape.shortest, min(shape.longest, 12)),
            )
        case Matching():
            return MATCHING[shape]
        case Number():
            return st.integers(int(max(shape.least, -(2**53))), int(min(shape.most, 2**53)))
        case Choice():
            return st.sampled_from(shape.words)
        case Flag():
            return st.booleans()
        case Whole():
            return st.integers(shape.least, shape.most)
        case Value():
            return values
        case Attributes():
            return st.dictionaries(text, values, max_size=2)
        case ListOf():
            return st.lists(valid(shape.member), min_size=shape.fewest, max_size=min(max(shape.fewest, 2), shape.most))
        case MapOf():
            return st.dictionaries(text, valid(shape.member), max_size=2)
        case ByTable():
            return st.dictionaries(tables, valid(shape.member), min_size=1, max_size=2)
        case Structure(one_only=True):
            return st.one_of([st.fixed_dictionaries({name: valid(member)}) for name, member in shape.members.items()])
        case Structure():
            required = {name: valid(shape.members[name]) for name in shape.required}
            optional = {name: valid(member) for name, member in shape.members.items() if name not in shape.required}
            return st.fixed_dictionaries(required, optional=optional)
        case _:
            raise AssertionError(shape)


REQUESTS = {
    name: valid(shape)
    for name, shape in INPUTS.items()
    if "Statement" not in name and name not in ("ExecuteTransaction", "GetRecords")  # their text says more than their members
}
REQUESTS["RestoreTableToPointInTime"] = REQUESTS["RestoreTableToPointInTime"].filter(
    lambda request: "SourceTableName" in request or "SourceTableArn" in request
)


@given(st.sampled_from(sorted(REQUESTS)).flatmap(lambda name: st.tuples(st.just(name), REQUESTS[name])))
@settings(max_examples=300, deadline=None)
def test_valid_requests_are_never_refused_and_forwarded_as_parsed(drawn: tuple[str, Any]) -> None:
    """Whatever the tables of members allow passes, loses nothing, and reads the same when it is read again."""
    name, request = drawn
    operation = read(name, json.dumps(request).encode())
    assert jiter.from_json(operation.body) == request
    assert list(json.loads(operation.body)) == list(request)
    again = read(name, operation.body)
    assert bare(again) == bare(operation)
    assert again.body == operation.body


@given(st.sampled_from([row.target.encode() for row in OPERATIONS] + [b"x"]), st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(target: bytes, body: bytes) -> None:
    """No bytes make the reader fail in another way than by refusing."""
    if body.strip() == b"{}":  # the request of operations without a required member
        return
    with pytest.raises(Unreadable) as caught:
        read_operation(target, body)
    assert caught.value.message.isprintable()


def forwarded_or_refused(name: str, body: bytes) -> bytes:
    """The bytes that would be forwarded, or none if `body` is refused."""
    try:
        return read(name, body).body
    except Unreadable:
        return b""


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(text | st.sampled_from(["S", "N", "L", "M", "Put", "Keys"]), inner)
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(REQUESTS)).flatmap(lambda name: st.tuples(st.just(name), REQUESTS[name])), st.data())
@settings(max_examples=300, deadline=None)
def test_requests_with_one_member_replaced_pass_unchanged_or_are_refused(drawn: tuple[str, Any], data: st.DataObject) -> None:
    """Junk in the place of any member is refused or was a value after all; it never crashes and never changes."""
    name, request = drawn
    member = data.draw(st.sampled_from([*INPUTS[name].members, "Extra"]))
    request = {**request, member: data.draw(json_values)}
    body = json.dumps(request).encode()
    if forwarded := forwarded_or_refused(name, body):
        assert member != "Extra"
        assert json.loads(forwarded) == request
