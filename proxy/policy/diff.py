"""Which decisions change between two versions of the policies: for every environment, DAG, action, table and index.

Asked are the names that the files have, and one stranger of each kind: of task, key and attribute, and for every glob a DAG
of that name. Only where rules of a DAG differ is anything asked, and by `Policies.decide` itself. DAGs whose rules change
alike are told together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.actions import ALL
from proxy.policy.samples import CHOICES, Sample, operation_for, samples_for
from proxy.refusal import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.policy.cases import DagRules
    from proxy.policy.coverage import Requirement, Rule
    from proxy.policy.rules import Decision, Policies

ALLOW, OBSERVE, DENY = "allow", "observe", "deny"


class Change(NamedTuple):
    """Decisions that change alike. `when`: which requests, empty for all; `ground`: the rule or reason of the new decision."""

    environment: str
    dags: tuple[str, ...]
    actions: tuple[str, ...]
    table: str
    index: str  # type: ignore[assignment]  # hides tuple.index, which nobody means here
    when: str
    before: str  # allow, observe, deny
    after: str
    ground: str

    @property
    def is_gain(self) -> bool:
        """True if more is let through than before."""
        return self.before != ALLOW and self.after != DENY


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that changes; `notes`: what no decision shows, such as another role."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """True if nothing changes."""
        return not self.changes and not self.notes


def diff_policies(old: Iterable[Policies], new: Iterable[Policies], now: float) -> Difference:
    """What changes from one version to the other. `old` and `new` have one snapshot for each environment; `now` ends grants."""
    before = {policies.environment: policies for policies in old}
    after = {policies.environment: policies for policies in new}
    changes: list[Change] = []
    notes: list[str] = []
    for name in dict.fromkeys((*before, *after)):
        if name not in before or name not in after:
            notes.append(f"environment {name or '(none)'} is {'new' if name in after else 'gone'}, with all of its decisions")
            continue
        changes += _changes(before[name], after[name], now)
        notes += _notes(before[name], after[name])
    return Difference(tuple(changes), tuple(notes))


def _changes(old: Policies, new: Policies, now: float) -> Iterator[Change]:
    groups: dict[tuple[object, ...], list[str]] = {}
    for pattern in _patterns(old, new):
        dag_id = dag_of(pattern)
        alike = (content_of(old, dag_id), content_of(new, dag_id))
        if alike[0] != alike[1]:
            groups.setdefault(alike, []).append(pattern)
    changes: dict[Change, list[str]] = {}  # without its DAGs -> the DAGs
    for patterns in groups.values():
        actions: dict[Change, list[str]] = {}  # without its actions -> the actions
        for change in _changes_of(dag_of(patterns[0]), old, new, now):
            actions.setdefault(change._replace(actions=()), []).extend(change.actions)
        for change, several in actions.items():
            changes.setdefault(change._replace(actions=tuple(several)), []).extend(patterns)
    for change, patterns in changes.items():
        yield change._replace(dags=tuple(patterns))


def _patterns(old: Policies, new: Policies) -> list[str]:
    """DAGs and globs of both versions."""
    return list(dict.fromkeys(rules.pattern for policies in (old, new) for rules in policies.dag_rules()))


def dag_of(pattern: str) -> str:
    """A DAG that a pattern names, and surely no other pattern by its own name."""
    return pattern.replace("*", "stranger").replace("?", "x")


def letting_of(policies: Policies) -> tuple[object, ...]:
    """What lets through beside the rules."""
    return policies.observes, policies.unmapped.until if policies.unmapped else None


def _changes_of(dag_id: str, old: Policies, new: Policies, now: float) -> Iterator[Change]:
    """What changes for one DAG, each action by itself."""
    before, after = old.rules_of(dag_id), new.rules_of(dag_id)
    for action, table, index in _places(before, after):
        found: dict[tuple[str, str, str], list[Sample]] = {}
        samples = samples_for(before, after, action, table, index)
        for sample in samples:
            identity, operation = operation_for(sample, dag_id, action, table, index, (before, after))
            first, second = old.decide(identity, operation, now), new.decide(identity, operation, now)
            if state_of(first) != state_of(second):
                key = (state_of(first), state_of(second), _ground(first, second))
                found.setdefault(key, []).append(sample)
        for (was, comes, ground), changed in found.items():
            yield Change(old.environment, (), (action,), table, index, _when(changed, samples), was, comes, ground)


def state_of(decision: Decision) -> str:
    """`allow`, `observe` or `deny`."""
    return {Reason.ALLOWED: ALLOW, Reason.OBSERVED: OBSERVE}.get(decision.reason, DENY)


def _ground(before: Decision, after: Decision) -> str:
    """The rule that decides now; where there is none any more, the one that did."""
    if after.reason in (Reason.NO_RULE, Reason.UNKNOWN_DAG):
        return f"{after.reason}, was {before.rule}"
    return f"{after.reason} {after.rule}".rstrip()


def _when(changed: list[Sample], samples: list[Sample]) -> str:
    """By what the requests that change differ from those that do not."""
    told = []
    for at, choice in enumerate(CHOICES):
        every = dict.fromkeys(sample[at].label for sample in samples)
        here = dict.fromkeys(sample[at].label for sample in changed)
        if len(here) < len(every):
            told.append(f"{choice} {' or '.join(here)}")
    return ", ".join(told)


def _places(before: DagRules | None, after: DagRules | None) -> Iterator[tuple[str, str, str]]:
    """Action, table and index of everything that is allowed by one of the two, or let through, and may have changed."""
    rules = [rule for found in (before, after) if found for rule in found.allow]
    changed = _changed_rules(before, after)
    indexes = sorted({index for rule in rules if rule.indexes for index in rule.indexes.patterns})
    for action in sorted({action for rule in rules for action in rule.actions or ALL}):
        for table in dict.fromkeys(("", *(table for rule in rules for table in rule.tables.patterns))):
            for index in ("", *indexes):
                is_allowed = any(rule.may_allow(action, table, index) for rule in rules)
                if is_allowed and (changed is None or any(_may_matter(rule, action, table) for rule in changed)):
                    yield action, table, index


def _may_matter(rule: Rule, action: str, table: str) -> bool:
    return rule.names_action(action) and (not table or rule.tables.match(table))


def _changed_rules(before: DagRules | None, after: DagRules | None) -> list[Rule] | None:
    """Rules that stand in one of the two only; None where all of the DAG may have changed."""
    if before is None or after is None or _frame(before) != _frame(after):
        return None
    first, second = ({fingerprint(rule, effect): rule for effect, rule in _rules(found)} for found in (before, after))
    return [rule for key, rule in (first | second).items() if (key in first) != (key in second)]


def _rules(rules: DagRules) -> Iterator[tuple[object, Rule]]:
    yield from (("allow", rule) for rule in rules.allow)
    yield from (("deny", rule) for rule in rules.deny)
    yield from ((shape_of(requirement), requirement.rule) for requirement in rules.require)


def shape_of(requirement: Requirement) -> tuple[object, ...]:
    """What a requirement asks for."""
    return (
        requirement.max_limit,
        requirement.max_segments,
        requirement.condition,
        requirement.client_token,
        requirement.evidence,
    )


def fingerprint(rule: Rule, effect: object) -> tuple[object, ...]:
    """What a rule says, wherever it stands: two with one fingerprint cover the same requests."""
    return (
        effect,
        rule.actions,
        frozenset(rule.tables.patterns),
        None if rule.indexes is None else frozenset(rule.indexes.patterns),
        None if rule.tasks is None else frozenset(rule.tasks.patterns),
        rule.is_active,
        None if rule.keys is None else frozenset(rule.keys.patterns),
        rule.attributes,
        rule.until if rule.until != inf else None,
    )


def _frame(rules: DagRules) -> tuple[object, ...]:
    """All of a DAG's rules that is not a rule: it bears on everything."""
    boundary = rules.boundary
    limits = (frozenset(boundary.dags.patterns), frozenset(boundary.tables.patterns)) if boundary else None
    keys = tuple(sorted((table, found.table, tuple(sorted(found.indexes.items()))) for table, found in rules.keys.items()))
    return rules.is_active, rules.home, limits, keys


