"""Nothing that an independent reading of a request finds is outside of what the policy gives, once the request is let through.

Requests of every operation are grown from the shapes of their members, policies from tables, indexes, keys, attributes and
denies. What the oracle finds in the bytes that would be forwarded must be given by one rule and stopped by none.
"""

from __future__ import annotations

import json
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from proxy.actions import ALL
from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.operation import read_operation
from proxy.dynamodb.seals import OpenedIterator, Seals
from proxy.model import Evidence, Identity, Subject
from proxy.policy.document import read_policies
from proxy.refusal import Unreadable
from proxy.yaml_source import Mistakes
from tests.made_requests import ATTRIBUTES, INDEX, TABLES, RequestMaker, written
from tests.oracle import ITEM, PARTIQL, READS, Limit, escapes, walk

if TYPE_CHECKING:
    from proxy.policy.rules import Policies

CONTROL = frozenset(row.name for row in OPERATIONS if row.kind in ("control", "streams"))
TARGETS = {row.name: row.target.encode() for row in OPERATIONS}
IDENTITY = Identity(Subject("idp", "worker", {}, ("*",), 0.0, "id"), "dag", Evidence.CLAIMED, "header", "")
STREAM = "arn:aws:dynamodb:us-east-1:000000000000:table/tab_one/stream/label"
ON_ITEMS = frozenset((*ITEM, *PARTIQL))
KEYS = ((("prefix", "d#"),), (("exact", "d#1"),), (("exact", "d#1"), ("prefix", "e#")))
LISTS = (("pk", "sk", "att_a"), ("pk", "att_a", "att_b", "gk"), ATTRIBUTES)


def limits(chance: Random) -> tuple[tuple[Limit, ...], tuple[Limit, ...]]:
    """What a DAG is allowed, mostly much of it with one thing left out; and what it is denied."""
    tables = chance.choice((TABLES, TABLES, TABLES[:1]))
    keys = chance.choice(((), (), *KEYS))
    attributes = chance.choice(((), (), *LISTS))
    actions = sorted(ON_ITEMS - {"Scan"} if keys else ON_ITEMS)
    if chance.random() < 0.2:
        actions = chance.sample(actions, 5)
    allow = [Limit(tuple(actions), tables, (), keys, attributes)]
    if chance.random() < 0.7:
        indexed = tuple(action for action in READS[1:] if not keys or action != "Scan")
        allow.append(Limit(indexed, tables, (INDEX,), keys, chance.choice((attributes, ()))))
    if chance.random() < 0.8:
        others = ALL - ON_ITEMS
        if chance.random() < 0.5:
            others -= {chance.choice(sorted(others))}
        allow.append(Limit(tuple(sorted(others)), tables))
        allow.append(Limit(("SearchVectors", "DescribeContributorInsights", "UpdateContributorInsights"), tables, (INDEX,)))
    deny = []
    if chance.random() < 0.5:
        acts = chance.choice((("*",), tuple(sorted(ON_ITEMS)), ("PutItem", "UpdateItem", "PartiQLUpdate")))
        denied_keys, listed = chance.choice(
            ((KEYS[1], ()), ((), ("att_b",)), ((), ("att_n", "gk")), (KEYS[0], ("att_a",)), ((), ()))
        )
        deny.append(Limit(acts, TABLES[1:] if chance.random() < 0.6 else TABLES, (), denied_keys, listed))
    return tuple(allow), tuple(deny)


@lru_cache(4096)
def policies_of(allow: tuple[Limit, ...], deny: tuple[Limit, ...]) -> Policies:
    """The policy as its author would write it."""
    tables = {name: {"key": "pk (S), sk (S)", "indexes": {INDEX: "gk (S), sk (S)"}} for name in TABLES}
    rules = {"allow": [rule.written() for rule in allow], "deny": [rule.written() for rule in deny]}
    dag = {"role": "arn:aws:iam::000000000000:role/r", **rules}
    mistakes = Mistakes()
    policies = read_policies({"p.yaml": json.dumps({"tables": tables, "dags": {"dag": dag}})}, "", "us-east-1", mistakes)
    assert policies is not None, mistakes.lines()
    return policies


class Opened(Seals):
    """Every iterator is one of the first table's stream."""

    def open_iterator(self, sealed: str, dag_id: str) -> OpenedIterator:
        """What it would hold."""
        return OpenedIterator(STREAM, "iterator")


SEALS = Opened((bytes(32),))


@pytest.mark.parametrize("operation", sorted(TARGETS))
def test_nothing_that_the_oracle_finds_escapes(operation: str) -> None:
    """Each table, index, key and attribute of a request that is let through is one that the policy gives."""
    let_through: list[Any] = []

    def judge(chance: Random) -> None:
        body = written(RequestMaker(chance).body(operation), chance)
        allow, deny = limits(chance)
        try:
            understood = read_operation(TARGETS[operation], body, seals=SEALS)
            decision = policies_of(allow, deny).decide(IDENTITY, understood, 0.0)
        except Unreadable:
            return
        if decision.principal is None:
            return
        let_through.append(body)
        found, is_foreign = walk(operation, understood.body, understood.stream or (STREAM if operation == "GetRecords" else ""))
        assert not is_foreign
        for one in found:
            assert not escapes(one, allow, deny), one

    for number in range(30 if operation in CONTROL else 200):
        judge(Random(f"{operation} {number}"))
    assert len(let_through) >= 3
