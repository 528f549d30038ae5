"""Judges policy files as a reviewer would: for every environment, with their own `tests:`, and against the teams' boundaries.

Works on texts alone, so that it runs in a pull request as well as beside a gateway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.policy.declared import EnvironmentDeclaration
from proxy.policy.document import read_document
from proxy.policy.patterns import stays_within
from proxy.policy.resolve import Resolution
from proxy.policy.trial import identity_of, operation_of
from proxy.refusal import Reason
from proxy.yaml_source import Mistakes, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.policy.cases import DagRules
    from proxy.policy.declared import TeamFile, TestDeclaration
    from proxy.policy.document import Document
    from proxy.policy.rules import Decision, Policies


@dataclass(frozen=True, slots=True)
class Outcome:
    """One `tests:` entry in one environment (empty where there are none)."""

    place: Place
    environment: str
    dag: str
    call: str
    table: str  # logical name
    expect_allow: bool
    decision: Decision

    @property
    def is_passed(self) -> bool:
        """True if the decision is the expected one; what is only observed counts as denied, for so it will be."""
        return (self.decision.reason is Reason.ALLOWED) == self.expect_allow

    def line(self) -> str:
        """One line: passed or failed, and why the decision is what it is."""
        where = f" in {self.environment}" if self.environment else ""
        expected = "allow" if self.expect_allow else "deny"
        why = self.decision.message or f"allowed by {self.decision.rule}"
        result = "pass" if self.is_passed else "FAIL"
        return f"{self.place}: {result}: {self.dag} {self.call} {self.table}{where}: expected {expected}; {why}"


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong (`lines`: file:line and what to write), and how the tests came out."""

    mistakes: Mistakes
    outcomes: tuple[Outcome, ...]
    document: Document
    snapshots: tuple[Policies, ...]  # one for each environment; none where something is wrong

    @property
    def is_good(self) -> bool:
        """True if nothing is wrong and every test passes; warnings do not count."""
        return not self.mistakes.errors and all(outcome.is_passed for outcome in self.outcomes)

    def lines(self) -> list[str]:
        """Mistakes and warnings, then the tests that failed."""
        return self.mistakes.lines() + [outcome.line() for outcome in self.outcomes if not outcome.is_passed]


def check_policies(files: Mapping[str, str], region: str = "us-east-1", now: float = 0.0) -> Report:
    """Read the files and judge them in each environment of platform.yaml, or once where there are none.

    `region` stands in where no environment names one; no test depends on it. `now` tells which grants have ended; tests
    are judged as if none had, unless they say `at`.
    """
    mistakes = Mistakes()
    document = read_document(files, mistakes)
    outcomes: list[Outcome] = []
    snapshots: list[Policies] = []
    if document.is_whole:
        environments = document.platform.environments.values() or (EnvironmentDeclaration("", "", region, "aws"),)
        for environment in environments:
            seen = Mistakes()
            resolution = Resolution(document.platform, environment, seen)
            policies = resolution.policies(document)
            _check_tests(document, resolution, policies)
            _check_boundaries(policies, document, seen)
            snapshots.append(policies)
            _merge(seen, mistakes)
            if not mistakes.errors:  # by rules that hold a mistake nothing can be decided
                outcomes += _outcomes(document, resolution, policies)
        _check_ends(document, now, mistakes)
    is_good = not mistakes.errors
    return Report(mistakes, tuple(outcomes) if is_good else (), document, tuple(snapshots) if is_good else ())


def _merge(seen: Mistakes, mistakes: Mistakes) -> None:
    mistakes.errors += [error for error in dict.fromkeys(seen.errors) if error not in mistakes.errors]
    mistakes.warnings += [warning for warning in dict.fromkeys(seen.warnings) if warning not in mistakes.warnings]


def _check_ends(document: Document, now: float, mistakes: Mistakes) -> None:
    """What has ended gives nothing any more, and only keeps readers guessing."""
    platform = document.platform
    for grant in platform.grants:
        if grant.until and grant.until <= now:
            mistakes.warn(grant.place, f"the grant for `{grant.dag.text}` ({grant.reason}) has ended; take it out")
    if platform.unmapped is not None and platform.unmapped.until and platform.unmapped.until <= now:
        mistakes.warn(platform.unmapped.place, "`unmapped` has ended; take it out")


def _check_boundaries(policies: Policies, document: Document, mistakes: Mistakes) -> None:
    """Rules that look as if they granted something, and never will: the boundary stops them at every request."""
    places = _places(document)
    for rules in policies.dag_rules():
        boundary = rules.boundary
        if boundary is None or not rules.is_active:
            continue
        limit = f"outside the boundary of team {boundary.team} ({boundary.place}); have it widened there, or leave it out"
        if not stays_within(rules.pattern, boundary.dags):
            mistakes.add(places[rules.place], f"DAG `{rules.pattern}` is {limit}")
        for place, table in _outside(rules):
            mistakes.add(places[place], f"the rule grants `{table}`, which is {limit}")


def _outside(rules: DagRules) -> Iterator[tuple[str, str]]:
    for rule in rules.allow:
        for table in rule.tables.patterns:
            if rule.is_active and rules.boundary and not rules.boundary.tables.match(table):
                yield rule.place, table


def _places(document: Document) -> dict[str, Place]:
    found = []
    for file in document.teams:
        for dag in (*file.dags, *((file.defaults,) if file.defaults else ())):
            found += [dag.place, *(rule.place for rule in dag.allow)]
    found += [rule.place for grant in document.platform.grants for rule in grant.allow]
    return {str(place): place for place in found}


def _check_tests(document: Document, resolution: Resolution, policies: Policies) -> None:
    """What tests name must exist: a misspelt DAG is denied too, and such a test would prove nothing."""
    for file in document.teams:
        for test in file.tests:
            if test.environment is not None:
                resolution.names.check_environment(test.environment)
            if test.dag and not policies.has_dag(test.dag):
                resolution.mistakes.add(test.place, f"no file defines DAG `{test.dag}`; correct the name, or add it under dags:")


def _outcomes(document: Document, resolution: Resolution, policies: Policies) -> Iterator[Outcome]:
    for file in document.teams:
        real = resolution.names.tables_of(file) if file.tests else {}
        for test in file.tests:
            if test.environment is None or test.environment.text == resolution.environment.name:
                yield _outcome(test, file, real, policies)


def _outcome(test: TestDeclaration, file: TeamFile, real: Mapping[str, str], policies: Policies) -> Outcome:
    operation = operation_of(test, file.tables.get(test.table), real.get(test.table, ""))
    decision = policies.decide(identity_of(test), operation, test.at or 0.0)
    return Outcome(test.place, policies.environment, test.dag, test.call, test.table, test.expect_allow, decision)
