"""The three STS calls that the gateway answers itself, as AWS's query protocol has them: a form in, XML out.

What a form asks for and the gateway does not serve is refused, never passed over: a session policy that was ignored would be a
wider session than was asked for. Everything that is written into XML is escaped.
Source: AWS STS API Reference, version 2011-06-15, with "Common Errors" and the errors of each action.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from proxy.model import Reply
from proxy.refusal import ANSWERS, Reason, Unreadable

if TYPE_CHECKING:
    from proxy.model import Credentials
    from proxy.refusal import Refusal

WEB_IDENTITY, ASSUME_ROLE, CALLER = "AssumeRoleWithWebIdentity", "AssumeRole", "GetCallerIdentity"
_VERSION = "2011-06-15"
_NAMESPACE = f"https://sts.amazonaws.com/doc/{_VERSION}/"
_ASKED = {"RoleArn", "RoleSessionName", "DurationSeconds"}
# ExternalId keeps a third party from being misused, which nobody is here; it changes nothing about the session.
PARAMETERS = {
    WEB_IDENTITY: _ASKED | {"WebIdentityToken"},
    ASSUME_ROLE: _ASKED | {"ExternalId"},
    CALLER: frozenset[str](),
}
_MOST_FIELDS = 50
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_PARAMETER = re.compile(r"[A-Za-z0-9.]{1,64}")
_DURATION = re.compile(r"[1-9][0-9]{2,4}", re.ASCII)
_ROLE = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):role/(?:.*/)?([^/]+)")
_ROLE_SHAPED = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{1,12}:role/[!-~]+")  # it comes into the audit, so it is no other text
SHORTEST = 900  # seconds of a session


class StsCall(NamedTuple):
    """One call, read. `seconds` is None where none were asked for."""

    action: str
    role_arn: str = ""
    session_name: str = ""
    token: bytes = b""
    seconds: int | None = None

    def __repr__(self) -> str:
        return f"StsCall({self.action})"


def read_call(body: bytes, longest: float) -> StsCall:
    """The call that a form asks for; a session may live for `longest` seconds at most.

    Raises Unreadable: UNREADABLE_BODY (no form), UNKNOWN_OPERATION (another action), STS_REQUEST (its parameters).
    """
    fields = _fields(body)
    action = fields.pop("Action", "")
    if action not in PARAMETERS or fields.pop("Version", "") != _VERSION:
        raise Unreadable(
            Reason.UNKNOWN_OPERATION,
            f"of STS the gateway serves {', '.join(PARAMETERS)} of version {_VERSION}; send other calls to AWS",
        )
    for name in fields:
        if name not in PARAMETERS[action]:
            shown = f"`{name}`" if _PARAMETER.fullmatch(name) else "a parameter"
            raise _wrong(f"{shown} is not served with {action}; leave it out, the gateway's policies bound each session")
    if action == CALLER:
        return StsCall(action)
    return StsCall(
        action=action,
        role_arn=_role_arn(fields),
        session_name=_session_name(fields),
        token=_needed(fields, "WebIdentityToken", 20000).encode() if action == WEB_IDENTITY else b"",
        seconds=_seconds(fields, longest),
    )


def _fields(body: bytes) -> dict[str, str]:
    if body.lstrip().startswith(b"{"):
        raise Unreadable(
            Reason.UNREADABLE_BODY,
            "the body is JSON, and came as a form, as calls of STS do; send `Content-Type: application/x-amz-json-1.0` with it",
        )
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise Unreadable(Reason.UNREADABLE_BODY, "the body is no form of an STS call; send one with an AWS SDK") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _wrong("a parameter was sent twice; send each once")
    return fields


def _needed(fields: dict[str, str], name: str, most: int) -> str:
    value = fields.get(name, "")
    if not 0 < len(value) <= most:
        raise _wrong(f"`{name}` must be 1 to {most} characters long")
    return value


def _role_arn(fields: dict[str, str]) -> str:
    role_arn = _needed(fields, "RoleArn", 2048)
    if not _ROLE_SHAPED.fullmatch(role_arn):
        raise _wrong("`RoleArn` must be the ARN of a role, as `arn:aws:iam::111122223333:role/name`")
    return role_arn


def _session_name(fields: dict[str, str]) -> str:
    name = fields.get("RoleSessionName", "")
    if not _SESSION_NAME.fullmatch(name):
        raise _wrong("`RoleSessionName` must be 2 to 64 letters, digits or of _+=,.@-")
    return name


def _seconds(fields: dict[str, str], longest: float) -> int | None:
    text = fields.get("DurationSeconds")
    if text is None:
        return None
    if not _DURATION.fullmatch(text) or not SHORTEST <= int(text) <= longest:
        raise _wrong(f"`DurationSeconds` must lie between {SHORTEST} and {longest:.0f} (the gateway's `sessions.seconds`)")
    return int(text)


def _wrong(what: str) -> Unreadable:
    return Unreadable(Reason.STS_REQUEST, what)


# ---------------------------------------------------------------------------------------------- answers


def role_parts(role_arn: str) -> tuple[str, str, str]:
    """Partition, account and name of a role; stand-ins where there is none."""
    found = _ROLE.fullmatch(role_arn)
    return (found[1], found[2], found[3]) if found else ("aws", "000000000000", "dynamodb-proxy")


def expiration(credentials: Credentials) -> str:
    """When the credentials end, as AWS writes it."""
    return datetime.fromtimestamp(credentials.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def session_reply(call: StsCall, credentials: Credentials, subject: str, request_id: str) -> Reply:
    """The answer to AssumeRole and AssumeRoleWithWebIdentity."""
    partition, account, role = role_parts(call.role_arn)
    given = _elements(
        AccessKeyId=credentials.access_key_id,
        SecretAccessKey=credentials.secret_access_key,
        SessionToken=credentials.session_token,
        Expiration=expiration(credentials),
    )
    user = _elements(
        Arn=f"arn:{partition}:sts::{account}:assumed-role/{role}/{call.session_name}",
        AssumedRoleId=f"{credentials.access_key_id}:{call.session_name}",
    )
    told = _elements(SubjectFromWebIdentityToken=subject) if call.action == WEB_IDENTITY else ""
    result = f"<Credentials>{given}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>{told}"
    return _reply(call.action, result, request_id)


def caller_reply(role_arn: str, session_id: str, request_id: str) -> Reply:
    """The answer to GetCallerIdentity."""
    partition, account, role = role_parts(role_arn)
    arn = f"arn:{partition}:sts::{account}:assumed-role/{role}/{session_id}"
    return _reply(CALLER, _elements(Arn=arn, UserId=f"{session_id}:{session_id}", Account=account), request_id)


def _reply(action: str, result: str, request_id: str) -> Reply:
    metadata = f"<ResponseMetadata>{_elements(RequestId=request_id)}</ResponseMetadata>"
    body = f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{result}</{action}Result>{metadata}</{action}Response>'
    return _xml(200, body, request_id)


def error_reply(refusal: Refusal, message: str, request_id: str) -> Reply:
    """A refusal as STS would say it."""
    status, code = sts_error(refusal.reason)
    said = _elements(Type="Receiver" if status >= 500 else "Sender", Code=code, Message=message)
    body = f'<ErrorResponse xmlns="{_NAMESPACE}"><Error>{said}</Error>{_elements(RequestId=request_id)}</ErrorResponse>'
    return _xml(status, body, request_id, (b"x-ddb-proxy-reason", refusal.reason.encode()))


def _xml(status: int, body: str, request_id: str, *more: tuple[bytes, bytes]) -> Reply:
    headers = ((b"content-type", b"text/xml"), (b"cache-control", b"no-store"), (b"x-amzn-requestid", request_id.encode()), *more)
    return Reply(status, headers, body.encode())


def _elements(**values: str) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())


# What an SDK is to make of it: a token that is no good is not tried again, keys that cannot be had are.
_TOKEN = (400, "InvalidIdentityToken")
_ERRORS = {
    Reason.TOKEN_MALFORMED: _TOKEN,
    Reason.TOKEN_NEWLINE: _TOKEN,
    Reason.TOKEN_CLAIMS: _TOKEN,
    Reason.TOKEN_NOT_YET_VALID: _TOKEN,
    Reason.WRONG_AUDIENCE: _TOKEN,
    Reason.UNKNOWN_ISSUER: _TOKEN,
    Reason.UNKNOWN_KEY: _TOKEN,
    Reason.BAD_SIGNATURE: _TOKEN,
    Reason.TOKEN_EXPIRED: (400, "ExpiredTokenException"),
    Reason.KEYS_UNAVAILABLE: (400, "IDPCommunicationError"),
    Reason.NO_TOKEN: (403, "MissingAuthenticationToken"),
    Reason.SEVERAL_TOKENS: (403, "InvalidClientTokenId"),
    Reason.AWS_KEYS: (403, "InvalidClientTokenId"),
    Reason.SESSION_INVALID: (403, "InvalidClientTokenId"),
    Reason.SESSION_EXPIRED: (403, "ExpiredToken"),
    Reason.SIGNATURE_INCOMPLETE: (400, "IncompleteSignature"),
    Reason.SIGNATURE_EXPIRED: (403, "SignatureDoesNotMatch"),
    Reason.SIGNATURE_MISMATCH: (403, "SignatureDoesNotMatch"),
    Reason.UNKNOWN_OPERATION: (400, "InvalidAction"),
    Reason.UNSUPPORTED_ROUTE: (400, "InvalidAction"),
    Reason.UNREADABLE_BODY: (400, "MalformedInput"),
    Reason.STS_REQUEST: (400, "ValidationError"),
    Reason.OVERLOADED: (400, "Throttling"),
    Reason.INTERNAL_ERROR: (500, "InternalFailure"),
}


def sts_error(reason: Reason) -> tuple[int, str]:
    """Status and code of a refusal; what has none of its own here is denied, or is away."""
    status, error, _ = ANSWERS[reason]
    if reason in _ERRORS:
        return _ERRORS[reason]
    if status >= 500:
        return 503, "ServiceUnavailable"
    return (403, "AccessDenied") if error.endswith("AccessDeniedException") else (400, "MalformedInput")
