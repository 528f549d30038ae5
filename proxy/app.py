"""The gateway as processes: what stops all alike is found before a port is opened, then both planes are served.

One process serves the data plane, or `workers` of them share its port; each composes itself in the ASGI lifespan (decision
19). The admin port belongs to the first process in both cases, in a thread of its own: a scrape never holds the data plane's
loop.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import ssl
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.admin_plane import AdminThread, PoliciesOnDisk, admin_planes
from proxy.aws.sts import variable_pointing_at
from proxy.edge.limits import EdgeLimits
from proxy.followed import Unusable
from proxy.gateway import ITERATOR_KEY, RUNTIME_VARIABLE, SILENT_WORKER_SECONDS, Gateway
from proxy.observe.fleet import fleet_status, render_shared, share_between_workers
from proxy.observe.sink import LineSink
from proxy.policy.store import PolicyError, load_policies
from proxy.server import CannotServe, DataPlane, bind, load_tls
from proxy.settings import Settings, SettingsError, load_settings, settings_path
from proxy.trusted_files import SESSION_KEY, problem_of_files
from proxy.workers import serve_data_plane

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from proxy.admin import AdminState
    from proxy.policy.rules import Policies

CANNOT_START = 3


class LifespanApp:
    """The ASGI app of one process: it speaks lifespan only, for the wire is `proxy.edge`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.is_imported = threading.Event()
        self.gateway: Gateway | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Start the gateway, put it into the connections' state, stop it at the end."""
        await receive()
        try:
            gateway = self.gateway = Gateway(self.settings, self.is_imported)
        except (PolicyError, Unusable) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        scope["state"].update(
            pipeline=gateway.pipeline,
            logins=gateway.logins,
            limits=edge_limits(self.settings),
            outbox=gateway.outbox,
            certificate_told=gateway.trusted.certificate_told,
        )
        await gateway.start(scope["state"])
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await gateway.stop()
        await send({"type": "lifespan.shutdown.complete"})

    def policies(self) -> Policies:
        """The policies in force. Raises PolicyError before there are any."""
        if self.gateway is None:
            raise PolicyError(["the gateway is starting, or its policies cannot be used"])
        return self.gateway.current

    def is_ready(self) -> tuple[bool, list[str]]:
        """Whether requests can be served, and what is missing."""
        return self.gateway.is_ready() if self.gateway is not None else (False, ["starting"])

    def render_metrics(self) -> tuple[str, bytes]:
        """Content type and text of a scrape."""
        return self.gateway.render_metrics() if self.gateway is not None else ("text/plain", b"")


class Fleet:
    """Several workers, as the admin plane of their parent sees them."""

    def __init__(self, directory: Path, workers: int) -> None:
        self._directory = directory
        self._workers = workers

    def is_ready(self) -> tuple[bool, list[str]]:
        """Whether every worker is ready, and what is missing."""
        return fleet_status(self._directory, self._workers, SILENT_WORKER_SECONDS)

    def render_metrics(self) -> tuple[str, bytes]:
        """One scrape over all workers."""
        return render_shared(self._directory / "metrics")


def create_app() -> LifespanApp:
    """The app of a spawned worker, which finds the settings as its parent did."""
    try:
        settings = load_settings(settings_path(None), os.environ)
    except SettingsError as error:
        print("the settings have changed and cannot be used", *error.lines, sep="\n  ", file=sys.stderr)
        sys.exit(CANNOT_START)
    configure_logging(settings.log_level)
    return LifespanApp(settings)


def edge_limits(settings: Settings) -> EdgeLimits:
    """The settings that the wire obeys."""
    return EdgeLimits(
        head_bytes=settings.limits_head_bytes,
        header_count=settings.limits_headers,
        body_bytes=settings.limits_body_bytes,
        bodies_in_memory=settings.limits_body_bytes_total,
        connections=settings.limits_connections,
        head_seconds=settings.timeouts_head_seconds,
        body_seconds=settings.timeouts_body_seconds,
        idle_seconds=settings.timeouts_idle_seconds,
    )


def configure_logging(level: str) -> None:
    """Logs go to standard error, for the audit may own standard output; libraries speak from warnings on."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("proxy").setLevel(level.upper())


def serve(settings: Settings) -> int:
    """Serve until a signal. Returns the exit status: 0 after a drain, 2 for mistakes in settings, policies and files, 3 where
    the certificate or a port cannot be had.
    """
    configure_logging(settings.log_level)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is an audit file to open anew
    problems = problems_before_start(settings)
    if problems:
        print("the gateway cannot start; nothing was started", *problems, sep="\n  ", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="dynamodb-proxy-") as directory:
        try:
            return _serve_both_planes(settings, Path(directory))
        except (CannotServe, PolicyError) as error:
            print(error, file=sys.stderr)
            return CANNOT_START


def problems_before_start(settings: Settings) -> list[str]:
    """What would stop every worker alike, found before any port is opened."""
    try:
        load_policies(settings.policies, settings.environment, settings.aws_region)
    except PolicyError as error:
        return error.lines
    own = variable_pointing_at(os.environ, settings.listen.host, settings.listen.port)
    if own:
        problem = f"{own} points at this gateway's own port, so its AWS credentials would come from itself"
        return [f"{problem}; unset it for the gateway, it is meant for workers"]
    unusable = [problem for file in _authorities(settings) if (problem := _problem_of_authorities(file))]
    if unusable:
        return unusable
    if problem := problem_of_files(settings):
        return [problem]
    try:
        sink = LineSink(settings.audit_path)
        sink.check()
        sink.close()
    except OSError as error:
        return [f"`audit.path`: `{settings.audit_path}` cannot be written: {error.strerror}"]
    return []


def _authorities(settings: Settings) -> list[str]:
    """The files of trusted authorities that the settings name, each once."""
    return sorted({settings.aws_ca_file, *(issuer.keys.ca_file for issuer in settings.issuers)} - {""})


def _problem_of_authorities(file: str) -> str:
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:  # SSLError is one
        cause = "holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        return f"`ca_file`: `{file}`: {cause}; give a bundle of PEM certificates"
    return ""


def _serve_both_planes(settings: Settings, directory: Path) -> int:
    app = LifespanApp(settings)
    plane = DataPlane(
        app="proxy.app:create_app" if settings.workers > 1 else app,
        certificate=Path(settings.tls_certificate) if settings.tls_certificate else None,
        key=Path(settings.tls_key) if settings.tls_key else None,
        workers=settings.workers,
        drain_delay=settings.drain_delay_seconds,
        drain_timeout=settings.drain_timeout_seconds,
    )
    load_tls(plane)  # a bad certificate is told before any port is opened
    listener = bind(*settings.listen)
    admin_listener = bind(*settings.admin_listen)
    state: AdminState = app
    if settings.workers > 1:
        share_between_workers(directory / "metrics")
        os.environ[RUNTIME_VARIABLE] = str(directory)
        for shared in (ITERATOR_KEY, SESSION_KEY):
            (directory / shared).write_bytes(secrets.token_bytes(32))  # the directory is this user's alone
        state = Fleet(directory, settings.workers)
    policies = PoliciesOnDisk(settings) if settings.workers > 1 else app.policies
    turn = app.is_imported if settings.workers == 1 else None
    admin = AdminThread(state, admin_planes(settings, policies, admin_listener), turn)
    admin.start()
    try:
        return serve_data_plane(plane, listener)
    finally:
        admin.stop()
