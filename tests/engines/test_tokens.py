"""Tokens of a certified OpenID provider, as plain boto3 carries them; and the usual first mistakes, each with its sentence."""

from __future__ import annotations

import subprocess
import threading
import time
import urllib.error
from typing import TYPE_CHECKING

import pytest
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from tests.engines.conftest import POLICIES, settings_for
from tests.stack.oidc_provider import oidc_provider as start_provider
from tests.stack.process import wait_until
from tests.stack.worker import REGION, exchange, worker_client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stack.account import Account
    from tests.stack.gateway import Gateway
    from tests.stack.oidc_provider import IdentityProvider

pytestmark = pytest.mark.needs("server", "engine", "node", "node_modules")
ORDER = {"pk": {"S": "t1"}, "sk": {"S": "1"}}
GET = b'{"TableName": "orders", "Key": {"pk": {"S": "t1"}, "sk": {"S": "1"}}}'


def mistake(url: str, token: str, key_id: str = "worker") -> tuple[str, str, str]:
    """Reason, error code and message of a GetItem that boto3 sends with this token."""
    client = Session(key_id, "unused", token or None, region_name=REGION).client("dynamodb", endpoint_url=url)
    with pytest.raises(ClientError) as failure:
        client.get_item(TableName="orders", Key=ORDER)
    answer = failure.value.response
    assert answer["ResponseMetadata"]["RetryAttempts"] == 0
    return answer["ResponseMetadata"]["HTTPHeaders"]["x-ddb-proxy-reason"], answer["Error"]["Code"], answer["Error"]["Message"]


# ------------------------------------------------------------------------------------------------ good tokens


def test_a_client_credentials_token_is_all_that_boto3_needs(identity_gateway: Gateway, token: Callable[[str], str]) -> None:
    """Found by discovery, verified, bound by its claim; the audit says that the DAG is verified."""
    client = worker_client(identity_gateway.url, token("dag-orders"))
    done = client.put_item(TableName="orders", Item=ORDER)
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 200
    decision = identity_gateway.record(record="decision", subject="dag-orders", operation="PutItem")
    assert (decision["issuer"], decision["dag"], decision["evidence"], decision["source"]) == (
        "idp",
        "orders",
        "verified",
        "claim",
    )


@pytest.mark.parametrize("channel", [{"authorization": "Bearer {}"}, {"x-dag-token": "{}"}, {"x-amz-security-token": "{}"}])
def test_a_token_may_come_in_three_ways(channel: dict[str, str], identity_gateway: Gateway, token: Callable[[str], str]) -> None:
    """Bearer, X-DAG-Token and X-Amz-Security-Token, beside a signature that is ignored."""
    headers = {name: value.format(token("dag-orders")) for name, value in channel.items()}
    assert exchange(identity_gateway.url, "GetItem", GET, headers).status == 200


