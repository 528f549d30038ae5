"""What a request's headers say about its origin: exactly one token, and unproven claims.

Three channels carry a token: `Authorization: Bearer`, `X-DAG-Token`, and `X-Amz-Security-Token`, which is where boto3 puts
`aws_session_token`. Two at once are refused, equal or not: an order of precedence would be an attack surface. A session of the
gateway's own comes in the last one only, with a signature that proves it; beside an issuer's token a signature proves nothing
and is ignored. The credentials route takes `Authorization` as it is, for that is how SDKs send a token file there.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from proxy.identity.text import MAX_NAME, is_name
from proxy.identity.token import MAX_TOKEN_BYTES
from proxy.model import Claimed
from proxy.refusal import Malformed, Reason, Unauthenticated

SESSION_PREFIX = b"ddbproxy1-"  # of tokens that the gateway mints: neither a JWT, which has dots, nor AWS's, which have no hyphen
_HOW = "give one in `Authorization: Bearer`, in `X-DAG-Token`, or to boto3 as `aws_session_token`"
_BEARER = "Authorization: Bearer"
_SECURITY_TOKEN = "X-Amz-Security-Token"  # noqa: S105 - a header's name
_OTHERS = frozenset({b"x-dag-token", b"x-amz-security-token"})
# Every header that `found_token` and `claimed_in` read: two requests that have the same here say the same of their origin.
WHO = (
    b"authorization",
    b"x-dag-token",
    b"x-amz-security-token",
    b"user-agent",
    b"x-airflow-dag-id",
    b"x-airflow-task-id",
    b"x-airflow-run-id",
    b"x-airflow-try-number",
    b"x-airflow-map-index",
)
# A session says it in these: its signature is another for each request, and looked at by itself.
WHO_SIGNS = tuple(name for name in WHO if name != b"authorization")
SIGNED = b"AWS4-HMAC-SHA256 "  # as `Authorization` begins that holds no token
_SIGNED_BY_AWS = (b"aws4-hmac-sha256", b"aws4-ecdsa-p256-sha256")
_JWT_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
_WHITE_SPACE = re.compile(rb"[\x00-\x20\x7f]|\\[nrt]|%0[9ad]|%20", re.IGNORECASE)
_KEY_PREFIX = re.compile(rb"Credential=(AKIA|ASIA)")
_DAG_RUN_KEY = re.compile(rb"(?<!\S)DagRunKey/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?!\S)")
_NO_DAG = "00000000-0000-0000-0000-000000000000"
_REMEMBERED_BYTES = 1024  # of a User-Agent whose claims are remembered; other headers are bounded by what a name may be
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def token_in(headers: dict[bytes, bytes]) -> bytes:
    """The one token of a request (header names in lower case). Raises Unauthenticated; no message ever shows the token."""
    return admissible(*found_token(headers))


def found_token(headers: dict[bytes, bytes]) -> tuple[str, bytes]:
    """Where the one token of a request stands, and the token as it came: unless it is known, `admissible` must see it.

    To look at each of its bytes costs as much as its digest, which says that the very same ones were looked at before.
    Raises Unauthenticated.
    """
    authorization = headers.get(b"authorization")
    if authorization is not None and authorization[:7] == b"Bearer " and _OTHERS.isdisjoint(headers):  # as most come
        return _BEARER, authorization[7:].lstrip(b" ")
    channels = [] if authorization is None else _bearer(authorization)
    channels += _plain(headers, b"x-dag-token", "X-DAG-Token")
    session = headers.get(b"x-amz-security-token")
    if (
        session and b"." not in session and not session.startswith(SESSION_PREFIX)
    ):  # a JWT has dots, a session token of AWS is plain base64
        raise _aws_keys(authorization or b"", "this request is signed with the session token of real AWS keys")
    channels += _plain(headers, b"x-amz-security-token", _SECURITY_TOKEN)
    if len(channels) > 1:
        names = " and ".join(f"`{name}`" for name, _ in channels)
        raise Unauthenticated(Reason.SEVERAL_TOKENS, f"tokens came in {names}; send exactly one")
    if not channels:
        if authorization is not None:
            raise _aws_keys(authorization, "this request is signed with AWS keys")
        raise Unauthenticated(Reason.NO_TOKEN, f"no token came with the request; {_HOW}")
    return channels[0]


def admissible(name: str, token: bytes) -> bytes:
    """The token that came in channel `name`, if it can be one at all and may come there. Raises Unauthenticated."""
    token = _clean(name, token)
    if token.startswith(SESSION_PREFIX) and name != _SECURITY_TOKEN:
        raise Unauthenticated(
            Reason.SIGNATURE_INCOMPLETE,
            f"a session token came in `{name}`; a session must sign its requests: let an AWS SDK use its credentials",
        )
    return token


def login_token_in(headers: dict[bytes, bytes]) -> bytes:
    """The token of a request for credentials: `Authorization` as it is, with or without `Bearer`. Raises Unauthenticated."""
    if b"x-dag-token" in headers or b"x-amz-security-token" in headers:
        raise Unauthenticated(Reason.SEVERAL_TOKENS, "send exactly one token, in `Authorization`")
    authorization = headers.get(b"authorization", b"")
    if authorization.partition(b" ")[0].lower() in _SIGNED_BY_AWS:
        raise _aws_keys(authorization, "this request for credentials is signed with AWS keys")
    token = authorization[7:].lstrip(b" ") if authorization[:7].lower() == b"bearer " else authorization
    return login_token(token, "Authorization")


def login_token(token: bytes, where: str) -> bytes:
    """A token that somebody logs in with, if it can be one at all. Raises Unauthenticated."""
    if token.startswith(SESSION_PREFIX):
        raise Unauthenticated(
            Reason.TOKEN_MALFORMED,
            f"`{where}` holds a session that was minted here; log in with the token of the worker's issuer",
        )
    return _clean(where, token)


def _bearer(authorization: bytes) -> list[tuple[str, bytes]]:
    """The bearer token of an `Authorization` header; nothing if it holds a signature of AWS. Raises Unauthenticated."""
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() in _SIGNED_BY_AWS:
        return []
    if scheme.lower() == b"bearer":
        return [(_BEARER, token.lstrip(b" "))]
    if scheme.count(b".") == 2 and not token:
        hint = "it holds a token without the word `Bearer` before it"
    else:
        hint = "its scheme is neither `Bearer` nor a signature of AWS"
    raise Unauthenticated(Reason.TOKEN_MALFORMED, f"cannot read `Authorization`: {hint}; {_HOW}")


def _plain(headers: dict[bytes, bytes], header: bytes, name: str) -> list[tuple[str, bytes]]:
    token = headers.get(header)
    if token is None:
        return []
    if token[:7].lower() == b"bearer ":
        raise Unauthenticated(Reason.TOKEN_MALFORMED, f"`{name}` takes the bare token, without the word `Bearer`")
    return [(name, token)]


def _aws_keys(authorization: bytes, what: str) -> Unauthenticated:
    found = _KEY_PREFIX.search(authorization)
    shown = f" ({found[1].decode()}...)" if found else ""
    return Unauthenticated(
        Reason.AWS_KEYS,
        f"{what}{shown}, not with a token for the gateway; set `aws_session_token` to the worker's token, "
        "or use `AWS_PROFILE` or the connection's `profile_name` to choose the gateway's profile",
    )


def _clean(name: str, token: bytes) -> bytes:
    """The token if it can be one at all. Raises Unauthenticated (NO_TOKEN, TOO_LARGE, TOKEN_NEWLINE)."""
    if not token:
        raise Unauthenticated(Reason.NO_TOKEN, f"`{name}` is empty; is the variable or file that should hold the token empty?")
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(Reason.TOO_LARGE, f"the token in `{name}` is larger than {MAX_TOKEN_BYTES} bytes")
    strange = token.translate(None, _JWT_BYTES)  # 20 times faster than to search the whole token
    if strange and _WHITE_SPACE.search(token):
        raise Unauthenticated(
            Reason.TOKEN_NEWLINE,
            f"the token in `{name}` holds a line break or other white space; "
            "write its file with `printf %s`, or read it with `.strip()`",
        )
    return token


# -------------------------------------------------------------------------------------------- claims


def claimed_in(headers: dict[bytes, bytes]) -> Claimed:
    """What the request says of its origin: `X-Airflow-*` headers (percent-encoded UTF-8) and the User-Agent's DagRunKey.

    Absent and empty mean not said. Raises Malformed for a header that no client of ours could have written.
    """
    said = headers.get
    user_agent = said(b"user-agent", b"")
    return (_claimed if len(user_agent) <= _REMEMBERED_BYTES else _claimed.__wrapped__)(
        said(b"x-airflow-dag-id", b""),
        said(b"x-airflow-task-id", b""),
        said(b"x-airflow-run-id", b""),
        said(b"x-airflow-try-number", b""),
        said(b"x-airflow-map-index", b""),
        user_agent,
    )


@lru_cache(maxsize=2048)
def _claimed(dag_id: bytes, task_id: bytes, run_id: bytes, try_number: bytes, map_index: bytes, user_agent: bytes) -> Claimed:
    """The same of the headers' values; a task says the same with each request, so what was read is remembered."""
    return Claimed(
        dag_id=_said(dag_id, "x-airflow-dag-id"),
        task_id=_said(task_id, "x-airflow-task-id"),
        run_id=_said(run_id, "x-airflow-run-id"),
        try_number=_said(try_number, "x-airflow-try-number"),
        map_index=_said(map_index, "x-airflow-map-index"),
        dag_run_key=_dag_run_key(user_agent),
    )


def _said(value: bytes, header: str) -> str:
    if not value:
        return ""
    try:
        text = _decoded(value).decode()
    except UnicodeDecodeError:
        text = ""
    if not is_name(text):
        raise Malformed(
            Reason.MALFORMED_REQUEST,
            f"`{header}` must be percent-encoded UTF-8 of 1 to {MAX_NAME} printable characters",
        )
    return text


def _decoded(value: bytes) -> bytes:
    """Percent-decoded once; nothing if an escape is broken, which is no name."""
    if b"%" not in value:
        return value
    return b"" if _BAD_ESCAPE.search(value) else unquote_to_bytes(value)


def _dag_run_key(user_agent: bytes) -> str:
    """The DagRunKey in lower case. The nil UUID means that Airflow had no DAG; two different keys say nothing."""
    if b"DagRunKey/" not in user_agent:
        return ""
    keys = {key.decode().lower() for key in _DAG_RUN_KEY.findall(user_agent)}
    only = keys.pop() if len(keys) == 1 else ""
    return "" if only == _NO_DAG else only
