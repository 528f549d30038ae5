"""From target and body to an `Operation`: strict JSON, members judged, one `Touch` for each thing that is done to a table.

The body is parsed once, and what leaves is written from the object that was judged, so no difference between our parser and
DynamoDB's can matter. Member order is kept; numbers of items are strings in this protocol, so nothing is lost.
Everything else ends as `Unreadable`, with a sentence that names members and tables but no attribute, key or value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import jiter
import orjson

from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.members import INPUTS, MAX_BATCH_KEYS, MAX_BATCH_WRITES
from proxy.dynamodb.values import Misfit
from proxy.model import Operation, TableReference, Touch
from proxy.refusal import Reason, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.dynamodb.catalogue import KnownOperation

MAX_MEMBERS = 60_000  # about 30 ms of parsing and judging; a body within the size limit could otherwise hold the loop for seconds
_SHOWABLE = re.compile(rb"[A-Za-z0-9_.]{1,80}")
_NOT_SERVED = {
    "data": "it is not understood yet; use the item operations, Query or Scan",
    "partiql": "PartiQL is not understood yet; use the item operations, Query or Scan",
    "control": "managing tables is not understood yet; do it outside of the DAG",
    "streams": "DynamoDB Streams are not understood yet",
}


def operation_name(target: bytes) -> str:
    """The operation's name if the gateway has one for it, else `unknown`: a label of bounded cardinality."""
    known = _KNOWN.get(target)
    return known.name if known else "unknown"


def read_operation(target: bytes, body: bytes, max_members: int = MAX_MEMBERS) -> Operation:
    """Understand one request. `target` is the whole value of X-Amz-Target, `body` the whole body.

    Raises `Unreadable`: UNKNOWN_OPERATION, UNSUPPORTED_OPERATION, or UNREADABLE_BODY.
    """
    served = _SERVED.get(target)
    if served is None:
        raise _not_served(target)
    request = _parsed(body, max_members)
    try:
        served.judge(request)
        touches = served.touches_of(request)
    except Misfit as misfit:
        subject = f"`{misfit.path}` of {served.name}" if misfit.path else f"the body of {served.name}"
        raise Unreadable(Reason.UNREADABLE_BODY, f"{subject} {misfit.problem}") from None
    return Operation(served.name, served.target, served.is_write, touches, orjson.dumps(request))


def _not_served(target: bytes) -> Unreadable:
    if known := _KNOWN.get(target):
        return Unreadable(Reason.UNSUPPORTED_OPERATION, f"the gateway does not serve `{known.name}`: {_NOT_SERVED[known.kind]}")
    shown = f"`{target.decode()}`" if _SHOWABLE.fullmatch(target) else "the value of `X-Amz-Target`"
    return Unreadable(
        Reason.UNKNOWN_OPERATION, f"{shown} names no known operation; write `DynamoDB_20120810.` and its name, in exact case"
    )


def _parsed(body: bytes, max_members: int) -> Any:
    """The JSON value of the body. Colons and commas bound its members, those inside of strings included."""
    if body.count(b":") + body.count(b",") > max_members:
        raise Unreadable(
            Reason.UNREADABLE_BODY,
            f"the body has more than {max_members} colons and commas, the gateway's bound on members; send fewer items at once",
        )
    try:
        return jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError as error:
        place = str(error).rpartition(" at ")[2]  # the rest could quote the body
        place = f" ({place})" if _PLACE.fullmatch(place) else ""
    raise Unreadable(
        Reason.UNREADABLE_BODY,
        f"the body is not strict JSON{place}: UTF-8 without byte order mark, each member once, no NaN, at most 200 levels",
    )


_PLACE = re.compile(r"line [0-9]+ column [0-9]+")

# ------------------------------------------------------------------- touches, of requests that are judged


def _table(text: str) -> TableReference:
    """A name stands for a table of the caller's own; an ARN says partition, Region and account."""
    if not text.startswith("arn:"):
        return TableReference(text)
    _, partition, _, region, account, resource = text.split(":")
    return TableReference(resource.removeprefix("table/"), partition, region, account)


def _single(action: str) -> Callable[[Any], tuple[Touch, ...]]:
    def touches_of(request: Any) -> tuple[Touch, ...]:
        return (Touch(action, _table(request["TableName"]), request.get("IndexName", "")),)

    return touches_of


def _batch_get(request: Any) -> tuple[Touch, ...]:
    touches: list[Touch] = []
    for text, wanted in request["RequestItems"].items():
        table, first = _table(text), len(touches) + 1
        touches += [Touch("GetItem", table, "", position) for position, _ in enumerate(wanted["Keys"], first)]
    if len(touches) > MAX_BATCH_KEYS:
        raise Misfit(f"asks for {len(touches)} keys over all tables; DynamoDB takes {MAX_BATCH_KEYS}")
    return tuple(touches)


_BATCH_ACTION = {"PutRequest": "PutItem", "DeleteRequest": "DeleteItem"}


def _batch_write(request: Any) -> tuple[Touch, ...]:
    touches: list[Touch] = []
    for text, members in request["RequestItems"].items():
        table, first = _table(text), len(touches) + 1
        touches += [Touch(_BATCH_ACTION[verb], table, "", position) for position, (verb,) in enumerate(members, first)]
    if len(touches) > MAX_BATCH_WRITES:
        raise Misfit(f"has {len(touches)} writes over all tables; DynamoDB takes {MAX_BATCH_WRITES}")
    return tuple(touches)


_TRANSACT_ACTION = {
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


def _transaction(request: Any) -> tuple[Touch, ...]:
    return tuple(
        Touch(_TRANSACT_ACTION[verb], _table(member[verb]["TableName"]), "", position)
        for position, member in enumerate(request["TransactItems"], 1)
        for verb in member
    )


_TOUCHES_OF: dict[str, Callable[[Any], tuple[Touch, ...]]] = {
    "GetItem": _single("GetItem"),
    "PutItem": _single("PutItem"),
    "UpdateItem": _single("UpdateItem"),
    "DeleteItem": _single("DeleteItem"),
    "Query": _single("Query"),
    "Scan": _single("Scan"),
    "BatchGetItem": _batch_get,
    "BatchWriteItem": _batch_write,
    "TransactGetItems": _transaction,
    "TransactWriteItems": _transaction,
}


class _Served(NamedTuple):
    """What `read_operation` needs of one operation, made once."""

    name: str
    target: str
    is_write: bool
    judge: Callable[[Any], None]
    touches_of: Callable[[Any], tuple[Touch, ...]]


_KNOWN: dict[bytes, KnownOperation] = {row.target.encode(): row for row in OPERATIONS}
_SERVED: dict[bytes, _Served] = {
    target: _Served(row.name, row.target, row.access != "read", INPUTS[row.name].judge(), _TOUCHES_OF[row.name])
    for target, row in _KNOWN.items()
    if row.is_served
}
