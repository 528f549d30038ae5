"""What a request proves: never more than an oracle finds that evaluates its conditions on items."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dynamodb.operation import read_operation
from proxy.model import Pin, TableReference
from proxy.refusal import Unreadable
from tests.pinned import pins_of
from tests.unit.dynamodb import conditions as oracle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.model import Facts

KEY = {"pk": {"S": "a"}, "sk": {"N": "1"}}
PINNED = {"pk": Pin(({"S": "a"},)), "sk": Pin(({"N": "1"},))}
ORDERS = {"TableName": "orders"}
A = {":a": {"S": "a"}}


def all_facts(name: str, body: Any) -> list[Facts]:
    """The facts of each touch of a request."""
    operation = read_operation(b"DynamoDB_20120810." + name.encode(), orjson.dumps(body))
    return [touch.facts for touch in operation.touches if touch.facts is not None]


def facts(name: str, **members: Any) -> Facts:
    """The facts of a request with one touch, on table orders."""
    (found,) = all_facts(name, ORDERS | members)
    return found


# ---------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("GetItem", {"Key": KEY}),
        ("PutItem", {"Item": KEY}),
        ("UpdateItem", {"Key": KEY}),
        ("DeleteItem", {"Key": KEY}),
        ("Query", {"KeyConditionExpression": "pk = :a AND :b = #s", "ExpressionAttributeNames": {"#s": "sk"}}
         | {"ExpressionAttributeValues": A | {":b": {"N": "1"}}}),
        ("Query", {"KeyConditions": {
            "pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]},
            "sk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"N": "1"}]},
        }}),
    ],
)  # fmt: skip
def test_key_item_and_equalities_pin(name: str, members: dict[str, Any]) -> None:
    """Key, Item, and the key condition in both of its forms."""
    assert pins_of(facts(name, **members)) == PINNED


@pytest.mark.parametrize(
    ("condition", "value", "pin"),
    [
        ("begins_with(pk, :a)", {"S": "x"}, Pin(({"S": "x"},), is_prefix=True)),
        ("begins_with(pk, :a)", {"B": "eA=="}, Pin(({"B": "eA=="},), is_prefix=True)),
        ("begins_with(pk, :a)", {"N": "1"}, None),
        ("pk >= :a", {"S": "x"}, None),
        ("pk BETWEEN :a AND :a", {"S": "x"}, None),
    ],
)
def test_of_ranges_only_a_prefix_of_text_or_bytes_pins(condition: str, value: Any, pin: Pin | None) -> None:
    """Whatever else narrows a key pins nothing; on the table itself, whose key is tested with `=` alone, nothing does."""
    asked: dict[str, Any] = {"KeyConditionExpression": condition, "ExpressionAttributeValues": {":a": value}}
    assert pins_of(facts("Query", IndexName="by_owner", **asked)) == ({"pk": pin} if pin else {})
    assert pins_of(facts("Query", **asked)) == {}


def test_scan_and_filters_pin_nothing() -> None:
    """What a filter drops was read."""
    filtered: dict[str, Any] = {"FilterExpression": "pk = :a", "ExpressionAttributeValues": A}
    assert pins_of(facts("Scan", **filtered)) == {}
    assert pins_of(facts("Query", **filtered)) == {}
    legacy = {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}}
    assert pins_of(facts("Scan", ScanFilter=legacy)) == {}
    assert pins_of(facts("Query", QueryFilter=legacy)) == {}
    assert pins_of(facts("Scan", ExclusiveStartKey=KEY)) == {}


def test_a_long_projection_costs_a_batch_one_set() -> None:
    """Keys of one table share the set of attributes; a key that has another attribute names it all the same."""
    other = KEY | {"x": {"S": "a"}}
    wanted = {"Keys": [KEY, KEY, other], "AttributesToGet": [f"a{number}" for number in range(100)]}
    first, second, third = all_facts("BatchGetItem", {"RequestItems": {"orders": wanted}})
    assert second.named is first.named
    assert len(first.named) == 102
    assert third.named == first.named | {"x"}


def test_each_member_of_a_batch_has_its_own_key() -> None:
    """Keys of one table share its projection."""
    keys = [{"pk": {"S": "a"}}, {"pk": {"S": "b"}}]
    found = all_facts("BatchGetItem", {"RequestItems": {"orders": {"Keys": keys, "ProjectionExpression": "total"}}})
    assert [pins_of(each)["pk"].values for each in found] == [({"S": "a"},), ({"S": "b"},)]
    assert [each.named for each in found] == [{"pk", "total"}] * 2
    found = all_facts(
        "BatchWriteItem", {"RequestItems": {"orders": [{"PutRequest": {"Item": keys[0]}}, {"DeleteRequest": {"Key": keys[1]}}]}}
    )
    assert [pins_of(each)["pk"].values for each in found] == [({"S": "a"},), ({"S": "b"},)]
    assert [(each.replaces, each.whole, each.has_condition) for each in found] == [(True, "", False)] * 2


def transaction(texts: list[str]) -> list[Facts]:
    """The facts of a transaction with one condition for each text."""
    check = ORDERS | {"Key": KEY, "ExpressionAttributeValues": A}
    members = [{"ConditionCheck": check | {"ConditionExpression": text}} for text in texts]
    return all_facts("TransactWriteItems", {"TransactItems": members})


def laborious(number: int) -> str:
    """A condition of about 4,000 tokens, different for each number."""
    return f"a{number}{'.b' * 1990} = :a"


def test_the_expressions_of_a_transaction_have_a_bound_together() -> None:
    """100 members with 4,096 characters of small words each would hold the gateway for half a second."""
    found = transaction([laborious(number) for number in range(100)])
    assert [each.named for each in found[:4]] == [{"pk", "sk", f"a{number}"} for number in range(4)]
    for late in (found[4], found[5]):
        with pytest.raises(
            Unreadable, match="the expressions of the request have more than 16384 words and signs together; send"
        ):
            _ = late.named
    assert found[0].named == {"pk", "sk", "a0"}, "what was read stays read"


def test_expressions_may_be_as_long_as_the_bound_and_no_longer() -> None:
    """16,384 words and signs of different expressions are read, one more is not."""
    start = [f"a{number}{'.b' * 1998} = :a" for number in range(4)]  # 4,000 each, ends included
    found = transaction([*start, f"a4{'.b' * 190} = :a"])
    assert [each.named for each in found] == [{"pk", "sk", f"a{number}"} for number in range(5)]
    found = transaction([*start, f"NOT a4{'.b' * 190} = :a"])
    assert [each.named for each in found[:4]] == [{"pk", "sk", f"a{number}"} for number in range(4)]
    with pytest.raises(Unreadable, match="more than 16384 words and signs"):
        _ = found[4].named


def test_an_expression_that_comes_again_does_not_count_again() -> None:
    """Writes of one kind have one text and other values; a table's keys have one projection."""
    found = transaction([laborious(1)] * 100)
    assert found[99].mentions is found[0].mentions  # type: ignore[attr-defined]  # items' facts have it
    assert found[99].named is found[0].named
    tables = {f"t{at:03}": {"Keys": [KEY], "ProjectionExpression": "a" + ".b" * 2000} for at in range(100)}
    assert all_facts("BatchGetItem", {"RequestItems": tables})[99].named == {"pk", "sk", "a"}


