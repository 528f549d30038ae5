"""A fetched token, kept in a file of the worker's user alone until it is time for the next: boto3 asks far more often than that.

The file has mode 0600 in a folder of mode 0700, is written whole or not at all, and is believed only if nobody else can have
written it. Tasks that start together fetch once. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.worker.token_sources import NoToken
from proxy.worker.wire import claims_of, expiry_of

if TYPE_CHECKING:
    from collections.abc import Callable

AHEAD_SECONDS = 960.0  # boto3 asks again in a credential's last 15 minutes: by then there is a new one
LAST_SECONDS = 30.0  # in which a token is no good any more


def default_file(source: object) -> Path:
    """Where the tokens of a source are kept: one file for each way to ask."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "dynamodb-proxy" / f"token-{hashlib.sha256(repr(source).encode()).hexdigest()[:24]}"


def cached_token(file: Path, fetch: Callable[[], str], now: Callable[[], float] = time.time) -> str:
    """The token in `file` while it is fresh, else a fetched one. While the source is away, the old one as long as it is good.

    Raises NoToken.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(f"{file}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NoToken(f"{file} cannot be written: {error.strerror}; name another place with --cache") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = _read(file)
        if kept and now() < _renewed_from(kept):
            return kept
        try:
            fresh = fetch()
        except NoToken as failure:
            if kept and now() < (expiry_of(kept) or 0.0) - LAST_SECONDS:
                print(f"the last token is used, the next could not be had: {failure}", file=sys.stderr)
                return kept
            raise
        _write(file, fresh)
        return fresh
    finally:
        os.close(lock)


def _read(file: Path) -> str:
    """The kept token, "" if there is none or somebody else could have put it there."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        status = os.fstat(handle)
        is_own = status.st_uid == os.getuid() and stat.S_ISREG(status.st_mode) and not status.st_mode & 0o077
        token = os.read(handle, 64 * 1024).decode("ascii", "replace").strip() if is_own else ""
    finally:
        os.close(handle)
    return token if claims_of(token) is not None else ""


def _write(file: Path, token: str) -> None:
    """Whole or not at all. That it cannot be kept is no reason not to use it."""
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=".token-")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="ascii") as opened:
                opened.write(token)
            Path(name).replace(file)
        except OSError:
            Path(name).unlink()


def _renewed_from(token: str) -> float:
    """When the next is fetched: 16 minutes ahead, or at half of a shorter life."""
    expires, issued = expiry_of(token) or 0.0, (claims_of(token) or {}).get("iat")
    life = expires - issued if isinstance(issued, int | float) else 0.0
    return expires - min(AHEAD_SECONDS, max(life, 0.0) / 2)
