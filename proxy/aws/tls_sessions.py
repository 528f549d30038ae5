"""TLS to AWS that goes on where the last connection to the same host left off: no certificate is sent and checked again.

asyncio makes its TLS objects by `SSLContext.wrap_bio` and offers no way to name a session there, so the context does. Sessions
live in memory only, one for each host, and for one process. Source: RFC 8446 section 2.2, RFC 5077.
"""

from __future__ import annotations

import ssl
import sys
from typing import Any, Self


class ResumingContext(ssl.SSLContext):
    """A client's context, which checks certificate and host name, and offers each host its last session.

    Raises OSError (`ssl.SSLError` among them) if `ca_file` cannot be read. Without one the system's authorities are trusted.
    """

    _sessions: dict[str, ssl.SSLSession]

    def __new__(cls, ca_file: str = "") -> Self:  # noqa: ARG004 - `__init__` reads it
        """The protocol of a client, which checks certificates and names."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, ca_file: str = "") -> None:
        self._sessions = {}
        if sys.version_info >= (3, 13):  # as `ssl.create_default_context` has it from there on
            self.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
        if ca_file:
            self.load_verify_locations(ca_file)
        else:
            self.load_default_certs()

    def wrap_bio(
        self, incoming: Any, outgoing: Any, server_side: bool = False, server_hostname: Any = None, session: Any = None
    ) -> ssl.SSLObject:
        """As any context's, with the host's last session; a server that does not know it shakes hands in full."""
        last = session or self._sessions.get(server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, last)

    @property
    def hosts(self) -> frozenset[str]:
        """Those whose last session is known."""
        return frozenset(self._sessions)

    def keep_session(self, connection: ssl.SSLObject) -> bool:
        """Remember how to go on with the host of a connection; False while its server has given no ticket.

        In TLS 1.3 a ticket comes with the first data, not with the handshake.
        """
        session, host = connection.session, connection.server_hostname
        if session is None or not session.has_ticket or not host:
            return False
        self._sessions[host] = session
        return True

    def forget_session(self, host: str) -> None:
        """Shake hands in full next time: a server that will not go on with a session may end the handshake over it."""
        self._sessions.pop(host, None)
