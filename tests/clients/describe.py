"""Who this client is, and the tables that it sees: {"version": "boto3 1.44.5", "tables": [...]}."""

from __future__ import annotations

import json

import boto3

client = boto3.client("dynamodb")
print(json.dumps({"version": f"boto3 {boto3.__version__}", "tables": client.list_tables()["TableNames"]}))
client.close()
