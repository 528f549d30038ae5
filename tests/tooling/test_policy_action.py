"""The GitHub action: its script, run as GitHub runs it, against a small API of its own on loopback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.stack.process import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACTION = ROOT / ".github" / "actions" / "policy-check"
MARK = "<!-- dynamodb-proxy policy-check -->"
POLICY = """\
tables: {orders: {}}
dags:
  etl:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - {actions: [read], tables: [orders]}
"""


class Api(ThreadingHTTPServer):
    """Comments of one pull request; `status` other than 200 refuses writes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str, str]] = []
        self.status = 200


class Handler(BaseHTTPRequestHandler):
    """One call."""

    server: Api

    def answer(self) -> None:
        """List, make or change comments, as GitHub does."""
        api = self.server
        api.calls.append((self.command, self.path.partition("?")[0], self.headers["authorization"]))
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        status, document = 200, None
        if self.command == "GET":
            page = int(re.findall(r"page=(\d+)$", self.path)[0])
            document = api.comments[(page - 1) * 100 : page * 100]
        elif api.status != 200:
            status, document = api.status, {"message": "no"}
        elif self.command == "POST":
            document = {"id": len(api.comments) + 1, "user": {"type": "Bot"}, **body}
            api.comments.append(document)
        else:
            document = api.comments[int(self.path.rpartition("/")[2]) - 1]
            document.update(body)
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the names that the server calls

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def api() -> Iterator[Api]:
    """A running API."""
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def git(folder: Path, *arguments: str) -> str:
    """One command of git, without any configuration of this machine's."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose one commit, the base, has a policy."""
    folder = tmp_path / "repository"
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "orders.yaml").write_text(POLICY)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "base")
    git(folder, "remote", "add", "origin", str(folder))
    return folder


def run(repository: Path, server: Api, event: dict[str, Any] | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """The script, with the variables of a runner. Its step's summary and output stand beside the repository."""
    base = git(repository, "rev-parse", "HEAD")
    pull = {"pull_request": {"number": 7, "base": {"sha": base}}} if event is None else event
    files = {name: repository.parent / name.lower() for name in ("GITHUB_EVENT_PATH", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    files["GITHUB_EVENT_PATH"].write_text(json.dumps(pull))
    variables = {
        "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}",
        "GITHUB_REPOSITORY": "team/policies",
        "GITHUB_TOKEN": "hidden-token",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PYTHONPATH": str(ROOT),
        **{name: str(path) for name, path in files.items()},
    }
    environment = clean_environment(variables | env)
    command = [sys.executable, str(ACTION / "comment.py")]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_pull_request_gets_one_comment_that_is_kept_fresh(repository: Path) -> None:
    """What check says and what changes; a second run writes the same comment anew; the token is shown nowhere."""
    (repository / "policies" / "orders.yaml").write_text(POLICY.replace("[read]", "[read, Scan]"))
    with api() as server:
        server.comments = [{"id": number, "body": f"{MARK} by a person", "user": {"type": "User"}} for number in range(1, 121)]
        first = run(repository, server)
        (repository / "policies" / "orders.yaml").write_text(POLICY.replace("[read]", "[GetItem]"))
        second = run(repository, server)
    assert (first.returncode, second.returncode) == (0, 0), first.stdout + first.stderr
    (comment,) = server.comments[120:]
    assert comment["body"].startswith(MARK)
    assert "| lost | etl | ConditionCheckItem, Query on orders |" in comment["body"]
    assert "1 file(s), 0 mistake(s)" in comment["body"]
    assert [call[0] for call in server.calls if call[0] != "GET"] == ["POST", "PATCH"]
    assert {call[2] for call in server.calls} == {"Bearer hidden-token"}
    assert "hidden-token" not in first.stdout + first.stderr + comment["body"]
    assert (repository.parent / "github_output").read_text() == "changed=true\nchanged=true\n"


def test_bad_policies_fail_with_annotations(repository: Path) -> None:
    """The exit status is that of check; the comment says why nothing is compared, and no text of a file breaks out of it."""
    (repository / "policies" / "orders.yaml").write_text(POLICY.replace("[read]", "['```x']"))
    with api() as server:
        done = run(repository, server)
    assert done.returncode == 1
    assert "::error file=policies/orders.yaml,line=6::there is no action" in done.stdout
    (comment,) = server.comments
    assert "**not good**" in comment["body"]
    assert "The two versions cannot be compared" in comment["body"]
    assert comment["body"].count("\n`````text\n") == 2


def test_nothing_changes(repository: Path) -> None:
    """A comment says so too, and the output."""
    with api() as server:
        done = run(repository, server, STRICT="true", TABLES="")
    assert done.returncode == 0
    assert "No decision changes." in server.comments[0]["body"]
    assert (repository.parent / "github_output").read_text() == "changed=false\n"


def test_warnings_fail_strictly(repository: Path) -> None:
    """As the input says."""
    (repository / "policies" / "orders.yaml").write_text(POLICY.replace("{orders: {}}", "{orders: {}, spare: {}}"))
    (repository / "tables").write_text("orders\n")
    with api() as server:
        assert run(repository, server, TABLES="tables").returncode == 0
        assert run(repository, server, STRICT="true").returncode == 1


def test_without_leave_to_comment_the_summary_has_it(repository: Path) -> None:
    """The token of a fork may not write: a warning, and the check's own status."""
    with api() as server:
        server.status = 403
        done = run(repository, server)
    assert done.returncode == 0
    assert "::warning::the comment could not be written (status 403); the summary of this run has it" in done.stdout
    assert (repository.parent / "github_step_summary").read_text().startswith(MARK)
    silent = run(repository, server)
    assert "(no answer)" in silent.stdout


def test_pushes_and_bases_without_policies(repository: Path) -> None:
    """A push has nobody to comment to; a base without policies has nothing to compare with; a base is a commit's id only."""
    with api() as server:
        assert run(repository, server, {}).returncode == 0
        assert server.calls == []
        for sha in ("--upload-pack=evil", "0" * 40):
            done = run(repository, server, {"pull_request": {"number": 7, "base": {"sha": sha}}})
            assert done.returncode == 0, done.stderr
    assert "The base has no policies to compare with." in server.comments[0]["body"]


def test_a_folder_named_proxy_is_not_run(repository: Path) -> None:
    """The pull request's own files are data."""
    (repository / "proxy").mkdir()
    (repository / "proxy" / "__main__.py").write_text("raise SystemExit('EVIL')")
    (repository / "proxy" / "__init__.py").touch()
    with api() as server:
        done = run(repository, server)
    assert (done.returncode, "EVIL" in done.stdout + done.stderr) == (0, False)


def test_the_action_says_what_it_takes() -> None:
    """Inputs reach the script as variables, never as part of a shell's text; no other action is used."""
    action = yaml.safe_load((ACTION / "action.yml").read_text())
    steps = action["runs"]["steps"]
    assert action["runs"]["using"] == "composite"
    assert not any("uses" in step for step in steps)
    assert not any("${{" in step["run"] for step in steps)
    script = (ACTION / "comment.py").read_text()
    given = {name for step in steps for name in step.get("env", {})}
    assert all(f'"{name}"' in script for name in given)
