"""The worker's botocore plugin in the oldest and newest botocore that are supported, and by aiobotocore.

1.40.61 is the oldest (the gateway's own environment pins it with aioboto3 15.5); the newest is what `make lock` found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_gateway import FakeGateway, fake_gateway, worker_token
from tests.stack.environments import run_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLUGIN = {"BOTOCORE_EXPERIMENTAL__PLUGINS": "ddb-proxy=proxy.worker.botocore_plugin"}
FACTORY = {"PLUGIN": "factory"}
SWITCH = {"PLUGIN": "switch"}
TASK = {
    "AIRFLOW_CTX_DAG_ID": "süd.etl",
    "AIRFLOW_CTX_TASK_ID": "load",
    "AIRFLOW_CTX_DAG_RUN_ID": "manual__2026-11-22T18:58:30+00:00",
    "AIRFLOW_CTX_TRY_NUMBER": "2",
}
CLAIMS = {
    "x-airflow-dag-id": "s%C3%BCd.etl",
    "x-airflow-task-id": "load",
    "x-airflow-run-id": "manual__2026-11-22T18%3A58%3A30%2B00%3A00",
    "x-airflow-try-number": "2",
}
# What would lead a request elsewhere, were the plugin not careful.
TRAPS = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_ENDPOINT_DISCOVERY_ENABLED": "true",
    "AWS_AUTH_SCHEME_PREFERENCE": "httpBearerAuth",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_ACCOUNT_ID": "111122223333",
}


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """Gives sessions of an hour; throttles the table `slow` twice."""
    with fake_gateway(3600) as running:
        running.slow_answers = 2
        yield running


def worker(gateway: FakeGateway, folder: Path, *more: dict[str, str]) -> dict[str, str]:
    """The environment of a task."""
    (folder / "token").write_text(worker_token())
    settings = {"DDB_PROXY_URL": gateway.url, "DDB_PROXY_TOKEN_FILE": str(folder / "token"), "AWS_DEFAULT_REGION": "eu-west-1"}
    return {"PYTHONPATH": ".", **settings, **TASK, **{name: value for part in more for name, value in part.items()}}


def assert_signed_for(gateway: FakeGateway, regions: set[str]) -> None:
    """One session was asked for, with the token as it is; every call is signed with it and carries the claims, signed."""
    (asked,) = gateway.asked()
    assert asked.headers["authorization"] == worker_token()
    for call in gateway.calls():
        assert call.headers["x-amz-security-token"] == "sealed.session.1"
        assert "Credential=DDBPSESSION1/" in call.headers["authorization"]
        assert {name: call.headers[name] for name in CLAIMS} == CLAIMS
        assert call.signed >= {"host", "x-amz-date", "x-amz-security-token", "x-amz-target", "content-type", *CLAIMS}
        assert "x-airflow-map-index" not in call.headers
    assert {call.headers["authorization"].split("/")[2] for call in gateway.calls()} == regions


@pytest.mark.needs("server", "clients")
@pytest.mark.parametrize("environment", ["server", "clients"])
@pytest.mark.parametrize(("way", "traps"), [(PLUGIN, {}), (PLUGIN, TRAPS), (SWITCH, TRAPS), (FACTORY, TRAPS)])
def test_dynamodb_and_nothing_else_goes_to_the_gateway(
    environment: str, way: dict[str, str], traps: dict[str, str], gateway: FakeGateway, tmp_path: Path
) -> None:
    """Client, resource and streams, unsigned or with keys of their own or with AWS's endpoint; whatever the environment holds."""
    found: dict[str, Any] = run_in(environment, "use_plugin.py", env=worker(gateway, tmp_path, way, traps))
    operations = [call.operation for call in gateway.calls()]
    assert operations == ["GetItem", "PutItem", "ListStreams", "GetItem", "PutItem", "PutItem", "PutItem", "GetItem"]
    assert_signed_for(gateway, {"eu-west-1", "us-west-2"})
    assert found["elsewhere"] == "http://127.0.0.1:1"
    assert all(".amazonaws.com" in place for place in found["others"].values()), found["others"]
    assert found["denied"] == "AccessDeniedException"
    line = found["line"]
    assert line.startswith("gateway: 6 calls, 2 throttled (TableWriteKeyRangeThroughputExceeded on slow), ")
    assert line.endswith(" s in back-off, 2.5 write units, 1 denied")
    assert (found["summary"]["tables_read"], found["summary"]["tables_written"]) == (["open"], ["open", "slow"])


@pytest.mark.needs("server", "aiobotocore")
@pytest.mark.parametrize("environment", ["server", "aiobotocore"])
@pytest.mark.parametrize("way", [PLUGIN, FACTORY])
def test_aiobotocore(environment: str, way: dict[str, str], gateway: FakeGateway, tmp_path: Path) -> None:
    """Fifty calls at once share one session; S3 stays where it is."""
    found = run_in(environment, "use_plugin_async.py", env=worker(gateway, tmp_path, way, TRAPS))
    assert [call.operation for call in gateway.calls()] == ["GetItem"] * 51
    assert_signed_for(gateway, {"eu-west-1"})
    assert found["denied"] == "AccessDeniedException"
    assert found["line"] == "gateway: 51 calls, 1 denied"
    assert "amazonaws.com" in found["others"]["s3"]


@pytest.mark.needs("clients")
def test_a_gateway_without_sessions_is_given_the_token(gateway: FakeGateway, tmp_path: Path) -> None:
    """It is asked once; then the token itself is the session token."""
    gateway.life = None
    run_in("clients", "use_plugin.py", env=worker(gateway, tmp_path, PLUGIN))
    assert len(gateway.asked()) == 1
    assert {call.headers["x-amz-security-token"] for call in gateway.calls()} == {worker_token()}


@pytest.mark.needs("clients")
def test_units_are_asked_for_where_told(gateway: FakeGateway, tmp_path: Path) -> None:
    """Only where the caller did not ask and the operation can tell."""
    found = run_in("clients", "use_plugin.py", env=worker(gateway, tmp_path, PLUGIN, {"DDB_PROXY_ASK_UNITS": "true"}))
    asked = {(call.operation, call.body.get("ReturnConsumedCapacity")) for call in gateway.calls()}
    assert asked == {("GetItem", "TOTAL"), ("PutItem", "TOTAL"), ("ListStreams", None)}
    assert found["line"].endswith("5 read units, 5 write units, 1 denied")


@pytest.mark.needs("clients")
def test_outside_a_task_nothing_is_claimed(gateway: FakeGateway, tmp_path: Path) -> None:
    """A triggerer's process has no DAG."""
    run_in("clients", "use_plugin.py", env=worker(gateway, tmp_path, PLUGIN, {"AIRFLOW_CTX_DAG_ID": ""}))
    assert not [name for call in gateway.calls() for name in call.headers if name.startswith("x-airflow")]
