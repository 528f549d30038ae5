"""`check` judges files in every environment, runs their tests, and sees what a boundary will stop."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from proxy.policy.check import check_policies
from proxy.policy.store import policy_texts
from proxy.refusal import Reason

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


def test_where_a_rule_holds_a_mistake_no_test_is_tried() -> None:
    """What the rule was meant to say is not known, and the mistake is told whatever the tests ask."""
    text = """\
tables: {orders: {key: "pk (S)"}}
dags:
  d: {role: "arn:aws:iam::111122223333:role/r", allow: [{actions: [read], tables: [orders], keys: {exact: [""]}}]}
tests:
  - {dag: d, call: GetItem, table: orders, key: a, expect: allow}
"""
    report = check_policies({"a.yaml": text})
    assert report.lines() == ["a.yaml:3: `exact` of `keys` is empty; write a value or leave the key out"]
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


def test_a_test_says_what_its_request_would_prove() -> None:
    """Key, attributes, shape, and who asks when: a test speaks of each, and nothing but what it says is proven."""
    text = """\
team: growth
tables:
  events: {name: "<env>-growth-events", key: "pk (S), sk (S)", indexes: {by_day: "day (S)"}}
  counts: {name: "<env>-growth-counts", key: "id (N)"}
  blobs: {name: "<env>-growth-blobs", key: "pk (B)"}
  bare: {name: "<env>-growth-bare"}
dags:
  growth_sync:
    allow:
      - {actions: [read, write], tables: [events], keys: [{prefix: "<dag_id>#"}, {prefix: "<claim.tenant>/<run_id>#"}]}
      - {actions: [Query], tables: [events], indexes: [by_day], keys: {exact: ["mon"]}}
      - {actions: [GetItem], tables: [counts, blobs], keys: {exact: ["1"]}}
      - {actions: [Scan, PartiQLSelect, PartiQLDelete], tables: [bare]}
      - {actions: [ListTables, DescribeTable], tables: [bare]}
  growth_columns: {allow: [{actions: [read, write, Scan], tables: [events], attributes: [pk, sk, status]}]}
tests:
  - {dag: growth_sync, call: GetItem, table: events, key: "growth_sync#1", expect: allow}
  - {dag: growth_sync, call: GetItem, table: events, key: "acme/r1#1", run: r1, claims: {tenant: acme}, expect: allow}
  - {dag: growth_sync, call: GetItem, table: events, key: "other#1", expect: deny}
  - {dag: growth_sync, call: GetItem, table: events, expect: deny}
  - {dag: growth_sync, call: Scan, table: events, expect: deny}
  - {dag: growth_sync, call: Query, table: events, index: by_day, key: "mon", expect: allow}
  - {dag: growth_sync, call: Query, table: events, index: by_day, key: "tue", expect: deny}
  - {dag: growth_sync, call: GetItem, table: counts, key: "1.0", expect: allow}
  - {dag: growth_sync, call: GetItem, table: blobs, key: "1", expect: allow}
  - {dag: growth_sync, call: Scan, table: bare, limit: 10, segments: 2, expect: allow}
  - {dag: growth_sync, call: Scan, table: bare, limit: 10, segments: 3, expect: deny}
  - {dag: growth_sync, call: Scan, table: bare, expect: deny}
  - {dag: growth_sync, call: PartiQLSelect, table: bare, expect: allow}
  - {dag: growth_sync, call: PartiQLDelete, table: bare, expect: deny}
  - {dag: growth_sync, call: PartiQLDelete, table: bare, condition: true, client_token: true, expect: allow}
  - {dag: growth_sync, call: PartiQLDelete, table: bare, condition: true, client_token: true, evidence: claimed, expect: deny}
  - {dag: growth_sync, call: ListTables, expect: allow}
  - {dag: growth_sync, call: DescribeTable, table: bare, expect: allow}
  - {dag: growth_columns, call: GetItem, table: events, attributes: [status], expect: allow}
  - {dag: growth_columns, call: GetItem, table: events, expect: deny}
  - {dag: growth_columns, call: Scan, table: events, attributes: [ssn], expect: deny}
  - {dag: growth_columns, call: UpdateItem, table: events, attributes: [status], expect: allow}
  - {dag: growth_columns, call: UpdateItem, table: events, attributes: [status], returns: ALL_NEW, expect: deny}
  - {dag: growth_columns, call: UpdateItem, table: events, attributes: [status], returns: UPDATED_NEW, expect: allow}
  - {dag: growth_columns, call: PutItem, table: events, attributes: [status], expect: deny}
  - {dag: growth_columns, call: PutItem, table: events, attributes: [status], new_item: true, expect: allow}
  - {dag: growth_repair, call: Query, table: bare, at: "2026-11-30T17:59Z", expect: allow}
  - {dag: growth_repair, call: Query, table: bare, at: "2026-11-30T18:00Z", expect: deny}
  - {dag: growth_repair, call: Query, table: bare, expect: allow}
  - {dag: growth_repair, call: PutItem, table: bare, expect: deny}
