"""What the cluster says of its tokens, over HTTPS by its own authority: a yes or a no, and the pod's annotations."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from proxy.identity.binding import bind
from proxy.identity.cluster import REMEMBERED_PODS, PodReference, pod_in
from proxy.identity.token import KeySource
from proxy.identity.verifier import REFUSAL_SECONDS, SUBJECT_SECONDS, TokenVerifier
from proxy.model import Claimed, Evidence, Workload
from proxy.refusal import Forbidden, Reason, Refusal, Unavailable
from tests.unit.identity.api_server import AUDIENCE, POD_UID, SUBJECT, ApiServer, pod_object, projected
from tests.unit.identity.idp import Clock, answer, until
from tests.unit.identity.keyring import ISSUER, NOW, Ring, issuer_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from proxy.model import Subject

REVIEW = "POST /apis/authentication.k8s.io/v1/tokenreviews"
POD = "GET /api/v1/namespaces/airflow/pods/orders-daily-load-x7k2"
KEYS = "GET /openid/v1/jwks"


@asynccontextmanager
async def cluster_and_verifier(
    ring: Ring, folder: Path, clock: Clock | None = None, **asked: bool
) -> AsyncIterator[tuple[ApiServer, TokenVerifier]]:
    """An API server and a verifier that knows it; keys are read there too."""
    async with ApiServer(folder, ring.rsa_a.jwk()) as server:
        keys = KeySource("jwks_url", server.url + "/openid/v1/jwks", str(server.ca_file), str(server.token_file))
        issuer = issuer_with(name="eks", keys=keys, cluster=server.cluster(**asked), claims={})
        verifier = TokenVerifier((issuer,), clock or Clock(NOW), Clock())
        yield server, verifier
        await verifier.close()


def token(ring: Ring, **changes: Any) -> bytes:
    """A projected token of the worker's pod."""
    return ring.rsa_a.token(projected(NOW, ISSUER, **changes), typ=None)


async def refusal_of(verifier: TokenVerifier, text: bytes) -> Refusal:
    """The refusal that a token earns."""
    with pytest.raises(Refusal) as caught:
        await verifier.verify(text)
    return caught.value


# ------------------------------------------------------------------------------------------------- reviews


async def test_a_confirmed_token_is_believed_and_remembered(ring: Ring, tmp_path: Path) -> None:
    """The server is asked with the gateway's audiences and own token, once for all who bring the token at once and after."""
    async with cluster_and_verifier(ring, tmp_path) as (server, verifier):
        good = token(ring)
        subjects = await asyncio.gather(*(verifier.verify(good) for _ in range(100)))
        assert {subject.subject for subject in subjects} == {SUBJECT}
        assert verifier.known(good, NOW) is subjects[0]
        assert await verifier.verify(good) is subjects[0]
        assert server.questions == {KEYS: 1, REVIEW: 1, POD: 1}
        assert [review["spec"] for review in server.reviewed] == [{"token": good.decode(), "audiences": [AUDIENCE]}]
        assert set(server.bearers) == {"Bearer gateways-own-token"}


@pytest.mark.parametrize(
    "verdict",
    [
        {"authenticated": False, "error": "pod has been deleted"},
        {"error": "token expired"},
        {"authenticated": "true", "audiences": [AUDIENCE], "user": {"username": SUBJECT}},
        {"authenticated": True, "user": {"username": SUBJECT}},  # a server that knows no audiences
        {"authenticated": True, "audiences": [], "user": {"username": SUBJECT}},
        {"authenticated": True, "audiences": ["https://kubernetes.default.svc"], "user": {"username": SUBJECT}},
        {"authenticated": True, "audiences": AUDIENCE, "user": {"username": SUBJECT}},
        {"authenticated": True, "audiences": [AUDIENCE], "user": {"username": "system:serviceaccount:airflow:other"}},
        {"authenticated": True, "audiences": [AUDIENCE], "user": SUBJECT},
        {"authenticated": True, "audiences": [AUDIENCE]},
    ],
)
async def test_what_the_cluster_does_not_confirm_is_refused(ring: Ring, tmp_path: Path, verdict: dict[str, Any]) -> None:
    """Only a plain yes, for one of our audiences and for the token's own subject, is a yes."""
    async with cluster_and_verifier(ring, tmp_path) as (server, verifier):
        server.review = verdict
        refusal = await refusal_of(verifier, token(ring))
        assert refusal.reason is Reason.TOKEN_REVOKED
        assert "issuer `eks`" in refusal.message
        assert verifier.known(token(ring), NOW) is None


