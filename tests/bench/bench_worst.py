"""The slowest 64 KiB for each reader: `python -m tests.bench.bench_worst` prints them, and fails where one takes 50 ms of CPU.

Inputs grow one piece of the grammar from each place of a good input, or are random damage. A slow one is measured again, so
that only what is slow each time counts. The last rows are requests that are well formed and as laborious as they can be: read,
and asked for every fact.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
import time
from functools import reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

from tests.fuzz import READERS, SIZE, Reader, blown, damaged, feed

_LIMIT_SECONDS = 0.05
_SHOWN = 5
_DAMAGED = 300


def _inputs(reader: Reader, chance: random.Random) -> list[tuple[str, bytes]]:
    made = []
    for piece in reader.pieces:
        for seed in chance.sample(reader.seeds, min(4, len(reader.seeds))):
            for at in {0, len(seed) // 2, len(seed) - 2, len(seed)}:
                data = seed[:at] + blown(piece, SIZE - len(seed)) + seed[at:]
                made.append((f"{piece[:20]!r} at {at} of {seed[:40]!r}", data))
    made += [("damage", data) for data in (damaged(reader, chance) for _ in range(_DAMAGED)) if len(data) <= SIZE]
    return made


def fitting(make: Callable[[int], Any], fits: Callable[[str], bool], most: int = SIZE) -> bytes:
    """A large request of a family that fits: within an eighth of the largest."""
    least = 1
    while least * 2 < most and fits(json.dumps(make(least * 2))):
        least *= 2
    most = min(most, least * 2)
    while most - least > max(1, least // 8):
        middle = (least + most) // 2
        least, most = (middle, most) if fits(json.dumps(make(middle))) else (least, middle)
    return json.dumps(make(least)).encode()


_KEY = {"pk": {"S": "d"}}
_TEST = "a.b[1] = :v OR size(c) > :v AND NOT "
_WHERE = "SELECT * FROM tab WHERE "


def _filter(size: int) -> str:
    return _TEST * (size // len(_TEST)) + "a = :v"


def _where(size: int) -> str:
    return _WHERE + "pk = 'd' AND " * (size // 13) + "a = 1"


WELL_FORMED: dict[str, tuple[str, Callable[[int], Any]]] = {
    "tiny attributes": ("PutItem", lambda n: {"TableName": "tab", "Item": {f"a{at}": {"S": ""} for at in range(n)}}),
    "a deep list of numbers": ("PutItem", lambda n: {"TableName": "tab", "Item": {"a": {"L": [{"N": "1"}] * n}}}),
    "a set of binary values": ("PutItem", lambda n: {"TableName": "tab", "Item": {"a": {"BS": ["YQ=="] * n}}}),
    "maps in maps": (
        "PutItem",
        lambda n: {
            "TableName": "tab",
            "Item": {f"a{at}": reduce(lambda m, _: {"M": {"b": m}}, range(30), {"S": ""}) for at in range(n)},
        },
    ),
    "many aliases": (
        "Scan",
        lambda n: {
            "TableName": "tab",
            "ProjectionExpression": ",".join(f"#{at}" for at in range(n)),
            "ExpressionAttributeNames": {f"#{at}": f"a{at}" for at in range(n)},
        },
    ),
    "a long filter": (
        "Scan",
        lambda n: {"TableName": "tab", "FilterExpression": _filter(n), "ExpressionAttributeValues": {":v": {"S": ""}}},
    ),
    "legacy conditions": (
        "Query",
        lambda n: {
            "TableName": "tab",
            "KeyConditions": {f"a{at}": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": ""}]} for at in range(n)},
        },
    ),
    "a transaction of 100 conditions": (
        "TransactWriteItems",
        lambda n: {
            "TransactItems": [
                {
                    "ConditionCheck": {
                        "TableName": "tab",
                        "Key": _KEY,
                        "ConditionExpression": f"b{at} = :v OR {_filter(n)}",
                        "ExpressionAttributeValues": {":v": {"S": ""}},
                    }
                }
                for at in range(100)
            ]
        },
    ),
    "100 keys with one projection": (
        "BatchGetItem",
        lambda n: {
            "RequestItems": {
                "tab": {"Keys": [_KEY] * 100, "AttributesToGet": [f"a{at}" for at in range(n)]},
            }
        },
    ),
    "25 statements": ("BatchExecuteStatement", lambda n: {"Statements": [{"Statement": _where(n)}] * 25}),
    "100 statements": ("ExecuteTransaction", lambda n: {"TransactStatements": [{"Statement": _where(n)}] * 100}),
    "one statement": ("ExecuteStatement", lambda n: {"Statement": _where(n)[:8192].rpartition(" AND")[0]}),
    "a statement of IN": (
        "ExecuteStatement",
        lambda n: {"Statement": f"{_WHERE}pk IN ({','.join('?' * min(n, 4000))})", "Parameters": [{"S": ""}] * min(n, 4000)},
    ),
    "replicas": (
        "UpdateTable",
        lambda n: {"TableName": "tab", "ReplicaUpdates": [{"Delete": {"RegionName": f"r-{at}"}} for at in range(n)]},
    ),
}


def _well_formed() -> list[tuple[str, bytes]]:
    made = []
    for what, (operation, make) in WELL_FORMED.items():
        data = f"{operation}\n".encode() + fitting(make, lambda text: len(text) <= SIZE - 64)
        made.append((f"{what} ({'taken' if feed('request', data) else 'refused'})", data))
    return made


def _seconds(name: str, data: bytes) -> float:
    started = time.process_time()
    feed(name, data)
    return time.process_time() - started


def main() -> int:
    """Print the slowest of each reader; 1 if one is over the bar."""
    slowest = 0.0
    for name, reader in READERS.items():
        inputs = _inputs(reader, random.Random(name))
        if name == "request":
            inputs += _well_formed()
        timed = heapq.nlargest(_SHOWN, ((_seconds(name, data), what, data) for what, data in inputs))
        for first, what, data in timed:
            seconds = min(first, *(_seconds(name, data) for _ in range(3)))
            slowest = max(slowest, seconds)
            print(f"{name:10} {seconds * 1000:8.2f} ms  {len(data):6} bytes  {what}")
    return 1 if slowest > _LIMIT_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
