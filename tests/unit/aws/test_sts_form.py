"""STS's forms and XML: what is read, what is refused, and in which of STS's words."""

from __future__ import annotations

from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.aws.sts_form import (
    ASSUME_ROLE,
    CALLER,
    WEB_IDENTITY,
    StsCall,
    caller_reply,
    error_reply,
    read_call,
    role_parts,
    session_reply,
    sts_error,
)
from proxy.model import Credentials
from proxy.refusal import ANSWERS, Forbidden, Reason, Unreadable

ROLE = "arn:aws:iam::111122223333:role/team/ddb-orders"
WEB = {
    "Action": WEB_IDENTITY,
    "Version": "2011-06-15",
    "RoleArn": ROLE,
    "RoleSessionName": "botocore-session-1795328839",
    "WebIdentityToken": "eyJ.eyJ.sig",
}
ASSUME = {"Action": ASSUME_ROLE, "Version": "2011-06-15", "RoleArn": ROLE, "RoleSessionName": "airflow_aws_default"}
NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"
MADE = Credentials("DDBPX", "s&<cret", "ddbproxy1-AA", 1_800_000_000.0)


def read(fields: dict[str, str]) -> StsCall:
    """A form, read; a session may last an hour."""
    return read_call(urlencode(fields).encode(), 3600)


def test_what_sdks_send_is_read() -> None:
    """Each of the three calls, with and without the life that is asked for; no token is shown."""
    assert read(WEB) == StsCall(WEB_IDENTITY, ROLE, "botocore-session-1795328839", b"eyJ.eyJ.sig")
    assert read(ASSUME | {"DurationSeconds": "900", "ExternalId": "x"}).seconds == 900
    assert read({"Action": CALLER, "Version": "2011-06-15"}) == StsCall(CALLER)
    assert repr(read(WEB)) == "StsCall(AssumeRoleWithWebIdentity)"


@pytest.mark.parametrize(
    ("fields", "reason", "says"),
    [
        ({}, Reason.UNKNOWN_OPERATION, "of STS the gateway serves"),
        ({"Version": "2011-06-15"}, Reason.UNKNOWN_OPERATION, "of STS the gateway serves"),
        ({"Action": CALLER}, Reason.UNKNOWN_OPERATION, "2011-06-15"),
        ({"Action": "GetFederationToken", "Version": "2011-06-15"}, Reason.UNKNOWN_OPERATION, "send other calls to AWS"),
        (WEB | {"Policy": "{}"}, Reason.STS_REQUEST, "`Policy` is not served with AssumeRoleWithWebIdentity"),
        (ASSUME | {"Tags.member.1.Key": "a"}, Reason.STS_REQUEST, "`Tags.member.1.Key` is not served"),
        (ASSUME | {"ü`\n": "a"}, Reason.STS_REQUEST, "a parameter is not served"),
        (ASSUME | {"WebIdentityToken": "a"}, Reason.STS_REQUEST, "`WebIdentityToken` is not served with AssumeRole"),
        (WEB | {"RoleArn": ""}, Reason.STS_REQUEST, "`RoleArn` must be 1 to 2048 characters"),
        (WEB | {"RoleArn": "a" * 2049}, Reason.STS_REQUEST, "`RoleArn`"),
        (WEB | {"RoleArn": "wJalrXUtnFEMI/K7MDENG"}, Reason.STS_REQUEST, "`RoleArn` must be the ARN of a role"),
        (WEB | {"RoleArn": f"{ROLE}\u2028forged"}, Reason.STS_REQUEST, "`RoleArn` must be the ARN of a role"),
        (WEB | {"RoleArn": f"{ROLE}\n"}, Reason.STS_REQUEST, "`RoleArn` must be the ARN of a role"),
        (WEB | {"WebIdentityToken": ""}, Reason.STS_REQUEST, "`WebIdentityToken`"),
        (WEB | {"RoleSessionName": "a"}, Reason.STS_REQUEST, "`RoleSessionName` must be 2 to 64"),
        (WEB | {"RoleSessionName": "a b"}, Reason.STS_REQUEST, "`RoleSessionName`"),
        (WEB | {"RoleSessionName": "ab\n"}, Reason.STS_REQUEST, "`RoleSessionName`"),
        (WEB | {"RoleSessionName": "</Arn>"}, Reason.STS_REQUEST, "`RoleSessionName`"),
        *(
            (WEB | {"DurationSeconds": text}, Reason.STS_REQUEST, "between 900 and 3600")
            for text in ("899", "3601", "-1", "", "1e3", "0900", "99999999999999999999", "٩٠٠")
        ),
    ],
)
def test_what_is_not_served_is_refused(fields: dict[str, str], reason: Reason, says: str) -> None:
    """A parameter that narrows a session must not be passed over."""
    with pytest.raises(Unreadable) as caught:
        read(fields)
    assert (caught.value.reason, says in caught.value.message) == (reason, True)


