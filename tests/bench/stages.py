"""What a request costs in CPU, whole and by stage: `python -m tests.bench.stages [--json FILE] [--rounds N] [--dags N] [--tls]`.

The whole is the real gateway in this process (composition root, edge, pipeline, pool, audit to a file, metrics) between two
transports that only hand bytes over, so that neither the kernel nor a peer is in it. Figures are minima over interleaved
rounds of this process's CPU time. `--profile` prints where the time of the whole goes.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import socket
import statistics
import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uvloop

from proxy.app import Gateway, edge_limits
from proxy.aws.connection import Connection as UpstreamConnection
from proxy.aws.sigv4 import Endpoint, signed_request
from proxy.aws.upstream import PoolLimits, UpstreamPool
from proxy.dynamodb.operation import read_operation
from proxy.dynamodb.reply import summarise
from proxy.edge.connection import Connection
from proxy.edge.gate import read_head
from proxy.edge.shared import Edge
from proxy.identity.binding import bind
from proxy.identity.channels import claimed_in, token_in
from proxy.model import Credentials, Reply
from proxy.settings import load_settings
from tests.fake_aws import AUDIENCE, ISSUER, jwks, token

if TYPE_CHECKING:
    from collections.abc import Callable

GET = json.dumps(
    {
        "TableName": "orders",
        "Key": {"pk": {"S": "dag#example_dag"}, "sk": {"S": "run#2026-01-01T00:00:00"}},
        "ProjectionExpression": "pk, sk, #s, attempt, payload, heartbeat, worker",
        "ExpressionAttributeNames": {"#s": "state"},
        "ConsistentRead": True,
        "ReturnConsumedCapacity": "TOTAL",
    }
).encode()
PUT = json.dumps(
    {"TableName": "orders", "Item": {"pk": {"S": "dag#example_dag"}, **{f"attribute{n}": {"S": "v" * 40} for n in range(20)}}}
).encode()
BATCH = json.dumps(
    {
        "RequestItems": {
            "orders": [
                {"PutRequest": {"Item": {"pk": {"S": f"k{n}"}, **{f"a{m}": {"S": "v" * 20} for m in range(10)}}}}
                for n in range(25)
            ]
        }
    }
).encode()
BIG_BATCH = json.dumps(
    {"RequestItems": {"orders": [{"PutRequest": {"Item": {"pk": {"S": f"k{n}"}, "blob": {"S": "v" * 4000}}}} for n in range(25)]}}
).encode()
_ITEM = b'{"Item":{"pk":{"S":"dag#example_dag"},"sk":{"S":"run#2026"},"state":{"S":"success"},"payload":{"S":"%b"}}}' % (
    b"x" * 100
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: Server\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/x-amz-json-1.0\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\nx-amzn-RequestId: 3OB1RPRRPKVP0LJJSU1OCPIMRBVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n"
    b"x-amz-crc32: 2745614147\r\n\r\n%b" % (len(_ITEM), _ITEM)
)
POLICY = """
tables:
  orders: {key: "pk (S)"}
dags:
"""
DAG = '  {name}: {{role: "arn:aws:iam::111122223333:role/{name}", allow: [{{actions: [read, write], tables: [orders]}}]}}\n'


class HandedOver:
    """A transport that hands what is written to `taker`, soon."""

    def __init__(self, taker: Callable[[bytes], None], lost: Callable[[], Any] | None = None) -> None:
        self._taker = taker
        self._lost = lost
        self._sockets = socket.socketpair()

    def write(self, data: bytes) -> None:
        """What is written is taken in the loop's next turn, as if a kernel were between."""
        asyncio.get_running_loop().call_soon(self._taker, data)

    def get_extra_info(self, name: str) -> Any:
        """An address and a socket that never has anything to read."""
        return {"peername": ("127.0.0.1", 40000), "socket": self._sockets[0]}.get(name)

    def is_closing(self) -> bool:
        """Never."""
        return False

    def abort(self) -> None:
        """Close the sockets, and say so once."""
        for end in self._sockets:
            end.close()
        lost, self._lost = self._lost, None
        if lost is not None:
            lost()

    close = abort

    def pause_reading(self) -> None:
        """Nothing to do."""

    resume_reading = pause_reading


class StubPool(UpstreamPool):
    """The real pool; its connections end in a stub that gives one answer."""

    async def _try_connect(self, attempt: int, deadline: float, tries_left: int) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        connection = UpstreamConnection(self, loop.time())
        lost = partial(loop.call_soon, connection.connection_lost, None)
        transport = HandedOver(lambda _: connection.data_received(ANSWER), lost)
        connection.connection_made(cast("asyncio.Transport", transport))
        return self._adopt(connection)


