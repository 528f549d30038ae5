"""The keys of one issuer: fetched, kept fresh ahead of need, and kept through an outage up to a stated age.

Refreshes run one at a time and never inside a request whose key is known. An unknown `kid` may ask for one, at most every
30 s where the last brought nothing new, so a flood of invented ones costs the issuer nothing and a rotation no request.
A failed refresh never takes a key away; keys older than 24 h
are not believed any more. Intervals are measured on a monotonic clock.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.identity.fetching import FETCH_SECONDS
from proxy.identity.jwks import MAX_SET_BYTES, KeySet, VerifyKey, read_key_set, read_object
from proxy.identity.text import quoted
from proxy.refusal import Reason, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.identity.fetching import Way
    from proxy.identity.token import Issuer

TTL = 300.0  # seconds; a key that was taken away is refused after that
FILE_TTL = 5.0
AHEAD = 0.8  # part of the TTL after which a refresh starts
COOLDOWN = 30.0  # between attempts that an unknown kid or a failure asks for
FIRST_COOLDOWN = 5.0  # between attempts while there are no keys at all
MAX_STALE = 86400.0
DISCOVERY = "/.well-known/openid-configuration"
_ORDINARY_KID = re.compile(r"[A-Za-z0-9_.=+-]{1,80}")  # other ones are not shown: they are a stranger's text

_log = logging.getLogger(__name__)


class IssuerKeys:
    """The key set of one issuer. Belongs to one event loop."""

    def __init__(
        self,
        issuer: Issuer,
        way: Way,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float = FETCH_SECONDS,
        on_fetch: Callable[[str, bool], None] = lambda issuer, is_good: None,  # noqa: ARG005 - for callers who do not count
    ) -> None:
        """`on_fetch` is told the issuer's name, and whether its keys were had, after each attempt."""
        self.issuer = issuer
        self.generation = 0  # counts changes of the key set; caches of verified tokens depend on it
        self.failure = ""  # why the last refresh failed, "" if it did not
        self._way = way
        self._clock = clock
        self._on_fetch = on_fetch
        self._patience = patience  # seconds that one document may take as a whole
        self._ttl = FILE_TTL if issuer.keys.kind == "jwks_file" else TTL
        self._set = KeySet((), 0)
        self._fetched = float("-inf")
        self._attempted = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def age(self) -> float:
        """Seconds since the keys were last read; infinite if they never were."""
        return self._clock() - self._fetched

    @property
    def usable(self) -> int:
        """How many keys may check signatures now."""
        return len(self._set.keys) if self.age <= MAX_STALE else 0

    @property
    def skipped(self) -> int:
        """How many published keys are of no use for checking signatures."""
        return self._set.skipped

    @property
    def is_refreshing(self) -> bool:
        """True while a refresh runs."""
        return self._refreshing is not None and not self._refreshing.done()

    def ready_key(self, kid: str | None, algorithm: str) -> VerifyKey | None:
        """The key if it is at hand; None if `key_for` must be asked. Starts a refresh when one is due, and does not wait."""
        self.refresh_if_due()
        return self._set.choose(kid, algorithm) if self.usable else None

    async def key_for(self, kid: str | None, algorithm: str) -> VerifyKey:
        """The issuer's one key for a token. Raises Unavailable (KEYS_UNAVAILABLE) or Unauthenticated (UNKNOWN_KEY)."""
        key = self.ready_key(kid, algorithm)
        if key is None and (self.is_refreshing or self._may_attempt()):
            await asyncio.shield(self._begin_refresh())  # the refresh outlives a caller who goes away
            key = self._set.choose(kid, algorithm) if self.usable else None
        if key is not None:
            return key
        if not self.usable or self.age > self._ttl:
            raise Unavailable(
                Reason.KEYS_UNAVAILABLE,
                f"the keys of issuer `{self.issuer.name}` cannot be had right now, so no token of it can be checked; try again, "
                "and ask the gateway's operator to run `dynamodb-proxy doctor` if it lasts",
            )
        raise Unauthenticated(Reason.UNKNOWN_KEY, self._unknown(kid, algorithm))

    def _unknown(self, kid: str | None, algorithm: str) -> str:
        if kid is None:
            return (
                f"the token names no key (`kid`), and issuer `{self.issuer.name}` does not publish exactly one for "
                f"{quoted(algorithm)}; let the issuer set `kid`"
            )
        shown = quoted(kid) if _ORDINARY_KID.fullmatch(kid) else "with the token's unusual `kid`"
        return (
            f"issuer `{self.issuer.name}` publishes no key {shown} for {quoted(algorithm)} (looked {self.age:.0f} s ago); "
            f"a new key is seen within {COOLDOWN:.0f} s, an old token must be renewed"
        )

    def refresh_if_due(self) -> None:
        """Start a refresh in the background if the keys will be old soon. Returns at once."""
        if self.age >= AHEAD * self._ttl and self._may_attempt():
            self._begin_refresh()

    async def warm(self) -> None:
        """Wait for keys if there are none. Never raises: a gateway starts without its issuer, and is not ready."""
        if not self.usable:
            await asyncio.shield(self._begin_refresh())

    async def close(self) -> None:
        """End a running refresh."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    def _may_attempt(self) -> bool:
        pause = COOLDOWN if self._set.keys else FIRST_COOLDOWN
        return self._clock() - self._attempted >= min(pause, self._ttl)

    def _begin_refresh(self) -> asyncio.Task[None]:
        """The running refresh, or a new one: single flight."""
        if self._refreshing is None or self._refreshing.done():
            self._attempted = self._clock()
            self._refreshing = asyncio.create_task(self._refresh(), name=f"keys of {self.issuer.name}")
        return self._refreshing

    async def _refresh(self) -> None:
        try:
            fresh = await asyncio.to_thread(read_key_set, await self._published())  # the first one imports PyJWT
        except (OSError, ValueError) as error:
            where = f"{self.issuer.keys.location}: " if self.issuer.keys.kind == "jwks_file" else ""
            self._note_failure(f"{where}{error.strerror if where and isinstance(error, OSError) else error}")
            self._on_fetch(self.issuer.name, False)
            return
        if self.failure:
            _log.warning("keys of issuer %s are back", self.issuer.name)
        self.failure = ""
        self._fetched = self._clock()
        if fresh.keys != self._set.keys:
            self.generation += 1
            self._attempted = float("-inf")  # what brought something new was worth it: the next may follow at once
        self._set = fresh
        self._on_fetch(self.issuer.name, True)

    def _note_failure(self, failure: str) -> None:
        """Logged when the failure is new, not at every attempt."""
        if failure != self.failure:
            _log.warning("keys of issuer %s cannot be refreshed: %s", self.issuer.name, failure)
        self.failure = failure

    async def _published(self) -> bytes:
        """The issuer's key set as it stands there now. Raises OSError or ValueError."""
        source = self.issuer.keys
        if source.kind == "jwks_file":
            return await asyncio.to_thread(_read_file, source.location)
        if source.kind == "jwks_url":
            return await self._way.get(source.location, self._patience)
        return await self._way.get(await self._discovered(), self._patience)

    async def _discovered(self) -> str:
        """The `jwks_uri` of the issuer's discovery document (OpenID Connect Discovery 1.0, section 4)."""
        place = (self.issuer.keys.location or self.issuer.issuer).removesuffix(DISCOVERY).rstrip("/") + DISCOVERY
        document = read_object(await self._way.get(place, self._patience))
        if document.get("issuer") != self.issuer.issuer:
            raise ValueError(
                f"the discovery document says issuer {quoted(str(document.get('issuer')))}, "
                f"the setting {quoted(self.issuer.issuer)}; they must be equal"
            )
        keys = document.get("jwks_uri")
        if not isinstance(keys, str):
            raise ValueError("the discovery document has no `jwks_uri`")
        if urlsplit(place).scheme == "https" and urlsplit(keys).scheme != "https":
            raise ValueError(f"the discovery document points from https to {quoted(keys)}")
        return keys


def _read_file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(MAX_SET_BYTES + 1)
