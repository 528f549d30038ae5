"""First policies from CloudTrail and IAM: nothing is granted that was not found, what cannot be said is a comment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.actions import READ
from proxy.policy.check import check_policies
from proxy.policy.cloudtrail import draft_from_cloudtrail, read_events
from proxy.policy.draft import Draft, dag_id_of
from proxy.policy.iam import draft_from_iam, read_sources
from proxy.policy.lint import lint
from tests.unit.policy.whole import whole

CASES = yaml.safe_load((Path(__file__).parents[2] / "cases" / "first_policies.yaml").read_text())
ACCOUNT = "111122223333"
TABLE = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/"


_MAY_BE = ("take it out", "so it may do nothing")  # what was found may say things twice, or only deny


def checked(text: str) -> list[str]:
    """The text without its first line; it passes `check` with neither mistake nor warning."""
    report = check_policies({"draft.yaml": text})
    assert report.is_good, [*report.lines(), text]
    findings = lint(report.document, report.snapshots)
    assert [*report.mistakes.warnings, *(found for found in findings if not found.message.endswith(_MAY_BE))] == [], text
    return text.splitlines()[1:]


# ------------------------------------------------------------------------------------------------ CloudTrail


def event(name: str, session: str = "orders_daily", **fields: Any) -> dict[str, Any]:
    """A data event of a role's session."""
    who = {"type": "AssumedRole", "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/ddb-orders/{session}"}
    return {"eventSource": "dynamodb.amazonaws.com", "eventName": name, "userIdentity": who, **fields}


def lines_of(*events: dict[str, Any]) -> list[str]:
    """The draft's lines."""
    return checked(draft_from_cloudtrail(events).render())


def rules_of(*events: dict[str, Any]) -> list[str]:
    """The draft's allow rules."""
    return [line.strip()[2:] for line in lines_of(*events) if line.startswith("      - ")]


def test_what_a_session_did_becomes_its_rules() -> None:
    """One DAG with its role, its tables, one rule for alike tables, and a test for each right."""
    assert lines_of(
        event("GetItem", requestParameters={"tableName": "orders", "key": {"pk": "x"}}),
        event("Query", requestParameters={"tableName": f"{TABLE}orders"}),
        event("Query", requestParameters={"tableName": "orders", "indexName": "by_status"}),
        event("GetItem", requestParameters={"tableName": "totals"}),
        event("Query", requestParameters={"tableName": "totals"}),
    ) == [
        "tables:",
        '  orders: {indexes: {by_status: "REPLACE (S)"}}  # REPLACE: the key\'s real name and type (S, N or B)',
        "  totals: {}",
        "dags:",
        "  orders_daily:",
        f'    role: "arn:aws:iam::{ACCOUNT}:role/ddb-orders"',
        "    allow:",
        "      - {actions: [GetItem, Query], tables: [orders, totals]}",
        "      - {actions: [Query], tables: [orders], indexes: [by_status]}",
        "tests:",
        "  - {dag: orders_daily, call: GetItem, table: orders, expect: allow}",
        "  - {dag: orders_daily, call: Query, table: orders, index: by_status, expect: allow}",
        "  - {dag: orders_daily, call: GetItem, table: totals, expect: allow}",
    ]


def test_the_role_is_the_session_issuers() -> None:
    """With its path, which the session's ARN does not have; a second role is a comment."""
    issuer = {"sessionContext": {"sessionIssuer": {"arn": f"arn:aws:iam::{ACCOUNT}:role/team/ddb-orders"}}}
    first = event("Scan", requestParameters={"tableName": "orders"})
    first["userIdentity"] |= issuer
    found = lines_of(first, event("Scan", requestParameters={"tableName": "orders"}))
    assert f'    role: "arn:aws:iam::{ACCOUNT}:role/team/ddb-orders"' in found
    assert f"    # also seen with role arn:aws:iam::{ACCOUNT}:role/ddb-orders; a DAG has one role" in found


@pytest.mark.parametrize("case", CASES["events"], ids=lambda case: f"{case['event']} {case['parameters']}"[:60])
def test_operations_follow_their_members(case: dict[str, Any]) -> None:
    """Batches, transactions and statements give what their members need, and no more."""
    assert rules_of(event(case["event"], requestParameters=case["parameters"])) == case["rules"]