@pytest.mark.parametrize("fails", [None, answer(b"503 Service Unavailable", b"")])
async def test_each_who_waits_for_the_cluster_gets_a_refusal_of_its_own(ring: Ring, tmp_path: Path, fails: bytes | None) -> None:
    """One exception that all of them raise would carry the traceback of each."""
    async with cluster_and_verifier(ring, tmp_path) as (server, verifier):
        await verifier._keys["eks"].warm()
        server.review, server.fails = {**server.review, "authenticated": False}, fails
        dead = token(ring)
        outcomes = await asyncio.gather(*(verifier.verify(dead) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(outcome, Refusal) for outcome in outcomes)
        assert len({id(outcome) for outcome in outcomes}) == 20
        assert len({str(outcome) for outcome in outcomes}) == 1
        assert server.questions[REVIEW] == 1


async def test_a_revoked_token_is_asked_about_again_only_after_a_moment(ring: Ring, tmp_path: Path) -> None:
    """A task that retries with a dead token costs the API server nothing; one that comes back to life is let in."""
    clock = Clock(NOW)
    async with cluster_and_verifier(ring, tmp_path, clock) as (server, verifier):
        good, server.review = token(ring), {**server.review, "authenticated": False}
        for _ in range(50):
            assert (await refusal_of(verifier, good)).reason is Reason.TOKEN_REVOKED
        assert server.questions[REVIEW] == 1
        server.review["authenticated"] = True
        clock.now += REFUSAL_SECONDS
        assert (await verifier.verify(good)).subject == SUBJECT


async def test_a_deleted_pod_ends_its_token_within_the_memorys_rule(ring: Ring, tmp_path: Path) -> None:
    """Five minutes at most after the pod is gone, though the token itself is good for an hour."""
    clock = Clock(NOW)
    async with cluster_and_verifier(ring, tmp_path, clock) as (server, verifier):
        good = token(ring)
        await verifier.verify(good)
        server.review = {"authenticated": False}
        assert verifier.known(good, NOW + SUBJECT_SECONDS - 1) is not None
        clock.now += SUBJECT_SECONDS
        assert (await refusal_of(verifier, good)).reason is Reason.TOKEN_REVOKED


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"500 Internal Server Error", b"{}"),
        answer(b"403 Forbidden", b'{"kind":"Status"}'),
        answer(b"404 Not Found", b'{"kind":"Status"}'),
        answer(b"201 Created", b"<html>"),
        answer(b"201 Created", b'{"status":{"authenticated":true},"status":{}}'),
        answer(b"201 Created", b'{"status":[]}'),
        answer(b"302 Found", b"", b"location: /"),
        b"",
    ],
)
async def test_a_cluster_that_cannot_be_asked_closes_the_door(ring: Ring, tmp_path: Path, raw: bytes) -> None:
    """Nothing is believed without its answer, nothing is remembered, and the next answer counts."""
    async with cluster_and_verifier(ring, tmp_path, pods=False) as (server, verifier):
        await verifier._keys["eks"].warm()
        server.fails = raw
        refusal = await refusal_of(verifier, token(ring))
        assert isinstance(refusal, Unavailable)
        assert refusal.reason is Reason.CLUSTER_UNAVAILABLE
        server.fails = None
        assert (await verifier.verify(token(ring))).subject == SUBJECT


