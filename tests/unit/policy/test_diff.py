"""Differences: which decisions two versions make otherwise, over everything that the files name, and over recorded traffic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from proxy.model import Evidence, Identity, Operation, Subject, TableReference, Touch
from proxy.policy.check import check_policies
from proxy.policy.diff import Change, Difference, _places, diff_policies
from proxy.policy.diff_report import render_diff
from proxy.policy.document import read_policies
from proxy.policy.recorded import Record, RecordedFacts, TrafficChange, diff_traffic, read_records
from proxy.refusal import Reason
from proxy.yaml_source import Mistakes
from tests.unit.policy.whole import whole

if TYPE_CHECKING:
    from proxy.policy.cases import DagRules
    from proxy.policy.check import Report
    from proxy.policy.rules import Policies

PLATFORM = """\
environments:
  dev: {account: "111111111111", region: eu-west-1}
  prod: {account: "333333333333", region: eu-west-1}
teams:
  growth: {dags: ["growth_*"], tables: ["<env>-growth-*"], role: "ddb-<env>"}
"""
GROWTH = """\
team: growth
tables:
  events: {name: "<env>-growth-events", key: "pk (S)", indexes: {by_a: "a (N)"}}
  state: {name: "<env>-growth-state", key: "pk (B)"}
dags:
  growth_a:
    allow:
      - {actions: [GetItem], tables: [events]}
  growth_b:
    allow:
      - {actions: [GetItem], tables: [events]}
"""
GET = "{actions: [GetItem], tables: [events]}"
ONE = {"platform.yaml": PLATFORM, "growth.yaml": GROWTH}


def report(files: dict[str, str]) -> Report:
    """Files without a mistake."""
    found = check_policies(files)
    assert found.snapshots, found.lines()
    return found


def compared(old: dict[str, str], new: dict[str, str], now: float = 0.0) -> Difference:
    """What changes."""
    return diff_policies(report(old).snapshots, report(new).snapshots, now)


def told(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Lines for a person, of prod alone."""
    text = render_diff(compared(old, new), [], "text")
    return [line for line in text.split("decisions in prod")[-1].splitlines() if line.startswith("  ")]


def with_rule(rule: str, *, was: str = GET) -> dict[str, str]:
    """growth_a with another rule."""
    return ONE | {"growth.yaml": GROWTH.replace(was, rule, 1)}


# --------------------------------------------------------------------------------------------------- names


def test_the_same_in_other_words_is_no_difference() -> None:
    """Comments, order, places and equal rules change nothing."""
    moved = ONE | {"growth.yaml": "# moved\n" + GROWTH.replace("[GetItem]", "[GetItem, GetItem]")}
    found = compared(ONE, moved)
    assert (found.is_empty, render_diff(found, [], "text"), render_diff(found, [], "markdown")) == (
        True,
        "no decision changes\n",
        "No decision changes.\n",
    )


def test_dags_that_change_alike_are_told_together() -> None:
    """A DAG that is new, one that is gone, and a rule for both."""
    renamed = ONE | {"growth.yaml": GROWTH.replace("growth_b", "growth_c")}
    assert told(ONE, renamed) == [
        "  - growth_b: GetItem on prod-growth-events (allow to deny; unknown_dag, was growth.yaml:11)",
        "  + growth_c: GetItem on prod-growth-events (deny to allow; allowed growth.yaml:11)",
    ]
    both = ONE | {"growth.yaml": GROWTH.replace("[GetItem]", "[GetItem, PutItem, UpdateTable]")}
    assert told(ONE, both) == [
        "  + growth_a, growth_b: PutItem, UpdateTable (escalation) on prod-growth-events (deny to allow; allowed growth.yaml:8)"
    ]
    denied = ONE | {"platform.yaml": PLATFORM + "deny: [{actions: ['*'], tables: ['*-events']}]\n"}
    assert told(ONE, denied) == [
        "  - growth_a, growth_b: GetItem on prod-growth-events (allow to deny; denied_by_rule platform.yaml:6)"
    ]


def test_a_change_of_either_kind_is_one() -> None:
    """Decisions without notes, and notes without decisions."""
    assert [Difference(*parts).is_empty for parts in (((), ()), ((change(),), ()), ((), ("n",)))] == [True, False, False]


def test_a_deny_rule_is_asked_by_its_own_limits() -> None:
    """By key, by attributes and by task, each with a stranger."""
    deny = "\n    deny:\n      - {actions: [GetItem], tables: [events], LIMIT}"
    for limit, when in (
        ("keys: {prefix: 'b'}", "with key b... or not proven"),
        ("keys: {exact: ['b']}", "with key b or not proven"),
        ("attributes: [b]", "with attributes b or whole items"),
        ("tasks: ['b_*']", "for task b_* or unknown"),
    ):
        assert told(ONE, with_rule(GET + deny.replace("LIMIT", limit))) == [
            f"  - growth_a: GetItem on prod-growth-events, {when} (allow to deny; denied_by_rule growth.yaml:10)"
        ]


def test_a_glob_is_asked_as_a_stranger_of_its_name() -> None:
    """What holds for the glob is told under the glob."""
    globbed = ONE | {"growth.yaml": GROWTH.replace("growth_b", '"growth_model_?*"')}
    assert told(ONE, globbed)[1] == "  + growth_model_?*: GetItem on prod-growth-events (deny to allow; allowed growth.yaml:11)"


