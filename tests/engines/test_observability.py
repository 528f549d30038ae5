"""What the gateway tells: metrics that a real promtool accepts, two records for each request, and never a secret."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.engines.conftest import POLICIES, settings_for
from tests.stack.faults import Canned, Faults, fault_proxy, throttle
from tests.stack.gateway import gateway as start
from tests.stack.process import wait_until
from tests.stack.worker import Answer, exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.stack.account import Account
    from tests.stack.gateway import Gateway
    from tests.stack.oidc_provider import IdentityProvider

pytestmark = pytest.mark.needs("server", "engine", "node", "node_modules")
CANARY = "canary-b7f1"  # stands wherever an item, a key or a value does


class Day(NamedTuple):
    """A gateway after a day of every kind of request, and what it answered itself."""

    gateway: Gateway
    faults: Faults
    refusals: list[Answer]
    requests: int
    secrets: list[str]


@pytest.fixture(scope="module")
def day(account: Account, oidc_provider: IdentityProvider, logs: Path) -> Iterator[Day]:
    """Served, refused for many reasons, throttled, broken by AWS, and abandoned; the log as talkative as it gets."""
    tokens = {client: oidc_provider.token(client) for client in ("dag-orders", "dag-billing", "worker-pool", "stranger")}
    with fault_proxy(account.engine.url) as (url, faults):
        settings = settings_for(account, oidc_provider, url, log_level="debug")
        env = account.gateway_environment()
        with start(settings, logs / "day", policies=POLICIES, env=env) as gateway:
            faults.plan(
                "Scan", throttle("ProvisionedThroughputExceededException"), Canned(500, {"__type": "InternalServerError"})
            )
            answers = [exchange(gateway.url, *request) for request in spoken(tokens)]
            abandon(gateway.url, tokens["dag-orders"])
            requests = len(answers) + 1
            gateway.settled(requests=requests)
            refusals = [answer for answer in answers if "x-ddb-proxy-reason" in answer.headers]
            sessions = [seen.headers["x-amz-security-token"] for seen in faults.seen]
            signatures = [seen.headers["authorization"].rpartition("=")[2] for seen in faults.seen]
            parts = [part for token in (*tokens.values(), forged(tokens["dag-orders"])) for part in token.split(".")]
            yield Day(gateway, faults, refusals, requests, [account.secret, *sessions, *signatures, *parts[1::3], *parts[2::3]])


def forged(token: str) -> str:
    """The same claims but for one, under the old signature."""
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    made = base64.urlsafe_b64encode(json.dumps({**claims, "dag_id": "billing"}).encode()).decode().rstrip("=")
    return f"{head}.{made}.{signature}"


def spoken(tokens: dict[str, str]) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Requests as (operation, body, headers): what is served first, then what is refused, by who, what and whether it may."""
    key = {"pk": {"S": CANARY}, "sk": {"S": CANARY}}
    named = {"#n": f"{CANARY}-name"}
    orders, billing = ({"authorization": f"Bearer {tokens[client]}"} for client in ("dag-orders", "dag-billing"))

    def call(operation: str, headers: dict[str, str], **body: Any) -> tuple[str, bytes, dict[str, str]]:
        return operation, json.dumps(body).encode(), headers

    yield call("PutItem", orders, TableName="orders", Item={**key, "secret": {"S": CANARY}, CANARY: {"B": "Y2FuYXJ5"}})
    yield call("GetItem", orders, TableName="orders", Key=key, ProjectionExpression="#n", ExpressionAttributeNames=named)
    yield call("PutItem", orders, TableName="orders", Item=key, ConditionExpression="attribute_not_exists(pk)")
    yield call("PutItem", orders, TableName="orders", Item={"pk": {"S": CANARY}})  # without its sort key
    yield call("BatchWriteItem", orders, RequestItems={"archive": [{"PutRequest": {"Item": {"pk": {"S": CANARY}}}}]})
    yield call("Scan", orders, TableName="orders")
    yield call("Scan", orders, TableName="orders")
    yield call("GetItem", orders, TableName="payments", Key={"pk": {"S": CANARY}})
    # not allowed, not understood, not served
    yield call("PutItem", billing, TableName="orders", Item=key)
    yield call("TransactWriteItems", orders, TransactItems=[{"Put": {"TableName": "payments", "Item": {"pk": {"S": CANARY}}}}])
    yield call("PutItem", orders, TableName="orders", Item={"pk": {"N": f"not a number: {CANARY}"}})
    yield call("GetItem", orders, TableName="orders", Key={"pk": {"S": {"deep": CANARY}}}, **{CANARY: CANARY})
    yield "PutItem", b'{"TableName": "orders", "Item": {"pk": {"S": "' + CANARY.encode(), orders
    yield call("ExecuteStatement", orders, Statement=f"SELECT * FROM orders WHERE pk = '{CANARY}'")  # noqa: S608 - refused unread
    yield call("Invented", orders, TableName="orders", Key=key)
    # nobody that we know
    yield call("GetItem", {}, TableName="orders", Key=key)
    yield call("GetItem", {"x-dag-token": forged(tokens["dag-orders"])}, TableName="orders", Key=key)
    yield call("GetItem", {"x-dag-token": tokens["dag-orders"] + "%0A"}, TableName="orders", Key=key)
    yield call("GetItem", {"x-dag-token": f"e30.{CANARY}.e30"}, TableName="orders", Key=key)
    yield call("GetItem", {**orders, "x-dag-token": tokens["dag-billing"]}, TableName="orders", Key=key)
    yield call("GetItem", {"x-dag-token": tokens["stranger"]}, TableName="orders", Key=key)
    yield call("GetItem", {"x-dag-token": tokens["worker-pool"], "x-airflow-dag-id": "nowhere"}, TableName="orders", Key=key)
    yield call("GetItem", {**orders, "x-airflow-dag-id": "billing"}, TableName="orders", Key=key)
    # nothing that DynamoDB's clients send
    yield "GetItem", CANARY.encode(), {**orders, "content-type": "text/plain"}


