"""The whole data plane in this process: what it costs, a neighbour's load and the caller's side left out.

It is the gateway itself, put together by its composition root; the caller's socket is only memory, the upstream is a socket
whose far end is here too, and STS is answered at once.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
import zlib
from typing import TYPE_CHECKING, Any, cast

from proxy.app import edge_limits
from proxy.edge.connection import Connection
from proxy.edge.shared import Edge
from proxy.gateway import Gateway
from proxy.model import Credentials
from proxy.policy.document import read_policies
from proxy.settings import load_settings
from proxy.yaml_source import Mistakes
from tests.bench.wire import DAG
from tests.bench.world import REGION, issuer_of, key_set, new_key, policy_of, token_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from proxy.model import Principal
    from proxy.policy.rules import Policies

_PIECE = 256 * 1024  # bytes that uvloop reads at once
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
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


class _Answering(asyncio.Protocol):
    """One connection of an upstream that reads a request to its end and always says the same."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._missing = 0

    def data_received(self, data: bytes) -> None:
        """Count what comes; a request's head comes in one piece."""
        if not self._missing:
            end = data.index(b"\r\n\r\n") + 4
            found = _LENGTH.search(data, 0, end)
            assert found is not None
            self._missing = end + int(found[1])
        self._missing -= len(data)
        if not self._missing:
            self._transport.write(ANSWER)


async def _assume(principal: Principal) -> Credentials:
    return Credentials("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzE" + "A" * 700, time.time() + 3600)


class DataPlane:
    """Everything of one process, under the bench's policy or another. `started` makes it."""

    def __init__(self, gateway: Gateway, upstream: asyncio.Server, key: RSAPrivateKey) -> None:
        self.loop = asyncio.get_running_loop()
        self.gateway = gateway
        self._upstream = upstream
        self._key = key

    @classmethod
    async def started(cls, folder: Path, policy: dict[str, str] | None = None) -> DataPlane:
        """Compose it as the gateway does, with STS and the upstream in this process."""
        key = new_key()
        (folder / "policies").mkdir(parents=True)
        for name, text in (policy or policy_of([DAG])).items():
            (folder / name).write_text(text)
        (folder / "jwks.json").write_text(json.dumps(key_set(key)))
        upstream = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0)
        port = upstream.sockets[0].getsockname()[1]
        told = {
            "issuers": [issuer_of("jwks.json")],
            "aws": {"region": REGION, "endpoint_url": f"http://127.0.0.1:{port}"},
            "policies": "policies",
            "audit": {"path": str(folder / "audit.jsonl")},
        }
        (folder / "proxy.yaml").write_text(json.dumps(told))
        gateway = Gateway(load_settings(folder / "proxy.yaml", {}))
        gateway.sts.assume = _assume  # type: ignore[method-assign]  # the border: STS itself is no cost of a request
        return cls(gateway, upstream, key)

    def token(self, dag: str = DAG) -> str:
        """A token of one DAG."""
        return token_of(self._key, dag)

    def caller(self, service: Any = None) -> Caller:
        """A connection to the edge; `service` stands in the pipeline's place."""
        return Caller(Edge(service or self.gateway.pipeline, edge_limits(self.gateway.settings), self.loop))

    async def close(self) -> None:
        """Let go of everything."""
        await self.gateway.close_connections()
        self.gateway.audit.close()
        self._upstream.close()


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
        """One answer; a large request comes as a socket brings it, a piece a turn."""
        self._answered = self._edge.loop.create_future()
        for at in range(0, len(request) - _PIECE, _PIECE):
            self._connection.data_received(request[at : at + _PIECE])
            await asyncio.sleep(0)
        self._connection.data_received(request[(len(request) - 1) // _PIECE * _PIECE :])
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
