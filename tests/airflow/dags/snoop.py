"""Reads what is another DAG's. An ordinary DAG: nothing here knows of a gateway."""

from __future__ import annotations

from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.sdk import dag, task


@dag(schedule=None)
def snoop() -> None:
    """The provider's hook, with the connection `aws_default`."""

    @task
    def read() -> None:
        DynamoDBHook().get_conn().Table("readings").get_item(Key={"pk": "1", "sk": "1"})

    read()


snoop()
