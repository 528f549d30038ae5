"""The table of operations: complete, without doubles, and consistent with what is served."""

from __future__ import annotations

from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.members import INPUTS


def test_every_operation_stands_once() -> None:
    """66 operations, each with a target of its own."""
    assert len(OPERATIONS) == 66
    assert len({row.target for row in OPERATIONS}) == 66
    assert len({row.name for row in OPERATIONS}) == 66


def test_served_are_the_ten_item_operations() -> None:
    """What is served is data, and its members are known."""
    served = {row.name for row in OPERATIONS if row.is_served}
    assert served == set(INPUTS)
    assert len(served) == 10
    assert {row.kind for row in OPERATIONS if row.is_served} == {"data"}


def test_targets_carry_the_api_version_of_their_service() -> None:
    """The whole value of X-Amz-Target, for DynamoDB and for its streams."""
    targets = {row.name: row.target for row in OPERATIONS}
    assert targets["GetItem"] == "DynamoDB_20120810.GetItem"
    assert targets["GetRecords"] == "DynamoDBStreams_20120810.GetRecords"
