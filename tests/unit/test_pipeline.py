"""One request in order: what is asked when, what is told, and that nothing is sent, lost or counted twice.

Identity, DynamoDB, policy and signer are the real ones; only the I/O ports are stand-ins (tests/fakes.py).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.answers import answer
from proxy.dynamodb.seals import Seals
from proxy.identity.denials import Denial, DenyList
from proxy.identity.minting import SessionMint
from proxy.identity.token import Issuer, KeySource
from proxy.model import Ending, Reply, RequestHead, Subject
from proxy.pipeline import LARGE, Pipeline
from proxy.policy.document import read_policies
from proxy.policy.rules import Policies
from proxy.refusal import (
    ANSWERS,
    Abandoned,
    Broken,
    Forbidden,
    Malformed,
    Reason,
    Refusal,
    Throttled,
    Unauthenticated,
    Unavailable,
)
from proxy.yaml_source import Mistakes
from tests.fakes import SECRET, SESSION, FakeBody, FakeRoles, FakeTokens, FakeUpstream, FixedDenials, FixedPolicies, ListedJournal
from tests.outboxes import one_turn
from tests.signing import signed_headers

if TYPE_CHECKING:
    from proxy.model import Exchange

POLICY = """
tables:
  orders: {key: "pk (S)"}
dags:
  etl:
    role: arn:aws:iam::111122223333:role/etl
    allow:
      - {actions: [read, write], tables: [orders]}
"""
TOKEN = b"eyJhbGciOiJSUzI1NiJ9.eyJkYWdfaWQiOiJldGwifQ.c2lnbmF0dXJl"
VALUE = "an-item-value-that-nobody-may-see"
WRITE = json.dumps({"TableName": "orders", "Item": {"pk": {"S": VALUE}}}).encode()
READ = json.dumps({"TableName": "orders", "Key": {"pk": {"S": VALUE}}}).encode()


def policies_of(text: str, platform: str = "") -> Any:
    """Policies from one team's file, and the platform's where it is given."""
    mistakes = Mistakes()
    files = {"policies/orders.yaml": text} | ({"policies/platform.yaml": platform} if platform else {})
    policies = read_policies(files, "", "eu-west-1", mistakes)
    assert policies is not None, mistakes.lines()
    return policies


POLICIES = policies_of(POLICY)
ISSUER = Issuer("idp", "https://idp.test", ("dynamodb-proxy",), ("RS256",), KeySource("discovery"), {}, ("*",))


class Trial:
    """A pipeline among its stand-ins, and what became of each request."""

    def __init__(self, **claims: str) -> None:
        self.events: list[str] = []
        subject = Subject("idp", "worker", claims or {"dag_id": "etl"}, ("*",), 2e9, "jti")
        self.tokens = FakeTokens(self.events, subject)
        self.sessions = SessionMint((bytes(32),), (ISSUER,), "")
        self.denials = FixedDenials()
        self.policies = FixedPolicies(self.events, POLICIES)
        self.roles = FakeRoles(self.events)
        self.upstream = FakeUpstream(self.events)
        self.journal = ListedJournal(self.events)
        self.pipeline = Pipeline(
            tokens=self.tokens,
            sessions=self.sessions,
            denials=self.denials,
            policies=self.policies,
            roles=self.roles,
            upstream_of=lambda *_: self.upstream,
            seals=Seals((bytes(32),)),
            journal=self.journal,
            max_json_members=100,
        )

    async def ask(
        self, operation: str = "PutItem", body: bytes | Exception = WRITE, *, gone: bool = False, **headers: bytes
    ) -> Reply | None:
        """Serve one request; header names with `_` for `-`."""
        given = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        base = {b"x-amz-target": f"DynamoDB_20120810.{operation}".encode(), b"authorization": b"Bearer " + TOKEN}
        return await self.pipeline.serve(head_of(base | given), FakeBody(self.events, body, gone=gone))

    @property
    def outcome(self) -> Exchange:
        """The one outcome."""
        (outcome,) = self.journal.outcomes
        return outcome


def head_of(headers: dict[bytes, bytes]) -> RequestHead:
    """A head past the gate."""
    return RequestHead(b"POST", b"/", headers, "127.0.0.1:1234")


def told(reply: Reply | None) -> tuple[str, str]:
    """Reason and message of a refusal."""
    assert reply is not None
    headers = dict(reply.headers)
    body = json.loads(reply.body)
    assert headers[b"x-amz-crc32"] == str(zlib.crc32(reply.body)).encode()
    assert headers[b"content-type"] == b"application/x-amz-json-1.0"
    reason = headers[b"x-ddb-proxy-reason"].decode()
    assert (reply.status, body["__type"]) == ANSWERS[Reason(reason)][:2]
    assert body["message"].endswith(f"; decision {headers[b'x-amzn-requestid'].decode()}")
    return reason, body["message"]


# ------------------------------------------------------------------------------------------------- the order


async def test_a_request_in_order() -> None:
    """Token before body, decision on record before the write is sent, outcome last."""
    trial = Trial()
    reply = await trial.ask()
    assert reply is trial.upstream.reply
    assert trial.events == ["token", "policies", "body", "credentials", "decision", "send", "outcome"]
    assert trial.upstream.writes == [True]
    outcome = trial.outcome
    assert (outcome.ending, outcome.sent, outcome.status, outcome.reason) == (Ending.SERVED, True, 200, Reason.ALLOWED)
    assert (outcome.aws_request_id, outcome.rule) == ("AWSID", "policies/orders.yaml:8")
    assert outcome.policy_digest == POLICIES.digest
    assert (outcome.request_bytes, outcome.reply_bytes) == (len(WRITE), 2)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("[read, write]", "[read]", Reason.NO_RULE),
        ("dags:", "dags:\n  other: {role: 'arn:aws:iam::111122223333:role/other'}", Reason.ALLOWED),
        ("etl:", "elt:", Reason.UNKNOWN_DAG),
    ],
)
async def test_policies_that_change_while_the_body_arrives_judge_it(before: str, after: str, reason: Reason) -> None:
    """Who holds a request open, its token verified, does not keep rights that were taken away meanwhile."""
    trial = Trial()
    body = FakeBody(trial.events, WRITE)
    asking = await held_open(trial, body)
    trial.policies.policies = policies_of(POLICY.replace(before, after))
    body.held.set()
    await asking
    assert (trial.outcome.reason, trial.outcome.sent) == (reason, reason is Reason.ALLOWED)
    assert trial.outcome.policy_digest == trial.policies.policies.digest


async def held_open(trial: Trial, body: FakeBody) -> asyncio.Task[Reply | None]:
    """A request whose token is verified and whose body does not come yet."""
    body.held.clear()
    headers = {b"x-amz-target": b"DynamoDB_20120810.PutItem", b"authorization": b"Bearer " + TOKEN}
    asking = asyncio.create_task(trial.pipeline.serve(head_of(headers), body))
    await asyncio.sleep(0)  # it runs up to the body
    assert trial.events[-1] == "body"
    return asking


@pytest.mark.parametrize("reason", [Reason.TOKEN_EXPIRED, Reason.UNKNOWN_KEY, Reason.TOKEN_REVOKED])
async def test_a_token_that_ends_while_the_body_arrives_is_refused(reason: Reason) -> None:
    """Who holds a request open does not keep a login that expired, or whose key was rotated away, meanwhile."""
    trial = Trial()
    body = FakeBody(trial.events, WRITE)
    asking = await held_open(trial, body)
    trial.tokens.failure = Unauthenticated(reason, "it has ended")
    body.held.set()
    assert told(await asking)[0] == reason
    assert (trial.outcome.ending, trial.outcome.sent) == (Ending.REFUSED, False)
    assert trial.upstream.requests == []


async def test_a_token_that_proves_something_else_after_the_body_is_bound_anew() -> None:
    """What its cluster says of the pod can change as well; what holds when the body is there is on record."""
    trial = Trial()
    body = FakeBody(trial.events, WRITE)
    asking = await held_open(trial, body)
    trial.tokens.subject = replace(trial.tokens.subject, claims={"dag_id": "elsewhere"})
    trial.tokens.is_known = False
    body.held.set()
    assert told(await asking)[0] == Reason.UNKNOWN_DAG
    assert trial.outcome.subject is trial.tokens.subject


async def test_a_large_body_leaves_the_loop_to_others() -> None:
    """It is read, judged and signed in as many turns; what comes of it is what comes of a small one."""
    trial, small = Trial(), Trial()
    body = json.dumps({"TableName": "orders", "Item": {"pk": {"S": "x" * LARGE}}}, separators=(",", ":")).encode()
    asking = asyncio.create_task(trial.ask(body=body))
    turns = 0
    while not asking.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 5
    assert await asking is trial.upstream.reply
    await small.ask()
    at = small.events.index("credentials")
    assert trial.events == [*small.events[:at], "token", "policies", *small.events[at:]]
    (request,) = trial.upstream.requests
    assert request.endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("waits_for", ["body", "credentials", "turn"])
async def test_a_request_is_judged_and_signed_at_the_moment_in_which_it_leaves(
    waits_for: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at that in which it came: grants end meanwhile, and AWS takes no signature that is five minutes old."""
    trial, now = Trial(), [1_800_000_000.0]
    judged: list[float] = []
    decide, take_turn = Policies.decide, trial.pipeline._turns.next

    def judging(policies: Policies, identity: Any, operation: Any, moment: float) -> Any:
        judged.append(moment)
        return decide(policies, identity, operation, moment)

    async def taking_long() -> None:
        await take_turn()
        now[0] += 1000

    monkeypatch.setattr(Policies, "decide", judging)
    monkeypatch.setattr(trial.pipeline, "_clock", lambda: now[0])
    monkeypatch.setattr(trial.pipeline._turns, "next", taking_long)
    trial.roles.is_ready = waits_for != "credentials"
    size = LARGE if waits_for == "turn" else 1
    body = FakeBody(trial.events, json.dumps({"TableName": "orders", "Item": {"pk": {"S": "x" * size}}}).encode())
    held = {"body": body.held, "credentials": trial.roles.held}.get(waits_for)
    if held is not None:
        held.clear()
    headers = {b"x-amz-target": b"DynamoDB_20120810.PutItem", b"authorization": b"Bearer " + TOKEN}
    asking = asyncio.create_task(trial.pipeline.serve(head_of(headers), body))
    await one_turn()
    if held is not None:
        now[0] += 1000
        held.set()
    assert await asking is trial.upstream.reply
    (request,) = trial.upstream.requests
    left = datetime.fromtimestamp(now[0], UTC).strftime("%Y%m%dT%H%M%SZ").encode()
    assert b"x-amz-date: " + left in request
    came_late = now[0] if waits_for == "body" else 1_800_000_000.0
    assert judged == [came_late] if waits_for != "turn" else judged[0] > came_late


