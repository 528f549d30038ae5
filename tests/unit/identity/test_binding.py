"""Which DAG a verified subject speaks for, as a table."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from proxy.identity.binding import MOST_BOUND, bind
from proxy.model import Claimed, Evidence, Subject, Workload
from proxy.refusal import Forbidden, Reason


def key_of(dag_id: str) -> str:
    """The DagRunKey of the amazon provider."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, dag_id))


DAG_OF_KEY = {key_of(dag): dag for dag in ("growth_sync", "growth_report", "orders_daily")}


def subject(may_assert: tuple[str, ...] = ("*",), **claims: str) -> Subject:
    """A worker of the growth queue."""
    return Subject("eks", "system:serviceaccount:airflow:growth", claims, may_assert, 1e10, "t")


def workload(
    name: str = "growth",
    pattern: str = "system:serviceaccount:airflow:growth",
    dag_from: tuple[str, ...] = ("claim",),
    issuer: str = "eks",
) -> Workload:
    """A workload that covers the growth DAGs but one."""
    return Workload(name, issuer, pattern, ("growth_*", "!growth_secret"), dag_from, f"platform.yaml:{len(name)}")


HEADER = workload(dag_from=("header",))
AGENT = workload(dag_from=("user_agent",))
BOTH = workload(dag_from=("header", "user_agent"))
AGENT_FIRST = workload(dag_from=("claim", "user_agent", "header"))
SIGNED = subject(dag_id="growth_sync")
SYNC = Claimed(dag_id="growth_sync")
SYNC_KEY = Claimed(dag_run_key=key_of("growth_sync"))


@pytest.mark.parametrize(
    ("who", "claimed", "workloads", "source"),
    [
        (SIGNED, Claimed(), (), "claim"),
        (SIGNED, SYNC, (), "claim"),
        (SIGNED, Claimed(dag_run_key=key_of("orders_daily")), (), "claim"),  # a label that nobody listed
        (SIGNED, Claimed(dag_run_key=key_of("orders_daily")), (HEADER,), "claim"),
        (SIGNED, Claimed(), (HEADER,), "claim"),
        (SIGNED, SYNC_KEY, (AGENT,), "claim"),
        (subject(), SYNC, (HEADER,), "header"),
        (subject(), SYNC, (workload("other", "someone"), HEADER), "header"),
        (subject(), SYNC_KEY, (AGENT,), "user_agent"),
        (subject(), SYNC_KEY, (BOTH,), "user_agent"),
        (subject(), Claimed("growth_sync", dag_run_key=key_of("growth_sync")), (BOTH,), "header"),
        (subject(), Claimed("growth_sync", dag_run_key=key_of("growth_sync")), (AGENT_FIRST,), "user_agent"),
        (subject(), Claimed("growth_sync", dag_run_key=key_of("orders_daily")), (HEADER,), "header"),  # not listed, so a label
    ],
)
def test_sources_that_agree_bind(who: Subject, claimed: Claimed, workloads: tuple[Workload, ...], source: str) -> None:
    """The best source that speaks names the DAG, and the evidence says how good it is."""
    identity = bind(who, claimed, workloads, DAG_OF_KEY)
    assert (identity.dag_id, identity.source) == ("growth_sync", source)
    assert identity.evidence is (Evidence.VERIFIED if source == "claim" else Evidence.CLAIMED)
    assert identity.workload == ("growth" if workloads else "")


