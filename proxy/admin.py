"""The admin plane: health, readiness and metrics for all; why decisions are what they are, and kill switches, for some.

On a port of its own, never on the data path. The first three are open (decision 16), so they say nothing that a stranger may
not know: no token, key, address or trace. `/explain` and `/denied` are there only behind a gate (`admin_gate`) or on the Unix
socket.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError

from proxy import __version__
from proxy.identity.denials import entry_of
from proxy.inquiry import DECISION_ID, moment_of, operation_of_request, recall
from proxy.policy.described import Description, Misdescribed, identity_in, request_of
from proxy.policy.explain import explain
from proxy.policy.store import PolicyError
from proxy.refusal import Refusal, Unauthenticated, Unavailable
from proxy.trusted_files import strangers

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.admin_gate import AdminGate
    from proxy.deny_file import DenyFile
    from proxy.identity.denials import DenyList
    from proxy.inquiry import Inquiries
    from proxy.model import Operation
    from proxy.policy.rules import Policies

log = logging.getLogger("proxy.admin")

MOST_BYTES = 1 << 20  # of a question
SCRAPE_SECONDS = 0.1  # of age at most; scrapes are 5 % of a core then, whoever asks how often
_HOW_TO_STOP = 'write {"dag": "orders_*", "reason": "INC-4711"}, or `team`, `issuer` or `jti` in place of `dag`'
_NOT_HERE = (
    "this is the gateway's admin plane, which serves nothing under that path: DynamoDB requests go to the port of `listen`; "
    "`/explain` and `/denied` are on `admin.socket`, or need `admin.issuer`"
)


class AdminState(Protocol):
    """What the admin plane is told: by the one process, or by the parent that reads what its workers wrote."""

    def is_ready(self) -> tuple[bool, list[str]]:
        """Whether requests can be served, and what is missing, one line each."""

    def render_metrics(self) -> tuple[str, bytes]:
        """Content type and text of a scrape."""


class Scrape:
    """What `/metrics` says, made at most once in `SCRAPE_SECONDS` however many ask: the data plane shares this interpreter."""

    def __init__(self, render: Callable[[], tuple[str, bytes]], clock: Callable[[], float] = time.monotonic) -> None:
        self._render = render
        self._clock = clock
        self._lock = threading.Lock()
        self._made = float("-inf")
        self._said = ("", b"")

    def __call__(self) -> tuple[str, bytes]:
        """Content type and text."""
        with self._lock:
            if self._clock() - self._made >= SCRAPE_SECONDS:
                self._said = self._render()
                self._made = self._clock()
            return self._said


class Health(BaseModel):
    """The process lives."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether requests can be served; `missing` names what stands in the way."""

    ready: bool
    missing: list[str]


class Stopped(BaseModel):
    """An entry of the deny list: exactly one of `dag`, `team`, `issuer`, `jti`, and why."""

    model_config = ConfigDict(extra="forbid")

    dag: str = ""
    team: str = ""
    issuer: str = ""
    jti: str = ""
    reason: str = ""


class Asked(BaseModel):
    """A question, with the fields of an entry of `tests:`. With `request`, its body says what is asked for."""

    model_config = ConfigDict(extra="forbid")

    dag: str
    operation: str = ""
    table: str = ""
    index: str = ""
    key: str | None = None
    attributes: list[str] | None = None
    returns: str = ""
    task: str = ""
    run: str = ""
    claims: dict[str, str] = {}
    verified: bool = True
    limit: int | None = None
    segments: int = 1
    condition: bool = False
    new_item: bool = False
    client_token: bool = False
    request: dict[str, Any] | None = None
    at: str = ""

    def described(self) -> Description:
        """The same as the policies' tools say it."""
        return Description(
            dag=self.dag,
            operation=self.operation,
            table=self.table,
            index=self.index,
            key=self.key,
            attributes=None if self.attributes is None else tuple(self.attributes),
            returns=self.returns,
            task=self.task,
            run=self.run,
            claims=self.claims,
            is_verified=self.verified,
            limit=self.limit,
            segments=self.segments,
            has_condition=self.condition,
            is_new=self.new_item,
            has_client_token=self.client_token,
        )


