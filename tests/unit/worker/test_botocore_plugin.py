"""The plugin in a client of the environment's own boto3: what it does when something is not as it should be.

What it does when all is well is tested with the oldest and newest botocore, in tests/clients.
"""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError, CredentialRetrievalError

from proxy.worker import airflow_plugin, denials, session_factory
from proxy.worker.airflow_plugin import switched_on
from proxy.worker.botocore_plugin import initialize_client_plugin
from proxy.worker.switch import BOTOCORE_PLUGINS, ENDPOINTS, PLUGIN_MODULE
from proxy.worker.usage import USAGE
from tests.fake_gateway import FakeGateway, fake_gateway, worker_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = {"pk": {"S": "a"}}


class Ended(Exception):
    """How a task ends."""


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """Gives sessions of an hour."""
    with fake_gateway(3600) as running:
        yield running


@pytest.fixture
def client(gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Make clients that know no credentials, with the plugin on; nothing of it remains."""
    (tmp_path / "token").write_text(worker_token())
    monkeypatch.setenv("DDB_PROXY_URL", gateway.url)
    monkeypatch.setenv("DDB_PROXY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv(BOTOCORE_PLUGINS, f"ddb-proxy={PLUGIN_MODULE}")
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    made: list[Any] = []

    def make(service: str = "dynamodb", **options: Any) -> Any:
        made.append(Session(region_name="eu-west-1").client(service, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
    denials.end_tasks_with(None)
    USAGE.clear()


def test_a_refusal_ends_the_task_within_airflow_only(client: Callable[..., Any]) -> None:
    """There it is no ClientError, which a sensor would swallow; elsewhere it is boto3's own, word for word."""
    dynamodb = client()
    with pytest.raises(ClientError) as usual:
        dynamodb.get_item(TableName="shut", Key=KEY)
    denials.end_tasks_with(Ended)
    with pytest.raises(Ended) as ended:
        dynamodb.get_item(TableName="shut", Key=KEY)
    assert str(ended.value) == str(usual.value)
    assert USAGE.line() == "gateway: 2 calls, 2 denied"


@pytest.mark.parametrize(
    ("error", "reason", "is_final"),
    [
        ("AccessDeniedException", "no_rule", True),
        ("UnrecognizedClientException", "wrong_audience", True),
        ("UnrecognizedClientException", "unknown_key", False),
        ("ExpiredTokenException", "token_expired", False),
        ("ThrottlingException", "overloaded", False),
        ("AccessDeniedException", "", False),  # AWS's own: the role's policy
    ],
)
def test_which_refusals_are_final(error: str, reason: str, is_final: bool) -> None:
    """Those by the gateway that the same call would meet again."""
    assert denials.is_final(error, reason) is is_final


def test_a_sovereign_region_is_no_way_past_the_gateway(client: Callable[..., Any], gateway: FakeGateway) -> None:
    """AWS's partitions have hosts of their own; a client of any goes to the gateway."""
    client(region_name="eusc-de-east-1").get_item(TableName="open", Key=KEY)
    assert len(gateway.calls()) == 1


def test_no_credentials(client: Callable[..., Any], gateway: FakeGateway, tmp_path: Path) -> None:
    """Without a token's file the task may try again later; a refusal by the gateway is final. Nothing is sent."""
    denials.end_tasks_with(Ended)
    (tmp_path / "token").unlink()
    with pytest.raises(CredentialRetrievalError, match="cannot be read"):
        client().get_item(TableName="open", Key=KEY)
    (tmp_path / "token").write_text(worker_token())
    gateway.refusal = (400, {"message": "'worker' may not speak for 'etl'"}, "not_entitled")
    with pytest.raises(Ended, match="may not speak for 'etl'"):
        client().get_item(TableName="open", Key=KEY)
    denials.end_tasks_with(None)
    with pytest.raises(CredentialRetrievalError, match="may not speak for 'etl'"):
        client().get_item(TableName="open", Key=KEY)
    assert gateway.calls() == []


def test_a_mistake_in_the_variables_is_told(
    client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Botocore hides what a plugin raises, so it is logged; other clients are not concerned."""
    monkeypatch.setenv("DDB_PROXY_URL", "gateway:8080")
    client("s3")
    assert caplog.text == ""
    assert client().meta.endpoint_url == "https://dynamodb.eu-west-1.amazonaws.com"
    assert "DDB_PROXY_URL: 'gateway:8080' is not an http(s) URL" in caplog.text


def test_a_mistake_in_the_variables_lets_nothing_leave_for_aws(
    client: Callable[..., Any], gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt address is no way around the gateway for a worker that has keys; DynamoDB Local is left alone."""
    monkeypatch.setenv("DDB_PROXY_CREDENTIALS", "sesion")
    keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "x"}
    with pytest.raises(RuntimeError, match="no DynamoDB request leaves: DDB_PROXY_CREDENTIALS: write one of"):
        client(**keys).get_item(TableName="open", Key=KEY)
    assert gateway.calls() == []
    with contextlib.suppress(ClientError):  # the address of no one of AWS's
        client(**keys, endpoint_url=gateway.url).get_item(TableName="open", Key=KEY)
    assert len(gateway.calls()) == 1
    assert switched_on(Ended) is None
    assert denials.is_off()


def test_an_unknown_botocore_is_told_with_the_profile_to_write(
    client: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Where even a client's events are not to be found."""
    meta = SimpleNamespace(
        service_model=SimpleNamespace(service_name="dynamodb"), endpoint_url="https://dynamodb.eu-west-1.amazonaws.com"
    )
    with pytest.raises(AttributeError):
        initialize_client_plugin(SimpleNamespace(meta=meta))
    assert "[profile ddb-proxy]" in caplog.text


@pytest.mark.parametrize("event", ["before-sign", "before-endpoint-resolution"])
def test_a_botocore_that_does_not_follow_sends_nothing(
    event: str, client: Callable[..., Any], gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither AWS keys to the gateway, nor the gateway's past it: the request is stopped, with the profile to write."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    dynamodb = client(config=Config(retries={"max_attempts": 0}, connect_timeout=1))

    def undo(request: Any = None, builtins: Any = None, **_: Any) -> None:
        if request is not None:
            del request.context["signing"]["request_credentials"]
        else:
            builtins[next(name for name in builtins if getattr(name, "value", "") == "SDK::Endpoint")] = "http://127.0.0.1:1"

    dynamodb.meta.events.register_last(f"{event}.dynamodb", undo)
    with pytest.raises(RuntimeError, match="profile ddb-proxy"):
        dynamodb.get_item(TableName="open", Key=KEY)
    assert gateway.calls() == []


def test_a_proxy_of_the_environment_sees_nothing(
    client: Callable[..., Any], gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that was made for AWS's address has its proxy; the gateway is called past it where NO_PROXY says so."""
    with fake_gateway() as corporate:
        monkeypatch.setenv("http_proxy", corporate.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        client().get_item(TableName="open", Key=KEY)
        assert len(gateway.calls()) == 1
        assert corporate.arrived == []


def test_threads_count_together_and_waits_are_counted(client: Callable[..., Any], gateway: FakeGateway) -> None:
    """An attempt after a throttle ends a wait."""
    gateway.slow_answers = 1
    client().put_item(TableName="slow", Item=KEY)
    assert USAGE.calls == 1
    assert USAGE.throttled.total() == 1
    assert USAGE.backoff_seconds > 0
    assert gateway.calls()[0].headers["amz-sdk-invocation-id"] == gateway.calls()[1].headers["amz-sdk-invocation-id"]


def test_a_session_that_is_over_is_renewed_at_once(client: Callable[..., Any], gateway: FakeGateway) -> None:
    """A gateway with new keys knows none of its old sessions: the call is tried once more with a new one, and served."""
    denials.end_tasks_with(Ended)
    dynamodb = client()
    dynamodb.get_item(TableName="open", Key=KEY)
    gateway.ended = {"sealed.session.1"}
    dynamodb.get_item(TableName="open", Key=KEY)
    assert [call.headers["x-amz-security-token"][-1] for call in gateway.calls()] == ["1", "1", "2"]
    gateway.ended = {f"sealed.session.{number}" for number in range(9)}
    with pytest.raises(ClientError, match="log in again"):
        dynamodb.get_item(TableName="open", Key=KEY)
    assert len(gateway.calls()) == 5
    assert USAGE.line() == "gateway: 3 calls"


def test_both_ways_at_once_count_once(client: Callable[..., Any], gateway: FakeGateway) -> None:
    """A session factory beside the plugin changes nothing."""
    session = session_factory.extend(Session(region_name="eu-west-1"))
    dynamodb = session.client("dynamodb")
    dynamodb.get_item(TableName="open", Key=KEY)
    dynamodb.close()
    assert USAGE.calls == 1
    assert len(gateway.calls()) == 1


@pytest.mark.parametrize("module", [session_factory, airflow_plugin])
def test_airflow_is_needed_only_when_its_classes_are(module: Any) -> None:
    """The module imports without it, and knows no other names."""
    with pytest.raises(AttributeError):
        module.Anything  # noqa: B018 - to look is to ask
    with pytest.raises(ImportError):
        _ = getattr(module, "GatewaySessionFactory" if module is session_factory else "GatewayPlugin")
