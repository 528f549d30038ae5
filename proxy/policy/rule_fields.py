"""Readers of rules: what `actions`, `keys` and `attributes` may say in allow, deny and require.

In `keys` every text is quoted, for YAML cuts `orders #x` short and bends numbers; a placeholder is followed by a sign that
ends it, for without one the keys of DAG `orders` would hold those of `orders_v2`.
"""

from __future__ import annotations

import re

from proxy.actions import ALL, GROUPS, READ, WITH_INDEX
from proxy.policy.declared import KeyDeclaration, RequirementDeclaration, RuleDeclaration, Word
from proxy.policy.fields import check_fields, globs_of, list_of, string_of, words_of
from proxy.policy.patterns import PLACEHOLDER, TABLE_GLOB
from proxy.policy.vocabulary import (
    ATTRIBUTED,
    KEYED,
    PER_REQUEST,
    REQUIRE_FIELDS,
    RULE_FIELDS,
    SHAPES,
    STOPPING_GROUPS,
    unknown_action,
)
from proxy.yaml_source import Mapping, Mistakes, Node, Place, Scalar, Sequence, boolean_of, integer_of

_TASK_GLOB = re.compile(r"!?[\w.*?-]{1,250}")
_CLAIM = re.compile(r"claim\.[\w.-]{1,64}")
_KEY_FIELDS = ("exact", "prefix")


def rules_of(node: Node | None, what: str, mistakes: Mistakes, *, denies: bool) -> tuple[RuleDeclaration, ...]:
    """The rules of one `allow` or `deny` list, in order."""
    return tuple(_rule(item, what, RULE_FIELDS, mistakes, denies=denies) for item in _rule_nodes(node, what, mistakes))


def requirements_of(node: Node | None, mistakes: Mistakes) -> tuple[RequirementDeclaration, ...]:
    """The rules of `require`, in order."""
    return tuple(_requirement(item, mistakes) for item in _rule_nodes(node, "require", mistakes))


def _rule_nodes(node: Node | None, what: str, mistakes: Mistakes) -> list[Mapping]:
    if isinstance(node, Sequence) and not node.items:
        return []
    rules = []
    for item in list_of(node, f"`{what}`", mistakes):
        if isinstance(item, Mapping):
            rules.append(item)
        else:
            mistakes.add(item.place, f"a rule in `{what}` must read {{actions: [...], tables: [...]}}")
    return rules


def _rule(rule: Mapping, what: str, known: tuple[str, ...], mistakes: Mistakes, *, denies: bool) -> RuleDeclaration:
    check_fields(rule, known, f"a rule in `{what}`", mistakes)
    for field in ("actions", "tables"):
        if field not in rule:
            mistakes.add(rule.place, f"the rule has no `{field}`; add {field}: [...]")
    written = words_of(rule.get("actions"), "`actions`", mistakes)
    actions = _actions(written, mistakes, has_indexes="indexes" in rule, denies=denies, place=rule.place)
    if not denies:
        _check_limits(rule, written, mistakes)
    elif actions and actions >= READ and "Scan" not in actions:
        mistakes.warn(
            rule.place, "`read` does not hold Scan, so scanning passes this rule by; write [read, Scan] if it should not"
        )
    return RuleDeclaration(
        place=rule.place,
        written=tuple(word.text for word in written),
        actions=actions,
        tables=words_of(rule.get("tables"), "`tables`", mistakes),
        indexes=globs_of(rule.get("indexes"), "`indexes`", TABLE_GLOB, mistakes),
        tasks=globs_of(rule.get("tasks"), "`tasks`", _TASK_GLOB, mistakes),
        environments=words_of(rule.get("environments"), "`environments`", mistakes) if "environments" in rule else None,
        keys=_keys(rule.entries["keys"], mistakes, denies=denies) if "keys" in rule and known is RULE_FIELDS else None,
        attributes=_attributes(rule.get("attributes"), mistakes) if "attributes" in rule and known is RULE_FIELDS else None,
        denies=denies,
    )


# --------------------------------------------------------------------------------------------- actions


def _actions(
    written: tuple[Word, ...], mistakes: Mistakes, *, has_indexes: bool, denies: bool, place: Place
) -> frozenset[str] | None:
    """The actions that `written` stands for; None for whatever there is."""
    if denies and any(word.text == "*" for word in written):
        return None
    groups = {**GROUPS, **STOPPING_GROUPS} if denies else GROUPS
    actions: set[str] = set()
    for word in written:
        if word.text in groups:
            actions |= groups[word.text]
        elif word.text not in ALL:
            mistakes.add(word.place, unknown_action(word.text))
        elif has_indexes and word.text not in WITH_INDEX:
            mistakes.add(word.place, f"{word.text} never reaches an index; write it in a rule of its own, without `indexes`")
        else:
            actions.add(word.text)
    if has_indexes and actions and not actions & WITH_INDEX:
        mistakes.add(place, "no action of the rule reaches an index; write Query or Scan, or leave `indexes` out")
    return frozenset(actions & WITH_INDEX if has_indexes else actions)


def _check_limits(rule: Mapping, written: tuple[Word, ...], mistakes: Mistakes) -> None:
    """Actions that an allow rule names and that could never keep within its keys or attributes."""
    for word in written:
        if word.text not in ALL:
            continue
        if "keys" in rule and word.text not in KEYED:
            why = "reads every key" if word.text == "Scan" else "cannot be held to some keys"
            mistakes.add(word.place, f"{word.text} {why}; write it in a rule of its own, without `keys`")
        if "attributes" in rule and word.text not in ATTRIBUTED:
            mistakes.add(
                word.place, f"{word.text} cannot be held to some attributes; write it in a rule of its own, without `attributes`"
            )
        if "attributes" in rule and word.text in ("DeleteItem", "PartiQLDelete"):
            mistakes.warn(
                word.place,
                f"{word.text} takes every attribute away, so a rule with `attributes` does not cover it; "
                "write it in a rule of its own, without `attributes`",
            )


