"""Every member of the operations on items, at every level; with `control_members`, of all. What stands nowhere is refused.

One row for each member, as in DynamoDB's service model (API version 2012-08-10); a drift check holds it against the newest
botocore. Legacy parameters (`Expected`, `KeyConditions`, ...) are members like the others: understood and forwarded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.dynamodb.control_members import CONTROL_INPUTS
from proxy.dynamodb.names import INDEX, TABLE
from proxy.dynamodb.shapes import (
    Attributes,
    ByTable,
    Choice,
    Flag,
    ListOf,
    MapOf,
    Structure,
    Text,
    Value,
    Whole,
)

if TYPE_CHECKING:
    from proxy.dynamodb.shapes import Shape

MAX_BATCH_WRITES = 25
MAX_BATCH_KEYS = 100
MAX_TRANSACTION = 100
MAX_STATEMENTS = 25

_TEXT = Text()
_FLAG = Flag()
_ATTRIBUTES = Attributes()
_VALUES = ListOf(Value())
_NAMES = MapOf(_TEXT)  # `#placeholder` -> attribute name
_ATTRIBUTE_NAMES = ListOf(_TEXT, 1)
_AND_OR = Choice(("AND", "OR"))
_CAPACITY = Choice(("INDEXES", "TOTAL", "NONE"))
_COLLECTION_METRICS = Choice(("SIZE", "NONE"))
_RETURN_VALUES = Choice(("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"))
_ON_FAILURE = Choice(("ALL_OLD", "NONE"))
_SELECT = Choice(("ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT"))
_COMPARISON = Choice(
    ("EQ", "NE", "IN", "LE", "LT", "GE", "GT", "BETWEEN", "NOT_NULL", "NULL", "CONTAINS", "NOT_CONTAINS", "BEGINS_WITH")
)
_LIMIT = Whole(1)

_CONDITIONS = MapOf(Structure({"AttributeValueList": _VALUES, "ComparisonOperator": _COMPARISON}, ("ComparisonOperator",)))
_EXPECTED = MapOf(
    Structure({"Value": Value(), "Exists": _FLAG, "ComparisonOperator": _COMPARISON, "AttributeValueList": _VALUES})
)
_UPDATES = MapOf(Structure({"Value": Value(), "Action": Choice(("ADD", "PUT", "DELETE"))}))

_PLACEHOLDERS: dict[str, Shape] = {"ExpressionAttributeNames": _NAMES, "ExpressionAttributeValues": _ATTRIBUTES}
_CONDITION: dict[str, Shape] = {
    "ConditionExpression": _TEXT,
    **_PLACEHOLDERS,
    "ReturnValuesOnConditionCheckFailure": _ON_FAILURE,
}
_PROJECTION: dict[str, Shape] = {"ProjectionExpression": _TEXT, "ExpressionAttributeNames": _NAMES}
_WRITE: dict[str, Shape] = {
    "TableName": TABLE,
    "Expected": _EXPECTED,
    "ConditionalOperator": _AND_OR,
    "ReturnValues": _RETURN_VALUES,
    "ReturnConsumedCapacity": _CAPACITY,
    "ReturnItemCollectionMetrics": _COLLECTION_METRICS,
    **_CONDITION,
}
_SEARCH: dict[str, Shape] = {
    "TableName": TABLE,
    "IndexName": INDEX,
    "Select": _SELECT,
    "AttributesToGet": _ATTRIBUTE_NAMES,
    "Limit": _LIMIT,
    "ConsistentRead": _FLAG,
    "ConditionalOperator": _AND_OR,
    "ExclusiveStartKey": _ATTRIBUTES,
    "ReturnConsumedCapacity": _CAPACITY,
    "ProjectionExpression": _TEXT,
    "FilterExpression": _TEXT,
    **_PLACEHOLDERS,
}

_KEYS_OF_TABLE = Structure(
    {"Keys": ListOf(_ATTRIBUTES, 1, MAX_BATCH_KEYS), "AttributesToGet": _ATTRIBUTE_NAMES, "ConsistentRead": _FLAG, **_PROJECTION},
    ("Keys",),
)
_WRITE_REQUEST = Structure(
    {
        "PutRequest": Structure({"Item": _ATTRIBUTES}, ("Item",)),
        "DeleteRequest": Structure({"Key": _ATTRIBUTES}, ("Key",)),
    },
    one_only=True,
)
_TRANSACT_GET = Structure(
    {"Get": Structure({"TableName": TABLE, "Key": _ATTRIBUTES, **_PROJECTION}, ("TableName", "Key"))}, ("Get",)
)
_TRANSACT_WRITE = Structure(
    {
        "ConditionCheck": Structure(
            {"TableName": TABLE, "Key": _ATTRIBUTES, **_CONDITION}, ("TableName", "Key", "ConditionExpression")
        ),
        "Put": Structure({"TableName": TABLE, "Item": _ATTRIBUTES, **_CONDITION}, ("TableName", "Item")),
        "Delete": Structure({"TableName": TABLE, "Key": _ATTRIBUTES, **_CONDITION}, ("TableName", "Key")),
        "Update": Structure(
            {"TableName": TABLE, "Key": _ATTRIBUTES, "UpdateExpression": _TEXT, **_CONDITION},
            ("TableName", "Key", "UpdateExpression"),
        ),
    },
    one_only=True,
)

_STATEMENT: dict[str, Shape] = {
    "Statement": Text(1, 8192),
    "Parameters": ListOf(Value(), 1),
    "ReturnValuesOnConditionCheckFailure": _ON_FAILURE,
}

ITEM_INPUTS: dict[str, Structure] = {
    "GetItem": Structure(
        {
            "TableName": TABLE,
            "Key": _ATTRIBUTES,
            "AttributesToGet": _ATTRIBUTE_NAMES,
            "ConsistentRead": _FLAG,
            "ReturnConsumedCapacity": _CAPACITY,
            **_PROJECTION,
        },
        ("TableName", "Key"),
    ),
    "PutItem": Structure({**_WRITE, "Item": _ATTRIBUTES}, ("TableName", "Item")),
    "UpdateItem": Structure(
        {**_WRITE, "Key": _ATTRIBUTES, "AttributeUpdates": _UPDATES, "UpdateExpression": _TEXT}, ("TableName", "Key")
    ),
    "DeleteItem": Structure({**_WRITE, "Key": _ATTRIBUTES}, ("TableName", "Key")),
    "Query": Structure(
        {
            **_SEARCH,
            "KeyConditions": _CONDITIONS,
            "QueryFilter": _CONDITIONS,
            "ScanIndexForward": _FLAG,
            "KeyConditionExpression": _TEXT,
        },
        ("TableName",),
    ),
    "Scan": Structure(
        {**_SEARCH, "ScanFilter": _CONDITIONS, "TotalSegments": Whole(1, 1_000_000), "Segment": Whole(0, 999_999)}, ("TableName",)
    ),
    "BatchGetItem": Structure(
        {"RequestItems": ByTable(TABLE, _KEYS_OF_TABLE, MAX_BATCH_KEYS), "ReturnConsumedCapacity": _CAPACITY}, ("RequestItems",)
    ),
    "BatchWriteItem": Structure(
        {
            "RequestItems": ByTable(TABLE, ListOf(_WRITE_REQUEST, 1, MAX_BATCH_WRITES), MAX_BATCH_WRITES),
            "ReturnConsumedCapacity": _CAPACITY,
            "ReturnItemCollectionMetrics": _COLLECTION_METRICS,
        },
        ("RequestItems",),
    ),
    "TransactGetItems": Structure(
        {"TransactItems": ListOf(_TRANSACT_GET, 1, MAX_TRANSACTION), "ReturnConsumedCapacity": _CAPACITY}, ("TransactItems",)
    ),
    "TransactWriteItems": Structure(
        {
            "TransactItems": ListOf(_TRANSACT_WRITE, 1, MAX_TRANSACTION),
            "ReturnConsumedCapacity": _CAPACITY,
            "ReturnItemCollectionMetrics": _COLLECTION_METRICS,
            "ClientRequestToken": Text(1, 36),
        },
        ("TransactItems",),
    ),
    "ExecuteStatement": Structure(
        {
            **_STATEMENT,
            "ConsistentRead": _FLAG,
            "NextToken": Text(1, 32768),
            "ReturnConsumedCapacity": _CAPACITY,
            "Limit": _LIMIT,
        },
        ("Statement",),
    ),
    "BatchExecuteStatement": Structure(
        {
            "Statements": ListOf(Structure({**_STATEMENT, "ConsistentRead": _FLAG}, ("Statement",)), 1, MAX_STATEMENTS),
            "ReturnConsumedCapacity": _CAPACITY,
        },
        ("Statements",),
    ),
    "ExecuteTransaction": Structure(
        {
            "TransactStatements": ListOf(Structure(_STATEMENT, ("Statement",)), 1, MAX_TRANSACTION),
            "ClientRequestToken": Text(1, 36),
            "ReturnConsumedCapacity": _CAPACITY,
        },
        ("TransactStatements",),
    ),
    "SearchVectors": Structure(
        {
            "TableName": TABLE,
            "IndexName": INDEX,
            "SearchVector": ListOf(Value(), 1, 4096),
            "TopK": _LIMIT,
            "SearchConditionExpression": _TEXT,
            "ProjectionExpression": _TEXT,
            "ReturnConsumedCapacity": _CAPACITY,
            **_PLACEHOLDERS,
        },
        ("TableName", "IndexName", "SearchVector", "TopK"),
    ),
}

INPUTS: dict[str, Structure] = {**ITEM_INPUTS, **CONTROL_INPUTS}
