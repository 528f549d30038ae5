"""What the files say, for one environment: rules with real tables, boundaries, grants, one list of rules a DAG.

What cannot be resolved is a mistake with a place (`names` fills in what differs by environment).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from proxy.globs import Globs, is_glob
from proxy.policy.cases import Boundary, DagRules, Home, Unmapped
from proxy.policy.declared import EnvironmentDeclaration
from proxy.policy.names import Names
from proxy.policy.patterns import can_meet
from proxy.policy.rule_making import RuleMaker, keys_of
from proxy.policy.rules import Policies
from proxy.policy.tables import check_rule_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.policy.declared import (
        DagDeclaration,
        GrantDeclaration,
        KeySchema,
        PlatformFile,
        TableDeclaration,
        TeamDeclaration,
        TeamFile,
        UnmappedDeclaration,
    )
    from proxy.policy.document import Document
    from proxy.yaml_source import Mistakes, Place


def resolve(document: Document, environment: str, region: str, mistakes: Mistakes) -> Policies:
    """The policies of `environment`. Whether they may be used, `mistakes.errors` says."""
    found = _environment(document.platform, environment, region, mistakes)
    policies = Resolution(document.platform, found, mistakes).policies(document)
    mistakes.errors[:] = dict.fromkeys(mistakes.errors)  # a team's role is resolved once for each of its DAGs
    return policies


def _environment(platform: PlatformFile, name: str, region: str, mistakes: Mistakes) -> EnvironmentDeclaration:
    """The environment's declaration; where there is none to be had, one in whose place the other mistakes still show."""
    if not platform.environments:
        if name:  # perhaps the file that declares them, with all limits of the platform team, is not there
            wrong = f"the setting `environment` is `{name}`, and no environments: stand in {platform.file}"
            mistakes.add(platform.place, f"{wrong}; add them there, or take the setting out")
        if not region:
            mistakes.add(platform.place, "no Region is known; set `region` in the settings")
        return EnvironmentDeclaration(name, "", region, "aws")
    if name not in platform.environments:
        known = ", ".join(platform.environments)
        wrong = f"the setting `environment` is `{name}`" if name else "the setting `environment` is missing"
        mistakes.add(platform.place, f"{wrong}; set it to one of those that stand here: {known}")
        return next(iter(platform.environments.values()))
    return platform.environments[name]


def owner_of(contact: str, file: str) -> str:
    """Whom to ask, as the end of a sentence."""
    return f"owner {contact}" if contact else f"ask the owners of {file}"


def _home(file: str, boundary: Boundary | None, owner: str) -> Home:
    return Home(file, boundary.dags, owner, boundary.team) if boundary else Home(file, None, owner)


class _Defined(NamedTuple):
    """A DAG with what its file declares."""

    dag: DagDeclaration
    rules: DagRules
    file: TeamFile
    real: Mapping[str, str]  # logical table name -> real one


