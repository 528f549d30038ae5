"""What stands in AWS before the gateway comes: the tables that the policies declare, and one role for each that they name.

Read from the policy files, so that no name is written twice. Each role may do on its tables what the policies let its DAGs
do, and trusts one user alone: the gateway. Nothing here is part of the gateway, which needs no right to change an account.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from boto3.session import Session

from proxy.policy.document import read_document
from proxy.policy.resolve import Resolution
from proxy.policy.store import load_policies, policy_texts
from proxy.yaml_source import Mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxy.policy.declared import KeySchema, TableDeclaration
    from proxy.policy.rules import DagRules, Policies, Rule
    from tests.stack.ministack import Ministack

GATEWAY_USER = "dynamodb-proxy"
# In IAM a batch is an action of its own; in the policies it follows its members.
_BATCH_OF = {"GetItem": "BatchGetItem", "PutItem": "BatchWriteItem", "DeleteItem": "BatchWriteItem"}


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What the policy files say for one environment: rules, and the real names and keys of their tables."""

    policies: Policies
    tables: Mapping[str, str]  # logical name -> real name
    declared: Mapping[str, TableDeclaration]  # by logical name
    region: str

    @classmethod
    def read(cls, folder: Path, environment: str, region: str) -> Blueprint:
        """Read `folder`. Raises PolicyError where its policies cannot be used."""
        policies = load_policies(folder, environment, region)
        document = read_document(policy_texts(folder), Mistakes())
        resolution = Resolution(document.platform, document.platform.environments[environment], Mistakes())
        tables: dict[str, str] = {}
        declared: dict[str, TableDeclaration] = {}
        for file in document.teams:
            tables.update(resolution.tables_of(file))
            declared.update(file.tables)
        return cls(policies, tables, declared, region)

    def rules(self) -> Iterator[DagRules]:
        """What holds for each DAG that this environment has."""
        return (rules for rules in self.policies.dag_rules() if rules.is_active)

    def role_of(self, dag_id: str) -> str:
        """ARN of a DAG's role."""
        return next(rules.role_arn for rules in self.rules() if rules.pattern == dag_id)


class AccessKey(NamedTuple):
    """Long-lived keys of the gateway's own user: its base identity."""

    key_id: str
    secret: str


def furnish(engine: Ministack, blueprint: Blueprint) -> AccessKey:
    """Create tables, the gateway's user and the roles; returns the user's keys."""
    session = Session(engine.root_key, engine.root_secret, region_name=blueprint.region)
    dynamodb = session.client("dynamodb", endpoint_url=engine.url)
    for logical, name in blueprint.tables.items():
        dynamodb.create_table(TableName=name, **_schema(blueprint.declared[logical]))
    iam = session.client("iam", endpoint_url=engine.url)
    user = iam.create_user(UserName=GATEWAY_USER)["User"]["Arn"]
    roles = {rules.role_arn for rules in blueprint.rules()}
    for arn in sorted(roles):
        _create_role(iam, arn, user, _grants(blueprint, arn, engine.account))
    assume = _policy([{"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": sorted(roles)}])
    iam.put_user_policy(UserName=GATEWAY_USER, PolicyName="assume-dag-roles", PolicyDocument=assume)
    key = iam.create_access_key(UserName=GATEWAY_USER)["AccessKey"]
    return AccessKey(key["AccessKeyId"], key["SecretAccessKey"])


def _create_role(iam: Any, arn: str, user: str, statements: list[dict[str, Any]]) -> None:
    name = arn.rpartition("/")[2]
    trust = {"Effect": "Allow", "Principal": {"AWS": user}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy([trust]))
    iam.put_role_policy(RoleName=name, PolicyName="tables", PolicyDocument=_policy(statements))


def _grants(blueprint: Blueprint, role_arn: str, account: str) -> list[dict[str, Any]]:
    """One IAM statement for each allow rule of the DAGs that have this role."""
    rules = [rule for dag in blueprint.rules() if dag.role_arn == role_arn for rule in dag.allow if rule.is_active]
    return [_statement(rule, blueprint.region, account) for rule in dict.fromkeys(rules)]


def _statement(rule: Rule, region: str, account: str) -> dict[str, Any]:
    actions = set(rule.actions or ())
    actions |= {_BATCH_OF[action] for action in actions & _BATCH_OF.keys()}
    tables = [table_arn(name, region, account) for name in rule.tables.patterns]
    resources = tables if rule.indexes is None else [f"{arn}/index/{name}" for arn in tables for name in rule.indexes.patterns]
    return {"Effect": "Allow", "Action": sorted(f"dynamodb:{action}" for action in actions), "Resource": resources}


def table_arn(name: str, region: str, account: str) -> str:
    """ARN of a table."""
    return f"arn:aws:dynamodb:{region}:{account}:table/{name}"


def _policy(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _schema(table: TableDeclaration) -> dict[str, Any]:
    """The arguments of CreateTable for a declared table."""
    keys = [key for key in (table.key, *table.indexes.values()) if key is not None]
    types = {name: kind for key in keys for name, kind in key.attributes}
    capacity = {"ReadCapacityUnits": 100, "WriteCapacityUnits": 100}
    indexes = [
        {
            "IndexName": name,
            "KeySchema": _key_schema(key),
            "Projection": {"ProjectionType": "ALL"},
            "ProvisionedThroughput": capacity,
        }
        for name, key in table.indexes.items()
    ]
    schema: dict[str, Any] = {
        "KeySchema": _key_schema(table.key),
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()],
        "ProvisionedThroughput": capacity,
    }
    return {**schema, "GlobalSecondaryIndexes": indexes} if indexes else schema


def _key_schema(key: KeySchema | None) -> list[dict[str, str]]:
    if key is None:
        return []
    return [{"AttributeName": name, "KeyType": kind} for (name, _), kind in zip(key.attributes, ("HASH", "RANGE"), strict=False)]
