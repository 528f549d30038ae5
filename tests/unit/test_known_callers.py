"""What a connection remembers of who asked last saves work, and never lets anybody speak for somebody else or any longer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.identity.channels import WHO, claimed_in, found_token
from proxy.identity.denials import Denial, DenyList
from proxy.refusal import Reason, Unauthenticated
from tests.fakes import FakeBody
from tests.unit.test_pipeline import POLICY, TOKEN, WRITE, Trial, head_of, policies_of, told

if TYPE_CHECKING:
    from proxy.model import Reply

BASE = {b"x-amz-target": b"DynamoDB_20120810.PutItem", b"authorization": b"Bearer " + TOKEN, b"user-agent": b"Boto3/1"}


class Line:
    """One connection of a worker, on which a request was served already, so that it is remembered."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.body = FakeBody(trial.events, WRITE)

    @classmethod
    async def in_use(cls, trial: Trial) -> Line:
        """After its first request."""
        line = cls(trial)
        assert await line.ask() is trial.upstream.reply
        assert line.body.known is not None
        trial.tokens.asked.clear()
        return line

    async def ask(self, **headers: bytes | None) -> Reply | None:
        """One more request; header names with `_` for `-`, None for a header that is left out."""
        given = BASE | {name.replace("_", "-").encode(): value for name, value in headers.items()}
        return await self.trial.pipeline.serve(
            head_of({name: value for name, value in given.items() if value is not None}), self.body
        )


async def test_who_says_the_same_again_is_not_looked_up_again() -> None:
    """Headers that say nothing of who asks may differ: target, date, SDK's ids, length."""
    trial = Trial()
    line = await Line.in_use(trial)
    reply = await line.ask(amz_sdk_invocation_id=b"6d2e2e6c", content_length=b"7", x_amz_date=b"20260101T000000Z")
    assert reply is trial.upstream.reply
    assert trial.tokens.asked == []
    assert trial.journal.outcomes[-1].identity is trial.journal.outcomes[0].identity


@pytest.mark.parametrize("name", [name.decode() for name in WHO])
async def test_whatever_says_who_asks_is_read_anew_where_it_differs(name: str) -> None:
    """A header that was not there, has another value, or is gone: the token is found and looked up as if for the first time."""
    trial = Trial()
    line = await Line.in_use(trial)
    value = {"authorization": b"Bearer another.to.ken", "x-dag-token": b"a.b.c", "x-amz-security-token": b"a.b.c"}.get(name, b"1")
    reply = await line.ask(**{name.replace("-", "_"): value})
    if value == b"a.b.c":
        assert told(reply)[0] == Reason.SEVERAL_TOKENS
    else:
        assert len(trial.tokens.asked) == 1
    before = len(trial.tokens.asked)
    await line.ask()  # the last request is remembered, not the first
    assert len(trial.tokens.asked) == before + 1


async def test_a_request_without_a_token_is_not_served_for_the_one_before_it() -> None:
    """Nor is one whose token came in another place."""
    trial = Trial()
    line = await Line.in_use(trial)
    assert told(await line.ask(authorization=None))[0] == Reason.NO_TOKEN
    assert line.body.known is None
    assert await line.ask() is trial.upstream.reply


async def test_a_claim_of_another_dag_is_bound_anew() -> None:
    """The header of a second task on the same connection speaks for itself."""
    trial = Trial()
    line = await Line.in_use(trial)
    assert told(await line.ask(x_airflow_dag_id=b"other"))[0] == Reason.CONFLICTING_CLAIMS
    await line.ask(x_airflow_task_id=b"load")
    assert trial.journal.outcomes[-1].identity.task_id == "load"
    await line.ask()
    assert trial.journal.outcomes[-1].identity.task_id == ""


async def test_a_remembered_token_that_holds_no_more_is_verified() -> None:
    """Expired, its key rotated away, or simply due for another look."""
    trial = Trial()
    line = await Line.in_use(trial)
    trial.tokens.failure = Unauthenticated(Reason.TOKEN_EXPIRED, "it has ended")
    assert told(await line.ask())[0] == Reason.TOKEN_EXPIRED
    assert line.body.known is None


async def test_a_token_that_proves_something_else_by_now_is_bound_to_that() -> None:
    """What it was bound to before is forgotten with its proof."""
    trial = Trial()
    line = await Line.in_use(trial)
    trial.tokens.is_known = False
    trial.tokens.subject = replace(trial.tokens.subject, claims={"dag_id": "elsewhere"})
    assert told(await line.ask())[0] == Reason.UNKNOWN_DAG


@pytest.mark.parametrize(("kind", "name"), [("dag", "etl"), ("issuer", "idp"), ("jti", "jti")])
async def test_kill_switches_stop_whom_a_connection_remembers(kind: str, name: str) -> None:
    """At the very next request."""
    trial = Trial()
    line = await Line.in_use(trial)
    trial.denials.current = DenyList((Denial(kind, name),))
    assert told(await line.ask())[0] in (Reason.DAG_STOPPED, Reason.ISSUER_STOPPED, Reason.TOKEN_STOPPED)
    assert len(trial.upstream.requests) == 1


async def test_new_policies_judge_whom_a_connection_remembers() -> None:
    """A DAG that is gone is refused at its next request, and the record names the policies that said so."""
    trial = Trial()
    line = await Line.in_use(trial)
    trial.policies.policies = policies_of(POLICY.replace("etl:", "elt:"))
    assert told(await line.ask())[0] == Reason.UNKNOWN_DAG
    assert trial.journal.outcomes[-1].policy_digest == trial.policies.policies.digest


async def test_a_token_that_was_not_known_is_not_remembered() -> None:
    """Verifying gives no proof to remember; the next request finds it."""
    trial = Trial()
    trial.tokens.is_known = False
    line = Line(trial)
    assert await line.ask() is trial.upstream.reply
    assert line.body.known is None


def test_no_other_header_says_who_asks() -> None:
    """`found_token` and `claimed_in` read the headers of WHO and none beside them."""

    class Watched(dict[bytes, bytes]):
        def __init__(self) -> None:
            super().__init__()
            self.read: set[bytes] = set()

        def get(self, name: bytes, default: bytes | None = None) -> bytes | None:  # type: ignore[override]  # narrower than `dict.get`, as the two that call it are
            self.read.add(name)
            return default

        def __iter__(self):  # type: ignore[no-untyped-def]  # its type is `dict`'s; `isdisjoint` goes over all names
            self.read |= {b"x-dag-token", b"x-amz-security-token"}
            return super().__iter__()

    watched = Watched()
    claimed_in(watched)
    with pytest.raises(Unauthenticated):
        found_token(watched)
    assert watched.read == set(WHO)
