"""What a client signs with: one question for all, asked ahead, with the last good answer while it holds; nothing is guessed."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from proxy.refusal import ANSWERS, Reason
from proxy.worker.credentials import AsyncKeys, Keys, NoCredentials, Source, read_session, source_of
from proxy.worker.switch import Switch
from tests.fake_gateway import FakeGateway, fake_gateway, worker_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        from time import time

        self.now = time()
        self.pauses: list[float] = []

    def __call__(self) -> float:
        """Unix seconds."""
        return self.now

    def pause(self, seconds: float) -> None:
        """Kept, not waited."""
        self.pauses.append(seconds)


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """Gives sessions of an hour."""
    with fake_gateway(3600) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A token's file."""
    path = tmp_path / "token"
    path.write_text(worker_token() + "\n")  # as `echo` writes it
    return path


def source(gateway: FakeGateway, file: Path, way: str = "auto", clock: Clock | None = None) -> tuple[Source, Clock]:
    """A source that asks this gateway, and its clock."""
    clock = clock or Clock()
    return Source(Switch(gateway.url, file, way, True, False), clock, clock.pause), clock


def test_a_session_is_asked_for_once_and_renewed_ahead(gateway: FakeGateway, file: Path) -> None:
    """Fifteen to sixteen minutes before its end."""
    keys, clock = source(gateway, file)
    assert not keys.is_ready()
    first = keys.keys()
    assert first == ("DDBPSESSION1", "s", "sealed.session.1")
    clock.now += 3600 - 970
    assert keys.keys() == first
    assert keys.is_ready()
    clock.now += 80
    assert not keys.is_ready()
    assert keys.keys().token == "sealed.session.2"
    assert [asked.headers["authorization"] for asked in gateway.asked()] == [worker_token()] * 2


def test_a_short_session_is_renewed_at_half_of_its_life(gateway: FakeGateway, file: Path) -> None:
    """And not before every call."""
    gateway.life = 600
    keys, clock = source(gateway, file)
    keys.keys()
    clock.now += 290
    keys.keys()
    assert len(gateway.asked()) == 1
    clock.now += 20
    assert keys.keys().token == "sealed.session.2"


def test_many_threads_ask_once(gateway: FakeGateway, file: Path) -> None:
    """The first asks, the others wait for its answer."""
    keys, _ = source(gateway, file)
    gateway.gate.clear()
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(keys.keys) for _ in range(16)]
        assert gateway.is_asked.wait(5)
        gateway.gate.set()
        assert {future.result(5).token for future in asked} == {"sealed.session.1"}
    assert len(gateway.asked()) == 1


def test_while_one_renews_the_others_go_on(gateway: FakeGateway, file: Path) -> None:
    """With the session that still holds; nobody waits."""
    keys, clock = source(gateway, file)
    keys.keys()
    clock.now += 3000
    gateway.is_asked.clear()
    gateway.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        renewal = pool.submit(keys.keys)
        assert gateway.is_asked.wait(5)
        assert keys.keys().token == "sealed.session.1"
        gateway.gate.set()
        assert renewal.result(5).token == "sealed.session.2"


def test_the_last_good_session_is_used_while_it_holds(gateway: FakeGateway, file: Path) -> None:
    """A gateway that is away is asked again every half minute; at the end of the session the call fails."""
    keys, clock = source(gateway, file)
    keys.keys()
    gateway.refusal = (503, {"message": "keys cannot be had"}, "keys_unavailable")
    clock.now += 3000
    assert keys.keys().token == "sealed.session.1"
    tries = len(gateway.asked())
    assert keys.keys().token == "sealed.session.1"
    assert len(gateway.asked()) == tries
    clock.now += 31
    keys.keys()
    assert len(gateway.asked()) > tries
    clock.now += 600
    with pytest.raises(NoCredentials) as caught:
        keys.keys()
    assert "keys cannot be had" in str(caught.value)
    assert not caught.value.is_final


def test_a_gateway_that_is_away_is_tried_three_times(file: Path) -> None:
    """With pauses, and a sentence at the end."""
    with fake_gateway() as gone:
        keys, clock = source(gone, file)
        gone.refusal = (500, {}, "")
        with pytest.raises(NoCredentials) as caught:
            keys.keys()
        assert "it answered 500" in str(caught.value)
        assert len(gone.asked()) == 3
    with pytest.raises(NoCredentials, match="it answered 500"):
        keys.keys()  # for a second, who waited meanwhile is told the same
    clock.now += 1.1
    with pytest.raises(NoCredentials) as caught:
        keys.keys()
    assert "cannot be reached" in str(caught.value)
    assert clock.pauses == [0.3, 1.0] * 2
    assert not caught.value.is_final


@pytest.mark.parametrize(("reason", "is_final"), [("not_entitled", True), ("wrong_audience", True), ("token_expired", False)])
def test_a_refusal_is_told_in_the_gateways_words(gateway: FakeGateway, file: Path, reason: str, is_final: bool) -> None:
    """At once, and with its reason."""
    gateway.refusal = (400, {"code": "x", "message": "the token is for another service"}, reason)
    keys, clock = source(gateway, file)
    with pytest.raises(NoCredentials) as caught:
        keys.keys()
    assert "the token is for another service" in str(caught.value)
    assert (caught.value.reason, caught.value.is_final) == (reason, is_final)
    assert clock.pauses == []


