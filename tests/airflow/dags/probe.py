"""Creates the table `orders` and reads the table named by PROBE_TABLE with the amazon provider's hook."""

from __future__ import annotations

import os

from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.sdk import dag, task


@dag(schedule=None)
def probe() -> None:
    """One task."""

    @task
    def read() -> None:
        client = DynamoDBHook(aws_conn_id=None).get_conn().meta.client
        if "orders" not in client.list_tables()["TableNames"]:
            keys = [{"AttributeName": "pk", "KeyType": "HASH"}]
            types = [{"AttributeName": "pk", "AttributeType": "S"}]
            client.create_table(TableName="orders", KeySchema=keys, AttributeDefinitions=types, BillingMode="PAY_PER_REQUEST")
        client.get_item(TableName=os.environ["PROBE_TABLE"], Key={"pk": "1"})

    read()


probe()
