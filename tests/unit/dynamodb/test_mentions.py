"""What a request says of attributes: expressions and legacy parameters in one form, every alias resolved."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dynamodb.mentions import Mentions, Range, read_mentions
from proxy.refusal import Reason, Unreadable

S = {"S": "x"}
N = {"N": "1"}


def test_a_request_without_expressions_is_silent() -> None:
    """A plain GetItem projects nothing, which is to say everything."""
    said = read_mentions({"TableName": "orders", "Key": {"pk": S}})
    assert said == Mentions()
    assert said.projected is None
    assert said.length == 0
    assert said.attributes == frozenset()


def test_a_query_is_told_whole() -> None:
    """Key condition, filter and projection share their placeholders; the key condition proves its equality."""
    said = read_mentions(
        {
            "KeyConditionExpression": ":p = #k AND begins_with(sk, :s)",
            "FilterExpression": "#m.a[0] > :s",
            "ProjectionExpression": "#k, #m.b",
            "ExpressionAttributeNames": {"#k": "pk", "#m": "a.b"},
            "ExpressionAttributeValues": {":p": S, ":s": N},
        }
    )
    assert said == Mentions(
        projected=(("pk",), ("a.b", "b")),
        tested=(("pk",), ("sk",), ("a.b", "a", 0)),
        equalities={"pk": S},
        ranges={"sk": Range("begins_with", (N,))},
    )
    assert said.attributes == {"pk", "sk", "a.b"}


def test_an_update_is_told_whole() -> None:
    """Targets, sources and the condition are told apart."""
    said = read_mentions(
        {
            "UpdateExpression": "SET #t = secret, m.x = :v REMOVE y",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeNames": {"#t": "visible"},
            "ExpressionAttributeValues": {":v": S},
        }
    )
    assert said == Mentions(
        tested=(("pk",),), sources=(("secret",),), targets=(("visible",), ("m", "x"), ("y",)), has_condition=True
    )


def test_an_alias_is_replaced_once_and_whole() -> None:
    """A real name that looks like an alias, a path or a placeholder stays what it is: one attribute."""
    names = {"#a": "#b", "#b": "x.y[0]", "#c": ":v"}
    said = read_mentions({"ProjectionExpression": "#a, #b, #c", "ExpressionAttributeNames": names})
    assert said.projected == (("#b",), ("x.y[0]",), (":v",))


REFUSED: dict[str, dict[str, Any]] = {
    "undefined alias": {"ProjectionExpression": "#a"},
    "undefined value": {"FilterExpression": "a = :v", "ExpressionAttributeValues": {":w": S}},
    "unused alias": {"ProjectionExpression": "a", "ExpressionAttributeNames": {"#a": "b"}},
    "unused value": {
        "FilterExpression": "a = :v",
        "ExpressionAttributeValues": {":v": S, ":w": S},
    },
    "names without expression": {"ExpressionAttributeNames": {"#a": "b"}},
    "name as value": {"FilterExpression": "a = :v", "ExpressionAttributeNames": {":v": "b"}},
    "one key by two names": {
        "KeyConditionExpression": "#k = :v AND pk = :v",
        "ExpressionAttributeNames": {"#k": "pk"},
        "ExpressionAttributeValues": {":v": S},
    },
    "one key by two names, as range": {
        "KeyConditionExpression": "#k < :v AND pk = :v",
        "ExpressionAttributeNames": {"#k": "pk"},
        "ExpressionAttributeValues": {":v": S},
    },
    "overlap by alias": {"ProjectionExpression": "#a, b", "ExpressionAttributeNames": {"#a": "b"}},
    "overlap above": {"ProjectionExpression": "a.b, a"},
    "overlap below": {"ProjectionExpression": "a, a.b"},
    "overlap deep": {"ProjectionExpression": "a.b[0].c, x, a.b[0].c.d"},
    "map and list": {"ProjectionExpression": "a.b, a[0]"},
    "targets overlap": {"UpdateExpression": "SET a.b = c REMOVE a"},
    "mixture": {"AttributesToGet": ["a"], "ProjectionExpression": "b"},
    "mixture with names": {"AttributesToGet": ["a"], "ExpressionAttributeNames": {"#a": "b"}},
    "mixture of updates": {"AttributeUpdates": {"a": {"Value": S}}, "ConditionExpression": "attribute_exists(pk)"},
    "two key conditions": {
        "KeyConditions": {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [S]}},
        "KeyConditionExpression": "pk = :v",
        "ExpressionAttributeValues": {":v": S},
    },
    "two key conditions, of two keys": {
        "KeyConditions": {"sk": {"ComparisonOperator": "EQ", "AttributeValueList": [S]}},
        "KeyConditionExpression": "pk = :v",
        "ExpressionAttributeValues": {":v": S},
    },
    "operator with expression": {"ConditionalOperator": "OR", "FilterExpression": "a = b"},
    "nothing to get": {"AttributesToGet": []},
    "one thing twice": {"AttributesToGet": ["a", "a"]},
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(form: str) -> None:
    """As DynamoDB refuses it, or stricter."""
    with pytest.raises(Unreadable) as caught:
        read_mentions(REFUSED[form])
    assert caught.value.reason is Reason.UNREADABLE_BODY


@pytest.mark.parametrize(("member", "text"), [("UpdateExpression", "REMOVE a, a"), ("ProjectionExpression", "a, a")])
def test_paths_that_overlap_are_told_by_their_member(member: str, text: str) -> None:
    """Each member has its own paths."""
    with pytest.raises(Unreadable, match=f"^`{member}` has paths that overlap; leave one of them out$"):
        read_mentions({member: text})


def test_paths_side_by_side_do_not_overlap() -> None:
    """Different members of one map, different indexes of one list, and names that begin alike."""
    paths = "a.b, a.c.d, a.c.e, l[0], l[1].x, l[1].y, ab"
    assert len(read_mentions({"ProjectionExpression": paths}).projected or ()) == 7


def test_legacy_key_conditions_may_stand_beside_expressions() -> None:
    """DynamoDB takes them with a filter or projection, so they are told together."""
    said = read_mentions(
        {
            "KeyConditions": {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [S]}},
            "FilterExpression": "secret = :v",
            "ExpressionAttributeValues": {":v": N},
        }
    )
    assert said == Mentions(tested=(("pk",), ("secret",)), equalities={"pk": S})


def test_a_legacy_query_is_told_whole() -> None:
    """Names are whole attributes, whatever they hold; equality and range are proven as by an expression."""
    said = read_mentions(
        {
            "KeyConditions": {
                "pk": {"ComparisonOperator": "EQ", "AttributeValueList": [S]},
                "sk": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [S, N]},
            },
            "QueryFilter": {"a.b": {"ComparisonOperator": "NOT_NULL"}},
            "ConditionalOperator": "OR",
            "AttributesToGet": ["#a", "m.x"],
        }
    )
    assert said == Mentions(
        projected=(("#a",), ("m.x",)),
        tested=(("pk",), ("sk",), ("a.b",)),
        equalities={"pk": S},
        ranges={"sk": Range("between", (S, N))},
    )


NULL = {"a": {"ComparisonOperator": "NULL"}}
LEGACY: dict[str, Any] = {
    "AttributesToGet": ["a"],
    "AttributeUpdates": {"a": {"Value": S}},
    "Expected": {"a": {"Exists": False}},
    "KeyConditions": {"a": {"ComparisonOperator": "EQ", "AttributeValueList": [S]}},
    "QueryFilter": NULL,
    "ScanFilter": NULL,
}


@pytest.mark.parametrize("member", LEGACY)
def test_each_legacy_parameter_speaks_for_itself(member: str) -> None:
    """Its attributes are told where nothing else stands in the request, and none of them stands beside expressions but one."""
    assert read_mentions({member: LEGACY[member]}).attributes == {"a"}
    for beside in ({"ProjectionExpression": "b"}, {"FilterExpression": "attribute_exists(b)"}):
        if member == "KeyConditions":
            assert read_mentions({member: LEGACY[member], **beside}).attributes == {"a", "b"}
            continue
        with pytest.raises(Unreadable, match="the request mixes expressions and legacy parameters"):
            read_mentions({member: LEGACY[member], **beside})


@pytest.mark.parametrize("member", ["QueryFilter", "ScanFilter", "KeyConditions", "Expected"])
def test_a_wrong_number_of_values_is_told_by_its_member(member: str) -> None:
    """Which of them it is, whoever wrote it must know."""
    with pytest.raises(Unreadable, match=f"^`{member}` has the wrong number of values for EQ$"):
        read_mentions({member: {"a": {"ComparisonOperator": "EQ", "AttributeValueList": []}}})


def test_a_legacy_scan_and_write_are_told_whole() -> None:
    """Filters and expectations are tested, updates are targets; an empty expectation is no condition."""
    filtered = read_mentions({"ScanFilter": {"a": {"ComparisonOperator": "IN", "AttributeValueList": [S, S, N]}}})
    assert filtered == Mentions(tested=(("a",),))
    written = read_mentions(
        {"AttributeUpdates": {"x": {"Value": S}, "y": {"Action": "DELETE"}}, "Expected": {"b": {"Exists": False}}}
    )
    assert written == Mentions(tested=(("b",),), targets=(("x",), ("y",)), has_condition=True)
    assert not read_mentions({"Expected": {}}).has_condition