@pytest.mark.parametrize(("size", "is_kept"), [(100, True), (20_000, False)])
async def test_nothing_of_a_heavy_request_is_kept_while_its_answer_is_waited_for(size: int, *, is_kept: bool) -> None:
    """Not its body, nor what was parsed; what it did is on record all the same."""
    trial = Trial()
    await trial.ask(body=json.dumps({"TableName": "orders", "Item": {"pk": {"S": "x" * size}}}).encode())
    operation = trial.outcome.operation
    assert operation is not None
    assert (bool(operation.body), operation.touches[0].facts is not None) == (is_kept, is_kept)
    assert (operation.table, operation.is_write, trial.outcome.ending) == ("orders", True, Ending.SERVED)


async def test_a_large_body_that_is_refused_is_answered() -> None:
    """Whichever step finds what is wrong with it."""
    trial = Trial()
    reply = await trial.ask(body=b'{"TableName":"orders","Item":{"pk":{"S":"%s"}}' % (b"x" * LARGE))
    assert told(reply)[0] == Reason.UNREADABLE_BODY
    assert trial.upstream.requests == []


async def test_a_caller_of_a_large_body_who_leaves_meanwhile_is_not_served() -> None:
    """Whether it is still there is asked after the last of the turns."""
    trial = Trial()
    body = FakeBody(trial.events, json.dumps({"TableName": "orders", "Item": {"pk": {"S": "x" * LARGE}}}).encode())
    headers = {b"x-amz-target": b"DynamoDB_20120810.PutItem", b"authorization": b"Bearer " + TOKEN}
    asking = asyncio.create_task(trial.pipeline.serve(head_of(headers), body))
    while "credentials" not in trial.events:  # noqa: ASYNC110 - a list, not an event
        await asyncio.sleep(0)
    body.gone = True
    assert await asking is None
    assert (trial.outcome.ending, trial.upstream.requests) == (Ending.ABANDONED, [])


