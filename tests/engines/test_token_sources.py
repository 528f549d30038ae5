"""A worker that fetches its token itself from a certified provider, by `private_key_jwt`, with the claims of several providers.

Here is no `cryptography`: the assertion is signed by the `openssl` command.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from boto3.session import Session

from tests.engines.conftest import POLICIES, settings_for
from tests.stack.oidc_provider import oidc_provider as start_provider
from tests.stack.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stack.account import Account
    from tests.stack.gateway import Gateway

pytestmark = pytest.mark.needs("server", "engine", "node", "node_modules", "openssl")
ORDER = {"pk": {"S": "t1"}, "sk": {"S": "1"}}
SHAPES: dict[str, dict[str, Any]] = {
    "auth0": {"https://acme.example/dag_id": "orders", "gty": "client-credentials"},
    "keycloak": {"realm_access": {"roles": ["offline_access", "dynamodb"]}, "dag_id": "orders"},
    "entra": {"roles": ["DynamoDB.Use"], "azpacr": "2", "dag_id": "orders"},
}
DEMANDS: dict[str, dict[str, Any]] = {
    "auth0": {"claims": {"dag_id": "https://acme.example/dag_id"}, "required_claims": {"gty": "client-credentials"}},
    "keycloak": {"required_claims": {"realm_access.roles": "dynamodb"}},
    "entra": {"required_claims": {"roles": "DynamoDB.Use", "azpacr": "2"}},
}


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The worker's private key, and its public half as the provider knows it."""
    file = tmp_path / "worker.pem"
    subprocess.run(["openssl", "genrsa", "-out", file, "2048"], check=True, capture_output=True)
    shown = subprocess.run(["openssl", "rsa", "-in", file, "-noout", "-modulus"], check=True, capture_output=True, text=True)
    modulus = bytes.fromhex(shown.stdout.strip().partition("=")[2])
    encoded = base64.urlsafe_b64encode(modulus).rstrip(b"=").decode()
    return file, {"kty": "RSA", "n": encoded, "e": "AQAB", "kid": "w1", "use": "sig"}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_key_on_the_worker_is_all_that_it_takes(
    shape: str,
    account: Account,
    start_gateway: Callable[..., Gateway],
    key: tuple[Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """boto3 runs the command, the provider checks the assertion, the gateway the token; a client without the role is refused."""
    clients = {"airflow-worker": SHAPES[shape], "stranger": {"dag_id": "orders"}}
    with start_provider(tmp_path, clients, keys=dict.fromkeys(clients, key[1])) as provider:
        settings = settings_for(account, provider, account.engine.url)
        settings["issuers"][0] |= DEMANDS[shape] | {"required_type": "at+jwt"}
        gateway = start_gateway(settings, policies=POLICIES, env=account.gateway_environment())
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        statuses = []
        for client in clients:
            command = f"{sys.executable} -m proxy token --oidc-issuer {provider.issuer} --client-id {client} --key {key[0]}"
            (tmp_path / "config").write_text(
                f"[profile ddb-proxy]\nregion = us-east-1\ncredential_process = {command} --cache {tmp_path / client}\n"
            )
            dynamodb = Session(profile_name="ddb-proxy").client("dynamodb", endpoint_url=gateway.url)
            try:
                answer = dynamodb.put_item(TableName="orders", Item=ORDER)
            except dynamodb.exceptions.ClientError as refused:
                answer = refused.response
            metadata = answer["ResponseMetadata"]
            statuses.append((metadata["HTTPStatusCode"], metadata["HTTPHeaders"].get("x-ddb-proxy-reason")))
        assert statuses == [(200, None), (400, "token_claims")]
        decision = gateway.record(record="decision", subject="airflow-worker", operation="PutItem")
        assert (decision["dag"], decision["evidence"], decision["source"], decision["claimed"]) == (
            "orders",
            "verified",
            "claim",
            [],
        )
