"""From a case to bytes, and back: which requests stand in a stream, as a plain reader of `Content-Length` sees them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from tests.attacks.tokens import dag_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.attacks.placeholders import Expansion


class SentRequest(NamedTuple):
    """One request of ours. `dag` is whom it speaks for, "" where that cannot be told."""

    method: str
    dag: str
    target: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json_of(self.body)


def json_of(body: bytes) -> Any:
    """The JSON of a body; a new object, equal to nothing, where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return object()


def bytes_of(request: Mapping[str, Any], expansion: Expansion) -> bytes:
    """What is written to the socket."""
    if request.get("raw"):
        return expansion.text(request["raw"]).encode("latin-1")
    if "body_hex" in request:
        body = bytes.fromhex(request["body_hex"])
    elif "body_gen" in request:
        body = expansion.body_of(request["body_gen"]).encode()
    else:
        body = expansion.text(request.get("body") or "").encode()
    lines = [f"{request.get('method', 'POST')} {expansion.text(request.get('path', '/'))} HTTP/1.1"]
    headers = [(expansion.text(name), expansion.text(str(value))) for name, value in request.get("headers") or ()]
    lines += [f"{name}: {value}" for name, value in headers]
    framed = {name.lower() for name, _ in headers} & {"content-length", "transfer-encoding"}
    if not framed and (body or request.get("method") != "GET"):
        lines.append(f"Content-Length: {len(body)}")
    return _encoded("\r\n".join([*lines, "", ""])) + body


def _encoded(head: str) -> bytes:
    try:
        return head.encode("latin-1")
    except UnicodeEncodeError:
        return head.encode()


def requests_in(data: bytes) -> list[SentRequest]:
    """The whole requests at the start of a stream, up to the first that has no plain length."""
    found = []
    while (end := data.find(b"\r\n\r\n")) >= 0:
        lines = data[:end].decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        method = lines[0].split(" ")[0]
        length = headers.get("content-length", "0" if method == "GET" else "")
        whole = end + 4 + (int(length) if length.isascii() and length.isdigit() else len(data))
        if len(data) < whole:
            break
        found.append(SentRequest(method, _dag_of(headers), headers.get("x-amz-target", ""), data[end + 4 : whole]))
        data = data[whole:]
    return found


def _dag_of(headers: Mapping[str, str]) -> str:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    candidates = [
        bearer if scheme.lower() == "bearer" else "",
        headers.get("x-dag-token", ""),
        headers.get("x-amz-security-token", ""),
    ]
    token = next((token.strip() for token in candidates if token.count(".") == 2), "")
    return dag_in(token) or unquote(headers.get("x-airflow-dag-id", ""))
