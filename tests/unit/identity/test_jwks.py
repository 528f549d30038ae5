"""Key sets as they are published, good and bad."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.identity.jwks import ASYMMETRIC, MAX_KEYS, MAX_SET_BYTES, read_key_set

if TYPE_CHECKING:
    from tests.unit.identity.keyring import Ring


def published(*keys: object, **members: Any) -> bytes:
    """The text of a key set."""
    return json.dumps({"keys": list(keys)} | members).encode()


def test_every_kind_of_key_fits_its_own_algorithms_only(ring: Ring) -> None:
    """Type and curve decide which algorithms a key may check, and `none` and HS256 are never among them."""
    keys = read_key_set(published(*(key.jwk(alg=None) for key in (ring.rsa_a, ring.ec_1, ring.ec_384, ring.ed)))).keys
    assert [min(key.algorithms) for key in keys] == ["PS256", "ES256", "ES384", "EdDSA"]
    assert not {"none", "HS256", "HS384", "HS512"} & ASYMMETRIC
    assert not keys[0].verifies("HS256", b"x", b"y")


def test_a_private_key_that_was_published_serves_as_a_public_one(ring: Ring) -> None:
    """Only public members are read."""
    [key] = read_key_set(published(ring.rsa_a.jwk(d="c2VjcmV0"))).keys
    assert "c2VjcmV0" not in key.material
    assert key.verifies("RS256", b"x", b"y") is False


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": None, "key_ops": ["encrypt"]},
        {"use": None, "key_ops": "verify"},
        {"kid": 7},
        {"alg": "RSA-OAEP"},
        {"alg": "ES256"},
        {"alg": "HS256"},
        {"alg": ["RS256"]},
        {"kty": "oct"},
        {"kty": 5},
        {"crv": 5},
        {"n": 5},
        {"n": None},
        {"n": "AAAA"},
        {"e": "AQ"},  # an exponent of 1 would make every signature right
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
    ],
)
def test_an_unusable_key_is_skipped_and_the_others_stay(ring: Ring, members: dict[str, Any]) -> None:
    """One strange key never takes the good one away."""
    found = read_key_set(published(ring.rsa_b.jwk(**members), "junk", ring.rsa_a.jwk()))
    assert [key.kid for key in found.keys] == ["rsa-a"]
    assert found.skipped == 2


def test_rsa_keys_under_2048_bits_are_refused(ring: Ring) -> None:
    """A weak key is as good as none (PyJWT only warns)."""
    with pytest.raises(ValueError, match="none of the 1 keys"):
        read_key_set(published(ring.weak.jwk()))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [], "keys": []}',
        b"\xef\xbb\xbf{}",
        b" " * (MAX_SET_BYTES + 1),
        published(*[{}] * (MAX_KEYS + 1)),
    ],
)
def test_a_set_without_usable_keys_is_an_error(text: bytes) -> None:
    """Garbage, empty, duplicate, oversized and overlong sets never replace the last good one."""
    with pytest.raises(ValueError, match=r"\w"):
        read_key_set(text)


def test_a_key_is_chosen_only_if_it_is_the_only_one(ring: Ring) -> None:
    """With a key id the id decides; without one, exactly one key may fit; a clash of ids is nobody's key."""
    found = read_key_set(published(ring.rsa_a.jwk(), ring.rsa_b.jwk(), ring.ec_1.jwk(), ring.rsa_a.jwk()))
    assert len(found.keys) == 3
    assert found.choose("rsa-b", "RS256") is found.keys[1]
    assert found.choose(None, "ES256") is found.keys[2]
    assert found.choose(None, "RS256") is None
    assert found.choose("rsa-a", "ES256") is None
    assert read_key_set(published(ring.rsa_a.jwk(), ring.attacker.jwk())).choose("rsa-a", "RS256") is None


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_any_entry_is_read_or_skipped(entry: object) -> None:
    """No JSON value inside a set raises anything but ValueError."""
    with pytest.raises(ValueError, match="none of the 1 keys"):
        read_key_set(published(entry))


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"kty": st.sampled_from(["RSA", "EC", "OKP"])},
        optional={
            "crv": st.sampled_from(["P-256", "P-384", "P-521", "Ed25519", "Ed448"]),
            "x": st.text(max_size=90),
            "y": st.text(max_size=90),
            "n": st.text(max_size=90),
            "e": st.text(max_size=5),
        },
    )
)
def test_any_key_material_is_read_or_skipped(entry: dict[str, str]) -> None:
    """Nonsense in the members of a key raises nothing but ValueError."""
    with pytest.raises(ValueError, match="none of the 1 keys"):
        read_key_set(published(entry))
