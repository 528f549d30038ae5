"""What a plan of `proxy.dynamodb.shapes` says, read in Python: the meaning that native.c is held against."""

from __future__ import annotations

import re
from typing import Any

from proxy.dynamodb.values import Misfit, check_attributes, check_value

_NAME = re.compile(r"[A-Za-z0-9_.\-]{3,255}", re.ASCII)


def fits(plan: Any, value: Any) -> bool:
    """Whether a value is of the shape; nothing is where there is no plan."""
    if plan is None:
        return False
    kind, *told = plan
    return _READERS[kind](value, *told)


def _judged(judge: Any, value: Any) -> bool:
    try:
        judge(value)
    except Misfit:
        return False
    return True


def _structure(value: Any, members: dict[str, Any], required: tuple[str, ...], one_only: bool) -> bool:
    return (
        type(value) is dict
        and all(name in members and fits(members[name], member) for name, member in value.items())
        and all(name in value for name in required)
        and (len(value) == 1 or not one_only)
    )


def _is_name(value: Any) -> bool:
    return type(value) is str and _NAME.fullmatch(value) is not None


# In the order of native.c: TEXT, NAME, CHOICE, FLAG, WHOLE, VALUE, ATTRIBUTES, LIST, MAP, BY_TABLE, STRUCTURE.
_READERS: tuple[Any, ...] = (
    lambda value, least, most: type(value) is str and least <= len(value) <= most,
    _is_name,
    lambda value, words: type(value) is str and value in words,
    lambda value: type(value) is bool,
    lambda value, least, most: type(value) is int and least <= value <= most,
    lambda value: _judged(check_value, value),
    lambda value: _judged(check_attributes, value),
    lambda value, fewest, most, member: (
        type(value) is list and fewest <= len(value) <= most and all(fits(member, entry) for entry in value)
    ),
    lambda value, member: type(value) is dict and all(fits(member, entry) for entry in value.values()),
    lambda value, fewest, most, member: (
        type(value) is dict and fewest <= len(value) <= most and all(_is_name(k) and fits(member, v) for k, v in value.items())
    ),
    _structure,
)
