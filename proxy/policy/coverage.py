"""What one rule covers. Half of it can be said of an action, a table and an index alone; the rest needs the request itself.

An allow rule covers what the request proves to be within it, a deny rule whatever the request does not prove to be without:
so what cannot be proven is never allowed by the one and always stopped by the other. Facts are read when a rule asks for
them, and never before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, auto
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from proxy.model import Evidence
from proxy.policy.keys import KeyAttribute
from proxy.policy.vocabulary import METADATA, SHAPES, WITHOUT_ATTRIBUTES, WITHOUT_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxy.globs import Globs
    from proxy.model import Facts, Identity, Touch
    from proxy.policy.keys import KeyLimit, LeadingKeys

_UNKNOWN = (KeyAttribute("", ""),)  # where no key is known: it proves nothing, and yet shows whether a request can be read


class Asked(NamedTuple):
    """One touch as it is judged: by whom, when, on a table or index led by which keys."""

    identity: Identity
    touch: Touch
    keys: LeadingKeys
    now: float


class AttributeLimits(NamedTuple):
    """Which attributes an allowed request may bring to sight: those `allowed` (None: all), but for those `denied`."""

    allowed: frozenset[str] | None
    denied: frozenset[str]

    def permit(self, names: Iterable[str]) -> bool:
        """True if all of these may be seen."""
        return (self.allowed is None or self.allowed.issuperset(names)) and self.denied.isdisjoint(names)


class Gap(IntEnum):
    """Why an allow rule for the right action and table does not cover a request; the later, the nearer it came."""

    TASK = auto()  # it is for other tasks
    ENDED = auto()  # it was a grant until some moment
    KEYS = auto()  # a partition key is outside, or not proven to be inside
    ATTRIBUTES = auto()  # other attributes are named, come back or are lost


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
    keys: KeyLimit | None = None
    attributes: frozenset[str] | None = None
    until: float = inf  # a grant's end

    # ------------------------------------------------------------------ by action, table and index

    def names_action(self, action: str) -> bool:
        """True if the rule has the action."""
        return self.actions is None or action in self.actions

    def grants_index(self, index: str) -> bool:
        """True if, as an allow rule, it covers this index, or the table itself where `index` is empty."""
        return not index if self.indexes is None else bool(index) and self.indexes.match(index)

    def may_allow(self, action: str, table: str, index: str) -> bool:
        """True if, as an allow rule, it covers this whatever else the request says, or for some requests.

        What needs no table (ListTables) is covered by its exact action, whatever the rule's tables.
        """
        return (
            self.is_active
            and self.names_action(action)
            and self.grants_index(index)
            and (self.tables.match(table) if table else action in WITHOUT_TABLE)
        )

    def may_deny(self, action: str, table: str, index: str) -> bool:
        """True if, as a deny rule, it covers this whatever else the request says, or for some requests."""
        if not self.is_active or not self.names_action(action):
            return False
        if self.attributes is not None and action in WITHOUT_ATTRIBUTES:
            return False
        if self.keys is not None and action in METADATA:
            return False
        if self.indexes is not None and not (index and self.indexes.match(index)):
            return False
        return self.tables.match(table) or (not table and self.actions is not None)

    @property
    def has_conditions(self) -> bool:
        """True if only the request itself can say whether the rule covers it."""
        return self.tasks is not None or self.keys is not None or self.attributes is not None or self.until != inf

    # ---------------------------------------------------------------------------- by the request

    def gap(self, asked: Asked) -> Gap | None:
        """What keeps this allow rule from covering the request; None if it covers it. May raise Unreadable."""
        if not self.grants_task(asked.identity.task_id):
            return Gap.TASK
        if asked.now >= self.until:
            return Gap.ENDED
        if self.keys is not None and not _hold_inside(self.keys, (asked.touch,), asked.keys, asked.identity):
            return Gap.KEYS
        if self.attributes is not None and not _keeps_to(self.attributes, asked.touch.facts, asked.keys):
            return Gap.ATTRIBUTES
        return None

    def holds_for_all(self, touches: Sequence[Touch], keys: LeadingKeys, identity: Identity) -> bool:
        """True if each touch is within the rule's keys and attributes; of an index, all by the same key. May raise Unreadable."""
        if self.keys is not None and not _hold_inside(self.keys, touches, keys, identity):
            return False
        attributes = self.attributes
        return attributes is None or all(_keeps_to(attributes, touch.facts, keys) for touch in touches)

    def denies(self, asked: Asked) -> bool:
        """True if this deny rule covers the request; a rule for some tasks covers an unknown one too. May raise Unreadable."""
        task_id = asked.identity.task_id
        if self.tasks is not None and task_id and not self.tasks.match(task_id):
            return False
        if self.keys is not None and self._holds_outside(self.keys, asked):
            return False
        return self.attributes is None or _meets_attributes(self.attributes, asked)

    def of_dag(self, dag_id: str) -> Rule:
        """The rule as it is for one DAG."""
        return replace(self, keys=self.keys.of_dag(dag_id)) if self.keys is not None else self

    def grants_task(self, task_id: str) -> bool:
        """True if, as an allow rule, it is for this task; a rule for some tasks is not for an unknown one."""
        return self.tasks is None or (bool(task_id) and self.tasks.match(task_id))

    def _holds_outside(self, limit: KeyLimit, asked: Asked) -> bool:
        """The leading key is outside: of the index alone where the rule names indexes, else of table and index both."""
        facts = asked.touch.facts
        if facts is None:
            return False
        keys = asked.keys
        needed = [] if self.indexes is not None else [keys.table]
        if asked.touch.index:
            needed.append(keys.of_index)
        for attribute in needed:
            # asked for in any case: what cannot be read is not merely denied, for a denial may only be observed
            pin = facts.pin(attribute.name if attribute is not None else "")
            if attribute is None or not limit.is_outside(attribute, pin, asked.identity):
                return False
        return True


