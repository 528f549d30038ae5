"""Composition root: builds every long-lived part of one process once, starts it, tells whether it is ready, and stops it."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy import __version__
from proxy.aws.credentials import RoleCredentials
from proxy.aws.endpoints import Upstreams
from proxy.aws.sts import StsClient
from proxy.aws.upstream import PoolLimits
from proxy.dynamodb.seals import Seals
from proxy.globs import Globs
from proxy.identity.verifier import TokenVerifier
from proxy.key_files import sealing_keys
from proxy.login import Logins
from proxy.observe.audit import AuditLog
from proxy.observe.fleet import WorkerStatus
from proxy.observe.journal import Journal
from proxy.observe.loop_lag import LoopLag
from proxy.observe.sink import LineSink
from proxy.outbox import Outbox
from proxy.pipeline import Pipeline
from proxy.policy.store import PolicyError, PolicyFiles
from proxy.refusal import Reason, Refusal
from proxy.trusted_files import TrustedFiles

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from proxy.model import Credentials, Principal
    from proxy.settings import Settings

log = logging.getLogger("proxy.gateway")

RUNTIME_VARIABLE = "DYNAMODB_PROXY_RUNTIME_DIR"  # set by the parent of several workers: where they say how they are
HOUSEKEEPING_SECONDS = 1.0
POLICY_POLL_SECONDS = 2.0
PLATFORM_MARK = "platform.seen"  # there: a worker that is started later must find a platform.yaml too
ITERATOR_KEY = "iterators.key"  # where several workers share it
SILENT_WORKER_SECONDS = 30.0
LAST_WORDS_SECONDS = 2.0
OPENING_SECONDS = 0.02
COLLECTOR_PACE = (20_000, 10, 20)  # objects that came and stayed, then how many looks at the young before one at the older


class Gateway:
    """Every long-lived part of one process. Raises PolicyError or Unusable where policies, keys or deny list cannot be loaded."""

    def __init__(self, settings: Settings, is_imported: threading.Event | None = None) -> None:
        """`is_imported` is set when what requests need is imported, so that others may begin to import."""
        from proxy.observe.metrics import Metrics  # after `share_between_workers`, which must come before prometheus-client

        self.settings = settings
        self.is_imported = is_imported or threading.Event()
        self._has_assumed = False
        directory = os.environ.get(RUNTIME_VARIABLE)
        mark = Path(directory, PLATFORM_MARK) if directory else None
        self._policy_files = PolicyFiles(settings.policies, settings.environment, settings.aws_region, mark)
        self.current = self._policy_files.current
        self.metrics = Metrics(__version__, settings.workers)
        self._tell_policies()
        self.outbox = Outbox()
        self.audit = AuditLog(LineSink(settings.audit_path), self.metrics, later=self.outbox.later)
        self.loop_lag = LoopLag(self.metrics.loop_late)
        self.tokens = TokenVerifier(settings.issuers, on_fetch=self.metrics.keys_fetched)
        self.trusted = TrustedFiles(settings, directory, self.metrics, self.audit, self)
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
            seals=Seals(sealing_keys(settings.streams_key_file, ITERATOR_KEY, directory)),
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
        if not self._policy_files.has_platform:
            log.warning("no platform.yaml: nothing is denied, required or bounded platform-wide; write one if anything should be")
        self._warn_of_unknown_issuers()
        self.loop_lag.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.audit.reopen)

    async def _warm_up(self) -> None:
        """Open the connections and fetch the credentials that the first requests of some DAGs would wait for."""
        globs = Globs(self.settings.aws_warm_up)
        principals = [principal for principal in self.current.principals() if globs.match(principal.dag_id)]
        for region in dict.fromkeys(principal.region for principal in principals):
            try:
                await self.upstreams.pool_of(region, "dynamodb").warm()
            except Refusal as problem:
                log.warning("no connection could be opened ahead: %s", problem.message)
        refused = await self.roles.warm(principals)
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
        while True:
            await asyncio.sleep(POLICY_POLL_SECONDS)
            try:
                found = await asyncio.to_thread(self._policy_files.look)
            except PolicyError as error:
                self.metrics.policy_reload_failed(True)
                self.audit.event("policy_refused", policy_digest=self.current.digest)
                log.error("the policies on disk cannot be used, so the last good ones stay:\n  %s", "\n  ".join(error.lines))
                continue
            if found is not None:
                self.current = found
                self._tell_policies()
                self.audit.event("policy", policy_digest=found.digest, environment=self.settings.environment)
                log.info("policies %s are in force", found.digest[:12])
                self._warn_of_unknown_issuers()

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
