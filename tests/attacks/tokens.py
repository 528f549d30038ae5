"""Tokens by their specification: honest ones, and all that no library would write. Keys are made anew in each run."""

from __future__ import annotations

import base64
import hmac
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def encoded(data: bytes) -> str:
    """Url-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def dag_in(token: str) -> str:
    """The `dag_id` that a compact token says, "" where it cannot be read; nothing is checked."""
    try:
        payload = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("dag_id", "")
    except (ValueError, IndexError, AttributeError):
        return ""
    return said if isinstance(said, str) else ""


class Keyring:
    """Every key that a specification can name."""

    def __init__(self) -> None:
        self._rsa = {name: _rsa(2048) for name in ("issuer_key", "issuer_key_b", "retired_key", "attacker_key")}
        self._rsa["weak_1024_key"] = _rsa(1024)
        self._ec = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("partner_key", "attacker_ec_key")}

    @cached_property
    def main_set(self) -> list[dict[str, str]]:
        """The key set of issuer `main`."""
        return [self._rsa_jwk("issuer_key", "rsa-a"), self._rsa_jwk("issuer_key_b", "rsa-b")]

    @cached_property
    def partner_set(self) -> list[dict[str, str]]:
        """The key set of issuer `partner`."""
        numbers = self._ec["partner_key"].public_key().public_numbers()
        point = {"x": encoded(numbers.x.to_bytes(32)), "y": encoded(numbers.y.to_bytes(32))}
        return [{"kty": "EC", "crv": "P-256", **point, "kid": "ec-1", "use": "sig", "alg": "ES256"}]

    def _rsa_jwk(self, name: str, kid: str) -> dict[str, str]:
        numbers = self._rsa[name].public_key().public_numbers()
        members = {
            part: encoded(value.to_bytes((value.bit_length() + 7) // 8)) for part, value in (("n", numbers.n), ("e", numbers.e))
        }
        return {"kty": "RSA", **members, "kid": kid, "use": "sig", "alg": "RS256"}

    def sign(self, signer: str, algorithm: str, signed: bytes) -> bytes:
        """A signature as the signer makes it; where `algorithm` does not fit the key, with the key's own."""
        if signer == "none":
            return b""
        digest = _HASHES.get(algorithm[-3:], _HASHES["256"])
        if signer in self._rsa:
            scheme: Any = padding.PKCS1v15()
            if algorithm.startswith("PS"):
                scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return self._rsa[signer].sign(signed, scheme, digest)
        if signer in self._ec:
            numbers = decode_dss_signature(self._ec[signer].sign(signed, ec.ECDSA(digest)))
            return b"".join(number.to_bytes(32) for number in numbers)
        return hmac.digest(self._secret(signer), signed, digest.name)

    def _secret(self, signer: str) -> bytes:
        if signer == "public_key_as_hmac":
            form = serialization.PublicFormat.SubjectPublicKeyInfo
            return self._rsa["issuer_key"].public_key().public_bytes(serialization.Encoding.PEM, form)
        if signer == "public_jwk_as_hmac":
            return json.dumps(self.main_set[0]).encode()
        return signer.removeprefix("literal_hmac:").encode() if signer != "empty_hmac" else b""


class TokenMaker:
    """Makes compact tokens. `expand` fills placeholders in any value of a specification."""

    def __init__(self, keys: Keyring, fixtures: Mapping[str, Any]) -> None:
        self._keys = keys
        self._fixtures = fixtures

    def make(self, spec: Mapping[str, Any], expand: Callable[[Any], Any]) -> str:
        """The token of one specification."""
        if "literal" in spec:
            return str(expand(spec["literal"]))
        base = spec.get("base", "orders_dag")
        algorithm = spec.get("alg", "RS256")
        header = {"alg": algorithm, "typ": "JWT", "kid": "ec-1" if self._is_partner(base) else "rsa-a", **spec.get("header", {})}
        claims = {**self.base_claims(base), **spec.get("claims", {})}
        for name in spec.get("remove_claims", ()):
            claims.pop(name, None)
        first = spec["raw_header"] if "raw_header" in spec else json.dumps(expand(header))
        second = spec["raw_claims"] if "raw_claims" in spec else json.dumps(expand(claims), ensure_ascii=False)
        parts = [expand(first).encode() if "raw_header" in spec else first.encode()]
        text = expand(second) if "raw_claims" in spec else second
        parts.append(text.encode(spec.get("encoding", "utf-8"), errors="surrogatepass"))
        signed = ".".join(encoded(part) for part in parts)
        signature = self._keys.sign(str(spec.get("signed_by", "issuer_key")), str(algorithm), signed.encode())
        token = f"{signed}.{encoded(signature)}"
        for mutation in spec.get("mutate") or ():
            token = _mutated(token, mutation, expand)
        return token

    def of_identity(self, name: str, expand: Callable[[Any], Any]) -> str:
        """The valid token of an identity."""
        partner = self._is_partner(name)
        own = {"alg": "ES256", "signed_by": "partner_key"} if partner else {}
        return self.make({"base": name, **own}, expand)

    def base_claims(self, identity: str) -> dict[str, Any]:
        """The claims of an identity's valid token, placeholders not yet filled."""
        issuer = self._fixtures["issuers"]["partner" if self._is_partner(identity) else "main"]
        own = {"iss": issuer["iss"], "aud": issuer["audience"], issuer["identity_claim"]: identity}
        return {**self._fixtures["base_claims"], **own}

    def _is_partner(self, identity: str) -> bool:
        return identity.startswith("partner_")


def _mutated(token: str, mutation: Mapping[str, Any], expand: Callable[[Any], Any]) -> str:
    match mutation["op"]:
        case "append":
            return token + str(expand(mutation["value"]))
        case "prepend":
            return str(expand(mutation["value"])) + token
    header, payload, signature = [*token.split("."), "", ""][:3]
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    match mutation["op"]:
        case "drop_signature":
            return f"{header}.{payload}."
        case "swap_claims":
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            payload = encoded(json.dumps(claims | expand(mutation["claims"])).encode())
            return f"{header}.{payload}.{signature}"
        case "flip_signature_byte":
            return f"{header}.{payload}.{encoded(bytes([raw[0] ^ 1]) + raw[1:])}"
        case "raw_signature_hex":
            return f"{header}.{payload}.{encoded(bytes.fromhex(mutation['value']))}"
    return json.dumps({"payload": payload, "protected": header, "signature": signature}, separators=(",", ":"))


def _rsa(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)
