"""What a Kubernetes API server says of a projected token: whether it still holds, and what its pod is annotated with.

A signature says what was true when the token was made. A TokenReview says that pod and service account still exist; the pod, got
by name and compared by uid, says which task runs in it. Both fail closed. Annotations are what somebody wrote on the pod: how far
they are to be believed is the workload's to say (`annotations: verified`), not this file's.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import orjson

from proxy.identity.jwks import read_object
from proxy.identity.text import is_name
from proxy.refusal import Reason, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.identity.fetching import Way
    from proxy.identity.token import Issuer

REMEMBERED_PODS = 10_000
_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_ANNOTATIONS = ("dag_id", "task_id", "run_id", "try_number", "map_index")  # as the KubernetesExecutor writes them
_OBJECT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_UID = re.compile(r"[A-Za-z0-9-]{1,64}")
_RIGHTS = {
    401: "the API server does not know the gateway's own token: look at `kubernetes.token_file`",
    403: "the gateway may not ask: grant its service account `create` on tokenreviews (ClusterRole system:auth-delegator) "
    "and `get` on pods, whichever is switched on",
}

_log = logging.getLogger(__name__)


class PodReference(NamedTuple):
    """The pod that a projected token is bound to."""

    namespace: str
    name: str
    uid: str
    service_account: str


class _Pod(NamedTuple):
    context: Mapping[str, str]
    until: float


def pod_in(claims: Mapping[str, Any]) -> PodReference | None:
    """The pod of a token's `kubernetes.io` claim; None if the token is bound to none, or not as Kubernetes writes it."""
    said = claims.get("kubernetes.io")
    if not isinstance(said, dict):
        return None
    pod, account = said.get("pod"), said.get("serviceaccount")
    if not isinstance(pod, dict) or not isinstance(account, dict):
        return None
    names = (said.get("namespace"), pod.get("name"), account.get("name"))
    if not all(isinstance(name, str) and _OBJECT_NAME.fullmatch(name) for name in names):
        return None
    uid = pod.get("uid")
    return PodReference(names[0], names[1], uid, names[2]) if isinstance(uid, str) and _UID.fullmatch(uid) else None  # type: ignore[arg-type]  # names were looked at above


class ClusterApi:
    """Asks the API server of one issuer. Belongs to one event loop."""

    def __init__(self, issuer: Issuer, way: Way) -> None:
        assert issuer.cluster is not None  # noqa: S101 - for the type checker: who has no cluster is not asked about
        self._issuer = issuer
        self._cluster = issuer.cluster
        self._way = way
        self._pods: dict[str, _Pod] = {}
        self.failure = ""  # why the last question had no answer, "" if it had one

    async def review(self, token: bytes, subject: str) -> None:
        """Let the API server confirm a token. Raises Unauthenticated (TOKEN_REVOKED) or Unavailable (CLUSTER_UNAVAILABLE).

        https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
        """
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.decode("ascii"), "audiences": list(self._issuer.audiences)},
        }
        status, answer = await self._ask("POST", _REVIEWS, orjson.dumps(review))
        verdict = answer.get("status")
        if status not in (200, 201) or not isinstance(verdict, dict):
            raise self._unavailable(f"{_REVIEWS} answers {status}; {_RIGHTS.get(status, 'look at its log')}")
        user, audiences = verdict.get("user"), verdict.get("audiences")
        # An API server that does not know audiences confirms any token for itself; one that does repeats ours.
        is_ours = isinstance(audiences, list) and any(audience in self._issuer.audiences for audience in audiences)
        is_same = isinstance(user, dict) and user.get("username") == subject
        if verdict.get("authenticated") is not True or not is_ours or not is_same:
            raise Unauthenticated(
                Reason.TOKEN_REVOKED,
                f"the cluster of issuer `{self._issuer.name}` does not confirm the token: its pod, account or node is gone, "
                "or it is not this audience's; the next token file of a running pod is good",
            )

    async def context_of(self, pod: PodReference, now: float, seconds: float) -> Mapping[str, str]:
        """The task context in a pod's annotations, remembered by uid for `seconds`; absent ones are absent.

        Raises Unauthenticated (TOKEN_REVOKED) if the pod is not the token's, or Unavailable (CLUSTER_UNAVAILABLE).
        """
        known = self._pods.get(pod.uid)
        if known is not None and now < known.until:
            return known.context
        path = f"/api/v1/namespaces/{quote(pod.namespace, safe='')}/pods/{quote(pod.name, safe='')}"
        status, found = await self._ask("GET", path, b"")
        if status not in (200, 404):
            raise self._unavailable(f"/api/v1/namespaces/.../pods answers {status}; {_RIGHTS.get(status, 'look at its log')}")
        metadata, spec = _section(found, "metadata"), _section(found, "spec")
        if metadata.get("uid") != pod.uid or spec.get("serviceAccountName") != pod.service_account:
            raise Unauthenticated(
                Reason.TOKEN_REVOKED,
                f"the pod of the token is gone, or is not the one that the token was made for (issuer `{self._issuer.name}`); "
                "a token is good in its own pod only",
            )
        context = _context_in(metadata.get("annotations"))
        self._pods.pop(pod.uid, None)
        self._pods[pod.uid] = _Pod(context, now + seconds)
        if len(self._pods) > REMEMBERED_PODS:
            del self._pods[next(iter(self._pods))]
        return context

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            status, text = await self._way.ask(method, self._cluster.api + path, body)
            answer = read_object(text) if status in (200, 201) else {}
        except (OSError, ValueError) as error:
            raise self._unavailable(str(error)) from error
        if self.failure and status in (200, 201, 404):
            _log.warning("the cluster of issuer %s answers again", self._issuer.name)
            self.failure = ""
        return status, answer

    def _unavailable(self, failure: str) -> Unavailable:
        """Logged when the failure is new, not at every attempt."""
        if failure != self.failure:
            _log.warning("the cluster of issuer %s cannot be asked: %s", self._issuer.name, failure)
        self.failure = failure
        return Unavailable(
            Reason.CLUSTER_UNAVAILABLE,
            f"the cluster of issuer `{self._issuer.name}` cannot confirm tokens right now, so none of it is believed; try again, "
            "and ask the gateway's operator if it lasts: its log says why",
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._way.close()


def _section(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = found.get(name)
    return section if isinstance(section, dict) else {}


def _context_in(annotations: object) -> dict[str, str]:
    """The executor's annotations as they stand; what is no name is as good as absent."""
    said = annotations if isinstance(annotations, dict) else {}
    return {name: said[name] for name in _ANNOTATIONS if isinstance(said.get(name), str) and is_name(said[name])}
