"""The sentences of a refusal: one line, cause first, the nearest rule, whom to ask. Built only when something is refused.

Names that come from a request are shown cut and without control characters; item values, keys and tokens never are.
The pipeline appends the decision id.
"""

from __future__ import annotations

import difflib
from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING

from proxy.actions import READ, WRITE
from proxy.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.model import Identity, Operation, Touch
    from proxy.policy.cases import Boundary, DagRules, Home
    from proxy.policy.coverage import Asked, Rule

_LONGEST = 120  # characters shown of a name that a request chose
_MOST_COMPARED = 32  # names that are compared to find a near one, by their first _COMPARED characters: denials must stay cheap
_COMPARED = 64
_MOST_MEASURED = 4  # of these


def shown(name: str) -> str:
    """`name` in quotes, fit for one line of a log."""
    return f"'{_plain(name)}'"


def _plain(name: str) -> str:
    cut = name if len(name) <= _LONGEST else name[:_LONGEST] + "..."
    return "".join(sign if sign.isprintable() and sign != "'" else "?" for sign in cut)


def unknown_dag(identity: Identity, homes: Sequence[Home], dags: Mapping[str, object]) -> str:
    """No file names the DAG: where to add it, or which name was meant."""
    who = _plain(identity.subject.subject.rpartition(":")[2])
    said = (
        f"verified: {identity.source} of {who}"
        if identity.evidence is Evidence.VERIFIED
        else (f"claimed: {identity.source}; verified: {who}")
    )
    fitting = [home for home in homes if home.dags is not None and home.dags.match(identity.dag_id)]
    if not fitting:
        fitting = [home for home in homes if home.dags is None]
    if len({home.owner for home in fitting}) == 1:
        where = f"add it under dags: in {' or '.join(home.file for home in fitting[:3])}, {fitting[0].owner}"
    else:
        where = "add it under dags: in the file of its team"
    near = _near(identity.dag_id, dags)
    meant = f"did you mean {shown(near)}? else " if near else ""
    return f"no policy names dag {shown(identity.dag_id)} ({said}); {meant}{where}"


def several_globs(dag_id: str, matching: Sequence[DagRules]) -> str:
    """Two globs name the DAG, and nobody can say which was meant."""
    both = " and ".join(f"'{rules.pattern}' ({rules.place})" for rules in matching[:2])
    return f"dag {shown(dag_id)} is named by {both}; define it by its own name in one file, {matching[0].owner}"


def other_environment(dag_id: str, rules: DagRules, environment: str) -> str:
    """The DAG is defined, but not for this environment."""
    there = ", ".join(rules.environments)
    return f"dag {shown(dag_id)} is for {there} only ({rules.place}), and this is {environment}; {rules.owner}"


def dag_outside(dag_id: str, rules: DagRules, boundary: Boundary) -> str:
    """A team's file defines a DAG that is not the team's."""
    return (
        f"dag {shown(dag_id)} is defined at {rules.place}, but the boundary of team {boundary.team} ({boundary.place}) "
        f"has no such dag; {boundary.owner}"
    )


def touches_nothing(dag_id: str, operation: Operation) -> str:
    """Nothing to judge is nothing to allow."""
    return f"dag {shown(dag_id)} may not {operation.name} on nothing: the request names no table; name one"


def foreign_table(dag_id: str, rules: DagRules, operation: Operation, touch: Touch) -> str:
    """A table of another account, Region or partition."""
    partition, region, account = rules.home
    table = touch.table
    theirs = f"{shown(table.partition)} {shown(table.region)} {shown(table.account)}"
    return (
        f"{may_not(dag_id, operation, touch)}: the ARN is of {theirs}, and the DAG's own tables are in "
        f"'{partition}' '{region}' '{account}' ({rules.place}); write the bare table name for one of them"
        f"{ending(operation, touch)}; {rules.owner}"
    )


def table_outside(dag_id: str, rules: DagRules, rule: Rule, operation: Operation, touch: Touch) -> str:
    """A rule allows it, the team's boundary does not reach so far."""
    boundary = rules.boundary
    limit = f"the boundary of team {boundary.team} ({boundary.place})" if boundary else "the boundary"
    ask = boundary.owner if boundary else rules.owner
    return (
        f"{may_not(dag_id, operation, touch)}: {rule.place} allows it, but {limit} has no such table"
        f"{ending(operation, touch)}; {ask}"
    )


def no_rule(asked: Asked, rules: DagRules, operation: Operation, environment: str) -> tuple[str, str]:
    """Place of the nearest allow rule (of the DAG where it has none), and the sentence."""
    touch = asked.touch
    start = may_not(asked.identity.dag_id, operation, touch)
    end = f"{ending(operation, touch)}; {rules.owner}"
    if not rules.allow:
        return rules.place, f"{start}: the dag has no allow rule; add one at {rules.place}{end}"
    nearest = max(rules.allow, key=lambda rule: _closeness(rule, asked))
    if not any(rule.tables.match(touch.table.name) for rule in rules.allow):
        nearest = _nearest_by_name(rules.allow, touch)
    cause = _missing(rules, nearest, asked, environment)
    names_table = nearest.tables.match(touch.table.name)
    return nearest.place, f"{start}: {cause}; nearest is {nearest.place} ({has(nearest, with_tables=not names_table)}){end}"


