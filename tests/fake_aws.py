"""DynamoDB and STS on one loopback port, and a whole gateway before them: for tests of processes and of `doctor`.

It checks nothing but shapes; engines that verify signatures and role policies are in tests/stack.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from jwt.algorithms import get_default_algorithms

from tests.stack.process import ROOT, clean_environment, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

ISSUER = "https://idp.test"
AUDIENCE = "dynamodb-proxy"
POLICY = """
tables:
  orders: {key: "pk (S)"}
  lost: {key: "pk (S)"}
dags:
  etl: {role: "arn:aws:iam::111122223333:role/etl", allow: [{actions: [read, write], tables: [orders, lost]}]}
  locked: {role: "arn:aws:iam::111122223333:role/locked", allow: [{actions: [read], tables: [orders]}]}
  astray: {role: "arn:aws:iam::111122223333:role/astray", allow: [{actions: [read], tables: [orders]}]}
"""
_STS = "https://sts.amazonaws.com/doc/2011-06-15/"


class FakeAws:
    """Answers `answers[operation]` (status, body), 200 `{}` by default; STS fails with `sts_errors[role's name]`, "" for any.

    While `held` is cleared, DynamoDB keeps its answers back; `arrived` is set by each request.
    """

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}
        self.sts_errors: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.sts_calls: list[dict[str, str]] = []
        self.held = threading.Event()
        self.held.set()
        self.arrived = threading.Event()
        self.url = ""

    def dynamodb(self, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        """One call of DynamoDB."""
        operation = headers["x-amz-target"].rpartition(".")[2]
        self.requests.append((operation, headers, body))
        self.arrived.set()
        self.held.wait(30)
        status, answer = self.answers.get(operation, (200, {}))
        return status, "application/x-amz-json-1.0", json.dumps(answer).encode()

    def sts(self, body: bytes) -> tuple[int, str, bytes]:
        """One call of STS."""
        call = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.sts_calls.append(call)
        code = self.sts_errors.get(call.get("RoleArn", "").rpartition("/")[2]) or self.sts_errors.get("", "")
        if code:
            error = f"<ErrorResponse xmlns='{_STS}'><Error><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"
            return 403 if code.startswith("Access") else 500, "text/xml", error.encode()
        if call["Action"] == "AssumeRole":
            ends = datetime.now(UTC) + timedelta(seconds=900)
            inner = (
                "<Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>hidden-secret</SecretAccessKey>"
                f"<SessionToken>hidden-session</SessionToken><Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            )
        else:
            inner = "<Arn>arn:aws:sts::1:assumed-role/gw/i</Arn><UserId>AROA:i</UserId><Account>1</Account>"
        name = call["Action"]
        text = f"<{name}Response xmlns='{_STS}'><{name}Result>{inner}</{name}Result></{name}Response>"
        return 200, "text/xml", text.encode()


@contextlib.contextmanager
def fake_aws() -> Iterator[FakeAws]:
    """Listen while the block runs."""
    aws = FakeAws()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, kind, answer = aws.dynamodb(headers, body) if "x-amz-target" in headers else aws.sts(body)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    aws.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield aws
    finally:
        aws.held.set()
        server.shutdown()
        thread.join()
        server.server_close()


# ---------------------------------------------------------------------------------------------------- tokens

_KEY = ec.generate_private_key(ec.SECP256R1())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(*, seconds: float = 600, key: ec.EllipticCurvePrivateKey = _KEY, **changes: Any) -> str:
    """A token of DAG `etl`, good for `seconds`; claims may be overridden, None removes one."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "worker", "dag_id": "etl", "iat": now - 5, "exp": now + int(seconds)}
    kept = {name: value for name, value in (claims | changes).items() if value is not None}
    signed = _encoded(b'{"alg":"ES256","kid":"k","typ":"JWT"}') + "." + _encoded(json.dumps(kept).encode())
    return signed + "." + _encoded(get_default_algorithms()["ES256"].sign(signed.encode(), key))


