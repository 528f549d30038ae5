"""A first policy from IAM: statements on DynamoDB tables and indexes, with their key and attribute conditions.

An allow is taken over only where all of it can be said, for without a condition it would give more; the rest is a comment
with the reason, and IAM still holds it. Sources: IAM's policy grammar; DynamoDB's developer guide, "Using IAM policy
conditions for fine-grained access control".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.actions import ALL, BY_NAME_ONLY, WITH_INDEX
from proxy.globs import Globs, is_glob
from proxy.policy.draft import REPLACE, Draft, Right, dag_id_of, is_table_name, shown_in_comment
from proxy.policy.vocabulary import ATTRIBUTED, KEYED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_RESOURCE = re.compile(r"arn:[^:]*:dynamodb:([^:]*):([^:]*):table/([^/]+)(?:/index/([^/]+))?")
_OTHER = re.compile(r"arn:[^:]*:(?!dynamodb:).*")
_ACCOUNT = re.compile(r"[0-9]{12}")
# IAM knows actions for batches; here their members are judged.
_MEMBERS = {"BatchGetItem": ("GetItem",), "BatchWriteItem": ("PutItem", "DeleteItem")}
_NAMES = tuple(sorted(ALL | _MEMBERS.keys()))
_ATTRIBUTES = "dynamodb:Attributes"
_KEY_CONDITIONS = frozenset({"dynamodb:LeadingKeys", "dynamodb:FirstPartitionKeyValues"})
# What a rule with `attributes` here lets come back: conditions that say the same, or more, need not be said.
_WITH_ATTRIBUTES: dict[str, tuple[frozenset[str], frozenset[str]]] = {  # values that must be there, and that may be
    "dynamodb:Select": (frozenset({"SPECIFIC_ATTRIBUTES"}), frozenset({"COUNT"})),
    "dynamodb:ReturnValues": (frozenset({"UPDATED_OLD", "UPDATED_NEW"}), frozenset({"NONE"})),
}
_EQUALITIES = frozenset({"StringEquals", "StringEqualsIfExists", "ForAllValues:StringEquals"})


class Source(NamedTuple):
    """One policy document, and the role that it is of; empty where that is not known."""

    document: Mapping[str, Any]
    role_arn: str


class _Limits(NamedTuple):
    """What the conditions of one statement say; `problem`: why they cannot be said here."""

    keys: tuple[tuple[bool, str], ...] = ()
    attributes: tuple[str, ...] = ()
    problem: str = ""


def read_sources(text: str) -> list[Source]:
    """Policy documents in a JSON file: one alone, what `get-role-policy` and `get-policy-version` print, or all roles of
    `get-account-authorization-details`. Raises ValueError where it holds none.
    """
    top = json.loads(text)
    found = list(_sources(top if isinstance(top, dict) else {}))
    if not found:
        raise ValueError("holds no policy document")
    return found


def _sources(top: Mapping[str, Any]) -> Iterator[Source]:
    if "RoleDetailList" in top:
        managed = {policy.get("Arn"): policy for policy in top.get("Policies", ())}
        for role in top["RoleDetailList"]:
            for inline in role.get("RolePolicyList", ()):
                yield Source(inline["PolicyDocument"], role.get("Arn", ""))
            for attached in role.get("AttachedManagedPolicies", ()):
                for version in managed.get(attached.get("PolicyArn"), {}).get("PolicyVersionList", ()):
                    if version.get("IsDefaultVersion"):
                        yield Source(version["Document"], role.get("Arn", ""))
        return
    for document in (top.get("PolicyDocument"), (top.get("PolicyVersion") or {}).get("Document"), top):
        if isinstance(document, dict) and "Statement" in document:
            name = str(top.get("RoleName") or "")
            yield Source(document, f"arn:aws:iam::{_account_in(document)}:role/{name}" if name else "")
            return


def _account_in(document: Mapping[str, Any]) -> str:
    """The account of the first table that a document names."""
    for statement in _listed(document.get("Statement")):
        for resource in _listed(statement.get("Resource")):
            match = _RESOURCE.fullmatch(str(resource))
            if match and _ACCOUNT.fullmatch(match[2]):
                return match[2]
    return "000000000000"


def draft_from_iam(sources: Iterable[Source], tables: Iterable[str] = ()) -> Draft:
    """One DAG for each role. `tables` are the names of real tables, which fill in for wildcards in ARNs."""
    draft = Draft("IAM policies")
    known = sorted(tables)
    for source in sources:
        role = source.role_arn or f"arn:aws:iam::{_account_in(source.document)}:role/{REPLACE}"
        dag_id = dag_id_of(role.rpartition("/")[2])
        dag = draft.dag(dag_id)
        dag.role = role
        dag.notes.append(f"{REPLACE} by the DAG's id; IAM knows roles only")
        for number, statement in enumerate(_listed(source.document.get("Statement")), 1):
            name = shown_in_comment(str(statement.get("Sid") or f"statement {number}"))
            _take_over(statement, name, dag_id, draft, known)
    return draft


def _take_over(statement: Mapping[str, Any], name: str, dag_id: str, draft: Draft, known: list[str]) -> None:
    dag = draft.dags[dag_id]
    is_allowed = statement.get("Effect") == "Allow"
    for negation in ("NotAction", "NotResource"):
        if negation in statement:
            dag.notes.append(f"{name} is not taken over: {negation} cannot be said; write what is meant")
            return
    limits = _limits(statement.get("Condition") or {}, is_allowed=is_allowed)
    actions, notes = _actions(statement, limits, is_allowed=is_allowed)
    if not actions and not notes:
        return  # of other services
    dag.notes += [f"{name}: {note}" for note in notes]
    if limits.problem:
        dag.notes.append(f"{name} is not taken over: {limits.problem}")
        return
    targets, lost = _targets(statement, known, is_allowed=is_allowed)
    dag.notes += [f"{name}: {shown_in_comment(resource)} is not taken over: {why}" for resource, why in lost]
    for table, index in targets:
        if limits.keys and limits.attributes:
            draft.keys.setdefault(table, f"{limits.attributes[0]} (S)")
        right = Right(is_allowed, table, index, limits.keys, limits.attributes)
        for action in actions:
            if index and action not in WITH_INDEX and action != "*":
                continue
            dag.add(right, action)


# --------------------------------------------------------------------------------------------- actions


def _actions(statement: Mapping[str, Any], limits: _Limits, *, is_allowed: bool) -> tuple[list[str], list[str]]:
    """The actions here that a statement's stand for, and what is to be said of those that it loses."""
    actions: set[str] = set()
    notes = []
    for text in _listed(statement.get("Action")):
        service, _, pattern = str(text).rpartition(":")
        if service not in ("dynamodb", "") or (not service and pattern != "*"):
            continue
        if not is_allowed and pattern == "*":
            return ["*"], []
        names = [name for name in _NAMES if Globs((pattern.lower(),)).match(name.lower())]
        if not names:
            notes.append(f"there is no action {shown_in_comment(str(text))} here")
        lost = [name for name in names if is_glob(pattern) and name in BY_NAME_ONLY] if is_allowed else []
        if lost:
            notes.append(f"{shown_in_comment(str(text))} gives no more than items here; by name only: {', '.join(lost)}")
        actions |= {member for name in names if name not in lost for member in _MEMBERS.get(name, (name,))}
    lost_to_limits = sorted(actions - _limitable(limits)) if is_allowed else []
    if lost_to_limits:
        notes.append(f"{', '.join(lost_to_limits)} cannot be held to the keys or attributes of the condition, and is left out")
    return sorted(actions - set(lost_to_limits)), notes


