"""Who may ask more of the admin plane than health and metrics (decision 16): bearers of an admin token, and of those but some.

The token is one of a configured issuer, verified as every other; that it is good for DAGs says nothing here, the subject must
be listed, and the deny list stops it as on the data plane: else a stolen token would lift its own entry. On the Unix socket
nobody is asked: who may open it is the file system's to say.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from proxy.followed import FollowedFile, Unusable
from proxy.globs import Globs
from proxy.identity.denials import DenyList, NoDenials
from proxy.identity.verifier import TokenVerifier
from proxy.refusal import Forbidden, Reason, Unauthenticated

if TYPE_CHECKING:
    from proxy.identity.token import Issuer
    from proxy.model import Subject

_BEARER = "bearer "
_LONGEST = 16_384  # bytes of a token


class AdminGate:
    """Verifies admin tokens. Belongs to the admin plane's event loop."""

    def __init__(
        self, issuer: Issuer, subjects: tuple[str, ...], denials: FollowedFile[DenyList] | NoDenials | None = None
    ) -> None:
        self._verifier = TokenVerifier((issuer,))
        self._subjects = Globs(subjects)
        self._denials = denials or NoDenials()
        self._looking = asyncio.Lock()

    async def admit(self, authorization: str) -> str:
        """The subject of the value of an `Authorization` header. Raises Unauthenticated, Forbidden or Unavailable."""
        token = authorization[len(_BEARER) :].strip()
        if authorization[: len(_BEARER)].lower() != _BEARER or not token:
            raise Unauthenticated(Reason.NO_TOKEN, "no admin token; send it as `Authorization: Bearer`")
        if len(token) > _LONGEST or not token.isascii():
            raise Unauthenticated(Reason.TOKEN_MALFORMED, "the admin token is not a signed JWT in compact form")
        subject = await self._verifier.verify(token.encode("ascii"))
        if not self._subjects.match(subject.subject):
            raise Forbidden(Reason.NOT_ENTITLED, "the token is good, but its subject is not among `admin.subjects`")
        await self._refuse_stopped(subject)
        return subject.subject

    async def _refuse_stopped(self, subject: Subject) -> None:
        """By the file as it is now; of one that is broken by what was read last, as on the data plane, which tells of it."""
        if isinstance(self._denials, FollowedFile):
            async with self._looking:
                with suppress(Unusable):
                    await asyncio.to_thread(self._denials.look)
        try:
            self._denials.current.check_subject(subject)
        except Forbidden as refusal:
            way_out = "who lift this on `admin.socket` or in the file of `deny_list`"
            raise Forbidden(refusal.reason, f"{refusal.message}, {way_out}") from None

    async def close(self) -> None:
        """Close what is open to the issuer."""
        await self._verifier.close()
