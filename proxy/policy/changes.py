"""The nearest change that would allow what is refused: where to paste which line. One for each thing that stands in the way.

An allow line gives no more than it must: the limits of a rule that the DAG has on the table already, if the request keeps
within them; else the key or attributes that the request proves; only else none.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from proxy.policy.keys import KeyLimit, KeyPattern
from proxy.policy.patterns import LOGICAL_NAME
from proxy.policy.written import flow_list, quoted, rule, scalar
from proxy.refusal import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.model import Facts, Identity, Operation
    from proxy.policy.cases import DagRules
    from proxy.policy.considered import Considered
    from proxy.policy.coverage import Asked
    from proxy.policy.rules import Policies


class Change(NamedTuple):
    """`where`: file and section; `line`: what to paste there, empty where no line helps; `note`: what to know of it."""

    where: str
    line: str
    note: str = ""

    def lines(self) -> list[str]:
        """For a person to read."""
        head = f"to allow it, {self.where}{' (' + self.note + ')' if self.note else ''}"
        return [head, f"    {self.line}"] if self.line else [head]


def changes_for(rules: DagRules, asked: Asked, considered: Sequence[Considered], environment: str) -> Iterator[Change]:
    """What stands in the way of one touch; nothing where it is allowed, or the table is not the DAG's own."""
    touch = asked.touch
    table = touch.table.name
    if any(touch.table[1:]):
        yield Change(rules.place, "", "the table is of another account or Region, and a DAG's own are those of its role")
        return
    yield from _stopping(rules, considered, table)
    if not any(found.effect == "allow" and found.covers is not False for found in considered):
        yield from _allowing(rules, asked, environment)


def _stopping(rules: DagRules, considered: Sequence[Considered], table: str) -> Iterator[Change]:
    for found in considered:
        if found.covers is not True or found.effect == "allow":
            continue
        if found.effect == "require":
            yield Change(found.place, "", f"no line allows it: change the request, {found.why}")
        elif found.effect == "boundary":
            yield Change(
                f"{found.place}, into `tables` of the team", quoted(table), rules.boundary.owner if rules.boundary else ""
            )
        elif found.place.rpartition(":")[0] == rules.place.rpartition(":")[0]:
            yield Change(found.place, "", f"no allow rule outweighs it: take {scalar(_name(rules, table))} out of its tables")
        else:
            yield Change(f"{found.place}, into `tables` of this rule", quoted(f"!{table}"), "no allow rule outweighs a deny")


def _allowing(rules: DagRules, asked: Asked, environment: str) -> Iterator[Change]:
    touch = asked.touch
    file = rules.place.rpartition(":")[0]
    table = touch.table.name
    if table and table not in rules.names:
        known = f"the real name is {table}; differs it by environment, write <env> in its place" if environment else ""
        yield Change(f"{file}, under `tables`", f"{scalar(_name(rules, table))}: {{}}", known)
    yield Change(f"{rules.place}, under `allow` of {rules.pattern}", f"- {_line(rules, asked)}")


def _line(rules: DagRules, asked: Asked) -> str:
    """The narrowest rule that covers it, of those that can be thought of."""
    touch = asked.touch
    tables = [_name(rules, touch.table.name)] if touch.table.name else sorted(rules.names.values())[:1] or ["TABLE"]
    indexes = (touch.index,) if touch.index else ()
    task = asked.identity.task_id
    has_tasks = any(found.tasks for found in rules.allow if found.may_allow(*_asked_for(asked)))
    tasks = (task,) if task and has_tasks else ()
    for keys, attributes in _limits(rules, asked):
        if _covers(rules, asked, keys, attributes):
            texts = tuple((pattern.is_prefix, pattern.written()) for pattern in keys)
            return rule((touch.action,), tables, indexes=indexes, keys=texts, attributes=sorted(attributes or ()), tasks=tasks)
    return rule((touch.action,), tables, indexes=indexes, tasks=tasks)


def _asked_for(asked: Asked) -> tuple[str, str, str]:
    return asked.touch.action, asked.touch.table.name, asked.touch.index


_Limits = tuple[tuple[KeyPattern, ...], "frozenset[str] | None"]


def _limits(rules: DagRules, asked: Asked) -> Iterator[_Limits]:
    """Limits to try, the nearest to what the files say already first."""
    facts = asked.touch.facts
    if facts is None or _is_unknown(facts):
        return
    near = [found for found in rules.allow if found.tables.match(asked.touch.table.name) and (found.keys or found.attributes)]
    if not near:
        return
    wanted = [found.keys.patterns for found in near if found.keys] + [_proven(asked, facts)]
    for found in near:
        for keys in (found.keys.patterns if found.keys else (), _proven(asked, facts)):
            yield keys, found.attributes
            if found.attributes is not None:
                yield keys, found.attributes | facts.named
    for keys in wanted:
        yield keys, None


def _is_unknown(facts: Facts) -> bool:
    """True if the request, or what is left of it, does not say which keys and attributes it is about."""
    try:
        return not facts.named
    except Unreadable:
        return True


def _proven(asked: Asked, facts: Facts) -> tuple[KeyPattern, ...]:
    """The keys that the request proves, as `exact`, or as a `prefix` where it proves that."""
    for attribute in asked.keys.both:
        pin = facts.pin(attribute.name)
        if pin is not None:
            texts = (value.get(attribute.kind) for value in pin.values)
            return tuple(KeyPattern(pin.is_prefix, (text,)) for text in texts if isinstance(text, str) and "<" not in text)
    return ()


def _covers(rules: DagRules, asked: Asked, keys: tuple[KeyPattern, ...], attributes: frozenset[str] | None) -> bool:
    """Whether a rule with these limits, and no other, would cover the request."""
    if not keys and attributes is None:
        return False
    limit = KeyLimit(keys) if keys else None
    return replace(rules.allow[0], tasks=None, keys=limit, attributes=attributes, until=inf).gap(asked) is None


def changes_for_dag(policies: Policies, rules: DagRules | None, identity: Identity, operation: Operation) -> Iterator[Change]:
    """What stands in the way of the DAG whatever it asks: nobody names it, or it is not its team's."""
    dag_id = identity.dag_id
    if rules is None:
        home = next((home for home in policies.homes if home.dags is not None and home.dags.match(dag_id)), None)
        home = home or next((home for home in policies.homes if home.dags is None), None)
        if home is None:
            yield Change("platform.yaml, into `dags` of a team", quoted(dag_id), "no team may have a DAG of this name")
            return
        tables = {touch.table.name for touch in operation.touches if touch.table.name}
        beside = next((found for found in policies.dag_rules() if found.place.rpartition(":")[0] == home.file), None)
        names = beside.names if beside else {}
        actions = sorted({touch.action for touch in operation.touches})
        allow = rule(actions, sorted(names.get(table, table) for table in tables)) if tables else ""
        line = f"{scalar(dag_id)}: {{allow: [{allow}]}}"
        yield Change(f"{home.file}, under `dags`", line, f"{home.owner}; with role: where neither defaults nor team has one")
        return
    if rules.boundary is not None and not rules.boundary.dags.match(dag_id):
        where = f"{rules.boundary.place}, into `dags` of the team"
        yield Change(where, quoted(dag_id), rules.boundary.owner)
    if not rules.is_active:
        there = flow_list((*rules.environments, policies.environment))
        yield Change(rules.place, f"environments: {there}", f"the DAG is not for {policies.environment}")


def _name(rules: DagRules, table: str) -> str:
    """The table's name in the DAG's file; one to be put in where the real one is no name there."""
    return rules.names.get(table, table if LOGICAL_NAME.fullmatch(table) else "NAME")