def test_alike_is_what_says_the_same() -> None:
    """The same text with other names speaks of other attributes, and a legacy projection of its own."""
    wanted = {"Keys": [KEY], "ProjectionExpression": "#a"}
    tables = {
        "one": wanted | {"ExpressionAttributeNames": {"#a": "x"}},
        "two": wanted | {"ExpressionAttributeNames": {"#a": "y"}},
        "three": {"Keys": [KEY], "AttributesToGet": ["z"]},
        "four": {"Keys": [{"id": {"S": "a"}}], "AttributesToGet": ["z"]},
        "five": {"Keys": [KEY], "AttributesToGet": ["w"]},
    }
    named = [each.named for each in all_facts("BatchGetItem", {"RequestItems": tables})]
    assert named == [{"pk", "sk", "x"}, {"pk", "sk", "y"}, {"pk", "sk", "z"}, {"id", "z"}, {"pk", "sk", "w"}]


def test_a_text_that_was_read_does_not_speak_for_other_placeholders() -> None:
    """A value that no expression uses is refused, though the text before it is the same."""
    members = [
        {"ConditionCheck": ORDERS | {"Key": KEY, "ConditionExpression": "a = :a", "ExpressionAttributeValues": values}}
        for values in (A, A | {":b": {"S": "b"}})
    ]
    good, bad = all_facts("TransactWriteItems", {"TransactItems": members})
    assert good.named == {"pk", "sk", "a"}
    with pytest.raises(Unreadable, match="defines a placeholder that no expression uses"):
        _ = bad.named


