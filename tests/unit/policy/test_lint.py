"""Lints: what is legal and probably not meant, told with its place and never where it may be meant after all."""

from __future__ import annotations

import pytest

from proxy.policy.check import check_policies
from proxy.policy.lint import lint

PLATFORM = """\
environments:
  dev: {account: "111111111111", region: eu-west-1}
  prod: {account: "333333333333", region: eu-west-1}
teams:
  growth: {dags: ["growth_*"], tables: ["<env>-growth-*"], role: "ddb-<env>"}
"""
TABLES = """\
team: growth
tables: {events: {name: "<env>-growth-events", key: "pk (S)", indexes: {by_a: "a (S)"}}, state: {name: "<env>-growth-state"}}
"""


def told(growth: str, platform: str = PLATFORM, real: tuple[str, ...] = ()) -> list[str]:
    """Findings as lines."""
    report = check_policies({"platform.yaml": platform, "growth.yaml": TABLES + growth})
    assert report.mistakes.errors == []
    return [f"{place}: {kind}: {message}" for place, message, kind in lint(report.document, report.snapshots, real)]


def rules(*allow: str, deny: tuple[str, ...] = ()) -> str:
    """One DAG with these rules, the first on line 6, and a test that uses both tables."""
    lines = ["dags:", "  growth_a:", "    allow:", *(f"      - {{{rule}}}" for rule in allow)]
    lines += ["    deny:", *(f"      - {{{rule}}}" for rule in deny)] if deny else []
    lines += [f"tests: [{{dag: growth_a, call: GetItem, table: {name}, expect: deny}}]" for name in ("state",)]
    return "\n".join([*lines, "defaults: {allow: [{actions: [ListTables], tables: [events, state]}]}", ""])


ADDS_NOTHING = [
    # a narrower rule, the wider one
    ("actions: [GetItem], tables: [events]", "actions: [read], tables: [events]"),
    ("actions: [read], tables: [events]", "actions: [read], tables: [events]"),
    ("actions: [read], tables: [events], tasks: [a]", "actions: [read], tables: [events], tasks: ['*']"),
    ("actions: [read], tables: [events], tasks: [a_1]", "actions: [read], tables: [events], tasks: ['a_*']"),
    ("actions: [read], tables: [events], keys: {prefix: 'a#'}", "actions: [read], tables: [events]"),
    (
        "actions: [read], tables: [events], keys: {prefix: 'a#'}",
        "actions: [read], tables: [events], keys: [{prefix: 'b#'}, {prefix: 'a#'}]",
    ),
    ("actions: [GetItem], tables: [events], keys: {prefix: 'a#'}", "actions: [read], tables: [events], keys: {prefix: 'a#'}"),
    ("actions: [Scan], tables: [events], attributes: [a]", "actions: [Scan], tables: [events], attributes: [a, b]"),
    ("actions: [Scan], tables: [events], attributes: [a]", "actions: [Scan, Query], tables: [events], attributes: [a]"),
    ("actions: [Query], tables: [events], indexes: [by_a]", "actions: [Query, Scan], tables: [events], indexes: [by_a]"),
    ("actions: [read], tables: [events]", "actions: [read], tables: [state, events]"),
    ("actions: [read], tables: [events], tasks: [b]", "actions: [read], tables: [events], tasks: [ab, b]"),
    ("actions: [read], tables: [events], tasks: ['a*']", "actions: [read], tables: [events], tasks: [x, '*']"),
    (
        "actions: [read], tables: [events], environments: [dev]",
        "actions: [read, Scan], tables: [events], environments: [dev]",
    ),
    ("actions: [read], tables: [events], tasks: ['a_*', '!a_x']", "actions: [read], tables: [events], tasks: ['a_*']"),
]
SAYS_MORE = [
    ("actions: [GetItem, Scan], tables: [events]", "actions: [read], tables: [events]"),
    ("actions: [read], tables: [events, state]", "actions: [read], tables: [events]"),
    ("actions: [read], tables: [events]", "actions: [read], tables: [events], tasks: [a]"),
    ("actions: [read], tables: [events], tasks: ['a*']", "actions: [read], tables: [events], tasks: ['a?']"),
    ("actions: [read], tables: [events], tasks: [a, b]", "actions: [read], tables: [events], tasks: [a]"),
    ("actions: [read], tables: [events], tasks: ['a*']", "actions: [read], tables: [events], tasks: ['*', '!ab']"),
    ("actions: [read], tables: [events], tasks: ['a*', '!ab']", "actions: [read], tables: [events], tasks: ['b*']"),
    ("actions: [read], tables: [events]", "actions: [read], tables: [events], keys: {prefix: 'a#'}"),
    ("actions: [read], tables: [events], keys: {prefix: 'b#'}", "actions: [read], tables: [events], keys: {prefix: 'a#'}"),
    ("actions: [Scan], tables: [events]", "actions: [Scan], tables: [events], attributes: [a]"),
    ("actions: [Scan], tables: [events], attributes: [a, b]", "actions: [Scan], tables: [events], attributes: [a]"),
    ("actions: [Query], tables: [events], indexes: [by_a]", "actions: [Query], tables: [events]"),
    ("actions: [Query], tables: [events]", "actions: [Query], tables: [events], indexes: [by_a]"),
    ("actions: [read], tables: [events]", "actions: [read], tables: [events], environments: [dev]"),
]


