"""Takes readings in, sums them up, waits until the sum can be seen. An ordinary DAG: nothing here knows of a gateway."""

from __future__ import annotations

import os

from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.providers.amazon.aws.sensors.dynamodb import DynamoDBValueSensor
from airflow.sdk import dag, task
from boto3.dynamodb.conditions import Key

DAY = os.environ["DAY"]


@dag(schedule=None)
def ingest() -> None:
    """Hook and sensor of the amazon provider, with the connection `aws_default`."""

    @task
    def load() -> None:
        readings = [{"pk": DAY, "sk": f"{n:03}", "value": n} for n in range(60)]
        DynamoDBHook(table_name="readings", table_keys=["pk", "sk"]).write_batch_data(readings)

    @task
    def sum_up() -> None:
        resource = DynamoDBHook().get_conn()
        found = resource.Table("readings").query(KeyConditionExpression=Key("pk").eq(DAY))["Items"]
        total = sum(reading["value"] for reading in found)
        resource.Table("sums").put_item(Item={"pk": DAY, "total": total, "state": "complete"})

    see = DynamoDBValueSensor(
        task_id="see",
        table_name="sums",
        partition_key_name="pk",
        partition_key_value=DAY,
        attribute_name="state",
        attribute_value="complete",
        poke_interval=1,
        timeout=30,
    )
    load() >> sum_up() >> see


ingest()
