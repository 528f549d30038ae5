"""A worker as Airflow's tasks see it: plain boto3 with a token where the session token stands, and the wire beneath it."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from boto3.session import Session
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

REGION = "us-east-1"
_SIGNED = "AWS4-HMAC-SHA256 Credential=ANYBODY/20261122/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00"


def worker_session(token: str, key_id: str = "worker") -> Session:
    """A boto3 session whose only credential is the token."""
    return Session(key_id, "unused", token, region_name=REGION)


def worker_client(url: str, token: str, **config: Any) -> Any:
    """A DynamoDB client of that session; `config` goes to botocore."""
    return worker_session(token).client("dynamodb", endpoint_url=url, config=Config(**config))


class Answer(NamedTuple):
    """An answer as it came over the wire; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The error name without its namespace."""
        return str(json.loads(self.body)["__type"]).rpartition("#")[2]

    @property
    def message(self) -> str:
        """The error's message, which DynamoDB spells in two ways."""
        document = json.loads(self.body)
        return str(document.get("message") or document.get("Message"))


def exchange(url: str, operation: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """One raw request. Without a header that holds a token it looks signed, as engines demand."""
    sent = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": f"DynamoDB_20120810.{operation}",
        "authorization": _SIGNED,
        **(headers or {}),
    }
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    try:
        connection.request("POST", "/", body, sent)
        reply = connection.getresponse()
        return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        connection.close()
