"""Partition keys that a rule is about, and what a request proves of them: that it stays inside, or that it stays outside.

Strings and binary values are compared by their bytes (a text of the policy stands for its UTF-8), numbers as decimals, for
`1`, `1.0` and `1e0` are one key. What is not proven is neither inside nor outside.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proxy.model import Identity, Pin

NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 200  # a longer text is no key of anybody's
# What DynamoDB keeps of a number (developer guide, "Naming rules and data types"). In PartiQL it rounds what has more, so that
# `4.99...9` reads the item of key 5.
_DIGITS = 38
_LEAST_EXPONENT, _MOST_EXPONENT = -130, 125


class KeyAttribute(NamedTuple):
    """The attribute that leads a key: of several that make a partition key, the first. `kind` is S, N or B."""

    name: str
    kind: str


class LeadingKeys(NamedTuple):
    """The attributes whose values can show that a touch stays within some partition keys, or without them."""

    table: KeyAttribute | None
    of_index: KeyAttribute | None  # of the index that is read
    both: tuple[KeyAttribute, ...]  # those that are known, the index's first


class TableKeys(NamedTuple):
    """The leading attributes of a table and of its indexes, as declared; None where the table's is not."""

    table: KeyAttribute | None
    indexes: Mapping[str, KeyAttribute]

    def leading(self, action: str, index: str) -> LeadingKeys:
        """What leads where this index is read, or the table itself if `index` is empty."""
        own = self.indexes.get(index) if index else None
        # A Query names an index's key alone. In a statement the table's only filters, and pins nothing, if it does not lead both.
        is_filter = bool(index) and action.startswith("PartiQL") and own != self.table
        table = None if is_filter else self.table
        return LeadingKeys(table, own, tuple(attribute for attribute in (own, table) if attribute is not None))


NO_KEYS = TableKeys(None, {})


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """One text of `exact`, or a `prefix`; at odd places of `pieces` stand names of placeholders, literal text around them."""

    is_prefix: bool
    pieces: tuple[str, ...]

    @property
    def has_placeholders(self) -> bool:
        """True if the text is known per request only."""
        return len(self.pieces) != 1

    def written(self) -> str:
        """The pattern as it stands in the policy."""
        return "".join(f"<{piece}>" if at % 2 else piece for at, piece in enumerate(self.pieces))

    def problem(self, identity: Identity) -> str:
        """Why the placeholders cannot be filled in for this request, or an empty string. Never shows a value."""
        for at in range(1, len(self.pieces), 2):
            name, terminator = self.pieces[at], self.pieces[at + 1][:1]
            value = placeholder_value(name, identity)
            if not value:
                return f"<{name}> is empty"
            if terminator and terminator in value:
                return f"<{name}> holds '{terminator}', which ends it in the key"
        return ""

    def filled(self, identity: Identity) -> str:
        """The text for this request, or an empty string where `problem` has one."""
        if self.problem(identity):
            return ""
        return "".join(placeholder_value(piece, identity) if at % 2 else piece for at, piece in enumerate(self.pieces))

    def of_dag(self, dag_id: str) -> KeyPattern:
        """The pattern with <dag_id> filled in, as far as it can be."""
        pieces = [self.pieces[0]]
        for at in range(1, len(self.pieces), 2):
            name, text = self.pieces[at : at + 2]
            if name == "dag_id" and dag_id and not (text and text[0] in dag_id):
                pieces[-1] += dag_id + text
            else:
                pieces += (name, text)
        return KeyPattern(self.is_prefix, tuple(pieces))


def placeholder_value(name: str, identity: Identity) -> str:
    """What a placeholder stands for in this request; empty where nothing is known."""
    if name == "dag_id":
        return identity.dag_id
    if name == "task_id":
        return identity.task_id
    if name == "run_id":
        return identity.run_id
    return identity.subject.claims.get(name.removeprefix("claim."), "")


class _Texts(NamedTuple):
    """What some patterns say, ready to compare."""

    exact: frozenset[bytes]
    numbers: frozenset[Decimal]
    prefixes: tuple[bytes, ...]


def _ready(texts: Iterator[tuple[bool, str]]) -> _Texts:
    exact, prefixes, numbers = [], [], []
    for is_prefix, text in texts:
        if is_prefix:
            prefixes.append(_bytes(text))
            continue
        exact.append(_bytes(text))
        number = number_of(text)
        if number is not None:
            numbers.append(number)
    return _Texts(frozenset(exact), frozenset(numbers), tuple(prefixes))


