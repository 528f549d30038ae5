"""The cache of role credentials: one entry for each principal, one AssumeRole at a time for each, ahead of need.

The key is the whole principal, that is all that enters AssumeRole, so that one DAG can never get another's credentials.
What is in use is refreshed at about 60 % of its life, what is not used lapses; an outage of STS is ridden out on what is held,
until 60 s before it ends. After a failure a key waits (growing, with jitter), and those who ask meanwhile get the last refusal.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.model import Credentials
from proxy.refusal import Reason, Refusal, Throttled, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from proxy.model import Principal

_log = logging.getLogger("proxy.aws")

_SPARE = 60.0  # seconds before their end from which credentials are not used: clocks differ, requests take time
_DENIED_WAIT = 30.0
_MOST_FLIGHTS = 100  # invented DAG ids must not take STS away from the refreshes of others
_MOST_WARMING = 20  # at once, so that those who call meanwhile find flights and connections free
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0  # an STS that is back is found within 10 s


@dataclass(slots=True)
class _Entry:
    """What is known for one principal. `flight` is the running AssumeRole, if any."""

    credentials: Credentials | None = None
    refresh_at: float = 0.0
    was_used: bool = False  # since the last refresh
    flight: asyncio.Task[Credentials | Refusal] | None = None
    refusal: Refusal | None = None  # of the last flight, if it failed
    failures: int = 0
    retry_at: float = 0.0


class RoleCredentials:
    """Credentials by principal. `assume` is one AssumeRole call and raises Refusal.

    `clock` is wall time, as STS speaks it; waits are measured on `steady`, so that a wall clock that jumps freezes nothing.
    """

    def __init__(
        self,
        assume: Callable[[Principal], Awaitable[Credentials]],
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        *,
        size: int = 10_000,
        sweep: float = 1.0,
        patience: float = 15.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._assume = assume
        self._clock = clock
        self._steady = steady
        self._size = size
        self._sweep_every = sweep
        self._patience = patience  # seconds for one AssumeRole with its retries
        self._jitter = jitter
        self._entries: OrderedDict[Principal, _Entry] = OrderedDict()  # the least recently used first
        self._flights: set[asyncio.Task[Credentials | Refusal]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def ready(self, principal: Principal) -> Credentials | None:
        """What is held and still good for a request, without waiting; the fast path."""
        entry = self._entries.get(principal)
        if entry is None or entry.credentials is None or entry.credentials.expires_at - _SPARE <= self._clock():
            return None
        entry.was_used = True
        self._entries.move_to_end(principal)
        return entry.credentials

    async def credentials_for(self, principal: Principal) -> Credentials:
        """What is held, else what STS gives. Raises Forbidden (role not assumable), Throttled or Unavailable.

        A caller that goes away leaves the call to STS running for the others.
        """
        held = self.ready(principal)
        if held is not None:
            return held
        entry = self._entry_of(principal)
        if entry.flight is None and entry.refusal is not None and self._steady() < entry.retry_at:
            raise entry.refusal.again()
        if entry.flight is None and len(self._flights) >= _MOST_FLIGHTS:
            raise Throttled(Reason.OVERLOADED, "too many DAGs ask for their first AWS session at once; retry with back-off")
        flight = entry.flight or self._take_off(principal, entry)
        try:
            outcome = await asyncio.shield(flight)
        except asyncio.CancelledError:
            if flight.cancelled():  # by `close`, not by the caller
                raise _stopping() from None
            raise
        if isinstance(outcome, Refusal):
            raise outcome.again()
        entry.was_used = True
        return outcome

    def forget(self, principal: Principal, refused: Credentials | None = None) -> None:
        """Drop what is held. With `refused`, only if that is what is held: many requests may fail on the same session."""
        entry = self._entries.get(principal)
        if entry is not None and (refused is None or entry.credentials == refused):
            del self._entries[principal]

    async def warm(self, principals: Iterable[Principal]) -> dict[Principal, Refusal]:
        """Fetch ahead for all of these, some at a time; what failed is returned, and tried again when asked for."""
        failed: dict[Principal, Refusal] = {}
        turns = asyncio.Semaphore(_MOST_WARMING)

        async def fetch(principal: Principal) -> None:
            try:
                async with turns:
                    await self.credentials_for(principal)
            except Refusal as refusal:
                failed[principal] = refusal

        await asyncio.gather(*(fetch(principal) for principal in dict.fromkeys(principals)))
        return failed

    async def close(self) -> None:
        """Cancel what is under way; those who wait get Unavailable."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        flights = tuple(self._flights)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        self._entries.clear()

    # --------------------------------------------------------------------------------------------------- flights

    def _entry_of(self, principal: Principal) -> _Entry:
        if self._is_closed:
            raise _stopping()
        entry = self._entries.get(principal)
        if entry is None:
            entry = self._entries[principal] = _Entry()
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)
        self._start_sweeper()
        return entry

    def _take_off(self, principal: Principal, entry: _Entry) -> asyncio.Task[Credentials | Refusal]:
        entry.flight = asyncio.get_running_loop().create_task(self._fly(principal, entry))
        self._flights.add(entry.flight)
        entry.flight.add_done_callback(self._flights.discard)
        return entry.flight

    async def _fly(self, principal: Principal, entry: _Entry) -> Credentials | Refusal:
        """One AssumeRole; its outcome is a value, for it may have many who wait, or none."""
        outcome: Credentials | Refusal
        try:
            async with asyncio.timeout(self._patience):
                outcome = await self._assume(principal)
        except Refusal as refusal:
            outcome = refusal
        except TimeoutError:
            outcome = Unavailable(
                Reason.CREDENTIALS_UNAVAILABLE, f"STS did not answer within {self._patience:g} s; look at its endpoint"
            )
        except Exception:  # noqa: BLE001 - a single flight must answer all who wait for it
            _log.exception("assuming role %s failed by a defect of the gateway", principal.role_arn)
            outcome = Unavailable(
                Reason.CREDENTIALS_UNAVAILABLE, "the role could not be assumed; the gateway's log has the cause"
            )
        finally:
            entry.flight = None
        return self._landed(principal, entry, outcome)

    def _landed(self, principal: Principal, entry: _Entry, outcome: Credentials | Refusal) -> Credentials | Refusal:
        now = self._clock()
        if isinstance(outcome, Credentials) and outcome.expires_at - _SPARE <= now:
            outcome = Unavailable(
                Reason.CREDENTIALS_UNAVAILABLE, "STS gave credentials that end at once; look at the gateway's clock"
            )
        if isinstance(outcome, Refusal):
            entry.refusal, entry.failures = outcome, entry.failures + 1
            entry.retry_at = self._steady() + self._wait_after(outcome, entry.failures)
            _log.warning("no new credentials for role %s: %s: %s", principal.role_arn, outcome.reason.value, outcome.message)
            return outcome
        life = outcome.expires_at - now
        entry.credentials, entry.refusal, entry.failures, entry.was_used = outcome, None, 0, False
        entry.refresh_at = self._steady() + life * (0.55 + 0.1 * self._jitter())
        return outcome

    def _wait_after(self, refusal: Refusal, failures: int) -> float:
        if refusal.reason is Reason.ROLE_NOT_ASSUMABLE:
            return _DENIED_WAIT
        return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - 1, 10)) * (0.5 + 0.5 * self._jitter())

    # --------------------------------------------------------------------------------------------- refresh ahead

    def _start_sweeper(self) -> None:
        if self._sweeper is None and self._entries:
            self._sweeper = asyncio.get_running_loop().call_later(self._sweep_every, self._sweep)

    def _sweep(self) -> None:
        """Refresh what is used and due, let go what has lapsed."""
        self._sweeper = None
        now, steady = self._clock(), self._steady()
        for principal, entry in tuple(self._entries.items()):
            if entry.flight is not None or steady < entry.retry_at:
                continue
            is_over = entry.credentials is None or entry.credentials.expires_at - _SPARE <= now
            if is_over and steady >= entry.retry_at + _DENIED_WAIT:  # kept so long to remember how often it has failed
                del self._entries[principal]
            elif not is_over and entry.was_used and steady >= entry.refresh_at:
                self._take_off(principal, entry)
        self._start_sweeper()


def _stopping() -> Unavailable:
    return Unavailable(Reason.CREDENTIALS_UNAVAILABLE, "the gateway is stopping; try again")
