"""Readers of the pieces that team files and platform.yaml share: names, roles, key schemas, moments.

Each reader returns what it could read and records what it could not; `""` and `()` mean that a mistake is recorded.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from proxy.policy.declared import KeySchema, Varied, Word
from proxy.policy.vocabulary import LATER, later
from proxy.yaml_source import Mapping, Mistakes, Node, Place, Scalar, Sequence, known_keys, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATTRIBUTE = re.compile(r"\s*([^(),;\s][^(),;]{0,254}?)\s*\(([SNB])\)\s*")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)
_MOST_OF_A_KEY = 4  # partition and sort key attributes of a global index, each (developer guide, "multi-attribute keys")


def section_of(node: Node | None, what: str, mistakes: Mistakes) -> Mapping:
    """A mapping; one that is empty where the key is absent or its value is something else."""
    if isinstance(node, Mapping):
        return node
    if node is not None:
        mistakes.add(node.place, f"{what} must be a mapping of keys to values; `{{}}` where there is nothing to say")
    return Mapping({}, {}, node.place if node is not None else Place("", 0))


def string_of(node: Node | None, what: str, mistakes: Mistakes) -> str:
    """A string that is not empty; `""` where the key is absent or a mistake is recorded."""
    if isinstance(node, Scalar) and not node.text:
        mistakes.add(node.place, f"{what} is empty; write a value or leave the key out")
    if isinstance(node, Scalar) and not node.text.isprintable():
        mistakes.add(node.place, f"{what} holds a line break or an invisible character; write it without")
        return ""
    return text_of(node, what, mistakes)


def check_fields(mapping: Mapping, known: tuple[str, ...], what: str, mistakes: Mistakes) -> None:
    """Record unknown fields, and those that this version does not carry out."""
    plain = Mapping(mapping.entries, {k: v for k, v in mapping.keys.items() if k not in LATER}, mapping.place)
    known_keys(plain, known, what, mistakes)
    for field, key in mapping.keys.items():
        if field in LATER:
            mistakes.add(key.place, later(field))


def entries_of(node: Node | None, what: str, mistakes: Mistakes) -> Iterator[tuple[str, Scalar, Node]]:
    """Name, key and value of each entry; a key that other YAML readers take for something else must be quoted."""
    section = section_of(node, what, mistakes)
    for name, value in section.entries.items():
        key = section.keys[name]
        if string_of(key, f"a name in {what}", mistakes):
            yield name, key, value


def list_of(node: Node | None, what: str, mistakes: Mistakes) -> tuple[Node, ...]:
    """The items of a list; an empty list is a mistake, for nobody can say whether it means all or none."""
    if node is None:
        return ()
    if not isinstance(node, Sequence):
        mistakes.add(node.place, f"{what} must be a list, for example [a, b]")
        return ()
    if not node.items:
        mistakes.add(node.place, f"{what} is empty; write what it covers or leave the key out")
    return node.items


def words_of(node: Node | None, what: str, mistakes: Mistakes) -> tuple[Word, ...]:
    """A list of strings with their places; those with mistakes are left out."""
    words = (Word(string_of(item, f"an entry of {what}", mistakes), item.place) for item in list_of(node, what, mistakes))
    return tuple(word for word in words if word.text)


def globs_of(node: Node | None, what: str, legal: re.Pattern[str], mistakes: Mistakes) -> tuple[str, ...] | None:
    """A list of globs, or None where the key is absent. A list of exclusions only is a mistake: it matches nothing."""
    if node is None:
        return None
    words = words_of(node, what, mistakes)
    for word in words:
        if not legal.fullmatch(word.text):
            mistakes.add(
                word.place, f"{what}: `{word.text}` is not a name or a glob of names (`*`, `?`, `!` in front to exclude)"
            )
    if words and all(word.text.startswith("!") for word in words):
        mistakes.add(node.place, f'{what} holds exclusions only and matches nothing; add what they take from, for example "*"')
    return tuple(word.text for word in words)


def varied_of(node: Node | None, what: str, mistakes: Mistakes) -> Varied | None:
    """A string, or a mapping with one string for each environment."""
    if not isinstance(node, Mapping):
        return None if node is None else Varied(node.place, string_of(node, what, mistakes))
    if not node.entries:
        mistakes.add(node.place, f"{what} is empty; write a string, or one for each environment")
        return Varied(node.place)
    values = {name: Word(string_of(value, what, mistakes), value.place) for name, _, value in entries_of(node, what, mistakes)}
    return Varied(node.place, by_environment=values)


def key_schema_of(node: Node | None, what: str, mistakes: Mistakes, *, is_index: bool = False) -> KeySchema | None:
    """`"pk (S), sk (N)"`: partition key, then sort key, each with its type S, N or B.

    A global index may have up to four of each, parted by a semicolon: `"tenant (S), region (S); created_at (N)"`.
    """
    if node is None:
        return None
    text = string_of(node, what, mistakes)
    if not text:
        return None
    partition, sort = _key_parts(text)
    attributes = (*partition, *sort)
    most = _MOST_OF_A_KEY if is_index else 1
    if None in attributes or not 1 <= len(partition) <= most or len(sort) > most:
        hint = '"pk (S), sk (N)"' + (
            '; of several attributes each: "a (S), b (S); c (N)"' if is_index and len(attributes) > 2 else ""
        )
        mistakes.add(node.place, f"{what}: write the partition key, then the sort key if there is one: {hint}")
        return None
    known = [found for found in attributes if found is not None]
    twice = next((name for at, (name, _) in enumerate(known) if name in {other for other, _ in known[:at]}), "")
    if twice:
        mistakes.add(node.place, f"{what} names `{twice}` twice")
        return None
    return KeySchema(tuple(known[: len(partition)]), tuple(known[len(partition) :]))


_KeyPart = list[tuple[str, str] | None]


def _key_parts(text: str) -> tuple[_KeyPart, _KeyPart]:
    """Partition and sort key attributes; None for what is none."""
    first, semicolon, second = text.partition(";")
    before = _attributes_in(first)
    if not semicolon:
        return (before[:1], before[1:]) if len(before) <= 2 else ([None], before)  # which of three lead, only a semicolon says
    return before, _attributes_in(second) if second.strip() else []


def _attributes_in(text: str) -> _KeyPart:
    found = (_ATTRIBUTE.fullmatch(piece) for piece in text.split(","))
    return [(match[1], match[2]) if match else None for match in found]


def moment_of(node: Node | None, what: str, mistakes: Mistakes) -> float:
    """Seconds since the epoch at which something ends: `"2026-11-30T18:00Z"`; `"2026-11-30"` is the end of that day in UTC."""
    if node is None:
        return 0.0
    text = string_of(node, what, mistakes)
    if not text:
        return 0.0
    try:
        if _DAY.fullmatch(text):
            return (datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        pass
    mistakes.add(node.place, f'{what}: write a day or a moment with its zone, for example "2027-01-31" or "2027-01-31T18:00Z"')
    return 0.0
