"""Explanations: every rule with its answer, the pipeline's own decision, and changes that really allow what was refused."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from proxy.model import Operation, Pin, Subject, TableReference, Touch
from proxy.policy.check import check_policies
from proxy.policy.considered import Unrecorded
from proxy.policy.described import Description, Misdescribed, identity_in, request_of
from proxy.policy.explain import Explanation, explain
from proxy.policy.recorded import RecordedFacts
from proxy.refusal import Reason, Unreadable
from tests.unit.policy.whole import whole

if TYPE_CHECKING:
    from proxy.policy.rules import Policies

PLATFORM = """\
contact: "#platform"
environments:
  dev: {account: "111111111111", region: eu-west-1}
  prod: {account: "333333333333", region: eu-west-1}
teams:
  growth:
    dags: ["growth_*"]
    tables: ["<env>-growth-*"]
    role: "ddb-<env>"
    contact: "#growth"
deny:
  - actions: ["*"]
    tables: ["*-locked"]
require:
  - {actions: [Scan], tables: ["*"], max_limit: 10}
grants:
  - {dag: growth_sync, allow: [{actions: [DeleteItem], tables: [events]}], until: "2001-01-01", reason: x}
"""
GROWTH = """\
team: growth
tables:
  events: {name: "<env>-growth-events", key: "pk (S), sk (S)", indexes: {by_a: "a (S)"}}
  binary: {name: "<env>-growth-binary", key: "pk (B)"}
  locked: {name: "<env>-growth-locked"}
  outside: {name: "<env>-orders"}
dags:
  growth_sync:
    allow:
      - {actions: [read], tables: [events], keys: {prefix: "<dag_id>#"}}
      - {actions: [UpdateItem], tables: [events], attributes: [pk, sk, v]}
      - {actions: [Query], tables: [events], indexes: [by_a], tasks: ["load_*"]}
      - {actions: [Scan], tables: [events]}
      - {actions: [PutItem], tables: [events], environments: [dev]}
      - {actions: [GetItem], tables: [binary], keys: {prefix: "a"}}
    deny:
      - {actions: [Query], tables: [events], keys: {exact: ["growth_sync#no"]}}
      - {actions: [read], tables: [events], attributes: [ssn], environments: [prod]}
  growth_dev:
    environments: [dev]
    allow:
      - {actions: [read], tables: [events]}
  other_team: {allow: [{actions: [read], tables: [events]}]}
"""
NOW = 2_000_000_000.0


def policies(platform: str = PLATFORM, growth: str = GROWTH) -> Policies:
    """The snapshot of prod, boundaries and their mistakes aside."""
    from proxy.policy.document import read_policies
    from proxy.yaml_source import Mistakes

    mistakes = Mistakes()
    found = read_policies({"platform.yaml": platform, "growth.yaml": growth}, "prod", "", mistakes)
    assert found is not None, mistakes.lines()
    return found


def asked(
    snapshot: Policies, dag: str = "growth_sync", operation: str = "GetItem", table: str = "events", **more: Any
) -> Explanation:
    """The explanation of a described request."""
    identity, what = request_of(Description(dag, operation, table, **more), snapshot)
    return explain(snapshot, identity, what, NOW)


def answers(explanation: Explanation) -> list[tuple[str, bool | None, str]]:
    """Line, answer and why of each rule of the first touch."""
    return [(rule.place.rpartition(":")[2], rule.covers, rule.why) for rule in explanation.touches[0].rules]


def why(explanation: Explanation, line: int) -> str:
    """Why the rule of growth.yaml on this line did or did not cover it."""
    return next(rule.why for rule in explanation.touches[0].rules if rule.place == f"growth.yaml:{line}")


# ------------------------------------------------------------------------------------------ rules considered


def test_an_allowed_request_names_its_rule_and_needs_no_change() -> None:
    """The verdict, who, as whom, and every rule."""
    found = asked(policies(), attributes=("pk", "sk"), key="growth_sync#1")
    assert (found.verdict, found.decision.rule) == ("allowed", "growth.yaml:10")
    assert (found.changes, found.touches[0].changes) == ((), ())
    assert answers(found) == [
        ("17", False, "does not have GetItem"),
        ("18", False, "the request proves that it stays outside"),
        ("12", False, "is about other tables"),
        ("15", False, "does not have GetItem"),
        ("10", True, "covers it"),
        ("11", False, "does not have GetItem"),
        ("12", False, "does not have GetItem"),
        ("13", False, "does not have GetItem"),
        ("14", False, "is not for prod"),
        ("15", False, "is about other tables"),
        ("17", False, "does not have GetItem"),
        ("6", False, "holds this table"),
    ]
    assert found.lines() == [
        "allowed: allowed, decided by growth.yaml:10",
        "  as arn:aws:iam::333333333333:role/ddb-prod in eu-west-1",
        f"  environment prod, policies {policies().digest[:12]}, dag 'growth_sync' (verified: claim)",
        "",
        "GetItem on 'prod-growth-events'",
        *(f"  {rule.line()}" for rule in found.touches[0].rules),
    ]
    assert "  allows allow    growth.yaml:10 (read on prod-growth-events keys <dag_id>#): covers it" in found.lines()


@pytest.mark.parametrize(
    ("line", "words", "request_"),
    [
        (10, "the partition key is outside its keys", {"key": "other#1", "attributes": ("pk",)}),
        (10, "the request does not prove a value of pk", {"attributes": ("pk",)}),
        (10, "the request does not prove a value of a or pk", {"operation": "Query", "index": "by_a"}),
        (11, "the request names 'other' beside its attributes", {"operation": "UpdateItem", "attributes": ("other",)}),
        (11, "the whole item comes back (ReturnValues ALL_OLD)", {"operation": "UpdateItem", "returns": "ALL_OLD"}),
        (12, "is for some tasks, and no task id came", {"operation": "Query", "index": "by_a"}),
        (12, "is for other tasks than 'x'", {"operation": "Query", "index": "by_a", "task": "x"}),
        (12, "covers it", {"operation": "Query", "index": "by_a", "task": "load_1"}),
        (12, "is about indexes, not about the table itself", {"operation": "Query", "task": "load_1"}),
        (13, "has not index 'by_a'; a table does not grant its indexes", {"operation": "Scan", "index": "by_a"}),
        (17, "covers what the request does not prove to be outside", {"operation": "Query"}),
        (18, "covers what the request does not prove to be outside", {"attributes": ("ssn",)}),
    ],
)
def test_why_a_rule_covers_or_not(line: int, words: str, request_: dict[str, Any]) -> None:
    """One sentence for each way to miss."""
    growth = (
        GROWTH
        if line != 10 or "index" not in request_
        else GROWTH.replace("read], tables: [events], keys", "Query], tables: [events], indexes: [by_a], keys")
    )
    assert why(asked(policies(growth=growth), **request_), line) == words


def test_requirements_ends_and_boundaries_are_considered() -> None:
    """A scan without Limit, a grant that is over, a table beyond the team's."""
    scan = asked(policies(), operation="Scan", table="events")
    assert ("15", True, "requires a Limit of at most 10; write Limit=10 and read page by page") in answers(scan)
    assert any(line.startswith("  stops  require  platform.yaml:15 (Scan on *): requires a Limit") for line in scan.lines())
    shaped = asked(policies(), operation="Scan", table="events", limit=5)
    assert (shaped.verdict, ("15", False, "the request has the shape that it asks for") in answers(shaped)) == ("allowed", True)
    ended = asked(policies(), operation="DeleteItem")
    assert ("17", False, "ended at 2001-01-02T00:00Z") in answers(ended)
    beyond = asked(policies(), operation="GetItem", table="outside")
    assert answers(beyond)[-1][1:] == (True, "has no such table, so no rule of the team's can allow it")


