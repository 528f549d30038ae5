"""Sum up one day's orders and write the total. Plain boto3; nothing here knows of a gateway."""

from __future__ import annotations

import os

import boto3
from boto3.dynamodb.conditions import Key

day = os.environ["DAY"]
dynamodb = boto3.resource("dynamodb")
orders = dynamodb.Table(os.environ["ORDERS_TABLE"])
totals = dynamodb.Table(os.environ["TOTALS_TABLE"])

found = orders.query(KeyConditionExpression=Key("pk").eq(day))["Items"]
total = sum(order["cents"] for order in found)
totals.put_item(Item={"day": day, "orders": len(found), "cents": total})
print(f"{len(found)} orders of {day} read from {orders.name}, their total written to {totals.name}")
