"""Keys of an issuer over real sockets: fetched once, kept fresh, kept through outages, and never beyond reason."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from proxy.identity.fetching import Way
from proxy.identity.keys import COOLDOWN, FIRST_COOLDOWN, MAX_STALE, TTL, IssuerKeys
from proxy.identity.token import KeySource
from proxy.refusal import Reason, Unauthenticated, Unavailable
from tests.unit.identity.idp import Clock, Idp, answer, until
from tests.unit.identity.keyring import Ring, issuer_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def keys_of(source: KeySource, clock: Clock, issuer: str = "https://idp.test") -> AsyncIterator[IssuerKeys]:
    """The keys under test, closed at the end."""
    async with closing_way() as way:
        keys = IssuerKeys(issuer_with(issuer=issuer, keys=source), way, clock=clock)
        yield keys
        await keys.close()


@asynccontextmanager
async def closing_way(way: Way | None = None) -> AsyncIterator[Way]:
    """A way to anywhere that may be dialled, closed at the end."""
    way = way or Way()
    yield way
    await way.close()


def at(idp: Idp) -> KeySource:
    """The issuer's key set by URL."""
    return KeySource("jwks_url", idp.url + "/jwks")


async def test_a_known_key_is_fetched_once(ring: Ring) -> None:
    """A thousand callers at once cost one fetch, and later callers none."""
    async with Idp(ring.rsa_a.jwk(), ring.rsa_b.jwk()) as idp, keys_of(at(idp), Clock()) as keys:
        found = await asyncio.gather(*(keys.key_for("rsa-b", "RS256") for _ in range(1000)))
        assert {key.kid for key in found} == {"rsa-b"}
        assert keys.ready_key("rsa-a", "RS256") is not None
        assert (idp.fetches["/jwks"], keys.generation, keys.usable, keys.failure) == (1, 1, 2, "")


async def test_discovery_leads_to_the_keys(ring: Ring) -> None:
    """The document is found under the issuer or under another location, with or without its well-known path."""
    async with Idp(ring.rsa_a.jwk()) as idp:
        for location in ("", idp.url, idp.url + "/", idp.url + "/.well-known/openid-configuration"):
            async with keys_of(KeySource("discovery", location), Clock(), issuer=idp.url) as keys:
                assert (await keys.key_for("rsa-a", "RS256")).kid == "rsa-a"
        assert idp.fetches == {"/.well-known/openid-configuration": 4, "/jwks": 4}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"issuer": "https://evil.test"}, "the discovery document says issuer 'https://evil.test'"),
        ({"issuer": None}, "must be equal"),
        ({"jwks_uri": None}, "no `jwks_uri`"),
        ({"jwks_uri": "http://idp.test/jwks"}, "is not https"),
        ({"jwks_uri": "file:///etc/passwd"}, "no user name"),
        ({"jwks_uri": "ftp://127.0.0.1/jwks"}, "is not https"),
        ({"jwks_uri": "http://127.0.0.1@evil.test/jwks"}, "no user name"),
        ({"jwks_uri": "http://[::1/jwks"}, "nvalid"),
    ],
)
async def test_a_discovery_document_cannot_lead_astray(ring: Ring, changes: dict[str, object], says: str) -> None:
    """Another issuer, or keys anywhere but behind https, are refused and the reason is kept for the doctor."""
    async with Idp(ring.rsa_a.jwk()) as idp, keys_of(KeySource("discovery"), Clock(), issuer=idp.url) as keys:
        idp.discovery |= changes
        with pytest.raises(Unavailable) as caught:
            await keys.key_for("rsa-a", "RS256")
        assert caught.value.reason is Reason.KEYS_UNAVAILABLE
        assert says in keys.failure
        assert idp.fetches["/jwks"] == 0


async def test_a_document_read_over_https_cannot_point_to_plain_http() -> None:
    """An issuer elsewhere may not send the gateway to a port of its own host."""

    class Elsewhere(Way):
        """Any https host: a certificate for one cannot be had here."""

        async def get(self, url: str, seconds: float = 5.0) -> bytes:
            return b'{"issuer":"https://idp.test","jwks_uri":"http://127.0.0.1:1/jwks"}'

    async with closing_way(Elsewhere()) as way:
        keys = IssuerKeys(issuer_with(issuer="https://idp.test", keys=KeySource("discovery")), way, clock=Clock())
        await keys.warm()
        assert "points from https to" in keys.failure


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (answer(b"500 Internal Server Error", b""), "answers 500"),
        (answer(b"302 Found", b"", b"location: /jwks"), "answers 302"),
        (answer(b"200 OK", b"<html>login</html>"), "expected value"),
        (answer(b"200 OK", b'{"keys": []}'), "none of the 0 keys"),
        (answer(b"200 OK", b"x", b"content-encoding: gzip"), "compressed"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 50_000_000, "more than 262144 bytes"),
        (b"nonsense\r\n\r\n", ""),
        (b"", ""),
    ],
)
async def test_a_failed_refresh_takes_no_key_away(ring: Ring, raw: bytes, says: str) -> None:
    """Errors, redirects, garbage, floods and hang-ups leave the last good set in force."""
    clock = Clock()
    async with Idp(ring.rsa_a.jwk()) as idp, keys_of(at(idp), clock) as keys:
        await keys.warm()
        idp.raw = raw
        clock.now += TTL
        keys.refresh_if_due()
        await until(lambda: keys.failure)
        assert says in keys.failure
        assert (await keys.key_for("rsa-a", "RS256")).kid == "rsa-a"
        assert (keys.generation, idp.fetches["/jwks"]) == (1, 2)


