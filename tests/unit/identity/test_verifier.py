"""Verified once, remembered exactly as long as it holds."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from proxy.identity.token import Issuer, KeySource
from proxy.identity.verifier import REFUSAL_SECONDS, REMEMBERED, SUBJECT_SECONDS, TokenVerifier
from proxy.refusal import Reason, Refusal, Unauthenticated, Unavailable
from tests.unit.identity.idp import Clock, Idp, answer, until
from tests.unit.identity.keyring import NOW, Ring, claims_with, issuer_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def issuer_at(idp: Idp, **changes: Any) -> Issuer:
    """The main issuer with its keys at `idp`."""
    return issuer_with(keys=KeySource("jwks_url", idp.url + "/jwks"), **changes)


@asynccontextmanager
async def verifier_for(*issuers: Issuer, clock: Clock, monotonic: Clock | None = None) -> AsyncIterator[TokenVerifier]:
    """The verifier under test, closed at the end."""
    verifier = TokenVerifier(issuers, clock, monotonic or Clock())
    yield verifier
    await verifier.close()


async def refusal_of(verifier: TokenVerifier, token: bytes) -> Refusal:
    """The refusal that a token earns."""
    with pytest.raises(Refusal) as caught:
        await verifier.verify(token)
    return caught.value


async def test_a_thousand_equal_tokens_cost_one_fetch_and_one_signature_check(ring: Ring) -> None:
    """Single flight from a cold start, and the fast path afterwards."""
    token = ring.rsa_a.token(claims_with())
    async with Idp(ring.rsa_a.jwk()) as idp, verifier_for(issuer_at(idp), clock=Clock(NOW)) as verifier:
        assert verifier.known(token, NOW) is None
        subjects = await asyncio.gather(*(verifier.verify(token) for _ in range(1000)))
        assert all(subject is subjects[0] for subject in subjects)
        assert (verifier.checked, idp.fetches["/jwks"]) == (1, 1)
        assert verifier.known(token, NOW) is subjects[0]
        assert await verifier.verify(token) is subjects[0]


@pytest.mark.parametrize(("life", "kept"), [(100, 100), (900, SUBJECT_SECONDS)])
async def test_a_subject_is_kept_until_its_end_or_five_minutes(ring: Ring, life: float, kept: float) -> None:
    """Whichever comes first; afterwards the token is checked again."""
    clock = Clock(NOW)
    token = ring.rsa_a.token(claims_with(exp=NOW + life))
    async with Idp(ring.rsa_a.jwk()) as idp, verifier_for(issuer_at(idp), clock=clock) as verifier:
        await verifier.verify(token)
        assert verifier.known(token, NOW + kept - 0.1) is not None
        assert verifier.known(token, NOW + kept) is None
        clock.now = NOW + life + 60
        assert (await refusal_of(verifier, token)).reason is Reason.TOKEN_EXPIRED


async def test_keys_of_a_spiffe_bundle_check_jwt_svids(ring: Ring, tmp_path: Path) -> None:
    """`use: jwt-svid` signs JWT-SVIDs, the bundle's x509-svid keys beside it do not, though they are as good."""
    bundle = {
        "keys": [ring.rsa_a.jwk(use="x509-svid", kid=None), ring.ec_1.jwk(use="jwt-svid"), ring.rsa_b.jwk(use="x509-svid")],
        "spiffe_sequence": 7,
        "spiffe_refresh_hint": 300,
    }
    (tmp_path / "bundle.json").write_text(json.dumps(bundle))
    issuer = issuer_with(keys=KeySource("jwks_file", str(tmp_path / "bundle.json")))
    async with verifier_for(issuer, clock=Clock(NOW)) as verifier:
        claims = claims_with(sub="spiffe://acme.example/airflow/worker")
        assert (await verifier.verify(ring.ec_1.token(claims))).subject == "spiffe://acme.example/airflow/worker"
        assert (await refusal_of(verifier, ring.rsa_b.token(claims))).reason is Reason.UNKNOWN_KEY
        assert verifier.status()[0][2:4] == (1, 2)


