"""The stories are told for real: whatever they show has happened, and they end as they should."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.demo.faults import Throttler
from tests.demo.issuer import Client, oidc_issuer
from tests.demo.story import StoryBroke, expect
from tests.stack.environments import python_of
from tests.stack.faults import Seen
from tests.stack.process import ROOT, clean_environment, wait_until

if TYPE_CHECKING:
    from pathlib import Path

ANSI = "\x1b["


def tell(story: str, seconds: float, **env: str) -> str:
    """Run a story as `make` does, and return what it printed; it must end with exit status 0."""
    done = subprocess.run(
        [python_of("server"), "-W", "error", "-m", f"tests.demo.{story}"],
        cwd=ROOT,
        env=clean_environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.needs("server", "engine", "clients")
def test_the_demo_tells_its_story(tmp_path: Path) -> None:
    """Six steps, plain text where there is no terminal, at most one and a half screens, and no file left behind."""
    text = tell("story", 120, TMPDIR=str(tmp_path))
    for number, word in enumerate(("ALLOWED", "DENIED", "REFUSED", "THROTTLED", "METRICS", "AUDIT"), 1):
        assert f"\n{number} {word}" in text
    assert ANSI not in text
    assert len(text.splitlines()) <= 80
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("server", "engine", "clients", "airflow3")
def test_the_demo_tells_its_story_with_airflow(tmp_path: Path) -> None:
    """A real Airflow 3 runs three unchanged DAGs by one connection: one green, one denied, one throttled."""
    text = tell("airflow_story", 300, TMPDIR=str(tmp_path))
    for word in ("ALLOWED", "DENIED", "THROTTLED"):
        assert word in text
    assert "may not GetItem on 'demo-orders'" in " ".join(text.replace("|", " ").split())


@pytest.mark.needs("server", "engine", "clients")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_stays_up_until_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """`make run` prints what to paste, which works, and ends with exit status 0 and nothing left behind."""
    log = tmp_path / "log"
    (tmp_path / "tmp").mkdir()
    with log.open("w") as out:
        process = subprocess.Popen(
            [python_of("server"), "-W", "error", "-m", "tests.demo.run"],
            cwd=ROOT,
            env=clean_environment({"TMPDIR": str(tmp_path / "tmp")}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: "\nUP " in log.read_text() or process.poll() is not None, 60, "`make run` is up")
        assert process.poll() is None, log.read_text()
        pasted = log.read_text()
        command = pasted[pasted.index("  export ") : pasted.index("\n\n3 CURL")]
        answer = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        assert answer.stdout.startswith("12 orders of ")
        process.send_signal(number)
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_step_that_comes_out_otherwise_breaks_the_story() -> None:
    """What was expected and what was seen are both told."""
    with pytest.raises(StoryBroke, match=r"expected: the door is shut\n  seen: open"):
        expect(False, "the door is shut", "open")


# ------------------------------------------------------------------------------------------- the stack's own parts

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/events"
CASES = [
    ("BatchWriteItem", {"RequestItems": {"events": []}}, [False, True, False, True]),
    ("BatchWriteItem", {"RequestItems": {ARN: []}}, [False, True, False, True]),
    ("BatchWriteItem", {"RequestItems": {"orders": []}}, [False] * 4),
    ("PutItem", {"TableName": "events"}, [False] * 4),
]


@pytest.mark.parametrize(("operation", "body", "refused"), CASES)
def test_every_second_batch_on_the_table_is_throttled(operation: str, body: dict[str, Any], refused: list[bool]) -> None:
    """All else passes."""
    throttler = Throttler(ARN)
    assert [throttler.answer_for(Seen(operation, {}, body)) is not None for _ in refused] == refused
    assert throttler.throttled == sum(refused)


def post(url: str, form: bytes, secret: str) -> int:
    """Status of an answer of the token endpoint."""
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(None, url, "worker", secret, is_authenticated=True)
    opener: Any = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(passwords))
    try:
        with opener.open(url, form, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(
    ("form", "is_right", "status"),
    [
        (b"grant_type=client_credentials", True, 200),
        (b"grant_type=client_credentials", False, 401),
        (b"grant_type=password", True, 400),
    ],
)
def test_the_issuer_gives_tokens_to_its_clients_only(form: bytes, is_right: bool, status: int) -> None:
    """The client credentials grant, and nothing else."""
    worker = Client("airflow-worker")
    with oidc_issuer("dynamodb-proxy", {"worker": worker}) as issuer:
        assert post(f"{issuer.url}/token", form, worker.secret if is_right else "wrong") == status


def test_the_stories_leave_no_color_where_none_is_wanted() -> None:
    """NO_COLOR beats a terminal."""
    from tests.demo.screen import Screen

    class Terminal(list[str]):
        """A stream that says it is a terminal."""

        def isatty(self) -> bool:
            """As a terminal answers."""
            return True

        def write(self, text: str) -> int:
            """Keep it."""
            self.append(text)
            return len(text)

        def flush(self) -> None:
            """Nothing is held back."""

    shown = {}
    former = os.environ.pop("NO_COLOR", None), os.environ.pop("TERM", None)
    try:
        for value in ("", "1"):
            os.environ["NO_COLOR"] = value
            out = Terminal()
            Screen(out).heading(1, "ALLOWED", "a step")  # type: ignore[arg-type]  # all of a stream that it needs
            shown[value] = "".join(out)
    finally:
        del os.environ["NO_COLOR"]
        os.environ.update({name: text for name, text in zip(("NO_COLOR", "TERM"), former, strict=True) if text is not None})
    assert ANSI in shown[""]
    assert ANSI not in shown["1"]
