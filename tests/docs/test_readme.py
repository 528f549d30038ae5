"""README says what the code does: its tables are the code's, its links and commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.dynamodb.operation import read_operation
from proxy.identity.binding import bind
from proxy.model import Claimed, Subject
from proxy.policy.store import policies_of
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


def test_the_first_denied_dag_is_denied_as_told(readme: str) -> None:
    """The policies of "five minutes", a worker's ordinary token and the amazon provider's User-Agent give the message shown."""
    blocks = re.findall(r"`(policies/[a-z]+\.yaml)`:\n\n```yaml\n(.*?)```", readme, re.DOTALL)
    assert [name for name, _ in blocks] == ["policies/orders.yaml", "policies/platform.yaml"]
    policies = policies_of(dict(blocks), "", "eu-west-1")
    subject = Subject("airflow", "system:serviceaccount:airflow:worker", {}, ("*",), 0.0, "id")
    (key,) = (key for key, dag_id in policies.dag_of_key.items() if dag_id == "orders_daily")
    identity = bind(subject, Claimed(dag_run_key=key), policies.workloads, policies.dag_of_key)
    scan = read_operation(b"DynamoDB_20120810.Scan", b'{"TableName": "orders"}')
    shown = re.search(r"^AccessDeniedException \.\.\. (.*?); decision [0-9a-f]{16}$", readme, re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert policies.decide(identity, scan, 0.0).message == " ".join(shown[1].split())
