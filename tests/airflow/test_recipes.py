"""A whole Airflow 3, Celery and triggerer with it, in which each of the README's recipes is one DAG's way to the gateway.

All DAGs start at once when Airflow has read them; a test waits for the end of its own and looks at what the gateway has seen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.airflow.machines import ROLE
from tests.airflow.place import ACCOUNTS
from tests.airflow.recipes import recipes
from tests.airflow.ways import WAYS, WAYS_OF_2, Way
from tests.stack.airflow_deployment import airflow_deployment
from tests.stack.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.airflow.place import Place
    from tests.stack.airflow import Airflow
    from tests.stack.airflow_deployment import Deployment

pytestmark = pytest.mark.needs("server", "engine", "openssl")
DAGS = ROOT / "tests" / "airflow" / "dags"


@pytest.fixture(scope="module")
def deployment(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Airflow 3 with every way's DAG under way."""
    machines = place.machines
    dags = {
        "WAYS": [described(name, way, deferrable=True) for name, way in WAYS.items()],
        "FOREIGN": [{"dag": "orders_foreign", "queue": "orders", "deferrable": True}],
        "DAILY": [
            {"dag": "billing_daily", "queue": "billing", "table": "billing-invoices"},
            {"dag": "orders_strayed", "queue": "billing", "table": "orders-states"},
        ],
    }
    with airflow_deployment(
        tmp_path_factory.mktemp("airflow"),
        dags=[DAGS / "ways.py", DAGS / "foreign.py", DAGS / "daily.py"],
        workers={machine: machines.of(machine) for machine in ("billing", *sorted({way.machine for way in WAYS.values()}))},
        triggerer=machines.triggerer(),
        env={**machines.everywhere(), **{name: json.dumps(those) for name, those in dags.items()}},
    ) as running:
        yield running


def described(name: str, way: Way, *, deferrable: bool) -> dict[str, object]:
    """A way's DAG for dags/ways.py."""
    return {"dag": f"orders_{name}", "queue": way.machine, "connection": way.connection, "deferrable": deferrable}


def was_served(place: Place, name: str, way: Way) -> None:
    """Assert that the whole DAG has come through, known as its way lets it be known, acting as its own role."""
    dag = f"orders_{name}"
    done = {"pk": {"S": dag}, "count": {"N": "30"}, "state": {"S": "done"}}
    assert [item for item in place.account.items("orders-states") if item["pk"]["S"] == dag] == [done]
    assert place.account.items(f"orders-imported-{name}".replace("_", "-")) == [{"pk": {"S": "imported"}}]
    operations = ("BatchWriteItem", "Query", "PutItem", "GetItem", "Scan", "ImportTable")
    for record in place.decisions(dag, *operations):  # and logins
        assert (record["decision"], record["role_arn"]) == ("allow", ROLE + way.role)
        assert (record["evidence"], record["source"]) == ("claimed", way.source)
        assert (record["subject"], record["workload"]) == (f"{ACCOUNTS}worker-orders", "orders-queue")


@pytest.mark.needs("airflow3", "redis")
@pytest.mark.parametrize("name", WAYS)
def test_a_way_serves_the_whole_dag(name: str, place: Place, deployment: Deployment) -> None:
    """Batch, client, resource, both sensors and both transfers, on a Celery worker."""
    assert deployment.end_of(f"orders_{name}") == "success", deployment.log_of(f"orders_{name}")
    was_served(place, name, WAYS[name])


@pytest.mark.needs("airflow2")
@pytest.mark.parametrize("name", WAYS_OF_2)
def test_a_way_serves_the_whole_dag_in_airflow_2(name: str, place: Place, airflow2: Airflow) -> None:
    """The same DAG in Airflow 2.11, where nothing defers."""
    way = WAYS_OF_2[name]
    dags = json.dumps([described(name, way, deferrable=False)])
    worker = {**place.machines.everywhere(), **place.machines.of(way.machine), "WAYS": dags}
    run = airflow2.test_dag(f"orders_{name}", DAGS / "ways.py", worker)
    assert run.is_green, run.output
    was_served(place, name, way)


