"""What stands in AWS before the gateway comes: its own user, the DAGs' roles and the tables, made by an administrator."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.session import Session

if TYPE_CHECKING:
    from tests.stack.ministack import Ministack

_USER = "dynamodb-proxy"
_KINDS = ("HASH", "RANGE")


@dataclass(frozen=True, slots=True)
class Account:
    """An account of `engine`, with the keys of the gateway's own user: its base identity."""

    engine: Ministack
    user_arn: str
    key_id: str
    secret: str

    @classmethod
    def furnish(cls, engine: Ministack) -> Account:
        """Make the gateway's user, which may assume every role that lets it."""
        iam = administrator(engine, "iam")
        name = f"{_USER}-{secrets.token_hex(4)}"  # several may be furnished in one engine
        user = iam.create_user(UserName=name)["User"]["Arn"]
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
        iam.put_user_policy(UserName=name, PolicyName="assume", PolicyDocument=policy(statement))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return cls(engine, user, key["AccessKeyId"], key["SecretAccessKey"])

    def gateway_environment(self) -> dict[str, str]:
        """The variables that give the gateway its identity."""
        return {"AWS_ACCESS_KEY_ID": self.key_id, "AWS_SECRET_ACCESS_KEY": self.secret}

    def create_role(self, name: str, *tables: str, trusted: str = "") -> str:
        """A role that may do everything on `tables`; it trusts `trusted`, else the gateway. Returns its ARN."""
        iam = administrator(self.engine, "iam")
        trust = {"Effect": "Allow", "Principal": {"AWS": trusted or self.user_arn}, "Action": "sts:AssumeRole"}
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        arns = [part for table in tables for part in (self.table_arn(table), self.table_arn(table) + "/index/*")]
        if arns:
            rights = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": arns}
            iam.put_role_policy(RoleName=name, PolicyName="tables", PolicyDocument=policy(rights))
        return str(arn)

    def table_arn(self, name: str) -> str:
        """ARN of a table of this account."""
        return f"arn:aws:dynamodb:{self.engine.region}:{self.engine.account}:table/{name}"

    def items(self, table: str) -> list[dict[str, Any]]:
        """Every item of a table, seen by the administrator and not through the gateway."""
        pages = administrator(self.engine, "dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]


def administrator(engine: Ministack, service: str, url: str = "") -> Any:
    """A client that may do everything; `url` names another engine, such as DynamoDB Local."""
    session = Session(engine.root_key, engine.root_secret, region_name=engine.region)
    return session.client(service, endpoint_url=url or engine.url)


def create_table(dynamodb: Any, name: str, *keys: str, **indexes: tuple[str, ...]) -> None:
    """A table, and its indexes by name; a key is `name:type`."""
    typed = dict(key.split(":") for key in (*keys, *(key for keys_ in indexes.values() for key in keys_)))
    made = [
        {"IndexName": index, "KeySchema": _schema(keys_), "Projection": {"ProjectionType": "ALL"}}
        for index, keys_ in indexes.items()
    ]
    dynamodb.create_table(
        TableName=name,
        KeySchema=_schema(keys),
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in typed.items()],
        BillingMode="PAY_PER_REQUEST",
        **({"GlobalSecondaryIndexes": made} if made else {}),
    )


def _schema(keys: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"AttributeName": key.split(":")[0], "KeyType": kind} for key, kind in zip(keys, _KINDS, strict=False)]


def policy(*statements: dict[str, Any]) -> str:
    """An IAM policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
