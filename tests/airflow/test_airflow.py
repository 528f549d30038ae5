"""The Airflow that the other tests of this folder run their DAGs in: it runs a DAG green, and a failing one red."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.stack.airflow import Airflow
    from tests.stack.ministack import Ministack

DAGS = Path(__file__).parent / "dags"


@pytest.mark.parametrize(("table", "is_green"), [("orders", True), ("missing", False)])
def test_airflow_runs_a_dag_with_the_amazon_provider(airflow: Airflow, ministack: Ministack, table: str, is_green: bool) -> None:
    """A DAG with DynamoDBHook succeeds where its table is there, and fails where it is not."""
    run = airflow.test_dag("probe", DAGS / "probe.py", {**ministack.root_environment(), "PROBE_TABLE": table})
    assert run.is_green is is_green, run.output
