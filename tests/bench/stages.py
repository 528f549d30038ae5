"""What each stage of one request costs: `python -m tests.bench.stages` prints CPU microseconds.

Minima of interleaved rounds, everything warm: the token was seen before, credentials are at hand. `whole` is one request from
the bytes at the edge to the bytes of the answer, loopback to the upstream and the upstream's side included; `glue` is what the
stages leave of it: tasks, turns of the loop, caches gone cold in between.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.aws.sigv4 import PassedHeaders, signed_request
from proxy.dynamodb.operation import read_operation
from proxy.dynamodb.reply import summarise
from proxy.edge.gate import read_head, read_plain_head
from proxy.edge.limits import EdgeLimits
from proxy.edge.shared import Edge
from proxy.identity.binding import bind
from proxy.identity.channels import claimed_in, found_token, token_in
from proxy.model import Ending, Exchange, Reply
from proxy.observe.journal import Journal
from proxy.refusal import Reason
from tests.bench.in_process import ANSWER_BODY, DataPlane
from tests.bench.wire import body_of, get_item, request_of
from tests.bench.world import REGION

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, CALLS = 20, 300
HEADERS = (
    (b"server", b"Server"),
    (b"date", b"Thu, 01 Jan 2026 00:00:00 GMT"),
    (b"content-type", b"application/x-amz-json-1.0"),
    (b"x-amzn-requestid", b"3OB1RPRRPKVP0LJJSU1OCPIMRBVV4KQNSO5AEMVJF66Q9ASUAAJG"),
    (b"x-amz-crc32", b"1"),
)


async def unit_prices(folder: Path) -> dict[str, float]:
    """CPU microseconds of each stage and of the whole."""
    plane = await DataPlane.started(folder)
    caller = plane.caller()
    request = request_of(get_item(), plane.token())
    answer = await caller.ask(request)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    calls = await _stages(plane, request)
    least = dict.fromkeys([*calls, "whole"], float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            least[name] = min(least[name], _seconds(call))
        started = time.process_time()
        for _ in range(CALLS):
            await caller.ask(request)
        least["whole"] = min(least["whole"], time.process_time() - started)
    least["send"] = min([await _send_seconds(plane) for _ in range(ROUNDS)])
    caller.close()
    await plane.close()
    whole = least.pop("whole")
    prices = {name: seconds / CALLS * 1e6 for name, seconds in least.items()}
    return prices | {"glue": whole / CALLS * 1e6 - sum(prices.values()), "whole": whole / CALLS * 1e6}


def _seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(CALLS):
        call()
    return time.process_time() - started


async def _stages(plane: DataPlane, request: bytes) -> dict[str, Callable[[], Any]]:
    """Each stage as a call that is made again and again on the same, as `Pipeline.serve` makes it."""
    raw = request[: request.index(b"\r\n\r\n") + 4]
    limits = EdgeLimits()
    head = read_head(raw, "127.0.0.1:40000", limits).head
    token = token_in(head.headers)
    subject = await plane.gateway.tokens.verify(token)
    policies = plane.gateway.current
    body, target = body_of(get_item()), head.headers[b"x-amz-target"]
    identity = bind(subject, claimed_in(head.headers), policies.workloads, policies.dag_of_key)
    operation = read_operation(target, body, 60000, None)
    principal = policies.decide(identity, operation, time.time()).granted_role()
    credentials = await plane.gateway.roles.credentials_for(principal)
    reply = Reply(200, HEADERS, ANSWER_BODY)
    endpoint = plane.gateway.upstreams.pool_of(REGION, "dynamodb").endpoint
    journal = Journal(plane.gateway.audit, plane.gateway.metrics, plane.gateway, plane.gateway.outbox)
    edge = Edge(plane.gateway.pipeline, limits, plane.loop)
    passed = PassedHeaders(b"amz-sdk-invocation-id", b"amz-sdk-request")

    peer = "127.0.0.1:40000"
    plain = read_plain_head(request, peer, limits)
    before = plain and plain[3]

    def record() -> None:
        exchange = Exchange("0123456789abcdef", time.time(), head.peer)
        exchange.subject, exchange.identity, exchange.operation = subject, identity, operation
        exchange.operation_name, exchange.reason, exchange.rule = "GetItem", Reason.ALLOWED, "policies/runs.yaml:25"
        exchange.role_arn, exchange.policy_digest = principal.role_arn, policies.digest
        journal.decision(exchange)
        exchange.ending, exchange.sent, exchange.status = Ending.SERVED, True, 200
        journal.outcome(exchange)
        journal.settle()

    return {
        "head": lambda: read_plain_head(request, peer, limits, before) or read_head(raw, peer, limits),
        "token": lambda: plane.gateway.tokens.known(found_token(head.headers)[1], time.time()),
        "bind": lambda: bind(subject, claimed_in(head.headers), policies.workloads, policies.dag_of_key),
        "read": lambda: read_operation(target, body, 60000, None),
        "decide": lambda: (
            policies.decide(identity, operation, time.time()).granted_role(),
            plane.gateway.roles.ready(principal),
        ),
        "sign": lambda: signed_request(
            endpoint, operation.target.encode(), operation.body, credentials, time.time(), passed.lines(head.headers)
        ),
        "send": lambda: None,
        "reply": lambda: (summarise(operation, reply), edge.written(reply, closes=False)),
        "record": record,
    }


async def _send_seconds(plane: DataPlane) -> float:
    """An exchange with an upstream that answers at once, the kernel and the upstream's own side included."""
    pool = plane.gateway.upstreams.pool_of(REGION, "dynamodb")
    request = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"
    started = time.process_time()
    for _ in range(CALLS):
        await pool.send(request, is_write=False, sent=lambda: None)
    return time.process_time() - started


def measure() -> dict[str, float]:
    """The prices, on the loop that the gateway runs on."""
    import uvloop

    with tempfile.TemporaryDirectory(prefix="bench-") as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(unit_prices(Path(folder)))


def main() -> int:
    """Print the table."""
    prices = measure()
    for name, price in prices.items():
        print(f"{name:8} {price:7.2f} us")
    print(json.dumps(prices))
    return 0


if __name__ == "__main__":
    sys.exit(main())
