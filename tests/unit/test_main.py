"""The command line: exit statuses, what goes where, and what the base distribution says of commands that it does not have."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from proxy import __version__
from proxy.__main__ import main, parser
from proxy.worker.chain import PROBES
from tests.fake_aws import POLICY
from tests.stack.process import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TESTS = """
tests:
  - {dag: etl, call: GetItem, table: orders, expect: allow}
  - {dag: etl, call: Scan, table: orders, expect: EXPECT}
"""


def run(*arguments: str, flags: tuple[str, ...] = (), cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m proxy` with these arguments."""
    environment = clean_environment({"PYTHONPATH": str(ROOT), **env})
    return subprocess.run(
        [sys.executable, *flags, "-m", "proxy", *arguments],
        env=environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def policies(tmp_path: Path) -> Callable[[str], Path]:
    """Write a policy and name its folder."""

    def write(text: str) -> Path:
        folder = tmp_path / "policies"
        folder.mkdir(exist_ok=True)
        (folder / "orders.yaml").write_text(text)
        return folder

    return write


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, status 0."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"dynamodb-proxy {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["serve", "--workers", "two"], ["check", "a", "b"]])
def test_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2 and the usage on standard error."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: dynamodb-proxy" in capsys.readouterr().err


def test_every_command_is_told_in_the_help() -> None:
    """What can be done is said."""
    text = parser().format_help()
    assert all(command in text for command in ("serve", "check", "doctor"))


def test_check_says_yes(policies, capsys: pytest.CaptureFixture[str]) -> None:
    """Good policies whose tests hold: status 0."""
    assert main(["check", str(policies(POLICY + TESTS.replace("EXPECT", "deny")))]) == 0
    assert capsys.readouterr().err == ""


def test_check_says_no(policies, capsys: pytest.CaptureFixture[str]) -> None:
    """A test that does not hold: status 1, with its place."""
    folder = policies(POLICY + TESTS.replace("EXPECT", "allow"))
    assert main(["check", str(folder)]) == 1
    assert "policies/orders.yaml:" in capsys.readouterr().out


def test_check_finds_mistakes(policies, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that mean nothing: status 1, each mistake with its place."""
    folder = policies("tables: {}\ndags: nonsense\nmore: x\n")
    assert main(["check", str(folder)]) == 1
    told = capsys.readouterr().out
    assert "policies/orders.yaml:2: " in told
    assert "policies/orders.yaml:3: " in told


def test_check_has_nothing_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It could not be tried: status 2, on standard error."""
    assert main(["check", str(tmp_path / "absent")]) == 2
    assert main(["check", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "absent: does not exist" in told.err
    assert "holds no policy file" in told.err


def test_check_as_a_process(policies) -> None:
    """The exit status is the process's."""
    assert run("check", str(policies("dags: nonsense"))).returncode == 1


def test_serve_without_settings(tmp_path: Path) -> None:
    """Status 2, all that is missing, and nothing on standard output."""
    done = run("serve", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("3 mistake(s) in the settings; nothing was started\n")
    assert done.stderr.splitlines()[1] == "  no ./proxy.yaml is here; name the settings file with --config"
    assert "DDB_PROXY_ISSUERS" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_names_the_variable_behind_workers(tmp_path: Path) -> None:
    """`--workers` beats the setting, and is judged as one."""
    (tmp_path / "proxy.yaml").write_text(json.dumps({"workers": 2}))
    done = run("serve", "--workers", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert "DDB_PROXY_WORKERS: `workers` must be at least 1" in done.stderr


def test_doctor_in_the_gateway_needs_good_settings(tmp_path: Path) -> None:
    """Status 2: it could not be tried."""
    done = run("doctor", "--config", str(tmp_path / "absent.yaml"))
    assert done.returncode == 2
    assert "cannot be read" in done.stderr


@pytest.mark.parametrize("command", [["serve"], ["check"], ["doctor", "--config", "x"]])
def test_the_base_distribution_says_what_to_install(command: list[str]) -> None:
    """Without the server's packages: status 2 and the remedy, no trace."""
    done = run(*command, flags=("-S",))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"dynamodb-proxy {command[0]} runs in the gateway: pip install 'dynamodb-proxy[server]'\n"


def test_doctor_on_a_worker_needs_nothing() -> None:
    """The base distribution has it whole."""
    done = run("doctor", flags=("-S",))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("worker   broken  no endpoint")


def test_doctor_tries_some_operations_only(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that change nothing on a table that is there; the list is told."""
    with pytest.raises(SystemExit) as exited:
        main(["doctor", "--operation", "DeleteTable"])
    assert exited.value.code == 2
    assert "choose from" in (told := capsys.readouterr().err)
    assert all(name in told for name in PROBES)
