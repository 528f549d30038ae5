"""A small OpenID provider: discovery, key set, and tokens by the client credentials grant (RFC 6749, section 4.4), RS256.

Its clients stand for workers. What a worker's token says is part of its registration, never of its request.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import secrets
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIFETIME_SECONDS = 3600
_KEY_ID = "demo-1"
_MAX_FORM_BYTES = 8192
_DISCOVERY, _KEYS, _TOKEN = "/.well-known/openid-configuration", "/jwks", "/token"


@dataclass(frozen=True, slots=True)
class Client:
    """A registered worker: the `sub` of its tokens, and the claims that they carry beside the standard ones."""

    subject: str
    claims: Mapping[str, str] = field(default_factory=dict)
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)


class Issuer:
    """Who signs. `url` is the `iss` of every token."""

    def __init__(self, url: str, audience: str, clients: Mapping[str, Client]) -> None:
        self.url = url
        self.audience = audience
        self.clients = clients
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, client_id: str, lifetime: int = LIFETIME_SECONDS) -> str:
        """A fresh token of a client; `lifetime` in seconds."""
        client = self.clients[client_id]
        now = int(time.time())
        claims = {
            **client.claims,
            "iss": self.url,
            "sub": client.subject,
            "aud": self.audience,
            "iat": now,
            "exp": now + lifetime,
            "jti": secrets.token_hex(8),
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": _KEY_ID})

    def key_set(self) -> dict[str, Any]:
        """The public key as a JWK set (RFC 7517)."""
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": _KEY_ID, "use": "sig", "alg": "RS256"}]}

    def discovery(self) -> dict[str, Any]:
        """OpenID Connect Discovery 1.0, section 3."""
        return {
            "issuer": self.url,
            "jwks_uri": self.url + _KEYS,
            "token_endpoint": self.url + _TOKEN,
            "authorization_endpoint": self.url + "/authorize",
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    def grant(self, authorization: str, form: Mapping[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """Status and body of an answer of the token endpoint (RFC 6749, sections 4.4.3 and 5.2)."""
        client_id, secret = _basic(authorization)
        client = self.clients.get(client_id)
        if client is None or not hmac.compare_digest(secret.encode(), client.secret.encode()):
            return 401, {"error": "invalid_client"}
        if form.get("grant_type") != ["client_credentials"]:
            return 400, {"error": "unsupported_grant_type"}
        token = self.token(client_id)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME_SECONDS}


def _basic(authorization: str) -> tuple[str, str]:
    """Client id and secret of HTTP Basic, form-encoded within (RFC 6749, section 2.3.1); empty strings where there are none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return urllib.parse.unquote_plus(user), urllib.parse.unquote_plus(password)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    issuer: Issuer

    def do_GET(self) -> None:
        """Discovery and keys."""
        documents = {_DISCOVERY: self.issuer.discovery, _KEYS: self.issuer.key_set}
        document = documents.get(self.path)
        self._answer(*((200, document()) if document else (404, {"error": "not_found"})))

    def do_POST(self) -> None:
        """A token."""
        length = self.headers.get("content-length", "")
        if self.path != _TOKEN or not length.isdecimal() or int(length) > _MAX_FORM_BYTES:
            self.close_connection = True
            self._answer(404 if self.path != _TOKEN else 400, {"error": "invalid_request"})
            return
        form = urllib.parse.parse_qs(self.rfile.read(int(length)).decode("utf-8", "replace"))
        self._answer(*self.issuer.grant(self.headers.get("authorization", ""), form))

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keep the terminal for the story."""


@contextlib.contextmanager
def oidc_issuer(audience: str, clients: Mapping[str, Client]) -> Iterator[Issuer]:
    """Serve an issuer on a loopback port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}", audience, clients)
    server.RequestHandlerClass = type("_BoundHandler", (_Handler,), {"issuer": issuer})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