def test_resources_name_the_table_where_the_parameters_do_not() -> None:
    """As CloudTrail does for what it redacts; a transaction's members cannot be told apart."""
    resources = [{"ARN": f"{TABLE}orders/index/x"}, {"ARN": "arn:aws:s3:::b"}, "cut"]
    assert rules_of(event("BatchGetItem", resources=resources)) == ["{actions: [GetItem], tables: [orders]}"]
    written = lines_of(event("BatchWriteItem", resources=resources))
    assert "    # BatchWriteItem on orders: the event does not say put or delete; PutItem is given" in written
    assert "# left out 1 time(s): TransactWriteItems names no table" in lines_of(event("TransactWriteItems", resources=resources))


def test_what_grants_nothing_is_a_comment() -> None:
    """Refusals, escalations, other identities and other services."""
    user = event("Scan", requestParameters={"tableName": "orders"}) | {
        "userIdentity": {"arn": f"arn:aws:iam::{ACCOUNT}:user/ann"}
    }
    found = lines_of(
        event("Scan", requestParameters={"tableName": "orders"}, errorCode="AccessDenied"),
        event("UpdateTable", requestParameters={"tableName": "orders"}),
        user,
        user,
        event("Frobnicate", requestParameters={"tableName": "orders"}),
        event("GetItem", requestParameters={"tableName": "orders"}) | {"eventSource": "s3.amazonaws.com"},
        event("GetItem", "only_lists", requestParameters=None),
        event("ListTables", "only_lists"),
    )
    assert found == [
        "# left out 1 time(s): Frobnicate names no table",
        "# left out 1 time(s): GetItem names no table",
        "# left out 1 time(s): Scan failed with AccessDenied",
        "# left out 2 time(s): Scan was not done with a role's session",
        "# only_lists: ListTables need no table, and a rule must name one",
        "# orders_daily: did UpdateTable on orders: give it by this name if it is meant, it goes beyond items",
        "# Nothing was found that a rule could be made of.",
        "dags: {}",
    ]


def test_what_an_event_does_not_hold_is_not_made_up() -> None:
    """No name, no table, no caller, no text of a statement: it is counted as left out."""
    nameless = {
        key: value for key, value in event("GetItem", requestParameters={"tableName": "orders"}).items() if key != "eventName"
    }
    found = lines_of(
        nameless,
        event("GetItem", requestParameters={"key": {}}),
        event("ExecuteStatement", requestParameters={"statements": [{}, 1]}),
        event("TransactWriteItems", requestParameters={"transactItems": [{"put": {}}]}),
        event("Scan", resources=[{}], requestParameters={}),
        event("Scan", requestParameters={"tableName": "orders"}) | {"userIdentity": {"type": "AWSService"}},
    )
    assert found == [
        "# left out 1 time(s): ExecuteStatement names no table",
        "# left out 1 time(s): GetItem names no table",
        "# left out 1 time(s): Scan names no table",
        "# left out 1 time(s): Scan was not done with a role's session",
        "# left out 1 time(s): TransactWriteItems names no table",
        "# left out 1 time(s): an event without a name names no table",
        "# Nothing was found that a rule could be made of.",
        "dags: {}",
    ]


def test_a_whole_group_is_told_by_its_name() -> None:
    """`read` where all of it was seen, and nothing more."""
    found = [event(name, requestParameters={"tableName": "orders"}) for name in sorted(READ)]
    assert rules_of(*found) == ["{actions: [read], tables: [orders]}"]
    assert rules_of(*found[1:]) == [f"{{actions: [{', '.join(sorted(READ)[1:])}], tables: [orders]}}"]


def test_the_usual_actions_stand_first() -> None:
    """In the order in which one thinks of them, whatever was seen first; then all others by name."""
    names = ("GetItem", "Query", "Scan", "PutItem", "UpdateItem", "DescribeTable", "DescribeTimeToLive")
    found = [event(name, requestParameters={"tableName": "orders"}) for name in reversed(names)]
    assert rules_of(*found) == [f"{{actions: [{', '.join(names)}], tables: [orders]}}"]


