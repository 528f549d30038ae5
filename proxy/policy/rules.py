"""May this DAG do this? A decision is a value with a closed reason, the rule that decided, and the only way to a role.

Order: deny, then allow within the team's boundary, then no. Each thing that an operation touches is judged; one that is
not allowed refuses the whole request. What a DAG may always do is made ready once, so that the usual answer costs two
look-ups; whatever is not ready (denials, rules for some tasks, ARNs, batches) is judged rule by rule.
"""

from __future__ import annotations

import re
import uuid
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from proxy.model import Principal, TableReference
from proxy.policy import messages
from proxy.policy.patterns import session_name
from proxy.policy.vocabulary import ACTIONS
from proxy.refusal import Forbidden, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.globs import Globs
    from proxy.model import Identity, Operation, Touch, Workload

OTHER = "other"
_DAG_ID = re.compile(r"[\w.-]{1,250}")
_MAX_GLOBBED = 4096  # DAGs known by glob only whose ready decisions are kept
_OWN = ("", "", "")  # partition, Region and account of a bare table name


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed, as whom, and by which rule; or refused, why, and what to do. `message` is one line without the decision id."""

    reason: Reason
    message: str
    rule: str  # file:line; several, joined by a comma, for the members of a batch
    principal: Principal | None

    def granted_role(self) -> Principal:
        """The principal to sign as. Raises Forbidden unless the decision allows."""
        if self.reason is not Reason.ALLOWED or self.principal is None:
            raise Forbidden(self.reason, self.message, rule=self.rule)
        return self.principal


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as it holds in one environment: real table names, patterns compiled.

    An allow rule without `indexes` covers tables and none of their indexes; with `indexes` it covers exactly these
    indexes and not the tables. A deny rule without `indexes` covers tables and every index of theirs.
    A task id may be merely claimed: `tasks` guards against mistakes, the DAG is the border.
    """

    place: str  # file:line
    has: str  # its actions as written
    actions: frozenset[str] | None  # None: whatever there is
    tables: Globs
    indexes: Globs | None
    tasks: Globs | None
    environments: tuple[str, ...]  # empty: all
    is_active: bool  # False: `environments` leaves this one out; kept for messages
    owner: str  # whom to ask about it

    def names_action(self, action: str) -> bool:
        """True if the rule has the action."""
        return self.actions is None or action in self.actions

    def grants_index(self, index: str) -> bool:
        """True if, as an allow rule, it covers this index, or the table itself where `index` is empty."""
        return not index if self.indexes is None else bool(index) and self.indexes.match(index)

    def grants_task(self, task_id: str) -> bool:
        """True if, as an allow rule, it is for this task; a rule for some tasks is not for an unknown one."""
        return self.tasks is None or (bool(task_id) and self.tasks.match(task_id))

    def allows(self, action: str, table: str, index: str, task_id: str) -> bool:
        """True if, as an allow rule, it covers all of this."""
        return (
            self.is_active
            and self.names_action(action)
            and self.grants_index(index)
            and self.grants_task(task_id)
            and self.tables.match(table)
        )

    def denies(self, action: str, table: str, index: str, task_id: str) -> bool:
        """True if, as a deny rule, it covers this; a rule for some tasks covers an unknown one too."""
        return (
            self.is_active
            and self.names_action(action)
            and (self.indexes is None or (bool(index) and self.indexes.match(index)))
            and (self.tasks is None or not task_id or self.tasks.match(task_id))
            and self.tables.match(table)
        )


@dataclass(frozen=True, slots=True)
class Boundary:
    """The most that a team's files can grant (platform.yaml, `teams`)."""

    team: str
    place: str
    dags: Globs
    tables: Globs
    owner: str  # whom to ask for more


@dataclass(frozen=True, slots=True)
class DagRules:
    """Everything that holds for one DAG, or for those that one glob names, in one environment."""

    pattern: str
    place: str
    role_arn: str
    home: tuple[str, str, str]  # partition, Region, account of the tables that are its own
    allow: tuple[Rule, ...]  # its own before the defaults of its file
    deny: tuple[Rule, ...]
    boundary: Boundary | None
    owner: str
    environments: tuple[str, ...]  # empty: all
    is_active: bool

    def judge(self, action: str, table: str, index: str, task_id: str) -> tuple[Reason, Rule | None]:
        """The reason, and the rule that gave it. `table` is a real name in the DAG's own account and Region."""
        for rule in self.deny:
            if rule.denies(action, table, index, task_id):
                return Reason.DENIED_BY_RULE, rule
        for rule in self.allow:
            if rule.allows(action, table, index, task_id):
                is_inside = self.boundary is None or self.boundary.tables.match(table)
                return (Reason.ALLOWED if is_inside else Reason.OUTSIDE_BOUNDARY), rule
        return Reason.NO_RULE, None

    def granted(self) -> Iterator[tuple[str, str, str, Rule]]:
        """Action, table and index of everything that is allowed whatever the task, with the rule that allows it."""
        for candidate in self.allow:
            for table in candidate.tables.patterns:
                for index in candidate.indexes.patterns if candidate.indexes is not None else ("",):
                    for action in ACTIONS:
                        reason, rule = self.judge(action, table, index, "")
                        if reason is Reason.ALLOWED and rule is not None:
                            yield action, table, index, rule


