"""Requests that two versions of a DAG's rules could tell apart: one of each kind that the rules name, and one stranger.

Choices are task, key, attributes and shape. Asked are all their combinations: what a requirement of shape held back may be let
through for one key only. Of very many, all pairs with the ends of the other kinds.
"""

from __future__ import annotations

import base64
from itertools import chain, combinations, product
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from proxy.actions import ITEM, PARTIQL, WRITE
from proxy.model import Evidence, Identity, Operation, Pin, Subject, TableReference, Touch
from proxy.policy.keys import NO_KEYS, KeyPattern, number_of
from proxy.policy.trial import StatedFacts
from proxy.policy.vocabulary import PARTIQL_WRITES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.policy.cases import DagRules
    from proxy.policy.coverage import Requirement, Rule
    from proxy.policy.keys import KeyAttribute

CHOICES = ("for task", "with key", "with", "with")
_MOST = 2048  # combinations for one action on one table
_STRANGER = "~stranger~"
_STRANGE_NUMBER = "987654321.5"
_LOSING = frozenset({"PutItem", "DeleteItem", "PartiQLDelete"})


class Choice(NamedTuple):
    """One value of one choice, with what it is called in a report; nobody reads of the only one."""

    label: str
    value: object = None


Sample = tuple[Choice, Choice, Choice, Choice]  # in the order of CHOICES


class _Shape(NamedTuple):
    limit: int | None = 1
    segments: int = 1
    condition: bool = True
    token: bool = True
    evidence: bool = True


def samples_for(before: DagRules | None, after: DagRules | None, action: str, table: str, index: str) -> list[Sample]:
    """Samples for one action on one table or index."""
    rules: list[Rule] = []
    requirements: list[Requirement] = []
    for found in (before, after):
        if found is not None:
            rules += [rule for rule in found.allow if rule.may_allow(action, table, index)]
            rules += [rule for rule in found.deny if rule.may_deny(action, table, index)]
            requirements += [r for r in found.require if r.rule.may_deny(action, table, index)]
    rules += [requirement.rule for requirement in requirements]
    choices = [list(_tasks(rules)), list(_keys(rules)), list(_attributes(rules)), list(_shapes(requirements))]
    return [(task, key, named, shape) for shape, task, key, named in _combined(choices[3:] + choices[:3])]


def _combined(choices: list[list[Choice]]) -> Iterable[tuple[Choice, ...]]:
    """All of them; of very many all pairs, with the first or the last of every other kind."""
    if prod(map(len, choices)) <= _MOST:
        return product(*choices)
    free = combinations(range(len(choices)), 2)
    several = (product(*(kind if at in pair else (kind[0], kind[-1]) for at, kind in enumerate(choices))) for pair in free)
    return dict.fromkeys(chain.from_iterable(several))


def _tasks(rules: Iterable[Rule]) -> Iterator[Choice]:
    patterns = dict.fromkeys(pattern for rule in rules if rule.tasks for pattern in rule.tasks.patterns)
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        yield Choice(bare, bare)  # `*` and `?` are signs as well, and a glob fits itself
    yield Choice("any other", _STRANGER)
    if patterns:
        yield Choice("unknown", "")


def _keys(rules: Iterable[Rule]) -> Iterator[Choice]:
    patterns = dict.fromkeys(pattern for rule in rules if rule.keys for pattern in rule.keys.patterns)
    for pattern in patterns:
        yield Choice(f"{pattern.written()}{'...' if pattern.is_prefix else ''}", pattern)
    if patterns:
        yield Choice("any other", _STRANGER)
    yield Choice("not proven", None)


def _attributes(rules: Iterable[Rule]) -> Iterator[Choice]:
    lists = dict.fromkeys(rule.attributes for rule in rules if rule.attributes is not None)
    for names in lists:
        yield Choice(f"attributes {', '.join(sorted(names))}", names)
    for name in sorted(frozenset().union(*lists)) if len(lists) > 1 else ():
        yield Choice(f"attributes {name}", frozenset({name}))
    if lists:
        yield Choice("no attributes", frozenset())
        yield Choice("other attributes", frozenset({_STRANGER}))
    yield Choice("whole items", None)


