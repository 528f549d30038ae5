"""Transactions, PartiQL and the parameters from before expressions pass under a policy that grants just what they need.

Newest boto3's low-level client before the gateway, DynamoDB Local behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

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
LOW_LEVEL = Examples(
    "{members: {key: 'username (S), last_name (S)'}, shows: {key: 'pk (S), n (N)', indexes: {by_kind: 'kind (S), n (N)'}}}"
)
JANES_KEY: dict[str, Any] = {"username": {"S": "janedoe"}, "last_name": {"S": "Doe"}}


def key_of(username: str) -> dict[str, Any]:
    """The key of another Doe."""
    return {**JANES_KEY, "username": {"S": username}}


@pytest.fixture(scope="module")
def gateway(account: Account, oidc_provider: IdentityProvider, dynamodb_local: str, logs: Path) -> Iterator[Gateway]:
    """A gateway with the examples' policies, before tables with something in them."""
    dynamodb = administrator(account.engine, "dynamodb", dynamodb_local)
    create_table(dynamodb, "members", "username:S", "last_name:S")
    create_table(dynamodb, "shows", "pk:S", "n:N", by_kind=("kind:S", "n:N"))
    dynamodb.put_item(TableName="members", Item={**JANES_KEY, "age": {"N": "25"}})
    for n in range(20):
        item = {"pk": {"S": "all"}, "n": {"N": str(n)}, "kind": {"S": f"k{n % 2}"}, "name": {"S": "x"}}
        dynamodb.put_item(TableName="shows", Item=item)
    settings = settings_for(account, oidc_provider, dynamodb_local, environment="")
    with start(settings, logs / "low_level", policies=LOW_LEVEL.policies(), env=account.gateway_environment()) as running:
        yield running


# ------------------------------------------------------------------- transactions and PartiQL


@LOW_LEVEL.needs(
    "{actions: [PutItem, UpdateItem, DeleteItem], tables: [members]}",
    "{actions: [ConditionCheckItem, GetItem], tables: [members]}",
)
def transacting(worker: Worker) -> None:
    """transact_write_items with each of its four verbs, and transact_get_items."""
    client = worker.client()
    keys = [key_of(f"t{n}") for n in range(3)]
    for _ in range(2):
        client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": "members", "Item": keys[0], "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}},
                {
                    "Update": {
                        "TableName": "members",
                        "Key": keys[1],
                        "UpdateExpression": "SET age = :a",
                        "ExpressionAttributeValues": {":a": {"N": "1"}},
                    }
                },
                {"Delete": {"TableName": "members", "Key": keys[2]}},
                {
                    "ConditionCheck": {
                        "TableName": "members",
                        "Key": JANES_KEY,
                        "ConditionExpression": "attribute_exists(username)",
                    }
                },
            ],
            ClientRequestToken="each-of-four-verbs",
        )
    found = client.transact_get_items(TransactItems=[{"Get": {"TableName": "members", "Key": key}} for key in keys[:2]])
    assert all("Item" in response for response in found["Responses"])