class Home(NamedTuple):
    """Where a DAG that nobody has named would be written: a file, the DAGs that may stand there, whom to ask."""

    file: str
    dags: Globs | None  # None: any
    owner: str


class _Ready(NamedTuple):
    """One DAG id, met: what it is always allowed, by (action, table, index, 0), which is what a single Touch equals."""

    rules: DagRules
    principal: Principal
    decisions: dict[tuple[str, TableReference, str, int], Decision]


class Policies:
    """The policies of one environment: an immutable snapshot, but for what it has made ready."""

    __slots__ = ("_dags", "_globbed", "_globs", "_homes", "_ready", "_tables", "dag_of_key", "digest", "environment", "workloads")

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
    ) -> None:
        self.digest = digest
        self.environment = environment
        self.workloads = workloads
        self.dag_of_key: Mapping[str, str] = {str(uuid.uuid5(uuid.NAMESPACE_OID, dag_id)): dag_id for dag_id in dags}
        self._dags = dags
        self._globs = globs
        self._tables = tables
        self._homes = homes
        self._ready: dict[str, _Ready] = {}
        self._globbed: deque[str] = deque()

    # ------------------------------------------------------------------------------------- deciding

    def decide(self, identity: Identity, operation: Operation) -> Decision:
        """Judge everything that the operation touches. Never raises; default is no."""
        ready = self._ready.get(identity.dag_id)
        if ready is None:
            found = self._meet(identity)
            if isinstance(found, Decision):
                return found
            ready = found
        touches = operation.touches
        if len(touches) == 1:
            decision = ready.decisions.get(touches[0])
            if decision is not None:
                return decision
        return _judge_all(ready, identity, operation, self.environment)

    def _meet(self, identity: Identity) -> _Ready | Decision:
        """Make ready what the DAG is always allowed; or say why it is allowed nothing at all."""
        dag_id = identity.dag_id
        rules = self._dags.get(dag_id)
        if rules is None:
            matching = self._matching(dag_id)
            if not matching:
                return _refused(Reason.UNKNOWN_DAG, messages.unknown_dag(identity, self._homes, self._dags))
            if len(matching) > 1:
                return _refused(Reason.NO_RULE, messages.several_globs(dag_id, matching), matching[0].place)
            rules = matching[0]
        if not rules.is_active:
            return _refused(Reason.NO_RULE, messages.other_environment(dag_id, rules, self.environment), rules.place)
        if rules.boundary is not None and not rules.boundary.dags.match(dag_id):
            return _refused(Reason.OUTSIDE_BOUNDARY, messages.dag_outside(dag_id, rules, rules.boundary), rules.boundary.place)
        return self._keep(dag_id, _made_ready(rules, dag_id))

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

    def principals(self) -> Iterator[Principal]:
        """Every principal that is known before a request comes: those of DAGs that have a name of their own."""
        return (_principal(rules, dag_id) for dag_id, rules in self._dags.items() if rules.is_active)


def _principal(rules: DagRules, dag_id: str) -> Principal:
    return Principal(rules.role_arn, session_name(dag_id), rules.home[1], dag_id)


def _made_ready(rules: DagRules, dag_id: str) -> _Ready:
    principal = _principal(rules, dag_id)
    by_rule: dict[str, Decision] = {}
    decisions = {}
    for action, table, index, rule in rules.granted():
        decision = by_rule.setdefault(rule.place, Decision(Reason.ALLOWED, "", rule.place, principal))
        decisions[action, TableReference(table), index, 0] = decision
    return _Ready(rules, principal, decisions)


def _refused(reason: Reason, message: str, rule: str = "") -> Decision:
    return Decision(reason, message, rule, None)


def _judge_all(ready: _Ready, identity: Identity, operation: Operation, environment: str) -> Decision:
    """Judge each touch; the first that is not allowed is the answer. An operation that touches nothing is refused."""
    if not operation.touches:
        return _refused(Reason.UNSUPPORTED_OPERATION, messages.touches_nothing(identity.dag_id, operation))
    rules: dict[str, Decision] = {}
    for touch in operation.touches:
        decision = _judge(ready, identity, operation, touch, environment)
        if decision.reason is not Reason.ALLOWED:
            return decision
        rules.setdefault(decision.rule, decision)
    if len(rules) == 1:
        return next(iter(rules.values()))
    return Decision(Reason.ALLOWED, "", ", ".join(rules), ready.principal)


def _judge(ready: _Ready, identity: Identity, operation: Operation, touch: Touch, environment: str) -> Decision:
    rules, table = ready.rules, touch.table
    if table[1:] != _OWN:
        if table[1:] != rules.home:
            return _refused(Reason.FOREIGN_TABLE, messages.foreign_table(identity.dag_id, rules, operation, touch), rules.place)
        table = TableReference(table.name)
    decision = ready.decisions.get((touch.action, table, touch.index, 0))
    if decision is not None:
        return decision
    reason, rule = rules.judge(touch.action, table.name, touch.index, identity.task_id)
    if rule is None:
        nearest, message = messages.no_rule(identity, rules, operation, touch, environment)
        return _refused(reason, message, nearest)
    if reason is Reason.ALLOWED:
        return Decision(reason, "", rule.place, ready.principal)
    if reason is Reason.DENIED_BY_RULE:
        return _refused(reason, messages.denied_by_rule(identity.dag_id, rule, operation, touch), rule.place)
    return _refused(reason, messages.table_outside(identity.dag_id, rules, rule, operation, touch), rule.place)