WHEN = [
    # the rule as it becomes, and what is told of prod
    (
        "{actions: [GetItem], tables: [events], keys: {prefix: 'a#'}}",
        "- growth_a: GetItem on prod-growth-events, with key any other or not proven",
    ),
    (
        "{actions: [GetItem], tables: [events], attributes: [pk, b]}",
        "- growth_a: GetItem on prod-growth-events, with other attributes or whole items",
    ),
    (
        "{actions: [GetItem], tables: [events], tasks: ['load_*']}",
        "- growth_a: GetItem on prod-growth-events, for task any other or unknown",
    ),
    (
        "{actions: [GetItem], tables: [state], keys: {exact: ['x', '<claim.team>']}}",
        "+ growth_a: GetItem on prod-growth-state, with key x",
    ),
    (
        "{actions: [Query], tables: [events], indexes: [by_a], keys: {exact: ['7']}}",
        "+ growth_a: Query on prod-growth-events index by_a, with key 7",
    ),
    ("{actions: [ListTables], tables: [events]}", "+ growth_a: ListTables (deny"),
    (
        "{actions: [PutItem], tables: [events], attributes: [pk]}",
        "+ growth_a: PutItem on prod-growth-events, with attributes pk or no attributes",
    ),
    ("{actions: [DeleteItem], tables: [state], environments: [dev]}", "- growth_a: GetItem on prod-growth-events (allow"),
]


@pytest.mark.parametrize(("rule", "line"), WHEN, ids=[row[0] for row in WHEN])
def test_requests_that_change_are_told_by_what_they_are(rule: str, line: str) -> None:
    """By task, key and attributes: what the rules name, and one stranger of each kind."""
    assert any(found.startswith(f"  {line}") for found in told(ONE, with_rule(rule))), told(ONE, with_rule(rule))


def test_two_lists_of_attributes_are_asked_name_by_name() -> None:
    """From one list to another: what both have does not change."""
    old = with_rule("{actions: [Scan], tables: [events], attributes: [a, b]}")
    new = with_rule("{actions: [Scan], tables: [events], attributes: [b, c]}")
    assert told(old, new) == [
        (
            "  - growth_a: Scan on prod-growth-events, with attributes a, b or attributes a "
            "(allow to deny; outside_attributes growth.yaml:8)"
        ),
        "  + growth_a: Scan on prod-growth-events, with attributes b, c or attributes c (deny to allow; allowed growth.yaml:8)",
    ]


REQUIRE = "require:\n  - {actions: [Scan, write], tables: ['*'], SHAPE}\n"
SHAPES = [
    ("max_limit: 5", "with no Limit or Limit over 5"),
    ("max_segments: 2", "with more than 2 segments"),
    ("max_segments: 1", "with more than 1 segments"),
    ("condition: true", "with no condition"),
    ("client_token: true", "with no client token"),
    ("evidence: verified", "with a dag that is only claimed"),
]


@pytest.mark.parametrize(("shape", "when"), SHAPES, ids=[shape for shape, _ in SHAPES])
def test_a_required_shape_takes_away_what_has_it_not(shape: str, when: str) -> None:
    """One lack after the other is asked."""
    actions = "[PutItem]" if "condition" in shape or "token" in shape else "[Scan]"
    old = with_rule(f"{{actions: {actions}, tables: [events], tasks: ['*']}}")
    new = old | {"platform.yaml": PLATFORM + REQUIRE.replace("SHAPE", shape)}
    (line,) = told(old, new)
    assert line.startswith(f"  - growth_a: {actions[1:-1]} on prod-growth-events, ")
    assert line.endswith(f"{when} (allow to deny; requirement_not_met platform.yaml:7)")


def test_very_many_choices_are_asked_in_pairs() -> None:
    """Thousands of keys and dozens of attributes: every key and every attribute still counts."""
    names, keys = [f"a{number}" for number in range(20)], ", ".join(f"'k{number}'" for number in range(150))
    rule = "{{actions: [GetItem], tables: [events], keys: {{exact: [{}]}}, attributes: [{}]}}"
    other = "\n      - {actions: [GetItem], tables: [events], attributes: [zz]}"
    old = with_rule(rule.format(keys, ", ".join(names)) + other)
    (line,) = told(old, with_rule(rule.format(keys.replace("'k77'", "'k77x'"), ", ".join(names)) + other))[:1]
    assert line.startswith("  - growth_a: GetItem on prod-growth-events, with key k77, with attributes a0, ")


def test_very_many_tasks_and_keys_are_asked_in_pairs() -> None:
    """Dozens of both: a task that goes and a key that goes are seen, wherever in their lists they stand."""
    tasks, keys = ", ".join(f"t{number}" for number in range(50)), ", ".join(f"'k{number}'" for number in range(50))
    rule = "{{actions: [GetItem], tables: [events], tasks: [{}], keys: {{exact: [{}]}}}}"
    old = with_rule(rule.format(tasks, keys))
    (line,) = told(old, with_rule(rule.format(tasks, keys.replace("'k25', ", ""))))
    assert line.startswith("  - growth_a: GetItem on prod-growth-events, for task t0 or t1 or t2")
    assert " or t48 or t49, with key k25 (allow to deny" in line
    (line,) = told(old, with_rule(rule.format(tasks.replace("t25, ", ""), keys)))
    assert line.startswith("  - growth_a: GetItem on prod-growth-events, for task t25, with key k0 or k1 or k2")
    assert " or k48 or k49 (allow to deny" in line


