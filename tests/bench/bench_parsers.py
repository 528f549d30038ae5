"""What the parsers cost: `python -m tests.bench.bench_parsers` prints microseconds, and fails where a 64 KiB text takes 50 ms.

Times are of the CPU. Cold is a text that was never seen, warm one whose reading is kept. The slow texts are those that a hostile
caller would send: each as long as its limit allows, and 64 KiB of the same.
"""

from __future__ import annotations

import itertools
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from proxy.dynamodb.expression import read_expression
from proxy.dynamodb.mentions import read_mentions
from proxy.dynamodb.partiql import read_statement
from proxy.refusal import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

_LIMIT_SECONDS = 0.05
_SIZE = 64 * 1024
_VALUES = {":p": {"S": "x"}, ":s": {"S": "y"}}
_GET: dict[str, Any] = {"TableName": "orders", "Key": {"pk": {"S": "x"}, "sk": {"S": "y"}}, "ConsistentRead": True}
_QUERY: dict[str, Any] = {
    "TableName": "orders",
    "KeyConditionExpression": "#k = :p AND begins_with(sk, :s)",
    "ProjectionExpression": "#k, sk, amount",
    "ExpressionAttributeNames": {"#k": "pk"},
    "ExpressionAttributeValues": _VALUES,
}
_PROJECTED: dict[str, Any] = {**_GET, "ProjectionExpression": "#k, sk, amount", "ExpressionAttributeNames": {"#k": "pk"}}
_LEGACY: dict[str, Any] = {
    "KeyConditions": {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "x"}]}},
    "AttributesToGet": ["pk", "sk"],
}
_WHERE = "SELECT * FROM orders WHERE "
_FILTER = " AND ".join(f"a{number} = :v" for number in range(20))
_STATEMENT = "SELECT pk, amount FROM \"orders\" WHERE pk = ? AND sk BETWEEN 'a' AND 'b'"
# Texts, repeated to a length: each grows one thing.
_GROWING = {
    "FilterExpression": [
        "(",
        "((a) = (:v)) AND ",
        "NOT ",
        "a = :v AND ",
        "contains(",
        "size(",
        "a[0]",
        "a.",
        "a",
        "#",
        "1",
        "a IN (:v,",
        "( ",
        " ",
    ],
    "ProjectionExpression": ["a,", "a.b,", "a[1]", "a."],
    "UpdateExpression": ["SET a = if_not_exists(b,", "SET a = b, ", "SET a=", "if_not_exists(b,"],
    "KeyConditionExpression": ["a = :v AND ", "(", "begins_with("],
    "Statement": [
        f"{_WHERE}{piece}"
        for piece in (
            "(",
            "((",
            "NOT ",
            "a = 1 AND ",
            "a = [",
            "a = {'a':",
            "a = <<",
            "size(",
            "a IN (",
            "a[0]",
            "a.",
            "'",
            "''",
            '"',
            "1",
            "1e",
            "1.",
            "-",
        )
    ],
}


def _microseconds(call: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        for _ in itertools.repeat(None, times):
            call()
        best = min(best, time.process_time() - started)
    return best / times * 1e6


def _cold(read: Callable[[str], object], text: str) -> float:
    """Each call has a text of its own: spaces at the end."""
    texts = iter([text + " " * number for number in range(500)])
    started = time.process_time()
    for one in texts:
        read(one)
    return (time.process_time() - started) / 500 * 1e6


def _slowest() -> tuple[float, str]:
    slowest = (0.0, "")
    for member, pieces in _GROWING.items():
        for piece, size in itertools.product(pieces, (4096, 8192, _SIZE)):
            start = _WHERE if member == "Statement" else ""
            tail = piece.removeprefix(start)
            text = start + (tail * size)[: size - len(start)]
            started = time.process_time()
            with suppress(Unreadable):
                read_statement(text) if member == "Statement" else read_expression(member, text)
            slowest = max(slowest, (time.process_time() - started, f"{member} of {size} times {tail!r}"))
    return slowest


def main() -> int:
    """Print the table; 1 if a text is slow."""
    rows = {
        "GetItem without expressions": _microseconds(lambda: read_mentions(_GET), 20_000),
        "GetItem with projection, warm": _microseconds(lambda: read_mentions(_PROJECTED), 5_000),
        "Query, warm": _microseconds(lambda: read_mentions(_QUERY), 5_000),
        "legacy Query": _microseconds(lambda: read_mentions(_LEGACY), 5_000),
        "statement, warm": _microseconds(lambda: read_statement(_STATEMENT), 20_000),
        "filter of 20 tests, cold": _cold(lambda text: read_expression("FilterExpression", text), _FILTER),
        "key condition, cold": _cold(
            lambda text: read_expression("KeyConditionExpression", text), "#k = :p AND begins_with(sk, :s)"
        ),
        "statement, cold": _cold(read_statement, _STATEMENT),
    }
    for name, cost in rows.items():
        print(f"{name:30} {cost:10.2f} us")
    seconds, text = _slowest()
    print(f"{'slowest text':30} {seconds * 1e6:10.0f} us  {text}")
    return 1 if seconds > _LIMIT_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
