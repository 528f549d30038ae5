"""The tokens of an expression, and what conditions and updates have in common: names, paths, values, parentheses.

One path element is one token: an alias is one attribute, whatever dots its name holds. White space is space, tab, CR and LF;
keywords are so in any case and never a bare name; functions are lower case. Nothing here recurses.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn, TypeAlias, TypeVar

from proxy.refusal import Reason, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
Path: TypeAlias = tuple[str | int, ...]  # attribute name, then names of map members and indexes of lists

MAX_CHARACTERS = 4096  # developer guide, "Service quotas": expression string 4 KB, and what is accepted is ASCII
MAX_OPERATORS = 300
MAX_PLACEHOLDER = 255

_TOKEN = re.compile(r"[ \t\r\n]+|([A-Za-z][A-Za-z0-9_]*|[#:][A-Za-z0-9_]+|0|[1-9][0-9]*|<=|>=|<>|[=<>()\[\].,+\-])|(.)")
COMPARISONS = frozenset(("=", "<>", "<", "<=", ">", ">="))
_KEYWORDS = frozenset(("AND", "OR", "NOT", "IN", "BETWEEN", "SET", "REMOVE", "ADD", "DELETE"))
_OPERATORS = COMPARISONS | {"+", "-", "AND", "OR", "NOT", "BETWEEN"}  # IN counts as what stands before a parenthesis, as it does


def _closings(tokens: list[str]) -> dict[int, int] | None:
    """The place of the closing parenthesis of each opening one; None where they do not match."""
    opened: list[int] = []
    closings = {}
    for place, sign in enumerate(tokens):
        if sign == "(":
            opened.append(place)
        elif sign == ")":
            if not opened:
                return None
            closings[opened.pop()] = place
    return None if opened else closings


class ExpressionReader:
    """One pass over the tokens of one text. Nothing recurses but functions in functions, which are counted."""

    def __init__(self, member: str, text: str) -> None:
        self.member, self.text = member, text
        self.reads: list[Path] = []
        self.at = 0
        if len(text) > MAX_CHARACTERS:
            self.refuse(f"is longer than {MAX_CHARACTERS} characters")
        found = _TOKEN.findall(text)
        if any(stray for _, stray in found):
            self.refuse("holds a character that is in no expression")
        self.tokens: list[str] = [token for token, _ in found if token]
        self.words = [token.upper() for token in self.tokens]
        self.tokens.append("")  # the end
        self.words.append("")
        closings = _closings(self.tokens)
        if closings is None:
            self.refuse("has parentheses that do not match")
        self.closings = closings
        self._check_limits()

    def _check_limits(self) -> None:
        calls = sum(after == "(" and word[:1].isalpha() and word not in _OPERATORS for word, after in pairwise(self.words))
        if sum(word in _OPERATORS for word in self.words) + calls > MAX_OPERATORS:
            self.refuse(f"has more than {MAX_OPERATORS} operators and functions")
        if max(map(len, self.tokens)) > MAX_PLACEHOLDER:
            self.refuse(f"has a name longer than {MAX_PLACEHOLDER} characters")

    def refuse(self, problem: str) -> NoReturn:
        """Raise with a sentence about the member."""
        raise Unreadable(Reason.UNREADABLE_BODY, f"`{self.member}` {problem}")

    def unexpected(self) -> NoReturn:
        """Raise with the place of the present token: the text itself is the caller's data."""
        starts = [match.start() for match in _TOKEN.finditer(self.text) if match[1]]
        where = f"at character {starts[self.at] + 1}" if self.at < len(starts) else "at its end"
        self.refuse(f"is not in DynamoDB's grammar {where}")

    # ------------------------------------------------------------------------------------------------- tokens

    @property
    def here(self) -> str:
        """The present token, "" at the end."""
        return self.tokens[self.at]

    def has_taken(self, *words: str) -> bool:
        """Go past the present token if it is one of these keywords or signs."""
        if self.words[self.at] not in words:
            return False
        self.at += 1
        return True

    def expect(self, sign: str) -> None:
        """Go past `sign`."""
        if not self.has_taken(sign):
            self.unexpected()

    def end(self) -> None:
        """Nothing may follow."""
        if self.here:
            self.unexpected()

    def open_parenthesis(self) -> None:
        """Go past an opening parenthesis; DynamoDB takes none that only wraps another."""
        if self.closings.get(self.at + 1) == self.closings[self.at] - 1:
            self.refuse("has redundant parentheses")
        self.at += 1

    def after_closing(self) -> str:
        """The word after the parenthesis that closes the present one."""
        return self.words[self.closings[self.at] + 1]

    def wrapped(self, read: Callable[[], _T]) -> _T:
        """Something, in parentheses or not."""
        if self.here != "(":
            return read()
        self.open_parenthesis()
        found = read()
        self.expect(")")
        return found

    # ----------------------------------------------------------------------------------------------- operands

    def name(self) -> str:
        """A bare name or an alias: one element of a path."""
        token = self.here
        if not token or not (token[0] == "#" or token[0].isalpha()) or self.words[self.at] in _KEYWORDS:
            self.unexpected()
        self.at += 1
        return token

    def path(self) -> Path:
        """`name`, then `.name` and `[index]`."""
        path: list[str | int] = [self.name()]
        while True:
            if self.has_taken("."):
                path.append(self.name())
            elif self.has_taken("["):
                if not self.here.isdigit():
                    self.unexpected()
                path.append(int(self.here))
                self.at += 1
                self.expect("]")
            else:
                return tuple(path)

    def read_path(self) -> Path:
        """A path that is noted as read."""
        path = self.path()
        self.reads.append(path)
        return path

    def value(self) -> str:
        """A placeholder of a value."""
        token = self.here
        if token[:1] != ":":
            self.unexpected()
        self.at += 1
        return token

    def value_or_path(self) -> str | Path:
        """A placeholder, or a path that is noted as read."""
        return self.value() if self.here[:1] == ":" else self.read_path()

    def is_call(self) -> bool:
        """True at the name of a function."""
        return self.tokens[self.at][:1].isalpha() and self.tokens[self.at + 1] == "(" and self.words[self.at] not in _KEYWORDS

    def plain_operand(self) -> str | Path:
        """A value or path, in parentheses or not."""
        return self.wrapped(self.value_or_path)

    def operand(self) -> None:
        """A value, a path or `size(...)`, in parentheses or not."""
        self.wrapped(self._size_or_plain)

    def _size_or_plain(self) -> None:
        if not self.is_call():
            self.value_or_path()
            return
        if self.here != "size":
            self.refuse("uses a function that is not known, or not as an operand; names of functions are in lower case")
        self.at += 2
        self.plain_operand()
        self.expect(")")