async def test_a_kill_switch_holds_for_a_large_body_that_waits_for_its_turn() -> None:
    """Behind enough others that takes seconds; rights that were taken away meanwhile are gone, and so is a DAG's rule."""
    large = json.dumps({"TableName": "orders", "Item": {"pk": {"S": "x" * LARGE}}}).encode()
    for name, reason in (("e*", Reason.DAG_STOPPED), ("other", Reason.NO_RULE)):
        trial = Trial()
        asking = asyncio.create_task(trial.ask(body=large))
        while "body" not in trial.events:  # noqa: ASYNC110 - a list, not an event
            await asyncio.sleep(0)
        trial.denials.current = DenyList([Denial("dag", name)])
        trial.policies.policies = policies_of(POLICY.replace("[read, write]", "[read]"))
        assert told(await asking)[0] == reason
        assert trial.upstream.requests == []
        assert trial.outcome.policy_digest == trial.policies.policies.digest


@pytest.mark.parametrize("stopped", [Denial("dag", "etl"), Denial("issuer", "idp")])
async def test_a_kill_switch_holds_for_who_waits_for_sts(stopped: Denial) -> None:
    """A cold role may take seconds; who is stopped meanwhile has nothing sent."""
    trial = Trial()
    trial.roles.is_ready = False
    trial.roles.held.clear()
    asking = asyncio.create_task(trial.ask())
    while "credentials" not in trial.events:  # noqa: ASYNC110 - a list, not an event
        await asyncio.sleep(0)
    trial.denials.current = DenyList([stopped])
    trial.roles.held.set()
    assert told(await asking)[0].endswith("_stopped")
    assert trial.upstream.requests == []


# ------------------------------------------------------------------------------------------------- sessions


def session_of(trial: Trial, seconds: float = 60, **fields: str) -> Any:
    """Credentials of a session of the trial's subject."""
    made = trial.sessions.mint(replace(trial.tokens.subject, **fields), time.time(), seconds)
    return Credentials(made.access_key_id, made.secret_access_key, made.session_token)


def signed_by(made: Any, body: bytes = WRITE, **headers: str) -> dict[bytes, bytes]:
    """Headers of a PutItem under a session."""
    given = {
        "host": "gateway",
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": "DynamoDB_20120810.PutItem",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return {name.encode(): value.encode() for name, value in signed_headers(made, given, body).items()}


async def test_a_session_is_served_after_its_signature_was_held_against_the_body() -> None:
    """Until then nothing that the head says is believed, nor looked up in the policies' name."""
    trial = Trial()
    made = session_of(trial)
    body = FakeBody(trial.events, WRITE)
    assert await trial.pipeline.serve(head_of(signed_by(made)), body) is trial.upstream.reply
    assert trial.events == ["policies", "body", "credentials", "decision", "send", "outcome"]
    assert trial.outcome.subject is not None
    assert trial.outcome.subject.session_id == made.access_key


async def test_what_a_session_did_not_sign_is_nobodys() -> None:
    """The subject is on record, for its token came; no identity is, for nobody proved to be it."""
    trial = Trial()
    body = FakeBody(trial.events, WRITE + b" ")
    assert told(await trial.pipeline.serve(head_of(signed_by(session_of(trial))), body))[0] == "signature_mismatch"
    assert (trial.outcome.identity, trial.outcome.sent, trial.upstream.requests) == (None, False, [])
    assert trial.outcome.subject is not None


async def test_a_session_of_a_role_acts_as_no_other() -> None:
    """Its DAG has another role by now: that was not what it was assumed for."""
    trial = Trial()
    other = session_of(trial, role_arn="arn:aws:iam::111122223333:role/other")
    reason, message = told(await trial.pipeline.serve(head_of(signed_by(other)), FakeBody(trial.events, WRITE)))
    assert reason == "outside_role"
    assert "dag 'etl' has role 'arn:aws:iam::111122223333:role/etl'" in message
    own = session_of(trial, role_arn="arn:aws:iam::111122223333:role/etl")
    trial.journal.outcomes.clear()
    assert await trial.pipeline.serve(head_of(signed_by(own)), FakeBody(trial.events, WRITE)) is trial.upstream.reply


async def test_a_session_that_ends_while_the_body_arrives_is_refused() -> None:
    """As a token is; here its key was taken away."""
    trial = Trial()
    body = FakeBody(trial.events, WRITE)
    body.held.clear()
    asking = asyncio.create_task(trial.pipeline.serve(head_of(signed_by(session_of(trial))), body))
    await asyncio.sleep(0)
    trial.sessions.replace_keys((b"n" * 32,))
    body.held.set()
    assert told(await asking)[0] == "session_invalid"


@pytest.mark.parametrize(
    ("denial", "reason"),
    [
        (Denial("dag", "e*"), "dag_stopped"),
        (Denial("team", "shop"), "team_stopped"),
        (Denial("issuer", "idp"), "issuer_stopped"),
        (Denial("jti", "jti"), "token_stopped"),
    ],
)
async def test_a_kill_switch_holds_for_tokens_and_sessions(denial: Denial, reason: str) -> None:
    """Also where it is thrown while the body arrives; nothing that was cached gets past it."""
    team = 'teams: {shop: {dags: ["*"], tables: ["*"]}}'
    for is_session in (True, False):
        trial = Trial()
        trial.policies.policies = policies_of("team: shop\n" + POLICY, team)
        headers = signed_by(session_of(trial)) if is_session else {b"x-amz-target": b"DynamoDB_20120810.PutItem"}
        headers |= {} if is_session else {b"authorization": b"Bearer " + TOKEN}
        body = FakeBody(trial.events, WRITE)
        body.held.clear()
        asking = asyncio.create_task(trial.pipeline.serve(head_of(headers), body))
        await asyncio.sleep(0)
        trial.denials.current = DenyList([denial])
        body.held.set()
        assert told(await asking)[0] == reason
        assert trial.upstream.requests == []


async def test_a_stopped_team_stops_what_no_file_names() -> None:
    """Who may name any DAG of the team's would go on as one that is let through as `unmapped`; those of others still pass."""
    platform = """
teams:
  shop: {dags: [etl], tables: ["*"]}
  growth: {dags: ["growth_*"], tables: ["*"]}
unmapped: {role: "arn:aws:iam::111122223333:role/legacy", mode: observe, until: "2099-01-01"}
"""
    ends = {}
    for dag_id in ("etl", "growth_new", "other"):
        trial = Trial(dag_id=dag_id)
        trial.policies.policies = policies_of("team: shop\n" + POLICY, platform)
        trial.denials.current = DenyList([Denial("team", "growth")])
        await trial.ask()
        ends[dag_id] = trial.outcome.reason
    assert ends == {"etl": Reason.ALLOWED, "growth_new": Reason.TEAM_STOPPED, "other": Reason.OBSERVED}


def test_a_dag_that_no_file_names_has_no_team() -> None:
    """Nor has one whose file names none."""
    assert POLICIES.teams_of("etl") == POLICIES.teams_of("unheard-of") == ()


async def test_what_is_slow_is_waited_for() -> None:
    """A token that must be verified first and credentials that come from STS serve as well, a read like a write."""
    trial = Trial()
    trial.tokens.is_known = trial.roles.is_ready = False
    assert await trial.ask("GetItem", READ) is trial.upstream.reply
    assert trial.upstream.writes == [False]


async def test_what_was_judged_is_what_is_sent() -> None:
    """The body is written again from what was judged, under the role's signature and AWS's own host."""
    trial = Trial()
    body = b'{ "TableName" : "orders", "Item": {"pk": {"S": "\\u0041"}} }'
    await trial.ask(body=body, host=b"evil.test")
    head, _, sent = trial.upstream.requests[0].partition(b"\r\n\r\n")
    assert sent == b'{"TableName":"orders","Item":{"pk":{"S":"A"}}}'
    assert b"host: dynamodb.eu-west-1.amazonaws.com" in head
    assert b"Credential=ASIAFAKE/" in head
    assert b"evil" not in head


async def test_headers_travel_by_allow_list_only() -> None:
    """Two names of the SDK's, and these only with harmless values; nothing that routes, frames or authenticates."""
    trial = Trial()
    strange = {
        "x_amz_security_token_": b"x", "cookie": b"a=b", "x_forwarded_for": b"10.0.0.1", "x_airflow_dag_id": b"etl",
        "user_agent": b"Boto3", "amz_sdk_invocation_id": b"5e3ff0a4-0000-4000-8000-000000000000",
        "amz_sdk_request": b"attempt=2; max=5", "expect": b"100-continue", "x_amz_date": b"20200101T000000Z",
    }  # fmt: skip
    await trial.ask(**strange)
    lines = trial.upstream.requests[0].partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    names = {line.partition(b":")[0] for line in lines}
    assert names == {
        b"host", b"content-type", b"x-amz-date", b"x-amz-security-token", b"authorization", b"x-amz-target", b"content-length",
        b"accept-encoding", b"user-agent", b"amz-sdk-invocation-id", b"amz-sdk-request",
    }  # fmt: skip
    assert TOKEN not in trial.upstream.requests[0]
    assert b"20200101" not in trial.upstream.requests[0]


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"\x00", b"\xff\xfe", b"a" * 129, b"", b"a(b)"])
async def test_odd_bytes_in_forwarded_headers_do_not_travel(value: bytes) -> None:
    """A value that is not plain is left out; the request is served all the same."""
    trial = Trial()
    assert await trial.ask(amz_sdk_invocation_id=value, amz_sdk_request=value) is trial.upstream.reply
    assert b"amz-sdk" not in trial.upstream.requests[0]
    assert trial.outcome.invocation_id in ("", "a" * 64)


