"""Each DAG acts with its AWS principal: the engine verifies signatures, sessions and role policies. IAM is the second lock."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from boto3.session import Session
from botocore.exceptions import ClientError

from tests.engines.conftest import POLICIES, settings_for
from tests.stack.faults import fault_proxy
from tests.stack.worker import REGION, exchange, worker_client, worker_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stack.account import Account
    from tests.stack.gateway import Gateway
    from tests.stack.oidc_provider import IdentityProvider

pytestmark = pytest.mark.needs("server", "engine", "node", "node_modules")
PAYMENT = {"pk": {"S": "p1"}}
ORDER = {"pk": {"S": "o1"}, "sk": {"S": "1"}}


def refused(call: Callable[..., Any], **arguments: Any) -> ClientError:
    """The error of a call that must fail."""
    with pytest.raises(ClientError) as failure:
        call(**arguments)
    return failure.value


def session_of(account: Account, role: str, name: str) -> Session:
    """A session of a role, assumed with the gateway's own keys."""
    sts = Session(account.key_id, account.secret, region_name=REGION).client("sts", endpoint_url=account.engine.url)
    arn = f"arn:aws:iam::{account.engine.account}:role/{role}"
    made = sts.assume_role(RoleArn=arn, RoleSessionName=name)["Credentials"]
    return Session(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"], region_name=REGION)


def test_each_dag_reaches_its_own_tables(identity_gateway: Gateway, account: Account, token: Callable[[str], str]) -> None:
    """With its own role, under a session name that is the DAG; the engine has verified the signature."""
    worker_client(identity_gateway.url, token("dag-orders")).put_item(TableName="orders", Item=ORDER)
    done = worker_client(identity_gateway.url, token("dag-billing")).put_item(TableName="payments", Item=PAYMENT)
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert account.items("payments") == [PAYMENT]
    decisions = {r["dag"]: r["role_arn"] for r in identity_gateway.settled(requests=2) if r["record"] == "decision"}
    assert {dag: decisions[dag].rpartition("/")[2] for dag in ("orders", "billing")} == {
        "orders": "ddb-orders",
        "billing": "ddb-billing",
    }


def test_iam_refuses_what_a_policy_file_wrongly_allows(
    identity_gateway: Gateway, account: Account, token: Callable[[str], str]
) -> None:
    """AWS's own words pass untouched: they name the role and, as its session, the DAG; the audit has both judgements."""
    body = json.dumps({"TableName": "payments", "Key": PAYMENT}).encode()
    headers = {"authorization": f"Bearer {token('dag-orders')}", "amz-sdk-invocation-id": "second-lock"}
    answer = exchange(identity_gateway.url, "GetItem", body, headers)
    direct = refused(
        session_of(account, "ddb-orders", "orders").client("dynamodb", endpoint_url=account.engine.url).get_item,
        TableName="payments",
        Key=PAYMENT,
    ).response
    assert "assumed-role/ddb-orders/orders is not authorized to perform: dynamodb:GetItem" in answer.message
    assert (answer.message, answer.error) == (direct["Error"]["Message"], direct["Error"]["Code"])
    assert answer.status == direct["ResponseMetadata"]["HTTPStatusCode"]
    # AWS's request id stands in the answer, so the records are found by the call's
    decision = identity_gateway.record(record="decision", invocation_id="second-lock")
    outcome = identity_gateway.record(record="outcome", id=decision["id"])
    wrong_line = 1 + next(at for at, line in enumerate(POLICIES["shop.yaml"].splitlines()) if "a mistake" in line)
    assert decision["decision"] == "allow"
    assert decision["rule"].endswith(f"shop.yaml:{wrong_line}")
    assert (outcome["ending"], outcome["error"]) == ("served", "AccessDeniedException")


def test_the_gateway_refuses_before_iam_is_asked(identity_gateway: Gateway, token: Callable[[str], str]) -> None:
    """What no rule allows is refused with the nearest rule, whom to ask and the decision id."""
    error = refused(worker_client(identity_gateway.url, token("dag-billing")).get_item, TableName="orders", Key=ORDER)
    words = error.response["Error"]["Message"]
    assert error.response["Error"]["Code"] == "AccessDeniedException"
    assert "dag 'billing' may not GetItem on 'orders'" in words
    assert "shop.yaml:" in words
    assert "#shop" in words
    assert words.endswith(f"; decision {error.response['ResponseMetadata']['RequestId']}")


def test_a_role_that_does_not_trust_the_gateway_is_named(identity_gateway: Gateway, token: Callable[[str], str]) -> None:
    """The sentence says which role, for which DAG, and what to mend in its trust policy; it is not retried."""
    error = refused(worker_client(identity_gateway.url, token("dag-refunds")).get_item, TableName="payments", Key=PAYMENT)
    assert error.response["ResponseMetadata"]["HTTPHeaders"]["x-ddb-proxy-reason"] == "role_not_assumable"
    assert error.response["ResponseMetadata"]["RetryAttempts"] == 0
    assert "may not assume role 'arn:aws:iam::000000000000:role/ddb-refunds' for dag 'refunds'" in str(error)
    assert "trust policy" in str(error)


def test_the_workers_token_is_worth_nothing_at_aws(account: Account, token: Callable[[str], str]) -> None:
    """Who goes round the gateway is refused by DynamoDB and by STS: a worker holds no AWS credentials."""
    dynamodb = worker_client(account.engine.url, token("dag-orders"))
    assert refused(dynamodb.get_item, TableName="orders", Key=ORDER).response["Error"]["Code"] == "UnrecognizedClientException"
    sts = worker_session(token("dag-orders")).client("sts", endpoint_url=account.engine.url)
    refused(sts.assume_role, RoleArn=f"arn:aws:iam::{account.engine.account}:role/ddb-orders", RoleSessionName="orders")


def test_dags_that_interleave_are_never_mixed(
    account: Account, oidc_provider: IdentityProvider, start_gateway: Callable[..., Gateway]
) -> None:
    """Two DAGs from eight threads, cold caches at the start: what arrives at AWS for one is signed with one's own key alone."""
    with fault_proxy(account.engine.url) as (url, faults):
        gateway = start_gateway(settings_for(account, oidc_provider, url), policies=POLICIES, env=account.gateway_environment())
        clients = {
            "orders": worker_client(gateway.url, oidc_provider.token("dag-orders")),
            "payments": worker_client(gateway.url, oidc_provider.token("dag-billing")),
        }

        def write(number: int) -> None:
            table = "orders" if number % 2 else "payments"
            item = {"pk": {"S": f"mixed-{number}"}, **({"sk": {"S": "1"}} if number % 2 else {})}
            clients[table].put_item(TableName=table, Item=item)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, range(120)))
        keys: dict[str, set[str]] = {"orders": set(), "payments": set()}
        for seen in faults.of("PutItem"):
            keys[seen.body["TableName"]].add(re.findall(r"Credential=(\w+)/", seen.headers["authorization"])[0])
    assert [len(found) for found in keys.values()] == [1, 1]
    assert keys["orders"] != keys["payments"]
    assert len(faults.of("PutItem")) == 120
    for table in keys:
        assert sum("mixed-" in item["pk"]["S"] for item in account.items(table)) == 60
    assert gateway.metric("sts_calls_total", result="ok") == 2  # one for each role, however many asked at once
