"""A first policy from what was done: CloudTrail's data events of DynamoDB, one role session a DAG.

What AWS refused is not granted, and escalations are not either, only told. The session name of an assumed role is taken for
the DAG; where it is one that an SDK made up, the role's name is, with a note.
Sources: CloudTrail record contents, and the log entries of DynamoDB's developer guide.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from proxy.actions import ALL, ESCALATIONS, PARTIQL, WITH_INDEX
from proxy.policy.draft import Draft, Right, dag_id_of, is_table_name, shown_in_comment
from proxy.policy.vocabulary import WITHOUT_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ARN = re.compile(r"arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:[0-9]{12}:table/([A-Za-z0-9_.-]{3,255})(?:/.*)?")
_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([^/]+)/(.+)")
# Names that SDKs and services make up where nobody gives one: they say nothing of a DAG.
_MADE_UP = re.compile(r"(?:botocore-session-|aws-sdk-|aws-go-sdk-|i-)[\w-]+|[0-9]{10,}|[0-9a-f-]{32,}", re.ASCII)
_STATEMENT = re.compile(
    r"\s*(?:(?P<verb>SELECT)\b.*?\bFROM|(?P<insert>INSERT)\s+INTO|(?P<update>UPDATE)|(?P<delete>DELETE)\s+FROM)\s+"
    r"\"?(?P<table>[A-Za-z0-9_.-]+?)\"?(?:\.\"?(?P<index>[A-Za-z0-9_.-]+)\"?)?(?:\s|$)",
    re.IGNORECASE | re.DOTALL,
)
_VERBS = {
    "put": "PutItem",
    "update": "UpdateItem",
    "delete": "DeleteItem",
    "conditioncheck": "ConditionCheckItem",
    "get": "GetItem",
}
_BATCH_VERBS = {"putrequest": "PutItem", "deleterequest": "DeleteItem"}
_STATEMENTS = frozenset({"ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"})
_BATCHES = {"BatchGetItem": "GetItem", "TransactGetItems": "GetItem", "BatchWriteItem": "", "TransactWriteItems": ""}


def read_events(text: str) -> list[Mapping[str, Any]]:
    """Events of a CloudTrail file: `{"Records": [...]}`, a list, what `lookup-events` prints, or one event a line.

    Raises ValueError where it is none of these.
    """
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = [json.loads(line) for line in text.splitlines() if line.strip()]
    events: list[Mapping[str, Any]] = []
    for document in documents:
        listed = document
        if isinstance(document, dict):
            listed = document.get("Records") or document.get("Events") or [document]
        for event in listed if isinstance(listed, list) else ():
            inner = event.get("CloudTrailEvent") if isinstance(event, dict) else None
            event = json.loads(inner) if isinstance(inner, str) else event
            if not isinstance(event, dict):
                raise ValueError("an event is not an object")
            events.append(event)
    return events


def read_trail(text: str) -> list[Mapping[str, Any]]:
    """As `read_events`. Raises ValueError too where the file is of another kind, which would draft nothing without a word."""
    events = read_events(text)
    if not any(_MARKS & event.keys() for event in events):
        raise ValueError("holds no CloudTrail events; give files of a trail with data events, or what `lookup-events` prints")
    return events


_MARKS = frozenset({"eventSource", "Records", "Events"})  # of an event, and of lists of events that are empty


def draft_from_cloudtrail(events: Iterable[Mapping[str, Any]]) -> Draft:
    """What each role session did, as rules. Events of other services are passed over; what cannot be used is in a note."""
    draft = Draft("CloudTrail")
    unused: dict[str, int] = {}
    for event in events:
        if event.get("eventSource") != "dynamodb.amazonaws.com":
            continue
        name = str(event.get("eventName", "an event without a name"))
        reason = _refusal(event) or _take(draft, name, event)
        if reason:
            text = f"{shown_in_comment(name)} {reason}"
            unused[text] = unused.get(text, 0) + 1
    draft.notes += [f"left out {count} time(s): {text}" for text, count in sorted(unused.items())]
    return draft


def _refusal(event: Mapping[str, Any]) -> str:
    """Why an event grants nothing, or an empty string."""
    return f"failed with {shown_in_comment(str(event['errorCode']))}" if event.get("errorCode") in _REFUSED else ""


_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "UnrecognizedClientException", "ResourceNotFoundException"})


def _take(draft: Draft, name: str, event: Mapping[str, Any]) -> str:
    """Add what one event did. Why it grants nothing, or an empty string."""
    caller = _caller(event.get("userIdentity") or {})
    if caller is None:
        return "was not done with a role's session"
    found = list(_touches(name, event))
    if not found:
        return "names no table"
    _add(draft, *caller, found)
    return ""


def _caller(who: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """DAG, ARN of the role, and what is to be said of them. None where no role was assumed."""
    match = _SESSION.fullmatch(str(who.get("arn")))
    if not match:
        return None
    partition, account, role_name, session = match.groups()
    issuer = (who.get("sessionContext") or {}).get("sessionIssuer") or {}
    role = str(issuer.get("arn") or f"arn:{partition}:iam::{account}:role/{role_name}")
    if _MADE_UP.fullmatch(session):
        note = "the role's sessions have names that an SDK made up, so this is the role's name; write the DAG's id in its place"
        return dag_id_of(role_name), role, note
    dag_id = dag_id_of(session)
    return dag_id, role, "" if dag_id == session else f"named after the session `{shown_in_comment(session)}`"


_Found = tuple[str, str, str]  # action, table, index


def _add(draft: Draft, dag_id: str, role: str, note: str, found: Iterable[_Found]) -> None:
    dag = draft.dag(dag_id)
    dag.role = dag.role or role
    if note:
        dag.notes.append(note)
    if role != dag.role:
        dag.notes.append(f"also seen with role {shown_in_comment(role)}; a DAG has one role")
    for action, table, index in found:
        if action == "BatchWriteItem":
            dag.notes.append(f"BatchWriteItem on {table}: the event does not say put or delete; PutItem is given")
            action = "PutItem"
        if index and not is_table_name(index):
            dag.notes.append(f"{action} on {table}: `{shown_in_comment(index)}` is not a name of an index")
            continue
        if action in ESCALATIONS:
            dag.notes.append(
                f"did {action} on {table or 'the account'}: give it by this name if it is meant, it goes beyond items"
            )
            continue
        dag.add(Right(True, table, index if action in WITH_INDEX else ""), action)


def _touches(name: str, event: Mapping[str, Any]) -> Iterator[_Found]:
    """What one event did to which tables."""
    parameters = event.get("requestParameters") or {}
    if name in _STATEMENTS:
        found = _statements(parameters)
    elif name in _BATCHES:
        found = _members(name, parameters)
    else:
        found = iter([(name, _name_in(parameters.get("tableName")), str(parameters.get("indexName") or ""))])
    known = [touch for touch in found if touch[1]]
    if not known:
        action = _BATCHES.get(name, name) or "BatchWriteItem"
        known = [(action, table, "") for table in _resources(event)] if name != "TransactWriteItems" else []
    for action, table, index in known or ([(name, "", "")] if name in WITHOUT_TABLE else []):
        if action in ALL or action == "BatchWriteItem":
            yield action, table, index


def _members(name: str, parameters: Mapping[str, Any]) -> Iterator[_Found]:
    """Members of a batch or transaction: a mapping of tables, or a list of members that name theirs."""
    items = parameters.get("requestItems") or parameters.get("transactItems")
    if isinstance(items, dict):
        for table, members in items.items():
            for action in _actions_of(name, members):
                yield action, _name_in(table), ""
        return
    for member in items if isinstance(items, list) else ():
        yield from _member(name, member)


def _member(name: str, member: Any) -> Iterator[_Found]:
    if not isinstance(member, dict):
        return
    if "tableName" in member:
        action = _VERBS.get(str(member.get("operation")).lower(), _BATCHES[name] or name)
        yield action, _name_in(member["tableName"]), ""
        return
    for verb, inner in member.items():
        if isinstance(inner, dict) and verb.lower() in _VERBS:
            yield _VERBS[verb.lower()], _name_in(inner.get("tableName")), ""


def _actions_of(name: str, members: Any) -> list[str]:
    if name == "BatchGetItem":
        return ["GetItem"]
    verbs = (
        {verb.lower() for member in members if isinstance(member, dict) for verb in member} if isinstance(members, list) else ()
    )
    return [action for verb, action in _BATCH_VERBS.items() if verb in verbs] or ["BatchWriteItem"]


def _statements(parameters: Mapping[str, Any]) -> Iterator[_Found]:
    listed = parameters.get("statements") or parameters.get("transactStatements") or [parameters]
    for entry in listed if isinstance(listed, list) else ():
        match = _STATEMENT.match(str(entry.get("statement"))) if isinstance(entry, dict) else None
        if match:
            verb = next(match[group] for group in ("verb", "insert", "update", "delete") if match[group])
            action = f"PartiQL{verb.capitalize()}"
            assert action in PARTIQL  # noqa: S101 - the expression has no other verbs
            yield action, _name_in(match["table"]), match["index"] or ""


def _resources(event: Mapping[str, Any]) -> Iterator[str]:
    for resource in event.get("resources") or ():
        name = _name_in(resource.get("ARN")) if isinstance(resource, dict) else ""
        if name:
            yield name


def _name_in(text: Any) -> str:
    """The table's name, from a name or an ARN; empty for anything else."""
    if not isinstance(text, str):
        return ""
    match = _ARN.fullmatch(text)
    name = match[1] if match else text
    return name if is_table_name(name) else ""
