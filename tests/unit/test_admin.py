"""The admin plane over a real socket: open, plain, and telling a stranger nothing."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import httpx
import uvicorn

from proxy.admin import admin_server


class State:
    """What the admin plane is told."""

    missing: list[str]

    def __init__(self, missing: list[str], *, is_broken: bool = False) -> None:
        self.missing = missing
        self.is_broken = is_broken

    def is_ready(self) -> tuple[bool, list[str]]:
        """Say what is missing."""
        return not self.missing, self.missing

    def render_metrics(self) -> tuple[str, bytes]:
        """Give a scrape, or fail as a defect does."""
        if self.is_broken:
            raise RuntimeError("SECRET-CANARY")
        return "text/plain; version=0.0.4; charset=utf-8", b"up 1\n"


@asynccontextmanager
async def admin(state: State):
    """A client of the admin plane, served by uvicorn on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(admin_server(state, "127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            await serving


async def test_health_and_metrics_are_open() -> None:
    """Without a token: alive, ready, and metrics in Prometheus' content type, without a `server` header."""
    async with admin(State([])) as client:
        health = await client.get("/healthz")
        ready = await client.get("/readyz")
        metrics = await client.get("/metrics")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "missing": []})
    assert (metrics.status_code, metrics.content) == (200, b"up 1\n")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert all("server" not in reply.headers for reply in (health, ready, metrics))


async def test_what_is_missing_is_listed() -> None:
    """503 with one line for each thing that stands in the way; health stays 200."""
    async with admin(State(["policy", "keys of issuer airflow"])) as client:
        reply = await client.get("/readyz")
        health = await client.get("/healthz")
    assert (reply.status_code, reply.json()) == (503, {"ready": False, "missing": ["policy", "keys of issuer airflow"]})
    assert health.status_code == 200


async def test_a_defect_shows_no_trace() -> None:
    """An error inside is a bare 500 to the caller."""
    async with admin(State([], is_broken=True)) as client:
        reply = await client.get("/metrics")
    assert reply.status_code == 500
    assert b"CANARY" not in reply.content
    assert b"Traceback" not in reply.content


async def test_openapi_names_the_three_and_nothing_else() -> None:
    """The schema is served, and no other route exists."""
    async with admin(State([])) as client:
        schema = (await client.get("/openapi.json")).json()
        page = await client.get("/docs")
        unknown = await client.get("/explain")
        wrong = await client.post("/metrics")
    assert set(schema["paths"]) == {"/healthz", "/readyz", "/metrics"}
    assert page.status_code == 200
    assert (unknown.status_code, wrong.status_code) == (404, 405)