"""
    more = """\
require:
  - {actions: [Scan], tables: ["*-bare"], max_limit: 10, max_segments: 2}
  - {actions: [write], tables: ["*-bare"], condition: true, evidence: verified}
  - {actions: [PartiQLDelete], tables: ["*-bare"], client_token: true}
grants:
  - {dag: growth_repair, allow: [{actions: [Query], tables: [bare]}], until: "2026-11-30T18:00Z", reason: INC-1}
"""
    text = text.replace("dags:\n", "dags:\n  growth_repair: {}\n")
    files = {"platform.yaml": PLATFORM + more, "growth.yaml": text}
    report = check_policies(files)
    assert report.lines() == []
    assert len(report.outcomes) == 60
    ended = check_policies({**files, "platform.yaml": files["platform.yaml"] + UNMAPPED}, now=1.9e9)
    assert ended.is_good
    assert ended.lines() == [
        "platform.yaml:11: warning: the grant for `growth_repair` (INC-1) has ended; take it out",
        "platform.yaml:12: warning: `unmapped` has ended; take it out",
    ]


UNMAPPED = 'unmapped: {role: legacy, mode: observe, until: "2027-01-31"}\n'


def test_what_is_only_observed_is_denied_to_a_test() -> None:
    """Tests say what the policy says; that an environment lets it pass for now changes none of them."""
    text = """\
team: growth
tables: {events: {name: "<env>-growth-events"}}
dags: {growth_sync: {allow: [{actions: [GetItem], tables: [events]}]}}
tests:
  - {dag: growth_sync, call: PutItem, table: events, expect: deny}
  - {dag: growth_sync, call: GetItem, table: events, expect: allow}
"""
    report = check_policies({"platform.yaml": PLATFORM.replace("eu-west-1}", "eu-west-1, mode: observe}"), "growth.yaml": text})
    assert report.is_good
    assert {outcome.decision.would_deny for outcome in report.outcomes} == {None, Reason.NO_RULE}


def test_a_grant_beyond_the_boundary_is_an_error() -> None:
    """A grant gives within what its team may have, and a rule of it that reaches further is told with its own place."""
    text = "team: growth\ntables: {stolen: {name: orders}}\ndags: {growth_sync: {}}\n"
    grant = '  - {dag: growth_sync, allow: [{actions: [GetItem], tables: [stolen]}], until: "2026-11-30", reason: INC-1}\n'
    assert check_policies({"platform.yaml": f"{PLATFORM}grants:\n{grant}", "growth.yaml": text}).lines() == [
        (
            "platform.yaml:7: the rule grants `orders`, which is outside the boundary of team growth (platform.yaml:5); "
            "have it widened there, or leave it out"
        )
    ]


def test_a_file_that_cannot_be_read_stops_the_judging() -> None:
    """Nothing is concluded from half of the files."""
    report = check_policies({"platform.yaml": "a: [", "growth.yaml": "team: growth"})
    assert [line.split(":")[0] for line in report.lines()] == ["platform.yaml"]


def test_what_is_not_for_an_environment_is_not_held_to_its_boundary() -> None:
    """A DAG of dev alone grants what is the team's in dev; what its tables are called elsewhere matters to nobody."""
    text = """\
team: growth
tables: {events: {name: {dev: dev-growth-events, prod: orders}}}
dags: {growth_sync: {environments: [dev], allow: [{actions: [read], tables: [events]}]}}
"""
    assert check_policies({"platform.yaml": PLATFORM, "growth.yaml": text}).lines() == []