class StubSts:
    """Sessions without STS, as long as real ones."""

    async def assume(self, principal: Any) -> Credentials:
        """A session of the principal's own."""
        return Credentials(
            "ASIAEXAMPLEEXAMPLE12", f"secret of {principal.dag_id}", "FwoGZXIvYXdzE" + "A" * 400, time.time() + 900
        )

    async def close(self) -> None:
        """Nothing to close."""


@cache
def bearer_of(dag: str) -> str:
    """One token of about 1 KB for each DAG."""
    return token(dag_id=dag, seconds=3600, groups=["g" * 60] * 10)


def request_of(operation: str, body: bytes, dag: str = "etl") -> bytes:
    """One request as boto3 sends it, with a token of about 1 KB."""
    bearer = bearer_of(dag)
    return (
        f"POST / HTTP/1.1\r\nHost: gateway.airflow.svc:8080\r\nAccept-Encoding: identity\r\n"
        f"X-Amz-Target: DynamoDB_20120810.{operation}\r\nContent-Type: application/x-amz-json-1.0\r\n"
        "User-Agent: Boto3/1.43.0 md/Botocore#1.43.0 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.11.7 md/pyimpl#CPython "
        "cfg/retry-mode#standard Botocore/1.43.0 DagRunKey/5f9c6a3e-3cbb-5b0e-8b0e-1a2b3c4d5e6f\r\n"
        "X-Amz-Date: 20260101T000000Z\r\namz-sdk-invocation-id: 11111111-2222-3333-4444-555555555555\r\n"
        "amz-sdk-request: ttl=20260101T000100Z; attempt=1; max=3\r\n"
        f"Authorization: Bearer {bearer}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Caller:
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, edge: Edge, load: Load) -> None:
        self.connection = Connection(edge)
        self._load = load
        self.connection.connection_made(cast("asyncio.Transport", HandedOver(self._answered)))

    def ask(self) -> None:
        """Send the next request, if any is left."""
        request = self._load.next_request()
        if request is not None:
            self.connection.data_received(request)

    def _answered(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"not served: {data[:2000]!r}")
        self._load.ended()
        self.ask()


class Load:
    """So many requests over some connections; `run` gives microseconds of CPU for each."""

    def __init__(self, edge: Edge, requests: list[bytes], connections: int = 16) -> None:
        self._requests = requests
        self._callers = [Caller(edge, self) for _ in range(connections)]
        self._left = self._running = 0
        self._done: asyncio.Future[None]

    def next_request(self) -> bytes | None:
        """The next one in turn, None when enough were sent."""
        if not self._left:
            return None
        self._left -= 1
        return self._requests[self._left % len(self._requests)]

    def ended(self) -> None:
        """One was answered."""
        self._running -= 1
        if not self._running:
            self._done.set_result(None)

    async def run(self, count: int) -> float:
        """CPU of this process a request, in microseconds."""
        self._left = self._running = count
        self._done = asyncio.get_running_loop().create_future()
        started = time.process_time_ns()
        for caller in self._callers:
            caller.ask()
        await self._done
        return (time.process_time_ns() - started) / count / 1000


def settings_of(folder: Path, dags: list[str]) -> Any:
    """The default configuration, with policies for these DAGs."""
    (folder / "policies").mkdir()
    (folder / "policies" / "orders.yaml").write_text(POLICY + "".join(DAG.format(name=name) for name in dags))
    (folder / "jwks.json").write_text(json.dumps(jwks()))
    (folder / "proxy.yaml").write_text(
        json.dumps(
            {
                "issuers": [
                    {
                        "name": "idp",
                        "issuer": ISSUER,
                        "audience": AUDIENCE,
                        "algorithms": ["ES256"],
                        "may_assert": ["*"],
                        "keys": {"jwks_file": "jwks.json"},
                    }
                ],
                "aws": {"region": "eu-west-1"},
                "audit": {"path": str(folder / "audit.jsonl")},
            }
        )
    )
    return load_settings(folder / "proxy.yaml", {})


async def gateway_in(folder: Path, dags: list[str]) -> tuple[Gateway, Edge]:
    """The real gateway, its upstream and STS replaced by stubs."""
    settings = settings_of(folder, dags)
    gateway = Gateway(settings)
    gateway.sts = cast("Any", StubSts())
    endpoint = Endpoint("http", "127.0.0.1", 8000, settings.aws_region)
    gateway.upstreams._pools[settings.aws_region, "dynamodb"] = StubPool(endpoint, None, PoolLimits())
    edge = Edge(gateway.pipeline, edge_limits(settings), asyncio.get_running_loop())
    await gateway.start({"edge": edge})
    await gateway.tokens.warm()
    return gateway, edge


class Answering:
    """A service that answers at once: the edge alone."""

    reply = Reply(200, ((b"content-type", b"application/x-amz-json-1.0"), (b"x-amzn-requestid", b"A" * 52)), _ITEM)

    async def serve(self, _head: Any, incoming: Any) -> Reply:
        """Read the body, answer."""
        await incoming.read()
        return self.reply