@pytest.mark.parametrize(("narrow", "wide"), ADDS_NOTHING)
def test_a_rule_that_another_covers_adds_nothing(narrow: str, wide: str) -> None:
    """It is told once with the place of the other, in whichever order they stand; of two equal ones the later is told."""
    first, second = rules(narrow, wide), rules(wide, narrow)
    shadowed = "growth.yaml:7" if narrow == wide else "growth.yaml:6"
    other = "growth.yaml:6" if narrow == wide else "growth.yaml:7"
    assert told(first) == [f"{shadowed}: warning: the rule adds nothing: {other} covers all of it; take it out"]
    assert told(second) == ["growth.yaml:7: warning: the rule adds nothing: growth.yaml:6 covers all of it; take it out"]


@pytest.mark.parametrize(("narrow", "wide"), SAYS_MORE)
def test_a_rule_that_says_more_is_left_alone(narrow: str, wide: str) -> None:
    """What is not surely covered may be meant."""
    assert told(rules(narrow, wide)) in ([], [f"growth.yaml:7: warning: {covered()}"])
    assert told(rules(wide, narrow)) in ([], [f"growth.yaml:6: warning: {covered().replace('6', '7')}"])


def covered() -> str:
    """The sentence for the second of two rules."""
    return "the rule adds nothing: growth.yaml:6 covers all of it; take it out"


READING = "{actions: [read], tables: [events, state]}"


def test_equal_rules_on_one_line_are_left_alone() -> None:
    """A place names both of them."""
    assert told(f"dags: {{growth_a: {{allow: [{READING}, {READING}]}}}}\n") == []


def test_deny_rules_shadow_each_other_too() -> None:
    """A deny on a table covers its indexes; one by `*` covers everything."""
    deny = ("actions: ['*'], tables: [events]", "actions: [Query], tables: [events], indexes: [by_a]")
    assert told(rules("actions: [read], tables: [state]", deny=deny)) == [
        "growth.yaml:9: warning: the rule adds nothing: growth.yaml:8 covers all of it; take it out"
    ]


def test_a_default_that_one_dag_needs_is_left_alone() -> None:
    """A rule of the defaults is told only if every DAG of the file has it already."""
    growth = """\
defaults: {allow: [{actions: [read], tables: [events, state]}]}
dags:
  growth_a: {allow: [{actions: [read, Scan], tables: [events, state]}]}
  growth_b: {}
"""
    assert told(growth) == []
    assert told(growth.replace("growth_b: {}", "growth_b: {allow: [{actions: [read, PutItem], tables: [state, events]}]}")) == [
        "growth.yaml:3: warning: the rule adds nothing: growth.yaml:5 covers all of it; take it out"
    ]


