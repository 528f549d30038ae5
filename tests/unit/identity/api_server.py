"""A Kubernetes API server on loopback, as far as the gateway asks one: HTTPS by its own authority, tokens, reviews, pods.

It answers as the real one does (authentication.k8s.io/v1, core/v1); `fails` and `held` are the ways to be away.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.identity.idp import answer

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.identity.token import Cluster

POD_UID = "5d2f0c1e-7a43-4c1b-9d5e-0b6f7a1c2d3e"
SUBJECT = "system:serviceaccount:airflow:worker"
AUDIENCE = "dynamodb-proxy"
OWN_TOKEN = "gateways-own-token"


def authority(folder: Path, name: str) -> tuple[Path, Path]:
    """(Its PEM file, a file with a key and a certificate for 127.0.0.1 that it signed)."""
    roots, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    of_root, of_leaf = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, "kube-apiserver"))
    now = datetime.now(UTC)

    def made(of: x509.Name, public: Any, *, is_authority: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(of_root, of, public, x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(roots.public_key()), critical=False)
        )

    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    root = made(of_root, roots.public_key(), is_authority=True).add_extension(usage, critical=True).sign(roots, hashes.SHA256())
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        made(of_leaf, leaf.public_key(), is_authority=False).add_extension(names, critical=False).sign(roots, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = leaf.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.crt").write_bytes(b"# authority of the cluster Zuf\xc3\xa4llig\n" + root.public_bytes(pem))
    (folder / f"{name}.pem").write_bytes(private + signed.public_bytes(pem))
    return folder / f"{name}.crt", folder / f"{name}.pem"


def projected(now: float, issuer: str, **changes: Any) -> dict[str, Any]:
    """The claims of a projected token as Kubernetes 1.30 and later writes them."""
    names = {
        "namespace": "airflow",
        "node": {"name": "node-1", "uid": "9a1f"},
        "pod": {"name": "orders-daily-load-x7k2", "uid": POD_UID},
        "serviceaccount": {"name": "worker", "uid": "1b2c"},
        "warnafter": int(now) + 3607,
    }
    base = {"iss": issuer, "aud": [AUDIENCE], "sub": SUBJECT, "jti": "7c1d", "kubernetes.io": names}
    return base | {"iat": int(now), "nbf": int(now), "exp": int(now) + 3600} | changes


def pod_object(**annotations: str) -> dict[str, Any]:
    """The token's pod as the API server shows it, cut to what matters."""
    metadata = {"name": "orders-daily-load-x7k2", "namespace": "airflow", "uid": POD_UID, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"serviceAccountName": "worker"}}


class ApiServer:
    """Serves `/openid/v1/jwks`, token reviews and pods to who brings one of `allowed`. `review` and `pod` are what it says."""

    def __init__(self, folder: Path, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.ca_file, self._certificate = authority(folder, "first")
        self.token_file = folder / "token"
        self.token_file.write_text(OWN_TOKEN)
        self.allowed = {OWN_TOKEN}
        self.review: dict[str, Any] = {"authenticated": True, "audiences": [AUDIENCE], "user": {"username": SUBJECT}}
        self.pod: dict[str, Any] | None = pod_object(dag_id="orders_daily", task_id="load", run_id="manual__1", try_number="1")
        self.fails: bytes | None = None
        self.held = asyncio.Event()
        self.held.set()
        self.asked = asyncio.Event()
        self.questions: Counter[str] = Counter()
        self.bearers: list[str] = []
        self.reviewed: list[dict[str, Any]] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate)
        self._context = context
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.held.set()
        self._server.close()
        await self._server.wait_closed()

    def change_authority(self, folder: Path) -> bytes:
        """Serve by a certificate of another authority from now on. Returns that one's PEM."""
        ca_file, certificate = authority(folder, "second")
        self._context.load_cert_chain(certificate)
        return ca_file.read_bytes()

    def cluster(self, **changes: Any) -> Cluster:
        """How an issuer's settings name it."""
        from proxy.identity.token import Cluster

        named = {"api": self.url, "ca_file": str(self.ca_file), "token_file": str(self.token_file)}
        return Cluster(**(named | {"token_review": True, "pods": True} | changes))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path = head.split()[:2]
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.splitlines()[1:])}
            body = await reader.readexactly(int(fields.get("content-length", "0")))
            self.questions[f"{method} {path}"] += 1
            self.bearers.append(fields.get("authorization", ""))
            self.asked.set()
            await self.held.wait()
            writer.write(self.fails if self.fails is not None else self._answer(method, path, fields, body))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the gateway has had enough

    def _answer(self, method: str, path: str, fields: dict[str, str], body: bytes) -> bytes:
        if fields.get("authorization", "").removeprefix("Bearer ") not in self.allowed:
            return answer(b"401 Unauthorized", b'{"kind":"Status","code":401}')
        if (method, path) == ("GET", "/openid/v1/jwks"):
            return answer(b"200 OK", json.dumps({"keys": self.keys}).encode())
        if (method, path) == ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"):
            self.reviewed.append(json.loads(body))
            return answer(b"201 Created", json.dumps({"kind": "TokenReview", "status": self.review}).encode())
        if (method, path) == ("GET", "/api/v1/namespaces/airflow/pods/orders-daily-load-x7k2") and self.pod is not None:
            return answer(b"200 OK", json.dumps(self.pod).encode())
        return answer(b"404 Not Found", b'{"kind":"Status","code":404}')