def _limitable(limits: _Limits) -> frozenset[str]:
    found = frozenset(ALL)
    if limits.keys:
        found &= KEYED
    if limits.attributes:
        found &= ATTRIBUTED - {"DeleteItem", "PartiQLDelete"}
    return found


# --------------------------------------------------------------------------------------------- tables


def _targets(
    statement: Mapping[str, Any], known: list[str], *, is_allowed: bool
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Tables, each with an index or without; and resources that cannot be taken over, with the reason."""
    found, lost = [], []
    for resource in dict.fromkeys(str(text) for text in _listed(statement.get("Resource"))):
        if _OTHER.fullmatch(resource):
            continue
        match = _RESOURCE.fullmatch(resource) or re.fullmatch(r"()()(\*)()", resource)
        if not match or not _are_names(match[3], match[4]):
            lost.append((resource, "neither a table nor an index with a name"))
            continue
        table, index = match[3], match[4] or ""
        if not is_glob(table):
            found.append((table, index))
            continue
        fitting = [name for name in known if Globs((table,)).match(name)]
        found += [(name, index) for name in fitting]
        if not fitting:
            how = "name them, or give --tables" if is_allowed else "in platform.yaml, under deny:, globs of real names may stand"
            lost.append((resource, f"rules name their tables one by one; {how}"))
    return found, lost


def _are_names(table: str, index: str | None) -> bool:
    """A table or a glob of tables, and an index by its name: policy variables are neither."""
    return is_table_name(table.replace("*", "xxx").replace("?", "x")) and (not index or is_table_name(index))


# ------------------------------------------------------------------------------------------ conditions


def _limits(conditions: Mapping[str, Any], *, is_allowed: bool) -> _Limits:
    """Keys and attributes; a condition that cannot be said makes the whole statement one that cannot."""
    every = [
        (operator, name, [str(text).lower() if isinstance(text, bool) else str(text) for text in _listed(value)])
        for operator, members in conditions.items()
        for name, value in members.items()
    ]
    has_attributes = any(name == _ATTRIBUTES for _, name, _ in every)
    keys: tuple[tuple[bool, str], ...] = ()
    attributes: tuple[str, ...] = ()
    for operator, name, values in every:
        if _is_implied(operator, name, values, has_attributes=has_attributes, is_allowed=is_allowed):
            continue
        problem = _problem(operator, name, values, is_allowed=is_allowed)
        if not problem and (attributes if name == _ATTRIBUTES else keys):
            problem = f"it has two conditions on {shown_in_comment(name)}, and IAM asks for both"
        if problem:
            return _Limits(problem=problem)
        if name == _ATTRIBUTES:
            attributes = tuple(values)
        else:
            keys = tuple(_key(operator, text) for text in values)
    return _Limits(keys, attributes)


def _is_implied(operator: str, name: str, values: list[str], *, has_attributes: bool, is_allowed: bool) -> bool:
    """True if every rule here says the same: what is not there does not cover, and no more comes back than is named."""
    if name == "aws:SecureTransport":
        return operator == "Bool" and values == ["true"]
    if not is_allowed:
        return False
    if operator == "Null":
        return name in {*_KEY_CONDITIONS, _ATTRIBUTES} and values == ["false"]
    if not has_attributes or operator not in _EQUALITIES or name not in _WITH_ATTRIBUTES:
        return False
    needed, known = _WITH_ATTRIBUTES[name]
    return needed <= set(values) <= needed | known


def _problem(operator: str, name: str, values: list[str], *, is_allowed: bool) -> str:
    shown = f"condition {shown_in_comment(operator)} on {shown_in_comment(name)}"
    every, _, comparison = operator.rpartition(":")
    if not values:
        return f"{shown} names no value"
    if name not in _KEY_CONDITIONS and name != _ATTRIBUTES:
        return f"{shown} cannot be said; write it as require: or leave it to IAM"
    if every != ("ForAllValues" if is_allowed else "ForAnyValue") or comparison not in ("StringEquals", "StringLike"):
        return f"{shown} cannot be said; keys and attributes are compared with StringEquals or StringLike, for all values"
    signs = "<>*?" if name == _ATTRIBUTES else "<>"
    for text in values:
        bare = text.removesuffix("*") if name in _KEY_CONDITIONS else text
        if "${" in text:
            return f"{shown} holds a policy variable; write <dag_id>, <task_id>, <run_id> or <claim.NAME> with a sign after it"
        if comparison == "StringLike" and (is_glob(bare) or not bare):
            return f"{shown} holds a wildcard that is not at the end of a text"
        if not text or any(sign in text for sign in signs) or not text.isprintable():
            return f"{shown} holds a value that is empty, or has signs that stand for something else here"
    return ""


def _key(operator: str, text: str) -> tuple[bool, str]:
    is_prefix = operator.endswith("StringLike") and text.endswith("*")
    return is_prefix, text.removesuffix("*") if is_prefix else text


def _listed(value: Any) -> list[Any]:
    """IAM lets one thing stand for a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]
