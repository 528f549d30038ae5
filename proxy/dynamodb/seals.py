"""What goes out sealed, so that one who has it can do no more than the DAG that it was given to: shard iterators, and page keys.

A page key is the `LastEvaluatedKey` of a DAG that may not see all attributes of it. A seal is base64url of key id, nonce and
AES-GCM ciphertext; the DAG id is associated data, and of a page what it is a page of: started from in another table, its key
could be compared with chosen ones. Nothing is remembered: whichever replica has the key opens it. The nonce is
handed in (12 random bytes, never twice with one key).
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
    from collections.abc import Callable, Iterable

    from proxy.model import Touch

MAX_SEALED = 2048  # characters of a shard iterator that DynamoDB takes, and botocore checks; hence the text is packed first
PAGE_KEY = "ddb-proxy-page"  # the one attribute of a page key
_KEY_ID, _NONCE = 4, 12
_PADDED = 256  # bytes
_MOST_MEMBERS = 60_000  # of a page that is parsed for its key alone, as of a request
_ITERATOR, _PAGE = b"dynamodb-proxy shard iterator 1\0", b"dynamodb-proxy page key 1\0"
_CHECKSUM = b"x-amz-crc32"
_ITERATORS = ("ShardIterator", "NextShardIterator")  # of the replies to GetShardIterator and GetRecords
_START, _LAST = "ExclusiveStartKey", "LastEvaluatedKey"
_LAST_IN_JSON = b'"LastEvaluatedKey"'


class OpenedIterator(NamedTuple):
    """What a sealed iterator holds: the stream's ARN and DynamoDB's own iterator."""

    stream: str
    iterator: str


class Seals:
    """Seals with the first of `keys` (32 bytes each) and opens with any, so that a key can be replaced without a gap."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self._ciphers = {sha256(_ITERATOR + key).digest()[:_KEY_ID]: AESGCM(key) for key in keys}
        self._sealing = next(iter(self._ciphers))

    def seal_iterator(self, opened: OpenedIterator, dag_id: str, nonce: bytes) -> str:
        """The text for the caller. Raises Broken where DynamoDB's iterator leaves no room for the seal."""
        sealed = self._seal(_ITERATOR, zlib.compress("\n".join(opened).encode(), 9), dag_id, nonce)
        if len(sealed) > MAX_SEALED:
            raise Broken(
                Reason.UPSTREAM_BROKEN,
                f"DynamoDB's shard iterator of {len(opened.iterator)} characters does not fit into {MAX_SEALED} once sealed; "
                "tell the gateway's maintainers",
            )
        return sealed

    def open_iterator(self, sealed: str, dag_id: str) -> OpenedIterator:
        """What was sealed for this DAG. Raises Forbidden for everything else."""
        packed = self._open(_ITERATOR, sealed, dag_id)
        if packed is None:
            raise Forbidden(
                Reason.FOREIGN_ITERATOR,
                "the shard iterator was not given to this DAG by this gateway, or its key is gone; get one by GetShardIterator",
            )
        stream, _, iterator = zlib.decompress(packed).decode().partition("\n")
        return OpenedIterator(stream, iterator)

    def seal_page(self, key: dict[str, Any], dag_id: str, touch: Touch, nonce: bytes) -> dict[str, Any]:
        """The page key for the caller, as an item's key is written: SDKs and their paginators send it back as it is."""
        text = orjson.dumps(key)
        text += b" " * (-len(text) % _PADDED)  # for its length would tell something too
        return {PAGE_KEY: {"S": self._seal(_PAGE + _place_of(touch), text, dag_id, nonce)}}

    def open_page(self, key: dict[str, Any], dag_id: str, touch: Touch) -> dict[str, Any]:
        """DynamoDB's own key, for one of which `is_page` holds. Raises Forbidden if it was sealed for another DAG or place."""
        text = self._open(_PAGE + _place_of(touch), key[PAGE_KEY].get("S", ""), dag_id)
        if text is None:
            raise Forbidden(
                Reason.FOREIGN_ITERATOR,
                "the key of the next page was not given to this DAG for this table or index, or the key that sealed it is gone; "
                f"begin again without `{_START}`",
            )
        opened: dict[str, Any] = jiter.from_json(text)
        return opened

    def _seal(self, purpose: bytes, content: bytes, dag_id: str, nonce: bytes) -> str:
        ciphertext = self._ciphers[self._sealing].encrypt(nonce, content, purpose + dag_id.encode())
        return urlsafe_b64encode(self._sealing + nonce + ciphertext).rstrip(b"=").decode()

    def _open(self, purpose: bytes, sealed: str, dag_id: str) -> bytes | None:
        try:
            raw = b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            nonce, ciphertext = raw[_KEY_ID : _KEY_ID + _NONCE], raw[_KEY_ID + _NONCE :]
            return self._ciphers[raw[:_KEY_ID]].decrypt(nonce, ciphertext, purpose + dag_id.encode())
        except (ValueError, KeyError, InvalidTag):
            return None