def test_where_no_environment_says_a_region_one_stands_in() -> None:
    """No test depends on it, and the gateway has its own setting."""
    text = 'dags: {d: {role: "arn:aws:iam::111122223333:role/r"}}\n'
    regions = [next(check_policies({"a.yaml": text}, *more).snapshots[0].principals()).region for more in ((), ("eu-west-1",))]
    assert regions == ["us-east-1", "eu-west-1"]
    assert not check_policies({"a.yaml": text.replace("arn:aws:iam::111122223333:role/", "")}).is_good  # of no account


def test_one_mistake_is_told_once() -> None:
    """A moment that is none has not ended, a test without a DAG misspells none, and a warning is one in all environments."""
    unmapped = PLATFORM + "unmapped: {role: legacy, mode: observe, until: never}\n"
    report = check_policies({"platform.yaml": unmapped, "growth.yaml": "team: growth\n"}, now=1.9e9)
    assert [line.partition(": ")[0] for line in report.lines()] == ["platform.yaml:6"]
    assert not report.is_good
    text = """\
team: growth
tables: {events: {name: "<env>-growth-events", key: "pk (S)"}}
dags: {growth_sync: {allow: [{actions: [GetItem], tables: [events], attributes: [x]}]}}
"""
    nobody = text + "tests: [{call: GetItem, table: events, expect: deny}]\n"
    assert [line.partition(" ")[2] for line in check_policies({"platform.yaml": PLATFORM, "growth.yaml": nobody}).lines()][
        :1
    ] == ["the test has no `dag`; it must say dag, call, table and expect"]
    warned = check_policies({"platform.yaml": PLATFORM, "growth.yaml": text})
    assert warned.lines() == ["growth.yaml:3: warning: requests name the key of table `events`; add `pk` to `attributes`"]
    assert warned.is_good


def test_what_ends_now_has_ended() -> None:
    """As for a request at that moment; a grant whose end is no moment is told as that alone."""
    grant = 'grants: [{dag: growth_a, allow: [{actions: [GetItem], tables: [events]}], until: "2027-01-31T18:00Z", reason: x}]\n'
    unmapped = 'unmapped: {role: legacy, mode: observe, until: "2027-01-31T18:00Z"}\n'
    growth = 'team: growth\ntables: {events: {name: "<env>-growth-events"}}\ndags: {growth_a: {}}\n'
    end = datetime(2027, 1, 31, 18, tzinfo=UTC).timestamp()
    files = {"platform.yaml": PLATFORM + grant + unmapped, "growth.yaml": growth}
    assert check_policies(files, now=end - 1).lines() == []
    assert [line.partition(" ")[0] for line in check_policies(files, now=end).lines()] == ["platform.yaml:6:", "platform.yaml:7:"]
    never = files | {"platform.yaml": PLATFORM + grant.replace("2027-01-31T18:00Z", "never")}
    assert [line.partition(": ")[2][:7] for line in check_policies(never, now=end).lines()] == ["`until`"]


def test_a_warning_of_all_environments_is_told_once() -> None:
    """A grant is read in the light of each."""
    rule = "{actions: [GetItem], tables: [events], attributes: [x]}"
    grant = f'grants: [{{dag: growth_a, allow: [{rule}], until: "2030-01-01", reason: x}}]\n'
    growth = 'team: growth\ntables: {events: {name: "<env>-growth-events", key: "pk (S)"}}\ndags: {growth_a: {}}\n'
    assert check_policies({"platform.yaml": PLATFORM + grant, "growth.yaml": growth}).lines() == [
        "platform.yaml:6: warning: requests name the key of table `events`; add `pk` to `attributes`"
    ]


