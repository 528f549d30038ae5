"""The tokens of a PartiQL statement. What is not one of these is refused: comments, `@`, Ion literals, names with
`$`, and `;` but for one at the very end, where it says nothing.

A name in double quotes is a name whatever it holds, text in single quotes is a string; a doubled quote stands for itself.
Bare names are taken in exact case, as DynamoDB takes them; keywords are so in any case and must be quoted to be names.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple, NoReturn

from proxy.refusal import Reason, Unreadable

MAX_STATEMENT = 8192  # characters (API reference, PartiQLStatement)
_KEYWORDS = """
    ALL AND ASC BETWEEN BY DELETE DESC EXISTS FALSE FROM IN INSERT INTO IS LIKE MISSING MODIFIED NEW NOT NULL OLD OR ORDER
    REMOVE RETURNING SELECT SET TRUE UPDATE VALUE WHERE
"""
KEYWORDS = frozenset(_KEYWORDS.split())
_SPACE = " \t\r\n"

# No part can match one text in two ways, and quantifiers are possessive: time is linear in the text.
_TOKEN = re.compile(
    r"""[ \t\r\n]*+(?:
    (?P<string>'[^']*+(?:''[^']*+)*+')
    |(?P<name>"[^"]*+(?:""[^"]*+)*+")
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*+)
    |(?P<number>[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+(?![A-Za-z0-9_.]))
    |(?P<sign><<|>>|<=|>=|<>|!=|[=<>()\[\]{},.:?*+]|-(?!-))
    |(?P<stray>.))""",
    re.VERBOSE,
)


class Kind(Enum):
    """What a token is."""

    STRING = auto()
    NAME = auto()
    NUMBER = auto()
    KEYWORD = auto()
    SIGN = auto()
    END = auto()


class Token(NamedTuple):
    """`text` is without quotes for strings and names, in upper case for keywords."""

    kind: Kind
    text: str
    place: int  # of its first character, from 1
    is_quoted: bool = False


def tokens_of(statement: str) -> list[Token]:
    """The tokens, the last of them END. Raises `Unreadable` UNREADABLE_BODY."""
    if len(statement) > MAX_STATEMENT:
        refuse(f"is longer than {MAX_STATEMENT} characters")
    tokens = []
    spoken = statement.rstrip(_SPACE)  # its end is no token's: it would be tried from each place
    for match in _TOKEN.finditer(spoken.removesuffix(";").rstrip(_SPACE)):  # `;` at the very end says nothing
        kind = match.lastgroup or ""  # each match is white space and one group
        text, place = match[kind], match.start(kind) + 1
        if kind == "sign":
            tokens.append(Token(Kind.SIGN, text, place))
        elif kind == "string":
            tokens.append(Token(Kind.STRING, text[1:-1].replace("''", "'"), place))
        elif kind == "name":
            tokens.append(Token(Kind.NAME, text[1:-1].replace('""', '"'), place, is_quoted=True))
        elif kind == "number":
            tokens.append(Token(Kind.NUMBER, text, place))
        elif kind == "stray":
            refuse(f"is not in DynamoDB's dialect at character {place}")
        elif text.upper() in KEYWORDS:
            tokens.append(Token(Kind.KEYWORD, text.upper(), place))
        else:
            tokens.append(Token(Kind.NAME, text, place))
    tokens.append(Token(Kind.END, "", len(statement) + 1))
    return tokens


def refuse(problem: str) -> NoReturn:
    """Raise with a sentence about the statement that shows none of it."""
    raise Unreadable(Reason.UNREADABLE_BODY, f"the PartiQL statement {problem}")