def test_a_task_that_is_taken_back_is_told_by_its_name() -> None:
    """As it is written, without its sign."""
    old = with_rule("{actions: [GetItem], tables: [events], tasks: ['*']}")
    assert told(old, with_rule("{actions: [GetItem], tables: [events], tasks: ['*', '!load']}")) == [
        "  - growth_a: GetItem on prod-growth-events, for task load (allow to deny; no_rule, was growth.yaml:8)"
    ]


def test_one_list_of_attributes_is_told_whole() -> None:
    """Where there is no second list, its names are not asked one by one."""
    assert told(
        with_rule("{actions: [Scan], tables: [state]}"), with_rule("{actions: [Scan], tables: [events], attributes: [a, b]}")
    )[-1:] == [
        "  + growth_a: Scan on prod-growth-events, with attributes a, b or no attributes (deny to allow; allowed growth.yaml:8)"
    ]


@pytest.mark.parametrize(
    ("was", "comes", "when"),
    [
        ("max_limit: 5", "max_limit: 10", "with Limit 10"),
        ("max_segments: 2", "max_segments: 4", "with more than 2 segments or 4 segments"),
        ("max_segments: 2", "max_segments: 3", "with more than 2 segments or 3 segments"),
    ],
)
def test_a_wider_shape_gives_what_is_between(was: str, comes: str, when: str) -> None:
    """What both refuse or both take is no change."""
    scanning = with_rule("{actions: [Scan], tables: [events]}")
    old, new = (scanning | {"platform.yaml": PLATFORM + REQUIRE.replace("SHAPE", shape)} for shape in (was, comes))
    assert told(old, new) == [f"  + growth_a: Scan on prod-growth-events, {when} (deny to allow; allowed growth.yaml:8)"]


def test_a_shape_no_longer_asked_for_is_told_for_the_keys_that_are_left() -> None:
    """What was held back by a required condition may be let through for other keys only; that is a gain too."""
    put = "{actions: [PutItem], tables: [events]}"
    strict = with_rule(put) | {"platform.yaml": PLATFORM + REQUIRE.replace("SHAPE", "condition: true")}
    narrow = put + "\n    deny:\n      - {actions: [PutItem], tables: [events], keys: {prefix: 'b'}}"
    found = compared(strict, with_rule(narrow))
    assert {(row.before, row.after) for row in found.changes} == {("allow", "deny"), ("deny", "allow")}


def test_a_shape_that_is_asked_by_tasks_keeps_them() -> None:
    """A requirement for some tasks takes away from these alone."""
    old = with_rule("{actions: [Scan], tables: [events]}")
    new = old | {"platform.yaml": PLATFORM + REQUIRE.replace("SHAPE", "max_limit: 5, tasks: [load]")}
    (line,) = told(old, new)
    assert "for task load or unknown, with no Limit or Limit over 5" in line


def test_another_key_takes_away_what_was_proven_by_the_old() -> None:
    """A key schema bears on every limit of its table."""
    old = with_rule("{actions: [GetItem], tables: [state], keys: {prefix: 'a'}}")
    new = old | {"growth.yaml": old["growth.yaml"].replace('key: "pk (B)"', 'key: "id (S)"')}
    assert compared(old, new).is_empty  # a request that proves both keys is decided alike
    boundary = old | {"platform.yaml": PLATFORM.replace('"<env>-growth-*"', '"<env>-growth-*", "x-*"')}
    assert compared(old, boundary).is_empty


def test_lines_that_are_no_records_are_passed_over() -> None:
    """Outcomes, events, refusals before any policy, torn lines, and records of other versions."""
    snapshot = prod(ONE)
    good = record(snapshot)
    lines = [
        good[:-9],
        "",
        '["decision"]',
        '{"record":"outcome","id":"decision"}',
        record(snapshot, record="outcome", rule="decision"),
        record(snapshot, reason="token_expired"),
        record(snapshot, reason="never heard"),
        record(snapshot, touches=[]),
        record(snapshot, dag=""),
        record(snapshot, touches=[["GetItem"]]),
        good,
    ]
    assert [found.id for found in read_records(lines)] == ["0" * 16]


def test_a_record_is_told_whole() -> None:
    """Who asked, what was touched as a single request touches it, when, how it was decided, and by which rules of which files."""
    touches = [("GetItem", "t", "", 2), ("Query", BY_ARN, "by_a", 1), ("DescribeTable", "t", "", 1)]
    told = {
        "touches": touches,
        "operation": "BatchGetItem",
        "reason": "observed",
        "would_deny": "no_rule",
        "rule": "/p/a.yaml:1, b.yaml:2",
    }
    (found,) = read_records([record(prod(ONE), **told)])
    facts = found.operation.touches[0].facts
    assert isinstance(facts, RecordedFacts)
    subject = Subject("i", "s", {}, (), 0.0, "")
    assert found == Record(
        id="0" * 16,
        time=1795341600.0,
        identity=Identity(subject, "growth_a", Evidence.VERIFIED, "claim", "", task_id="load"),
        operation=Operation(
            "BatchGetItem",
            "",
            False,
            (
                Touch("GetItem", TableReference("t"), "", 0, facts),
                Touch("Query", TableReference("prod-growth-events", "aws", "eu-west-1", "333333333333"), "by_a", 0, facts),
                Touch("DescribeTable", TableReference("t"), "", 0),
            ),
            b"",
        ),
        reason=Reason.NO_RULE,
        state="observe",
        rules=frozenset({"a.yaml:1", "b.yaml:2"}),
        policy_digest=prod(ONE).digest,
        members=4,
    )


