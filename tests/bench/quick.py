"""The headline alone, in a minute: `python -m tests.bench.quick [ROUNDS [SECONDS]]`, ours against Envoy and nginx.

GetItem of 0.3 KB, 16 callers, plaintext upstream, a token seen before. `make bench` is the whole.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from tests.bench.peers import envoy, nginx, ours, started
from tests.bench.rounds import interleave, load
from tests.bench.wire import get_item, request_of, write_requests
from tests.bench.world import world


def main(rounds: int = 7, seconds: int = 2) -> int:
    """Print CPU time a request and its ratio to ours."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, contextlib.ExitStack() as stack:
        around = stack.enter_context(world(Path(folder)))
        targets = [ours(around), envoy(around, "envoy jwtcache+sign"), nginx(around)]
        running = [stack.enter_context(started(target, around)) for target in targets]
        requests = write_requests(around.folder / "get", [request_of(get_item(), around.token())])
        figures = list(interleave(running, rounds, lambda target: load(target, requests, seconds)).values())
    own = figures[0]
    for one in figures:
        print(
            f"{one.name:22} {one.cpu_us:7.1f} us a request (least {one.least_cpu_us:7.1f})   "
            f"ours is {own.cpu_us / one.cpu_us:5.2f}x   {one.rate:7.0f} a second, p50 {one.p50_ms:6.2f} ms, failed {one.failed}"
        )
    return 1 if any(one.failed for one in figures) else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
