"""A whole Airflow 3, Celery and triggerer with it, in which each of the README's recipes is one DAG's way to the gateway.

All DAGs start at once when Airflow has read them; a test waits for the end of its own and looks at what the gateway has seen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.airflow.place import ACCOUNTS, ROLE, s3_connection
from tests.airflow.ways import WAYS, WAYS_OF_2, Way
from tests.stack.airflow_deployment import airflow_deployment
from tests.stack.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.airflow.place import Place
    from tests.stack.airflow import Airflow
    from tests.stack.airflow_deployment import Deployment

pytestmark = pytest.mark.needs("server", "engine", "openssl")
WAYS_FILE = ROOT / "tests" / "airflow" / "dags" / "ways.py"


@pytest.fixture(scope="module")
def deployment(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Airflow 3 with every way's DAG under way."""
    machines = place.machines
    dags = [described(name, way, deferrable=True) for name, way in WAYS.items()]
    with airflow_deployment(
        tmp_path_factory.mktemp("airflow"),
        dags=[WAYS_FILE],
        workers={way.machine: machines.of(way.machine) for way in WAYS.values()},
        triggerer=machines.triggerer(),
        env={"WAYS": json.dumps(dags), **s3_connection(place.account)},
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
    decisions = place.decisions(dag)
    operations = {"BatchWriteItem", "Query", "PutItem", "GetItem", "Scan", "ImportTable"}
    assert {record["operation"] for record in decisions} >= operations
    for record in decisions:
        assert (record["decision"], record["role_arn"]) == ("allow", f"{ROLE}ddb-orders")
        assert (record["evidence"], record["source"]) == way.evidence
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
    worker = {**place.machines.of(way.machine), **s3_connection(place.account), "WAYS": dags}
    run = airflow2.test_dag(f"orders_{name}", WAYS_FILE, worker)
    assert run.is_green, run.output
    was_served(place, name, way)


@pytest.mark.needs("airflow3", "redis")
def test_deferred_sensors_of_all_dags_read_as_the_triggerer(place: Place, deployment: Deployment) -> None:
    """The triggerer's own DAG id, role and rule; it does nothing but read."""
    for name in WAYS:
        assert deployment.end_of(f"orders_{name}") == "success"
    decisions = place.decisions("airflow_triggerer")
    assert len(decisions) >= len(WAYS)
    assert {(r["operation"], r["decision"], r["evidence"], r["role_arn"]) for r in decisions} == {
        ("GetItem", "allow", "verified", f"{ROLE}ddb-triggerer")
    }