def content_of(policies: Policies, dag_id: str) -> object:
    """All that bears on the decisions of a DAG, wherever it stands in the files."""
    rules = policies.rules_of(dag_id)
    if rules is None:
        return None
    is_member = rules.boundary is None or rules.boundary.dags.match(dag_id)
    written = frozenset(fingerprint(rule, effect) for effect, rule in _rules(rules))
    return written, _frame(rules), is_member


# ----------------------------------------------------------------------------------- what no decision shows


def _notes(old: Policies, new: Policies) -> Iterator[str]:
    where = f" in {old.environment}" if old.environment else ""
    if old.observes != new.observes:
        yield f"{'observes only' if new.observes else 'enforces'} from now on{where}"
    if _unmapped(old) != _unmapped(new):
        yield f"`unmapped` changes{where}: DAGs that no file names are {'let through' if new.unmapped else 'refused'}"
    roles: dict[tuple[str, str], list[str]] = {}
    for rules in new.dag_rules():
        before = old.rules_of(dag_of(rules.pattern))
        if before is not None and before.role_arn != rules.role_arn:
            roles.setdefault((before.role_arn, rules.role_arn), []).append(rules.pattern)
    for (was, comes), patterns in roles.items():
        yield f"role of {', '.join(patterns)}{where}: {was} becomes {comes}"
    yield from _workload_notes(old, new, where)


def _unmapped(policies: Policies) -> tuple[object, ...] | None:
    unmapped = policies.unmapped
    return (unmapped.rules.role_arn, unmapped.until) if unmapped else None


def _workload_notes(old: Policies, new: Policies, where: str) -> Iterator[str]:
    """Who may speak for whom: it comes before every decision."""
    before = {workload.name: workload for workload in old.workloads}
    after = {workload.name: workload for workload in new.workloads}
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield f"workload {name} is gone{where}: its subjects speak for no DAG"
        elif name not in before:
            found = after[name]
            yield f"workload {name} is new{where}: {found.subject} of {found.issuer} may speak for {', '.join(found.dags)}"
        else:
            first, second = before[name], after[name]
            for field in ("issuer", "subject", "dags", "dag_from", "annotations"):
                was, comes = getattr(first, field), getattr(second, field)
                if was != comes:
                    yield f"workload {name}{where}: {field} {_words(was)} becomes {_words(comes)}"


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value)
