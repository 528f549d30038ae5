"""AttributeValues: exactly one type each, with content of that type. The hot loop of reading a request.

DynamoDB takes `{"S": null, "N": "1"}` for a number and other engines keep either of two types; here an object of more than
one member is refused, so that everyone who reads it later reads the same. Messages show neither names nor contents.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_NESTING = 32  # maps and lists inside one attribute (developer guide, "Service quotas": nested attribute depth)
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SHORT = 64  # characters: longer texts are judged in the way whose time is bounded, 16 MiB in 20 ms instead of 65 to 80
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class Misfit(Exception):
    """A member that is not what the API says. `problem` is the sentence's predicate, `path` leads to the member."""

    def __init__(self, problem: str) -> None:
        self.problem = problem  # which is also its text: what an exception is made with is
        self.path = ""

    def below(self, step: str) -> None:
        """Prepend one step (`Name` or `[3]`) on the way up."""
        separator = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{step}{separator}{self.path}"


def check_attributes(value: Any) -> None:
    """A map of names to AttributeValues, with at most MAX_NESTING levels of maps and lists inside each."""
    if type(value) is not dict:
        raise Misfit("must be an object of attributes")
    _check_each(value.values(), MAX_NESTING)


def check_value(value: Any) -> None:
    """One AttributeValue."""
    _check_each((value,), MAX_NESTING)


def _check_each(values: Iterable[Any], room: int) -> None:
    for value in values:
        if type(value) is not dict or len(value) != 1:
            raise Misfit('has a value that is not an object of exactly one type, such as {"S": ...}')
        if type(value.get("S")) is str:  # most values: worth a short way
            continue
        [kind] = value
        check = KINDS.get(kind)
        if check is None:
            raise Misfit(f"has a value of an unknown type; the types are {', '.join(KINDS)}")
        check(value[kind], room)


def _string(content: Any, _room: int) -> None:
    if type(content) is not str:
        raise Misfit("has a value of type S that is not a string")


def _number(content: Any, _room: int) -> None:
    if type(content) is str:
        # most numbers, in half the time of the expression; each digit of a long one takes longer
        if len(content) <= _SHORT and content.isascii() and content.isdigit():
            return
        if _NUMBER.fullmatch(content):
            return
    raise Misfit('has a value of type N that is not a number written as a string, such as {"N": "12.5"}')


def _binary(content: Any, _room: int) -> None:
    if type(content) is not str or not _is_canonical(content):
        raise Misfit("has a value of type B that is not canonical Base64 with padding")


def _is_canonical(text: str) -> bool:
    """What is written again from the decoded bytes is what was read (RFC 4648, 3.5): only the last four characters can differ."""
    try:
        if len(text) > _SHORT:
            if len(text) % 4 or text[:-4].encode().translate(None, _BASE64):
                return False
            text = text[-4:]
        return b2a_base64(a2b_base64(text), newline=False) == text.encode()
    except ValueError:
        return False


def _boolean(content: Any, _room: int) -> None:
    if type(content) is not bool:
        raise Misfit("has a value of type BOOL or NULL that is not true or false")


def _set_of(check: Callable[[Any, int], None]) -> Callable[[Any, int], None]:
    def check_set(content: Any, room: int) -> None:
        if type(content) is not list:
            raise Misfit("has a value of type SS, NS or BS that is not a list")
        for entry in content:
            check(entry, room)

    return check_set


def _map(content: Any, room: int) -> None:
    if type(content) is not dict:
        raise Misfit("must be an object of attributes")
    _check_each(content.values(), _deeper(room))


def _list(content: Any, room: int) -> None:
    if type(content) is not list:
        raise Misfit("has a value of type L that is not a list")
    _check_each(content, _deeper(room))


def _deeper(room: int) -> int:
    if room == 0:
        raise Misfit(f"has a value nested more than {MAX_NESTING} levels deep")
    return room - 1


KINDS: dict[str, Callable[[Any, int], None]] = {
    "S": _string,
    "N": _number,
    "B": _binary,
    "SS": _set_of(_string),
    "NS": _set_of(_number),
    "BS": _set_of(_binary),
    "M": _map,
    "L": _list,
    "NULL": _boolean,
    "BOOL": _boolean,
}
