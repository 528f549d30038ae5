"""Sessions that the gateway mints: nothing is remembered, the token itself holds who logged in, sealed.

A token is `ddbproxy1-` and base64url of key id, unique id and AES-GCM ciphertext. Each session is sealed with a key of its own,
derived from the gateway's key and the unique id (16 random bytes), so that no nonce can ever be used twice; from the same two
comes the secret that its requests are signed with, which is in no token. What may change meanwhile is not sealed: an issuer's
`may_assert` is that of the settings when the session is opened, and workloads and policies are asked at each request.
"""

from __future__ import annotations

from base64 import b32encode, b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jiter
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.identity.channels import SESSION_PREFIX
from proxy.keyring import derived
from proxy.model import Credentials, Subject
from proxy.refusal import Reason, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.identity.token import Issuer

UNIQUE_BYTES = 16
_KEY_ID = 4
_TAG = 16
_NONCE = bytes(12)  # each key seals one session only
_NAME, _SEAL, _SECRET, _ACCESS = (b"dynamodb-proxy session " + what for what in (b"kid", b"seal", b"secret", b"access key"))
# Of Subject; `may_assert` is told anew on opening, and the rest is the session's own.
SEALED = ("issuer", "subject", "claims", "token_id", "pod", "pinned_dag", "role_arn", "assumed_from")


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """An opened session: who logged in, and what its requests must be signed with."""

    subject: Subject  # `expires_at` is the session's own end
    issued_at: float
    secret: str
    seal: SessionSeal  # that opened it

    def __repr__(self) -> str:
        return f"Session({self.subject.session_id})"

    def holds(self, now: float) -> bool:
        """Whether it may still be believed: it has not ended, nor were the keys replaced."""
        return now < self.subject.expires_at and self.seal.is_in_force


class SessionSeal:
    """Seals with the first of `keys` (32 bytes each) and opens with any, so that a key can be replaced without a gap.

    `environment` is sealed in: sessions of one do not open in another, though they share a key.
    """

    def __init__(self, keys: tuple[bytes, ...], issuers: Iterable[Issuer], environment: str) -> None:
        self.is_in_force = True  # until its keys are replaced
        self._keys = {derived(key, _NAME)[:_KEY_ID]: key for key in keys}
        self._minting = derived(keys[0], _NAME)[:_KEY_ID]
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._about = SESSION_PREFIX + environment.encode()

    def seal(self, subject: Subject, unique: bytes, now: float) -> Credentials:
        """The credentials of a new session that ends at `subject.expires_at`; `unique` is 16 random bytes, never used before."""
        key, whole = self._keys[self._minting], int(now)
        content: dict[str, Any] = {name: getattr(subject, name) for name in SEALED}
        content.update(iss=self._issuers[subject.issuer].issuer, iat=whole, exp=int(subject.expires_at))
        sealed = AESGCM(derived(key, _SEAL, unique)).encrypt(_NONCE, orjson.dumps(content), self._about)
        token = SESSION_PREFIX + urlsafe_b64encode(self._minting + unique + sealed).rstrip(b"=")
        return Credentials(_access_key_id(key, unique), _secret(key, unique), token.decode(), float(content["exp"]))

    def open(self, token: bytes, now: float) -> Session:
        """The session of a token. Raises Unauthenticated (SESSION_INVALID, SESSION_EXPIRED); no message shows the token."""
        raw = _bytes_of(token)
        key = self._keys.get(raw[:_KEY_ID])
        if key is None:
            raise _invalid("its key is not, or no longer, one of this gateway's; replicas need the same `sessions.key_file`")
        unique = raw[_KEY_ID : _KEY_ID + UNIQUE_BYTES]
        try:
            text = AESGCM(derived(key, _SEAL, unique)).decrypt(_NONCE, raw[_KEY_ID + UNIQUE_BYTES :], self._about)
        except InvalidTag:
            raise _invalid("it was changed, cut, made by somebody else, or for another environment") from None
        content = jiter.from_json(text)
        issuer = self._issuers.get(content["issuer"])
        if issuer is None or issuer.issuer != content["iss"]:
            raise _invalid("the issuer of the token that it was made from is no longer configured")
        if now >= content["exp"]:
            raise expired()
        content["assumed_from"] = tuple(content.get("assumed_from", ()))
        subject = Subject(
            **{name: content[name] for name in SEALED if name in content},
            may_assert=issuer.may_assert,
            expires_at=float(content["exp"]),
            session_id=_access_key_id(key, unique),
        )
        return Session(subject, float(content["iat"]), _secret(key, unique), self)


def lasting(subject: Subject, now: float, seconds: float) -> Subject:
    """The subject of a new session of `seconds`. One that is itself a session's never outlives it: the login stays the end.

    Nor does it outlive its denial, hence `assumed_from`; as the token grows with it, a header's length bounds such chains.
    """
    until = now + seconds
    if not subject.session_id:
        return replace(subject, expires_at=until)
    made_from = (*subject.assumed_from, subject.session_id)
    return replace(subject, expires_at=min(until, subject.expires_at), session_id="", assumed_from=made_from)


def _secret(key: bytes, unique: bytes) -> str:
    return urlsafe_b64encode(derived(key, _SECRET, unique)).rstrip(b"=").decode()


def _access_key_id(key: bytes, unique: bytes) -> str:
    """20 characters as AWS's have them, of a beginning that AWS does not use; the name of the session in audit and deny list."""
    return "DDBP" + b32encode(derived(key, _ACCESS, unique)[:10]).decode()


def _bytes_of(token: bytes) -> bytes:
    encoded = token.removeprefix(SESSION_PREFIX)
    try:
        raw = b64decode(encoded + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) < _KEY_ID + UNIQUE_BYTES + _TAG or urlsafe_b64encode(raw).rstrip(b"=") != encoded:
        raise _invalid("it was cut, or has characters that do not belong there")
    return raw


def expired() -> Unauthenticated:
    """The refusal for a session that is over."""
    return Unauthenticated(
        Reason.SESSION_EXPIRED,
        "the session is over; an SDK that fetches its credentials itself logs in again, a copy of them does not",
    )


def _invalid(why: str) -> Unauthenticated:
    return Unauthenticated(Reason.SESSION_INVALID, f"the session token is none of this gateway's: {why}; log in again")