def priced(call: Callable[[], Any], count: int = 2000) -> float:
    """Microseconds of CPU for one call."""
    started = time.process_time_ns()
    for _ in range(count):
        call()
    return (time.process_time_ns() - started) / count / 1000


def stages_of(gateway: Gateway) -> dict[str, Callable[[], Any]]:
    """Each stage that can be called by itself, as the pipeline calls it."""
    request = request_of("GetItem", GET)
    raw = request[: request.index(b"\r\n\r\n") + 4]
    limits = edge_limits(gateway.settings)
    head = read_head(raw, "127.0.0.1:40000", limits).head
    bearer = token_in(head.headers)
    subject = gateway.tokens.known(bearer, time.time())
    assert subject is not None
    policies = gateway.current
    claimed = claimed_in(head.headers)
    identity = bind(subject, claimed, policies.workloads, policies.dag_of_key)
    target = head.headers[b"x-amz-target"]
    operation = read_operation(target, GET)
    principal = policies.decide(identity, operation, time.time()).granted_role()
    credentials = gateway.roles.ready(principal)
    assert credentials is not None
    endpoint = gateway.upstreams.endpoint_of(principal.region, "dynamodb")
    reply = Answering.reply
    return {
        "head through the gate": lambda: read_head(raw, "127.0.0.1:40000", limits),
        "token found": lambda: token_in(head.headers),
        "token known": lambda: gateway.tokens.known(bearer, 1e9),
        "claims read": lambda: claimed_in(head.headers),
        "bound to a dag": lambda: bind(subject, claimed, policies.workloads, policies.dag_of_key),
        "operation read": lambda: read_operation(target, GET),
        "decided": lambda: policies.decide(identity, operation, 1e9),
        "credentials ready": lambda: gateway.roles.ready(principal),
        "signed": lambda: signed_request(endpoint, b"DynamoDB_20120810.GetItem", operation.body, credentials, 1.8e9),
        "reply summarised": lambda: summarise(operation, reply),
    }


async def measure(options: argparse.Namespace) -> dict[str, float]:
    """Minima of all rounds, in microseconds a request."""
    with tempfile.TemporaryDirectory() as folder:
        dags = [f"etl{number}" for number in range(options.dags - 1)]
        gateway, edge = await gateway_in(Path(folder), ["etl", *dags])
        empty = Edge(cast("Any", Answering()), edge.limits, edge.loop)
        asked = {"GetItem": GET, "PutItem": PUT, "BatchWriteItem": BATCH, "BatchWriteItem 100 KB": BIG_BATCH}
        loads = {f"whole, {name}": (Load(edge, [request_of(name.split()[0], body)]), 1) for name, body in asked.items()}
        if options.dags > 1:
            many = [request_of("GetItem", GET, name) for name in dags[: options.sessions]]
            loads[f"whole, GetItem, {len(many)} dags of {options.dags}"] = (Load(edge, many), 1)
        loads["edge alone"] = (Load(empty, [request_of("GetItem", GET)]), 1)
        for load, _ in loads.values():
            await load.run(200)
        if options.only:
            loads = {name: load for name, load in loads.items() if options.only in name}
        if options.dags > 1:
            await loads[f"whole, GetItem, {len(many)} dags of {options.dags}"][0].run(len(many) * 2)
        stages = {} if options.only else stages_of(gateway)
        gc.collect()
        gc.freeze()
        seen: dict[str, list[float]] = {}
        profile = cProfile.Profile() if options.profile else None
        for _ in range(options.rounds):
            for name, (load, weight) in loads.items():
                if profile:
                    profile.enable()
                seen.setdefault(name, []).append(await load.run(options.count // weight // (20 if "KB" in name else 1)))
                if profile:
                    profile.disable()
            for name, call in stages.items():
                seen.setdefault(name, []).append(priced(call))
        if profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        await gateway.stop()
    if options.medians:
        return {name: statistics.median(values) for name, values in seen.items()}
    return {name: min(values) for name, values in seen.items()}


def main() -> None:
    """Measure and print; with `--json` also write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--count", type=int, default=2000, help="requests of a round")
    parser.add_argument("--dags", type=int, default=1, help="how many the policy names")
    parser.add_argument("--sessions", type=int, default=64, help="how many of them ask")
    parser.add_argument("--only", default="", help="part of a name: measure only these loads")
    parser.add_argument("--medians", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    prices = uvloop.run(measure(options))
    for name, price in prices.items():
        print(f"{price:8.2f} us  {name}")
    if options.json:
        options.json.write_text(json.dumps(prices, indent=1))


if __name__ == "__main__":
    sys.exit(main())
