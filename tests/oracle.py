"""A second opinion on what a request touches, that shares no code with the gateway: it cuts texts into words and takes the worst.

It knows the generator's words by their spelling: `tab_...` is a table wherever it stands, `att_...`, `pk`, `sk` and `gk` are
attributes. Keys count as proven only by the plainest equality; whatever it does not understand touches everything.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

HOME = ("us-east-1", "000000000000")
INDEX = "idx_g"
_TABLE = re.compile(r"tab_[a-z]+")
_ATTRIBUTE = re.compile(r"pk|sk|gk|att_[a-z]")
_ARN = re.compile(r"arn:aws:([a-z0-9]+):([a-z0-9-]*):([0-9]*):")
_WORD = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|<<|>>|<>|[#:]?\w+|\S")
READS = ("GetItem", "Query", "Scan", "PartiQLSelect")
ITEM = (*READS[:3], "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
PARTIQL = ("PartiQLSelect", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete")
# What has items or keys in it although it is no operation on items.
BULK = (
    "ExportTableToPointInTime",
    "GetRecords",
    "ImportTable",
    "RestoreTableToPointInTime",
    "SearchVectors",
    "StartBulkPutItems",
)
# Members that need an action of their own, whatever else the request is.
OWN_ACTION = {
    ("CreateTable", "Tags"): "TagResource",
    ("CreateTable", "ResourcePolicy"): "PutResourcePolicy",
    ("UpdateTable", "DeletionProtectionEnabled"): "UpdateTable.DeletionProtectionEnabled",
    ("UpdateTable", "GlobalSecondaryIndexUpdates"): "UpdateTable.GlobalSecondaryIndexUpdates",
    ("UpdateTable", "SSESpecification"): "UpdateTable.SSESpecification",
    ("UpdateTable", "StreamSpecification"): "UpdateTable.StreamSpecification",
}
_VERBS = {
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
_VERBS |= {"PutRequest": "PutItem", "DeleteRequest": "DeleteItem"}


class Value(NamedTuple):
    """What is known of a key attribute: `text` is None for what is no string."""

    text: str | None
    is_prefix: bool = False


@dataclass(frozen=True)
class Found:
    """What one member of a request may do at worst."""

    action: str
    tables: frozenset[str]
    index: str = ""
    attributes: frozenset[str] = frozenset()
    whole: bool = False  # attributes come back that are not named
    replaces: bool = False  # an item that is there may be lost
    pinned: dict[str, list[Value]] = field(default_factory=dict)


@dataclass(frozen=True)
class Limit:
    """One rule of the policy, as data."""

    actions: tuple[str, ...]
    tables: tuple[str, ...]
    indexes: tuple[str, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()  # ("prefix" | "exact", text)
    attributes: tuple[str, ...] = ()

    def written(self) -> dict[str, Any]:
        """As the policy has it."""
        keys = [{"prefix": text} if kind == "prefix" else {"exact": [text]} for kind, text in self.keys]
        parts = {"indexes": self.indexes, "keys": keys, "attributes": self.attributes}
        return {"actions": self.actions, "tables": self.tables, **{name: part for name, part in parts.items() if part}}


# ------------------------------------------------------------------------------------------------- judging


def escapes(found: Found, allow: tuple[Limit, ...], deny: tuple[Limit, ...]) -> str:
    """Why this should not have been let through, or an empty string."""
    if any(_stops(rule, found) for rule in deny):
        return "a deny rule reaches it"
    return "" if any(_gives(rule, found) for rule in allow) else "no single allow rule gives it"


def _gives(rule: Limit, found: Found) -> bool:
    if found.action not in rule.actions or not found.tables <= set(rule.tables):
        return False
    if bool(rule.indexes) != bool(found.index) or (found.index and found.index not in rule.indexes):
        return False
    if rule.attributes and (not found.attributes <= set(rule.attributes) or found.whole or found.replaces):
        return False
    of_table = () if found.index and found.action in PARTIQL else ("pk",)  # there a filter, which proves nothing
    leading = (("gk",) if found.index == INDEX else ()) + of_table
    return not rule.keys or any(_all(found.pinned.get(name), lambda value: _is_inside(value, rule.keys)) for name in leading)


def _stops(rule: Limit, found: Found) -> bool:
    if ("*" not in rule.actions and found.action not in rule.actions) or not found.tables & set(rule.tables):
        return False
    if rule.indexes and found.index not in rule.indexes:
        return False
    if (rule.keys or rule.attributes) and found.action not in (*ITEM, *PARTIQL, *BULK):
        return False
    if rule.attributes and not (found.whole or found.attributes & set(rule.attributes)):
        return False
    if rule.keys and not rule.indexes and found.index and found.action in PARTIQL:
        return True
    leading = (() if rule.indexes else ("pk",)) + (("gk",) if found.index == INDEX else ())
    return not rule.keys or not all(_all(found.pinned.get(name), lambda value: _is_outside(value, rule.keys)) for name in leading)


def _all(values: list[Value] | None, test: Any) -> bool:
    return bool(values) and all(test(value) for value in values or ())


def _is_inside(value: Value, keys: tuple[tuple[str, str], ...]) -> bool:
    if value.text is None:
        return False
    return any(
        value.text.startswith(text) if kind == "prefix" else value.text == text and not value.is_prefix for kind, text in keys
    )


def _is_outside(value: Value, keys: tuple[tuple[str, str], ...]) -> bool:
    if value.text is None:
        return False
    return not any(value.text.startswith(text) if kind == "prefix" else value.text == text for kind, text in keys) and not (
        value.is_prefix and any(text.startswith(value.text) for _, text in keys)
    )


# ------------------------------------------------------------------------------------------------- walking


def walk(operation: str, body: bytes, stream: str = "") -> tuple[list[Found], bool]:
    """Everything that is found in the bytes that would be forwarded; whether some of it belongs to another account or Region."""
    request = json.loads(body)
    is_foreign = operation != "ListGlobalTables" and (_is_foreign("", request) or _is_foreign("", stream))
    if operation in ("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"):
        members = request.get("Statements") or request.get("TransactStatements") or [request]
        return [_statement(member) for member in members], is_foreign
    if operation == "BatchGetItem":
        found = [
            _item("GetItem", {**wanted, "Key": key, "TableName": table})
            for table, wanted in request["RequestItems"].items()
            for key in wanted["Keys"]
        ]
    elif operation == "BatchWriteItem":
        found = [
            _item(_VERBS[verb], {**member, "TableName": table})
            for table, entries in request["RequestItems"].items()
            for entry in entries
            for verb, member in entry.items()
        ]
    elif operation in ("TransactGetItems", "TransactWriteItems"):
        found = [_item(_VERBS[verb], member) for entry in request["TransactItems"] for verb, member in entry.items()]
    elif operation in ITEM:
        found = [_item(operation, request)]
    else:
        found = list(_control(operation, request, stream))
    return found, is_foreign


def _is_foreign(name: str, value: Any) -> bool:
    if name.startswith("ExclusiveStart"):
        return False
    if isinstance(value, dict):
        return any(_is_foreign(key, entry) or _is_foreign("", key) for key, entry in value.items())
    if isinstance(value, list):
        return any(_is_foreign(name, entry) for entry in value)
    if not isinstance(value, str):
        return False
    homes = _ARN.findall(value)
    return (
        any(account != HOME[1] or (region != HOME[0] and service != "iam") for service, region, account in homes)
        or (name == "RegionName" and value != HOME[0])
        or (name.endswith("Owner") and value != HOME[1])
    )


def _control(operation: str, request: Any, stream: str) -> Any:
    """Each table that is spoken of anywhere, by the operation or by an action that a member of it needs."""
    spoken = {name: value for name, value in request.items() if not name.startswith("ExclusiveStart")}
    source = _TABLE.findall(spoken.pop("GlobalTableSourceArn", "")) if operation == "CreateTable" else []
    tables = set(_TABLE.findall(json.dumps(spoken) + stream))
    whole = operation in BULK
    for table in sorted(tables) or [""]:
        yield Found(operation, frozenset({table} - {""}), spoken.get("IndexName", ""), whole=whole)
        for (name, member), action in OWN_ACTION.items():
            if name == operation and member in spoken:
                yield Found(action, frozenset({table}))
    for table in source:
        yield Found("AssociateTableReplica", frozenset({table}))
        yield Found("CreateTableReplica", frozenset(tables))


def _item(action: str, member: dict[str, Any]) -> Found:
    names = member.get("ExpressionAttributeNames", {})
    texts = [text for name, text in member.items() if name.endswith("Expression")]
    said = {names.get(word, word) for text in texts for word in re.findall(r"(?<![.\w#:])#?\w+", text)}
    for name in (
        "Key",
        "Item",
        "ExclusiveStartKey",
        "AttributeUpdates",
        "Expected",
        "KeyConditions",
        "QueryFilter",
        "ScanFilter",
    ):
        said |= set(member.get(name, ()))
    said |= set(member.get("AttributesToGet", ()))
    is_narrow = "ProjectionExpression" in member or "AttributesToGet" in member or member.get("Select") == "COUNT"
    whole = any(str(member.get(name, "")).startswith("ALL_") for name in _RETURNING) or (action in READS and not is_narrow)
    replaces = action == "DeleteItem" or (action == "PutItem" and not _proves_absence(member, names))
    return Found(
        action,
        frozenset(_TABLE.findall(member["TableName"])),
        member.get("IndexName", ""),
        frozenset(filter(_ATTRIBUTE.fullmatch, said)),
        whole,
        replaces,
        _pinned(action, member, names),
    )


_RETURNING = ("ReturnValues", "ReturnValuesOnConditionCheckFailure", "Select")


def _proves_absence(member: dict[str, Any], names: dict[str, str]) -> bool:
    if "Expected" in member:
        return member["Expected"].get("pk") == {"Exists": False} and (
            member.get("ConditionalOperator") != "OR" or len(member["Expected"]) == 1
        )
    tests = _conjuncts(_WORD.findall(member.get("ConditionExpression", "")))
    return any(len(test) == 4 and test[0] == "attribute_not_exists" and names.get(test[2], test[2]) == "pk" for test in tests)


def _pinned(action: str, member: dict[str, Any], names: dict[str, str]) -> dict[str, list[Value]]:
    given = member.get("Item") or member.get("Key")
    if given:
        return {name: [Value(value.get("S"))] for name, value in given.items()}
    if action != "Query":
        return {}
    pinned = {}
    for name, test in member.get("KeyConditions", {}).items():
        if test["ComparisonOperator"] in ("EQ", "BEGINS_WITH"):
            pinned[name] = [Value(test["AttributeValueList"][0].get("S"), test["ComparisonOperator"] == "BEGINS_WITH")]
    values = member.get("ExpressionAttributeValues", {})
    text = re.sub(r"\(([#:]?\w+)\)", r" \1 ", member.get("KeyConditionExpression", ""))
    for test in _conjuncts(_WORD.findall(text)):
        if len(test) == 3 and test[1] == "=":
            name, value = test[::2] if test[2].startswith(":") else test[::-2]
            pinned[names.get(name, name)] = [Value(values[value].get("S"))]
        elif test[:2] == ["begins_with", "("] and len(test) == 6:
            pinned[names.get(test[2], test[2])] = [Value(values[test[4]].get("S"), is_prefix=True)]
    return pinned


def _conjuncts(words: list[str]) -> list[list[str]]:
    """The tests that must all hold; none where OR stands beside one of them."""
    while words[:1] == ["("] and _closing(words, 0) == len(words) - 1:
        words = words[1:-1]
    depth, start, tests = 0, 0, []
    for at, word in enumerate([*words, "AND"]):
        depth += (word in "([") - (word in ")]")
        if depth == 0 and word.upper() == "OR":
            return []
        if depth == 0 and word.upper() == "AND":
            tests.append(words[start:at])
            start = at + 1
    return tests if len(tests) == 1 else [inner for test in tests for inner in _conjuncts(test)]


def _closing(words: list[str], start: int) -> int:
    depth = 0
    for at in range(start, len(words)):
        depth += (words[at] == "(") - (words[at] == ")")
        if depth == 0:
            return at
    return -1


def _statement(member: dict[str, Any]) -> Found:
    given = iter(member.get("Parameters", ()))
    words = [f"'{next(given).get('S')}'" if word == "?" else word for word in _WORD.findall(member["Statement"])]
    verb = words[0].upper()
    bare = [word.strip("\"'") for word in words]
    said = {word for at, word in enumerate(bare) if _ATTRIBUTE.fullmatch(word) and (at == 0 or words[at - 1] not in (".", "["))}
    tables = {word for word in bare if _TABLE.fullmatch(word)}
    index = next((word for word in bare if word.startswith("idx_")), "")
    stars = [at for at, word in enumerate(words) if word == "*" and words[at - 2].upper() != "MODIFIED"]
    whole = (bool(stars) and verb != "EXISTS") or member.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    action = "PartiQLSelect" if verb == "EXISTS" else f"PartiQL{verb.capitalize()}"
    return Found(action, frozenset(tables), index, frozenset(said), whole, verb == "DELETE", _proven(verb, words))


def _proven(verb: str, words: list[str]) -> dict[str, list[Value]]:
    if verb == "INSERT":
        return {words[at].strip("'"): [_literal(words[at + 2])] for at in range(len(words) - 2) if words[at + 1] == ":"}
    upper = [word.upper() for word in words]
    if "WHERE" not in upper:
        return {}
    end = upper.index("RETURNING") if "RETURNING" in upper else len(words) - (verb == "EXISTS")
    pinned: dict[str, list[Value]] = {}
    for test in _conjuncts(words[upper.index("WHERE") + 1 : end]):
        if len(test) == 3 and test[1] == "=":
            name, value = test[::2] if test[2].startswith("'") else test[::-2]
            pinned.setdefault(name.strip('"'), []).append(_literal(value))
        elif len(test) > 3 and test[1].upper() == "IN":
            pinned.setdefault(test[0].strip('"'), []).extend(_literal(word) for word in test[3:-1] if word != ",")
    return pinned


def _literal(word: str) -> Value:
    return Value(word[1:-1] if word.startswith("'") else None)
