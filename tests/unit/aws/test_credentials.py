"""The credentials cache: one call a key, ahead of need, and honest when STS is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from proxy.aws.credentials import RoleCredentials
from proxy.model import Credentials, Principal
from proxy.refusal import Forbidden, Reason, Refusal, Throttled, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SWEEP = 0.005


def principal(dag: str, role: str = "reader") -> Principal:
    """The principal of a DAG."""
    return Principal(f"arn:aws:iam::123456789012:role/{role}", f"dag-{dag}", "us-east-1", dag)


ONE, TWO = principal("one"), principal("two")


class Clock:
    """Wall and steady time, moved by hand."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        """The time."""
        return self.now


class Sts:
    """Counts calls, gives sessions of 900 s, fails as told for each DAG or for all."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls: Counter[str] = Counter()
        self.failing: dict[str, Exception] = {}
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_asked = asyncio.Event()
        self.life = 900.0

    async def assume(self, who: Principal) -> Credentials:
        """One AssumeRole."""
        self.calls[who.dag_id] += 1
        self.is_asked.set()
        await self.may_answer.wait()
        failure = self.failing.get(who.dag_id) or self.failing.get("*")
        if failure is not None:
            raise failure
        return Credentials(f"AKID-{who.dag_id}-{self.calls[who.dag_id]}", "hidden", "token", self.clock.now + self.life)


AWAY = Unavailable(Reason.CREDENTIALS_UNAVAILABLE, "STS in us-east-1 answered ServiceUnavailable")
DENIED = Forbidden(Reason.ROLE_NOT_ASSUMABLE, "the gateway may not assume role")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, five seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - any condition, also one without an event
            await asyncio.sleep(0.001)


async def several_sweeps() -> None:
    """Let the background look at everything a few times."""
    await asyncio.sleep(SWEEP * 4)


@pytest.fixture
async def clock() -> Clock:
    """Time."""
    return Clock()


@pytest.fixture
async def sts(clock: Clock) -> Sts:
    """STS."""
    return Sts(clock)


@pytest.fixture
async def roles(sts: Sts, clock: Clock) -> AsyncIterator[RoleCredentials]:
    """The cache, closed at the end, with no task left."""
    cache = RoleCredentials(sts.assume, clock, clock, size=100, sweep=SWEEP, jitter=lambda: 0.5)
    yield cache
    await cache.close()
    assert len(asyncio.all_tasks()) == 1


async def test_many_who_ask_at_once_share_one_call(sts: Sts, roles: RoleCredentials) -> None:
    """Single flight for each principal, and every principal its own credentials."""
    assert roles.ready(ONE) is None
    sts.may_answer.clear()
    asking = [asyncio.create_task(roles.credentials_for(who)) for who in [ONE, TWO] * 50]
    await until(lambda: sts.calls.total() == 2)
    sts.may_answer.set()
    given = await asyncio.gather(*asking)
    assert {credentials.access_key_id for credentials in given[::2]} == {"AKID-one-1"}
    assert {credentials.access_key_id for credentials in given[1::2]} == {"AKID-two-1"}
    assert roles.ready(ONE) == given[0]
    assert sts.calls == {"one": 1, "two": 1}


async def test_principals_that_differ_in_one_part_never_share(sts: Sts, roles: RoleCredentials) -> None:
    """Role, session name, Region and DAG are all in the key."""
    base = principal("one")
    others = [
        base._replace(role_arn=principal("one", "writer").role_arn),
        base._replace(session_name="other"),
        base._replace(region="eu-west-1"),
        base._replace(dag_id="two"),
    ]
    await roles.credentials_for(base)
    assert [roles.ready(other) for other in others] == [None] * 4


async def test_one_caller_going_away_does_not_stop_the_others(sts: Sts, roles: RoleCredentials) -> None:
    """The call to STS belongs to the key, not to who asked first."""
    sts.may_answer.clear()
    first, second = (asyncio.create_task(roles.credentials_for(ONE)) for _ in range(2))
    await until(lambda: sts.calls["one"] == 1)
    first.cancel()
    sts.may_answer.set()
    assert (await second).access_key_id == "AKID-one-1"
    assert first.cancelled()