def abandon(url: str, token: str) -> None:
    """Send half a request and go away."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0)) as connection:
        head = (
            f"POST / HTTP/1.1\r\nHost: gateway\r\nX-DAG-Token: {token}\r\nX-Amz-Target: DynamoDB_20120810.PutItem\r\n"
            f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: 1000\r\n\r\n"
        )
        connection.sendall(head.encode() + b'{"TableName": "' + CANARY.encode())


def test_every_request_has_one_decision_and_one_outcome(day: Day) -> None:
    """Whatever its ending: served, refused, broken or abandoned; `seq` has no gap and metrics count the same requests."""
    records = day.gateway.settled(requests=day.requests)
    for kind in ("decision", "outcome"):
        ids = Counter(record["id"] for record in records if record["record"] == kind)
        assert (len(ids), set(ids.values())) == (day.requests, {1})
    endings = Counter(record["ending"] for record in records if record["record"] == "outcome")
    assert endings["abandoned"] == 1
    assert endings["served"] == 8
    assert endings["refused"] == len(day.refusals)
    assert sum(endings.values()) == day.requests
    numbers = [record["seq"] for record in day.gateway.records()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert day.gateway.metric("requests_total") == day.requests
    assert day.gateway.metric("refusals_total") == len(day.refusals)


def test_each_refusal_says_why_and_can_be_found(day: Day) -> None:
    """Reason header, audit and message agree; the message is one line and ends in the decision id."""
    for answer in day.refusals:
        decision_id = answer.headers["x-amzn-requestid"]
        decision, outcome = day.gateway.settled(decision_id)
        reason = answer.headers["x-ddb-proxy-reason"]
        assert reason == decision["reason"] == outcome["reason"]
        assert answer.message == decision["message"]
        assert answer.message.endswith(f"; decision {decision_id}")
        assert "\n" not in answer.message
        assert answer.status == outcome["status"]
    assert len({answer.headers["x-ddb-proxy-reason"] for answer in day.refusals}) >= 12


def test_nothing_secret_is_told(day: Day) -> None:
    """No token, AWS secret, session, signature, key or item value in log, audit, metrics or messages."""
    told = {
        "log": day.gateway.program.output(),
        "audit": day.gateway.audit.read_text(),
        "metrics": day.gateway.metrics(),
        "messages": "".join(answer.body.decode() + json.dumps(answer.headers) for answer in day.refusals),
    }
    assert len(day.secrets) > 20
    for name, text in told.items():
        assert CANARY not in text, name
        assert "Y2FuYXJ5" not in text, name
        for secret in day.secrets:
            assert secret not in text, name


def test_what_reaches_aws_holds_nothing_of_the_workers(day: Day) -> None:
    """The worker's token stays here; of its headers only the two that tie logs together travel on."""
    ours = {"host", "content-type", "content-length", "x-amz-target", "x-amz-date", "x-amz-security-token", "authorization"}
    for seen in day.faults.seen:
        assert set(seen.headers) <= ours | {
            "amz-sdk-invocation-id",
            "amz-sdk-request",
            "connection",
            "accept-encoding",
            "user-agent",
        }
        assert "eyJ" not in json.dumps(seen.headers)


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_metrics(day: Day) -> None:
    """Names, help, types and units are as Prometheus wants them."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=day.gateway.metrics(), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_health_and_readiness_are_told_apart(day: Day, token: Callable[[str], str]) -> None:
    """/healthz says that it lives, /readyz that it serves."""
    from tests.stack.process import answers

    assert answers(f"{day.gateway.admin_url}/healthz", status=200)
    assert answers(f"{day.gateway.admin_url}/readyz", status=200)
    wait_until(lambda: day.gateway.metric("ready") == 1, 5, "the metric says ready")
