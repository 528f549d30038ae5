"""The admin plane: health, readiness and metrics, on a port of its own and never on the data path.

These three are open (decision 16), so they say nothing that a stranger may not know: no token, key, address or trace.
Whatever is added here later asks for an admin token first.
"""

from __future__ import annotations

from typing import Protocol

import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel

from proxy import __version__


class AdminState(Protocol):
    """What the admin plane is told: by the one process, or by the parent that reads what its workers wrote."""

    def is_ready(self) -> tuple[bool, list[str]]:
        """Whether requests can be served, and what is missing, one line each."""

    def render_metrics(self) -> tuple[str, bytes]:
        """Content type and text of a scrape."""


class Health(BaseModel):
    """The process lives."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether requests can be served; `missing` names what stands in the way."""

    ready: bool
    missing: list[str]


def create_admin(state: AdminState) -> FastAPI:
    """The admin app. Its handlers run in threads, so that a slow scrape never holds the data plane's loop."""
    admin = FastAPI(title="dynamodb-proxy admin", version=__version__, redoc_url=None, debug=False)

    @admin.get("/healthz", summary="The process lives")
    def read_health() -> Health:
        return Health()

    @admin.get("/readyz", summary="Requests can be served", responses={503: {"model": Readiness}})
    def read_readiness(response: Response) -> Readiness:
        ready, missing = state.is_ready()
        response.status_code = 200 if ready else 503
        return Readiness(ready=ready, missing=missing)

    @admin.get(
        "/metrics",
        summary="Metrics in Prometheus' text format",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def read_metrics() -> Response:
        content_type, text = state.render_metrics()
        return Response(text, headers={"content-type": content_type})

    return admin


def admin_server(state: AdminState, host: str, port: int) -> uvicorn.Config:
    """How uvicorn serves the admin app: without a `server` header, an access log, websockets or a lifespan."""
    return uvicorn.Config(
        create_admin(state),
        host=host,
        port=port,
        server_header=False,
        access_log=False,
        log_config=None,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        limit_concurrency=512,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
    )
