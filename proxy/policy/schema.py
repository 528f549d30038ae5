"""The JSON Schema of policy files, made from the loader's own vocabulary, for editors to complete and check by.

It refuses what can be told from one place alone: unknown fields and words, wrong types, empty lists. Everything that the
loader takes, it takes; what needs two places (a table that is not declared) is `check`'s.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from proxy.actions import ALL, GROUPS, WITH_INDEX
from proxy.policy.vocabulary import (
    ATTRIBUTED,
    DAG_FIELDS,
    DEFAULTS_FIELDS,
    GRANT_FIELDS,
    KEYED,
    PER_REQUEST,
    PLATFORM_SECTIONS,
    REQUIRE_FIELDS,
    RULE_FIELDS,
    SOURCES,
    STOPPING_GROUPS,
    TEAM_SECTIONS,
    TEST_FIELDS,
    UNMAPPED_FIELDS,
    WITHOUT_TABLE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Schema = dict[str, Any]

# A `<` that begins no placeholder is text as any other.
_TEXT = r"[^<\x00-\x1f]|<(?![^<>]*>)"
_KEY_NAMES = "|".join(("env", "team", *PER_REQUEST, r"claim\.[\w.-]{1,64}"))
_KEY_PREFIX = rf"^(?:{_TEXT}|<(?:{_KEY_NAMES})>(?={_TEXT}))+$"  # each placeholder is ended by a sign
_KEY_EXACT = rf"^(?:{_TEXT}|<(?:{_KEY_NAMES})>(?={_TEXT}|$))+$"
_FILLED = rf"^(?:{_TEXT}|<(?:env|team)>)+$"
_ROLE = r"^(?:arn:aws[a-z-]*:iam::[0-9]{12}:role/|(?!arn:))[A-Za-z0-9_+=,.@/<>-]{1,600}$"
_SAID = r"^[^\x00-\x1f]+$"  # a string that is not empty and has one line
_ATTRIBUTE = r"^(?:[^<*?\x00-\x1f]|<(?![^<>]*>))+$"  # names are exact
_GLOB = r"^!?[A-Za-z0-9_.*?-]{1,255}$"
_TABLE_GLOB = r"^!?[A-Za-z0-9_.*?<>-]{1,300}$"  # with placeholders
_DAG = r"^[^\s/<>{}\[\],:#]{1,250}$"
_KEY = r"^\s*[^(),;\s][^(),;]*\([SNB]\)\s*(,\s*[^(),;\s][^(),;]*\([SNB]\)\s*)?$"
_INDEX_KEY = r"^[^()]+\([SNB]\)([^()]+\([SNB]\)){0,7}\s*;?\s*$"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2}))?$"
_ACCOUNT = r"^[0-9]{12}$"
_REGION = r"^[a-z]{2,8}(-[a-z]{2,12})+-[0-9]{1,2}$"
_LOGICAL = r"^[A-Za-z0-9_.-]{1,255}$"


def policy_schema() -> Schema:
    """The schema of a team's file and of platform.yaml."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "dynamodb-proxy policy file",
        "description": "A team's file (tables, dags, tests), or platform.yaml (environments, teams, workloads, deny, ...).",
        "anyOf": [{"$ref": "#/definitions/team_file"}, {"$ref": "#/definitions/platform_file"}],
        "definitions": {
            "team_file": _object(TEAM_SECTIONS, _TEAM),
            "platform_file": _object(PLATFORM_SECTIONS, _PLATFORM),
            "role": _varied(_ROLE, "a role's ARN, or its name in the environment's account"),
            "action": _one_of(sorted(ALL), "an action, by IAM's name"),
            "allow_action": {"anyOf": [_ref("action"), _one_of(sorted(GROUPS), "a group")]},
            "deny_action": {"anyOf": [_ref("action"), _one_of(sorted({*GROUPS, *STOPPING_GROUPS}), "a group")]},
            "rule_allow": _rule("allow_action", "what is allowed"),
            "rule_deny": _rule("deny_action", "what is denied, whatever else allows it"),
            "rule_platform_deny": _rule("deny_action", "denied to everybody", is_platform=True),
            "requirement": _requirement(),
            "table": _object(_TABLE, _TABLE),
            "dag": _object(DAG_FIELDS, _DAG_FIELDS),
            "test": _test(),
        },
    }


def schema_text() -> str:
    """The schema as it stands in policies/schema.json."""
    return json.dumps(policy_schema(), indent=2) + "\n"


# ----------------------------------------------------------------------------------------------- pieces


def _object(fields: Iterable[str], known: dict[str, Schema], required: Iterable[str] = ()) -> Schema:
    """A mapping of exactly these fields. KeyError for a field that has no schema: none may be forgotten."""
    schema: Schema = {"type": "object", "properties": {field: known[field] for field in fields}, "additionalProperties": False}
    if required := list(required):
        schema["required"] = required
    return schema


def _text(description: str, pattern: str = _SAID) -> Schema:
    return {"type": "string", "pattern": pattern, "description": description}


