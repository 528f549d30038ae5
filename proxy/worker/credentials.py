"""What a DynamoDB client signs with: the token itself, or a session that the gateway gives for it.

One source a process and gateway, shared by all clients: single flight, renewed 15 minutes ahead, the last good one used
while it holds. The token's file is read again whenever it changes. No message holds a token. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from proxy.worker.denials import BUSY, PASSING
from proxy.worker.wire import exchange, expiry_of, flaw_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.worker.switch import Switch

ROUTE = "/v1/credentials"
AHEAD_SECONDS = 900.0  # a session is renewed so long before its end, or at half of a shorter life
JITTER_SECONDS = 60.0
AGAIN_SECONDS = 30.0  # between tries while the last session still holds
MARGIN_SECONDS = 60.0  # a session is not used in its last minute: clocks differ
NO_SESSIONS_SECONDS = 900.0  # how long `auto` believes that a gateway gives none
FAILED_SECONDS = 1.0  # how long a failure speaks for all threads
PAUSES = (0.3, 1.0)  # before the second and third try when the gateway is away
TIMEOUT_SECONDS = 5.0


class Keys(NamedTuple):
    """What signs a request; the names are botocore's."""

    access_key: str
    secret_key: str
    token: str

    def get_frozen_credentials(self) -> Keys:
        """Itself, for botocore."""
        return self


class AsyncKeys(Keys):
    """The same for aiobotocore."""

    __slots__ = ()

    async def get_frozen_credentials(self) -> Keys:  # type: ignore[override]  # aiobotocore awaits it
        """Itself, when awaited."""
        return self


class NoCredentials(Exception):
    """Nothing to sign with. `status` and `reason` are the gateway's: 0 and empty where it was not asked or did not answer."""

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def is_final(self) -> bool:
        """Whether the gateway itself refused, for good: neither it nor what it needs is away."""
        return bool(self.reason) and self.status < 500 and self.reason not in PASSING

    @property
    def is_retried(self) -> bool:
        """Whether the gateway is worth asking again in a moment."""
        return self.status >= 500 or self.reason in BUSY


class _NoSessions(NoCredentials):
    """The gateway gives no sessions to anybody."""


class Session(NamedTuple):
    """A session of the gateway's; times are Unix seconds."""

    keys: Keys
    expires: float
    renewed_from: float


class TokenFile:
    """The worker's token, read again when its file changes or the token is about to expire."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = ""
        self._stale_from = 0.0

    def token(self, now: float) -> str:
        """The token as the file has it. Raises NoCredentials."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen == self._seen and now < self._stale_from:
                return self._token
            text = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            cause = error.strerror if isinstance(error, OSError) else "not text"
            raise NoCredentials(
                f"token file {self._path} cannot be read: {cause}; mount it there or name it in DDB_PROXY_TOKEN_FILE"
            ) from None
        if flaw := flaw_of(text):
            raise NoCredentials(f"token file {self._path} holds no JWT ({flaw})")
        expires = expiry_of(text)
        self._stale_from = float("inf") if expires is None else expires - MARGIN_SECONDS
        self._token, self._seen = text, seen
        return text


