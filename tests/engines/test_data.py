"""DynamoDB's data semantics reach plain boto3 as if no gateway were there: DynamoDB Local behind it, newest boto3 before it."""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import Binary
from botocore.exceptions import ClientError

from tests.stack.worker import exchange, worker_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stack.account import Account
    from tests.stack.gateway import Gateway

pytestmark = pytest.mark.needs("server", "engine", "node", "node_modules")
MAX_ITEM_BYTES = 400 * 1024


def key(pk: str, sk: str = "1") -> dict[str, Any]:
    """Key of an item of `orders`."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


@pytest.fixture(scope="module")
def table(data_gateway: Gateway, token: Callable[[str], str]) -> Any:
    """The table `orders` by boto3's resource API."""
    return worker_session(token("dag-orders")).resource("dynamodb", endpoint_url=data_gateway.url).Table("orders")


# ---------------------------------------------------------------------------------------------- one item


def test_what_is_put_can_be_got(orders: Any) -> None:
    """Every type of attribute comes back as put: binary, sets, nested, numbers at their limits, empty and unicode strings."""
    item = {
        **key("þýðing-日本-🛒", "ключ"),
        "binary": {"B": b"\x00\xff\x80"},
        "binaries": {"BS": [b"a", b"b"]},
        "empty": {"S": ""},
        "nothing": {"NULL": True},
        "numbers": {"NS": ["1", "-2.5"]},
        "big": {"N": "9.9999999999999999999999999999999999999E+125"},
        "words": {"SS": ["a", "ж"]},
        "nested": {"M": {"a": {"L": [{"BOOL": False}, {"M": {"deep": {"L": []}}}, {"S": '\u2028 " \\ /'}]}}},
    }
    orders.put_item(TableName="orders", Item=item)
    found = orders.get_item(TableName="orders", Key=key("þýðing-日本-🛒", "ключ"), ConsistentRead=True)["Item"]
    assert Decimal(found.pop("big")["N"]) == Decimal(item.pop("big")["N"])
    for sets in ("SS", "NS", "BS"):
        name = next(name for name, value in item.items() if sets in value)
        assert sorted(found.pop(name)[sets]) == sorted(item.pop(name)[sets])
    assert found == item


def test_update_returns_what_was_asked_for(orders: Any) -> None:
    """UpdateItem with expressions, placeholders and ReturnValues."""
    orders.put_item(TableName="orders", Item={**key("update"), "n": {"N": "1"}})
    done = orders.update_item(
        TableName="orders",
        Key=key("update"),
        UpdateExpression="ADD #n :one SET #s = if_not_exists(#s, :new)",
        ConditionExpression="#n < :limit",
        ExpressionAttributeNames={"#n": "n", "#s": "state"},
        ExpressionAttributeValues={":one": {"N": "1"}, ":new": {"S": "new"}, ":limit": {"N": "9"}},
        ReturnValues="ALL_NEW",
        ReturnConsumedCapacity="TOTAL",
    )
    assert done["Attributes"] == {**key("update"), "n": {"N": "2"}, "state": {"S": "new"}}
    assert done["ConsumedCapacity"]["TableName"] == "orders"


def test_delete_returns_the_old_item(orders: Any) -> None:
    """DeleteItem with a condition and ReturnValues."""
    orders.put_item(TableName="orders", Item=key("delete"))
    done = orders.delete_item(
        TableName="orders", Key=key("delete"), ConditionExpression="attribute_exists(pk)", ReturnValues="ALL_OLD"
    )
    assert done["Attributes"] == key("delete")
    assert "Item" not in orders.get_item(TableName="orders", Key=key("delete"))