@pytest.mark.parametrize(
    ("who", "claimed", "workloads", "reason", "says"),
    [
        (subject(), Claimed(), (), Reason.NO_DAG_CLAIM, "no workload covers it"),
        (subject(), SYNC, (), Reason.NO_DAG_CLAIM, "the request says 'growth_sync', but"),
        (subject(), SYNC, (workload(issuer="other"),), Reason.NO_DAG_CLAIM, "no workload covers it"),
        (subject(), Claimed(), (BOTH,), Reason.NO_DAG_CLAIM, "may speak for 'growth_*', '!growth_secret' and no claim came"),
        (subject(), SYNC, (AGENT,), Reason.NO_DAG_CLAIM, "asks the User-Agent's DagRunKey only"),
        (subject(), SYNC, (workload(),), Reason.NO_DAG_CLAIM, "asks a signed claim only"),
        (subject(), SYNC_KEY, (HEADER,), Reason.NO_DAG_CLAIM, "set DDB_PROXY_URL on the worker"),
        (subject(), Claimed(dag_run_key=key_of("growth_model_1")), (AGENT,), Reason.NO_DAG_CLAIM, "name it under `dags`"),
        (SIGNED, Claimed("orders_daily"), (), Reason.CONFLICTING_CLAIMS, "a signed claim says 'growth_sync'"),
        (SIGNED, Claimed("orders_daily"), (AGENT,), Reason.CONFLICTING_CLAIMS, "'orders_daily'"),
        (SIGNED, Claimed(dag_run_key=key_of("growth_report")), (AGENT,), Reason.CONFLICTING_CLAIMS, "that of another dag"),
        (
            subject(),
            Claimed("growth_sync", dag_run_key=key_of("growth_report")),
            (BOTH,),
            Reason.CONFLICTING_CLAIMS,
            "another dag",
        ),
        (subject(), Claimed("growth_sync", dag_run_key=key_of("unknown")), (BOTH,), Reason.CONFLICTING_CLAIMS, "another dag"),
        (
            subject(),
            Claimed("growth_report", dag_run_key=key_of("growth_sync")),
            (AGENT,),
            Reason.CONFLICTING_CLAIMS,
            "growth_report",
        ),
        (subject(), Claimed("orders_daily"), (HEADER,), Reason.NOT_ENTITLED, "covers 'growth_*', '!growth_secret'"),
        (subject(), Claimed("growth_secret"), (HEADER,), Reason.NOT_ENTITLED, "platform.yaml:6"),
        (subject(dag_id="orders_daily"), Claimed(), (HEADER,), Reason.NOT_ENTITLED, "may not speak for dag 'orders_daily'"),
        (subject(("partner_*",), dag_id="growth_sync"), Claimed(), (), Reason.NOT_ENTITLED, "issuer `eks` may not assert"),
        (subject(("*", "!growth_*")), SYNC, (HEADER,), Reason.NOT_ENTITLED, "may not assert"),
        (subject((), dag_id="growth_sync"), Claimed(), (), Reason.NOT_ENTITLED, "covers none"),
    ],
)
def test_every_other_case_is_refused(
    who: Subject, claimed: Claimed, workloads: tuple[Workload, ...], reason: Reason, says: str
) -> None:
    """Silence, contradiction and overreach are told apart, with what to do."""
    with pytest.raises(Forbidden) as caught:
        bind(who, claimed, workloads, DAG_OF_KEY)
    assert caught.value.reason is reason
    assert says in caught.value.message


TRIGGERER = Subject("eks", "system:serviceaccount:airflow:triggerer", {}, ("*",), 1e10, "t")
TRIGGERERS = (Workload("triggerer", "eks", TRIGGERER.subject, ("airflow_triggerer",), ("subject",), "platform.yaml:9"),)


@pytest.mark.parametrize("claimed", [Claimed(), Claimed("airflow_triggerer"), Claimed(dag_run_key=key_of("orders_daily"))])
def test_a_subject_with_one_dag_alone_proves_it(claimed: Claimed) -> None:
    """A triggerer, which knows no DAG, and a service account of one DAG: nothing but the token need be said."""
    identity = bind(TRIGGERER, claimed, TRIGGERERS, DAG_OF_KEY)
    assert (identity.dag_id, identity.source, identity.evidence) == ("airflow_triggerer", "subject", Evidence.VERIFIED)


