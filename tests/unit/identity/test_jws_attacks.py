"""More than 400 attacks on signed tokens: each is refused for its own reason, and the honest tokens among them are believed."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from proxy.identity.jwks import read_key_set
from proxy.identity.token import KeySource, _bytes_of, _object, _text_member
from proxy.identity.verifier import TokenVerifier
from proxy.refusal import Unauthenticated
from tests.fake_aws import fake_aws, running_gateway, settings_in
from tests.unit.identity.idp import Clock
from tests.unit.identity.jws_attacks import honest_keys, key_set, vectors_for
from tests.unit.identity.keyring import NOW, claims_with, issuer_with

if TYPE_CHECKING:
    from proxy.identity.token import Issuer
    from tests.unit.identity.jws_attacks import Vector
    from tests.unit.identity.keyring import SigningKey

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")


Keys: TypeAlias = "tuple[SigningKey, ...]"


@pytest.fixture(scope="module")
def keys() -> Keys:
    """The issuer's."""
    return honest_keys()


@pytest.fixture(scope="module")
def attackers() -> Keys:
    """Somebody else's, of the same kinds."""
    return honest_keys()


@pytest.fixture(scope="module")
def vectors(keys: Keys, attackers: Keys) -> list[Vector]:
    """All of them."""
    return vectors_for(keys, attackers, claims_with())


def issuer_in(folder: Path, keys: Keys, **changes: Any) -> Issuer:
    """An issuer with every algorithm that the gateway knows a key for, and its keys in a file."""
    (folder / "keys.json").write_text(json.dumps(key_set(keys)))
    return issuer_with(algorithms=ALGORITHMS, keys=KeySource("jwks_file", str(folder / "keys.json")), **changes)


async def verdict(verifier: TokenVerifier, token: bytes) -> Unauthenticated | None:
    """The refusal that a token earns, or None; anything else that is raised is a defect."""
    (outcome,) = await asyncio.gather(verifier.verify(token), return_exceptions=True)
    if not isinstance(outcome, BaseException):
        return None
    assert isinstance(outcome, Unauthenticated)
    assert len(outcome.message) < 1000
    assert outcome.message.isprintable()
    return outcome


def test_there_are_enough_and_each_is_another(vectors: list[Vector]) -> None:
    """At least 400 that must be refused, in every category, of distinct names and bytes; and controls for each algorithm."""
    refused = [vector for vector in vectors if vector.expected is not None]
    assert len({vector.name for vector in vectors}) == len(vectors)
    assert len({vector.token for vector in refused}) >= 400
    assert min(Counter(vector.name.split("/")[0] for vector in refused).values()) >= 5
    believed = Counter(vector.name.split("/")[1] for vector in vectors if vector.expected is None)
    assert min(believed[algorithm] for algorithm in ALGORITHMS) >= 9


async def test_every_attack_is_refused_for_its_reason_and_every_honest_token_believed(
    tmp_path: Path, keys: Keys, vectors: list[Vector]
) -> None:
    """Through the verifier as the gateway uses it, twice, so that no memory turns a no into a yes."""
    verifier = TokenVerifier((issuer_in(tmp_path, keys),), Clock(NOW), Clock())
    await verifier.warm()
    wrong = []
    for _ in range(2):
        for vector in vectors:
            refusal = await verdict(verifier, vector.token)
            found = refusal and refusal.reason
            if (found is None) is not (vector.expected is None) or (vector.expected and found not in vector.expected):
                wrong.append((vector.name, str(found)))
    await verifier.close()
    assert wrong == []


async def test_a_demanded_type_keeps_other_tokens_of_the_issuer_out(tmp_path: Path, keys: Keys) -> None:
    """An ID token, a logout token or a proof of possession is signed by the same keys (RFC 8725, 3.11; RFC 9068, 4)."""
    verifier = TokenVerifier((issuer_in(tmp_path, keys, required_type="at+jwt"),), Clock(NOW), Clock())
    await verifier.warm()
    for typ in ("at+jwt", "AT+JWT", "application/at+jwt"):
        assert await verdict(verifier, keys[0].token(claims_with(), typ=typ)) is None
    for typ in ("JWT", "logout+jwt", "dpop+jwt", "at+jwt ", "at+jwt+x", "application/application/at+jwt", "x/at+jwt", "", None):
        assert await verdict(verifier, keys[0].token(claims_with(), typ=typ)) is not None, typ
    await verifier.close()


