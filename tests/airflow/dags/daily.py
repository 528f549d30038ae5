"""DAGs that write and read one item of their team's own table, on one team's queue or another's. Nothing here knows of a gateway.

The environment says which there are: `DAILY` is a JSON list of `{dag, queue, table}`. And one that lies about its name.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import boto3
from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.sdk import dag, task


def make(name: str, queue: str, table: str) -> None:
    """The DAG `name`."""

    @dag(name, schedule="@once", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, default_args={"queue": queue})
    def daily() -> None:
        @task
        def write() -> None:
            own = DynamoDBHook().conn.Table(table)
            own.put_item(Item={"pk": name})
            own.get_item(Key={"pk": name})

        write()

    daily()


@dag("orders_liar", schedule="@once", start_date=datetime(2026, 1, 1, tzinfo=UTC), default_args={"queue": "orders"})
def liar() -> None:
    """Says that it is another DAG, of its team and of another."""

    @task
    def lie(name: str, table: str) -> None:
        os.environ["AIRFLOW_CTX_DAG_ID"] = name
        boto3.client("dynamodb").get_item(TableName=table, Key={"pk": {"S": "1"}})

    lie.override(task_id="within_its_team")("orders_victim", "orders-states")
    lie.override(task_id="beyond_its_team")("billing_daily", "billing-invoices")


liar()
for described in json.loads(os.environ["DAILY"]):
    make(described["dag"], described["queue"], described["table"])
