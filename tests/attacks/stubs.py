"""What stands around the gateway: two issuers, STS, DynamoDB, and a canary that nobody may touch. Each counts."""

from __future__ import annotations

import json
import secrets
import threading
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from tests.attacks.loopback import http_answer
from tests.attacks.sending import json_of
from tests.attacks.signatures import fault_of_signature

if TYPE_CHECKING:
    import asyncio

    from tests.attacks.loopback import Loopback, Received


class KeyServer:
    """One issuer's key set at a URL of its own; `fetches` counts."""

    def __init__(self, loop: Loopback, keys: list[dict[str, str]]) -> None:
        self.fetches = 0
        self._body = json.dumps({"keys": keys}).encode()
        self.url = f"http://127.0.0.1:{loop.answer(self._answer)}/keys"

    def _answer(self, _received: Received) -> bytes:
        self.fetches += 1
        return http_answer("200 OK", self._body, content_type="application/json")


class Session(NamedTuple):
    """What one AssumeRole gave, and for whom."""

    role_arn: str
    session_name: str
    access_key_id: str
    secret: str
    token: str


class StsStub:
    """AssumeRole: a new secret for each call, remembered by its access key id. `base_secret` is that of the gateway itself."""

    def __init__(self, loop: Loopback) -> None:
        self.base_key_id, self.base_secret = "AKIAGATEWAYBASE00001", secrets.token_urlsafe(30)
        self.sessions: dict[str, Session] = {}
        self.calls = 0
        self.faults: list[str] = []
        self.url = f"http://127.0.0.1:{loop.answer(self._answer)}"

    @property
    def secrets(self) -> set[str]:
        """Everything that must never be seen in an output."""
        return {self.base_secret, *(part for s in self.sessions.values() for part in (s.secret, s.token))}

    def _answer(self, received: Received) -> bytes:
        self.calls += 1
        if fault := fault_of_signature(received, self.base_secret, "sts"):
            self.faults.append(fault)
        form = {name: values[0] for name, values in parse_qs(received.body.decode()).items()}
        if form.get("Action") != "AssumeRole":
            self.faults.append(f"STS was asked to {form.get('Action')}")
        session = Session(
            form.get("RoleArn", ""),
            form.get("RoleSessionName", ""),
            f"ASIA{secrets.token_hex(8).upper()}",
            secrets.token_urlsafe(30),
            f"FwoGZXIvYXdzE{secrets.token_urlsafe(60)}",
        )
        self.sessions[session.access_key_id] = session
        return http_answer("200 OK", _assumed(session).encode(), content_type="text/xml")


def _assumed(session: Session) -> str:
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 900))
    return (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser>'
        f"<AssumedRoleId>AROAEXAMPLE:{session.session_name}</AssumedRoleId><Arn>{session.role_arn}</Arn></AssumedRoleUser>"
        f"<Credentials><AccessKeyId>{session.access_key_id}</AccessKeyId><SecretAccessKey>{session.secret}</SecretAccessKey>"
        f"<SessionToken>{session.token}</SessionToken><Expiration>{ends}</Expiration></Credentials></AssumeRoleResult>"
        "<ResponseMetadata><RequestId>11111111-2222-3333-4444-555555555555</RequestId></ResponseMetadata></AssumeRoleResponse>"
    )


@dataclass(frozen=True)
class Forwarded:
    """One request that reached DynamoDB."""

    received: Received
    session: Session | None  # None: signed with a key that STS never gave
    fault: str  # what is wrong with its signature, or ""
    request_id: str

    @property
    def target(self) -> str:
        """X-Amz-Target."""
        return self.received.headers.get("x-amz-target", "")

    @property
    def body(self) -> object:
        """The JSON of the body."""
        return json_of(self.received.body)


_REPLIES = {
    "GetItem": {"Item": {"pk": {"S": "orders#1"}}},
    "Query": {"Items": [], "Count": 0, "ScannedCount": 0},
    "Scan": {"Items": [], "Count": 0, "ScannedCount": 0},
    "BatchGetItem": {"Responses": {}, "UnprocessedKeys": {}},
    "BatchWriteItem": {"UnprocessedItems": {}},
    "TransactGetItems": {"Responses": []},
    "ListTables": {"TableNames": ["orders", "reports", "secrets"]},
    "DescribeTable": {"Table": {"TableName": "orders", "TableStatus": "ACTIVE"}},
    "ExecuteStatement": {"Items": []},
    "BatchExecuteStatement": {"Responses": []},
    "ExecuteTransaction": {"Responses": []},
}


@dataclass
class DynamoDbStub:
    """Records every request and answers it as served, if its signature is right; each answer has an id of its own."""

    sts: StsStub
    forwarded: list[Forwarded] = field(default_factory=list)
    authority: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, loop: Loopback) -> str:
        """Listen; returns the URL."""
        self.authority = f"127.0.0.1:{loop.answer(self._answer)}"
        return f"http://{self.authority}"

    def _answer(self, received: Received) -> bytes:
        _, _, credential = received.headers.get("authorization", "").partition("Credential=")
        session = self.sts.sessions.get(credential.partition("/")[0])
        fault = fault_of_signature(received, session.secret if session else "", "dynamodb", session.token if session else "")
        forwarded = Forwarded(received, session, fault, secrets.token_hex(26).upper())
        with self._lock:
            self.forwarded.append(forwarded)
        status, reply = "200 OK", _REPLIES.get(forwarded.target.partition(".")[2], {})
        if fault:
            status = "400 Bad Request"
            reply = {"__type": "com.amazon.coral.service#InvalidSignatureException", "message": "invented"}
        body = json.dumps(reply).encode()
        return http_answer(
            status,
            body,
            content_type="application/x-amz-json-1.0",
            x_amzn_requestid=forwarded.request_id,
            x_amz_crc32=str(zlib.crc32(body)),
        )


class Canary:
    """A listener that nobody may connect to."""

    def __init__(self, loop: Loopback) -> None:
        self.hits = 0
        self.authority = f"127.0.0.1:{loop.listen(self._sing)}"

    async def _sing(self, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        self.hits += 1
