"""What is legal in policy files and probably not meant: rules that say nothing, names that reach more or less than they seem to.

Each finding is a warning with its place; a rule is told of only if it is so wherever it holds, in every environment and
for every DAG. Nothing here decides anything.
"""

from __future__ import annotations

import difflib
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from proxy.globs import Globs, is_glob
from proxy.policy.patterns import can_meet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from proxy.policy.cases import DagRules
    from proxy.policy.coverage import Rule
    from proxy.policy.document import Document
    from proxy.policy.rules import Policies

_MOST_SHOWN = 5


class Finding(NamedTuple):
    """`place` is file:line. A note is only told; a warning is to be mended."""

    place: str
    message: str
    kind: str = "warning"


def lint(document: Document, snapshots: Sequence[Policies], real_tables: Collection[str] = ()) -> list[Finding]:
    """Everything that is probably not meant. `snapshots`: the policies of each environment; `real_tables`: names of tables
    that exist, where they are known.
    """
    findings = [
        *_idle_rules(snapshots),
        *_redundant_rules(snapshots),
        *_idle_dags(snapshots),
        *_idle_tables(document),
        *_speechless_dags(document, snapshots),
        *_strange_names(snapshots, frozenset(real_tables)),
        *(_against_tables(snapshots, frozenset(real_tables)) if real_tables else ()),
    ]
    return list(dict.fromkeys(findings))


# ------------------------------------------------------------------------------------------ what never matters


def _idle_rules(snapshots: Sequence[Policies]) -> Iterator[Finding]:
    """Rules that hold in no environment in which their DAG lives, and allow rules that a deny always stops."""
    lives: set[str] = set()
    rules: dict[str, Rule] = {}
    stopped: dict[str, str] = {}
    works: set[str] = set()
    for found in _dags(snapshots):
        for rule in (*found.allow, *found.deny, *(requirement.rule for requirement in found.require)):
            rules[rule.place] = rule
            if found.is_active and rule.is_active:
                lives.add(rule.place)
        for rule in found.allow:
            stop = _stop_of(rule, found.deny)
            if stop:
                stopped.setdefault(rule.place, stop)
            elif found.is_active and rule.is_active:
                works.add(rule.place)
    for place, rule in rules.items():
        if place not in lives:
            there = ", ".join(rule.environments)
            yield Finding(place, f"the rule never matches: it is for {there} only, and its dag is not; take one of the two out")
        elif place in stopped and place not in works:
            yield Finding(place, f"the rule never allows anything: {stopped[place]} denies all of it; take it out")


def _stop_of(rule: Rule, deny: Iterable[Rule]) -> str:
    """The place of a deny rule that stops whatever the allow rule allows, or an empty string."""
    for stop in deny:
        covers_actions = stop.actions is None or (rule.actions is not None and rule.actions <= stop.actions)
        covers_indexes = stop.indexes is None or (rule.indexes is not None and _holds(stop.indexes, rule.indexes))
        if stop.is_active and not stop.has_conditions and covers_actions and covers_indexes and _holds(stop.tables, rule.tables):
            return stop.place
    return ""


def _redundant_rules(snapshots: Sequence[Policies]) -> Iterator[Finding]:
    """Rules that another of the same list covers whole, wherever they hold."""
    shadows: dict[str, str] = {}
    needed: set[str] = set()
    for found in _dags(snapshots):
        for rules, is_deny in ((found.allow, False), (found.deny, True)):
            for rule, shadow in _shadowed(rules, is_deny=is_deny):
                if shadow:
                    shadows.setdefault(rule.place, shadow)
                else:
                    needed.add(rule.place)
    for place, shadow in shadows.items():
        if place not in needed:
            yield Finding(place, f"the rule adds nothing: {shadow} covers all of it; take it out")


def _shadowed(rules: Sequence[Rule], *, is_deny: bool) -> Iterator[tuple[Rule, str]]:
    """Each active rule with the place of another that covers all of it, if there is one; of two equal rules the first stays."""
    by_table: dict[str, list[tuple[int, Rule]]] = {}
    for at, rule in enumerate(rules):
        for table in rule.tables.patterns:
            by_table.setdefault(table if not is_glob(table) else "*", []).append((at, rule))
    for at, rule in enumerate(rules):
        if not rule.is_active:
            continue
        near = [*by_table.get(rule.tables.patterns[0], ()), *by_table.get("*", ())]
        shadow = next(
            (
                other.place
                for other_at, other in near
                if _covers(other, rule, is_deny=is_deny) and (other_at < at or not _covers(rule, other, is_deny=is_deny))
            ),
            "",
        )
        yield rule, shadow if shadow != rule.place else ""


def _covers(wide: Rule, narrow: Rule, *, is_deny: bool) -> bool:
    """True if every request that `narrow` covers is one that `wide` covers: surely, not only as far as can be seen."""
    if not wide.is_active or (wide.actions is not None and (narrow.actions is None or not narrow.actions <= wide.actions)):
        return False
    if not _covers_indexes(wide, narrow, is_deny=is_deny) or not _holds(wide.tables, narrow.tables):
        return False
    if wide.tasks is not None and (narrow.tasks is None or not _holds(wide.tasks, narrow.tasks)):
        return False
    if wide.keys is not None and (narrow.keys is None or not set(narrow.keys.patterns) <= set(wide.keys.patterns)):
        return False
    if wide.attributes is not None and (narrow.attributes is None or not narrow.attributes <= wide.attributes):
        return False
    return wide.until in (inf, narrow.until)


