"""Around a task: a refusal ends it for good whoever wrapped it, everything else is left alone, and its use is told once."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest

from proxy.worker import denials
from proxy.worker.tasks import XCOM_KEY, Endings, begin
from proxy.worker.usage import USAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class FailForGood(Exception):
    """Airflow's AirflowFailException."""


class Refused(FailForGood):
    """Ours."""


class Skip(Exception):
    """Airflow's AirflowSkipException."""


ENDINGS = Endings(Refused, (FailForGood, Skip))


class Operator:
    """As Airflow knows one: no attribute may be set lightly."""

    do_xcom_push = True

    def __init__(self, work: Callable[[], Any]) -> None:
        self.__dict__["work"] = work

    def __setattr__(self, name: str, value: object) -> None:
        raise AssertionError(name)

    def execute(self, context: object) -> Any:
        """Do the work."""
        return self.work()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: object) -> Any:
        """Go on after a trigger; raises where it failed, as Airflow does."""
        if next_method == "__fail__":
            raise RuntimeError("Trigger failure")
        return self.work()


class TaskInstance:
    """A run of it."""

    def __init__(self, work: Callable[[], Any], map_index: int = -1) -> None:
        self.task = Operator(work)
        self.map_index = map_index
        self.pushed: dict[str, Any] = {}
        begin(self, ENDINGS)

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep it, or fail, as a database does."""
        if value["calls"] == 13:
            raise ConnectionError("the database is away")
        self.pushed[key] = value


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A refusal ends tasks; nothing of it remains."""
    monkeypatch.setenv("AIRFLOW_CTX_MAP_INDEX", "")
    denials.end_tasks_with(Refused)
    yield
    denials.end_tasks_with(None)
    USAGE.clear()


def refuse() -> None:
    """What the plugin does when the gateway says no."""
    denials.end_task("dag 'etl' may not")


def wrapped() -> None:
    """As `write_batch_data` does."""
    try:
        refuse()
    except Exception as error:  # noqa: BLE001 - as the hook does
        raise ValueError(f"Failed to insert: {error}") from None


def skipped() -> None:
    """A sensor with `soft_fail`."""
    try:
        refuse()
    except FailForGood as error:
        raise Skip from error


def swallowed() -> None:
    """Code that can do without, and fails later for another reason."""
    with contextlib.suppress(FailForGood):
        refuse()
    raise KeyError("other")


def fails_so(error: type[Exception]) -> Callable[[], None]:
    """Work that raises this."""

    def work() -> None:
        raise error("of its own")

    return work


@pytest.mark.parametrize(
    ("work", "ending"),
    [
        (refuse, Refused),
        (wrapped, Refused),
        (skipped, Skip),
        (swallowed, KeyError),
        (fails_so(ValueError), ValueError),
        (fails_so(FailForGood), FailForGood),
    ],
)
def test_how_a_task_ends(work: Callable[[], None], ending: type[Exception]) -> None:
    """For good by a refusal, else as its own code says; the refusal's words stay."""
    with pytest.raises(ending) as caught:
        TaskInstance(work).task.execute({})
    assert caught.type is ending
    if ending is Refused:
        assert str(caught.value) == "dag 'etl' may not"


def test_switched_off_nothing_is_changed() -> None:
    """A refusal is boto3's own error then, and a failed trigger Airflow's."""
    denials.end_tasks_with(None)
    assert TaskInstance(lambda: (refuse(), 7)[1]).task.execute({}) == 7
    with pytest.raises(RuntimeError):
        TaskInstance(refuse).task.resume_execution(next_method="__fail__", next_kwargs={"traceback": TRACEBACK}, context={})


TRACEBACK = [
    "Traceback (most recent call last):\n",
    '  File "trigger.py", line 1, in run\n',
    f"{Refused.__module__}.Refused: dag 'etl' may not\n",
]


@pytest.mark.parametrize(
    ("arguments", "ending"),
    [
        ({"traceback": TRACEBACK}, Refused),
        ({"traceback": ["Traceback (most recent call last):\n", "ValueError: other\n"]}, RuntimeError),
        ({"traceback": None}, RuntimeError),
        (None, RuntimeError),
    ],
)
def test_a_refused_trigger_ends_its_task(arguments: dict[str, Any] | None, ending: type[Exception]) -> None:
    """Airflow hands the worker the trigger's traceback as text."""
    with pytest.raises(ending):
        TaskInstance(refuse).task.resume_execution(next_method="__fail__", next_kwargs=arguments, context={})


def test_a_task_that_goes_on_after_its_trigger() -> None:
    """Is guarded as at its start."""
    with pytest.raises(Refused):
        TaskInstance(wrapped).task.resume_execution(next_method="execute_complete", next_kwargs={}, context={})


def call(times: int) -> Callable[[], str]:
    """Work that uses DynamoDB."""

    def work() -> str:
        for _ in range(times):
            USAGE.add_call()
        return "done"

    return work


def test_the_use_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """In the log and as XCom, and the task's own result stays."""
    caplog.set_level(logging.INFO, "airflow.task")
    instance = TaskInstance(call(2))
    assert instance.task.execute({}) == "done"
    assert [record.message for record in caplog.records] == ["gateway: 2 calls"]
    assert instance.pushed[XCOM_KEY]["calls"] == 2
    assert TaskInstance(call(0)).task.execute({}) == "done"
    assert len(caplog.records) == 1


@pytest.mark.parametrize("change", [{"do_xcom_push": False}, {}])
def test_telling_never_fails_a_task(change: dict[str, bool], caplog: pytest.LogCaptureFixture) -> None:
    """Without XCom, and with a database that is away."""
    caplog.set_level(logging.INFO, "airflow.task")
    instance = TaskInstance(call(13))
    vars(instance.task).update(change)
    assert instance.task.execute({}) == "done"
    assert instance.pushed == {}
    assert "13 calls" in caplog.text


def test_a_task_is_guarded_once() -> None:
    """Airflow may tell twice that it runs; the name that Airflow looks at stays."""
    instance = TaskInstance(call(1))
    entry = instance.task.execute
    begin(instance, ENDINGS)
    assert instance.task.execute is entry
    assert entry.__name__ == "execute"


def test_the_map_index_is_known_to_the_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """And forgotten by the next task of the same process."""
    from proxy.worker.claims import claimed_headers

    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "etl")
    TaskInstance(call(0), map_index=0)
    assert claimed_headers() == {"X-Airflow-Dag-Id": "etl", "X-Airflow-Map-Index": "0"}
    TaskInstance(call(0))
    assert claimed_headers() == {"X-Airflow-Dag-Id": "etl"}
