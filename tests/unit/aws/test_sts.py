"""AssumeRole through the real aioboto3, against a small server that speaks STS's XML."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from botocore.exceptions import ClientError

from proxy.aws.credentials import RoleCredentials
from proxy.aws.sts import StsClient, _translated, variable_pointing_at
from proxy.model import Principal
from proxy.refusal import Forbidden, Reason, Refusal, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROLE = "arn:aws:iam::123456789012:role/etl"
BASE = {"AWS_ACCESS_KEY_ID": "AKIDBASE", "AWS_SECRET_ACCESS_KEY": "base"}
WHO = Principal(ROLE, "dag-etl", "us-east-1", "etl.daily")
ENDS = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=900)

SESSION = f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>hidden</SecretAccessKey><SessionToken>session</SessionToken>
<Expiration>{ENDS:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
CALLER = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::1:assumed-role/gw/i</Arn><UserId>AROA:i</UserId><Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""


class StsServer:
    """Answers what it is told to, and keeps the calls."""

    def __init__(self) -> None:
        self.status, self.error, self.body = 200, "", ""
        self.calls: list[dict[str, str]] = []
        self.signers: list[str] = []
        self.url = ""

    def fail(self, status: int, error: str) -> None:
        """Answer with this error from now on; status 200 ends it."""
        self.status, self.error = status, error

    def _answer(self, call: dict[str, str]) -> str:
        if self.error:
            return (
                f"<ErrorResponse><Error><Type>Sender</Type><Code>{self.error}</Code><Message>m</Message></Error></ErrorResponse>"
            )
        return self.body or (SESSION if call["Action"] == "AssumeRole" else CALLER)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"(?i)content-length: (\d+)", head)
                form = (await reader.readexactly(int(length[1]))).decode() if length else ""
                call = {name: values[0] for name, values in parse_qs(form).items()}
                self.calls.append(call)
                self.signers.append(re.findall(r"Credential=(\w+)/", head)[0])
                body = self._answer(call).encode()
                writer.write(
                    b"HTTP/1.1 %d X\r\ncontent-type: text/xml\r\ncontent-length: %d\r\n\r\n%b" % (self.status, len(body), body)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[StsServer]:
        """Listen on a free port of loopback."""
        listener = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        async with listener:
            yield self


@asynccontextmanager
async def speaking(**options: bool) -> AsyncIterator[tuple[StsServer, StsClient]]:
    """A server and a client to it."""
    async with StsServer().listening() as server:
        client = StsClient("us-east-1", server.url, **options)
        try:
            yield server, client
        finally:
            await client.close()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Base credentials of the environment only, and traps: proxies and endpoints that lead nowhere."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        **BASE,
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)


async def test_assume_role_asks_for_what_the_principal_says() -> None:
    """Role, session name and duration go out, credentials with their end come back; the environment's traps are ignored."""
    async with speaking() as (server, client):
        given = await client.assume(WHO)
        assert (given.access_key_id, given.secret_access_key, given.session_token) == ("ASIA", "hidden", "session")
        assert given.expires_at == ENDS.timestamp()
        assert server.calls == [
            {
                "Action": "AssumeRole",
                "Version": "2011-06-15",
                "RoleArn": ROLE,
                "RoleSessionName": "dag-etl",
                "DurationSeconds": "900",
            }
        ]
        assert server.signers == ["AKIDBASE"]


async def test_session_tags_carry_the_dag_when_asked_for() -> None:
    """With `tags` the DAG's id is a session tag."""
    async with speaking(tags=True) as (server, client):
        await client.assume(WHO)
        assert server.calls[0]["Tags.member.1.Key"] == "dag"
        assert server.calls[0]["Tags.member.1.Value"] == "etl.daily"


async def test_caller_identity_names_the_gateway() -> None:
    """For the doctor: who the base credentials are."""
    async with speaking() as (_, client):
        assert await client.caller_identity() == ("1", "arn:aws:sts::1:assumed-role/gw/i", "AROA:i")


async def test_without_an_endpoint_the_regional_one_is_used() -> None:
    """Neither the environment's endpoint nor the global one."""
    client = StsClient("eu-central-1")
    link = await client._join()  # the address is visible nowhere else without a network
    assert link.client.meta.endpoint_url == "https://sts.eu-central-1.amazonaws.com"
    link.users -= 1
    await client.close()