@LOW_LEVEL.needs(
    "{actions: [PartiQLInsert, PartiQLUpdate, PartiQLDelete], tables: [members]}",
    "{actions: [PartiQLSelect], tables: [members, shows]}",
    "{actions: [PartiQLSelect], tables: [shows], indexes: [by_kind]}",
)
def partiql(worker: Worker) -> None:
    """The documentation's statements, one by one and in batches and transactions."""
    client = worker.client()
    run = client.execute_statement
    values = [{"S": "partiql"}, {"S": "Doe"}]
    run(
        Statement="INSERT INTO members VALUE {'username': ?, 'last_name': ?, 'awards': [2018], 'info': {'plot': 'a ''b'''}}",
        Parameters=values,
    )
    run(Statement="UPDATE \"members\" SET age = 1 SET info.plot = 'new' WHERE username = ? AND last_name = ?", Parameters=values)
    run(Statement="UPDATE members REMOVE awards[0] WHERE username = ? AND last_name = ? RETURNING ALL NEW *", Parameters=values)
    (found,) = run(Statement="SELECT * FROM members WHERE username = ? AND last_name = ?", Parameters=values)["Items"]
    assert found["age"] == {"N": "1"}
    assert run(Statement="SELECT username, info.plot FROM members WHERE username IN ['partiql', 'x'] ORDER BY username")["Items"]
    assert run(Statement='SELECT n FROM "shows"."by_kind" WHERE kind = \'k1\' AND n BETWEEN 1 AND 9')["Items"]
    assert run(Statement="SELECT pk FROM shows WHERE contains(name, 'x') AND (n < 5 OR NOT begins_with(kind, 'z'))")["Items"]
    first = run(Statement="SELECT * FROM shows;", Limit=5)
    assert run(Statement="SELECT * FROM shows;", Limit=5, NextToken=first["NextToken"])["Items"]
    statement = "SELECT age FROM members WHERE username = ? AND last_name = ?"
    assert client.batch_execute_statement(Statements=[{"Statement": statement, "Parameters": values}])["Responses"][0]["Item"]
    client.execute_transaction(
        TransactStatements=[
            {"Statement": "DELETE FROM members WHERE username = ? AND last_name = ?", "Parameters": values},
            {"Statement": "INSERT INTO members VALUE {'username': 'm', 'last_name': 'x', 's': <<'a'>>, 'n': -1.5e3, 'z': null}"},
        ]
    )


@LOW_LEVEL.needs("{actions: [PartiQLUpdate], tables: [shows]}", "{actions: [PartiQLSelect], tables: [members]}")
def partiql_transaction_with_a_check(worker: Worker) -> None:
    """EXISTS beside an UPDATE, and a transaction of reads."""
    client = worker.client()
    client.execute_transaction(
        TransactStatements=[
            {"Statement": "EXISTS(SELECT * FROM members WHERE username = 'janedoe' AND last_name = 'Doe' AND age = 25)"},
            {"Statement": "UPDATE shows SET name = 'y' WHERE pk = 'all' AND n = 3"},
        ],
        ClientRequestToken="update-and-check",
    )
    read = {"Statement": "SELECT * FROM members WHERE username = 'janedoe' AND last_name = 'Doe'"}
    assert client.execute_transaction(TransactStatements=[read])["Responses"][0]["Item"]


# --------------------------------------------------------------------------- legacy parameters


@LOW_LEVEL.needs(
    "{actions: [GetItem, Query], tables: [members]}",
    "{actions: [PutItem, UpdateItem, DeleteItem], tables: [members]}",
    "{actions: [Scan], tables: [members]}",
)
def legacy_parameters(worker: Worker) -> None:
    """What code from before expressions says."""
    client = worker.client()
    key = key_of("legacy")
    client.put_item(TableName="members", Item=key, Expected={"username": {"Exists": False}})
    update = {"age": {"Action": "ADD", "Value": {"N": "1"}}, "tmp": {"Action": "DELETE"}, "name": {"Value": {"S": "n"}}}
    client.update_item(TableName="members", Key=key, AttributeUpdates=update, Expected={"age": {"ComparisonOperator": "NULL"}})
    assert client.get_item(TableName="members", Key=key, AttributesToGet=["age"])["Item"] == {"age": {"N": "1"}}
    equal = {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "legacy"}]}
    more = {"age": {"ComparisonOperator": "GT", "AttributeValueList": [{"N": "0"}]}}
    assert client.query(TableName="members", KeyConditions={"username": equal}, QueryFilter=more)["Count"] == 1
    assert client.scan(TableName="members", ScanFilter={"username": equal, **more}, ConditionalOperator="AND")["Count"] == 1
    client.delete_item(
        TableName="members", Key=key, Expected={"age": {"Value": {"N": "1"}}, "last_name": {"Value": {"S": "Doe"}}}
    )


@pytest.mark.parametrize("name", list(LOW_LEVEL))
def test_a_call_passes_under_just_what_it_needs(name: str, gateway: Gateway, oidc_provider: IdentityProvider) -> None:
    """None of the calls is refused, and none of the rules is superfluous."""
    LOW_LEVEL.pass_through(name, gateway, oidc_provider.token("worker-pool"))