AWAY = {  # or full: the gateway, or what it needs
    *(Reason.OVERLOADED, Reason.TOO_SLOW, Reason.AUDIT_UNAVAILABLE, Reason.INTERNAL_ERROR),
    *(Reason.KEYS_UNAVAILABLE, Reason.CLUSTER_UNAVAILABLE, Reason.CREDENTIALS_UNAVAILABLE, Reason.CREDENTIALS_REFUSED),
    *(Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_BROKEN),
}
OF_TIME = {
    *(Reason.TOKEN_EXPIRED, Reason.TOKEN_NOT_YET_VALID, Reason.UNKNOWN_KEY, Reason.SIGNATURE_EXPIRED),
    *(Reason.SESSION_INVALID, Reason.SESSION_EXPIRED, Reason.FOREIGN_ITERATOR),
}


@pytest.mark.parametrize("reason", ANSWERS)
def test_what_a_login_makes_of_each_reason(gateway: FakeGateway, file: Path, reason: Reason) -> None:
    """Nothing that is away for a moment ends a task past its `retries`: it is asked three times, and is never final."""
    gateway.refusal = (ANSWERS[reason].status, {"message": "no"}, reason)
    with pytest.raises(NoCredentials) as caught:
        source(gateway, file, "session")[0].keys()
    assert caught.value.is_final is (reason not in AWAY | OF_TIME)
    assert len(gateway.asked()) == (3 if reason in AWAY else 1)


@pytest.mark.parametrize("refusal", [(400, {"message": "no"}, "unsupported_route"), (404, {}, "")])
def test_auto_sends_the_token_where_there_are_no_sessions(gateway: FakeGateway, file: Path, refusal: Any) -> None:
    """And looks again after a while; `session` insists."""
    gateway.refusal = refusal
    keys, clock = source(gateway, file)
    for _ in range(3):
        assert keys.keys() == ("DDBPROXYTOKEN", "unused", worker_token())
    assert keys.is_ready()
    assert len(gateway.asked()) == 1
    insisting, _ = source(gateway, file, "session")
    with pytest.raises(NoCredentials, match="gives no sessions"):
        insisting.keys()
    gateway.refusal = None
    clock.now += 901
    assert keys.keys().token == "sealed.session.3"


def test_a_session_is_forgotten_by_its_own_name(gateway: FakeGateway, file: Path) -> None:
    """One that was renewed meanwhile stays."""
    keys, _ = source(gateway, file)
    old = keys.keys()
    keys.forget(old)
    new = keys.keys()
    keys.forget(old)
    assert keys.keys() == new
    assert len(gateway.asked()) == 2


def test_a_token_is_read_again_when_its_file_changes(gateway: FakeGateway, file: Path) -> None:
    """Also when it is replaced as the kubelet does it, by a link to another folder; nobody is asked."""
    keys, _ = source(gateway, file, "token")
    assert keys.keys().token == worker_token()
    file.write_text(worker_token("second"))
    assert keys.keys().token == worker_token("second")
    other = file.with_name("other")
    other.write_text(worker_token("third!"))
    os.utime(other, ns=(file.stat().st_mtime_ns,) * 2)
    file.unlink()
    file.symlink_to(other)
    assert keys.keys().token == worker_token("third!")
    assert gateway.asked() == []


def test_a_token_about_to_expire_is_read_each_time(gateway: FakeGateway, file: Path) -> None:
    """A file system whose times are coarse may hide a change."""
    keys, clock = source(gateway, file, "token")
    file.write_text(worker_token("a", clock.now + 100))
    before = file.stat()
    assert keys.keys().token == worker_token("a", clock.now + 100)
    clock.now += 50
    file.write_text(worker_token("b", clock.now + 50))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert keys.keys().token == worker_token("b", clock.now + 50)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff", "not text"),
        (b"\n", "holds no JWT (it is empty)"),
        (b"", "holds no JWT"),
        (b"a b.c.d", "holds no JWT"),
    ],
)
def test_a_bad_token_file(gateway: FakeGateway, tmp_path: Path, content: bytes | None, said: str) -> None:
    """Is named, with what to do, and is no refusal by the gateway."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    for way in ("auto", "token"):
        with pytest.raises(NoCredentials) as caught:
            source(gateway, path, way)[0].keys()
        assert said in str(caught.value)
        assert not caught.value.is_final
    assert gateway.asked() == []


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"AccessKeyId":"a","SecretAccessKey":"b","Token":"c"}',
        b'{"AccessKeyId":"a","SecretAccessKey":"b","Token":"","Expiration":"2026-11-22T00:00:00Z"}',
        b'{"AccessKeyId":"a","SecretAccessKey":"b","Token":"c","Expiration":7}',
        b'{"AccessKeyId":"a","SecretAccessKey":"b","Token":"c","Expiration":"soon"}',
    ],
)
def test_an_answer_that_is_no_session(body: bytes) -> None:
    """Whatever answers there, the task gets a sentence."""
    with pytest.raises(NoCredentials, match="holds no session"):
        read_session(body, 0.0)


def test_there_is_one_source_a_process(gateway: FakeGateway, file: Path) -> None:
    """All clients share it, and a forked child can use it though its parent's threads held it."""
    switch = Switch(gateway.url, file, "auto", True, False)
    assert source_of(switch) is source_of(switch)
    assert source_of(switch) is not source_of(switch._replace(way="token"))
    gateway.gate.clear()
    holder = threading.Thread(target=source_of(switch).keys, daemon=True)
    holder.start()
    assert gateway.is_asked.wait(5)
    with warnings.catch_warnings(action="ignore"):  # that threads and fork do not go together is what this is about
        child = os.fork()
    if child == 0:
        held = source_of(switch)._lock.acquire(timeout=5)
        os._exit(0 if held else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gateway.gate.set()
    holder.join(5)


def test_keys_are_what_botocore_asks_for() -> None:
    """Frozen already, and awaitable for aiobotocore."""
    keys = Keys("a", "b", "c")
    assert keys.get_frozen_credentials() is keys
    assert asyncio.run(AsyncKeys(*keys).get_frozen_credentials()) == keys
