"""Compiled forms of a few pure functions of the served path (`native.c`), where this distribution was built with them.

Those that judge know only what is plainly right and answer None or False for all else: then the form in Python, which always
stands behind them, reads and judges. So a refusal and its words come from Python alone, and what is served is the same with or
without them; the others do in full what their forms in Python do.
Without them, or with DDB_PROXY_PURE in the environment, at which they look themselves, what stands here takes their place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.model import Headers

Before = tuple[bytes, dict[bytes, bytes], int]  # what `plain_head` keeps of a head: its text, its headers, the length of its body

_PASSED_VALUE = re.compile(rb"[0-9A-Za-z=; ._:+-]{1,128}")


def nothing_is_plain(*_: object) -> None:
    """Whatever it is, Python is to look."""


def joined_in_python(beginning: bytes, headers: Headers, left_out: frozenset[bytes], end: bytes, body: bytes) -> bytes:
    """The bytes of one answer: `beginning`, the length of `body`, `headers` but those named in `left_out`, `end`, `body`."""
    lines = b"".join([b"%b: %b\r\n" % line for line in headers if line[0] not in left_out])
    return b"%bcontent-length: %d\r\n%b%b%b" % (beginning, len(body), lines, end, body)


def same_in_python(some: dict[bytes, bytes], others: dict[bytes, bytes], names: tuple[bytes, ...]) -> bool:
    """Whether two dictionaries have the same under each of `names`, or nothing both."""
    return all(some.get(name) == others.get(name) for name in names)


def value_in_python(headers: Headers, name: bytes) -> bytes:
    """The value of the first pair of `headers` that has this name; empty bytes where none has."""
    return next((value for found, value in headers if found == name), b"")


def passed_in_python(headers: Mapping[bytes, bytes], names: tuple[bytes, ...]) -> bytes:
    """`name: value` and CRLF for each of `names` that stands in `headers` with a value of short plain text."""
    lines = b""
    for name in names:
        value = headers.get(name)
        if value is not None and _PASSED_VALUE.fullmatch(value):
            lines += b"%b: %b\r\n" % (name, value)
    return lines


try:
    from proxy._native import (
        each_once,
        joined_answer,
        passed_lines,
        plain_head,
        plain_line,
        plain_reply,
        plainly_fits,
        same_values,
        value_in,
    )

    IS_COMPILED = True
except ImportError:
    IS_COMPILED = False
    if not TYPE_CHECKING:
        each_once = plain_head = plain_line = plain_reply = plainly_fits = nothing_is_plain
        joined_answer = joined_in_python
        same_values = same_in_python
        value_in = value_in_python
        passed_lines = passed_in_python

__all__ = [
    "IS_COMPILED",
    "Before",
    "each_once",
    "joined_answer",
    "joined_in_python",
    "nothing_is_plain",
    "passed_in_python",
    "passed_lines",
    "plain_head",
    "plain_line",
    "plain_reply",
    "plainly_fits",
    "same_in_python",
    "same_values",
    "value_in",
    "value_in_python",
]
