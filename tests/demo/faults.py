"""Between the gateway and the engine: answers some writes with a throttle, as DynamoDB would; all else passes byte for byte.

The Host header stays as it came, so the gateway's signature still verifies at the engine. Answers are relayed as raw bytes:
callers do not pipeline, so while a request is being read no answer is under way.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import socketserver
import string
import threading
import zlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedIOBase

_REASON = "TableWriteKeyRangeThroughputExceeded"  # one hot key range, whatever the table as a whole may take
_MESSAGE = (
    "The level of configured provisioned throughput for the table was exceeded. "
    "Consider increasing your provisioning level with the UpdateTable API."
)
_CHUNK = 65536


class Throttler:
    """Which requests are throttled: every second BatchWriteItem that touches one table."""

    def __init__(self, table_arn: str) -> None:
        self.table_arn = table_arn
        self.throttled = 0
        self._seen = 0
        self._lock = threading.Lock()

    def refuses(self, head: bytes, body: bytes) -> bool:
        """Count the request, and say whether it is one to throttle."""
        if not self._touches_table(head, body):
            return False
        with self._lock:
            self._seen += 1
            refused = self._seen % 2 == 0
            self.throttled += refused
        return refused

    def _touches_table(self, head: bytes, body: bytes) -> bool:
        target = _header(head, b"x-amz-target")
        if not target.endswith(b".BatchWriteItem"):
            return False
        tables = json.loads(body)["RequestItems"]
        return self.table_arn in tables or self.table_arn.rpartition("/")[2] in tables

    def answer(self) -> bytes:
        """DynamoDB's answer: error, ThrottlingReasons (API_ThrottlingReason), checksum of the body, request id."""
        document = {
            "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            "message": _MESSAGE,
            "ThrottlingReasons": [{"reason": _REASON, "resource": self.table_arn}],
        }
        body = json.dumps(document, separators=(",", ":")).encode()
        request_id = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(52))
        lines = (
            "HTTP/1.1 400 Bad Request",
            "Server: Server",
            "Content-Type: application/x-amz-json-1.0",
            f"Content-Length: {len(body)}",
            "Connection: keep-alive",
            f"x-amzn-RequestId: {request_id}",
            f"x-amz-crc32: {zlib.crc32(body)}",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return b""


def _read_head(stream: BufferedIOBase) -> bytes:
    """Up to and with the empty line; nothing where the caller has closed."""
    lines = []
    while line := stream.readline(_CHUNK):
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    upstream: tuple[str, int]
    throttler: Throttler


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
        while head := _read_head(self.rfile):
            body = self.rfile.read(int(_header(head, b"content-length") or 0))
            if self.server.throttler.refuses(head, body):
                self.connection.sendall(self.server.throttler.answer())
            else:
                upstream.sendall(head + body)

    def _relay_answers(self, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := upstream.recv(_CHUNK):
                self.connection.sendall(chunk)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)  # the engine has closed, so the gateway must not send more


@contextlib.contextmanager
def fault_proxy(upstream_url: str, throttler: Throttler) -> Iterator[str]:
    """Stand before the engine at `upstream_url`; yields the URL to use in its place."""
    url = urlsplit(upstream_url)
    with _Server(("127.0.0.1", 0), _Relay) as server:
        server.upstream = (url.hostname or "", url.port or 80)
        server.throttler = throttler
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
