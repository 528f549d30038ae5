"""For what a subject may log in, as a table: role asked for, and the DAG that the session is pinned to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.entitlement import entitled
from proxy.model import Evidence, Subject
from proxy.policy.document import read_policies
from proxy.refusal import Forbidden, Reason
from proxy.yaml_source import Mistakes

ROLE = "arn:aws:iam::111122223333:role/"
PLATFORM = """
teams:
  all: {dags: ["*"], tables: ["*"]}
workloads:
  one: {issuer: idp, subject: one, dags: [solo], dag_from: [session]}
  one-by-claim: {issuer: idp, subject: claim-only, dags: [solo]}
  pool: {issuer: idp, subject: pool, dags: [solo, first, second, "gen_*"], dag_from: [session, header]}
  silent: {issuer: idp, subject: silent, dags: [solo, first, second], dag_from: [session]}
  chooser: {issuer: idp, subject: chooser, dags: [solo], dag_from: [header]}
  subject: {issuer: idp, subject: subject, dags: [solo], dag_from: [subject, header]}
  pods: {issuer: idp, subject: pods, dags: [solo, first], dag_from: [session, annotation]}
"""
FILE = f"""
team: all
tables: {{orders: {{key: "pk (S)"}}}}
dags:
  solo: {{role: {ROLE}solo, allow: [{{actions: [read], tables: [orders]}}]}}
  first: {{role: {ROLE}shared, allow: [{{actions: [read], tables: [orders]}}]}}
  second: {{role: {ROLE}shared, allow: [{{actions: [read], tables: [orders]}}]}}
  "gen_*": {{role: {ROLE}gen, allow: [{{actions: [read], tables: [orders]}}]}}
  other: {{role: {ROLE}other, allow: [{{actions: [read], tables: [orders]}}]}}
"""
_MISTAKES = Mistakes()
POLICIES = read_policies({"platform.yaml": PLATFORM, "a.yaml": FILE}, "", "eu-west-1", _MISTAKES)
assert POLICIES is not None, _MISTAKES.lines()


def subject(name: str, may_assert: tuple[str, ...] = ("*",), **claims: str) -> Subject:
    """Someone with a good token."""
    return Subject("idp", name, claims, may_assert, 2e9, "jti")


@pytest.mark.parametrize(
    ("who", "role", "pinned", "dag"),
    [
        (subject("one"), "", "solo", "solo"),
        (subject("one"), "solo", "solo", "solo"),
        (subject("pool"), "", "", ""),
        (subject("pool"), "solo", "solo", "solo"),
        (subject("pool"), "shared", "", ""),
        (subject("pool"), "gen", "", ""),
        (subject("pool", ("first",)), "shared", "first", "first"),
        (subject("silent"), "solo", "solo", "solo"),
        (subject("chooser"), "solo", "", ""),
        (subject("chooser"), "", "", ""),
        (subject("subject"), "", "", "solo"),
        (subject("subject"), "solo", "", "solo"),
        (subject("nobody", dag_id="other"), "", "", "other"),
        (subject("nobody", dag_id="other"), "other", "", "other"),
        (subject("nobody", dag_id="unheard_of"), "", "", "unheard_of"),
        (subject("pool", dag_id="gen_7"), "gen", "", "gen_7"),
        (replace(subject("pods"), pod={"dag_id": "first"}), "", "", "first"),
        (replace(subject("pods"), pod={"dag_id": "first"}), "shared", "", "first"),
        (replace(subject("pool"), pinned_dag="solo", role_arn=ROLE + "solo"), "solo", "solo", "solo"),
    ],
)
def test_a_session_is_narrowed_to_role_and_dag(who: Subject, role: str, pinned: str, dag: str) -> None:
    """The DAG is pinned where role and workload leave one; where they leave several, each request says."""
    asked = ROLE + role if role else ""
    made, identity = entitled(who, asked, POLICIES)
    assert (made.pinned_dag, made.role_arn) == (pinned, asked)
    assert (identity.dag_id if identity else "") == dag
    assert identity is None or identity.subject is made


def test_the_only_dag_of_a_workload_is_proven_by_the_login() -> None:
    """One that was chosen among several is not."""
    for name, evidence in (("one", Evidence.VERIFIED), ("pool", Evidence.CLAIMED)):
        _, identity = entitled(subject(name), ROLE + "solo", POLICIES)
        assert identity is not None
        assert (identity.evidence, identity.source) == (evidence, "session")


@pytest.mark.parametrize(
    ("who", "role", "reason", "says"),
    [
        (subject("nobody"), "", Reason.NO_DAG_CLAIM, "no workload covers it"),
        (subject("one"), "other", Reason.NOT_ENTITLED, "is that of other dags, and subject 'one' may speak for 'solo'"),
        (subject("one"), "other", Reason.NOT_ENTITLED, f"(platform.yaml:5); write the role of one of these: '{ROLE}solo'"),
        (subject("subject"), "shared", Reason.NOT_ENTITLED, "is not its own"),
        (subject("one"), "unheard-of", Reason.UNKNOWN_ROLE, "is that of no dag in the policies"),
        (subject("pool", ("nothing",)), "solo", Reason.NOT_ENTITLED, "write the role of one of these"),
        (subject("one", ("nothing",)), "", Reason.NOT_ENTITLED, "may not assert dag 'solo'"),
        (subject("claim-only"), "solo", Reason.NO_DAG_CLAIM, "add `session` or `header` to its `dag_from` (platform.yaml:6)"),
        (subject("silent"), "", Reason.NO_DAG_CLAIM, "ask for the role of one dag"),
        (subject("silent"), "shared", Reason.NO_DAG_CLAIM, "give that dag a role of its own"),
        (subject("nobody", dag_id="other"), "solo", Reason.NOT_ENTITLED, f"is not its own; write '{ROLE}other'"),
        (subject("nobody", dag_id="unheard_of"), "solo", Reason.UNKNOWN_ROLE, "under `dags` of a policy file first"),
        (replace(subject("pods"), pod={"dag_id": "first"}), "solo", Reason.NOT_ENTITLED, "is not its own"),
        (replace(subject("pool"), pod={"dag_id": "first"}), "solo", Reason.CONFLICTING_CLAIMS, "annotated with dag 'first'"),
        (replace(subject("pool"), role_arn=ROLE + "solo"), "shared", Reason.OUTSIDE_ROLE, "log in anew"),
        (replace(subject("pool"), pinned_dag="solo"), "shared", Reason.NOT_ENTITLED, "is not its own"),
    ],
)  # fmt: skip
def test_a_login_for_more_is_refused(who: Subject, role: str, reason: Reason, says: str) -> None:
    """With the cause, and what to write instead."""
    with pytest.raises(Forbidden) as caught:
        entitled(who, ROLE + role if role else "", POLICIES)
    assert caught.value.reason is reason
    assert says in caught.value.message