def test_what_cannot_be_read_is_refused_once_for_all_rules() -> None:
    """The first rule that asks learns why, and the next has the same answer without another reading."""
    bad = facts("Scan", FilterExpression="a = = :a", ExpressionAttributeValues=A)
    with pytest.raises(Unreadable) as first:
        _ = bad.named
    with pytest.raises(Unreadable) as second:
        _ = bad.whole
    assert second.value is first.value


# ---------------------------------------------------------------------------------------------- attributes


@pytest.mark.parametrize(
    ("name", "members", "named"),
    [
        ("GetItem", {"Key": KEY, "ProjectionExpression": "a.b[0], #c", "ExpressionAttributeNames": {"#c": "c.d"}}, {"a", "c.d"}),
        ("GetItem", {"Key": KEY, "AttributesToGet": ["a", "c.d"]}, {"a", "c.d"}),
        ("PutItem", {"Item": KEY | {"a": {"M": {"b": {"S": ""}}}}}, {"a"}),
        ("PutItem", {"Item": KEY, "Expected": {"a": {"Exists": False}}}, {"a"}),
        ("DeleteItem", {"Key": KEY, "ConditionExpression": "size(a) > b"}, {"a", "b"}),
        ("UpdateItem", {"Key": KEY, "UpdateExpression": "SET a = if_not_exists(b, c) REMOVE d.e ADD f :a DELETE g :a",
                        "ExpressionAttributeValues": A}, {"a", "b", "c", "d", "f", "g"}),
        ("UpdateItem", {"Key": KEY, "AttributeUpdates": {"a": {"Action": "DELETE"}}}, {"a"}),
        ("Scan", {"ExclusiveStartKey": KEY, "FilterExpression": "attribute_exists(a)"}, {"a"}),
        ("Scan", {"ExclusiveStartKey": KEY, "ScanFilter": {"a": {"ComparisonOperator": "NULL"}}}, {"a"}),
    ],
)  # fmt: skip
def test_every_attribute_is_named(name: str, members: dict[str, Any], named: set[str]) -> None:
    """Keys, items, projections, filters, conditions, targets and sources, legacy members, start keys."""
    assert facts(name, **members).named == named | {"pk", "sk"}


