"""Calls that keep within a rule's keys and attributes pass, however they are written: limits stop what is outside, not work.

Each under a policy as one would write it, newest boto3 before the gateway, DynamoDB Local behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from boto3.dynamodb.conditions import Attr, Key

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
LIMITED = Examples(
    "{sales: {key: 'pk (S), sk (S)', indexes: {by_state: 'state (S), pk (S)'}}, "
    "readings: {key: 'sensor (N), at (N)'}, blobs: {key: 'digest (B)'}}"
)
PK, SK = {"S": "orders#1"}, {"S": "a"}
KEY: dict[str, Any] = {"pk": PK, "sk": SK}
ORDERS = 'tables: [sales], keys: {prefix: "orders#"}'
SHOWN = "tables: [sales], attributes: [pk, sk, state, amount, address]"
EQUAL = {"ComparisonOperator": "EQ", "AttributeValueList": [PK]}


@pytest.fixture(scope="module")
def gateway(account: Account, oidc_provider: IdentityProvider, dynamodb_local: str, logs: Path) -> Iterator[Gateway]:
    """A gateway with the examples' policies, before tables with something in them."""
    dynamodb = administrator(account.engine, "dynamodb", dynamodb_local)
    create_table(dynamodb, "sales", "pk:S", "sk:S", by_state=("state:S", "pk:S"))
    create_table(dynamodb, "readings", "sensor:N", "at:N")
    create_table(dynamodb, "blobs", "digest:B")
    for sk in "abcdefgh":
        item = {**KEY, "sk": {"S": sk}, "state": {"S": "new"}, "amount": {"N": "5"}, "ssn": {"S": "x"}}
        dynamodb.put_item(TableName="sales", Item={**item, "address": {"M": {"city": {"S": "Graz"}}}})
    settings = settings_for(account, oidc_provider, dynamodb_local, environment="")
    with start(settings, logs / "limited", policies=LIMITED.policies(), env=account.gateway_environment()) as running:
        yield running


# ------------------------------------------------------------------------------------------------------ keys