@pytest.mark.parametrize(
    ("said", "attempt"),
    [
        (b"attempt=1", 1),
        (b"ttl=20261122T160000Z; attempt=3; max=5", 3),
        (b"attempt=2;max=3", 2),
        (b"max=5", 1),
        (b"xattempt=7", 1),
        (b"attempt=1234", 1),
        (b"attempt=-1", 1),
        (b"attempt=\xb2", 1),
        (b"", 1),
    ],
)
async def test_attempts(said: bytes, attempt: int) -> None:
    """The SDK's own count of attempts, bounded; what is not one is a first attempt."""
    trial = Trial()
    await trial.ask(amz_sdk_request=said)
    assert trial.outcome.attempt == attempt


@pytest.mark.parametrize(
    ("said", "kept"),
    [(b"5e3ff0a4-1b2c", "5e3ff0a4-1b2c"), (b"a" * 64, "a" * 64), (b"a" * 65, ""), (TOKEN, ""), (b"a b", ""), (b"\xe9", "")],
)
async def test_invocation_ids(said: bytes, kept: str) -> None:
    """What goes on record is of the form of an id, so that no token sneaks in."""
    trial = Trial()
    await trial.ask(amz_sdk_invocation_id=said)
    assert trial.outcome.invocation_id == kept


# ---------------------------------------------------------------------------------------- everything that says no


def unavailable(reason: Reason) -> Unavailable:
    """A refusal of something that is away."""
    return Unavailable(reason, "it is away; try again")