def test_a_subject_with_one_dag_alone_speaks_for_no_other() -> None:
    """Neither by header, nor by a claim of its token, nor by its pod, nor past its issuer."""
    for who, claimed, reason in (
        (TRIGGERER, SYNC, Reason.CONFLICTING_CLAIMS),
        (replace(TRIGGERER, claims={"dag_id": "growth_sync"}), Claimed(), Reason.NOT_ENTITLED),
        (replace(TRIGGERER, pod={"dag_id": "growth_sync"}), Claimed(), Reason.CONFLICTING_CLAIMS),
        (replace(TRIGGERER, may_assert=("growth_*",)), Claimed(), Reason.NOT_ENTITLED),
    ):
        with pytest.raises(Forbidden) as caught:
            bind(who, claimed, TRIGGERERS, DAG_OF_KEY)
        assert caught.value.reason is reason


def test_an_exact_subject_beats_a_glob_in_either_order() -> None:
    """The order of the file decides nothing."""
    glob = workload("everyone", "system:*", ("claim",))
    for workloads in ((glob, HEADER), (HEADER, glob)):
        assert bind(subject(), SYNC, workloads, DAG_OF_KEY).workload == "growth"


@pytest.mark.parametrize("pattern", ["system:*", "system:serviceaccount:airflow:growth"])
def test_two_workloads_that_fit_equally_well_are_refused(pattern: str) -> None:
    """Two globs, or two exact subjects, are named both and nobody is let in."""
    two = (workload("one", pattern, ("header",)), workload("second", pattern, ("header",)))
    with pytest.raises(Forbidden, match=r"`one` \(platform.yaml:3\) and `second` \(platform.yaml:6\)") as caught:
        bind(subject(), SYNC, two, DAG_OF_KEY)
    assert caught.value.reason is Reason.NOT_ENTITLED
    assert caught.value.rule == "platform.yaml:3"


def test_a_dag_that_policies_name_by_glob_agrees_with_its_own_key() -> None:
    """The User-Agent confirms a DAG that the table of keys cannot know."""
    claimed = Claimed("growth_model_1", dag_run_key=key_of("growth_model_1"))
    assert bind(subject(), claimed, (BOTH,), DAG_OF_KEY).dag_id == "growth_model_1"


def test_verified_context_beats_claimed_context() -> None:
    """Task, run, try and map index come from signed claims where there are any, else from the headers."""
    claimed = Claimed("growth_sync", "load", "run-1", "2", "7")
    identity = bind(subject(dag_id="growth_sync", task_id="signed", try_number="1"), claimed, (), DAG_OF_KEY)
    assert (identity.task_id, identity.run_id, identity.try_number, identity.map_index) == ("signed", "run-1", "1", "7")
    assert identity.claimed == ("run_id", "map_index")


@pytest.mark.parametrize("evidence", list(Evidence))
def test_what_nobody_proved_is_named(evidence: Evidence) -> None:
    """Beside a proven DAG a task id can be a mere claim; what stands on the pod is as good as the workload says."""
    who = replace(subject(try_number="1"), pod={"dag_id": "growth_sync", "task_id": "load", "try_number": "9"})
    pods = (replace(workload(dag_from=("annotation",)), annotations=evidence),)
    identity = bind(who, Claimed(task_id="other", run_id="run-1"), pods, DAG_OF_KEY)
    assert (identity.task_id, identity.run_id, identity.try_number) == ("load", "run-1", "1")
    assert identity.claimed == (("run_id",) if evidence is Evidence.VERIFIED else ("dag_id", "task_id", "run_id"))


PINNED = replace(subject(), pinned_dag="growth_sync", session_id="DDBPX")
SESSION = workload(dag_from=("session", "header"))
HEADER_FIRST = workload(dag_from=("header", "session"))


