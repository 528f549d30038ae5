"""Minted sessions: whole or not at all, for one fleet and environment, and never wider than the login."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.identity.channels import SESSION_PREFIX
from proxy.identity.denials import Denial, DenyList
from proxy.identity.minting import REMEMBERED, SessionMint
from proxy.identity.sessions import SEALED, SessionSeal, lasting
from proxy.identity.token import Issuer, KeySource
from proxy.model import Subject
from proxy.refusal import Forbidden, Reason, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.identity.sessions import Session

OLD, NEW = b"o" * 32, b"n" * 32
UNIQUE = bytes(range(16))
NOW = 1_800_000_000.25


def issuer(name: str = "eks", url: str = "https://idp.test", may_assert: tuple[str, ...] = ("*",)) -> Issuer:
    """An issuer of the settings."""
    return Issuer(name, url, ("dynamodb-proxy",), ("RS256",), KeySource("discovery"), {}, may_assert)


SUBJECT = Subject(
    issuer="eks",
    subject="system:serviceaccount:airflow:ördérs",
    claims={"dag_id": "etl", "run_id": "scheduled__2026"},
    may_assert=("*",),
    expires_at=NOW + 3600,
    token_id="jti-1",
    pod={"task_id": "load"},
    pinned_dag="etl",
    role_arn="arn:aws:iam::111122223333:role/etl",
)
SEAL = SessionSeal((NEW, OLD), (issuer(),), "prod")
MINTED = SEAL.seal(SUBJECT, UNIQUE, NOW)
TOKEN = MINTED.session_token.encode()


def reason_of(opening: Callable[[], Session]) -> Reason:
    """Why a session is refused; its token is not shown."""
    with pytest.raises(Unauthenticated) as caught:
        opening()
    assert MINTED.session_token[12:40] not in caught.value.message
    return caught.value.reason


def test_a_session_says_what_was_proven_when_it_was_made() -> None:
    """Every field of the subject comes back; its end is the session's, its id that of the credentials."""
    session = SEAL.open(TOKEN, NOW)
    assert session.subject == replace(SUBJECT, expires_at=float(int(NOW) + 3600), session_id=MINTED.access_key_id)
    assert session.secret == MINTED.secret_access_key
    assert session.issued_at == int(NOW)
    assert MINTED.expires_at == int(NOW) + 3600


def test_each_field_of_a_subject_is_sealed_or_known_not_to_be() -> None:
    """A new field must not be lost in a session without anybody having said so."""
    assert {field.name for field in fields(Subject)} == {*SEALED, "may_assert", "expires_at", "session_id"}


def test_credentials_have_the_form_that_sdks_take_and_are_not_awss() -> None:
    """A key id of 20 characters that AWS does not use, a token without dots or spaces, a secret in neither."""
    assert MINTED.access_key_id.startswith("DDBP")
    assert (len(MINTED.access_key_id), MINTED.access_key_id.isalnum()) == (20, True)
    assert TOKEN.startswith(b"ddbproxy1-")
    assert b"." not in TOKEN
    assert MINTED.secret_access_key.encode() not in TOKEN
    assert MINTED.secret_access_key not in repr(SEAL.open(TOKEN, NOW))


def test_a_key_is_replaced_without_a_gap() -> None:
    """The first key mints, all of them open; what was made with one that is gone is refused."""
    before = SessionSeal((OLD,), (issuer(),), "prod").seal(SUBJECT, UNIQUE, NOW).session_token.encode()
    assert SEAL.open(before, NOW).subject.subject == SUBJECT.subject
    assert reason_of(lambda: SessionSeal((NEW,), (issuer(),), "prod").open(before, NOW)) is Reason.SESSION_INVALID
    assert SessionSeal((NEW,), (issuer(),), "prod").open(TOKEN, NOW).subject.subject == SUBJECT.subject


def test_each_session_has_a_secret_and_a_key_id_of_its_own() -> None:
    """Both depend on the unique id and on the key."""
    others = [SEAL.seal(SUBJECT, bytes(16), NOW), SessionSeal((OLD,), (issuer(),), "prod").seal(SUBJECT, UNIQUE, NOW)]
    assert len({MINTED.secret_access_key, *(other.secret_access_key for other in others)}) == 3
    assert len({MINTED.access_key_id, *(other.access_key_id for other in others)}) == 3


@pytest.mark.parametrize(
    ("seal", "why"),
    [
        (SessionSeal((NEW,), (issuer(),), "dev"), "another environment"),
        (SessionSeal((b"x" * 32,), (issuer(),), "prod"), "another gateway"),
        (SessionSeal((NEW,), (issuer("okta"),), "prod"), "an issuer that is gone"),
        (SessionSeal((NEW,), (issuer(url="https://other.test"),), "prod"), "an issuer of that name that is another"),
    ],
)
def test_sessions_do_not_cross(seal: SessionSeal, why: str) -> None:
    """Neither environments, nor gateways of other keys, nor issuers."""
    assert reason_of(lambda: seal.open(TOKEN, NOW)) is Reason.SESSION_INVALID, why


