"""The closed lists of the policy language: actions, groups, places of sections, and what comes with a later version.

An action is one that IAM knows for a single item or a single read. Batches and transactions have none of their own
here: who may PutItem may put in a batch. A field that this version does not carry out is refused, never ignored.
"""

from __future__ import annotations

import difflib

READ = frozenset({"GetItem", "Query", "ConditionCheckItem"})
WRITE = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
ACTIONS = ("GetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
INDEX_ACTIONS = frozenset({"Query", "Scan"})  # nothing else reaches a secondary index
GROUPS: dict[str, frozenset[str]] = {"read": READ, "write": WRITE, "*": frozenset(ACTIONS)}

# operations that are judged by their members, and what to write for them
MEMBERS = {
    "BatchGetItem": "GetItem",
    "BatchWriteItem": "PutItem, DeleteItem or both",
    "TransactGetItems": "GetItem",
    "TransactWriteItems": "PutItem, UpdateItem, DeleteItem, ConditionCheckItem, or those of them that are meant",
}

# fmt: off
_LATER_ACTIONS = frozenset(
    {
        "PartiQLSelect", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete", "ExecuteStatement", "BatchExecuteStatement",
        "ExecuteTransaction", "DescribeStream", "GetRecords", "GetShardIterator", "ListStreams", "SearchVectors",
        "CreateTable", "UpdateTable", "DeleteTable", "DescribeTable", "ListTables", "DescribeLimits", "DescribeEndpoints",
        "DescribeTimeToLive", "UpdateTimeToLive", "TagResource", "UntagResource", "ListTagsOfResource", "CreateBackup",
        "DeleteBackup", "DescribeBackup", "ListBackups", "DescribeContinuousBackups", "UpdateContinuousBackups",
        "RestoreTableFromBackup", "RestoreTableToPointInTime", "ExportTableToPointInTime", "DescribeExport", "ListExports",
        "ImportTable", "DescribeImport", "ListImports", "GetResourcePolicy", "PutResourcePolicy", "DeleteResourcePolicy",
    }
)
# fmt: on

PLATFORM_FILES = ("platform.yaml", "platform.yml")
PLATFORM_SECTIONS = ("environments", "teams", "workloads", "deny", "contact")
TEAM_SECTIONS = ("team", "contact", "tables", "defaults", "dags", "tests")
RULE_FIELDS = ("actions", "tables", "indexes", "tasks", "environments")
DAG_FIELDS = ("role", "environments", "allow", "deny")
DEFAULTS_FIELDS = ("role", "allow", "deny")
TEST_FIELDS = ("dag", "call", "table", "index", "task", "environment", "expect")
SOURCES = ("claim", "header", "user_agent")

_MORE = "a rule without it would give more than you wrote"
_FREER = "without it nothing would hold the DAG back as you wrote"
_LESS = "without it requests would be judged in another way than you wrote"
LATER = {
    "keys": _MORE,
    "attributes": _MORE,
    "condition": _MORE,
    "evidence": _MORE,
    "max_limit": _MORE,
    "max_segments": _MORE,
    "limits": _FREER,
    "priority": _FREER,
    "require": _FREER,
    "grants": _LESS,
    "unmapped": _LESS,
    "mode": _LESS,
    "key": "the test would prove less than you wrote",
}


def later(field: str) -> str:
    """The sentence for a field of the language that this version does not carry out."""
    return f"`{field}` comes with a later version; {LATER[field]}, so the file is refused"


def unknown_action(word: str) -> str:
    """What is wrong with `word` as an action, and what to write instead."""
    if word in MEMBERS:
        return f"{word} follows its members; write {MEMBERS[word]}"
    if word in _LATER_ACTIONS:
        return f"action {word} comes with a later version; until then the gateway refuses it to everybody"
    bare = word.removeprefix("dynamodb:")
    if bare != word:
        return f"actions stand without the service's name; write {bare}"
    known = (*ACTIONS, "read", "write")
    near = difflib.get_close_matches(word.lower(), [name.lower() for name in known], 1)
    names = {name.lower(): name for name in known}
    hint = f"did you mean {names[near[0]]}?" if near else f'write some of {", ".join(known)} or "*"'
    return f"there is no action `{word}`; {hint}"