def _covers_indexes(wide: Rule, narrow: Rule, *, is_deny: bool) -> bool:
    if wide.indexes is None or narrow.indexes is None:
        return wide.indexes is None and (is_deny or narrow.indexes is None)
    return _holds(wide.indexes, narrow.indexes)


def _holds(wide: Globs, narrow: Globs) -> bool:
    """True if `wide` surely has every name of `narrow`: pattern by pattern, and nothing that is taken back reaches it."""
    taken = [pattern[1:] for pattern in wide.patterns if pattern.startswith("!")]
    for pattern in narrow.patterns:
        if pattern.startswith("!"):
            continue
        if pattern not in wide.patterns and "*" not in wide.patterns and (is_glob(pattern) or not wide.match(pattern)):
            return False
        if any(can_meet(pattern, other) for other in taken):
            return False
    return True


def _idle_dags(snapshots: Sequence[Policies]) -> Iterator[Finding]:
    """DAGs that may do nothing in any environment."""
    allowing = {found.place for found in _dags(snapshots) if found.is_active and any(rule.is_active for rule in found.allow)}
    for found in _dags(snapshots):
        if found.place not in allowing:
            yield Finding(found.place, f"DAG `{found.pattern}` has no allow rule in any environment, so it may do nothing")


def _idle_tables(document: Document) -> Iterator[Finding]:
    """Tables that no rule of their file names."""
    granted = {(word.place.file, word.text) for grant in document.platform.grants for rule in grant.allow for word in rule.tables}
    for file in document.teams:
        dags = (*file.dags, *((file.defaults,) if file.defaults else ()))
        used = {word.text for dag in dags for rule in (*dag.allow, *dag.deny) for word in rule.tables}
        used |= {test.table for test in file.tests} | {name for _, name in granted}
        for name, table in file.tables.items():
            if name not in used:
                yield Finding(str(table.place), f"no rule names table `{name}`; take it out, or give a DAG something on it")


def _speechless_dags(document: Document, snapshots: Sequence[Policies]) -> Iterator[Finding]:
    """DAGs for which no workload may speak: no request of theirs ever gets as far as their rules."""
    workloads = document.platform.workloads
    if not workloads:
        return
    speaking = [Globs(workload.dags) for workload in workloads]
    for found in _dags(snapshots):
        if not any(globs.match(found.pattern) for globs in speaking):  # `*` and `?` are signs as well
            yield Finding(
                found.place,
                f"no workload may speak for DAG `{found.pattern}`, so it is refused always; see workloads: in platform.yaml",
            )


# --------------------------------------------------------------------------------------- against real tables


def _against_tables(snapshots: Sequence[Policies], real: frozenset[str]) -> Iterator[Finding]:
    """What globs of platform.yaml match among the tables that exist, and declared tables that do not exist."""
    for policies in snapshots:
        declared = policies.tables
        if not declared & real:
            continue  # the names are of another environment
        where = f" in {policies.environment}" if policies.environment else ""
        for place, what, globs in _reaching(policies):
            if not any(is_glob(pattern) for pattern in globs.patterns):
                continue
            matched = sorted(name for name in real if globs.match(name))
            new = [name for name in matched if name not in declared]
            if new:
                yield Finding(place, f"{what}{where} matches tables that no file declares: {_cut(new)}", "note")
            elif not matched:
                yield Finding(place, f"{what}{where} matches no table that exists; correct the pattern if one is meant")
        for found in policies.dag_rules():
            for name, logical in found.names.items():
                if name not in real:
                    file = found.place.rpartition(":")[0]
                    yield Finding(file, f"table `{logical}`{where} is `{name}`, and no such table exists")


def _strange_names(snapshots: Sequence[Policies], real: frozenset[str]) -> Iterator[Finding]:
    """Names in platform.yaml, written out, that no table has: a deny rule that is misspelt denies nothing."""
    known = real.union(*(policies.tables for policies in snapshots))
    for policies in snapshots:
        where = f" in {policies.environment}" if policies.environment else ""
        called = {logical: name for found in policies.dag_rules() for name, logical in found.names.items()}
        is_told = bool(policies.tables & real)  # else the names that exist are of another environment
        for place, what, globs in _reaching(policies):
            for name in globs.patterns:
                if name in known or is_glob(name) or name.startswith("!"):
                    continue
                if name in called:
                    hint = f"; did you mean `{called[name]}`?"
                    yield Finding(place, f"{what}{where} names `{name}`, which is no real name{hint}")
                elif is_told:
                    hint = "".join(f"; did you mean `{near}`?" for near in difflib.get_close_matches(name, sorted(known), 1))
                    yield Finding(place, f"{what}{where} names `{name}`, and no such table exists{hint or '; correct the name'}")


def _reaching(policies: Policies) -> Iterator[tuple[str, str, Globs]]:
    """Place, name and patterns of everything that reaches some real tables wherever it holds, each once."""
    every: dict[tuple[str, str, tuple[str, ...]], Globs] = {}
    for found in policies.dag_rules():
        rules = [(rule, "the deny rule") for rule in found.deny]
        rules += [(requirement.rule, "the requirement") for requirement in found.require]
        places = [(rule.place, what, rule.tables) for rule, what in rules if rule.is_active]
        if found.boundary is not None:
            places.append((found.boundary.place, f"the boundary of team {found.boundary.team}", found.boundary.tables))
        every |= {(place, what, globs.patterns): globs for place, what, globs in places}
    for (place, what, patterns), globs in every.items():
        if "*" not in patterns:
            yield place, what, globs


def _cut(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more


def _dags(snapshots: Sequence[Policies]) -> Iterator[DagRules]:
    for policies in snapshots:
        yield from policies.dag_rules()
