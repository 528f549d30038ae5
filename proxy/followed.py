"""A file that is followed while the gateway runs: read whole, judged by its content, the last good one kept.

Names and times say little where a ConfigMap or Secret is mounted, so the bytes are compared. What cannot be read or used is told
once and changes nothing; a file that is gone is broken too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_BYTES = 4 << 20

Content = TypeVar("Content")


class Unusable(Exception):
    """The file cannot be used. The message says why, and nothing of what is in it that is secret."""


class FollowedFile(Generic[Content]):
    """One file. `read` raises ValueError with where and what is wrong; where that is so at the start, this raises Unusable."""

    def __init__(self, path: str, read: Callable[[str], Content]) -> None:
        self.path = Path(path)
        self._read = read
        self._seen: bytes | str = ""
        changed = self.look()
        assert changed is not None  # noqa: S101 - for the type checker: nothing was seen before
        self.current = changed

    def look(self) -> Content | None:
        """What the file holds now, if that changed since the last look. Raises Unusable, once for each broken state."""
        try:
            with self.path.open("rb") as file:
                state: bytes | str = file.read(_MOST_BYTES)
        except OSError as error:
            state = error.strerror or "cannot be read"
        if state == self._seen:
            return None
        self._seen = state
        if isinstance(state, str):
            raise Unusable(f"{self.path}: {state}")
        try:
            self.current = self._read(state.decode("utf-8"))
        except UnicodeDecodeError:
            raise Unusable(f"{self.path}: is not UTF-8") from None
        except ValueError as error:
            raise Unusable(str(error)) from None
        return self.current
