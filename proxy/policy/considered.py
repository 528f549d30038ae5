"""Each rule of a DAG against one touch: does it cover it, and why not. Says in words what `cases` decides by.

True and False are what the request proves; None is what it does not say, where only a record of it is left.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from proxy.model import TableReference
from proxy.policy.coverage import Asked, AttributeGap, Gap, attribute_gap
from proxy.policy.keys import NO_KEYS
from proxy.policy.messages import has, shown
from proxy.refusal import Reason, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.model import Identity, Touch
    from proxy.policy.cases import DagRules
    from proxy.policy.coverage import Requirement, Rule


class Unrecorded(Unreadable):
    """Only a record of the request is left, and it does not hold what a rule asks for."""

    def __init__(self, what: str) -> None:
        super().__init__(Reason.UNREADABLE_BODY, f"the record does not hold what the rule asks for ({what})")


class Considered(NamedTuple):
    """One rule. `covers`: an allow rule allows, a deny rule denies, a requirement is not met, a boundary stops it."""

    place: str  # file:line
    effect: str  # deny, require, allow, boundary
    rule: str  # as written
    covers: bool | None
    why: str

    def line(self) -> str:
        """One line, with what comes of it in front."""
        answer = "-" if self.covers is False else "?" if self.covers is None else "allows" if self.effect == "allow" else "stops"
        return f"{answer:<6} {self.effect:<8} {self.place} ({self.rule}): {self.why}"


def asked_of(rules: DagRules, identity: Identity, touch: Touch, now: float) -> Asked:
    """The touch as it is judged: the DAG's own table by its bare name."""
    table = touch.table
    if table.is_at(rules.home):
        touch = touch._replace(table=TableReference(table.name))
    return Asked(identity, touch, rules.keys.get(table.name, NO_KEYS).leading(touch.action, touch.index), now)


def consider(rules: DagRules, asked: Asked, environment: str) -> Iterator[Considered]:
    """Every rule that holds for the DAG, in the order in which they are asked."""
    for rule in rules.deny:
        yield _considered("deny", rule, *_deny(rule, asked, environment))
    for requirement in rules.require:
        yield _considered("require", requirement.rule, *_require(requirement, asked, environment))
    for rule in rules.allow:
        yield _considered("allow", rule, *_allow(rule, asked, environment))
    boundary, table = rules.boundary, asked.touch.table.name
    if boundary is not None and table:
        is_inside = boundary.tables.match(table)
        why = "holds this table" if is_inside else "has no such table, so no rule of the team's can allow it"
        tables = ", ".join(boundary.tables.patterns[:3])
        yield Considered(boundary.place, "boundary", f"team {boundary.team}: {tables}", not is_inside, why)


def _considered(effect: str, rule: Rule, covers: bool | None, why: str) -> Considered:
    return Considered(rule.place, effect, has(rule), covers, why)


def _allow(rule: Rule, asked: Asked, environment: str) -> tuple[bool | None, str]:
    touch = asked.touch
    if not rule.may_allow(touch.action, touch.table.name, touch.index):
        return False, _elsewhere(rule, asked, environment) or _other_index(asked)
    try:
        gap = rule.gap(asked)
    except Unreadable as error:
        return None, error.message
    return gap is None, "covers it" if gap is None else gap_in_words(rule, gap, asked)


def _deny(rule: Rule, asked: Asked, environment: str) -> tuple[bool | None, str]:
    touch = asked.touch
    if not rule.may_deny(touch.action, touch.table.name, touch.index):
        return False, _elsewhere(rule, asked, environment) or _not_denied(rule, asked)
    if not _is_for_task(rule, asked):
        return False, f"is for other tasks than {shown(asked.identity.task_id)}"
    try:
        if rule.denies(asked):
            return True, _why_denied(rule)
    except Unreadable as error:
        return None, error.message
    return False, "the request proves that it stays outside"


def _require(requirement: Requirement, asked: Asked, environment: str) -> tuple[bool | None, str]:
    rule, touch = requirement.rule, asked.touch
    if not rule.may_deny(touch.action, touch.table.name, touch.index):
        return False, _elsewhere(rule, asked, environment) or _not_denied(rule, asked)
    if not _is_for_task(rule, asked):
        return False, f"is for other tasks than {shown(asked.identity.task_id)}"
    try:
        lacking, how = requirement.lacks(asked)
    except Unreadable as error:
        return None, error.message
    return bool(lacking), f"requires {lacking}; {how}" if lacking else "the request has the shape that it asks for"


def _is_for_task(rule: Rule, asked: Asked) -> bool:
    """As a deny rule: one for some tasks is for an unknown one too."""
    return not asked.identity.task_id or rule.grants_task(asked.identity.task_id)


def _elsewhere(rule: Rule, asked: Asked, environment: str) -> str:
    """Why a rule is about something else, as far as names alone say it; empty where they do not."""
    touch = asked.touch
    if not rule.is_active:
        return f"is not for {environment}"
    if not rule.names_action(touch.action):
        return f"does not have {touch.action}"
    if touch.table.name and not rule.tables.match(touch.table.name):
        return "is about other tables"
    return ""


def _other_index(asked: Asked) -> str:
    if asked.touch.index:
        return f"has not index {shown(asked.touch.index)}; a table does not grant its indexes"
    return "is about indexes, not about the table itself"


def _not_denied(rule: Rule, asked: Asked) -> str:
    if rule.indexes is not None:
        return "is about indexes that are not asked for"
    if not asked.touch.table.name:
        return "is about tables, and none is named"
    return f"is about keys or attributes of items, and {asked.touch.action} has none"


def _why_denied(rule: Rule) -> str:
    if rule.keys is not None or rule.attributes is not None:
        return "covers what the request does not prove to be outside"
    return "covers it"


def gap_in_words(rule: Rule, gap: Gap, asked: Asked) -> str:
    """Why an allow rule for the right action and table does not cover it."""
    if gap is Gap.TASK:
        task = asked.identity.task_id
        return f"is for other tasks than {shown(task)}" if task else "is for some tasks, and no task id came"
    if gap is Gap.ENDED:
        return f"ended at {moment(rule.until)}"
    if gap is Gap.KEYS:
        return _key_gap(rule, asked)
    return _attribute_gap(attribute_gap(rule.attributes or frozenset(), asked))


def _key_gap(rule: Rule, asked: Asked) -> str:
    facts = asked.touch.facts
    names = [attribute.name for attribute in asked.keys.both]
    for pattern in rule.keys.patterns if rule.keys else ():
        if pattern.problem(asked.identity):
            return f"{pattern.problem(asked.identity)}, so its keys cannot be filled in"
    if facts is None or not any(facts.pin(name) for name in names):
        return f"the request does not prove a value of {' or '.join(names) or 'the partition key'}"
    return "the partition key is outside its keys"


def _attribute_gap(gap: AttributeGap) -> str:
    if gap.is_unknown:
        return "the operation cannot be limited to attributes"
    if gap.names:
        return f"the request names {', '.join(shown(name) for name in gap.names[:5])} beside its attributes"
    if gap.whole:
        return f"the whole item comes back ({shown(gap.whole)[1:-1]})"
    return "it takes away attributes that are not its own"


def moment(until: float) -> str:
    """A moment in UTC, to the minute."""
    return datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%dT%H:%MZ")
