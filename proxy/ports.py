"""What the pipeline and the logins ask of the other parts: one small protocol for each question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.aws.sigv4 import Endpoint
    from proxy.identity.denials import DenyList
    from proxy.model import Credentials, Exchange, Known, Principal, Proof, Reply, Session, Subject
    from proxy.policy.rules import Policies


class Incoming(Protocol):
    """The body of a request, still arriving."""

    known: Known | None
    """What the pipeline knows of who asked last on this connection; the edge does not look at it."""

    @property
    def gone(self) -> bool:
        """True once the caller has closed the connection."""

    def at_hand(self) -> bytes | None:
        """The whole body if it is here already, so that nothing can have changed since its head. Raises Refusal (OVERLOADED)."""

    async def read(self) -> bytes:
        """The whole body, where it is not at hand. Raises Refusal (OVERLOADED, TOO_SLOW) or Abandoned."""


class Tokens(Protocol):
    """Who is calling."""

    def proof_of(self, token: bytes, now: float) -> Proof | None:
        """The proof of a token that was verified before, if it still holds."""

    def known(self, token: bytes, now: float) -> Subject | None:
        """The subject of a token that was verified before and still holds."""

    async def verify(self, token: bytes) -> Subject:
        """Verify. Raises Unauthenticated, or Unavailable where the issuer's keys cannot be had."""


class Sessions(Protocol):
    """Who logged in before."""

    def open(self, token: bytes, now: float) -> Session:
        """The session of a token that the gateway minted. Raises Unauthenticated."""


class Denials(Protocol):
    """Whom the kill switches stop. `current` is a whole immutable snapshot."""

    @property
    def current(self) -> DenyList:
        """The deny list in force."""


class PolicySource(Protocol):
    """May they. `current` is a whole immutable snapshot."""

    @property
    def current(self) -> Policies:
        """The policies in force."""


class Roles(Protocol):
    """As whom."""

    def ready(self, principal: Principal) -> Credentials | None:
        """Credentials that are at hand and still hold."""

    async def credentials_for(self, principal: Principal) -> Credentials:
        """Credentials, from STS if need be. Raises Forbidden or Unavailable."""

    def forget(self, principal: Principal, refused: Credentials) -> None:
        """Drop credentials that AWS did not accept."""


class Upstream(Protocol):
    """Sent where."""

    @property
    def endpoint(self) -> Endpoint:
        """What requests are signed for."""

    async def send(self, request: bytes, *, is_write: bool, sent: Callable[[], None]) -> Reply:
        """Send once; `sent` is called when the first byte may leave.

        Raises Unavailable (nothing sent) or Broken (outcome unknown).
        """


class Journal(Protocol):
    """What happened: audit and metrics."""

    def decision(self, exchange: Exchange) -> None:
        """Put the decision in the sink. Raises Unavailable(AUDIT_UNAVAILABLE)."""

    def settle(self) -> None:
        """Record now whatever was decided: the exchange is about to change."""

    def outcome(self, exchange: Exchange) -> None:
        """Record how it ended; never raises."""
