"""The border to STS: AssumeRole through aioboto3, every foreign error translated to a refusal that says what to mend.

Base credentials come from botocore's ordinary chain (IRSA, Pod Identity, instance role, environment, files). The gateway's own
clients ignore `AWS_ENDPOINT_URL*` and proxy settings of the environment: in a pod of Airflow these may point at the gateway.
The import and the loading of service models take a third of a second, so they happen at first use and in a thread.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from proxy.model import Credentials
from proxy.refusal import Forbidden, Reason, Refusal, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.model import Principal

_TIMEOUT = 5  # seconds to connect, and to read
_ATTEMPTS = 2
_CONNECTIONS = 25

_HOW_TO_GIVE = (
    "give the gateway's pod a service account role (IRSA or Pod Identity), an instance role, or AWS_ACCESS_KEY_ID and its kin"
)
_NOT_HAD = "the gateway's own AWS credentials cannot be had"
_CALLS = frozenset({"AssumeRole", "GetCallerIdentity"})  # ours; others are of the way to the base credentials
_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
_UNFIT = frozenset(
    {"ValidationError", "ValidationException", "MalformedPolicyDocument", "PackedPolicyTooLarge", "InvalidParameterValue"}
)
_UNREADABLE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_BASE_ENDED = frozenset({"ExpiredToken", "ExpiredTokenException"})
_CLOCK = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
_BASE_REFUSED = frozenset(
    {
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "UnrecognizedClientException",
    }
)


class CallerIdentity(NamedTuple):
    """Who the gateway itself is to AWS."""

    account: str
    arn: str
    user_id: str


class _Link:
    """One open client, closed when it is retired and its last user has left."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.client: Any = None
        self.users = 0
        self.is_retired = False


class StsClient:
    """AssumeRole and GetCallerIdentity at the Region's endpoint, or at `endpoint_url` (tests, VPC endpoints).

    `duration` of a session is in seconds (900 to 43,200; above 3,600 fails where the gateway's own identity is an assumed role).
    With `tags` the DAG's id travels as session tag `dag`, and the role's trust policy must allow sts:TagSession.
    """

    def __init__(self, region: str, endpoint_url: str = "", *, duration: int = 900, tags: bool = False) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._where = f"STS at {endpoint_url}" if endpoint_url else f"STS in {region}"
        self._duration = duration
        self._tags = tags
        self._link: _Link | None = None
        self._opening = asyncio.Lock()

    async def assume(self, principal: Principal) -> Credentials:
        """One AssumeRole. Raises Forbidden (the role may not be assumed) or Unavailable (anything else)."""
        call: dict[str, Any] = {
            "RoleArn": principal.role_arn,
            "RoleSessionName": principal.session_name,
            "DurationSeconds": self._duration,
        }
        if self._tags:
            call["Tags"] = [{"Key": "dag", "Value": principal.dag_id}]
        answer = await self._call("assume_role", call, principal)
        try:
            given = answer["Credentials"]
            return Credentials(
                access_key_id=given["AccessKeyId"],
                secret_access_key=given["SecretAccessKey"],
                session_token=given["SessionToken"],
                expires_at=given["Expiration"].timestamp(),
            )
        except (KeyError, AttributeError):
            raise _unavailable(f"{self._where} gave an answer without credentials; look at its endpoint") from None

    async def caller_identity(self) -> CallerIdentity:
        """Who the base credentials belong to; needs no permission. Raises Unavailable."""
        answer = await self._call("get_caller_identity", {}, None)
        return CallerIdentity(answer["Account"], answer["Arn"], answer["UserId"])

    async def close(self) -> None:
        """Close the client; calls that are under way finish first."""
        if self._link is not None:
            await self._retire(self._link)

    # ------------------------------------------------------------------------------------------------ the client

    async def _call(self, method: str, arguments: dict[str, Any], principal: Principal | None) -> Any:
        link = None
        try:
            link = await self._join()  # which reads the AWS settings, and asks for the base credentials of some sources
            return await getattr(link.client, method)(**arguments)
        except Exception as error:
            refusal, is_base = _translated(error, principal, self._where)
            if refusal is None:
                raise
            if is_base and link is not None:  # the next call looks for base credentials afresh, so that mended ones are found
                await self._retire(link)
            raise refusal from None
        finally:
            if link is not None:
                await self._leave(link)

    async def _join(self) -> _Link:
        """The open client, with one user more."""
        async with self._opening:
            if self._link is None:
                self._link = await self._open()
            self._link.users += 1
            return self._link

    async def _open(self) -> _Link:
        link = _Link(await asyncio.to_thread(self._prepare))
        link.client = await link.context.__aenter__()
        return link

    def _prepare(self) -> Any:
        """Everything that reads files or imports, off the event loop. Returns aioboto3's context of a client."""
        import aioboto3
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession

        core = AioSession()
        core.set_config_variable("ignore_configured_endpoint_urls", True)  # also for clients that the credential chain makes
        loader = core.get_component("data_loader")
        for name in ("endpoints", "partitions", "sdk-default-configuration", "_retry"):
            loader.load_data(name)
        for kind in ("service-2", "endpoint-rule-set-1"):
            loader.load_service_model("sts", kind)
        config = AioConfig(
            connect_timeout=_TIMEOUT,
            read_timeout=_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=_CONNECTIONS,
            ignore_configured_endpoint_urls=True,
            proxies={},
        )
        session = aioboto3.Session(botocore_session=core, region_name=self._region)
        return session.client("sts", endpoint_url=self._endpoint_url or None, config=config)

    async def _leave(self, link: _Link) -> None:
        link.users -= 1
        if link.is_retired and not link.users:
            await link.context.__aexit__(None, None, None)

    async def _retire(self, link: _Link) -> None:
        if self._link is link:
            self._link = None
        was_retired, link.is_retired = link.is_retired, True
        if not was_retired and not link.users:
            await link.context.__aexit__(None, None, None)


