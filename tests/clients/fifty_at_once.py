"""Fifty puts and fifty gets at once by aiobotocore, then a denial.

Prints {"version", "written", "found", "denied": {"code", "message", "retries"}}. Environment: AWS_*, TABLE, FORBIDDEN.
"""

from __future__ import annotations

import asyncio
import json
import os

import aiobotocore
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

COUNT = 50


def key(n: int) -> dict[str, dict[str, str]]:
    """Key of an item."""
    return {"pk": {"S": f"async-{n}"}, "sk": {"S": "1"}}


async def main() -> None:
    """All at once, on as many connections."""
    table = os.environ["TABLE"]
    async with get_session().create_client("dynamodb", config=AioConfig(max_pool_connections=COUNT)) as client:
        puts = [client.put_item(TableName=table, Item={**key(n), "n": {"N": str(n)}}) for n in range(COUNT)]
        written = await asyncio.gather(*puts)
        found = await asyncio.gather(*(client.get_item(TableName=table, Key=key(n), ConsistentRead=True) for n in range(COUNT)))
        try:
            await client.get_item(TableName=os.environ["FORBIDDEN"], Key={"pk": {"S": "1"}})
            denied: dict[str, object] = {}
        except ClientError as error:
            meta = error.response["ResponseMetadata"]
            denied = {**error.response["Error"], "retries": meta["RetryAttempts"], "request_id": meta["RequestId"]}
    answer = {
        "version": aiobotocore.__version__,
        "written": sum(one["ResponseMetadata"]["HTTPStatusCode"] == 200 for one in written),
        "found": [int(one["Item"]["n"]["N"]) for one in found],
        "denied": denied,
    }
    print(json.dumps(answer))


asyncio.run(main())
