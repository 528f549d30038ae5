"""What a token says, and whether we believe it. PyJWT checks the signature and nothing else.

Everything else is a strict table of our own, because the library lets through what we must not: `exp` as text, ten-year
lifetimes, duplicate claims, UTF-16 payloads, padding, `crit`, any `typ`, an empty `sub`, RSA keys of 1024 bits.
Claims are checked before the signature: they are cheap to check, their refusals help honest people most, and a forged
token gains nothing by reading them. A Subject comes only out of `check`, which does both.
Rules: RFC 7515 (compact form), RFC 7519 (claims), RFC 8725 (best practice).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from proxy.globs import Globs
from proxy.identity.jwks import ASYMMETRIC, VerifyKey, read_object
from proxy.identity.text import MAX_NAME, is_name, listed, quoted
from proxy.model import Subject
from proxy.refusal import Reason, Unauthenticated
from proxy.worker.times import LAST_SECOND, span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_TOKEN_BYTES = 16 * 1024
_MAX_SUBJECT = 255
_NUMBERS = frozenset({"try_number", "map_index"})  # the only mapped claims that may be integers
_SEGMENT = re.compile(rb"[A-Za-z0-9_-]+")
_FORBIDDEN_MEMBERS = ("crit", "zip", "enc", "b64")  # each changes what the signature means; jku, jwk, x5u, x5c are never read


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where an issuer's keys come from. `location` is a URL or path; for discovery "" means the issuer string itself."""

    kind: Literal["discovery", "jwks_url", "jwks_file"]
    location: str = ""
    ca_file: str = ""
    token_file: str = ""  # bearer token for the origin of `location`, as an API server wants one


@dataclass(frozen=True, slots=True)
class Cluster:
    """The Kubernetes API server behind an issuer, and what it is asked about each token."""

    api: str  # base URL
    ca_file: str = ""
    token_file: str = ""  # the gateway's own service account token
    token_review: bool = False
    pods: bool = False


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer as configured. `claims` maps the gateway's names to claim paths (`dag_id: airflow.dag_id`)."""

    name: str
    issuer: str  # compared with `iss` character by character
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    keys: KeySource
    claims: Mapping[str, str]
    may_assert: tuple[str, ...]
    required_type: str = ""
    leeway: float = 60
    max_lifetime: float = 86400
    required_claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # claim path -> globs, one must match
    cluster: Cluster | None = None


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed token that nobody has vouched for yet."""

    algorithm: str
    kid: str | None
    type: str  # `typ` in lower case without `application/`; "" if absent
    claims: Mapping[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    digest: str = ""  # SHA-256 of the token, hexadecimal


def _malformed(message: str) -> Unauthenticated:
    return Unauthenticated(Reason.TOKEN_MALFORMED, message)


def _bad_claim(message: str) -> Unauthenticated:
    return Unauthenticated(Reason.TOKEN_CLAIMS, message)


# ------------------------------------------------------------------------------------------- reading


def read_token(token: bytes) -> UnverifiedToken:
    """Take a compact JWS apart. Raises Unauthenticated (TOO_LARGE, TOKEN_MALFORMED), nothing else."""
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(
            Reason.TOO_LARGE, f"the token is larger than {MAX_TOKEN_BYTES} bytes; ask the issuer for fewer claims"
        )
    segments = token.split(b".")
    if len(segments) == 5:
        raise _malformed("the token is encrypted (five segments); the gateway needs a signed JWT of three")
    if len(segments) != 3:
        raise _malformed(f"the token has {len(segments)} segments where a signed JWT has three; was it cut, or is it not a JWT?")
    if not segments[2]:
        raise _malformed("the token is not signed")
    header = _object(segments[0], "header")
    claims = _object(segments[1], "payload")
    return UnverifiedToken(
        algorithm=_text_member(header, "alg") or "",
        kid=_text_member(header, "kid"),
        type=(_text_member(header, "typ") or "").lower().removeprefix("application/"),
        claims=claims,
        signed=segments[0] + b"." + segments[1],
        signature=_bytes_of(segments[2], "signature"),
        digest=hashlib.sha256(token).hexdigest(),
    )


def _bytes_of(segment: bytes, name: str) -> bytes:
    """Decode url-safe base64 without padding; a last character with stray bits is refused, for two spellings are two tokens."""
    if _SEGMENT.fullmatch(segment) is None:
        raise _malformed(f"the token's {name} is not url-safe base64; quotes, padding or other characters around it must go")
    try:
        decoded = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except binascii.Error:
        raise _malformed(f"the token's {name} is cut short") from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment:
        raise _malformed(f"the token's {name} is not canonical base64")
    return decoded


def _object(segment: bytes, name: str) -> dict[str, Any]:
    text = _bytes_of(segment, name)
    try:
        return read_object(text)
    except ValueError:
        raise _malformed(f"the token's {name} is not a strict JSON object (UTF-8, no duplicate members)") from None


def _text_member(header: Mapping[str, Any], name: str) -> str | None:
    """A text member of the header, None if absent. Also refuses the members that change what a signature means."""
    for forbidden in _FORBIDDEN_MEMBERS:
        if forbidden in header:
            raise _malformed(f"the token's header has `{forbidden}`, which the gateway does not accept")
    value = header.get(name)
    if name in header and not isinstance(value, str):
        raise _malformed(f"the token's header has a `{name}` that is not text")
    return value


# ------------------------------------------------------------------------------------------ checking


def issuer_of(token: UnverifiedToken, issuers: tuple[Issuer, ...]) -> Issuer:
    """The configured issuer whose string equals `iss`. Raises Unauthenticated (TOKEN_CLAIMS, UNKNOWN_ISSUER)."""
    said = token.claims.get("iss")
    if not isinstance(said, str) or not said:
        raise _bad_claim("the token has no issuer (`iss`) that is text")
    for issuer in issuers:
        if issuer.issuer == said:
            return issuer
    raise Unauthenticated(Reason.UNKNOWN_ISSUER, f"login refused: {_unknown_issuer(said, issuers)}")


def _unknown_issuer(said: str, issuers: tuple[Issuer, ...]) -> str:
    """Shows an issuer of a configured host only: an address from anywhere else would be a stranger's text in our logs."""
    near = next((issuer.issuer for issuer in issuers if _loosely(issuer.issuer) == _loosely(said)), None)
    if near is not None:
        return (
            f"token issuer is {quoted(said)}, which no setting names; "
            f"it differs from the configured {quoted(near)} only in {_difference(said, near)}; the strings must be equal"
        )
    is_at_home = any(_host(issuer.issuer) == _host(said) for issuer in issuers)
    what = (
        f"token issuer is {quoted(said)}, which no setting names" if is_at_home else "no setting names the token's issuer (`iss`)"
    )
    return (
        f"{what}; configured: {listed(tuple(issuer.issuer for issuer in issuers))}; add it under `issuers`, "
        "or fix the worker's token (`dynamodb-proxy doctor` on the worker shows it)"
    )


