"""A stand-in for the gateway as a worker sees it: gives sessions, answers DynamoDB's calls, and keeps what arrived."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

DENIED = {
    "__type": "com.amazon.coral.service#AccessDeniedException",
    "message": "dag 'etl' may not GetItem on 'shut': no allow rule; decision 12ab",
}
OVER = {"__type": "com.amazon.coral.service#UnrecognizedClientException", "message": "log in again"}
THROTTLED = {
    "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "message": "slow down",
    "ThrottlingReasons": [
        {
            "reason": "TableWriteKeyRangeThroughputExceeded",
            "resource": "arn:aws:dynamodb:eu-west-1:111122223333:table/slow",
        }
    ],
}


def worker_token(name: str = "worker", expires: float = 9_999_999_999) -> str:
    """What has the form of a token; nobody checks it here."""
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b"{}", _claims(name, expires), b"signed"))


def _claims(name: str, expires: float) -> bytes:
    return json.dumps({"sub": name, "exp": expires}).encode()


class Arrived(NamedTuple):
    """A request; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def operation(self) -> str:
        """`GetItem`."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]

    @property
    def signed(self) -> set[str]:
        """The headers that its signature covers."""
        return set(self.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";"))


class FakeGateway(ThreadingHTTPServer):
    """Listens on loopback. `life` seconds of a session, None: this gateway gives none; `refusal` answers instead of a session."""

    daemon_threads = True

    def __init__(self, life: float | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.life = life
        self.refusal: tuple[int, dict[str, Any], str] | None = None
        self.arrived: list[Arrived] = []
        self.slow_answers = 0  # how often the table `slow` is throttled still
        self.ended: set[str] = set()  # session tokens that are over
        self.gate = threading.Event()
        self.gate.set()
        self.is_asked = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def calls(self) -> list[Arrived]:
        """What arrived for DynamoDB."""
        return [request for request in self.arrived if request.method == "POST"]

    def asked(self) -> list[Arrived]:
        """What asked for a session."""
        return [request for request in self.arrived if request.method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    server: FakeGateway
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The credentials route."""
        gateway = self.server
        self._keep({})
        gateway.is_asked.set()
        gateway.gate.wait(10)
        if gateway.refusal is not None:
            self._answer(*gateway.refusal)
        elif gateway.life is None:
            self._answer(400, {"message": "no such route"}, "unsupported_route")
        else:
            expires = datetime.fromtimestamp(datetime.now(UTC).timestamp() + gateway.life, UTC)
            number = len(gateway.asked())
            keys = {"AccessKeyId": f"DDBPSESSION{number}", "SecretAccessKey": "s", "Token": f"sealed.session.{number}"}
            self._answer(200, keys | {"Expiration": expires.isoformat(timespec="seconds").replace("+00:00", "Z")})

    def do_POST(self) -> None:
        """A call of DynamoDB."""
        gateway = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        text = json.dumps(body)
        self._keep(body)
        if self.headers["x-amz-security-token"] in gateway.ended:
            self._answer(400, OVER, "session_invalid")
        elif '"shut"' in text:
            self._answer(400, DENIED, "no_rule")
        elif '"slow"' in text and gateway.slow_answers:
            gateway.slow_answers -= 1
            self._answer(400, THROTTLED)
        else:
            units = {"ConsumedCapacity": {"TableName": "open", "CapacityUnits": 2.5}} if "ReturnConsumedCapacity" in body else {}
            self._answer(200, units)

    def _keep(self, body: dict[str, Any]) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.arrived.append(Arrived(self.command, self.path, headers, body))

    def _answer(self, status: int, document: dict[str, Any], reason: str = "") -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(body)))
        if reason:
            self.send_header("x-ddb-proxy-reason", reason)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextlib.contextmanager
def fake_gateway(life: float | None = None) -> Iterator[FakeGateway]:
    """A running one."""
    with FakeGateway(life) as gateway:
        thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield gateway
        finally:
            gateway.gate.set()
            gateway.shutdown()
            thread.join()