async def test_a_change_of_keys_forgets_what_the_old_ones_proved(ring: Ring) -> None:
    """A token of a removed key is refused after the refresh, though it was verified a moment before."""
    monotonic = Clock()
    token = ring.rsa_a.token(claims_with())
    async with (
        Idp(ring.rsa_a.jwk()) as idp,
        verifier_for(issuer_at(idp), clock=Clock(NOW), monotonic=monotonic) as verifier,
    ):
        await verifier.verify(token)
        idp.keys = [ring.rsa_b.jwk()]
        monotonic.now += 30
        assert (await refusal_of(verifier, ring.rsa_b.token(claims_with(), kid="new"))).reason is Reason.UNKNOWN_KEY
        assert verifier.known(token, NOW) is None
        assert (await refusal_of(verifier, token)).reason is Reason.UNKNOWN_KEY


async def test_a_flood_of_one_forged_token_is_cheap(ring: Ring) -> None:
    """A wrong signature is remembered for ten seconds, or until the keys change."""
    clock, monotonic = Clock(NOW), Clock()
    forged = ring.attacker.token(claims_with())
    async with Idp(ring.rsa_a.jwk()) as idp, verifier_for(issuer_at(idp), clock=clock, monotonic=monotonic) as verifier:
        flood = await asyncio.gather(*(verifier.verify(forged) for _ in range(100)), return_exceptions=True)
        assert {one.reason for one in flood if isinstance(one, Unauthenticated)} == {Reason.BAD_SIGNATURE}
        assert verifier.checked == 1
        clock.now += REFUSAL_SECONDS
        await refusal_of(verifier, forged)
        assert verifier.checked == 2
        idp.keys = [ring.attacker.jwk()]  # the same kid, another key: now it is genuine
        monotonic.now += 30
        await refusal_of(verifier, ring.rsa_b.token(claims_with()))
        assert (await verifier.verify(forged)).subject == "airflow:worker"


async def test_what_time_or_keys_can_heal_is_never_remembered(ring: Ring) -> None:
    """A token from the future and one whose keys were away are believed as soon as they may be."""
    clock, monotonic = Clock(NOW - 100), Clock()
    token = ring.rsa_a.token(claims_with())
    async with Idp(ring.rsa_a.jwk()) as idp, verifier_for(issuer_at(idp), clock=clock, monotonic=monotonic) as verifier:
        assert (await refusal_of(verifier, token)).reason is Reason.TOKEN_NOT_YET_VALID
        clock.now = NOW
        idp.raw = answer(b"503 Service Unavailable", b"")
        with pytest.raises(Unavailable):
            await verifier.verify(token)
        idp.raw = None
        monotonic.now += 5
        assert (await verifier.verify(token)).subject == "airflow:worker"


async def test_a_token_that_ends_while_keys_are_fetched_is_expired(ring: Ring) -> None:
    """The time that counts is that of the decision, and the refusal is not remembered."""
    clock = Clock(NOW)
    token = ring.rsa_a.token(claims_with())
    async with Idp(ring.rsa_a.jwk()) as idp, verifier_for(issuer_at(idp), clock=clock) as verifier:
        idp.held.clear()
        waiting = asyncio.create_task(refusal_of(verifier, token))
        await idp.asked.wait()
        clock.now = NOW + 1000
        idp.held.set()
        assert (await waiting).reason is Reason.TOKEN_EXPIRED
        clock.now = NOW
        assert (await verifier.verify(token)).subject == "airflow:worker"


async def test_keys_of_one_issuer_prove_nothing_for_another(ring: Ring) -> None:
    """Keys are looked up per issuer, never in one merged set."""
    async with Idp(ring.rsa_a.jwk()) as main, Idp(ring.rsa_b.jwk()) as partner:
        second = issuer_at(partner, name="partner", issuer="https://idp2.test/")
        async with verifier_for(issuer_at(main), second, clock=Clock(NOW)) as verifier:
            assert (await verifier.verify(ring.rsa_b.token(claims_with(iss="https://idp2.test/")))).issuer == "partner"
            assert (await refusal_of(verifier, ring.rsa_b.token(claims_with()))).reason is Reason.UNKNOWN_KEY
            forged = ring.rsa_b.token(claims_with(), kid="rsa-a")
            assert (await refusal_of(verifier, forged)).reason is Reason.BAD_SIGNATURE


