"""The worker's own role as its login: `dynamodb-proxy token --aws-web-identity` by the real botocore, before a stub of STS."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import boto3
import pytest

from tests.stack.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROLE = "arn:aws:iam::111122223333:role/airflow-worker"


class StsStub:
    """Answers GetWebIdentityToken; `error` is an error code to answer instead."""

    def __init__(self) -> None:
        self.error = ""
        self.calls: list[dict[str, str]] = []
        self.url = ""

    def answer(self, authorization: str, body: bytes) -> tuple[int, str]:
        """One call."""
        call = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.calls.append(call | {"authorization": authorization})
        if self.error:
            return (
                403,
                f"<ErrorResponse><Error><Code>{self.error}</Code><Message>federation is off</Message></Error></ErrorResponse>",
            )
        now = int(time.time())
        claims = {
            "iss": "https://0f1e2d3c.tokens.sts.global.api.aws",
            "aud": call["Audience.member.1"],
            "sub": ROLE,
            "iat": now,
            "exp": now + int(call["DurationSeconds"]),
            "jti": str(len(self.calls)),
            "https://sts.amazonaws.com/": {"aws_account": "111122223333", "principal_id": ROLE},
        }
        parts = ({"alg": call["SigningAlgorithm"], "kid": "EC384_0", "typ": "JWT"}, claims, "signature")
        token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(claims["exp"]))
        return 200, (
            '<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetWebIdentityTokenResult>'
            f"<WebIdentityToken>{token}</WebIdentityToken><Expiration>{ends}</Expiration>"
            "</GetWebIdentityTokenResult></GetWebIdentityTokenResponse>"
        )


@pytest.fixture
def sts() -> Iterator[StsStub]:
    """Listens on loopback."""
    stub = StsStub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, text = stub.answer(self.headers.get("authorization", ""), body)
            self.send_response(status)
            self.send_header("content-type", "text/xml")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def worker(tmp_path: Path) -> dict[str, str]:
    """The environment of a worker with a role of its own, and all that could lead its call astray."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DDB_PROXY_"))}
    own = {"AWS_ACCESS_KEY_ID": "ASIAWORKER", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_SESSION_TOKEN": "hidden"}
    astray = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
        "BOTOCORE_EXPERIMENTAL__PLUGINS": "none=no.such.module",
    }
    files = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return base | own | astray | files | {"PYTHONPATH": str(ROOT), "AWS_MAX_ATTEMPTS": "1"}


def command(sts: StsStub, *more: str) -> list[str]:
    """As a profile names it."""
    words = [sys.executable, "-m", "proxy", "token", "--aws-web-identity", "--audience", "dynamodb-proxy"]
    return [*words, "--region", "eu-west-1", "--endpoint-url", sts.url, *more]


def run(words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """One run."""
    return subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_the_role_of_a_worker_is_its_login(sts: StsStub, worker: dict[str, str]) -> None:
    """STS is asked once, signed by the worker's own keys, for the gateway's audience, wherever the variables point."""
    answers = [run(command(sts), worker) for _ in range(2)]
    assert [(answer.returncode, answer.stderr) for answer in answers] == [(0, "")] * 2
    token = json.loads(answers[0].stdout)["SessionToken"]
    assert token.count(".") == 2
    (call,) = sts.calls
    assert (call["Action"], call["Audience.member.1"]) == ("GetWebIdentityToken", "dynamodb-proxy")
    assert (call["SigningAlgorithm"], call["DurationSeconds"]) == ("ES384", "3600")
    assert "Credential=ASIAWORKER/" in call["authorization"]
    assert "/eu-west-1/sts/" in call["authorization"]


def profile(folder: Path, words: list[str], name: str) -> None:
    """Write the profile that the README shows."""
    text = f"[profile {name}]\nregion = eu-west-1\ncredential_process = {' '.join(words)}\n"
    (folder / "config").write_text(text)


def test_boto3_takes_it_by_credential_process(
    sts: StsStub, worker: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile that names the command is the process's own: the worker's role is asked all the same."""
    profile(tmp_path, command(sts), "ddb-proxy")
    for name, value in (worker | {"AWS_PROFILE": "ddb-proxy"}).items():
        if name != "BOTOCORE_EXPERIMENTAL__PLUGINS":  # this process is not told what the command must survive
            monkeypatch.setenv(name, value)
    found = boto3.Session(profile_name="ddb-proxy").get_credentials().get_frozen_credentials()
    assert found.token.count(".") == 2
    assert len(sts.calls) == 1


def test_a_profile_that_asks_itself_is_told(sts: StsStub, worker: dict[str, str], tmp_path: Path) -> None:
    """The second run of the command refuses, so that no third is started."""
    profile(tmp_path, command(sts, "--profile", "ddb-proxy"), "ddb-proxy")
    answer = run(command(sts, "--profile", "ddb-proxy"), worker)
    assert answer.returncode == 1
    assert "name a profile that has others, --profile" in answer.stderr
    assert sts.calls == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "federation is off"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}, "credentials"),
    ],
)
def test_what_sts_refuses_is_told(sts: StsStub, worker: dict[str, Any], changes: dict[str, str], says: str) -> None:
    """In one line on standard error, which boto3 shows in the task's log."""
    sts.error = "OutboundWebIdentityFederationDisabled"
    answer = run(command(sts), {name: value for name, value in (worker | changes).items() if value})
    assert (answer.returncode, answer.stdout) == (1, "")
    assert says in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
