"""Expressions by their text: DynamoDB's own grammar, strictly, down to which attribute each path means.

`read_expression` says what the text alone can say; `#name` and `:value` stay as written, so a result is cached by its text.
What the grammar does not have is `Unreadable`: what is accepted here and not by DynamoDB is harmless, never the other way
round. Grammar: developer guide, "Using expressions in DynamoDB"; its corners are held against DynamoDB Local in tests/engines.
Reserved words as bare names, types of operands and equal operands are left to DynamoDB: they cannot hide an attribute.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.dynamodb.expression_tokens import COMPARISONS, ExpressionReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.dynamodb.expression_tokens import Path

MAX_IN = 100
MAX_KEY_TESTS = 8  # four partition and four sort key attributes of a global index
_MAX_CALLS = 32  # functions inside each other; DynamoDB has no use for more than a few
_CACHED_TEXT = 512  # longer texts are read each time: the cache must not be a place to fill
_CACHED_TEXTS = 2048
_FLIPPED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class KeyTest(NamedTuple):
    """One test of a key attribute. `kind` is `=`, `<`, `<=`, `>`, `>=`, `between` or `begins_with`."""

    attribute: str  # bare name or #alias; its real name once resolved
    kind: str
    values: tuple[Any, ...]  # :placeholders; AttributeValues once resolved


class Expression(NamedTuple):
    """What one text says, names and values as written. `mentions` resolves those of one request."""

    reads: tuple[Path, ...]  # projected, tested, or copied from
    targets: tuple[Path, ...]  # what an update changes
    tests: tuple[KeyTest, ...]  # of a key condition only, at most one for each attribute as written
    names: frozenset[str]  # the #aliases in it
    values: frozenset[str]  # the :placeholders in it
    length: int  # in tokens


def read_expression(member: str, text: str) -> Expression:
    """Read `text` by the grammar of the request member that it stands in, for example `FilterExpression`.

    Raises `Unreadable` UNREADABLE_BODY; the message says where, never what. KeyError for a member that holds no expression.
    """
    return _read_cached(member, text) if len(text) <= _CACHED_TEXT else _read(member, text)


def _read(member: str, text: str) -> Expression:
    reader = _Reader(member, text)
    _GRAMMARS[member](reader)
    reader.end()
    placeholders = [token for token in reader.tokens if token[:1] in ("#", ":")]
    return Expression(
        tuple(reader.reads),
        tuple(reader.targets),
        tuple(reader.tests),
        frozenset(token for token in placeholders if token[0] == "#"),
        frozenset(token for token in placeholders if token[0] == ":"),
        len(reader.tokens),
    )


_read_cached = lru_cache(_CACHED_TEXTS)(_read)


class _Reader(ExpressionReader):
    """The grammars. Nothing recurses but functions in functions, which are counted."""

    def __init__(self, member: str, text: str) -> None:
        super().__init__(member, text)
        self.targets: list[Path] = []
        self.tests: list[KeyTest] = []

    # --------------------------------------------------------------------------------------------- conditions

    def tests_joined(self, joints: tuple[str, ...], negations: tuple[str, ...], test: Callable[[], None]) -> None:
        """Tests joined by `joints`, in any parentheses, each test or group after any number of `negations`.

        Groups are neither nested nor counted: parentheses are known to match, and what is mentioned does not depend on them.
        """
        while True:
            while True:
                if self.here == "(" and not self._wraps_operand():
                    self.open_parenthesis()
                elif not self.has_taken(*negations):
                    break
            test()
            while self.has_taken(")"):
                pass
            if not self.has_taken(*joints):
                break

    def _wraps_operand(self) -> bool:
        """Whether the present parenthesis stands around an operand, not around a condition."""
        after = self.after_closing()
        return after in COMPARISONS or after in ("BETWEEN", "IN")

    def condition(self) -> None:
        """A condition or filter: any tests, joined by AND and OR."""
        self.tests_joined(("AND", "OR"), ("NOT",), self._condition_test)

    def _condition_test(self) -> None:
        if self.is_call() and self.here != "size":
            self._predicate()
            return
        self.operand()
        if self.has_taken("BETWEEN"):
            self.operand()
            self.expect("AND")
            self.operand()
        elif self.has_taken("IN"):
            self._candidates()
        elif self.has_taken(*COMPARISONS):
            self.operand()
        else:
            self.unexpected()

    def _candidates(self) -> None:
        self.expect("(")
        self.operand()
        count = 1
        while self.has_taken(","):
            self.operand()
            count += 1
        if count > MAX_IN:
            self.refuse(f"has more than {MAX_IN} operands in IN")
        self.expect(")")

    def _predicate(self) -> None:
        arguments = _PREDICATES.get(self.here)
        if arguments is None:
            self.refuse("uses a function that is not known in a condition; names of functions are in lower case")
        self.at += 1
        for sign, argument in zip("(,", arguments, strict=False):
            self.expect(sign)
            argument(self)
        self.expect(")")

    def key_condition(self) -> None:
        """Tests of single key attributes against values, joined by AND."""
        self.tests_joined(("AND",), (), self._key_test)
        if len(self.tests) > MAX_KEY_TESTS or len({test.attribute for test in self.tests}) != len(self.tests):
            self.refuse("tests a key attribute twice, or more attributes than a key can have")

    def _key_test(self) -> None:
        if self.is_call():
            self._key_begins_with()
            return
        left, sign = self.plain_operand(), self.words[self.at]
        if self.has_taken("BETWEEN"):
            low = self._key_value(self.plain_operand())
            self.expect("AND")
            self._note_key_test(left, "between", low, self._key_value(self.plain_operand()))
        elif not self.has_taken(*_FLIPPED):
            self.unexpected()
        elif isinstance(left, str):
            self._note_key_test(self.plain_operand(), _FLIPPED[sign], left)
        else:
            self._note_key_test(left, sign, self._key_value(self.plain_operand()))

    def _key_begins_with(self) -> None:
        if not self.has_taken("BEGINS_WITH") or self.tokens[self.at - 1] != "begins_with":
            self.refuse("uses a function other than begins_with")
        self.expect("(")
        attribute = self.plain_operand()
        self.expect(",")
        self._note_key_test(attribute, "begins_with", self._key_value(self.plain_operand()))
        self.expect(")")

    def _key_value(self, operand: str | Path) -> str:
        if not isinstance(operand, str):
            self.refuse("compares a key attribute with something that is no value")
        return operand

    def _note_key_test(self, attribute: str | Path, kind: str, *values: str) -> None:
        if isinstance(attribute, str) or len(attribute) != 1:
            self.refuse("has a test of something that is no key attribute")
        self.tests.append(KeyTest(str(attribute[0]), kind, values))

    # -------------------------------------------------------------------------------- projections and updates

    def projection(self) -> None:
        """Paths with commas between them."""
        self.read_path()
        while self.has_taken(","):
            self.read_path()

    def update(self) -> None:
        """The clauses SET, REMOVE, ADD and DELETE, at least one, each once."""
        actions = {"SET": self._set, "REMOVE": self._target, "ADD": self._add, "DELETE": self._add}
        while True:
            action = actions.pop(self.words[self.at], None)
            if action is None:
                self.unexpected()
            self.at += 1
            action()
            while self.has_taken(","):
                action()
            if not self.here:
                break

    def _target(self) -> None:
        self.targets.append(self.path())

    def _add(self) -> None:
        self._target()
        self.value()

    def _set(self) -> None:
        self._target()
        self.expect("=")
        if self.here == "(" and self.after_closing() not in ("+", "-"):
            self.open_parenthesis()
            self._sum()
            self.expect(")")
        else:
            self._sum()

    def _sum(self) -> None:
        term = partial(self._term, 0)
        self.wrapped(term)
        if self.has_taken("+", "-"):
            self.wrapped(term)

    def _term(self, calls: int) -> None:
        if not self.is_call():
            self.value_or_path()
            return
        if calls == _MAX_CALLS:
            self.refuse(f"has functions nested more than {_MAX_CALLS} levels deep")
        function, term = self.here, partial(self._term, calls + 1)
        if function not in ("if_not_exists", "list_append"):
            self.refuse("uses a function that is not known in an update; names of functions are in lower case")
        self.at += 2
        if function == "if_not_exists":
            self.wrapped(self.read_path)
        else:
            self.wrapped(term)
        self.expect(",")
        self.wrapped(term)
        self.expect(")")


def _only_path(reader: _Reader) -> None:
    reader.wrapped(reader.read_path)


def _only_value(reader: _Reader) -> None:
    reader.wrapped(reader.value)


def _operand(reader: _Reader) -> None:
    reader.operand()


_PREDICATES: dict[str, tuple[Callable[[_Reader], None], ...]] = {
    "attribute_exists": (_only_path,),
    "attribute_not_exists": (_only_path,),
    "attribute_type": (_operand, _only_value),
    "begins_with": (_operand, _operand),
    "contains": (_operand, _operand),
}
_GRAMMARS: dict[str, Callable[[_Reader], None]] = {
    "ConditionExpression": _Reader.condition,
    "FilterExpression": _Reader.condition,
    "KeyConditionExpression": _Reader.key_condition,
    "ProjectionExpression": _Reader.projection,
    "UpdateExpression": _Reader.update,
}
