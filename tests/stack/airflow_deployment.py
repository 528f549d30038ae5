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

    def end_of(self, dag_id: str, seconds: float = 300) -> str:
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

    The scheduler comes last: what it starts finds an API server and workers that answer.
    """
    (home / "dags").mkdir(parents=True)
    for file in dags:
        shutil.copy(file, home / "dags")
    with contextlib.ExitStack() as stack:
        port = free_port()
        parts = _Parts(stack, home, {**env, **_settings(home, stack.enter_context(redis(home)), port)})
        parts.migrate()
        try:
            parts.start("api-server", "api-server", "--host", "127.0.0.1")
            parts.start("dag-processor", "dag-processor")
            parts.start("triggerer", "triggerer", "--skip-serve-logs", own=triggerer)
            started = [parts.start_worker(queue, own) for queue, own in workers.items()]
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/api/v2/version", status=200), 240, "the API server answers")
            wait_until(lambda: all(" ready." in worker.output() for worker in started), 240, "the workers are ready")
            parts.start("scheduler", "scheduler", "--skip-serve-logs")
            yield Deployment(home)
        finally:
            parts.terminate()


class _Parts:
    """The programs of one Airflow, in the order in which they were started."""

    def __init__(self, stack: contextlib.ExitStack, home: Path, env: Mapping[str, str]) -> None:
        self._stack, self._home, self._env = stack, home, env
        self._airflow = python_of("airflow3").with_name("airflow")
        self._programs: list[Program] = []

    def migrate(self) -> None:
        """Make the database."""
        command = [self._airflow, "db", "migrate"]
        env = clean_environment(self._env)
        done = subprocess.run(command, env=env, cwd=self._home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode()

    def start(self, name: str, *words: str, own: Mapping[str, str] | None = None) -> Program:
        """Start `airflow WORDS`, with an environment of its own beside everybody's, and do not wait."""
        command, env = [self._airflow, *words], {**self._env, **(own or {})}
        program = self._stack.enter_context(running(name, command, self._home, env=env, cwd=self._home, ready=lambda _: True))
        self._programs.append(program)
        return program

    def start_worker(self, queue: str, own: Mapping[str, str]) -> Program:
        """A Celery worker of one queue, one task at a time."""
        words = ("celery", "worker", "--queues", queue, "--celery-hostname", f"{queue}@%h", "--concurrency", "1")
        return self.start(f"worker-{queue}", *words, "--skip-serve-logs", "--without-mingle", "--without-gossip", own=own)

    def terminate(self) -> None:
        """Ask all to end at once, for each takes its time."""
        for program in self._programs:
            program.process.terminate()


def _settings(home: Path, broker: str, port: int) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__CELERY__BROKER_URL": f"{broker}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"{broker}/1",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # machines that test are busy
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    }
