"""`doctor --config` in the gateway: each broken link is named with its fix, walked with the gateway's own parts."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from proxy.doctor import walk
from proxy.gateway import Gateway
from proxy.settings import load_settings
from proxy.worker.chain import print_findings
from tests.fake_aws import FakeAws, fake_aws, settings_in, token
from tests.stack.process import ROOT, clean_environment, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """DynamoDB and STS, with base credentials for the gateway and nothing else of this machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDBASE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-base")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with fake_aws() as running:
        running.sts_errors["locked"] = "AccessDenied"
        yield running


async def examine(folder: Path, aws: FakeAws, text: str | None = "", *, keys: str = "", **options: Any) -> tuple[int, str]:
    """Walk with a good token (or this one; None: without) and table; exit status and what was printed on one line."""
    settings = settings_in(folder, aws.url)
    (folder / "proxy.yaml").write_text(json.dumps(settings))
    if keys:
        (folder / "jwks.json").write_text(keys)
    file = None
    if text is not None:
        file = folder / "token"
        file.write_text(text or token())
    given = {"token_file": file, "dag": None, "table": "orders", "operation": "GetItem"} | options
    gateway = Gateway(load_settings(folder / "proxy.yaml", {}))
    out = io.StringIO()
    try:
        status = print_findings([finding async for finding in walk(gateway, argparse.Namespace(**given))], out)
    finally:
        await gateway.close_connections()
    printed = out.getvalue()
    assert "eyJ" not in printed
    assert "hidden" not in printed
    return status, printed


async def test_a_whole_chain(tmp_path: Path, aws: FakeAws) -> None:
    """Keys, token, policy, STS, role and table, each with what was found."""
    aws.answers["GetItem"] = (400, {"__type": "x#ValidationException", "message": "no such key"})
    status, text = await examine(tmp_path, aws)
    assert status == 0
    assert [line.split()[:2] for line in text.splitlines()] == [
        [link, "ok"] for link in ("issuer", "token", "dag", "gateway", "policy", "sts", "role", "table")
    ]
    assert "allowed by" in text
    assert "arn:aws:sts::1:assumed-role/gw/i" in text
    assert [operation for operation, _, _ in aws.requests] == ["GetItem"]


async def test_without_a_token_the_rest_is_walked_for_a_named_dag(tmp_path: Path, aws: FakeAws) -> None:
    """It says that nothing was proven."""
    status, text = await examine(tmp_path, aws, None, dag="etl")
    assert status == 0
    assert "token    note    none was named: the walk goes on as if one for 'etl' were verified" in text


async def test_with_neither_it_says_what_to_name(tmp_path: Path, aws: FakeAws) -> None:
    """The keys are looked at all the same."""
    status, text = await examine(tmp_path, aws, None)
    assert status == 0
    assert "name a token with --token-file, or a DAG with --dag" in text


async def test_without_a_table_it_says_so(tmp_path: Path, aws: FakeAws) -> None:
    """Token and DAG are looked at all the same."""
    status, text = await examine(tmp_path, aws, table=None)
    assert status == 0
    assert "name a table with --table" in text


BROKEN: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("issuer", "keys of issuer", {"keys": "{"}, {}),
    ("token", "wrong_audience", {}, {"aud": "sts.amazonaws.com"}),
    ("token", "token_expired", {}, {"seconds": -100, "iat": 1_700_000_000, "exp": 1_700_000_600}),
    ("issuer", "unknown_issuer", {}, {"iss": "https://idp.test/"}),
    ("dag", "no_dag_claim", {}, {"dag_id": None}),
    ("dag", "conflicting_claims", {"dag": "other"}, {}),
    ("dag", "unknown_dag", {}, {"dag_id": "stranger"}),
    ("policy", "no_rule", {"operation": "Scan"}, {}),
    ("gateway", "unreadable_body", {"table": "x"}, {}),
    ("role", "role_not_assumable", {}, {"dag_id": "locked"}),
]


