"""The whole data plane in this process, between two sockets that are only memory: what it costs without the kernel.

Edge, identity, policy, signer, upstream connection, metrics and audit (to a file) are the real ones, put together as the
composition root does it; only tokens' keys, STS and the far end of the upstream are here.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
import zlib
from typing import TYPE_CHECKING, Any

from proxy.aws.connection import Connection as UpstreamConnection
from proxy.aws.credentials import RoleCredentials
from proxy.aws.sigv4 import Endpoint
from proxy.dynamodb.iterators import IteratorSeal
from proxy.edge.connection import Connection
from proxy.edge.limits import EdgeLimits
from proxy.edge.shared import Edge
from proxy.identity.verifier import TokenVerifier
from proxy.model import Credentials
from proxy.observe.audit import AuditLog
from proxy.observe.metrics import Metrics
from proxy.observe.sink import LineSink
from proxy.pipeline import Pipeline
from proxy.policy.document import read_policies
from proxy.settings import load_settings
from proxy.yaml_source import Mistakes
from tests.bench.wire import DAG
from tests.bench.world import REGION, issuer_of, key_set, new_key, policy_of, token_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.model import Exchange, Principal, Reply
    from proxy.policy.rules import Policies

ANSWER_BODY = (
    b'{"Item":{"pk":{"S":"dag#example_dag#runs"},"sk":{"S":"run#2026-01-01T00:00:00"},"state":{"S":"success"},'
    b'"attempt":{"N":"3"},"payload":{"S":"0123456789abcdef0123456789abcdef0123456789abcdef"}}}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: Server\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/x-amz-json-1.0\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\nx-amzn-RequestId: 3OB1RPRRPKVP0LJJSU1OCPIMRBVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n"
    b"x-amz-crc32: %d\r\n\r\n%s" % (len(ANSWER_BODY), zlib.crc32(ANSWER_BODY), ANSWER_BODY)
)


class MemoryTransport(asyncio.Transport):
    """A socket's place: what is written goes to `on_write`. The socket pair is there for who asks for a descriptor."""

    def __init__(self, on_write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._on_write = on_write
        self._pair = socket.socketpair()
        self._extra = {"socket": self._pair[0], "peername": ("127.0.0.1", 40000)}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What asyncio's transports tell."""
        return self._extra.get(name, default)

    def write(self, data: Any) -> None:
        """Hand on."""
        self._on_write(data)

    def is_closing(self) -> bool:
        """It is not."""
        return False

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def pause_reading(self) -> None:
        """What comes was sent whole."""

    resume_reading = pause_reading

    def can_write_eof(self) -> bool:
        """There is no half-close."""
        return False

    def close(self) -> None:
        """Let go of the descriptors."""
        for one in self._pair:
            one.close()

    abort = close


class MemoryUpstream:
    """An upstream of one real connection whose far end answers at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._idle: list[UpstreamConnection] = []
        self.made: list[MemoryTransport] = []

    def _connect(self) -> UpstreamConnection:
        connection = UpstreamConnection(self, self._loop)
        transport = MemoryTransport(lambda _: self._loop.call_soon(connection.data_received, ANSWER) and None)
        connection.connection_made(transport)
        self.made.append(transport)
        return connection

    async def send(self, request: bytes, *, is_write: bool, sent: Callable[[], None]) -> Reply:
        """One exchange."""
        connection = self._idle.pop() if self._idle else self._connect()
        sent()
        return await connection.start(request, self._loop.time() + 30)

    def exchange_ended(self, connection: UpstreamConnection, now: float) -> None:  # noqa: ARG002 - the pool's signature
        """Keep it."""
        self._idle.append(connection)

    def connection_ended(self, connection: UpstreamConnection) -> None:
        """Cannot be."""


class Told:
    """Audit and metrics, as `proxy.app.Journal` tells them."""

    def __init__(self, audit: AuditLog, metrics: Metrics, policies: Policies) -> None:
        self._audit = audit
        self._metrics = metrics
        self._policies = policies
        self.decision = audit.decision

    def outcome(self, exchange: Exchange) -> None:
        """Both."""
        self._audit.outcome(exchange)
        self._metrics.record(exchange, self._policies)


class FixedPolicies:
    """A snapshot that never changes."""

    def __init__(self, policies: Policies) -> None:
        self.current = policies


async def _assume(principal: Principal) -> Credentials:
    return Credentials("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzE" + "A" * 700, time.time() + 3600)


class DataPlane:
    """Everything of one process but the kernel, under the bench's policy or another."""

    def __init__(self, folder: Path, policy: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.loop = asyncio.get_running_loop()
        self.key = new_key()
        (folder / "jwks.json").write_text(json.dumps(key_set(self.key)))
        told = {"issuers": [issuer_of("jwks.json")], "aws": {"region": REGION}, "policies": "."}
        (folder / "proxy.yaml").write_text(json.dumps(told))
        settings = load_settings(folder / "proxy.yaml", {})
        self.policies = policies_of(policy or policy_of([DAG]))
        self.metrics = Metrics("bench")
        self.metrics.expect(rules.pattern for rules in self.policies.dag_rules())
        self.audit = AuditLog(LineSink(str(folder / "audit.jsonl")), self.metrics)
        self.tokens = TokenVerifier(settings.issuers)
        self.roles = RoleCredentials(_assume)
        self.upstream = MemoryUpstream(self.loop)
        self.endpoint = Endpoint("https", f"dynamodb.{REGION}.amazonaws.com", 443, REGION)
        self.told = Told(self.audit, self.metrics, self.policies)
        self.pipeline = Pipeline(
            tokens=self.tokens,
            policies=FixedPolicies(self.policies),
            roles=self.roles,
            endpoint_of=lambda *_: self.endpoint,
            upstream_of=lambda *_: self.upstream,
            seal=IteratorSeal((bytes(32),)),
            journal=self.told,
            max_json_members=settings.limits_json_members,
        )

    def token(self, dag: str = DAG) -> str:
        """A token of one DAG."""
        return token_of(self.key, dag)

    def caller(self, service: Any = None) -> Caller:
        """A connection to the edge; `service` stands in the pipeline's place."""
        return Caller(Edge(service or self.pipeline, EdgeLimits(), self.loop))

    async def close(self) -> None:
        """Let go of everything."""
        await self.roles.close()
        await self.tokens.close()
        for transport in self.upstream.made:
            transport.close()
        self.audit.close()


class Caller:
    """One connection of a worker: `ask` sends whole requests and waits for whole answers."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._answered: asyncio.Future[bytes]
        self._transport = MemoryTransport(self._hear)
        self._connection = Connection(edge)
        self._connection.connection_made(self._transport)

    def _hear(self, answer: bytes) -> None:
        self._answered.set_result(answer)

    async def ask(self, request: bytes) -> bytes:
        """One answer."""
        self._answered = self._edge.loop.create_future()
        self._connection.data_received(request)
        return await self._answered

    def close(self) -> None:
        """Leave."""
        self._connection.connection_lost(None)
        self._transport.close()


def policies_of(files: dict[str, str]) -> Policies:
    """Policies of some files."""
    mistakes = Mistakes()
    policies = read_policies(files, "", REGION, mistakes)
    assert policies is not None, mistakes.lines()[:3]
    return policies
