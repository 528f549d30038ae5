"""Signatures of requests that come in: botocore's are accepted to the byte, and nothing else is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from proxy.aws import inbound
from proxy.aws.inbound import SKEW_SECONDS, read_signature
from proxy.refusal import Reason, Unauthenticated
from tests.signing import signed_headers

KEY_ID, SECRET, TOKEN = "DDBPAAAAAAAAAAAAAAAA", "s-cr_t", "ddbproxy1-AAAA"
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC).timestamp()
BODY = b'{"TableName":"orders"}'
HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "DynamoDB_20120810.GetItem",
    "Host": "127.0.0.1:8080",
    "X-Airflow-Dag-Id": "etl",
}


def signed(body: bytes = BODY, moment: float = NOW, service: str = "dynamodb", region: str = "eu-west-1", **headers: str) -> Any:
    """Headers as botocore signs them; a header given as "" is left out."""
    given_ = {name: value for name, value in (HEADERS | headers).items() if value}
    made = Credentials(KEY_ID, SECRET, TOKEN)
    signed_ = signed_headers(made, given_, body, service=service, region=region, moment=moment)
    return {name.encode(): value.strip(" ").encode() for name, value in signed_.items()}  # as the gate gives them


def verify(headers: dict[bytes, bytes], body: bytes = BODY, service: str = "dynamodb", now: float = NOW, **known: str) -> None:
    """Both steps."""
    read_signature(headers, known.get("key_id", KEY_ID), known.get("secret", SECRET), service, now).check(body)


def refusal_of(headers: dict[bytes, bytes], **given_: Any) -> Unauthenticated:
    """Why it is refused."""
    with pytest.raises(Unauthenticated) as caught:
        verify(headers, **given_)
    return caught.value


@given(
    st.binary(max_size=200),
    st.sampled_from(["us-east-1", "eu-west-1", "us-gov-west-1", "aws-global"]),
    st.text("ab %:/+=,;\"'~-", max_size=30),
)
def test_what_botocore_signs_is_accepted(body: bytes, region: str, value: str) -> None:
    """Any body, Region and header value, runs of spaces among them."""
    verify(signed(body, region=region, **{"X-Airflow-Run-Id": f"x{value}x"}), body)


def test_sts_calls_are_signed_for_sts() -> None:
    """Without a target; and a signature for one service is none for the other."""
    headers = signed(service="sts", **{"X-Amz-Target": ""})
    verify(headers, service="sts")
    assert "another service than `dynamodb`" in refusal_of(signed(service="sts")).message
    assert refusal_of(signed(), service="sts").reason is Reason.SIGNATURE_INCOMPLETE


@pytest.mark.parametrize("ahead", [-SKEW_SECONDS, SKEW_SECONDS])
def test_a_signature_holds_for_fifteen_minutes(ahead: float) -> None:
    """On the second it holds, one later it does not; in either direction."""
    headers = signed(moment=NOW + ahead)
    verify(headers)
    late = NOW - 1 if ahead > 0 else NOW + 1
    assert refusal_of(headers, now=late).reason is Reason.SIGNATURE_EXPIRED


@pytest.mark.parametrize("name", [b"host", b"content-type", b"x-amz-target", b"x-amz-date", b"x-amz-security-token"])
def test_what_steers_a_request_must_be_signed(name: bytes) -> None:
    """Each of these by name, also where the signature of the rest is right."""
    headers = signed()
    headers[b"authorization"] = re.sub(rb"([=;])%b(;|,)" % name, rb"\1", headers[b"authorization"]).replace(b"=;", b"=")
    refusal = refusal_of(headers)
    assert refusal.reason is Reason.SIGNATURE_INCOMPLETE


def test_a_claim_must_be_signed() -> None:
    """One that somebody added on the way is refused, not passed over: what it contradicts would go unseen."""
    headers = signed()
    headers[b"x-airflow-task-id"] = b"load"
    refusal = refusal_of(headers)
    assert (refusal.reason, "`x-airflow-task-id` is not signed" in refusal.message) == (Reason.SIGNATURE_INCOMPLETE, True)


@pytest.mark.parametrize("name", [b"host", b"content-type", b"x-amz-target", b"x-amz-security-token", b"x-airflow-dag-id"])
def test_what_is_signed_cannot_be_changed(name: bytes) -> None:
    """Nor can the body."""
    headers = signed()
    headers[name] += b"x"
    assert refusal_of(headers).reason is Reason.SIGNATURE_MISMATCH
    assert refusal_of(signed(), body=BODY + b" ").reason is Reason.SIGNATURE_MISMATCH


def test_key_id_and_secret_are_the_sessions_own() -> None:
    """Another key id is told apart from another secret, for the cause is another."""
    assert "access key id is not that of the session token" in refusal_of(signed(), key_id="DDBPB").message
    assert refusal_of(signed(), secret="other").reason is Reason.SIGNATURE_MISMATCH
    assert "rewrites `Host`" in refusal_of(signed(), secret="other").message


GOOD = signed()[b"authorization"]
CREDENTIAL = b"Credential=DDBPAAAAAAAAAAAAAAAA/20261122/eu-west-1/dynamodb/aws4_request"


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Bearer x",
        GOOD[:-1],
        GOOD + b"0",
        GOOD + b",",
        GOOD.replace(b"HMAC-SHA256", b"ECDSA-P256-SHA256"),
        GOOD.replace(b"AWS4-", b"aws4-"),
        GOOD.replace(CREDENTIAL, b"Credential=DDBPAAAAAAAAAAAAAAAA"),
        GOOD.replace(b"/20261122/", b"/2026-11-22/"),
        GOOD.replace(b"/eu-west-1/", b"/EU/"),
        GOOD.replace(b"/aws4_request", b"/aws4_request/"),
        GOOD.replace(b"SignedHeaders=", b"SignedHeaders="[:-1]),
        GOOD.replace(b"SignedHeaders=", b"SignedHeaders=Host;"),
        re.sub(rb"Signature=\w+", lambda found: found[0].upper(), GOOD),
        GOOD.replace(b", ", b"; "),
        GOOD + b", " + GOOD.split(b" ", 1)[1],
        re.sub(rb"SignedHeaders=[^,]+", b"SignedHeaders=", GOOD),
        re.sub(rb"SignedHeaders=[^,]+", b"SignedHeaders=host;host", GOOD),
        re.sub(rb"SignedHeaders=[^,]+", b"SignedHeaders=x-amz-date;host", GOOD),
        re.sub(rb"SignedHeaders=[^,]+", b"SignedHeaders=host;not-there", GOOD),
        re.sub(rb"SignedHeaders=[^,]+", b"SignedHeaders=;host", GOOD),
        GOOD.replace(b"/20261122/", b"/20261123/"),
    ],
)
def test_a_malformed_authorization_is_told(authorization: bytes) -> None:
    """Never a crash, never another reason."""
    assert refusal_of(signed() | {b"authorization": authorization}).reason is Reason.SIGNATURE_INCOMPLETE


@pytest.mark.parametrize("date", [b"", b"20261122", b"20261122T250000Z", b"20261122T120000", b"Sun, 22 Nov 2026 12:00:00 GMT"])
def test_a_date_that_is_none_is_told(date: bytes) -> None:
    """It is part of what is signed, so it must be there."""
    assert refusal_of(signed() | {b"x-amz-date": date}).reason is Reason.SIGNATURE_INCOMPLETE


def test_separators_without_spaces_are_read() -> None:
    """Some SDKs write none."""
    headers = signed()
    verify(headers | {b"authorization": headers[b"authorization"].replace(b", ", b",")})


def test_terms_that_are_long_are_read_each_time() -> None:
    """So many signed headers that what `Authorization` says of them is not remembered; they are verified alike."""
    many = {f"X-Airflow-{number:03}-{'n' * 20}": str(number) for number in range(40)}
    headers = signed(**many)
    assert len(headers[b"authorization"]) > 1200
    verify(headers)
    headers[b"x-airflow-007-" + b"n" * 20] = b"8"
    assert refusal_of(headers).reason is Reason.SIGNATURE_MISMATCH


def test_invented_terms_take_little_room() -> None:
    """One session can send as many different ones as it likes: none that is long is kept, and of short ones a thousand."""
    kept = inbound._remembered_terms
    kept.cache_clear()
    beginning = b"AWS4-HMAC-SHA256 Credential=A%d/20261122/eu-west-1/dynamodb/aws4_request, SignedHeaders=%b, Signature="
    for number in range(1100):
        for names in (b"host", b";".join(b"n%04d" % place for place in range(80))):
            assert inbound._terms_of(beginning % (number, names)) is not None
    assert kept.cache_info().currsize == 1024
    kept.cache_clear()
    inbound._terms_of(beginning % (1, b"n" * 512))
    assert kept.cache_info().currsize == 0


def test_what_is_remembered_of_an_authorization_is_no_verdict() -> None:
    """The same terms again with another signature, secret, day or set of headers: each request is verified for itself."""
    verify(signed())
    other = signed(BODY + b" ")
    assert other[b"authorization"][:-64] == signed()[b"authorization"][:-64]
    assert refusal_of(signed() | {b"authorization": other[b"authorization"]}).reason is Reason.SIGNATURE_MISMATCH
    assert refusal_of(signed(), secret="other").reason is Reason.SIGNATURE_MISMATCH
    assert refusal_of(signed(), now=NOW + 86_400).reason is Reason.SIGNATURE_EXPIRED
    assert refusal_of({name: value for name, value in signed().items() if name != b"host"}).reason is Reason.SIGNATURE_INCOMPLETE
    assert refusal_of(signed() | {b"x-amz-date": b"20261123T000000Z"}).reason is Reason.SIGNATURE_INCOMPLETE
    assert refusal_of(signed() | {b"authorization": GOOD[:-64] + b"0" * 63 + b"G"}).reason is Reason.SIGNATURE_INCOMPLETE
    verify(signed())


def test_a_signature_shows_nothing() -> None:
    """Its key would sign for a whole day."""
    assert repr(read_signature(signed(), KEY_ID, SECRET, "dynamodb", NOW)) == "InboundSignature()"


@given(st.binary(max_size=120))
def test_no_bytes_crash_the_reader(authorization: bytes) -> None:
    """The only way out is the typed refusal."""
    refusal_of(signed() | {b"authorization": b"AWS4-HMAC-SHA256 " + authorization})
