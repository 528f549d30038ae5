"""AttributeValues: one type each, with content of that type."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dynamodb.values import KINDS, Misfit, check_attributes, check_value


def nested(kind: str, levels: int) -> dict[str, Any]:
    """A string inside of `levels` maps or lists."""
    value: dict[str, Any] = {"S": "x"}
    for _ in range(levels):
        value = {"L": [value]} if kind == "L" else {"M": {"a": value}}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {"S": ""},
        {"S": "x\u0000\U0001f600"},
        {"N": "0"},
        {"N": "-12345678901234567890.123456789012345678"},
        {"N": "+1"},
        {"N": ".5"},
        {"N": "5."},
        {"N": "1e10"},
        {"N": "1.5E-7"},
        {"N": "007"},
        {"B": ""},
        {"B": "AA=="},
        {"B": "AAE="},
        {"B": "AAEC"},
        {"B": "+/+/"},
        {"SS": ["a", ""]},
        {"NS": ["1", "2.5"]},
        {"BS": ["AA=="]},
        {"SS": []},
        {"L": []},
        {"M": {}},
        {"M": {"": {"BOOL": False}}},
        {"L": [{"NULL": True}, {"N": "1"}]},
        {"BOOL": True},
        {"NULL": True},
        nested("L", 32),
        nested("M", 32),
    ],
)
def test_values_of_every_type_fit(value: Any) -> None:
    """What DynamoDB stores, it may be sent."""
    check_value(value)
    check_attributes({"a": value})


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        1,
        [],
        {},
        {"S": "a", "N": "1"},
        {"S": None, "N": "1"},
        {"s": "a"},
        {"X": "a"},
        {"": "a"},
        {"S": None},
        {"S": 1},
        {"S": ["a"]},
        {"N": 1},
        {"N": 1.5},
        {"N": None},
        {"N": ""},
        {"N": "x"},
        {"N": "."},
        {"N": "1e"},
        {"N": "1 "},
        {"N": " 1"},
        {"N": "1\n"},
        {"N": "1_000"},
        {"N": "0x10"},
        {"N": "NaN"},
        {"N": "Infinity"},
        {"N": "\u0661"},
        {"N": "--1"},
        {"N": "1,5"},
        {"B": None},
        {"B": "AA"},
        {"B": "AA="},
        {"B": "AB=="},  # bits behind the end
        {"B": "AAF="},
        {"B": "A A="},
        {"B": "AAEC\n"},
        {"B": "AAEC===="},
        {"B": "=AAA"},
        {"B": "-_-_"},
        {"B": "\u00e9AAA"},
        {"B": [1, 2]},
        {"SS": "a"},
        {"SS": [None]},
        {"SS": [1]},
        {"SS": {"a": "b"}},
        {"NS": ["x"]},
        {"NS": [1]},
        {"BS": ["AB=="]},
        {"M": []},
        {"M": {"a": "plain"}},
        {"L": {}},
        {"L": ["plain"]},
        {"L": [None]},
        {"BOOL": "true"},
        {"BOOL": 1},
        {"NULL": None},
        {"NULL": "true"},
        nested("L", 33),
        nested("M", 33),
    ],
)
def test_what_is_not_exactly_one_type_with_its_content_does_not_fit(value: Any) -> None:
    """Two types, none, unknown ones, content of another type, non-canonical Base64, too deep: refused at every level."""
    with pytest.raises(Misfit):
        check_value(value)
    with pytest.raises(Misfit):
        check_attributes({"good": {"S": "a"}, "bad": value})
    with pytest.raises(Misfit):
        check_value({"L": [{"M": {"bad": value}}]})


@pytest.mark.parametrize(("end", "fits"), [("AAAA", True), ("AA==", True), ("AAE=", True), ("AAF=", False), ("A===", False)])
def test_long_binary_values_are_judged_as_short_ones(end: str, fits: bool) -> None:
    """16 MiB of Base64 are not decoded: signs, length and the last four characters say all."""
    for content in (end, "+/Az" * 40 + end):
        if fits:
            check_value({"B": content})
            continue
        with pytest.raises(Misfit):
            check_value({"B": content})
    for wrong in (
        "AA==" + "AAAA" * 40,
        "AAAA" * 40 + "AA",
        "A A=" * 40,
        "\u00e9AAA" * 40,
        "AAAA" * 40 + "\u00e9AAA",
        "AAA\n" * 40,
    ):
        with pytest.raises(Misfit):
            check_value({"B": wrong})


@pytest.mark.parametrize("length", [4, 60, 64, 68, 72])
def test_each_sign_of_a_binary_value_is_judged(length: int) -> None:
    """Wherever it stands, in short values and in long ones."""
    good = "+/Az" * (length // 4)
    check_value({"B": good})
    for place in range(length):
        for sign in "-. \u00e9":
            with pytest.raises(Misfit):
                check_value({"B": good[:place] + sign + good[place + 1 :]})


def test_problems_show_no_content() -> None:
    """Names and contents of attributes are data; a message holds the API's words only."""
    for kind in KINDS:
        with pytest.raises(Misfit) as caught:
            check_attributes({"s3cret": {kind: {"s3cret": "s3cret"}}})
        assert "s3cret" not in caught.value.problem


def test_an_unknown_type_is_told_with_those_that_there_are() -> None:
    """In DynamoDB's own words."""
    with pytest.raises(Misfit, match=r"^has a value of an unknown type; the types are S, N, B, SS, NS, BS, M, L, NULL, BOOL$"):
        check_value({"T": "x"})


def test_a_long_string_of_digits_is_judged_in_linear_time() -> None:
    """A number of a million digits is DynamoDB's to refuse; one bad character at its end costs nothing special."""
    check_value({"N": "1" * 1_000_000})
    with pytest.raises(Misfit):
        check_value({"N": "1" * 1_000_000 + "x"})
