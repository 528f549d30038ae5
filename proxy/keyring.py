"""The gateway's own keys: how a file holds them, and how each purpose gets one of its own from them.

32 bytes in base64 a line: the first makes what is new, all open what was made before, so that a key is replaced without a gap.
A file is given to every replica that is to open what another one made; no key leaves this process but as what it sealed.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode

KEY_BYTES = 32


def read_keys(text: str) -> tuple[bytes, ...]:
    """Keys from a file's text: base64 of 32 bytes a line. Raises ValueError that says what is wrong, and no key."""
    keys = []
    for number, line in enumerate(text.split(), start=1):
        try:
            key = b64decode(line, validate=True)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {number} is not base64 of 32 bytes; make one with: openssl rand -base64 32")
        keys.append(key)
    if not keys:
        raise ValueError("holds no key; make one with: openssl rand -base64 32")
    return tuple(keys)


def written_key(key: bytes) -> str:
    """The line of a key file that holds this key."""
    return b64encode(key).decode() + "\n"


def derived(key: bytes, purpose: bytes, about: bytes = b"") -> bytes:
    """The 32 bytes that `key` gives for a purpose, and for one thing within it (HKDF-Expand, RFC 5869, of one block)."""
    return hmac.digest(key, purpose + b"\0" + about + b"\1", "sha256")