def test_grants_shadow_by_their_end() -> None:
    """A grant of what the DAG has anyway adds nothing; one that ends later than another is needed."""
    grant = 'grants:\n  - {dag: growth_a, allow: [{actions: [RULE], tables: [events]}], until: "2030-01-01", reason: x}\n'
    assert told(rules("actions: [read], tables: [events]"), PLATFORM + grant.replace("RULE", "GetItem")) == [
        "platform.yaml:7: warning: the rule adds nothing: growth.yaml:6 covers all of it; take it out"
    ]
    assert told(rules("actions: [GetItem], tables: [events]"), PLATFORM + grant.replace("RULE", "read")) == []


def test_a_rule_that_is_denied_whole_allows_nothing() -> None:
    """Told where it stands, in every environment in which it holds."""
    deny = "deny:\n  - {actions: [write], tables: ['*-state'], ENV}\n"
    everywhere = told(rules("actions: [PutItem], tables: [state]"), PLATFORM + deny.replace(", ENV", ""))
    assert everywhere == ["growth.yaml:6: warning: the rule never allows anything: platform.yaml:7 denies all of it; take it out"]
    assert told(rules("actions: [PutItem], tables: [state]"), PLATFORM + deny.replace("ENV", "environments: [dev]")) == []
    own = rules("actions: [Query], tables: [events], indexes: [by_a]", deny=("actions: ['*'], tables: [events]",))
    assert "growth.yaml:8 denies all of it" in told(own)[0]
    same = own.replace("['*'], tables: [events]", "[Query], tables: [events], indexes: [by_a]")
    assert "growth.yaml:8 denies all of it" in told(same)[0]
    other = TABLES.replace('by_a: "a (S)"', 'by_a: "a (S)", by_b: "b (S)"'), same.replace("by_a", "by_b", 1)
    report = check_policies({"platform.yaml": PLATFORM, "growth.yaml": "".join(other)})
    assert lint(report.document, report.snapshots) == []
    dev = "dags:\n  growth_a:\n    environments: [dev]\n    allow: [{actions: [PutItem], tables: [events, state]}]\n"
    denied = PLATFORM + "deny:\n  - {actions: [PutItem], tables: ['*'], environments: [dev]}\n"
    assert told(dev, denied) == [
        "growth.yaml:6: warning: the rule never allows anything: platform.yaml:7 denies all of it; take it out"
    ]


def test_a_rule_for_an_environment_without_its_dag_never_matches() -> None:
    """The DAG lives in one environment, the rule in the other; two rules on one line are told apart by nobody."""
    growth = """\
dags:
  growth_a:
    environments: [dev]
    allow:
      - {actions: [read], tables: [events], environments: [prod]}
      - {actions: [read], tables: [state]}
"""
    assert told(growth) == [
        "growth.yaml:7: warning: the rule never matches: it is for prod only, and its dag is not; take one of the two out"
    ]


def test_a_dag_without_a_rule_where_it_lives_is_told() -> None:
    """It may do nothing there."""
    growth = """\
dags:
  growth_a:
    environments: [dev]
    allow: [{actions: [read], tables: [events, state], environments: [prod]}]
"""
    assert "growth.yaml:4: warning: DAG `growth_a` has no allow rule in any environment, so it may do nothing" in told(growth)


def test_a_dag_without_rules_is_told() -> None:
    """It may do nothing, and nobody defines a DAG for that."""
    found = told("dags:\n  growth_a: {}\n  growth_b: {allow: [{actions: [read], tables: [events, state]}]}\n")
    assert found == ["growth.yaml:4: warning: DAG `growth_a` has no allow rule in any environment, so it may do nothing"]


def test_a_table_that_no_rule_names_is_told() -> None:
    """Rules, tests and grants count."""
    found = told("dags: {growth_b: {allow: [{actions: [read], tables: [events]}]}}\n")
    assert found == ["growth.yaml:2: warning: no rule names table `state`; take it out, or give a DAG something on it"]
    granted = 'grants: [{dag: growth_b, allow: [{actions: [read], tables: [state]}], until: "2030-01-01", reason: x}]\n'
    assert told("dags: {growth_b: {allow: [{actions: [read], tables: [events]}]}}\n", PLATFORM + granted) == []