@pytest.mark.parametrize(
    ("name", "members", "whole"),
    [
        ("GetItem", {"Key": KEY}, "no projection"),
        ("GetItem", {"Key": KEY, "ProjectionExpression": "a"}, ""),
        ("GetItem", {"Key": KEY, "AttributesToGet": ["a"]}, ""),
        ("Query", {}, "no projection"),
        ("Query", {"Select": "SPECIFIC_ATTRIBUTES"}, "no projection"),
        ("Query", {"Select": "SPECIFIC_ATTRIBUTES", "ProjectionExpression": "a"}, ""),
        ("Query", {"Select": "COUNT"}, ""),
        ("Scan", {"Select": "ALL_ATTRIBUTES", "ProjectionExpression": "a"}, "Select ALL_ATTRIBUTES"),
        ("Scan", {"IndexName": "by_status", "Select": "ALL_PROJECTED_ATTRIBUTES"}, "Select ALL_PROJECTED_ATTRIBUTES"),
        ("PutItem", {"Item": KEY}, ""),
        ("PutItem", {"Item": KEY, "ReturnValues": "ALL_OLD"}, "ReturnValues ALL_OLD"),
        ("UpdateItem", {"Key": KEY, "ReturnValues": "ALL_NEW"}, "ReturnValues ALL_NEW"),
        ("UpdateItem", {"Key": KEY, "ReturnValues": "UPDATED_NEW"}, ""),
        ("UpdateItem", {"Key": KEY, "ReturnValues": "UPDATED_OLD"}, ""),
        ("DeleteItem", {"Key": KEY, "ReturnValues": "NONE"}, ""),
        ("DeleteItem", {"Key": KEY, "ReturnValuesOnConditionCheckFailure": "NONE"}, ""),
        ("DeleteItem", {"Key": KEY, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"},
         "ReturnValuesOnConditionCheckFailure ALL_OLD"),
    ],
)  # fmt: skip
def test_what_brings_whole_items_back_is_said(name: str, members: dict[str, Any], whole: str) -> None:
    """A missing projection, Select, ReturnValues, and the old item inside of an error."""
    assert facts(name, **members).whole == whole


def test_old_items_in_the_error_of_a_transaction_come_back_whole() -> None:
    """Each member says so for itself, the condition check too."""
    check = {**ORDERS, "Key": KEY, "ConditionExpression": "attribute_exists(a)"}
    bare, telling = all_facts(
        "TransactWriteItems",
        {
            "TransactItems": [
                {"ConditionCheck": check},
                {"ConditionCheck": check | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}},
            ]
        },
    )
    assert (bare.whole, telling.whole) == ("", "ReturnValuesOnConditionCheckFailure ALL_OLD")
    assert bare.named == {"pk", "sk", "a"}


MISSING = {"ConditionExpression": "attribute_not_exists(pk)"}
SOME = {"ProjectionExpression": "a, b"}


@pytest.mark.parametrize(
    ("name", "members", "batch", "body"),
    [
        ("GetItem", {"Key": KEY}, "BatchGetItem", {"RequestItems": {"orders": {"Keys": [KEY]}}}),
        ("GetItem", {"Key": KEY, **SOME}, "BatchGetItem", {"RequestItems": {"orders": {"Keys": [KEY], **SOME}}}),
        ("PutItem", {"Item": KEY}, "BatchWriteItem", {"RequestItems": {"orders": [{"PutRequest": {"Item": KEY}}]}}),
        ("DeleteItem", {"Key": KEY}, "BatchWriteItem", {"RequestItems": {"orders": [{"DeleteRequest": {"Key": KEY}}]}}),
        ("GetItem", {"Key": KEY}, "TransactGetItems", {"TransactItems": [{"Get": ORDERS | {"Key": KEY}}]}),
        ("GetItem", {"Key": KEY, **SOME}, "TransactGetItems", {"TransactItems": [{"Get": ORDERS | {"Key": KEY, **SOME}}]}),
        ("PutItem", {"Item": KEY, **MISSING}, "TransactWriteItems",
         {"TransactItems": [{"Put": ORDERS | {"Item": KEY, **MISSING}}]}),
        ("DeleteItem", {"Key": KEY, **MISSING}, "TransactWriteItems",
         {"TransactItems": [{"Delete": ORDERS | {"Key": KEY, **MISSING}}]}),
        ("UpdateItem", {"Key": KEY, "UpdateExpression": "SET a = b"}, "TransactWriteItems",
         {"TransactItems": [{"Update": ORDERS | {"Key": KEY, "UpdateExpression": "SET a = b"}}]}),
    ],
)  # fmt: skip
def test_a_member_of_a_batch_proves_what_it_proves_alone(name: str, members: Any, batch: str, body: Any) -> None:
    """No verb loses a limit by standing in a batch or transaction, nor gains one."""
    (found,), alone = all_facts(batch, body), facts(name, **members)
    asked = ("named", "whole", "replaces", "absent", "has_condition", "limit", "total_segments")
    assert [getattr(found, fact) for fact in asked] == [getattr(alone, fact) for fact in asked]
    assert pins_of(found) == pins_of(alone)


def test_a_search_for_vectors_has_its_table_and_index() -> None:
    """It proves nothing, so that only a rule without limits covers it; such a rule may still be of one index."""
    body = ORDERS | {"IndexName": "by_meaning", "SearchVector": [{"N": "1"}], "TopK": 3}
    (touch,) = read_operation(b"DynamoDB_20120810.SearchVectors", orjson.dumps(body)).touches
    assert touch[:4] == ("SearchVectors", TableReference("orders"), "by_meaning", 0)
    assert touch.facts is not None
    asked = ("named", "replaces", "absent", "limit", "total_segments", "has_condition", "has_client_token")
    assert [getattr(touch.facts, fact) for fact in asked] == [frozenset(), False, frozenset(), None, 1, False, False]


