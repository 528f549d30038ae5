"""A first policy as text: what was found elsewhere, in the words of the policy language, to be read and mended by a person.

What cannot be said in the language is a comment with the reason; what was not known and had to be written is marked
REPLACE. The text passes `check` as it stands, and it grants nothing that was not found.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.actions import READ, WRITE
from proxy.policy.patterns import TABLE_NAME
from proxy.policy.written import flow_list, quoted, rule, scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REPLACE = "REPLACE"
_NOT_DAG = re.compile(r"[^\w.-]", re.ASCII)
_ORDER = {action: at for at, action in enumerate(("read", "write", "GetItem", "Query", "Scan", "PutItem", "UpdateItem"))}
_LOSING = frozenset({"PutItem"})  # takes away what it does not name: attributes alone do not give it. Deletes never have any
_LINE = 126

_Keys = tuple[tuple[bool, str], ...]  # (is_prefix, text)


@dataclass(frozen=True, slots=True)
class Right:
    """One right of one DAG to one table or index; `is_allowed` False: a deny."""

    is_allowed: bool
    table: str  # real name; empty for what is done without a table
    index: str
    keys: _Keys = ()
    attributes: tuple[str, ...] = ()


@dataclass(slots=True)
class DraftDag:
    """One DAG: its role, and actions by right in the order in which they were found."""

    role: str = ""
    rights: dict[Right, set[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, right: Right, action: str) -> None:
        """One more action."""
        self.rights.setdefault(right, set()).add(action)


@dataclass(slots=True)
class Draft:
    """Everything that was found. `keys` are key schemas as far as they are known: `{"orders": "pk (S)"}`."""

    source: str
    dags: dict[str, DraftDag] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def dag(self, dag_id: str) -> DraftDag:
        """The DAG of this id, made if it is new."""
        return self.dags.setdefault(dag_id, DraftDag())

    def render(self) -> str:
        """The policy file."""
        lines = [f"# A first policy, drafted from {self.source}. Read every line; what is marked {REPLACE} was not known."]
        lines += [f"# {line}" for note in dict.fromkeys(self.notes) for line in _wrapped(note)]
        dags = {name: dag for name, dag in sorted(self.dags.items()) if _any(dag)}
        for name, dag in sorted(self.dags.items()):
            if name not in dags:
                dag.notes += [
                    f"{', '.join(sorted(actions))} need no table, and a rule must name one" for actions in dag.rights.values()
                ]
                lines += [f"# {line}" for note in dict.fromkeys(dag.notes) for line in _wrapped(f"{name}: {note}")]
        if not dags:
            lines.append("# Nothing was found that a rule could be made of.")
        lines += _tables(dags, self.keys)
        lines.append("dags:" if dags else "dags: {}")
        for name, dag in dags.items():
            lines += _dag(name, dag)
        tests = [line for name, dag in dags.items() for line in _tests(name, dag)]
        return "\n".join([*lines, *(["tests:"] if tests else []), *tests]) + "\n"


def dag_id_of(name: str) -> str:
    """`name` as a DAG id: other characters become `_`."""
    return _NOT_DAG.sub("_", name)[:250] or REPLACE


def is_table_name(name: str) -> bool:
    """True if a table can have this name."""
    return TABLE_NAME.fullmatch(name) is not None


def shown_in_comment(text: str) -> str:
    """Text from outside, fit for one line of a comment."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:200]


def _wrapped(note: str) -> list[str]:
    """A note in lines of a comment, broken at spaces."""
    return textwrap.wrap(note, _LINE - 10, break_long_words=False, break_on_hyphens=False)


def _tables(dags: Mapping[str, DraftDag], keys: Mapping[str, str]) -> list[str]:
    """`tables:` with every table and index that a rule names; a key where it is known or a rule cannot do without."""
    indexes: dict[str, set[str]] = {}
    keyed = set()
    for right in (right for dag in dags.values() for right in dag.rights if right.table):
        indexes.setdefault(right.table, set()).update({right.index} - {""})
        if right.keys:
            keyed.add(right.table)
    lines = []
    for table, names in sorted(indexes.items()):
        fields = []
        if table in keys or table in keyed:
            fields.append(f"key: {quoted(keys.get(table, f'{REPLACE} (S)'))}")
        if names:
            fields.append("indexes: {" + ", ".join(f'{scalar(name)}: "{REPLACE} (S)"' for name in sorted(names)) + "}")
        unknown = f"  # {REPLACE}: the key's real name and type (S, N or B)" if any(REPLACE in text for text in fields) else ""
        lines.append(f"  {scalar(table)}: {{{', '.join(fields)}}}{unknown}")
    return ["tables:", *lines] if lines else []


def _dag(name: str, dag: DraftDag) -> list[str]:
    lines = [f"  {scalar(name)}:"]
    lines += [f"    # {line}" for note in dict.fromkeys(dag.notes) for line in _wrapped(note)]
    lines.append(f"    role: {scalar(dag.role)}" + (f"  # {REPLACE}" if REPLACE in dag.role else ""))
    for effect, is_allowed in (("allow", True), ("deny", False)):
        rules = [f"      - {line}" for line in _rules(dag, is_allowed=is_allowed)]
        if rules:
            lines += [f"    {effect}:", *rules]
    return lines


def _rules(dag: DraftDag, *, is_allowed: bool) -> Iterable[str]:
    """One rule for all tables that have the same actions, keys and attributes."""
    grouped: dict[tuple[tuple[str, ...], str, _Keys, tuple[str, ...]], list[str]] = {}
    for right, actions in dag.rights.items():
        if right.is_allowed is is_allowed:
            grouped.setdefault((_grouped(actions), right.index, right.keys, right.attributes), []).append(right.table)
    for (words, index, keys, attributes), tables in grouped.items():
        named = sorted(table for table in tables if table) or _any(dag)
        yield rule(words, named, indexes=[index] if index else (), keys=keys, attributes=attributes)


def _any(dag: DraftDag) -> list[str]:
    """Some table of the DAG's: a rule must name one, though its action needs none."""
    return sorted(right.table for right in dag.rights if right.table)[:1]


def _grouped(actions: set[str]) -> tuple[str, ...]:
    """`read` and `write` where all of a group is there; nothing is added."""
    words = set(actions)
    for word, group in (("read", READ), ("write", WRITE)):
        if group <= words:
            words = (words - group) | {word}
    return tuple(sorted(words, key=lambda word: (_ORDER.get(word, len(_ORDER)), word)))


def _tests(name: str, dag: DraftDag) -> Iterable[str]:
    """One test for each right: that what was found stays allowed, and what was denied stays denied."""
    denied = {right.table for right in dag.rights if not right.is_allowed}
    for right, actions in dag.rights.items():
        calls = sorted(actions - (_LOSING if right.attributes and right.is_allowed else frozenset()) - {"*"})
        if not calls or not right.table or (right.is_allowed and right.table in denied):
            continue
        fields = [f"dag: {scalar(name)}", f"call: {calls[0]}", f"table: {scalar(right.table)}"]
        if right.index:
            fields.append(f"index: {scalar(right.index)}")
        if right.keys:
            is_prefix, text = right.keys[0]
            fields.append(f"key: {quoted(text + '1' if is_prefix else text)}")
        if right.attributes:
            fields.append(f"attributes: {flow_list(right.attributes)}")
        yield f"  - {{{', '.join(fields)}, expect: {'allow' if right.is_allowed else 'deny'}}}"
