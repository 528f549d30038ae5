"""For which DAG does a verified subject speak? The answer is an Identity, or a refusal that says what is missing.

A verified claim needs no leave but the issuer's `may_assert`. Without one, a workload of platform.yaml must let the subject
choose, and says from which sources. Every source that counts must name the same DAG: the signed claim, the session's own DAG, the
pod's annotation and the `X-Airflow-Dag-Id` header whenever they are there (they can contradict even where they may not choose),
and the User-Agent's DagRunKey where the workload lists it. A subject with a workload of one DAG proves that DAG; an annotation
is evidence where the workload says that nobody who writes DAGs can set it. A workload that names the subject exactly beats globs;
two that fit equally well are refused, because the order of a file must not decide who someone is.
"""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import TYPE_CHECKING

from proxy.globs import Globs, is_glob
from proxy.identity.text import listed, quoted
from proxy.model import Claimed, Evidence, Identity, Subject, Workload
from proxy.refusal import Forbidden, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED = {
    "claim": "a signed claim",
    "session": "the session's own dag",
    "subject": "the token's subject",
    "annotation": "the pod's annotation `dag_id`",
    "header": "the header `X-Airflow-Dag-Id`",
    "user_agent": "the User-Agent's DagRunKey",
}


_CONTEXT = ("task_id", "run_id", "try_number", "map_index")


@lru_cache(maxsize=4096)
def _globs(patterns: tuple[str, ...]) -> Globs:
    """Compiled once: patterns come from settings and policies only, never from a request."""
    return Globs(patterns)


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> Globs:
    return Globs((pattern,))


class _Memory:
    """What was bound by one snapshot of the policies. Whoever is verified anew is another subject, even with equal claims."""

    def __init__(self, workloads: tuple[Workload, ...], dag_of_key: Mapping[str, str]) -> None:
        self.workloads = workloads
        self.dag_of_key = dag_of_key
        self.bound: dict[tuple[int, Claimed], Identity] = {}  # by the subject's `id`: its Identity keeps it alive


MOST_BOUND = 4096
_memory = _Memory((), {})


def bind(subject: Subject, claimed: Claimed, workloads: tuple[Workload, ...], dag_of_key: Mapping[str, str]) -> Identity:
    """`bind_anew`, remembered: a task says the same of itself with each request. Refusals are not remembered."""
    global _memory  # swapped whole with the policies, so that nothing of former ones is kept
    memory = _memory
    if memory.dag_of_key is not dag_of_key or memory.workloads is not workloads:
        memory = _memory = _Memory(workloads, dag_of_key)
    key = (id(subject), claimed)
    identity = memory.bound.get(key)
    if identity is None:
        identity = bind_anew(subject, claimed, workloads, dag_of_key)
        if len(memory.bound) >= MOST_BOUND:
            del memory.bound[next(iter(memory.bound))]
        memory.bound[key] = identity
    return identity


def bind_anew(subject: Subject, claimed: Claimed, workloads: tuple[Workload, ...], dag_of_key: Mapping[str, str]) -> Identity:
    """Bind one request to a DAG. `dag_of_key` maps uuid5(NAMESPACE_OID, dag_id) to the DAG ids that the policies name.

    Raises Forbidden: NO_DAG_CLAIM, CONFLICTING_CLAIMS or NOT_ENTITLED.
    """
    workload = workload_of(subject, workloads)
    source, dag_id = _chosen(subject, claimed, workload, dag_of_key)
    _refuse_conflicts(source, dag_id, subject, claimed, workload, dag_of_key)
    _refuse_overreach(subject, dag_id, workload)
    evidence = _evidence_of(source, dag_id, workload)
    known = {**subject.pod, **subject.claims}  # what is signed beats what stands on the pod, and both what the request says
    context = {name: known.get(name) or getattr(claimed, name) for name in _CONTEXT}
    trusted = subject.pod if workload is not None and workload.annotations is Evidence.VERIFIED else {}
    unproven = tuple(name for name in _CONTEXT if context[name] and name not in subject.claims and name not in trusted)
    return Identity(
        subject=subject,
        dag_id=dag_id,
        evidence=evidence,
        source=source,
        workload=workload.name if workload else "",
        **context,
        claimed=unproven if evidence is Evidence.VERIFIED else ("dag_id", *unproven),
    )


def _evidence_of(source: str, dag_id: str, workload: Workload | None) -> Evidence:
    if workload is not None and source == "annotation":
        return workload.annotations
    if workload is not None and source == "session" and workload.dags == (dag_id,):
        return Evidence.VERIFIED  # the only dag that it may speak for: who logged in proves it, and nobody chose
    return Evidence.VERIFIED if source in ("claim", "subject") else Evidence.CLAIMED