def test_what_needs_no_table_is_considered() -> None:
    """ListTables is given by name; rules about tables and indexes say so."""
    growth = GROWTH.replace("[Scan]", "[ListStreams]").replace(
        "    deny:\n      - {", "    deny:\n      - {actions: ['*'], tables: [events], indexes: [by_a]}\n      - {"
    )
    found = asked(policies(growth=growth), operation="ListStreams", table="")
    assert found.verdict == "allowed"
    assert found.touches[0].what == "ListStreams"
    assert ("17", False, "is about indexes that are not asked for") in answers(found)
    assert ("12", False, "is about tables, and none is named") in answers(found)
    denied = asked(policies(), operation="ListTables", table="")
    assert denied.touches[0].changes[0].line == "- {actions: [ListTables], tables: [binary]}"


def test_metadata_is_not_about_items() -> None:
    """A deny of attributes does not reach what has no item in it."""
    growth = GROWTH.replace(
        "{actions: [read], tables: [events], attributes: [ssn], environments: [prod]}",
        "{actions: ['*'], tables: [events], attributes: [ssn]}",
    )
    found = asked(policies(growth=growth), operation="DescribeTable")
    assert why(found, 18) == "is about keys or attributes of items, and DescribeTable has none"


def test_an_index_is_not_given_by_a_rule_without_a_table() -> None:
    """An allow rule with tables does not give what has no table, but for the exact action."""
    found = asked(policies(), operation="ListBackups", table="")
    growth = GROWTH.replace("indexes: [by_a], tasks", "indexes: [by_a], environments: [prod], tasks")
    assert found.verdict == "denied"
    assert asked(policies(growth=growth), operation="ListTables", table="").verdict == "denied"


def test_unfilled_placeholders_are_told() -> None:
    """A claim that the token does not have leaves its keys empty."""
    growth = GROWTH.replace('keys: {prefix: "<dag_id>#"}', 'keys: {prefix: "<claim.team>#"}')
    assert (
        why(asked(policies(growth=growth), key="a#1", attributes=("pk",)), 10)
        == "<claim.team> is empty, so its keys cannot be filled in"
    )


def test_stopping_rules_for_some_tasks_are_for_an_unknown_one_too() -> None:
    """Nobody can say that it is another."""
    growth = GROWTH.replace(
        "{actions: [Query], tables: [events], keys: {exact", "{actions: [Scan], tables: [events], tasks: [load], keys: {exact"
    )
    found = asked(policies(growth=growth.replace(', keys: {exact: ["growth_sync#no"]}', "")), operation="Scan", limit=5)
    assert [answer for answer in answers(found) if answer[0] == "17"][:1] == [("17", True, "covers it")]


def test_a_boundary_is_told_by_its_first_globs() -> None:
    """Three of them: a team may have dozens."""
    platform = PLATFORM.replace('["<env>-growth-*"]', '["<env>-growth-*", a-*, b-*, c-*]')
    assert asked(policies(platform)).touches[0].rules[-1].rule == "team growth: prod-growth-*, a-*, b-*"


