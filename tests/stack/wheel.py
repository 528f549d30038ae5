"""The base wheel, as it goes into an Airflow worker, built from a copy of what is shipped."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from tests.stack.process import ROOT, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = ("proxy", "pyproject.toml", "setup.py", "README.md", "LICENSE")


def build_wheel(folder: Path, *, pure: bool = True, compiler: str = "") -> Path:
    """Build it below `folder`, for every machine or with the compiled forms. AssertionError with what a failed build said."""
    source = folder / "source"
    source.mkdir()
    for name in SHIPPED:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(place, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(({"DDB_PROXY_PURE": "1"} if pure else {}) | ({"CC": compiler} if compiler else {})),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("*.whl")
    return made


def unpacked_wheel(folder: Path) -> Path:
    """A folder for PYTHONPATH that has the distribution as an installer leaves it, entry points and all."""
    site = folder / "site"
    with zipfile.ZipFile(build_wheel(folder)) as archive:
        archive.extractall(site)
    return site
