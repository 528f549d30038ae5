"""Tokens to Subjects, fast: what was verified once is remembered until it could have changed.

The order for a new token: take it apart, find its issuer, check its claims, get its key, check the signature, and where the
issuer is a cluster, let that confirm it. Only getting a key and asking a cluster ever wait, once for all who bring the same
token; after the wait for a key the memory is asked again, so a thousand equal tokens cost one signature check. Verified tokens
are remembered, wrong signatures and revoked tokens for a moment; refusals that time or a new key can heal never are.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from proxy.identity.cluster import ClusterApi, pod_in
from proxy.identity.fetching import Way
from proxy.identity.keys import IssuerKeys
from proxy.identity.token import Issuer, UnverifiedToken, check, check_claims, issuer_of, read_token
from proxy.refusal import Reason, Refusal, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.model import Subject

REMEMBERED = 10_000  # tokens, in each of the two memories
SUBJECT_SECONDS = 300.0
REFUSAL_SECONDS = 10.0
TICK = 1.0  # seconds between looks at the age of the keys


class IssuerStatus(NamedTuple):
    """One issuer as metrics and `doctor` show it. `age` is seconds since the keys were read; infinite if never."""

    name: str
    issuer: str
    keys: int
    skipped: int
    age: float
    generation: int
    failure: str


@dataclass(frozen=True, slots=True)
class _Verified:
    subject: Subject
    until: float
    keys: IssuerKeys
    generation: int

    def holds(self, now: float) -> bool:
        """Whether it may still be believed."""
        return now < self.until and self.generation == self.keys.generation


@dataclass(frozen=True, slots=True)
class _Refused:
    reason: Reason
    message: str
    until: float
    keys: IssuerKeys
    generation: int


_Entry = TypeVar("_Entry", _Verified, _Refused)


class TokenVerifier:
    """Verifies tokens of the configured issuers. Belongs to one event loop.

    Raises ValueError if two issuers share a name or an issuer string, OSError if a `ca_file` cannot be read.
    """

    def __init__(
        self,
        issuers: tuple[Issuer, ...],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        on_fetch: Callable[[str, Literal["ok", "failed"], float], None] | None = None,
    ) -> None:
        """`on_fetch` is told issuer, result and wall time of each attempt to get keys."""
        for values in ({issuer.name for issuer in issuers}, {issuer.issuer for issuer in issuers}):
            if len(values) != len(issuers):
                raise ValueError("two issuers have the same name or issuer string")
        self._issuers = issuers
        self._clock = clock
        self._on_fetch = on_fetch
        self._ways = {issuer.name: _way_to_keys(issuer) for issuer in issuers}
        self._keys = {
            issuer.name: IssuerKeys(issuer, self._ways[issuer.name], clock=monotonic, on_fetch=self._fetched)
            for issuer in issuers
        }
        self._clusters = {issuer.name: ClusterApi(issuer, _way_to_cluster(issuer)) for issuer in issuers if issuer.cluster}
        self._flights: dict[bytes, asyncio.Task[Subject | Refusal]] = {}  # tokens that a cluster is being asked about
        self._verified: dict[bytes, _Verified] = {}
        self._refused: dict[bytes, _Refused] = {}
        self._refresher: asyncio.Task[None] | None = None
        self.checked = 0  # signatures checked since the start

    def _fetched(self, issuer: str, is_good: bool) -> None:
        if self._on_fetch is not None:
            self._on_fetch(issuer, "ok" if is_good else "failed", self._clock())

    def known(self, token: bytes, now: float) -> Subject | None:
        """The Subject of a token that was verified before and still is; None if `verify` must be asked."""
        proof = self.proof_of(token, now)
        return None if proof is None else proof.subject

    def proof_of(self, token: bytes, now: float) -> _Verified | None:
        """The same, with what says how long it holds."""
        entry = self._verified.get(hashlib.sha256(token).digest())
        return entry if entry is not None and entry.holds(now) else None

    async def verify(self, token: bytes) -> Subject:
        """The Subject of a token. Raises Unauthenticated, or Unavailable if the issuer's keys cannot be had."""
        subject = self._remembered(token)
        if subject is not None:
            return subject
        unverified = read_token(token)
        issuer = issuer_of(unverified, self._issuers)
        check_claims(unverified, issuer, self._clock())
        keys = self._keys[issuer.name]
        key = keys.ready_key(unverified.kid, unverified.algorithm)
        if key is None:
            key = await keys.key_for(unverified.kid, unverified.algorithm)
            subject = self._remembered(token)  # others waited for the same key
            if subject is not None:
                return subject
        now = self._clock()
        digest = hashlib.sha256(token).digest()
        generation = keys.generation  # of the key that is at hand: it may change while a cluster is asked
        self.checked += 1
        try:
            subject = check(unverified, issuer, key, now)
        except Unauthenticated as refusal:
            if refusal.reason is Reason.BAD_SIGNATURE:
                self._refuse(digest, refusal, keys, generation)
            raise
        if issuer.name not in self._clusters:
            return self._keep(digest, subject, keys, generation, now)
        flight = self._flights.get(digest)
        if flight is None:
            flight = asyncio.create_task(self._confirmed(token, unverified, subject, keys, generation), name="a token's cluster")
            self._flights[digest] = flight
            flight.add_done_callback(lambda done: self._land(digest, done))
        outcome = await asyncio.shield(flight)  # the question outlives a caller who goes away
        if isinstance(outcome, Refusal):
            raise outcome.again()
        return outcome

    async def _confirmed(
        self, token: bytes, unverified: UnverifiedToken, subject: Subject, keys: IssuerKeys, generation: int
    ) -> Subject | Refusal:
        """A subject that its cluster stands behind, with its pod's context; its outcome is a value, for many may wait for it."""
        cluster, digest, now = self._clusters[subject.issuer], hashlib.sha256(token).digest(), self._clock()
        wanted = keys.issuer.cluster
        try:
            if wanted is not None and wanted.token_review:
                await cluster.review(token, subject.subject)
            pod = pod_in(unverified.claims) if wanted is not None and wanted.pods else None
            if pod is not None:
                subject = replace(subject, pod=await cluster.context_of(pod, now, SUBJECT_SECONDS))
        except Refusal as refusal:
            if isinstance(refusal, Unauthenticated):
                self._refuse(digest, refusal, keys, generation)
            return refusal
        return self._keep(digest, subject, keys, generation, now)

    def _land(self, digest: bytes, done: asyncio.Task[Subject | Refusal]) -> None:
        self._flights.pop(digest, None)
        if not done.cancelled():
            done.exception()  # nobody may be left to hear it

    def _keep(self, digest: bytes, subject: Subject, keys: IssuerKeys, generation: int, now: float) -> Subject:
        until = min(subject.expires_at, now + SUBJECT_SECONDS)
        _remember(self._verified, digest, _Verified(subject, until, keys, generation), now)
        return subject

    def _refuse(self, digest: bytes, refusal: Unauthenticated, keys: IssuerKeys, generation: int) -> None:
        now = self._clock()
        entry = _Refused(refusal.reason, refusal.message, now + REFUSAL_SECONDS, keys, generation)
        _remember(self._refused, digest, entry, now)

    def _remembered(self, token: bytes) -> Subject | None:
        """The Subject if the token is known good. Raises Unauthenticated if it was found wrong or revoked a moment ago."""
        now = self._clock()
        refused = self._refused.get(hashlib.sha256(token).digest())
        if refused is not None and now < refused.until and refused.generation == refused.keys.generation:
            raise Unauthenticated(refused.reason, refused.message)
        return self.known(token, now)

    async def warm(self) -> None:
        """Ask every issuer for its keys once, then keep them fresh until `close`. Never raises for an issuer that is away."""
        if self._refresher is None:
            self._refresher = asyncio.create_task(self._keep_fresh(), name="keys of all issuers")
        await asyncio.gather(*(keys.warm() for keys in self._keys.values()))

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for keys in self._keys.values():
                keys.refresh_if_due()

    @property
    def is_ready(self) -> bool:
        """True if at least one issuer's keys are at hand: one that is away must not take the others' tasks down."""
        return any(keys.usable for keys in self._keys.values())

    def status(self) -> list[IssuerStatus]:
        """Each issuer's state, in the order of the settings."""
        return [
            IssuerStatus(name, keys.issuer.issuer, keys.usable, keys.skipped, keys.age, keys.generation, keys.failure)
            for name, keys in self._keys.items()
        ]

    async def close(self) -> None:
        """End the refreshes and close the connections."""
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.wait([self._refresher])
        for flight in tuple(self._flights.values()):
            flight.cancel()
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
        for keys in self._keys.values():
            await keys.close()
        for cluster in self._clusters.values():
            await cluster.close()
        for way in self._ways.values():
            await way.close()


def _way_to_keys(issuer: Issuer) -> Way:
    keys = issuer.keys
    return Way(keys.ca_file, keys.token_file, (keys.location or issuer.issuer) if keys.token_file else "")


def _way_to_cluster(issuer: Issuer) -> Way:
    cluster = issuer.cluster
    assert cluster is not None  # noqa: S101 - for the type checker
    return Way(cluster.ca_file, cluster.token_file, cluster.api)


def _remember(memory: dict[bytes, _Entry], digest: bytes, entry: _Entry, now: float) -> None:
    """Keep `entry`; the oldest goes when the memory is full.

    So do the two oldest that no longer hold, so that the memory shrinks to what holds while it is used.
    """
    memory.pop(digest, None)
    for oldest in list(islice(memory, 2)):
        if memory[oldest].until <= now:
            del memory[oldest]
    memory[digest] = entry
    if len(memory) > REMEMBERED:
        del memory[next(iter(memory))]
