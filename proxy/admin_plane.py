"""The admin plane's thread: its port, its Unix socket, and the policies that it answers by.

It has a loop of its own, so that a scrape or a question never holds the data plane's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from proxy.deny_file import DenyFile
from proxy.followed import Unusable
from proxy.identity.denials import NoDenials
from proxy.inquiry import Admitted, Inquiries
from proxy.observe.audit import AuditLog
from proxy.observe.sink import LineSink
from proxy.policy.store import PolicyError, PolicyFiles
from proxy.server import CannotServe, bind_unix
from proxy.trusted_files import deny_list_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import uvicorn

    from proxy.admin import AdminState
    from proxy.followed import FollowedFile
    from proxy.identity.denials import DenyList
    from proxy.policy.rules import Policies
    from proxy.settings import Settings

log = logging.getLogger("proxy.admin")

LONGEST_TURN_SECONDS = 3.0


class PoliciesOnDisk:
    """The policies as the files have them, for a process that serves none itself. Raises PolicyError if they cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self._files = PolicyFiles(settings.policies, settings.environment, settings.aws_region)
        self._lock = threading.Lock()

    def __call__(self) -> Policies:
        """The last good ones."""
        with self._lock, contextlib.suppress(PolicyError):  # the workers follow the same files, and say what is wrong with them
            self._files.look()
        return self._files.current


class AdminPlane(NamedTuple):
    """One socket of the admin plane, and what it may be asked beside health and metrics (None: nothing)."""

    listener: socket.socket
    inquiries: Inquiries | None
    path: Path | None = None  # of a Unix socket
    switches: DenyFile | None = None  # the deny list that may be changed with it
    denials: FollowedFile[DenyList] | NoDenials | None = None  # whom it stops here too


class Uncounted:
    """Counts of no audit: metrics are the data plane's."""

    def audit_written(self, record: str, count: int, /) -> None:
        """Nothing."""

    def audit_failed(self, count: int, /) -> None:
        """Nothing."""

    def audit_lost(self, count: int, /) -> None:
        """Nothing."""


def admin_planes(settings: Settings, policies: Callable[[], Policies], listener: socket.socket) -> list[AdminPlane]:
    """The admin port, and the Unix socket where there is one. Raises CannotServe."""
    audit = None if settings.audit_path == "-" else Path(settings.audit_path)
    issuer = next((issuer for issuer in settings.issuers if issuer.name == settings.admin_issuer), None)
    record = AuditLog(LineSink(settings.audit_path), Uncounted()).event
    switches = DenyFile(Path(settings.deny_list), record) if settings.deny_list else None
    try:
        denials = deny_list_of(settings) or NoDenials()
    except Unusable as error:
        raise CannotServe(f"`deny_list`: {error}") from error
    names = frozenset(issuer.name for issuer in settings.issuers)
    asked = Inquiries(policies, audit, Admitted(issuer, settings.admin_subjects), names) if issuer else None
    planes = [AdminPlane(listener, asked, switches=switches, denials=denials)]
    if settings.admin_socket:
        path = Path(settings.admin_socket)
        planes.append(AdminPlane(bind_unix(path), Inquiries(policies, audit, None, names), path, switches))
    return planes


class AdminThread:
    """The admin plane in a thread and loop of its own; FastAPI is imported there, so that the data plane need not wait for it."""

    def __init__(self, state: AdminState, planes: list[AdminPlane], turn: threading.Event | None = None) -> None:
        """`turn` is set when the data plane has imported what it needs: two threads that import hold each other up."""
        self._state = state
        self._turn = turn
        self._planes = planes
        self._servers: list[uvicorn.Server] = []
        self._thread = threading.Thread(target=self._run, name="admin", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        for plane in self._planes:
            host, port = _address(plane)
            where = f"Unix socket {plane.path}" if plane.path else f"http {host} port {port}"
            log.info("admin plane on %s%s", where, ", with /explain" if plane.inquiries else "")
            plane.listener.listen(128)  # probes that come before FastAPI is imported wait instead of failing
        self._thread.start()

    def _run(self) -> None:
        if self._turn is not None:
            self._turn.wait(LONGEST_TURN_SECONDS)
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        import uvicorn

        from proxy.admin import admin_server
        from proxy.admin_gate import AdminGate

        gates = []
        for plane in self._planes:
            inquiries = plane.inquiries
            gate = AdminGate(*inquiries.admitted, plane.denials) if inquiries and inquiries.admitted else None
            gates += [gate] if gate else []
            host, port = _address(plane)
            self._servers.append(uvicorn.Server(admin_server(self._state, host, port, inquiries, gate, plane.switches)))
        try:
            await asyncio.gather(*(s.serve([p.listener]) for s, p in zip(self._servers, self._planes, strict=True)))
        finally:
            for gate in gates:
                await gate.close()

    def stop(self) -> None:
        """Stop, within a few seconds."""
        for server in self._servers:
            server.should_exit = True
        if self._servers:
            self._thread.join(3)
        for plane in self._planes:
            if plane.path is not None:
                plane.path.unlink(missing_ok=True)


def _address(plane: AdminPlane) -> tuple[str, int]:
    """Host and port; of a Unix socket what stands for them in a URL."""
    if plane.path is not None:
        return "localhost", 0
    host, port = plane.listener.getsockname()[:2]
    return host, port
