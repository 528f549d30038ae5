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
    """Key attributes in order, each with its type: `((("pk", "S"),), (("sk", "N"),))`. Several lead only an index."""

    partition: tuple[tuple[str, str], ...]
    sort: tuple[tuple[str, str], ...]

    @property
    def leading(self) -> tuple[str, str]:
        """The first partition key attribute, whose values IAM calls leading keys, and its type."""
        return self.partition[0]


@dataclass(frozen=True, slots=True)
class TableDeclaration:
    """One entry of `tables:`; `name` is the real table."""

    logical: str
    place: Place
    name: Varied
    key: KeySchema | None
    indexes: Mapping[str, KeySchema | None]


@dataclass(frozen=True, slots=True)
class KeyDeclaration:
    """One text of `keys`, placeholders not yet filled in."""

    is_prefix: bool
    word: Word


@dataclass(frozen=True, slots=True)
class RuleDeclaration:
    """One entry of an `allow`, `deny` or `require` list. `actions` is None for every action there is (never in allow)."""

    place: Place
    written: tuple[str, ...]  # the actions as written, for messages
    actions: frozenset[str] | None
    tables: tuple[Word, ...]  # logical names; in platform.yaml globs over real ones
    indexes: tuple[str, ...] | None
    tasks: tuple[str, ...] | None
    environments: tuple[Word, ...] | None
    keys: tuple[KeyDeclaration, ...] | None
    attributes: tuple[Word, ...] | None
    denies: bool


@dataclass(frozen=True, slots=True)
class RequirementDeclaration:
    """One entry of `require`: which requests (read as a deny rule's), and their shape; 0 and False ask for nothing."""

    rule: RuleDeclaration
    max_limit: int
    max_segments: int
    condition: bool
    client_token: bool
    evidence: bool


@dataclass(frozen=True, slots=True)
class GrantDeclaration:
    """One entry of `grants`: allow rules for one DAG that end by themselves. Tables are those of the DAG's file."""

    place: Place
    dag: Word
    allow: tuple[RuleDeclaration, ...]
    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class UnmappedDeclaration:
    """`unmapped`: as whom DAGs that no file names are let through, and until when."""

    place: Place
    role: Varied | None
    until: float


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
    """One entry of `tests:`: who asks for what, what the request would prove, and whether it must be allowed."""

    place: Place
    dag: str
    call: str
    table: str  # logical name; empty for what is done without a table
    index: str
    task: str
    environment: Word | None
    expect_allow: bool
    key: str | None  # of the partition key; None: the request proves none
    attributes: tuple[str, ...] | None  # what is named and, of a read, comes back; None: a read brings all
    returns: str  # ReturnValues
    run: str
    claims: Mapping[str, str]
    is_verified: bool
    limit: int | None
    segments: int
    has_condition: bool
    is_new: bool  # a condition proves that there is no item yet
    has_client_token: bool
    at: float | None  # when; None: while nothing has ended


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
    observes: bool = False  # `mode: observe`


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
    require: tuple[RequirementDeclaration, ...] = ()
    grants: tuple[GrantDeclaration, ...] = ()
    unmapped: UnmappedDeclaration | None = None
