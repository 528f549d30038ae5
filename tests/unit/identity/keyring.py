"""Real keys, made once, and tokens signed with them by hand: a test must be able to write what no library would."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from proxy.identity.token import Issuer, KeySource

NOW = 1_795_000_000.0
ISSUER = "https://idp.test/realms/airflow"


def encoded(data: bytes) -> bytes:
    """Url-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@dataclass(frozen=True)
class SigningKey:
    """A private key and how it is published."""

    kid: str
    algorithm: str
    private: Any = field(repr=False)

    def sign_parts(self, header: bytes, payload: bytes) -> bytes:
        """A compact token over exactly these header and payload texts."""
        signed = encoded(header) + b"." + encoded(payload)
        return signed + b"." + encoded(get_default_algorithms()[self.algorithm].sign(signed, self.private))

    def token(self, claims: dict[str, Any], **header: Any) -> bytes:
        """A token over `claims`; header members may be overridden, None removes one."""
        members = {"alg": self.algorithm, "typ": "JWT", "kid": self.kid} | header
        kept = {name: value for name, value in members.items() if value is not None}
        return self.sign_parts(json.dumps(kept).encode(), json.dumps(claims).encode())

    def jwk(self, **members: Any) -> dict[str, Any]:
        """The public JWK; members may be overridden, None removes one."""
        public = get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        public = public | {"kid": self.kid, "use": "sig"} | members
        return {name: value for name, value in public.items() if value is not None}


@dataclass(frozen=True)
class Ring:
    """The keys of the session."""

    rsa_a: SigningKey
    rsa_b: SigningKey
    attacker: SigningKey
    weak: SigningKey
    pss: SigningKey
    ec_1: SigningKey
    ec_384: SigningKey
    ed: SigningKey


def make_ring() -> Ring:
    """RSA, EC and Ed25519 keys; the attacker's claims the key id of an honest one."""

    def make(bits: int = 2048) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)

    a = make()
    return Ring(
        rsa_a=SigningKey("rsa-a", "RS256", a),
        rsa_b=SigningKey("rsa-b", "RS256", make()),
        attacker=SigningKey("rsa-a", "RS256", make()),
        weak=SigningKey("weak", "RS256", make(1024)),
        pss=SigningKey("rsa-a", "PS256", a),
        ec_1=SigningKey("ec-1", "ES256", ec.generate_private_key(ec.SECP256R1())),
        ec_384=SigningKey("ec-384", "ES384", ec.generate_private_key(ec.SECP384R1())),
        ed=SigningKey("ed", "EdDSA", ed25519.Ed25519PrivateKey.generate()),
    )


def claims_with(now: float = NOW, **changes: Any) -> dict[str, Any]:
    """Claims of a good token; changes override, None removes."""
    base = {
        "iss": ISSUER,
        "aud": "dynamodb-proxy",
        "sub": "airflow:worker",
        "dag_id": "orders_dag",
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now) + 900,
        "jti": "0f0e",
    }
    return {name: value for name, value in (base | changes).items() if value is not None}


def issuer_with(**changes: Any) -> Issuer:
    """The issuer of the good token."""
    settings: dict[str, Any] = {
        "name": "main",
        "issuer": ISSUER,
        "audiences": ("dynamodb-proxy",),
        "algorithms": ("RS256", "ES256"),
        "keys": KeySource("jwks_url", "http://127.0.0.1:1/jwks"),
        "claims": {"dag_id": "dag_id", "task_id": "task_id", "try_number": "try_number"},
        "may_assert": ("*",),
    }
    return Issuer(**(settings | changes))
