"""Shard iterators go out sealed, so that one who has one can do no more than the DAG that it was given to.

A sealed iterator is base64url of key id, nonce and AES-GCM ciphertext; inside are the stream's ARN and DynamoDB's own iterator,
the DAG id is associated data. Nothing is remembered: whichever replica has the key opens it. The nonce is handed in (12 random
bytes, never twice with one key). DynamoDB takes at most 2048 characters, and botocore checks that; the text is packed first.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, urlsafe_b64encode
from hashlib import sha256
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import jiter
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.model import Reply
from proxy.refusal import Broken, Forbidden, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SEALED = 2048
_KEY_ID, _NONCE = 4, 12
_PURPOSE = b"dynamodb-proxy shard iterator 1\0"
_CHECKSUM = b"x-amz-crc32"
_MEMBERS = ("ShardIterator", "NextShardIterator")  # of the replies to GetShardIterator and GetRecords


class OpenedIterator(NamedTuple):
    """What a sealed iterator holds: the stream's ARN and DynamoDB's own iterator."""

    stream: str
    iterator: str


class IteratorSeal:
    """Seals with the first of `keys` (32 bytes each) and opens with any, so that a key can be replaced without a gap."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self._ciphers = {sha256(_PURPOSE + key).digest()[:_KEY_ID]: AESGCM(key) for key in keys}
        self._sealing = next(iter(self._ciphers))

    def seal(self, opened: OpenedIterator, dag_id: str, nonce: bytes) -> str:
        """The text for the caller. Raises Broken where DynamoDB's iterator leaves no room for the seal."""
        packed = zlib.compress("\n".join(opened).encode(), 9)
        ciphertext = self._ciphers[self._sealing].encrypt(nonce, packed, _PURPOSE + dag_id.encode())
        sealed = urlsafe_b64encode(self._sealing + nonce + ciphertext).rstrip(b"=").decode()
        if len(sealed) > MAX_SEALED:
            raise Broken(
                Reason.UPSTREAM_BROKEN,
                f"DynamoDB's shard iterator of {len(opened.iterator)} characters does not fit into {MAX_SEALED} once sealed; "
                "tell the gateway's maintainers",
            )
        return sealed

    def open(self, sealed: str, dag_id: str) -> OpenedIterator:
        """What was sealed for this DAG. Raises Forbidden for everything else."""
        try:
            raw = b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            nonce, ciphertext = raw[_KEY_ID : _KEY_ID + _NONCE], raw[_KEY_ID + _NONCE :]
            packed = self._ciphers[raw[:_KEY_ID]].decrypt(nonce, ciphertext, _PURPOSE + dag_id.encode())
        except (ValueError, KeyError, InvalidTag):
            raise Forbidden(
                Reason.FOREIGN_ITERATOR,
                "the shard iterator was not given to this DAG by this gateway, or its key is gone; get one by GetShardIterator",
            ) from None
        stream, _, iterator = zlib.decompress(packed).decode().partition("\n")
        return OpenedIterator(stream, iterator)


def seal_reply(reply: Reply, seal: Callable[[str], str]) -> Reply:
    """The reply to GetShardIterator or GetRecords with its iterator sealed and its checksum computed anew.

    Errors pass unchanged. Raises Broken if a 200 cannot be read or does not have the checksum that it says: no iterator may
    leave bare, and a new checksum must not make a torn reply look whole.
    """
    if reply.status != 200:
        return reply
    document = _parsed(reply)
    if document is None:
        raise Broken(Reason.UPSTREAM_BROKEN, "DynamoDB's reply cannot be read, so its shard iterator cannot be sealed; retry")
    for member, iterator in document.items():
        if member in _MEMBERS and iterator is not None:
            document[member] = seal(iterator)
    body = orjson.dumps(document)
    checksum = b"%d" % zlib.crc32(body)
    headers = tuple((name, checksum if name.lower() == _CHECKSUM else value) for name, value in reply.headers)
    return Reply(200, headers, body)


def _parsed(reply: Reply) -> dict[str, Any] | None:
    """The body's object, if it is one, is what was sent, and holds iterators only where they are text."""
    given = next((value for name, value in reply.headers if name.lower() == _CHECKSUM), None)
    if given is not None and given != b"%d" % zlib.crc32(reply.body):
        return None
    try:
        document = jiter.from_json(reply.body, catch_duplicate_keys=True)
    except ValueError:
        return None
    if type(document) is not dict or any(type(document.get(member)) not in (str, NoneType) for member in _MEMBERS):
        return None
    return document