def test_a_dag_for_which_nobody_may_speak_is_told() -> None:
    """Where there are workloads, one of them must reach it."""
    workloads = 'workloads: {pool: {issuer: i, subject: s, dags: ["growth_a*"]}}\n'
    growth = """\
dags:
  growth_a: {allow: [{actions: [read], tables: [events]}]}
  "growth_?x": {allow: [{actions: [read], tables: [state]}]}
"""
    assert told(growth, PLATFORM + workloads) == [
        (
            "growth.yaml:5: warning: no workload may speak for DAG `growth_?x`, so it is refused always; "
            "see workloads: in platform.yaml"
        )
    ]


REAL = ("dev-growth-events", "dev-growth-new", "dev-pii", "x-pii")
DENY = """\
deny:
  - {actions: ['*'], tables: ['*-pii', '*-gone']}
  - {actions: ['*'], tables: ['*-nowhere']}
require:
  - {actions: [Scan], tables: ['*'], max_limit: 1}
"""


def test_real_tables_show_what_globs_reach() -> None:
    """Tables that a glob matches and no file declares, globs that match nothing, and declared tables that do not exist."""
    found = told(rules("actions: [read], tables: [events]"), PLATFORM + DENY, REAL)
    assert found == [
        "platform.yaml:7: note: the deny rule in dev matches tables that no file declares: dev-pii, x-pii",
        "platform.yaml:8: warning: the deny rule in dev matches no table that exists; correct the pattern if one is meant",
        "platform.yaml:5: note: the boundary of team growth in dev matches tables that no file declares: dev-growth-new",
        "growth.yaml: warning: table `state` in dev is `dev-growth-state`, and no such table exists",
    ]


def test_requirements_reach_tables_by_globs_too() -> None:
    """Names written out are meant; a pattern that matches what no file declares may not be."""
    platform = (
        PLATFORM
        + "require:\n  - {actions: [Scan], tables: ['x-*'], max_limit: 1}\n  - {actions: [Scan], tables: [x-pii], max_limit: 2}\n"
    )
    assert told(
        rules("actions: [read], tables: [events, state]"), platform, ("dev-growth-events", "dev-growth-state", "x-pii")
    ) == ["platform.yaml:7: note: the requirement in dev matches tables that no file declares: x-pii"]


def test_rules_on_one_line_reach_tables_each_by_its_own_globs() -> None:
    """Two deny rules in one line of a file are two."""
    platform = PLATFORM + "deny: [{actions: ['*'], tables: ['x-*']}, {actions: [Scan], tables: ['y-*']}]\n"
    real = ("dev-growth-events", "dev-growth-state", "x-pii", "y-pii")
    assert told(rules("actions: [read], tables: [events, state]"), platform, real) == [
        f"platform.yaml:6: note: the deny rule in dev matches tables that no file declares: {name}" for name in ("x-pii", "y-pii")
    ]


def test_a_name_in_platform_yaml_that_no_table_has_is_told() -> None:
    """It denies nothing and looks as if it did: the name in a team's file always, another where the real tables are known."""
    deny = "deny:\n  - {actions: [write], tables: [state, dev-growth-stat, zzz, prod-growth-state, x-pii, '!yyy']}\n"
    deny += "  - {actions: [Scan], tables: [state], environments: [prod]}\n  - {actions: [Query], tables: [nowhere, '*']}\n"
    policies = rules("actions: [read], tables: [events, state]"), PLATFORM + deny
    called = [
        f"platform.yaml:{line}: warning: the deny rule in {name} names `state`, which is no real name; "
        f"did you mean `{name}-growth-state`?"
        for line, name in ((7, "dev"), (7, "prod"), (8, "prod"))
    ]
    assert told(*policies) == called
    real = ("dev-growth-events", "dev-growth-state", "x-pii")
    assert [line for line in told(*policies, real) if " names `" in line] == [
        called[0],
        (
            "platform.yaml:7: warning: the deny rule in dev names `dev-growth-stat`, and no such table exists; "
            "did you mean `dev-growth-state`?"
        ),
        "platform.yaml:7: warning: the deny rule in dev names `zzz`, and no such table exists; correct the name",
        *called[1:],
    ]


