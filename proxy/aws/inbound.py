"""Signature Version 4 of requests that come in under a session of the gateway's own: who holds its secret sent exactly this.

`POST /` without a query is all that comes here. What identifies and steers a request must be signed, the body always is;
Region may be any, service, time and key id not. Two steps, because the body comes last: `read_signature` takes the head and
refuses what no body could mend, `InboundSignature.check` ends it. Within the 15 minutes a request can be replayed, as with
AWS: off loopback, use TLS.
Source: AWS General Reference, "Signature Version 4 signing process"; equal to botocore's `SigV4Auth` byte for byte (tests).
"""

from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from proxy.aws.sigv4 import signing_key
from proxy.refusal import Reason, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

SKEW_SECONDS = 900
CLAIMS = b"x-airflow-"  # headers that say which DAG and task: as good as the body
_AUTHORIZATION = re.compile(
    rb"AWS4-HMAC-SHA256 Credential=([0-9A-Za-z]{1,128})/([0-9]{8})/([a-z0-9-]{1,40})/([a-z0-9-]{1,40})/aws4_request"
    rb", ?SignedHeaders=([a-z0-9;-]{1,2048}), ?Signature=([0-9a-f]{64})"
)
_DATE = re.compile(rb"[0-9]{8}T[0-9]{6}Z")
_ALWAYS = frozenset({b"host", b"x-amz-date", b"x-amz-security-token", b"content-type"})
MUST_BE_SIGNED = {"dynamodb": _ALWAYS | {b"x-amz-target"}, "sts": _ALWAYS}


class InboundSignature(NamedTuple):
    """A signature whose head is in order; `check` holds it against the body."""

    key: bytes
    scope: bytes  # string to sign up to the canonical request's hash
    canonical: bytes  # canonical request up to the body's hash
    given: bytes

    def __repr__(self) -> str:
        return "InboundSignature()"

    def check(self, body: bytes) -> None:
        """Raises Unauthenticated (SIGNATURE_MISMATCH) unless the holder of the secret signed exactly this."""
        canonical = sha256(self.canonical + sha256(body).hexdigest().encode()).hexdigest().encode()
        wanted = hmac.digest(self.key, self.scope + canonical, "sha256").hex().encode()
        if not hmac.compare_digest(wanted, self.given):
            raise Unauthenticated(
                Reason.SIGNATURE_MISMATCH,
                "the request is not signed with its session's secret, or was changed on its way; is there a proxy between that "
                "rewrites `Host` or other headers?",
            )


def read_signature(headers: Mapping[bytes, bytes], access_key_id: str, secret: str, service: str, now: float) -> InboundSignature:
    """The signature of a request whose header names are in lower case, each once, without white space around values.

    Raises Unauthenticated: SIGNATURE_INCOMPLETE, SIGNATURE_EXPIRED, SIGNATURE_MISMATCH.
    """
    found = _AUTHORIZATION.fullmatch(headers.get(b"authorization", b""))
    if found is None:
        raise _incomplete("`Authorization` is not `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`")
    key_id, day, region, signed_for, listed, given = found.groups()
    if key_id != access_key_id.encode():
        raise Unauthenticated(
            Reason.SIGNATURE_MISMATCH, "the access key id is not that of the session token; give both of one login to the SDK"
        )
    if signed_for != service.encode():
        raise _incomplete(f"it is signed for another service than `{service}`")
    date = headers.get(b"x-amz-date", b"")
    _check_time(date, day, now)
    names = listed.split(b";")
    if any(before >= after for before, after in pairwise(names)):
        raise _incomplete("`SignedHeaders` are not in order, or one stands twice")
    missing = [name for name in names if name not in headers]
    if missing:
        raise _incomplete("`SignedHeaders` names a header that did not come")
    _check_signed(headers, frozenset(names), service)
    lines = [b"%b:%b\n" % (name, _collapsed(headers[name])) for name in names]
    scope = b"%b/%b/%b/aws4_request" % (day, region, signed_for)
    return InboundSignature(
        key=signing_key(secret, day.decode(), region.decode(), service),
        scope=b"AWS4-HMAC-SHA256\n%b\n%b\n" % (date, scope),
        canonical=b"POST\n/\n\n%b\n%b\n" % (b"".join(lines), listed),
        given=given,
    )


def _check_time(date: bytes, day: bytes, now: float) -> None:
    if _DATE.fullmatch(date) is None or not date.startswith(day):
        raise _incomplete("`X-Amz-Date` is missing, not a time, or of another day than the credential scope")
    moment = _moment(date)
    if moment is None:
        raise _incomplete("`X-Amz-Date` is not a time")
    if abs(now - moment) > SKEW_SECONDS:
        raise Unauthenticated(
            Reason.SIGNATURE_EXPIRED,
            f"the request was signed {'long ago' if now > moment else 'for a time to come'}, "
            f"and {SKEW_SECONDS // 60} minutes are allowed; compare the clocks of worker and gateway",
        )


@lru_cache(maxsize=64)
def _moment(date: bytes) -> float | None:
    try:
        return datetime.strptime(date.decode(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _check_signed(headers: Mapping[bytes, bytes], names: frozenset[bytes], service: str) -> None:
    """What says who, what and when must be signed, or whoever stands between could choose it."""
    wanted = MUST_BE_SIGNED[service]
    if not wanted <= names:
        raise _incomplete(f"`{min(wanted - names).decode()}` is not signed")
    for name in headers:
        if name.startswith(CLAIMS) and name not in names:
            raise _incomplete(f"`{name.decode()}` is not signed; add it before the SDK signs, as the worker's plugin does")


def _collapsed(value: bytes) -> bytes:
    """A value as it is signed: runs of spaces are one."""
    return b" ".join(value.split()) if b"  " in value else value


def _incomplete(what: str) -> Unauthenticated:
    return Unauthenticated(Reason.SIGNATURE_INCOMPLETE, f"the session's signature cannot be read: {what}")
