"""Tokens to Subjects, fast: what was verified once is remembered until it could have changed.

The order for a new token: take it apart, find its issuer, check its claims, get its key, check the signature. Only getting a
key ever waits; after the wait the memory is asked again, so a thousand equal tokens cost one signature check. Only verified
tokens and wrong signatures are remembered; refusals that time or a new key can heal never are.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from proxy.identity.keys import IssuerKeys, http_client
from proxy.identity.token import Issuer, check, check_claims, issuer_of, read_token
from proxy.refusal import Reason, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

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


class _Verified(NamedTuple):
    subject: Subject
    until: float
    keys: IssuerKeys
    generation: int


class _Refused(NamedTuple):
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
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._on_fetch = on_fetch
        self._keys = {
            issuer.name: IssuerKeys(issuer, self._client(issuer.keys.ca_file), clock=monotonic, on_fetch=self._fetched)
            for issuer in issuers
        }
        self._verified: dict[bytes, _Verified] = {}
        self._refused: dict[bytes, _Refused] = {}
        self._refresher: asyncio.Task[None] | None = None
        self.checked = 0  # signatures checked since the start

    def _client(self, ca_file: str) -> httpx.AsyncClient:
        """One client for each set of trusted authorities."""
        if ca_file not in self._clients:
            self._clients[ca_file] = http_client(ca_file)
        return self._clients[ca_file]

    def _fetched(self, issuer: str, is_good: bool) -> None:
        if self._on_fetch is not None:
            self._on_fetch(issuer, "ok" if is_good else "failed", self._clock())

    def known(self, token: bytes, now: float) -> Subject | None:
        """The Subject of a token that was verified before and still is; None if `verify` must be asked."""
        entry = self._verified.get(hashlib.sha256(token).digest())
        if entry is None or now >= entry.until or entry.generation != entry.keys.generation:
            return None
        return entry.subject

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
        self.checked += 1
        try:
            subject = check(unverified, issuer, key, now)
        except Unauthenticated as refusal:
            if refusal.reason is Reason.BAD_SIGNATURE:
                _remember(self._refused, digest, _Refused(refusal.message, now + REFUSAL_SECONDS, keys, keys.generation))
            raise
        until = min(subject.expires_at, now + SUBJECT_SECONDS)
        _remember(self._verified, digest, _Verified(subject, until, keys, keys.generation))
        return subject

    def _remembered(self, token: bytes) -> Subject | None:
        """The Subject if the token is known good. Raises Unauthenticated if its signature was found wrong a moment ago."""
        now = self._clock()
        refused = self._refused.get(hashlib.sha256(token).digest())
        if refused is not None and now < refused.until and refused.generation == refused.keys.generation:
            raise Unauthenticated(Reason.BAD_SIGNATURE, refused.message)
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
        for keys in self._keys.values():
            await keys.close()
        for client in self._clients.values():
            await client.aclose()


def _remember(memory: dict[bytes, _Entry], digest: bytes, entry: _Entry) -> None:
    """Keep `entry`; the oldest goes when the memory is full."""
    memory.pop(digest, None)
    memory[digest] = entry
    if len(memory) > REMEMBERED:
        del memory[next(iter(memory))]