def _list(items: Schema, description: str, *, may_be_empty: bool = False) -> Schema:
    schema: Schema = {"type": "array", "items": items, "description": description}
    return schema if may_be_empty else schema | {"minItems": 1}


def _words(description: str, pattern: str = _SAID) -> Schema:
    return _list({"type": "string", "pattern": pattern}, description)


def _globs(description: str, pattern: str) -> Schema:
    """Globs, not all of which take back."""
    return _words(description, pattern) | {"contains": {"type": "string", "pattern": "^[^!]"}}


def _named(value: Schema, pattern: str, description: str) -> Schema:
    return {
        "type": "object",
        "patternProperties": {pattern: value},
        "additionalProperties": False,
        "description": description,
    }


def _one_of(words: Iterable[str], description: str) -> Schema:
    return {"type": "string", "enum": list(words), "description": description}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _varied(pattern: str, description: str) -> Schema:
    """One string, or one for every environment."""
    text = {"type": "string", "pattern": pattern}
    return {"anyOf": [text, _named(text, ".+", "by environment") | {"minProperties": 1}], "description": description}


_KEY_LIMIT: Schema = {
    "type": "object",
    "properties": {
        "prefix": _text("keys that begin so; <dag_id>, <task_id>, <run_id>, <claim.NAME> with a sign after each", _KEY_PREFIX),
        "exact": _words("these keys", _KEY_EXACT),
    },
    "additionalProperties": False,
    "minProperties": 1,
}
_KEYS: Schema = {
    "description": "partition keys that the rule is about; what cannot be proven is outside of an allow and inside of a deny",
    "anyOf": [_KEY_LIMIT, _list(_KEY_LIMIT, "several")],
}
_COMMON: dict[str, Schema] = {
    "indexes": _globs("secondary indexes, as the table declares them; a table does not grant its indexes", _GLOB),
    "keys": _KEYS,
    "attributes": _words("top-level attributes", _ATTRIBUTE),
    "tasks": _globs("globs of task ids; !glob takes back", r"^!?[^\s/]{1,250}$"),
    "environments": _words("environments in which it holds; all without it"),
}
_SHAPES: dict[str, Schema] = {
    "max_limit": {"type": "integer", "minimum": 1, "description": "Query and Scan must have a Limit, of this at most"},
    "max_segments": {"type": "integer", "minimum": 1, "description": "most segments of a parallel Scan"},
    "condition": {"const": True, "description": "writes must be conditional"},
    "client_token": {"const": True, "description": "writes must have a ClientRequestToken"},
    "evidence": {"const": "verified", "description": "the dag must be proven by the token, not claimed beside it"},
}


def _rule(action: str, description: str, *, is_platform: bool = False) -> Schema:
    known = {**_rule_fields(action, is_platform=is_platform), **_COMMON}
    limits = [_if_limited("indexes", WITH_INDEX, must_have=True)]
    if action == "allow_action":
        limits += [_if_limited("keys", KEYED), _if_limited("attributes", ATTRIBUTED)]
    return {"description": description} | _object(RULE_FIELDS, known, ("actions", "tables")) | {"allOf": limits}


def _if_limited(field: str, actions: frozenset[str], *, must_have: bool = False) -> Schema:
    """Where a rule has `field`, its actions are of those that can be limited so, or groups (`must_have`: with one of them)."""
    words: Schema = {"items": {"enum": sorted({*actions, *GROUPS, *STOPPING_GROUPS})}}
    if must_have:
        groups = (name for name, group in {**GROUPS, **STOPPING_GROUPS}.items() if group & actions)
        words["contains"] = {"enum": sorted({*actions, *groups})}
    return {"if": {"required": [field]}, "then": {"properties": {"actions": words}}}


def _rule_fields(action: str, *, is_platform: bool) -> dict[str, Schema]:
    tables = _globs("globs of real table names", _TABLE_GLOB) if is_platform else _words("tables of this file", _LOGICAL)
    return {"actions": _list(_ref(action), "actions or groups; escalations by exact name only"), "tables": tables}


def _requirement() -> Schema:
    known = {**_rule_fields("deny_action", is_platform=True), **_COMMON, **_SHAPES}
    shaped = [{"required": [shape]} for shape in _SHAPES]
    return _object(REQUIRE_FIELDS, known, ("actions", "tables")) | {
        "anyOf": shaped,
        "description": "a shape that requests must have",
    }


def _test() -> Schema:
    called = {"properties": {"call": {"enum": sorted(WITHOUT_TABLE)}}}
    return _object(TEST_FIELDS, _TEST, ("dag", "call", "expect")) | {"if": called, "else": {"required": ["table"]}}


