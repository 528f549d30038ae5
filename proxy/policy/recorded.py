"""Recorded traffic: audit records of decisions as requests that can be judged again, as far as a record goes.

A record says who asked and what was touched, and holds no key, attribute or value. What a rule asks of those is unknown,
unless the record itself tells it: what was allowed was covered by no deny rule of its time, and by the allow rule that it
names. Where neither says it, the answer is `undetermined`.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.actions import ITEM, PARTIQL
from proxy.model import Evidence, Identity, Operation, Subject, TableReference, Touch
from proxy.policy.considered import Unrecorded, asked_of
from proxy.policy.diff import ALLOW, DENY, OBSERVE, content_of, fingerprint, letting_of, shape_of, state_of
from proxy.refusal import Reason, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from proxy.model import Facts
    from proxy.policy.cases import DagRules
    from proxy.policy.coverage import Rule
    from proxy.policy.rules import Policies

UNDETERMINED = "undetermined"
_ARN = re.compile(r"arn:([^:]*):dynamodb:([^:]*):([^:]*):table/(.*)")
_MOST_EXAMPLES = 3
# Refusals after which it is known that no deny rule covered the request, every requirement was met and no allow rule covered it.
_NOT_GIVEN = frozenset({Reason.NO_RULE, Reason.OUTSIDE_KEYS, Reason.OUTSIDE_ATTRIBUTES})
_POLICY = frozenset({*_NOT_GIVEN, Reason.ALLOWED, Reason.DENIED_BY_RULE, Reason.REQUIREMENT_NOT_MET, Reason.OUTSIDE_BOUNDARY})


class Record(NamedTuple):
    """One decision as the audit has it."""

    id: str
    time: float
    identity: Identity
    operation: Operation
    reason: Reason  # of the policy: what was only observed has the reason of its denial
    state: str  # allow, observe, deny
    rules: frozenset[str]  # places that decided, by the file's own name
    policy_digest: str
    members: int  # of a batch or transaction, or 1


class TrafficChange(NamedTuple):
    """Recorded requests whose decision changes, or may. `examples`: decision ids."""

    dag: str
    operation: str
    tables: tuple[str, ...]
    before: str
    after: str
    requests: int
    examples: tuple[str, ...]


class RecordedFacts:
    """A `Facts` of which nothing was kept."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """Raises Unrecorded: whatever is asked, the record does not hold it."""
        raise Unrecorded(name)


_FACTS: Facts = RecordedFacts()


# ------------------------------------------------------------------------------------------------- reading


def read_records(lines: Iterable[str]) -> Iterator[Record]:
    """Decisions that a policy made; other records, and lines that are none, are passed over."""
    for line in lines:
        if '"decision"' not in line:
            continue
        try:
            fields = json.loads(line)
        except ValueError:  # the last line of a file that is being written
            continue
        if isinstance(fields, dict) and fields.get("record") == "decision":
            record = record_of(fields)
            if record is not None:
                yield record


def record_of(fields: Mapping[str, Any]) -> Record | None:
    """None where the decision was not a policy's, or nothing is known of what was asked."""
    try:
        recorded = Reason(fields["reason"])
        reason = Reason(fields["would_deny"]) if fields.get("would_deny") else recorded
        touches = tuple(_touch(*touch[:3]) for touch in fields["touches"])
        time = datetime.fromisoformat(fields["time"]).timestamp()
        identity = _identity(fields)
        operation = Operation(fields["operation"], "", False, touches, b"")  # a write or not matters to batches in words only
        digest, rules, decision_id = str(fields["policy_digest"]), str(fields["rule"]), str(fields["id"])
    except (KeyError, TypeError, ValueError):
        return None
    if reason not in _POLICY | {Reason.UNKNOWN_DAG} or not touches or not identity.dag_id:
        return None
    state = {Reason.ALLOWED: ALLOW, Reason.OBSERVED: OBSERVE}.get(recorded, DENY)
    members = sum(int(touch[3]) for touch in fields["touches"])
    places = frozenset(_at(place) for place in rules.split(", "))
    return Record(decision_id, time, identity, operation, reason, state, places, digest, members)


def _at(place: str) -> str:
    """A place by the file's own name: the gateway's folder and the reader's are not called alike."""
    return PurePath(place).name


def _touch(action: str, table: str, index: str) -> Touch:
    match = _ARN.fullmatch(table)
    reference = TableReference(match[4], match[1], match[2], match[3]) if match else TableReference(table)
    return Touch(action, reference, index, 0, _FACTS if action in ITEM | PARTIQL else None)


def _identity(fields: Mapping[str, Any]) -> Identity:
    """Who asked, as far as a rule asks for it or `explain` tells it."""
    subject = Subject(str(fields["issuer"]), str(fields["subject"]), {}, (), 0.0, "")
    dag_id, evidence, source = str(fields["dag"]), Evidence(fields["evidence"]), fields.get("source", "")
    return Identity(subject, dag_id, evidence, source, "", task_id=fields.get("task_id") or "")


# ------------------------------------------------------------------------------------------------- judging


_Known = dict[tuple[object, ...], bool]  # fingerprint of a rule -> did it cover the request


