"""Amazon's DynamoDB Local: DynamoDB's data semantics, no identity.

`-sharedDb`, or each access key would see a database of its own. It listens on all interfaces: it knows no option for that.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.stack.process import ROOT, answers, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDER = ROOT / ".cache" / "dynamodb_local" / "package" / "lib"


@contextlib.contextmanager
def dynamodb_local(logs: Path) -> Iterator[str]:
    """Start it with an empty database in memory; yields its URL."""
    (home,) = _FOLDER.glob("dynamodb_local_*")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["java", "-Xms64m", "-Xmx512m", "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"]
    options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    with running("dynamodb_local", [*command, *options], logs, cwd=home, ready=lambda _: answers(url)):
        yield url