# ---------------------------------------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("members", "absent"),
    [
        ({}, set()),
        ({"ConditionExpression": "attribute_not_exists(pk)"}, {"pk"}),
        ({"ConditionExpression": "(attribute_not_exists(#p)) AND a = b", "ExpressionAttributeNames": {"#p": "pk"}}, {"pk"}),
        ({"ConditionExpression": "attribute_not_exists(pk) OR a = b"}, set()),
        ({"ConditionExpression": "NOT attribute_not_exists(pk)"}, set()),
        ({"ConditionExpression": "attribute_not_exists(pk.a)"}, set()),
        ({"ConditionExpression": "(attribute_not_exists = pk)"}, set()),
        ({"ConditionExpression": "attribute_exists(pk)"}, set()),
        ({"ConditionExpression": "attribute_not_exists(pk)" + " AND a = b" * 60}, set()),
        ({"ConditionExpression": "attribute_not_exists(pk)".ljust(512)}, {"pk"}),
        ({"ConditionExpression": "attribute_not_exists(pk)".ljust(513)}, set()),
        ({"Expected": {"pk": {"Exists": False}, "a": {"ComparisonOperator": "NULL"}}}, {"pk", "a"}),
        ({"Expected": {"pk": {"Exists": False}}, "ConditionalOperator": "OR"}, set()),
        ({"Expected": {"pk": {"Value": {"S": "a"}}, "a": {"ComparisonOperator": "NOT_NULL"}}}, set()),
    ],
)
def test_a_condition_that_proves_attributes_missing(members: dict[str, Any], absent: set[str]) -> None:
    """Every test must have to hold; a text over 512 characters proves nothing, so that no cache can be filled."""
    found = facts("PutItem", Item=KEY, **members)
    assert found.absent == absent
    assert found.has_condition is bool(members)


def test_facts_are_found_once() -> None:
    """A policy of many rules asks for the same again and again."""
    found = facts("GetItem", Key=KEY, ProjectionExpression="a")
    assert found.named is found.named
    query = facts("Query", KeyConditionExpression="pk = :a", ExpressionAttributeValues=A)
    assert query.pin("pk") is query.pin("pk")


def test_limits_and_tokens_are_told() -> None:
    """Limit, TotalSegments and ClientRequestToken as they stand."""
    assert (facts("Scan").limit, facts("Scan").total_segments) == (None, 1)
    assert (facts("Scan", Limit=7).limit, facts("Scan", TotalSegments=4, Segment=0).total_segments) == (7, 4)
    transaction: dict[str, Any] = {"TransactItems": [{"Put": {**ORDERS, "Item": KEY}}]}
    assert [each.has_client_token for each in all_facts("TransactWriteItems", transaction)] == [False]
    transaction["ClientRequestToken"] = "once"
    assert [each.has_client_token for each in all_facts("TransactWriteItems", transaction)] == [True]


def test_a_vector_search_proves_nothing_and_returns_everything() -> None:
    """As in IAM, whose key and attribute conditions have no effect on it."""
    found = facts("SearchVectors", IndexName="by_meaning", SearchVector=[{"N": "1"}], TopK=3, ProjectionExpression="a")
    assert (pins_of(found), found.whole) == ({}, "SearchVectors cannot be limited to attributes")


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("GetItem", {"Key": KEY, "AttributesToGet": ["a"], "ProjectionExpression": "a"}),
        ("PutItem", {"Item": KEY, "Expected": {"a": {"Exists": False}}, "ConditionExpression": "attribute_exists(a)"}),
        ("Query", {"KeyConditionExpression": "pk = :a OR pk = :a", "ExpressionAttributeValues": A}),
        ("UpdateItem", {"Key": KEY, "UpdateExpression": "SET a = :missing"}),
    ],
)
def test_what_cannot_be_understood_is_refused_when_it_is_asked_for(name: str, members: dict[str, Any]) -> None:
    """Mixtures of both kinds of parameter, and what is in no grammar."""
    found = facts(name, **members)
    with pytest.raises(Unreadable):
        _ = found.named


