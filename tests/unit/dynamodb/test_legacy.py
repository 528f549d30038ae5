"""Legacy parameters: each operator takes its own number of values, and no form of them hides an attribute."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dynamodb.expression import KeyTest
from proxy.dynamodb.legacy import key_tests, paths_compared, paths_expected, paths_projected, paths_updated
from proxy.refusal import Unreadable

S = {"S": "x"}


def comparison(operator: str, count: int) -> dict[str, Any]:
    """One condition with as many values."""
    return {"a": {"ComparisonOperator": operator, "AttributeValueList": [S] * count}}


@pytest.mark.parametrize(
    ("operators", "counts"),
    [
        ("EQ NE LE LT GE GT CONTAINS NOT_CONTAINS BEGINS_WITH", {1}),
        ("NULL NOT_NULL", {0}),
        ("BETWEEN", {2}),
        ("IN", {1, 2, 3}),
    ],
)
def test_each_operator_takes_its_number_of_values(operators: str, counts: set[int]) -> None:
    """In filters and in `Expected` alike."""
    for operator in operators.split():
        for count in range(4):
            conditions = comparison(operator, count)
            if count in counts:
                assert paths_compared("ScanFilter", conditions) == paths_expected(conditions) == (("a",),)
                continue
            with pytest.raises(Unreadable, match=f"`ScanFilter` has the wrong number of values for {operator}"):
                paths_compared("ScanFilter", conditions)
            with pytest.raises(Unreadable):
                paths_expected(conditions)


def test_a_filter_needs_its_operator() -> None:
    """Without one nothing says how the value is meant."""
    with pytest.raises(Unreadable, match="must have a `ComparisonOperator`"):
        paths_compared("QueryFilter", {"a": {"AttributeValueList": [S]}})


@pytest.mark.parametrize(
    "condition",
    [
        {"Value": S},
        {"Value": S, "Exists": True},
        {"Exists": False},
        {"ComparisonOperator": "EQ", "Value": S},
        {"ComparisonOperator": "NULL"},
    ],
)
def test_what_can_be_expected(condition: dict[str, Any]) -> None:
    """The name is one attribute, also with a dot."""
    assert paths_expected({"a.b": condition}) == (("a.b",),)


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"Exists": True},
        {"Exists": False, "Value": S},
        {"AttributeValueList": [S]},
        {"Value": S, "AttributeValueList": [S]},
        {"ComparisonOperator": "EQ"},
        {"ComparisonOperator": "EQ", "Value": S, "AttributeValueList": [S]},
        {"ComparisonOperator": "EQ", "Exists": False, "AttributeValueList": [S]},
        {"ComparisonOperator": "BETWEEN", "Value": S},
    ],
)
def test_what_cannot_be_expected(condition: dict[str, Any]) -> None:
    """Each form that DynamoDB refuses."""
    with pytest.raises(Unreadable, match="`Expected`"):
        paths_expected({"a": condition})


def test_updates_need_values() -> None:
    """Only DELETE does without."""
    assert paths_updated({"a.b": {"Action": "DELETE"}, "c": {"Action": "ADD", "Value": S}}) == (("a.b",), ("c",))
    for update in ({}, {"Action": "PUT"}, {"Action": "ADD"}):
        with pytest.raises(Unreadable):
            paths_updated({"a": update})


def test_an_empty_list_of_attributes_is_refused() -> None:
    """DynamoDB takes it for every attribute."""
    assert paths_projected(["a", "b"]) == (("a",), ("b",))
    with pytest.raises(Unreadable):
        paths_projected([])


def test_key_conditions_speak_the_words_of_expressions() -> None:
    """The operators that a key can be tested with, and no other."""
    words = {"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">=", "BEGINS_WITH": "begins_with"}
    for operator, kind in words.items():
        assert key_tests(comparison(operator, 1)) == (KeyTest("a", kind, (S,)),)
    assert key_tests(comparison("BETWEEN", 2)) == (KeyTest("a", "between", (S, S)),)
    for operator, count in (("NE", 1), ("IN", 1), ("NULL", 0), ("CONTAINS", 1)):
        with pytest.raises(Unreadable, match="takes only the operators EQ, LT"):
            key_tests(comparison(operator, count))


def test_a_key_has_at_most_eight_attributes() -> None:
    """More tests of keys than that are refused before they are looked at."""
    test = {"ComparisonOperator": "EQ", "AttributeValueList": [S]}
    assert len(key_tests({f"k{number}": test for number in range(8)})) == 8
    with pytest.raises(Unreadable, match="`KeyConditions` tests more attributes than a key can have"):
        key_tests({f"k{number}": test for number in range(9)})
