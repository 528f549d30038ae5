"""One request as it is at its end, to be varied by field."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.model import Ending, Evidence, Exchange, Identity, Operation, Subject, TableReference, Touch
from proxy.refusal import Reason


class Build:
    """Builds exchanges: an allowed and served `GetItem` on `orders` unless told otherwise."""

    def operation(self, name: str = "GetItem", *, is_write: bool = False, touches: tuple[Touch, ...] = ()) -> Operation:
        """An operation on `orders`, or on what `touches` says."""
        touches = touches or (Touch(name, TableReference("orders")),)
        return Operation(name, f"DynamoDB_20120810.{name}", is_write, touches, b'{"Key":{"id":{"S":"ITEM-VALUE-CANARY"}}}')

    def identity(self, dag_id: str = "etl.orders", **fields: Any) -> Identity:
        """A verified identity of a task."""
        subject = Subject("airflow", "dag:" + dag_id, {"secret": "CLAIM-CANARY"}, ("etl.*",), 2e9, "0123456789abcdef")
        fields = {"task_id": "load", "run_id": "scheduled__2026-11-22", "try_number": "1", "map_index": "-1"} | fields
        return Identity(subject, dag_id, Evidence.VERIFIED, "claim", "tasks", **fields)

    def __call__(self, *, is_write: bool = False, **fields: Any) -> Exchange:
        """An exchange with these fields."""
        operation = self.operation("PutItem" if is_write else "GetItem", is_write=is_write)
        ordinary: dict[str, Any] = {
            "id": "d-1",
            "started": 1_790_000_000.0,
            "peer": "127.0.0.1:40000",
            "gateway_seconds": 0.0004,
            "upstream_seconds": 0.004,
            "identity": self.identity(),
            "operation": operation,
            "operation_name": operation.name,
            "reason": Reason.ALLOWED,
            "rule": "orders.yaml:12",
            "role_arn": "arn:aws:iam::123456789012:role/dag-orders",
            "policy_digest": "abcdef",
            "invocation_id": "11111111-2222-3333-4444-555555555555",
            "status": 200,
            "aws_request_id": "AWSREQUEST",
            "request_bytes": 120,
            "reply_bytes": 300,
            "sent": True,
            "ending": Ending.SERVED,
        }
        return Exchange(**(ordinary | fields))


@pytest.fixture
def build() -> Build:
    """The builder of exchanges."""
    return Build()
