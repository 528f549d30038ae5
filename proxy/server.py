"""The data plane as processes: bind, listen, drain, stop. uvicorn gives loop, lifespan and main loop; the wire is `proxy.edge`.

SIGTERM or SIGINT, once or more often: `draining` is told to the app, answers close their connections, after `drain_delay` the
listener closes, what runs is finished, the exit status is 0. `proxy.workers` runs several of these processes on one socket.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from proxy.edge.connection import Connection
from proxy.edge.limits import EdgeLimits
from proxy.edge.shared import Edge
from proxy.edge.tls import TlsPort, cause_of, keep_fresh
from proxy.native import IS_COMPILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

log = logging.getLogger("proxy.server")

CERTIFICATE_POLL_SECONDS = 5.0
TLS_HANDSHAKE_SECONDS = 10.0
TLS_SHUTDOWN_SECONDS = 2.0


class CannotServe(Exception):
    """The data plane cannot start; the message says why and what to do, without a trace."""


@dataclass(frozen=True, slots=True)
class DataPlane:
    """How to serve. `app` is an ASGI app that speaks lifespan only, or the import string of a function that makes one.

    In its lifespan it puts into `scope["state"]`: `pipeline` (see `proxy.edge.shared.Service`), `logins` (`LoginService`, if not
    the same) and, if not the defaults, `limits` (`EdgeLimits`), and `certificate_told` (see `proxy.edge.tls.keep_fresh`). The
    server puts there `edge` (numbers for metrics) and, from the first signal on, `draining` = True.
    """

    app: str | Callable[..., Any]
    certificate: Path | None = None
    key: Path | None = None
    workers: int = 1  # more than one needs an import string
    drain_delay: float = 0.0  # seconds in which new requests are still taken, for load balancers to look away
    drain_timeout: float = 60.0  # seconds for what runs to finish


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, not yet listening; port 0 takes a free one. Raises `CannotServe`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotServe(f"cannot listen on `{host}`: {error.strerror}; write an address of this machine") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise CannotServe(
            f"cannot listen on `{host}` port {port}: {error.strerror}; choose another or stop what uses it"
        ) from error
    return listener


def bind_unix(path: Path) -> socket.socket:
    """A bound Unix socket that its owner alone may open, not yet listening; one that nobody serves gives way.

    Raises `CannotServe`.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not _is_served(path):
            path.unlink()
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        listener.close()
        cause = error.strerror or "the path is too long"
        raise CannotServe(f"cannot listen on `{path}`: {cause}; choose another path or stop what uses it") from error
    return listener


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def run_server(plane: DataPlane, listener: socket.socket) -> int:
    """Serve in this process until a signal; returns the exit status (0 after a drain, 3 when the app did not start)."""
    config = uvicorn.Config(
        plane.app,
        factory=isinstance(plane.app, str),
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=1,
    )
    try:
        GatewayServer(config, plane).run(sockets=[listener])
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0


def load_tls(plane: DataPlane) -> TlsPort | None:
    """The TLS context of the port, None for plaintext. Raises `CannotServe`."""
    if plane.certificate is None or plane.key is None:
        return None
    try:
        return TlsPort(plane.certificate, plane.key)
    except OSError as error:
        raise CannotServe(f"cannot use certificate `{plane.certificate}` with key `{plane.key}`: {cause_of(error)}") from error


class GatewayServer(uvicorn.Server):
    """uvicorn's server with our own wire and our own way to stop.

    `startup` is replaced because uvicorn leaves the deadline of TLS handshakes at asyncio's 60 s, `shutdown` because uvicorn
    stops listening at once, waits in steps, and cancels what takes long.
    """

    def __init__(self, config: uvicorn.Config, plane: DataPlane) -> None:
        super().__init__(config)
        self.plane = plane
        self._edge: Edge
        self._reloading: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install the handlers for good: a signal that comes while the process ends must not change its exit status."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin to drain. A second signal changes nothing, and none is raised again: the exit status stays 0."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then listen."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        loop = asyncio.get_running_loop()
        state = self.lifespan.state
        self._edge = state["edge"] = Edge(
            state["pipeline"], state.get("limits") or EdgeLimits(), loop, state.get("logins"), state.get("outbox")
        )
        tls = load_tls(self.plane)
        try:
            self.servers = [await self._listen(listener, tls) for listener in sockets or []]
        except OSError as error:
            await self.lifespan.shutdown()
            raise CannotServe(f"cannot listen: {error.strerror}; choose another port or stop what uses it") from error
        if tls is not None:
            self._reloading = loop.create_task(keep_fresh(tls, CERTIFICATE_POLL_SECONDS, state.get("certificate_told")))
        self.started = True
        if not IS_COMPILED:
            log.info("the compiled forms are not there, or left out: all is Python, and a request costs more")
        for listener in sockets or []:
            log.info("serving %s on %s port %d", "https" if tls else "http", *listener.getsockname()[:2])

    async def _listen(self, listener: socket.socket, tls: TlsPort | None) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            partial(Connection, self._edge),
            sock=listener,
            ssl=tls,
            backlog=self.config.backlog,
            ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS if tls else None,
            ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS if tls else None,
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then stop the app."""
        self._edge.is_draining = self.lifespan.state["draining"] = True
        await asyncio.sleep(self.plane.drain_delay)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        if not await self._edge.drain(self.plane.drain_timeout):
            log.error("%d requests did not finish within the drain timeout", len(self._edge.requests))
        if self._reloading is not None:
            self._reloading.cancel()
        await self.lifespan.shutdown()
        await self._edge.cancel_requests()
