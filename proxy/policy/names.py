"""Names as they are in one environment: placeholders filled in, real table names, roles.

What cannot be filled in is a mistake with a place; nothing falls through to another environment or to a default role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.policy.declared import Varied, Word
from proxy.policy.patterns import PLACEHOLDER, ROLE_ARN, ROLE_NAME, TABLE_GLOB, TABLE_NAME
from proxy.policy.vocabulary import PER_REQUEST

if TYPE_CHECKING:
    from proxy.policy.declared import DagDeclaration, EnvironmentDeclaration, PlatformFile, TeamFile
    from proxy.yaml_source import Mistakes, Place


_NONE = ("", "", "")  # in the place of a role's partition, account and ARN, where a mistake is recorded


class Names:
    """The names of one environment."""

    def __init__(self, platform: PlatformFile, environment: EnvironmentDeclaration, mistakes: Mistakes) -> None:
        self.platform = platform
        self.environment = environment
        self.mistakes = mistakes

    def environments(self, words: tuple[Word, ...] | None) -> tuple[bool, tuple[str, ...]]:
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

    def role_of(self, dag: DagDeclaration, file: TeamFile) -> tuple[str, str, str]:
        """Partition, account and ARN of the DAG's role: its own, else its file's default, else its team's."""
        team = self.platform.teams.get(file.team.text) if file.team else None
        own = dag.role or (file.defaults.role if file.defaults else None)
        role = own or (team.role if team else None)
        if role is None:
            if team is None and (file.team or self.platform.teams):  # the team's mistake is recorded, its role unknown
                return _NONE
            self.mistakes.add(
                dag.place,
                f"DAG `{dag.pattern}` has no role; write role: under it, under defaults:, or for its team in platform.yaml",
            )
            return _NONE
        partition, account, arn = self.role(role, team.name if team else "")
        if own and account:
            self._check_account(account, role.place)
        return partition, account, arn

    def role(self, role: Varied, team: str) -> tuple[str, str, str]:
        """Partition, account and ARN of a role by its ARN or its name; empty where a mistake is recorded."""
        text = self.text(role, "`role`", team)
        match = ROLE_ARN.fullmatch(text)
        if match:
            return match[1], match[2], text
        return self._named_role(text, role.place) if text else _NONE

    def _named_role(self, name: str, place: Place) -> tuple[str, str, str]:
        environment = self.environment
        if not ROLE_NAME.fullmatch(name):
            self.mistakes.add(place, f"`{name}` is neither a role's ARN (arn:aws:iam::111122223333:role/NAME) nor a role's name")
        elif not environment.account:
            self.mistakes.add(
                place, f"role `{name}` has no account; write its ARN, or give the account under environments: in platform.yaml"
            )
        else:
            arn = f"arn:{environment.partition}:iam::{environment.account}:role/{name}"
            return environment.partition, environment.account, arn
        return _NONE

    def _check_account(self, account: str, place: Place) -> None:
        """A role in another account moves what `own table` means; with teams only the platform team may do that."""
        if not self.environment.account or account == self.environment.account:
            return
        message = f"the role is of account {account}, and environment {self.environment.name} is of {self.environment.account}"
        if self.platform.teams:
            self.mistakes.add(place, f"{message}; write the role's name only, or have the platform team set it under teams:")
        else:
            self.mistakes.warn(place, message)

    # ---------------------------------------------------------------------------- names and placeholders

    def tables_of(self, file: TeamFile) -> dict[str, str]:
        """Logical name -> real name; an empty real name is a recorded mistake."""
        team = file.team.text if file.team else ""
        real = {}
        for logical, table in file.tables.items():
            name = self.text(table.name, f"the name of table `{logical}`", team)
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

    def text(self, varied: Varied, what: str, team: str) -> str:
        """The string for this environment, placeholders filled in; empty where a mistake is recorded."""
        values = varied.by_environment
        if values is None:
            return self.filled(Word(varied.plain, varied.place), what, team)
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
        return self.filled(word, what, team)

    def filled(self, word: Word, what: str, team: str, *, keep: bool = False) -> str:
        """`word` with its placeholders filled in; empty where a mistake is recorded. `keep`: those of a request stay."""
        values = {"env": self.environment.name if self.platform.environments else "", "team": team}
        for name in PLACEHOLDER.findall(word.text):
            if not values.get(name) and not (keep and name not in values):
                self.mistakes.add(word.place, f"{what}: {self._no_value(name)}")
                return ""
        return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), word.text)

    def _no_value(self, name: str) -> str:
        if name == "env":
            return "`<env>` needs environments: in platform.yaml; add them, or write the name out"
        if name == "team":
            return "`<team>` needs team: in this file; add it, or write the name out"
        if name in PER_REQUEST or name.startswith("claim."):
            return (
                f"`<{name}>` is known per request only and can stand in `keys` alone; write a name that holds for every request"
            )
        return f"there is no placeholder `<{name}>`; <env> and <team> are all"

    def globs(self, words: tuple[Word, ...], what: str, team: str) -> tuple[str, ...]:
        """Globs of real table names; those with mistakes are recorded."""
        globs = []
        for word in words:
            text = self.filled(word, what, team)
            if text and not TABLE_GLOB.fullmatch(text):
                self.mistakes.add(word.place, f"{what}: `{text}` is neither a table name nor a glob of table names")
            globs.append(text)
        if globs and all(text.startswith("!") for text in globs):
            self.mistakes.add(
                words[0].place, f'{what} hold exclusions only and match nothing; add what they take from, "*" for all'
            )
        return tuple(globs)
