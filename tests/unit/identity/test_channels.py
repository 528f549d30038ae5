"""One token out of three channels, and what a request claims of itself."""

from __future__ import annotations

import uuid
from urllib.parse import quote

import pytest

from proxy.identity.channels import _WHITE_SPACE, admissible, claimed_in, found_token, login_token_in, token_in
from proxy.identity.token import MAX_TOKEN_BYTES
from proxy.model import Claimed
from proxy.refusal import Malformed, Reason, Refusal, Unauthenticated
from tests.endless import an_end

JWT = b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"
AWS_TOKEN = b"IQoJb3JpZ2luX2VjEXAMPLEAWSSESSIONTOKEN//////////wEaCXVzLWVhc3QtMQ=="


def signed_with(key: bytes) -> bytes:
    """An Authorization header as boto3 writes it."""
    return b"AWS4-HMAC-SHA256 Credential=" + key + b"/20261122/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00"


def refusal_of(headers: dict[bytes, bytes]) -> Refusal:
    """The refusal that these headers earn."""
    with pytest.raises(Unauthenticated) as caught:
        token_in(headers)
    return caught.value


def test_no_token_is_slow_to_look_at() -> None:
    """Looking for an escaped line break takes time in proportion to the token: 16 KiB once took a second, 4 MiB would a day."""
    assert token_in({b"x-dag-token": b"\\" * MAX_TOKEN_BYTES}) == b"\\" * MAX_TOKEN_BYTES
    with an_end():
        assert not _WHITE_SPACE.search(b"\\" * (4 << 20))


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer " + JWT},
        {b"authorization": b"bearer  " + JWT},
        {b"authorization": b"BEARER " + JWT},
        {b"x-dag-token": JWT},
        {b"x-amz-security-token": JWT, b"authorization": signed_with(b"PROXYWORKLOAD")},
        {b"x-dag-token": JWT, b"authorization": signed_with(b"AKIAIOSFODNN7EXAMPLE")},
        {b"x-dag-token": JWT, b"authorization": b"AWS4-ECDSA-P256-SHA256 Credential=x"},
    ],
)
def test_each_channel_carries_a_token(headers: dict[bytes, bytes]) -> None:
    """Bearer in any case, the dedicated header, and boto3's session token are read; a SigV4 signature is ignored."""
    assert token_in(headers) == JWT


def test_a_token_is_found_before_it_is_looked_at() -> None:
    """Its digest is asked for first; only what is not known is held against what a token can be."""
    assert found_token({b"authorization": b"Bearer  a b"}) == ("Authorization: Bearer", b"a b")
    assert found_token({b"x-dag-token": b"a\n"}) == ("X-DAG-Token", b"a\n")
    with pytest.raises(Unauthenticated):
        admissible("X-DAG-Token", b"a\n")


