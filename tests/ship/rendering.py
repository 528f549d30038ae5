"""Render a chart with a real helm, as objects; helm's own refusals as text."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "dynamodb-proxy"
SIDECAR_VALUES = ROOT / "helm" / "airflow-sidecar-values.yaml"
AIRFLOW_POD = ROOT / "tests" / "ship" / "airflow_pod"
VALUES = ROOT / "tests" / "ship" / "values"
GATEWAYS = ("gateway", "gateway-everything", "gateway-plaintext")
HELMS = ("3", "4")

Object = dict[str, Any]


class Run(NamedTuple):
    """How a run of helm ended."""

    status: int
    output: str
    errors: str


def values(name: str) -> Path:
    """The values file `name` of the tests."""
    return VALUES / f"{name}.yaml"


@functools.cache
def helm(major: str, *arguments: str) -> Run:
    """Run helm `major` once for each set of arguments."""
    command = [str(ROOT / ".cache" / "helm" / major / "helm"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return Run(done.returncode, done.stdout, done.stderr)


def rendered(major: str, values_file: Path, *sets: str, chart: Path = CHART) -> str:
    """The manifests of a release `rel` in the namespace `gw`."""
    options = [option for each in sets for option in ("--set-json", each)]
    run = helm(major, "template", "rel", str(chart), "--namespace", "gw", "--values", str(values_file), *options)
    assert run.status == 0, run.errors
    return run.output


def objects(manifests: str) -> list[Object]:
    """Every Kubernetes object of `manifests`."""
    return [each for each in yaml.safe_load_all(manifests) if each]


def of_kind(kind: str, among: list[Object]) -> list[Object]:
    """The objects of a kind."""
    return [each for each in among if each["kind"] == kind]


def refusal(major: str, values_file: Path | None = None, *sets: str) -> str:
    """What helm says when it refuses to render."""
    options = ["--values", str(values_file)] if values_file else []
    options += [option for each in sets for option in ("--set-json", each)]
    run = helm(major, "template", "rel", str(CHART), "--namespace", "gw", *options)
    assert run.status != 0, "helm rendered what it should refuse"
    return run.errors