def denied_attributes(deny: Iterable[Rule], task_id: str) -> frozenset[str]:
    """The attributes that these deny rules keep from a task; from an unknown one all, as they deny it."""
    rules = (rule for rule in deny if rule.tasks is None or not task_id or rule.tasks.match(task_id))
    return frozenset().union(*(rule.attributes for rule in rules if rule.attributes is not None))


class AttributeGap(NamedTuple):
    """What of a request lies outside of a list of attributes; with nothing in it, the whole item is lost. No values."""

    names: tuple[str, ...] = ()
    whole: str = ""  # how the whole item comes back
    is_unknown: bool = False  # the operation says nothing of attributes


def attribute_gap(attributes: frozenset[str], asked: Asked) -> AttributeGap:
    """What a request that does not keep to these attributes names, brings back or loses beside them. May raise Unreadable."""
    facts = asked.touch.facts
    if facts is None:
        return AttributeGap(is_unknown=True)
    if not facts.named <= attributes:
        return AttributeGap(names=tuple(sorted(facts.named - attributes)))
    return AttributeGap(whole=facts.whole)


def _hold_inside(limit: KeyLimit, touches: Sequence[Touch], keys: LeadingKeys, identity: Identity) -> bool:
    """The leading key of what is read is inside; of an index, either its own or the table's where that is pinned too."""
    for attribute in keys.both or _UNKNOWN:
        pins = [touch.facts.pin(attribute.name) if touch.facts is not None else None for touch in touches]
        if limit.are_inside(attribute.kind, pins, identity):
            return True
    return False


def _keeps_to(attributes: frozenset[str], facts: Facts | None, keys: LeadingKeys) -> bool:
    """True if there is no gap. This names none: a request can have 60,000 attributes, and a policy many rules to compare with."""
    if facts is None or not facts.named <= attributes or facts.whole:
        return False
    return not facts.replaces or _is_new(facts, keys)


def _is_new(facts: Facts, keys: LeadingKeys) -> bool:
    """True if a condition proves that there is no item yet: then nothing is replaced."""
    return keys.table is not None and keys.table.name in facts.absent


def _meets_attributes(attributes: frozenset[str], asked: Asked) -> bool:
    facts = asked.touch.facts
    return facts is None or bool(facts.whole) or not attributes.isdisjoint(facts.named)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A shape that requests must have. `rule` says which requests, read as a deny rule's; 0 and False ask for nothing."""

    rule: Rule
    max_limit: int = 0
    max_segments: int = 0
    condition: bool = False
    client_token: bool = False
    evidence: bool = False

    def lacks(self, asked: Asked) -> tuple[str, str]:
        """What the request lacks and what to write, or two empty strings. May raise Unreadable."""
        if not self.rule.denies(asked):  # it is for other tasks
            return "", ""
        action, facts = asked.touch.action, asked.touch.facts
        if self.evidence and asked.identity.evidence is not Evidence.VERIFIED:
            return "a verified dag", "let the token itself name the dag, not a header beside it"
        if self.max_limit and action in SHAPES["max_limit"]:
            limit = facts.limit if facts else None
            if limit is None or limit > self.max_limit:
                return f"a Limit of at most {self.max_limit}", f"write Limit={self.max_limit} and read page by page"
        if self.max_segments and action in SHAPES["max_segments"] and (not facts or facts.total_segments > self.max_segments):
            return f"at most {self.max_segments} segments", f"write TotalSegments={self.max_segments} or less"
        if self.condition and action in SHAPES["condition"] and not (facts and facts.has_condition):
            return "a condition", "write ConditionExpression; BatchWriteItem has none, TransactWriteItems does"
        if self.client_token and action in SHAPES["client_token"] and not (facts and facts.has_client_token):
            return "a client token", "write it as TransactWriteItems with ClientRequestToken"
        return "", ""
