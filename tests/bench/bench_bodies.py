"""The bodies that hold the loop longest: `python -m tests.bench.bench_bodies` prints them, and fails where one takes 50 ms.

Each family is grown until the gate would turn it away (16 MiB, 60,000 colons and commas, 2,000,000 backslashes); then it is
read, judged by rules on keys and attributes, written again and signed, a large one in the steps that each have a turn of the
loop. Told is the CPU time of the longest step and of all, the garbage collector set as the gateway sets it; a busy machine
doubles the numbers.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.aws.sigv4 import Endpoint, signed_request
from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.operation import MAX_BACKSLASHES, MAX_MEMBERS, read_in_steps
from proxy.dynamodb.seals import Seals
from proxy.edge.limits import EdgeLimits
from proxy.gateway import COLLECTOR_PACE
from proxy.model import Credentials
from proxy.pipeline import LARGE
from proxy.policy.described import Description, identity_in
from proxy.policy.store import policies_of
from proxy.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.model import Identity
    from proxy.policy.rules import Policies

LIMIT_SECONDS = 0.05
_ROUNDS = 5
_MOST = 1 << 22  # pieces: a body of one character each has as many
_TARGETS = {row.name: row.target.encode() for row in OPERATIONS}
_ALL = "read, write, PartiQLSelect, PartiQLUpdate, PartiQLInsert"
_POLICIES = {
    "platform.yaml": """
deny:
  - {actions: ["*"], tables: ["*"], keys: {exact: ["never"]}}
  - {actions: [read, write, Scan], tables: ["*"], attributes: [ssn]}
""",
    "tab.yaml": f"""
tables:
  tab: {{key: "pk (S), sk (S)"}}
dags:
  d:
    role: arn:aws:iam::111122223333:role/d
    allow:
      - {{actions: [{_ALL}], tables: [tab], keys: {{prefix: "<dag_id>#"}}, attributes: [pk, sk, a]}}
      - {{actions: [{_ALL}], tables: [tab], keys: {{prefix: "d"}}, attributes: [pk, sk, b]}}
      - {{actions: [{_ALL}, Scan, UpdateTable], tables: [tab]}}