def create_admin(
    state: AdminState, inquiries: Inquiries | None = None, gate: AdminGate | None = None, switches: DenyFile | None = None
) -> FastAPI:
    """The admin app. Its handlers run in threads, so that a slow scrape never holds the data plane's loop."""
    scrape = Scrape(state.render_metrics)
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
        content_type, text = scrape()
        return Response(text, headers={"content-type": content_type})

    @admin.exception_handler(404)
    def tell_where(_request: Request, _: Exception) -> JSONResponse:
        return _problem(404, _NOT_HERE)

    if inquiries is not None and (gate is not None or inquiries.admitted is None):
        _add_inquiries(admin, inquiries, gate)
        if switches is not None:
            _add_switches(admin, switches, inquiries, gate)
    return admin


def _add_inquiries(admin: FastAPI, inquiries: Inquiries, gate: AdminGate | None) -> None:
    """`/explain`. Nothing of a question is read before its sender is admitted; without a gate, whoever can connect is."""
    question = {"requestBody": {"required": True, "content": {"application/json": {"schema": Asked.model_json_schema()}}}}

    @admin.post("/explain", summary="Why a request would be allowed or refused", openapi_extra=question)
    async def read_explanation(request: Request) -> JSONResponse:
        if (refusal := await _turned_away(request, gate)) is not None:
            return refusal
        body = await _body_of(request)
        if body is None:
            return _problem(413, f"the question is larger than {MOST_BYTES} bytes")
        try:
            asked = Asked.model_validate_json(body)
        except ValidationError as error:
            return _problem(422, "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()[:5]))
        return await run_in_threadpool(_told, lambda: _answer(inquiries, asked))

    @admin.get("/explain/{decision_id}", summary="Why a recorded decision was made, and what it would be now")
    async def read_decision(decision_id: str, request: Request) -> JSONResponse:
        if (refusal := await _turned_away(request, gate)) is not None:
            return refusal
        return await run_in_threadpool(_told, lambda: _recalled(inquiries, decision_id))


def _add_switches(admin: FastAPI, switches: DenyFile, inquiries: Inquiries, gate: AdminGate | None) -> None:
    """`/denied`, the kill switches: listed, thrown and lifted. Each takes effect within 5 seconds."""
    entry = {"requestBody": {"required": True, "content": {"application/json": {"schema": Stopped.model_json_schema()}}}}

    @admin.get("/denied", summary="What the deny list stops")
    async def read_denied(request: Request) -> JSONResponse:
        if (refusal := await _turned_away(request, gate)) is not None:
            return refusal
        return await run_in_threadpool(_switched, switches.read, inquiries)

    @admin.post("/denied", summary="Stop a DAG, team, issuer or token", openapi_extra=entry)
    async def add_denied(request: Request) -> JSONResponse:
        if (refusal := await _turned_away(request, gate)) is not None:
            return refusal
        body = await _body_of(request)
        try:
            asked = Stopped.model_validate_json(body or b"")
            denial = entry_of(asked.model_dump(exclude_unset=True), by=request.state.asked_by)
        except ValueError as error:  # ValidationError is one
            return _problem(422, str(error) if not isinstance(error, ValidationError) else _HOW_TO_STOP)
        return await run_in_threadpool(_switched, lambda: switches.add(denial), inquiries)

    @admin.delete("/denied", summary="Lift an entry: `?dag=`, `?team=`, `?issuer=` or `?jti=`")
    async def lift_denied(request: Request) -> JSONResponse:
        if (refusal := await _turned_away(request, gate)) is not None:
            return refusal
        try:
            denial = entry_of(dict(request.query_params))
        except ValueError as error:
            return _problem(422, str(error))
        by = request.state.asked_by
        return await run_in_threadpool(_switched, lambda: switches.lift(denial.kind, denial.name, by), inquiries)


def _switched(change: Callable[[], DenyList | None], inquiries: Inquiries) -> JSONResponse:
    """The list after a change, with `warnings` of entries that stop nobody; or why there was none."""
    try:
        found = change()
    except OSError as error:
        return _problem(409, f"the deny list cannot be written ({error.strerror}); if it is a ConfigMap's, change that")
    except ValueError as error:
        return _problem(409, f"the deny list on disk cannot be used, mend it first: {error}")
    if found is None:
        return _problem(404, "the deny list has no such entry")
    told: dict[str, Any] = {"denied": [denial.document() for denial in found.denials]}
    with suppress(PolicyError, OSError):  # of policies that nobody can read nothing is said
        if warnings := strangers(found.denials, inquiries.policies(), inquiries.issuers):
            told["warnings"] = warnings
    return JSONResponse(told)


async def _turned_away(request: Request, gate: AdminGate | None) -> JSONResponse | None:
    request.state.asked_by = "the admin socket"
    if gate is None:
        return None
    try:
        subject = await gate.admit(request.headers.get("authorization", ""))
    except Refusal as refusal:
        status = 401 if isinstance(refusal, Unauthenticated) else 503 if isinstance(refusal, Unavailable) else 403
        headers = {"www-authenticate": "Bearer"} if status == 401 else {}
        return JSONResponse({"reason": str(refusal.reason), "message": refusal.message}, status, headers)
    request.state.asked_by = subject
    log.info("%s %s is asked by %s", request.method, request.url.path, ascii(subject))
    return None


async def _body_of(request: Request) -> bytes | None:
    """The body, or None where it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _problem(status: int, message: str) -> JSONResponse:
    return JSONResponse({"message": message}, status)


def _told(answer: Callable[[], JSONResponse]) -> JSONResponse:
    """An answer, or why there is none."""
    try:
        return answer()
    except Misdescribed as error:
        return _problem(422, str(error))
    except PolicyError:
        return _problem(503, "the policies on disk cannot be used; the log says why")
    except OSError:
        log.exception("the audit cannot be read")
        return _problem(503, "the audit cannot be read; the log says why")


def _answer(inquiries: Inquiries, asked: Asked) -> JSONResponse:
    description, policies = asked.described(), inquiries.policies()
    try:
        identity = identity_in(description)
        operation = _operation(asked, description, policies)
        explanation = explain(policies, identity, operation, moment_of(asked.at))
    except Refusal as refusal:  # the request itself cannot be read
        return JSONResponse({"verdict": "denied", "reason": str(refusal.reason), "message": refusal.message})
    return JSONResponse(explanation.document())


def _operation(asked: Asked, description: Description, policies: Policies) -> Operation:
    if asked.request is not None:
        return operation_of_request(asked.operation, asked.request)
    return request_of(description, policies)[1]


def _recalled(inquiries: Inquiries, decision_id: str) -> JSONResponse:
    if not DECISION_ID.fullmatch(decision_id):
        return _problem(422, "a decision id has 16 digits and letters, as at the end of a refusal's message")
    if inquiries.audit is None:
        return _problem(
            404, "the audit goes to standard output, so decisions cannot be looked up here; set `audit.path` to a file"
        )
    found = recall(inquiries.audit, decision_id, inquiries.policies())
    if found is None:
        return _problem(404, "the audit has no such decision; it may stand in an older file, or another gateway's")
    return JSONResponse(found.document())


def admin_server(
    state: AdminState,
    host: str,
    port: int,
    inquiries: Inquiries | None = None,
    gate: AdminGate | None = None,
    switches: DenyFile | None = None,
) -> uvicorn.Config:
    """How uvicorn serves the admin app: without a `server` header, an access log, websockets or a lifespan."""
    return uvicorn.Config(
        create_admin(state, inquiries, gate, switches),
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