def _shapes(requirements: Iterable[Requirement]) -> Iterator[Choice]:
    """All that is asked for, then without one thing after the other."""
    every = list(requirements)
    yield Choice("the required shape", _Shape())
    most = max((requirement.max_limit for requirement in every), default=0)
    if most:
        yield Choice("no Limit", _Shape(limit=None))
        yield Choice(f"Limit over {most}", _Shape(limit=most + 1))
    for limit in sorted({requirement.max_limit for requirement in every} - {0}):
        yield Choice(f"Limit {limit}", _Shape(limit=limit))
    for segments in sorted({requirement.max_segments for requirement in every} - {0}):
        yield Choice(f"{segments} segments", _Shape(segments=segments))
        yield Choice(f"more than {segments} segments", _Shape(segments=segments + 1))
    if any(requirement.condition for requirement in every):
        yield Choice("no condition", _Shape(condition=False))
    if any(requirement.client_token for requirement in every):
        yield Choice("no client token", _Shape(token=False))
    if any(requirement.evidence for requirement in every):
        yield Choice("a dag that is only claimed", _Shape(evidence=False))


def operation_for(
    sample: Sample, dag_id: str, action: str, table: str, index: str, versions: Iterable[DagRules | None]
) -> tuple[Identity, Operation]:
    """The sample as who asks and what is asked."""
    task, key, named, shaped = (choice.value for choice in sample)
    assert isinstance(shaped, _Shape)  # noqa: S101 - for the type checker
    evidence = Evidence.VERIFIED if shaped.evidence else Evidence.CLAIMED
    identity = Identity(_SUBJECT, dag_id, evidence, "claim", "", task_id=str(task), run_id="run")
    is_item = action in ITEM | PARTIQL
    facts = _facts(action, table, index, key, named, shaped, identity, versions) if is_item else None
    touch = Touch(action, TableReference(table), index, 0, facts)
    return identity, Operation(action, "", action in WRITE | PARTIQL_WRITES, (touch,), b"")


_SUBJECT = Subject("samples", "samples", {}, ("*",), 0.0, "")


def _facts(
    action: str,
    table: str,
    index: str,
    key: object,
    named: object,
    shape: _Shape,
    identity: Identity,
    versions: Iterable[DagRules | None],
) -> StatedFacts:
    keys = [rules.keys.get(table, NO_KEYS) for rules in versions if rules]
    leading = [found.indexes.get(index) if index else found.table for found in keys]
    is_limited = isinstance(named, frozenset)
    return StatedFacts(
        pins=_pins(leading, key, identity) if action != "Scan" else {},
        named=named if isinstance(named, frozenset) else frozenset(),
        whole="" if is_limited else "no projection",
        replaces=action in _LOSING,
        absent=frozenset(found.table.name for found in keys if found.table) if action == "PutItem" else frozenset(),
        limit=shape.limit,
        total_segments=shape.segments,
        has_condition=shape.condition,
        has_client_token=shape.token,
    )


def _pins(leading: Iterable[KeyAttribute | None], key: object, identity: Identity) -> dict[str, Pin]:
    if key is None:
        return {}
    text = key if isinstance(key, str) else _text_of(key, identity)
    return {found.name: Pin(({found.kind: _value(found.kind, text)},)) for found in leading if found is not None}


def _value(kind: str, text: str) -> str:
    if kind == "N":
        return text if number_of(text) is not None else _STRANGE_NUMBER
    return base64.b64encode(text.encode()).decode() if kind == "B" else text


def _text_of(key: object, identity: Identity) -> str:
    assert isinstance(key, KeyPattern)  # noqa: S101 - for the type checker: `_keys` gives nothing else
    text = key.filled(identity)
    return f"{text}x" if key.is_prefix and text else text or _STRANGER
