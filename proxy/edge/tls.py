"""TLS of the data-plane port: certificates that reload, and an answer for those who speak plain HTTP to it.

Whole contexts are swapped, never changed: a certificate that does not fit its key leaves the last good one in place. The
first byte decides: 0x16 opens a TLS handshake (RFC 8446 section 5.1); anything else goes on as plaintext, to be refused there.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger("proxy.edge")

_HANDSHAKE_RECORD = 0x16


class TlsOrPlaintext(ssl.SSLObject):
    """The server's end of a connection that should speak TLS; `is_plaintext` once its first byte has shown that it does not.

    In that case bytes pass untouched in both directions, so that asyncio and uvloop bring the ordinary answer to the caller.
    """

    is_plaintext = False
    _is_undecided = True
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO

    def watch(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        """Look at the first byte that arrives in `incoming`."""
        self._incoming = incoming
        self._outgoing = outgoing

    def do_handshake(self) -> None:
        """Look at the first byte, then shake hands; plaintext has nothing to agree on."""
        if self._is_undecided and self._incoming.pending:
            beginning = self._incoming.read()
            self._incoming.write(beginning)
            self._is_undecided = False
            self.is_plaintext = beginning[0] != _HANDSHAKE_RECORD
        if not self.is_plaintext:
            super().do_handshake()

    def read(self, size: int = 1024, buffer: Any = None) -> Any:
        """Up to `size` bytes, or their number when they go into `buffer`; `SSLWantReadError` when none are there."""
        if not self.is_plaintext:
            return super().read(size) if buffer is None else super().read(size, buffer)
        if not self._incoming.pending and not self._incoming.eof:
            raise ssl.SSLWantReadError
        data = self._incoming.read(size)
        if buffer is None:
            return data
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        """Send `data`; returns how much of it was taken."""
        return self._outgoing.write(data) if self.is_plaintext else super().write(data)

    def unwrap(self) -> None:
        """Say goodbye, where TLS is spoken."""
        if not self.is_plaintext:
            super().unwrap()

    def getpeercert(self, binary_form: bool = False) -> Any:
        """The client's certificate; none in plaintext."""
        return None if self.is_plaintext else super().getpeercert(binary_form)


class TlsPort(ssl.SSLContext):
    """The context of a listening port: hands each new connection to the newest good certificate.

    Raises `OSError` (`ssl.SSLError` among them) when the first pair of PEM files cannot be used.
    """

    _files: tuple[Path, Path]
    _digest: bytes
    _newest: ssl.SSLContext

    def __new__(cls, certificate: Path, key: Path) -> Self:
        """Read the files; the base class is made here, so ours is too."""
        port = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        port._files = (certificate, key)
        port._digest = port._digest_of_files()
        port._newest = port._load()
        return port

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """The newest certificate's end of one new connection (called by asyncio and uvloop)."""
        wire = self._newest.wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(wire, TlsOrPlaintext):
            wire.watch(incoming, outgoing)
        return wire

    def reload(self) -> bool:
        """Take the files anew if their content changed; True if it did. Raises `OSError` and keeps the last good pair."""
        digest = self._digest_of_files()
        if digest == self._digest:
            return False
        self._newest = self._load()
        self._digest = digest
        return True

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.sslobject_class = TlsOrPlaintext
        context.load_cert_chain(*self._files)
        return context

    def _digest_of_files(self) -> bytes:
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in self._files)).digest()


def cause_of(error: OSError) -> str:
    """Why a certificate and its key cannot be used, and what to do; OpenSSL says it with a line of its source."""
    if not isinstance(error, ssl.SSLError):
        return f"{error.filename}: {error.strerror}"
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is another certificate's; put both in place together"
    return "one of the two is cut off or not PEM; write the certificate with its chain into one file, its key into the other"


async def keep_fresh(port: TlsPort, every: float, told: Callable[[bool], None] | None = None) -> None:
    """Poll the files each `every` seconds, for ever; a pair that cannot be used is told once, and the last good one stays.

    `told` hears True of such a pair, and False once the files hold the pair in force again.
    """
    complaint = ""
    while True:
        await asyncio.sleep(every)
        before, is_new = complaint, False
        try:
            is_new = await asyncio.to_thread(port.reload)
            complaint = ""
        except OSError as error:
            complaint = cause_of(error)
        if complaint and complaint != before:
            log.error("the new certificate cannot be used, the last good one stays: %s", complaint)
        elif is_new:
            log.info("the certificate was renewed")
        if told is not None and (is_new or complaint != before):
            told(bool(complaint))