def test_a_name_of_nothing_is_marked() -> None:
    """A DAG has an id, also where none could be read."""
    assert (dag_id_of(""), dag_id_of("a b")) == ("REPLACE", "a_b")


def test_a_long_word_of_a_note_has_its_own_line() -> None:
    """It is not broken: it may be an ARN."""
    draft = Draft("CloudTrail")
    draft.notes = ["x" * 150 + " and more"]
    assert draft.render().splitlines()[1:3] == ["# " + "x" * 150, "# and more"]


def test_a_key_is_known_wherever_its_name_was_said() -> None:
    """By a condition that names keys and attributes both, though no rule came of it."""
    said = {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["a"], "dynamodb:Attributes": ["pk", "v"]},
        "StringEquals": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"},
    }
    found = from_iam(statement(Resource=f"{TABLE}orders/index/by_a", Condition=said), statement())
    assert '  orders: {key: "pk (S)"}' in found


def test_a_note_is_broken_at_116_characters() -> None:
    """With what stands before it in the file it fits in a line of 126."""
    first = "x" * 100
    for last, lines in (("y" * 15, 1), ("y" * 16, 2), ("y-" * 8, 2)):
        draft = Draft("CloudTrail")
        draft.notes = [f"{first} {last}"]
        broken = [f"# {first} {last}"] if lines == 1 else [f"# {first}", f"# {last}"]
        assert draft.render().splitlines()[1 : 1 + lines] == broken


def test_an_index_without_a_good_name_is_not_taken_for_the_table() -> None:
    """It is left out, not widened."""
    found = lines_of(event("Query", requestParameters={"tableName": "orders", "indexName": "a b"}))
    assert "# orders_daily: Query on orders: `a b` is not a name of an index" in found


def test_what_needs_no_table_stands_with_one_that_the_dag_has() -> None:
    """A rule must name a table; escalations of the account are told too."""
    found = lines_of(event("ListTables"), event("GetItem", requestParameters={"tableName": "orders"}), event("CreateTable"))
    assert "      - {actions: [ListTables], tables: [orders]}" in found


