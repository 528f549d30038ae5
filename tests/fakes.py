"""Small real stand-ins for the pipeline's ports. Each writes what it was asked for into one shared list, in order.

They do what the real parts promise and fail when told to; nothing is patched.
"""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING

from proxy.aws.sigv4 import Endpoint
from proxy.identity.denials import NOTHING_DENIED
from proxy.model import Credentials, Reply, Subject
from proxy.refusal import Abandoned, Reason, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.model import Exchange, Known, Principal
    from proxy.policy.rules import Policies

SECRET = "hidden-secret-key"
SESSION = "hidden-session-token"


class FakeProof:
    """That a token was verified by `FakeTokens`, for as long as that says so."""

    def __init__(self, tokens: FakeTokens) -> None:
        self.subject = tokens.subject
        self._tokens = tokens

    def holds(self, now: float) -> bool:
        """While it may be known."""
        return self._tokens.failure is None and self._tokens.is_known


class FakeTokens:
    """Knows every token at once (`known`), or verifies it first; `failure` is raised instead."""

    def __init__(self, events: list[str], subject: Subject) -> None:
        self.events = events
        self.subject = subject
        self.is_known = True
        self.failure: Exception | None = None
        self.held = asyncio.Event()
        self.held.set()
        self.asked: list[bytes] = []

    def known(self, token: bytes, now: float) -> Subject | None:
        """The subject, if it may be known; what can be no token never was verified."""
        self.asked.append(token)
        if self.failure is None and self.is_known and token:
            self.events.append("token")
            return self.subject
        return None

    def proof_of(self, token: bytes, now: float) -> FakeProof | None:
        """What proves it, if it may be known."""
        return None if self.known(token, now) is None else FakeProof(self)

    async def verify(self, token: bytes) -> Subject:
        """The subject, once it is not held back."""
        self.events.append("token")
        await self.held.wait()
        if self.failure is not None:
            raise self.failure
        return self.subject


class FixedPolicies:
    """One snapshot; every look at it is counted."""

    def __init__(self, events: list[str], policies: Policies) -> None:
        self.events = events
        self.policies = policies

    @property
    def current(self) -> Policies:
        """The snapshot."""
        self.events.append("policies")
        return self.policies


class FixedDenials:
    """One deny list, empty until a test says otherwise."""

    def __init__(self) -> None:
        self.current = NOTHING_DENIED


class FakeRoles:
    """Credentials at hand, or after a wait; `failure` is raised instead."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.credentials = Credentials("ASIAFAKE", SECRET, SESSION, 2e9)
        self.is_ready = True
        self.failure: Exception | None = None
        self.held = asyncio.Event()
        self.held.set()
        self.forgotten: list[tuple[Principal, Credentials]] = []

    def ready(self, principal: Principal) -> Credentials | None:
        """What is at hand."""
        if self.failure is None and self.is_ready:
            self.events.append("credentials")
            return self.credentials
        return None

    async def credentials_for(self, principal: Principal) -> Credentials:
        """Credentials, once they are not held back."""
        self.events.append("credentials")
        await self.held.wait()
        if self.failure is not None:
            raise self.failure
        return self.credentials

    def forget(self, principal: Principal, refused: Credentials) -> None:
        """Remember what was dropped."""
        self.forgotten.append((principal, refused))


class FakeUpstream:
    """Answers `reply`; `failure` is raised before (`fails_after_sending` False) or after the first byte."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.endpoint = Endpoint("https", "dynamodb.eu-west-1.amazonaws.com", 443, "eu-west-1")
        self.reply = Reply(200, ((b"x-amzn-requestid", b"AWSID"),), b"{}")
        self.failure: BaseException | None = None
        self.fails_after_sending = True
        self.held = asyncio.Event()
        self.held.set()
        self.requests: list[bytes] = []
        self.writes: list[bool] = []

    async def send(self, request: bytes, *, is_write: bool, sent: Callable[[], None]) -> Reply:
        """One exchange."""
        if self.failure is not None and not self.fails_after_sending:
            raise self.failure
        sent()
        self.events.append("send")
        self.requests.append(request)
        self.writes.append(is_write)
        await self.held.wait()
        if self.failure is not None:
            raise self.failure
        return self.reply


class ListedJournal:
    """Keeps copies of exchanges as they were when told; `is_full` refuses allowed ones, as the audit log does."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.decisions: list[Exchange] = []
        self.outcomes: list[Exchange] = []
        self.is_full = False
        self.defect: Exception | None = None

    def decision(self, exchange: Exchange) -> None:
        """Take a decision, once for each exchange."""
        if self.defect is not None:
            raise self.defect
        if self.is_full:
            raise Unavailable(Reason.AUDIT_UNAVAILABLE, "the audit log takes no records")
        assert not exchange.decided
        exchange.decided = True
        self.events.append("decision")
        self.decisions.append(copy(exchange))

    def settle(self) -> None:
        """Nothing waits."""

    def outcome(self, exchange: Exchange) -> None:
        """Take an outcome."""
        self.events.append("outcome")
        self.outcomes.append(copy(exchange))


class FakeBody:
    """A body that arrives, fails, or never comes because its caller left."""

    def __init__(self, events: list[str], body: bytes | Exception, *, gone: bool = False) -> None:
        self.events = events
        self._body = body
        self.known: Known | None = None
        self.gone = gone
        self.held = asyncio.Event()
        self.held.set()

    def at_hand(self) -> bytes | None:
        """The body, unless something holds it up."""
        if not self.held.is_set() or isinstance(self._body, Exception) or self.gone:
            return None
        self.events.append("body")
        return self._body

    async def read(self) -> bytes:
        """The body."""
        self.events.append("body")
        await self.held.wait()
        if isinstance(self._body, Exception):
            raise self._body
        if self.gone:
            raise Abandoned
        return self._body
