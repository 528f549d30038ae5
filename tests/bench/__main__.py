"""`make bench`: every comparison and every bar, in under ten minutes. Tables on standard output, the same as JSON in a file.

    python -m tests.bench [--rounds N] [--json FILE] [PART ...]

Parts: inside alone plain tls sessions workers rate. The exit status is 1 where a bar is missed. Nothing else should run
meanwhile; where it does, ratios still hold within some ten percent, and wall times (start, latency) do not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import alone, comparison, inside, stages
from tests.bench.bars import Run, judge
from tests.bench.report import tables_of
from tests.bench.world import World, world

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def _in_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


def run_inside(around: World, run: Run, _: int) -> None:
    """What needs no other process."""
    run.tables["stages"] = [{"stage": name, "cpu us": price} for name, price in stages.measure().items()]
    _in_loop(lambda: inside.compare_dags(around.folder / "dags", run))
    inside.measure_judging(run)
    inside.measure_check(run)
    _in_loop(lambda: inside.measure_worst_body(around.folder / "worst", run))


def run_alone(around: World, run: Run, _: int) -> None:
    """What one gateway does by itself."""
    alone.measure_start(around, run)
    _in_loop(lambda: alone.measure_reload(run))
    _in_loop(lambda: alone.measure_cold_token(around.folder / "cold", run))


PARTS: dict[str, Callable[[World, Run, int], None]] = {
    "inside": run_inside,
    "alone": run_alone,
    "plain": comparison.compare_plain,
    "tls": comparison.compare_tls,
    "sessions": comparison.compare_sessions,
    "workers": comparison.compare_workers,
    "rate": comparison.compare_latency,
}


def main() -> int:
    """Run the parts."""
    arguments = argparse.ArgumentParser(description="measure the gateway beside its peers")
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("parts", nargs="*", metavar="PART", help=f"of {' '.join(PARTS)}; all by default")
    given = arguments.parse_args()
    if unknown := set(given.parts) - PARTS.keys():
        arguments.error(f"no part is called {', '.join(sorted(unknown))}")
    run = Run()
    run.tables["what ran"] = [{"what": "dynamodb-proxy and naive", "version": f"Python {platform.python_version()}"}]
    if not os.environ.get("PEER_SIGV4"):
        run.left_out.append("aws-sigv4-proxy: no registry offers it; PEER_SIGV4=PATH names a binary")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, world(Path(folder)) as around:
        for part in given.parts or PARTS:
            started = time.monotonic()
            PARTS[part](around, run, given.rounds)
            print(f"{part}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print("\n".join(tables_of(run)))
    if given.json:
        given.json.write_text(json.dumps(run.as_json(), indent=1) + "\n")
    return 1 if any(verdict.word == "FAIL" for verdict in judge(run.figures)) else 0


if __name__ == "__main__":
    sys.exit(main())