async def test_missing_rights_are_told_in_the_log_once(ring: Ring, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The operator reads what to grant; the caller is not told, and the log is not flooded."""
    async with cluster_and_verifier(ring, tmp_path) as (server, verifier):
        await verifier._keys["eks"].warm()
        server.allowed = set()
        for _ in range(5):
            assert "look at" not in (await refusal_of(verifier, token(ring))).message
        assert caplog.text.count("does not know the gateway's own token") == 1
        server.allowed = {"gateways-own-token"}
        await verifier.verify(token(ring))
        assert caplog.text.count("answers again") == 1


async def test_only_a_token_of_the_issuers_own_signature_reaches_the_cluster(ring: Ring, tmp_path: Path) -> None:
    """Forged tokens cost the API server nothing, and are never handed to it."""
    async with cluster_and_verifier(ring, tmp_path) as (server, verifier):
        forged = ring.attacker.token(projected(NOW, ISSUER))
        assert (await refusal_of(verifier, forged)).reason is Reason.BAD_SIGNATURE
        assert server.reviewed == []


async def test_a_key_that_goes_while_the_cluster_is_asked_is_not_believed_longer(ring: Ring, tmp_path: Path) -> None:
    """What a key proved that is gone by the time of the answer is not remembered."""
    async with cluster_and_verifier(ring, tmp_path, pods=False) as (server, verifier):
        await verifier._keys["eks"].warm()
        good = token(ring)
        server.asked.clear()
        server.held.clear()
        waiting = asyncio.create_task(verifier.verify(good))
        await until(lambda: server.questions[REVIEW] == 1)
        verifier._keys["eks"].generation += 1
        server.held.set()
        await waiting
        assert verifier.known(good, NOW) is None


async def test_a_caller_who_leaves_does_not_end_the_question(ring: Ring, tmp_path: Path) -> None:
    """Who waits for the same token gets the answer; and closing ends a question that nobody answers."""
    async with cluster_and_verifier(ring, tmp_path) as (server, verifier):
        await verifier._keys["eks"].warm()
        server.held.clear()
        first, second = (asyncio.create_task(verifier.verify(token(ring))) for _ in range(2))
        await until(lambda: server.questions[REVIEW] == 1)
        first.cancel()
        await asyncio.wait([first])
        server.held.set()
        assert (await second).subject == SUBJECT
        server.held.clear()
        hanging = asyncio.create_task(verifier.verify(token(ring, jti="another")))
        await until(lambda: server.questions[REVIEW] == 2)
        hanging.cancel()
        await asyncio.wait([hanging])


# ---------------------------------------------------------------------------------------------------- pods


WORKLOADS = {
    evidence: (Workload("pods", "eks", SUBJECT, ("orders_*",), ("annotation",), "platform.yaml:3", annotations=evidence),)
    for evidence in Evidence
}


async def context(ring: Ring, folder: Path, pod: dict[str, Any] | None, **changes: Any) -> Subject:
    """The subject of a token whose pod looks like this."""
    async with cluster_and_verifier(ring, folder, token_review=False) as (server, verifier):
        server.pod = pod
        subject = await verifier.verify(token(ring, **changes))
        assert REVIEW not in server.questions
        return subject


async def test_annotations_are_taken_exactly(ring: Ring, tmp_path: Path) -> None:
    """As the KubernetesExecutor writes them: unlike labels, neither cut nor hashed; others are not read."""
    long = "orders_" + "x" * 243
    pod = pod_object(
        dag_id=long, task_id="gr\u00fcp.load", run_id="scheduled__2026-11-22T00:00:00+00:00", try_number="2", map_index="7", x="y"
    )
    subject = await context(ring, tmp_path, pod)
    assert subject.pod == {
        "dag_id": long,
        "task_id": "gr\u00fcp.load",
        "run_id": "scheduled__2026-11-22T00:00:00+00:00",
        "try_number": "2",
        "map_index": "7",
    }
    assert subject.claims == {}


@pytest.mark.parametrize("evidence", list(Evidence))
async def test_an_annotation_is_as_good_as_the_workload_says(ring: Ring, tmp_path: Path, evidence: Evidence) -> None:
    """With `pod_override` free, a DAG writes its own annotations: claimed, unless the platform team says otherwise."""
    subject = await context(ring, tmp_path, pod_object(dag_id="orders_daily", task_id="load", try_number="1"))
    identity = bind(subject, Claimed(run_id="by-header"), WORKLOADS[evidence], {})
    assert (identity.dag_id, identity.source, identity.evidence) == ("orders_daily", "annotation", evidence)
    assert (identity.task_id, identity.try_number, identity.run_id) == ("load", "1", "by-header")


@pytest.mark.parametrize(
    ("annotations", "claimed", "reason"),
    [
        ({"dag_id": "payments_etl"}, Claimed(), Reason.NOT_ENTITLED),
        ({"dag_id": "orders_daily"}, Claimed("orders_other"), Reason.CONFLICTING_CLAIMS),
        ({}, Claimed("orders_daily"), Reason.NO_DAG_CLAIM),  # the workload does not let the header choose
        ({"dag_id": ""}, Claimed(), Reason.NO_DAG_CLAIM),
        ({"dag_id": "orders\n"}, Claimed(), Reason.NO_DAG_CLAIM),
        ({"dag_id": "orders_" + "x" * 250}, Claimed(), Reason.NO_DAG_CLAIM),
    ],
)
async def test_annotations_do_not_reach_further_than_the_workload(
    ring: Ring, tmp_path: Path, annotations: dict[str, str], claimed: Claimed, reason: Reason
) -> None:
    """A foreign DAG, a contradiction and silence are refused as from any other source."""
    subject = await context(ring, tmp_path, pod_object(**annotations))
    with pytest.raises(Forbidden) as caught:
        bind(subject, claimed, WORKLOADS[Evidence.VERIFIED], {})
    assert caught.value.reason is reason


async def test_a_pod_of_one_dag_does_not_speak_for_another_by_header(ring: Ring, tmp_path: Path) -> None:
    """What is known of the pod contradicts even where the workload asks the header only."""
    subject = await context(ring, tmp_path, pod_object(dag_id="orders_daily"))
    by_header = (Workload("pods", "eks", SUBJECT, ("orders_*",), ("header",), "platform.yaml:3"),)
    with pytest.raises(Forbidden, match="its pod is annotated with dag 'orders_daily'"):
        bind(subject, Claimed("orders_other"), by_header, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"uid": "another", "annotations": {"dag_id": "orders_daily"}}},  # deleted, and made again under its name
        {"metadata": None},
        {"spec": {"serviceAccountName": "admin"}},
        {"spec": {}},
        None,
    ],
)
async def test_another_pod_of_the_same_name_is_not_the_tokens(ring: Ring, tmp_path: Path, changes: dict[str, Any] | None) -> None:
    """The uid and the service account must be the token's; a pod that is gone has no token."""
    async with cluster_and_verifier(ring, tmp_path, token_review=False) as (server, verifier):
        server.pod = None if changes is None else pod_object(dag_id="orders_daily") | changes
        assert (await refusal_of(verifier, token(ring))).reason is Reason.TOKEN_REVOKED


async def test_a_pod_is_remembered_by_uid_for_a_time(ring: Ring, tmp_path: Path) -> None:
    """The next token of the same pod asks nothing; the memory is bounded, and asks again after its time."""
    clock = Clock(NOW)
    async with cluster_and_verifier(ring, tmp_path, clock, token_review=False) as (server, verifier):
        await verifier.verify(token(ring))
        await verifier.verify(token(ring, jti="renewed"))
        assert server.questions[POD] == 1
        clock.now += SUBJECT_SECONDS
        await verifier.verify(token(ring, jti="later"))
        assert server.questions[POD] == 2
        pods = verifier._clusters["eks"]._pods
        pods.update({str(number): pods[POD_UID] for number in range(REMEMBERED_PODS)})
        clock.now += SUBJECT_SECONDS
        await verifier.verify(token(ring, jti="last"))
        assert POD_UID in pods
        assert len(pods) == REMEMBERED_PODS


async def test_a_cluster_that_cannot_show_pods_closes_the_door(ring: Ring, tmp_path: Path) -> None:
    """A token is not believed without its pod's annotations where they are asked for: they could have contradicted."""
    async with cluster_and_verifier(ring, tmp_path, token_review=False) as (server, verifier):
        await verifier._keys["eks"].warm()
        server.fails = answer(b"503 Service Unavailable", b"")
        assert (await refusal_of(verifier, token(ring))).reason is Reason.CLUSTER_UNAVAILABLE


async def test_a_token_that_is_bound_to_no_pod_has_no_annotations(ring: Ring, tmp_path: Path) -> None:
    """`kubectl create token` makes such; nothing is looked up, and nothing speaks for a DAG."""
    names = {"namespace": "airflow", "serviceaccount": {"name": "worker", "uid": "1b2c"}}
    assert (await context(ring, tmp_path, None, **{"kubernetes.io": names})).pod == {}


POD_CLAIM = projected(NOW, ISSUER)["kubernetes.io"]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (POD_CLAIM, PodReference("airflow", "orders-daily-load-x7k2", POD_UID, "worker")),
        (POD_CLAIM | {"namespace": "../../x"}, None),
        (POD_CLAIM | {"namespace": 5}, None),
        (POD_CLAIM | {"pod": {"name": "a/b", "uid": "u"}}, None),
        (POD_CLAIM | {"pod": {"name": "a?x=", "uid": "u"}}, None),
        (POD_CLAIM | {"pod": {"name": "a", "uid": ""}}, None),
        (POD_CLAIM | {"pod": {"name": "a", "uid": None}}, None),
        (POD_CLAIM | {"pod": "a"}, None),
        (POD_CLAIM | {"serviceaccount": None}, None),
        ("text", None),
        (None, None),
    ],
)
def test_a_pod_is_read_as_kubernetes_writes_it(said: object, found: PodReference | None) -> None:
    """What could lead a path elsewhere is no name."""
    assert pod_in({"kubernetes.io": said}) == found
