"""Reaches for what is not its own, in ways that would retry or wait for hours. An ordinary DAG."""

from __future__ import annotations

import datetime as dt

import boto3
from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.providers.amazon.aws.sensors.dynamodb import DynamoDBValueSensor
from airflow.sdk import dag, task


@dag(schedule=None, default_args={"retries": 3, "retry_delay": dt.timedelta(hours=1)})
def refused() -> None:
    """Hook that wraps errors, sensor that swallows them, and a plain client."""

    @task
    def wrapped() -> None:
        DynamoDBHook(table_name="known", table_keys=["pk"]).write_batch_data([{"pk": "a"}])

    @task
    def plain() -> None:
        boto3.client("dynamodb", region_name="us-east-1").delete_item(TableName="known", Key={"pk": {"S": "a"}})

    wrapped()
    plain()
    DynamoDBValueSensor(
        task_id="waiting",
        table_name="known",
        partition_key_name="pk",
        partition_key_value="a",
        attribute_name="state",
        attribute_value="done",
        poke_interval=60,
        timeout=7200,
    )


refused()