async def test_these_tests_can_fail(tmp_path: Path, keys: Keys, attackers: Keys, vectors: list[Vector]) -> None:
    """Told that the attackers' keys are the issuer's, the verifier believes what they signed, and nothing honest any more."""
    verifier = TokenVerifier((issuer_in(tmp_path, attackers),), Clock(NOW), Clock())
    await verifier.warm()
    believed = [vector for vector in vectors if await verdict(verifier, vector.token) is None]
    await verifier.close()
    assert len(believed) > 100
    assert {vector.name.split("/")[0] for vector in believed} == {"embedded", "key_ids"}


def test_attacks_are_refused_over_the_wire(tmp_path: Path, keys: Keys, attackers: Keys) -> None:
    """Through the running gateway, one in nine of each category: honest tokens reach DynamoDB, attacks never do."""
    with fake_aws() as aws:
        settings = settings_in(tmp_path, aws.url)
        settings["issuers"][0]["algorithms"] = list(ALGORITHMS)
        issuer = settings["issuers"][0]["issuer"]
        claims = claims_with(float(int(time.time())), iss=issuer, aud=settings["issuers"][0]["audience"], dag_id="etl")
        (tmp_path / "jwks.json").write_text(json.dumps(key_set(keys)))
        vectors = [vector for vector in vectors_for(keys, attackers, claims) if fits_a_header(vector)]
        with running_gateway(tmp_path, settings) as gateway:
            gateway.until_ready()
            sample = [*vectors[::9], *(vector for vector in vectors if vector.expected is None)]
            wrong = []
            for vector in sample:
                before = len(aws.requests)
                status, _, _ = gateway.call(bearer=vector.token.decode("latin-1"))
                reached = len(aws.requests) - before
                if (status, reached) != ((200, 1) if vector.expected is None else (413 if "16 KiB" in vector.name else 400, 0)):
                    wrong.append((vector.name, status, reached))
            assert len(sample) > 80
            assert wrong == []


def fits_a_header(vector: Vector) -> bool:
    """What no HTTP client puts into a header is for the tests of the edge."""
    return bool(vector.token) and all(32 < byte < 127 for byte in vector.token)


# ------------------------------------------------------------------------- the file of Wycheproof itself, where it is at hand


def is_signed_by(jws: str, public: dict[str, Any]) -> bool:
    """The half of the verifier that Wycheproof knows: form, header, key and signature. Its payloads are no claims."""
    try:
        keys = read_key_set(json.dumps({"keys": [public]}).encode())
        header, payload, signature = jws.encode().split(b".")
        members = _object(header, "header")
        _bytes_of(payload, "payload")
        key = keys.choose(_text_member(members, "kid"), algorithm := _text_member(members, "alg") or "")
        signed = header + b"." + payload
        return key is not None and key.verifies(algorithm, signed, _bytes_of(signature, "signature"))
    except (Unauthenticated, ValueError):
        return False


if WYCHEPROOF := os.environ.get("WYCHEPROOF_DIR"):

    def test_wycheproofs_own_vectors() -> None:
        """What it calls invalid never verifies. What it calls valid does, but for payloads that are empty, which are no claims,
        and two figures whose header names another algorithm than the key is published for.
        """
        (file,) = Path(WYCHEPROOF).rglob("json_web_signature_test.json")
        asymmetric = [group for group in json.loads(file.read_text())["testGroups"] if "public" in group]
        tests = [(test, is_signed_by(test["jws"], group["public"])) for group in asymmetric for test in group["tests"]]
        assert [test["tcId"] for test, is_good in tests if test["result"] == "invalid" and is_good] == []
        refused = [test["comment"] for test, is_good in tests if test["result"] == "valid" and not is_good]
        assert set(refused) == {"emptyPayload", "Figure20", "Figure27"}
        assert sum(is_good for _, is_good in tests) > 20
