"""The wheel that goes into an Airflow worker: it brings nothing, disturbs nothing, and says what the gateway would need."""

from __future__ import annotations

import email
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import proxy
from tests.stack.environments import python_of
from tests.stack.process import clean_environment
from tests.stack.wheel import build_wheel

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it said."""
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=cwd, env=clean_environment(env), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base wheel, built from a copy of what is shipped."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def metadata_of(wheel: Path) -> email.message.Message:
    """The METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_base_wheel_requires_nothing(wheel: Path) -> None:
    """Every requirement belongs to an extra, so that nothing moves in a worker's environment (decision 22)."""
    assert [line for line in metadata_of(wheel).get_all("Requires-Dist", []) if "extra ==" not in line] == []


def test_the_version_stands_in_one_place(wheel: Path) -> None:
    """`proxy.__version__` is the version of the wheel, and no other tracked place of Python or TOML repeats it."""
    assert metadata_of(wheel)["Version"] == proxy.__version__
    spelled = re.compile(rf"version_*\s*=\s*[\"']{re.escape(proxy.__version__)}[\"']", re.IGNORECASE)
    places = [file for file in (ROOT / "pyproject.toml", *(ROOT / "proxy").rglob("*.py")) if spelled.search(file.read_text())]
    assert [str(place.relative_to(ROOT)) for place in places] == ["proxy/__init__.py"]


def test_the_wheel_holds_every_module_and_the_licence(wheel: Path) -> None:
    """What is imported in the source tree is in the wheel, tests are not."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert {str(file.relative_to(ROOT)) for file in (ROOT / "proxy").rglob("*.py")} <= held
    assert any(name.endswith("/LICENSE") for name in held)
    assert not any(name.startswith("tests/") for name in held)


def test_the_base_wheel_is_for_every_machine(wheel: Path) -> None:
    """With DDB_PROXY_PURE nothing is compiled."""
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.needs("compiled")
def test_one_compiled_wheel_serves_every_python(tmp_path: Path) -> None:
    """It is tagged for Python 3.11 and all later ones, and its compiled forms are in use where it is installed."""
    made = build_wheel(tmp_path, pure=False)
    assert "-cp311-abi3-" in made.name
    site = tmp_path / "site"
    with zipfile.ZipFile(made) as archive:
        archive.extractall(site)
    said = run(
        sys.executable,
        "-c",
        "import proxy.native as n; print(n.IS_COMPILED, n.__file__)",
        cwd=site,
        env={"PYTHONPATH": str(site)},
    )
    assert said.stdout.split() == ["True", str(site / "proxy" / "native.py")], said.stderr


def test_without_a_compiler_the_distribution_is_built_all_the_same(tmp_path: Path) -> None:
    """The wheel then lacks the compiled forms and nothing else."""
    with zipfile.ZipFile(build_wheel(tmp_path, pure=False, compiler="/bin/false")) as archive:
        held = archive.namelist()
    assert "proxy/native.py" in held
    assert not any(name.endswith(".so") for name in held)


@pytest.fixture(scope="module")
def worker(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the base wheel alone."""
    folder = tmp_path_factory.mktemp("worker")
    assert run(sys.executable, "-m", "venv", folder).returncode == 0
    python = folder / "bin" / "python"
    installed = run(
        python, "-m", "pip", "install", "--no-index", "--disable-pip-version-check", wheel, env={"PIP_CONFIG_FILE": "/dev/null"}
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return python


@pytest.mark.parametrize("command", ["serve", "check"])
def test_the_base_install_says_what_the_gateway_needs(worker: Path, command: str, tmp_path: Path) -> None:
    """Without the [server] packages a gateway's command ends with one line that says what to install, not with a traceback."""
    done = run(worker.with_name("dynamodb-proxy"), command, cwd=tmp_path)
    assert done.returncode == 2
    assert "dynamodb-proxy[server]" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_base_install_runs_as_a_module(worker: Path, tmp_path: Path) -> None:
    """`python -m proxy --version` answers."""
    assert proxy.__version__ in run(worker, "-m", "proxy", "--version", cwd=tmp_path).stdout


def test_the_worker_side_imports_without_any_package(worker: Path, tmp_path: Path) -> None:
    """Every module of `proxy.worker` imports in the base install, under warnings as errors."""
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in (ROOT / "proxy" / "worker").rglob("*.py")]
    walk = f"import importlib; [importlib.import_module(name) for name in {names!r}]"
    done = run(worker, "-W", "error", "-c", walk, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.needs("airflow3")
def test_installing_into_airflow_moves_nothing(wheel: Path) -> None:
    """Pip would install the wheel and nothing else beside a real Airflow 3."""
    done = run(python_of("airflow3"), "-m", "pip", "install", "-qq", "--dry-run", "--no-index", "--report", "-", wheel)
    assert done.returncode == 0, done.stderr
    assert [entry["metadata"]["name"] for entry in json.loads(done.stdout)["install"]] == ["dynamodb-proxy"]


@pytest.mark.needs("airflow3")
def test_pip_check_stays_clean_in_an_airflow_environment(wheel: Path, tmp_path: Path) -> None:
    """With the wheel on the path of a real Airflow 3, no requirement is broken, and the distribution is seen."""
    python = python_of("airflow3")
    assert run(python, "-m", "pip", "install", "-qq", "--no-index", "--no-deps", "--target", tmp_path, wheel).returncode == 0
    beside = {"PYTHONPATH": str(tmp_path)}
    seen = run(python, "-c", "import importlib.metadata as m; print(m.version('dynamodb-proxy'))", cwd=tmp_path, env=beside)
    assert seen.stdout.strip() == proxy.__version__
    checked = run(python, "-m", "pip", "check", cwd=tmp_path, env=beside)
    assert checked.returncode == 0, checked.stdout
    providers = run(python.with_name("airflow"), "providers", "list", cwd=tmp_path, env={**beside, "AIRFLOW_HOME": str(tmp_path)})
    assert "dynamodb-proxy" in providers.stdout, providers.stdout + providers.stderr
