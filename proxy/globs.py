"""The one form of name pattern: `*` for any run of characters, `?` for one, everything else literal, case-sensitive.

In a list, `!pattern` takes back what the others gave, wherever it stands. Compiled once at load; a match is one regular
expression whose time grows with pattern times name at most.
"""

from __future__ import annotations

import re

_RUNS = re.compile(r"\*+")


def is_glob(pattern: str) -> bool:
    """True if `pattern` can match more than one name."""
    return "*" in pattern or "?" in pattern


def _expression(pattern: str) -> str:
    first, *rest = (re.escape(piece).replace(r"\?", ".") for piece in _RUNS.split(pattern))
    if not rest:
        return first
    # The first place where a middle piece fits is as good as any later one, hence atomic: a caller who chooses the name
    # could else make a pattern of many stars try every combination.
    *middle, last = rest
    return first + "".join(f"(?>.*?{piece})" for piece in middle) + ".*" + last


def _compiled(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_expression(pattern)})" for pattern in patterns) or r"(?!)", re.DOTALL)


class Globs:
    """A list of patterns, compiled. An empty list, or one of exclusions only, matches nothing."""

    __slots__ = ("_exclude", "_include", "patterns")

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.patterns = patterns
        self._include = _compiled([p for p in patterns if not p.startswith("!")])
        self._exclude = _compiled([p[1:] for p in patterns if p.startswith("!")])

    def match(self, name: str) -> bool:
        """True if a pattern covers the whole of `name` and no exclusion does."""
        return self._include.fullmatch(name) is not None and self._exclude.fullmatch(name) is None
