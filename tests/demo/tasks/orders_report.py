"""Mail the totals. Today somebody looks into the orders themselves. Plain boto3; nothing here knows of a gateway."""

from __future__ import annotations

import os

import boto3

dynamodb = boto3.resource("dynamodb")
orders = dynamodb.Table(os.environ["ORDERS_TABLE"])
order = orders.get_item(Key={"pk": os.environ["DAY"], "sk": "order#001"}).get("Item")
print(f"read an order from {orders.name}: {order}")
