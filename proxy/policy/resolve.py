"""What the files say, for one environment: placeholders filled in, real table names, roles, boundaries, one rule list a DAG.

What cannot be resolved is a mistake with a place; nothing falls through to another environment or to a default role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.globs import Globs, is_glob
from proxy.policy.declared import EnvironmentDeclaration, Varied, Word
from proxy.policy.patterns import PLACEHOLDER, ROLE_ARN, ROLE_NAME, TABLE_GLOB, TABLE_NAME, can_meet
from proxy.policy.rules import Boundary, DagRules, Home, Policies, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.policy.declared import DagDeclaration, PlatformFile, RuleDeclaration, TeamDeclaration, TeamFile
    from proxy.policy.document import Document
    from proxy.yaml_source import Mistakes, Place

_PER_REQUEST = ("dag_id", "task_id", "run_id")


def resolve(document: Document, environment: str, region: str, mistakes: Mistakes) -> Policies:
    """The policies of `environment`. Whether they may be used, `mistakes.errors` says."""
    found = _environment(document.platform, environment, region, mistakes)
    policies = Resolution(document.platform, found, mistakes).policies(document)
    mistakes.errors[:] = dict.fromkeys(mistakes.errors)  # a team's role is resolved once for each of its DAGs
    return policies


def _environment(platform: PlatformFile, name: str, region: str, mistakes: Mistakes) -> EnvironmentDeclaration:
    """The environment's declaration; where there is none to be had, one in whose place the other mistakes still show."""
    if not platform.environments:
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


