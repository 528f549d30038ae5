"""ministack with AUTH=true: DynamoDB, STS, IAM and S3 on one port, which verify signatures, session tokens and role policies.

The signature of its root key is not checked, so whatever is tested must be signed with a role's session or a user's key.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.stack.environments import python_of
from tests.stack.process import answers, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ministack:
    """A running engine. The root key may do everything and serves for setting up."""

    url: str
    root_key: str = "test"
    root_secret: str = "test"
    region: str = "us-east-1"
    account: str = "000000000000"

    def root_environment(self) -> dict[str, str]:
        """Variables which make any AWS client its administrator."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.root_key,
            "AWS_SECRET_ACCESS_KEY": self.root_secret,
            "AWS_DEFAULT_REGION": self.region,
        }


@contextlib.contextmanager
def ministack(logs: Path) -> Iterator[Ministack]:
    """Start it with empty state in memory."""
    engine = Ministack(f"http://127.0.0.1:{(port := free_port())}")
    env = {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb,dynamodbstreams,sts,iam,s3",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "AWS_ACCESS_KEY_ID": engine.root_key,
        "AWS_SECRET_ACCESS_KEY": engine.root_secret,
    }
    command = [python_of("engine").with_name("ministack")]
    with running("ministack", command, logs, env=env, ready=lambda _: answers(engine.url)):
        yield engine
