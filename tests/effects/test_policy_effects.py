"""What a policy lets through has no effect and no answer outside of it: the gateway's decision against DynamoDB Local.

Each call that is let through runs on two tables that differ only in what the policy does not give: other partitions, other
attributes. If answer or effect differ, the call saw what it should not have seen; what changed must be the policy's to change.
"""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.operation import read_operation
from proxy.model import Evidence, Identity, Subject
from proxy.policy.document import read_policies
from proxy.refusal import Unreadable
from proxy.yaml_source import Mistakes
from tests.made_requests import INDEX, RequestMaker

if TYPE_CHECKING:
    from collections.abc import Mapping

TARGETS = {row.name: row.target for row in OPERATIONS if row.kind in ("data", "partiql") and row.name != "SearchVectors"}
IDENTITY = Identity(Subject("idp", "worker", {}, ("*",), 0.0, "id"), "dag", Evidence.CLAIMED, "header", "")
HIDDEN = ("att_a", "att_b", "att_n", "att_l", "att_m")
KEY = ("pk", "sk", "gk")
PAIR = ("ledger_a", "ledger_b")
VARIATIONS = 5
CALLS = 250
ON_TABLE = ["read", "write", "PartiQLSelect", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete"]
ON_INDEX = ["Query", "PartiQLSelect"]


class Case(NamedTuple):
    """One policy, and what it gives."""

    allow: Mapping[str, Any] = MappingProxyType({})  # beside actions and tables
    deny: Mapping[str, Any] = MappingProxyType({})
    given: str = ""  # beginning of the partition keys that it gives
    taken: str = ""  # beginning of those that it takes away
    attributes: tuple[str, ...] = HIDDEN  # of HIDDEN, those that it gives

    def has(self, item: dict[str, Any], *names: str) -> bool:
        """True if some of an item's keys `names` is given."""
        keys = [item[name]["S"] for name in names if name in item]
        return any(key.startswith(self.given) and not (self.taken and key.startswith(self.taken)) for key in keys)

    def visible(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Of some items what the policy gives, in one order."""
        kept = [
            {name: value for name, value in item.items() if name in (*KEY, *self.attributes)}
            for item in items
            if self.has(item, "pk", *(() if self.taken else ("gk",)))
        ]
        return sorted(kept, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


CASES = {
    "prefix": Case(allow={"keys": {"prefix": "d#"}}, given="d#"),
    "exact": Case(allow={"keys": {"exact": ["d#1"]}}, given="d#1"),
    "attributes": Case(allow={"attributes": [*KEY, "att_a"]}, attributes=("att_a",)),
    "more attributes": Case(allow={"attributes": [*KEY, "att_a", "att_n"]}, attributes=("att_a", "att_n")),
    "prefix and attributes": Case(
        allow={"keys": {"prefix": "d#"}, "attributes": [*KEY, "att_b"]}, given="d#", attributes=("att_b",)
    ),
    "denied attribute": Case(deny={"attributes": ["att_b"]}, attributes=("att_a", "att_n", "att_l", "att_m")),
    "denied keys": Case(deny={"keys": {"prefix": "e#"}}, taken="e#"),
}


def policies_of(case: Case) -> Any:
    """The policy as its author would write it."""
    with_scan = [] if "keys" in case.allow else ["Scan"]
    allow = [
        {"actions": ON_TABLE + with_scan, "tables": PAIR[:1], **case.allow},
        {"actions": ON_INDEX + with_scan, "tables": PAIR[:1], "indexes": [INDEX], **case.allow},
    ]
    deny = [{"actions": ["*"], "tables": PAIR[:1], **case.deny}] if case.deny else []
    dag = {"role": "arn:aws:iam::000000000000:role/r", "allow": allow, "deny": deny}
    tables = {PAIR[0]: {"key": "pk (S), sk (S)", "indexes": {INDEX: "gk (S), sk (S)"}}}
    mistakes = Mistakes()
    policies = read_policies({"p.yaml": json.dumps({"tables": tables, "dags": {"dag": dag}})}, "", "us-east-1", mistakes)
    assert policies is not None, mistakes.lines()
    return policies


class Engine:
    """Both tables in DynamoDB Local."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seeds: dict[str, list[dict[str, Any]]] = {}
        keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
        led = [{"AttributeName": "gk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
        for table in PAIR:
            status, _ = self.call(
                "CreateTable",
                {
                    "TableName": table,
                    "KeySchema": keys,
                    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in KEY],
                    "BillingMode": "PAY_PER_REQUEST",
                    "GlobalSecondaryIndexes": [{"IndexName": INDEX, "KeySchema": led, "Projection": {"ProjectionType": "ALL"}}],
                },
            )
            assert status == 200

    def call(self, operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        headers = {
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": "AWS4-HMAC-SHA256 Credential=ANYBODY/20261122/us-east-1/dynamodb/aws4_request, "
            "SignedHeaders=host, Signature=00",
        }
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)  # noqa: S310 - http on loopback
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310 - http on loopback
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def items(self, table: str) -> list[dict[str, Any]]:
        """All of a table."""
        return list(self.call("Scan", {"TableName": table, "ConsistentRead": True})[1]["Items"])

    def fill(self, table: str, items: list[dict[str, Any]]) -> None:
        """Make a table hold exactly these."""
        wanted = {(item["pk"]["S"], item["sk"]["S"]) for item in items}
        stale = [item for item in self.items(table) if (item["pk"]["S"], item["sk"]["S"]) not in wanted]
        writes = [{"PutRequest": {"Item": item}} for item in items]
        writes += [{"DeleteRequest": {"Key": {"pk": item["pk"], "sk": item["sk"]}}} for item in stale]
        status, answer = self.call("BatchWriteItem", {"RequestItems": {table: writes}})
        assert status == 200, answer
        self.seeds[table] = items

    def changes(self, table: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Items before and after, of those that differ from what was filled in."""
        before = {(item["pk"]["S"], item["sk"]["S"]): item for item in self.seeds[table]}
        after = {(item["pk"]["S"], item["sk"]["S"]): item for item in self.items(table)}
        keys = before.keys() | after.keys()
        return [(before.get(key, {}), after.get(key, {})) for key in keys if before.get(key) != after.get(key)]


def attribute(name: str, chance: random.Random) -> dict[str, Any]:
    """A value that some tests hold for and others do not."""
    if name == "att_l":
        return chance.choice(({"L": [{"S": "v"}]}, {"L": [{"N": "2"}]}))
    if name == "att_m":
        return {"M": {"inner": {"S": chance.choice("vw")}}}
    return chance.choice(({"S": "v"}, {"S": "w"}, {"N": "1"}, {"N": "7"}))


def seeds(chance: random.Random) -> list[dict[str, Any]]:
    """Items inside and outside of every policy, by their own keys and by those of the index."""
    places = ("d#1 a d#1", "d#1 b e#1", "d#2 a", "d#2 b d#2", "d a d", "e#1 a d#1", "e#1 b e#1")
    items = []
    for place in places:
        key = {name: {"S": text} for name, text in zip(KEY, place.split(), strict=False)}
        items.append(key | {name: attribute(name, chance) for name in HIDDEN if chance.random() < 0.7})
    return items


def varied(case: Case, items: list[dict[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    """The same to whoever has only what the policy gives."""
    made = []
    for item in items:
        if not case.has(item, "pk", *(() if case.taken else ("gk",))):
            if chance.random() < 0.5:
                made.append({"pk": item["pk"], "sk": item["sk"], "att_a": attribute("att_a", chance)})
            continue
        kept = {name: value for name, value in item.items() if name in (*KEY, *case.attributes)}
        hidden = [name for name in HIDDEN if name not in case.attributes and chance.random() < 0.6]
        made.append(kept | {name: attribute(name, chance) for name in hidden})
    return made


def shown(answer: dict[str, Any], table: str) -> str:
    """An answer in a form that can be compared: one name for both tables, lists of items in one order, tokens as present."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: True if name == "NextToken" else plain(entry) for name, entry in value.items()}
        return sorted(map(plain, value), key=json.dumps) if isinstance(value, list) else value

    return json.dumps(plain(answer), sort_keys=True).replace(table, "ledger")


def check_changes(case: Case, changes: list[tuple[dict[str, Any], dict[str, Any]]], text: str) -> None:
    """Only items and attributes that the policy gives were changed; a deny of attributes lets them be lost, as IAM does."""
    for before, after in changes:
        assert case.has(before or after, "pk"), text
        names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        if case.deny:
            names &= after.keys()
        assert names <= {*KEY, *case.attributes}, text


@pytest.fixture(scope="module")
def engine(dynamodb_local: str) -> Engine:
    """Both tables."""
    return Engine(dynamodb_local)


@pytest.mark.needs("java")
@pytest.mark.parametrize("name", CASES)
def test_what_is_let_through_stays_within_the_policy(engine: Engine, name: str) -> None:
    """No answer tells of what is outside of the policy, and nothing outside of it changes."""
    case, chance, policies = CASES[name], random.Random(name), policies_of(CASES[name])
    maker = RequestMaker(chance, tables=PAIR[:1], wild=False)
    let_through = served = changed = 0
    for _ in range(VARIATIONS):
        base = seeds(chance)
        other = varied(case, base, chance)
        engine.fill(PAIR[0], base)
        engine.fill(PAIR[1], other)
        for _ in range(CALLS):
            operation = chance.choice(sorted(TARGETS))
            body = maker.body(operation)
            for member in ("ReturnConsumedCapacity", "ReturnItemCollectionMetrics", "ClientRequestToken"):
                body.pop(member, None)
            text = json.dumps(body)
            try:
                understood = read_operation(TARGETS[operation].encode(), text.encode())
                if policies.decide(IDENTITY, understood, 0.0).principal is None:
                    continue
            except Unreadable:
                continue
            let_through += 1
            status, answer = engine.call(operation, json.loads(understood.body))
            again, second = engine.call(operation, json.loads(understood.body.replace(*(table.encode() for table in PAIR))))
            told = f"{operation} {text}\n{answer}\n{second}\n{base}\n{other}"
            assert (status, shown(answer, PAIR[0])) == (again, shown(second, PAIR[1])), told
            served += status == 200
            if not understood.is_write:
                continue
            effects = [engine.changes(table) for table in PAIR]
            for table, effect, items in zip(PAIR, effects, (base, other), strict=True):
                check_changes(case, effect, told)
                if effect:
                    changed += 1
                    state = engine.items(table)
                    engine.seeds[table] = state
                    items[:] = state
            assert case.visible(base) == case.visible(other), told
    assert let_through > 40
    assert served > 20
    assert changed > 4