REFUSED: dict[str, tuple[Reason, Ending, dict[str, Any]]] = {
    "no token": (Reason.NO_TOKEN, Ending.REFUSED, {"headers": {"authorization": b"Bearer "}}),
    "torn token": (
        Reason.TOKEN_NEWLINE,
        Ending.REFUSED,
        {"headers": {"authorization": b"Bearer a\tb"}, "tokens": unavailable(Reason.KEYS_UNAVAILABLE)},  # which is not asked
    ),
    "two tokens": (Reason.SEVERAL_TOKENS, Ending.REFUSED, {"headers": {"x_dag_token": TOKEN}}),
    "bad token": (Reason.BAD_SIGNATURE, Ending.REFUSED, {"tokens": Unauthenticated(Reason.BAD_SIGNATURE, "it does not fit")}),
    "no keys": (Reason.KEYS_UNAVAILABLE, Ending.REFUSED, {"tokens": unavailable(Reason.KEYS_UNAVAILABLE)}),
    "bad claim": (Reason.MALFORMED_REQUEST, Ending.REFUSED, {"headers": {"x_airflow_dag_id": b"%zz"}}),
    "conflict": (Reason.CONFLICTING_CLAIMS, Ending.REFUSED, {"headers": {"x_airflow_dag_id": b"other"}}),
    "slow body": (Reason.TOO_SLOW, Ending.REFUSED, {"body": Malformed(Reason.TOO_SLOW, "the body did not arrive")}),
    "no room": (Reason.OVERLOADED, Ending.REFUSED, {"body": Throttled(Reason.OVERLOADED, "full")}),
    "no target": (Reason.UNKNOWN_OPERATION, Ending.REFUSED, {"headers": {"x_amz_target": b""}}),
    "odd target": (Reason.UNKNOWN_OPERATION, Ending.REFUSED, {"headers": {"x_amz_target": b"\xff\x00"}}),
    "other operation": (Reason.NO_RULE, Ending.REFUSED, {"operation": "DeleteTable", "body": b'{"TableName":"orders"}'}),
    "bad body": (Reason.UNREADABLE_BODY, Ending.REFUSED, {"body": b'{"TableName": "orders", "TableName": "x"}'}),
    "many members": (Reason.UNREADABLE_BODY, Ending.REFUSED, {"body": b'{"TableName":"orders","Item":{%s}}' % (b",:" * 60)}),
    "unknown table": (Reason.NO_RULE, Ending.REFUSED, {"body": WRITE.replace(b'"orders"', b'"others"')}),
    "foreign table": (
        Reason.FOREIGN_TABLE,
        Ending.REFUSED,
        {"body": WRITE.replace(b'"orders"', b'"arn:aws:dynamodb:eu-west-1:999999999999:table/orders"')},
    ),
    "unknown dag": (Reason.UNKNOWN_DAG, Ending.REFUSED, {"claims": {"dag_id": "stranger"}}),
    "no claim": (Reason.NO_DAG_CLAIM, Ending.REFUSED, {"claims": {"task_id": "t"}}),
    "role": (Reason.ROLE_NOT_ASSUMABLE, Ending.REFUSED, {"roles": Forbidden(Reason.ROLE_NOT_ASSUMABLE, "trust it")}),
    "sts": (Reason.CREDENTIALS_UNAVAILABLE, Ending.BROKEN, {"roles": unavailable(Reason.CREDENTIALS_UNAVAILABLE)}),
    "no way": (Reason.UPSTREAM_UNREACHABLE, Ending.BROKEN, {"upstream": unavailable(Reason.UPSTREAM_UNREACHABLE)}),
    "audit": (Reason.AUDIT_UNAVAILABLE, Ending.BROKEN, {"full": True}),
    "defect in identity": (Reason.INTERNAL_ERROR, Ending.BROKEN, {"tokens": KeyError(VALUE)}),
    "defect in roles": (Reason.INTERNAL_ERROR, Ending.BROKEN, {"roles": KeyError(VALUE)}),
    "defect in upstream": (Reason.INTERNAL_ERROR, Ending.BROKEN, {"upstream": ZeroDivisionError(VALUE)}),
    "defect in body": (Reason.INTERNAL_ERROR, Ending.BROKEN, {"body": KeyError(VALUE)}),
    "defect in journal": (Reason.INTERNAL_ERROR, Ending.BROKEN, {"defect": KeyError(VALUE)}),
}


