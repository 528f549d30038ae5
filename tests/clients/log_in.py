"""Log in by whatever the environment says, use the session, have it renewed: a JSON object of what was had.

`{"method": ..., "account": ..., "arn": ..., "keys": [...], "items": [...], "error": ...}`; the arguments are table, partition
and sort key. Between the two reads the credentials are made to look as if they ended in a minute.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

TABLE, PARTITION, SORT = sys.argv[1:]
KEY = {"pk": {"S": PARTITION}, "sk": {"S": SORT}}


def age(credentials: Any) -> None:
    """Let them end in a minute, here and in the memory of what fetched them: there is no other way to let time pass."""
    credentials._expiry_time -= timedelta(seconds=credentials._seconds_remaining() - 60)
    memory = getattr(getattr(credentials._refresh_using, "__self__", None), "_cache", None)
    if memory is not None:
        memory.clear()


def note(request: Any, **_: Any) -> None:
    """Keep the access key id that a request is signed with."""
    keys.append(request.headers["Authorization"].decode().partition("Credential=")[2].partition("/")[0])


session = boto3.Session()
found: dict[str, object] = {}
keys: list[str] = []
try:
    credentials = session.get_credentials()
    dynamodb, sts = session.client("dynamodb"), session.client("sts")
    identity = sts.get_caller_identity()
    dynamodb.meta.events.register("before-send.dynamodb", note)
    items = []
    for _ in range(2):
        items.append(dynamodb.get_item(TableName=TABLE, Key=KEY)["Item"])
        age(credentials)
    found = {
        "method": credentials.method,
        "account": identity["Account"],
        "arn": identity["Arn"],
        "keys": keys,
        "items": items,
    }
    dynamodb.close()
    sts.close()
except (ClientError, BotoCoreError) as error:
    found = {"error": str(error)}
print(json.dumps(found))
