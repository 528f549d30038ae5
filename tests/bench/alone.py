"""Our gateway by itself: how soon it answers, and for how long one reload, one body or one cold token holds its loop."""

from __future__ import annotations

import asyncio
import subprocess
import time
from typing import TYPE_CHECKING, Any

from proxy.policy.document import digest_of
from proxy.policy.store import policies_of as compile_policies
from tests.bench import bench_check, peers
from tests.bench.in_process import DataPlane
from tests.bench.wire import get_item, request_of
from tests.stack.process import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.bars import Run
    from tests.bench.world import World

_TRIES = 5
_POLL_SECONDS = 0.005
_DEADLINE_SECONDS = 20.0
_TICK = 0.001


def measure_start(world: World, run: Run) -> None:
    """Seconds from exec to the first refusal that is right, and to the first signed answer: the least of some starts."""
    token = world.token()
    refused, signed = [], []
    for number in range(_TRIES):
        target = peers.ours(world, f"start {number}")
        refused.append(_seconds_until(target, lambda port: peers.ask(port, "")[0] == 400))
        signed.append(_seconds_until(target, lambda port: peers.ask(port, token)[0] == 200))
    run.figures |= {"start/refusal": min(refused), "start/signed": min(signed)}
    run.tables["start"] = [{"refusal s": first, "signed s": second} for first, second in zip(refused, signed, strict=True)]


def _seconds_until(target: peers.Target, is_met: Callable[[int], bool]) -> float:
    """From exec; the process is started anew and ended."""
    began = time.monotonic()
    process = subprocess.Popen(
        target.command, cwd=ROOT, env=clean_environment(target.env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not is_met(target.port):
            if process.poll() is not None or time.monotonic() - began > _DEADLINE_SECONDS:
                raise RuntimeError("the gateway did not start")
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - began
    finally:
        process.terminate()
        process.wait(20)


async def measure_reload(run: Run) -> None:
    """The longest time that the loop cannot run while a thread reads and compiles 1,000 rules: the least of some tries."""
    texts = bench_check.policies()
    environment = "prod"
    await asyncio.to_thread(compile_policies, texts, environment, "eu-west-1")
    stalls = []
    for number in range(_TRIES):
        changed = texts | {"t0.yaml": f"{texts['t0.yaml']}# {number}\n"}
        assert digest_of(changed) != digest_of(texts)
        stalls.append(await _longest_stall(asyncio.to_thread(compile_policies, changed, environment, "eu-west-1")))
    run.figures["stall/reload"] = min(stalls) * 1000


async def _longest_stall(work: Any) -> float:
    """How late the loop's ticks came while `work` ran, at most."""
    task = asyncio.ensure_future(work)
    longest, before = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(_TICK)
        now = time.perf_counter()
        longest, before = max(longest, now - before - _TICK), now
    task.result()
    return longest


async def measure_cold_token(folder: Path, run: Run) -> None:
    """1,000 connections bring a token that nobody has seen, before the issuer's keys are there."""
    plane = await DataPlane.started(folder)
    callers = [plane.caller() for _ in range(1000)]
    request = request_of(get_item(), plane.token())
    answers = await asyncio.gather(*(caller.ask(request) for caller in callers))
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    run.figures["cold/checks"] = plane.gateway.tokens.checked
    for caller in callers:
        caller.close()
    await plane.close()
