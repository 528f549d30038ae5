"""Why the decision is what it is: each rule considered, and the nearest change of the files that would turn it.

The decision is the one that `Policies.decide` gives, which is the one that the pipeline obeys; nothing is decided here.
Changes are lines to paste. A value of a key is shown only where the asker gave it, to the asker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.actions import ESCALATIONS
from proxy.policy.changes import Change, changes_for, changes_for_dag
from proxy.policy.considered import Considered, Unrecorded, asked_of, consider
from proxy.policy.messages import shown
from proxy.policy.rules import Decision
from proxy.policy.trial import ASSUMED
from proxy.refusal import Reason, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.model import Identity, Operation, Touch
    from proxy.policy.cases import DagRules
    from proxy.policy.coverage import Asked
    from proxy.policy.rules import Policies

_MOST = 10  # touches of a batch that are explained; equal ones count once


class TouchExplained(NamedTuple):
    """One thing that the operation does, with every rule. `positions` are those of the members that it stands for."""

    what: str
    positions: tuple[int, ...]
    rules: tuple[Considered, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its grounds. `verdict`: allowed, observed, denied, or undetermined where a record does not say enough."""

    verdict: str
    decision: Decision
    environment: str
    policy_digest: str
    dag: str
    evidence: str
    subject: str  # who proved to be there, where somebody did: `sub` and the issuer's name
    operation: str
    touches: tuple[TouchExplained, ...]
    changes: tuple[Change, ...]  # for the DAG as a whole

    def lines(self) -> list[str]:
        """For a person to read."""
        decision = self.decision
        lines = [f"{self.verdict}: {decision.reason}" + (f", decided by {decision.rule}" if decision.rule else "")]
        if decision.message:
            lines.append(f"  {decision.message}")
        if decision.principal is not None:
            lines.append(f"  as {decision.principal.role_arn} in {decision.principal.region}")
        where = f"environment {self.environment}, " if self.environment else ""
        who = f", subject {self.subject}" if self.subject else ""
        lines.append(f"  {where}policies {self.policy_digest[:12]}, dag {shown(self.dag)} ({self.evidence}){who}")
        for change in self.changes:
            lines += [f"  {line}" for line in change.lines()]
        for touch in self.touches:
            members = f" (items {', '.join(map(str, touch.positions[:_MOST]))})" if touch.positions else ""
            lines += ["", f"{touch.what}{members}"]
            lines += [f"  {rule.line()}" for rule in touch.rules]
            lines += [f"  {line}" for change in touch.changes for line in change.lines()]
        return lines

    def document(self) -> dict[str, Any]:
        """The same for a program."""
        decision = self.decision
        return {
            "verdict": self.verdict,
            "reason": str(decision.reason),
            "would_deny": str(decision.would_deny) if decision.would_deny else None,
            "message": decision.message,
            "rule": decision.rule,
            "principal": decision.principal._asdict() if decision.principal else None,
            "environment": self.environment,
            "policy_digest": self.policy_digest,
            "dag": self.dag,
            "evidence": self.evidence,
            "subject": self.subject,
            "operation": self.operation,
            "touches": [
                {
                    "what": touch.what,
                    "positions": list(touch.positions),
                    "rules": [rule._asdict() for rule in touch.rules],
                    "changes": [change._asdict() for change in touch.changes],
                }
                for touch in self.touches
            ],
            "changes": [change._asdict() for change in self.changes],
        }


def explain(policies: Policies, identity: Identity, operation: Operation, now: float) -> Explanation:
    """Why `identity` may or may not do `operation` at `now`."""
    verdict = ""
    try:
        decision = policies.decide(identity, operation, now)
    except Unreadable as refusal:
        decision = Decision(refusal.reason, refusal.message, "", None)
        verdict = "undetermined" if isinstance(refusal, Unrecorded) else ""
    rules = policies.rules_of(identity.dag_id)
    is_allowed = decision.reason is Reason.ALLOWED
    changes = () if is_allowed else tuple(changes_for_dag(policies, rules, identity, operation))
    return Explanation(
        verdict or {Reason.ALLOWED: "allowed", Reason.OBSERVED: "observed"}.get(decision.reason, "denied"),
        decision,
        policies.environment,
        policies.digest,
        identity.dag_id,
        f"{identity.evidence}: {identity.source}",
        "" if identity.subject.issuer == ASSUMED else f"{shown(identity.subject.subject)} of {identity.subject.issuer}",
        operation.name,
        () if rules is None else tuple(_touches(rules, policies, identity, operation, now)),
        changes,
    )


def _touches(
    rules: DagRules, policies: Policies, identity: Identity, operation: Operation, now: float
) -> Iterator[TouchExplained]:
    """Each kind of touch once, with the members that are alike."""
    alike: dict[tuple[str, tuple[Considered, ...]], tuple[Asked, list[int]]] = {}
    for touch in operation.touches:
        asked = asked_of(rules, identity, touch, now)
        key = (_what(touch), tuple(consider(rules, asked, policies.environment)))
        positions = alike.setdefault(key, (asked, []))[1]
        positions += [touch.position] if touch.position else []
    for (what, considered), (asked, positions) in list(alike.items())[:_MOST]:
        changes = tuple(changes_for(rules, asked, considered, policies.environment))
        yield TouchExplained(what, tuple(positions), considered, changes)


def _what(touch: Touch) -> str:
    on = f" on {shown(touch.table.name)}" if touch.table.name else ""
    index = f" index {shown(touch.index)}" if touch.index else ""
    escalation = " (an escalation: given by its exact name only)" if touch.action in ESCALATIONS else ""
    return f"{touch.action}{on}{index}{escalation}"
