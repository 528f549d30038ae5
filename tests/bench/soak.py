"""`make soak`: 200 requests a second for half an hour, everything on: `python -m tests.bench.soak [MINUTES]`.

Each minute brings 300 new tokens of 64 DAGs, a changed policy, reads, writes, queries, batches, refusals and throttles, and a
scrape every 5 s. Prints a line a minute. Fails where memory grows, the loop is held for over 50 ms, or an answer is not what
it must be.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import wire
from tests.bench.peers import Target, ask, ours
from tests.bench.report import table_of
from tests.bench.world import BENCH, World, world
from tests.stack.environments import python_of
from tests.stack.process import running

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE, CONNECTIONS, TOKENS, DAGS = 200, 32, 300, 64
THROTTLE_EVERY = 101
_HELD_MS, _GROWTH_MIB = 50.0, 3.0
_SCRAPE_SECONDS = 5.0
_WARM_UP_MINUTES = 1  # caches fill


@dataclass(frozen=True, slots=True)
class Minute:
    """What a minute showed."""

    rss_mib: float
    lag_ms: float
    held_ms: float
    gc_ms: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    wrong: int


def main(minutes: float = 30) -> int:
    """Soak, and judge."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        around = stack.enter_context(world(folder, THROTTLE_EVERY))
        dags = [f"dag_{number}" for number in range(DAGS)]
        target = _watched(ours(around, dags=dags), folder / "seen.jsonl")
        program = running("gateway", target.command, folder / "logs", env=target.env, ready=lambda _: _is_ready(target, around))
        stack.enter_context(program)
        stack.enter_context(_scraped(folder / target.name / "proxy.yaml"))
        subprocess.run(["cc", "-O2", "-o", str(folder / "steady"), str(BENCH / "steady.c")], check=True)
        taken = []
        for number in range(max(1, round(minutes))):
            taken.append(_minute(around, target, dags, number, min(60.0, minutes * 60)))
            print("\n".join(list(table_of([_row(number, taken[-1])]))[2 if number else 0 :]), flush=True)
    return _verdict(taken)


def _is_ready(target: Target, around: World) -> bool:
    return ask(target.port, around.token("dag_0"))[0] in (200, 400)


def _watched(target: Target, seen: Path) -> Target:
    serve = target.command[target.command.index("serve") :]
    return Target(
        target.name, [str(python_of("bench-server")), "-m", "tests.bench.watched", str(seen), *serve], target.port, target.env
    )


def _minute(around: World, target: Target, dags: list[str], number: int, seconds: float) -> Minute:
    policy = around.folder / target.name / "policies" / "dags0.yaml"
    policy.write_text(policy.read_text() + f"# minute {number}\n")
    requests, wrong = _requests(around, dags, number)
    file = wire.write_requests(around.folder / "requests", requests)
    before = len((around.folder / "seen.jsonl").read_text().splitlines())
    words = [str(around.folder / "steady"), str(target.port), str(file), str(RATE), str(seconds), str(CONNECTIONS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the load failed: {done.stderr}")
    told = json.loads(done.stdout)
    refusals = sum(wrong[place % len(wrong)] for place in range(told["requests"]))
    throttles = (told["requests"] - refusals) // THROTTLE_EVERY
    seen = [json.loads(line) for line in (around.folder / "seen.jsonl").read_text().splitlines()[before:]]
    return Minute(
        statistics.median(one["rss_mib"] for one in seen),
        max(one["lag_ms"] for one in seen),
        max(one["held_ms"] for one in seen),
        max(one["gc_ms"] for one in seen),
        told["p50_us"] / 1e3,
        told["p99_us"] / 1e3,
        told["max_us"] / 1e3,
        max(0, abs(told["failed"] - refusals - throttles) - 1),  # where the count of throttles stands is not known
    )


def _requests(around: World, dags: list[str], number: int) -> tuple[list[bytes], list[bool]]:
    """Requests of one minute, and whether each is to be refused."""
    requests, wrong = [], []
    for place in range(TOKENS):
        dag = dags[place % len(dags)]
        token = around.token(dag, jti=f"{number}-{place}")
        other = dags[(place + 1) % len(dags)]
        calls = [wire.get_item(dag)] * 6 + [wire.put_item(dag)] * 2 + [wire.query(dag)] * 2 + [wire.batch_10k(dag)]
        if place % 10 == 0:
            calls.append(wire.batch_100k(dag))
        made = [(wire.request_of(call, token), False) for call in calls]
        made.append((wire.request_of(wire.get_item(other), token), True))  # another DAG's key
        made.append((wire.request_of(wire.get_item(dag), token[:-8] + "AAAAAAAA"), True))  # a signature that does not hold
        requests += [request for request, _ in made]
        wrong += [refused for _, refused in made]
    return requests, wrong


@contextlib.contextmanager
def _scraped(config: Path) -> Iterator[None]:
    """A scrape of /metrics every 5 s while the block runs, as a Prometheus would."""
    url = f"http://{json.loads(config.read_text())['admin_listen']}/metrics"
    ended = threading.Event()

    def scrape() -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while not ended.wait(_SCRAPE_SECONDS):
            with opener.open(url, timeout=30) as reply:
                reply.read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _row(number: int, minute: Minute) -> dict[str, Any]:
    return {
        "minute": f"{number + 1:6}", "MiB": f"{minute.rss_mib:7.1f}", "lag ms": f"{minute.lag_ms:7.1f}",
        "held ms": f"{minute.held_ms:7.1f}", "gc ms": f"{minute.gc_ms:6.1f}", "p50 ms": f"{minute.p50_ms:7.2f}",
        "p99 ms": f"{minute.p99_ms:7.2f}", "max ms": f"{minute.max_ms:7.1f}", "wrong": f"{minute.wrong:5}",
    }  # fmt: skip


def _verdict(taken: list[Minute]) -> int:
    """Memory of the last quarter against that of the first after the warm-up; the longest hold; wrong answers."""
    settled = taken[_WARM_UP_MINUTES:] or taken
    quarter = max(1, len(settled) // 4)
    first, last = (statistics.median(one.rss_mib for one in part) for part in (settled[:quarter], settled[-quarter:]))
    held, wrong = max(one.held_ms for one in settled), sum(one.wrong for one in taken)
    is_good = last - first <= _GROWTH_MIB and held <= _HELD_MS and not wrong
    print(
        f"{'good' if is_good else 'NOT GOOD'}: {len(taken)} minutes, memory {first:.1f} -> {last:.1f} MiB, "
        f"loop held {held:.1f} ms at most (limit {_HELD_MS:.0f}), {wrong} wrong answers"
    )
    return 0 if is_good else 1


if __name__ == "__main__":
    started = time.monotonic()
    status = main(*map(float, sys.argv[1:]))
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    sys.exit(status)