@pytest.mark.parametrize("told", [{"task_id": None}, {"task_id": ""}, {}])
def test_a_record_without_a_task_is_of_an_unknown_one(told: dict[str, Any]) -> None:
    """Also one that says null, or is of a gateway that did not write it."""
    line = {**json.loads(record(prod(ONE))), **told}
    if not told:
        del line["task_id"]
    (found,) = read_records([json.dumps(line)])
    assert found.identity.task_id == ""


def test_a_record_of_a_gateway_that_told_no_source_has_none() -> None:
    """Where the DAG's name came from is told by `explain`, if it is known."""
    line = {name: value for name, value in json.loads(record(prod(ONE))).items() if name != "source"}
    (found,) = read_records([json.dumps(line)])
    assert found.identity.source == ""


def test_boundaries_take_away() -> None:
    """A DAG or table beyond the boundary is lost with all of its rules; it is not even loaded by `check`, but compared."""

    def loaded(platform: str) -> list[Policies]:
        found = read_policies({"platform.yaml": platform, "growth.yaml": GROWTH}, "prod", "", Mistakes())
        assert found is not None
        return [found]

    narrow = diff_policies(loaded(PLATFORM), loaded(PLATFORM.replace('["growth_*"]', '["growth_a"]')), 0.0)
    assert [(change.dags, change.before, change.after) for change in narrow.changes] == [(("growth_b",), "allow", "deny")]
    tables = diff_policies(loaded(PLATFORM), loaded(PLATFORM.replace('"<env>-growth-*"', '"<env>-growth-s*"')), 0.0)
    assert tables.changes[0].ground == "outside_boundary growth.yaml:8"


def test_a_grant_counts_until_it_ends() -> None:
    """Compared as of now."""
    grant = 'grants: [{dag: growth_a, allow: [{actions: [Scan], tables: [events]}], until: "2030-01-01", reason: x}]\n'
    granted = ONE | {"platform.yaml": PLATFORM + grant}
    assert [change.actions for change in compared(ONE, granted, 0.0).changes] == [("Scan",), ("Scan",)]
    assert compared(ONE, granted, 4e9).is_empty
    longer = ONE | {"platform.yaml": granted["platform.yaml"].replace("2030", "2031")}
    assert [change.actions for change in compared(granted, longer, 1.91e9).changes] == [("Scan",), ("Scan",)]
    assert compared(granted, longer, 1.8e9).is_empty


def test_what_no_decision_shows_is_noted() -> None:
    """Roles, workloads, modes, `unmapped`, environments."""
    workload = 'workloads: {pool: {issuer: i, subject: s, dags: ["growth_*"]}}\n'
    old = ONE | {"platform.yaml": PLATFORM + workload}
    changed = PLATFORM.replace('role: "ddb-<env>"', 'role: "ddb2-<env>"').replace("prod: {", "prod: {mode: observe, ")
    new = ONE | {
        "platform.yaml": changed
        + 'workloads: {pool: {issuer: j, subject: s, dags: ["growth_a"]}, more: {issuer: i, subject: t, dags: ["*"]}}\n'
        + 'unmapped: {role: "ddb-<env>", mode: observe, until: "2030-01-01"}\n'
    }
    found, role = compared(old, new), "arn:aws:iam::333333333333:role/"
    assert [note for note in found.notes if "prod" in note] == [
        "observes only from now on in prod",
        "`unmapped` changes in prod: DAGs that no file names are let through",
        f"role of growth_a, growth_b in prod: {role}ddb-prod becomes {role}ddb2-prod",
        "workload pool in prod: issuer i becomes j",
        "workload pool in prod: dags growth_* becomes growth_a",
        "workload more is new in prod: t of i may speak for *",
    ]
    back = compared(new, old).notes
    assert {"enforces from now on in prod", "workload more is gone in prod: its subjects speak for no DAG"} <= set(back)
    assert "`unmapped` changes in prod: DAGs that no file names are refused" in back
    single = {"a.yaml": 'tables: {t_1: {}}\ndags: {d: {role: "arn:aws:iam::111122223333:role/r"}}\n'}
    gone = compared(ONE, single)
    assert gone.notes == (
        "environment dev is gone, with all of its decisions",
        "environment prod is gone, with all of its decisions",
        "environment (none) is new, with all of its decisions",
    )
    roles = compared(single, {"a.yaml": single["a.yaml"].replace("role/r", "role/q")})
    assert roles.notes == ("role of d: arn:aws:iam::111122223333:role/r becomes arn:aws:iam::111122223333:role/q",)


