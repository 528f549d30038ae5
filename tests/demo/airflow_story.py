"""`make demo-airflow`: a real Airflow 3 and three ordinary DAGs, which reach DynamoDB through the gateway by one connection.

The worker's token names no DAG. The amazon provider's User-Agent does (DagRunKey), and platform.yaml lets this pool's workers
be believed; the audit says `claimed`, not `verified`. Every step is asserted, as in `story`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.demo.run import connection_of
from tests.demo.stack import ORDERS, POOL, Stack
from tests.demo.story import (
    THROTTLE_REASON,
    decision_id_in,
    expect,
    metric,
    nothing_leaked,
    perform,
    records,
    shown_in,
)
from tests.stack.airflow import Airflow, DagRun

if TYPE_CHECKING:
    from tests.demo.screen import Screen

_DAGS = Path(__file__).parent / "dags"


def tell(stack: Stack, screen: Screen) -> None:
    """The whole story on a fresh stack. Raises StoryBroke."""
    connection = connection_of(stack, POOL)
    hidden = json.dumps(connection).replace(str(connection["extra"]["aws_session_token"]), "eyJ...")
    screen.say("One connection, aws_default, is all that Airflow is given (the token names a worker pool and no DAG):", indent="")
    screen.quote(hidden)
    with tempfile.TemporaryDirectory(prefix="dynamodb-proxy-airflow-") as folder:
        screen.note("setting up Airflow's database; each DAG then takes 10 to 20 s")
        airflow = Airflow.create(Path(folder))
        green(stack, screen, _run(stack, airflow, "orders_daily"))
        denied(stack, screen, _run(stack, airflow, "orders_report"))
        throttled(stack, screen, _run(stack, airflow, "growth_sync"))
    nothing_leaked(stack)


def _run(stack: Stack, airflow: Airflow, dag_id: str) -> DagRun:
    connection = json.dumps(connection_of(stack, POOL))
    return airflow.test_dag(dag_id, _DAGS / f"{dag_id}.py", {**stack.task_environment(), "AIRFLOW_CONN_AWS_DEFAULT": connection})


def green(stack: Stack, screen: Screen, run: DagRun) -> None:
    """Hook, batch and sensor work with no change."""
    screen.heading(1, "ALLOWED", "orders_daily: DynamoDBHook.get_conn(), write_batch_data() and DynamoDBValueSensor")
    expect(run.is_green, "orders_daily is green", run.output[-3000:])
    expect(stack.count("totals") == 1, "one total is in the table")
    for operation in ("Query", "BatchWriteItem", "GetItem"):
        (decision,) = records(stack, 1, record="decision", dag="orders_daily", operation=operation)
        expect(
            (decision["evidence"], decision["source"]) == ("claimed", "user_agent"), "the DAG comes from the User-Agent", decision
        )
        screen.say(f"{operation:<15} allowed by {decision['rule']:<24} as {decision['role_arn'].rpartition('/')[2]}")
    screen.say(f"The DAG run is green: {ORDERS} orders summed up, the total written and seen.")


def denied(stack: Stack, screen: Screen, run: DagRun) -> None:
    """The denial as it stands in the task's log, and its audit record."""
    screen.heading(2, "DENIED", "orders_report reaches for the orders; the line in the task's log:")
    line = next((line for line in run.output.splitlines() if "(AccessDeniedException)" in line), "")
    expect(not run.is_green and "policies/orders.yaml:" in line, "orders_report is denied, with the line of its policy", line)
    screen.quote(line)
    screen.say("and in the audit, where the DAG is `claimed`, for nobody signs a User-Agent:")
    decision, _ = records(stack, 2, id=decision_id_in(line))
    expect(decision["decision"] == "deny" and decision["evidence"] == "claimed", "the denial is on record", decision)
    screen.members(shown_in(decision))


def throttled(stack: Stack, screen: Screen, run: DagRun) -> None:
    """The hook's boto3 retries what DynamoDB throttles."""
    screen.heading(3, "THROTTLED", "growth_sync: write_batch_data() of 100 events, every second batch throttled by DynamoDB")
    expect(run.is_green, "growth_sync is green in the end", run.output[-3000:])
    expect(stack.count("events") == 100, "every event is in the table, once", stack.count("events"))
    growth = {"dag": "growth_sync", "operation": "BatchWriteItem"}
    screen.verbatim(metric(stack, "sdk_calls_total", growth, 4))
    screen.verbatim(metric(stack, "sdk_attempts_total", growth, 7))
    screen.verbatim(metric(stack, "throttles_total", {**growth, "reason": THROTTLE_REASON}, 3))


if __name__ == "__main__":
    sys.exit(perform(tell, "3 unchanged DAGs in a real Airflow 3, everything came out as told"))
