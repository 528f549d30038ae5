"""May this DAG do this? A decision is a value with a closed reason, the rule that decided, and the only way to a role.

Order: deny, then require, then allow within the team's boundary, then no. Each thing that an operation touches is judged;
one that is not allowed refuses the whole request. What a DAG may do whatever the request says is made ready once, so that
the usual answer costs two look-ups; of all else the rules that can matter are kept by action, table and index.
"""

from __future__ import annotations

import re
import uuid
from collections import deque
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING

from proxy.actions import ESCALATIONS
from proxy.model import NAMES, Principal, TableReference
from proxy.policy import messages, shortfalls
from proxy.policy.cases import Case, Verdict
from proxy.policy.coverage import Asked, AttributeLimits, denied_attributes
from proxy.policy.patterns import session_name
from proxy.refusal import Forbidden, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.globs import Globs
    from proxy.model import Identity, Operation, Touch, Workload
    from proxy.policy.cases import DagRules, Home, Unmapped
    from proxy.policy.coverage import Rule
    from proxy.policy.declared import TableDeclaration

_ALLOWED, _OBSERVED = Reason.ALLOWED, Reason.OBSERVED  # named here, for looking up a member of an enum is slow (Python 3.11)
OTHER = "other"
_DAG_ID = re.compile(r"[\w.-]{1,250}")
_MAX_GLOBBED = 4096  # DAGs known by glob only whose ready decisions are kept
_MAX_CASES = 4096  # of one DAG; more can come only where a rule's indexes are globs
_OWN = ("", "", "")  # partition, Region and account of a bare table name
# What a policy says no to, and observation lets through: never what cannot be read, is foreign, or has no role of its own.
_OBSERVABLE = frozenset(
    {
        Reason.UNKNOWN_DAG,
        Reason.NO_RULE,
        Reason.DENIED_BY_RULE,
        Reason.REQUIREMENT_NOT_MET,
        Reason.OUTSIDE_BOUNDARY,
        Reason.OUTSIDE_KEYS,
        Reason.OUTSIDE_ATTRIBUTES,
    }
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed, as whom, and by which rule; or refused, why, and what to do. `message` is one line without the decision id.

    OBSERVED: let through although the policy says no, for `would_deny`; message and rule are those of the denial.
    """

    reason: Reason
    message: str
    rule: str  # file:line; several, joined by a comma, for the members of a batch
    principal: Principal | None
    would_deny: Reason | None = None
    limits: AttributeLimits | None = None  # of what the answer may show; None: of everything

    def granted_role(self) -> Principal:
        """The principal to sign as. Raises Forbidden unless the decision lets the request through."""
        if self.principal is None or (self.reason is not _ALLOWED and self.reason is not _OBSERVED):
            raise Forbidden(self.reason, self.message, rule=self.rule)
        return self.principal


@dataclass(frozen=True, slots=True)
class _Ready:
    """One DAG id, met. Keys are (action, table, index): the start of a Touch.

    `decisions` has what is allowed whatever the request says, `cases` the rules where the request decides.
    """

    rules: DagRules
    principal: Principal
    decisions: dict[tuple[object, ...], Decision]
    cases: dict[tuple[object, ...], Case]
    granted: dict[object, Decision]  # by the rule's place, and by limits where it has some: a line can have several rules
    barred: Decision | None = None  # why the DAG may do nothing here
    observes: bool = False  # the environment lets all pass, and so shows all

    def grant(self, rule: Rule, denied: frozenset[str] = frozenset()) -> Decision:
        """The decision that a rule allows, where deny rules keep the attributes `denied`: one for all requests that it covers."""
        is_free = self.observes or (rule.attributes is None and not denied)
        limits = None if is_free else AttributeLimits(rule.attributes, denied)
        key = rule.place if limits is None else (rule.place, limits)
        decision = self.granted.get(key)
        if decision is None:
            decision = self.granted[key] = Decision(Reason.ALLOWED, "", rule.place, self.principal, limits=limits)
        return decision


class Policies:
    """The policies of one environment: an immutable snapshot, but for what it has made ready."""

    __slots__ = (
        "_dags",
        "_globbed",
        "_globs",
        "_homes",
        "_never_unmapped",
        "_ready",
        "_tables",
        "_team_dags",
        "_unmapped",
        "dag_of_key",
        "declared",
        "digest",
        "environment",
        "observes",
        "workloads",
    )

    def __init__(
        self,
        *,
        digest: str,
        environment: str,
        workloads: tuple[Workload, ...],
        dags: Mapping[str, DagRules],
        globs: tuple[tuple[Globs, DagRules], ...],
        tables: frozenset[str],
        homes: tuple[Home, ...],
        observes: bool = False,
        unmapped: Unmapped | None = None,
        declared: Mapping[str, TableDeclaration] = MappingProxyType({}),
    ) -> None:
        self.digest = digest
        self.environment = environment
        self.observes = observes  # the environment decides and lets pass
        self.workloads = workloads
        self.dag_of_key: Mapping[str, str] = {str(uuid.uuid5(uuid.NAMESPACE_OID, dag_id)): dag_id for dag_id in dags}
        self.declared = declared  # real table name -> as its file first declares it
        self._dags = dags
        self._globs = globs
        self._tables = tables
        self._homes = homes
        self._team_dags = {home.team: home.dags for home in homes if home.dags is not None}
        self._unmapped = unmapped
        self._never_unmapped = frozenset(workload.name for workload in workloads if not workload.may_be_unmapped)
        self._ready: dict[str, _Ready] = {}
        self._globbed: deque[str] = deque()

    # ------------------------------------------------------------------------------------- deciding

    def decide(self, identity: Identity, operation: Operation, now: float) -> Decision:
        """Judge everything that the operation touches; default is no. `now` ends grants.

        Raises Unreadable where a rule asks for what the request does not say in a form that can be read.
        """
        ready = self._ready.get(identity.dag_id)
        if ready is None:
            found = self._meet(identity)
            if isinstance(found, Decision):
                return self._decide_unmapped(found, identity, operation, now)
            ready = found
        touches = operation.touches
        if len(touches) == 1:  # most requests, and most are allowed: worth a short way
            start = touches[0][:3]
            decision = ready.decisions.get(start)
            if decision is not None:
                return decision
            case = ready.cases.get(start)
            if case is not None:
                short_way = case.short_way
                if short_way is not None and short_way.allows(touches[0]):
                    return ready.grant(short_way.rule)
                if (rule := case.rule_for_all(touches, identity, now)) is not None:
                    return ready.grant(rule)
        if not self.observes:
            return ready.barred or _judge_all(ready, identity, operation, now, self.environment)
        return self._observe(ready, identity, operation, now)

    def _observe(self, ready: _Ready, identity: Identity, operation: Operation, now: float) -> Decision:
        """The decision as it would be, and then let through where that is a policy's no."""
        decision = ready.barred or _judge_all(ready, identity, operation, now, self.environment)
        if decision.reason not in _OBSERVABLE:
            return decision
        return _let_through(ready, identity, operation, now, self.environment, decision, _OBSERVABLE)

    def _decide_unmapped(self, denial: Decision, identity: Identity, operation: Operation, now: float) -> Decision:
        """A DAG that no file names is let through as `unmapped` says; a platform-wide deny holds for it all the same."""
        unmapped = self._unmapped
        if denial.reason is not Reason.UNKNOWN_DAG or unmapped is None or now >= unmapped.until:
            return denial
        if not _DAG_ID.fullmatch(identity.dag_id) or identity.workload in self._never_unmapped:
            return denial
        ready = _Ready(unmapped.rules, _principal(unmapped.rules, identity.dag_id), {}, {}, {})
        passable = _OBSERVABLE if self.observes else _OBSERVABLE - {Reason.DENIED_BY_RULE}
        return _let_through(ready, identity, operation, now, self.environment, denial, passable)

    def _meet(self, identity: Identity) -> _Ready | Decision:
        """Make room for what the DAG is allowed; or say why it has no rules and no role here."""
        dag_id = identity.dag_id
        rules = self._dags.get(dag_id)
        if rules is None:
            matching = self._matching(dag_id)
            if not matching:
                return _refused(Reason.UNKNOWN_DAG, messages.unknown_dag(identity, self._homes, self._dags))
            if len(matching) > 1:
                return _refused(Reason.NO_RULE, messages.several_globs(dag_id, matching), matching[0].place)
            rules = matching[0]
        if rules.boundary is not None and not rules.boundary.dags.match(dag_id):
            return _refused(Reason.OUTSIDE_BOUNDARY, messages.dag_outside(dag_id, rules, rules.boundary), rules.boundary.place)
        barred = None
        if not rules.is_active:
            barred = _refused(Reason.NO_RULE, messages.other_environment(dag_id, rules, self.environment), rules.place)
            rules = replace(rules, allow=())
        return self._keep(dag_id, _Ready(rules, _principal(rules, dag_id), {}, {}, {}, barred, self.observes))

    def _matching(self, dag_id: str) -> list[DagRules]:
        if not _DAG_ID.fullmatch(dag_id):
            return []
        return [rules for globs, rules in self._globs if globs.match(dag_id)]

    def _keep(self, dag_id: str, ready: _Ready) -> _Ready:
        if dag_id not in self._dags:
            if len(self._globbed) >= _MAX_GLOBBED:
                self._ready.pop(self._globbed.popleft())
            self._globbed.append(dag_id)
        self._ready[dag_id] = ready
        return ready

    # ---------------------------------------------------------------------------- labels and principals

    def dag_label(self, dag_id: str) -> str:
        """A metric label from a bounded set: DAG ids and globs that the files have, else `other`."""
        if dag_id in self._dags:
            return dag_id
        matching = self._matching(dag_id)
        return matching[0].pattern if matching else OTHER

    def table_label(self, name: str) -> str:
        """A metric label from a bounded set: real tables that the files have, `several`, else `other`."""
        return name if name in self._tables or name == "several" else OTHER

    def has_dag(self, dag_id: str) -> bool:
        """True if a file names the DAG, by its name or by a glob, for whatever environment."""
        return dag_id in self._dags or bool(self._matching(dag_id))

    def dag_rules(self) -> Iterator[DagRules]:
        """Everything that is defined, DAGs with a name of their own first."""
        yield from self._dags.values()
        yield from (rules for _, rules in self._globs)

    def rules_of(self, dag_id: str) -> DagRules | None:
        """What holds for one DAG; None where no file names it, or two globs do."""
        if dag_id in self._dags:
            return self._dags[dag_id]
        matching = self._matching(dag_id)
        return matching[0] if len(matching) == 1 else None

    def teams_of(self, dag_id: str) -> tuple[str, ...]:
        """The team in whose file a DAG stands; of one that no file names, each team that may have it (it may be let through)."""
        named = [self._dags[dag_id]] if dag_id in self._dags else self._matching(dag_id)
        if named or not _DAG_ID.fullmatch(dag_id):
            return tuple(rules.boundary.team for rules in named if rules.boundary is not None)
        return tuple(team for team, dags in self._team_dags.items() if dags.match(dag_id))

    @property
    def tables(self) -> frozenset[str]:
        """Real names of the tables that the files declare."""
        return self._tables

    @property
    def homes(self) -> tuple[Home, ...]:
        """Where DAGs that nobody has named would be written."""
        return self._homes

    @property
    def unmapped(self) -> Unmapped | None:
        """As whom DAGs that nobody has named are let through, if they are."""
        return self._unmapped

    def principals(self) -> Iterator[Principal]:
        """Every principal that is known before a request comes: those of DAGs that have a name of their own."""
        return (_principal(rules, dag_id) for dag_id, rules in self._dags.items() if rules.is_active)


def _principal(rules: DagRules, dag_id: str) -> Principal:
    return Principal(rules.role_arn, session_name(dag_id), rules.home[1], dag_id)


def _refused(reason: Reason, message: str, rule: str = "") -> Decision:
    return Decision(reason, message, rule, None)


def _judge_all(ready: _Ready, identity: Identity, operation: Operation, now: float, environment: str) -> Decision:
    """Judge each touch; the first that is not allowed is the answer. An operation that touches nothing is refused."""
    if not operation.touches:
        return _refused(Reason.UNSUPPORTED_OPERATION, messages.touches_nothing(identity.dag_id, operation))
    rules: dict[str, Decision] = {}
    for _, decision in _judged(ready, identity, operation, now, environment):
        if decision.reason is not _ALLOWED:
            return decision
        rules[decision.rule] = decision
    if len(rules) == 1:
        return decision
    return Decision(Reason.ALLOWED, "", ", ".join(rules), ready.principal)


def _let_through(
    ready: _Ready,
    identity: Identity,
    operation: Operation,
    now: float,
    environment: str,
    denial: Decision,
    passable: frozenset[Reason],
) -> Decision:
    """Let pass what was denied, unless a touch is denied for more than that, or is an escalation that no rule names."""
    if not operation.touches:
        return _refused(Reason.UNSUPPORTED_OPERATION, messages.touches_nothing(identity.dag_id, operation))
    for action, decision in _judged(ready, identity, operation, now, environment):
        if decision.reason is Reason.ALLOWED:
            continue
        if decision.reason not in passable:
            return decision
        if action in ESCALATIONS:
            return denial
    limits = None
    if Reason.DENIED_BY_RULE not in passable:  # what holds for the request holds for what comes back
        rules = (
            r for action, table, index, *_ in operation.touches for r in ready.rules.deny if r.may_deny(action, table.name, index)
        )
        limits = AttributeLimits(None, denied_attributes(rules, identity.task_id))
    return Decision(Reason.OBSERVED, denial.message, denial.rule, ready.principal, denial.reason, limits)


def _judged(
    ready: _Ready, identity: Identity, operation: Operation, now: float, environment: str
) -> Iterator[tuple[str, Decision]]:
    """Each touch's action with its decision. Those that name the same in a row meet the same rules; most often one allows all."""
    for _, run in groupby(operation.touches, NAMES):
        touches = tuple(run)
        action = touches[0].action
        met = _rules_met(ready, identity, operation, touches[0])
        if not isinstance(met, Case):
            yield action, met
        elif (rule := met.rule_for_all(touches, identity, now)) is not None:
            yield action, ready.grant(rule)
        else:
            for touch in touches:
                asked = Asked(identity, touch, met.keys, now)
                found = met.judge(asked)
                if isinstance(found, Verdict):
                    yield action, _explained(ready.rules, operation, asked, found, environment)
                else:
                    yield action, ready.grant(found, denied_attributes(met.deny, identity.task_id))


def _rules_met(ready: _Ready, identity: Identity, operation: Operation, touch: Touch) -> Decision | Case:
    """What names alone decide of a touch, or the rules that its request is held against."""
    rules, (action, table, index) = ready.rules, touch[:3]
    if table[1:] != _OWN:
        if not table.is_at(rules.home):
            return _refused(Reason.FOREIGN_TABLE, messages.foreign_table(identity.dag_id, rules, operation, touch), rules.place)
        table = TableReference(table.name)
    key = (action, table, index)
    met = ready.decisions.get(key) or ready.cases.get(key)
    if met is None:
        met = case = rules.case(identity.dag_id, action, table.name, index)
        if case.allow and len(ready.decisions) + len(ready.cases) < _MAX_CASES:
            if case.is_settled:
                return ready.decisions.setdefault(key, ready.grant(case.allow[0]))
            ready.cases[key] = case
    return met


def _explained(rules: DagRules, operation: Operation, asked: Asked, verdict: Verdict, environment: str) -> Decision:
    """The refusal with its sentence."""
    reason, rule, requirement = verdict
    dag_id, touch = asked.identity.dag_id, asked.touch
    if requirement is not None:
        return _refused(reason, shortfalls.requirement(requirement, operation, asked), requirement.rule.place)
    if rule is None or reason is Reason.NO_RULE:
        nearest, message = messages.no_rule(asked, rules, operation, environment)
        return _refused(reason, message, nearest)
    if reason is Reason.DENIED_BY_RULE:
        return _refused(reason, shortfalls.denied_by_rule(rule, operation, asked), rule.place)
    if reason is Reason.OUTSIDE_KEYS:
        return _refused(reason, shortfalls.outside_keys(rule, operation, asked), rule.place)
    if reason is Reason.OUTSIDE_ATTRIBUTES:
        return _refused(reason, shortfalls.outside_attributes(rule, operation, asked), rule.place)
    return _refused(reason, messages.table_outside(dag_id, rules, rule, operation, touch), rule.place)
