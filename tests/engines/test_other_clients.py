"""Clients other than boto3, each in an environment of its own: aiobotocore and aws-sdk-js v3, given endpoint and token alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stack.environments import run_in, run_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stack.gateway import Gateway

pytestmark = pytest.mark.needs("server", "engine", "node", "node_modules")


@pytest.fixture
def worker(data_gateway: Gateway, token: Callable[[str], str]) -> dict[str, str]:
    """The variables of a worker of DAG `orders`."""
    return {
        "AWS_ENDPOINT_URL_DYNAMODB": data_gateway.url,
        "AWS_ACCESS_KEY_ID": "worker",
        "AWS_SECRET_ACCESS_KEY": "unused",
        "AWS_SESSION_TOKEN": token("dag-orders"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "TABLE": "orders",
        "FORBIDDEN": "undeclared",
    }


def is_the_denial(message: str, request_id: str) -> bool:
    """True for our sentence about the table `undeclared`, with its decision id as request id."""
    return "dag 'orders' may not GetItem on 'undeclared'" in message and message.endswith(f"; decision {request_id}")


@pytest.mark.needs("aiobotocore")
def test_aiobotocore_sends_a_hundred_requests_at_once(worker: dict[str, Any]) -> None:
    """Fifty puts and fifty gets are each answered with their own item; a denial is one attempt."""
    seen = run_in("aiobotocore", "fifty_at_once.py", env=worker)
    assert (seen["written"], seen["found"]) == (50, list(range(50)))
    denied = seen["denied"]
    assert (denied["Code"], denied["retries"]) == ("AccessDeniedException", 0)
    assert is_the_denial(denied["Message"], denied["request_id"])


def test_aws_sdk_js_works_unchanged(worker: dict[str, Any]) -> None:
    """The token as `sessionToken`: put, get and query; a denial is AccessDeniedException after one attempt."""
    seen = run_node("items.mjs", env=worker)
    assert seen["item"] == {"pk": {"S": "js-🛒"}, "sk": {"S": "2"}, "blob": [0, 255], "set": {"NS": ["2"]}}
    assert seen["found"] == ["3", "2", "1"]
    denied = seen["denied"]
    assert (denied["name"], denied["attempts"], denied["status"]) == ("AccessDeniedException", 1, 400)
    assert is_the_denial(denied["message"], denied["requestId"])
