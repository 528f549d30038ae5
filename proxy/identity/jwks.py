"""Key sets as issuers publish them (RFC 7517): read strictly as a whole, leniently key by key.

A key that we cannot use (encryption keys, unknown types, RSA under 2048 bits) is skipped, never a reason to lose the others:
real sets hold such keys. Only public members are read. Which algorithms a key fits is decided here, by its type, curve and
own `alg`, so that a token's header can never choose. PyJWT is imported with the first key, for that takes longer than a gateway
may take to its first answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import jiter

MAX_SET_BYTES = 256 * 1024
MAX_KEYS = 64
RSA_BITS = range(2048, 8193)  # under: breakable; over: a verification would hold the event loop

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


class _Shape(NamedTuple):
    """What a key type consists of, and which algorithms it fits."""

    members: tuple[str, ...]
    algorithms: frozenset[str]
    reader: str  # the algorithm whose reader takes it


_SHAPES: dict[tuple[str, str], _Shape] = {
    ("RSA", ""): _Shape(("n", "e"), _RSA, "RS256"),
    ("EC", "P-256"): _Shape(("crv", "x", "y"), frozenset({"ES256"}), "ES256"),
    ("EC", "P-384"): _Shape(("crv", "x", "y"), frozenset({"ES384"}), "ES384"),
    ("EC", "P-521"): _Shape(("crv", "x", "y"), frozenset({"ES512"}), "ES512"),
    ("OKP", "Ed25519"): _Shape(("crv", "x"), frozenset({"EdDSA"}), "EdDSA"),
    ("OKP", "Ed448"): _Shape(("crv", "x"), frozenset({"EdDSA"}), "EdDSA"),
}
ASYMMETRIC = frozenset().union(*(shape.algorithms for shape in _SHAPES.values()))
"""Every algorithm that an issuer may be configured with. `none` and the HS* family are not among them, and never will be."""


@cache
def _verifiers() -> Mapping[str, Any]:
    from jwt.algorithms import get_default_algorithms

    return {name: algorithm for name, algorithm in get_default_algorithms().items() if name in ASYMMETRIC}


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key that may check signatures. Equal if key id, algorithms and material are equal."""

    kid: str
    algorithms: frozenset[str]
    material: tuple[str, ...]
    _public: Any = field(compare=False, repr=False)

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """True if `signature` over `signed` is this key's. False, too, if the key does not fit `algorithm`."""
        if algorithm not in self.algorithms:
            return False
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

        # OpenSSL takes a PSS signature whose leading zero byte was cut (RFC 8017, 8.1.2: it must not): two spellings, two tokens.
        if isinstance(self._public, RSAPublicKey) and len(signature) != (self._public.key_size + 7) // 8:
            return False
        return bool(_verifiers()[algorithm].verify(signed, self._public, signature))


class KeySet(NamedTuple):
    """The usable keys of one issuer, and how many others its set held."""

    keys: tuple[VerifyKey, ...]
    skipped: int

    def choose(self, kid: str | None, algorithm: str) -> VerifyKey | None:
        """The one key that fits. None if there is none, or if several do: we never try keys until one works."""
        fitting = [key for key in self.keys if algorithm in key.algorithms and (kid is None or key.kid == kid)]
        return fitting[0] if len(fitting) == 1 else None


def read_object(text: bytes) -> dict[str, Any]:
    """Strict JSON object: UTF-8, no duplicate members at any depth, no NaN, nesting at most 200. Raises ValueError."""
    value = jiter.from_json(text, catch_duplicate_keys=True, allow_inf_nan=False)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def read_key_set(text: bytes) -> KeySet:
    """Read a JWK set of at most 256 KiB and 64 keys. Raises ValueError, also if no key is usable."""
    if len(text) > MAX_SET_BYTES:
        raise ValueError(f"the key set is larger than {MAX_SET_BYTES} bytes")
    try:
        published = read_object(text).get("keys")
    except ValueError as error:
        raise ValueError(f"is no key set, a JSON object with a list `keys`: {error}") from None
    if not isinstance(published, list):
        raise ValueError("the key set has no list `keys`")
    if len(published) > MAX_KEYS:
        raise ValueError(f"the key set holds {len(published)} keys, at most {MAX_KEYS} are read")
    read = [_verify_key(entry) for entry in published]
    usable = tuple(dict.fromkeys(key for key in read if key is not None))
    if not usable:
        raise ValueError(f"none of the {len(published)} keys of the set can check signatures")
    return KeySet(usable, sum(key is None for key in read))


def _verify_key(entry: object) -> VerifyKey | None:
    """The usable key of one entry, else None."""
    if not isinstance(entry, Mapping) or not _is_for_signatures(entry):
        return None
    kind, curve = entry.get("kty"), entry.get("crv", "")
    shape = _SHAPES.get((kind, curve)) if isinstance(kind, str) and isinstance(curve, str) else None
    if shape is None:
        return None
    algorithms = shape.algorithms if "alg" not in entry else shape.algorithms & {str(entry["alg"])}
    members = {name: entry.get(name) for name in ("kty", *shape.members)}
    if not algorithms or not all(isinstance(member, str) for member in members.values()):
        return None
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from jwt.exceptions import PyJWTError

    try:
        public = _verifiers()[shape.reader].from_jwk(members)
    except (PyJWTError, ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(public, RSAPublicKey) and public.key_size not in RSA_BITS:
        return None
    return VerifyKey(entry.get("kid", ""), algorithms, tuple(map(str, members.values())), public)


def _is_for_signatures(entry: Mapping[str, object]) -> bool:
    """True if neither `use` nor `key_ops` keeps the key from checking signatures and its `kid` is text."""
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") in ("sig", "jwt-svid")  # the latter in SPIFFE's bundles (JWT-SVID, section 6)
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(entry.get("kid", ""), str)
    )
