"""From rules as written to rules as they hold in one environment: real tables, patterns compiled, keys with their schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.globs import Globs
from proxy.policy.coverage import Requirement, Rule
from proxy.policy.keys import KeyAttribute, KeyLimit, KeyPattern, TableKeys
from proxy.policy.patterns import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.policy.declared import KeyDeclaration, KeySchema, RequirementDeclaration, RuleDeclaration, TeamFile
    from proxy.policy.names import Names


class RuleMaker:
    """Makes the rules of one file. `real` maps the tables that it declares to real ones; platform.yaml declares none."""

    def __init__(self, names: Names, owner: str, file: TeamFile | None = None, real: Mapping[str, str] | None = None) -> None:
        self.owner = owner
        self._names = names
        self._team = file.team.text if file and file.team else ""
        self._real = real or {}

    def rules(self, declared: tuple[RuleDeclaration, ...]) -> tuple[Rule, ...]:
        """Rules on tables of the file."""
        return tuple(
            self._rule(rule, tuple(dict.fromkeys(self._real.get(word.text, "") for word in rule.tables))) for rule in declared
        )

    def platform_rule(self, rule: RuleDeclaration, what: str) -> Rule:
        """A rule on globs of real tables."""
        return self._rule(rule, self._names.globs(rule.tables, f"`tables` of {what}", ""))

    def requirement(self, requirement: RequirementDeclaration) -> Requirement:
        """A required shape."""
        return Requirement(
            self.platform_rule(requirement.rule, "`require`"),
            requirement.max_limit,
            requirement.max_segments,
            requirement.condition,
            requirement.client_token,
            requirement.evidence,
        )

    def _rule(self, rule: RuleDeclaration, tables: tuple[str, ...]) -> Rule:
        active, environments = self._names.environments(rule.environments)
        return Rule(
            place=str(rule.place),
            has=", ".join(rule.written),
            actions=rule.actions,
            tables=Globs(tables),
            indexes=None if rule.indexes is None else Globs(rule.indexes),
            tasks=None if rule.tasks is None else Globs(rule.tasks),
            environments=environments,
            is_active=active,
            owner=self.owner,
            keys=None if rule.keys is None else KeyLimit(tuple(self._pattern(key) for key in rule.keys)),
            attributes=None if rule.attributes is None else frozenset(word.text for word in rule.attributes),
        )

    def _pattern(self, key: KeyDeclaration) -> KeyPattern:
        text = self._names.filled(key.word, "`keys`", self._team, keep=True)
        return KeyPattern(key.is_prefix, tuple(PLACEHOLDER.split(text)))


def keys_of(file: TeamFile, real: Mapping[str, str]) -> dict[str, TableKeys]:
    """Real table name -> its leading attributes; what two entries of one table declare is put together."""
    keys: dict[str, TableKeys] = {}
    for logical, table in file.tables.items():
        before = keys.get(real[logical], TableKeys(None, {}))
        indexes = {name: _attribute(schema) for name, schema in table.indexes.items() if schema is not None}
        own = _attribute(table.key) if table.key is not None else before.table
        keys[real[logical]] = TableKeys(own, {**before.indexes, **indexes})
    return keys


def _attribute(schema: KeySchema) -> KeyAttribute:
    return KeyAttribute(*schema.leading)
