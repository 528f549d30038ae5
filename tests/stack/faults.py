"""Between the gateway and an engine: counts what arrives, answers chosen requests itself as DynamoDB would, passes the rest on.

Requests and answers pass byte for byte, Host included, so the gateway's signature still verifies at the engine.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import socketserver
import threading
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedIOBase

_CHUNK = 65536


class Seen(NamedTuple):
    """A request as it arrived: operation, headers in lower case, body."""

    operation: str
    headers: dict[str, str]
    body: dict[str, Any]


class Canned(NamedTuple):
    """An answer in the engine's place."""

    status: int
    document: dict[str, Any]

    def as_bytes(self) -> bytes:
        """On the wire, with the checksum and the request id of DynamoDB."""
        body = json.dumps(self.document, separators=(",", ":")).encode()
        head = (
            f"HTTP/1.1 {self.status} {'OK' if self.status == 200 else 'Bad Request'}\r\nServer: Server\r\n"
            f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n"
            f"x-amzn-RequestId: {secrets.token_hex(26).upper()}\r\nx-amz-crc32: {zlib.crc32(body)}\r\n\r\n"
        )
        return head.encode() + body


def throttle(kind: str, *reasons: tuple[str, str]) -> Canned:
    """A throttle of DynamoDB: its exception, and its ThrottlingReasons as (reason, ARN of the table)."""
    # ThrottlingException spells the member in lower case, the other exceptions do not
    member = "throttlingReasons" if kind == "ThrottlingException" else "ThrottlingReasons"
    document: dict[str, Any] = {
        "__type": f"com.amazonaws.dynamodb.v20120810#{kind}",
        "message": "Throughput exceeds the current capacity",
    }
    if reasons:
        document[member] = [{"reason": reason, "resource": resource} for reason, resource in reasons]
    return Canned(400, document)


class Faults:
    """What to answer in the engine's place, and what arrived."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._planned: list[tuple[str, Callable[[Seen], Canned | None]]] = []
        self._lock = threading.Lock()

    def plan(self, operation: str, *answers: Canned | Callable[[Seen], Canned | None]) -> None:
        """Answer the next requests of `operation` so, one each and in this order; None passes a request on."""
        with self._lock:
            self._planned += [(operation, answer if callable(answer) else _always(answer)) for answer in answers]

    def of(self, operation: str) -> list[Seen]:
        """The requests of `operation` that arrived."""
        return [seen for seen in self.seen if seen.operation == operation]

    def answer_for(self, request: Seen) -> Canned | None:
        """The planned answer, or None."""
        with self._lock:
            self.seen.append(request)
            for place, (operation, answer) in enumerate(self._planned):
                if operation == request.operation:
                    del self._planned[place]
                    return answer(request)
        return None


def _always(answer: Canned) -> Callable[[Seen], Canned | None]:
    return lambda _: answer


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    upstream: tuple[str, int]
    faults: Faults


class _Relay(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        """One connection of the gateway, and one of its own to the engine."""
        with contextlib.suppress(OSError), socket.create_connection(self.server.upstream) as upstream:
            answers = threading.Thread(target=self._relay_answers, args=(upstream,), daemon=True)
            answers.start()
            try:
                self._relay_requests(upstream)
            finally:
                with contextlib.suppress(OSError):
                    upstream.shutdown(socket.SHUT_RDWR)
                answers.join()

    def _relay_requests(self, upstream: socket.socket) -> None:
        # callers do not pipeline, so while a request is being read no answer is under way
        while head := _read_head(self.rfile):
            headers = _headers(head)
            body = self.rfile.read(int(headers.get("content-length", 0)))
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            canned = self.server.faults.answer_for(Seen(operation, headers, json.loads(body or b"{}"))) if operation else None
            if canned is not None:
                self.connection.sendall(canned.as_bytes())
            else:
                upstream.sendall(head + body)

    def _relay_answers(self, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := upstream.recv(_CHUNK):
                self.connection.sendall(chunk)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)  # the engine has closed, so the gateway must not send more


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:] if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _read_head(stream: BufferedIOBase) -> bytes:
    """Up to and with the empty line; nothing where the caller has closed."""
    lines = []
    while line := stream.readline(_CHUNK):
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


@contextlib.contextmanager
def fault_proxy(upstream_url: str, faults: Faults | None = None) -> Iterator[tuple[str, Faults]]:
    """Stand before the engine at `upstream_url`; yields the URL to use in its place, and what to plan and read."""
    url = urlsplit(upstream_url)
    with _Server(("127.0.0.1", 0), _Relay) as server:
        server.upstream, server.faults = (url.hostname or "", url.port or 80), faults or Faults()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", server.faults
        finally:
            server.shutdown()
            thread.join()