# ---------------------------------------------------------------------------------- keys and attributes


def _keys(node: Node, mistakes: Mistakes, *, denies: bool) -> tuple[KeyDeclaration, ...]:
    """`{prefix: "a#"}`, `{exact: ["a", "b"]}`, or a list of such."""
    found: list[KeyDeclaration] = []
    for item in list_of(node, "`keys`", mistakes) if isinstance(node, Sequence) else (node,):
        if not isinstance(item, Mapping) or not item.entries:
            mistakes.add(item.place, '`keys` says which: {prefix: "..."}, {exact: ["...", "..."]}, or a list of such')
            continue
        check_fields(item, _KEY_FIELDS, "`keys`", mistakes)
        if "prefix" in item:
            found.append(_key(item.entries["prefix"], mistakes, is_prefix=True))
        found += [_key(text, mistakes, is_prefix=False) for text in list_of(item.get("exact"), "`exact` of `keys`", mistakes)]
    for key in found:
        _check_placeholders(key, mistakes, denies=denies)
    return tuple(key for key in found if key.word.text)


def _key(node: Node, mistakes: Mistakes, *, is_prefix: bool) -> KeyDeclaration:
    what = "`prefix` of `keys`" if is_prefix else "`exact` of `keys`"
    place = node.place
    if isinstance(node, Scalar) and not node.quoted and node.text:
        mistakes.add(
            place, f"{what} must be quoted: YAML cuts plain text at ` #` and bends numbers, and reads this as `{node.text}`"
        )
        return KeyDeclaration(is_prefix, Word("", place))
    return KeyDeclaration(is_prefix, Word(string_of(node, what, mistakes), place))


def _check_placeholders(key: KeyDeclaration, mistakes: Mistakes, *, denies: bool) -> None:
    """Each placeholder is known and ended by a sign; only the last of an `exact` is ended by the end."""
    text, place = key.word.text, key.word.place
    pieces = PLACEHOLDER.split(text)
    for at in range(1, len(pieces), 2):
        name, terminator = pieces[at], pieces[at + 1]
        if name not in ("env", "team", *PER_REQUEST) and not _CLAIM.fullmatch(name):
            mistakes.add(
                place,
                f"`keys`: there is no placeholder `<{name}>`; known: <env>, <team>, <dag_id>, <task_id>, <run_id>, <claim.NAME>",
            )
        elif not terminator and (key.is_prefix or at + 2 != len(pieces)):
            mistakes.add(
                place,
                f"`keys`: write a sign after <{name}> that its value never holds, for example <{name}>#; "
                "without one the keys of `orders` hold those of `orders_v2`",
            )
    if not denies and len(pieces) > 1 and not pieces[0] and pieces[1] in ("task_id", "run_id"):
        mistakes.warn(
            place, f"`keys`: the caller chooses <{pieces[1]}>, and with it the keys; begin with <dag_id># or with a fixed text"
        )


def _attributes(node: Node | None, mistakes: Mistakes) -> tuple[Word, ...]:
    words = words_of(node, "`attributes`", mistakes)
    for word in words:
        if "*" in word.text or "?" in word.text or PLACEHOLDER.search(word.text):
            mistakes.add(word.place, f"`attributes`: `{word.text}`: names are exact, without globs and placeholders")
        elif "." in word.text or "[" in word.text:
            mistakes.warn(
                word.place,
                f"`attributes` are those at the top of an item; `{word.text}` is one with such a name, not a path into one",
            )
    return words


# -------------------------------------------------------------------------------------------- require


def _requirement(node: Mapping, mistakes: Mistakes) -> RequirementDeclaration:
    rule = _rule(node, "require", REQUIRE_FIELDS, mistakes, denies=True)
    shapes = [shape for shape in SHAPES if shape in node]
    if not shapes:
        mistakes.add(node.place, f"the rule in `require` asks for nothing; add some of {', '.join(SHAPES)}")
    for shape in shapes:
        if rule.actions and not rule.actions & SHAPES[shape]:
            mistakes.add(node.place_of(shape), f"`{shape}` is of {', '.join(sorted(SHAPES[shape]))}; the rule has none of them")
    evidence = string_of(node.get("evidence"), "`evidence`", mistakes)
    if evidence not in ("", "verified"):
        mistakes.add(node.place_of("evidence"), f"`evidence` in `require` is verified, not `{evidence}`")
    return RequirementDeclaration(
        rule=rule,
        max_limit=_at_least_one(node, "max_limit", mistakes),
        max_segments=_at_least_one(node, "max_segments", mistakes),
        condition=_is_true(node, "condition", mistakes),
        client_token=_is_true(node, "client_token", mistakes),
        evidence=bool(evidence),
    )


def _at_least_one(node: Mapping, field: str, mistakes: Mistakes) -> int:
    value = node.get(field)
    if value is None:
        return 0
    before = len(mistakes.errors)
    number = integer_of(value, f"`{field}`", mistakes)
    if number < 1 and len(mistakes.errors) == before:
        mistakes.add(value.place, f"`{field}` is at least 1")
    return number


def _is_true(node: Mapping, field: str, mistakes: Mistakes) -> bool:
    value = node.get(field)
    if value is None:
        return False
    before = len(mistakes.errors)
    if not boolean_of(value, f"`{field}`", mistakes) and len(mistakes.errors) == before:
        mistakes.add(value.place, f"`{field}: false` asks for nothing; leave it out")
    return True
