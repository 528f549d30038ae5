"""Signs a small JWT with a private key in a file, by `cryptography` where it is installed, as beside Airflow, else by `openssl`.

Standard library only: both are looked for when needed. The key is never shown, and never leaves its file but to be used.
"""

from __future__ import annotations

import base64
import importlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384")
_PSS = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest")
_OPENSSL_SECONDS = 10
_LEAST_RSA_BYTES = 256


class CannotSign(Exception):
    """The message says what to look at; it holds nothing of the key."""


def encoded(data: bytes) -> str:
    """Url-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_jwt(header: Mapping[str, str], claims: Mapping[str, Any], key: Path, *, is_openssl_wanted: bool = False) -> str:
    """A compact JWS (RFC 7515); `header` names `alg`. Raises CannotSign. `is_openssl_wanted` leaves cryptography aside."""
    signed = ".".join(encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)).encode()
    algorithm = header["alg"]
    try:
        if is_openssl_wanted:
            raise ModuleNotFoundError
        signature = _by_cryptography(signed, key, algorithm)
    except ModuleNotFoundError:
        signature = _by_openssl(signed, key, algorithm)
    if not algorithm.startswith("ES") and len(signature) < _LEAST_RSA_BYTES:  # openssl signs with whatever key it finds
        raise CannotSign(f"the key file {key} holds no RSA key of 2048 bits or more, as {algorithm} needs")
    if algorithm.startswith("ES"):
        signature = _joined(signature, {"ES256": 32, "ES384": 48}[algorithm], key)
    return f"{signed.decode()}.{encoded(signature)}"


def _by_cryptography(signed: bytes, key: Path, algorithm: str) -> bytes:
    serialization: Any = importlib.import_module("cryptography.hazmat.primitives.serialization")
    hashes: Any = importlib.import_module("cryptography.hazmat.primitives.hashes")
    asymmetric = "cryptography.hazmat.primitives.asymmetric."
    padding: Any = importlib.import_module(asymmetric + "padding")
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
        digest = hashes.SHA384() if algorithm == "ES384" else hashes.SHA256()
        if algorithm.startswith("ES"):
            ec: Any = importlib.import_module(asymmetric + "ec")
            return bytes(private.sign(signed, ec.ECDSA(digest)))
        scheme = padding.PSS(padding.MGF1(digest), digest.digest_size) if algorithm == "PS256" else padding.PKCS1v15()
        return bytes(private.sign(signed, scheme, digest))
    except OSError as error:
        raise CannotSign(f"the key file {key} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError):
        raise CannotSign(f"the key file {key} holds no private key in PEM form that signs {algorithm}") from None


def _by_openssl(signed: bytes, key: Path, algorithm: str) -> bytes:
    digest = "-sha384" if algorithm == "ES384" else "-sha256"
    command = ["openssl", "dgst", digest, "-sign", str(key), *(_PSS if algorithm == "PS256" else ())]
    try:
        done = subprocess.run(command, input=signed, capture_output=True, timeout=_OPENSSL_SECONDS, check=False)  # noqa: S603 - fixed words and a path
    except FileNotFoundError:
        raise CannotSign("signing needs `cryptography` (Airflow brings it) or the command `openssl`; install either") from None
    except subprocess.TimeoutExpired:
        raise CannotSign(f"`openssl` did not sign with {key} in time; is the key protected by a password?") from None
    if done.returncode != 0:
        raise CannotSign(f"`openssl` cannot sign {algorithm} with the key file {key}; is it a private key in PEM form?")
    return done.stdout


def _joined(der: bytes, size: int, key: Path) -> bytes:
    """An ECDSA signature as JWS wants it (RFC 7518, 3.4): r and s side by side, out of their DER sequence."""
    numbers, rest = [], der[2:]
    while len(rest) > 2 and rest[0] == 2:
        numbers.append(int.from_bytes(rest[2 : 2 + rest[1]]))
        rest = rest[2 + rest[1] :]
    if len(numbers) != 2 or any(number.bit_length() > 8 * size for number in numbers):
        raise CannotSign(f"the key file {key} holds a key of another curve than {'P-256' if size == 32 else 'P-384'}")
    return b"".join(number.to_bytes(size) for number in numbers)
