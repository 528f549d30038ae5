"""Readers of the pieces that team files and platform.yaml share: rules, names, roles, key schemas.

Each reader returns what it could read and records what it could not; `""` and `()` mean that a mistake is recorded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.policy.declared import KeySchema, RuleDeclaration, Varied, Word
from proxy.policy.patterns import TABLE_GLOB
from proxy.policy.vocabulary import ACTIONS, GROUPS, INDEX_ACTIONS, LATER, READ, RULE_FIELDS, later, unknown_action
from proxy.yaml_source import Mapping, Mistakes, Node, Place, Scalar, Sequence, known_keys, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATTRIBUTE = re.compile(r"\s*([^(),\s][^(),]{0,254}?)\s*\(([SNB])\)\s*")


def section_of(node: Node | None, what: str, mistakes: Mistakes) -> Mapping:
    """A mapping; one that is empty where the key is absent or its value is something else."""
    if isinstance(node, Mapping):
        return node
    if node is not None:
        mistakes.add(node.place, f"{what} must be a mapping of keys to values; `{{}}` where there is nothing to say")
    return Mapping({}, {}, node.place if node is not None else Place("", 0))


def string_of(node: Node | None, what: str, mistakes: Mistakes) -> str:
    """A string that is not empty; `""` where the key is absent or a mistake is recorded."""
    if isinstance(node, Scalar) and node.quoted and not node.text:
        mistakes.add(node.place, f"{what} is empty; write a value or leave the key out")
    if isinstance(node, Scalar) and not node.text.isprintable():
        mistakes.add(node.place, f"{what} holds a line break or an invisible character; write it without")
        return ""
    return text_of(node, what, mistakes)


def check_fields(mapping: Mapping, known: tuple[str, ...], what: str, mistakes: Mistakes) -> None:
    """Record unknown fields, and those that this version does not carry out."""
    plain = Mapping(mapping.entries, {k: v for k, v in mapping.keys.items() if k not in LATER or k in known}, mapping.place)
    known_keys(plain, known, what, mistakes)
    for field, key in mapping.keys.items():
        if field not in plain.keys:
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


def key_schema_of(node: Node | None, what: str, mistakes: Mistakes) -> KeySchema | None:
    """`"pk (S), sk (N)"`: partition key, then sort key, each with its type S, N or B."""
    text = string_of(node, what, mistakes)
    if not text or node is None:
        return None
    found = [_ATTRIBUTE.fullmatch(piece) for piece in text.split(",")]
    attributes = tuple((match[1], match[2]) for match in found if match)
    if len(attributes) < len(found) or len(attributes) > 2:
        mistakes.add(node.place, f'{what}: write the partition key, then the sort key if there is one: "pk (S), sk (N)"')
        return None
    if len({name for name, _ in attributes}) < len(attributes):
        mistakes.add(node.place, f"{what} names `{attributes[0][0]}` twice")
        return None
    return KeySchema(attributes)


def rules_of(node: Node | None, what: str, mistakes: Mistakes, *, denies: bool) -> tuple[RuleDeclaration, ...]:
    """The rules of one `allow` or `deny` list, in order."""
    if isinstance(node, Sequence) and not node.items:
        return ()
    return tuple(
        _rule(item, what, mistakes, denies=denies)
        for item in list_of(node, f"`{what}`", mistakes)
        if isinstance(item, Mapping) or _not_a_rule(item, what, mistakes)
    )


def _not_a_rule(item: Node, what: str, mistakes: Mistakes) -> bool:
    mistakes.add(item.place, f"a rule in `{what}` must read {{actions: [...], tables: [...]}}")
    return False


def _rule(node: Node, what: str, mistakes: Mistakes, *, denies: bool) -> RuleDeclaration:
    rule = section_of(node, "a rule", mistakes)
    check_fields(rule, RULE_FIELDS, f"a rule in `{what}`", mistakes)
    for field in ("actions", "tables"):
        if field not in rule:
            mistakes.add(rule.place, f"the rule has no `{field}`; add {field}: [...]")
    written = words_of(rule.get("actions"), "`actions`", mistakes)
    has_indexes = "indexes" in rule
    actions = _actions(written, mistakes, has_indexes=has_indexes, denies=denies, place=rule.place)
    return RuleDeclaration(
        place=rule.place,
        written=tuple(word.text for word in written),
        actions=actions,
        tables=words_of(rule.get("tables"), "`tables`", mistakes),
        indexes=globs_of(rule.get("indexes"), "`indexes`", TABLE_GLOB, mistakes),
        tasks=globs_of(rule.get("tasks"), "`tasks`", _TASK_GLOB, mistakes),
        environments=words_of(rule.get("environments"), "`environments`", mistakes) if "environments" in rule else None,
    )


_TASK_GLOB = re.compile(r"!?[\w.*?-]{1,250}")


def _actions(
    written: tuple[Word, ...], mistakes: Mistakes, *, has_indexes: bool, denies: bool, place: Place
) -> frozenset[str] | None:
    """The item-level actions that `written` stands for."""
    if denies and any(word.text == "*" for word in written):
        return None
    actions: set[str] = set()
    for word in written:
        if word.text in GROUPS:
            actions |= GROUPS[word.text]
        elif word.text not in ACTIONS:
            mistakes.add(word.place, unknown_action(word.text))
        elif has_indexes and word.text not in INDEX_ACTIONS:
            mistakes.add(word.place, f"{word.text} never reaches an index; write it in a rule of its own, without `indexes`")
        else:
            actions.add(word.text)
    if has_indexes and actions and not actions & INDEX_ACTIONS:
        mistakes.add(place, "no action of the rule reaches an index; write Query or Scan, or leave `indexes` out")
    if denies and actions >= READ and "Scan" not in actions:
        mistakes.warn(place, "`read` does not hold Scan, so this rule does not deny scanning; write [read, Scan] if it should")
    return frozenset(actions & INDEX_ACTIONS if has_indexes else actions)
