"""As describe.py, by aiobotocore."""

from __future__ import annotations

import asyncio
import json

import aiobotocore
from aiobotocore.session import get_session


async def main() -> None:
    """One call."""
    async with get_session().create_client("dynamodb") as client:
        tables = (await client.list_tables())["TableNames"]
    print(json.dumps({"version": f"aiobotocore {aiobotocore.__version__}", "tables": tables}))


asyncio.run(main())