async def test_an_outage_is_survived_for_a_day_and_no_longer(ring: Ring) -> None:
    """Known keys stay until 24 h, attempts are 30 s apart, then the issuer's tokens are refused as unavailable."""
    clock = Clock()
    async with Idp(ring.rsa_a.jwk()) as idp, keys_of(at(idp), clock) as keys:
        await keys.warm()
        idp.raw = answer(b"503 Service Unavailable", b"")
        for _ in range(20):  # two minutes past the TTL
            clock.now += TTL / 20 if keys.age < TTL else 6
            assert keys.ready_key("rsa-a", "RS256") is not None
            await until(lambda: not keys.is_refreshing)
        assert idp.fetches["/jwks"] <= 4
        clock.now += MAX_STALE - keys.age
        assert keys.ready_key("rsa-a", "RS256") is not None
        clock.now += 1
        with pytest.raises(Unavailable):
            await keys.key_for("rsa-a", "RS256")
        assert keys.usable == 0
        idp.raw = None
        clock.now += COOLDOWN
        assert (await keys.key_for("rsa-a", "RS256")).kid == "rsa-a"
        assert (keys.failure, keys.generation) == ("", 1)


async def test_unknown_key_ids_share_one_fetch_per_cooldown(ring: Ring) -> None:
    """A storm of invented ids is refused from memory, and a new key is seen after the cool-down."""
    clock = Clock()
    async with Idp(ring.rsa_a.jwk()) as idp, keys_of(at(idp), clock) as keys:
        await keys.warm()
        await keys.warm()  # nothing to do
        for _ in range(3):
            answers = await asyncio.gather(*(keys.key_for(f"k{i}", "RS256") for i in range(300)), return_exceptions=True)
            assert {one.reason for one in answers if isinstance(one, Unauthenticated)} == {Reason.UNKNOWN_KEY}
        assert idp.fetches["/jwks"] == 2
        idp.keys.append(ring.rsa_b.jwk())
        clock.now += COOLDOWN
        assert (await keys.key_for("rsa-b", "RS256")).kid == "rsa-b"
        assert (idp.fetches["/jwks"], keys.generation) == (3, 2)


async def test_a_rotation_right_after_the_last_one_is_seen_at_once(ring: Ring) -> None:
    """Where the last fetch brought new keys, a token of the next key waits for no cool-down."""
    async with Idp(ring.rsa_a.jwk()) as idp, keys_of(at(idp), Clock()) as keys:
        await keys.warm()
        idp.keys = [ring.rsa_b.jwk(), ring.rsa_a.jwk()]
        assert (await keys.key_for("rsa-b", "RS256")).kid == "rsa-b"
        idp.keys = [ring.ec_1.jwk(), ring.rsa_b.jwk()]
        assert (await keys.key_for("ec-1", "ES256")).kid == "ec-1"
        assert (idp.fetches["/jwks"], keys.generation) == (3, 3)


async def test_an_unknown_key_during_an_outage_is_not_called_wrong(ring: Ring) -> None:
    """Within the TTL an unknown id is unknown; past it the gateway cannot tell and says so."""
    clock = Clock()
    async with Idp(ring.rsa_a.jwk()) as idp, keys_of(at(idp), clock) as keys:
        await keys.warm()
        idp.raw = answer(b"503 Service Unavailable", b"")
        clock.now += COOLDOWN
        with pytest.raises(Unauthenticated, match="publishes no key 'new'"):
            await keys.key_for("new", "RS256")
        with pytest.raises(Unauthenticated, match="publishes no key with the token's unusual `kid` for"):
            await keys.key_for("http://evil.test/", "RS256")  # a stranger's text is not shown
        clock.now += TTL
        with pytest.raises(Unavailable):
            await keys.key_for("new", "RS256")


async def test_rotation_ends_the_old_key_within_its_ttl(ring: Ring) -> None:
    """A refresh starts ahead of the TTL, runs in the background, and a removed key is gone with it."""
    clock = Clock()
    async with Idp(ring.rsa_a.jwk()) as idp, keys_of(at(idp), clock) as keys:
        await keys.warm()
        idp.keys = [ring.rsa_b.jwk()]
        idp.held.clear()
        clock.now += 0.8 * TTL
        assert keys.ready_key("rsa-a", "RS256") is not None  # not delayed by the refresh
        idp.held.set()
        await until(lambda: keys.generation == 2)
        assert keys.ready_key("rsa-a", "RS256") is None
        assert keys.ready_key("rsa-b", "RS256") is not None


