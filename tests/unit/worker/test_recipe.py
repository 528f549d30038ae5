"""`doctor` where the plugin is to be used: which link of that recipe is broken, and what mends it."""

from __future__ import annotations

import argparse
import io
import json
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from proxy.worker.chain import print_findings
from proxy.worker.doctor import walk
from proxy.worker.recipe import examine_recipe, release_of
from proxy.worker.switch import BOTOCORE_PLUGINS, PLUGIN_MODULE, read_switch
from tests.fake_gateway import worker_token

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://127.0.0.1:1"
ON = {"DDB_PROXY_URL": URL, BOTOCORE_PLUGINS: f"ddb-proxy={PLUGIN_MODULE}"}


def findings(environment: dict[str, str], *connections: tuple[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """(state, detail and fix) of the recipe."""
    switch = read_switch(ON | environment)
    assert switch is not None
    return [(found.state, f"{found.detail}; {found.fix}") for found in examine_recipe(switch, ON | environment, connections)]


def connection(**extra: Any) -> tuple[str, dict[str, Any]]:
    """An Airflow connection of the environment."""
    return ("AIRFLOW_CONN_AWS_DEFAULT", extra)


def test_a_whole_recipe() -> None:
    """One line; botocore of this environment is among those that were tested."""
    ((state, detail),) = findings({"AWS_ENDPOINT_URL_DYNAMODB": URL}, connection(region_name="eu-west-1"))
    assert state == "ok"
    assert URL in detail


@pytest.mark.parametrize(
    ("environment", "extra", "said"),
    [
        (
            {"AWS_ENDPOINT_URL_DYNAMODB": "http://localstack:4566"},
            {},
            "AWS_ENDPOINT_URL_DYNAMODB leads to http://localstack:4566",
        ),
        ({}, {"endpoint_url": "http://localstack:4566"}, "AIRFLOW_CONN_AWS_DEFAULT, extra: endpoint_url leads to"),
        ({}, {"service_config": {"dynamodb": {"endpoint_url": "http://x"}}}, "extra: endpoint_url leads to http://x"),
        ({}, {"role_arn": "arn:aws:iam::111122223333:role/r"}, "role_arn makes the hook ask AWS STS"),
    ],
)
def test_what_leads_past_the_gateway(environment: dict[str, str], extra: dict[str, Any], said: str) -> None:
    """Is told with where it stands."""
    found = findings(environment, connection(**extra))
    assert [detail for state, detail in found if state == "broken" and said in detail], found


@pytest.mark.parametrize("extra", [{"endpoint_url": f"{URL}/"}, {"endpoint_url": "https://dynamodb.eu-west-1.amazonaws.com"}])
def test_what_does_not(extra: dict[str, Any]) -> None:
    """The gateway's address, and AWS's, which the plugin replaces."""
    assert [state for state, _ in findings({}, connection(**extra), connection(service_config=[]))] == ["ok"]


def test_plain_http_off_this_machine() -> None:
    """Is a note: the gateway itself refuses to be so unless told."""
    assert "in the clear" in findings({"DDB_PROXY_URL": "http://gateway:8080"})[0][1]
    assert [state for state, _ in findings({"DDB_PROXY_URL": "https://gateway:8080"})] == ["ok"]


def test_nobody_loads_the_plugin() -> None:
    """Without the variable it is Airflow's to load it: by the entry point, which a mere source tree does not have."""
    installed = "dynamodb_proxy" in {entry.name for entry in metadata.entry_points(group="airflow.plugins")}
    state, detail = findings({BOTOCORE_PLUGINS: ""})[0]
    assert (state, "entry point" in detail) == (("note", False) if installed else ("broken", True))
    assert f"{BOTOCORE_PLUGINS}=ddb-proxy={PLUGIN_MODULE}" in detail


class _Distribution(metadata.Distribution):
    """A botocore of some version, as its installer would leave it."""

    def __init__(self, version: str) -> None:
        self.text = f"Metadata-Version: 2.1\nName: botocore\nVersion: {version}\n"

    def read_text(self, filename: str) -> str | None:
        """Its METADATA."""
        return self.text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        """Nowhere."""
        raise AssertionError(path)


class _Finder(metadata.DistributionFinder):
    """Knows that distribution alone."""

    def __init__(self, version: str) -> None:
        self.version = version

    def find_distributions(self, context: Any = None) -> Any:
        """It."""
        return [_Distribution(self.version)] if context is None or context.name == "botocore" else []


@pytest.mark.parametrize(("version", "is_told"), [("1.40.0", False), ("1.39.9", True), ("2.0.0", True), ("dev", True)])
def test_a_botocore_that_was_not_tested(version: str, is_told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is a note, not a fault."""
    monkeypatch.setattr(sys, "meta_path", [_Finder(version), *sys.meta_path])
    told = [detail for state, detail in findings({}) if state == "note"]
    assert bool(told) is is_told
    assert all(f"botocore {version} was not tested" in detail for detail in told)


def test_releases() -> None:
    """Of botocore's numbers."""
    assert [release_of(version) for version in ("1.44.5", "2", "1.50.0rc1")] == [(1, 44), (2,), (1, 50)]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DDB_PROXY_URL": "gateway:8080"}, "worker   broken  DDB_PROXY_URL: 'gateway:8080' is not an http(s) URL"),
        ({"DDB_PROXY_URL": " "}, "worker   broken  DDB_PROXY_URL is empty"),
        ({"DDB_PROXY_URL": "http://gateway", "HTTP_PROXY": "http://p"}, "add gateway to NO_PROXY"),
        ({"HTTP_PROXY": "http://p"}, "gateway  broken  nobody listens at"),
        ({"DDB_PROXY_TOKEN_FILE": "/nowhere"}, "token    broken  /nowhere (DDB_PROXY_TOKEN_FILE) cannot be read"),
    ],
)
def test_the_walk_by_the_plugin(environment: dict[str, str], said: str, tmp_path: Path) -> None:
    """It uses the plugin's address and file, and does not mind what botocore alone would trip over."""
    (tmp_path / "token").write_text(worker_token() + "\n")
    others = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    whole = ON | others | {"DDB_PROXY_TOKEN_FILE": str(tmp_path / "token")} | environment
    out = io.StringIO()
    options = {"endpoint": None, "token_file": None, "dag": None, "table": "orders", "operation": "GetItem"}
    assert print_findings(walk(argparse.Namespace(**options), whole), out) == 1
    assert said in out.getvalue()
    assert json.dumps(worker_token()) not in out.getvalue()