def test_a_session_that_says_no_dag_is_named_after_its_role() -> None:
    """SDKs make such names up; one that is no DAG id is made one."""
    made_up = lines_of(event("Scan", "botocore-session-1700000000", requestParameters={"tableName": "orders"}))
    assert "  ddb-orders:" in made_up
    assert any("write the DAG's id in its place" in line for line in made_up)
    strange = lines_of(event("Scan", "ann@example.com", requestParameters={"tableName": "orders"}))
    assert "  ann_example.com:" in strange or '  "ann_example.com":' in strange
    assert "    # named after the session `ann@example.com`" in strange


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"Records": [{"a": 1}, {"a": 2}]}),
        json.dumps([{"a": 1}, {"a": 2}]),
        '{"a": 1}\n\n{"a": 2}\n',
        json.dumps({"Events": [{"CloudTrailEvent": '{"a": 1}'}, {"CloudTrailEvent": '{"a": 2}'}]}),
    ],
)
def test_events_are_read_in_each_of_their_forms(text: str) -> None:
    """Files of a trail, lists, lines, and what `lookup-events` prints."""
    assert read_events(text) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", '{"Events": [{"CloudTrailEvent": "{"}]}'])
def test_what_is_no_event_is_refused(text: str) -> None:
    """With a ValueError, or nothing found in nothing."""
    if text:
        with pytest.raises(ValueError, match=r"."):
            read_events(text)
    else:
        assert read_events(text) == []
    assert read_events('"x"') == []


def test_names_from_outside_stay_in_their_line() -> None:
    """A comment ends with its line; no name begins another."""
    found = lines_of(
        event("Scan\nevil: [", requestParameters={"tableName": "orders"}),
        event("Scan", "a\nb", requestParameters={"tableName": "orders"}),
    )
    assert "# left out 1 time(s): Scan?evil: [ names no table" in found
    assert not any(line.startswith("evil") for line in found)


def test_the_whole_draft_of_a_busy_trail() -> None:
    """Sessions of all kinds, tables by name and ARN, what is left out, notes, rules and tests, in their order."""
    orders, totals = {"tableName": "orders"}, {"tableName": "totals"}
    with_issuer = event("Scan", "with_issuer", requestParameters=orders)
    with_issuer["userIdentity"]["sessionContext"] = {"sessionIssuer": {"arn": f"arn:aws-cn:iam::{ACCOUNT}:role/team/ddb-orders"}}
    all_of_read_and_write = ("GetItem", "Query", "ConditionCheckItem", "PutItem", "UpdateItem", "DeleteItem")
    events = [
        event("GetItem", requestParameters=orders),
        event("GetItem", requestParameters={"tableName": f"arn:aws-cn:dynamodb:cn-north-1:{ACCOUNT}:table/orders/index/x"}),
        event("UpdateItem", requestParameters=orders, errorCode="ConditionalCheckFailedException"),
        event("PutItem", requestParameters={"tableName": "orders", "indexName": "by_x"}),
        event("Query", requestParameters={"tableName": "yes", "indexName": "off"}),
        event("Query", requestParameters={"tableName": "yes", "indexName": "by-b"}),
        event("Query", requestParameters={"tableName": "1st", "indexName": "a b"}),
        event("ListTables"),
        event("Scan", "i-0123456789abcdef0", requestParameters=orders),
        event("Scan", "1700000000", requestParameters=totals),
        event("Scan", "170000000", requestParameters=totals),
        event("Scan", "deadbeefdeadbeefdeadbeefdeadbeef", requestParameters={"tableName": "more"}),
        event("Scan", "ann@example.com/" + "z" * 260, requestParameters=orders),
        event("CreateTable", "only_makes", requestParameters=orders),
        event("ListTables", "only_lists"),
        event("DescribeLimits", "only_lists"),
        event("Scan", "cut", requestParameters=orders, errorCode="ResourceNotFoundException"),
        event("Scan", "cut", requestParameters=orders, errorCode="AccessDeniedException"),
        event("Scan", "cut", requestParameters=orders, errorCode="UnrecognizedClientException"),
        event("x" * 210, requestParameters=orders),
        event("Scan", requestParameters=orders) | {"userIdentity": None},
        event("DeleteTable", requestParameters=totals),
        event("ExecuteStatement", requestParameters={"statement": 'select * from "totals"'}),
        event("ExecuteStatement", requestParameters={"statement": "EXISTS nonsense"}),
        event("BatchGetItem", resources=[{"ARN": f"{TABLE}orders"}, {"ARN": f"{TABLE}orders"}, {"ARN": f"{TABLE}totals"}]),
        event("TransactGetItems", resources=[{"ARN": f"{TABLE}more"}]),
        *(event(name, "reader", requestParameters=totals) for name in (*all_of_read_and_write, "Scan", "DescribeTable")),
        with_issuer,
    ]
    text = draft_from_cloudtrail(events).render()
    assert text == whole("draft_from_cloudtrail.yaml")
    checked(text)


# ------------------------------------------------------------------------------------------------------- IAM


def statement(**fields: Any) -> dict[str, Any]:
    """An allow of GetItem on orders, changed."""
    return {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": f"{TABLE}orders", **fields}


def from_iam(*statements: dict[str, Any], tables: tuple[str, ...] = ()) -> list[str]:
    """The draft of one document."""
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return checked(draft_from_iam(read_sources(json.dumps(document)), tables).render())


def found_rules(lines: list[str]) -> list[str]:
    """Rules of a draft."""
    return [line.strip()[2:] for line in lines if line.startswith("      - ")]


def found_notes(lines: list[str]) -> str:
    """Comments of a draft, joined."""
    return " ".join(line.strip(" #") for line in lines if line.strip().startswith("#"))


@pytest.mark.parametrize("case", CASES["said"], ids=lambda case: str(case["statement"])[:100])
def test_what_can_be_said_is_taken_over(case: dict[str, Any]) -> None:
    """Actions, tables, indexes, keys and attributes, of allow and deny."""
    assert found_rules(from_iam(case["statement"])) == case["rules"]


@pytest.mark.parametrize("case", CASES["unsaid"], ids=lambda case: str(case["statement"])[:100])
def test_what_cannot_be_said_is_a_comment_with_its_reason(case: dict[str, Any]) -> None:
    """An allow is never taken over without its condition: it would give more."""
    lines = from_iam(case["statement"])
    assert found_rules(lines) == []
    assert case["reason"] in found_notes(lines)


def test_wildcards_of_tables_are_filled_in_by_real_names() -> None:
    """`--tables` names them; nothing else is granted by a wildcard."""
    given = statement(Resource=[f"{TABLE}orders*", "*"])
    assert found_rules(from_iam(given, tables=("orders_a", "orders_b", "totals"))) == [
        "{actions: [GetItem], tables: [orders_a, orders_b, totals]}"
    ]


def test_wildcards_of_actions_reach_items_only() -> None:
    """What they would reach besides is told, to be given by name."""
    notes = found_notes(from_iam(statement(Action="dynamodb:Delete*", Sid="Gone")))
    assert "Gone: dynamodb:Delete* gives no more than items here; by name only: DeleteBackup, " in notes


def test_an_allow_beside_a_deny_is_not_tested() -> None:
    """Whether the deny covers it, the draft does not know; the deny is tested."""
    lines = from_iam(
        statement(Action=["dynamodb:GetItem", "dynamodb:PutItem"]), statement(Effect="Deny", Action="dynamodb:PutItem")
    )
    assert [line for line in lines if line.startswith("  - ")] == [
        "  - {dag: REPLACE, call: PutItem, table: orders, expect: deny}"
    ]


def test_documents_are_read_in_each_of_their_forms() -> None:
    """A document, a role's policy, a policy's version, and an account's whole authorization."""
    document = {"Statement": statement()}
    role_arn = f"arn:aws:iam::{ACCOUNT}:role/path/etl"
    account = {
        "RoleDetailList": [
            {
                "Arn": role_arn,
                "RolePolicyList": [{"PolicyDocument": document}],
                "AttachedManagedPolicies": [{"PolicyArn": "arn:p"}, {"PolicyArn": "arn:aws-managed"}],
            }
        ],
        "Policies": [
            {
                "Arn": "arn:p",
                "PolicyVersionList": [
                    {"Document": {}, "IsDefaultVersion": False},
                    {"Document": document, "IsDefaultVersion": True},
                ],
            }
        ],
    }
    for text, role in (
        (document, ""),
        ({"RoleName": "etl", "PolicyDocument": document}, f"arn:aws:iam::{ACCOUNT}:role/etl"),
        ({"PolicyVersion": {"Document": document}}, ""),
    ):
        (source,) = read_sources(json.dumps(text))
        assert (source.document, source.role_arn) == (document, role)
    assert read_sources(json.dumps(account)) == [(document, role_arn), (document, role_arn)]
    del account["RoleDetailList"][0]["Arn"]
    assert [source.role_arn for source in read_sources(json.dumps(account))] == ["", ""]
    for text in ("[]", "{}", '{"PolicyDocument": {}}'):
        with pytest.raises(ValueError, match="holds no policy document"):
            read_sources(text)


def test_the_account_is_that_of_the_first_table_that_has_one() -> None:
    """An ARN may leave it open."""
    lines = from_iam(statement(Resource=[f"{TABLE}orders".replace(ACCOUNT, "*"), f"{TABLE}totals"]))
    assert f'    role: "arn:aws:iam::{ACCOUNT}:role/REPLACE"  # REPLACE' in lines


def test_what_is_of_other_services_is_passed_over() -> None:
    """Their resources and actions are no rules and no comments; an action without its service is none."""
    plain, notes = from_iam(statement()), "is not taken over"
    assert from_iam(statement(Resource=[f"{TABLE}orders", "arn:aws:s3:::bucket"])) == plain
    assert from_iam(statement(Action=["dynamodb:GetItem", "PutItem"])) == plain
    lines = from_iam(statement(Resource=[f"{TABLE}orders", f"{TABLE}a*", f"{TABLE}b/stream/x"]))
    assert found_rules(lines) == found_rules(plain)
    assert (lines[:1], found_notes(lines).count(notes)) == (["tables:"], 2)


def test_a_deny_of_everything_holds_for_an_index_too() -> None:
    """An allow of what no index has is not for the index."""
    index = f"{TABLE}orders/index/by_day"
    assert found_rules(from_iam(statement(Effect="Deny", Action="dynamodb:*", Resource=index), statement())) == [
        "{actions: [GetItem], tables: [orders]}",
        '{actions: ["*"], tables: [orders], indexes: [by_day]}',
    ]


def test_deletes_cannot_be_held_to_attributes() -> None:
    """Whatever else is limited, they take the whole item."""
    limited = {"ForAllValues:StringEquals": {"dynamodb:Attributes": ["id"]}}
    actions = ["dynamodb:PartiQLDelete", "dynamodb:DeleteItem", "dynamodb:UpdateItem"]
    lines = from_iam(statement(Action=actions, Condition=limited))
    assert found_rules(lines) == ["{actions: [UpdateItem], tables: [orders], attributes: [id]}"]
    assert "DeleteItem, PartiQLDelete cannot be held to the keys or attributes" in found_notes(lines)


def test_a_document_without_a_table_has_no_account() -> None:
    """The role is to be written by a person, whichever."""
    lines = from_iam(statement(Resource="*"), statement(Action="s3:GetObject", Resource="arn:aws:s3:::b"), tables=("orders",))
    assert '    role: "arn:aws:iam::000000000000:role/REPLACE"  # REPLACE' in lines


def test_a_put_under_attributes_is_not_tested() -> None:
    """It needs a condition that no item is there, which the policy does not say; one without such a limit needs none."""
    for limit, tests in (
        ({"Condition": {"ForAllValues:StringEquals": {"dynamodb:Attributes": ["id"]}}}, []),
        ({}, ["  - {dag: REPLACE, call: PutItem, table: orders, expect: allow}"]),
    ):
        lines = from_iam(statement(Action="dynamodb:PutItem", **limit))
        assert [line for line in lines if line.startswith("  - ")] == tests


def test_the_whole_draft_of_a_role() -> None:
    """Statements that can be said, in part, or not at all: rules, keys, notes and tests, in their order."""
    both = {"dynamodb:Attributes": ["id", "a b"], "dynamodb:LeadingKeys": ["x"]}
    items = [f"dynamodb:{name}" for name in ("GetItem", "PutItem", "DeleteItem", "Scan", "DescribeTable")]
    statements = [
        statement(
            Sid="Read",
            Action=["dynamodb:GetItem", "dynamodb:Query", "dynamodb:Nope"],
            Resource=[f"{TABLE}orders", f"{TABLE}orders/index/by_day", f"{TABLE}orders/index/by_month"],
        ),
        statement(Action="dynamodb:query", Resource=f"{TABLE}totals"),
        statement(Action="dynamodb:G?tItem", Resource=f"{TABLE}t_?"),
        statement(Action="dynamodb:Delete*", Resource="*"),
        statement(
            Sid="Keys",
            Action=items,
            Resource=f"{TABLE}both",
            Condition={"ForAllValues:StringEquals": both, "Null": {"dynamodb:LeadingKeys": "false"}},
        ),
        statement(
            Resource=f"{TABLE}firsts",
            Condition={"ForAllValues:StringLike": {"dynamodb:FirstPartitionKeyValues": ["a#*", "b#*"]}},
        ),
        statement(Effect="Deny", Action="*", Resource=f"{TABLE}secret"),
        statement(
            Effect="Deny",
            Action=["dynamodb:PutItem"],
            Resource=f"{TABLE}both",
            Condition={"ForAnyValue:StringEquals": {"dynamodb:Attributes": ["ssn"]}},
        ),
        statement(Action="s3:GetObject", Resource="arn:aws:s3:::b"),
        statement(Sid="Ip", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
    ]
    role = {
        "Arn": f"arn:aws:iam::{ACCOUNT}:role/path/etl",
        "RolePolicyList": [{"PolicyDocument": {"Statement": statements}}],
    }
    text = draft_from_iam(read_sources(json.dumps({"RoleDetailList": [role]})), ("t_b", "t_a", "t_long")).render()
    assert text == whole("draft_from_iam.yaml")
    checked(text)
