"""Composition root: builds every long-lived part once, starts it, tells whether it is ready, and stops it.

One process serves the data plane, or `workers` of them share its port; each composes itself in the ASGI lifespan (decision
19). The admin port belongs to the first process in both cases, in a thread of its own: a scrape never holds the data plane's
loop.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import secrets
import signal
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy import __version__
from proxy.admin_plane import AdminThread, PoliciesOnDisk, admin_planes
from proxy.aws.credentials import RoleCredentials
from proxy.aws.endpoints import Upstreams
from proxy.aws.sts import StsClient, variable_pointing_at
from proxy.aws.upstream import PoolLimits
from proxy.dynamodb.iterators import IteratorSeal
from proxy.edge.limits import EdgeLimits
from proxy.followed import Unusable
from proxy.globs import Globs
from proxy.identity.verifier import TokenVerifier
from proxy.key_files import sealing_keys
from proxy.login import Logins
from proxy.observe.audit import AuditLog
from proxy.observe.fleet import WorkerStatus, fleet_status, render_shared, share_between_workers
from proxy.observe.journal import Journal
from proxy.observe.loop_lag import LoopLag
from proxy.observe.sink import LineSink
from proxy.outbox import Outbox
from proxy.pipeline import Pipeline
from proxy.policy.document import digest_of
from proxy.policy.store import PolicyError, load_policies, policies_of, policy_texts
from proxy.refusal import Reason, Refusal
from proxy.server import CannotServe, DataPlane, bind
from proxy.settings import Settings, SettingsError, load_settings, settings_path
from proxy.trusted_files import SESSION_KEY, TrustedFiles, problem_of_files
from proxy.workers import serve_data_plane

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from proxy.admin import AdminState
    from proxy.model import Credentials, Principal
    from proxy.policy.rules import Policies

log = logging.getLogger("proxy.app")

RUNTIME_VARIABLE = "DYNAMODB_PROXY_RUNTIME_DIR"  # set by the parent of several workers: where they say how they are
HOUSEKEEPING_SECONDS = 1.0
POLICY_POLL_SECONDS = 2.0
ITERATOR_KEY = "iterators.key"  # where several workers share it
SILENT_WORKER_SECONDS = 30.0
LAST_WORDS_SECONDS = 2.0
OPENING_SECONDS = 0.02
COLLECTOR_PACE = (20_000, 10, 20)  # objects that came and stayed, then how many looks at the young before one at the older
CANNOT_START = 3


class Gateway:
    """Every long-lived part of one process. Raises PolicyError or Unusable where policies, keys or deny list cannot be loaded."""

    def __init__(self, settings: Settings, is_imported: threading.Event | None = None) -> None:
        """`is_imported` is set when what requests need is imported, so that others may begin to import."""
        from proxy.observe.metrics import Metrics  # after `share_between_workers`, which must come before prometheus-client

        self.settings = settings
        self.is_imported = is_imported or threading.Event()
        self._has_assumed = False
        self.current = load_policies(settings.policies, settings.environment, settings.aws_region)
        self.metrics = Metrics(__version__, settings.workers)
        self._tell_policies()
        self.outbox = Outbox()
        self.audit = AuditLog(LineSink(settings.audit_path), self.metrics, later=self.outbox.later)
        self.loop_lag = LoopLag(self.metrics.loop_late)
        self.tokens = TokenVerifier(settings.issuers, on_fetch=self.metrics.keys_fetched)
        directory = os.environ.get(RUNTIME_VARIABLE)
        self.trusted = TrustedFiles(settings, directory, self.metrics, self.audit)
        self.sts = StsClient(
            settings.aws_region,
            settings.aws_sts_endpoint_url,
            duration=settings.aws_session_seconds,
            tags=settings.aws_session_tags,
        )
        self.roles = RoleCredentials(self._assume)
        self.upstreams = Upstreams(
            {
                "dynamodb": settings.aws_endpoint_url,
                "streams": settings.aws_streams_endpoint_url or settings.aws_endpoint_url,
                "search": settings.aws_endpoint_url,
            },
            settings.aws_ca_file,
            PoolLimits(
                connections=settings.upstream_max_connections,
                connect=settings.upstream_connect_seconds,
                total=settings.upstream_total_seconds,
            ),
            self.outbox,
        )
        journal = Journal(self.audit, self.metrics, self, self.outbox)
        self.pipeline = Pipeline(
            tokens=self.tokens,
            sessions=self.trusted.sessions,
            denials=self.trusted.denials,
            policies=self,
            roles=self.roles,
            upstream_of=self.upstreams.pool_of,
            seal=IteratorSeal(sealing_keys(settings.streams_key_file, ITERATOR_KEY, directory)),
            journal=journal,
            max_json_members=settings.limits_json_members,
        )
        self.logins = Logins(
            tokens=self.tokens,
            sessions=self.trusted.sessions,
            denials=self.trusted.denials,
            policies=self,
            journal=journal,
            seconds=settings.sessions_seconds,
            gives_sessions=self.trusted.gives_sessions,
        )
        for principal in self.current.principals():
            self.upstreams.pool_of(principal.region, "dynamodb")  # reads the trusted authorities: not within a request
        self.edge_state: MutableMapping[str, Any] = {}
        self._background: list[asyncio.Task[Any]] = []

    def _tell_policies(self) -> None:
        self.metrics.policy_loaded(self.current.digest, self.settings.environment)
        self.metrics.expect(rules.pattern for rules in self.current.dag_rules())

    async def _assume(self, principal: Principal) -> Credentials:
        try:
            credentials = await self.sts.assume(principal)
        except Refusal as refusal:
            self.metrics.sts_called("refused" if refusal.reason is Reason.ROLE_NOT_ASSUMABLE else "unavailable", time.time())
            raise
        self.metrics.sts_called("ok", time.time())
        if not self._has_assumed:  # boto's models are there now, and stay
            self._has_assumed = True
            gc.freeze()
        return credentials

    async def start(self, state: MutableMapping[str, Any]) -> None:
        """Begin to fetch keys, warm up roles and keep house; does not wait for what is away."""
        self.edge_state = state
        self.audit.event("start", version=__version__, policy_digest=self.current.digest, environment=self.settings.environment)
        self._background = [
            asyncio.create_task(self.tokens.warm(), name="issuers' keys"),
            asyncio.create_task(import_the_heaviest(self.is_imported), name="the heaviest import, off the loop"),
            asyncio.create_task(self._warm_up(), name="roles' first credentials"),
            asyncio.create_task(self._keep_house(), name="housekeeping"),
            asyncio.create_task(self._follow_policies(), name="changes of the policies"),
            asyncio.create_task(self.trusted.follow(), name="changes of session keys and deny list"),
        ]
        for task in self._background:
            task.add_done_callback(tell_defect)
        self._warn_of_unknown_issuers()
        self.loop_lag.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.audit.reopen)

    async def _warm_up(self) -> None:
        globs = Globs(self.settings.aws_warm_up)
        refused = await self.roles.warm(p for p in self.current.principals() if globs.match(p.dag_id))
        for principal, refusal in refused.items():
            log.warning("role of dag '%s' could not be warmed up: %s", principal.dag_id, refusal.message)

    def _warn_of_unknown_issuers(self) -> None:
        """A workload of an issuer that only other environments have is no mistake, a misspelt one looks the same."""
        known = {issuer.name for issuer in self.settings.issuers}
        for workload in self.current.workloads:
            if workload.issuer not in known:
                log.warning(
                    "%s: workload `%s` covers nobody here: the settings have no issuer `%s`, only %s",
                    workload.where, workload.name, workload.issuer, ", ".join(sorted(known)),
                )  # fmt: skip

    async def _follow_policies(self) -> None:
        """Swap the snapshot when the files' content changes; names and times say little where a ConfigMap is mounted."""
        seen = self.current.digest
        while True:
            await asyncio.sleep(POLICY_POLL_SECONDS)
            seen, found = await asyncio.to_thread(self._changed_policies, seen)
            if isinstance(found, PolicyError):
                self.metrics.policy_reload_failed(True)
                self.audit.event("policy_refused", policy_digest=self.current.digest)
                log.error("the policies on disk cannot be used, so the last good ones stay:\n  %s", "\n  ".join(found.lines))
            elif found is not None:
                self.current = found
                self._tell_policies()
                self.audit.event("policy", policy_digest=found.digest, environment=self.settings.environment)
                log.info("policies %s are in force", found.digest[:12])
                self._warn_of_unknown_issuers()

    def _changed_policies(self, seen: str) -> tuple[str, Policies | PolicyError | None]:
        """The state of the files, and what they hold if that is not `seen`. Reads and compiles: to be run in a thread."""
        settings = self.settings
        state = ""
        try:
            texts = policy_texts(settings.policies)
            state = digest_of(texts)
            return state, None if state == seen else policies_of(texts, settings.environment, settings.aws_region)
        except (PolicyError, OSError) as problem:
            error = problem if isinstance(problem, PolicyError) else PolicyError([f"{settings.policies}: {problem.strerror}"])
            state = state or str(error)
            return state, None if state == seen else error

    async def _keep_house(self) -> None:
        directory = os.environ.get(RUNTIME_VARIABLE)
        status = WorkerStatus(Path(directory), time.time()) if directory else None
        fetched: dict[str, int] = {}
        try:
            while True:
                missing = self.missing()
                self.metrics.set_ready(not missing)
                self.metrics.set_inflight(len(edge.requests) if (edge := self.edge_state.get("edge")) else 0)
                if status is not None:  # the parent reads what several workers counted
                    self.metrics.settle()
                for issuer in self.tokens.status():
                    self.metrics.keys_stale(issuer.name, bool(issuer.failure))
                    if issuer.generation != fetched.get(issuer.name, 0):
                        fetched[issuer.name] = issuer.generation
                        self.audit.event("keys", issuer=issuer.name, generation=str(issuer.generation))
                if status is not None:
                    _write_status(status, missing, self.current.digest)
                await asyncio.sleep(HOUSEKEEPING_SECONDS)
        finally:
            if status is not None:
                status.remove()

    def missing(self) -> list[str]:
        """What stands in the way of serving; empty when ready."""
        missing = []
        if self.edge_state.get("draining"):
            missing.append("draining")
        if not self.tokens.is_ready:
            missing += [
                f"keys of issuer {issuer.name}: {'cannot be had, the log says why' if issuer.failure else 'being fetched'}"
                for issuer in self.tokens.status()
            ]
        if self.audit.is_failing:
            missing.append("the audit sink takes no records")
        return missing

    async def stop(self) -> None:
        """Close everything; what the audit still holds is written."""
        self.loop_lag.stop()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.close_connections()
        if (edge := self.edge_state.get("edge")) and edge.requests:  # over the drain timeout: now broken, and on record
            await edge.drain(LAST_WORDS_SECONDS)
            await edge.cancel_requests()
        self.outbox.flush()  # the outcomes of the last turn
        self.audit.event("stop")
        if left := self.audit.close():
            log.error("%d audit records could not be written", left)
        self.metrics.settle()  # the last records too

    async def close_connections(self) -> None:
        """Close what is open to issuers, STS and DynamoDB."""
        await self.roles.close()
        await self.sts.close()
        await self.tokens.close()
        await self.upstreams.close()

    # ------------------------------------------------------------------------------ asked by the admin plane

    def is_ready(self) -> tuple[bool, list[str]]:
        """Whether requests can be served, and what is missing."""
        missing = self.missing()
        return not missing, missing

    def render_metrics(self) -> tuple[str, bytes]:
        """Content type and text of a scrape."""
        return self.metrics.render()


