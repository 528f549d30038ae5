"""The requests of the load, byte for byte as boto3 sends them, and the file in which the load generators find them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TABLE, DAG = "airflow_runs", "example_dag"
_AGENT = (
    "Boto3/1.40.61 md/Botocore#1.40.61 md/awscrt#0.27.2 ua/2.1 os/linux#6.8.0 md/arch#x86_64 lang/python#3.12.7 "
    "md/pyimpl#CPython m/b,Z,D cfg/retry-mode#standard Botocore/1.40.61"
)


def get_item(dag: str = DAG) -> tuple[str, dict[str, Any]]:
    """A GetItem of 0.3 KB."""
    return "GetItem", {
        "TableName": TABLE,
        "Key": {"pk": {"S": f"dag#{dag}#runs"}, "sk": {"S": "run#scheduled__2026-01-01T00:00:00.000000+00:00"}},
        "ConsistentRead": True,
        "ProjectionExpression": "#s, #a, #p",
        "ExpressionAttributeNames": {"#s": "state", "#a": "attempt", "#p": "payload"},
        "ReturnConsumedCapacity": "TOTAL",
    }


def put_item(dag: str = DAG) -> tuple[str, dict[str, Any]]:
    """A PutItem of 1.5 KB."""
    return "PutItem", {"TableName": TABLE, "Item": _item(dag, 1, 1250)}


def query(dag: str = DAG) -> tuple[str, dict[str, Any]]:
    """A Query whose answer has 7.7 KB."""
    return "Query", {
        "TableName": TABLE,
        "KeyConditionExpression": "pk = :p AND begins_with(sk, :s)",
        "ExpressionAttributeValues": {":p": {"S": f"dag#{dag}#runs"}, ":s": {"S": "run#"}},
        "Limit": 40,
        "ReturnConsumedCapacity": "TOTAL",
    }


def batch_10k(dag: str = DAG) -> tuple[str, dict[str, Any]]:
    """A BatchWriteItem of 25 items, 10 KB together."""
    return _batch(dag, 215)


def batch_100k(dag: str = DAG) -> tuple[str, dict[str, Any]]:
    """A BatchWriteItem of 25 items, 100 KB together."""
    return _batch(dag, 3850)


def _batch(dag: str, payload: int) -> tuple[str, dict[str, Any]]:
    puts = [{"PutRequest": {"Item": _item(dag, number, payload)}} for number in range(25)]
    return "BatchWriteItem", {"RequestItems": {TABLE: puts}}


def _item(dag: str, number: int, payload: int) -> dict[str, Any]:
    return {
        "pk": {"S": f"dag#{dag}#runs"},
        "sk": {"S": f"run#{number}"},
        "state": {"S": "running"},
        "attempt": {"N": str(number)},
        "tags": {"SS": ["a", "b"]},
        "meta": {"M": {"owner": {"S": "team-a"}, "ok": {"BOOL": True}}},
        "payload": {"S": "x" * payload},
    }


def body_of(call: tuple[str, dict[str, Any]]) -> bytes:
    """The body of a call, as botocore writes it."""
    return json.dumps(call[1]).encode()


def request_of(call: tuple[str, dict[str, Any]], bearer: str) -> bytes:
    """A whole HTTP/1.1 request."""
    body = body_of(call)
    head = {
        "Host": "dynamodb.us-east-1.amazonaws.com",
        "X-Amz-Target": f"DynamoDB_20120810.{call[0]}",
        "Content-Type": "application/x-amz-json-1.0",
        "User-Agent": _AGENT,
        "Accept-Encoding": "identity",
        "amz-sdk-invocation-id": "5c1f0c5e-6f0f-4a53-9a0e-6bb1f7b1f0aa",
        "amz-sdk-request": "attempt=1",
        "Authorization": f"Bearer {bearer}",
        "Content-Length": str(len(body)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body


def write_requests(file: Path, requests: Iterable[bytes]) -> Path:
    """Write the records that load.lua and steady.c read."""
    file.write_bytes(b"".join(b"%d\n%s" % (len(request), request) for request in requests))
    return file
