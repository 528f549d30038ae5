"""The gateway as processes under load: SIGTERM loses and doubles no write, two workers count and audit as one."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.engines.conftest import POLICIES, settings_for
from tests.stack.faults import fault_proxy
from tests.stack.process import wait_until
from tests.stack.worker import worker_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stack.account import Account
    from tests.stack.gateway import Gateway
    from tests.stack.oidc_provider import IdentityProvider

pytestmark = pytest.mark.needs("server", "engine", "node", "node_modules")
THREADS = 6


class Writer:
    """Adds one to a new item again and again, until it is told to stop or the gateway is gone."""

    def __init__(self, url: str, token: str, name: str) -> None:
        self.client = worker_client(url, token, retries={"total_max_attempts": 1})
        self.name = name
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.reasons: set[str] = set()

    def run(self, is_over: threading.Event) -> None:
        """One write after the other."""
        number = 0
        while not is_over.is_set():
            number += 1
            pk = f"{self.name}-{number}"
            try:
                self.add_one(pk)
            except BotoCoreError:  # no connection any more
                self.refused.append(pk)
            except ClientError as error:
                self.refused.append(pk)
                self.reasons.add(error.response["ResponseMetadata"]["HTTPHeaders"].get("x-ddb-proxy-reason", ""))
            else:
                self.acknowledged.append(pk)

    def add_one(self, pk: str) -> None:
        """Not idempotent: a write that is done twice shows."""
        self.client.update_item(
            TableName="payments",
            Key={"pk": {"S": pk}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_loses_and_doubles_no_write(
    workers: int, account: Account, oidc_provider: IdentityProvider, start_gateway: Callable[..., Gateway]
) -> None:
    """Every write that was acknowledged is in the table once, every other is not there; exit status 0, audit complete."""
    settings = settings_for(account, oidc_provider, account.engine.url)
    options: dict[str, Any] = {
        "policies": POLICIES,
        "env": account.gateway_environment(),
        "arguments": ("--workers", str(workers)),
    }
    gateway = start_gateway(settings, **options)
    token = oidc_provider.token("dag-billing")
    writers = [Writer(gateway.url, token, f"term-{workers}-{n}") for n in range(THREADS)]
    is_over = threading.Event()
    threads = [threading.Thread(target=writer.run, args=(is_over,)) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(len(writer.acknowledged) > 20 for writer in writers), 60, "every thread writes")
        status = gateway.stop()
        wait_until(lambda: all(writer.refused for writer in writers), 20, "every thread sees that the gateway is gone")
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert status == 0, gateway.program.output()
    assert not set().union(*(writer.reasons for writer in writers))
    items = {
        item["pk"]["S"]: item["n"]["N"] for item in account.items("payments") if item["pk"]["S"].startswith(f"term-{workers}-")
    }
    assert set(items) == {pk for writer in writers for pk in writer.acknowledged}
    assert set(items.values()) == {"1"}
    outcomes = Counter(record["ending"] for record in gateway.records() if record["record"] == "outcome")
    assert outcomes["served"] == len(items)
    assert [r["event"] for r in gateway.records() if r["record"] == "event"].count("stop") == workers


def test_after_a_kill_every_write_that_left_has_its_decision(
    account: Account, oidc_provider: IdentityProvider, start_gateway: Callable[..., Gateway]
) -> None:
    """SIGKILL under load: what arrived at AWS stands in the audit, for a decision is there before the first byte leaves."""
    with fault_proxy(account.engine.url) as (url, faults):
        gateway = start_gateway(settings_for(account, oidc_provider, url), policies=POLICIES, env=account.gateway_environment())
        token = oidc_provider.token("dag-billing")
        writers = [Writer(gateway.url, token, f"kill-{n}") for n in range(THREADS)]
        is_over = threading.Event()
        threads = [threading.Thread(target=writer.run, args=(is_over,)) for writer in writers]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: all(len(writer.acknowledged) > 20 for writer in writers), 60, "every thread writes")
            gateway.program.process.kill()
            wait_until(lambda: all(writer.refused for writer in writers), 20, "every thread sees that the gateway is gone")
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
    arrived = {seen.headers["amz-sdk-invocation-id"] for seen in faults.of("UpdateItem")}
    decided = {record["invocation_id"] for record in gateway.records() if record["record"] == "decision"}
    assert len(arrived) > 20 * THREADS
    assert arrived <= decided


def test_an_idle_gateway_stops_at_once(
    account: Account, oidc_provider: IdentityProvider, start_gateway: Callable[..., Gateway]
) -> None:
    """A sidecar must not keep its pod waiting, not even for a keep-alive connection of the task's."""
    gateway = start_gateway(
        settings_for(account, oidc_provider, account.engine.url), policies=POLICIES, env=account.gateway_environment()
    )
    client = worker_client(gateway.url, oidc_provider.token("dag-billing"))
    client.get_item(TableName="payments", Key={"pk": {"S": "1"}})
    assert gateway.stop() == 0  # long before the drain's 60 s, or it is killed


def test_two_workers_count_and_audit_as_one(
    account: Account, oidc_provider: IdentityProvider, start_gateway: Callable[..., Gateway]
) -> None:
    """One scrape has the sum, every audit line is whole, each worker numbers its own records without a gap."""
    gateway = start_gateway(
        settings_for(account, oidc_provider, account.engine.url),
        policies=POLICIES,
        env=account.gateway_environment(),
        arguments=("--workers", "2"),
    )
    token = oidc_provider.token("dag-billing")

    def several(place: int) -> None:
        client = worker_client(gateway.url, token)  # a connection of its own, so that both workers get some
        for number in range(10):
            client.put_item(TableName="payments", Item={"pk": {"S": f"two-{place}-{number}"}})
            with pytest.raises(ClientError):
                client.scan(TableName="orders")

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(several, range(30)))
    records = gateway.settled(requests=600)
    by_worker = Counter(record["worker"] for record in records if record["record"] == "outcome")
    assert len(by_worker) == 2
    for kind in ("decision", "outcome"):
        assert len({record["id"] for record in records if record["record"] == kind}) == 600
    for worker in by_worker:
        numbers = [record["seq"] for record in gateway.records() if record["worker"] == worker]
        assert numbers == list(range(1, len(numbers) + 1))
    wait_until(lambda: gateway.metric("requests_total") == 600, 5, "both workers have told what they counted")
    assert gateway.metric("requests_total", ending="served") == 300
    assert gateway.metric("requests_total", ending="refused") == 300
    assert gateway.metric("sdk_calls_total", dag="billing", operation="PutItem") == 300
    wait_until(lambda: gateway.metric("audit_records_total", record="outcome") == 600, 5, "they have told what is on record")
    assert gateway.metric("sts_calls_total", result="ok") == 2  # each worker has a session of its own
    assert gateway.stop() == 0