async def test_an_issuer_that_is_down_at_the_start_is_asked_again_soon(ring: Ring) -> None:
    """Without any key the pause is 5 s, and nothing raises at the start."""
    clock = Clock()
    async with Idp(ring.rsa_a.jwk()) as idp, keys_of(at(idp), clock) as keys:
        idp.raw = b""
        await keys.warm()
        keys.refresh_if_due()
        assert (keys.usable, keys.age, idp.fetches["/jwks"]) == (0, float("inf"), 1)
        idp.raw = None
        clock.now += FIRST_COOLDOWN
        keys.refresh_if_due()
        await until(lambda: keys.usable)


async def test_a_token_without_kid_needs_exactly_one_fitting_key(ring: Ring) -> None:
    """One EC key answers for ES256; two RSA keys answer for nothing."""
    async with Idp(ring.rsa_a.jwk(), ring.rsa_b.jwk(), ring.ec_1.jwk()) as idp, keys_of(at(idp), Clock()) as keys:
        assert (await keys.key_for(None, "ES256")).kid == "ec-1"
        with pytest.raises(Unauthenticated, match="names no key"):
            await keys.key_for(None, "RS256")
        assert keys.skipped == 0


async def test_a_caller_who_leaves_does_not_end_the_fetch(ring: Ring) -> None:
    """The refresh belongs to everybody who waits for it."""
    async with Idp(ring.rsa_a.jwk()) as idp, keys_of(at(idp), Clock()) as keys:
        idp.held.clear()
        first, second = (asyncio.create_task(keys.key_for("rsa-a", "RS256")) for _ in range(2))
        await idp.asked.wait()
        first.cancel()
        await asyncio.wait([first])
        idp.held.set()
        assert (await second).kid == "rsa-a"
        assert idp.fetches["/jwks"] == 1


async def test_a_failure_says_which_address() -> None:
    """Who looks into the log need not guess whether the issuer's name or its document's address is wrong."""
    async with closing_way() as way:
        keys = IssuerKeys(issuer_with(keys=KeySource("jwks_url", "http://127.0.0.1:1/jwks")), way, clock=Clock())
        await keys.warm()
        assert keys.failure.startswith("'http://127.0.0.1:1/jwks': ")


async def test_a_dripping_answer_is_given_up(ring: Ring) -> None:
    """The time for a document is a total, not a pause between bytes."""
    async with Idp(ring.rsa_a.jwk()) as idp, closing_way() as way:
        idp.held.clear()
        keys = IssuerKeys(issuer_with(keys=at(idp)), way, clock=Clock(), patience=0.05)
        with pytest.raises(Unavailable):
            await keys.key_for("rsa-a", "RS256")
        assert keys.failure.endswith(": no answer in time")


async def test_a_password_in_an_address_is_not_repeated() -> None:
    """What ends up in logs never holds what somebody wrote into a URL."""
    async with keys_of(KeySource("jwks_url", "https://user:hunter2@idp.test/jwks"), Clock()) as keys:
        await keys.warm()
        assert "user name" in keys.failure
        assert "hunter2" not in keys.failure


async def test_closing_ends_a_hanging_fetch(ring: Ring) -> None:
    """Nothing is left running after `close`."""
    async with Idp(ring.rsa_a.jwk()) as idp, keys_of(at(idp), Clock()) as keys:
        idp.held.clear()
        keys.refresh_if_due()
        await idp.asked.wait()
        await keys.close()
        assert keys.usable == 0


async def test_a_file_is_read_again_when_its_content_changes(ring: Ring, tmp_path: Path) -> None:
    """The content decides, not its time stamp; a vanished file takes no key away."""
    file, clock = tmp_path / "jwks.json", Clock()
    file.write_text(json.dumps({"keys": [ring.rsa_a.jwk()]}))
    async with keys_of(KeySource("jwks_file", str(file)), clock) as keys:
        await keys.warm()
        for text, generation in (
            (file.read_text() + "\n", 1),
            (json.dumps({"keys": [ring.rsa_b.jwk()]}), 2),
        ):
            file.write_text(text)
            clock.now += 5
            keys.refresh_if_due()
            await until(lambda: keys.age == 0)
            assert keys.generation == generation
        file.write_text("")
        clock.now += 5
        keys.refresh_if_due()
        await until(lambda: keys.failure)
        assert keys.failure.startswith(f"{file}: is no key set, a JSON object with a list `keys`: ")
        file.unlink()
        clock.now += 30
        keys.refresh_if_due()
        await until(lambda: keys.failure == f"{file}: No such file or directory")
        assert keys.ready_key("rsa-b", "RS256") is not None
