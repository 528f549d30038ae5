"""The closed lists of the policy language: groups, what each field can be about, places of sections, what comes later.

Actions are those of `proxy.actions`. Batches, transactions and PartiQL's operations have none of their own here: who may
PutItem may put in a batch. A field that this version does not carry out is refused, never ignored.
"""

from __future__ import annotations

import difflib

from proxy.actions import (
    ACCOUNT,
    ALL,
    DESCRIBE,
    ESCALATIONS,
    ITEM,
    OPTIONAL_TABLE,
    OTHER_RESOURCES,
    PARTIQL,
    READ,
    WRITE,
)
from proxy.globs import Globs

ITEM_ACTIONS = ("GetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
PARTIQL_WRITES = PARTIQL - {"PartiQLSelect"}
# In deny and require a group holds the same things said in PartiQL: nobody means to stop one spelling of a request.
STOPPING_GROUPS = {"read": READ | {"PartiQLSelect"}, "write": WRITE | PARTIQL_WRITES}

KEYED = (ITEM | PARTIQL) - {"Scan"}  # what a request can prove to stay within some partition keys
ATTRIBUTED = ITEM | PARTIQL  # what a request can prove to stay within some attributes
# What can be done without a table's name; who has the exact action has it.
WITHOUT_TABLE = ACCOUNT | OPTIONAL_TABLE
# Without any item or key in it, whatever the request: a deny of keys or attributes does not reach it.
METADATA = (
    DESCRIBE | ACCOUNT | OTHER_RESOURCES | OPTIONAL_TABLE | {"DescribeStream", "GetShardIterator", "TagResource", "UntagResource"}
)
# Without any attribute of an item that comes out or goes in: a deny of attributes does not reach it.
WITHOUT_ATTRIBUTES = METADATA | {
    "CreateTable",
    "DeleteTable",
    "UpdateTable",
    "UpdateTable.DeletionProtectionEnabled",
    "UpdateTable.SSESpecification",
    "UpdateTimeToLive",
    "UpdateContinuousBackups",
    "DeleteBackup",
    "DisableKinesisStreamingDestination",
}

# Which actions a shape of `require` can be asked of; `evidence` is of all.
SHAPES: dict[str, frozenset[str]] = {
    "max_limit": frozenset({"Query", "Scan", "PartiQLSelect"}),
    "max_segments": frozenset({"Scan"}),
    "condition": WRITE | PARTIQL_WRITES,
    "client_token": WRITE | PARTIQL_WRITES | {"ConditionCheckItem"},
    "evidence": ALL,
}

# operations that are judged by their members, and what to write for them
MEMBERS = {
    "BatchGetItem": "GetItem",
    "BatchWriteItem": "PutItem, DeleteItem or both",
    "TransactGetItems": "GetItem",
    "TransactWriteItems": "PutItem, UpdateItem, DeleteItem, ConditionCheckItem, or those of them that are meant",
    "ExecuteStatement": "PartiQLSelect, PartiQLInsert, PartiQLUpdate, PartiQLDelete, or those of them that are meant",
    "BatchExecuteStatement": "PartiQLSelect, PartiQLInsert, PartiQLUpdate, PartiQLDelete, or those of them that are meant",
    "ExecuteTransaction": "PartiQLSelect, PartiQLInsert, PartiQLUpdate, PartiQLDelete, or those of them that are meant",
}

PLATFORM_FILES = ("platform.yaml", "platform.yml")
PLATFORM_SECTIONS = ("environments", "teams", "workloads", "deny", "require", "grants", "unmapped", "contact")
TEAM_SECTIONS = ("team", "contact", "tables", "defaults", "dags", "tests")
RULE_FIELDS = ("actions", "tables", "indexes", "keys", "attributes", "tasks", "environments")
REQUIRE_FIELDS = ("actions", "tables", "indexes", "tasks", "environments", *SHAPES)
GRANT_FIELDS = ("dag", "allow", "until", "reason")
UNMAPPED_FIELDS = ("role", "mode", "until")
DAG_FIELDS = ("role", "environments", "allow", "deny")
DEFAULTS_FIELDS = ("role", "allow", "deny")
TEST_FIELDS = (
    "dag",
    "call",
    "table",
    "index",
    "key",
    "attributes",
    "returns",
    "task",
    "run",
    "claims",
    "evidence",
    "limit",
    "segments",
    "condition",
    "new_item",
    "client_token",
    "environment",
    "at",
    "expect",
)
SOURCES = ("claim", "session", "subject", "annotation", "header", "user_agent")
PER_REQUEST = ("dag_id", "task_id", "run_id")  # placeholders in `keys`, beside <claim.NAME>

_FREER = "without it nothing would hold the DAG back as you wrote"
LATER = {
    "limits": _FREER,
    "priority": _FREER,
}


def later(field: str) -> str:
    """The sentence for a field of the language that this version does not carry out."""
    return f"`{field}` comes with a later version; {LATER[field]}, so the file is refused"


def unknown_action(word: str) -> str:
    """What is wrong with `word` as an action, and what to write instead."""
    if word in MEMBERS:
        return f"{word} follows its members; write {MEMBERS[word]}"
    bare = word.removeprefix("dynamodb:")
    if bare != word:
        return f"actions stand without the service's name; write {bare}"
    if "*" in word or "?" in word:
        return _wildcard(word, Globs((bare,)))
    names = {name.lower(): name for name in (*sorted(ALL), *ITEM_ACTIONS, "read", "write")}
    near = difflib.get_close_matches(word.lower(), names)
    hint = f"did you mean {names[near[0]]}?" if near else f'write some of {", ".join((*ITEM_ACTIONS, "read", "write"))} or "*"'
    return f"there is no action `{word}`; {hint}"


def _wildcard(word: str, globs: Globs) -> str:
    """A wildcard is no action, least of all one that reaches further than items."""
    meant = [name for name in sorted(ALL) if globs.match(name)]
    beyond = [name for name in meant if name in ESCALATIONS]
    if beyond:
        told = ", ".join(beyond[:3]) + (", ..." if len(beyond) > 3 else "")
        return f"`{word}` would reach escalations ({told}); write the actions that are meant, by name"
    told = ", ".join(meant) or 'the actions that are meant, or "*" for all on items'
    return f"`{word}`: a wildcard is no action; write {told}"
