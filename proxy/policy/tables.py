"""What a rule says of its tables, against what their file declares of them: names, indexes, keys and their types.

A limit on keys needs to know which attribute is the key and of what type; without it no request could prove anything.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from proxy.policy.keys import number_of
from proxy.policy.patterns import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.policy.declared import KeyDeclaration, KeySchema, RuleDeclaration, TableDeclaration, Word
    from proxy.yaml_source import Mistakes

_SEARCHES = frozenset(("Query", "Scan", "PartiQLSelect"))


def check_rule_tables(
    rule: RuleDeclaration, tables: Mapping[str, TableDeclaration], mistakes: Mistakes, file: str = "this file"
) -> None:
    """Record tables and indexes that are not declared in `file`, and limits that their keys do not allow."""
    for word in rule.tables:
        table = tables.get(word.text)
        if table is None:
            mistakes.add(word.place, no_table(word.text, tables, file))
            continue
        unknown = [index for index in rule.indexes or () if index not in table.indexes]
        for index in unknown:
            known = ", ".join(table.indexes) or "none"
            mistakes.add(
                rule.place, f"table `{word.text}` declares no index `{index}` (declared: {known}); add it under indexes: there"
            )
        if rule.keys is not None and not unknown:
            _check_keys(rule, rule.keys, word, table, mistakes)
        if rule.attributes is not None and not unknown:
            _check_attributes(rule, rule.attributes, word, table, mistakes)


def no_table(name: str, tables: Mapping[str, TableDeclaration], file: str = "this file") -> str:
    """What is wrong with the name of a table that the file does not declare."""
    if "*" in name or "?" in name or "<" in name:
        return f"`{name}`: rules name the tables of their file one by one; globs and placeholders are for name: and platform.yaml"
    near = difflib.get_close_matches(name, tables)
    hint = f"did you mean `{near[0]}`?" if near else f"declare it under tables: in {file}"
    return f"{file} declares no table `{name}`; {hint}"


def _check_keys(
    rule: RuleDeclaration, keys: tuple[KeyDeclaration, ...], word: Word, table: TableDeclaration, mistakes: Mistakes
) -> None:
    if rule.indexes is None and table.key is None:
        mistakes.add(
            rule.place, f'table `{word.text}` declares no key, and `keys` needs it; write key: "pk (S)" or the like under tables:'
        )
    for name, kind in _leading(rule, table):
        if kind != "N":
            continue
        for key in keys:
            text = key.word.text
            if key.is_prefix:
                mistakes.add(
                    key.word.place,
                    f"`{name}` of table `{word.text}` is a number, which has many spellings and no prefix; write exact: [...]",
                )
            elif not PLACEHOLDER.search(text) and number_of(text) is None:
                mistakes.add(key.word.place, f"`{name}` of table `{word.text}` is a number, and `{text}` is none")


def _check_attributes(
    rule: RuleDeclaration, attributes: tuple[Word, ...], word: Word, table: TableDeclaration, mistakes: Mistakes
) -> None:
    """Nearly every request names the key: an item's own, that of a key condition. A list that forgets it allows little."""
    names = {attribute.text for attribute in attributes}
    if rule.denies:
        leading = [f"`{name}`" for name, _ in _leading(rule, table) if name in names]
        if leading and rule.actions is not None:
            mistakes.warn(rule.place, f"requests name the key {leading[0]} of table `{word.text}`, so the rule denies them all")
        return
    wanted = [name for schema in _schemas(rule, table) for name in _needed(schema, rule.actions or frozenset())]
    missing = [f"`{name}`" for name in dict.fromkeys(wanted) if name not in names]
    if missing:
        mistakes.warn(rule.place, f"requests name the key of table `{word.text}`; add {', '.join(missing)} to `attributes`")


def _needed(schema: KeySchema, actions: frozenset[str]) -> list[str]:
    """The key attributes that any request with one of these actions names. Next pages name none: their key goes out sealed."""
    if not actions <= _SEARCHES:
        return [name for name, _ in (*schema.partition, *schema.sort)]
    return [name for name, _ in schema.partition] if actions - {"Scan"} else []


def _leading(rule: RuleDeclaration, table: TableDeclaration) -> Iterator[tuple[str, str]]:
    """Name and type of each attribute that leads a key which the rule covers."""
    return (schema.leading for schema in _schemas(rule, table))


def _schemas(rule: RuleDeclaration, table: TableDeclaration) -> Iterator[KeySchema]:
    """The keys, as far as they are declared, of what the rule covers: the table, or some indexes."""
    schemas = [table.key] if rule.indexes is None else [table.indexes[index] for index in rule.indexes]
    return (schema for schema in schemas if schema is not None)