def diff_traffic(records: Iterable[Record], old: Policies, new: Policies) -> list[TrafficChange]:
    """Recorded requests that would be decided otherwise by `new` than by `old`, each judged as of its own time."""
    found: dict[tuple[str, str, tuple[str, ...], str, str], list[str]] = {}
    settled: dict[str, bool] = {}
    for record in records:
        dag_id = record.identity.dag_id
        if dag_id not in settled:
            settled[dag_id] = _is_same(dag_id, old, new)
        if settled[dag_id]:
            continue
        known = _told_by(record, old)
        before = record.state if record.policy_digest == old.digest else judge(record, old, {})
        after = judge(record, new, known)
        if before != after or after == UNDETERMINED:
            tables = tuple(sorted({_shown(touch) for touch in record.operation.touches}))
            found.setdefault((dag_id, record.operation.name, tables, before, after), []).append(record.id)
    return [
        TrafficChange(dag, operation, tables, before, after, len(ids), tuple(ids[:_MOST_EXAMPLES]))
        for (dag, operation, tables, before, after), ids in found.items()
    ]


def _shown(touch: Touch) -> str:
    return touch.table.name + (f" index {touch.index}" if touch.index else "")


def _is_same(dag_id: str, old: Policies, new: Policies) -> bool:
    """True if all that bears on a DAG is the same in both versions."""
    return content_of(old, dag_id) == content_of(new, dag_id) and letting_of(old) == letting_of(new)


def judge(record: Record, policies: Policies, known: Mapping[Touch, _Known]) -> str:
    """`allow`, `observe`, `deny` or `undetermined`."""
    try:
        return state_of(policies.decide(record.identity, record.operation, record.time))
    except Unreadable:
        rules = policies.rules_of(record.identity.dag_id)
    if rules is None:  # observed through `unmapped`, but for a deny that cannot be judged
        return UNDETERMINED
    answers = {_is_allowed(rules, record, touch, known.get(touch, {})) for touch in record.operation.touches}
    if False in answers:
        return OBSERVE if policies.observes else DENY
    return UNDETERMINED if None in answers else ALLOW


def _is_allowed(rules: DagRules, record: Record, touch: Touch, known: _Known) -> bool | None:
    """Whether a touch is allowed; None where that is not known."""
    asked = asked_of(rules, record.identity, touch, record.time)
    case = rules.case(record.identity.dag_id, asked.touch.action, asked.touch.table.name, asked.touch.index)

    def asks(rule: Rule, effect: object, ask: Callable[[], bool]) -> bool | None:
        told = known.get(fingerprint(rule, effect))
        if told is not None:
            return told
        try:
            return ask()
        except Unreadable:
            return None

    stops = [asks(rule, "deny", lambda rule=rule: rule.denies(asked)) for rule in case.deny]  # type: ignore[misc]  # mypy cannot infer such lambdas
    stops += [asks(r.rule, shape_of(r), lambda r=r: any(r.lacks(asked))) for r in case.require]  # type: ignore[misc]  # mypy cannot infer such lambdas
    gives = [asks(rule, "allow", lambda rule=rule: rule.gap(asked) is None) for rule in case.allow]  # type: ignore[misc]  # mypy cannot infer such lambdas
    if (
        any(asked.touch.table[1:])
        or not case.is_inside
        or not rules.is_active
        or True in stops
        or not any(g is not False for g in gives)
    ):
        return False
    return True if True in gives and None not in stops else None


def _told_by(record: Record, old: Policies) -> dict[Touch, _Known]:
    """What the record itself proves of the rules that were asked; nothing if they were others, or were not asked at all."""
    rules = old.rules_of(record.identity.dag_id)
    if record.policy_digest != old.digest or rules is None or not rules.is_active:
        return {}
    if record.reason is not Reason.ALLOWED and record.members > 1:
        return {}  # one of the members was refused, and nobody can say which
    return {touch: _known_of(record, touch, rules) for touch in record.operation.touches}


def _known_of(record: Record, touch: Touch, rules: DagRules) -> _Known:
    asked = asked_of(rules, record.identity, touch, record.time)
    case = rules.case(record.identity.dag_id, asked.touch.action, asked.touch.table.name, asked.touch.index)
    reason, known = record.reason, _Known()
    if reason is Reason.DENIED_BY_RULE:
        return {fingerprint(rule, "deny"): True for rule in case.deny if _at(rule.place) in record.rules}
    if reason is not Reason.OUTSIDE_BOUNDARY:
        known |= {fingerprint(rule, "deny"): False for rule in case.deny}
    if reason is Reason.REQUIREMENT_NOT_MET:
        return known | {fingerprint(r.rule, shape_of(r)): True for r in case.require if _at(r.rule.place) in record.rules}
    if reason is Reason.ALLOWED or reason in _NOT_GIVEN:
        known |= {fingerprint(r.rule, shape_of(r)): False for r in case.require}
    if reason in _NOT_GIVEN:
        known |= {fingerprint(rule, "allow"): False for rule in case.allow}
    named = [rule for rule in case.allow if _at(rule.place) in record.rules]
    if reason is Reason.ALLOWED and len(named) == 1:
        known[fingerprint(named[0], "allow")] = True
    return known