def test_a_requirement_about_tables_is_not_about_what_has_none() -> None:
    """Like a deny rule."""
    platform = PLATFORM.replace(
        '{actions: [Scan], tables: ["*"], max_limit: 10}', '{actions: ["*"], tables: ["x-*"], evidence: verified}'
    )
    assert ("15", False, "is about tables, and none is named") in answers(
        asked(policies(platform), operation="ListTables", table="")
    )


def test_where_no_environments_are_none_is_told() -> None:
    """A single file has none."""
    (snapshot,) = check_policies({"a.yaml": 'dags: {d: {role: "arn:aws:iam::111122223333:role/r"}}\n'}).snapshots
    line = next(line for line in asked(snapshot, "d", "ListTables", "").lines() if "policies" in line)
    assert line == f"  policies {snapshot.digest[:12]}, dag 'd' (verified: claim)"


# --------------------------------------------------------------------------------------------------- changes


def pasted(explanation: Explanation, platform: str, growth: str) -> tuple[str, str]:
    """Both files with every change put where it says."""
    files = {"platform.yaml": platform.split("\n"), "growth.yaml": growth.split("\n")}
    changes = [*explanation.changes, *(change for touch in explanation.touches for change in touch.changes)]
    for change in sorted(changes, key=lambda change: -int(re.findall(r":(\d+)", change.where + ":0")[0])):
        file, _, rest = change.where.partition(".yaml")
        lines = files[f"{file}.yaml"]
        at = int(re.findall(r"^:(\d+)", rest)[0]) if rest.startswith(":") else 0
        if "under `allow`" in rest:
            at += next(ahead for ahead, line in enumerate(lines[at:]) if "allow:" in line)
            lines.insert(at + 1, f"      {change.line}")
        elif "under `tables`" in rest:
            lines.insert(lines.index("tables:") + 1, f"  {change.line}")
        elif "under `dags`" in rest:
            lines.insert(lines.index("dags:") + 1, f"  {change.line}")
        elif "into `" in rest:
            field = re.findall("into `([a-z]+)`", rest)[0]
            found = next(number for number in range(at - 1, len(lines)) if f"{field}: [" in lines[number])
            lines[found] = lines[found].replace(f"{field}: [", f"{field}: [{change.line}, ")
        elif change.line.startswith("environments:"):
            found = next(number for number in range(at - 1, len(lines)) if "environments: [" in lines[number])
            lines[found] = re.sub(r"environments: \[.*?\]", change.line, lines[found])
    return "\n".join(files["platform.yaml"]), "\n".join(files["growth.yaml"])


