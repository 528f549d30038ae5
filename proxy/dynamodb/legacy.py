"""The parameters from before expressions, in the same words as these: `AttributesToGet`, `Expected`, `KeyConditions`, ...

A name in them is always one whole attribute, also with dots in it. Each operator takes its own number of values; what does
not fit is refused. Source: developer guide, "Legacy conditional parameters", held against DynamoDB Local.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from proxy.dynamodb.expression import MAX_KEY_TESTS, KeyTest
from proxy.refusal import Reason, Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.dynamodb.expression_tokens import Path

_ARITY = {"NULL": 0, "NOT_NULL": 0, "BETWEEN": 2}  # all others one, IN any number from one
_KEY_TESTS = {
    "EQ": "=",
    "LT": "<",
    "LE": "<=",
    "GT": ">",
    "GE": ">=",
    "BETWEEN": "between",
    "BEGINS_WITH": "begins_with",
}


def refuse(sentence: str) -> NoReturn:
    """Raise with a sentence that names members only."""
    raise Unreadable(Reason.UNREADABLE_BODY, sentence)


def paths_projected(names: Sequence[str]) -> tuple[Path, ...]:
    """`AttributesToGet`. An empty one would mean every attribute to DynamoDB, so it is refused."""
    if not names or len(set(names)) != len(names):
        refuse("`AttributesToGet` must name at least one attribute, and each once")
    return tuple((name,) for name in names)


def paths_updated(updates: Mapping[str, Mapping[str, Any]]) -> tuple[Path, ...]:
    """`AttributeUpdates`: what is changed; nothing is copied."""
    for update in updates.values():
        if "Value" not in update and update.get("Action") != "DELETE":
            refuse("`AttributeUpdates` must have a `Value` for each action but DELETE")
    return tuple((name,) for name in updates)


def paths_compared(member: str, conditions: Mapping[str, Mapping[str, Any]]) -> tuple[Path, ...]:
    """`QueryFilter`, `ScanFilter`, or what of `Expected` has an operator."""
    for condition in conditions.values():
        _check_arity(member, condition.get("ComparisonOperator"), len(condition.get("AttributeValueList", ())))
    return tuple((name,) for name in conditions)


def paths_expected(expected: Mapping[str, Mapping[str, Any]]) -> tuple[Path, ...]:
    """`Expected`: `Value`, `Exists: false`, or an operator with its values (one of them may stand as `Value`)."""
    for condition in expected.values():
        if "ComparisonOperator" in condition:
            _check_comparison(condition)
        elif "AttributeValueList" in condition or ("Value" in condition) is not condition.get("Exists", True):
            refuse("`Expected` must have a `Value`, `Exists` false, or a `ComparisonOperator` with its values")
    return tuple((name,) for name in expected)


def key_tests(conditions: Mapping[str, Mapping[str, Any]]) -> tuple[KeyTest, ...]:
    """`KeyConditions`; one attribute cannot be tested twice, for they are the keys of an object."""
    if len(conditions) > MAX_KEY_TESTS:
        refuse("`KeyConditions` tests more attributes than a key can have")
    paths_compared("KeyConditions", conditions)
    tests = []
    for name, condition in conditions.items():
        kind = _KEY_TESTS.get(condition["ComparisonOperator"])
        if kind is None:
            refuse(f"`KeyConditions` takes only the operators {', '.join(_KEY_TESTS)}")
        tests.append(KeyTest(name, kind, tuple(condition["AttributeValueList"])))
    return tuple(tests)


def _check_comparison(condition: Mapping[str, Any]) -> None:
    if "Exists" in condition or ("Value" in condition and "AttributeValueList" in condition):
        refuse("`Expected` must not have `Exists` beside an operator, nor its values in two places")
    count = 1 if "Value" in condition else len(condition.get("AttributeValueList", ()))
    _check_arity("Expected", condition["ComparisonOperator"], count)


def _check_arity(member: str, operator: str | None, count: int) -> None:
    if operator is None:
        refuse(f"`{member}` must have a `ComparisonOperator` for each attribute")
    if not count if operator == "IN" else count != _ARITY.get(operator, 1):
        refuse(f"`{member}` has the wrong number of values for {operator}")