def _loosely(issuer: str) -> str:
    return re.sub(r"^https?://", "", issuer.strip().lower()).rstrip("/")


def _host(issuer: str) -> str:
    return _loosely(issuer).partition("/")[0]


def _difference(said: str, near: str) -> str:
    if said.strip().rstrip("/") == near.strip().rstrip("/"):
        return "the trailing slash or white space"
    if said.partition("://")[0] != near.partition("://")[0]:
        return "`http` or `https` in front"
    return "upper and lower case"


def _check_algorithm(token: UnverifiedToken, issuer: Issuer, _now: float) -> None:
    if token.algorithm not in issuer.algorithms or token.algorithm not in ASYMMETRIC:
        raise Unauthenticated(
            Reason.BAD_SIGNATURE,
            f"the token is signed with algorithm {quoted(token.algorithm)}; "
            f"issuer `{issuer.name}` is configured for {listed(issuer.algorithms)}",
        )


def _check_type(token: UnverifiedToken, issuer: Issuer, _now: float) -> None:
    wanted = issuer.required_type.lower().removeprefix("application/")
    if wanted and token.type != wanted:
        raise _bad_claim(
            f"token type (`typ`) is {quoted(token.type)}, issuer `{issuer.name}` demands {quoted(wanted)}; "
            "an ID token will not do where an access token is wanted"
        )


def _check_audience(token: UnverifiedToken, issuer: Issuer, _now: float) -> None:
    said = token.claims.get("aud")
    audiences = (said,) if isinstance(said, str) else tuple(said) if isinstance(said, list) else ()
    if not audiences or not all(isinstance(audience, str) for audience in audiences):
        raise _bad_claim(
            f"the token has no audience (`aud`) that is text or a list of texts; expected {listed(issuer.audiences)}"
        )
    if not any(audience in issuer.audiences for audience in audiences):
        raise Unauthenticated(
            Reason.WRONG_AUDIENCE,
            f"login refused: token audience is {listed(audiences)}, expected {listed(issuer.audiences)}; "
            "fix the projected volume on the worker, or run `dynamodb-proxy doctor`",
        )


def _check_times(token: UnverifiedToken, issuer: Issuer, now: float) -> None:
    expires, issued = _time(token, "exp"), _time(token, "iat")
    starts = _time(token, "nbf") if "nbf" in token.claims else issued
    if not 0 < expires - issued <= issuer.max_lifetime:
        raise _bad_claim(
            f"the token lives {span(expires - issued)} (`iat` to `exp`), "
            f"issuer `{issuer.name}` allows up to {span(issuer.max_lifetime)}; ask for a shorter one, "
            "or raise `max_lifetime_seconds`"
        )
    if now >= expires + issuer.leeway:
        raise Unauthenticated(Reason.TOKEN_EXPIRED, _expired(now - expires))
    ahead = max(issued, starts) - now
    if ahead > issuer.leeway:
        raise Unauthenticated(
            Reason.TOKEN_NOT_YET_VALID,
            f"the token starts {span(ahead)} in the future; "
            f"compare the clocks of issuer and gateway (leeway {span(issuer.leeway)})",
        )