@pytest.mark.parametrize(("link", "words", "options", "claims"), BROKEN, ids=[f"{row[0]}-{row[1]}" for row in BROKEN])
async def test_each_broken_link(
    tmp_path: Path, aws: FakeAws, link: str, words: str, options: dict[str, Any], claims: dict[str, Any]
) -> None:
    """The first broken link with its reason; what lies behind is said not to be reached."""
    status, text = await examine(tmp_path, aws, token(**claims), **options)
    assert status == 1
    line = next(line for line in text.splitlines() if line[9:].startswith("broken"))
    assert line.startswith(f"{link:<8} broken")
    assert words in line or link == "issuer"
    assert "not reached: " in text
    assert aws.requests == []


async def test_a_newline_in_the_token_file(tmp_path: Path, aws: FakeAws) -> None:
    """As the gateway would refuse it."""
    status, text = await examine(tmp_path, aws, token() + "\n")
    assert status == 1
    assert "token    broken  token_newline: " in text


async def test_a_token_file_that_is_not_there(tmp_path: Path, aws: FakeAws) -> None:
    """Told as a finding, behind those before it."""
    status, text = await examine(tmp_path, aws, token_file=tmp_path / "absent")
    assert status == 1
    assert "issuer   ok" in text
    assert "token    broken  " in text
    assert "No such file or directory" in text
    assert "fix: look at its path, mount and mode" in text


async def test_a_profile_that_is_not_there(tmp_path: Path, aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the gateway's own AWS settings is a finding, not the end of the walk."""
    monkeypatch.setenv("AWS_PROFILE", "nosuch")
    status, text = await examine(tmp_path, aws)
    assert status == 1
    assert "sts      broken  credentials_unavailable: " in text
    assert "The config profile (nosuch) could not be found" in text


async def test_sts_that_is_down(tmp_path: Path, aws: FakeAws) -> None:
    """The role was not reached."""
    aws.sts_errors[""] = "InternalFailure"
    status, text = await examine(tmp_path, aws)
    assert status == 1
    assert "sts      broken  credentials_unavailable: " in text
    assert "not reached: role, table" in text


@pytest.mark.parametrize(
    ("error", "link", "words"),
    [
        ("ResourceNotFoundException", "table", "'orders' does not exist there"),
        ("AccessDeniedException", "role", "AWS refused the DAG's role"),
        ("UnrecognizedClientException", "table", "AWS answered 400 UnrecognizedClientException"),
    ],
)
async def test_what_dynamodb_refuses(tmp_path: Path, aws: FakeAws, error: str, link: str, words: str) -> None:
    """Told by table and role."""
    aws.answers["GetItem"] = (400, {"__type": f"x#{error}", "message": "m"})
    status, text = await examine(tmp_path, aws)
    assert status == 1
    assert f"{link:<8} broken  {words}" in text


def doctor(folder: Path, settings: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command itself."""
    (folder / "proxy.yaml").write_text(json.dumps(settings))
    keys = {"AWS_ACCESS_KEY_ID": "AKIDBASE", "AWS_SECRET_ACCESS_KEY": "hidden-base"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "proxy", "doctor", "--config", str(folder / "proxy.yaml"), *arguments],
        env=clean_environment(keys), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_command(tmp_path: Path, aws: FakeAws) -> None:
    """Exit status 0, findings on standard output and nothing else."""
    done = doctor(tmp_path, settings_in(tmp_path, aws.url), "--dag", "etl", "--table", "orders")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("table    ok")


def test_the_command_without_dynamodb(tmp_path: Path, aws: FakeAws) -> None:
    """Exit status 1 at the last link."""
    settings = settings_in(tmp_path, aws.url)
    settings["aws"]["endpoint_url"] = f"http://127.0.0.1:{free_port()}"
    done = doctor(tmp_path, settings, "--dag", "etl", "--table", "orders")
    assert (done.returncode, done.stderr) == (1, "")
    assert "table    broken  upstream_unreachable: " in done.stdout


def test_the_command_with_bad_policies(tmp_path: Path) -> None:
    """What stops a start is the first broken link."""
    settings = settings_in(tmp_path, "http://127.0.0.1:1")
    (tmp_path / "policies" / "orders.yaml").write_text("dags: nonsense\n")
    done = doctor(tmp_path, settings)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("gateway  broken  ")
    assert "policies/orders.yaml:1: " in done.stdout