def test_observation_is_between_no_and_yes() -> None:
    """From observed to allowed is a gain, from allowed to observed a loss."""
    watched = PLATFORM.replace("prod: {", "prod: {mode: observe, ")
    old, new = ONE | {"platform.yaml": watched}, with_rule("{actions: [Scan], tables: [events]}") | {"platform.yaml": watched}
    changes = [change for change in compared(old, new).changes if change.environment == "prod"]
    assert [(change.actions, change.before, change.after, change.is_gain) for change in changes] == [
        (("GetItem",), "allow", "observe", False),
        (("Scan",), "observe", "allow", True),
    ]


SEVERAL = (
    "{actions: [GetItem, ListTables], tables: [events]}\n"
    "      - {actions: [Query], tables: [events], indexes: [by_a]}\n"
    "      - {actions: [Scan], tables: [state]}"
)
OF_EVENTS = {"GetItem events", "ListTables", "ListTables events", "Query events by_a"}


@pytest.mark.parametrize(
    ("more", "platform", "asked"),
    [
        ("", "", set()),
        ("\n      - {actions: [PutItem], tables: [state]}", "", {"PutItem state"}),
        ("", "deny: [{actions: [Scan, GetItem], tables: ['*-state']}]\n", {"Scan state"}),
        ("", "deny: [{actions: ['*'], tables: ['*-events']}]\n", OF_EVENTS),
        ("", "require: [{actions: [Scan], tables: ['*'], max_limit: 1}]\n", {"Scan state"}),
    ],
)
def test_only_what_a_changed_rule_can_reach_is_asked(more: str, platform: str, asked: set[str]) -> None:
    """In both directions, and of that only what one of the two versions allows; a DAG that is new or gone is asked whole."""

    def places(before: DagRules | None, after: DagRules | None) -> set[str]:
        found = [" ".join(filter(None, place)) for place in _places(before, after)]
        assert len(found) == len(set(found))
        return {place.replace("prod-growth-", "") for place in found}

    old = prod(with_rule(SEVERAL)).rules_of("growth_a")
    new = prod(with_rule(SEVERAL + more) | {"platform.yaml": PLATFORM + platform}).rules_of("growth_a")
    assert places(old, new) == places(new, old) == asked
    assert places(None, old) == places(old, None) == OF_EVENTS | {"Scan state"}


# --------------------------------------------------------------------------------------------------- reports


def change(**fields: Any) -> Change:
    """A change."""
    known = {
        "environment": "prod",
        "dags": ("d",),
        "actions": ("GetItem",),
        "table": "t",
        "index": "",
        "when": "",
        "before": "deny",
    }
    return Change(**{**known, "after": "allow", "ground": "allowed a.yaml:1", **fields})


def test_many_dags_and_rows_are_cut() -> None:
    """A comment of a pull request has its limits."""
    many = Difference(tuple(change(table=f"t{number}", dags=tuple("abcdefg")) for number in range(300)), ("a `note`",))
    text = render_diff(many, [], "markdown")
    assert "| gained | a, b, c, d, e and 2 more |" in text
    assert "| | | 100 more | | |" in text
    assert text.endswith("- a \\`note\\`\n")


def test_a_table_that_just_fits_is_not_cut() -> None:
    """200 rows, as many as are shown."""
    full = Difference(tuple(change(table=f"t{number}") for number in range(200)), ())
    assert " more |" not in render_diff(full, [], "markdown")


def test_traffic_or_notes_alone_are_told_in_markdown() -> None:
    """As to a person."""
    traffic = TrafficChange("d", "GetItem", ("t",), "allow", "deny", 3, ("i1",))
    assert render_diff(Difference((), ()), [("", traffic)], "markdown").startswith("#### Recorded requests: 1 lost, 0 gained\n")
    assert render_diff(Difference((), ("n",)), [], "markdown") == "- n\n"


def test_names_are_no_markup() -> None:
    """What stands in a policy file stays text in a comment: no link, image, mention or cell."""
    text = render_diff(Difference((change(dags=("a|b", "@all", "<img>", "[x](y)", "two\nlines")),), ()), [], "markdown")
    (row,) = [line for line in text.splitlines() if line.startswith("| gained")]
    assert row.count("|") == 6
    assert not any(sign in row for sign in ("@", "<", "[x]("))


def test_json_has_everything() -> None:
    """For programs."""
    traffic = TrafficChange("d", "GetItem", ("t",), "allow", "deny", 3, ("id",))
    document = json.loads(render_diff(Difference((change(),), ("n",)), [("prod", traffic)], "json"))
    assert document["changes"][0]["dags"] == ["d"]
    assert document["notes"] == ["n"]
    assert document["traffic"][0] == {"environment": "prod", **traffic._asdict(), "tables": ["t"], "examples": ["id"]}


def test_traffic_is_told_with_an_example() -> None:
    """Lost first, then gained, then what the record does not tell."""
    rows = [
        ("", TrafficChange("d", "GetItem", ("t",), "deny", "undetermined", 1, ("i3",))),
        ("", TrafficChange("d", "GetItem", ("t",), "deny", "observe", 2, ("i2",))),
        ("", TrafficChange("d", "BatchGetItem", ("t", "u"), "allow", "deny", 3, ("i1", "i0"))),
    ]
    assert render_diff(Difference((), ()), rows, "text").splitlines() == [
        "recorded requests: 1 lost, 1 gained, 1 undetermined",
        "  - d: BatchGetItem on t, u: 3 request(s) (allow to deny; decision i1)",
        "  + d: GetItem on t: 2 request(s) (deny to observe; decision i2)",
        "  ? d: GetItem on t: 1 request(s) (deny to undetermined; decision i3)",
    ]


