"""A whole Airflow 3 as teams run it: API server, scheduler, DAG processor, triggerer, Redis and one Celery worker for each queue.

Each worker and the triggerer have an environment of their own, as pods have. DAGs are `@once` and run as soon as they are parsed;
how they ended is read from the database, what they said from the task logs.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.stack.environments import python_of
from tests.stack.process import Program, answers, clean_environment, free_port, running, wait_until
from tests.stack.redis import redis

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_ENDED = {"success", "failed"}


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running Airflow; `home` holds database and logs."""

    home: Path

    def states(self, dag_id: str) -> dict[str, tuple[str, int]]:
        """State and try number of each task of the DAG's run; empty while there is none."""
        rows = self._read("select task_id, state, try_number from task_instance where dag_id = ?", dag_id)
        return {task: (state, tries) for task, state, tries in rows}

    def end_of(self, dag_id: str, seconds: float = 180) -> str:
        """`success` or `failed`, once the DAG's run has ended."""
        wait_until(lambda: self._state(dag_id) in _ENDED, seconds, f"the run of {dag_id} ends; {self.states(dag_id)}")
        return self._state(dag_id)

    def log_of(self, dag_id: str, task_id: str = "*") -> str:
        """What the task's tries have written, the triggerer's part included."""
        files = sorted(self.home.glob(f"logs/dag_id={dag_id}/run_id=*/task_id={task_id}/*.log*"))
        return "".join(file.read_text(errors="replace") for file in files)

    def _state(self, dag_id: str) -> str:
        return next((state for (state,) in self._read("select state from dag_run where dag_id = ?", dag_id)), "")

    def _read(self, query: str, *values: str) -> list[tuple[object, ...]]:
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db", timeout=30)) as database:
            return database.execute(query, values).fetchall()


@contextlib.contextmanager
def airflow_deployment(
    home: Path,
    *,
    dags: Iterable[Path],
    workers: Mapping[str, Mapping[str, str]],
    triggerer: Mapping[str, str],
    env: Mapping[str, str],
) -> Iterator[Deployment]:
    """Start all parts on a fresh database. `workers`: queue -> the environment of its worker; `env` is everybody's.

    What a worker's environment holds, the scheduler has not: nothing is handed down.
    """
    with contextlib.ExitStack() as stack:
        (home / "dags").mkdir(parents=True)
        for file in dags:
            shutil.copy(file, home / "dags")
        broker = stack.enter_context(redis(home))
        port = free_port()
        everybody = {
            **env,
            **_SETTINGS,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__CELERY__BROKER_URL": f"{broker}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"{broker}/1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        }
        airflow = python_of("airflow3").with_name("airflow")

        programs: list[Program] = []

        def start(name: str, *words: str, ready: str = "", own: Mapping[str, str] | None = None) -> None:
            program = stack.enter_context(
                running(
                    name,
                    [airflow, *words],
                    home,
                    env={**everybody, **(own or {})},
                    cwd=home,
                    seconds=120,
                    ready=lambda running: ready in running.output(),
                )
            )
            programs.append(program)

        done = subprocess.run(
            [airflow, "db", "migrate"],
            env=clean_environment(everybody),
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode()

        start("api-server", "api-server", "--host", "127.0.0.1")
        start("scheduler", "scheduler", "--skip-serve-logs")
        start("dag-processor", "dag-processor")
        start("triggerer", "triggerer", "--skip-serve-logs", own=triggerer)
        for queue, own in workers.items():
            name = f"worker-{queue}"
            words = ("celery", "worker", "--queues", queue, "--celery-hostname", f"{queue}@%h", "--concurrency", "1")
            start(name, *words, "--skip-serve-logs", "--without-mingle", "--without-gossip", own=own)
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/api/v2/version", status=200), 120, "the API server answers")
        try:
            yield Deployment(home)
        finally:
            for program in programs:  # all at once: each takes its time
                program.process.terminate()


_SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
}
