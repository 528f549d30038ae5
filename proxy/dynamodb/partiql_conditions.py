"""Operands and conditions of PartiQL: which attributes they mention, and which equalities they prove.

Only `attribute = value` and `attribute IN (values)` prove something, and only through AND and parentheses. Depth is counted, so
that a deep statement is refused before it costs a stack. What is no string, number or `?` proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from proxy.dynamodb.partiql_tokens import Kind, refuse, tokens_of

if TYPE_CHECKING:
    from proxy.dynamodb.expression_tokens import Path
    from proxy.dynamodb.partiql_tokens import Token

MAX_DEPTH = 32  # of parentheses, functions and documents together; DynamoDB stores no deeper document
MAX_IN = 100  # developer guide, "PartiQL comparison operators": 50 values of a partition key, 100 of another attribute
_MAX_INDEX_DIGITS = 10
_COMPARISONS = frozenset(("=", "<>", "!=", "<", "<=", ">", ">="))
_PREDICATES = frozenset(("BEGINS_WITH", "CONTAINS", "ATTRIBUTE_TYPE"))
_CLOSING = {"(": ")", "[": "]", "<<": ">>"}


@dataclass(frozen=True, slots=True)
class Literal:
    """A string or number of the statement, as an AttributeValue holds it: numbers as they are spelled."""

    type: str  # S or N
    text: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A `?`, by its place among those of the statement, from 0."""

    position: int


Given: TypeAlias = Literal | Parameter
Equalities: TypeAlias = dict[str, tuple[Given, ...]]