@pytest.mark.parametrize("body", [b"\xff", b"Action", b"{}", b"Action=%ff", b"&".join([b"a=b"] * 60)])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    """Bytes that are not text, no pairs, too many of them."""
    with pytest.raises(Unreadable) as caught:
        read_call(body, 3600)
    assert caught.value.reason is Reason.UNREADABLE_BODY


@pytest.mark.parametrize("body", [b'{"TableName": "orders"}', b' {"FilterExpression": "a = :v"}'])
def test_a_call_of_dynamodb_without_its_content_type_is_told_so(body: bytes) -> None:
    """Curl sends whatever it is given as a form."""
    with pytest.raises(Unreadable, match=r"send `Content-Type: application/x-amz-json-1\.0` with it") as caught:
        read_call(body, 3600)
    assert caught.value.reason is Reason.UNREADABLE_BODY


def test_a_parameter_that_comes_twice_is_refused() -> None:
    """Which of the two would count?"""
    with pytest.raises(Unreadable, match="sent twice"):
        read_call(urlencode([*ASSUME.items(), ("RoleArn", "other")]).encode(), 3600)


@given(st.binary(max_size=80))
def test_no_bytes_crash_the_reader(body: bytes) -> None:
    """The only way out is the typed refusal."""
    with pytest.raises(Unreadable):
        read_call(b"Action=x&" + body, 3600)


def test_an_answer_is_xml_whatever_it_holds() -> None:
    """Everything is escaped; the four members of credentials, and who it is."""
    reply = session_reply(read(WEB), MADE, "</Arn>&", "id-1")
    root = ET.fromstring(reply.body)  # noqa: S314 - our own
    found = {element.tag.removeprefix(NAMESPACE): element.text for element in root.iter()}
    assert (found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]) == ("DDBPX", "s&<cret", "ddbproxy1-AA")
    assert found["Expiration"] == "2027-01-15T08:00:00Z"
    assert found["Arn"] == "arn:aws:sts::111122223333:assumed-role/ddb-orders/botocore-session-1795328839"
    assert (found["SubjectFromWebIdentityToken"], found["RequestId"]) == ("</Arn>&", "id-1")
    assert "SubjectFromWebIdentityToken" not in session_reply(read(ASSUME), MADE, "x", "id").body.decode()


def test_who_is_told_without_a_role_too() -> None:
    """A session that may be of several roles has none."""
    assert role_parts(ROLE) == ("aws", "111122223333", "ddb-orders")
    assert role_parts("") == ("aws", "000000000000", "dynamodb-proxy")
    assert b"<Account>111122223333</Account>" in caller_reply(ROLE, "DDBPX", "id").body


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        (Reason.WRONG_AUDIENCE, 400, "InvalidIdentityToken"),
        (Reason.TOKEN_EXPIRED, 400, "ExpiredTokenException"),
        (Reason.KEYS_UNAVAILABLE, 400, "IDPCommunicationError"),
        (Reason.NOT_ENTITLED, 403, "AccessDenied"),
        (Reason.DAG_STOPPED, 403, "AccessDenied"),
        (Reason.SESSION_EXPIRED, 403, "ExpiredToken"),
        (Reason.STS_REQUEST, 400, "ValidationError"),
        (Reason.OVERLOADED, 400, "Throttling"),
        (Reason.AUDIT_UNAVAILABLE, 503, "ServiceUnavailable"),
        (Reason.TOO_LARGE, 400, "MalformedInput"),
        (Reason.INTERNAL_ERROR, 500, "InternalFailure"),
    ],
)
def test_a_refusal_has_the_code_that_sts_gives(reason: Reason, status: int, code: str) -> None:
    """SDKs decide by it whether to try again."""
    assert sts_error(reason) == (status, code)
    reply = error_reply(Forbidden(reason, ""), "<why>", "id-1")
    root = ET.fromstring(reply.body)  # noqa: S314 - our own
    found = {element.tag.removeprefix(NAMESPACE): element.text for element in root.iter()}
    assert (reply.status, found["Code"], found["Message"]) == (status, code, "<why>")
    assert found["Type"] == ("Receiver" if status >= 500 else "Sender")


def test_every_reason_has_a_code() -> None:
    """None is answered in DynamoDB's words."""
    for reason in ANSWERS:
        status, code = sts_error(reason)
        assert status in (400, 403, 500, 503)
        assert code.isalpha()
