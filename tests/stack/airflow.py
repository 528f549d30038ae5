"""A real Airflow: a home of its own with a fresh SQLite database, and `airflow dags test` as the way to run a DAG."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.stack.environments import python_of
from tests.stack.process import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class DagRun:
    """How one `airflow dags test` ended. `output` holds the task logs."""

    is_green: bool
    output: str


@dataclass(frozen=True, slots=True)
class Airflow:
    """An Airflow home with a migrated database. DAG files go into `home / "dags"`."""

    home: Path
    environment: str

    @classmethod
    def create(cls, home: Path, environment: str = "airflow3") -> Airflow:
        """Migrate a fresh database below `home`."""
        airflow = cls(home, environment)
        (home / "dags").mkdir()
        done = airflow._run("db", "migrate", env={})
        assert done.returncode == 0, done.stdout
        return airflow

    def test_dag(self, dag_id: str, source: Path, env: Mapping[str, str], seconds: float = 240) -> DagRun:
        """Run `dag_id` of the file `source` once, in one process, with `env` as the worker's environment."""
        (self.home / "dags" / source.name).write_text(source.read_text())
        file = self.home / "dags" / source.name
        by_path = ("--dagfile-path", str(file)) if self.environment == "airflow3" else ("--subdir", str(file))
        done = self._run("dags", "test", dag_id, *by_path, env=env, seconds=seconds)
        return DagRun(done.returncode == 0 and "state=failed" not in done.stdout, done.stdout)

    def _run(self, *words: str, env: Mapping[str, str], seconds: float = 240) -> subprocess.CompletedProcess[str]:
        home = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "PYTHONPATH": str(ROOT),  # `python -m proxy`, as if the base distribution were installed
        }
        return subprocess.run(
            [python_of(self.environment).with_name("airflow"), *words],
            env=clean_environment({**home, **env}),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
