"""One login in order: proven, entitled, on record, and only then handed out; and that each has one ending."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from botocore.credentials import Credentials

from proxy.identity.denials import Denial, DenyList
from proxy.identity.minting import SessionMint
from proxy.login import CREDENTIALS, Logins
from proxy.model import Ending, Reply, RequestHead, Subject
from proxy.refusal import Abandoned, Malformed, Reason
from tests.fakes import FakeBody, FakeTokens, FixedDenials, FixedPolicies, ListedJournal
from tests.signing import signed_headers
from tests.unit.identity.idp import until
from tests.unit.test_pipeline import ISSUER, POLICIES, POLICY, TOKEN, policies_of

if TYPE_CHECKING:
    from proxy.model import Exchange

FORM = {
    "Action": "AssumeRoleWithWebIdentity",
    "Version": "2011-06-15",
    "RoleArn": "arn:aws:iam::111122223333:role/etl",
    "RoleSessionName": "task",
    "WebIdentityToken": TOKEN.decode(),
}


class Trial:
    """Logins among their stand-ins, and what became of each."""

    def __init__(self, *, gives_sessions: bool = True, **claims: str) -> None:
        self.events: list[str] = []
        self.tokens = FakeTokens(self.events, Subject("idp", "worker", claims or {"dag_id": "etl"}, ("*",), 2e9, "jti"))
        self.denials = FixedDenials()
        self.policies = FixedPolicies(self.events, POLICIES)
        self.journal = ListedJournal(self.events)
        self.logins = Logins(
            tokens=self.tokens,
            sessions=SessionMint((bytes(32),), (ISSUER,), ""),
            denials=self.denials,
            policies=self.policies,
            journal=self.journal,
            seconds=3600,
            gives_sessions=gives_sessions,
        )

    async def fetch(self, body: bytes | Exception = b"", *, gone: bool = False) -> Reply | None:
        """`GET /v1/credentials`."""
        head = RequestHead(b"GET", b"/v1/credentials", {b"authorization": TOKEN}, "127.0.0.1:1234")
        return await self.logins.serve(head, FakeBody(self.events, body, gone=gone))

    async def call(self, headers: dict[bytes, bytes] | None = None, **fields: str) -> Reply:
        """One STS call."""
        head = RequestHead(b"POST", b"/", headers or {}, "127.0.0.1:1234")
        reply = await self.logins.serve(head, FakeBody(self.events, urlencode(fields).encode()))
        assert reply is not None
        return reply

    @property
    def outcome(self) -> Exchange:
        """The one outcome."""
        (outcome,) = self.journal.outcomes
        return outcome


async def test_a_login_in_order() -> None:
    """Token first, the decision on record before the credentials leave, outcome last; a new token is verified."""
    trial = Trial()
    trial.tokens.is_known = False
    reply = await trial.fetch()
    assert reply is not None
    assert trial.events == ["token", "body", "policies", "decision", "outcome"]
    assert (reply.status, dict(reply.headers)[b"cache-control"]) == (200, b"no-store")
    outcome = trial.outcome
    assert (outcome.ending, outcome.status, outcome.reason) == (Ending.SERVED, 200, Reason.ALLOWED)
    assert outcome.operation_name == CREDENTIALS
    assert outcome.identity is not None
    assert outcome.identity.dag_id == "etl"
    assert outcome.subject is outcome.identity.subject
    assert outcome.subject.session_id == json.loads(reply.body)["AccessKeyId"]


async def test_without_a_record_nobody_gets_credentials() -> None:
    """The audit takes none, so the login is refused, and comes again."""
    trial = Trial()
    trial.journal.is_full = True
    reply = await trial.fetch()
    assert reply is not None
    assert (reply.status, json.loads(reply.body)["code"]) == (503, "ServiceUnavailableException")
    assert trial.outcome.ending is Ending.REFUSED
    trial = Trial()
    trial.journal.is_full = True
    answer = await trial.call(**FORM)
    assert (answer.status, b"<Code>ServiceUnavailable</Code>" in answer.body) == (503, True)


async def test_a_caller_who_left_gets_nothing() -> None:
    """Before its form was whole, or while its token was verified."""
    trial = Trial()
    assert await trial.fetch(Abandoned()) is None
    assert trial.outcome.ending is Ending.ABANDONED

    class Leaves(FakeBody):
        async def read(self) -> bytes:
            self.gone = True
            return b""

    trial = Trial()
    head = RequestHead(b"GET", b"/v1/credentials", {b"authorization": TOKEN}, "")
    assert await trial.logins.serve(head, Leaves(trial.events, b"")) is None
    assert (trial.outcome.ending, trial.journal.decisions) == (Ending.ABANDONED, [])


async def test_a_form_that_comes_too_slowly_is_told_in_xml() -> None:
    """The time that it took is the caller's."""
    trial = Trial()
    reply = await trial.logins.serve(
        RequestHead(b"POST", b"/", {}, ""), FakeBody(trial.events, Malformed(Reason.TOO_SLOW, "the body did not arrive in time"))
    )
    assert reply is not None
    assert b"<Code>MalformedInput</Code>" in reply.body
    assert (trial.outcome.operation_name, trial.outcome.reason) == ("STS", Reason.TOO_SLOW)