@pytest.mark.parametrize(("form", "name"), [("text", "diff.txt"), ("markdown", "diff.md"), ("json", "diff.json")])
def test_whole_reports(form: str, name: str) -> None:
    """By environment, lost before gained; five DAGs are named, a sixth is counted; traffic, then notes."""
    changes = (
        change(environment="dev", index="by_a", when="with key é", actions=("Query", "UpdateTable")),
        change(before="allow", after="deny", ground="denied_by_rule a.yaml:2", dags=tuple("abcdef")),
        change(table="", actions=("ListTables",), after="observe", dags=tuple("abcde")),
        change(environment="", before="observe", after="deny"),
    )
    traffic = [
        ("prod", TrafficChange("d", "GetItem", ("t",), "deny", "undetermined", 1, ("i3",))),
        ("prod", TrafficChange("d", "GetItem", ("t",), "undetermined", "undetermined", 1, ("i4",))),
        ("prod", TrafficChange("d", "GetItem", ("t",), "observe", "allow", 2, ("i2",))),
        ("prod", TrafficChange("d", "BatchGetItem", ("t", "u"), "observe", "deny", 3, ("i1", "i0"))),
        ("", TrafficChange("d", "GetItem", ("t",), "allow", "observe", 3, ("i1", "i0"))),
    ]
    assert render_diff(Difference(changes, ("role of d: a becomes b",)), traffic, form) == whole(name)


# --------------------------------------------------------------------------------------------------- traffic

_COMMON = {
    "record": "decision", "time": "2026-11-22T10:00:00.000Z", "issuer": "i", "subject": "s", "dag": "growth_a",
    "evidence": "verified", "source": "claim", "workload": "", "task_id": "load",
    "run_id": "", "try_number": "", "map_index": "", "would_deny": None,
}  # fmt: skip


def record(policies: Policies, **fields: Any) -> str:
    """A line of the audit of a gateway with these policies."""
    touch = fields.pop("touch", ("GetItem", "prod-growth-events", "", 1))
    known = {"id": "0" * 16, "operation": "GetItem", "touches": [touch], "reason": "allowed", "rule": "/etc/p/growth.yaml:8"}
    return json.dumps({**_COMMON, "policy_digest": policies.digest, **known, **fields}, separators=(",", ":"))


def prod(files: dict[str, str]) -> Policies:
    """The snapshot of prod."""
    return report(files).snapshots[-1]


def replayed(old: dict[str, str], new: dict[str, str], **fields: Any) -> str:
    """How the decision of one record changes, empty if it does not."""
    before = prod(old)
    changes = diff_traffic(read_records([record(before, **fields)]), before, prod(new))
    return f"{changes[0].before} to {changes[0].after}" if changes else ""


KEYED = with_rule("{actions: [GetItem], tables: [events], keys: {prefix: 'a#'}}")
LISTED = with_rule("{actions: [GetItem], tables: [events], attributes: [a]}")
DENYING = ONE | {"platform.yaml": PLATFORM + "deny:\n  - {actions: ['*'], tables: ['*'], attributes: [ssn]}\n"}
WATCHED = {"platform.yaml": DENYING["platform.yaml"].replace("prod: {", "prod: {mode: observe, ")}
LIMITED = with_rule("{actions: [Scan], tables: [events]}")
REQUIRING = LIMITED | {"platform.yaml": PLATFORM + REQUIRE.replace("SHAPE", "max_limit: 5")}
SCAN: dict[str, Any] = {"operation": "Scan", "touch": ("Scan", "prod-growth-events", "", 1)}
MORE = {"growth.yaml": DENYING["growth.yaml"].replace(GET, "{actions: [Query], tables: [events]}", 1)}
READING = DENYING | {"growth.yaml": GROWTH.replace(GET, "{actions: [read], tables: [events]}", 1)}
STATEFUL = DENYING | {"growth.yaml": GROWTH.replace(GET, "{actions: [read], tables: [events, state]}", 1)}
PUTTING = with_rule("{actions: [GetItem, PutItem], tables: [events]}") | {"platform.yaml": DENYING["platform.yaml"]}
REQUIRING_MORE = REQUIRING | {"growth.yaml": REQUIRING["growth.yaml"].replace("[Scan]", "[Scan, Query]")}
KEYED_MORE = with_rule("{actions: [GetItem, Query], tables: [events], keys: {prefix: 'a#'}}")
KEYED_AND_SCAN = with_rule(
    "{actions: [GetItem], tables: [events], keys: {prefix: 'a#'}}\n      - {actions: [Scan], tables: [events]}"
)
KEYED_OR_TASK = with_rule(
    "{actions: [GetItem], tables: [events], tasks: [load]}\n      - {actions: [GetItem], tables: [events], keys: {prefix: 'a#'}}"
)
ASLEEP = KEYED | {"growth.yaml": KEYED["growth.yaml"].replace("growth_a:", "growth_a:\n    environments: [dev]", 1)}
DENYING_TWICE = ONE | {"platform.yaml": DENYING["platform.yaml"] + "  - {actions: ['*'], tables: ['*'], attributes: [card]}\n"}
REQUIRING_TWICE = LIMITED | {
    "platform.yaml": REQUIRING["platform.yaml"] + REQUIRE.replace("require:\n", "").replace("SHAPE", "max_segments: 2")
}
REQUIRING_LISTED = (
    REQUIRING | with_rule("{actions: [Scan], tables: [events], attributes: [a]}") | {"platform.yaml": REQUIRING["platform.yaml"]}
)
BY_ARN = "arn:aws:dynamodb:eu-west-1:333333333333:table/prod-growth-events"
DENIED = {"reason": "denied_by_rule", "rule": "platform.yaml:7"}
UNSHAPED = {**SCAN, "reason": "requirement_not_met", "rule": "platform.yaml:7"}
TWO = [("GetItem", "prod-growth-events", "", 2), ("GetItem", "prod-growth-state", "", 1)]


