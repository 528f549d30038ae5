"""Reads and writes what it may, in every usual way, and hands on what is known of it. An ordinary DAG."""

from __future__ import annotations

import boto3
from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import dag, get_current_context, task


@dag(schedule=None)
def audited() -> None:
    """Hook, resource and plain client; S3 beside them."""

    @task
    def work(number: int) -> None:
        DynamoDBHook(table_name="seen", table_keys=["pk"]).write_batch_data([{"pk": f"{number}-{n}"} for n in range(30)])
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.get_item(TableName="known", Key={"pk": {"S": "a"}}, ReturnConsumedCapacity="TOTAL")
        S3Hook(aws_conn_id="aws_s3").load_string("x", f"{number}", "kept", replace=True)

    @task
    def look() -> None:
        told = get_current_context()["ti"].xcom_pull(task_ids="work", key="dynamodb_gateway", map_indexes=[0, 1])
        print("TOLD", sorted(set(map(str, told))))

    work.expand(number=[1, 2]) >> look()


audited()