async def test_a_token_that_ended_while_its_form_was_on_the_way_gives_no_session() -> None:
    """The form's last byte may come half a minute after its first; the token must hold then."""
    trial = Trial()
    asked: list[float] = []

    class Timed(FakeTokens):
        def known(self, token: bytes, now: float) -> Subject | None:
            asked.append(now)
            return super().known(token, now)

    times = iter([1000.0, 1030.0, 1030.0, 1030.0])
    logins = Logins(
        tokens=Timed(trial.events, trial.tokens.subject),
        sessions=SessionMint((bytes(32),), (ISSUER,), ""),
        denials=trial.denials,
        policies=trial.policies,
        journal=trial.journal,
        seconds=3600,
        clock=lambda: next(times),
    )
    await logins.serve(RequestHead(b"POST", b"/", {}, ""), FakeBody(trial.events, urlencode(FORM).encode()))
    assert asked == [1030.0]


async def test_a_defect_is_answered_and_shows_no_token(caplog: pytest.LogCaptureFixture) -> None:
    """The log has where and what kind, not with which value."""
    trial = Trial()
    trial.tokens.failure = KeyError(TOKEN.decode())
    with caplog.at_level(logging.ERROR):
        reply = await trial.fetch()
    assert reply is not None
    assert (reply.status, json.loads(reply.body)["code"]) == (500, "InternalServerError")
    assert (trial.outcome.ending, trial.outcome.reason) == (Ending.BROKEN, Reason.INTERNAL_ERROR)
    assert "KeyError" in caplog.text
    assert TOKEN.decode() not in caplog.text


async def test_a_login_that_is_cut_off_has_an_ending() -> None:
    """Cancelled at the end of the process."""
    trial = Trial()
    trial.tokens.is_known = False
    trial.tokens.held.clear()
    login = asyncio.create_task(trial.fetch())
    await until(lambda: "token" in trial.events)
    login.cancel()
    with pytest.raises(asyncio.CancelledError):
        await login
    assert trial.outcome.ending is Ending.BROKEN


@pytest.mark.parametrize(
    ("headers", "changes", "code"),
    [
        ({b"x-dag-token": TOKEN}, {}, "InvalidClientTokenId"),
        ({b"authorization": b"Bearer " + TOKEN}, {}, "InvalidClientTokenId"),
        ({}, {"WebIdentityToken": "ddbproxy1-AAAA"}, "InvalidIdentityToken"),
        ({}, {"Action": "AssumeRole"}, "ValidationError"),
        ({}, {"Version": "2010-05-08"}, "InvalidAction"),
        ({}, {"RoleArn": "arn:aws:iam::111122223333:role/other"}, "AccessDenied"),
    ],
)
async def test_a_call_that_is_refused_has_one_ending(headers: dict[bytes, bytes], changes: dict[str, str], code: str) -> None:
    """In STS's words, once, and nothing is minted."""
    trial = Trial()
    answer = await trial.call(headers, **(FORM | changes))
    assert f"<Code>{code}</Code>".encode() in answer.body
    assert (trial.outcome.ending, trial.outcome.decided, trial.journal.decisions) == (Ending.REFUSED, False, [])


