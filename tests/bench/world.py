"""What stands around every gateway that is measured: issuer, tokens, policy, STS, and an upstream plain and over TLS.

One `World` is made for a run and shared by all targets, so that they judge the same tokens and call the same upstream.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.bench.processes import pinned
from tests.bench.wire import DAG, TABLE
from tests.fake_aws import fake_aws, self_signed
from tests.stack.process import ROOT, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ISSUER, AUDIENCE, REGION = "https://issuer.test", "dynamodb-proxy", "us-east-1"
BENCH = ROOT / "tests" / "bench"
LOAD_CPU = 1  # stub and load generator; what is measured has processor 0
_RULES = 10
_DAGS_IN_A_FILE = 500
_NGINX_STUB = """
daemon off; worker_processes 1; pid nginx-tls.pid; error_log stderr error;
events { worker_connections 2048; }
http {
  access_log off; keepalive_requests 100000000; client_body_buffer_size 512k; client_max_body_size 20m;
  client_body_temp_path tls-b; proxy_temp_path tls-p; fastcgi_temp_path tls-f; uwsgi_temp_path tls-u; scgi_temp_path tls-s;
  default_type application/x-amz-json-1.0;
  server {
    listen 127.0.0.1:%d ssl; ssl_certificate server.pem; ssl_certificate_key server.pem;
    ssl_session_cache shared:s:1m; ssl_protocols TLSv1.2 TLSv1.3;
    location / {
      add_header x-amzn-RequestId 3OB1RPRRPKVP0LJJSU1OCPIMRBVV4KQNSO5AEMVJF66Q9ASUAAJG;
      return 200 '{"Item":{"pk":{"S":"dag#example_dag"},"state":{"S":"success"},"attempt":{"N":"3"}}}';
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class World:
    """Where everything is. `plain` and `tls` are `host:port` of the upstream."""

    folder: Path
    plain: str
    tls: str
    certificate: Path
    jwks: Path
    sts_url: str
    key: rsa.RSAPrivateKey

    def token(self, dag: str = DAG, **changes: Any) -> str:
        """A worker's token: RS256, a little over 1 KB, good for a day."""
        return token_of(self.key, dag, **changes)

    def upstream_url(self, *, tls: bool) -> str:
        """The endpoint of DynamoDB."""
        return f"https://{self.tls}" if tls else f"http://{self.plain}"


def token_of(key: rsa.RSAPrivateKey, dag: str = DAG, **changes: Any) -> str:
    """A token like Kubernetes' own, with the claims of a task."""
    now = int(time.time())
    pod = {"name": "example-dag-load-1a2b3c", "uid": "c0ffee00-0000-4000-8000-000000000000"}
    account = {"name": "airflow-worker", "uid": "c0ffee00-0000-4000-8000-000000000001"}
    claims = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "system:serviceaccount:airflow:airflow-worker",
        "iat": now - 5, "nbf": now - 5, "exp": now + 80_000, "jti": "0d8f8f7e-6a0f-4c55-8b1b-1f3f6c8b0001",
        "kubernetes.io": {"namespace": "airflow", "pod": pod, "serviceaccount": account},
        "dag_id": dag, "task_id": "load", "run_id": "scheduled__2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return jwt.encode(claims | changes, key, algorithm="RS256", headers={"kid": "k1"})


def key_set(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """The issuer's key set."""
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"keys": [public | {"kid": "k1", "use": "sig", "alg": "RS256"}]}


def issuer_of(jwks: str) -> dict[str, Any]:
    """The issuer as settings name it; its key set is in a file."""
    return {
        "name": "cluster", "issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["RS256"],
        "keys": {"jwks_file": jwks}, "may_assert": ["*"],
    }  # fmt: skip


def new_key() -> rsa.RSAPrivateKey:
    """The issuer's key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def policy_of(dags: Sequence[str], rules: int = _RULES) -> dict[str, str]:
    """Policy files that give each DAG a role and `rules` rules; the one that fits is the last, and looks at keys."""
    others = [f"other_{number}" for number in range(rules - 1)]
    tables = [f'  {TABLE}: {{key: "pk (S), sk (S)"}}', *(f'  {name}: {{key: "pk (S)"}}' for name in others)]
    files = {}
    for first in range(0, len(dags), _DAGS_IN_A_FILE):
        lines = ["tables:", *tables, "dags:"]
        for dag in dags[first : first + _DAGS_IN_A_FILE]:
            lines += [f"  {dag}:", f"    role: arn:aws:iam::111122223333:role/{dag}", "    allow:"]
            lines += [f"      - {{actions: [read], tables: [{name}]}}" for name in others]
            lines.append(f'      - {{actions: [read, write], tables: [{TABLE}], keys: {{prefix: "dag#<dag_id>#"}}}}')
        files[f"policies/dags{first}.yaml"] = "\n".join(lines) + "\n"
    return files


def settings_of(
    world: World, folder: Path, *, tls: bool = False, dags: list[str] | None = None, **changes: Any
) -> dict[str, Any]:
    """Settings of our gateway, all else left at its default; its policy is written into `folder`."""
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    for name, text in policy_of(dags or [DAG]).items():
        (folder / name).write_text(text)
    aws = {"region": REGION, "endpoint_url": world.upstream_url(tls=tls), "sts_endpoint_url": world.sts_url}
    return {
        "listen": f"127.0.0.1:{free_port()}",
        "admin_listen": f"127.0.0.1:{free_port()}",
        "policies": str(folder / "policies"),
        "issuers": [issuer_of(str(world.jwks))],
        "aws": aws | ({"ca_file": str(world.certificate)} if tls else {}),
        "audit": {"path": str(folder / "audit.jsonl")},
    } | changes


@contextlib.contextmanager
def world(folder: Path, throttle_every: int = 0) -> Iterator[World]:
    """Compile and start everything; gone with the block. `throttle_every` n: each nth answer of the plain upstream throttles."""
    folder.mkdir(parents=True, exist_ok=True)
    key = new_key()
    (folder / "jwks.json").write_text(json.dumps(key_set(key)))
    certificate = self_signed(folder)
    plain, tls = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_stub(folder, plain, throttle_every))
        stack.enter_context(_tls_stub(folder, tls))
        sts = stack.enter_context(fake_aws())
        yield World(folder, f"127.0.0.1:{plain}", f"127.0.0.1:{tls}", certificate, folder / "jwks.json", sts.url, key)


@contextlib.contextmanager
def _stub(folder: Path, port: int, throttle_every: int) -> Iterator[None]:
    program = folder / "stub"
    subprocess.run(["cc", "-O2", "-o", str(program), str(BENCH / "stub.c")], check=True)
    with running(
        "stub", [*pinned(LOAD_CPU), program, str(port), str(throttle_every)], folder, ready=lambda one: "stub on" in one.output()
    ):
        yield


@contextlib.contextmanager
def _tls_stub(folder: Path, port: int) -> Iterator[None]:
    config = folder / "nginx-tls.conf"
    config.write_text(_NGINX_STUB % port)
    command = [*pinned(LOAD_CPU), "nginx", "-p", f"{folder}/", "-c", str(config)]
    with running("nginx-tls", command, folder, ready=lambda _: is_open(port)):
        yield


def is_open(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
