"""Sessions, made and opened: the keys in force, and a memory of what was opened, for each request brings its token along.

An opened session is remembered by its token's digest until it ends or the keys change. The memory has no say in who may do
what: workloads, policies and deny list are asked at each request.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from proxy.identity.sessions import UNIQUE_BYTES, SessionSeal, expired, lasting

if TYPE_CHECKING:
    from proxy.identity.sessions import Session
    from proxy.identity.token import Issuer
    from proxy.model import Credentials, Subject

REMEMBERED = 10_000  # sessions


class SessionMint:
    """Mints and opens sessions. Belongs to one event loop."""

    def __init__(self, keys: tuple[bytes, ...], issuers: tuple[Issuer, ...], environment: str) -> None:
        self._issuers = issuers
        self._environment = environment
        self._opened: dict[bytes, Session] = {}
        self._seal = SessionSeal(keys, issuers, environment)

    def replace_keys(self, keys: tuple[bytes, ...]) -> None:
        """Mint with the first of `keys` and open with any; sessions of other keys end."""
        self._seal.is_in_force = False
        self._seal = SessionSeal(keys, self._issuers, self._environment)
        self._opened.clear()

    def mint(self, subject: Subject, now: float, seconds: float) -> Credentials:
        """Credentials of a new session of `subject`."""
        return self._seal.seal(lasting(subject, now, seconds), secrets.token_bytes(UNIQUE_BYTES), now)

    def open(self, token: bytes, now: float) -> Session:
        """The session of a token. Raises Unauthenticated."""
        digest = hashlib.sha256(token).digest()
        session = self._opened.get(digest)
        if session is None:
            session = self._seal.open(token, now)
            self._opened[digest] = session
            if len(self._opened) > REMEMBERED:
                del self._opened[next(iter(self._opened))]
        elif now >= session.subject.expires_at:
            del self._opened[digest]
            raise expired()
        return session