async def test_a_role_without_a_dag_of_the_login_is_known_to_nobody() -> None:
    """A token that names no DAG and has no workload logs in for nothing."""
    trial = Trial(task_id="load")
    assert b"<Code>AccessDenied</Code>" in (await trial.call(**FORM)).body
    assert trial.outcome.identity is None


@pytest.mark.parametrize(("kind", "name"), [("dag", "etl"), ("issuer", "idp"), ("jti", "jti")])
async def test_who_is_stopped_cannot_log_in(kind: str, name: str) -> None:
    """Neither for credentials nor by STS; a stopped token is not even told who it is."""
    for ask in (Trial.fetch, lambda trial: trial.call(**FORM)):
        trial = Trial()
        trial.denials.current = DenyList([Denial(kind, name)])
        reply = await ask(trial)
        assert dict(reply.headers)[b"x-ddb-proxy-reason"].endswith(b"_stopped")
    trial = Trial()
    trial.denials.current = DenyList([Denial(kind, name)])
    caller = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    answer = await trial.call({b"authorization": b"Bearer " + TOKEN}, **caller)
    assert answer.status == 403


async def test_without_a_key_that_replicas_share_there_are_no_sessions() -> None:
    """Better none than some that the next replica does not know; plugins then send the token itself."""
    trial = Trial(gives_sessions=False)
    reply = await trial.fetch()
    assert reply is not None
    assert dict(reply.headers)[b"x-ddb-proxy-reason"] == b"unsupported_route"
    assert "sessions.key_file" in json.loads(reply.body)["message"]
    assert b"<Code>InvalidAction</Code>" in (await trial.call(**FORM)).body


async def test_a_session_that_calls_sts_must_sign() -> None:
    """Its token alone is nobody."""
    trial = Trial()
    reply = await trial.fetch()
    assert reply is not None
    trial.journal.outcomes.clear()
    given = json.loads(reply.body)
    caller = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    answer = await trial.call({b"x-amz-security-token": given["Token"].encode()}, **caller)
    assert b"<Code>IncompleteSignature</Code>" in answer.body
    made = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["Token"])
    plain = {"host": "gateway", "content-type": "application/x-www-form-urlencoded"}
    signed = signed_headers(made, plain, urlencode(caller).encode(), service="sts")
    headers = {name.encode(): value.encode() for name, value in signed.items()}
    assert f":assumed-role/etl/{made.access_key}".encode() in (await trial.call(headers, **caller)).body
    assert b"<Code>SignatureDoesNotMatch</Code>" in (await trial.call(headers, **dict(reversed(caller.items())))).body


async def test_a_session_of_a_session_is_on_record_under_its_own_name() -> None:
    """AssumeRole narrows it to the role; a subject whose requests choose has no DAG yet."""
    trial = Trial(task_id="load")
    policy = "workloads: {pool: {issuer: idp, subject: worker, dags: ['*'], dag_from: [header]}}"
    trial.policies.policies = policies_of(POLICY, policy)
    answer = await trial.call(**FORM)
    assert b"<AccessKeyId>DDBP" in answer.body
    assert trial.outcome.identity is None
    assert trial.outcome.subject is not None
    assert trial.outcome.subject.role_arn == FORM["RoleArn"]


async def test_a_retry_of_an_sdk_is_no_new_call() -> None:
    """As with requests, the attempt is counted and joined to its call."""
    trial = Trial()
    await trial.call({b"amz-sdk-request": b"attempt=2; max=3", b"amz-sdk-invocation-id": b"one-call"}, **FORM)
    assert (trial.outcome.attempt, trial.outcome.invocation_id) == (2, "one-call")