async def test_what_is_used_is_refreshed_ahead_without_a_request(sts: Sts, clock: Clock, roles: RoleCredentials) -> None:
    """At 60 % of its life a used session is replaced in the background; until then it serves."""
    await roles.credentials_for(ONE)
    clock.now += 900 * 0.59
    await several_sweeps()
    assert sts.calls["one"] == 1
    clock.now += 900 * 0.02
    await until(lambda: (held := roles.ready(ONE)) is not None and held.access_key_id == "AKID-one-2")


async def test_what_is_not_used_lapses(sts: Sts, clock: Clock, roles: RoleCredentials) -> None:
    """A DAG that stopped costs one refresh at most, and then nothing is held."""
    await roles.credentials_for(ONE)
    for _ in range(5):
        clock.now += 600
        await several_sweeps()
    assert sts.calls["one"] == 2
    assert roles.ready(ONE) is None


async def test_nothing_is_used_in_its_last_minute(sts: Sts, clock: Clock) -> None:
    """A request is never signed with a session that may end before it arrives (F12)."""
    roles = RoleCredentials(sts.assume, clock, clock, sweep=3600)  # no refresh ahead
    await roles.credentials_for(ONE)
    clock.now += 839
    assert roles.ready(ONE)
    clock.now += 1
    assert roles.ready(ONE) is None
    assert (await roles.credentials_for(ONE)).expires_at == clock.now + 900
    await roles.close()