@LIMITED.needs(f"{{actions: [read, write], {ORDERS}}}")
def items_of_a_prefix(worker: Worker) -> None:
    """One item and several, by every operation that has keys."""
    client = worker.client()
    new = {**KEY, "sk": {"S": "new"}}
    client.put_item(TableName="sales", Item=new, ReturnValues="ALL_OLD")
    client.update_item(
        TableName="sales",
        Key=new,
        UpdateExpression="SET ssn = :x",
        ConditionExpression="attribute_not_exists(ssn)",
        ExpressionAttributeValues={":x": {"S": "x"}},
        ReturnValues="ALL_NEW",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    assert client.get_item(TableName="sales", Key=new, ConsistentRead=True)["Item"]["ssn"]
    client.delete_item(TableName="sales", Key=new, ReturnValues="ALL_OLD")
    client.batch_get_item(RequestItems={"sales": {"Keys": [KEY, new]}})
    client.batch_write_item(RequestItems={"sales": [{"PutRequest": {"Item": new}}]})
    client.transact_write_items(
        TransactItems=[
            {"Delete": {"TableName": "sales", "Key": new}},
            {"ConditionCheck": {"TableName": "sales", "Key": KEY, "ConditionExpression": "attribute_exists(pk)"}},
        ]
    )
    client.transact_get_items(TransactItems=[{"Get": {"TableName": "sales", "Key": KEY}}])


@LIMITED.needs(f"{{actions: [Query], {ORDERS}}}")
def queries_of_a_prefix(worker: Worker) -> None:
    """An equality of the partition key, in every spelling, with any sort condition, filter and paging."""
    table, client = worker.table("sales"), worker.client()
    for sort in (None, Key("sk").begins_with("a"), Key("sk").between("a", "c"), Key("sk").lt("z")):
        equal = Key("pk").eq("orders#1")
        assert table.query(KeyConditionExpression=equal & sort if sort else equal)["Count"]
    assert table.query(
        KeyConditionExpression=Key("sk").eq("a") & Key("pk").eq("orders#1"), FilterExpression=Attr("ssn").exists()
    )["Count"]
    for text in ("pk = :p", "#p=:p", " ( #p = :p ) AND sk >= :s", ":p = #p and (begins_with(sk, :s))", "(#p = :p AND (sk = :s))"):
        names = {"ExpressionAttributeNames": {"#p": "pk"}} if "#p" in text else {}
        values = {":p": PK, **({":s": SK} if ":s" in text else {})}
        assert client.query(TableName="sales", KeyConditionExpression=text, ExpressionAttributeValues=values, **names)["Count"]
    pages = client.get_paginator("query").paginate(
        TableName="sales", KeyConditions={"pk": EQUAL}, PaginationConfig={"PageSize": 3}
    )
    assert sum(page["Count"] for page in pages) == 8


@LIMITED.needs(f"{{actions: [Query], {ORDERS}, indexes: [by_state]}}")
def queries_of_an_index_with_the_tables_key(worker: Worker) -> None:
    """The index is led by another attribute; that the table's key is pinned too is proof enough."""
    both = Key("state").eq("new") & Key("pk").eq("orders#1")
    assert worker.table("sales").query(IndexName="by_state", KeyConditionExpression=both)["Count"] == 8
    begins = Key("state").eq("new") & Key("pk").begins_with("orders#")
    assert worker.table("sales").query(IndexName="by_state", KeyConditionExpression=begins)["Count"] == 8


@LIMITED.needs('{actions: [Query], tables: [sales], indexes: [by_state], keys: {exact: ["new", "old"]}}')
def queries_of_an_index_with_its_own_key(worker: Worker) -> None:
    """Keys may be the index's own."""
    assert worker.table("sales").query(IndexName="by_state", KeyConditionExpression=Key("state").eq("new"))["Count"] == 8


@LIMITED.needs('{actions: [write, GetItem], tables: [sales], keys: {prefix: "<dag_id>#"}}')
def items_under_the_dags_own_name(worker: Worker) -> None:
    """A placeholder for the DAG."""
    table = worker.table("sales")
    with table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
        for n in range(30):
            batch.put_item(Item={"pk": "items_under_the_dags_own_name#1", "sk": str(n)})
    assert table.get_item(Key={"pk": "items_under_the_dags_own_name#1", "sk": "3"})["Item"]


@LIMITED.needs(
    '{actions: [read, write], tables: [readings], keys: {exact: ["1", "2.5"]}}',
    '{actions: [read, write], tables: [blobs], keys: {prefix: "ab"}}',
)
def numbers_and_binary_keys(worker: Worker) -> None:
    """Numbers are equal by value, binary keys begin with bytes."""
    client = worker.client()
    for text in ("1", "1.0", "25e-1", "+2.50"):
        client.put_item(TableName="readings", Item={"sensor": {"N": text}, "at": {"N": "1"}})
        sensor = {":s": {"N": text}}
        assert client.query(TableName="readings", KeyConditionExpression="sensor = :s", ExpressionAttributeValues=sensor)["Count"]
    client.put_item(TableName="blobs", Item={"digest": {"B": b"ab\xff"}})
    assert client.get_item(TableName="blobs", Key={"digest": {"B": b"ab\xff"}})["Item"]


@LIMITED.needs(f"{{actions: [PartiQLSelect, PartiQLInsert, PartiQLUpdate, PartiQLDelete], {ORDERS}}}")
def statements_of_a_prefix(worker: Worker) -> None:
    """PartiQL with the partition key as a literal, a parameter, or one of some."""
    client = worker.client()
    run = client.execute_statement
    run(Statement="INSERT INTO sales VALUE {'pk': 'orders#2', 'sk': ?}", Parameters=[SK])
    run(Statement="UPDATE sales SET amount = 1 WHERE pk = 'orders#2' AND sk = 'a'")
    assert run(Statement="SELECT * FROM sales WHERE pk = ? AND amount > 0", Parameters=[{"S": "orders#2"}])["Items"]
    assert run(Statement="SELECT * FROM \"sales\" WHERE pk IN ['orders#1', ?] AND sk = 'a'", Parameters=[PK])["Items"]
    statements = [{"Statement": "SELECT * FROM sales WHERE pk = 'orders#1' AND sk = ?", "Parameters": [{"S": s}]} for s in "abc"]
    assert all("Item" in response for response in client.batch_execute_statement(Statements=statements)["Responses"])
    client.execute_transaction(TransactStatements=[{"Statement": "DELETE FROM sales WHERE pk = 'orders#2' AND sk = 'a'"}])


# ------------------------------------------------------------------------------------------------ attributes


@LIMITED.needs(f"{{actions: [read, Scan], {SHOWN}}}")
def reading_some_attributes(worker: Worker) -> None:
    """Projections in every spelling, and filters over the same attributes."""
    client, table = worker.client(), worker.table("sales")
    client.get_item(
        TableName="sales", Key=KEY, ProjectionExpression="pk, #s, address.city", ExpressionAttributeNames={"#s": "state"}
    )
    client.get_item(TableName="sales", Key=KEY, AttributesToGet=["amount", "state"])
    client.batch_get_item(RequestItems={"sales": {"Keys": [KEY], "ProjectionExpression": "amount"}})
    client.batch_get_item(RequestItems={"sales": {"Keys": [KEY], "AttributesToGet": ["amount"]}})
    client.transact_get_items(TransactItems=[{"Get": {"TableName": "sales", "Key": KEY, "ProjectionExpression": "amount"}}])
    found = table.query(
        KeyConditionExpression=Key("pk").eq("orders#1"),
        FilterExpression=Attr("amount").gt(1) & Attr("address.city").eq("Graz"),
        ProjectionExpression="pk, #t",
        ExpressionAttributeNames={"#t": "amount"},
        Select="SPECIFIC_ATTRIBUTES",
    )
    assert found["Items"][0].keys() == {"pk", "amount"}
    pages = client.get_paginator("scan").paginate(
        TableName="sales", ProjectionExpression="pk, sk", PaginationConfig={"PageSize": 3}
    )
    assert sum(page["Count"] for page in pages) >= 8


@LIMITED.needs(f"{{actions: [Query, Scan], {SHOWN}}}", f"{{actions: [Query], {SHOWN}, indexes: [by_state]}}")
def counting(worker: Worker) -> None:
    """Select=COUNT shows nothing but the number, so it needs no projection."""
    client, table = worker.client(), worker.table("sales")
    few = Attr("amount").lt(9)
    assert table.query(KeyConditionExpression=Key("pk").eq("orders#1"), FilterExpression=few, Select="COUNT")["Count"] == 8
    assert table.scan(FilterExpression=few, Select="COUNT")["Count"] == 8
    legacy = {"KeyConditions": {"pk": EQUAL}, "QueryFilter": {"amount": {"ComparisonOperator": "NOT_NULL"}}}
    assert client.query(TableName="sales", Select="COUNT", **legacy)["Count"] == 8
    pages = client.get_paginator("query").paginate(
        TableName="sales",
        IndexName="by_state",
        KeyConditionExpression="#s = :s",
        ExpressionAttributeNames={"#s": "state"},
        ExpressionAttributeValues={":s": {"S": "new"}},
        Select="COUNT",
        PaginationConfig={"PageSize": 3},
    )
    assert sum(page["Count"] for page in pages) == 8


@LIMITED.needs(
    "{actions: [Query], tables: [sales], attributes: [state, amount], indexes: [by_state]}",
    "{actions: [Scan, PartiQLSelect], tables: [sales], attributes: [amount]}",
)
def pages_of_items_whose_keys_are_hidden(worker: Worker) -> None:
    """Paginators, and a resource that takes values apart, carry on by keys that tell nothing of the item where a page ended."""
    client, table = worker.client(), worker.table("sales")
    by_state = {"IndexName": "by_state", "ProjectionExpression": "amount"}
    pages = client.get_paginator("query").paginate(
        TableName="sales",
        KeyConditionExpression="#s = :s",
        ExpressionAttributeNames={"#s": "state"},
        ExpressionAttributeValues={":s": {"S": "new"}},
        PaginationConfig={"PageSize": 3},
        **by_state,
    )
    found = list(pages)
    assert [page["Count"] for page in found] == [3, 3, 2]
    assert [set(page.get("LastEvaluatedKey", ())) for page in found] == [{"ddb-proxy-page"}, {"ddb-proxy-page"}, set()]
    scanned: list[Any] = []
    more: dict[str, Any] = {}
    while not scanned or more:
        page = table.scan(ProjectionExpression="amount", Limit=3, **more)
        scanned.append(page["Count"])
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]} if "LastEvaluatedKey" in page else {}
        assert "orders#" not in str(more)
    assert sum(scanned) >= 8
    first = client.execute_statement(Statement="SELECT amount FROM sales", Limit=3)
    rest = client.execute_statement(Statement="SELECT amount FROM sales", NextToken=first["NextToken"])
    assert len(first["Items"]) + len(rest["Items"]) >= 8
    assert "orders#" not in str(first.get("LastEvaluatedKey", ""))