@pytest.mark.parametrize(
    ("headers", "reason", "says"),
    [
        ({}, Reason.NO_TOKEN, "aws_session_token"),
        ({b"authorization": b"Bearer "}, Reason.NO_TOKEN, "is empty"),
        ({b"authorization": b"Bearer"}, Reason.NO_TOKEN, "is empty"),
        ({b"x-dag-token": b""}, Reason.NO_TOKEN, "`X-DAG-Token` is empty"),
        ({b"x-amz-security-token": b""}, Reason.NO_TOKEN, "is empty"),
        ({b"authorization": signed_with(b"AKIAIOSFODNN7EXAMPLE")}, Reason.AWS_KEYS, "(AKIA...)"),
        ({b"authorization": signed_with(b"PROXYWORKLOAD")}, Reason.AWS_KEYS, "signed with AWS keys, not"),
        (
            {b"authorization": signed_with(b"ASIAIOSFODNN7EXAMPLE"), b"x-amz-security-token": AWS_TOKEN},
            Reason.AWS_KEYS,
            "(ASIA...)",
        ),
        ({b"x-amz-security-token": AWS_TOKEN}, Reason.AWS_KEYS, "the session token of real AWS keys"),
        ({b"x-amz-security-token": AWS_TOKEN, b"x-dag-token": JWT}, Reason.AWS_KEYS, "the session token of real AWS keys"),
        (
            {b"authorization": b"Bearer " + JWT, b"x-dag-token": JWT},
            Reason.SEVERAL_TOKENS,
            "`Authorization: Bearer` and `X-DAG-Token`",
        ),
        ({b"x-amz-security-token": JWT, b"x-dag-token": JWT}, Reason.SEVERAL_TOKENS, "exactly one"),
        ({b"x-dag-token": JWT, b"x-amz-security-token": b""}, Reason.SEVERAL_TOKENS, "exactly one"),
        ({b"x-dag-token": JWT + b"\n"}, Reason.TOKEN_NEWLINE, "printf %s"),
        ({b"x-dag-token": JWT + b"\r\n"}, Reason.TOKEN_NEWLINE, ".strip()"),
        ({b"x-dag-token": JWT + b"\\n"}, Reason.TOKEN_NEWLINE, ".strip()"),
        ({b"x-dag-token": JWT + b"\\\\n"}, Reason.TOKEN_NEWLINE, ".strip()"),
        ({b"x-dag-token": JWT + b"%0A"}, Reason.TOKEN_NEWLINE, ".strip()"),
        ({b"x-dag-token": JWT + b"%0d%0a"}, Reason.TOKEN_NEWLINE, ".strip()"),
        ({b"x-amz-security-token": JWT + b"\n"}, Reason.TOKEN_NEWLINE, "X-Amz-Security-Token"),
        ({b"authorization": b"Bearer ey\tJ.a.b"}, Reason.TOKEN_NEWLINE, "white space"),
        ({b"authorization": b"Bearer " + JWT + b", Bearer " + JWT}, Reason.TOKEN_NEWLINE, "white space"),
        ({b"x-dag-token": b"a" * 16385}, Reason.TOO_LARGE, "16384"),
        ({b"x-dag-token": b"Bearer " + JWT}, Reason.TOKEN_MALFORMED, "without the word `Bearer`"),
        ({b"authorization": JWT}, Reason.TOKEN_MALFORMED, "without the word `Bearer`"),
        ({b"authorization": b"Basic dXNlcjpwYXNz"}, Reason.TOKEN_MALFORMED, "scheme"),
        ({b"authorization": b""}, Reason.TOKEN_MALFORMED, "scheme"),
        ({b"authorization": b"Basic dXNlcjpwYXNz", b"x-dag-token": JWT}, Reason.TOKEN_MALFORMED, "scheme"),
    ],
)
def test_the_usual_mistakes_have_their_own_sentence(headers: dict[bytes, bytes], reason: Reason, says: str) -> None:
    """Each way to send no token, several, or a damaged one is told apart, and no message shows what was sent."""
    refusal = refusal_of(headers)
    assert refusal.reason is reason
    assert says in refusal.message
    for secret in (JWT, AWS_TOKEN, b"dXNlcjpwYXNz", b"IOSFODNN7EXAMPLE"):
        assert secret.decode() not in refusal.message


def test_claims_are_read_from_headers_and_user_agent() -> None:
    """Every X-Airflow header is percent-decoded once, and the DagRunKey comes out of the User-Agent."""
    key = str(uuid.uuid5(uuid.NAMESPACE_OID, "aufträge"))
    headers = {
        b"x-airflow-dag-id": quote("aufträge").encode(),
        b"x-airflow-task-id": b"load",
        b"x-airflow-run-id": b"manual__2026-11-22T06%3A36%3A02%2B00:00+x%252F",
        b"x-airflow-try-number": b"2",
        b"x-airflow-map-index": b"-1",
        b"user-agent": b"Boto3/1.44.5 Airflow/3.3.2 Caller/Unknown DagRunKey/" + key.upper().encode() + b" MultiTeam/False",
    }
    assert claimed_in(headers) == Claimed("aufträge", "load", "manual__2026-11-22T06:36:02+00:00+x%2F", "2", "-1", key)


@pytest.mark.parametrize(
    "agent",
    [
        b"",
        b"DagRunKey/00000000-0000-0000-0000-000000000000",
        b"DagRunKey/1234",
        b"xDagRunKey/4967833d-f0d7-50c1-bd80-9f84fbc02c8e",
        b"DagRunKey/4967833d-f0d7-50c1-bd80-9f84fbc02c8e-x",
        b"DagRunKey/4967833d-f0d7-50c1-bd80-9f84fbc02c8e DagRunKey/4967833d-f0d7-50c1-bd80-9f84fbc02c8f",
    ],
)
def test_a_user_agent_without_one_real_key_says_nothing(agent: bytes) -> None:
    """The nil UUID, fragments and two different keys all mean: not said."""
    assert claimed_in({b"user-agent": agent, b"x-airflow-dag-id": b""}) == Claimed()