async def test_an_outage_is_ridden_out_and_ends_by_itself(
    sts: Sts, clock: Clock, roles: RoleCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    """Held sessions serve until 60 s before their end, then 503; after the outage it works again within 10 s (F11, F12)."""
    await roles.credentials_for(ONE)
    sts.failing["*"] = AWAY
    with caplog.at_level(logging.WARNING, "proxy.aws"):
        for _ in range(83):
            clock.now += 10
            assert roles.ready(ONE)
            await asyncio.sleep(SWEEP * 1.5)
    assert 2 <= sts.calls["one"] <= 40
    assert "role/reader: credentials_unavailable: STS in us-east-1 answered ServiceUnavailable" in caplog.text
    assert "hidden" not in caplog.text
    clock.now += 10
    with pytest.raises(Unavailable):
        await roles.credentials_for(ONE)
    sts.failing.clear()
    clock.now += 10
    assert await roles.credentials_for(ONE)


async def test_failures_back_off_by_key(sts: Sts, clock: Clock, roles: RoleCredentials) -> None:
    """Between steps nobody calls STS, whoever asks; other keys are not held back (F11)."""
    sts.failing["one"] = AWAY
    for _ in range(50):
        with pytest.raises(Unavailable):
            await roles.credentials_for(ONE)
    assert sts.calls["one"] == 1
    assert await roles.credentials_for(TWO)
    steps = []
    for _ in range(8):
        before, waited = sts.calls["one"], 0.0
        while sts.calls["one"] == before:
            clock.now += 0.125
            waited += 0.125
            with pytest.raises(Unavailable):
                await roles.credentials_for(ONE)
        steps.append(waited)
    assert steps == [0.375, 0.75, 1.5, 3.0, 6.0, 6.0, 6.0, 6.0]


async def test_a_role_that_may_not_be_assumed_is_asked_for_twice_a_minute(sts: Sts, clock: Clock, roles: RoleCredentials) -> None:
    """The refusal is remembered for 30 s, for that role only (F13)."""
    sts.failing["one"] = DENIED
    for _ in range(60):
        clock.now += 1
        with pytest.raises(Forbidden) as caught:
            await roles.credentials_for(ONE)
        assert caught.value is not DENIED
        assert caught.value.reason is Reason.ROLE_NOT_ASSUMABLE
    assert sts.calls["one"] == 2
    assert await roles.credentials_for(TWO)


async def test_forget_drops_what_was_refused_and_nothing_newer(sts: Sts, roles: RoleCredentials) -> None:
    """Fifty requests that fail on one session replace it once."""
    old = await roles.credentials_for(ONE)
    roles.forget(ONE, old)
    new = await roles.credentials_for(ONE)
    for _ in range(50):
        roles.forget(ONE, old)
    assert roles.ready(ONE) == new != old
    roles.forget(ONE)
    roles.forget(TWO)
    assert roles.ready(ONE) is None
    assert sts.calls["one"] == 2


async def test_warm_fetches_all_and_tells_what_failed(sts: Sts, roles: RoleCredentials) -> None:
    """A broken role does not keep the others from being ready."""
    sts.failing["two"] = DENIED
    failed = await roles.warm([ONE, TWO, ONE])
    assert {who: refusal.reason for who, refusal in failed.items()} == {TWO: Reason.ROLE_NOT_ASSUMABLE}
    assert roles.ready(ONE)
    assert sts.calls == {"one": 1, "two": 1}


async def test_warming_more_than_may_fly_at_once_leaves_room(sts: Sts, roles: RoleCredentials) -> None:
    """Every DAG of many gets its session, and who calls meanwhile is not turned away."""
    sts.may_answer.clear()
    warming = asyncio.create_task(roles.warm(principal(f"dag{number}") for number in range(150)))
    await sts.is_asked.wait()
    called = asyncio.create_task(roles.credentials_for(ONE))
    sts.may_answer.set()
    assert (await called).access_key_id == "AKID-one-1"
    assert await warming == {}
    assert len(sts.calls) == sts.calls.total() == 151


async def test_the_cache_is_bounded_and_keeps_what_is_used(roles: RoleCredentials) -> None:
    """The least recently used goes first."""
    await roles.credentials_for(ONE)
    for number in range(150):
        assert roles.ready(ONE)
        await roles.credentials_for(principal(f"dag{number}"))
    assert roles.ready(ONE)
    assert sum(roles.ready(principal(f"dag{number}")) is not None for number in range(150)) == 99


async def test_credentials_that_are_over_are_a_failure_and_no_storm(sts: Sts, roles: RoleCredentials) -> None:
    """A gateway whose clock is wrong says so, and does not call STS for each request."""
    sts.life = 30
    for _ in range(10):
        with pytest.raises(Unavailable, match="look at the gateway's clock"):
            await roles.credentials_for(ONE)
    assert sts.calls["one"] == 1


async def test_a_defect_answers_everybody(sts: Sts, roles: RoleCredentials, caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody foresaw is logged and becomes 503 for those who wait."""
    sts.failing["one"] = RuntimeError("surprise")
    outcomes = await asyncio.gather(*(roles.credentials_for(ONE) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert "failed by a defect" in caplog.text


async def test_a_call_that_never_ends_is_given_up(sts: Sts, clock: Clock) -> None:
    """STS that hangs costs the patience of one call, then everybody is told."""
    roles = RoleCredentials(sts.assume, clock, clock, patience=0.02)
    sts.may_answer.clear()
    with pytest.raises(Unavailable, match="STS did not answer within"):
        await roles.credentials_for(ONE)
    await roles.close()


async def test_a_caller_that_is_cancelled_sees_its_cancellation(sts: Sts, roles: RoleCredentials) -> None:
    """Only a stop of the gateway is told as one."""
    sts.may_answer.clear()
    asking = asyncio.create_task(roles.credentials_for(ONE))
    await until(lambda: sts.calls["one"] == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_close_answers_those_who_wait(sts: Sts, clock: Clock) -> None:
    """A stop leaves no task and no caller hanging, and nothing starts after it."""
    cache = RoleCredentials(sts.assume, clock, clock)
    sts.may_answer.clear()
    waiting = [asyncio.create_task(cache.credentials_for(who)) for who in (ONE, TWO)]
    await until(lambda: sts.calls.total() == 2)
    await cache.close()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, Refusal) and "stopping" in outcome.message for outcome in outcomes)
    with pytest.raises(Unavailable, match="stopping"):
        await cache.credentials_for(ONE)


async def test_a_flood_of_new_principals_leaves_sts_to_the_others() -> None:
    """Beyond a hundred first sessions at once a caller is told to back off, and nothing more is asked of STS."""
    release, all_asked = asyncio.Event(), asyncio.Event()
    asked: list[Principal] = []

    async def assume(principal: Principal) -> Credentials:
        asked.append(principal)
        if len(asked) == 100:
            all_asked.set()
        await release.wait()
        return Credentials("ASIATEST", "secret", "session", time.time() + 900)

    roles = RoleCredentials(assume)
    principals = [Principal("arn:aws:iam::111122223333:role/r", f"dag-{n}", "eu-west-1", f"dag-{n}") for n in range(101)]
    waiting = [asyncio.create_task(roles.credentials_for(principal)) for principal in principals[:100]]
    await all_asked.wait()
    with pytest.raises(Throttled):
        await roles.credentials_for(principals[100])
    release.set()
    await asyncio.gather(*waiting)
    assert len(asked) == 100
    await roles.close()
