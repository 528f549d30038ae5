"""What the SDK does with each answer, and how it is counted: a denial is one attempt, a throttle is the SDK's to retry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from tests.engines.conftest import POLICIES, settings_for
from tests.stack.faults import Canned, Faults, Seen, fault_proxy, throttle
from tests.stack.gateway import gateway as start
from tests.stack.worker import worker_client, worker_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.stack.account import Account
    from tests.stack.gateway import Gateway
    from tests.stack.oidc_provider import IdentityProvider

pytestmark = pytest.mark.needs("server", "engine", "node", "node_modules")
MODES = ("legacy", "standard", "adaptive")


class Stage(NamedTuple):
    """A gateway whose upstream can be told to fail."""

    gateway: Gateway
    faults: Faults

    def counted(self, name: str, **labels: str) -> float:
        """A metric's value."""
        return self.gateway.metric(name, **labels)


@pytest.fixture(scope="module")
def stage(account: Account, oidc_provider: IdentityProvider, logs: Path) -> Iterator[Stage]:
    """A gateway, the fault proxy, the engine that verifies signatures."""
    with fault_proxy(account.engine.url) as (url, faults):
        settings = settings_for(account, oidc_provider, url)
        with start(settings, logs / "retries", policies=POLICIES, env=account.gateway_environment()) as gateway:
            yield Stage(gateway, faults)


@pytest.mark.parametrize("mode", MODES)
def test_a_denial_is_one_attempt(mode: str, stage: Stage, token: Callable[[str], str]) -> None:
    """In every retry mode boto3 asks once, the message reaches the user verbatim, and its request id is the decision id."""
    client = worker_client(stage.gateway.url, token("dag-billing"), retries={"mode": mode})
    before = stage.counted("sdk_attempts_total", dag="billing", operation="DeleteItem")
    with pytest.raises(ClientError) as failure:
        client.delete_item(TableName="orders", Key={"pk": {"S": "1"}, "sk": {"S": "1"}})
    answer = failure.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["RetryAttempts"]) == ("AccessDeniedException", 0)
    decision, outcome = stage.gateway.settled(answer["ResponseMetadata"]["RequestId"])
    assert answer["Error"]["Message"] == decision["message"]
    assert str(failure.value).endswith(f"DeleteItem operation: {decision['message']}")
    assert (decision["decision"], decision["reason"], outcome["sent"]) == ("deny", "no_rule", "no")
    same_call = [r for r in stage.gateway.records() if r.get("invocation_id") == decision["invocation_id"]]
    assert [record["attempt"] for record in same_call] == [1]
    assert stage.counted("sdk_attempts_total", dag="billing", operation="DeleteItem") == before + 1
    assert stage.faults.of("DeleteItem") == []


@pytest.mark.parametrize("mode", MODES)
def test_throttles_are_retried_by_the_sdk_and_counted(
    mode: str, stage: Stage, account: Account, token: Callable[[str], str]
) -> None:
    """Three attempts, one call; each throttle by DAG, table, operation and DynamoDB's own reason; one item in the end."""
    arn = account.table_arn("payments")
    stage.faults.plan(
        "PutItem",
        throttle("ProvisionedThroughputExceededException", ("TableWriteKeyRangeThroughputExceeded", arn)),
        throttle("ThrottlingException", ("TableWriteAccountLimitExceeded", arn)),
    )
    whose = {"dag": "billing", "operation": "PutItem"}
    reasons = ("TableWriteKeyRangeThroughputExceeded", "TableWriteAccountLimitExceeded")

    def counts() -> list[float]:
        calls = [stage.counted(name, **whose) for name in ("sdk_calls_total", "sdk_attempts_total")]
        return calls + [stage.counted("throttles_total", **whose, table="payments", reason=reason) for reason in reasons]

    before, arrived = counts(), len(stage.faults.of("PutItem"))
    client = worker_client(stage.gateway.url, token("dag-billing"), retries={"mode": mode, "max_attempts": 4})
    done = client.put_item(TableName="payments", Item={"pk": {"S": f"throttled-{mode}"}})
    assert done["ResponseMetadata"]["RetryAttempts"] == 2
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 3, 1, 1]
    seen = stage.faults.of("PutItem")[arrived:]
    assert len({request.headers["amz-sdk-invocation-id"] for request in seen}) == 1
    assert [re.findall(r"attempt=(\d+)", request.headers["amz-sdk-request"]) for request in seen] == [["1"], ["2"], ["3"]]
    assert sum(item["pk"]["S"] == f"throttled-{mode}" for item in account.items("payments")) == 1


