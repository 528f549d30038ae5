"""For what may a subject log in? The DAG that its session is pinned to, or a refusal that a person understands in a task's log.

A role is asked for by its ARN, and stands for the DAGs that have it in the policies. What is found here narrows a session and
gives it nothing: each of its requests is bound and judged by the policies of its own moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.globs import Globs, is_glob
from proxy.identity.binding import bind, nobody_chooses, workload_of
from proxy.identity.text import listed, quoted
from proxy.model import Claimed
from proxy.policy.patterns import can_meet
from proxy.refusal import Forbidden, Reason

if TYPE_CHECKING:
    from proxy.model import Subject, Workload
    from proxy.policy.rules import Policies

_SAYS_NOTHING_LATER = {"claim", "session"}  # sources that no request can add to what the login proved


def pinned_dag(subject: Subject, role_arn: str, policies: Policies) -> str:
    """The DAG of a new session, "" where its requests may choose. `role_arn` is "" where none was asked for.

    Raises Forbidden: NO_DAG_CLAIM, NOT_ENTITLED, UNKNOWN_ROLE, OUTSIDE_ROLE.
    """
    if subject.role_arn and role_arn != subject.role_arn:
        raise Forbidden(
            Reason.OUTSIDE_ROLE, f"this session was made for role {quoted(subject.role_arn)}; log in anew to ask for another"
        )
    if subject.claims.get("dag_id"):
        own = bind(subject, Claimed(), policies.workloads, policies.dag_of_key).dag_id
        _check_role_of(own, role_arn, policies)
        return ""  # each request says so again, by the claim
    workload = workload_of(subject, policies.workloads)
    if workload is None:
        raise Forbidden(Reason.NO_DAG_CLAIM, nobody_chooses(subject, Claimed()))
    dags = _dags_of(subject, workload, role_arn, policies)
    chosen = subject.pinned_dag or (dags[0] if len(dags) == 1 and not is_glob(dags[0]) else "")
    if subject.pinned_dag:
        _check_role_of(subject.pinned_dag, role_arn, policies)
    if chosen and "session" in workload.dag_from:
        return chosen
    if _SAYS_NOTHING_LATER.issuperset(workload.dag_from):
        raise Forbidden(Reason.NO_DAG_CLAIM, _nothing_to_say(subject, workload, role_arn, dags), rule=workload.where)
    return ""


def _dags_of(subject: Subject, workload: Workload, role_arn: str, policies: Policies) -> tuple[str, ...]:
    """The DAGs, by name or glob, for which the subject can speak under this role."""
    if not role_arn:
        return workload.dags
    of_role = [rules.pattern for rules in policies.dag_rules() if rules.is_active and rules.role_arn == role_arn]
    dags = tuple(pattern for pattern in of_role if _covers(workload.dags, pattern) and _covers(subject.may_assert, pattern))
    if not dags:
        roles = {rules.role_arn for rules in policies.dag_rules() if rules.is_active and _covers(workload.dags, rules.pattern)}
        known = "is that of other dags" if of_role else "is that of no dag in the policies"
        raise Forbidden(
            Reason.NOT_ENTITLED if of_role else Reason.UNKNOWN_ROLE,
            f"role {quoted(role_arn)} {known}, and subject {quoted(subject.subject)} may speak for {listed(workload.dags)} "
            f"({workload.where}); write the role of one of these: {listed(tuple(sorted(roles))) or 'they have none here'}",
            rule=workload.where,
        )
    return dags


def _covers(globs: tuple[str, ...], pattern: str) -> bool:
    """True if a DAG that `pattern` names could be one of `globs`."""
    if not is_glob(pattern):
        return Globs(globs).match(pattern)
    return any(can_meet(glob, pattern) for glob in globs if not glob.startswith("!"))


def _check_role_of(dag_id: str, role_arn: str, policies: Policies) -> None:
    rules = policies.rules_of(dag_id)
    if role_arn and (rules is None or rules.role_arn != role_arn):
        raise Forbidden(
            Reason.UNKNOWN_ROLE if rules is None else Reason.NOT_ENTITLED,
            f"this login speaks for dag {quoted(dag_id)}, and role {quoted(role_arn)} is not its own; "
            f"write {quoted(rules.role_arn) if rules else 'the dag under `dags` of a policy file first'}",
        )


def _nothing_to_say(subject: Subject, workload: Workload, role_arn: str, dags: tuple[str, ...]) -> str:
    which = f"which dag? subject {quoted(subject.subject)} may speak for {listed(dags)}"
    if "session" not in workload.dag_from:
        return (
            f"{which}, its token has no signed dag claim, and workload `{workload.name}` takes no other word for it; "
            f"add `session` or `header` to its `dag_from` ({workload.where})"
        )
    hint = "ask for the role of one dag" if not role_arn else "give that dag a role of its own"
    return (
        f"{which}, and nothing says which; {hint}, or add `header` to `dag_from` of workload `{workload.name}` ({workload.where})"
    )