@pytest.mark.parametrize(
    ("old", "new", "fields", "change_"),
    [
        # by names alone
        (ONE, with_rule("{actions: [Scan], tables: [events]}"), {}, "allow to deny"),
        (ONE, ONE, {}, ""),
        (ONE, with_rule("{actions: [GetItem, Scan], tables: [events]}"), {}, ""),
        (LIMITED, ONE, {"reason": "no_rule", "rule": "growth.yaml:8"}, "deny to allow"),
        (ONE, ONE | {"growth.yaml": GROWTH.replace("growth_a", "growth_x")}, {}, "allow to deny"),
        (
            ONE | {"growth.yaml": GROWTH.replace("growth_a", "growth_x")},
            ONE,
            {"reason": "unknown_dag", "rule": ""},
            "deny to allow",
        ),
        (ONE, LIMITED, {"touch": ("GetItem", BY_ARN, "", 1)}, "allow to deny"),
        (ONE, with_rule("{actions: [GetItem, Scan], tables: [events]}"), {"touch": ("GetItem", BY_ARN, "", 1)}, ""),
        # what the record does not hold
        (ONE, KEYED, {}, "allow to undetermined"),
        (ONE, LISTED, {}, "allow to undetermined"),
        (KEYED, LISTED, {"reason": "outside_keys", "rule": "growth.yaml:8"}, "deny to undetermined"),
        (ONE, DENYING, {}, "allow to undetermined"),
        (LIMITED, REQUIRING, SCAN, "allow to undetermined"),
        # what the record itself tells
        (DENYING, DENYING | MORE, {}, "allow to deny"),
        (DENYING | MORE, DENYING, {"reason": "no_rule", "rule": "growth.yaml:8"}, "deny to allow"),
        (DENYING, PUTTING, {}, ""),
        (DENYING, ONE, DENIED, "deny to allow"),
        (DENYING, READING, DENIED, ""),
        (KEYED, KEYED_AND_SCAN, {"reason": "outside_keys", "rule": "growth.yaml:8"}, ""),
        (REQUIRING, LIMITED, UNSHAPED, "deny to allow"),
        (REQUIRING, REQUIRING_MORE, UNSHAPED, ""),
        (REQUIRING, REQUIRING_MORE, SCAN, ""),
        (KEYED, KEYED_MORE, {"reason": "outside_keys", "rule": "growth.yaml:8"}, "deny to undetermined"),
        # members: those of a refused batch are not told apart, all of an allowed one are
        (DENYING, ONE, {"touches": TWO, **DENIED}, "deny to deny"),
        (DENYING, STATEFUL, {"touches": TWO, **DENIED}, "deny to undetermined"),
        # who asked is in the record
        (ONE, with_rule("{actions: [GetItem], tables: [events], tasks: [load]}"), {}, ""),
        (ONE, with_rule("{actions: [GetItem], tables: [events], tasks: [store]}"), {}, "allow to deny"),
        (ONE, with_rule("{actions: [GetItem], tables: [events], tasks: ['*']}"), {"task_id": None}, "allow to deny"),
        # decided by others
        (ONE, KEYED, {"policy_digest": "other"}, "allow to undetermined"),
        (KEYED, LISTED, {"policy_digest": "other"}, "undetermined to undetermined"),
        (KEYED, KEYED_AND_SCAN, {"policy_digest": "other"}, "undetermined to undetermined"),
        (KEYED, KEYED, {"policy_digest": "other"}, ""),
        # the rule that decided is known, not those that stand beside it
        (KEYED, KEYED_AND_SCAN, {}, ""),
        (KEYED, KEYED_AND_SCAN, {"rule": "growth.yaml:1"}, "allow to undetermined"),
        (KEYED_OR_TASK, KEYED, {"rule": "growth.yaml:8"}, "allow to undetermined"),
        (DENYING_TWICE, DENYING, {**DENIED, "rule": "platform.yaml:8"}, "deny to undetermined"),
        (REQUIRING_TWICE, REQUIRING, {**UNSHAPED, "rule": "platform.yaml:8"}, "deny to undetermined"),
        (REQUIRING_LISTED, REQUIRING, {**SCAN, "reason": "outside_attributes", "rule": "growth.yaml:8"}, "deny to allow"),
        (ASLEEP, KEYED, {"reason": "no_rule", "rule": "growth.yaml:6"}, "deny to undetermined"),
        # members of a batch: what was allowed is known of each, what was refused of none
        (KEYED, KEYED_AND_SCAN, {"touches": [("GetItem", "prod-growth-events", "", 2)]}, ""),
        (DENYING, READING, {"touches": [("GetItem", "prod-growth-events", "", 2)], **DENIED}, "deny to undetermined"),
        # what names alone decide needs no key or attribute
        (ONE, DENYING, {"touch": ("GetItem", BY_ARN.replace("3333:", "4444:"), "", 1)}, "allow to deny"),
        (ONE, DENYING, {"touch": ("GetItem", BY_ARN.replace("arn:aws:", "arn:aws-cn:"), "", 1)}, "allow to deny"),
        (ONE, DENYING, {"touches": [TWO[0], ("GetItem", BY_ARN.replace("3333:", "4444:"), "", 1)]}, "allow to deny"),
        (ONE, DENYING | {"growth.yaml": ASLEEP["growth.yaml"]}, {}, "allow to deny"),
        (ONE, WATCHED | {"growth.yaml": ASLEEP["growth.yaml"]}, {}, "allow to observe"),
        (ONE, DENYING | {"growth.yaml": GROWTH.replace(GET, "{actions: [Scan], tables: [events]}", 1)}, {}, "allow to deny"),
    ],
)
def test_recorded_decisions_change_as_far_as_is_known(old, new, fields: dict[str, Any], change_: str) -> None:
    """Rules that are the same in both versions cover what they covered; of others the record must tell, or nobody can."""
    assert replayed(old, new, **fields) == (change_ if change_ != "deny to deny" else "")


