"""The sets that limits and required shapes rest on, spelt a second time: a slip of one of the two is seen."""

from __future__ import annotations

import pytest

from proxy import actions
from proxy.policy import vocabulary

ITEMS = "ConditionCheckItem DeleteItem GetItem PartiQLDelete PartiQLInsert PartiQLSelect PartiQLUpdate PutItem Query UpdateItem"
WRITES = "DeleteItem PartiQLDelete PartiQLInsert PartiQLUpdate PutItem UpdateItem"
WITHOUT_TABLE = """
    DescribeEndpoints DescribeLimits ListBackups ListBulkOperations ListContributorInsights ListExports ListGlobalTables
    ListImports ListStreams ListTables
"""
METADATA = f"""
    {WITHOUT_TABLE} DescribeBackup DescribeBulkOperation DescribeContinuousBackups DescribeContributorInsights DescribeExport
    DescribeGlobalTable DescribeGlobalTableSettings DescribeImport DescribeKinesisStreamingDestination DescribeStream
    DescribeTable DescribeTableReplicaAutoScaling DescribeTimeToLive GetResourcePolicy GetShardIterator ListTagsOfResource
    TagResource UntagResource
"""
WITHOUT_ATTRIBUTES = f"""
    {METADATA} CreateTable DeleteBackup DeleteTable DisableKinesisStreamingDestination UpdateContinuousBackups UpdateTable
    UpdateTable.DeletionProtectionEnabled UpdateTable.SSESpecification UpdateTimeToLive
"""


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("*Backup", "CreateBackup, DeleteBackup, RestoreTableFromBackup"),
        ("*TableReplica", "AssociateTableReplica, CreateTableReplica, DeleteTableReplica, ..."),
    ],
)
def test_three_escalations_of_a_wildcard_are_told(word: str, told: str) -> None:
    """And that there are more, where there are."""
    assert vocabulary.unknown_action(word).startswith(f"`{word}` would reach escalations ({told});")


@pytest.mark.parametrize(("word", "meant"), [("Raed", "read"), ("wirte", "write"), ("getitem", "GetItem")])
def test_a_misspelt_action_is_told_as_it_is_written(word: str, meant: str) -> None:
    """Groups too, to the letter: it is pasted."""
    assert vocabulary.unknown_action(word) == f"there is no action `{word}`; did you mean {meant}?"


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (vocabulary.KEYED, ITEMS),
        (vocabulary.ATTRIBUTED, f"{ITEMS} Scan"),
        (vocabulary.WITHOUT_TABLE, WITHOUT_TABLE),
        (vocabulary.METADATA, METADATA),
        (vocabulary.WITHOUT_ATTRIBUTES, WITHOUT_ATTRIBUTES),
        (vocabulary.PARTIQL_WRITES, "PartiQLDelete PartiQLInsert PartiQLUpdate"),
        (vocabulary.STOPPING_GROUPS["read"], "ConditionCheckItem GetItem PartiQLSelect Query"),
        (vocabulary.STOPPING_GROUPS["write"], WRITES),
        (vocabulary.SHAPES["max_limit"], "PartiQLSelect Query Scan"),
        (vocabulary.SHAPES["max_segments"], "Scan"),
        (vocabulary.SHAPES["condition"], WRITES),
        (vocabulary.SHAPES["client_token"], f"{WRITES} ConditionCheckItem"),
        (vocabulary.SHAPES["evidence"], " ".join(actions.ALL)),
        (vocabulary.SHAPES, "max_limit max_segments condition client_token evidence"),
        (vocabulary.STOPPING_GROUPS, "read write"),
        (vocabulary.ITEM_ACTIONS, "GetItem Query Scan PutItem UpdateItem DeleteItem ConditionCheckItem"),
        (vocabulary.SOURCES, "claim session subject annotation header user_agent"),
        (vocabulary.PER_REQUEST, "dag_id task_id run_id"),
        (
            vocabulary.MEMBERS,
            """BatchExecuteStatement BatchGetItem BatchWriteItem ExecuteStatement ExecuteTransaction TransactGetItems
            TransactWriteItems""",
        ),
        (vocabulary.PLATFORM_FILES, "platform.yaml platform.yml"),
        (vocabulary.PLATFORM_SECTIONS, "environments teams workloads deny require grants unmapped contact"),
        (vocabulary.TEAM_SECTIONS, "team contact tables defaults dags tests"),
        (vocabulary.RULE_FIELDS, "actions tables indexes keys attributes tasks environments"),
        (
            vocabulary.REQUIRE_FIELDS,
            "actions tables indexes tasks environments max_limit max_segments condition client_token evidence",
        ),
        (vocabulary.GRANT_FIELDS, "dag allow until reason"),
        (vocabulary.UNMAPPED_FIELDS, "role mode until"),
        (vocabulary.DAG_FIELDS, "role environments allow deny"),
        (vocabulary.DEFAULTS_FIELDS, "role allow deny"),
        (
            vocabulary.TEST_FIELDS,
            """dag call table index key attributes returns task run claims evidence limit segments condition new_item
            client_token environment at expect""",
        ),
        (vocabulary.LATER, "limits priority"),
    ],
)
def test_each_closed_list_holds_what_it_is_recorded_to_hold(found: frozenset[str], names: str) -> None:
    """What a deny of keys or attributes passes by, what can be held to them, and the words of the language."""
    assert set(found) == set(names.split())
