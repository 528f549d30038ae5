"""ONE REQUEST, IN ORDER. `Pipeline.serve` is the whole product on one page; everything else answers one of its questions.

Rules: headers are copied and the token is checked before the body is read; what is forwarded is what was judged, written again; a
decision is in the audit before a write leaves; a write is sent once; each request has exactly one outcome.
This module does no I/O of its own: it awaits its ports.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

from proxy.answers import answer, log_defect, one_line
from proxy.aws.inbound import read_signature
from proxy.aws.sigv4 import PassedHeaders, signed_request
from proxy.dynamodb.operation import operation_name, read_in_steps, read_operation
from proxy.dynamodb.reply import summarise
from proxy.dynamodb.seals import OpenedIterator, seal_iterators, seal_last_key
from proxy.identity.binding import bind
from proxy.identity.channels import SESSION_PREFIX, SIGNED, WHO, WHO_SIGNS, admissible, claimed_in, found_token
from proxy.model import Ending, Exchange, Known
from proxy.native import same_values, value_in
from proxy.refusal import Abandoned, Broken, Forbidden, Reason, Refusal, Unavailable
from proxy.runs import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.aws.inbound import InboundSignature
    from proxy.aws.sigv4 import UnsignedLines
    from proxy.dynamodb.seals import Seals
    from proxy.identity.denials import DenyList
    from proxy.model import Credentials, Identity, Operation, Principal, Proof, Reply, RequestHead, Session, Subject, Touch
    from proxy.policy.rules import Policies
    from proxy.ports import Denials, Incoming, Journal, PolicySource, Roles, Sessions, Tokens, Upstream

log = logging.getLogger("proxy.pipeline")

_SERVED = Ending.SERVED  # named here, for looking up a member of an enum is slow (Python 3.11)

# A larger body is read, judged and signed in several turns of the loop: together they would hold it for up to 90 ms.
LARGE = 256 * 1024
# Of more than this nothing is kept while the answer is waited for: what lies in memory longer is out of the processor's caches,
# and a batch of 100 KB under load costs a seventh more.
_HEAVY = 16 * 1024
# The only headers of the caller's that travel on. They tie AWS's own logs to the worker's, and are never signed.
_PASSED = PassedHeaders(b"amz-sdk-invocation-id", b"amz-sdk-request")
_LONGEST_INVOCATION_ID = 64
_ATTEMPT = re.compile(rb"(?:^|[; ])attempt=([0-9]{1,3})(?![0-9])")
# AWS's words for "I do not accept who signed this": it judged our own session, so the caller can do nothing about it.
_REFUSED_SIGNERS = frozenset(
    {
        "UnrecognizedClientException",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
        "InvalidClientTokenId",
    }
)


_IDS = re.compile("[0-9a-f]{16}")  # `findall` cuts a long text four times faster than a loop


class _Ids:
    """Decision ids: 16 hexadecimal digits that nobody can guess. The system is asked for chance once for many."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def next(self) -> str:
        """One that was never given."""
        if not self._left:
            self._left = _IDS.findall(secrets.token_hex(8 * 256))
        return self._left.pop()


