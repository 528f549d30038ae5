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

from proxy.aws.sigv4 import keyed_hashes
from proxy.refusal import Reason, Unauthenticated

if TYPE_CHECKING:
    from _hashlib import HASH
    from collections.abc import Mapping

SKEW_SECONDS = 900
_REMEMBERED_BYTES = (
    512  # of an `Authorization` whose terms are remembered: an SDK's has 300, and a thousand of the worst take 18 MiB
)
CLAIMS = b"x-airflow-"  # headers that say which DAG and task: as good as the body
_AUTHORIZATION = re.compile(
    rb"AWS4-HMAC-SHA256 Credential=([0-9A-Za-z]{1,128})/([0-9]{8})/([a-z0-9-]{1,40})/([a-z0-9-]{1,40})/aws4_request"
    rb", ?SignedHeaders=([a-z0-9;-]{1,2048}), ?Signature="
)
_SIGNATURE_LENGTH = 64  # the rest of the header: hexadecimal digits
_HEXADECIMAL = b"0123456789abcdef"
_DATE = re.compile(rb"[0-9]{8}T[0-9]{6}Z")
_ALWAYS = frozenset({b"host", b"x-amz-date", b"x-amz-security-token", b"content-type"})
MUST_BE_SIGNED = {"dynamodb": _ALWAYS | {b"x-amz-target"}, "sts": _ALWAYS}


class _Terms(NamedTuple):
    """What `Authorization` says before the signature itself: the same for all requests of a session on one day."""

    key_id: str
    day: str
    region: str
    service: str
    scope: bytes
    listed: bytes
    names: tuple[bytes, ...]
    signed: frozenset[bytes]
    are_in_order: bool


class InboundSignature(NamedTuple):
    """A signature whose head is in order; `check` holds it against the body."""

    inner: HASH  # of `keyed_hashes`
    outer: HASH
    scope: bytes  # string to sign up to the canonical request's hash
    canonical: bytes  # canonical request up to the body's hash
    given: bytes

    def __repr__(self) -> str:
        return "InboundSignature()"

    def check(self, body: bytes) -> None:
        """Raises Unauthenticated (SIGNATURE_MISMATCH) unless the holder of the secret signed exactly this."""
        canonical = sha256(self.canonical + sha256(body).hexdigest().encode()).hexdigest().encode()
        inner, outer = self.inner.copy(), self.outer.copy()
        inner.update(self.scope + canonical)
        outer.update(inner.digest())
        if not hmac.compare_digest(outer.hexdigest().encode(), self.given):
            raise Unauthenticated(
                Reason.SIGNATURE_MISMATCH,
                "the request is not signed with its session's secret, or was changed on its way; is there a proxy between that "
                "rewrites `Host` or other headers?",
            )


def read_signature(headers: Mapping[bytes, bytes], access_key_id: str, secret: str, service: str, now: float) -> InboundSignature:
    """The signature of a request whose header names are in lower case, each once, without white space around values.

    Raises Unauthenticated: SIGNATURE_INCOMPLETE, SIGNATURE_EXPIRED, SIGNATURE_MISMATCH.
    """
    authorization = headers.get(b"authorization", b"")
    terms, given = _terms_of(authorization[:-_SIGNATURE_LENGTH]), authorization[-_SIGNATURE_LENGTH:]
    if terms is None or given.translate(None, _HEXADECIMAL):
        raise _incomplete("`Authorization` is not `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`")
    if terms.key_id != access_key_id:
        raise Unauthenticated(
            Reason.SIGNATURE_MISMATCH, "the access key id is not that of the session token; give both of one login to the SDK"
        )
    if terms.service != service:
        raise _incomplete(f"it is signed for another service than `{service}`")
    date = headers.get(b"x-amz-date", b"")
    _check_time(date, terms.day, now)
    if not terms.are_in_order:
        raise _incomplete("`SignedHeaders` are not in order, or one stands twice")
    if not terms.signed <= headers.keys():
        raise _incomplete("`SignedHeaders` names a header that did not come")
    _check_signed(headers, terms.signed, service)
    lines = [
        b"%b:%b\n" % (name, value if b"  " not in (value := headers[name]) else b" ".join(value.split()))
        for name in terms.names  # runs of spaces are signed as one
    ]
    return InboundSignature(
        *keyed_hashes(secret, terms.day, terms.region, service),
        scope=b"AWS4-HMAC-SHA256\n%b\n%b\n" % (date, terms.scope),
        canonical=b"POST\n/\n\n%b\n%b\n" % (b"".join(lines), terms.listed),
        given=given,
    )


def _terms_of(beginning: bytes) -> _Terms | None:
    return _remembered_terms(beginning) if len(beginning) <= _REMEMBERED_BYTES else _read_terms(beginning)


def _read_terms(beginning: bytes) -> _Terms | None:
    found = _AUTHORIZATION.fullmatch(beginning)
    if found is None:
        return None
    key_id, day, region, service, listed = found.groups()
    names = tuple(listed.split(b";"))
    return _Terms(
        key_id=key_id.decode(),
        day=day.decode(),
        region=region.decode(),
        service=service.decode(),
        scope=b"%b/%b/%b/aws4_request" % (day, region, service),
        listed=listed,
        names=names,
        signed=frozenset(names),
        are_in_order=all(before < after for before, after in pairwise(names)),
    )


_remembered_terms = lru_cache(maxsize=1024)(_read_terms)


def _check_time(date: bytes, day: str, now: float) -> None:
    moment = _moment(date, day)
    if moment is None:
        raise _incomplete("`X-Amz-Date` is missing, not a time, or of another day than the credential scope")
    if abs(now - moment) > SKEW_SECONDS:
        raise Unauthenticated(
            Reason.SIGNATURE_EXPIRED,
            f"the request was signed {'long ago' if now > moment else 'for a time to come'}, "
            f"and {SKEW_SECONDS // 60} minutes are allowed; compare the clocks of worker and gateway",
        )


@lru_cache(maxsize=64)
def _moment(date: bytes, day: str) -> float | None:
    """The time of a request that was signed for this day; None for anything else."""
    if _DATE.fullmatch(date) is None or not date.startswith(day.encode()):
        return None
    try:
        return datetime.strptime(date.decode(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _check_signed(headers: Mapping[bytes, bytes], names: frozenset[bytes], service: str) -> None:
    """What says who, what and when must be signed, or whoever stands between could choose it."""
    wanted = MUST_BE_SIGNED[service]
    if not wanted <= names:
        raise _incomplete(f"`{min(wanted - names).decode()}` is not signed")
    claims = [name for name in headers.keys() - names if name.startswith(CLAIMS)]
    if claims:
        raise _incomplete(f"`{min(claims).decode()}` is not signed; add it before the SDK signs, as the worker's plugin does")


def _incomplete(what: str) -> Unauthenticated:
    return Unauthenticated(Reason.SIGNATURE_INCOMPLETE, f"the session's signature cannot be read: {what}")