class KeyLimit:
    """`keys` of one rule: the partition keys that some patterns name."""

    __slots__ = ("_literal", "_open", "patterns")

    def __init__(self, patterns: tuple[KeyPattern, ...]) -> None:
        self.patterns = patterns
        self._open = tuple(pattern for pattern in patterns if pattern.has_placeholders)
        self._literal = _ready((p.is_prefix, p.pieces[0]) for p in patterns if not p.has_placeholders)

    def of_dag(self, dag_id: str) -> KeyLimit:
        """The limit as it is for one DAG: <dag_id> need not be filled in for each of its requests."""
        return KeyLimit(tuple(pattern.of_dag(dag_id) for pattern in self.patterns)) if self._open else self

    @property
    def is_literal(self) -> bool:
        """True if no placeholder is left that a request must fill in."""
        return not self._open

    def are_inside(self, kind: str, pins: Iterable[Pin | None], identity: Identity) -> bool:
        """True if each pin (of an attribute of this kind) proves that every partition key it means is one that is named."""
        exact, numbers, prefixes = self._wanted(identity) if self._open else self._literal
        before = None
        for pin in pins:
            if pin is None or not pin.values:
                return False
            if pin == before:  # items of one partition come together
                continue
            before = pin
            for value in pin.values:
                key = value_of(kind, value)
                if isinstance(key, bytes):
                    if not key.startswith(prefixes) and (pin.is_prefix or key not in exact):
                        return False
                elif key is None or pin.is_prefix or key not in numbers:
                    return False
        return True

    def is_outside(self, attribute: KeyAttribute, pin: Pin | None, identity: Identity) -> bool:
        """True if the request proves that no partition key it means is one that the patterns name."""
        if pin is None or not pin.values or any(pattern.problem(identity) for pattern in self._open):
            return False
        wanted = self._wanted(identity)
        return all(_is_clear(wanted, value_of(attribute.kind, value), starts=pin.is_prefix) for value in pin.values)

    def _wanted(self, identity: Identity) -> _Texts:
        """Everything that is named for this request; a placeholder that cannot be filled in names nothing."""
        if not self._open:
            return self._literal
        filled = ((pattern.is_prefix, pattern.filled(identity)) for pattern in self._open)
        more = _ready((is_prefix, text) for is_prefix, text in filled if text)
        exact, numbers, prefixes = self._literal
        return _Texts(exact | more.exact, numbers | more.numbers, prefixes + more.prefixes)


def _is_clear(wanted: _Texts, value: bytes | Decimal | None, *, starts: bool) -> bool:
    if value is None:
        return False
    if isinstance(value, Decimal):
        return not starts and value not in wanted.numbers
    if value.startswith(wanted.prefixes):
        return False
    if starts:  # all that begin with `value`: some of them may go on to be what is named
        return not any(text.startswith(value) for text in (*wanted.exact, *wanted.prefixes))
    return value not in wanted.exact


def value_of(kind: str, value: Mapping[str, Any]) -> bytes | Decimal | None:
    """A typed AttributeValue as it is compared, or None if it is not of the key's type or not canonical."""
    text = value.get(kind)
    if len(value) != 1 or type(text) is not str:
        return None
    if kind == "S":
        return text.encode("utf-8", "surrogatepass")  # as `_bytes`, without a call for each item of a batch
    if kind == "N":
        return number_of(text)
    try:
        binary = binascii.a2b_base64(text)  # what is read leniently is not written so again
    except ValueError:
        return None
    return binary if binascii.b2a_base64(binary, newline=False) == text.encode() else None


def number_of(text: str) -> Decimal | None:
    """A number as DynamoDB writes it, exactly; None for anything else, and for one that it would not keep as it is."""
    if len(text) > _LONGEST_NUMBER or not NUMBER.fullmatch(text):
        return None
    try:
        number = Decimal(text)
    except ArithmeticError:  # an exponent beyond all measure
        return None
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    is_kept = len(digits) <= _DIGITS and _LEAST_EXPONENT <= number.adjusted() <= _MOST_EXPONENT
    return number if is_kept or not digits else None


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