def test_a_name_that_a_table_has_is_meant() -> None:
    """Though a team's file calls another table so."""
    deny = "deny: [{actions: ['*'], tables: [state]}]\n"
    assert (
        told(
            rules("actions: [read], tables: [events, state]"), PLATFORM + deny, ("state", "dev-growth-events", "dev-growth-state")
        )
        == []
    )


def test_five_tables_are_all_named() -> None:
    """Only of more the rest is counted."""
    real = ("dev-growth-events", "dev-growth-state", *(f"t{number}-pii" for number in range(5)))
    found = told(rules("actions: [read], tables: [events]"), PLATFORM + DENY.replace(", '*-gone'", ""), real)
    assert found[0].endswith(": t0-pii, t1-pii, t2-pii, t3-pii, t4-pii")


def test_many_tables_are_cut() -> None:
    """A glob that reaches a hundred tables is told in one line."""
    real = ("dev-growth-events", "dev-growth-state", *(f"t{number}-pii" for number in range(9)))
    found = told(rules("actions: [read], tables: [events]"), PLATFORM + DENY.replace("'*-gone'", "'!t0*'"), real)
    assert "t1-pii, t2-pii, t3-pii, t4-pii, t5-pii and 3 more" in found[0]


def test_one_environment_without_teams_needs_no_name() -> None:
    """The smallest policies are lint-free, and their findings name no environment."""
    text = """\
tables: {orders: {}}
dags: {d: {role: "arn:aws:iam::111122223333:role/r", allow: [{actions: [read], tables: [orders]}]}}
"""
    report = check_policies({"a.yaml": text})
    assert lint(report.document, report.snapshots) == []
    assert lint(report.document, report.snapshots, ["orders", "more"]) == []
    denying = check_policies({"a.yaml": text, "platform.yaml": "deny: [{actions: [Scan], tables: ['m*']}]\n"})
    assert [found.message for found in lint(denying.document, denying.snapshots, ["orders", "more"])] == [
        "the deny rule matches tables that no file declares: more"
    ]


def test_a_rule_that_is_denied_in_its_own_environment_allows_nothing() -> None:
    """Where it does not hold it does nothing either; a deny of other actions stops nothing, one of the same all."""
    deny = "deny:\n  - {actions: [write], tables: ['*-state'], environments: [dev]}\n"
    stopped = ["growth.yaml:6: warning: the rule never allows anything: platform.yaml:7 denies all of it; take it out"]
    assert told(rules("actions: [write], tables: [state], environments: [dev]"), PLATFORM + deny) == stopped
    assert told(rules("actions: [GetItem], tables: [state], environments: [dev]"), PLATFORM + deny) == []
    assert told(rules("actions: [GetItem, PutItem], tables: [state], environments: [dev]"), PLATFORM + deny) == []


def test_a_deny_by_a_glob_shadows_one_by_name() -> None:
    """A DAG's own deny adds nothing to one that the platform's file has for everybody."""
    deny = "deny:\n  - {actions: ['*'], tables: ['*-growth-events']}\n"
    own = rules("actions: [read], tables: [state]", deny=("actions: [Query], tables: [events]",))
    assert told(own, PLATFORM + deny) == [
        "growth.yaml:8: warning: the rule adds nothing: platform.yaml:7 covers all of it; take it out"
    ]


def test_a_workload_may_speak_for_some_of_a_glob() -> None:
    """For any sign where the DAG's glob has one or more."""
    workloads = 'workloads: {pool: {issuer: i, subject: s, dags: ["growth_??", "growth_?_b"]}}\n'
    growth = """\
dags:
  "growth_?x": {allow: [{actions: [read], tables: [state]}]}
  "growth_*_b": {allow: [{actions: [read], tables: [events]}]}
"""
    assert told(growth, PLATFORM + workloads) == []
