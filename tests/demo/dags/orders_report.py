"""Mail the totals. Today somebody looks into the orders themselves. An ordinary DAG; nothing here knows of a gateway."""

from __future__ import annotations

import os

from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.sdk import dag, task


@dag(schedule=None)
def orders_report() -> None:
    """The provider's hook, with the connection `aws_default`."""

    @task
    def read_order() -> None:
        orders = DynamoDBHook().get_conn().Table(os.environ["ORDERS_TABLE"])
        orders.get_item(Key={"pk": os.environ["DAY"], "sk": "order#001"})

    read_order()


orders_report()
