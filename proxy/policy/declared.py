"""What policy files say, as written: names not yet resolved, nothing merged, every piece with its place.

An empty string stands for a value whose mistake is already recorded; who meets one passes over it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.model import Workload
    from proxy.yaml_source import Place


@dataclass(frozen=True, slots=True)
class Word:
    """A string with its place."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Varied:
    """A string that is the same everywhere (`plain`), or one for each environment."""

    place: Place
    plain: str = ""
    by_environment: Mapping[str, Word] | None = None


@dataclass(frozen=True, slots=True)
class KeySchema:
    """Key attributes in order, partition key first: `(("pk", "S"), ("sk", "N"))`."""

    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TableDeclaration:
    """One entry of `tables:`; `name` is the real table."""

    logical: str
    place: Place
    name: Varied
    key: KeySchema | None
    indexes: Mapping[str, KeySchema | None]


@dataclass(frozen=True, slots=True)
class RuleDeclaration:
    """One entry of an `allow` or `deny` list. `actions` is None for every action there is, known here or not (deny only)."""

    place: Place
    written: tuple[str, ...]  # the actions as written, for messages
    actions: frozenset[str] | None
    tables: tuple[Word, ...]  # logical names; in platform.yaml globs over real ones
    indexes: tuple[str, ...] | None
    tasks: tuple[str, ...] | None
    environments: tuple[Word, ...] | None


@dataclass(frozen=True, slots=True)
class DagDeclaration:
    """One entry of `dags:`; `pattern` is a DAG id or a glob."""

    pattern: str
    place: Place
    role: Varied | None
    environments: tuple[Word, ...] | None
    allow: tuple[RuleDeclaration, ...]
    deny: tuple[RuleDeclaration, ...]


@dataclass(frozen=True, slots=True)
class TestDeclaration:
    """One entry of `tests:`: what must be allowed or denied."""

    place: Place
    dag: str
    call: str
    table: str  # logical name
    index: str
    task: str
    environment: Word | None
    expect_allow: bool


@dataclass(frozen=True, slots=True)
class TeamFile:
    """One policy file of those who own DAGs."""

    file: str
    team: Word | None
    contact: str
    tables: Mapping[str, TableDeclaration]
    defaults: DagDeclaration | None  # its pattern is empty
    dags: tuple[DagDeclaration, ...]
    tests: tuple[TestDeclaration, ...]


@dataclass(frozen=True, slots=True)
class EnvironmentDeclaration:
    """Where one environment lives."""

    name: str
    account: str
    region: str
    partition: str


@dataclass(frozen=True, slots=True)
class TeamDeclaration:
    """One entry of `teams:`: the most that the team's files can grant."""

    name: str
    place: Place
    dags: tuple[str, ...]
    tables: tuple[Word, ...]
    role: Varied | None
    contact: str


@dataclass(frozen=True, slots=True)
class PlatformFile:
    """platform.yaml, or its absence (every section empty)."""

    file: str
    place: Place
    contact: str = ""
    environments: Mapping[str, EnvironmentDeclaration] = field(default_factory=dict)
    teams: Mapping[str, TeamDeclaration] = field(default_factory=dict)
    workloads: tuple[Workload, ...] = ()
    deny: tuple[RuleDeclaration, ...] = ()
