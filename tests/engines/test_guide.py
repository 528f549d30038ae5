"""Nothing that ordinary code does is refused: the examples of the boto3 guide, paginators and waiters.

Each under a policy that grants just what it needs, newest boto3 before the gateway, DynamoDB Local behind it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import TypeSerializer

from tests.engines.conftest import settings_for
from tests.engines.examples import Examples
from tests.stack.account import administrator, create_table
from tests.stack.gateway import gateway as start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.examples import Worker
    from tests.stack.account import Account
    from tests.stack.gateway import Gateway
    from tests.stack.oidc_provider import IdentityProvider

pytestmark = pytest.mark.needs("server", "engine", "node", "node_modules", "java", "dynamodb_local")
GUIDE = Examples(
    "{users: {key: 'username (S), last_name (S)'}, made: {key: 'username (S), last_name (S)'}, "
    "gone: {key: 'pk (S)'}, waited: {key: 'pk (S)'}, events: {key: 'pk (S), n (N)', indexes: {by_kind: 'kind (S), n (N)'}}}"
)
USERS: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "username", "KeyType": "HASH"}, {"AttributeName": "last_name", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "username", "AttributeType": "S"},
        {"AttributeName": "last_name", "AttributeType": "S"},
    ],
    "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
}
JANE: dict[str, Any] = {
    "username": "janedoe",
    "first_name": "Jane",
    "last_name": "Doe",
    "age": 25,
    "account_type": "standard_user",
    "address": {"road": "1 Jefferson Street", "city": "Los Angeles", "state": "CA", "zipcode": 90001},
}
JANES_KEY = {"username": "janedoe", "last_name": "Doe"}


def typed(item: dict[str, Any]) -> dict[str, Any]:
    """An item as the low-level API writes it."""
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


@pytest.fixture(scope="module")
def gateway(account: Account, oidc_provider: IdentityProvider, dynamodb_local: str, logs: Path) -> Iterator[Gateway]:
    """A gateway with the examples' policies, before tables with something in them."""
    dynamodb = administrator(account.engine, "dynamodb", dynamodb_local)
    dynamodb.create_table(TableName="users", **USERS)
    for name in ("gone", "waited"):
        create_table(dynamodb, name, "pk:S")
    create_table(dynamodb, "events", "pk:S", "n:N", by_kind=("kind:S", "n:N"))
    dynamodb.put_item(TableName="users", Item=typed(JANE))
    for n in range(20):
        dynamodb.put_item(TableName="events", Item=typed({"pk": "all", "n": n, "kind": f"k{n % 2}", "name": "x"}))
    settings = settings_for(account, oidc_provider, dynamodb_local, environment="")
    with start(settings, logs / "guide", policies=GUIDE.policies(), env=account.gateway_environment()) as running:
        yield running


# ------------------------------------------------------------------ the guide, in its order


@GUIDE.needs("{actions: [CreateTable, DescribeTable], tables: [made]}", "{actions: [DeleteTable], tables: [made]}")
def creating_and_deleting_a_table(worker: Worker) -> None:
    """Create, wait, look at it, delete, wait."""
    table = worker.resource().create_table(TableName="made", **USERS)
    table.wait_until_exists()
    assert table.item_count == 0
    table.delete()
    table.wait_until_not_exists()


@GUIDE.needs("{actions: [DescribeTable], tables: [users]}")
def using_an_existing_table(worker: Worker) -> None:
    """Lazy attributes ask DescribeTable."""
    table = worker.table("users")
    assert table.creation_date_time
    table.load()
    table.reload()
    assert table.table_status == "ACTIVE"


@GUIDE.needs("{actions: [PutItem], tables: [users]}", "{actions: [GetItem], tables: [users]}")
def putting_and_getting_an_item(worker: Worker) -> None:
    """put_item and get_item of the resource API."""
    table = worker.table("users")
    table.put_item(Item={**JANE, "username": "put"})
    assert table.get_item(Key={**JANES_KEY, "username": "put"})["Item"]["age"] == 25


@GUIDE.needs("{actions: [PutItem, UpdateItem, DeleteItem], tables: [users]}")
def updating_and_deleting_an_item(worker: Worker) -> None:
    """update_item with SET, and delete_item."""
    table = worker.table("users")
    key = {**JANES_KEY, "username": "updated"}
    table.put_item(Item={**JANE, **key})
    table.update_item(Key=key, UpdateExpression="SET age = :val1", ExpressionAttributeValues={":val1": 26})
    table.update_item(
        Key=key,
        UpdateExpression="SET address.#s = :s, tags = list_append(if_not_exists(tags, :no), :tags) REMOVE first_name ADD age :n",
        ConditionExpression=Attr("account_type").eq("standard_user") & Attr("address.city").begins_with("Los"),
        ExpressionAttributeNames={"#s": "state"},
        ExpressionAttributeValues={":s": "NY", ":no": [], ":tags": ["a"], ":n": Decimal(1)},
        ReturnValues="UPDATED_NEW",
    )
    table.delete_item(Key=key)


