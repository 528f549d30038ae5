"""What a connection remembers of a session saves opening it again; each request's signature is looked at all the same."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials

from proxy.identity.denials import Denial, DenyList
from proxy.identity.minting import SessionMint
from proxy.refusal import Reason, Unauthenticated
from tests.fakes import FakeBody
from tests.signing import signed_headers
from tests.unit.test_pipeline import ISSUER, WRITE, Trial, head_of, told

if TYPE_CHECKING:
    from proxy.identity.sessions import Session
    from proxy.model import Reply


class CountingMint(SessionMint):
    """Counts how often it is asked."""

    asked = 0

    def open(self, token: bytes, now: float) -> Session:
        """The session of a token."""
        self.asked += 1
        return super().open(token, now)


class SignedLine:
    """One connection of a worker that has a session."""

    def __init__(self) -> None:
        self.trial = Trial()
        self.mint = CountingMint((bytes(32),), (ISSUER,), "")
        self.trial.pipeline._sessions = self.mint
        self.body = FakeBody(self.trial.events, WRITE)
        self.credentials = self.logged_in()

    def logged_in(self, seconds: float = 3600) -> Credentials:
        """A new session."""
        made = self.mint.mint(self.trial.tokens.subject, time.time(), seconds)
        return Credentials(made.access_key_id, made.secret_access_key, made.session_token)

    @classmethod
    async def in_use(cls) -> SignedLine:
        """After its first request."""
        line = cls()
        assert await line.ask() is line.trial.upstream.reply
        assert line.body.known is not None
        assert line.mint.asked == 1
        return line

    def signed(self, late: float = 0.0, **headers: str) -> dict[bytes, bytes]:
        """A request's headers, as the worker's SDK signs them."""
        given = {"host": "gateway", "content-type": "application/x-amz-json-1.0", "x-amz-target": "DynamoDB_20120810.PutItem"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        made = signed_headers(self.credentials, given, WRITE, moment=time.time() + late)
        return {name.encode(): value.encode() for name, value in made.items()}

    async def ask(self, late: float = 0.0, changed: dict[bytes, bytes | None] | None = None, **headers: str) -> Reply | None:
        """One more request; `changed` after it was signed, None for a header that is left out."""
        given: dict[bytes, Any] = self.signed(late, **headers) | (changed or {})
        return await self.trial.pipeline.serve(
            head_of({name: value for name, value in given.items() if value is not None}), self.body
        )


async def test_a_session_is_opened_once_a_connection() -> None:
    """Date and signature differ from one request to the next, and the SDK's ids."""
    line = await SignedLine.in_use()
    for second in (1.0, 2.0):
        assert await line.ask(second, amz_sdk_invocation_id=f"6d2e2e6{second:.0f}") is line.trial.upstream.reply
    assert line.mint.asked == 1
    assert {outcome.identity.subject.session_id for outcome in line.trial.journal.outcomes} == {line.credentials.access_key}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({b"x-amz-date": b"20200101T000000Z"}, Reason.SIGNATURE_INCOMPLETE),  # another day than the scope's
        ({b"host": b"elsewhere"}, Reason.SIGNATURE_MISMATCH),
        ({b"x-amz-target": b"DynamoDB_20120810.DeleteItem"}, Reason.SIGNATURE_MISMATCH),
        ({b"authorization": None}, Reason.SIGNATURE_INCOMPLETE),
        ({b"authorization": b""}, Reason.TOKEN_MALFORMED),
        ({b"authorization": b"Bearer a.b.c"}, Reason.SEVERAL_TOKENS),
        ({b"authorization": b"Basic YTpi"}, Reason.TOKEN_MALFORMED),
        ({b"authorization": b"aws4-hmac-sha256 x"}, Reason.SIGNATURE_INCOMPLETE),
        ({b"x-dag-token": b"a.b.c"}, Reason.SEVERAL_TOKENS),
        ({b"x-airflow-dag-id": b"etl"}, Reason.SIGNATURE_INCOMPLETE),  # not signed
        ({b"x-amz-security-token": None}, Reason.AWS_KEYS),
        ({b"x-amz-security-token": b"ddbproxy1-AAAA"}, Reason.SESSION_INVALID),
    ],
)
async def test_a_remembered_session_is_refused_as_a_new_one_is(changed: dict[bytes, bytes | None], reason: Reason) -> None:
    """The same reason on a connection that knows the session and on one that does not; and nothing is sent."""
    known, new = await SignedLine.in_use(), SignedLine()
    refusals = [told(await line.ask(changed=changed)) for line in (known, new)]
    assert [given for given, _ in refusals] == [reason, reason]
    assert len({message.partition("; decision ")[0] for _, message in refusals}) == 1
    assert len(known.trial.upstream.requests) == 1
    assert new.body.known is None


