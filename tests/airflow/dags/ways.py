"""One DAG for each way in: batch, resource, client, both kinds of sensor, both transfers. Nothing here knows of a gateway.

The environment says which DAGs there are: `WAYS` is a JSON list of `{dag, queue, connection, deferrable}`.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.providers.amazon.aws.sensors.dynamodb import DynamoDBValueSensor
from airflow.providers.amazon.aws.transfers.dynamodb_to_s3 import DynamoDBToS3Operator
from airflow.providers.amazon.aws.transfers.s3_to_dynamodb import S3ToDynamoDBOperator

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

KEYS = [{"AttributeName": "pk", "KeyType": "HASH"}]
TYPES = [{"AttributeName": "pk", "AttributeType": "S"}]


def make(name: str, queue: str, connection: str, deferrable: bool) -> None:
    """The DAG `name`; its items have its name as partition key."""

    @dag(name, schedule="@once", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, default_args={"queue": queue})
    def way() -> None:
        @task
        def load() -> None:
            hook = DynamoDBHook(aws_conn_id=connection, table_name="orders-events", table_keys=["pk", "sk"])
            hook.write_batch_data([{"pk": name, "sk": f"{n:03}"} for n in range(30)])
            client = AwsBaseHook(aws_conn_id=connection, client_type="dynamodb").conn
            found = client.query(
                TableName="orders-events", KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": name}}
            )
            hook.conn.Table("orders-states").put_item(Item={"pk": name, "count": found["Count"], "state": "done"})

        looked_for = {
            "table_name": "orders-states",
            "partition_key_name": "pk",
            "partition_key_value": name,
            "attribute_name": "state",
            "attribute_value": "done",
            "aws_conn_id": connection,
            "poke_interval": 1,
            "timeout": 300,
        }
        see = DynamoDBValueSensor(task_id="see", **looked_for)
        to_s3 = DynamoDBToS3Operator(
            task_id="to_s3",
            dynamodb_table_name="orders-states",
            s3_bucket_name="exports",
            s3_key_prefix=f"{name}/",
            file_size=1,
            source_aws_conn_id=connection,
            dest_aws_conn_id="aws_s3",
        )
        from_s3 = S3ToDynamoDBOperator(
            task_id="from_s3",
            s3_bucket="imports",
            s3_key="states/",
            dynamodb_table_name=name.replace("orders_", "orders-imported-").replace("_", "-"),
            dynamodb_key_schema=KEYS,
            dynamodb_attributes=TYPES,
            check_interval=1,
            aws_conn_id=connection,
        )
        load() >> see >> to_s3 >> from_s3
        if deferrable:
            see >> DynamoDBValueSensor(task_id="wait", deferrable=True, **looked_for)

    way()


for way in json.loads(os.environ["WAYS"]):
    make(way["dag"], way["queue"], way["connection"], way["deferrable"])