def jwks() -> dict[str, Any]:
    """The issuer's key set."""
    public = get_default_algorithms()["ES256"].to_jwk(_KEY.public_key(), as_dict=True)
    return {"keys": [public | {"kid": "k", "use": "sig", "alg": "ES256"}]}


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(private + certificate.public_bytes(pem))
    return folder / "server.pem"


# --------------------------------------------------------------------------------------------------- the gateway


def settings_in(folder: Path, aws_url: str, **changes: Any) -> dict[str, Any]:
    """Settings with free loopback ports, a key set in a file and a policy, all written into `folder`."""
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    (folder / "policies" / "orders.yaml").write_text(POLICY)
    (folder / "jwks.json").write_text(json.dumps(jwks()))
    issuer = {
        "name": "idp", "issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["ES256"], "may_assert": ["*"],
        "keys": {"jwks_file": "jwks.json"},
    }  # fmt: skip
    return {
        "listen": f"127.0.0.1:{free_port()}",
        "admin_listen": f"127.0.0.1:{free_port()}",
        "issuers": [issuer],
        "aws": {"region": "eu-west-1", "endpoint_url": aws_url, "sts_endpoint_url": aws_url},
        "audit": {"path": "audit.jsonl"},
    } | changes


class RunningGateway:
    """`python -m proxy serve` in a process of its own; standard output and standard error in files apart."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.listen, self.admin = settings["listen"], settings["admin_listen"]
        self.config = folder / "proxy.yaml"
        self.config.write_text(json.dumps(settings))
        self.out, self.errors = folder / "out.txt", folder / "errors.txt"
        keys = {"AWS_ACCESS_KEY_ID": "AKIDBASE", "AWS_SECRET_ACCESS_KEY": "hidden-base"}
        with self.out.open("wb") as out, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "proxy", "serve", "--config", str(self.config), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                env=clean_environment(keys | dict(env or {})),
                cwd=ROOT,
            )

    @property
    def url(self) -> str:
        """The data plane."""
        return f"http://{self.listen}"

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait for a condition while the process lives."""

        def is_met() -> bool:
            assert self.process.poll() is None, self.errors.read_text()
            return condition()

        wait_until(is_met, seconds, what)

    def until_ready(self) -> None:
        """Wait for /readyz to say so."""
        self.until(lambda: self.get("/readyz")[0] == 200, "the gateway is ready")

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of the admin plane; status 0 while nobody answers."""
        connection = http.client.HTTPConnection(self.admin, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def call(
        self, operation: str = "GetItem", body: Mapping[str, Any] | None = None, bearer: str | None = None
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """One call over a connection of its own: status, headers, body."""
        connection = http.client.HTTPConnection(self.listen, timeout=20)
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"DynamoDB_20120810.{operation}"}
        headers["authorization"] = "Bearer " + (token() if bearer is None else bearer)
        given = {"TableName": "orders", "Key": {"pk": {"S": "hidden-value"}}} if body is None else body
        try:
            connection.request("POST", "/", json.dumps(given), headers)
            answer = connection.getresponse()
            return answer.status, {n.lower(): v for n, v in answer.getheaders()}, json.loads(answer.read())
        finally:
            connection.close()

    def records(self) -> list[dict[str, Any]]:
        """The audit so far."""
        audit = self.folder / "audit.jsonl"
        return [json.loads(line) for line in audit.read_text().splitlines()] if audit.exists() else []

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        os.kill(self.process.pid, number)

    def stop(self) -> int:
        """SIGTERM and the exit status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextlib.contextmanager
def running_gateway(
    folder: Path, settings: Mapping[str, Any], *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[RunningGateway]:
    """A gateway that is stopped with the block."""
    gateway = RunningGateway(folder, settings, *arguments, env=env)
    try:
        yield gateway
    finally:
        gateway.stop()
