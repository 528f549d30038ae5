"""One `Touch` for each thing that a judged request on items does to a table, with its facts: a batch has one for each member."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.dynamodb.control_touches import CONTROL_TOUCHES
from proxy.dynamodb.facts import ItemFacts, Readings, SearchFacts
from proxy.dynamodb.members import MAX_BATCH_KEYS, MAX_BATCH_WRITES
from proxy.dynamodb.names import table_in
from proxy.dynamodb.statements import touch_of_statement, touches_of_batch, touches_of_transaction
from proxy.dynamodb.values import Misfit
from proxy.model import Touch

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_FACTS = SearchFacts()


def _single(action: str, given: str) -> Callable[[Any], tuple[Touch, ...]]:
    """An operation on the one item that member `given` names."""

    def touches_of(request: Any) -> tuple[Touch, ...]:
        return (Touch(action, table_in(request["TableName"]), "", 0, ItemFacts(action, request[given], request, request)),)

    return touches_of


def _reading(action: str) -> Callable[[Any], tuple[Touch, ...]]:
    """Query or Scan of a table or index."""

    def touches_of(request: Any) -> tuple[Touch, ...]:
        facts = ItemFacts(action, None, request, request)
        return (Touch(action, table_in(request["TableName"]), request.get("IndexName", ""), 0, facts),)

    return touches_of


def _search(request: Any) -> tuple[Touch, ...]:
    return (Touch("SearchVectors", table_in(request["TableName"]), request["IndexName"], 0, _NO_FACTS),)


def _batch_get(request: Any) -> tuple[Touch, ...]:
    touches: list[Touch] = []
    readings = Readings()
    for text, wanted in request["RequestItems"].items():
        table = table_in(text)
        for position, key in enumerate(wanted["Keys"], len(touches) + 1):
            facts = ItemFacts("GetItem", key, wanted, request, readings)
            touches.append(Touch("GetItem", table, "", position, facts))
    if len(touches) > MAX_BATCH_KEYS:
        raise Misfit(f"asks for {len(touches)} keys over all tables; DynamoDB takes {MAX_BATCH_KEYS}")
    return tuple(touches)


_BATCH_ACTION = {"PutRequest": ("PutItem", "Item"), "DeleteRequest": ("DeleteItem", "Key")}


def _batch_write(request: Any) -> tuple[Touch, ...]:
    touches: list[Touch] = []
    for text, entries in request["RequestItems"].items():
        table = table_in(text)
        for position, entry in enumerate(entries, len(touches) + 1):
            ((verb, member),) = entry.items()
            action, given = _BATCH_ACTION[verb]
            touches.append(Touch(action, table, "", position, ItemFacts(action, member[given], member, request)))
    if len(touches) > MAX_BATCH_WRITES:
        raise Misfit(f"has {len(touches)} writes over all tables; DynamoDB takes {MAX_BATCH_WRITES}")
    return tuple(touches)


_TRANSACT_ACTION = {
    "Get": ("GetItem", "Key"),
    "Put": ("PutItem", "Item"),
    "Update": ("UpdateItem", "Key"),
    "Delete": ("DeleteItem", "Key"),
    "ConditionCheck": ("ConditionCheckItem", "Key"),
}


def _transaction(request: Any) -> tuple[Touch, ...]:
    touches, readings = [], Readings()
    for position, entry in enumerate(request["TransactItems"], 1):
        ((verb, member),) = entry.items()
        action, given = _TRANSACT_ACTION[verb]
        facts = ItemFacts(action, member[given], member, request, readings)
        touches.append(Touch(action, table_in(member["TableName"]), "", position, facts))
    return tuple(touches)


TOUCHES: dict[str, Callable[[Any], tuple[Touch, ...]]] = {
    "GetItem": _single("GetItem", "Key"),
    "PutItem": _single("PutItem", "Item"),
    "UpdateItem": _single("UpdateItem", "Key"),
    "DeleteItem": _single("DeleteItem", "Key"),
    "Query": _reading("Query"),
    "Scan": _reading("Scan"),
    "SearchVectors": _search,
    "BatchGetItem": _batch_get,
    "BatchWriteItem": _batch_write,
    "TransactGetItems": _transaction,
    "TransactWriteItems": _transaction,
    "ExecuteStatement": touch_of_statement,
    "BatchExecuteStatement": touches_of_batch,
    "ExecuteTransaction": touches_of_transaction,
    **CONTROL_TOUCHES,
}
