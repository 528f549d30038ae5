"""What the other tests of this folder stand on: each component starts, answers its clients, and says no where it must."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.stack.environments import run_node
from tests.stack.oidc_provider import oidc_provider as start_provider
from tests.stack.process import NotReady, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stack.ministack import Ministack
    from tests.stack.oidc_provider import IdentityProvider

ANYBODY = {"AWS_ACCESS_KEY_ID": "AKIAANYBODY", "AWS_SECRET_ACCESS_KEY": "unused", "AWS_DEFAULT_REGION": "us-east-1"}


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified."""
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def key_ids(provider: IdentityProvider) -> list[str]:
    """The `kid`s that the provider publishes now."""
    with urllib.request.urlopen(provider.jwks_url, timeout=10) as reply:  # noqa: S310 - http on loopback
        return [key["kid"] for key in json.load(reply)["keys"]]


@pytest.mark.needs("clients")
def test_dynamodb_local_serves_newest_boto3(dynamodb_local: str, run_in: Callable[..., dict[str, Any]]) -> None:
    """DynamoDB Local answers the newest boto3, whatever the keys."""
    assert "tables" in run_in("clients", "describe.py", env={**ANYBODY, "AWS_ENDPOINT_URL": dynamodb_local})


@pytest.mark.needs("aiobotocore")
def test_dynamodb_local_serves_aiobotocore(dynamodb_local: str, run_in: Callable[..., dict[str, Any]]) -> None:
    """DynamoDB Local answers aiobotocore."""
    assert "tables" in run_in("aiobotocore", "describe_async.py", env={**ANYBODY, "AWS_ENDPOINT_URL": dynamodb_local})


@pytest.mark.needs("node", "node_modules")
def test_dynamodb_local_serves_the_javascript_sdk(dynamodb_local: str) -> None:
    """DynamoDB Local answers aws-sdk-js v3."""
    assert "tables" in run_node("describe.mjs", env={**ANYBODY, "AWS_ENDPOINT_URL": dynamodb_local})


@pytest.mark.needs("clients")
def test_ministack_serves_its_root_key(ministack: Ministack, run_in: Callable[..., dict[str, Any]]) -> None:
    """Ministack answers its administrator."""
    assert "tables" in run_in("clients", "describe.py", env=ministack.root_environment())


@pytest.mark.needs("clients")
def test_ministack_refuses_an_unknown_key(ministack: Ministack, run_in: Callable[..., dict[str, Any]]) -> None:
    """Ministack verifies who is calling: a key that it does not know is refused with AWS's own error."""
    with pytest.raises(AssertionError, match=r"UnrecognizedClientException|InvalidClientTokenId"):
        run_in("clients", "describe.py", env={**ANYBODY, "AWS_ENDPOINT_URL": ministack.url})


def test_the_identity_provider_signs_the_claims_of_each_client(oidc_provider: IdentityProvider) -> None:
    """A client's token carries the issuer, the audience, the client as `sub`, and the claims that belong to this client."""
    orders, pool = claims_of(oidc_provider.token("dag-orders")), claims_of(oidc_provider.token("worker-pool"))
    assert (orders["iss"], orders["aud"], orders["sub"]) == (oidc_provider.issuer, oidc_provider.audience, "dag-orders")
    assert orders["dag_id"] == "orders"
    assert "dag_id" not in pool


@pytest.mark.needs("node", "node_modules")
def test_the_identity_provider_rotates_its_keys(tmp_path: Path) -> None:
    """After a rotation both keys are published; after a retirement the newest alone."""
    with start_provider(tmp_path) as provider:
        before = key_ids(provider)
        newest = provider.rotate()
        assert sorted(key_ids(provider)) == sorted([newest, *before])
        provider.retire()
        assert key_ids(provider) == [newest]


def test_a_component_that_ends_at_once_shows_its_output(tmp_path: Path) -> None:
    """Whoever reads the failure sees what the component said."""
    with (
        pytest.raises(NotReady) as failure,
        running("broken", ["sh", "-c", "echo no such option; exit 3"], tmp_path, ready=lambda _: False),
    ):
        pass
    assert "exit code 3" in str(failure.value)
    assert "no such option" in "".join(failure.value.__notes__)
