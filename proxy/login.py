"""ONE LOGIN, IN ORDER: the ways in that give a worker a session of the gateway's own (container credentials, STS).

Who logs in is proven first, then what for is found in the policies, then it is on record, then the credentials leave. A login has
exactly one outcome, as a request has, and its own name among the operations. Nothing is remembered: the session is in its token.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import orjson

from proxy.answers import log_defect, one_line
from proxy.aws.sts_form import CALLER, WEB_IDENTITY, caller_reply, error_reply, expiration, read_call, session_reply
from proxy.entitlement import entitled
from proxy.identity.channels import SESSION_PREFIX, login_token, login_token_in, token_in
from proxy.model import Ending, Exchange, Reply
from proxy.pipeline import note_attempt, signature_of
from proxy.ports import Sessions
from proxy.refusal import ANSWERS, Abandoned, Broken, Reason, Refusal, Unauthenticated, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.model import Credentials, RequestHead, Subject
    from proxy.ports import Denials, Incoming, Journal, PolicySource, Tokens

CREDENTIALS = "GetContainerCredentials"  # as audit and metrics call `GET /v1/credentials`
STS = "STS"  # and a form before it is read
_CHANNELS = frozenset({b"authorization", b"x-dag-token", b"x-amz-security-token"})


class Mint(Sessions, Protocol):
    """Where sessions come from."""

    def mint(self, subject: Subject, now: float, seconds: float) -> Credentials:
        """Credentials of a new session."""


class Logins:
    """Serves logins. Built once by the composition root; holds no state of any of them."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        sessions: Mint,
        denials: Denials,
        policies: PolicySource,
        journal: Journal,
        seconds: float,
        gives_sessions: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._denials = denials
        self._policies = policies
        self._journal = journal
        self._seconds = seconds
        self._gives_sessions = gives_sessions  # False where other replicas could not open them
        self._clock = clock

    async def serve(self, head: RequestHead, incoming: Incoming) -> Reply | None:
        """Answer one login; None if the caller went away first. Never raises."""
        exchange = Exchange(secrets.token_hex(8), self._clock(), head.peer)
        note_attempt(exchange, head.headers)
        way = self._container if head.method == b"GET" else self._sts
        answer = _container_error if head.method == b"GET" else error_reply
        ticks = time.perf_counter()
        try:
            reply = await way(exchange, head, incoming)
            if incoming.gone:
                raise Abandoned
            exchange.reason = Reason.ALLOWED
            self._journal.decision(exchange)
            exchange.ending, exchange.status, exchange.reply_bytes = Ending.SERVED, reply.status, len(reply.body)
        except Refusal as refusal:
            reply = self._refused(exchange, refusal, answer)
        except Abandoned:
            exchange.ending = Ending.ABANDONED
            return None
        except Exception as defect:  # noqa: BLE001 - whatever it is, the caller is answered and the outcome recorded
            log_defect("serving login", exchange, defect)
            broken = Broken(Reason.INTERNAL_ERROR, "the gateway failed on this login; its log has the trace")
            reply = self._refused(exchange, broken, answer)
        except BaseException:  # cancelled at the end of the process
            exchange.ending = Ending.BROKEN
            raise
        finally:
            exchange.gateway_seconds += time.perf_counter() - ticks
            self._journal.outcome(exchange)
        return reply

    # --------------------------------------------------------------------------------------- the ways in

    async def _container(self, exchange: Exchange, head: RequestHead, incoming: Incoming) -> Reply:
        """`GET /v1/credentials`, as the container provider of AWS SDKs asks."""
        exchange.operation_name = CREDENTIALS
        subject = await self._verified(exchange, login_token_in(head.headers))
        await _read(exchange, incoming)
        credentials = self._logged_in(exchange, subject, "", self._seconds)
        body = {
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token,
            "Expiration": expiration(credentials),
        }
        return _json(200, body, exchange.id)

    async def _sts(self, exchange: Exchange, head: RequestHead, incoming: Incoming) -> Reply:
        """A form of STS: a token within it, or a caller who has logged in before."""
        exchange.operation_name = STS
        body = await _read(exchange, incoming)
        call = read_call(body, self._seconds)
        exchange.operation_name, exchange.role_arn = call.action, call.role_arn
        if call.action == WEB_IDENTITY:
            if not _CHANNELS.isdisjoint(head.headers):
                raise Unauthenticated(
                    Reason.SEVERAL_TOKENS, "a token came in `WebIdentityToken` and more in the headers; send exactly one"
                )
            subject = await self._verified(exchange, login_token(call.token, "WebIdentityToken"))
        else:
            subject = await self._caller(exchange, head, body)
        if call.action == CALLER:
            return self._told_who(exchange, subject)
        credentials = self._logged_in(exchange, subject, call.role_arn, call.seconds or self._seconds)
        return session_reply(call, credentials, subject.subject, exchange.id)

    async def _caller(self, exchange: Exchange, head: RequestHead, body: bytes) -> Subject:
        """Who is calling STS: a session that signed this very call, or an issuer's token as on any request."""
        token = token_in(head.headers)
        if not token.startswith(SESSION_PREFIX):
            return await self._verified(exchange, token)
        now = self._clock()
        session = self._sessions.open(token, now)
        signature = signature_of(session, head, "sts", now)
        exchange.subject = session.subject
        signature.check(body)
        return exchange.subject

    async def _verified(self, exchange: Exchange, token: bytes) -> Subject:
        # of now, not of the beginning: a form may have come slowly, and a token have ended meanwhile
        exchange.subject = self._tokens.known(token, self._clock()) or await self._tokens.verify(token)
        return exchange.subject

    # ------------------------------------------------------------------------------------------- what for

    def _logged_in(self, exchange: Exchange, subject: Subject, role_arn: str, seconds: float) -> Credentials:
        """Credentials of a session that is entitled to the role, if one was asked for. Raises Forbidden or Unreadable."""
        if not self._gives_sessions:
            raise Unreadable(
                Reason.UNSUPPORTED_ROUTE,
                "this gateway gives no sessions, for its replicas share no key to open them; set `sessions.key_file` there, "
                "or send the token itself, as session token",
            )
        policies, denials = self._policies.current, self._denials.current
        exchange.policy_digest = policies.digest
        denials.check_subject(subject)
        subject, identity = entitled(subject, role_arn, policies)
        if identity is not None:
            exchange.identity = identity
            denials.check_dag(identity.dag_id, policies.teams_of)
        credentials = self._sessions.mint(subject, self._clock(), seconds)
        exchange.subject = replace(subject, session_id=credentials.access_key_id)  # on record: who got which session
        if identity is not None:
            exchange.identity = replace(identity, subject=exchange.subject)
        return credentials

    def _told_who(self, exchange: Exchange, subject: Subject) -> Reply:
        policies, denials = self._policies.current, self._denials.current
        denials.check_subject(subject)
        dag_id = subject.pinned_dag or subject.claims.get("dag_id", "")
        denials.check_dag(dag_id, policies.teams_of)
        rules = policies.rules_of(dag_id)
        role_arn = subject.role_arn or (rules.role_arn if rules is not None else "")
        exchange.role_arn = role_arn
        return caller_reply(role_arn, subject.session_id or "token", exchange.id)

    def _refused(self, exchange: Exchange, refusal: Refusal, answer: Callable[[Refusal, str, str], Reply]) -> Reply:
        """Turn a refusal into its answer. Its outcome alone takes it on record: nothing was sent that a decision must precede."""
        exchange.reason = refusal.reason
        exchange.message = f"{one_line(refusal.message)}; decision {exchange.id}"
        exchange.rule = refusal.rule
        exchange.ending = Ending.BROKEN if isinstance(refusal, Broken) else Ending.REFUSED
        reply = answer(refusal, exchange.message, exchange.id)
        exchange.status, exchange.reply_bytes = reply.status, len(reply.body)
        return reply


async def _read(exchange: Exchange, incoming: Incoming) -> bytes:
    """The body; the time until it is there is the caller's."""
    before = time.perf_counter()
    try:
        body = await incoming.read()
    finally:
        exchange.gateway_seconds -= time.perf_counter() - before
    exchange.request_bytes = len(body)
    return body


def _container_error(refusal: Refusal, message: str, request_id: str) -> Reply:
    """A refusal as the container provider quotes it in a task's log."""
    status, error, _ = ANSWERS[refusal.reason]
    body = {"code": error.rpartition("#")[2], "message": message}
    return _json(status, body, request_id, (b"x-ddb-proxy-reason", refusal.reason.encode()))


def _json(status: int, body: dict[str, str], request_id: str, *more: tuple[bytes, bytes]) -> Reply:
    headers = (
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-amzn-requestid", request_id.encode()),
        *more,
    )
    return Reply(status, headers, orjson.dumps(body))
