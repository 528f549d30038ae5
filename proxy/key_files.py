"""Where the gateway's own keys come from: a file of the settings, else one that the workers share, else a new one.

A key that is not in a file ends with the process, and what it sealed ends with it. Beside a task the gateway may make its file
itself, on a volume that no other container mounts: then a restart of its container ends no session.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from proxy.keyring import KEY_BYTES, read_keys, written_key


def sealing_keys(file: str, shared: str, directory: str | None) -> tuple[bytes, ...]:
    """The keys of `file`, else of `shared` in the workers' own directory, else a new one. Raises OSError, ValueError."""
    if file:
        return read_keys(Path(file).read_text(encoding="ascii"))
    return ((Path(directory) / shared).read_bytes(),) if directory else (secrets.token_bytes(KEY_BYTES),)


def make_key_file(path: Path) -> None:
    """A file with a new key that only its owner can read; one that is there stays. Whole or not at all. Raises OSError."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(written_key(secrets.token_bytes(KEY_BYTES)))
        os.link(draft, path)
    except FileExistsError:
        pass  # made by somebody else a moment ago
    finally:
        draft.unlink(missing_ok=True)