_BOOLEAN: Schema = {"type": "boolean"}
_TEST: dict[str, Schema] = {
    "dag": _text("who asks", _DAG),
    "call": _ref("action"),
    "table": _text("a table of this file", _LOGICAL),
    "index": _text("an index of the table"),
    "key": _text("value of the partition key; without it the request proves none"),
    "attributes": _words("what the request names and, of a read, brings back; a read without it brings whole items"),
    "returns": _one_of(("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"), "ReturnValues"),
    "task": _text("task id"),
    "run": _text("run id"),
    "claims": _named({"type": "string", "pattern": _SAID}, ".+", "verified claims, for <claim.NAME>"),
    "evidence": _one_of(("verified", "claimed"), "how the dag is known"),
    "limit": {"type": "integer", "description": "Limit"},
    "segments": {"type": "integer", "description": "TotalSegments"},
    "condition": _BOOLEAN | {"description": "the write is conditional"},
    "new_item": _BOOLEAN | {"description": "a condition proves that there is no item yet"},
    "client_token": _BOOLEAN | {"description": "it has a ClientRequestToken"},
    "environment": _text("for this environment only"),
    "at": _text("when; without it, while nothing has ended", _MOMENT),
    "expect": _one_of(("allow", "deny"), "what must come out"),
}
_ALLOW = _list(_ref("rule_allow"), "what the DAG may do", may_be_empty=True)
_DENY = _list(_ref("rule_deny"), "what it may not, whatever allows it", may_be_empty=True)
_DAG_FIELDS: dict[str, Schema] = {
    "role": _ref("role"),
    "environments": _words("environments in which the DAG lives; all without it"),
    "allow": _ALLOW,
    "deny": _DENY,
}
_TABLE: dict[str, Schema] = {
    "name": _varied(_FILLED, "the real table, where it differs; <env> and <team> are filled in"),
    "key": _text('partition key, then sort key: "pk (S), sk (N)"', _KEY),
    "indexes": _named(_text("the key of the index", _INDEX_KEY), ".+", "secondary indexes with their keys"),
}
_TEAM: dict[str, Schema] = {
    "team": _text("name of the team in platform.yaml"),
    "contact": _text("whom to ask"),
    "tables": _named(_ref("table"), _LOGICAL, "tables by the name that rules use"),
    "defaults": _object(DEFAULTS_FIELDS, _DAG_FIELDS) | {"description": "for every DAG of this file"},
    "dags": _named(_ref("dag"), _DAG, "DAG ids or globs, each with what it may do"),
    "tests": _list(_ref("test"), "what must be allowed and denied; run by `check`"),
}
_ENVIRONMENT: dict[str, Schema] = {
    "account": _text("12 digits, in quotes", _ACCOUNT),
    "region": _text("AWS Region", _REGION),
    "partition": _text("aws, aws-cn or aws-us-gov", r"^aws[a-z-]*$"),
    "mode": _one_of(("enforce", "observe"), "observe: decide and tell, and let pass"),
}
_TEAM_BOUNDARY: dict[str, Schema] = {
    "dags": _globs("globs of the team's DAGs", r"^!?[^\s/]{1,250}$"),
    "tables": _globs("globs of real tables that the team can grant", _TABLE_GLOB),
    "role": _ref("role"),
    "contact": _text("whom to ask"),
}
_WORKLOAD: dict[str, Schema] = {
    "issuer": _text("name of an issuer in the settings"),
    "subject": _text("the token's sub, or a glob of it", r"^[^!].*$"),
    "teams": _words("teams for whose DAGs it may speak"),
    "dags": _globs("globs of DAGs for which it may speak", r"^!?[^\s/]{1,250}$"),
    "dag_from": _list({"enum": list(SOURCES)}, "where the DAG id may come from, in order"),
    "annotations": _one_of(("claimed", "verified"), "verified: nobody who writes DAGs can set annotations on its pods"),
    "unknown_dag": _one_of(("deny", "unmapped"), "whether `unmapped` is for its DAGs that no file names"),
}
_GRANT: dict[str, Schema] = {
    "dag": _text("the DAG", _DAG),
    "allow": _ALLOW,
    "until": _text("when it ends", _MOMENT),
    "reason": _text("why"),
}
_UNMAPPED: dict[str, Schema] = {
    "role": _ref("role"),
    "mode": _one_of(("observe",), "let pass, and tell"),
    "until": _text("when it ends", _MOMENT),
}
_WORKLOAD_SCHEMA = _object(_WORKLOAD, _WORKLOAD, ("issuer", "subject")) | {
    "anyOf": [{"required": ["teams"]}, {"required": ["dags"]}],
}
_PLATFORM: dict[str, Schema] = {
    "environments": _named(_object(_ENVIRONMENT, _ENVIRONMENT, ("account", "region")), ".+", "the closed list of environments"),
    "teams": _named(_object(_TEAM_BOUNDARY, _TEAM_BOUNDARY, ("dags", "tables")), ".+", "the most that each team can grant"),
    "workloads": _named(_WORKLOAD_SCHEMA, ".+", "which verified subjects may speak for which DAGs"),
    "deny": _list(_ref("rule_platform_deny"), "denied to everybody", may_be_empty=True),
    "require": _list(_ref("requirement"), "denied unless the request has this shape", may_be_empty=True),
    "grants": _list(_object(GRANT_FIELDS, _GRANT, GRANT_FIELDS), "named, dated exceptions", may_be_empty=True),
    "unmapped": _object(UNMAPPED_FIELDS, _UNMAPPED, UNMAPPED_FIELDS) | {"description": "DAGs that no file names, let through"},
    "contact": _text("whom to ask"),
}