""",
}
_SEALS = Seals((bytes(32),))
_ENDPOINT = Endpoint("https", "dynamodb.eu-west-1.amazonaws.com", 443, "eu-west-1")
_CREDENTIALS = Credentials("AKIDEXAMPLE", "hidden", "token", 3600.0)
_KEY = {"pk": {"S": "d"}, "sk": {"S": "x"}}
_VALUE = {":v": {"S": ""}}


class Measured(NamedTuple):
    """One family at its largest."""

    family: str
    longest: float  # seconds, of one step
    all_steps: float
    size: int
    answer: str


def _put(**attributes: Any) -> tuple[str, Any]:
    return "PutItem", {"TableName": "tab", "Item": {"pk": {"S": "d"}, **attributes}}


def _scan(**members: Any) -> tuple[str, Any]:
    return "Scan", {"TableName": "tab", **members}


def _named(count: int, value: Any) -> dict[str, Any]:
    return {f"a{number}": value for number in range(count)}


def _transaction(verb: str, member: str, text: Callable[[int], str], **more: Any) -> tuple[str, Any]:
    return "TransactWriteItems", {
        "TransactItems": [{verb: {"TableName": "tab", "Key": _KEY, member: text(at), **more}} for at in range(100)]
    }


def _projections(count: int, path: str) -> tuple[str, Any]:
    text = path * min(count, 4090 // len(path))
    return "BatchGetItem", {
        "RequestItems": {f"tab{at}": {"Keys": [_KEY], "ProjectionExpression": f"b{at}{text}"} for at in range(100)}
    }


def _statements(start: str, piece: str, end: str) -> Callable[[int], tuple[str, Any]]:
    """100 different statements, each grown by `piece` to 8,192 characters."""

    def make(count: int) -> tuple[str, Any]:
        repeated = piece * min(count, (8180 - len(start) - len(end)) // len(piece))
        return "ExecuteTransaction", {
            "TransactStatements": [{"Statement": start.replace("0", str(at)) + repeated + end} for at in range(100)]
        }

    return make


def _nested(count: int, kind: str) -> tuple[str, Any]:
    def one(inner: Any, _: int) -> Any:
        return {"L": [inner]} if kind == "L" else {"M": {"b": inner}}

    return _put(a={"L": [reduce(one, range(30), {"L": []})] * count})


_WHERE = "SELECT * FROM tab WHERE b0=1 AND "
_FAMILIES: dict[str, Callable[[int], tuple[str, Any]]] = {
    "tiny attributes": lambda n: _put(**_named(n, {"S": ""})),
    "a list of numbers": lambda n: _put(a={"L": [{"N": "1"}] * n}),
    "lists in lists": lambda n: _nested(n, "L"),
    "maps in maps": lambda n: _nested(n, "M"),
    "a set of binary values": lambda n: _put(a={"BS": ["YWFh" * 60] * n}),
    "one binary value": lambda n: _put(a={"B": "YWFh" * n}),
    "one string of escapes": lambda n: _put(a={"S": "\x80" * n}),
    "one string of line breaks": lambda n: _put(a={"S": "\n" * n}),
    "one string of accents and line breaks": lambda n: _put(a={"S": "\x80\n" * n}),
    "one string of ideographs": lambda n: _put(a={"S": "\u4e16" * n}),
    "one string of letters and ideographs": lambda n: _put(a={"S": "xxx\u4e16" * n}),
    "one number": lambda n: _put(a={"N": "1" * n}),
    "names": lambda n: _scan(ProjectionExpression="a", ExpressionAttributeNames={f"#{at}": f"a{at}" for at in range(n)}),
    "values": lambda n: _scan(FilterExpression="a=:v", ExpressionAttributeValues={f":{at}": {"S": ""} for at in range(n)}),
    "a start key": lambda n: _scan(ExclusiveStartKey=_named(n, {"S": ""})),
    "a legacy projection": lambda n: _scan(AttributesToGet=[*_named(n, 0)]),
    "a legacy filter": lambda n: _scan(ScanFilter=_named(n, {"ComparisonOperator": "NULL"})),
    "legacy conditions": lambda n: ("PutItem", _put()[1] | {"Expected": _named(n, {"Exists": False})}),
    "legacy updates": lambda n: (
        "UpdateItem",
        {"TableName": "tab", "Key": _KEY, "AttributeUpdates": _named(n, {"Action": "DELETE"})},
    ),
    "legacy keys": lambda n: (
        "Query",
        {"TableName": "tab", "KeyConditions": _named(n, {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": ""}]})},
    ),
    "100 keys with one projection": lambda n: (
        "BatchGetItem",
        {"RequestItems": {"tab": {"Keys": [_KEY] * 100, "AttributesToGet": [*_named(n, 0)]}}},
    ),
    "100 wide keys": lambda n: ("BatchGetItem", {"RequestItems": {"tab": {"Keys": [_named(n, {"S": ""})] * 100}}}),
    "100 projections of paths": lambda n: _projections(n, ".a"),
    "100 projections of list members": lambda n: _projections(n, "[1]"),
    "25 puts": lambda n: (
        "BatchWriteItem",
        {"RequestItems": {"tab": [{"PutRequest": {"Item": _KEY | _named(n, {"S": ""})}}] * 25}},
    ),
    "100 conditions of tests": lambda n: _transaction(
        "ConditionCheck",
        "ConditionExpression",
        lambda at: f"b{at}=:v" + " OR a=:v" * min(n, 145),
        ExpressionAttributeValues=_VALUE,
    ),
    "100 conditions of paths": lambda n: _transaction(
        "ConditionCheck", "ConditionExpression", lambda at: f"b{at}{'.a' * min(n, 2040)}=:v", ExpressionAttributeValues=_VALUE
    ),
    "100 conditions of IN": lambda n: _transaction(
        "ConditionCheck",
        "ConditionExpression",
        lambda at: f"b{at}=:v" + f" OR a IN (:v{',a.b[0]' * min(n, 99)})" * 5,
        ExpressionAttributeValues=_VALUE,
    ),
    "100 updates": lambda n: _transaction(
        "Update", "UpdateExpression", lambda at: f"REMOVE b{at}" + "".join(f",c{place}" for place in range(min(n, 700)))
    ),
    "100 statements of tests": _statements(_WHERE, "a=1 AND ", "a=1"),
    "100 statements of NOT": _statements(_WHERE, "NOT ", "a=1"),
    "100 statements of strings": _statements(_WHERE, "a='' AND ", "a=1"),
    "100 statements of documents": _statements(_WHERE, "a<>[{'a':[]}] AND ", "a=1"),
    "100 statements of paths": _statements("SELECT * FROM tab WHERE b0", ".a", "=1"),
    "100 statements of sums": _statements("UPDATE tab SET b0=1", "+1", " WHERE pk='d'"),
    "100 statements of IN": _statements("SELECT * FROM tab WHERE b0 IN (1", ",1", ")"),
    "100 statements of quotes": _statements("SELECT * FROM tab WHERE b0='", "''", "'"),
    "parameters": lambda n: (
        "ExecuteStatement",
        {"Statement": "INSERT INTO tab VALUE {'pk':?}", "Parameters": [{"L": [{"N": "1"}] * n}]},
    ),
    "replicas": lambda n: (
        "UpdateTable",
        {"TableName": "tab", "ReplicaUpdates": [{"Delete": {"RegionName": f"r-{at}"}} for at in range(n)]},
    ),
}


def _fitting(made: tuple[str, Any]) -> bytes | None:
    """The body, if the gate lets it in."""
    body = json.dumps(made[1], separators=(",", ":")).encode()
    if len(body) > EdgeLimits().body_bytes or body.count(b"\\") > MAX_BACKSLASHES:
        return None
    return body if body.count(b":") + body.count(b",") <= MAX_MEMBERS else None


def _largest(make: Callable[[int], tuple[str, Any]]) -> tuple[str, bytes]:
    """The largest of a family that the gate lets in."""
    most = 2
    while most <= _MOST and _fitting(make(most)) is not None:
        most *= 2
    least = most // 2
    while most - least > least // 50:  # two percent are near enough
        middle = (least + most) // 2
        least, most = (middle, most) if _fitting(make(middle)) is not None else (least, middle)
    name, body = make(least)
    return name, json.dumps(body, separators=(",", ":")).encode()


def _steps(policies: Policies, identity: Identity, name: str, body: bytes) -> Iterator[str]:
    """What a request asks of the loop's thread, with a pause where a large one lets others have a turn; last, what came of it."""
    steps = read_in_steps(_TARGETS[name], body, MAX_MEMBERS, _SEALS, "d")
    operation = None
    while operation is None:
        try:
            next(steps)
        except StopIteration as end:
            operation = end.value
        except Refusal as refusal:
            yield refusal.reason
            return
        else:
            if len(body) > LARGE:
                yield ""
    try:
        answer = policies.decide(identity, operation, 0.0).reason
    except Refusal as refusal:
        answer = refusal.reason
    yield answer
    signed_request(_ENDPOINT, _TARGETS[name], operation.body, _CREDENTIALS, 0.0)
    yield answer


def measure() -> Iterator[Measured]:
    """Each family at its largest: the least CPU seconds of some rounds, and what came of it."""
    gc.set_threshold(*COLLECTOR_PACE)
    policies, identity = policies_of(_POLICIES, "", "eu-west-1"), identity_in(Description(dag="d", operation="GetItem"))
    gc.freeze()
    for family, make in _FAMILIES.items():
        name, body = _largest(make)
        longest = total = float("inf")
        answer = ""
        for _ in range(_ROUNDS):
            taken = []
            started = time.process_time()
            for told in _steps(policies, identity, name, body):
                taken.append(time.process_time() - started)
                answer = told
                started = time.process_time()
            longest, total = min(longest, max(taken)), min(total, sum(taken))
        yield Measured(family, longest, total, len(body), answer)


def main() -> int:
    """Print them, the slowest first; 1 if one is over the bar."""
    found = sorted(measure(), key=lambda row: -row.longest)
    for row in found:
        print(f"{row.longest * 1000:8.2f} of {row.all_steps * 1000:6.2f} ms  {row.size:9} bytes  {row.family} ({row.answer})")
    return 1 if found[0].longest > LIMIT_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
