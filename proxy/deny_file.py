"""The deny list's file, as the admin API writes it: read, changed and put in place whole, one change after the other.

Every process that follows the file sees a change within seconds, replicas too where it lies on a volume that they share. A file
of a ConfigMap cannot be written: change the ConfigMap. Each change is told in log and audit once it is made, with who made it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
from typing import TYPE_CHECKING

from proxy.identity.denials import DenyList, denials_of, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proxy.identity.denials import Denial

log = logging.getLogger("proxy.deny_file")


class DenyFile:
    """One file. Each method raises OSError, or ValueError where what is there cannot be used; the file is then left alone."""

    def __init__(self, path: Path, record: Callable[..., None] | None = None) -> None:
        """`record` puts an event with its details into the audit (AuditLog.event)."""
        self._path = path
        self._record = record

    def read(self) -> DenyList:
        """What the file holds."""
        return denials_of(self._path.read_text(encoding="utf-8"), self._path.name)

    def add(self, denial: Denial) -> DenyList:
        """Add an entry, in the place of one for the same."""
        with self._alone():
            found = self._write([one for one in self.read().denials if one[:2] != denial[:2]] + [denial])
            self._tell("stopped", denial, denial.by)
            return found

    def lift(self, kind: str, name: str, by: str = "") -> DenyList | None:
        """Take an entry away, as `by` asks; None where there is none."""
        with self._alone():
            before = self.read().denials
            lifted = [denial for denial in before if denial[:2] == (kind, name)]
            if not lifted:
                return None
            found = self._write([denial for denial in before if denial not in lifted])
            self._tell("lifted", lifted[-1], by)
            return found

    def _tell(self, change: str, denial: Denial, by: str) -> None:
        what = str(denial._replace(by=""))
        log.warning("%s is %s by %s", what, change, ascii(by))
        if self._record is not None:
            self._record("switch", **{change: what}, by=by)

    def _write(self, denials: list[Denial]) -> DenyList:
        path, text = self._path.resolve(), written(DenyList(denials))
        found = denials_of(text, path.name)  # what nobody could read again would stop nobody
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with draft.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.chmod(path.stat().st_mode & 0o777)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return found

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep all others out who write it on this machine: a change between our reading and writing would be lost."""
        directory = os.open(self._path.resolve().parent, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)
