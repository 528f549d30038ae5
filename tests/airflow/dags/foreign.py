"""DAGs that reach for a table of another team, by hook, batch and sensor, each with retries. Nothing here knows of a gateway.

The environment says which there are: `FOREIGN` is a JSON list of `{dag, queue, deferrable}`.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.providers.amazon.aws.sensors.dynamodb import DynamoDBValueSensor

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

TABLE = "billing-invoices"


def make(name: str, queue: str, deferrable: bool) -> None:
    """The DAG `name`, whose tasks do not depend on each other."""
    each = {"queue": queue, "retries": 3, "retry_delay": timedelta(seconds=1)}

    @dag(name, schedule="@once", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, default_args=each)
    def foreign() -> None:
        @task
        def by_hook() -> None:
            DynamoDBHook().conn.Table(TABLE).get_item(Key={"pk": "1"})

        @task
        def by_batch() -> None:
            DynamoDBHook(table_name=TABLE, table_keys=["pk"]).write_batch_data([{"pk": "1"}])

        looked_for = {
            "table_name": TABLE,
            "partition_key_name": "pk",
            "partition_key_value": "1",
            "attribute_name": "state",
            "attribute_value": "paid",
            "poke_interval": 1,
            "timeout": 600,
        }
        by_hook()
        by_batch()
        DynamoDBValueSensor(task_id="by_sensor", **looked_for)
        if deferrable:
            DynamoDBValueSensor(task_id="by_deferred_sensor", deferrable=True, **looked_for)

    foreign()


for described in json.loads(os.environ["FOREIGN"]):
    make(described["dag"], described["queue"], described["deferrable"])
