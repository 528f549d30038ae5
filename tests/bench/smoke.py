"""One number that a busy machine hardly moves: the CPU time of a request, in turns of a loop that is always the same.

`python -m tests.bench.smoke` prints it, and with `--write` makes it the baseline (tests/bench/baseline.json). Both are minima of
interleaved rounds in one process, so that clock, caches and neighbours trouble both alike; wall time plays no part.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.in_process import DataPlane
from tests.bench.wire import get_item, request_of
from tests.bench.world import BENCH

if TYPE_CHECKING:
    from collections.abc import Callable

BASELINE = BENCH / "baseline.json"
ROUNDS, REQUESTS, TURNS = 150, 20, 300  # blocks of 3 ms: some fall into quiet moments, on both sides
TOO_MUCH = 1.5  # times the baseline: noise stays under it, a doubling does not
STALE = TOO_MUCH / 2  # under it twice the cost would still pass
_LINE = b"x-amz-target: DynamoDB_20120810.GetItem\r\n" * 12


def _turn() -> int:
    """What the pipeline is made of: cut bytes, fill and ask dictionaries, hash, call, write JSON."""
    fields: dict[bytes, bytes] = {}
    for number, line in enumerate(_LINE.split(b"\r\n")):
        name, _, value = line.partition(b": ")
        fields[b"%d-%s" % (number, name)] = value
    told = {name.decode(): len(value) for name, value in fields.items()}
    return len(json.dumps(told)) + hashlib.sha256(_LINE).digest()[0]


def _calibration() -> float:
    started = time.process_time()
    for _ in range(TURNS):
        _turn()
    return (time.process_time() - started) / TURNS


async def _measure(folder: Path, wrapped: Callable[[Any], Any]) -> float:
    plane = await DataPlane.started(folder)
    caller = plane.caller(wrapped(plane.gateway.pipeline))
    request = request_of(get_item(), plane.token())
    assert (await caller.ask(request)).startswith(b"HTTP/1.1 200")
    loop = requests = float("inf")
    for _ in range(ROUNDS):
        loop = min(loop, _calibration())
        started = time.process_time()
        for _ in range(REQUESTS):
            await caller.ask(request)
        requests = min(requests, (time.process_time() - started) / REQUESTS)
    caller.close()
    await plane.close()
    return requests / loop


def turns_of_a_request(wrapped: Callable[[Any], Any] = lambda pipeline: pipeline) -> float:
    """What one GetItem costs from the edge's bytes to the answer's, in turns; `wrapped` may stand around the pipeline."""
    import uvloop

    with tempfile.TemporaryDirectory(prefix="bench-") as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(Path(folder), wrapped))


def baseline() -> float:
    """The committed figure."""
    return float(json.loads(BASELINE.read_text())["turns_of_a_request"])


def main() -> int:
    """Print or write it."""
    turns = min(turns_of_a_request() for _ in range(5))
    if "--write" in sys.argv:
        renewed = {"turns_of_a_request": round(turns, 2), "renew": "python -m tests.bench.smoke --write"}
        BASELINE.write_text(json.dumps(renewed, indent=1) + "\n")
    print(f"{turns:.2f} turns a request; baseline {baseline():.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
