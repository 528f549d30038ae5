"""Who may ask more of the admin plane than health and metrics (decision 16): bearers of an admin token, and of those but some.

The token is one of a configured issuer, verified as every other; that it is good for DAGs says nothing here, the subject must
be listed. On the Unix socket nobody is asked: who may open it is the file system's to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.globs import Globs
from proxy.identity.verifier import TokenVerifier
from proxy.refusal import Forbidden, Reason, Unauthenticated

if TYPE_CHECKING:
    from proxy.identity.token import Issuer

_BEARER = "bearer "
_LONGEST = 16_384  # bytes of a token


class AdminGate:
    """Verifies admin tokens. Belongs to the admin plane's event loop."""

    def __init__(self, issuer: Issuer, subjects: tuple[str, ...]) -> None:
        self._verifier = TokenVerifier((issuer,))
        self._subjects = Globs(subjects)

    async def admit(self, authorization: str) -> str:
        """The subject of the value of an `Authorization` header. Raises Unauthenticated, Forbidden or Unavailable."""
        token = authorization[len(_BEARER) :].strip()
        if authorization[: len(_BEARER)].lower() != _BEARER or not token:
            raise Unauthenticated(Reason.NO_TOKEN, "no admin token; send it as `Authorization: Bearer`")
        if len(token) > _LONGEST or not token.isascii():
            raise Unauthenticated(Reason.TOKEN_MALFORMED, "the admin token is not a signed JWT in compact form")
        subject = (await self._verifier.verify(token.encode("ascii"))).subject
        if not self._subjects.match(subject):
            raise Forbidden(Reason.NOT_ENTITLED, "the token is good, but its subject is not among `admin.subjects`")
        return subject

    async def close(self) -> None:
        """Close what is open to the issuer."""
        await self._verifier.close()