CASES = yaml.safe_load((Path(__file__).parents[2] / "cases" / "explanations.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=[str(case["ask"]) for case in CASES])
def test_what_is_told_to_paste_allows_it(case: dict[str, Any]) -> None:
    """Every change together, put where it says, makes the very same request allowed."""
    request_ = {name: tuple(value) if isinstance(value, list) else value for name, value in case["ask"].items()}
    base = GROWTH.replace("[Query], tables: [events], keys: {exact", "[ConditionCheckItem], tables: [events], keys: {exact")
    found = asked(policies(growth=base), **request_)
    assert found.verdict == "denied"
    lines = [change.line for change in (*found.changes, *(change for touch in found.touches for change in touch.changes))]
    assert case["paste"] in lines
    platform, growth = pasted(found, PLATFORM, base)
    after = asked(policies(platform, growth), **request_)
    assert after.verdict == "allowed", after.decision.message


def changes(explanation: Explanation) -> list[str]:
    """Lines for a person of all changes."""
    every = (*explanation.changes, *(change for touch in explanation.touches for change in touch.changes))
    return [line for change in every for line in change.lines()]


def test_what_no_line_allows_is_told() -> None:
    """A deny of the DAG's own file, a shape, a table of another account."""
    denied = asked(policies(), operation="Query", key="growth_sync#no", attributes=("pk",))
    assert changes(denied) == ["to allow it, growth.yaml:17 (no allow rule outweighs it: take events out of its tables)"]
    shape = asked(policies(), operation="Scan", limit=11)
    assert changes(shape) == [
        (
            "to allow it, platform.yaml:15 (no line allows it: change the request, requires a Limit of at most 10; "
            "write Limit=10 and read page by page)"
        )
    ]  # fmt: skip
    snapshot = policies()
    identity, _ = request_of(Description("growth_sync", "GetItem", "events"), snapshot)
    foreign = Touch("GetItem", TableReference("prod-growth-events", "aws", "eu-west-1", "999999999999"))
    found = explain(snapshot, identity, Operation("GetItem", "", False, (foreign,), b""), NOW)
    assert found.decision.reason is Reason.FOREIGN_TABLE
    assert changes(found) == [
        "to allow it, growth.yaml:8 (the table is of another account or Region, and a DAG's own are those of its role)"
    ]
    china = foreign._replace(table=TableReference("prod-growth-events", "aws-cn"))
    assert changes(explain(snapshot, identity, Operation("GetItem", "", False, (china,), b""), NOW)) == changes(found)
    own = foreign._replace(table=TableReference("prod-growth-events", "aws", "eu-west-1", "333333333333"))
    assert (
        explain(snapshot, identity, Operation("Scan", "", False, (own._replace(action="Scan"),), b""), NOW)
        .touches[0]
        .rules[7]
        .covers
    )


def test_a_dag_that_no_team_may_have() -> None:
    """The team's boundary comes first; without teams any file will do."""
    assert changes(asked(policies(), dag="elsewhere")) == [
        "to allow it, platform.yaml, into `dags` of a team (no team may have a DAG of this name)",
        '    "elsewhere"',
    ]
    single = """\
tables: {orders: {}}
dags: {d: {role: "arn:aws:iam::111122223333:role/r", allow: [{actions: [read], tables: [orders]}]}}
"""
    report = check_policies({"a.yaml": single})
    found = asked(report.snapshots[0], dag="new", table="orders")
    assert changes(found) == [
        "to allow it, a.yaml, under `dags` (ask the owners of a.yaml; with role: where neither defaults nor team has one)",
        "    new: {allow: [{actions: [GetItem], tables: [orders]}]}",
    ]
    assert changes(asked(report.snapshots[0], dag="new", operation="ListTables", table=""))[1] == "    new: {allow: []}"
    undeclared = asked(report.snapshots[0], dag="d", table="more")
    assert changes(undeclared)[:2] == ["to allow it, a.yaml, under `tables`", "    more: {}"]
    assert changes(asked(report.snapshots[0], dag="d", table="no name"))[1::2] == [
        "    NAME: {}",
        "    - {actions: [GetItem], tables: [NAME]}",
    ]
    empty = check_policies({"a.yaml": "contact: x\n"}).snapshots[0]
    assert changes(asked(empty, dag="new", table="orders"))[1] == "    new: {allow: [{actions: [GetItem], tables: [orders]}]}"
    bare = check_policies({"a.yaml": 'dags: {d: {role: "arn:aws:iam::111122223333:role/r"}}\n'}).snapshots[0]
    assert changes(asked(bare, dag="d", operation="ListTables", table=""))[1] == "    - {actions: [ListTables], tables: [TABLE]}"


def test_a_line_to_paste_is_in_the_words_of_its_file() -> None:
    """A table goes by the name that the file has for it, and no key is pasted that would be a placeholder there."""
    new = asked(policies(), dag="growth_new", table="prod-growth-events")
    assert changes(new)[1] == "    growth_new: {allow: [{actions: [GetItem], tables: [events]}]}"
    placeholder = asked(policies(), key="<env>", attributes=("pk", "sk"))
    assert changes(placeholder)[1] == "    - {actions: [GetItem], tables: [events], attributes: [pk, sk, v]}"


def test_a_line_to_paste_gives_no_more_than_it_must() -> None:
    """Limits where the table has some already, the narrowest that the request keeps to; none where it has none."""
    text = """\
tables: {open: {key: "pk (S)"}, listed: {key: "pk (S)"}, keyed: {key: "pk (S)"}}
dags:
  d:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - {actions: [GetItem], tables: [open]}
      - {actions: [GetItem], tables: [listed], attributes: [pk, a]}
      - {actions: [GetItem], tables: [keyed], keys: {prefix: "a#"}}
"""
    (snapshot,) = check_policies({"a.yaml": text}).snapshots
    for operation, table, more, rule in (
        ("PutItem", "open", {"key": "a#1", "attributes": ("pk",)}, "{actions: [PutItem], tables: [open]}"),
        ("GetItem", "listed", {"key": "a#1"}, '{actions: [GetItem], tables: [listed], keys: {exact: ["a#1"]}}'),
        ("UpdateItem", "listed", {"attributes": ("a",)}, "{actions: [UpdateItem], tables: [listed], attributes: [a, pk]}"),
        ("UpdateItem", "listed", {"attributes": ("b",)}, "{actions: [UpdateItem], tables: [listed], attributes: [a, b, pk]}"),
        ("UpdateItem", "keyed", {"key": "b#1"}, '{actions: [UpdateItem], tables: [keyed], keys: {exact: ["b#1"]}}'),
        ("DescribeTable", "keyed", {}, "{actions: [DescribeTable], tables: [keyed]}"),
        ("Scan", "keyed", {}, "{actions: [Scan], tables: [keyed]}"),
    ):
        assert changes(asked(snapshot, "d", operation, table, **more)) == [
            "to allow it, a.yaml:3, under `allow` of d",
            f"    - {rule}",
        ]


def test_a_key_of_another_type_is_not_pasted() -> None:
    """It is no key of that table, and so it proves nothing."""
    snapshot = policies()
    identity, what = request_of(Description("growth_sync", "PutItem", "events", key="growth_sync#1"), snapshot)
    (touch,) = what.touches
    facts = dataclasses.replace(touch.facts, pins={"pk": Pin(({"N": "1"},))})
    found = explain(snapshot, identity, what._replace(touches=(touch._replace(facts=facts),)), NOW)
    assert changes(found) == [
        "to allow it, growth.yaml:8, under `allow` of growth_sync",
        "    - {actions: [PutItem], tables: [events]}",
    ]


def test_a_boundary_tells_whose_it_is() -> None:
    """Who may widen it is the platform's team."""
    assert changes(asked(policies(), table="outside"))[0] == (
        "to allow it, platform.yaml:6, into `tables` of the team (owner #platform)"
    )


def test_a_dag_that_nobody_has_named_is_written_in_the_words_of_its_own_file() -> None:
    """The tables of another file are called otherwise."""
    growth = GROWTH.replace("other_team", "growth_more")
    platform = PLATFORM.replace("deny:", '  orders: {dags: ["orders_*"], tables: ["<env>-*"], role: "ddb-<env>"}\ndeny:', 1)
    orders = 'team: orders\ntables: {happened: {name: "<env>-growth-events"}}\ndags: {orders_a: {}}\n'
    snapshot = check_policies({"platform.yaml": platform, "growth.yaml": growth, "orders.yaml": orders}).snapshots[-1]
    line = changes(asked(snapshot, "orders_new", table="prod-growth-events"))[-1]
    assert line == "    orders_new: {allow: [{actions: [GetItem], tables: [happened]}]}"


def test_members_of_a_batch_that_are_alike_are_told_once() -> None:
    """With their positions; another table is another section."""
    snapshot = policies()
    identity, single = request_of(Description("growth_sync", "PutItem", "events"), snapshot)
    (touch,) = single.touches
    members = [touch._replace(position=position) for position in (1, 2, 3)]
    members.append(Touch("UpdateTable", TableReference("prod-growth-locked"), "", 4))
    found = explain(snapshot, identity, Operation("BatchWriteItem", "", True, tuple(members), b""), NOW)
    assert [(part.what, part.positions) for part in found.touches] == [
        ("PutItem on 'prod-growth-events'", (1, 2, 3)),
        ("UpdateTable on 'prod-growth-locked' (an escalation: given by its exact name only)", (4,)),
    ]
    assert "PutItem on 'prod-growth-events' (items 1, 2, 3)" in found.lines()


def test_ten_kinds_of_members_are_explained() -> None:
    """And ten positions of each kind are told to a person: a batch may have hundreds."""
    snapshot = policies()
    identity, single = request_of(Description("growth_sync", "PutItem", "events"), snapshot)
    (touch,) = single.touches
    alike = tuple(touch._replace(position=position) for position in range(1, 13))
    found = explain(snapshot, identity, Operation("BatchWriteItem", "", True, alike, b""), NOW)
    assert "PutItem on 'prod-growth-events' (items 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)" in found.lines()
    several = tuple(touch._replace(table=TableReference(f"t{number:02}"), position=number) for number in range(1, 13))
    found = explain(snapshot, identity, Operation("BatchWriteItem", "", True, several, b""), NOW)
    assert [part.what for part in found.touches] == [f"PutItem on 't{number:02}'" for number in range(1, 11)]


def test_a_record_explains_as_far_as_it_goes() -> None:
    """What a rule asks of the request itself is unknown, and so may be the verdict."""
    snapshot = policies()
    identity = identity_in(Description("growth_sync", "GetItem", task="load_1"))
    touch = Touch("GetItem", TableReference("prod-growth-events"), "", 0, RecordedFacts())
    found = explain(snapshot, identity, Operation("GetItem", "", False, (touch,), b""), NOW)
    assert (found.verdict, changes(found)) == ("undetermined", [])
    assert ("10", None, "the record does not hold what the rule asks for (pin)") in answers(found)
    assert ("18", None, "the record does not hold what the rule asks for (whole)") in answers(found)
    assert any(line.startswith("  ?      allow    growth.yaml:10") for line in found.lines())
    scan = explain(snapshot, identity, Operation("Scan", "", False, (touch._replace(action="Scan"),), b""), NOW)
    assert ("15", None, "the record does not hold what the rule asks for (limit)") in answers(scan)
    put = explain(snapshot, identity, Operation("PutItem", "", True, (touch._replace(action="PutItem"),), b""), NOW)
    assert changes(put)[1] == "    - {actions: [PutItem], tables: [events]}"


class _Broken(RecordedFacts):
    """Facts of a request whose expression cannot be read."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """Whatever is asked."""
        raise Unreadable(Reason.UNREADABLE_BODY, "`KeyConditionExpression` ends too soon")


def test_a_request_that_cannot_be_read_is_denied() -> None:
    """As the pipeline denies it."""
    snapshot = policies()
    identity = identity_in(Description("growth_sync", "Query"))
    touch = Touch("Query", TableReference("prod-growth-events"), "", 0, _Broken())
    found = explain(snapshot, identity, Operation("Query", "", False, (touch,), b""), NOW)
    assert (found.verdict, found.decision.reason) == ("denied", Reason.UNREADABLE_BODY)
    assert not isinstance(found.decision.reason, Unrecorded)
    assert found.lines()[:2] == ["denied: unreadable_body", "  `KeyConditionExpression` ends too soon"]


def test_the_document_is_json() -> None:
    """The same for a program."""
    allowed = asked(policies(), attributes=("pk", "sk"), key="growth_sync#1").document()
    denied = asked(policies(), dag="growth_new").document()
    assert json.loads(json.dumps(allowed))["principal"]["role_arn"] == "arn:aws:iam::333333333333:role/ddb-prod"
    assert (allowed["verdict"], denied["verdict"], denied["reason"]) == ("allowed", "denied", "unknown_dag")
    assert any("growth_new: {allow:" in line for line in asked(policies(), dag="growth_new").lines())
    assert denied["changes"][0]["line"] == "growth_new: {allow: [{actions: [GetItem], tables: [events]}]}"
    assert allowed["touches"][0]["rules"][4]["covers"] is True


def test_whole_explanations() -> None:
    """Of a denial, for a person; of a denial that is only observed, asked by somebody who proved to be there, for a program."""
    snapshot = policies()
    denied = asked(snapshot, operation="PutItem", task="load_1")
    assert "\n".join(denied.lines()) + "\n" == whole("explain.txt").replace("DIGEST", snapshot.digest[:12])
    watched = policies(PLATFORM.replace("prod: {", "prod: {mode: observe, "))
    identity, single = request_of(Description("growth_sync", "PutItem", "events"), watched)
    identity = dataclasses.replace(identity, subject=Subject("eks", "system:pod", {}, ("*",), 0.0, ""))
    members = tuple(single.touches[0]._replace(position=position) for position in (1, 2))
    found = explain(watched, identity, Operation("BatchWriteItem", "", True, members, b""), NOW)
    document = json.dumps(found.document(), indent=2) + "\n"
    assert document == whole("explain.json").replace("DIGEST", watched.digest)


def test_observed_is_told() -> None:
    """What an environment only watches is let through, and the denial is explained."""
    found = asked(policies(PLATFORM.replace("prod: {", "prod: {mode: observe, ")), operation="PutItem")
    assert (found.verdict, found.document()["would_deny"]) == ("observed", "no_rule")
    assert changes(found) == [
        "to allow it, growth.yaml:8, under `allow` of growth_sync",
        "    - {actions: [PutItem], tables: [events]}",
    ]


# ------------------------------------------------------------------------------------------------ described


@pytest.mark.parametrize(
    ("description", "words"),
    [
        (Description("d", "BatchWriteItem", "t"), "BatchWriteItem follows its members; write PutItem, DeleteItem or both"),
        (Description("d", "GetItem"), "GetItem is done to a table; name it"),
        (Description("d", "GetItem", "nowhere", key="x"), "no file declares the key of table `nowhere`"),
        (Description("d", "GetItem", "prod-growth-locked", key="x"), "no file declares the key of table `prod-growth-locked`"),
    ],
)
def test_a_description_that_is_no_request(description: Description, words: str) -> None:
    """What to write is said."""
    with pytest.raises(Misdescribed, match=re.escape(words)):
        request_of(description, policies())


def test_a_table_goes_by_its_real_name_or_the_files() -> None:
    """A real name beats the name that the DAG's file has for another; of an unknown DAG only real names are known."""
    snapshot = policies()
    for dag, name, real in (
        ("growth_sync", "events", "prod-growth-events"),
        ("growth_sync", "prod-growth-events", "prod-growth-events"),
        ("growth_sync", "strange", "strange"),
        ("unknown", "events", "events"),
    ):
        _, operation = request_of(Description(dag, "GetItem", name), snapshot)
        assert operation.table == real


def test_what_a_description_does_not_say_is_not_there() -> None:
    """No condition and no run; one segment; and a table whose real name is what the file calls another."""
    text = """\
tables: {orders: {name: new-orders, key: "pk (S)"}, old: {name: orders}}
dags:
  d:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - {actions: [GetItem], tables: [orders], keys: {prefix: "<run_id>#"}}
      - {actions: [PutItem, DeleteItem, Scan], tables: [old]}
"""
    require = """\
require:
  - {actions: [PutItem], tables: ['*'], condition: true}
  - {actions: [Scan], tables: ['*'], max_segments: 1}
  - {actions: [DeleteItem], tables: ['*'], client_token: true}
"""
    (snapshot,) = check_policies({"a.yaml": text, "platform.yaml": require}).snapshots
    told = {
        (operation, table): asked(snapshot, "d", operation, table).decision.message
        for operation, table in (("GetItem", "new-orders"), ("PutItem", "orders"), ("DeleteItem", "orders"), ("Scan", "orders"))
    }
    assert told == {
        ("GetItem", "new-orders"): (
            "dag 'd' may not GetItem on 'new-orders': <run_id> is empty, so prefix '<run_id>#' (a.yaml:6) names no key"
        ),
        ("PutItem", "orders"): (
            "dag 'd' may not PutItem on 'orders': platform.yaml:2 requires a condition; "
            "write ConditionExpression; BatchWriteItem has none, TransactWriteItems does; ask the owners of platform.yaml"
        ),
        ("DeleteItem", "orders"): (
            "dag 'd' may not DeleteItem on 'orders': platform.yaml:4 requires a client token; "
            "write it as TransactWriteItems with ClientRequestToken; ask the owners of platform.yaml"
        ),
        ("Scan", "orders"): "",
    }


def test_puts_and_requests_without_facts_escape_no_list_of_attributes() -> None:
    """A put takes away what it does not name; of what has no facts nothing is known."""
    growth = GROWTH.replace("[UpdateItem], tables: [events], attributes", "[UpdateItem, PutItem], tables: [events], attributes")
    assert why(asked(policies(growth=growth), operation="PutItem"), 11) == "it takes away attributes that are not its own"
    snapshot = policies()
    identity = identity_in(Description("growth_sync", "UpdateItem"))
    touch = Touch("UpdateItem", TableReference("prod-growth-events"))
    found = explain(snapshot, identity, Operation("UpdateItem", "", True, (touch,), b""), NOW)
    assert why(found, 11) == "the operation cannot be limited to attributes"


def test_several_prefixes_are_a_list() -> None:
    """A mapping has room for one."""
    growth = GROWTH.replace('keys: {prefix: "<dag_id>#"}', 'keys: [{prefix: "<dag_id>#"}, {prefix: "all#"}, {exact: ["one"]}]')
    found = asked(policies(growth=growth), operation="PutItem", key="all#1", attributes=("pk",))
    assert changes(found)[1] == (
        '    - {actions: [PutItem], tables: [events], keys: [{exact: ["one"]}, {prefix: "<dag_id>#"}, {prefix: "all#"}]}'
    )


def test_stopping_rules_for_other_tasks_are_told() -> None:
    """A deny rule and a requirement for some tasks say nothing of others."""
    growth = GROWTH.replace(
        "{actions: [Query], tables: [events], keys: {exact", "{actions: [Scan], tables: [events], tasks: [load], keys: {exact"
    )
    platform = PLATFORM.replace("max_limit: 10", "max_limit: 10, tasks: [load]")
    found = asked(policies(platform, growth.replace(', keys: {exact: ["growth_sync#no"]}', "")), operation="Scan", task="other")
    assert found.verdict == "allowed"
    assert [answer for answer in answers(found) if answer[0] in ("15", "17")][:2] == [
        ("17", False, "is for other tasks than 'other'"),
        ("15", False, "is for other tasks than 'other'"),
    ]


# ------------------------------------------------------------------------------------------------ sentences

LIMITED = """\
tables:
  orders: {key: "pk (S), sk (S)", indexes: {by_a: "a (S)"}}
  wide: {key: "id (N)"}
  bare: {}
dags:
  d:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - actions: [read, write, PartiQLSelect, PartiQLInsert]
        tables: [orders]
        keys: [{prefix: "a#"}, {exact: ["b", "c", "<run_id>"]}]
      - {actions: [Query], tables: [orders], indexes: [by_a], keys: {prefix: "<claim.team>#"}}
      - {actions: [read, write, Scan, PartiQLSelect], tables: [wide], attributes: [id, b, c, d, e, f, g, h]}
      - {actions: [GetItem], tables: [bare], attributes: [a1, a2, a3, a4, a5, a6, a7, a8, a9]}
      - {actions: [PutItem], tables: [bare], tasks: ["load_*", "t2", "t3", "t4"], attributes: [v]}
    deny:
      - {actions: [DeleteItem], tables: [orders], keys: {prefix: "a#keep"}}
      - {actions: [GetItem], tables: [wide], attributes: [h]}
      - {actions: [DeleteTable], tables: [orders, wide, bare]}
  e:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - {actions: [GetItem, Query], tables: [orders]}
      - {actions: [UpdateItem], tables: [wide]}
      - {actions: [Query], tables: [orders], indexes: [by_a], tasks: [load]}
  none: {role: arn:aws:iam::111122223333:role/r}
  "glob_*": {role: arn:aws:iam::111122223333:role/r}
  orders_daily: {role: arn:aws:iam::111122223333:role/r}
"""
REFUSED: list[dict[str, Any]] = [
    # keys
    {"operation": "GetItem", "key": "z"},
    {"operation": "GetItem"},
    {"operation": "Query"},
    {"operation": "Scan"},
    {"operation": "PartiQLSelect", "attributes": ("pk",)},
    {"operation": "PartiQLInsert"},
    {"operation": "Query", "index": "by_a", "key": "z"},
    {"operation": "Query", "index": "by_a", "key": "z", "claims": {"team": "t"}},
    {"operation": "Query", "index": "by_a", "claims": {"team": "t"}},
    # attributes
    {"operation": "Query", "table": "wide", "attributes": ("id",), "key": "1", "index": "none"},
    {"operation": "Query", "table": "wide", "attributes": ("x",)},
    {"operation": "Query", "table": "wide", "attributes": ("w", "x", "y", "z")},
    {"operation": "Query", "table": "wide"},
    {"operation": "PartiQLSelect", "table": "wide"},
    {"operation": "UpdateItem", "table": "wide", "attributes": ("b",), "returns": "ALL_OLD"},
    {"operation": "PutItem", "table": "wide", "attributes": ("b",)},
    {"operation": "DeleteItem", "table": "wide"},
    {"operation": "GetItem", "table": "bare"},
    {"operation": "PutItem", "table": "bare", "attributes": ("v",), "task": "load_1"},
    # deny rules
    {"operation": "DeleteItem", "key": "a#keep1"},
    {"operation": "DeleteItem"},
    {"operation": "GetItem", "table": "wide", "attributes": ("h", "x")},
    {"operation": "GetItem", "table": "wide"},
    {"operation": "DeleteTable", "table": "bare"},
    # no rule
    {"operation": "UpdateTable"},
    {"operation": "PutItem", "table": "bare", "attributes": ("v",), "task": "x"},
    {"operation": "PutItem", "table": "bare", "attributes": ("v",)},
    {"operation": "Query", "table": "bare"},
    {"operation": "DeleteItem", "table": "bare"},
    {"operation": "Query", "table": "orders", "index": "by_b"},
    {"operation": "GetItem", "table": "order"},
    {"operation": "UpdateItem", "table": "wides"},
    {"operation": "ListTables", "table": ""},
    {"dag": "e", "operation": "PutItem"},
    {"dag": "e", "operation": "ConditionCheckItem"},
    {"dag": "e", "operation": "GetItem", "table": "wide"},
    {"dag": "e", "operation": "Query", "index": "by_a"},
    {"dag": "e", "operation": "Query", "index": "by_a", "task": "store"},
    {"dag": "e", "operation": "Query", "table": "ordres"},
    {"dag": "e", "operation": "UpdateItem", "table": "ordres"},
    {"dag": "none", "operation": "GetItem"},
    {"dag": "glob_a", "operation": "GetItem"},
    {"dag": "glob", "operation": "GetItem"},
    {"dag": "nine", "operation": "GetItem"},
    {"dag": "non", "operation": "GetItem", "is_verified": False},
    {"dag": "orders_daliy", "operation": "GetItem"},
    {"dag": "rders_daily", "operation": "GetItem"},
    {"dag": "xrders_dailx", "operation": "GetItem"},
    {"dag": "orders_dailyyy", "operation": "GetItem"},
    {"dag": "orders_dailyyyy", "operation": "GetItem"},
    {"dag": "it's\n" + "x" * 120, "operation": "GetItem"},
]


def test_whole_refusals() -> None:
    """Every sentence that a worker gets: what is refused, why, what to write, whom to ask."""
    (snapshot,) = check_policies({"a.yaml": LIMITED}).snapshots
    lines = []
    for request_ in REFUSED:
        found = asked(snapshot, **{"dag": "d", "table": "orders", **request_})
        lines += [
            " ".join(f"{name}={value!r}" for name, value in request_.items()),
            f"  {found.decision.message}",
            *changes(found),
            "",
        ]
    assert "\n".join(lines) == whole("refusals.txt")


def test_five_names_are_told_of_a_rule() -> None:
    """Of those that lie beside its attributes."""
    (snapshot,) = check_policies({"a.yaml": LIMITED}).snapshots
    found = asked(snapshot, "d", "Query", "wide", attributes=tuple("uvwxyz"))
    assert "the request names 'u', 'v', 'w', 'x', 'y' beside its attributes" in [rule.why for rule in found.touches[0].rules]


@pytest.mark.parametrize(
    ("limit", "more", "told"),
    [
        ("indexes: [by_a], keys: {exact: ['x']}", {}, "; write KeyConditionExpression as a = :v"),
        ("indexes: [by_a], keys: {exact: ['x']}", {"key": "x"}, ""),
        ("keys: {exact: ['x']}", {"key": "x"}, "; write KeyConditionExpression as pk = :v"),
    ],
)
def test_a_denied_query_of_an_index_is_told_which_key_to_prove(limit: str, more: dict[str, Any], told: str) -> None:
    """The index's own where the rule names indexes; else both, for either may be the one that is denied."""
    text = LIMITED.replace(
        "{actions: [GetItem], tables: [wide], attributes: [h]}", f"{{actions: [Query], tables: [orders], {limit}}}"
    )
    text = text.replace('indexes: [by_a], keys: {prefix: "<claim.team>#"}', "indexes: [by_a]")
    (snapshot,) = check_policies({"a.yaml": text}).snapshots
    message = asked(snapshot, "d", "Query", "orders", index="by_a", **more).decision.message
    sentence = f"; that the partition key is outside cannot be proven{told}" if told else ""
    assert message.partition(")")[2] == f"{sentence}; ask the owners of a.yaml"


def test_what_has_no_key_is_not_told_to_prove_one() -> None:
    """A deny of keys stops the whole table from being deleted, and no way to write that would help."""
    text = LIMITED.replace(
        "{actions: [DeleteTable], tables: [orders, wide, bare]}", "{actions: ['*'], tables: [orders], keys: {exact: [k]}}"
    )
    (snapshot,) = check_policies({"a.yaml": text.replace("[k]", "['k']")}).snapshots
    message = asked(snapshot, "d", "DeleteTable", "orders").decision.message
    assert message.endswith("; that the partition key is outside cannot be proven; ask the owners of a.yaml")


@pytest.mark.parametrize(
    ("operation", "whole_", "how"),
    [
        ("PartiQLSelect", "SELECT *", "write SELECT with some of b, c"),  # as a statement has it
        ("PartiQLSelect", "no projection", "write SELECT with some of b, c"),  # as a description has it
        ("Query", "no projection", "write ProjectionExpression with some of b, c"),
        ("Query", "Select ALL_ATTRIBUTES", "leave that out"),
        ("PartiQLUpdate", "RETURNING ALL OLD *", "leave that out"),
    ],
)
def test_a_whole_item_that_comes_back_is_told_with_what_to_write(operation: str, whole_: str, how: str) -> None:
    """What names the attributes, or to leave out what brings the others."""
    text = LIMITED.replace(
        "[read, write, Scan, PartiQLSelect], tables: [wide]", "[read, PartiQLSelect, PartiQLUpdate], tables: [wide]"
    )
    (snapshot,) = check_policies({"a.yaml": text}).snapshots
    identity, what = request_of(Description("d", operation, "wide", attributes=("id",)), snapshot)
    (touch,) = what.touches
    touch = touch._replace(facts=dataclasses.replace(touch.facts, whole=whole_))
    message = explain(snapshot, identity, what._replace(touches=(touch,)), NOW).decision.message
    assert f": the whole item comes back ({whole_}), and a.yaml:13 gives b, c, d, e, f, g, h, id only; {how}" in message


def test_three_names_are_all_told() -> None:
    """Of more the rest is counted."""
    (snapshot,) = check_policies({"a.yaml": LIMITED}).snapshots
    message = asked(snapshot, "d", "Query", "wide", attributes=("x", "y", "id")).decision.message
    assert ": it names 'x', 'y', and " in message
    assert message.endswith(" only; leave them out")
    message = asked(snapshot, "d", "Query", "wide", attributes=("x", "y", "z")).decision.message
    assert ": it names 'x', 'y', 'z', and " in message


def test_whole_refusals_of_members() -> None:
    """A member of a batch is told by its position, and what became of the others."""
    (snapshot,) = check_policies({"a.yaml": LIMITED}).snapshots
    lines: list[str] = []
    for operation in ("PutItem", "GetItem"):
        for more in (
            {"key": "z", "table": "orders"},
            {"table": "orders"},
            {"table": "wide", "attributes": ("x",)},
            {"table": "more"},
        ):
            identity, single = request_of(Description("d", operation, **more), snapshot)
            members = (single.touches[0]._replace(position=1), single.touches[0]._replace(position=2))
            what = Operation(f"Batch{operation}", "", single.is_write, members, b"")
            lines += explain(snapshot, identity, what, NOW).decision.message, ""
    assert "\n".join(lines) == whole("refusals_of_members.txt")
