"""The table of operations: complete, without doubles, and consistent with members and actions."""

from __future__ import annotations

import pytest

from proxy import actions
from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.members import INPUTS


def test_every_operation_stands_once() -> None:
    """66 operations, each with a target of its own."""
    assert len(OPERATIONS) == 66
    assert len({row.target for row in OPERATIONS}) == 66
    assert len({row.name for row in OPERATIONS}) == 66


def test_every_operation_has_its_members() -> None:
    """Nothing is in one table only."""
    assert {row.name for row in OPERATIONS} == set(INPUTS)


def test_every_operation_has_its_actions() -> None:
    """What changes anything but items is an escalation; batches, transactions and statements are judged by their members."""
    by_members = {"BatchGetItem", "BatchWriteItem", "TransactGetItems", "TransactWriteItems"}
    names = {row.name for row in OPERATIONS if row.kind != "partiql"} - by_members
    assert names <= actions.ALL
    assert {row.name for row in OPERATIONS if row.access == "admin"} == actions.ESCALATIONS & names


@pytest.mark.parametrize(
    ("name", "plane"),
    [("GetItem", "dynamodb"), ("DeleteTable", "dynamodb"), ("GetRecords", "streams"), ("SearchVectors", "search")],
)
def test_each_operation_has_its_plane(name: str, plane: str) -> None:
    """Streams and vector search have endpoints of their own."""
    assert {row.name: row.plane for row in OPERATIONS}[name] == plane


def test_targets_carry_the_api_version_of_their_service() -> None:
    """The whole value of X-Amz-Target, for DynamoDB and for its streams."""
    targets = {row.name: row.target for row in OPERATIONS}
    assert targets["GetItem"] == "DynamoDB_20120810.GetItem"
    assert targets["GetRecords"] == "DynamoDBStreams_20120810.GetRecords"