async def import_the_heaviest(is_imported: threading.Event) -> None:
    """Import what STS needs, off the loop; then all that lives long is made, and the collector may leave it alone.

    Requests make no cycles but through tracebacks, so it looks seldom: at its usual pace it takes a quarter of a large batch.
    """
    gc.set_threshold(*COLLECTOR_PACE)
    await asyncio.sleep(OPENING_SECONDS)  # two threads that run Python hold each other up, and the port comes first
    await asyncio.to_thread(importlib.import_module, "aioboto3")
    gc.freeze()
    is_imported.set()


def tell_defect(task: asyncio.Task[Any]) -> None:
    """What runs beside the requests must not end unheard."""
    if not task.cancelled() and (defect := task.exception()) is not None:
        log.error("a defect ended what sees to %s; restart the gateway", task.get_name(), exc_info=defect)


def _write_status(status: WorkerStatus, missing: list[str], digest: str) -> None:
    """A worker that cannot say how it is counts as silent in the end; that must not stop its housekeeping."""
    try:
        status.write(missing, digest)
    except OSError as error:
        log.error("the state of this worker cannot be written: %s", error.strerror)


# --------------------------------------------------------------------------------------------- as ASGI, as processes


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
            pipeline=gateway.pipeline, logins=gateway.logins, limits=edge_limits(self.settings), outbox=gateway.outbox
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
    """Serve until a signal. Returns the exit status: 0 after a drain, 2 for mistakes, 3 where a port or file cannot be had."""
    configure_logging(settings.log_level)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is an audit file to open anew
    problems = problems_before_start(settings)
    if problems:
        print("the gateway cannot start; nothing was started", *problems, sep="\n  ", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="dynamodb-proxy-") as directory:
        try:
            return _serve_both_planes(settings, Path(directory))
        except CannotServe as error:
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
    listener = bind(*settings.listen)
    admin_listener = bind(*settings.admin_listen)
    app = LifespanApp(settings)
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
    plane = DataPlane(
        app="proxy.app:create_app" if settings.workers > 1 else app,
        certificate=Path(settings.tls_certificate) if settings.tls_certificate else None,
        key=Path(settings.tls_key) if settings.tls_key else None,
        workers=settings.workers,
        drain_delay=settings.drain_delay_seconds,
        drain_timeout=settings.drain_timeout_seconds,
    )
    try:
        return serve_data_plane(plane, listener)
    finally:
        admin.stop()