def test_a_rotation_of_keys_loses_no_request(account: Account, start_gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    """Two rotations under load, each token used at once: every request is served."""
    with start_provider(tmp_path) as provider:
        gateway = start_gateway(
            settings_for(account, provider, account.engine.url), policies=POLICIES, env=account.gateway_environment()
        )
        served, failed, is_over = [0] * 4, [], threading.Event()

        def load(place: int) -> None:
            while not is_over.is_set():
                answer = exchange(gateway.url, "GetItem", GET, {"authorization": f"Bearer {provider.token('dag-orders')}"})
                if answer.status == 200:
                    served[place] += 1
                else:
                    failed.append(answer.body)

        threads = [threading.Thread(target=load, args=(place,)) for place in range(len(served))]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                before = sum(served)
                wait_until(lambda before=before: sum(served) > before + 20 or bool(failed), 20, "requests are served")
                provider.rotate()
            before = sum(served)
            wait_until(lambda: sum(served) > before + 20 or bool(failed), 20, "requests are served with the newest key")
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
        assert failed == []

        def generations() -> list[str]:
            return [record["details"]["generation"] for record in gateway.records() if record.get("event") == "keys"]

        wait_until(lambda: generations()[-1:] == ["3"], 10, "both rotations are in the audit")


# --------------------------------------------------------------------------------------------- first mistakes


@pytest.mark.parametrize(
    ("key_id", "session_token"), [("AKIAIOSFODNN7EXAMPLE", ""), ("ASIAIOSFODNN7EXAMPLE", "IQoJb3JpZ2luX2VjEJ==")]
)
def test_real_aws_keys_are_told_apart_from_a_token(identity_gateway: Gateway, key_id: str, session_token: str) -> None:
    """A worker that still has its own keys, long-lived or of a role, is told so; the key is not repeated."""
    reason, code, message = mistake(identity_gateway.url, session_token, key_id)
    assert (reason, code) == ("aws_keys", "UnrecognizedClientException")
    assert f"({key_id[:4]}...)" in message
    assert key_id not in message
    assert "aws_session_token" in message


def test_a_token_for_another_service_is_refused(
    account: Account, oidc_provider: IdentityProvider, start_gateway: Callable[..., Gateway]
) -> None:
    """The audience that was wanted stands in the sentence."""
    settings = settings_for(account, oidc_provider, account.engine.url)
    settings["issuers"][0]["audience"] = "another-gateway"
    gateway = start_gateway(settings, policies=POLICIES, env=account.gateway_environment())
    reason, code, message = mistake(gateway.url, oidc_provider.token("dag-orders"))
    assert (reason, code) == ("wrong_audience", "UnrecognizedClientException")
    assert "another-gateway" in message
    assert "dynamodb-proxy" in message


def test_an_expired_token_is_called_expired(account: Account, start_gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    """As AWS calls it, so that SDKs and people know what to do; a token that was good a moment ago included."""
    lifetime = 5
    with start_provider(tmp_path, lifetime=lifetime) as provider:
        settings = settings_for(account, provider, account.engine.url)
        settings["issuers"][0]["leeway_seconds"] = 0
        gateway = start_gateway(settings, policies=POLICIES, env=account.gateway_environment())
        token = provider.token("dag-orders")
        assert exchange(gateway.url, "GetItem", GET, {"x-dag-token": token}).status == 200
        ends = time.time() + lifetime + 1
        wait_until(lambda: time.time() > ends, 10, "the token expires")
        reason, code, message = mistake(gateway.url, token)
    assert (reason, code) == ("token_expired", "ExpiredTokenException")
    assert "expired" in message


def test_a_newline_in_a_token_file_is_seen_by_boto3_first(identity_gateway: Gateway, token: Callable[[str], str]) -> None:
    """boto3 does not send such a header at all; its own error is what the user sees, with the token in it."""
    client = worker_client(identity_gateway.url, token("dag-orders") + "\n", retries={"total_max_attempts": 1})
    with pytest.raises(HTTPClientError, match="Invalid header value b'eyJ"):
        client.get_item(TableName="orders", Key=ORDER)


@pytest.mark.parametrize("spelled", ["{} ", "{}\\n", "{}%0A"])
def test_white_space_that_arrives_in_a_token_is_named(
    spelled: str, identity_gateway: Gateway, token: Callable[[str], str]
) -> None:
    """Where white space gets through, as space or written out, the gateway names it and says how to write the file."""
    answer = exchange(identity_gateway.url, "GetItem", GET, {"x-dag-token": spelled.format(token("dag-orders")) + "x"})
    assert (answer.status, answer.headers["x-ddb-proxy-reason"]) == (400, "token_newline")
    assert "printf %s" in answer.message


def test_a_pools_token_without_a_claim_says_what_to_add(identity_gateway: Gateway, token: Callable[[str], str]) -> None:
    """A workload's token that names no DAG, and no source that does."""
    reason, code, message = mistake(identity_gateway.url, token("worker-pool"))
    assert (reason, code) == ("no_dag_claim", "AccessDeniedException")
    assert "workload `pool`" in message


def test_a_client_that_no_workload_covers_is_named(identity_gateway: Gateway, token: Callable[[str], str]) -> None:
    """The issuer knows it, the platform's file does not."""
    reason, code, message = mistake(identity_gateway.url, token("stranger"))
    assert (reason, code) == ("no_dag_claim", "AccessDeniedException")
    assert "'stranger'" in message
    assert "`workloads` in platform.yaml" in message


def test_a_client_that_the_issuer_does_not_know_gets_no_token(oidc_provider: IdentityProvider) -> None:
    """Nobody can ask the provider for a token under an invented name."""
    with pytest.raises(urllib.error.HTTPError) as failure:
        oidc_provider.token("invented")
    with failure.value as answer:
        assert answer.code == 401


def test_a_dag_that_no_policy_names_is_told_where_to_add_it(identity_gateway: Gateway, token: Callable[[str], str]) -> None:
    """The DAG is verified, the policies have never heard of it."""
    reason, code, message = mistake(identity_gateway.url, token("dag-unheard-of"))
    assert (reason, code) == ("unknown_dag", "AccessDeniedException")
    assert "no policy names dag 'unheard_of'" in message
    assert "shop.yaml" in message


def test_a_token_of_an_unknown_issuer_is_refused(
    identity_gateway: Gateway, oidc_provider: IdentityProvider, tmp_path: Path
) -> None:
    """Its signature is never looked at; the message names the issuers that are known, not what the token says of itself."""
    with start_provider(tmp_path) as other:
        reason, code, message = mistake(identity_gateway.url, other.token("dag-orders"))
    assert (reason, code) == ("unknown_issuer", "UnrecognizedClientException")
    assert other.issuer not in message
    assert oidc_provider.issuer in message


# ---------------------------------------------------------------------------------------------------- TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, which is its own authority, and its key."""
    made, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, "-keyout", key, "-out", made], check=True, capture_output=True)
    return made, key


@pytest.fixture
def tls_gateway(
    account: Account, oidc_provider: IdentityProvider, start_gateway: Callable[..., Gateway], certificate: tuple[Path, Path]
) -> Gateway:
    """A gateway whose data plane speaks TLS."""
    files = {"certificate": str(certificate[0]), "key": str(certificate[1])}
    settings = settings_for(account, oidc_provider, account.engine.url, tls=files)
    return start_gateway(settings, policies=POLICIES, env=account.gateway_environment())


@pytest.mark.needs("openssl")
def test_boto3_speaks_tls_to_the_gateway(
    tls_gateway: Gateway, certificate: tuple[Path, Path], token: Callable[[str], str]
) -> None:
    """With the authority's certificate as `verify`, nothing else changes."""
    url = tls_gateway.url.replace("http://", "https://")
    session = Session("worker", "unused", token("dag-orders"), region_name=REGION)
    client = session.client("dynamodb", endpoint_url=url, verify=str(certificate[0]), config=Config(retries={"max_attempts": 0}))
    assert client.get_item(TableName="orders", Key=ORDER)["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.needs("openssl")
def test_plain_http_to_a_tls_port_says_so(tls_gateway: Gateway, token: Callable[[str], str]) -> None:
    """Who writes http:// for https:// reads that, not a broken connection."""
    reason, code, message = mistake(tls_gateway.url, token("dag-orders"))
    assert (reason, code) == ("plaintext_to_tls", "SerializationException")
    assert "https://" in message
