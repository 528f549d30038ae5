"""DAGs that write and read one item of their team's own table, on one team's queue or another's. Nothing here knows of a gateway.

The environment says which there are: `DAILY` is a JSON list of `{dag, queue, table}`.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

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


for described in json.loads(os.environ["DAILY"]):
    make(described["dag"], described["queue"], described["table"])
