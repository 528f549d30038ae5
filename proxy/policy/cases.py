"""What holds for one DAG, and the few rules of it that can matter for one action on one table or index.

A `Case` is found by names alone and kept; what it leaves open is asked of each request: task, time, keys, attributes, shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from proxy.policy.coverage import Asked, Gap, Requirement, Rule
from proxy.policy.keys import NO_KEYS, LeadingKeys, TableKeys
from proxy.refusal import Reason, Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.globs import Globs
    from proxy.model import Identity, Touch

_REASONS = {
    Gap.TASK: Reason.NO_RULE,
    Gap.ENDED: Reason.NO_RULE,
    Gap.KEYS: Reason.OUTSIDE_KEYS,
    Gap.ATTRIBUTES: Reason.OUTSIDE_ATTRIBUTES,
}


@dataclass(frozen=True, slots=True)
class Boundary:
    """The most that a team's files can grant (platform.yaml, `teams`)."""

    team: str
    place: str
    dags: Globs
    tables: Globs
    owner: str  # whom to ask for more


class Verdict(NamedTuple):
    """Why the rules do not allow one touch, and which of them said so."""

    reason: Reason
    rule: Rule | None = None
    requirement: Requirement | None = None


@dataclass(frozen=True, slots=True)
class ShortWay:
    """A rule that asks for nothing but the table's leading key, which is a string, within texts that no request fills in.

    It says yes where `Rule.holds_for_all` would, and leaves all else to it: most requests take no more than this.
    """

    rule: Rule
    attribute: str
    exact: frozenset[str]
    prefixes: tuple[str, ...]

    def allows(self, touch: Touch) -> bool:
        """True if the key that the touch proves is one that the rule names."""
        facts = touch.facts
        try:
            pin = None if facts is None else facts.pin(self.attribute)
        except Unreadable:
            return False
        if pin is None:
            return False
        values, is_prefix = pin
        if is_prefix or len(values) != 1:
            return False
        value = values[0]
        text = value.get("S")
        return len(value) == 1 and type(text) is str and (text.startswith(self.prefixes) or text in self.exact)


@dataclass(frozen=True, slots=True)
class Case:
    """The rules that can matter for one action on one table or index; what remains to be asked is the request itself."""

    deny: tuple[Rule, ...]
    require: tuple[Requirement, ...]
    allow: tuple[Rule, ...]  # those without conditions first
    is_inside: bool  # of the team's boundary
    keys: LeadingKeys
    short_way: ShortWay | None = None

    @property
    def is_settled(self) -> bool:
        """True if no request can change the answer, and it is yes."""
        return not self.deny and not self.require and self.is_inside and bool(self.allow) and not self.allow[0].has_conditions

    def rule_for_all(self, touches: Sequence[Touch], identity: Identity, now: float) -> Rule | None:
        """The rule that allows each of these touches, which name the same; None where they are to be judged one by one.

        So are most requests answered: what a rule asks of task and time is asked once, and only keys are looked at in each.
        """
        if self.deny or self.require or not self.is_inside:
            return None
        for rule in self.allow:
            if rule.grants_task(identity.task_id) and now < rule.until:
                try:
                    return rule if rule.holds_for_all(touches, self.keys, identity) else None
                except Unreadable:  # which hides no other rule
                    return None
        return None

    def judge(self, asked: Asked) -> Rule | Verdict:
        """The rule that allows it, or why none does. Raises Unreadable where that keeps a rule from being judged."""
        for rule in self.deny:
            if rule.denies(asked):
                return Verdict(Reason.DENIED_BY_RULE, rule)
        for requirement in self.require:
            if requirement.lacks(asked)[0]:
                return Verdict(Reason.REQUIREMENT_NOT_MET, requirement=requirement)
        return self._judge_allow(asked)

    def _judge_allow(self, asked: Asked) -> Rule | Verdict:
        """The first rule that covers it, else the one that comes nearest. One that cannot be judged hides no other."""
        nearest: tuple[int, Rule | None] = (0, None)
        unreadable: Unreadable | None = None
        for rule in self.allow:
            try:
                gap = rule.gap(asked)
            except Unreadable as error:
                unreadable = error
                continue
            if gap is None:
                return rule if self.is_inside else Verdict(Reason.OUTSIDE_BOUNDARY, rule)
            if gap > nearest[0]:
                nearest = (gap, rule)
        if unreadable is not None:
            raise unreadable
        gap_found, rule_found = nearest
        return Verdict(_REASONS[Gap(gap_found)] if rule_found else Reason.NO_RULE, rule_found)


@dataclass(frozen=True, slots=True)
class DagRules:
    """Everything that holds for one DAG, or for those that one glob names, in one environment."""

    pattern: str
    place: str
    role_arn: str
    home: tuple[str, str, str]  # partition, Region, account of the tables that are its own
    allow: tuple[Rule, ...]  # its own before the defaults of its file, then its grants
    deny: tuple[Rule, ...]
    boundary: Boundary | None
    owner: str
    environments: tuple[str, ...]  # empty: all
    is_active: bool
    require: tuple[Requirement, ...] = ()
    keys: Mapping[str, TableKeys] = field(default_factory=dict)  # by real table name
    names: Mapping[str, str] = field(default_factory=dict)  # of tables: real name -> name in the DAG's file

    def case(self, dag_id: str, action: str, table: str, index: str) -> Case:
        """The rules that can matter. `table` is a real name in the DAG's own account and Region, or empty."""
        allow = [rule.of_dag(dag_id) for rule in self.allow if rule.may_allow(action, table, index)]
        case = Case(
            deny=tuple(rule.of_dag(dag_id) for rule in self.deny if rule.may_deny(action, table, index)),
            require=tuple(r for r in self.require if r.rule.may_deny(action, table, index)),
            allow=tuple(sorted(allow, key=lambda rule: rule.has_conditions)),
            is_inside=self.boundary is None or not table or self.boundary.tables.match(table),
            keys=self.keys.get(table, NO_KEYS).leading(action, index),
        )
        return replace(case, short_way=_short_way(case)) if not index else case


def _short_way(case: Case) -> ShortWay | None:
    """The short way to the first rule that can allow a touch of a table, if it is of the kind that has one."""
    attribute = case.keys.table
    if case.deny or case.require or not case.is_inside or not case.allow or attribute is None or attribute.kind != "S":
        return None
    rule = case.allow[0]
    limit = rule.keys
    if rule.tasks is not None or rule.attributes is not None or rule.until != inf or limit is None or not limit.is_literal:
        return None
    exact = frozenset(pattern.pieces[0] for pattern in limit.patterns if not pattern.is_prefix)
    return ShortWay(rule, attribute.name, exact, tuple(p.pieces[0] for p in limit.patterns if p.is_prefix))


class Home(NamedTuple):
    """Where a DAG that nobody has named would be written: a file, the DAGs that may stand there, whom to ask."""

    file: str
    dags: Globs | None  # None: any
    owner: str
    team: str = ""  # whose `dags` these are


@dataclass(frozen=True, slots=True)
class Unmapped:
    """As whom a DAG that no file names is let through, and until when (platform.yaml, `unmapped`). `rules` only ever deny."""

    rules: DagRules
    until: float