class Resolution:
    """One environment, and what is wrong with the files in its light."""

    def __init__(self, platform: PlatformFile, environment: EnvironmentDeclaration, mistakes: Mistakes) -> None:
        self.platform = platform
        self.environment = environment
        self.mistakes = mistakes
        self.names = Names(platform, environment, mistakes)
        self.owner = owner_of(platform.contact, platform.file)
        maker = RuleMaker(self.names, self.owner)
        self._deny = tuple(maker.platform_rule(rule, "a platform-wide deny") for rule in platform.deny)
        self._require = tuple(maker.requirement(requirement) for requirement in platform.require)

    def policies(self, document: Document) -> Policies:
        """Everything together."""
        platform = self.platform
        boundaries = {name: self._boundary(team) for name, team in platform.teams.items()}
        defined: dict[str, _Defined] = {}
        tables: set[str] = set()
        declared: dict[str, TableDeclaration] = {}
        keys: dict[tuple[str, str], tuple[KeySchema, Place]] = {}
        homes = []
        for file in document.teams:
            self._check_team(file)
            real = self.names.tables_of(file)
            tables.update(real.values())
            self._check_keys(file, real, keys)
            for logical, table in file.tables.items():
                declared.setdefault(real[logical], table)
            boundary = boundaries.get(file.team.text) if file.team else None
            homes.append(_home(file.file, boundary, self._owner(file)))
            for dag, rules in self._dags(file, real, boundary):
                self._define(_Defined(dag, rules, file, real), defined)
        covered = {file.team.text for file in document.teams if file.team}
        homes += [self._missing_home(team, boundaries[name]) for name, team in platform.teams.items() if name not in covered]
        self._check_globs([found.dag for pattern, found in defined.items() if is_glob(pattern)])
        for grant in platform.grants:
            self._grant(grant, defined)
        return Policies(
            digest=document.digest,
            environment=self.environment.name,
            workloads=platform.workloads,
            dags={pattern: found.rules for pattern, found in defined.items() if not is_glob(pattern)},
            globs=tuple((Globs((pattern,)), found.rules) for pattern, found in defined.items() if is_glob(pattern)),
            tables=frozenset(tables),
            homes=tuple(homes),
            observes=self.environment.observes,
            unmapped=self._unmapped(platform.unmapped) if platform.unmapped else None,
            declared=declared,
        )

    # --------------------------------------------------------------------------------------- DAGs

    def _define(self, found: _Defined, defined: dict[str, _Defined]) -> None:
        pattern, place = found.dag.pattern, found.dag.place
        if pattern in defined:
            first = defined[pattern].dag.place
            self.mistakes.add(place, f"DAG `{pattern}` is defined at {first} already; keep one of the two")
            return
        defined[pattern] = found

    def _check_globs(self, dags: list[DagDeclaration]) -> None:
        for at, later in enumerate(dags):
            for earlier in dags[:at]:
                if can_meet(later.pattern, earlier.pattern):
                    self.mistakes.add(
                        later.place,
                        f"`{later.pattern}` and `{earlier.pattern}` ({earlier.place}) can name one DAG; make one narrower",
                    )

    def _check_team(self, file: TeamFile) -> None:
        known = ", ".join(self.platform.teams) or "none"
        if file.team is None:
            if self.platform.teams and file.dags:
                place = file.dags[0].place
                self.mistakes.add(place, f"this file has dags and no team; write team: at its top, one of {known}")
        elif file.team.text and file.team.text not in self.platform.teams:
            self.mistakes.add(
                file.team.place,
                f"team `{file.team.text}` does not stand under teams: in {self.platform.file} (there: {known}), "
                "so nothing bounds it; add it there or correct the name",
            )

    def _owner(self, file: TeamFile) -> str:
        team = self.platform.teams.get(file.team.text) if file.team else None
        return owner_of((team.contact if team else "") or file.contact, file.file)

    def _missing_home(self, team: TeamDeclaration, boundary: Boundary) -> Home:
        return _home(f"a new file with team: {team.name}", boundary, owner_of(team.contact, self.platform.file))

    def _dags(
        self, file: TeamFile, real: Mapping[str, str], boundary: Boundary | None
    ) -> Iterator[tuple[DagDeclaration, DagRules]]:
        maker = RuleMaker(self.names, self._owner(file), file, real)
        defaults_allow = maker.rules(file.defaults.allow) if file.defaults else ()
        defaults_deny = maker.rules(file.defaults.deny) if file.defaults else ()
        keys = keys_of(file, real)
        names = {name: logical for logical, name in real.items()}
        for dag in file.dags:
            partition, account, role_arn = self.names.role_of(dag, file)
            active, environments = self.names.environments(dag.environments)
            rules = DagRules(
                pattern=dag.pattern,
                place=str(dag.place),
                role_arn=role_arn,
                home=(partition, self.environment.region, account),
                allow=(*maker.rules(dag.allow), *defaults_allow),
                deny=(*maker.rules(dag.deny), *defaults_deny, *self._deny),
                boundary=boundary,
                owner=maker.owner,
                environments=environments,
                is_active=active,
                require=self._require,
                keys=keys,
                names=names,
            )
            self._check_dag_id(dag, rules)
            yield dag, rules

    def _check_dag_id(self, dag: DagDeclaration, rules: DagRules) -> None:
        """The DAG's own id must not hold what ends <dag_id> in a key of its rules: such a rule would never hold."""
        if is_glob(dag.pattern):
            return
        for rule in (*rules.allow, *rules.deny):
            for pattern in rule.keys.patterns if rule.keys else ():
                for at in range(1, len(pattern.pieces), 2):
                    end = pattern.pieces[at + 1][:1]
                    if pattern.pieces[at] == "dag_id" and end and end in dag.pattern:
                        self.mistakes.add(
                            dag.place,
                            f"DAG `{dag.pattern}` holds `{end}`, which ends <dag_id> in `{pattern.written()}` ({rule.place}); "
                            "write a sign there that no DAG id holds, for example #",
                        )

    # ------------------------------------------------------------------------------- grants and unmapped

    def _grant(self, grant: GrantDeclaration, defined: dict[str, _Defined]) -> None:
        """Add a grant's rules to its DAG, to be over at their time. Its tables are those of the DAG's file."""
        found = defined.get(grant.dag.text) or self._globbed(grant.dag.text, defined)
        if found is None:
            if grant.dag.text:
                self.mistakes.add(
                    grant.dag.place,
                    f"no file defines DAG `{grant.dag.text}`; correct the name, or add it under dags: there first",
                )
            return
        for rule in grant.allow:
            check_rule_tables(rule, found.file.tables, self.mistakes, found.file.file)
        maker = RuleMaker(self.names, found.rules.owner, found.file, found.real)
        allow = (*found.rules.allow, *(replace(rule, until=grant.until) for rule in maker.rules(grant.allow)))
        rules = replace(found.rules, pattern=grant.dag.text, allow=allow)
        self._check_dag_id(replace(found.dag, pattern=grant.dag.text), rules)
        defined[grant.dag.text] = found._replace(rules=rules)

    def _globbed(self, dag_id: str, defined: dict[str, _Defined]) -> _Defined | None:
        """What the glob that names this DAG gives it."""
        if is_glob(dag_id):
            return None
        matching = [found for pattern, found in defined.items() if is_glob(pattern) and Globs((pattern,)).match(dag_id)]
        return matching[0] if matching else None

    def _unmapped(self, unmapped: UnmappedDeclaration) -> Unmapped | None:
        if unmapped.role is None:
            return None
        partition, account, role_arn = self.names.role(unmapped.role, "")
        rules = DagRules(
            pattern="*",
            place=str(unmapped.place),
            role_arn=role_arn,
            home=(partition, self.environment.region, account),
            allow=(),
            deny=self._deny,
            boundary=None,
            owner=self.owner,
            environments=(),
            is_active=True,
        )
        return Unmapped(rules, unmapped.until)

    # ------------------------------------------------------------------------- boundaries and tables

    def _boundary(self, team: TeamDeclaration) -> Boundary:
        tables = self.names.globs(team.tables, f"`tables` of team `{team.name}`", team.name)
        return Boundary(team.name, str(team.place), Globs(team.dags), Globs(tables), self.owner)

    def _check_keys(self, file: TeamFile, real: Mapping[str, str], said: dict[tuple[str, str], tuple[KeySchema, Place]]) -> None:
        """One table (or index of it) has one key, whoever declares it: a limit is judged by it. `said` has who said so first."""
        for logical, table in file.tables.items():
            name = real[logical]
            for index, schema in {"": table.key, **table.indexes}.items():
                if not name or schema is None:
                    continue
                first, place = said.setdefault((name, index), (schema, table.place))
                if schema != first:
                    self.mistakes.add(table.place, f"`{name}` has another key at {place}; correct the one that is wrong")