@pytest.mark.parametrize(
    ("who", "claimed", "work", "source"),
    [
        (PINNED, Claimed(), SESSION, "session"),
        (PINNED, SYNC, SESSION, "session"),
        (PINNED, SYNC, HEADER_FIRST, "header"),
        (PINNED, SYNC, HEADER, "header"),
        (replace(SIGNED, pinned_dag="growth_sync"), Claimed(), SESSION, "claim"),
        (subject(), SYNC, SESSION, "header"),  # a token has no session, so the next source speaks
    ],
)
def test_a_session_speaks_for_the_dag_that_it_was_made_for(who: Subject, claimed: Claimed, work: Workload, source: str) -> None:
    """Where the workload lists `session`; it was the caller's choice, so it is no proof."""
    identity = bind(who, claimed, (work,), DAG_OF_KEY)
    assert (identity.dag_id, identity.source) == ("growth_sync", source)
    assert identity.evidence is (Evidence.VERIFIED if source == "claim" else Evidence.CLAIMED)


def test_the_only_dag_of_a_workload_is_proven_by_its_session() -> None:
    """Nobody could choose another."""
    only = replace(SESSION, dags=("growth_sync",))
    assert bind(PINNED, Claimed(), (only,), DAG_OF_KEY).evidence is Evidence.VERIFIED
    assert bind(subject(), SYNC, (only,), DAG_OF_KEY).evidence is Evidence.CLAIMED


@pytest.mark.parametrize(
    ("who", "claimed", "work", "reason"),
    [
        (PINNED, Claimed(dag_id="growth_report"), SESSION, Reason.CONFLICTING_CLAIMS),
        (PINNED, Claimed(dag_id="growth_report"), HEADER, Reason.CONFLICTING_CLAIMS),  # pinned, it still narrows
        (replace(subject(dag_id="growth_report"), pinned_dag="growth_sync"), Claimed(), SESSION, Reason.CONFLICTING_CLAIMS),
        (replace(PINNED, pod={"dag_id": "growth_report"}), Claimed(), SESSION, Reason.CONFLICTING_CLAIMS),
        (PINNED, Claimed(), HEADER, Reason.NO_DAG_CLAIM),
        (replace(PINNED, pinned_dag="growth_secret"), Claimed(), SESSION, Reason.NOT_ENTITLED),
        (subject(), Claimed(), workload(dag_from=("session",)), Reason.NO_DAG_CLAIM),
    ],
)
def test_a_session_widens_nothing(who: Subject, claimed: Claimed, work: Workload, reason: Reason) -> None:
    """Neither what the request says nor what the policies now let its subject speak for."""
    with pytest.raises(Forbidden) as caught:
        bind(who, claimed, (work,), DAG_OF_KEY)
    assert caught.value.reason is reason


def test_what_was_bound_is_remembered_for_the_same_subject_claims_and_policies_only() -> None:
    """An equal request gets the same Identity; another subject, other claims, workloads or policies are bound anew."""
    who, workloads = subject(), (HEADER,)
    first = bind(who, SYNC, workloads, DAG_OF_KEY)
    assert bind(who, Claimed(dag_id="growth_sync"), workloads, DAG_OF_KEY) is first
    assert bind(who, Claimed(dag_id="growth_report"), workloads, DAG_OF_KEY).dag_id == "growth_report"
    assert bind(replace(who), SYNC, workloads, DAG_OF_KEY) is not first
    with pytest.raises(Forbidden):
        bind(who, SYNC, (), DAG_OF_KEY)
    assert bind(who, SYNC, workloads, dict(DAG_OF_KEY)) is not first


def test_what_is_remembered_is_bounded() -> None:
    """Whoever says something new with each request takes the place of the oldest, and is bound all the same."""
    who, workloads = subject(), (HEADER,)
    first = bind(who, Claimed("growth_0"), workloads, DAG_OF_KEY)
    for number in range(1, MOST_BOUND + 1):
        assert bind(who, Claimed(f"growth_{number}"), workloads, DAG_OF_KEY).dag_id == f"growth_{number}"
    assert bind(who, Claimed("growth_0"), workloads, DAG_OF_KEY) is not first
