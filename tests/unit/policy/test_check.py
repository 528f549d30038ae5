"""`check` judges files in every environment, runs their tests, and sees what a boundary will stop."""

from __future__ import annotations

from pathlib import Path

from proxy.policy.check import check_policies
from proxy.policy.store import policy_texts

ROOT = Path(__file__).parents[3]
PLATFORM = """\
environments:
  dev: {account: "111111111111", region: eu-west-1}
  prod: {account: "333333333333", region: eu-west-1}
teams:
  growth: {dags: ["growth_*"], tables: ["<env>-growth-*"], role: "ddb-<env>"}
"""


def test_the_policies_that_ship_pass() -> None:
    """The examples in policies/ have no mistake, no warning and no failing test."""
    report = check_policies(policy_texts(ROOT / "policies"))
    assert report.lines() == []
    assert report.is_good
    assert {outcome.environment for outcome in report.outcomes} == {"demo", "prod"}


def test_a_failing_test_is_a_line_with_the_reason() -> None:
    """A wrong expectation is told with what the gateway would have said."""
    text = """\
contact: "#orders"
tables: {orders: {}}
dags: {d: {role: "arn:aws:iam::111122223333:role/r", allow: [{actions: [read], tables: [orders]}]}}
tests:
  - {dag: d, call: PutItem, table: orders, expect: allow}
  - {dag: d, call: GetItem, table: orders, expect: deny}
  - {dag: d, call: GetItem, table: orders, expect: allow}
"""
    report = check_policies({"a.yaml": text})
    assert not report.is_good
    assert report.lines() == [
        (
            "a.yaml:5: FAIL: d PutItem orders: expected allow; dag 'd' may not PutItem on 'orders': no allow rule has write; "
            "nearest is a.yaml:3 (read); owner #orders"
        ),
        "a.yaml:6: FAIL: d GetItem orders: expected deny; allowed by a.yaml:3",
    ]
    assert report.outcomes[2].line() == "a.yaml:7: pass: d GetItem orders: expected allow; allowed by a.yaml:3"


def test_each_environment_is_judged() -> None:
    """A test without an environment runs in each; what is wrong in one only is found, and what is wrong in all is told once."""
    text = """\
team: growth
tables: {state: {name: {dev: dev-growth-state, prod: x}}, events: {name: "<env>-growth-events"}, bad: {name: "a b"}}
dags: {growth_sync: {}}
"""
    report = check_policies({"platform.yaml": PLATFORM, "growth.yaml": text})
    assert report.lines() == [
        "growth.yaml:2: `a b` is not a table name; it has 3 to 255 of A-Z a-z 0-9 _ . -",
        "growth.yaml:2: `x` is not a table name; it has 3 to 255 of A-Z a-z 0-9 _ . -",
    ]
    assert report.outcomes == ()


def test_a_rule_beyond_the_boundary_is_an_error() -> None:
    """What the boundary will refuse at every request is found before it is merged; inactive rules are left alone."""
    text = """\
team: growth
tables: {stolen: {name: "<env>-orders"}, events: {name: "<env>-growth-events"}}
defaults: {allow: [{actions: [read], tables: [events]}]}
dags:
  growth_sync:
    allow:
      - {actions: [read], tables: [stolen, events]}
      - {actions: [write], tables: [stolen], environments: [dev]}
  "growth*": {environments: [dev]}
"""
    report = check_policies({"platform.yaml": PLATFORM, "growth.yaml": text})
    limit = "outside the boundary of team growth (platform.yaml:5); have it widened there, or leave it out"
    assert report.lines() == [
        f"growth.yaml:7: the rule grants `dev-orders`, which is {limit}",
        f"growth.yaml:7: the rule grants `prod-orders`, which is {limit}",
        f"growth.yaml:8: the rule grants `dev-orders`, which is {limit}",
        f"growth.yaml:9: DAG `growth*` is {limit}",
    ]


def test_tests_name_what_exists() -> None:
    """A misspelt DAG or environment would make a `deny` pass for the wrong reason."""
    text = """\
team: growth
tables: {events: {name: "<env>-growth-events"}}
dags: {growth_sync: {}}
tests:
  - {dag: growth_snyc, call: GetItem, table: events, expect: deny}
  - {dag: growth_sync, call: GetItem, table: events, environment: live, expect: deny}
"""
    assert check_policies({"platform.yaml": PLATFORM, "growth.yaml": text}).lines() == [
        "growth.yaml:5: no file defines DAG `growth_snyc`; correct the name, or add it under dags:",
        "growth.yaml:6: there is no environment `live`; known: dev, prod",
    ]


def test_a_test_can_be_for_one_environment_and_one_task() -> None:
    """`environment` picks one, `task` speaks as that task."""
    text = """\
team: growth
tables: {events: {name: "<env>-growth-events"}}
dags: {growth_sync: {allow: [{actions: [Scan], tables: [events], tasks: [load], environments: [dev]}]}}
tests:
  - {dag: growth_sync, call: Scan, table: events, task: load, environment: dev, expect: allow}
  - {dag: growth_sync, call: Scan, table: events, environment: dev, expect: deny}
  - {dag: growth_sync, call: Scan, table: events, task: load, environment: prod, expect: deny}
"""
    report = check_policies({"platform.yaml": PLATFORM, "growth.yaml": text})
    assert report.is_good, report.lines()
    assert [outcome.environment for outcome in report.outcomes] == ["dev", "dev", "prod"]
    assert report.outcomes[0].line().startswith("growth.yaml:5: pass: growth_sync Scan events in dev: expected allow")


def test_a_file_that_cannot_be_read_stops_the_judging() -> None:
    """Nothing is concluded from half of the files."""
    report = check_policies({"platform.yaml": "a: [", "growth.yaml": "team: growth"})
    assert [line.split(":")[0] for line in report.lines()] == ["platform.yaml"]
