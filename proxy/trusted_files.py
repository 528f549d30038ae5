"""The two files that the gateway obeys while it runs, beside its policies: the sessions' keys and the deny list.

Looked at every 2 seconds; what is broken leaves what was read last in force, and is told in log, metric and audit. So is the
certificate, which is followed by who serves TLS (`proxy.edge.tls`).
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from proxy.followed import FollowedFile, Unusable
from proxy.globs import Globs, is_glob
from proxy.identity.denials import DenyList, NoDenials, denials_of
from proxy.identity.minting import SessionMint
from proxy.identity.text import listed, quoted
from proxy.key_files import make_key_file, sealing_keys
from proxy.keyring import read_keys
from proxy.policy.patterns import can_meet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from proxy.identity.denials import Denial
    from proxy.policy.rules import Policies
    from proxy.ports import PolicySource
    from proxy.settings import Settings

log = logging.getLogger("proxy.trusted_files")

_MOST_STRANGERS = 20  # to look for one takes a look at every DAG

POLL_SECONDS = 2.0
SESSION_KEY = "sessions.key"  # where several workers share one that is in no file

Content = TypeVar("Content")


class Told(Protocol):
    """Who counts: the metrics."""

    def denials_loaded(self, denials: Iterable[Denial], /) -> None:
        """What is stopped now."""

    def file_reload_failed(self, file: str, failed: bool, /) -> None:
        """Whether a file could not be read."""


class Recorded(Protocol):
    """Who keeps the record: the audit."""

    def event(self, name: str, **details: str) -> None:
        """A change of the gateway itself."""


class TrustedFiles:
    """`sessions` mint and open with the keys in force, `denials.current` is the deny list in force. Raises Unusable."""

    def __init__(self, settings: Settings, directory: str | None, metrics: Told, audit: Recorded, policies: PolicySource) -> None:
        """`directory` is that of the workers of one process, None for a single one."""
        file = settings.sessions_key_file
        self._keys = session_keys_of(file) if file else None
        keys = self._keys.current if self._keys else sealing_keys("", SESSION_KEY, directory)
        self.sessions = SessionMint(keys, settings.issuers, settings.environment)
        # Without a shared key, sessions would be good for one replica only; beside a task there is no other.
        self.gives_sessions = bool(file) or settings.listen.is_loopback
        self._deny_list = deny_list_of(settings)
        self.denials: FollowedFile[DenyList] | NoDenials = self._deny_list or NoDenials()
        self._metrics = metrics
        self._audit = audit
        self._policies = policies
        self._issuers = {issuer.name for issuer in settings.issuers}
        metrics.denials_loaded(self.denials.current.denials)
        self._warn_of_strangers(self.denials.current.denials)

    async def follow(self) -> None:
        """Keep both up to date, for ever."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._keys is not None and (keys := await self._look_at("session_keys", self._keys)) is not None:
                self.sessions.replace_keys(keys)
                self._audit.event("session_keys", keys=str(len(keys)))
            if self._deny_list is not None:
                before = self._deny_list.current.denials
                if (found := await self._look_at("deny_list", self._deny_list)) is not None:
                    await self._tell(before, found.denials)

    async def _look_at(self, name: str, file: FollowedFile[Content]) -> Content | None:
        """What a file holds now, if that changed and can be used."""
        try:
            found = await asyncio.to_thread(file.look)
        except Unusable as problem:
            self._note(name, failed=True)
            log.error("what was read last stays in force: %s", problem)
            return None
        if found is not None:
            self._note(name, failed=False)
        return found

    def certificate_told(self, failed: bool) -> None:
        """Note that a new certificate cannot be used, or that the one on disk is in force."""
        self._note("certificate", failed=failed)
        if not failed:
            self._audit.event("certificate")

    def _note(self, name: str, *, failed: bool) -> None:
        self._metrics.file_reload_failed(name, failed)
        if failed:
            self._audit.event(f"{name}_refused")

    def _warn_of_strangers(self, denials: Iterable[Denial]) -> None:
        for line in strangers(denials, self._policies.current, self._issuers):
            log.warning(line)

    async def _tell(self, before: tuple[Denial, ...], now: tuple[Denial, ...]) -> None:
        new = [one for one in now if one not in before]
        added, lifted = ("; ".join(map(str, some)) for some in (new, (one for one in before if one not in now)))
        self._metrics.denials_loaded(now)
        self._audit.event("deny_list", added=added, lifted=lifted)
        log.warning("the deny list has %d entries now; added: %s; lifted: %s", len(now), added or "none", lifted or "none")
        await asyncio.to_thread(self._warn_of_strangers, new)  # many entries among many DAGs take their time


def deny_list_of(settings: Settings) -> FollowedFile[DenyList] | None:
    """The deny list, where the settings name one. Raises Unusable."""
    file = settings.deny_list
    return FollowedFile(file, lambda text: denials_of(text, file)) if file else None


def session_keys_of(file: str) -> FollowedFile[tuple[bytes, ...]]:
    """The keys of sessions. Raises Unusable."""

    def read(text: str) -> tuple[bytes, ...]:
        try:
            return read_keys(text)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None

    return FollowedFile(file, read)


def strangers(denials: Iterable[Denial], policies: Policies, issuers: Collection[str]) -> list[str]:
    """A line for each entry that stops nobody of whom policies or settings know: its author believes that somebody is stopped.

    It may well be right, for other DAGs may be let through (`unmapped`), so it is in force all the same.
    """
    teams = sorted({home.team for home in policies.homes if home.team})
    but = " but what `unmapped` lets through" if policies.unmapped else ""
    found: list[str] = []
    for kind, name, *_ in denials:
        if len(found) == _MOST_STRANGERS:
            return [*found, "there may be more such entries; take these out first"]
        stops_nobody = f"the deny list stops nobody by {kind} {quoted(name)}"
        if kind == "issuer" and name not in issuers:
            found.append(f"{stops_nobody}: the settings call theirs {listed(tuple(sorted(issuers)))}")
        elif kind == "team" and name not in teams:
            found.append(f"{stops_nobody}: platform.yaml has {'only ' + listed(tuple(teams)) if teams else 'no teams'}")
        elif kind == "dag" and not _has_dags(policies, name):
            found.append(f"{stops_nobody}{but}: no policy names such a dag")
    return found


def _has_dags(policies: Policies, name: str) -> bool:
    if not is_glob(name):
        return policies.has_dag(name)
    names = Globs((name,))
    return any(
        can_meet(rules.pattern, name) if is_glob(rules.pattern) else names.match(rules.pattern) for rules in policies.dag_rules()
    )


def problem_of_files(settings: Settings) -> str:
    """Why key files or deny list cannot be used, or ""; beside a task the sessions' key file is made where it is not there."""
    for name, file in (("streams", settings.streams_key_file), ("sessions", settings.sessions_key_file)):
        try:
            if file and name == "sessions" and settings.listen.is_loopback:
                make_key_file(Path(file))
            sealing_keys(file, "", None)
        except (OSError, ValueError) as error:
            return f"`{name}.key_file`: `{file}`: {error.strerror if isinstance(error, OSError) else error}"
    try:
        deny_list_of(settings)
    except Unusable as error:
        return f"`deny_list`: {error}"
    return ""
