"""From the texts of policy files to what they say: every section known, every mistake collected, nothing guessed.

platform.yaml is known by its name; its sections are refused in any other file, and theirs in it. What the files say is
then resolved for one environment (`resolve`). Nothing here reads a disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from proxy.policy.declared import DagDeclaration, PlatformFile, TableDeclaration, TeamFile, Varied, Word
from proxy.policy.declared_tests import declared_test
from proxy.policy.fields import (
    check_fields,
    entries_of,
    key_schema_of,
    list_of,
    section_of,
    string_of,
    varied_of,
    words_of,
)
from proxy.policy.patterns import DAG_PATTERN, LOGICAL_NAME
from proxy.policy.platform import read_platform
from proxy.policy.resolve import resolve
from proxy.policy.rule_fields import rules_of
from proxy.policy.tables import check_rule_tables, no_table
from proxy.policy.vocabulary import DAG_FIELDS, DEFAULTS_FIELDS, PLATFORM_FILES, PLATFORM_SECTIONS, TEAM_SECTIONS
from proxy.yaml_source import Mapping, Mistakes, Node, Place, Scalar, mapping_of, read_yaml

if TYPE_CHECKING:
    import collections.abc as abc

    from proxy.policy.rules import Policies

_TO_WRITE = "write tables: and dags: with at least one rule, as in policies/orders.yaml"
_TO_WRITE_IN_PLATFORM = f"write what holds for all teams, in some of {', '.join(PLATFORM_SECTIONS)}"


@dataclass(frozen=True, slots=True)
class Document:
    """All files, as written, and the digest that names them."""

    platform: PlatformFile
    teams: tuple[TeamFile, ...]
    digest: str
    is_whole: bool  # False where a file could not be read at all, so that what others say of it cannot be judged


def read_policies(files: abc.Mapping[str, str], environment: str, region: str, mistakes: Mistakes) -> Policies | None:
    """The policies of one environment, or None with every mistake recorded.

    `files` maps names, as messages shall show them, to texts; `environment` is one of platform.yaml's, or whatever the
    settings say where it has none; `region` is used where the environment names none.
    """
    document = read_document(files, mistakes)
    policies = resolve(document, environment, region, mistakes) if document.is_whole else None
    return None if mistakes.errors else policies


def read_document(files: abc.Mapping[str, str], mistakes: Mistakes) -> Document:
    """Read every file. Mistakes within one file are recorded here, those between files by `resolve`."""
    platform = PlatformFile("platform.yaml", Place("platform.yaml", 0))
    teams = []
    is_whole = True
    platform_files = [name for name in sorted(files) if PurePath(name).name in PLATFORM_FILES]
    for extra in platform_files[1:]:
        mistakes.add(Place(extra, 0), f"is a second platform file beside {platform_files[0]}; keep one")
    for name in sorted(files):
        node = _top_of(files[name], name, mistakes)
        if node is None:
            is_whole = False
        elif name in platform_files:
            _check_sections(node, PLATFORM_SECTIONS, TEAM_SECTIONS, "stands in the files of teams, not here", mistakes)
            platform = read_platform(node, name, mistakes)
        else:
            _check_sections(node, TEAM_SECTIONS, PLATFORM_SECTIONS, "may stand in platform.yaml only", mistakes)
            teams.append(_read_team(node, name, mistakes))
    return Document(platform, tuple(teams), digest_of(files), is_whole)


def digest_of(files: abc.Mapping[str, str]) -> str:
    """SHA-256, in hex, over names and contents in the order of names."""
    total = hashlib.sha256()
    for name in sorted(files):
        for text in (PurePath(name).name, files[name]):
            piece = text.encode(errors="surrogatepass")
            total.update(len(piece).to_bytes(8, "big") + piece)
    return total.hexdigest()


def _top_of(text: str, name: str, mistakes: Mistakes) -> Mapping | None:
    is_platform = PurePath(name).name in PLATFORM_FILES
    node = read_yaml(text, name, mistakes, _TO_WRITE_IN_PLATFORM if is_platform else _TO_WRITE)
    return mapping_of(node, "a policy file", mistakes)


def _check_sections(top: Mapping, known: tuple[str, ...], others: tuple[str, ...], why: str, mistakes: Mistakes) -> None:
    strangers = [name for name in top.keys if name in others and name not in known]
    for name in strangers:
        hint = "; write it under a DAG or under defaults:" if name == "deny" else ""
        mistakes.add(top.keys[name].place, f"`{name}` {why}{hint}")
    rest = Mapping(top.entries, {k: v for k, v in top.keys.items() if k not in strangers}, top.place)
    check_fields(rest, known, "a policy file", mistakes)


def _read_team(top: Mapping, name: str, mistakes: Mistakes) -> TeamFile:
    team = Word(string_of(top.get("team"), "`team`", mistakes), top.place_of("team")) if "team" in top else None
    tables = _tables(top.get("tables"), mistakes)
    defaults = section_of(top.get("defaults"), "`defaults`", mistakes)
    check_fields(defaults, DEFAULTS_FIELDS, "`defaults`", mistakes)
    return TeamFile(
        file=name,
        team=team,
        contact=string_of(top.get("contact"), "`contact`", mistakes),
        tables=tables,
        defaults=_dag("", defaults, top.place_of("defaults"), tables, mistakes) if "defaults" in top else None,
        dags=tuple(
            _declared_dag(pattern, key, node, tables, mistakes)
            for pattern, key, node in entries_of(top.get("dags"), "`dags`", mistakes)
        ),
        tests=tuple(
            declared_test(node, tables, lambda name: no_table(name, tables), mistakes)
            for node in list_of(top.get("tests"), "`tests`", mistakes)
        ),
    )


def _tables(node: Node | None, mistakes: Mistakes) -> dict[str, TableDeclaration]:
    tables = {}
    for logical, key, value in entries_of(node, "`tables`", mistakes):
        fields = section_of(value, f"table `{logical}`", mistakes)
        check_fields(fields, ("name", "key", "indexes"), f"table `{logical}`", mistakes)
        is_plain = LOGICAL_NAME.fullmatch(logical) is not None
        if not is_plain:
            mistakes.add(key.place, f"`{logical}`: rules need a plain name (A-Z a-z 0-9 _ . -); give the real table with name:")
        indexes = {
            name: key_schema_of(schema, f"the key of index `{name}`", mistakes, is_index=True)
            for name, _, schema in entries_of(fields.get("indexes"), f"`indexes` of table `{logical}`", mistakes)
        }
        real = varied_of(fields.get("name"), f"the name of table `{logical}`", mistakes) or Varied(
            key.place, logical if is_plain else ""
        )
        schema = key_schema_of(fields.get("key"), f"the key of table `{logical}`", mistakes)
        tables[logical] = TableDeclaration(logical, key.place, real, schema, indexes)
    return tables


def _declared_dag(
    pattern: str, key: Scalar, node: Node, tables: dict[str, TableDeclaration], mistakes: Mistakes
) -> DagDeclaration:
    if not DAG_PATTERN.fullmatch(pattern):
        mistakes.add(key.place, f"`{pattern}` is not a DAG id or a glob of DAG ids (letters, digits, `_`, `-`, `.`; `*`, `?`)")
    fields = section_of(node, f"DAG `{pattern}`", mistakes)
    check_fields(fields, DAG_FIELDS, f"DAG `{pattern}`", mistakes)
    return _dag(pattern, fields, key.place, tables, mistakes)


def _dag(pattern: str, fields: Mapping, place: Place, tables: dict[str, TableDeclaration], mistakes: Mistakes) -> DagDeclaration:
    allow = rules_of(fields.get("allow"), "allow", mistakes, denies=False)
    deny = rules_of(fields.get("deny"), "deny", mistakes, denies=True)
    for rule in (*allow, *deny):
        check_rule_tables(rule, tables, mistakes)
    return DagDeclaration(
        pattern=pattern,
        place=place,
        role=varied_of(fields.get("role"), "`role`", mistakes),
        environments=words_of(fields.get("environments"), "`environments`", mistakes) if "environments" in fields else None,
        allow=allow,
        deny=deny,
    )