@LIMITED.needs(f"{{actions: [PutItem, UpdateItem, ConditionCheckItem], {SHOWN}}}")
def writing_some_attributes(worker: Worker) -> None:
    """Updates of listed attributes, and puts that prove by a condition that they replace nothing."""
    table, client = worker.table("sales"), worker.client()
    key = {"pk": "orders#3", "sk": "a"}
    table.put_item(Item={**key, "amount": 1}, ConditionExpression=Attr("pk").not_exists())
    table.put_item(Item={**key, "sk": "b"}, ConditionExpression="attribute_not_exists(#k)", ExpressionAttributeNames={"#k": "pk"})
    client.put_item(TableName="sales", Item={"pk": {"S": "orders#3"}, "sk": {"S": "c"}}, Expected={"pk": {"Exists": False}})
    for returns in ("NONE", "UPDATED_OLD", "UPDATED_NEW"):
        table.update_item(
            Key=key,
            UpdateExpression="SET amount = if_not_exists(amount, :n) + :n, address = :a REMOVE #s",
            ConditionExpression=Attr("amount").gte(1),
            ExpressionAttributeNames={"#s": "state"},
            ExpressionAttributeValues={":n": 1, ":a": {"city": "Wien"}},
            ReturnValues=returns,
        )
    low = {"pk": {"S": "orders#3"}, "sk": {"S": "a"}}
    client.update_item(TableName="sales", Key=low, AttributeUpdates={"amount": {"Action": "ADD", "Value": {"N": "1"}}})
    client.transact_write_items(
        TransactItems=[
            {
                "Update": {
                    "TableName": "sales",
                    "Key": low,
                    "UpdateExpression": "SET #s = :s",
                    "ExpressionAttributeNames": {"#s": "state"},
                    "ExpressionAttributeValues": {":s": {"S": "done"}},
                }
            },
            {"ConditionCheck": {"TableName": "sales", "Key": KEY, "ConditionExpression": "attribute_exists(amount)"}},
        ]
    )