# ------------------------------------------------------------------------------------------------- soundness


def fits(pins: Mapping[str, Pin], item: oracle.Item) -> bool:
    """Whether what the pins say is true of `item`."""

    def is_true(name: str, pin: Pin) -> bool:
        texts = [value["S"] for value in pin.values]
        return name in item and (item[name].startswith(texts[0]) if pin.is_prefix else item[name] in texts)

    return all(is_true(name, pin) for name, pin in pins.items())


key_conditions = st.lists(
    st.tuples(st.sampled_from(("=", "<", "begins_with")), oracle.attributes, oracle.texts),
    min_size=1,
    max_size=3,
    unique_by=lambda test: test[1],
)


@given(key_conditions, st.lists(oracle.items, max_size=8))
@settings(max_examples=300, deadline=None)
def test_pins_hold_for_every_item_that_a_query_reads(tests: list[oracle.Condition], items: list[oracle.Item]) -> None:
    """Items that meet the key condition fit the pins; every attribute that it tests is named."""
    written = oracle.Expression()
    text = " and ".join(map(written.text, tests))
    found = facts(
        "Query",
        KeyConditionExpression=text,
        ExpressionAttributeNames=written.names,
        ExpressionAttributeValues=written.values,
    )
    read = [item for item in items if all(oracle.holds(test, item) for test in tests)]
    assert all(fits(pins_of(found), item) for item in read)
    assert found.named >= {test[1] for test in tests}
    assert {name for kind, name, _ in tests if kind == "="} <= pins_of(found).keys()


@given(oracle.conditions, st.lists(oracle.items, max_size=8))
@settings(max_examples=300, deadline=None)
def test_what_a_condition_proves_missing_is_missing(condition: oracle.Condition, items: list[oracle.Item]) -> None:
    """Of every item that meets the condition; every attribute that it tests is named."""
    written = oracle.Expression()
    text = written.text(condition)
    members = {
        "ConditionExpression": text,
        "ExpressionAttributeNames": written.names,
        **({"ExpressionAttributeValues": written.values} if written.values else {}),
    }
    found = facts("PutItem", Item={"id": {"S": "1"}}, **members)
    assert all(found.absent.isdisjoint(item) for item in items if oracle.holds(condition, item))
    assert found.named >= oracle.names_in(condition)


@given(oracle.conditions, st.lists(oracle.items, max_size=8), st.sampled_from(["select", "delete", "exists"]))
@settings(max_examples=300, deadline=None)
def test_pins_hold_for_every_item_that_a_statement_reaches(
    condition: oracle.Condition, items: list[oracle.Item], verb: str
) -> None:
    """PartiQL's WHERE, with literals and parameters, through AND, OR, NOT and IN."""
    written = oracle.Statement()
    where = written.text(condition)
    statement = {
        "select": f'SELECT "sum" FROM "orders" WHERE {where}',  # noqa: S608 - no SQL
        "delete": f'DELETE FROM "orders" WHERE {where}',  # noqa: S608 - nothing runs it
        "exists": f'EXISTS(SELECT * FROM "orders" WHERE {where})',  # noqa: S608 - nothing runs it
    }[verb]
    member: dict[str, Any] = {"Statement": statement}
    if written.parameters:
        member["Parameters"] = written.parameters
    (found,) = all_facts("ExecuteTransaction", {"TransactStatements": [member]})
    assert all(fits(pins_of(found), item) for item in items if oracle.holds(condition, item))
    assert found.named >= oracle.names_in(condition)
    assert ("sum" in found.named) is (verb == "select")


# ------------------------------------------------------------------------- attributes, by a walk that knows no grammar

WORDS = {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "IN", "BETWEEN"}
FUNCTIONS = {"if_not_exists", "list_append", "size", "attribute_exists", "attribute_not_exists", "begins_with", "contains"}
TOKEN = re.compile(r"(?<![.:#\w])[#A-Za-z_]\w*")  # a name that does not continue a path, nor is a value


