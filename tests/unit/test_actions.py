"""The closed lists of actions: what a wildcard may reach, and what only a name does."""

from __future__ import annotations

import pytest

from proxy import actions


def test_every_action_is_in_one_kind() -> None:
    """The kinds do not overlap, but for ListStreams, which is of streams and may name no table."""
    kinds = [
        actions.ITEM,
        actions.PARTIQL,
        actions.SEARCH,
        actions.DESCRIBE,
        actions.STREAMS,
        actions.OTHER_RESOURCES,
        actions.ACCOUNT,
        actions.OPTIONAL_TABLE - {"ListStreams"},
        actions.ESCALATIONS,
    ]
    assert sum(map(len, kinds)) == len(actions.ALL)
    assert frozenset().union(*kinds) == actions.ALL


@pytest.mark.parametrize(
    "action",
    [
        "PutResourcePolicy",
        "CreateTableReplica",
        "ExportTableToPointInTime",
        "TagResource",
        "GetRecords",
        "ListTables",
        "PartiQLSelect",
    ],
)
def test_no_group_reaches_what_needs_its_name(action: str) -> None:
    """Neither `*` nor `read` nor `write` gives an escalation, a stream, or the account."""
    assert action in actions.BY_NAME_ONLY
    assert all(action not in group for group in actions.GROUPS.values())


def test_the_wildcard_reaches_what_is_done_to_items() -> None:
    """And nothing that a later version of DynamoDB or of the gateway brings."""
    assert actions.GROUPS["*"] == actions.ITEM == actions.ALL - actions.BY_NAME_ONLY
