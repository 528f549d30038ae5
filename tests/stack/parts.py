"""What a test may need of a machine, how to see whether it is there, and what to install where it is not.

A row is a part. A test names its parts with `@pytest.mark.needs("java", ...)` or takes a fixture that does; where one is
missing the test is left out and told at the end of the run, and with REQUIRE_ALL=1 or CI=true that fails the run.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from tests.stack.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

# Each lock is an environment, but for those of the tools that make locks and wheels.
ENVIRONMENTS = sorted({lock.stem for lock in (ROOT / "requirements").glob("*.txt")} - {"lock", "build"})


class Part(NamedTuple):
    """Something that a machine has or has not."""

    title: str
    is_present: Callable[[], bool]
    install: str


def _version_of(*command: str) -> int:
    """The major version that `command` prints, 0 where it cannot be run."""
    if shutil.which(command[0]) is None:
        return 0
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    found = re.search(r"(\d+)(?:\.\d+)*", done.stdout + done.stderr)
    return int(found[1]) if done.returncode == 0 and found else 0


def _has(program: str) -> Callable[[], bool]:
    return lambda: shutil.which(program) is not None


def _is_made(stamp: str) -> Callable[[], bool]:
    return (ROOT / stamp).exists


PARTS: dict[str, Part] = {
    "java": Part("Java 17 or newer", lambda: _version_of("java", "-version") >= 17, "apt-get install default-jre-headless"),
    "node": Part("Node.js 20 or newer with npm", lambda: _version_of("node", "--version") >= 20, "apt-get install nodejs npm"),
    "node_modules": Part("the packages of tests/js", _is_made(".cache/node_modules.ready"), "make environments (with npm)"),
    "dynamodb_local": Part("DynamoDB Local", _is_made(".cache/dynamodb_local.ready"), "make environments (with npm)"),
    "compiled": Part("the compiled forms (native.c)", _is_made("proxy/_native.abi3.so"), "apt-get install gcc python3-dev"),
    "git": Part("a git checkout", lambda: shutil.which("git") is not None and (ROOT / ".git").exists(), "apt-get install git"),
    "redis": Part("Redis", _has("redis-server"), "apt-get install redis-server"),
    "openssl": Part("openssl", _has("openssl"), "apt-get install openssl"),
    "promtool": Part("promtool", _has("promtool"), "apt-get install prometheus"),
    "buildah": Part("buildah", _has("buildah"), "apt-get install buildah"),
    "mmdebstrap": Part("mmdebstrap", _has("mmdebstrap"), "apt-get install mmdebstrap"),
    "root": Part("to be root", lambda: os.geteuid() == 0, "run it as root, in a container or a virtual machine"),
    "helm": Part("helm 3 and helm 4", _is_made(".cache/helm.ready"), "make .cache/helm.ready"),
    **{name: Part(f".venv/{name}", _is_made(f".venv/{name}/.ready"), f"make .venv/{name}/.ready") for name in ENVIRONMENTS},
    "airflow2": Part(".venv/airflow2", _is_made(".venv/airflow2/.ready"), "make .venv/airflow2/.ready PYTHON=python3.12"),
}


@functools.cache
def is_present(part: str) -> bool:
    """Whether this machine has `part`; looked up once."""
    return PARTS[part].is_present()


def all_are_required() -> bool:
    """True where nothing may be left out: in CI."""
    return os.environ.get("REQUIRE_ALL") == "1" or os.environ.get("CI") == "true"