async def test_another_body_is_not_that_of_a_remembered_session() -> None:
    """The signature is held against each body, and a session whose first request was forged is not remembered."""
    line = await SignedLine.in_use()
    for one in (line, SignedLine()):
        one.body._body = WRITE.replace(b"orders", b"others")
        assert told(await one.ask())[0] == Reason.SIGNATURE_MISMATCH
    assert one.body.known is None


async def test_another_session_on_the_same_connection_speaks_for_itself() -> None:
    """Its key id and its secret, not those of the one before it."""
    line = await SignedLine.in_use()
    first, line.credentials = line.credentials, line.logged_in()
    assert await line.ask() is line.trial.upstream.reply
    assert line.trial.journal.outcomes[-1].identity.subject.session_id == line.credentials.access_key
    crossed = {b"x-amz-security-token": first.token.encode()}
    assert told(await line.ask(changed=crossed))[0] == Reason.SIGNATURE_MISMATCH


async def test_a_remembered_session_ends_with_its_keys() -> None:
    """Rotation without overlap ends it at once, and the new key's sessions come in."""
    line = await SignedLine.in_use()
    line.mint.replace_keys((b"n" * 32,))
    assert told(await line.ask())[0] == Reason.SESSION_INVALID
    line.credentials = line.logged_in()
    assert await line.ask() is line.trial.upstream.reply


async def test_a_remembered_session_goes_on_while_its_key_may_still_open() -> None:
    """Rotation with overlap: it is opened anew by the keys in force."""
    line = await SignedLine.in_use()
    line.mint.replace_keys((b"n" * 32, bytes(32)))
    assert await line.ask() is line.trial.upstream.reply
    assert line.mint.asked == 2


async def test_a_remembered_session_ends_when_it_is_over() -> None:
    """By the clock of the request that comes, not of the one that was remembered."""
    line = SignedLine()
    line.credentials = line.logged_in(60)
    assert await line.ask() is line.trial.upstream.reply
    line.trial.pipeline._clock = lambda: time.time() + 61
    assert told(await line.ask(61))[0] == Reason.SESSION_EXPIRED


@pytest.mark.parametrize(("kind", "name"), [("dag", "etl"), ("issuer", "idp"), ("jti", "")])
async def test_kill_switches_stop_a_remembered_session(kind: str, name: str) -> None:
    """At the very next request: a `jti` is a session's key id too."""
    line = await SignedLine.in_use()
    line.trial.denials.current = DenyList((Denial(kind, name or line.credentials.access_key),))
    assert told(await line.ask())[0] in (Reason.DAG_STOPPED, Reason.ISSUER_STOPPED, Reason.TOKEN_STOPPED)
    assert len(line.trial.upstream.requests) == 1


async def test_a_signed_claim_of_another_task_is_bound_anew() -> None:
    """What a session's request says of its task is read where it differs."""
    line = await SignedLine.in_use()
    assert await line.ask(x_airflow_task_id="load") is line.trial.upstream.reply
    assert line.trial.journal.outcomes[-1].identity.task_id == "load"
    assert told(await line.ask(x_airflow_dag_id="other"))[0] == Reason.CONFLICTING_CLAIMS


async def test_a_token_after_a_session_is_a_token() -> None:
    """And a session after it is a session, each found in its own place."""
    line = await SignedLine.in_use()
    bearer = {b"x-amz-target": b"DynamoDB_20120810.PutItem", b"authorization": b"Bearer a.b.c"}
    assert await line.trial.pipeline.serve(head_of(bearer), line.body) is line.trial.upstream.reply
    assert line.trial.journal.outcomes[-1].identity.subject.session_id == ""
    line.trial.tokens.failure = Unauthenticated(Reason.TOKEN_EXPIRED, "it has ended")
    assert told(await line.trial.pipeline.serve(head_of(bearer), line.body))[0] == Reason.TOKEN_EXPIRED
    assert await line.ask() is line.trial.upstream.reply