class Source:
    """Keys for one gateway, in the way that the switch says."""

    def __init__(
        self,
        switch: Switch,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._switch, self._clock, self._pause = switch, clock, pause
        self._file = TokenFile(switch.token_file)
        self._session: Session | None = None
        self._no_sessions_until = 0.0
        self._failed: tuple[float, NoCredentials] | None = None
        self.renew_lock()

    def renew_lock(self) -> None:
        """A new lock: in a forked child the old one may be held by a thread that is not there."""
        self._lock = threading.Lock()

    def is_ready(self) -> bool:
        """Whether `keys` answers without asking the gateway, and so without making an event loop wait."""
        now = self._clock()
        if self._sends_token(now):
            return True
        return self._session is not None and now < self._session.renewed_from

    def keys(self) -> Keys:
        """What to sign with now. Raises NoCredentials."""
        now = self._clock()
        if self._sends_token(now):
            return self._token_as_keys(now)
        session = self._session
        if session is not None and now < session.renewed_from:
            return session.keys
        if session is not None and now < session.expires - MARGIN_SECONDS:
            return self._renewed(session, now)
        with self._lock:
            if self._session is not session and self._session is not None:
                return self._session.keys  # another thread was here meanwhile
            return self._first(now)

    def forget(self, keys: Keys) -> None:
        """The gateway says that this session is over."""
        session = self._session
        if session is not None and session.keys.token == keys.token:
            self._session = None

    def _first(self, now: float) -> Keys:
        """A session, or the token; whoever waited for one that failed is not made to wait again."""
        if self._failed is not None and self._clock() < self._failed[0]:
            raise self._failed[1]
        try:
            return self._fetch(now).keys
        except _NoSessions:
            if self._switch.way == "session":
                raise
            self._no_sessions_until = now + NO_SESSIONS_SECONDS
        return self._token_as_keys(now)

    def _sends_token(self, now: float) -> bool:
        return self._switch.way == "token" or (self._switch.way == "auto" and now < self._no_sessions_until)

    def _token_as_keys(self, now: float) -> Keys:
        return Keys("DDBPROXYTOKEN", "unused", self._file.token(now))

    def _renewed(self, session: Session, now: float) -> Keys:
        """One thread asks; the others, and all when it fails, go on with the session that still holds."""
        if self._lock.acquire(blocking=False):
            try:
                return self._fetch(now).keys
            except NoCredentials:
                self._session = session._replace(renewed_from=now + AGAIN_SECONDS)
            finally:
                self._lock.release()
        return session.keys

    def _fetch(self, now: float) -> Session:
        token = self._file.token(now)
        for pause in (*PAUSES, None):
            try:
                status, headers, body = exchange(
                    self._switch.url, "GET", ROUTE, {"Authorization": token}, seconds=TIMEOUT_SECONDS
                )
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = f"{str(error) or 'no answer'}; `dynamodb-proxy doctor` says what to mend"
                problem = NoCredentials(f"{self._switch.url} cannot be reached: {why}")
            else:
                if status == 200:
                    self._session = read_session(body, now)
                    return self._session
                problem = refusal_of(self._switch.url, status, headers, body)
                if not problem.is_retried:
                    raise problem
            if pause is None:
                break
            self._pause(pause)
        self._failed = (self._clock() + FAILED_SECONDS, problem)
        raise problem


def refusal_of(url: str, status: int, headers: dict[str, str], body: bytes) -> NoCredentials:
    """The gateway's refusal to give a session, in its own words."""
    reason = headers.get("x-ddb-proxy-reason", "")
    try:
        said = json.loads(body)
        words = str(said.get("message") or said.get("Message") or "")
    except (ValueError, AttributeError):
        words = ""
    if status == 404 or reason == "unsupported_route":
        return _NoSessions(f"{url} gives no sessions: {words or status}", status, reason)
    return NoCredentials(f"{url} gives no session: {words or f'it answered {status}'}", status, reason)


def read_session(body: bytes, now: float) -> Session:
    """The answer of the credentials route. Raises NoCredentials where it is none."""
    try:
        said = json.loads(body)
        keys = Keys(*(said[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")))
        expires = datetime.fromisoformat(said["Expiration"]).timestamp()
        if not all(isinstance(key, str) and key for key in keys):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise NoCredentials("the gateway's answer holds no session; look at what stands before the gateway") from None
    ahead = min(AHEAD_SECONDS + secrets.randbelow(1000) / 1000 * JITTER_SECONDS, (expires - now) / 2)
    return Session(keys, expires, expires - ahead)


_sources: dict[tuple[str, Path, str], Source] = {}
_sources_lock = threading.Lock()


def source_of(switch: Switch) -> Source:
    """The one source of this process for this gateway, file and way."""
    key = (switch.url, switch.token_file, switch.way)
    source = _sources.get(key)
    if source is None:
        with _sources_lock:
            source = _sources.setdefault(key, Source(switch))
    return source


def _after_fork() -> None:
    global _sources_lock
    _sources_lock = threading.Lock()
    for source in _sources.values():
        source.renew_lock()


os.register_at_fork(after_in_child=_after_fork)
