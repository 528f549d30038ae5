"""What PyJWT lets through when told algorithms, audience, issuer and required claims: a row is a laxity, and our refusal of it.

Each row holds both halves: PyJWT believes the token, so the row is no straw man, and the gateway refuses it. A row whose first
half fails with a newer PyJWT is good news: drop the half, keep the refusal.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from proxy.identity.jwks import read_key_set
from proxy.refusal import Reason, Unauthenticated
from tests.unit.identity.keyring import ISSUER, Ring, SigningKey, claims_with, encoded, issuer_with
from tests.unit.identity.test_token import believed

if TYPE_CHECKING:
    from collections.abc import Callable

START = int(time.time())  # PyJWT reads the machine's clock itself
YEARS = 10 * 365 * 86400
FUTURE = START + 600
HEADER = b'{"alg":"RS256","typ":"JWT","kid":"rsa-a"}'


def claims(**changes: Any) -> bytes:
    """Claims of a good token, as text; changes override."""
    return json.dumps(claims_with(START, **changes)).encode()


def twice(member: str, text: bytes) -> bytes:
    """`text` with one more member at its end."""
    return text[:-1] + b"," + member.encode() + b"}"


def with_header(**members: Any) -> Callable[[SigningKey], bytes]:
    """A token whose header has these members too."""
    return lambda key: key.token(claims_with(START), **members)


def over(payload: bytes, header: bytes = HEADER) -> Callable[[SigningKey], bytes]:
    """A token over exactly these texts."""
    return lambda key: key.sign_parts(header, payload)


LAXITIES: dict[str, tuple[Callable[[SigningKey], bytes], Reason]] = {
    "exp as text": (over(claims(exp=str(FUTURE))), Reason.TOKEN_CLAIMS),
    "exp in other digits than ASCII's": (
        over(claims(exp=str(FUTURE).translate({48 + digit: 0x660 + digit for digit in range(10)}))),
        Reason.TOKEN_CLAIMS,
    ),
    "exp with spaces": (over(claims(exp=f" {FUTURE} ")), Reason.TOKEN_CLAIMS),
    "exp with underscores": (over(claims(exp=f"{FUTURE:_}")), Reason.TOKEN_CLAIMS),
    "exp of 1e308": (over(claims(exp=1e308)), Reason.TOKEN_CLAIMS),
    "a life of ten years": (over(claims(exp=START + YEARS)), Reason.TOKEN_CLAIMS),
    "a claim twice": (over(twice('"dag_id":"other"', claims())), Reason.TOKEN_MALFORMED),
    "a header member twice": (over(claims(), twice('"kid":"rsa-a"', HEADER)), Reason.TOKEN_MALFORMED),
    "a payload in UTF-16": (over(claims().decode().encode("utf-16")), Reason.TOKEN_MALFORMED),
    "a payload with a byte-order mark": (over(b"\xef\xbb\xbf" + claims()), Reason.TOKEN_MALFORMED),
    "padding behind": (lambda key: over(claims())(key) + b"==", Reason.TOKEN_MALFORMED),
    "crit b64 true": (with_header(crit=["b64"], b64=True), Reason.TOKEN_MALFORMED),
    "zip": (with_header(zip="DEF"), Reason.TOKEN_MALFORMED),
    "enc": (with_header(enc="A256GCM"), Reason.TOKEN_MALFORMED),
    "an empty sub": (over(claims(sub="")), Reason.TOKEN_CLAIMS),
}


def pyjwt_believes(token: bytes, key: SigningKey) -> bool:
    """PyJWT as careful people call it."""
    options: Any = {"require": ["exp", "iat", "iss", "aud", "sub"]}
    jwt.decode(token, key.private.public_key(), algorithms=["RS256"], audience="dynamodb-proxy", issuer=ISSUER, options=options)
    return True


@pytest.mark.parametrize("laxity", LAXITIES)
def test_what_pyjwt_lets_through_is_refused(ring: Ring, laxity: str) -> None:
    """By name."""
    make, reason = LAXITIES[laxity]
    token = make(ring.rsa_a)
    assert pyjwt_believes(token, ring.rsa_a)
    with pytest.raises(Unauthenticated) as caught:
        believed(token, ring.rsa_a, now=START)
    assert caught.value.reason is reason


def test_any_typ_where_one_is_demanded(ring: Ring) -> None:
    """PyJWT has no notion of it; here an issuer can demand one."""
    token = with_header(typ="logout+jwt")(ring.rsa_a)
    assert pyjwt_believes(token, ring.rsa_a)
    with pytest.raises(Unauthenticated, match="demands 'at\\+jwt'"):
        believed(token, ring.rsa_a, issuer_with(required_type="at+jwt"), START)


def test_a_jwk_in_the_header_is_ignored_by_both(ring: Ring) -> None:
    """It neither helps nor hurts: the key is the issuer's."""
    token = with_header(jwk=ring.attacker.jwk())(ring.rsa_a)
    assert pyjwt_believes(token, ring.rsa_a)
    assert believed(token, ring.rsa_a, now=START).subject == "airflow:worker"
    with pytest.raises(Unauthenticated):
        believed(with_header(jwk=ring.attacker.jwk())(ring.attacker), ring.rsa_a, now=START)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_an_rsa_key_of_1024_bits_checks_nothing(ring: Ring) -> None:
    """It is skipped when the set is read, so that no token of it can be believed."""
    assert pyjwt_believes(over(claims())(ring.weak), ring.weak)
    with pytest.raises(ValueError, match="none of the 1 keys"):
        read_key_set(json.dumps({"keys": [ring.weak.jwk()]}).encode())


def test_what_is_no_laxity_is_believed(ring: Ring) -> None:
    """The control of this file: the token that each row spoils."""
    token = over(claims())(ring.rsa_a)
    assert pyjwt_believes(token, ring.rsa_a)
    assert believed(token, ring.rsa_a, now=START).subject == "airflow:worker"
    assert token.split(b".")[0] == encoded(HEADER)
