"""What callers and the log are told where a request is not passed on: one line, in which nothing steers a terminal."""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING

import orjson

from proxy.defects import where
from proxy.model import Reply
from proxy.refusal import ANSWERS

if TYPE_CHECKING:
    from proxy.model import Exchange
    from proxy.refusal import Refusal

log = logging.getLogger("proxy.answers")


def answer(refusal: Refusal, decision_id: str, message: str) -> Reply:
    """A refusal as DynamoDB would say it, with the decision id where SDKs look for the request id."""
    status, error, _ = ANSWERS[refusal.reason]
    body = orjson.dumps({"__type": error, "message": message})
    headers = (
        (b"content-type", b"application/x-amz-json-1.0"),
        (b"x-amzn-requestid", decision_id.encode()),
        (b"x-amz-crc32", b"%d" % zlib.crc32(body)),
        (b"x-ddb-proxy-reason", refusal.reason.encode()),
    )
    return Reply(status, headers, body)


def one_line(message: str) -> str:
    """No line breaks, nothing that steers a terminal, and no lone surrogate (of a file's name), which no JSON could hold."""
    line = " ".join(message.split())
    if line.isprintable():
        return line
    return "".join(character if character.isprintable() else "?" for character in line)


def log_defect(what: str, exchange: Exchange, defect: Exception) -> None:
    """Tell the log of it."""
    log.error("defect while %s %s: %s", what, exchange.id, where(defect))