ERRORS = [
    (
        403,
        "AccessDenied",
        Reason.ROLE_NOT_ASSUMABLE,
        f"may not assume role '{ROLE}' for dag 'etl.daily'.*AccessDenied.*trust policy",
        1,
    ),
    (400, "ValidationError", Reason.ROLE_NOT_ASSUMABLE, "did not accept the call.*ValidationError.*maximum session duration", 1),
    (400, "PackedPolicyTooLarge", Reason.ROLE_NOT_ASSUMABLE, "PackedPolicyTooLarge", 1),
    (403, "ExpiredToken", Reason.CREDENTIALS_UNAVAILABLE, "own AWS credentials have expired", 1),
    (
        403,
        "InvalidClientTokenId",
        Reason.CREDENTIALS_UNAVAILABLE,
        "refused the gateway's own AWS credentials.*give the gateway",
        1,
    ),
    (403, "SignatureDoesNotMatch", Reason.CREDENTIALS_UNAVAILABLE, "refused the gateway's own AWS credentials", 1),
    (400, "RequestExpired", Reason.CREDENTIALS_UNAVAILABLE, "clock", 1),
    (403, "RegionDisabledException", Reason.CREDENTIALS_UNAVAILABLE, "not activated", 1),
    (400, "Throttling", Reason.CREDENTIALS_UNAVAILABLE, "answered Throttling", 2),
    (503, "ServiceUnavailable", Reason.CREDENTIALS_UNAVAILABLE, "answered ServiceUnavailable", 2),
    (500, "InternalFailure", Reason.CREDENTIALS_UNAVAILABLE, "answered InternalFailure", 2),
]


@pytest.mark.parametrize(("status", "error", "reason", "message", "calls"), ERRORS, ids=[row[1] for row in ERRORS])
async def test_errors_become_refusals_that_say_what_to_mend(
    status: int, error: str, reason: Reason, message: str, calls: int
) -> None:
    """A broken trust is Forbidden, everything else Unavailable; only what may pass is tried again, once."""
    async with speaking() as (server, client):
        server.fail(status, error)
        with pytest.raises(Refusal, match=message) as caught:
            await client.assume(WHO)
        assert caught.value.reason is reason
        assert isinstance(caught.value, Forbidden if reason is Reason.ROLE_NOT_ASSUMABLE else Unavailable)
        assert len(server.calls) == calls
        server.fail(200, "")
        assert await client.assume(WHO)


async def test_access_denied_without_a_role_is_unavailable() -> None:
    """The doctor's call names no role."""
    async with speaking() as (server, client):
        for error in ("AccessDenied", "ValidationError"):
            server.fail(403, error)
            with pytest.raises(Unavailable, match=error):
                await client.caller_identity()


async def test_parameters_that_botocore_refuses_are_the_roles_fault() -> None:
    """An ARN that is too short never leaves, and is told like a refusal of STS."""
    async with speaking() as (server, client):
        with pytest.raises(Forbidden, match=r"out of range.*look at the role's ARN"):
            await client.assume(Principal("x", "s", "us-east-1", "d"))
        assert server.calls == []


@pytest.mark.parametrize("body", ["<html>login</html>", "not xml", SESSION.replace("Credentials", "Nothing")])
async def test_an_answer_that_is_not_of_sts_is_unavailable(body: str) -> None:
    """A captive portal is not a defect of the gateway."""
    async with speaking() as (server, client):
        server.body = body
        with pytest.raises(Unavailable, match="look at its endpoint"):
            await client.assume(WHO)


async def test_no_sts_at_all_is_unavailable() -> None:
    """Refused connections are told with the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = StsClient("us-east-1", f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port} cannot be reached"):
        await client.assume(WHO)
    await client.close()


async def test_missing_base_credentials_are_told_and_found_when_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """No restart is needed after the credentials were put in their place."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with speaking() as (server, client):
        with pytest.raises(Unavailable, match="no AWS credentials of its own; give the gateway's pod") as caught:
            await client.assume(WHO)
        assert caught.value.reason is Reason.CREDENTIALS_UNAVAILABLE
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDLATER")
        await client.assume(WHO)
        assert server.signers == ["AKIDLATER"]


ROLE_FOR = "[default]\nrole_arn = arn:aws:iam::1:role/x\n"
# variables, the AWS config file, and what is said of them
OWN_MISTAKES: list[tuple[dict[str, str], str, str]] = [
    ({"AWS_PROFILE": "nosuch"}, "", r"AWS settings cannot be used: The config profile \(nosuch\) could not be found; mend"),
    ({"AWS_ACCESS_KEY_ID": "AKID"}, "", "Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY; mend"),
    ({}, "no section\n", "Unable to parse config file: .*/config; mend its AWS variables, AWS config"),
    ({}, ROLE_FOR + "source_profile = nope\n", 'source_profile "nope" referenced in the profile "default" does not exist; mend'),
    ({}, "[default]\ncredential_process = /bin/false\n", "had: their source custom-process fails; try it by hand"),
    ({}, "[default]\ncredential_process = /no/such\n", "had: the program of `credential_process` cannot be opened: No such file"),
    ({}, "[default]\ncredential_process = /bin/echo none\n", "settings cannot be used: a value is malformed"),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such", "AWS_ROLE_ARN": ROLE}, "", "had: /no/such cannot be opened: No such file"),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/", "AWS_ROLE_ARN": ROLE}, "", "had: / cannot be opened: Is a directory"),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such"}, "", "has no role ARN configured"),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9"}, "", "had: their source container-role fails"),
    ({"AWS_DEFAULTS_MODE": "nosuch"}, "", "invalid defaults mode: nosuch"),
    ({**BASE, "AWS_CA_BUNDLE": "/no/such"}, "", "AWS_CA_BUNDLE .* cannot be read: No such file or directory; mend it"),
    ({**BASE, "AWS_CA_BUNDLE": "/dev/null"}, "", "AWS_CA_BUNDLE .* cannot be read: .*no certificate or crl found"),
]