@pytest.mark.needs("airflow3", "redis")
def test_deferred_sensors_of_all_dags_read_as_the_triggerer(place: Place, deployment: Deployment) -> None:
    """The triggerer's own DAG id, role and rule; it does nothing but read."""
    for name in WAYS:
        assert deployment.end_of(f"orders_{name}") == "success"
    decisions = place.decisions("airflow_triggerer", *["GetItem"] * len(WAYS))
    assert {r["evidence"] for r in decisions} == {"verified"}
    served = [r["role_arn"] for r in decisions if r["decision"] == "allow" and r["operation"] == "GetItem"]
    assert len(served) >= len(WAYS)
    assert set(served) == {f"{ROLE}ddb-triggerer"}


REFUSED = "dag 'orders_{}' may not {} on 'billing-invoices'"
TASKS = {"by_hook": "GetItem", "by_batch": "BatchWriteItem", "by_sensor": "GetItem"}


@pytest.mark.needs("airflow3", "redis")
def test_who_reaches_for_a_foreign_table_fails_at_once(place: Place, deployment: Deployment) -> None:
    """By hook, batch, sensor and deferred sensor, with `retries=3`: each task fails at its first try, and its log says why."""
    assert deployment.end_of("orders_foreign") == "failed"
    tasks = deployment.states("orders_foreign")
    assert tasks == dict.fromkeys((*TASKS, "by_deferred_sensor"), ("failed", 1))
    for task, operation in TASKS.items():
        assert REFUSED.format("foreign", operation) in deployment.log_of("orders_foreign", task)
    assert "dag 'airflow_triggerer' may not GetItem on 'billing-invoices'" in deployment.log_of(
        "orders_foreign", "by_deferred_sensor"
    )
    decisions = place.decisions("orders_foreign", *TASKS.values())
    assert [r["decision"] for r in decisions] == ["deny"] * len(TASKS)


@pytest.mark.needs("airflow2")
def test_who_reaches_for_a_foreign_table_fails_at_once_in_airflow_2(place: Place, airflow2: Airflow) -> None:
    """The same: the first denial is the last, although the DAG says `retries=3`."""
    dags = json.dumps([{"dag": "orders_two_foreign", "queue": "orders", "deferrable": False}])
    worker = {**place.machines.everywhere(), **place.machines.of("orders"), "FOREIGN": dags}
    run = airflow2.test_dag("orders_two_foreign", DAGS / "foreign.py", worker)
    assert not run.is_green
    for operation in TASKS.values():
        assert REFUSED.format("two_foreign", operation) in run.output.replace("\\'", "'")
    assert len(place.decisions("orders_two_foreign", *TASKS.values())) == len(TASKS)


@pytest.mark.needs("airflow3", "redis")
def test_a_queue_serves_its_own_team_alone(place: Place, deployment: Deployment) -> None:
    """A DAG on the other team's queue is refused, whatever it may do elsewhere: that worker's token does not speak for it."""
    assert deployment.end_of("billing_daily") == "success"
    assert deployment.end_of("orders_strayed") == "failed"
    denial = place.beside.record(record="decision", reason="not_entitled", subject=f"{ACCOUNTS}worker-billing")
    assert denial["message"] in deployment.log_of("orders_strayed").replace("\\'", "'")


@pytest.mark.needs("airflow3", "redis")
def test_a_lie_goes_as_far_as_the_workers_token(place: Place, deployment: Deployment) -> None:
    """As the trust table has it: a DAG can pass for another of its team, on record as claimed, and for none beyond it."""
    assert deployment.end_of("orders_liar") == "failed"
    assert {task: state for task, (state, _) in deployment.states("orders_liar").items()} == {
        "within_its_team": "success",
        "beyond_its_team": "failed",
    }
    (served,) = place.decisions("orders_victim", "GetItem")
    assert (served["decision"], served["evidence"], served["source"]) == ("allow", "claimed", "header")
    place.beside.record(record="decision", reason="not_entitled", subject=f"{ACCOUNTS}worker-orders")


def test_every_recipe_of_the_readme_is_run() -> None:
    """A recipe that stands there is one that runs here."""
    of_machines = {"plugin", "sidecar", "shared", "connection", "profile"}
    assert of_machines <= WAYS.keys()
    assert recipes().keys() == of_machines | {"queue-per-team", "triggerer"}
