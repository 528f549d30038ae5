"""The usual answer of AWS, read in one go: a whole HTTP/1.1 reply in one piece, with a plain length and nothing special.

Pure, and stricter than any parser: whatever could be read in two ways (codings, odd connection options, doubled lengths, folded
lines, control characters, a byte too few or too many) is not read here, but by the parser that `connection` keeps for it.
Tests hold it against httptools: what is read here, llhttp reads alike. It takes a third of the time.
Source: RFC 9112 sections 4 to 6.
"""

from __future__ import annotations

import re

from proxy.model import Reply

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (2[0-9][0-9]|[45][0-9][0-9])(?: [ -~]*)?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,9}")
_PRINTABLE = bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_NO_BODY = (b"204", b"205")
_MOST_HEAD = 16 * 1024

# Names as AWS spells them -> lower case; any other is checked and lowered.
_SPELLINGS = {
    spelling: spelling.lower()
    for spelling in (
        b"Server", b"Date", b"Content-Type", b"Content-Length", b"Connection", b"x-amzn-RequestId", b"x-amz-crc32",
        b"server", b"date", b"content-type", b"content-length", b"connection", b"x-amzn-requestid", b"X-Amzn-Requestid",
    )
}  # fmt: skip
# Fields that frame the message or concern the connection: with one of them, or an unusual `connection`, the parser decides.
_LEFT_TO_THE_PARSER = frozenset(b"transfer-encoding keep-alive te trailer upgrade proxy-connection proxy-authenticate".split())


def whole_reply(data: bytes) -> Reply | None:
    """The reply that `data` is to its last byte, without length and connection; None where a parser must look."""
    end = data.find(b"\r\n\r\n", 0, _MOST_HEAD)
    if end < 0:
        return None
    status_line, *lines = data[:end].split(b"\r\n")
    status = _STATUS_LINE.fullmatch(status_line)
    if status is None or status[1] in _NO_BODY:
        return None
    # all that is not printable must be the line ends that were just split at
    if len(data[:end].translate(None, _PRINTABLE)) != 2 * len(lines):
        return None
    length = b""
    headers = []
    for line in lines:
        spelling, colon, value = line.partition(b":")
        name = _SPELLINGS.get(spelling) or (spelling.lower() if _NAME.fullmatch(spelling) else b"")
        value = value.strip(b" ")
        if name == b"content-length":
            if length:
                return None
            length = value
        elif name == b"connection":
            if value != b"keep-alive":
                return None
        elif not colon or not name or name in _LEFT_TO_THE_PARSER or name.startswith(b"proxy-"):
            return None
        else:
            headers.append((name, value))
    if not _LENGTH.fullmatch(length) or len(data) != end + 4 + int(length):
        return None
    return Reply(int(status[1]), tuple(headers), data[end + 4 :])
