"""The ways in, by the newest boto3 as it is: nothing but variables and a profile, and it logs in and renews by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.conftest import POLICIES, settings_for
from tests.stack.environments import run_in
from tests.stack.gateway import gateway
from tests.stack.worker import REGION, worker_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.stack.account import Account
    from tests.stack.gateway import Gateway
    from tests.stack.oidc_provider import IdentityProvider

pytestmark = pytest.mark.needs("server", "engine", "clients", "node", "node_modules")
ROLE = "arn:aws:iam::000000000000:role/ddb-orders"
ITEM = {"pk": {"S": "way-in"}, "sk": {"S": "1"}}


@pytest.fixture(scope="module")
def running(account: Account, oidc_provider: IdentityProvider, logs: Path) -> Iterator[Gateway]:
    """A gateway whose pool may also speak by its session, and one item to read."""
    policies = POLICIES | {"platform.yaml": POLICIES["platform.yaml"].replace("[header, user_agent]", "[session, header]")}
    settings = settings_for(account, oidc_provider, account.engine.url)
    with gateway(settings, logs / "ways-in", policies=policies, env=account.gateway_environment()) as started:
        worker_client(started.url, oidc_provider.token("dag-orders")).put_item(TableName="orders", Item=ITEM)
        yield started


def config_of(url: str) -> str:
    """`services` of a profile that sends DynamoDB and STS to the gateway."""
    return f"region = {REGION}\nservices = gw\n[services gw]\ndynamodb =\n  endpoint_url = {url}\nsts =\n  endpoint_url = {url}\n"


def environment(way: str, url: str, folder: Path, token: str) -> dict[str, str]:
    """What an operator sets on the worker for each way."""
    file, config = folder / "token", folder / "config"
    file.write_text(token)
    endpoints = {
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ENDPOINT_URL_STS": url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
    container = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
    }
    profile = {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "ddb-proxy"}
    role = f"role_arn = {ROLE}\nrole_session_name = orders\n"
    match way:
        case "container":
            return endpoints | container
        case "web identity":
            return endpoints | {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ROLE_ARN": ROLE}
        case "profile of web identity":
            config.write_text(f"[profile ddb-proxy]\n{role}web_identity_token_file = {file}\n{config_of(url)}")
            return profile
        case _:
            config.write_text(
                f"[profile ddb-proxy]\n{role}credential_source = EcsContainer\nduration_seconds = 900\n{config_of(url)}"
            )
            return profile | container


WAYS = {
    "container": "container-role",
    "web identity": "assume-role-with-web-identity",
    "profile of web identity": "assume-role-with-web-identity",
    "profile of a role": "assume-role",
}


# With a pool's token and no role, nothing says which DAG: its requests must (tests of the worker's plugin).
CASES = [("container", "dag-orders"), *((way, client) for way in list(WAYS)[1:] for client in ("dag-orders", "worker-pool"))]


@pytest.mark.parametrize(("way", "client"), CASES)
def test_plain_boto3_logs_in_and_renews(
    running: Gateway, token: Callable[[str], str], tmp_path: Path, way: str, client: str
) -> None:
    """With a token of the DAG's own, and with one of a pool where the role says which DAG; the audit tells both apart."""
    found = run_in("clients", "log_in.py", "orders", "way-in", "1", env=environment(way, running.url, tmp_path, token(client)))
    assert found.get("error") is None, found
    assert found["method"] == WAYS[way]
    assert (found["items"], found["account"]) == ([ITEM, ITEM], "000000000000")
    assert found["arn"].startswith("arn:aws:sts::000000000000:assumed-role/ddb-orders/DDBP")
    assert len(set(found["keys"])) == 2, "it was renewed"
    record = running.record(record="decision", operation="GetItem", session=found["keys"][0])
    expected = ("verified", "claim") if client == "dag-orders" else ("claimed", "session")
    assert (record["dag"], record["evidence"], record["source"]) == ("orders", *expected)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("container", "token audience is 'somebody-else', expected"),
        ("web identity", "InvalidIdentityToken"),
    ],
)
def test_a_refused_login_is_readable_in_the_task_log(
    account: Account, oidc_provider: IdentityProvider, logs: Path, tmp_path: Path, way: str, says: str
) -> None:
    """boto3 quotes the gateway's sentence, whichever way it asked."""
    settings: dict[str, Any] = settings_for(account, oidc_provider, account.engine.url)
    settings["issuers"][0]["audience"] = "another-gateway"
    folder = logs / f"refused-login-{way.replace(' ', '-')}"
    with gateway(settings, folder, policies=POLICIES, env=account.gateway_environment()) as started:
        given = environment(way, started.url, tmp_path, oidc_provider.token("dag-orders"))
        error = run_in("clients", "log_in.py", "orders", "way-in", "1", env=given)["error"]
    assert "expected 'another-gateway'" in error
    assert says.replace("somebody-else", oidc_provider.audience) in error


def test_a_role_of_another_dag_is_refused(running: Gateway, token: Callable[[str], str], tmp_path: Path) -> None:
    """And the sentence says which role to write."""
    given = environment("web identity", running.url, tmp_path, token("dag-billing"))
    error = run_in("clients", "log_in.py", "orders", "way-in", "1", env=given)["error"]
    assert "AccessDenied" in error
    assert "write 'arn:aws:iam::000000000000:role/ddb-billing'" in error