@LIMITED.needs(f"{{actions: [PartiQLSelect, PartiQLInsert, PartiQLUpdate], {SHOWN}}}")
def statements_of_some_attributes(worker: Worker) -> None:
    """PartiQL that names its attributes."""
    run = worker.client().execute_statement
    assert run(Statement="SELECT amount, address.city FROM sales WHERE pk = 'orders#1' AND state = 'new'")["Items"]
    run(Statement="INSERT INTO sales VALUE {'pk': 'orders#4', 'sk': 'a', 'amount': 1}")
    run(Statement="UPDATE sales SET amount = amount + 1 WHERE pk = 'orders#4' AND sk = 'a' RETURNING MODIFIED NEW *")


@LIMITED.needs(f"{{actions: [read, write], {ORDERS}, attributes: [pk, sk, amount]}}", f"{{actions: [DeleteItem], {ORDERS}}}")
def keys_and_attributes_together(worker: Worker) -> None:
    """A rule with both, and one for deletes, which take every attribute away."""
    table = worker.table("sales")
    key = {"pk": "orders#5", "sk": "a"}
    table.update_item(Key=key, UpdateExpression="ADD amount :n", ExpressionAttributeValues={":n": 1})
    assert table.query(KeyConditionExpression=Key("pk").eq("orders#5"), ProjectionExpression="amount")["Items"]
    table.delete_item(Key=key, ConditionExpression=Attr("amount").eq(1))


@pytest.mark.parametrize("name", list(LIMITED))
def test_a_call_within_its_limits_passes(name: str, gateway: Gateway, oidc_provider: IdentityProvider) -> None:
    """None of the calls is refused, and none of the rules is superfluous."""
    LIMITED.pass_through(name, gateway, oidc_provider.token("worker-pool"))