class Pipeline:
    """Serves requests. Built once by the composition root; holds no state of any request."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        sessions: Sessions,
        denials: Denials,
        policies: PolicySource,
        roles: Roles,
        upstream_of: Callable[[str, str], Upstream],
        seals: Seals,
        journal: Journal,
        max_json_members: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._denials = denials
        self._policies = policies
        self._roles = roles
        self._upstream_of = upstream_of
        self._seals = seals
        self._journal = journal
        self._max_json_members = max_json_members
        self._clock = clock
        self._ids = _Ids()
        self._turns = Turns()

    async def serve(self, head: RequestHead, incoming: Incoming) -> Reply | None:
        """Answer one request; None if the caller went away first. Never raises."""
        exchange = self._begin(head)
        ticks = time.perf_counter()
        waited, headers = 0.0, head.headers
        try:
            # Who is calling, and for which DAG? Before the body is read.
            known = incoming.known
            proof: Proof | None = None
            session: Session | None = None
            if known is None or not same_values(headers, known.headers, known.who) or not known.proof.holds(exchange.started):
                known = incoming.known = None
                channel, token = found_token(headers)
                if token.startswith(SESSION_PREFIX):
                    proof = session = self._sessions.open(admissible(channel, token), exchange.started)
                    subject = session.subject
                elif (proof := self._tokens.proof_of(token, exchange.started)) is not None:
                    subject = proof.subject
                else:
                    subject = await self._tokens.verify(admissible(channel, token))
            else:
                token, session, subject = known.token, known.session, known.proof.subject
                if session is not None and not headers.get(b"authorization", b"").startswith(SIGNED):
                    found_token(headers)  # which refuses a token beside the session's
            signature = None if session is None else signature_of(session, head, "dynamodb", exchange.started)
            exchange.subject = subject
            policies, denials = self._policies.current, self._denials.current
            identity = None if signature else _bound(exchange, subject, head, policies, denials, known)

            # What do they want?
            body, was_late = incoming.at_hand(), False
            if body is None:
                was_late, before = True, time.perf_counter()
                try:
                    body = await incoming.read()
                finally:
                    waited = time.perf_counter() - before  # the caller's time, also of a caller who is too slow
            exchange.request_bytes = len(body)
            if signature is not None:
                signature.check(body)  # until here nothing that the head says counts
            if was_late:  # a slow caller keeps neither a token that ended meanwhile (or whose key did) nor old policies
                subject, policies, identity = await self._bound_anew(exchange, token, head)
            elif identity is None:
                identity = _bound(exchange, subject, head, policies, denials, known)
            if known is None and proof is not None:
                who = WHO if session is None else WHO_SIGNS
                incoming.known = Known(headers, who, token, proof, session, claimed_in(headers))
            dag_id, target, most = identity.dag_id, headers.get(b"x-amz-target", b""), self._max_json_members
            is_large = len(body) > LARGE
            if is_large:
                operation = await self._turns.take(read_in_steps(target, body, most, self._seals, dag_id))
                # nor does a caller in a long line: kill switches are thrown and policies loaded while others have their turns
                subject, policies, identity = await self._bound_anew(exchange, token, head)
            else:
                operation = read_operation(target, body, most, self._seals, dag_id)
            exchange.operation = operation

            # May they?
            now = self._clock()
            decision = policies.decide(identity, operation, now)
            exchange.reason, exchange.message, exchange.rule = decision.reason, decision.message, decision.rule
            exchange.would_deny = decision.would_deny
            principal = decision.granted_role()
            exchange.role_arn = principal.role_arn
            if subject.role_arn and subject.role_arn != principal.role_arn:
                raise _outside_role(subject, identity, principal)

            # As whom?
            credentials = self._roles.ready(principal)
            if credentials is None:
                credentials = await self._roles.credentials_for(principal)
                now = self._clock()
                _refuse_stopped(self._denials.current, subject, identity, policies)  # whom a switch met while STS was asked
            if is_large:
                await self._turns.next()  # to be hashed and copied
                now = self._clock()
            if incoming.gone:
                raise Abandoned

            # Told before it is done; signed; sent once.
            self._journal.decision(exchange)
            sending = self._sending(exchange, principal, operation, credentials, now, _PASSED.lines(headers))
            stream, limits, page_of = operation.stream, decision.limits, operation.touches[0]
            if len(body) > _HEAVY:
                exchange.operation = operation.without_contents()
            del body, operation
            before = time.perf_counter()
            try:
                reply = await sending
            finally:
                exchange.upstream_seconds = time.perf_counter() - before
            self._note_reply(exchange, principal, credentials, reply)
            if stream:
                reply = seal_iterators(reply, self._iterator_sealer(stream, dag_id))
            elif limits is not None:
                reply = seal_last_key(reply, limits.permit, self._page_sealer(dag_id, page_of))
            exchange.ending = _SERVED
        except Refusal as refusal:
            reply = self._refuse(exchange, refusal)
        except Abandoned:
            exchange.ending = Ending.ABANDONED
            return None
        except Exception as defect:  # noqa: BLE001 - whatever it is, the caller is answered and the outcome recorded
            log_defect("serving decision", exchange, defect)
            reply = self._refuse(
                exchange, Broken(Reason.INTERNAL_ERROR, "the gateway failed on this request; its log has the trace")
            )
        except BaseException:  # cancelled at the end of the process: what was sent has an unknown outcome
            exchange.ending = Ending.BROKEN
            raise
        finally:
            exchange.gateway_seconds = time.perf_counter() - ticks - waited - exchange.upstream_seconds
            self._journal.outcome(exchange)
        return reply

    async def _bound_anew(self, exchange: Exchange, token: bytes, head: RequestHead) -> tuple[Subject, Policies, Identity]:
        """Who was known at the head of the request and for which DAG, if that holds still; and the policies in force."""
        now = self._clock()
        if token.startswith(SESSION_PREFIX):
            subject = self._sessions.open(token, now).subject
        else:
            subject = self._tokens.known(token, now) or await self._tokens.verify(token)
        exchange.subject = subject
        policies = self._policies.current
        return subject, policies, _bound(exchange, subject, head, policies, self._denials.current)

    def _iterator_sealer(self, stream: str, dag_id: str) -> Callable[[str], str]:
        """How the iterators of one stream go out to a DAG, which holds them sealed: only its own can it send back."""
        return lambda iterator: self._seals.seal_iterator(OpenedIterator(stream, iterator), dag_id, secrets.token_bytes(12))

    def _page_sealer(self, dag_id: str, touch: Touch) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """How the key of a next page goes out to a DAG that may not see all of it."""
        return lambda key: self._seals.seal_page(key, dag_id, touch, secrets.token_bytes(12))

    def turn_away(self, refusal: Refusal, peer: str) -> Reply:
        """The answer to something that did not get past the gate; recorded like everything else."""
        exchange = Exchange(self._ids.next(), self._clock(), peer)
        reply = self._refuse(exchange, refusal)
        self._journal.outcome(exchange)
        return reply

    def _begin(self, head: RequestHead) -> Exchange:
        exchange = Exchange(self._ids.next(), self._clock(), head.peer)
        headers = head.headers
        exchange.operation_name = operation_name(headers.get(b"x-amz-target", b""))
        note_attempt(exchange, headers)
        return exchange

    def _sending(
        self,
        exchange: Exchange,
        principal: Principal,
        operation: Operation,
        credentials: Credentials,
        now: float,
        extra: UnsignedLines,
    ) -> Awaitable[Reply]:
        """The request, signed at `now`, about to be sent."""
        upstream = self._upstream_of(principal.region, operation.plane)
        request = signed_request(upstream.endpoint, operation.target.encode(), operation.body, credentials, now, extra)
        return upstream.send(request, is_write=operation.is_write, sent=exchange.note_sent)

    def _note_reply(self, exchange: Exchange, principal: Principal, credentials: Credentials, reply: Reply) -> None:
        """Put on record how AWS answered. Raises Unavailable (CREDENTIALS_REFUSED) where it did not accept who signed."""
        operation = exchange.operation
        assert operation is not None  # noqa: S101 - for the type checker: `serve` set it
        exchange.status, exchange.reply_bytes = reply.status, len(reply.body)
        exchange.aws_request_id = value_in(reply.headers, b"x-amzn-requestid").decode("latin-1")
        exchange.summary = summarise(operation, reply)
        if exchange.summary.error in _REFUSED_SIGNERS:
            self._roles.forget(principal, credentials)
            raise Unavailable(
                Reason.CREDENTIALS_REFUSED,
                f"AWS did not accept the gateway's session for role '{principal.role_arn}' ({exchange.summary.error}); "
                "nothing was done, retry; if it stays, look at the gateway's clock and base credentials with "
                "'dynamodb-proxy doctor'",
            )

    def _refuse(self, exchange: Exchange, refusal: Refusal) -> Reply:
        """Turn a refusal into its answer, and see to it that it is on record."""
        if exchange.decided:
            self._journal.settle()
        exchange.reason = refusal.reason
        exchange.message = f"{one_line(refusal.message)}; decision {exchange.id}"
        exchange.rule = refusal.rule or exchange.rule
        broken = isinstance(refusal, Broken) or (isinstance(refusal, Unavailable) and exchange.operation is not None)
        exchange.ending = Ending.BROKEN if broken else Ending.REFUSED
        if not exchange.decided:
            try:
                self._journal.decision(exchange)
            except Refusal as failure:  # a refusal stands whether or not it can be written down; the failure is counted there
                log.error("a refusal is not in the audit: %s", failure.message)
            except Exception as defect:  # noqa: BLE001 - nor does it leave a caller without an answer
                log_defect("recording decision", exchange, defect)
        reply = answer(refusal, exchange.id, exchange.message)
        exchange.status, exchange.reply_bytes = reply.status, len(reply.body)
        return reply


def note_attempt(exchange: Exchange, headers: dict[bytes, bytes]) -> None:
    """Which call of an SDK it is, and which try at it."""
    invocation_id = headers.get(b"amz-sdk-invocation-id", b"")
    if len(invocation_id) <= _LONGEST_INVOCATION_ID and invocation_id.replace(b"-", b"").isalnum():
        exchange.invocation_id = invocation_id.decode("ascii")
    said = headers.get(b"amz-sdk-request")
    if said is not None and said != b"attempt=1":  # as boto3 says it first
        attempt = _ATTEMPT.search(said)
        exchange.attempt = int(attempt[1]) if attempt else 1


def signature_of(session: Session, head: RequestHead, service: str, now: float) -> InboundSignature:
    """The signature of a session's request, which must still be held against the body. Raises Unauthenticated."""
    return read_signature(head.headers, session.subject.session_id, session.secret, service, now)


def _bound(
    exchange: Exchange, subject: Subject, head: RequestHead, policies: Policies, denials: DenyList, known: Known | None = None
) -> Identity:
    """For which DAG the subject speaks by these policies, unless it is stopped; both are put on record."""
    exchange.policy_digest = policies.digest
    if denials.stops_any:
        denials.check_subject(subject)
    claimed = claimed_in(head.headers) if known is None else known.claimed
    identity = exchange.identity = bind(subject, claimed, policies.workloads, policies.dag_of_key)
    if denials.stops_any:
        denials.check_dag(identity.dag_id, policies.teams_of)
    return identity


def _refuse_stopped(denials: DenyList, subject: Subject, identity: Identity, policies: Policies) -> None:
    if denials.stops_any:
        denials.check_subject(subject)
        denials.check_dag(identity.dag_id, policies.teams_of)


def _outside_role(subject: Subject, identity: Identity, principal: Principal) -> Forbidden:
    return Forbidden(
        Reason.OUTSIDE_ROLE,
        f"the session was assumed for role '{subject.role_arn}', and dag '{identity.dag_id}' has role '{principal.role_arn}'; "
        "assume that one, or let the request speak for a dag of the first",
    )