class Resolution:
    """One environment, and what is wrong with the files in its light."""

    def __init__(self, platform: PlatformFile, environment: EnvironmentDeclaration, mistakes: Mistakes) -> None:
        self.platform = platform
        self.environment = environment
        self.mistakes = mistakes
        self.owner = owner_of(platform.contact, platform.file)

    def policies(self, document: Document) -> Policies:
        """Everything together."""
        platform = self.platform
        boundaries = {name: self._boundary(team) for name, team in platform.teams.items()}
        deny = tuple(self._platform_rule(rule) for rule in platform.deny)
        declared: dict[str, tuple[DagDeclaration, DagRules]] = {}
        tables: set[str] = set()
        homes = []
        for file in document.teams:
            self._check_team(file)
            real = self.tables_of(file)
            tables.update(real.values())
            boundary = boundaries.get(file.team.text) if file.team else None
            homes.append(Home(file.file, boundary.dags if boundary else None, self._owner(file)))
            for dag, rules in self._dags(file, real, boundary, deny):
                self._define(dag, rules, declared)
        covered = {file.team.text for file in document.teams if file.team}
        homes += [self._missing_home(team, boundaries[name]) for name, team in platform.teams.items() if name not in covered]
        self._check_globs([dag for dag, _ in declared.values() if is_glob(dag.pattern)])
        return Policies(
            digest=document.digest,
            environment=self.environment.name,
            workloads=platform.workloads,
            dags={pattern: rules for pattern, (_, rules) in declared.items() if not is_glob(pattern)},
            globs=tuple((Globs((pattern,)), rules) for pattern, (_, rules) in declared.items() if is_glob(pattern)),
            tables=frozenset(tables),
            homes=tuple(homes),
        )

    # --------------------------------------------------------------------------------------- DAGs

    def _define(self, dag: DagDeclaration, rules: DagRules, declared: dict[str, tuple[DagDeclaration, DagRules]]) -> None:
        if dag.pattern in declared:
            first = declared[dag.pattern][0].place
            self.mistakes.add(dag.place, f"DAG `{dag.pattern}` is defined at {first} already; keep one of the two")
            return
        declared[dag.pattern] = (dag, rules)

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
        return Home(f"a new file with team: {team.name}", boundary.dags, owner_of(team.contact, self.platform.file))

    def _dags(
        self, file: TeamFile, real: Mapping[str, str], boundary: Boundary | None, platform_deny: tuple[Rule, ...]
    ) -> Iterable[tuple[DagDeclaration, DagRules]]:
        owner = self._owner(file)
        defaults_allow = self._rules(file.defaults.allow, real, owner) if file.defaults else ()
        defaults_deny = self._rules(file.defaults.deny, real, owner) if file.defaults else ()
        for dag in file.dags:
            partition, account, role_arn = self._role(dag, file)
            active, environments = self._environments(dag.environments)
            yield (
                dag,
                DagRules(
                    pattern=dag.pattern,
                    place=str(dag.place),
                    role_arn=role_arn,
                    home=(partition, self.environment.region, account),
                    allow=(*self._rules(dag.allow, real, owner), *defaults_allow),
                    deny=(*self._rules(dag.deny, real, owner), *defaults_deny, *platform_deny),
                    boundary=boundary,
                    owner=owner,
                    environments=environments,
                    is_active=active,
                ),
            )

    def _environments(self, words: tuple[Word, ...] | None) -> tuple[bool, tuple[str, ...]]:
        """Whether a restriction leaves this environment in, and the restriction."""
        if words is None:
            return True, ()
        for word in words:
            self.check_environment(word)
        names = tuple(word.text for word in words)
        return self.environment.name in names, names

    def check_environment(self, word: Word) -> None:
        """Record a name that is no environment of platform.yaml."""
        if word.text not in self.platform.environments:
            known = ", ".join(self.platform.environments) or "none; add environments: to platform.yaml"
            self.mistakes.add(word.place, f"there is no environment `{word.text}`; known: {known}")

    # ---------------------------------------------------------------------------------------- roles

    def _role(self, dag: DagDeclaration, file: TeamFile) -> tuple[str, str, str]:
        """Partition, account and ARN of the DAG's role: its own, else its file's default, else its team's."""
        team = self.platform.teams.get(file.team.text) if file.team else None
        own = dag.role or (file.defaults.role if file.defaults else None)
        role = own or (team.role if team else None)
        if role is None:
            if team is None and (file.team or self.platform.teams):  # the team's mistake is recorded, its role unknown
                return "", "", ""
            self.mistakes.add(
                dag.place,
                f"DAG `{dag.pattern}` has no role; write role: under it, under defaults:, or for its team in platform.yaml",
            )
            return "", "", ""
        text = self._text(role, "`role`", team.name if team else "")
        if not text:
            return "", "", ""
        match = ROLE_ARN.fullmatch(text)
        if match:
            if own:
                self._check_account(match[2], role.place)
            return match[1], match[2], text
        return self._named_role(text, role.place)

    def _named_role(self, name: str, place: Place) -> tuple[str, str, str]:
        environment = self.environment
        if name.startswith("arn:") or not ROLE_NAME.fullmatch(name):
            self.mistakes.add(place, f"`{name}` is neither a role's ARN (arn:aws:iam::111122223333:role/NAME) nor a role's name")
        elif not environment.account:
            self.mistakes.add(
                place, f"role `{name}` has no account; write its ARN, or give the account under environments: in platform.yaml"
            )
        else:
            arn = f"arn:{environment.partition}:iam::{environment.account}:role/{name}"
            return environment.partition, environment.account, arn
        return "", "", ""

    def _check_account(self, account: str, place: Place) -> None:
        """A role in another account moves what `own table` means; with teams only the platform team may do that."""
        if not self.environment.account or account == self.environment.account:
            return
        message = f"the role is of account {account}, and environment {self.environment.name} is of {self.environment.account}"
        if self.platform.teams:
            self.mistakes.add(place, f"{message}; write the role's name only, or have the platform team set it under teams:")
        else:
            self.mistakes.warn(place, message)

    # ------------------------------------------------------------------------------------- rules

    def _rules(self, rules: tuple[RuleDeclaration, ...], real: Mapping[str, str], owner: str) -> tuple[Rule, ...]:
        return tuple(
            self._rule(rule, tuple(dict.fromkeys(real.get(word.text, "") for word in rule.tables)), owner) for rule in rules
        )

    def _platform_rule(self, rule: RuleDeclaration) -> Rule:
        return self._rule(rule, self._globs(rule.tables, "`tables` of a platform-wide deny", ""), self.owner)

    def _rule(self, rule: RuleDeclaration, tables: tuple[str, ...], owner: str) -> Rule:
        active, environments = self._environments(rule.environments)
        return Rule(
            place=str(rule.place),
            has=", ".join(rule.written),
            actions=rule.actions,
            tables=Globs(tables),
            indexes=None if rule.indexes is None else Globs(rule.indexes),
            tasks=None if rule.tasks is None else Globs(rule.tasks),
            environments=environments,
            is_active=active,
            owner=owner,
        )

    def _boundary(self, team: TeamDeclaration) -> Boundary:
        tables = self._globs(team.tables, f"`tables` of team `{team.name}`", team.name)
        return Boundary(team.name, str(team.place), Globs(team.dags), Globs(tables), self.owner)

    def _globs(self, words: tuple[Word, ...], what: str, team: str) -> tuple[str, ...]:
        globs = []
        for word in words:
            text = self._filled(word, what, team)
            if text and not TABLE_GLOB.fullmatch(text):
                self.mistakes.add(word.place, f"{what}: `{text}` is neither a table name nor a glob of table names")
            globs.append(text)
        if globs and all(text.startswith("!") for text in globs):
            self.mistakes.add(
                words[0].place, f'{what} hold exclusions only and match nothing; add what they take from, "*" for all'
            )
        return tuple(globs)

    # ---------------------------------------------------------------------------- names and placeholders

    def tables_of(self, file: TeamFile) -> dict[str, str]:
        """Logical name -> real name; an empty real name is a recorded mistake."""
        team = file.team.text if file.team else ""
        real = {}
        for logical, table in file.tables.items():
            name = self._text(table.name, f"the name of table `{logical}`", team)
            if name and not TABLE_NAME.fullmatch(name):
                hint = (
                    "write the bare name, its account is that of the DAG's role"
                    if name.startswith("arn:")
                    else ("it has 3 to 255 of A-Z a-z 0-9 _ . -")
                )
                self.mistakes.add(table.name.place, f"`{name}` is not a table name; {hint}")
                name = ""
            real[logical] = name
        return real

    def _text(self, varied: Varied, what: str, team: str) -> str:
        """The string for this environment, placeholders filled in; empty where a mistake is recorded."""
        values = varied.by_environment
        if values is None:
            return self._filled(Word(varied.plain, varied.place), what, team)
        known = self.platform.environments
        if not known:
            self.mistakes.add(
                varied.place, f"{what} differs by environment, but no environments: stand in platform.yaml; write one string"
            )
        elif missing := [name for name in known if name not in values]:
            self.mistakes.add(varied.place, f"{what} names no value for {', '.join(missing)}; every environment needs one")
        for name, word in values.items():
            if known:
                self.check_environment(Word(name, word.place))
        word = values.get(self.environment.name, Word("", varied.place))
        return self._filled(word, what, team)

    def _filled(self, word: Word, what: str, team: str) -> str:
        values = {"env": self.environment.name if self.platform.environments else "", "team": team}
        for name in PLACEHOLDER.findall(word.text):
            if not values.get(name):
                self.mistakes.add(word.place, f"{what}: {self._no_value(name)}")
                return ""
        return PLACEHOLDER.sub(lambda match: values[match[1]], word.text)

    def _no_value(self, name: str) -> str:
        if name == "env":
            return "`<env>` needs environments: in platform.yaml; add them, or write the name out"
        if name == "team":
            return "`<team>` needs team: in this file; add it, or write the name out"
        if name in _PER_REQUEST or name.startswith("claim."):
            return (
                f"`<{name}>` is known per request only and can stand in `keys` alone; write a name that holds for every request"
            )
        return f"there is no placeholder `<{name}>`; <env> and <team> are all"