@pytest.mark.parametrize(("variables", "config", "message"), OWN_MISTAKES)
async def test_mistakes_in_the_gateways_own_aws_settings_are_named(
    variables: dict[str, str], config: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a defect of the gateway nor a network that is away; what was mended meanwhile is found."""
    (tmp_path / "config").write_text(config)
    async with speaking() as (server, client):
        with monkeypatch.context() as mistaken:
            for name in BASE:
                mistaken.delenv(name)
            mistaken.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
            for name, value in variables.items():
                mistaken.setenv(name, value)
            for call in (partial(client.assume, WHO), client.caller_identity):
                with pytest.raises(Unavailable, match=message) as caught:
                    await call()
                assert caught.value.reason is Reason.CREDENTIALS_UNAVAILABLE
        assert server.calls == []
        assert await client.assume(WHO)


def test_a_base_role_that_is_refused_is_not_the_dags() -> None:
    """IRSA whose trust is broken fails every DAG, and for good if it were told as theirs. Its own STS client calls AWS alone."""
    error = ClientError({"Error": {"Code": "AccessDenied"}}, "AssumeRoleWithWebIdentity")
    refusal, is_base = _translated(error, WHO, "STS")
    assert (type(refusal), is_base) == (Unavailable, True)
    assert "had: AWS answered AccessDenied to their AssumeRoleWithWebIdentity; look at the trust policy" in str(refusal)


async def test_many_dags_fail_and_recover_together() -> None:
    """Refused base credentials under load: every caller gets its refusal, and all work afterwards over one client."""
    async with speaking() as (server, client):
        server.fail(403, "ExpiredToken")
        calls = (client.assume(Principal(ROLE, f"dag-{number}", "us-east-1", "d")) for number in range(30))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        server.fail(200, "")
        calls = (client.assume(Principal(ROLE, f"dag-{number}", "us-east-1", "d")) for number in range(30))
        assert len(await asyncio.gather(*calls)) == 30


async def test_the_cache_over_the_real_client() -> None:
    """The two parts fit: one call for many, the refusal passed through, close in order."""
    async with speaking() as (server, client):
        roles = RoleCredentials(client.assume)
        given = await asyncio.gather(*(roles.credentials_for(WHO) for _ in range(20)))
        assert len(server.calls) == 1
        assert roles.ready(WHO) == given[0]
        server.fail(403, "AccessDenied")
        with pytest.raises(Forbidden):
            await roles.credentials_for(Principal(ROLE, "dag-x", "us-east-1", "x"))
        await roles.close()


POINTING: list[tuple[dict[str, str], str, int, str]] = [
    ({}, "127.0.0.1", 8080, ""),
    (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost:8080/creds"},
        "127.0.0.1",
        8080,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost:8081/creds"}, "127.0.0.1", 8080, ""),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"}, "0.0.0.0", 8080, ""),  # noqa: S104 - nothing listens
    ({"AWS_ENDPOINT_URL": "http://127.0.0.2:8080"}, "0.0.0.0", 8080, "AWS_ENDPOINT_URL"),  # noqa: S104 - nothing listens
    ({"AWS_ENDPOINT_URL_STS": "http://[::1]:8080/"}, "localhost", 8080, "AWS_ENDPOINT_URL_STS"),
    ({"AWS_ENDPOINT_URL_DYNAMODB": "http://[::ffff:127.0.0.1]:8080/"}, "::", 8080, "AWS_ENDPOINT_URL_DYNAMODB"),
    ({"AWS_ENDPOINT_URL": "https://Gateway.svc."}, "gateway.svc", 443, "AWS_ENDPOINT_URL"),
    ({"AWS_ENDPOINT_URL": "http://other.svc:8080"}, "gateway.svc", 8080, ""),
    ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://10.0.0.1:8080"}, "10.0.0.1", 8080, "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
    ({"AWS_ENDPOINT_URL": "http://[bad:8080", "AWS_ENDPOINT_URL_S3": "nonsense", "OTHER_URL": "http://h:1"}, "h", 1, ""),
]


@pytest.mark.parametrize(("environment_of_pod", "host", "port", "variable"), POINTING)
def test_a_credential_chain_that_points_at_the_gateway_is_named(
    environment_of_pod: dict[str, str], host: str, port: int, variable: str
) -> None:
    """Decision 17: the gateway can tell that it would ask itself for credentials."""
    assert variable_pointing_at(environment_of_pod, host, port) == variable
