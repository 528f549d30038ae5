"""Costs inside the process, as minima of interleaved rounds: many DAGs against few, judging, `check`, the worst body.

CPU time, never wall time. Rounds of what is compared take turns, so that a busy machine troubles both sides.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import TYPE_CHECKING, Any

from proxy.dynamodb.operation import read_operation
from proxy.identity.binding import bind
from proxy.model import Claimed, Subject
from tests.bench import bench_check, bench_sessions
from tests.bench.bench_worst import WELL_FORMED, fitting
from tests.bench.in_process import DataPlane, policies_of
from tests.bench.wire import DAG, body_of, get_item, request_of
from tests.bench.world import policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.bench.bars import Run
    from tests.bench.in_process import Caller

ROUNDS, CALLS = 20, 128
_MARKS, _BODY = 60_000, 16 << 20  # the defaults of `limits.json_members` and, nearly, of `limits.body_bytes`
_OPEN = f"""
tables:
  tab: {{key: "pk (S)"}}
dags:
  {DAG}: {{role: "arn:aws:iam::111122223333:role/r", allow: [{{actions: [read, write], tables: [tab]}}]}}
"""


async def compare_dags(folder: Path, run: Run) -> None:
    """64 DAGs, each with its token, AWS session and connection, against one; a policy of 10,000 DAGs against one of 10."""
    many = [f"dag_{number}" for number in range(64)]
    plane = await DataPlane.started(folder / "64", policy_of(many))
    run.figures["dags/64"] = await _ratio(plane, many, plane, many[:1])
    await plane.close()
    few, most = [f"dag_{number}" for number in range(10)], [f"dag_{number}" for number in range(10_000)]
    small = await DataPlane.started(folder / "10", policy_of(few, 2))
    large = await DataPlane.started(folder / "10000", policy_of(most, 2))
    run.figures["dags/10000"] = await _ratio(large, few, small, few)
    await small.close()
    await large.close()


async def _ratio(plane: DataPlane, dags: list[str], other: DataPlane, other_dags: list[str]) -> float:
    sides = []
    for one, names in ((plane, dags), (other, other_dags)):
        asking = [(one.caller(), request_of(get_item(name), one.token(name))) for name in names]
        for caller, request in asking:
            assert (await caller.ask(request)).startswith(b"HTTP/1.1 200")
        sides.append(asking)
    least = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for side, asking in enumerate(sides):
            least[side] = min(least[side], await _seconds(itertools.islice(itertools.cycle(asking), CALLS)))
    for caller, _ in itertools.chain(*sides):
        caller.close()
    return least[0] / least[1]


async def _seconds(asking: Iterable[tuple[Caller, bytes]]) -> float:
    started = time.process_time()
    for caller, request in asking:
        await caller.ask(request)
    return time.process_time() - started


def measure_judging(run: Run) -> None:
    """Reading and deciding a GetItem under 10 rules: warm with the same words again, cold with expressions never seen."""
    policies = policies_of(policy_of([DAG]))
    identity = bind(Subject("cluster", "worker", {"dag_id": DAG}, ("*",), 2e9, "jti"), Claimed(), policies.workloads, {})
    target = b"DynamoDB_20120810.GetItem"

    def judge(body: bytes) -> None:
        assert policies.decide(identity, read_operation(target, body, _MARKS, None), 0.0).granted_role()

    operation, request = get_item()
    assert operation == "GetItem"
    fresh = (body_of((operation, request | {"ProjectionExpression": f"#s, #a, #p, c{number}"})) for number in itertools.count())
    warm = body_of((operation, request))
    run.figures["judge/warm"] = min(_each(judge, [warm] * CALLS) for _ in range(ROUNDS)) * 1e6
    run.figures["judge/cold"] = min(_each(judge, list(itertools.islice(fresh, CALLS))) for _ in range(ROUNDS)) * 1e6


def _each(call: Callable[[bytes], None], inputs: list[bytes]) -> float:
    started = time.process_time()
    for one in inputs:
        call(one)
    return (time.process_time() - started) / len(inputs)


def measure_check(run: Run) -> None:
    """`check`, `lint` and `diff` of 1,000 rules; and a session's inbound signature."""
    run.figures["session/verify"] = bench_sessions.measure()
    run.figures["check/seconds"], run.figures["check/lint"], run.figures["check/diff"] = bench_check.measure()


async def measure_worst_body(folder: Path, run: Run) -> None:
    """The body, as large and laborious as the gate lets in, that holds the loop longest between two turns: CPU time."""
    plane = await DataPlane.started(folder, {"policies/open.yaml": _OPEN})
    caller = plane.caller()
    bearer = plane.token()
    rows = []
    for what, (operation, body) in (_grown() | _large()).items():
        request = request_of((operation, {}), bearer).partition(b"Content-Length")[0]
        request += b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        taken = []
        for _ in range(3):
            asking = asyncio.ensure_future(caller.ask(request))
            taken.append(await _longest_hold(asking))
            answer = asking.result()
            if b"connection: close" in answer:
                caller = plane.caller()
        rows.append({"body": what, "bytes": len(body), "answer": int(answer[9:12]), "ms": min(taken) * 1000})
    run.tables["worst bodies"] = sorted(rows, key=lambda row: -row["ms"])
    run.figures["stall/body"] = max(row["ms"] for row in rows)
    await plane.close()


async def _longest_hold(task: asyncio.Future[Any]) -> float:
    """The most CPU time that the loop's thread spent between two of its turns until `task` was done."""
    longest, before = 0.0, time.thread_time()
    while not task.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, before = max(longest, now - before), now
    return longest


def _grown() -> dict[str, tuple[str, bytes]]:
    """Each family of well-formed requests up to the bound on members."""

    def fits(text: str) -> bool:
        return text.count(":") + text.count(",") <= _MARKS and len(text) <= _BODY

    return {what: (name, fitting(make, fits, _MARKS)) for what, (name, make) in WELL_FORMED.items()}


def _large() -> dict[str, tuple[str, bytes]]:
    """16 MiB in few members."""

    def put(value: str) -> bytes:
        return b'{"TableName":"tab","Item":{"pk":{"S":"d"},"a":%s}}' % value.encode()

    room = _BODY - 1024
    item: dict[str, Any] = {
        "16 MiB of text": put('{"S":"%s"}' % ("x" * room)),
        "16 MiB of escapes": put('{"S":"%s"}' % ("\\u00e9" * (room // 6))),
        "16 MiB of other scripts": put('{"S":"%s"}' % ("\u4e16" * (room // 3))),
        "16 MiB of base64": put('{"B":"%s"}' % ("YWJj" * (room // 4))),
        "16 MiB of digits": put('{"N":"%s"}' % ("1" * room)),
        "20,000 numbers of 38 digits": put(json.dumps({"NS": [f"{number:038}" for number in range(20_000)]})),
        "a table's name of 16 MiB": b'{"TableName":"%s"}' % (b"t" * room),
        "spaces": b'{"TableName":"tab"%s}' % (b" " * room),
    }
    return {what: ("PutItem", body) for what, body in item.items()} | {
        "25 puts of 700 attributes": ("BatchWriteItem", _batch(25, 700)),
    }


def _batch(puts: int, attributes: int) -> bytes:
    item = {"pk": {"S": "d"}} | {f"a{number}": {"S": ""} for number in range(attributes)}
    return json.dumps({"RequestItems": {"tab": [{"PutRequest": {"Item": item}}] * puts}}).encode()