def test_a_failed_condition_brings_the_item(orders: Any) -> None:
    """ConditionalCheckFailedException passes untouched, with the item that the caller asked for."""
    orders.put_item(TableName="orders", Item={**key("condition"), "owner": {"S": "a"}})
    with pytest.raises(orders.exceptions.ConditionalCheckFailedException) as failure:
        orders.put_item(
            TableName="orders",
            Item=key("condition"),
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert failure.value.response["Item"] == {**key("condition"), "owner": {"S": "a"}}
    assert failure.value.response["Error"]["Message"] == "The conditional request failed"


def test_an_item_of_the_largest_size_passes(orders: Any) -> None:
    """400 KB go through, both ways; a byte more is DynamoDB's to refuse."""
    item = {**key("large"), "b": {"B": b""}}
    room = MAX_ITEM_BYTES - len("pklargesk1b")
    orders.put_item(TableName="orders", Item={**item, "b": {"B": b"\xfe" * room}})
    found = orders.get_item(TableName="orders", Key=key("large"))["Item"]
    assert found["b"]["B"] == b"\xfe" * room
    with pytest.raises(ClientError, match="Item size has exceeded the maximum allowed size"):
        orders.put_item(TableName="orders", Item={**item, "b": {"B": b"\xfe" * (room + 1)}})


def test_a_table_may_be_named_by_its_own_arn(orders: Any, account: Account) -> None:
    """An ARN of the DAG's own account and Region is that table."""
    orders.put_item(TableName=account.table_arn("orders"), Item=key("arn"))
    assert orders.get_item(TableName="orders", Key=key("arn"))["Item"] == key("arn")
    answer = orders.batch_get_item(RequestItems={account.table_arn("orders"): {"Keys": [key("arn")]}})
    assert list(answer["Responses"].values()) == [[key("arn")]]


# ---------------------------------------------------------------------------------------------- many items


def test_query_pages_over_last_evaluated_key(orders: Any, table: Any) -> None:
    """Pages of 7 join to the whole partition, in order; by hand, by paginator, and over an index."""
    with table.batch_writer() as batch:
        for n in range(30):
            batch.put_item({"pk": "query", "sk": f"{n:03}", "status": "open" if n % 2 else "paid"})
    found, start = [], {}
    while True:
        page = table.query(KeyConditionExpression=Key("pk").eq("query"), Limit=7, **start)
        assert page["Count"] <= 7
        found += [item["sk"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert found == [f"{n:03}" for n in range(30)]
    index = orders.get_paginator("query").paginate(
        TableName="orders",
        IndexName="by_status",
        KeyConditionExpression="#s = :s",
        FilterExpression="pk = :pk",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":s": {"S": "open"}, ":pk": {"S": "query"}},
        ScanIndexForward=False,
        PaginationConfig={"PageSize": 4},
    )
    assert [item["sk"]["S"] for page in index for item in page["Items"]] == [f"{n:03}" for n in range(29, 0, -2)]


def test_scan_pages_and_batch_writer_loses_nothing(orders: Any, data_gateway: Gateway, token: Callable[[str], str]) -> None:
    """60 items of a batch_writer (three requests) are what a scan by paginator and by segments sees."""
    archive = worker_session(token("dag-orders")).resource("dynamodb", endpoint_url=data_gateway.url).Table("archive")
    with archive.batch_writer() as batch:
        for n in range(60):
            batch.put_item({"pk": f"batch-{n}", "n": n, "blob": Binary(bytes([n]))})
    pages = list(orders.get_paginator("scan").paginate(TableName="archive", PaginationConfig={"PageSize": 25}))
    assert len(pages) == 3
    assert sorted(int(item["n"]["N"]) for page in pages for item in page["Items"]) == list(range(60))
    segments = [orders.scan(TableName="archive", Segment=n, TotalSegments=3, Select="COUNT")["Count"] for n in range(3)]
    assert sum(segments) == 60
    assert archive.scan(FilterExpression=Attr("n").between(5, 9))["Count"] == 5


def test_batch_get_hands_back_unprocessed_keys(orders: Any) -> None:
    """What does not fit into 16 MB comes back as UnprocessedKeys, and the next request brings the rest."""
    names = [f"{n:02}" for n in range(45)]
    for name in names:
        orders.put_item(TableName="orders", Item={**key("unprocessed", name), "b": {"B": bytes(380_000)}})
    wanted = {"orders": {"Keys": [key("unprocessed", name) for name in names], "ConsistentRead": True}}
    found, requests = [], 0
    while wanted:
        answer = orders.batch_get_item(RequestItems=wanted)
        found += [item["sk"]["S"] for item in answer["Responses"]["orders"]]
        wanted, requests = answer["UnprocessedKeys"], requests + 1
    assert (sorted(found), requests) == (names, 2)


def test_transactions_are_whole(orders: Any) -> None:
    """TransactWriteItems writes all or nothing and says why not; TransactGetItems reads a snapshot."""
    orders.put_item(TableName="orders", Item={**key("transaction", "2"), "n": {"N": "1"}})
    writes: list[dict[str, Any]] = [
        {"Put": {"TableName": "orders", "Item": key("transaction", "1"), "ConditionExpression": "attribute_not_exists(pk)"}},
        {
            "Update": {
                "TableName": "orders",
                "Key": key("transaction", "2"),
                "UpdateExpression": "SET n = n + :one",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            }
        },
        {
            "ConditionCheck": {
                "TableName": "archive",
                "Key": {"pk": {"S": "none"}},
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        },
        {"Delete": {"TableName": "orders", "Key": key("transaction", "3")}},
    ]
    orders.transact_write_items(TransactItems=writes, ClientRequestToken="once")
    orders.transact_write_items(TransactItems=writes, ClientRequestToken="once")  # the same token: done once
    wanted = [{"Get": {"TableName": "orders", "Key": key("transaction", n)}} for n in ("1", "2")]
    found = [answer["Item"] for answer in orders.transact_get_items(TransactItems=wanted)["Responses"]]
    assert found == [key("transaction", "1"), {**key("transaction", "2"), "n": {"N": "2"}}]
    writes[0]["Put"]["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    with pytest.raises(orders.exceptions.TransactionCanceledException) as failure:
        orders.transact_write_items(TransactItems=writes)
    reasons = failure.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["ConditionalCheckFailed", "None", "None", "None"]
    assert reasons[0]["Item"] == key("transaction", "1")


def test_the_resource_api_works_unchanged(table: Any) -> None:
    """`Table` with its own types: put, get, update, delete."""
    table.put_item(Item={"pk": "resource", "sk": "1", "n": Decimal("1.5"), "tags": {"a", "b"}, "list": [None, True, {"x": b"y"}]})
    found = table.get_item(Key={"pk": "resource", "sk": "1"})["Item"]
    assert (found["n"], found["tags"], found["list"]) == (Decimal("1.5"), {"a", "b"}, [None, True, {"x": Binary(b"y")}])
    done = table.update_item(
        Key={"pk": "resource", "sk": "1"},
        UpdateExpression="REMOVE tags",
        ConditionExpression=Attr("n").gt(1),
        ReturnValues="UPDATED_OLD",
    )
    assert done["Attributes"] == {"tags": {"a", "b"}}
    table.delete_item(Key={"pk": "resource", "sk": "1"})
    assert "Item" not in table.get_item(Key={"pk": "resource", "sk": "1"})


# ---------------------------------------------------------------------------------------------- byte for byte

RAW: dict[str, tuple[str, dict[str, Any]]] = {
    "an item": ("GetItem", {"TableName": "orders", "Key": key("raw"), "ReturnConsumedCapacity": "INDEXES"}),
    "no item": ("GetItem", {"TableName": "orders", "Key": key("nobody")}),
    "a query": (
        "Query",
        {
            "TableName": "orders",
            "KeyConditionExpression": "pk = :p",
            "ExpressionAttributeValues": {":p": {"S": "raw"}},
            "Limit": 1,
        },
    ),
    "a failed condition": (
        "PutItem",
        {
            "TableName": "orders",
            "Item": key("raw"),
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
    ),
    "a key of the wrong type": ("GetItem", {"TableName": "orders", "Key": {"pk": {"N": "1"}, "sk": {"S": "1"}}}),
    "an expression that does not parse": (
        "UpdateItem",
        {"TableName": "orders", "Key": key("raw"), "UpdateExpression": "SET SET"},
    ),
    "a missing table": ("GetItem", {"TableName": "missing", "Key": {"pk": {"S": "1"}}}),
    "a missing index key": ("Query", {"TableName": "orders", "IndexName": "by_status", "KeyConditionExpression": "pk = :p"}),
}


@pytest.mark.parametrize("case", RAW)
def test_answers_are_untouched(
    case: str, data_gateway: Gateway, dynamodb_local: str, orders: Any, token: Callable[[str], str]
) -> None:
    """Status, body and checksum are the same through the gateway and past it, errors included."""
    orders.put_item(TableName="orders", Item={**key("raw"), "nested": {"M": {"é": {"L": [{"N": "1"}, {"B": b"\xff"}]}}}})
    operation, document = RAW[case]
    body = json.dumps(document).encode()
    direct = exchange(dynamodb_local, operation, body)
    through = exchange(data_gateway.url, operation, body, {"authorization": f"Bearer {token('dag-orders')}"})
    assert through.body == direct.body
    assert (through.status, through.headers["content-type"]) == (direct.status, direct.headers["content-type"])
    # this engine sends no checksum with an error
    checksum = str(zlib.crc32(through.body)) if direct.status == 200 else None
    assert through.headers.get("x-amz-crc32") == direct.headers.get("x-amz-crc32") == checksum


def test_describing_a_table_is_given_by_its_exact_name(table: Any) -> None:
    """`Table.load()` and its lazy attributes ask DescribeTable, which read, write and Scan do not hold: one attempt."""
    with pytest.raises(ClientError, match="may not DescribeTable on 'orders': no allow rule has DescribeTable") as failure:
        table.load()
    answer = failure.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["RetryAttempts"]) == ("AccessDeniedException", 0)


def test_errors_of_the_engine_are_what_boto3_raises(orders: Any) -> None:
    """ValidationException and ResourceNotFoundException keep code, message and the engine's own request id."""
    with pytest.raises(orders.exceptions.ResourceNotFoundException) as missing:
        orders.get_item(TableName="missing", Key={"pk": {"S": "1"}})
    assert "Cannot do operations on a non-existent table" in str(missing.value)
    with pytest.raises(ClientError) as invalid:
        orders.put_item(TableName="orders", Item={"pk": {"S": "no sort key"}})
    assert invalid.value.response["Error"]["Code"] == "ValidationException"
    assert len(invalid.value.response["ResponseMetadata"]["RequestId"]) > 16
    assert "x-ddb-proxy-reason" not in invalid.value.response["ResponseMetadata"]["HTTPHeaders"]