@GUIDE.needs("{actions: [PutItem, DeleteItem], tables: [users]}")
def batch_writing(worker: Worker) -> None:
    """batch_writer in several requests, deletes among them, and with overwrite_by_pkeys."""
    table = worker.table("users")
    with table.batch_writer() as batch:
        for i in range(50):
            batch.put_item(Item={"account_type": "anonymous", "username": f"user{i}", "last_name": "unknown"})
        batch.delete_item(Key={"username": "user-1", "last_name": "unknown"})
    with table.batch_writer(overwrite_by_pkeys=["username", "last_name"]) as batch:
        for i in (1, 1, 2):
            batch.put_item(Item={"username": "same", "last_name": "same", "others": i})
        batch.delete_item(Key={"username": "same", "last_name": "same"})


@GUIDE.needs("{actions: [Query], tables: [users]}")
def querying(worker: Worker) -> None:
    """Key conditions, with every filter there is."""
    table = worker.table("users")
    assert table.query(KeyConditionExpression=Key("username").eq("janedoe"))["Items"][0]["age"] == 25
    for sort in (Key("last_name").begins_with("D"), Key("last_name").between("A", "Z"), Key("last_name").gte("Doe")):
        assert table.query(KeyConditionExpression=Key("username").eq("janedoe") & sort)["Count"] == 1
    for test in (
        Attr("age").gte(18) & ~Attr("age").eq(99),
        Attr("age").is_in([25, 26]) | Attr("missing").exists(),
        Attr("first_name").contains("an") & Attr("first_name").size().lt(9) & Attr("first_name").attribute_type("S"),
        Attr("address.state").eq("CA") & Attr("missing").not_exists(),
    ):
        assert table.query(KeyConditionExpression=Key("username").eq("janedoe"), FilterExpression=test)["Count"] == 1


@GUIDE.needs("{actions: [Scan], tables: [users]}")
def scanning(worker: Worker) -> None:
    """Scans with the guide's conditions, in segments too."""
    table = worker.table("users")
    table.scan(FilterExpression=Attr("age").lt(27))
    table.scan(FilterExpression=Attr("first_name").begins_with("J") & Attr("account_type").eq("super_user"))
    table.scan(
        FilterExpression=Attr("address.state").eq("CA"),
        ProjectionExpression="username, address.#c",
        ExpressionAttributeNames={"#c": "city"},
    )
    assert sum(table.scan(Segment=n, TotalSegments=2, Select="COUNT")["Count"] for n in range(2)) > 0


@GUIDE.needs("{actions: [GetItem], tables: [users, events]}")
def batch_getting(worker: Worker) -> None:
    """batch_get_item over two tables, one with a projection."""
    found = worker.resource().batch_get_item(
        RequestItems={
            "users": {"Keys": [JANES_KEY], "ProjectionExpression": "age"},
            "events": {"Keys": [{"pk": "all", "n": n} for n in range(3)], "ConsistentRead": True},
        },
        ReturnConsumedCapacity="TOTAL",
    )
    assert {name: len(items) for name, items in found["Responses"].items()} == {"users": 1, "events": 3}


@GUIDE.needs("{actions: [DeleteTable, DescribeTable], tables: [gone]}")
def deleting_a_table(worker: Worker) -> None:
    """delete_table and the waiter of its end."""
    client = worker.client()
    client.delete_table(TableName="gone")
    client.get_waiter("table_not_exists").wait(TableName="gone", WaiterConfig={"Delay": 1})


# -------------------------------------------------------------------- paginators and waiters


@GUIDE.needs(
    "{actions: [Query], tables: [events]}",
    "{actions: [Query, Scan], tables: [events], indexes: [by_kind]}",
    "{actions: [Scan], tables: [events]}",
)
def paginating(worker: Worker) -> None:
    """Query and Scan, of table and index, page by page."""
    client = worker.client()
    query, scan = client.get_paginator("query"), client.get_paginator("scan")
    small = {"PaginationConfig": {"PageSize": 3}}
    of_table = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "all"}}}
    of_index = {"KeyConditionExpression": "kind = :k", "ExpressionAttributeValues": {":k": {"S": "k1"}}}
    legacy = {"KeyConditions": {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "all"}]}}}
    for pages, count in (
        (query.paginate(TableName="events", **of_table, **small), 20),
        (query.paginate(TableName="events", **legacy, **small), 20),
        (query.paginate(TableName="events", IndexName="by_kind", ScanIndexForward=False, **of_index, **small), 10),
        (scan.paginate(TableName="events", **small), 20),
        (scan.paginate(TableName="events", IndexName="by_kind", **small), 20),
    ):
        assert sum(page["Count"] for page in pages) == count


@GUIDE.needs("{actions: [ListTables], tables: [users]}")
def listing_tables(worker: Worker) -> None:
    """The paginator and the collection of ListTables."""
    names = [
        name
        for page in worker.client().get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 1})
        for name in page["TableNames"]
    ]
    assert "users" in names
    assert "users" in [table.name for table in worker.resource().tables.all()]


@GUIDE.needs("{actions: [DescribeTable], tables: [waited]}")
def waiting_for_a_table(worker: Worker) -> None:
    """The waiter table_exists."""
    worker.client().get_waiter("table_exists").wait(TableName="waited")


@pytest.mark.parametrize("name", list(GUIDE))
def test_an_example_passes_under_just_what_it_needs(name: str, gateway: Gateway, oidc_provider: IdentityProvider) -> None:
    """None of its calls is refused, and none of its rules is superfluous."""
    GUIDE.pass_through(name, gateway, oidc_provider.token("worker-pool"))
