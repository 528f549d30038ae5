"""For what may a subject log in? The role and DAG that its session is narrowed to, or a refusal that a person understands.

A role is asked for by its ARN, and stands for the DAGs that have it in the policies. What is found here narrows a session and
gives it nothing: each of its requests is bound and judged by the policies of its own moment.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from proxy.globs import Globs, is_glob
from proxy.identity.binding import bind, workload_of
from proxy.identity.text import listed, quoted
from proxy.model import Claimed
from proxy.policy.patterns import can_meet
from proxy.refusal import Forbidden, Reason

if TYPE_CHECKING:
    from proxy.model import Identity, Subject, Workload
    from proxy.policy.rules import Policies

_SAID_AT_LOGIN = {"claim", "session", "subject", "annotation"}  # sources to which no request can add


def entitled(subject: Subject, role_arn: str, policies: Policies) -> tuple[Subject, Identity | None]:
    """The subject of a new session, narrowed to role and DAG, and its identity where requests have nothing left to choose.

    `role_arn` is "" where none was asked for. Raises Forbidden: NO_DAG_CLAIM, NOT_ENTITLED, UNKNOWN_ROLE, OUTSIDE_ROLE and
    CONFLICTING_CLAIMS.
    """
    if subject.role_arn and role_arn != subject.role_arn:
        raise Forbidden(
            Reason.OUTSIDE_ROLE, f"this session was made for role {quoted(subject.role_arn)}; log in anew to ask for another"
        )
    workload = workload_of(subject, policies.workloads)
    known = _dag_of_login(subject, workload)
    if workload is not None and not known:
        subject = replace(subject, pinned_dag=_pinned_dag(subject, workload, role_arn, policies))
    if workload is not None and not known and not subject.pinned_dag:
        return replace(subject, role_arn=role_arn), None
    identity = bind(subject, Claimed(), policies.workloads, policies.dag_of_key)
    _check_role_of(identity.dag_id, role_arn, policies)
    subject = replace(subject, role_arn=role_arn)
    return subject, replace(identity, subject=subject)


def _dag_of_login(subject: Subject, workload: Workload | None) -> str:
    """The DAG that each request of the session will say again: by claim, pod or subject, or the session that it comes from."""
    claim = subject.claims.get("dag_id", "")
    if claim or workload is None:
        return claim
    of_pod = subject.pod.get("dag_id", "") if "annotation" in workload.dag_from else ""
    of_subject = workload.dags[0] if "subject" in workload.dag_from else ""
    return of_pod or of_subject or subject.pinned_dag


def _pinned_dag(subject: Subject, workload: Workload, role_arn: str, policies: Policies) -> str:
    """The one DAG that the role leaves, if that may count; "" where requests can choose. Raises Forbidden where nothing can."""
    dags = _dags_of(subject, workload, role_arn, policies)
    if len(dags) == 1 and not is_glob(dags[0]) and "session" in workload.dag_from:
        return dags[0]
    if _SAID_AT_LOGIN.issuperset(workload.dag_from):
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
