"""What every test can use: the real components as fixtures, and the rule that a test without its parts is left out, never hidden.

A component's fixture starts it at its first use and keeps it for the session; nothing listens on a fixed port.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.left_out import describe
from tests.stack.airflow import Airflow
from tests.stack.dynamodb_local import dynamodb_local as _dynamodb_local
from tests.stack.environments import run_in as _run_in
from tests.stack.gateway import gateway as _gateway
from tests.stack.ministack import ministack as _ministack
from tests.stack.oidc_provider import oidc_provider as _oidc_provider
from tests.stack.parts import PARTS, all_are_required, is_present
from tests.stack.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.stack.environments import Answer
    from tests.stack.gateway import Gateway
    from tests.stack.ministack import Ministack
    from tests.stack.oidc_provider import IdentityProvider

# What a fixture needs, its tests need.
_FIXTURE_NEEDS = {
    "airflow": ("airflow3",),
    "airflow2": ("airflow2",),
    "dynamodb_local": ("java", "dynamodb_local"),
    "ministack": ("engine",),
    "oidc_provider": ("node", "node_modules"),
    "start_gateway": ("server",),
}
_left_out: list[tuple[str, tuple[str, ...]]] = []
# These compare with the newest botocore, or call by the newest boto3: only an environment of its own has them.
collect_ignore = [] if Path(sys.prefix) == ROOT / ".venv" / "clients" else ["clients", "engines"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", f"needs(*parts): the test needs these of the machine: {', '.join(PARTS)}")


def _needs_of(item: pytest.Item) -> set[str]:
    marked = {part for mark in item.iter_markers("needs") for part in mark.args}
    unknown = marked - PARTS.keys()
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: no part named {', '.join(sorted(unknown))}; add it to tests/stack/parts.py")
    fixtures = getattr(item, "fixturenames", ())
    return marked.union(*(_FIXTURE_NEEDS.get(fixture, ()) for fixture in fixtures))


@pytest.hookimpl(trylast=True)  # after -k and -m, so that only what was asked for counts
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here, and remember it."""
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        missing = tuple(sorted(part for part in _needs_of(item) if not is_present(part)))
        (dropped if missing else kept).append(item)
        if missing:
            _left_out.append((item.nodeid, missing))
    items[:] = kept
    if dropped:
        config.hook.pytest_deselected(items=dropped)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, here and in the file that `make test` reads at its end."""
    for line in describe(_left_out):
        terminalreporter.write_line(line, yellow=True)
    if _left_out and (file := os.environ.get("LEFT_OUT")):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        with Path(file).open("a") as out:
            out.writelines(json.dumps({"test": test, "parts": parts}) + "\n" for test, parts in _left_out)
    if all_are_required() and (_left_out or terminalreporter.stats.get("skipped")):
        terminalreporter.write_line("a test was left out or skipped, which fails the run where all are required", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where all are required, a skipped test or one left out fails the run; elsewhere leaving out all is no failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    hidden = bool(_left_out) or bool(reporter and reporter.stats.get("skipped"))
    if hidden and all_are_required() and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and _left_out:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED if all_are_required() else pytest.ExitCode.OK


# ------------------------------------------------------------------------------------------------- components


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where components write their output."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def dynamodb_local(logs: Path) -> Iterator[str]:
    """URL of a DynamoDB Local: the data semantics of DynamoDB, no identity."""
    with _dynamodb_local(logs) as url:
        yield url


@pytest.fixture(scope="session")
def ministack(logs: Path) -> Iterator[Ministack]:
    """DynamoDB, STS and IAM which verify signatures, sessions and role policies."""
    with _ministack(logs) as engine:
        yield engine


@pytest.fixture(scope="session")
def oidc_provider(logs: Path) -> Iterator[IdentityProvider]:
    """A certified OpenID provider with one client for each DAG of `tests.stack.oidc_provider.CLIENTS`."""
    with _oidc_provider(logs) as provider:
        yield provider


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Start the gateway as its users do: `start_gateway(settings, policies={...}, env={...})`; stopped with the test."""
    with contextlib.ExitStack() as stack:

        def start(settings: Mapping[str, object], **options: object) -> Gateway:
            folder = tmp_path / f"gateway-{len(list(tmp_path.glob('gateway-*')))}"
            return stack.enter_context(_gateway(settings, folder, **options))  # type: ignore[arg-type]  # passed on as given

        yield start


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """A real Airflow 3 with a fresh database, for `airflow dags test`."""
    return Airflow.create(tmp_path_factory.mktemp("airflow"))


@pytest.fixture(scope="session")
def run_in() -> Callable[..., Answer]:
    """Run a script of tests/clients/ with the Python of an environment: `run_in("clients", "get_item.py", env={...})`."""
    return _run_in