@pytest.mark.parametrize("kind", ["RequestLimitExceeded", "ProvisionedThroughputExceededException"])
def test_a_throttle_without_reasons_is_counted_by_its_name(kind: str, stage: Stage, token: Callable[[str], str]) -> None:
    """Older answers carry no ThrottlingReasons; where retries end, the SDK's user sees DynamoDB's own error."""
    stage.faults.plan("Query", throttle(kind), throttle(kind))
    before = stage.counted("throttles_total", dag="billing", table="payments", operation="Query", reason=kind)
    client = worker_client(stage.gateway.url, token("dag-billing"), retries={"mode": "standard", "total_max_attempts": 2})
    with pytest.raises(ClientError, match="Throughput exceeds the current capacity") as failure:
        client.query(TableName="payments", KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": {"S": "1"}})
    assert failure.value.response["Error"]["Code"] == kind
    assert stage.counted("throttles_total", dag="billing", table="payments", operation="Query", reason=kind) == before + 2


def test_a_transaction_cancelled_by_a_throttle_is_counted(stage: Stage, token: Callable[[str], str]) -> None:
    """By the table of the member that was throttled; members that merely stood by are not."""
    reasons = [{"Code": "None"}, {"Code": "ThrottlingError", "Message": "Throughput exceeds the current capacity"}]
    document = {"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "CancellationReasons": reasons}
    stage.faults.plan("TransactWriteItems", Canned(400, {**document, "Message": "Transaction cancelled"}))
    client = worker_client(stage.gateway.url, token("dag-orders"))
    items: list[dict[str, Any]] = [
        {"Put": {"TableName": "orders", "Item": {"pk": {"S": "1"}, "sk": {"S": "1"}}}},
        {"Put": {"TableName": "archive", "Item": {"pk": {"S": "1"}}}},
    ]
    with pytest.raises(client.exceptions.TransactionCanceledException):
        client.transact_write_items(TransactItems=items)
    labels = {"dag": "orders", "operation": "TransactWriteItems", "reason": "ThrottlingError"}
    assert stage.counted("throttles_total", table="archive", **labels) == 1
    assert stage.counted("throttles_total", table="orders", **labels) == 0


def test_unprocessed_items_are_counted_and_lost_by_nobody(stage: Stage, account: Account, token: Callable[[str], str]) -> None:
    """A batch that DynamoDB hands back whole is sent again by boto3's batch_writer; the items are counted, and written once."""

    def hand_back(seen: Seen) -> Canned:
        return Canned(200, {"UnprocessedItems": seen.body["RequestItems"]})

    stage.faults.plan("BatchWriteItem", hand_back)
    table = worker_session(token("dag-orders")).resource("dynamodb", endpoint_url=stage.gateway.url).Table("archive")
    with table.batch_writer() as batch:
        for n in range(20):
            batch.put_item({"pk": f"handed-back-{n}"})
    whose = {"dag": "orders", "operation": "BatchWriteItem"}
    assert stage.counted("unprocessed_items_total", table="archive", **whose) == 20
    assert stage.counted("sdk_calls_total", **whose) == 2
    assert sum(item["pk"]["S"].startswith("handed-back-") for item in account.items("archive")) == 20


def test_unprocessed_keys_are_counted(stage: Stage, token: Callable[[str], str]) -> None:
    """BatchGetItem alike."""

    def hand_back(seen: Seen) -> Canned:
        return Canned(200, {"Responses": {}, "UnprocessedKeys": seen.body["RequestItems"]})

    stage.faults.plan("BatchGetItem", hand_back)
    client = worker_client(stage.gateway.url, token("dag-orders"))
    wanted = {"archive": {"Keys": [{"pk": {"S": f"handed-back-{n}"}} for n in range(7)]}}
    assert client.batch_get_item(RequestItems=wanted)["UnprocessedKeys"] == wanted
    assert stage.counted("unprocessed_items_total", dag="orders", table="archive", operation="BatchGetItem") == 7
