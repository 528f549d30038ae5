"""Run a client in another environment and read what it found: scripts of tests/clients/ and tests/js/ print a JSON object.

Clients whose versions cannot live together (newest boto3, aiobotocore, Airflow) are thus tested as they are: other processes.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.stack.process import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Answer = dict[str, Any]


def python_of(environment: str) -> Path:
    """The interpreter of `.venv/<environment>`."""
    return ROOT / ".venv" / environment / "bin" / "python"


def run_in(environment: str, script: str, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 120) -> Answer:
    """Run tests/clients/`script` in `environment` and return the JSON object on the last line of its output.

    AssertionError with its whole output where it fails: a client script reports what it expected to go wrong as data.
    """
    python = [str(python_of(environment)), "-W", "error::ResourceWarning"]
    return _run([*python, str(ROOT / "tests" / "clients" / script), *arguments], env, seconds)


def run_node(script: str, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 120) -> Answer:
    """Run tests/js/`script` with Node.js; as `run_in`."""
    return _run(["node", str(ROOT / "tests" / "js" / script), *arguments], env, seconds)


def _run(command: list[str], env: Mapping[str, str] | None, seconds: float) -> Answer:
    done = subprocess.run(
        command,
        env=clean_environment(env),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"`{' '.join(command)}` ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))
