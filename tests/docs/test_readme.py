"""README says what the code does: its tables are the code's, its links and commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.app import CANNOT_START
from proxy.authoring import GOOD, NOT_GOOD, UNTRIED
from proxy.dynamodb.operation import read_operation
from proxy.identity.binding import bind
from proxy.model import Claimed, Subject
from proxy.policy.check import check_policies
from proxy.policy.lint import lint
from proxy.policy.report import coverage_of
from proxy.policy.store import policies_of
from tests.airflow.recipes import recipes
from tests.docs.tables import TABLES, names_in, rewritten

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def readme() -> str:
    """The text of README.md."""
    return (ROOT / "README.md").read_text()


def test_every_table_of_the_code_stands_in_the_readme_once(readme: str) -> None:
    """A setting, reason, metric or command that nobody can look up is as good as absent."""
    assert sorted(names_in(readme)) == sorted(TABLES)


def test_the_tables_are_those_of_the_code(readme: str) -> None:
    """`make docs` mends this."""
    assert rewritten(readme) == readme


def test_every_make_target_that_the_readme_names_exists(readme: str) -> None:
    """A reader pastes these."""
    makefiles = (ROOT / "Makefile", *(ROOT / "tests").glob("*/*.mk"))
    targets = {name for file in makefiles for name in re.findall(r"^([a-z][a-z-]*):", file.read_text(), re.MULTILINE)}
    assert set(re.findall(r"`?\bmake ([a-z][a-z-]*)`", readme)) <= targets


def test_every_file_that_the_readme_links_to_exists(readme: str) -> None:
    """Relative links point at tracked files or folders."""
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", readme) if "://" not in link]
    assert [link for link in links if link and not (ROOT / link).exists()] == []


@pytest.fixture
def first_policies(readme: str) -> dict[str, str]:
    """The files of "five minutes"."""
    return dict(re.findall(r"`(policies/[a-z]+\.yaml)`:\n\n```yaml\n(.*?)```", readme, re.DOTALL))


def test_the_first_denied_dag_is_denied_as_told(readme: str, first_policies: dict[str, str]) -> None:
    """The policies of "five minutes", a worker's ordinary token and the amazon provider's User-Agent give the message shown."""
    assert list(first_policies) == ["policies/orders.yaml", "policies/platform.yaml"]
    policies = policies_of(first_policies, "", "eu-west-1")
    subject = Subject("airflow", "system:serviceaccount:airflow:worker", {}, ("*",), 0.0, "id")
    (key,) = (key for key, dag_id in policies.dag_of_key.items() if dag_id == "orders_daily")
    identity = bind(subject, Claimed(dag_run_key=key), policies.workloads, policies.dag_of_key)
    scan = read_operation(b"DynamoDB_20120810.Scan", b'{"TableName": "orders"}')
    shown = re.search(r"^AccessDeniedException \.\.\. (.*?); decision [0-9a-f]{16}$", readme, re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert policies.decide(identity, scan, 0.0).message == " ".join(shown[1].split())


def test_the_first_policies_are_tested_whole(first_policies: dict[str, str]) -> None:
    """Who begins with them sees neither a warning nor a rule without a test."""
    report = check_policies(first_policies)
    assert (report.lines(), lint(report.document, report.snapshots)) == ([], [])
    assert all(coverage_of(report).values())


def test_the_first_policies_go_on_under_teams(first_policies: dict[str, str]) -> None:
    """With the line that the queue-per-team recipe asks for, in the platform file that it shows."""
    files = {
        "orders.yaml": "team: orders\n" + first_policies["policies/orders.yaml"],
        "platform.yaml": recipes()["queue-per-team"],
    }
    assert check_policies(files).lines() == []


def test_the_exit_statuses_are_those_of_the_code(readme: str) -> None:
    """For scripts and pipelines."""
    told = re.search(
        r"^Exit status: (\d) yes, (\d) no, (\d) it could not be tried, (\d) `serve` cannot begin", readme, re.MULTILINE
    )
    assert told is not None
    assert tuple(map(int, told.groups())) == (GOOD, NOT_GOOD, UNTRIED, CANNOT_START)


def test_nothing_is_installed_from_a_strangers_index(readme: str) -> None:
    """No registry holds this package, so whoever is told to install it by name gets somebody else's."""
    others = [ROOT / "helm/airflow-sidecar-values.yaml", ROOT / "proxy/worker/recipe.py"]
    assert not [
        text for text in (readme, *(file.read_text() for file in others)) if re.search(r"pip install '?dynamodb-proxy", text)
    ]