def walked(member: dict[str, Any]) -> set[str]:
    """Every attribute that stands anywhere in `member`, found token by token."""
    names = member.get("ExpressionAttributeNames", {})
    found: set[str] = set()
    for key, value in member.items():
        if key.endswith("Expression"):
            tokens = {token for token in TOKEN.findall(value) if token.upper() not in WORDS and token not in FUNCTIONS}
            found |= {names.get(token, token) for token in tokens}
        elif (
            key in ("Key", "Item", "ExclusiveStartKey", "AttributeUpdates", "Expected", "QueryFilter", "ScanFilter")
            or key == "AttributesToGet"
        ):
            found |= set(value)
    return found


ALIASES = {"#0": "pk", "#1": "a.b", "#2": "SET", "#3": "x"}
aliased = st.sampled_from(["#0", "#1", "#2", "#3", "plain", "other"])
paths = st.builds(lambda root, rest: root + rest, aliased, st.sampled_from(["", ".deep", "[0]", ".#3", "[1].deep"]))
sources = st.recursive(
    paths | st.just(":v"),
    lambda inner: st.builds("if_not_exists({}, {})".format, paths, inner) | st.builds("list_append({}, {})".format, inner, inner),
    max_leaves=3,
)
updates = st.builds(lambda target, source, removed: f"SET {target} = {source} REMOVE {removed}", paths, sources, paths)
checks = st.sampled_from(["attribute_exists({})", "size({}) > :v", "contains({}, :v)", "{} BETWEEN :v AND :v", "NOT {} IN (:v)"])
conditions = st.lists(st.builds(lambda check, path: check.format(path), checks, paths), min_size=1, max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """An operation and a request for it, with or without each of its expressions."""
    name = draw(st.sampled_from(["GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan"]))
    request: dict[str, Any] = dict(ORDERS)
    if name in ("Query", "Scan"):
        if draw(st.booleans()):
            request["ExclusiveStartKey"] = {draw(st.sampled_from(["pk", "a.b"])): {"S": "a"}}
        if draw(st.booleans()):
            request["FilterExpression"] = draw(st.sampled_from([" AND ", " OR "])).join(draw(conditions))
    else:
        request["Item" if name == "PutItem" else "Key"] = {"pk": {"S": "a"}, draw(st.sampled_from(["sk", "a.b"])): {"S": "b"}}
    if name in ("GetItem", "Query", "Scan") and draw(st.booleans()):
        request["ProjectionExpression"] = ", ".join(draw(st.lists(paths, min_size=1, max_size=3)))
    if name == "UpdateItem":
        request["UpdateExpression"] = draw(updates)
    if name in ("PutItem", "UpdateItem", "DeleteItem") and draw(st.booleans()):
        request["ConditionExpression"] = draw(st.sampled_from([" AND ", " OR "])).join(draw(conditions))
    written = " ".join(value for key, value in request.items() if key.endswith("Expression"))
    if used := {alias: name for alias, name in ALIASES.items() if alias in written}:
        request["ExpressionAttributeNames"] = used
    if ":v" in written:
        request["ExpressionAttributeValues"] = {":v": {"S": "v"}}
    return name, request


@given(requests())
@settings(max_examples=500, deadline=None)
def test_no_attribute_escapes_that_a_walk_finds(drawn: tuple[str, dict[str, Any]]) -> None:
    """Either the request is refused, or whatever a walk over its tokens finds is named."""
    name, request = drawn
    (found,) = all_facts(name, request)
    try:
        named = found.named
    except Unreadable:
        return
    assert named >= walked(request)
    assert (found.whole == "no projection") is (name in ("GetItem", "Query", "Scan") and "ProjectionExpression" not in request)


def test_only_a_put_can_prove_that_no_item_is_there() -> None:
    """A put without a condition proves nothing, and neither does a delete with one."""
    assert facts("PutItem", Item=KEY).absent == frozenset()
    assert facts("PutItem", Item=KEY, ConditionExpression="attribute_not_exists(pk)").absent == {"pk"}
    assert facts("DeleteItem", Key=KEY, ConditionExpression="attribute_not_exists(pk)").absent == frozenset()
