"""As use_plugin.py, by aiobotocore: fifty calls at once, and a refusal."""

from __future__ import annotations

import asyncio
import json
import os

import aiobotocore
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from proxy.worker.session_factory import extend
from proxy.worker.usage import USAGE

KEY = {"pk": {"S": "a"}}


async def main() -> None:
    """The calls."""
    session = get_session()
    if os.environ.get("PLUGIN") == "factory":
        extend(session)
    async with session.create_client("dynamodb") as client:
        await asyncio.gather(*(client.get_item(TableName="open", Key=KEY) for _ in range(50)))
        try:
            await client.get_item(TableName="shut", Key=KEY)
            denied = ""
        except ClientError as error:
            denied = error.response["Error"]["Code"]
    async with session.create_client("s3") as other:
        place = other.meta.endpoint_url
    answer = {"version": f"aiobotocore {aiobotocore.__version__}", "denied": denied, "others": {"s3": place}}
    print(json.dumps({**answer, "line": USAGE.line()}))


asyncio.run(main())
