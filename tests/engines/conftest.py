"""One account, one identity provider, and a gateway before each engine; the tests tell DAGs apart by their tokens.

`orders` and `billing` have a role each; `refunds` has one that does not trust the gateway. `orders` is allowed more by its
policy than by IAM, so that IAM can be seen to be the second lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.examples import ROLE
from tests.stack.account import Account, administrator, create_table, policy
from tests.stack.gateway import gateway
from tests.stack.worker import worker_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.stack.gateway import Gateway
    from tests.stack.ministack import Ministack
    from tests.stack.oidc_provider import IdentityProvider

POLICIES = {
    "platform.yaml": """\
environments:
  test: {account: "000000000000", region: us-east-1}
teams:
  shop: {dags: ["*"], tables: ["*"], contact: "#shop"}
workloads:
  pool: {issuer: idp, subject: worker-pool, dags: ["*"], dag_from: [header, user_agent]}
""",
    "shop.yaml": """\
team: shop
tables:
  orders: {key: "pk (S), sk (S)", indexes: {by_status: "status (S), sk (S)"}}
  archive: {key: "pk (S)"}
  payments: {key: "pk (S)"}
  missing: {key: "pk (S)"}
dags:
  orders:
    role: arn:aws:iam::000000000000:role/ddb-orders
    allow:
      - {actions: [read, write, Scan], tables: [orders, archive]}
      - {actions: [Query, Scan], tables: [orders], indexes: [by_status]}
      - {actions: [GetItem], tables: [missing]}
      - {actions: [GetItem], tables: [payments]} # a mistake: IAM has not granted it
  billing:
    role: arn:aws:iam::000000000000:role/ddb-billing
    allow:
      - {actions: [read, write, Scan], tables: [payments]}
  refunds:
    role: arn:aws:iam::000000000000:role/ddb-refunds
    allow:
      - {actions: [read], tables: [payments]}
""",
}
TABLES: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "orders": (("pk:S", "sk:S"), {"by_status": ("status:S", "sk:S")}),
    "archive": (("pk:S",), {}),
    "payments": (("pk:S",), {}),
}


def settings_for(account: Account, provider: IdentityProvider, dynamodb_url: str, **changes: Any) -> dict[str, Any]:
    """The gateway's settings before the engine at `dynamodb_url`; sessions come from the account's STS.

    Policies that declare no environments want `environment=""`.
    """
    issuer = {"name": "idp", "issuer": provider.issuer, "audience": provider.audience, "may_assert": ["*"]}
    aws = {"region": account.engine.region, "endpoint_url": dynamodb_url, "sts_endpoint_url": account.engine.url}
    return {"environment": "test", "issuers": [issuer], "aws": aws, "timeouts": {"idle_seconds": 300}, **changes}


@pytest.fixture(scope="session")
def account(ministack: Ministack) -> Account:
    """The account with its tables and roles."""
    made = Account.furnish(ministack)
    made.create_role("ddb-orders", "orders", "archive")
    made.create_role("ddb-billing", "payments")
    made.create_role("ddb-refunds", "payments", trusted=f"arn:aws:iam::{ministack.account}:user/somebody-else")
    made.create_role(ROLE)
    every = policy({"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"})
    administrator(ministack, "iam").put_role_policy(RoleName=ROLE, PolicyName="all", PolicyDocument=every)
    create_tables(administrator(ministack, "dynamodb"))
    return made


def create_tables(dynamodb: Any) -> None:
    """The tables that POLICIES name, in any engine."""
    for name, (keys, indexes) in TABLES.items():
        create_table(dynamodb, name, *keys, **indexes)


@pytest.fixture(scope="session")
def identity_gateway(account: Account, oidc_provider: IdentityProvider, logs: Path) -> Iterator[Gateway]:
    """A gateway before the engine that verifies signatures, sessions and roles."""
    settings = settings_for(account, oidc_provider, account.engine.url)
    with gateway(settings, logs / "identity", policies=POLICIES, env=account.gateway_environment()) as running:
        yield running


@pytest.fixture(scope="session")
def data_gateway(account: Account, oidc_provider: IdentityProvider, dynamodb_local: str, logs: Path) -> Iterator[Gateway]:
    """A gateway before the engine with DynamoDB's own data semantics."""
    create_tables(administrator(account.engine, "dynamodb", dynamodb_local))
    settings = settings_for(account, oidc_provider, dynamodb_local)
    with gateway(settings, logs / "data", policies=POLICIES, env=account.gateway_environment()) as running:
        yield running


@pytest.fixture(scope="session")
def token(oidc_provider: IdentityProvider) -> Callable[[str], str]:
    """A fresh token of a client of the identity provider."""
    return oidc_provider.token


@pytest.fixture(scope="session")
def orders(data_gateway: Gateway, oidc_provider: IdentityProvider) -> Any:
    """A worker of DAG `orders` with the newest boto3, before DynamoDB Local."""
    return worker_client(data_gateway.url, oidc_provider.token("dag-orders"))
