"""Our gateway beside its peers, from outside: CPU a request in interleaved rounds, latency at a fixed rate, workers.

Every part fills a `Run`. Ratios are of medians of one interleaved run; who failed a request is an error, not a figure.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.aws.sigv4 import Endpoint, signed_request
from proxy.model import Credentials
from tests.bench import peers
from tests.bench.processes import cpu_seconds, memory_mib, pinned
from tests.bench.rounds import Figures, Sample, interleave, load
from tests.bench.wire import batch_100k, body_of, get_item, request_of, write_requests
from tests.bench.world import LOAD_CPU, REGION, World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.bench.bars import Run
    from tests.bench.peers import Started, Target

OURS = "dynamodb-proxy"
RATE, RATE_CONNECTIONS = 300, 32
_SECONDS = 1


def compare_plain(world: World, run: Run, rounds: int) -> None:
    """GetItem over a plaintext upstream, and 100 KB batches on the same processes."""
    targets = [
        peers.ours(world),
        peers.envoy(world, "envoy"),
        peers.envoy(world, "envoy lua", lua=True),
        peers.nginx(world),
        peers.haproxy(world),
        peers.naive(world),
        *peers.sigv4_proxies(world),
    ]
    gets = write_requests(world.folder / "get", [request_of(get_item(), world.token())])
    batches = write_requests(world.folder / "batch", [request_of(batch_100k(), world.token())])
    with _all_started(targets, world) as started:
        idle = memory_mib(started[0].program.process.pid)
        _compare("plain", run, started, gets, rounds)
        _compare("batch", run, started[:2], batches, rounds)
        loaded = memory_mib(started[0].program.process.pid)
        run.figures |= {"memory/idle": idle[0], "memory/loaded": loaded[0]}
        run.tables["memory"] = [
            {"target": one.target.name, "resident MiB": memory_mib(one.program.process.pid)[0], "start s": one.first_answer}
            for one in started
        ]


def compare_tls(world: World, run: Run, rounds: int) -> None:
    """GetItem over a TLS upstream, as in production."""
    targets = [
        peers.ours(world, "dynamodb-proxy tls", tls=True),
        peers.envoy(world, "envoy tls", tls=True),
        peers.naive(world, tls=True),
        *peers.sigv4_proxies(world, tls=True),
    ]
    gets = write_requests(world.folder / "get", [request_of(get_item(), world.token())])
    with _all_started(targets, world) as started:
        _compare("tls", run, started, gets, rounds)


def compare_workers(world: World, run: Run, rounds: int) -> None:
    """1, 2 and 4 workers with 16 callers each, all on one processor: what sharing a socket costs, not how it scales."""
    counts = (1, 2, 4)
    targets = [peers.ours(world, f"{count} workers", workers=count) for count in counts]
    gets = write_requests(world.folder / "get", [request_of(get_item(), world.token())])
    with _all_started(targets, world) as started:
        callers = {f"{count} workers": 16 * count for count in counts}
        figures = interleave(started, rounds, lambda one: load(one, gets, _SECONDS, callers[one.target.name]))
    _told("workers", run, figures)
    for count in counts[1:]:
        run.figures[f"workers/{count}"] = figures[f"{count} workers"].cpu_us / figures["1 workers"].cpu_us


def compare_sessions(world: World, run: Run, rounds: int) -> None:
    """A minted session, its requests signed by the worker, against a bearer token, on one gateway."""
    target = peers.ours(world)
    with _all_started([target], world) as (started,):
        minted = _minted(target.port, world.token())
        if minted is None:
            run.left_out.append("a minted session: the gateway answers no GET /v1/credentials")
            return
        endpoint = Endpoint("http", "127.0.0.1", target.port, REGION)
        body = body_of(get_item())
        signed = signed_request(endpoint, b"DynamoDB_20120810.GetItem", body, minted, time.time())
        requests = {
            "bearer": write_requests(world.folder / "bearer", [request_of(get_item(), world.token())]),
            "session": write_requests(world.folder / "session", [signed]),
        }
        sides = [replace(started, target=replace(target, name=name)) for name in requests]
        figures = interleave(sides, rounds, lambda one: load(one, requests[one.target.name], _SECONDS))
    _told("sessions", run, figures)
    run.figures["session/bearer"] = figures["session"].cpu_us / figures["bearer"].cpu_us


def _minted(port: int, token: str) -> Credentials | None:
    """A session, as the container provider of AWS SDKs asks for one; None where there is no such way in."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/v1/credentials", headers={"host": "127.0.0.1", "authorization": token})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        if answer.status != 200:
            return None
        return Credentials(told["AccessKeyId"], told["SecretAccessKey"], told["Token"], time.time() + 3600)
    finally:
        connection.close()