# ------------------------------------------------------------------------------------------- the border of errors


def _translated(error: Exception, principal: Principal | None, where: str) -> tuple[Refusal | None, bool]:
    """The refusal for an error of botocore (None for any other), and whether the base credentials are at fault."""
    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    if isinstance(error, aws.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if error.operation_name not in _CALLS:
            call = f"AWS answered {code} to their {error.operation_name}"
            return _unavailable(f"{_NOT_HAD}: {call}; look at the trust policy of the gateway's own role, and at its token"), True
        return _of_code(code, principal, where), code in _BASE_ENDED | _BASE_REFUSED
    if isinstance(error, aws.ParamValidationError):
        return _unfit(principal, "its parameters are out of range"), False
    if isinstance(error, (aws.ReadTimeoutError, aws.ConnectTimeoutError)):
        return _unavailable(f"{where} did not answer in {_TIMEOUT} s; look at its endpoint and the network policy"), False
    if isinstance(error, (ResponseParserError, KeyError)):  # its parser gives the latter for XML that is not of STS
        return _unavailable(f"{where} does not answer as STS does; look at its endpoint"), False
    cause = _cause_in_base(error)
    if cause:
        return _unavailable(cause), True
    if isinstance(error, (aws.BotoCoreError, OSError)):
        return _unavailable(f"{where} cannot be reached; look at its endpoint and the network policy"), False
    return None, False


def _cause_in_base(error: Exception) -> str:
    """What is wrong with the gateway's own credentials, or with a file or setting that they come from; "" for any other error."""
    from botocore import exceptions as aws

    if isinstance(error, aws.NoCredentialsError):
        return f"the gateway has no AWS credentials of its own; {_HOW_TO_GIVE}"
    if isinstance(error, aws.CredentialRetrievalError):  # its words are not told: they quote what a program or endpoint said
        return f"{_NOT_HAD}: their source {error.kwargs.get('provider')} fails; try it by hand, as the gateway's user"
    if isinstance(error, _UNREADABLE):  # by uvloop without its name, where it is a program
        name = error.filename or "the program of `credential_process`"
        return f"{_NOT_HAD}: {name} cannot be opened: {error.strerror}; mend what names it, or its mount and mode"
    reason = error.kwargs.get("error") if isinstance(error, aws.HTTPClientError) else None
    if isinstance(reason, (*_UNREADABLE, ssl.SSLError)):  # a connection that fails is told by other errors
        return f"the gateway's AWS_CA_BUNDLE (or `ca_bundle` of its AWS config) cannot be read: {reason.strerror}; mend it"
    is_of_network = isinstance(error, (aws.ConnectionError, aws.HTTPClientError))
    if not is_of_network and isinstance(error, (aws.BotoCoreError, ValueError)):
        # the words of others quote what a program or endpoint said
        words = " ".join(str(error).split()).rstrip(".") if isinstance(error, aws.BotoCoreError) else "a value is malformed"
        return f"the gateway's own AWS settings cannot be used: {words}; mend its AWS variables, AWS config, or what these name"
    return ""


def _of_code(code: str, principal: Principal | None, where: str) -> Refusal:
    if code in _DENIED and principal is not None:
        return Forbidden(
            Reason.ROLE_NOT_ASSUMABLE,
            f"the gateway may not assume role '{principal.role_arn}' for dag '{principal.dag_id}' (STS: {code}): "
            "let its trust policy name the gateway's principal, and the gateway's own policy allow sts:AssumeRole on it",
        )
    if code in _UNFIT:
        return _unfit(principal, f"STS: {code}")
    if code in _BASE_ENDED:
        return _unavailable(
            f"the gateway's own AWS credentials have expired (STS: {code}); renew them or use a source that does so itself"
        )
    if code in _CLOCK:
        return _unavailable(f"STS refused the time of the call ({code}); set the gateway's clock")
    if code in _BASE_REFUSED:
        return _unavailable(f"STS refused the gateway's own AWS credentials ({code}); {_HOW_TO_GIVE}")
    if code == "RegionDisabledException":
        return _unavailable(f"{where} is not activated for this account ({code}); activate it in the account settings of IAM")
    return _unavailable(f"{where} answered {code or 'an error without a code'}; it is tried again by itself")


def _unfit(principal: Principal | None, cause: str) -> Refusal:
    if principal is None:
        return _unavailable(f"STS did not understand the call ({cause})")
    return Forbidden(
        Reason.ROLE_NOT_ASSUMABLE,
        f"STS did not accept the call for role '{principal.role_arn}' and dag '{principal.dag_id}' ({cause}): "
        "look at the role's ARN, its maximum session duration and the session's tags",
    )


def _unavailable(message: str) -> Unavailable:
    return Unavailable(Reason.CREDENTIALS_UNAVAILABLE, message)


# -------------------------------------------------------------------------------------------------- decision 17


def variable_pointing_at(environment: Mapping[str, str], host: str, port: int) -> str:
    """The name of a variable by which the gateway's own credentials would be asked from `host:port`, itself; else "".

    Wildcards and all loopback names count as one place. Names are compared, not resolved.
    """
    for name in sorted(environment):
        if name in {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "AWS_ENDPOINT_URL",
        } or name.startswith("AWS_ENDPOINT_URL_"):
            try:
                url = urlsplit(environment[name].strip())
                at = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
            except ValueError:
                continue  # not an address; botocore will say so
            if at == port and _place(url.hostname or "") == _place(host):
                return name
    return ""


def _place(host: str) -> str:
    host = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "here" if host == "localhost" or host.endswith(".localhost") else host
    mapped = getattr(address, "ipv4_mapped", None) or address
    return "here" if mapped.is_loopback or mapped.is_unspecified else str(mapped)
