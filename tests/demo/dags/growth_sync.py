"""Load a hundred events. An ordinary DAG; nothing here knows of a gateway."""

from __future__ import annotations

import os

from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.sdk import dag, task


@dag(schedule=None)
def growth_sync() -> None:
    """The provider's hook, with the connection `aws_default`; its boto3 retries what is throttled."""

    @task
    def load() -> None:
        events = [{"user_id": f"user#{n:03}", "ts": 1_763_800_000 + n} for n in range(100)]
        DynamoDBHook(table_name=os.environ["EVENTS_TABLE"], table_keys=["user_id", "ts"]).write_batch_data(events)

    load()


growth_sync()