def workload_of(subject: Subject, workloads: tuple[Workload, ...]) -> Workload | None:
    """The workload that the subject is; None if there is none. Raises Forbidden if two fit equally well."""
    fitting = [w for w in workloads if w.issuer == subject.issuer and _glob(w.subject).match(subject.subject)]
    exact = [w for w in fitting if not is_glob(w.subject)]
    best = exact or fitting
    if len(best) > 1:
        both = " and ".join(f"`{w.name}` ({w.where})" for w in best[:2])
        raise Forbidden(
            Reason.NOT_ENTITLED,
            f"subject {quoted(subject.subject)} is two workloads at once, {both}; let exactly one of them cover it",
            rule=best[0].where,
        )
    return best[0] if best else None


def _chosen(subject: Subject, claimed: Claimed, workload: Workload | None, dag_of_key: Mapping[str, str]) -> tuple[str, str]:
    """Source and DAG id: a signed claim first, else the first of the workload's sources that names one."""
    signed = subject.claims.get("dag_id")
    if signed:
        return "claim", signed
    if workload is None:
        raise Forbidden(Reason.NO_DAG_CLAIM, _nobody_chooses(subject, claimed))
    said = {
        "session": subject.pinned_dag,
        "subject": "".join(workload.dags[:1]),  # the loader sees to it that there is no other
        "annotation": subject.pod.get("dag_id"),
        "header": claimed.dag_id,
        "user_agent": dag_of_key.get(claimed.dag_run_key),
    }
    for source in workload.dag_from:
        if dag_id := said.get(source):
            return source, dag_id
    raise Forbidden(Reason.NO_DAG_CLAIM, _nothing_said(subject, claimed, workload), rule=workload.where)


def _nobody_chooses(subject: Subject, claimed: Claimed) -> str:
    said = f"the request says {quoted(claimed.dag_id)}, but " if claimed.dag_id else ""
    return (
        f"which dag? {said}the token of subject {quoted(subject.subject)} has no signed dag claim and no workload covers it; "
        "add it under `workloads` in platform.yaml, or map a claim of issuer "
        f"`{subject.issuer}` to `dag_id`"
    )


def _nothing_said(subject: Subject, claimed: Claimed, workload: Workload) -> str:
    wanted = " or ".join(_NAMED.get(source, f"`{source}`") for source in workload.dag_from)
    message = f"which dag? subject {quoted(subject.subject)} may speak for {listed(workload.dags)} and no claim came; "
    if claimed.dag_id:
        return (
            message
            + f"the header says {quoted(claimed.dag_id)}, but workload `{workload.name}` asks {wanted} only ({workload.where})"
        )
    if claimed.dag_run_key and "user_agent" in workload.dag_from:
        return message + "the User-Agent's DagRunKey belongs to no dag that the policies name in full; name it under `dags`"
    return (
        message + f"workload `{workload.name}` wants {wanted}; "
        "set DDB_PROXY_URL on the worker, whose plugin says it, or see `dynamodb-proxy doctor`"
    )


def _refuse_conflicts(
    source: str, dag_id: str, subject: Subject, claimed: Claimed, workload: Workload | None, dag_of_key: Mapping[str, str]
) -> None:
    other, key, on_pod = "", claimed.dag_run_key, subject.pod.get("dag_id", dag_id)
    if subject.pinned_dag and subject.pinned_dag != dag_id:
        other = f"the session was made for {quoted(subject.pinned_dag)}"
    elif on_pod != dag_id:
        other = f"its pod is annotated with dag {quoted(on_pod)}"
    elif claimed.dag_id and claimed.dag_id != dag_id:
        other = f"the header `X-Airflow-Dag-Id` says {quoted(claimed.dag_id)}"
    elif (
        key
        and workload
        and "user_agent" in workload.dag_from
        and dag_of_key.get(key) != dag_id
        and key != _key_of(dag_id)  # the policies name the DAG by a glob only
    ):
        other = "the User-Agent's DagRunKey is that of another dag"
    if other:
        raise Forbidden(
            Reason.CONFLICTING_CLAIMS,
            f"which dag? {_NAMED[source]} says {quoted(dag_id)}, {other}; send one, or make them agree",
            rule=workload.where if workload else "",
        )


@lru_cache(maxsize=4096)
def _key_of(dag_id: str) -> str:
    """The amazon provider's DagRunKey of a DAG."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, dag_id))


def _refuse_overreach(subject: Subject, dag_id: str, workload: Workload | None) -> None:
    if workload and not _globs(workload.dags).match(dag_id):
        raise Forbidden(
            Reason.NOT_ENTITLED,
            f"subject {quoted(subject.subject)} may not speak for dag {quoted(dag_id)}: "
            f"workload `{workload.name}` ({workload.where}) covers {listed(workload.dags)}; "
            "add the dag there, or run it on its own team's workers",
            rule=workload.where,
        )
    if not _globs(subject.may_assert).match(dag_id):
        raise Forbidden(
            Reason.NOT_ENTITLED,
            f"issuer `{subject.issuer}` may not assert dag {quoted(dag_id)}; "
            f"its `may_assert` covers {listed(subject.may_assert) or 'none'}",
        )