def test_beyond_the_boundary_no_key_or_attribute_matters() -> None:
    """A recorded request for a table that is no longer the team's is denied, whatever it was about."""
    narrow = DENYING["platform.yaml"].replace('"<env>-growth-*"', '"<env>-growth-s*"')
    after = read_policies({"platform.yaml": narrow, "growth.yaml": GROWTH}, "prod", "", Mistakes())
    before = prod(DENYING)
    assert after is not None
    (found,) = diff_traffic(read_records([record(before)]), before, after)
    assert (found.before, found.after) == ("allow", "deny")


def test_what_observation_lets_through_is_told_as_observed() -> None:
    """A recorded denial that is only watched from now on; an unknown DAG that a deny of attributes may stop."""
    watching = ONE | {"platform.yaml": PLATFORM.replace("prod: {", "prod: {mode: observe, ")}
    assert replayed(ONE, watching, touch=("Scan", "prod-growth-events", "", 1), reason="no_rule") == "deny to observe"
    assert (
        replayed(
            DENYING,
            DENYING | {"platform.yaml": watching["platform.yaml"]},
            touch=("Scan", "prod-growth-events", "", 1),
            reason="no_rule",
        )
        == "deny to observe"
    )
    unmapped = 'unmapped: {role: "ddb-<env>", mode: observe, until: "2030-01-01"}\n'
    adopted = {name: text + unmapped if name == "platform.yaml" else text for name, text in DENYING.items()}
    assert replayed(ONE, adopted, dag="elsewhere", reason="unknown_dag", rule="") == "deny to undetermined"
    both = adopted | {"platform.yaml": adopted["platform.yaml"].replace("prod: {", "prod: {mode: observe, ")}
    assert (
        replayed(both, DENYING, reason="observed", would_deny="no_rule", touch=("Scan", "prod-growth-events", "", 1))
        == "observe to deny"
    )


def test_requests_of_one_kind_are_counted() -> None:
    """One row with its count and the first ids."""
    before = prod(ONE)
    lines = [record(before, id=f"{number:016x}") for number in range(5)]
    (found,) = diff_traffic(read_records(lines), before, prod(LIMITED))
    assert (found.requests, found.examples) == (5, tuple(f"{number:016x}" for number in range(3)))
    assert found.tables == ("prod-growth-events",)
    index = record(before, touch=("Query", "prod-growth-events", "by_a", 1))
    indexed = with_rule("{actions: [Query], tables: [events], indexes: [by_a]}")
    (found,) = diff_traffic(read_records([index]), prod(indexed), before)
    assert found.tables == ("prod-growth-events index by_a",)


def test_a_boundary_that_stopped_it_tells_nothing_of_rules() -> None:
    """It came first, or came last; either way the rules that are the same must be asked."""
    assert replayed(DENYING, ONE, reason="outside_boundary", rule="growth.yaml:8") == "deny to allow"
    assert replayed(ONE, DENYING, reason="outside_boundary", rule="growth.yaml:8") == "deny to undetermined"
    two = with_rule(
        "{actions: [GetItem], tables: [events], tasks: [load]}\n"
        "      - {actions: [GetItem], tables: [events], keys: {prefix: 'a'}}"
    )
    assert replayed(two, KEYED, rule="growth.yaml:1") == "allow to undetermined"


def test_notes_are_told_to_a_person() -> None:
    """After the decisions."""
    assert render_diff(Difference((), ("role of d: a becomes b",)), [], "text") == "note: role of d: a becomes b\n"
