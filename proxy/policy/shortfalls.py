"""The sentences for what a request must prove: its keys, its attributes, its shape. Cause first, then how to write it.

Shown are names of attributes and the patterns of the policy; never a key or an item value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.policy.coverage import attribute_gap
from proxy.policy.messages import ending, has, may_not, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxy.model import Identity, Operation
    from proxy.policy.coverage import Asked, Requirement, Rule
    from proxy.policy.keys import KeyLimit, KeyPattern

_MOST = 3  # patterns and names that are shown
_NO_PROJECTION = ("no projection", "SELECT *")  # how facts of requests and of statements call it


def outside_keys(rule: Rule, operation: Operation, asked: Asked) -> str:
    """A partition key is outside of the rule's, or the request does not prove that it is inside."""
    touch, identity = asked.touch, asked.identity
    limit = rule.keys
    where = f"{_limit(limit, identity)} ({rule.place})" if limit else rule.place
    problem = _problem(limit, identity) if limit else ""
    if problem:
        return f"{may_not(identity.dag_id, operation, touch)}: {problem}, so {where} names no key{ending(operation, touch)}"
    if not _is_pinned(asked):
        return (
            f"{may_not(identity.dag_id, operation, touch)}: that the partition key is inside {where} cannot be proven"
            f"{_how_to_prove(asked, (attribute.name for attribute in asked.keys.both))}{ending(operation, touch)}"
        )
    if not touch.position:
        return f"{may_not(identity.dag_id, operation, touch)}: the partition key is outside {where}"
    return (
        f"dag {shown(identity.dag_id)}: item {touch.position} of {len(operation.touches)} for {shown(touch.table.name)} "
        f"has a partition key outside {where}{ending(operation, touch)}"
    )


def outside_attributes(rule: Rule, operation: Operation, asked: Asked) -> str:
    """Attributes outside of the rule's list are named, come back, or are lost."""
    attributes, touch = rule.attributes or frozenset(), asked.touch
    gap = attribute_gap(attributes, asked)
    start = f"{may_not(asked.identity.dag_id, operation, touch)}: "
    listed = _cut(sorted(attributes))
    end = ending(operation, touch)
    given = f"and {rule.place} gives {listed} only"
    if gap.is_unknown:
        return f"{start}it cannot be limited to {listed} ({rule.place}){end}"
    if gap.names:
        them = "them" if len(gap.names) > 1 else "it"
        return f"{start}it names {_quoted(gap.names)}, {given}; leave {them} out{end}"
    if gap.whole:
        word = "SELECT" if touch.action.startswith("PartiQL") else "ProjectionExpression"
        how = f"write {word} with some of {listed}" if gap.whole in _NO_PROJECTION else "leave that out"
        return f"{start}the whole item comes back ({gap.whole}), {given}; {how}{end}"
    key = asked.keys.table
    how = f", or the condition attribute_not_exists({key.name})" if key and touch.action == "PutItem" else ""
    return f"{start}it takes away what the item has beside, {given}; write UpdateItem{how}{end}"


def denied_by_rule(rule: Rule, operation: Operation, asked: Asked) -> str:
    """A deny rule covers it; no allow rule can change that."""
    touch = asked.touch
    start = f"{may_not(asked.identity.dag_id, operation, touch)}: denied by {rule.place} ({has(rule)})"
    return f"{start}{_how_to_avoid(rule, asked)}{ending(operation, touch)}; {rule.owner}"


def requirement(needed: Requirement, operation: Operation, asked: Asked) -> str:
    """The request has not the shape that a requirement asks for."""
    lacking, how = needed.lacks(asked)
    start = may_not(asked.identity.dag_id, operation, asked.touch)
    return f"{start}: {needed.rule.place} requires {lacking}; {how}{ending(operation, asked.touch)}; {needed.rule.owner}"


# ------------------------------------------------------------------------------------- pieces of a sentence


def _is_pinned(asked: Asked) -> bool:
    facts = asked.touch.facts
    return facts is not None and any(facts.pin(attribute.name) for attribute in asked.keys.both)


def _how_to_prove(asked: Asked, missing: Iterable[str]) -> str:
    """How a request proves its partition key, of which the attributes that are `missing` say nothing yet."""
    action = asked.touch.action
    name = next(iter(missing), "")
    if not name or asked.touch.facts is None:
        return ""
    if action == "Query":
        return f"; write KeyConditionExpression as {_safe(name)} = :v"
    if action == "Scan":
        return f"; Scan reads every key, write a Query with KeyConditionExpression {_safe(name)} = :v"
    if action == "PartiQLInsert":
        return f"; write {_safe(name)} into VALUE"
    if action.startswith("PartiQL"):
        return f"; write WHERE with {_safe(name)} = ?"
    return f"; name {_safe(name)}"


def _how_to_avoid(rule: Rule, asked: Asked) -> str:
    """What to write, where another request would not be covered by the deny rule."""
    facts = asked.touch.facts
    if rule.attributes is not None and facts is not None:
        named = facts.named & rule.attributes
        if named:
            return f"; leave {_quoted(sorted(named))} out"
        return f"; the whole item comes back ({facts.whole}), name what you need instead"
    if rule.keys is None:
        return ""
    needed = asked.keys.both if rule.indexes is None else asked.keys.both[:1]
    missing = [attribute.name for attribute in needed if facts is None or not facts.pin(attribute.name)]
    if not missing and needed:
        return ""
    return f"; that the partition key is outside cannot be proven{_how_to_prove(asked, missing)}"


def _problem(limit: KeyLimit, identity: Identity) -> str:
    """Why no pattern can be filled in, or an empty string if one can."""
    problems = [pattern.problem(identity) for pattern in limit.patterns]
    return problems[0] if all(problems) else ""


def _limit(limit: KeyLimit, identity: Identity) -> str:
    """The patterns as they hold for this request: `prefix 'orders#'`, `exact 'a' or 'b'`."""
    texts = [_pattern(pattern, identity) for pattern in limit.patterns[:_MOST]]
    return " or ".join(texts) + (" ..." if len(limit.patterns) > _MOST else "")


def _pattern(pattern: KeyPattern, identity: Identity) -> str:
    return f"{'prefix' if pattern.is_prefix else 'exact'} {shown(pattern.filled(identity) or pattern.written())}"


def _quoted(names: Sequence[str]) -> str:
    some = ", ".join(shown(name) for name in names[:_MOST])
    return some + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def _cut(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _safe(name: str) -> str:
    return shown(name)[1:-1]
