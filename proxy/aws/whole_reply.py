"""The usual answer of AWS, read in one go: a whole HTTP/1.1 reply in one piece, with a plain length and nothing special.

Pure, and stricter than any parser: whatever could be read in two ways (codings, odd connection options, doubled lengths, folded
lines, control characters, a byte too few or too many) is not read here, but by the parser that `connection` keeps for it.
Tests hold it against httptools: what is read here, llhttp reads alike. It takes a third of the time.
Source: RFC 9112 sections 4 to 6.
"""

from __future__ import annotations

import re

from proxy.model import Reply
from proxy.native import plain_reply

Lines = dict[bytes, tuple[bytes, bytes]]  # header lines -> lower-case name, value

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (2[0-9][0-9]|[45][0-9][0-9])(?: [ -~]*)?")
_USUAL = {b"HTTP/1.1 200 OK": 200, b"HTTP/1.1 400 Bad Request": 400}
_WITHOUT_BODY = (204, 205)
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): *([\x20-\x7e\x80-\xff]*)")
_MOST_HEAD = 16 * 1024

# Fields that frame the message or concern the connection: with one of them, or an unusual `connection`, the parser decides.
_LEFT_TO_THE_PARSER = frozenset(b"transfer-encoding keep-alive te trailer upgrade proxy-connection proxy-authenticate".split())
# What AWS says again and again on one connection, byte for byte.
_REPEATED = frozenset(b"server content-type connection content-length date".split())
_MOST_JUDGED = 32
# Names as AWS spells them, of fields whose values are letters and digits only; any other is read by `_FIELD`.
_ALPHANUMERIC = {name: name.lower() for name in (b"x-amzn-RequestId", b"x-amz-crc32", b"Content-Length")}


def whole_reply(data: bytes, judged: Lines) -> Reply | None:
    """The reply that `data` is to its last byte, without length and connection; None where a parser must look.

    `judged` is for `read_by_line`.
    """
    return plain_reply(data, Reply) or read_by_line(data, judged)


def read_by_line(data: bytes, judged: Lines) -> Reply | None:
    """`whole_reply`, in Python.

    `judged` holds lines of the connection's earlier answers and is brought up to date: what a line says depends on nothing else.
    """
    end = data.find(b"\r\n\r\n", 0, _MOST_HEAD)
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    status = _USUAL.get(lines[0]) or _status(lines[0])
    if not status:
        return None
    del lines[0]
    length = b""
    headers = []
    for line in lines:
        field = judged.get(line) or _field(line, judged)
        if field is None:
            return None
        name, value = field
        if name == b"content-length":
            if length or not value:
                return None
            length = value
        elif name != b"connection":
            headers.append(field)
        elif value != b"keep-alive":
            return None
    if length != b"%d" % (len(data) - end - 4):
        return None
    return Reply(status, tuple(headers), data[end + 4 :])


def _status(line: bytes) -> int:
    """The status of an answer that has a body; 0 where a parser must look."""
    match = _STATUS_LINE.fullmatch(line)
    status = int(match[1]) if match else 0
    return 0 if status in _WITHOUT_BODY else status


def _field(line: bytes, judged: Lines) -> tuple[bytes, bytes] | None:
    """Lower-case name and value of one line of printable characters; None where a parser must look."""
    spelling, _, value = line.partition(b": ")
    name = _ALPHANUMERIC.get(spelling)
    if name is None or not value.isalnum():
        match = _FIELD.fullmatch(line)
        if match is None:
            return None
        name, value = match[1].lower(), match[2].rstrip(b" ")
        if name in _LEFT_TO_THE_PARSER or name.startswith(b"proxy-"):
            return None
    field = (name, value)
    if name in _REPEATED:
        if len(judged) >= _MOST_JUDGED:
            judged.clear()
        judged[line] = field
    return field
