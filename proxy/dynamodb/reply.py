"""What a reply says about how it went, for metrics and audit only: the reply itself is passed on untouched.

An ordinary 200 costs a comparison. Only errors and batches that left something undone are parsed, and only up to a size.
Nothing here raises: a reply that cannot be read has an empty summary. Words that become labels come from closed lists or have
the form of a name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jiter

from proxy.model import ReplySummary, Throttle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.model import Operation, Reply

MAX_BYTES = 4 << 20
MAX_MEMBERS = 20_000  # about 10 ms
_NOTHING = ReplySummary()
_ERROR_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_TABLE = re.compile(r"(?:arn:[^:]{1,32}:dynamodb:[^:]{0,32}:[^:]{0,12}:table/)?([A-Za-z0-9_.\-]{3,255})(?:/.*)?")
# operation -> its member of leftovers, and the bytes that say that there are none, as DynamoDB itself writes them
_LEFTOVERS = {
    "BatchGetItem": ("UnprocessedKeys", b'"UnprocessedKeys":{}'),
    "BatchWriteItem": ("UnprocessedItems", b'"UnprocessedItems":{}'),
}
_THROTTLE_ERRORS = frozenset(("ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"))
_THROTTLING_REASONS = frozenset(  # developer guide, "Throttling diagnostics": <Resource><Access><Limit>
    f"{resource}{access}{limit}"
    for resource in ("Table", "Index")
    for access in ("Read", "Write")
    for limit in (
        "KeyRangeThroughputExceeded",
        "ProvisionedThroughputExceeded",
        "AccountLimitExceeded",
        "MaxOnDemandThroughputExceeded",
    )
)
_CANCELLED_BY_THROTTLE = frozenset(("ThrottlingError", "ProvisionedThroughputExceeded"))
_STATEMENT_THROTTLES = _CANCELLED_BY_THROTTLE | {"RequestLimitExceeded"}


def summarise(operation: Operation, reply: Reply) -> ReplySummary:
    """Error name, throttles and unprocessed items of `reply`, which answered `operation`."""
    if reply.status == 200:
        read = _PARTLY_DONE.get(operation.name)
        return read(operation, reply.body) if read else _NOTHING
    document = _parsed(reply.body)
    kind = document.get("__type")
    error = kind.rpartition("#")[2].partition(":")[0] if isinstance(kind, str) else ""
    if not _ERROR_NAME.fullmatch(error):
        return _NOTHING
    return ReplySummary(error, tuple(dict.fromkeys(_throttles(error, document, operation))))


def _parsed(body: bytes) -> dict[str, Any]:
    """The body's object, or an empty one."""
    if len(body) > MAX_BYTES or body.count(b":") + body.count(b",") > MAX_MEMBERS:
        return {}
    try:
        document = jiter.from_json(body, cache_mode="keys")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _throttles(error: str, document: dict[str, Any], operation: Operation) -> Iterator[Throttle]:
    if error == "TransactionCanceledException":
        yield from _by_member(operation, _objects(document.get("CancellationReasons")), _CANCELLED_BY_THROTTLE)
    elif error in _THROTTLE_ERRORS:
        # ThrottlingException spells its member in lower case, the other two do not
        reasons = _objects(document.get("ThrottlingReasons") or document.get("throttlingReasons"))
        for reason in reasons or [{}]:
            code = reason.get("reason")
            if not isinstance(code, str) or code not in _THROTTLING_REASONS:
                code = error
            yield Throttle(code, _table_name(reason.get("resource")))


def _by_member(operation: Operation, errors: list[dict[str, Any]], codes: frozenset[str]) -> Iterator[Throttle]:
    """Throttles among `errors`, which are in the order of the request's members; each of these has one touch."""
    for touch, error in zip(operation.touches, errors, strict=False):
        code = error.get("Code")
        if isinstance(code, str) and code in codes:
            yield Throttle(code, touch.table.name)


def _failed_statements(operation: Operation, body: bytes) -> ReplySummary:
    """Throttles inside the 200 of a BatchExecuteStatement: each statement fails for itself."""
    if b'"Error"' not in body:
        return _NOTHING
    errors = _objects([answer.get("Error") for answer in _objects(_parsed(body).get("Responses"))])
    throttles = tuple(dict.fromkeys(_by_member(operation, errors, _STATEMENT_THROTTLES)))
    return ReplySummary(throttles=throttles) if throttles else _NOTHING


def _leftovers(operation: Operation, body: bytes) -> ReplySummary:
    """Items that a batch left unprocessed, by table. In BatchGetItem these can also be the rest of an answer over 16 MB."""
    member, none = _LEFTOVERS[operation.name]
    if none in body or b"Unprocessed" not in body:
        return _NOTHING
    by_table = _parsed(body).get(member)
    counts: dict[str, int] = {}
    for key, left in by_table.items() if isinstance(by_table, dict) else ():
        entries = left.get("Keys") if isinstance(left, dict) else left
        if isinstance(entries, list) and entries and (table := _table_name(key)):
            counts[table] = counts.get(table, 0) + len(entries)
    return ReplySummary(unprocessed=tuple(counts.items())) if counts else _NOTHING


# operation -> what reads the answer of a 200 that may leave something undone
_PARTLY_DONE = dict.fromkeys(_LEFTOVERS, _leftovers) | {"BatchExecuteStatement": _failed_statements}


def _objects(value: Any) -> list[dict[str, Any]]:
    """The entries of a list, each an object; what is none counts as an empty one, so that places stay."""
    return [entry if isinstance(entry, dict) else {} for entry in value[:100]] if isinstance(value, list) else []


def _table_name(resource: Any) -> str:
    """The table's name in a name, a table's ARN or an index's ARN; empty if it is none of these."""
    match = _TABLE.fullmatch(resource) if isinstance(resource, str) else None
    return match[1] if match else ""
