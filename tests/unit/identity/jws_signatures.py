"""Attacks on the signature itself: cut, stretched, zeroed, encoded otherwise, made over something else or on another curve."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jwt.algorithms import get_default_algorithms

from tests.unit.identity.jws_attacks import GOOD, KEY, MALFORMED, SIGNATURE, Case
from tests.unit.identity.keyring import SigningKey, encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.refusal import Reason

    Made = Iterator[tuple[str, bytes, frozenset[Reason] | None]]

# Orders of the curves' groups (SEC 2, 2.4.2 and 2.5.1; RFC 8032, 5.1).
_ORDER_256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ORDER_384 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
_ORDER_ED = 2**252 + 27742317777372353535851937790883648493


def signatures(case: Case) -> Made:
    """What the signature's bytes can be turned into."""
    header, payload, _ = case.parts()
    signed = header + b"." + payload
    good = _sign(case.key, signed)
    for name, changed in _changed(good).items():
        yield name, signed + b"." + encoded(changed), SIGNATURE if changed else MALFORMED
    kinds = {"RS256": _of_rsa, "PS256": _of_pss, "ES256": _of_ecdsa, "ES384": _of_ecdsa, "EdDSA": _of_eddsa}
    for name, changed, expected in kinds[case.key.algorithm](case.key, signed, good):
        yield name, signed + b"." + encoded(changed), expected
    for name, text in {
        "over the payload alone": payload,
        "over the header alone": header,
        "without the dot": header + payload,
        "with a dot more": signed + b".",
        "over nothing": b"",
        "of another token of the key": header + b"." + payload[:-4] + b"AAAA",
    }.items():
        yield name, signed + b"." + encoded(_sign(case.key, text)), SIGNATURE


def _sign(key: SigningKey, text: bytes) -> bytes:
    return bytes(get_default_algorithms()[key.algorithm].sign(text, key.private))


