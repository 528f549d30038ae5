"""The kinds of member at their borders: what is taken, and the sentence for what is not."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dynamodb.members import INPUTS, ITEM_INPUTS
from proxy.dynamodb.names import OWN_TABLE, TABLE, table_in
from proxy.dynamodb.shapes import Attributes, ByTable, Choice, Flag, ListOf, MapOf, Number, Structure, Text, Value, Whole
from proxy.dynamodb.values import Misfit
from proxy.model import TableReference
from tests.made_requests import RequestMaker, damaged_body
from tests.plans import fits

if TYPE_CHECKING:
    from proxy.dynamodb.shapes import Shape

VERBS = Structure({"Put": Flag(), "Delete": Flag()}, one_only=True)
NESTED = Structure({"Rows": ListOf(MapOf(Structure({"On": Flag(), "Off": Flag()}, ("On", "Off")))), "Note": Text()}, ("Rows",))
TABLES = ByTable(TABLE, ListOf(Flag(), 1, 2), 2)


def said_of(shape: Shape, value: Any) -> str:
    """Where and why `value` does not fit; empty if it does."""
    try:
        shape.judge()(value)
    except Misfit as misfit:
        return f"{misfit.path} {misfit.problem}".lstrip()
    return ""


TAKEN = [
    (Text(), ("", "x" * 1000)),
    (Text(2, 3), ("ab", "abc")),
    (Choice(("A", "B")), ("A", "B")),
    (Flag(), (True, False)),
    (Whole(-1, 1), (-1, 0, 1)),
    (Whole(0), (0, 2**31 - 1)),
    (Number(0, 1.5), (0, 0.0, 1.5)),
    (Number(-1e30, 1e30), (-(2**63), 2**64 - 1, 1e30)),
    (Value(), ({"S": ""}, {"NULL": True})),
    (Attributes(), ({}, {"a": {"S": "x"}})),
    (ListOf(Flag()), ([], [True] * 1000)),
    (ListOf(Flag(), 1, 2), ([True], [True, False])),
    (MapOf(Flag()), ({}, {"any name": True})),
    (TABLES, ({"orders": [True]}, {"orders": [True], "stock": [False, True]})),
    (VERBS, ({"Put": True}, {"Delete": False})),
    (NESTED, ({"Rows": []}, {"Rows": [{"a": {"On": True, "Off": False}}], "Note": ""})),
    (Structure({}), ({},)),
]


@pytest.mark.parametrize(("shape", "values"), TAKEN)
def test_what_fits_is_taken_up_to_the_border(shape: Shape, values: tuple[Any, ...]) -> None:
    """The least and the most of each kind."""
    assert [said_of(shape, value) for value in values] == [""] * len(values)


UNKNOWN = "the gateway does not know; what cannot be judged is not forwarded"
REFUSED = [
    (Text(2, 3), (1, None, b"ab", ["ab"]), "must be a string"),
    (Text(2, 3), ("a", "abcd"), "must have 2 to 3 characters"),
    (Choice(("A", "B")), ("a", "", 1, None, ["A"]), "must be one of A, B"),
    (Flag(), (0, 1, "true", None), "must be true or false"),
    (Whole(-1, 1), (-2, 2, 1.0, True, "1"), "must be a whole number from -1 to 1"),
    (Whole(0), (2**31, -1), "must be a whole number from 0 to 2147483647"),
    (Number(0, 1.5), (-0.1, 1.6, True, "1", float("inf")), "must be a number from 0 to 1.5"),
    (Number(-1e30, 1e30), (-(2**63) - 1, 2**64, 10**20), "has too many digits; write it with an exponent"),
    (ListOf(Flag()), ({}, "x", None), "must be a list"),
    (ListOf(Flag(), 1, 2), ([], [True] * 3), "must have 1 to 2 members"),
    (ListOf(Flag(), 1), ([],), "must have at least 1 members"),
    (ListOf(Flag()), ([True, True, 1],), "[2] must be true or false"),
    (MapOf(Flag()), ([], "x"), "must be an object"),
    (MapOf(Flag()), ({"secret": 1},), "* must be true or false"),
    (TABLES, ([], None), "must be an object of tables"),
    (TABLES, ({}, {"one": [], "two": [], "three": []}), "must name 1 to 2 tables"),
    (TABLES, ({"a b": [True]},), f"has a key that {TABLE.problem}"),
    (TABLES, ({"orders": [True], "stock": [True, 1]},), "stock[1] must be true or false"),
    (VERBS, ({}, {"Put": True, "Delete": True}), "must have exactly one of Put, Delete"),
    (VERBS, ({"put": True},), f"has a member `put` that {UNKNOWN}"),
    (VERBS, ({"x" * 64: True},), f"has a member `{'x' * 64}` that {UNKNOWN}"),
    (VERBS, ({"x" * 65: True}, {"a b": True}, {"Put\n": True}, {"": True}), f"has a member whose name {UNKNOWN}"),
    (VERBS, ({"Put": None},), "Put is null; leave the member out"),
    (NESTED, ({}, {"Note": ""}), "lacks `Rows`"),
    (NESTED, ({"Rows": [{"a": {}}]},), "Rows[0].* lacks `Off`, `On`"),
    (NESTED, ([], "x", None), "must be an object"),
    (OWN_TABLE, (1, "ab", "arn:aws:dynamodb:us-east-1:111122223333:table/orders"), OWN_TABLE.problem),
]


@pytest.mark.parametrize(("shape", "values", "sentence"), REFUSED)
def test_what_does_not_fit_is_told_with_its_place(shape: Shape, values: tuple[Any, ...], sentence: str) -> None:
    """The whole sentence: the path of members, never a name that is the caller's data, and what would fit."""
    assert [said_of(shape, value) for value in values] == [sentence] * len(values)


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("orders", TableReference("orders")),
        (
            "arn:aws-cn:dynamodb:cn-north-1:111122223333:table/orders",
            TableReference("orders", "aws-cn", "cn-north-1", "111122223333"),
        ),
        (
            "arn:aws:dynamodb:us-east-1:111122223333:table/orders/stream/2026-01-01T00:00:00.000",
            TableReference("orders", "aws", "us-east-1", "111122223333"),
        ),
    ],
)
def test_a_name_or_arn_says_which_table_it_is_of(text: str, table: TableReference) -> None:
    """Colons of a stream's label are its own; partition, Region and account come from an ARN only."""
    assert table_in(text) == table