# ------------------------------------------------------------------------------------- pieces of a sentence


def may_not(dag_id: str, operation: Operation, touch: Touch) -> str:
    """The start of the sentence: who may not do what."""
    what = f"dag {shown(dag_id)} may not {operation.name}"
    if touch.table.name:
        what += f" on {shown(touch.table.name)}"
    if touch.index:
        what += f" index {shown(touch.index)}"
    if touch.position:
        what += f" (item {touch.position} of {len(operation.touches)}: {touch.action})"
    return what


def ending(operation: Operation, touch: Touch) -> str:
    """What became of the other members of a batch or transaction."""
    return "; nothing was written" if operation.is_write and touch.position else ""


def _closeness(rule: Rule, asked: Asked) -> tuple[bool, ...]:
    touch = asked.touch
    return (
        rule.tables.match(touch.table.name),
        rule.names_action(touch.action),
        rule.grants_index(touch.index),
        rule.is_active,
        rule.grants_task(asked.identity.task_id),
        asked.now < rule.until,
    )


def _nearest_by_name(allow: Iterable[Rule], touch: Touch) -> Rule:
    """The rule with the table whose name comes closest; where several come equally close, one that has the action.

    How close a name is takes up to 5 ms to say: only those are asked that by their letters can be closest.
    """
    matcher = difflib.SequenceMatcher(None, b=touch.table.name[:_COMPARED])
    names = islice(((table, rule) for rule in allow for table in rule.tables.patterns[:4]), _MOST_COMPARED)

    def letters(named: tuple[str, Rule]) -> tuple[float, bool]:
        table, rule = named
        matcher.set_seq1(table[:_COMPARED])
        return matcher.quick_ratio(), rule.names_action(touch.action)

    def closeness(named: tuple[str, Rule]) -> tuple[float, bool]:
        table, rule = named
        matcher.set_seq1(table[:_COMPARED])
        return matcher.ratio(), rule.names_action(touch.action)

    return max(nlargest(_MOST_MEASURED, names, key=letters), key=closeness)[1]


def _missing(rules: DagRules, nearest: Rule, asked: Asked, environment: str) -> str:
    """What the nearest rule lacks first, in the order in which `_closeness` weighs it."""
    touch, task_id = asked.touch, asked.identity.task_id
    on_table = [rule for rule in rules.allow if rule.tables.match(touch.table.name)]
    if not touch.table.name:
        return f"no allow rule has {touch.action}"
    if not on_table:
        return "no allow rule names this table"
    if not nearest.names_action(touch.action):
        return f"no allow rule has {_word(touch.action, on_table)}"
    if not nearest.grants_index(touch.index):
        return f"no allow rule has index {shown(touch.index)}" if touch.index else "no allow rule has the table itself"
    if not nearest.is_active:
        return f"the rule for it is not for {environment}"
    if nearest.grants_task(task_id):
        return "the grant for it has ended"
    return (
        f"the rule for it is for some tasks only, and this is {shown(task_id)}"
        if task_id
        else ("the rule for it is for some tasks only, and no task id came")
    )


def _word(action: str, on_table: Iterable[Rule]) -> str:
    """`write` where the table's rules have nothing of it, else the one action that is missing."""
    for word, group in (("write", WRITE), ("read", READ)):
        if action in group and not any(rule.names_action(other) for rule in on_table for other in group):
            return word
    return action


def has(rule: Rule, *, with_tables: bool = True) -> str:
    """What a rule has, as written, for the brackets behind its place."""
    text = rule.has
    if with_tables:
        text += " on " + ", ".join(rule.tables.patterns[:3])
    if rule.indexes is not None:
        text += " index " + ", ".join(rule.indexes.patterns[:3])
    if rule.keys is not None:
        text += " keys " + ", ".join(pattern.written() for pattern in rule.keys.patterns[:3])
    if rule.attributes is not None:
        text += " attributes " + ", ".join(sorted(rule.attributes)[:3])
    if rule.tasks is not None:
        text += " for tasks " + ", ".join(rule.tasks.patterns[:3])
    if rule.environments:
        text += " in " + ", ".join(rule.environments)
    return text


def _near(name: str, known: Mapping[str, object]) -> str:
    """One of `known` that `name` is probably a misspelling of, or an empty string."""
    alike = (other for other in known if abs(len(other) - len(name)) <= 2 and (other[:3] == name[:3] or other[-3:] == name[-3:]))
    found = difflib.get_close_matches(name, islice(alike, _MOST_COMPARED), cutoff=0.8)
    return found[0] if found else ""
