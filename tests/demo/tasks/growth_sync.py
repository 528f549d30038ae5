"""Load a hundred events, 25 a call. Plain boto3, which retries what is throttled; nothing here knows of a gateway."""

from __future__ import annotations

import os

import boto3

table = os.environ["EVENTS_TABLE"]
dynamodb = boto3.client("dynamodb")
events = [{"user_id": {"S": f"user#{n:03}"}, "ts": {"N": str(1_763_800_000 + n)}} for n in range(100)]

calls = attempts = 0
for start in range(0, len(events), 25):
    batch = [{"PutRequest": {"Item": event}} for event in events[start : start + 25]]
    reply = dynamodb.batch_write_item(RequestItems={table: batch})
    calls += 1
    attempts += 1 + reply["ResponseMetadata"]["RetryAttempts"]
print(f"{len(events)} events written to {table}: {calls} calls took {attempts} attempts")