def test_a_test_names_the_key_that_its_request_must_name() -> None:
    """All of an item's key, the partition key of a Query, none of a Scan; without `segments` a Scan has one."""
    text = """\
tables: {orders: {key: "pk (S), sk (S)"}}
dags:
  d:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - {actions: [Scan], tables: [orders], attributes: [v]}
      - {actions: [Query, GetItem], tables: [orders], attributes: [pk, v]}
  e:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - {actions: [Query, GetItem], tables: [orders], attributes: [v]}
  f:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - {actions: [PartiQLDelete], tables: [orders], attributes: [pk, sk]}
      - {actions: [PartiQLSelect], tables: [orders], attributes: [pk, v]}
      - {actions: [PutItem], tables: [orders]}
tests:
  - {dag: d, call: Scan, table: orders, attributes: [v], expect: allow}
  - {dag: d, call: Query, table: orders, attributes: [v], expect: allow}
  - {dag: d, call: GetItem, table: orders, attributes: [v], expect: deny}
  - {dag: e, call: Query, table: orders, attributes: [v], expect: deny}
  - {dag: f, call: PartiQLDelete, table: orders, expect: deny}
  - {dag: f, call: PartiQLSelect, table: orders, attributes: [v], expect: allow}
  - {dag: f, call: PutItem, table: orders, expect: deny}
  - {dag: f, call: PutItem, table: orders, new_item: true, expect: allow}
"""
    require = (
        "require: [{actions: [Scan], tables: ['*'], max_segments: 1}, {actions: [PutItem], tables: ['*'], condition: true}]\n"
    )
    report = check_policies({"a.yaml": text, "platform.yaml": require})
    assert [outcome.line() for outcome in report.outcomes if not outcome.is_passed] == []
    assert [outcome.decision.message.partition(": ")[2].partition(",")[0] for outcome in report.outcomes] == [
        "",
        "",
        "it names 'sk'",
        "it names 'pk'",
        "it takes away what the item has beside",
        "",
        "platform.yaml:1 requires a condition; write ConditionExpression; BatchWriteItem has none",
        "",
    ]


def test_warnings_of_each_environment_are_told() -> None:
    """A role that leads out of both accounts is told for both."""
    platform = PLATFORM.partition("teams:")[0]
    text = 'dags: {d: {role: "arn:aws:iam::222222222222:role/r"}, e: {role: "arn:aws:iam::222222222222:role/q"}}\n'
    assert check_policies({"platform.yaml": platform, "a.yaml": text}).lines() == [
        "a.yaml:1: warning: the role is of account 222222222222, and environment dev is of 111111111111",
        "a.yaml:1: warning: the role is of account 222222222222, and environment prod is of 333333333333",
    ]


def test_a_mistake_in_a_test_is_told_at_its_line() -> None:
    """A key where the table declares none, a field that there is not."""
    text = """\
tables: {orders: {}}
dags: {d: {role: "arn:aws:iam::111122223333:role/r"}}
tests:
  - dag: d
    call: GetItem
    table: orders
    expect: deny
    key: a
"""
    misspelt = check_policies({"a.yaml": text.replace("key: a", "keys: a")}).lines()
    assert misspelt == ["a.yaml:8: a test has no `keys`; did you mean `key`?"]
    assert check_policies({"a.yaml": text}).lines() == [
        'a.yaml:8: `key` of a test: table `orders` declares no key; write key: "pk (S)" there'
    ]
    live = check_policies({"a.yaml": text.replace("key: a", "environment: live")}).lines()
    assert live == ["a.yaml:8: there is no environment `live`; known: none; add environments: to platform.yaml"]
    nobody = text.replace("dag: d\n    call: GetItem\n    table: orders", "call: ListTables").replace("    key: a\n", "")
    assert check_policies({"a.yaml": nobody}).lines() == [
        "a.yaml:4: the test has no `dag`; it must say dag, call, table and expect"
    ]