@given(st.sampled_from(sorted(INPUTS)), st.integers(), st.booleans())
@settings(max_examples=1500, deadline=None)
def test_a_plan_takes_what_its_judge_takes(name: str, seed: int, damaged: bool) -> None:
    """Of operations on items all, unless a table goes by its ARN; of others nothing else."""
    shape = INPUTS[name]
    request = damaged_body(name, seed) if damaged else RequestMaker(Random(seed)).body(name)
    is_taken = not said_of(shape, request)
    found = fits(shape.plan(), request)
    assert is_taken or not found
    if name in ITEM_INPUTS and "arn:" not in str(request):
        assert found == is_taken


@pytest.mark.parametrize("shape", [OWN_TABLE, Number(0, 1), ListOf(OWN_TABLE), MapOf(OWN_TABLE), ByTable(TABLE, OWN_TABLE, 1),
                                   ByTable(OWN_TABLE, Flag(), 1)])  # fmt: skip
def test_what_the_compiled_form_has_no_word_for_has_no_plan(shape: Shape) -> None:
    """Nor has what holds it; a structure has its other members."""
    assert shape.plan() is None
    assert fits(Structure({"A": shape, "B": Flag()}).plan(), {"B": True})
    assert not fits(Structure({"A": shape, "B": Flag()}).plan(), {"A": []})


PLANNED: tuple[Any, ...] = (
    (Text(), "", 1),
    (Text(2, 3), "abc", "a"),
    (Text(2, 3), "ab", "abcd"),
    (Whole(1), 1, 0),
    (Whole(0, 2), 2, 3),
    (Flag(), True, 1),
    (Choice(("A", "B")), "B", "C"),
    (Value(), {"S": ""}, {"S": 1}),
    (Attributes(), {"a": {"N": "1"}}, {"a": {"N": "x"}}),
    (ListOf(Flag(), 1, 2), [True], []),
    (ListOf(Flag(), 1, 2), [True, True], [True] * 3),
    (ListOf(Flag()), [], [1]),
    (MapOf(Flag()), {"x": True}, {"x": 1}),
    (TABLE, "abc", "ab"),
    (ByTable(TABLE, Flag(), 2), {"abc": True}, {"ab": True}),
    (ByTable(TABLE, Flag(), 2), {"abc": True, "abd": True}, {}),
    (ByTable(TABLE, Flag(), 1), {"abc": True}, {"abc": True, "abd": True}),
    (VERBS, {"Put": True}, {"Put": True, "Delete": True}),
    (NESTED, {"Rows": []}, {"Note": ""}),
    (NESTED, {"Rows": []}, {"Rows": [], "X": 1}),
)


@pytest.mark.parametrize(("shape", "good", "bad"), PLANNED)
def test_the_borders_of_a_plan(shape: Shape, good: Any, bad: Any) -> None:
    """What just fits and what does not, of each kind."""
    assert fits(shape.plan(), good)
    assert not fits(shape.plan(), bad)
    assert not said_of(shape, good)
    assert said_of(shape, bad)
