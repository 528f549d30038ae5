"""Sum up one day's orders, write the total, wait until it can be seen. An ordinary DAG; nothing here knows of a gateway."""

from __future__ import annotations

import os

from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.providers.amazon.aws.sensors.dynamodb import DynamoDBValueSensor
from airflow.sdk import dag, task
from boto3.dynamodb.conditions import Key

DAY, ORDERS, TOTALS = os.environ["DAY"], os.environ["ORDERS_TABLE"], os.environ["TOTALS_TABLE"]


@dag(schedule=None)
def orders_daily() -> None:
    """Hook and sensor of the amazon provider, with the connection `aws_default`."""

    @task
    def sum_up() -> None:
        found = DynamoDBHook().get_conn().Table(ORDERS).query(KeyConditionExpression=Key("pk").eq(DAY))["Items"]
        total = {"day": DAY, "orders": len(found), "cents": sum(order["cents"] for order in found), "state": "complete"}
        DynamoDBHook(table_name=TOTALS, table_keys=["day"]).write_batch_data([total])

    see = DynamoDBValueSensor(
        task_id="see_total",
        table_name=TOTALS,
        partition_key_name="day",
        partition_key_value=DAY,
        attribute_name="state",
        attribute_value="complete",
        poke_interval=1,
        timeout=30,
    )
    sum_up() >> see


orders_daily()