class ConditionReader:
    """One pass over the tokens of one statement."""

    def __init__(self, statement: str) -> None:
        self.tokens = tokens_of(statement)
        self.at = 0
        self.depth = 0
        self.parameters = 0
        self.reads: list[Path] = []
        self.closings = self._closings()

    def _closings(self) -> dict[int, int]:
        """The place of the closing parenthesis of each opening one that has one."""
        opened: list[int] = []
        closings = {}
        for place, token in enumerate(self.tokens):
            if token.kind is Kind.SIGN and token.text == "(":
                opened.append(place)
            elif token.kind is Kind.SIGN and token.text == ")" and opened:
                closings[opened.pop()] = place
        return closings

    # ------------------------------------------------------------------------------------------------- tokens

    @property
    def here(self) -> Token:
        """The present token."""
        return self.tokens[self.at]

    def unexpected(self) -> NoReturn:
        """Raise with the place of the present token."""
        refuse(f"is not in DynamoDB's dialect at character {self.here.place}")

    def take(self, kind: Kind) -> str:
        """The text of the present token, which must be of this kind."""
        token = self.here
        if token.kind is not kind:
            self.unexpected()
        self.at += 1
        return token.text

    def is_at(self, *texts: str) -> bool:
        """True at one of these keywords or signs; what stands in quotes is neither."""
        kind, text, _, _ = self.tokens[self.at]
        return text in texts and (kind is Kind.SIGN or kind is Kind.KEYWORD)

    def has_taken(self, *texts: str) -> bool:
        """Go past one of these keywords or signs if it is here."""
        if not self.is_at(*texts):
            return False
        self.at += 1
        return True

    def expect(self, *texts: str) -> None:
        """Go past all of these keywords or signs, one after the other."""
        for text in texts:
            if not self.has_taken(text):
                self.unexpected()

    def open(self, sign: str) -> None:
        """Go past an opening sign, one level deeper."""
        self.expect(sign)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            refuse(f"is nested more than {MAX_DEPTH} levels deep")

    def close(self, sign: str) -> None:
        """Go past a closing sign, one level up."""
        self.expect(sign)
        self.depth -= 1

    # ----------------------------------------------------------------------------------------------- operands

    def path(self) -> Path:
        """`name`, then `.name`, `[index]` and `['name']`."""
        path: list[str | int] = [self._step()]
        while self.tokens[self.at].kind is Kind.SIGN:
            if self.has_taken("."):
                path.append(self._step())
            elif self.has_taken("["):
                path.append(self._subscript())
                self.expect("]")
            else:
                break
        return tuple(path)

    def _step(self) -> str:
        return self.take(Kind.NAME) or refuse("has an empty name")

    def _subscript(self) -> str | int:
        if self.here.kind is Kind.STRING:
            return self.take(Kind.STRING) or refuse("has an empty name")
        if not self.here.text.isdigit() or len(self.here.text) > _MAX_INDEX_DIGITS:
            self.unexpected()
        return int(self.take(Kind.NUMBER))

    def read_path(self) -> Path:
        """A path that is noted as read."""
        path = self.path()
        self.reads.append(path)
        return path

    def function(self) -> str:
        """The name of the function that is called here, in upper case; "" where none is."""
        here = self.tokens[self.at]
        if here.kind is not Kind.NAME or here.is_quoted:
            return ""
        after = self.tokens[self.at + 1]
        return here.text.upper() if after.text == "(" and after.kind is Kind.SIGN else ""

    def operand(self) -> Given | Path | None:
        """A value, a path, or something that proves nothing: None."""
        here = self.tokens[self.at]
        if here.kind is Kind.STRING or here.kind is Kind.NUMBER:  # most operands: worth a short way
            self.at += 1
            return Literal("S" if here.kind is Kind.STRING else "N", here.text)
        if self.is_at("("):
            self.open("(")
            found = self.operand()
            self.close(")")
            return found
        if function := self.function():
            if function != "SIZE":
                refuse("uses a function that is not known, or not as an operand")
            self.at += 1
            self.open("(")
            self.operand()
            self.close(")")
            return None
        return self.read_path() if here.kind is Kind.NAME else self.value()

    def value(self) -> Given | None:
        """A literal or a `?`; None for documents, sets, booleans and null."""
        if self.has_taken("?"):
            self.parameters += 1
            return Parameter(self.parameters - 1)
        return self._literal()

    def _literal(self) -> Literal | None:
        if self.here.kind is Kind.STRING:
            return Literal("S", self.take(Kind.STRING))
        if self.has_taken("-"):
            return Literal("N", "-" + self.take(Kind.NUMBER))
        if self.has_taken("+") or self.here.kind is Kind.NUMBER:
            return Literal("N", self.take(Kind.NUMBER))
        if self.has_taken("TRUE", "FALSE", "NULL"):
            return None
        self._document()
        return None

    def _document(self) -> None:
        if self.is_at("{"):
            self.open("{")
            if not self.is_at("}"):
                self._member()
                while self.has_taken(","):
                    self._member()
            self.close("}")
        elif self.is_at("[", "<<"):
            sign = self.here.text
            self.open(sign)
            if not self.is_at("]"):
                self._literal()
                while self.has_taken(","):
                    self._literal()
            self.close(_CLOSING[sign])
        else:
            self.unexpected()

    def _member(self) -> None:
        self.take(Kind.STRING)
        self.expect(":")
        self._literal()

    # --------------------------------------------------------------------------------------------- conditions

    def condition(self) -> Equalities:
        """A whole condition; what it proves."""
        proven = self._conjunction()
        if not self.is_at("OR"):
            return proven
        while self.has_taken("OR"):
            self._conjunction()
        return {}

    def _conjunction(self) -> Equalities:
        first = self._negation()
        if not self.is_at("AND"):
            return first
        proven = {name: list(given) for name, given in first.items()}
        while self.has_taken("AND"):
            for name, given in self._negation().items():
                proven.setdefault(name, []).extend(given)
        return {name: tuple(given) for name, given in proven.items()}

    def _negation(self) -> Equalities:
        if not self.is_at("NOT"):
            return self._test()
        while self.has_taken("NOT"):
            pass
        self._test()
        return {}

    def _test(self) -> Equalities:
        if self.is_at("(") and not self._wraps_operand():
            self.open("(")
            proven = self.condition()
            self.close(")")
            return proven
        if self.function() in _PREDICATES:
            self.at += 1
            self.open("(")
            self.operand()
            self.expect(",")
            self.operand()
            self.close(")")
            return {}
        return self._comparison()

    def _wraps_operand(self) -> bool:
        """Whether the present parenthesis stands around an operand, not around a condition."""
        closing = self.closings.get(self.at)
        if closing is None:
            self.unexpected()
        after = self.tokens[closing + 1]
        if after.kind is Kind.KEYWORD:
            return after.text in ("BETWEEN", "IN", "IS", "NOT")
        return after.kind is Kind.SIGN and after.text in _COMPARISONS

    def _comparison(self) -> Equalities:
        left = self.operand()
        if self.has_taken("="):
            right = self.operand()
            return _proven(left, [right]) or _proven(right, [left])
        if self.has_taken(*_COMPARISONS):
            self.operand()
            return {}
        if self.has_taken("IS"):
            self.has_taken("NOT")
            if not self.has_taken("NULL", "MISSING"):
                self.unexpected()
            return {}
        is_negated = self.has_taken("NOT")
        if self.has_taken("BETWEEN"):
            self.operand()
            self.expect("AND")
            self.operand()
            return {}
        self.expect("IN")
        candidates = self._candidates()
        return {} if is_negated else _proven(left, candidates)

    def _candidates(self) -> list[Given | Path | None]:
        sign = self.here.text
        if not self.is_at(*_CLOSING):
            self.unexpected()
        self.open(sign)
        candidates = [self.operand()]
        while self.has_taken(","):
            candidates.append(self.operand())
        if len(candidates) > MAX_IN:
            refuse(f"has more than {MAX_IN} values in IN")
        self.close(_CLOSING[sign])
        return candidates


def _proven(attribute: Given | Path | None, operands: list[Given | Path | None]) -> Equalities:
    """What `attribute IN operands` proves: nothing unless it is one whole attribute and each operand is given."""
    if not isinstance(attribute, tuple) or len(attribute) != 1:
        return {}
    given = tuple([operand for operand in operands if isinstance(operand, (Literal, Parameter))])
    return {str(attribute[0]): given} if len(given) == len(operands) else {}
