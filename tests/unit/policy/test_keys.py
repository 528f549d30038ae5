"""Keys one by one: what a pattern says, and which typed values are compared at all. Whole policies are in test_rules.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from proxy.model import Evidence, Identity, Pin, Subject
from proxy.policy.keys import KeyAttribute, KeyLimit, KeyPattern, value_of

LONE = "a\udcff"  # what Python makes of a byte that is no UTF-8


def identity_of(**told: Any) -> Identity:
    """Somebody of DAG `d`, whose token has these claims."""
    subject = Subject("i", "s", told.pop("claims", {}), ("*",), 0.0, "")
    return Identity(subject, "d", Evidence.VERIFIED, "claim", "", **told)


def test_what_is_no_utf_8_is_compared_as_it_came() -> None:
    """A key of the command line, a run of somebody's: nothing breaks, equal texts are equal, others are not."""
    limit = KeyLimit((KeyPattern(False, ("", "run_id", "")),))
    attribute, identity = KeyAttribute("pk", "S"), identity_of(run_id=LONE)
    assert limit.are_inside("S", [Pin(({"S": LONE},))], identity)
    assert not limit.is_outside(attribute, Pin(({"S": LONE},)), identity)
    assert limit.is_outside(attribute, Pin(({"S": "a"},)), identity)


PATTERNS: list[tuple[KeyPattern, str, str, str, KeyPattern]] = [
    # the pattern, as written, why it cannot be filled in, the text for this request, what it is for DAG `d`
    (KeyPattern(False, ("a",)), "a", "", "a", KeyPattern(False, ("a",))),
    (KeyPattern(True, ("a", "dag_id", "#")), "a<dag_id>#", "", "ad#", KeyPattern(True, ("ad#",))),
    (KeyPattern(False, ("", "dag_id", "")), "<dag_id>", "", "d", KeyPattern(False, ("d",))),
    (KeyPattern(True, ("", "dag_id", "d")), "<dag_id>d", "<dag_id> holds 'd', which ends it in the key", "",
     KeyPattern(True, ("", "dag_id", "d"))),
    (KeyPattern(True, ("", "run_id", "#", "dag_id", "#", "task_id", "-")), "<run_id>#<dag_id>#<task_id>-", "", "r#d#t-",
     KeyPattern(True, ("", "run_id", "#d#", "task_id", "-"))),
    (KeyPattern(True, ("", "dag_id", "#", "claim.team", "#", "dag_id", "#")), "<dag_id>#<claim.team>#<dag_id>#", "", "d#x#d#",
     KeyPattern(True, ("d#", "claim.team", "#d#"))),
    (KeyPattern(False, ("", "claim.no", "")), "<claim.no>", "<claim.no> is empty", "", KeyPattern(False, ("", "claim.no", ""))),
    (KeyPattern(False, ("", "run_id", "#", "claim.no", "#")), "<run_id>#<claim.no>#", "<claim.no> is empty", "",
     KeyPattern(False, ("", "run_id", "#", "claim.no", "#"))),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "written", "problem", "filled", "of_dag"), PATTERNS, ids=[row[1] for row in PATTERNS])
def test_a_pattern_is_filled_in_for_each_request(
    pattern: KeyPattern, written: str, problem: str, filled: str, of_dag: KeyPattern
) -> None:
    """With what is known of it; what is empty, or holds the sign that ends it, names nothing."""
    identity = identity_of(run_id="r", task_id="t", claims={"team": "x"})
    assert (pattern.written(), pattern.problem(identity), pattern.filled(identity)) == (written, problem, filled)
    assert pattern.of_dag("d") == of_dag
    assert pattern.has_placeholders is (pattern.pieces != ("a",))
    assert pattern.of_dag("") == pattern


VALUES: list[tuple[str, dict[str, Any], bytes | Decimal | None]] = [
    ("S", {"S": "é"}, "é".encode()),
    ("S", {"N": "1"}, None),
    ("S", {"S": 1}, None),
    ("S", {"S": "a", "N": "1"}, None),
    ("S", {}, None),
    ("N", {"N": "+1.50"}, Decimal("1.5")),
    ("N", {"N": "x"}, None),
    ("N", {"S": "1"}, None),
    ("B", {"B": "w6k="}, "é".encode()),
    ("B", {"B": "w6l="}, None),
    ("B", {"B": "w6k"}, None),
    ("B", {"B": ""}, b""),
]


@pytest.mark.parametrize(("kind", "value", "compared"), VALUES, ids=[f"{kind} of {value}" for kind, value, _ in VALUES])
def test_a_value_is_compared_by_the_key_s_own_type(kind: str, value: dict[str, Any], compared: bytes | Decimal | None) -> None:
    """Bytes, or a number; None where it is of another type, of several, or not canonical."""
    assert value_of(kind, value) == compared


@pytest.mark.parametrize(
    ("text", "is_number"),
    [
        ("0" * 200, True),
        ("0" * 201, False),
        ("9" * 38, True),
        ("9" * 39, False),
        ("1" + "0" * 125, True),
        ("1" + "0" * 126, False),
        ("1e125", True),
        ("1e126", False),
        ("9.9e-130", True),
        ("9.9e-131", False),
        ("0e999", True),
        ("0." + "0" * 60 + "1", True),
        ("1e99999999999999999999", False),
        ("1e", False),
        ("", False),
        (".", False),
        ("\u0661", False),
    ],
)
def test_a_number_is_one_that_is_kept_as_it_is(text: str, is_number: bool) -> None:
    """38 digits, from 1e-130 to less than 1e126, and a text that is not endless; what is rounded could be another's key."""
    found = value_of("N", {"N": text})
    assert found == (Decimal(text) if is_number else None)
