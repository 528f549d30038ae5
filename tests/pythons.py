"""The unit tests on each Python from 3.11 to 3.14 that this machine has, each in an environment of its own from the same lock.

Run as `python -m tests.pythons [--others]`; with `--others` the version that runs it is left out, for who has just tested it.
Says at its end which it did not find; that is no failure, for no machine must have them all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def _answers(python: str | Path, version: str) -> bool:
    """True if `python` runs, is of `version`, and can make environments (a version manager's stand-in may do neither)."""
    check = f"import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def find(version: str) -> str | None:
    """An interpreter of `version`: on the PATH, or kept by pyenv."""
    on_path = shutil.which(f"python{version}")
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [on_path, *sorted(kept.glob(f"{version}.*/bin/python"), reverse=True)]
    return next((str(python) for python in candidates if python and _answers(python, version)), None)


def run(version: str, python: str) -> bool:
    """Make the environment unless it stands, and run the unit tests in it."""
    print(f"--- Python {version}", flush=True)
    is_this = version == f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = ROOT / ".venv" / ("dev" if is_this else f"python{version}")
    lock = ROOT / "requirements" / "dev.txt"
    stamp = folder / ".ready"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        options = ["-qq", "--progress-bar", "off", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", *options, "-r", lock], check=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "check"], check=True)
        shutil.copyfile(lock, stamp)
    return subprocess.run([folder / "bin" / "python", "-m", "pytest", "tests/unit"], cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Run them all; 1 if one fails."""
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = {version: find(version) for version in VERSIONS if not ("--others" in sys.argv and version == this)}
    failed = [version for version, python in found.items() if python and not run(version, python)]
    for version, python in found.items():
        outcome = "not found" if python is None else "failed" if version in failed else "passed"
        print(f"Python {version}: {outcome}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