@pytest.mark.parametrize(("reason", "ending", "setup"), REFUSED.values(), ids=REFUSED)
async def test_nothing_is_sent_on_any_refusal(
    reason: Reason, ending: Ending, setup: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Each way to be refused: nothing sent, one outcome, one decision at most, a message that shows no secret."""
    trial = Trial(**setup.get("claims", {}))
    trial.tokens.failure, trial.roles.failure = setup.get("tokens"), setup.get("roles")
    trial.upstream.failure, trial.upstream.fails_after_sending = setup.get("upstream"), False
    trial.journal.is_full, trial.journal.defect = setup.get("full", False), setup.get("defect")
    reply = await trial.ask(setup.get("operation", "PutItem"), setup.get("body", WRITE), **setup.get("headers", {}))
    said, message = told(reply)
    outcome = trial.outcome
    assert (said, outcome.reason, outcome.ending) == (reason, reason, ending)
    assert trial.upstream.requests == []
    assert not outcome.sent
    assert reply is not None
    assert (outcome.status, outcome.reply_bytes) == (reply.status, len(reply.body))
    assert trial.events.count("outcome") == 1
    assert trial.events.count("decision") <= 1
    assert trial.events[-1] == "outcome"
    assert "\n" not in message
    for secret in (TOKEN.decode(), TOKEN.decode()[:20], VALUE, SECRET, SESSION):
        assert secret not in message + caplog.text


async def test_the_body_of_a_stranger_is_not_read() -> None:
    """Whoever is not known or bound costs no body."""
    for setup in ("authorization", "x_airflow_dag_id"):
        trial = Trial()
        await trial.ask(**{setup: b"other"})
        assert "body" not in trial.events


async def test_a_denial_is_on_record_and_names_its_rule() -> None:
    """Decision and outcome agree, and the nearest rule is on record."""
    trial = Trial()
    await trial.ask("Scan", b'{"TableName": "orders"}')
    (decision,) = trial.journal.decisions
    assert (decision.reason, decision.id) == (Reason.NO_RULE, trial.outcome.id)
    assert trial.outcome.rule.startswith("policies/orders.yaml:")


# ------------------------------------------------------------------------------------------- after it was sent


@pytest.mark.parametrize(
    "error",
    ["UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException", "MissingAuthenticationTokenException"],
)
async def test_a_refused_signer_is_ours_to_mend(error: str) -> None:
    """That AWS refuses our session is no answer for the caller: 503, and the very credentials are forgotten."""
    trial = Trial()
    body = json.dumps({"__type": f"com.amazon.coral.service#{error}", "message": SESSION}).encode()
    trial.upstream.reply = Reply(400, (), body)
    reason, message = told(await trial.ask())
    assert reason == Reason.CREDENTIALS_REFUSED
    assert SESSION not in message
    ((principal, refused),) = trial.roles.forgotten
    assert (principal.dag_id, refused) == ("etl", trial.roles.credentials)
    outcome = trial.outcome
    assert (outcome.ending, outcome.status, outcome.sent, outcome.summary.error) == (Ending.BROKEN, 503, True, error)
    assert trial.events.count("decision") == 1


@pytest.mark.parametrize("error", ["AccessDeniedException", "ConditionalCheckFailedException", "ThrottlingException", ""])
async def test_errors_of_dynamodb_pass_untouched(error: str) -> None:
    """What DynamoDB says to the caller is the caller's."""
    trial = Trial()
    trial.upstream.reply = Reply(400, ((b"x-other", b"1"),), json.dumps({"__type": f"x#{error}"}).encode())
    assert await trial.ask() is trial.upstream.reply
    assert (trial.outcome.ending, trial.outcome.summary.error) == (Ending.SERVED, error)
    assert trial.roles.forgotten == []


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Broken(Reason.UPSTREAM_BROKEN, "cut; read the item before writing it again"), Reason.UPSTREAM_BROKEN),
        (KeyError(VALUE), Reason.INTERNAL_ERROR),
    ],
)
async def test_a_break_after_sending_has_an_unknown_outcome(
    failure: Exception, reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    """500, on record as broken and sent; sent once."""
    trial = Trial()
    trial.upstream.failure = failure
    said, _ = told(await trial.ask())
    assert said == reason
    assert (trial.outcome.ending, trial.outcome.sent, trial.outcome.status) == (Ending.BROKEN, True, 500)
    assert trial.events.count("send") == trial.events.count("decision") == 1
    assert VALUE not in caplog.text


async def test_a_defect_shows_where_and_not_what(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the trace and the decision's id; the exception's own text could be a value of the request."""
    trial = Trial()
    trial.roles.failure = KeyError(VALUE)
    with caplog.at_level(logging.ERROR):
        _, message = told(await trial.ask())
    assert f"defect while serving decision {trial.outcome.id}: KeyError" in caplog.text
    assert "credentials_for" in caplog.text
    assert VALUE not in caplog.text
    assert "KeyError" not in message


# --------------------------------------------------------------------------------------------- callers who leave


async def test_who_left_before_the_body_was_whole() -> None:
    """Nothing is sent and nobody is answered; it is on record."""
    trial = Trial()
    assert await trial.ask(body=Abandoned()) is None
    assert (trial.outcome.ending, trial.outcome.sent, trial.outcome.status) == (Ending.ABANDONED, False, 0)


async def test_who_left_while_credentials_were_fetched() -> None:
    """A write that nobody waits for any more is not sent."""
    trial = Trial()
    trial.roles.is_ready = False
    trial.roles.held.clear()
    body = FakeBody(trial.events, WRITE)
    head = head_of({b"x-amz-target": b"DynamoDB_20120810.PutItem", b"authorization": b"Bearer " + TOKEN})
    serving = asyncio.create_task(trial.pipeline.serve(head, body))
    while "credentials" not in trial.events:  # noqa: ASYNC110 - the event is in the list
        await asyncio.sleep(0)
    body.gone = True
    trial.roles.held.set()
    assert await serving is None
    assert trial.upstream.requests == []
    assert trial.journal.decisions == []
    assert (trial.outcome.ending, trial.outcome.sent) == (Ending.ABANDONED, False)


async def test_a_request_cut_off_at_the_end_of_the_process_is_on_record() -> None:
    """Cancelled while AWS works on it: broken, sent, and told once."""
    trial = Trial()
    trial.upstream.held.clear()
    serving = asyncio.create_task(trial.ask())
    while "send" not in trial.events:  # noqa: ASYNC110 - the event is in the list
        await asyncio.sleep(0)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert (trial.outcome.ending, trial.outcome.sent, trial.outcome.status) == (Ending.BROKEN, True, 0)


# --------------------------------------------------------------------------------------------------------- times


async def wait_a_little(event: asyncio.Event) -> None:
    """Set the event after a measurable time."""
    asyncio.get_running_loop().call_later(0.3, event.set)


@pytest.mark.parametrize("fails", [False, True])
async def test_the_callers_time_is_not_the_gateways(fails: bool) -> None:
    """Waiting for a body is counted neither for the gateway nor for DynamoDB, whether or not it comes."""
    trial = Trial()
    body = FakeBody(trial.events, Malformed(Reason.TOO_SLOW, "slow") if fails else WRITE)
    body.held.clear()
    await wait_a_little(body.held)
    head = head_of({b"x-amz-target": b"DynamoDB_20120810.PutItem", b"authorization": b"Bearer " + TOKEN})
    await trial.pipeline.serve(head, body)
    assert 0 <= trial.outcome.gateway_seconds < 0.25
    assert trial.outcome.upstream_seconds < 0.25


@pytest.mark.parametrize("fails", [False, True])
async def test_dynamodbs_time_is_not_the_gateways(fails: bool) -> None:
    """Waiting for DynamoDB is counted for DynamoDB, also when it breaks."""
    trial = Trial()
    trial.upstream.failure = Broken(Reason.UPSTREAM_BROKEN, "cut") if fails else None
    trial.upstream.held.clear()
    await wait_a_little(trial.upstream.held)
    await trial.ask()
    assert trial.outcome.upstream_seconds > 0.25
    assert 0 <= trial.outcome.gateway_seconds < 0.25


# --------------------------------------------------------------------------------------------------- many at once


async def test_requests_at_once_have_each_their_own_record() -> None:
    """A hundred requests with one token: a hundred ids, decisions and outcomes, nothing mixed up."""
    trial = Trial()
    trial.upstream.held.clear()
    asked = [
        asyncio.create_task(trial.ask(*(("PutItem", WRITE) if number % 2 else ("Scan", b'{"TableName":"orders"}'))))
        for number in range(100)
    ]
    while trial.events.count("send") < 50:  # noqa: ASYNC110 - the events are in the list
        await asyncio.sleep(0)
    trial.upstream.held.set()
    await asyncio.gather(*asked)
    outcomes = trial.journal.outcomes
    assert len({outcome.id for outcome in outcomes}) == 100
    assert {(o.operation_name, o.ending, o.sent) for o in outcomes} == {
        ("PutItem", Ending.SERVED, True), ("Scan", Ending.REFUSED, False)
    }  # fmt: skip
    assert sorted(d.id for d in trial.journal.decisions) == sorted(o.id for o in outcomes)


# ------------------------------------------------------------------------------------------------ before the gate


def test_who_is_turned_away_at_the_gate_is_on_record_too() -> None:
    """One decision, one outcome, the same form of answer."""
    trial = Trial()
    reply = trial.pipeline.turn_away(Malformed(Reason.MALFORMED_REQUEST, "a header was sent twice"), "192.0.2.1:1")
    assert told(reply)[0] == Reason.MALFORMED_REQUEST
    assert trial.events == ["decision", "outcome"]
    assert (trial.outcome.peer, trial.outcome.ending, trial.outcome.status) == ("192.0.2.1:1", Ending.REFUSED, 400)


def test_who_is_turned_away_hears_it_whatever_the_audit() -> None:
    """A refusal stands whether or not it can be written down."""
    for is_full, defect in ((True, None), (False, KeyError("x"))):
        trial = Trial()
        trial.journal.is_full, trial.journal.defect = is_full, defect
        assert told(trial.pipeline.turn_away(Throttled(Reason.OVERLOADED, "full"), ""))[0] == Reason.OVERLOADED
        assert trial.events == ["outcome"]


@given(st.text(max_size=300))
def test_whatever_a_refusal_says_its_answer_is_one_line_of_json(text: str) -> None:
    """Line breaks, terminal control and lone surrogates never leave: the task's log shows one line."""
    trial = Trial()
    _, message = told(trial.pipeline.turn_away(Refusal(Reason.NO_RULE, text), ""))
    assert message.isprintable()


def test_a_file_name_that_is_no_text_can_be_told() -> None:
    """A rule's file may have a name in another encoding, which Python holds as lone surrogates."""
    trial = Trial()
    assert "?" in told(trial.pipeline.turn_away(Forbidden(Reason.NO_RULE, "see policies/caf\udce9.yaml:1"), ""))[1]


@pytest.mark.parametrize("reason", sorted(ANSWERS))
def test_every_reason_has_its_answer(reason: Reason) -> None:
    """Status and error name as DynamoDB would give them."""
    assert told(answer(Refusal(reason, "m"), "0f", "m; decision 0f")) == (reason, "m; decision 0f")


@settings(max_examples=200, deadline=None)
@given(
    headers=st.dictionaries(
        st.sampled_from(
            [b"authorization", b"x-dag-token", b"x-amz-security-token", b"x-amz-target", b"amz-sdk-request", b"x-airflow-dag-id"]
        ),
        st.one_of(st.binary(max_size=60), st.sampled_from([b"Bearer " + TOKEN, TOKEN, b"DynamoDB_20120810.PutItem", b"etl"])),
    ),
    body=st.one_of(st.binary(max_size=80), st.sampled_from([WRITE, READ])),
)
def test_no_request_gets_through_without_its_decision(headers: dict[bytes, bytes], body: bytes) -> None:
    """Whatever comes: one outcome, and what is sent was decided as allowed and named a table of the policy."""

    async def run() -> Trial:
        trial = Trial()
        await trial.pipeline.serve(head_of(headers), FakeBody(trial.events, body))
        return trial

    trial = asyncio.run(run())
    outcome = trial.outcome
    assert (outcome.ending is Ending.SERVED) == bool(trial.upstream.requests)
    if trial.upstream.requests:
        assert [d.reason for d in trial.journal.decisions] == [Reason.ALLOWED]
        assert outcome.operation is not None
        assert outcome.operation.table == "orders"
    assert outcome.reason is not Reason.INTERNAL_ERROR


# ------------------------------------------------------------------------------------------------------ streams

STREAM = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-11-22T00:00:00.000"
STREAM_POLICY = """
tables:
  orders: {key: "pk (S)"}
dags:
  etl:
    role: arn:aws:iam::111122223333:role/etl
    allow:
      - {actions: [GetShardIterator, GetRecords], tables: [orders]}
  other:
    role: arn:aws:iam::111122223333:role/other
    allow:
      - {actions: [GetRecords], tables: [orders]}
"""


async def ask_streams(trial: Trial, operation: str, body: dict[str, Any], answer_body: dict[str, Any]) -> Reply | None:
    """One request to the Streams plane."""
    trial.policies.policies = policies_of(STREAM_POLICY)
    trial.upstream.reply = Reply(200, ((b"x-amzn-requestid", b"AWSID"),), json.dumps(answer_body).encode())
    return await trial.ask(body=json.dumps(body).encode(), x_amz_target=f"DynamoDBStreams_20120810.{operation}".encode())


async def test_a_shard_iterator_is_good_for_its_dag_alone() -> None:
    """It goes out sealed, comes back opened, and another DAG cannot use it."""
    trial = Trial()
    asked = {"StreamArn": STREAM, "ShardId": "shardId-00000001234567890123-abcdefgh", "ShardIteratorType": "LATEST"}
    reply = await ask_streams(trial, "GetShardIterator", asked, {"ShardIterator": f"{STREAM}|1|raw"})
    assert reply is not None
    sealed = json.loads(reply.body)["ShardIterator"]
    assert "raw" not in sealed

    reply = await ask_streams(trial, "GetRecords", {"ShardIterator": sealed}, {"Records": [], "NextShardIterator": "raw-2"})
    assert reply is not None
    assert json.loads(reply.body)["NextShardIterator"] not in ("raw-2", sealed)
    assert f"{STREAM}|1|raw".encode() in trial.upstream.requests[-1]

    other = Trial(dag_id="other")
    reply = await ask_streams(other, "GetRecords", {"ShardIterator": sealed}, {})
    assert told(reply)[0] == Reason.FOREIGN_ITERATOR
    assert other.upstream.requests == []


PAGE_POLICY = """
tables:
  events: {key: "user_id (S), ts (N)", indexes: {by_campaign: "campaign_id (S)"}}
  mine: {key: "user_id (S), ts (N)"}
dags:
  etl:
    role: arn:aws:iam::111122223333:role/etl
    allow: [{actions: [Query], tables: [events], indexes: [by_campaign], attributes: [campaign_id, ts]}, LINE]
  denied:
    role: arn:aws:iam::111122223333:role/denied
    allow:
      - {actions: [Scan, PartiQLSelect], tables: [events, mine]}
    deny:
      - {actions: [Scan, PartiQLSelect], tables: [events, mine], attributes: [user_id]}
      - {actions: [Scan], tables: [events], attributes: [ts], tasks: [other]}
"""
PAGE_POLICY = PAGE_POLICY.replace("LINE", "{actions: [Query, Scan], tables: [events], attributes: [user_id, ts]}")
LAST_KEY = {"user_id": {"S": "u1@secret"}, "ts": {"N": "7"}, "campaign_id": {"S": "c1"}}
CAMPAIGN = {
    "TableName": "events",
    "IndexName": "by_campaign",
    "KeyConditionExpression": "campaign_id = :c",
    "ExpressionAttributeValues": {":c": {"S": "c1"}},
    "Select": "COUNT",
    "Limit": 1,
}
CITIES = {"TableName": "events", "ProjectionExpression": "city", "Limit": 1}


async def ask_page(
    trial: Trial,
    operation: str,
    body: dict[str, Any],
    last_key: dict[str, Any] = LAST_KEY,
    policies: Any = None,
    **headers: bytes,
) -> dict[str, Any]:
    """One request for a page, and what the answer says."""
    trial.policies.policies = policies or policies_of(PAGE_POLICY)
    page = {"Count": 1, "LastEvaluatedKey": last_key}
    trial.upstream.reply = Reply(200, ((b"x-amzn-requestid", b"AWSID"),), json.dumps(page).encode())
    reply = await trial.ask(body=json.dumps(body).encode(), x_amz_target=f"DynamoDB_20120810.{operation}".encode(), **headers)
    assert reply is not None
    answer: dict[str, Any] = json.loads(reply.body)
    return answer


@pytest.mark.parametrize(
    ("dag_id", "operation", "body"),
    [
        ("etl", "Query", CAMPAIGN),
        ("denied", "Scan", CITIES),
        ("denied", "ExecuteStatement", {"Statement": "SELECT city FROM events", "Limit": 1}),
    ],
)
async def test_the_key_of_a_next_page_tells_nothing_that_is_hidden(dag_id: str, operation: str, body: dict[str, Any]) -> None:
    """With a `Limit` that grows by one it told attributes of every item that the rules do not show, or deny."""
    answer = await ask_page(Trial(dag_id=dag_id), operation, body)
    assert list(answer["LastEvaluatedKey"]) == ["ddb-proxy-page"]
    assert "secret" not in json.dumps(answer)


async def test_a_next_page_is_had_by_its_sealed_key() -> None:
    """DynamoDB gets its own key; bare, it would be refused for what it names, and another DAG's is refused as well."""
    trial = Trial()
    sealed = (await ask_page(trial, "Query", CAMPAIGN))["LastEvaluatedKey"]
    await ask_page(trial, "Query", {**CAMPAIGN, "ExclusiveStartKey": sealed})
    assert json.loads(trial.upstream.requests[-1].partition(b"\r\n\r\n")[2])["ExclusiveStartKey"] == LAST_KEY

    bare = await ask_page(trial, "Query", {**CAMPAIGN, "ExclusiveStartKey": LAST_KEY})
    assert "it names 'user_id'" in bare["message"]
    other = Trial(dag_id="denied")
    refused = await ask_page(other, "Scan", {**CITIES, "ExclusiveStartKey": sealed})
    assert "was not given to this DAG" in refused["message"]
    assert other.upstream.requests == []


async def test_a_key_of_which_all_may_be_seen_goes_out_as_it_is() -> None:
    """Also by the second of two rules that stand on one line of the policy."""
    query = {
        "TableName": "events",
        "KeyConditionExpression": "user_id = :u",
        "ExpressionAttributeValues": {":u": {"S": "u1"}},
        "ProjectionExpression": "ts",
    }
    key = {"user_id": {"S": "u1"}, "ts": {"N": "7"}}
    trial = Trial()
    assert list((await ask_page(trial, "Query", CAMPAIGN))["LastEvaluatedKey"]) == ["ddb-proxy-page"]
    assert (await ask_page(trial, "Query", query, key))["LastEvaluatedKey"] == key
    assert list((await ask_page(trial, "Query", CAMPAIGN))["LastEvaluatedKey"]) == ["ddb-proxy-page"]


async def test_a_page_of_one_table_is_none_of_another() -> None:
    """There its key could be compared with items that the DAG had put there, until it was known."""
    trial = Trial(dag_id="denied")
    sealed = (await ask_page(trial, "Scan", CITIES))["LastEvaluatedKey"]
    arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/"
    refused = await ask_page(trial, "Scan", {**CITIES, "TableName": "mine", "ExclusiveStartKey": sealed})
    assert "was not given to this DAG for this table or index" in refused["message"]
    served = await ask_page(trial, "Scan", {**CITIES, "TableName": f"{arn}events", "ExclusiveStartKey": sealed})
    assert list(served["LastEvaluatedKey"]) == ["ddb-proxy-page"]


async def test_a_rule_for_other_tasks_hides_nothing() -> None:
    """Of a task that is known."""
    key, task = {"ts": {"N": "7"}}, "x_airflow_task_id"
    seen = await ask_page(Trial(dag_id="denied"), "Scan", CITIES, key, **{task: b"load"})
    assert seen["LastEvaluatedKey"] == key
    for headers in ({task: b"other"}, {}):
        hidden = await ask_page(Trial(dag_id="denied"), "Scan", CITIES, key, **headers)
        assert list(hidden["LastEvaluatedKey"]) == ["ddb-proxy-page"]


async def test_what_is_denied_platform_wide_is_hidden_from_the_unmapped_too() -> None:
    """They are let through as `unmapped`, but for what platform.yaml denies."""
    platform = """
deny: [{actions: ["*"], tables: [events], attributes: [user_id]}]
unmapped: {role: "arn:aws:iam::111122223333:role/legacy", mode: observe, until: "2099-01-01"}
"""
    answer = await ask_page(Trial(dag_id="stranger"), "Scan", CITIES, policies=policies_of(PAGE_POLICY, platform))
    assert list(answer["LastEvaluatedKey"]) == ["ddb-proxy-page"]


async def test_where_all_is_let_through_nothing_is_hidden() -> None:
    """An environment that observes changes no answer: nothing may break in it."""
    platform = 'environments: {dev: {account: "111122223333", region: eu-west-1, mode: observe}}\n'
    mistakes = Mistakes()
    policies = read_policies({"platform.yaml": platform, "orders.yaml": PAGE_POLICY}, "dev", "", mistakes)
    assert policies is not None, mistakes.lines()
    for dag_id, operation, body in (("etl", "Query", CAMPAIGN), ("denied", "Scan", CITIES), ("etl", "Scan", CITIES)):
        answer = await ask_page(Trial(dag_id=dag_id), operation, body, policies=policies)
        assert answer["LastEvaluatedKey"] == LAST_KEY