def _time(token: UnverifiedToken, name: str) -> float:
    """A NumericDate: a JSON number, never text or a boolean, within the years that exist (which also keeps infinity out)."""
    value = token.claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LAST_SECOND:
        raise _bad_claim(f"the token needs a time `{name}` as a plain number of seconds; ask the issuer to set it")
    return float(value)


def _expired(ago: float) -> str:
    if ago > 86400:
        hint = (
            "it comes from a copy that nobody renews: look where the worker reads its token, it must be the file that is rotated"
        )
    elif ago < 600:
        hint = "read the token file anew for each client; if it should still be valid, compare the clocks of issuer and gateway"
    else:
        hint = "a static `aws_session_token` is never renewed: read the token file anew (`dynamodb-proxy doctor` shows how)"
    return f"login refused: the token expired {span(ago)} ago; {hint}"


def _check_subject(token: UnverifiedToken, _issuer: Issuer, _now: float) -> None:
    subject = token.claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
        raise _bad_claim(f"the token needs a subject (`sub`) of 1 to {_MAX_SUBJECT} printable characters")


def _check_required(token: UnverifiedToken, issuer: Issuer, _now: float) -> None:
    for path, patterns in issuer.required_claims.items():
        said = _claim_at(token.claims, path)
        values = said if isinstance(said, list) else [said]
        if not any(isinstance(value, str) and _globs(patterns).match(value) for value in values):
            raise _bad_claim(
                f"issuer `{issuer.name}` demands that claim `{path}` is {listed(patterns)}, and the token says otherwise or "
                "nothing; use a token that has it, or mend `required_claims`"
            )


@lru_cache(maxsize=256)
def _globs(patterns: tuple[str, ...]) -> Globs:
    """Compiled once: patterns come from the settings only."""
    return Globs(patterns)


def _check_mapped(token: UnverifiedToken, issuer: Issuer, _now: float) -> None:
    _mapped_claims(token, issuer)


_CHECKS: tuple[Callable[[UnverifiedToken, Issuer, float], None], ...] = (
    _check_algorithm,
    _check_type,
    _check_audience,
    _check_times,
    _check_subject,
    _check_required,
    _check_mapped,
)


def check_claims(token: UnverifiedToken, issuer: Issuer, now: float) -> None:
    """All that can be said against a token without its issuer's keys. Raises Unauthenticated with the first objection."""
    for objection in _CHECKS:
        objection(token, issuer, now)


def check(token: UnverifiedToken, issuer: Issuer, key: VerifyKey, now: float) -> Subject:
    """Believe a token, or raise Unauthenticated. `key` must be one of this issuer's; `now` is seconds since the epoch."""
    check_claims(token, issuer, now)
    if not key.verifies(token.algorithm, token.signed, token.signature):
        raise Unauthenticated(
            Reason.BAD_SIGNATURE,
            f"the token's signature is not that of issuer `{issuer.name}`; it was changed, cut, or made by somebody else",
        )
    return Subject(
        issuer=issuer.name,
        subject=token.claims["sub"],
        claims=_mapped_claims(token, issuer),
        may_assert=issuer.may_assert,
        expires_at=_time(token, "exp"),
        token_id=_token_id(token),
    )


def _token_id(token: UnverifiedToken) -> str:
    said = token.claims.get("jti")
    return said if isinstance(said, str) and is_name(said) else token.digest[:16]


def _mapped_claims(token: UnverifiedToken, issuer: Issuer) -> dict[str, str]:
    """The verified context under the gateway's names; absent claims are absent. Raises Unauthenticated (TOKEN_CLAIMS)."""
    mapped = {}
    for name, path in issuer.claims.items():
        value = _claim_at(token.claims, path)
        if value is None:
            continue
        if name in _NUMBERS and type(value) is int:
            value = str(value)
        if not isinstance(value, str) or not is_name(value):
            raise _bad_claim(f"claim `{path}` ({name}) must be text of 1 to {MAX_NAME} printable characters")
        mapped[name] = value
    return mapped


def _claim_at(claims: Mapping[str, Any], path: str) -> object:
    """The value at a dotted path, None if absent. The longest claim name wins, so `kubernetes.io.namespace` is found as is.

    JSON null is not absence: it comes back as `False`, which no mapped claim may be.
    """
    if path in claims:
        return claims[path] if claims[path] is not None else False
    for dot in range(len(path) - 1, 0, -1):
        inner = claims.get(path[:dot]) if path[dot] == "." else None
        if isinstance(inner, dict):
            return _claim_at(inner, path[dot + 1 :])
    return None