def _changed(good: bytes) -> dict[str, bytes]:
    """For any kind of signature."""
    size = len(good)
    return {
        "all zero": bytes(size),
        "all ones": b"\xff" * size,
        "empty": b"",
        "one byte": good[:1],
        "one zero byte": b"\0",
        "first half": good[: size // 2],
        "second half": good[size // 2 :],
        "last byte cut": good[:-1],
        "first byte cut": good[1:],
        "zero byte behind": good + b"\0",
        "zero byte before": b"\0" + good,
        "doubled": good + good,
        "reversed": good[::-1],
        "halves swapped": good[size // 2 :] + good[: size // 2],
        "first bit flipped": bytes([good[0] ^ 0x80]) + good[1:],
        "middle bit flipped": good[: size // 2] + bytes([good[size // 2] ^ 1]) + good[size // 2 + 1 :],
        "last bit flipped": good[:-1] + bytes([good[-1] ^ 1]),
        "as hexadecimal": good.hex().encode(),
    }


def _of_rsa(key: SigningKey, signed: bytes, good: bytes) -> Iterator[tuple[str, bytes, frozenset[Reason] | None]]:
    modulus = key.private.public_key().public_numbers().n
    for name, number in (("0", 0), ("1", 1), ("n - 1", modulus - 1), ("n", modulus)):
        yield f"the number {name}", number.to_bytes(256), SIGNATURE
    yield "n added", (int.from_bytes(good) + modulus).to_bytes(257), SIGNATURE
    for digest in (hashes.SHA1(), hashes.SHA224(), hashes.SHA384(), hashes.SHA512()):  # noqa: S303 - the attack
        yield f"digest {digest.name}", key.private.sign(signed, padding.PKCS1v15(), digest), SIGNATURE
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    yield "padded by PSS", key.private.sign(signed, pss, hashes.SHA256()), SIGNATURE


def _of_pss(key: SigningKey, signed: bytes, good: bytes) -> Iterator[tuple[str, bytes, frozenset[Reason] | None]]:
    for salt in (0, 20, 64):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
        yield f"salt of {salt} bytes", key.private.sign(signed, pss, hashes.SHA256()), SIGNATURE
    for digest in (hashes.SHA1(), hashes.SHA384()):  # noqa: S303 - the attack
        pss = padding.PSS(padding.MGF1(digest), 32)
        yield f"mask by {digest.name}", key.private.sign(signed, pss, hashes.SHA256()), SIGNATURE
    yield "padded by PKCS1", key.private.sign(signed, padding.PKCS1v15(), hashes.SHA256()), SIGNATURE
    modulus = key.private.public_key().public_numbers().n
    yield "n added", (int.from_bytes(good) + modulus).to_bytes(257), SIGNATURE
    leading = good
    while leading[0]:  # one in 256 of these signatures begins with a zero byte, and OpenSSL does not miss it
        leading = _sign(key, signed)
    yield "leading zero byte", leading, GOOD
    yield "leading zero byte cut", leading[1:], SIGNATURE


def _of_ecdsa(key: SigningKey, signed: bytes, good: bytes) -> Iterator[tuple[str, bytes, frozenset[Reason] | None]]:
    """Psychic signatures (CVE-2022-21449) and their kin; `n - s` is the one other spelling that the algorithm itself has."""
    size, order = (32, _ORDER_256) if key.algorithm == "ES256" else (48, _ORDER_384)
    r, s = int.from_bytes(good[:size]), int.from_bytes(good[size:])

    def both(first: int, second: int) -> bytes:
        return first.to_bytes(size) + second.to_bytes(size)

    yield "n - s", both(r, order - s), GOOD
    n = order
    for name, first, second in (
        ("0, 0", 0, 0), ("0, 1", 0, 1), ("1, 0", 1, 0), ("1, 1", 1, 1), ("n, n", n, n), ("0, n", 0, n), ("n, 0", n, 0),
        ("n, 1", n, 1), ("1, n", 1, n), ("r, 0", r, 0), ("0, s", 0, s), ("r, n", r, n), ("n, s", n, s), ("s, r", s, r),
        ("n - 1, n - 1", n - 1, n - 1), ("n - r, s", n - r, s), ("r, r", r, r), ("r, another s", r, s ^ 1),
    ):  # fmt: skip
        yield f"r and s are {name}", both(first, second), SIGNATURE
    yield "as DER", encode_dss_signature(r, s), SIGNATURE
    yield "zeros as DER", encode_dss_signature(0, 0), SIGNATURE
    yield "a byte wider", r.to_bytes(size + 1) + s.to_bytes(size + 1), SIGNATURE
    yield "r + n", (r + order).to_bytes(size + 1) + s.to_bytes(size + 1), SIGNATURE
    yield "little end first", r.to_bytes(size, "little") + s.to_bytes(size, "little"), SIGNATURE


def _of_eddsa(key: SigningKey, signed: bytes, good: bytes) -> Iterator[tuple[str, bytes, frozenset[Reason] | None]]:
    s = int.from_bytes(good[32:], "little")
    yield "order added to S", good[:32] + (s + _ORDER_ED).to_bytes(32, "little"), SIGNATURE  # malleable where unchecked
    for name, point in (("identity", b"\x01" + bytes(31)), ("of order 2", b"\xec" + b"\xff" * 30 + b"\x7f"), ("zero", bytes(32))):
        yield f"R is the point {name}, S is 0", point + bytes(32), SIGNATURE
        yield f"R is the point {name}", point + good[32:], SIGNATURE


def curves(case: Case) -> Made:
    """A key of another curve, size or kind under the honest key's id."""
    others = {
        "P-256": SigningKey(case.key.kid, "ES256", ec.generate_private_key(ec.SECP256R1())),
        "P-384": SigningKey(case.key.kid, "ES384", ec.generate_private_key(ec.SECP384R1())),
        "P-521": SigningKey(case.key.kid, "ES512", ec.generate_private_key(ec.SECP521R1())),
        "secp256k1": SigningKey(case.key.kid, "ES256K", ec.generate_private_key(ec.SECP256K1())),
        "Ed448": SigningKey(case.key.kid, "EdDSA", ed448.Ed448PrivateKey.generate()),
        "RSA of 1024 bits": SigningKey(case.key.kid, "RS256", rsa.generate_private_key(65537, 1024)),  # noqa: S505 - the attack
    }
    for name, key in others.items():
        yield f"{name} under the honest name", replace(case, key=key).signed(case.header), SIGNATURE
        own = case.header | {"alg": key.algorithm}
        listed = key.algorithm in ("RS256", "ES256", "ES384", "EdDSA")
        fits = listed and (key.algorithm == case.key.algorithm or {key.algorithm, case.key.algorithm} == {"RS256", "PS256"})
        yield f"{name} under its own", replace(case, key=key).signed(own), SIGNATURE if fits or not listed else KEY
