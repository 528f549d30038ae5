"""An authorization server on loopback that knows one client by its public key: discovery, client credentials, `private_key_jwt`.

It checks an assertion by PyJWT, as a stranger would (RFC 7523, 3), and keeps what it was sent.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jwt

from tests.unit.identity.keyring import claims_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.identity.keyring import SigningKey


class AuthorizationServer:
    """`raw` replaces an answer: (status, body, headers). `life` is that of its tokens."""

    def __init__(self, signer: SigningKey) -> None:
        self.signer = signer
        self.client_key: Any = None
        self.life = 3600
        self.discovery: dict[str, Any] = {}
        self.raw: tuple[int, bytes, dict[str, str]] | None = None
        self.forms: list[dict[str, str]] = []
        self.assertions: list[dict[str, Any]] = []
        self.asked = 0
        self.url = ""

    def answer(self, path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """One exchange."""
        if path == "/realm/.well-known/openid-configuration":
            document = {"issuer": self.url + "/realm", "token_endpoint": self.url + "/token"} | self.discovery
            return 200, json.dumps(document).encode(), {}
        self.asked += 1
        if self.raw is not None:
            return self.raw
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.forms.append(form)
        try:
            header = jwt.get_unverified_header(form["client_assertion"])
            claims = jwt.decode(
                form["client_assertion"],
                self.client_key,
                algorithms=["RS256", "PS256", "ES256", "ES384"],
                audience=[self.url + "/token", self.url + "/realm"],
                issuer="airflow-worker",
                options={"require": ["exp", "iat", "jti", "sub"]},
            )
        except jwt.PyJWTError as error:
            return 401, json.dumps({"error": "invalid_client", "error_description": str(error)}).encode(), {}
        self.assertions.append(header | claims)
        now = time.time()
        token = self.signer.token(claims_with(now, iss=self.url + "/realm", exp=int(now) + self.life, jti=str(self.asked)))
        return 200, json.dumps({"access_token": token.decode(), "token_type": "Bearer"}).encode(), {}


@contextlib.contextmanager
def authorization_server(signer: SigningKey) -> Iterator[AuthorizationServer]:
    """Listen while the block runs."""
    server = AuthorizationServer(signer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond(b"")

        def do_POST(self) -> None:
            self._respond(self.rfile.read(int(self.headers["content-length"])))

        def _respond(self, body: bytes) -> None:
            status, answer, headers = server.answer(self.path, body)
            self.send_response(status)
            for name, value in {"content-length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
