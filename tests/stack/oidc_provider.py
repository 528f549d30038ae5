"""The OpenID-certified `oidc-provider` (npm) as identity provider: real discovery, key set, tokens and key rotation.

Its clients stand for workers: the claims of a client's tokens are part of its registration.
"""

from __future__ import annotations

import base64
import contextlib
import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.stack.process import ROOT, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

AUDIENCE = "dynamodb-proxy"
# client -> the extra claims of its tokens
CLIENTS: dict[str, dict[str, Any]] = {
    "dag-orders": {"dag_id": "orders"},
    "dag-billing": {"dag_id": "billing"},
    "dag-refunds": {"dag_id": "refunds"},
    "dag-unheard-of": {"dag_id": "unheard_of"},
    "worker-pool": {},  # a pool's token names no DAG
    "stranger": {},
}
_SECRET = "s3cret"


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """A running provider. `issuer` is its URL and the `iss` of its tokens."""

    issuer: str
    audience: str = AUDIENCE

    @property
    def jwks_url(self) -> str:
        """Where its key set stands."""
        return f"{self.issuer}/jwks"

    def token(self, client: str) -> str:
        """A fresh access token (JWT, `at+jwt`) of `client`, by the client credentials grant."""
        basic = base64.b64encode(f"{client}:{_SECRET}".encode()).decode()
        form = urllib.parse.urlencode({"grant_type": "client_credentials"}).encode()
        return str(self._post("/token", form, {"authorization": f"Basic {basic}"})["access_token"])

    def rotate(self) -> str:
        """Sign with a new key from now on; the old ones stay in the key set. Returns the new `kid`."""
        return str(self._post("/_test/rotate")["kid"])

    def retire(self) -> None:
        """Drop all keys from the key set but the newest."""
        self._post("/_test/retire")

    def _post(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(self.issuer + path, data=body, headers=dict(headers or {}), method="POST")  # noqa: S310 - http on loopback
        with opener.open(request, timeout=10) as reply:
            return dict(json.load(reply))


@contextlib.contextmanager
def oidc_provider(
    logs: Path,
    clients: Mapping[str, Mapping[str, Any]] = CLIENTS,
    *,
    audience: str = AUDIENCE,
    lifetime: int = 300,
    keys: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[IdentityProvider]:
    """Start it with `clients` (name -> extra claims of its tokens); tokens live for `lifetime` seconds.

    A client with a public JWK in `keys` has no secret: it proves itself by `private_key_jwt`.
    """
    known = keys or {}
    env = {
        "AUDIENCE": audience,
        "TOKEN_SECONDS": str(lifetime),
        "CLIENTS": json.dumps(
            [
                {"id": name, "secret": _SECRET, "claims": claims, "jwks": {"keys": [known[name]]} if name in known else None}
                for name, claims in clients.items()
            ]
        ),
    }
    command = ["node", str(ROOT / "tests" / "js" / "oidc_provider.mjs")]
    with running("oidc_provider", command, logs, env=env, ready=lambda program: "listening " in program.output()) as program:
        issuer = program.output().split("listening ", 1)[1].split()[0]
        yield IdentityProvider(issuer, audience)