def _place_of(touch: Touch) -> bytes:
    """What a page is a page of; names have no line feeds. Account and Region are the DAG's own, however the table is written."""
    return f"{touch.table.name}\n{touch.index}\n".encode()


def is_page(key: dict[str, Any]) -> bool:
    """Whether an `ExclusiveStartKey` is what `seal_page` makes."""
    return len(key) == 1 and PAGE_KEY in key


# ------------------------------------------------------------------------------------------------- replies


def seal_iterators(reply: Reply, seal: Callable[[str], str]) -> Reply:
    """The reply to GetShardIterator or GetRecords with its iterator sealed and its checksum computed anew.

    Errors pass unchanged. Raises Broken if a 200 cannot be read or does not have the checksum that it says: no iterator may
    leave bare, and a new checksum must not make a torn reply look whole.
    """
    if reply.status != 200:
        return reply
    document = _parsed(reply)
    if document is None or any(type(document.get(member)) not in (str, NoneType) for member in _ITERATORS):
        raise Broken(Reason.UPSTREAM_BROKEN, "DynamoDB's reply cannot be read, so its shard iterator cannot be sealed; retry")
    for member, iterator in document.items():
        if member in _ITERATORS and iterator is not None:
            document[member] = seal(iterator)
    return _written(document, reply)


def seal_last_key(
    reply: Reply, may_see: Callable[[Iterable[str]], bool], seal: Callable[[dict[str, Any]], dict[str, Any]]
) -> Reply:
    """The reply with its `LastEvaluatedKey` sealed, if it has one and the DAG may not see all attributes of it.

    Otherwise as `seal_iterators`. It holds the key of an item whatever was projected: with a `Limit` that grows by one it
    would tell the keys of all items.
    """
    if reply.status != 200 or not (times := reply.body.count(_LAST_IN_JSON)):
        return reply
    place = reply.body.index(_LAST_IN_JSON) if times == 1 else 0
    document = _parsed(reply, place) if place else None
    if document is None and reply.body.count(b":") <= _MOST_MEMBERS:  # it is also, or only, an attribute's name or a text
        place, document = 0, _parsed(reply)
    if document is None or type(key := document.get(_LAST, {})) is not dict:
        raise Broken(
            Reason.UPSTREAM_BROKEN,
            f"the gateway cannot read DynamoDB's reply, and so not seal its `{_LAST}`; retry, with a smaller Limit if it stays",
        )
    if may_see(key):
        return reply
    document[_LAST] = seal(key)
    return _written(document, reply, place)


def _parsed(reply: Reply, place: int = 0) -> dict[str, Any] | None:
    """The body's object, if it is one and is what was sent; with a `place`, what it has from the member on that begins there.

    If that is a member of another object, more than one object ends behind it, and this is None. A page of 1 MB can have 200,000
    members, which to parse would hold the loop for long, and its key stands behind them.
    """
    given = next((value for name, value in reply.headers if name.lower() == _CHECKSUM), None)
    if given is not None and given != b"%d" % zlib.crc32(reply.body):
        return None
    try:
        document = jiter.from_json(b"{" + reply.body[place:] if place else reply.body, catch_duplicate_keys=True)
    except ValueError:
        return None
    return document if type(document) is dict else None


def _written(document: dict[str, Any], reply: Reply, place: int = 0) -> Reply:
    """The reply with `document` in the place of what `_parsed` read."""
    body = reply.body[:place] + orjson.dumps(document)[1 if place else 0 :]
    checksum = b"%d" % zlib.crc32(body)
    headers = tuple((name, checksum if name.lower() == _CHECKSUM else value) for name, value in reply.headers)
    return Reply(200, headers, body)