def test_what_an_issuer_may_assert_is_that_of_now() -> None:
    """Narrowing the settings narrows the sessions that were made before."""
    narrow = SessionSeal((NEW,), (issuer(may_assert=("orders_*",)),), "prod")
    assert narrow.open(TOKEN, NOW).subject.may_assert == ("orders_*",)


def test_a_session_ends() -> None:
    """At its second, sharp; the memory forgets no end."""
    mint = SessionMint((NEW,), (issuer(),), "prod")
    token = mint.mint(SUBJECT, NOW, 60).session_token.encode()
    assert mint.open(token, NOW + 59) is mint.open(token, NOW + 59)
    assert reason_of(lambda: mint.open(token, NOW + 60)) is Reason.SESSION_EXPIRED
    assert reason_of(lambda: SEAL.open(TOKEN, NOW + 3600)) is Reason.SESSION_EXPIRED


def test_a_session_made_from_a_session_does_not_outlive_it() -> None:
    """Else one login would last for ever; one made from a token lives as long as the settings say, as with AWS."""
    mint = SessionMint((NEW,), (issuer(),), "prod")
    first = mint.open(mint.mint(SUBJECT, NOW, 1000).session_token.encode(), NOW).subject
    assert mint.mint(first, NOW + 900, 1000).expires_at == first.expires_at
    assert mint.mint(first, NOW, 100).expires_at == int(NOW) + 100
    assert lasting(SUBJECT, NOW, 43200).expires_at == NOW + 43200


def test_a_session_remembers_from_which_sessions_it_was_assumed() -> None:
    """So that none of them can be stopped and go on as the next; a token from before this was told has none."""
    mint = SessionMint((NEW,), (issuer(),), "prod")
    chain = [mint.open(mint.mint(SUBJECT, NOW, 1000).session_token.encode(), NOW).subject]
    for _ in range(2):
        chain.append(mint.open(mint.mint(chain[-1], NOW, 1000).session_token.encode(), NOW).subject)
    first, second, third = (subject.session_id for subject in chain)
    assert [subject.assumed_from for subject in chain] == [(), (first,), (first, second)]
    assert len({first, second, third}) == 3
    for stopped in (first, second, third):
        with pytest.raises(Forbidden):
            DenyList([Denial("jti", stopped)]).check_subject(chain[-1])
    DenyList([Denial("jti", third)]).check_subject(chain[0])


def test_replaced_keys_end_what_is_remembered() -> None:
    """An opened session is asked for its key again."""
    mint = SessionMint((OLD,), (issuer(),), "prod")
    token = mint.mint(SUBJECT, NOW, 60).session_token.encode()
    mint.open(token, NOW)
    mint.replace_keys((NEW, OLD))
    mint.open(token, NOW)
    mint.replace_keys((NEW,))
    assert reason_of(lambda: mint.open(token, NOW)) is Reason.SESSION_INVALID


def test_the_memory_is_bounded() -> None:
    """The oldest is opened anew, which costs time and nothing else."""
    mint = SessionMint((NEW,), (issuer(),), "prod")
    tokens = [mint.mint(SUBJECT, NOW, 60).session_token.encode() for _ in range(3)]
    first = mint.open(tokens[0], NOW)
    mint._opened.update({b"%d" % number: first for number in range(REMEMBERED - 1)})
    mint.open(tokens[1], NOW)
    assert len(mint._opened) == REMEMBERED
    assert mint.open(tokens[0], NOW) == first


@given(st.data())
def test_no_other_token_opens(data: st.DataObject) -> None:
    """Any change of any byte, any cut, any addition: refused, and always by the same kind of refusal."""
    raw = bytearray(urlsafe_b64decode(TOKEN.removeprefix(SESSION_PREFIX) + b"=="))
    match data.draw(st.sampled_from(["flip", "cut", "add", "text"])):
        case "flip":
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
            changed = SESSION_PREFIX + urlsafe_b64encode(raw).rstrip(b"=")
        case "cut":
            changed = TOKEN[: data.draw(st.integers(len(SESSION_PREFIX), len(TOKEN) - 1))]
        case "add":
            changed = TOKEN + data.draw(st.binary(min_size=1, max_size=4))
        case _:
            changed = SESSION_PREFIX + data.draw(st.binary(max_size=100))
    assert reason_of(lambda: SEAL.open(changed, NOW)) is Reason.SESSION_INVALID