def compare_latency(world: World, run: Run, rounds: int) -> None:
    """What each gateway adds to going direct, at a rate that saturates none."""
    generator = world.folder / "steady"
    subprocess.run(["cc", "-O2", "-o", str(generator), str(peers.BENCH / "steady.c")], check=True)
    gets = write_requests(world.folder / "get", [request_of(get_item(), world.token())])
    port = int(world.plain.rpartition(":")[2])
    with _all_started([peers.ours(world), peers.envoy(world, "envoy"), peers.nginx(world)], world) as started:
        ports = {"direct": (port, 0)} | {one.target.name: (one.target.port, one.program.process.pid) for one in started}
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
        for number in range(rounds + 1):
            for name in list(ports)[:: -1 if number % 2 else 1]:
                sample = steady(generator, ports[name][0], gets, RATE, 3, pid=ports[name][1])
                if number:
                    taken[name].append(sample)
    rows = {name: {key: _median(samples, key) for key in samples[0]} for name, samples in taken.items()}
    run.tables["rate"] = [{"target": name, **row} for name, row in rows.items()]
    for figure in ("p50", "p99"):
        added = {name: row[f"{figure} ms"] - rows["direct"][f"{figure} ms"] for name, row in rows.items()}
        run.figures[f"rate/{figure}"] = added[OURS] / max(added["envoy"], 1e-3)
        run.figures |= {f"added {figure} ms/{name}": value for name, value in added.items() if name != "direct"}


def steady(generator: Path, port: int, requests: Path, rate: int, seconds: float, *, pid: int = 0) -> dict[str, float]:
    """Latency in ms and CPU time a request at a fixed rate; see steady.c. Raises RuntimeError if a request failed."""
    before = cpu_seconds(pid) if pid else 0.0
    words = [*pinned(LOAD_CPU), str(generator), str(port), str(requests), str(rate), str(seconds), str(RATE_CONNECTIONS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the load at a fixed rate failed: {done.stderr}")
    told = json.loads(done.stdout)
    if told["failed"]:
        raise RuntimeError(f"{told['failed']} of {told['requests']} requests at a fixed rate failed")
    used = (cpu_seconds(pid) - before if pid else 0.0) / told["requests"] * 1e6
    return {"p50 ms": told["p50_us"] / 1e3, "p99 ms": told["p99_us"] / 1e3, "max ms": told["max_us"] / 1e3, "cpu us": used}


@contextlib.contextmanager
def _all_started(targets: Sequence[Target], world: World) -> Any:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(peers.started(target, world)) for target in targets]


def _compare(part: str, run: Run, started: Sequence[Started], requests: Path, rounds: int) -> None:
    def measure(target: Started) -> Sample:
        return load(target, requests, _SECONDS)

    figures = interleave(started, rounds, measure)
    _told(part, run, figures)
    own, *others = figures.values()
    for one in others:
        run.figures[f"{part}/{one.name.removesuffix(' pass-through').removesuffix(' tls')}"] = own.cpu_us / one.cpu_us


def _told(part: str, run: Run, figures: dict[str, Figures]) -> None:
    failed = {name: one.failed for name, one in figures.items() if one.failed}
    if failed:
        raise RuntimeError(f"requests failed, so nothing is compared: {failed}")
    own = next(iter(figures.values()))
    run.tables[part] = [
        {
            "target": one.name, "cpu us": one.cpu_us, "least cpu us": one.least_cpu_us, "ours is": own.cpu_us / one.cpu_us,
            "a second": one.rate, "p50 ms": one.p50_ms, "p99 ms": one.p99_ms,
        }
        for one in figures.values()
    ]  # fmt: skip


def _median(samples: list[dict[str, float]], key: str) -> float:
    return sorted(sample[key] for sample in samples)[len(samples) // 2]