async def test_refused_claims_never_ask_the_issuer_for_keys(ring: Ring) -> None:
    """A wrong audience or algorithm, or a key URL in the header, causes no fetch at all."""
    async with Idp(ring.rsa_a.jwk()) as idp, verifier_for(issuer_at(idp), clock=Clock(NOW)) as verifier:
        assert (await refusal_of(verifier, ring.rsa_a.token(claims_with(aud="x")))).reason is Reason.WRONG_AUDIENCE
        assert (await refusal_of(verifier, ring.rsa_a.token(claims_with(), alg="HS256"))).reason is Reason.BAD_SIGNATURE
        assert (await refusal_of(verifier, b"junk")).reason is Reason.TOKEN_MALFORMED
        assert (verifier.checked, idp.fetches.total()) == (0, 0)


async def test_the_memory_is_bounded(ring: Ring) -> None:
    """The oldest entry goes first, and only verified tokens can push it out."""
    async with Idp(ring.rsa_a.jwk()) as idp, verifier_for(issuer_at(idp), clock=Clock(NOW)) as verifier:
        first = ring.ec_1.token(claims_with())
        idp.keys = [ring.ec_1.jwk()]
        await verifier.verify(first)
        for number in range(REMEMBERED - 1):
            verifier._verified[number.to_bytes(4)] = verifier._verified[next(iter(verifier._verified))]
        assert verifier.known(first, NOW) is not None
        await verifier.verify(ring.ec_1.token(claims_with(jti="second")))
        assert verifier.known(first, NOW) is None


async def test_what_no_longer_holds_makes_room(ring: Ring) -> None:
    """Each new token sends up to two away that have expired, so that memory follows the tokens in use, not all that ever came."""
    clock = Clock(NOW)
    async with Idp(ring.ec_1.jwk()) as idp, verifier_for(issuer_at(idp), clock=clock) as verifier:
        for number in range(3):
            await verifier.verify(ring.ec_1.token(claims_with(jti=f"old-{number}")))
        clock.now += SUBJECT_SECONDS
        for number, left in ((0, 2), (1, 2), (2, 3)):
            await verifier.verify(ring.ec_1.token(claims_with(jti=f"new-{number}")))
            assert len(verifier._verified) == left
        assert verifier.checked == 6


async def test_the_verifier_gets_ready_by_itself(ring: Ring) -> None:
    """It starts without its issuers, is ready when one of them answers, and says how each one fares."""
    monotonic = Clock()
    async with Idp(ring.rsa_a.jwk(), ring.weak.jwk()) as idp, Idp() as dead:
        other = issuer_at(dead, name="partner", issuer="https://idp2.test/")
        async with verifier_for(issuer_at(idp), other, clock=Clock(NOW), monotonic=monotonic) as verifier:
            idp.raw = b""
            await verifier.warm()
            await verifier.warm()
            assert not verifier.is_ready
            idp.raw = None
            monotonic.now += 5
            await until(lambda: verifier.is_ready)
            good, bad = verifier.status()
            assert (good.name, good.keys, good.skipped, good.age, good.generation, good.failure) == ("main", 1, 1, 0, 1, "")
            assert (bad.name, bad.keys, bad.age) == ("partner", 0, float("inf"))
            assert "none of the 0 keys" in bad.failure


async def test_two_issuers_of_one_name_or_string_do_not_start() -> None:
    """Which settings hold must never depend on their order."""
    for twin in (issuer_with(issuer="https://other.test"), issuer_with(name="other")):
        with pytest.raises(ValueError, match="same name or issuer string"):
            TokenVerifier((issuer_with(), twin))