@pytest.mark.parametrize("value", [b"%zz", b"100%", b"%ff", b"\xff", b"a%0Ab", b"a\x00", b"%E2%80%AE", b"a" * 251, b"%20" * 251])
def test_a_header_that_no_client_writes_is_malformed(value: bytes) -> None:
    """Bad escapes, bad UTF-8, control characters and overlong names are refused, not repaired."""
    with pytest.raises(Malformed) as caught:
        claimed_in({b"x-airflow-run-id": value})
    assert caught.value.reason is Reason.MALFORMED_REQUEST
    assert "x-airflow-run-id" in caught.value.message


SESSION_TOKEN = b"ddbproxy1-AAAA_-"


def test_a_session_comes_in_the_sdks_own_header_only() -> None:
    """Elsewhere it could not be signed for, and whoever has read it in a log could use it."""
    signed_by = {b"authorization": signed_with(b"DDBPAAAA")}
    assert token_in({b"x-amz-security-token": SESSION_TOKEN} | signed_by) == SESSION_TOKEN
    assert token_in({b"x-amz-security-token": SESSION_TOKEN}) == SESSION_TOKEN  # the signature is asked for later
    for headers in ({b"authorization": b"Bearer " + SESSION_TOKEN}, {b"x-dag-token": SESSION_TOKEN}):
        refusal = refusal_of(headers)
        assert (refusal.reason, "must sign its requests" in refusal.message) == (Reason.SIGNATURE_INCOMPLETE, True)
        assert SESSION_TOKEN.decode() not in refusal.message
    assert refusal_of({b"x-amz-security-token": SESSION_TOKEN, b"x-dag-token": JWT}).reason is Reason.SEVERAL_TOKENS


@pytest.mark.parametrize("authorization", [JWT, b"Bearer " + JWT, b"bearer  " + JWT])
def test_credentials_are_asked_for_with_the_bare_token(authorization: bytes) -> None:
    """As SDKs send a token file; the word `Bearer` does no harm."""
    assert login_token_in({b"authorization": authorization}) == JWT


@pytest.mark.parametrize(
    ("headers", "reason", "says"),
    [
        ({}, Reason.NO_TOKEN, "`Authorization` is empty"),
        ({b"authorization": b"Bearer "}, Reason.NO_TOKEN, "is empty"),
        ({b"authorization": JWT, b"x-dag-token": JWT}, Reason.SEVERAL_TOKENS, "exactly one token"),
        ({b"authorization": JWT, b"x-amz-security-token": JWT}, Reason.SEVERAL_TOKENS, "exactly one token"),
        ({b"authorization": signed_with(b"AKIAIOSFODNN7EXAMPLE")}, Reason.AWS_KEYS, "(AKIA...)"),
        ({b"authorization": SESSION_TOKEN}, Reason.TOKEN_MALFORMED, "log in with the token of the worker's issuer"),
        ({b"authorization": b"Bearer " + SESSION_TOKEN}, Reason.TOKEN_MALFORMED, "a session that was minted here"),
        ({b"authorization": JWT + b" x"}, Reason.TOKEN_NEWLINE, "line break"),
        ({b"authorization": b"a" * (MAX_TOKEN_BYTES + 1)}, Reason.TOO_LARGE, "larger than"),
    ],
)
def test_a_login_without_one_clean_token_is_refused(headers: dict[bytes, bytes], reason: Reason, says: str) -> None:
    """A session is no login: it would renew itself for ever."""
    with pytest.raises(Unauthenticated) as caught:
        login_token_in(headers)
    assert (caught.value.reason, says in caught.value.message) == (reason, True)


def test_a_long_user_agent_is_read_and_not_remembered() -> None:
    """It says the same as a short one; what is remembered stays small, whatever a caller sends."""
    key = str(uuid.uuid5(uuid.NAMESPACE_OID, "etl"))
    headers = {b"user-agent": b"x" * 16_000 + b" DagRunKey/" + key.encode(), b"x-airflow-dag-id": b"etl"}
    assert claimed_in(headers) == Claimed("etl", dag_run_key=key)
    assert claimed_in(headers) is not claimed_in(headers)
