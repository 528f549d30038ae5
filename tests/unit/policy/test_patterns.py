"""Names and patterns: session names are legal and distinct, and the relations of globs agree with trying names out."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.globs import Globs
from proxy.policy.patterns import can_meet, session_name, stays_within

PATTERNS = st.text(alphabet="ab*?", min_size=1, max_size=5)
SHORT_NAMES = tuple("".join(signs) for length in range(9) for signs in product("ab", repeat=length))


@settings(deadline=None)
@given(left=PATTERNS, right=PATTERNS)
def test_globs_can_meet_when_a_name_matches_both(left: str, right: str) -> None:
    """The answer is the one that trying every short name gives."""
    one, other = Globs((left,)), Globs((right,))
    assert can_meet(left, right) == any(one.match(name) and other.match(name) for name in SHORT_NAMES)


@settings(deadline=None)
@given(pattern=PATTERNS, globs=st.lists(st.text(alphabet="ab*?!", min_size=1, max_size=5), min_size=1, max_size=2))
def test_what_leaves_the_globs_with_a_foreign_name_does_not_stay_within(pattern: str, globs: list[str]) -> None:
    """A pattern whose shortest name is outside is never called inside."""
    covering = Globs(tuple(globs))
    shortest = pattern.replace("*", "").replace("?", "\0")
    if not covering.match(shortest):
        assert not stays_within(pattern, covering)


def test_patterns_inside_and_outside_of_a_boundary() -> None:
    """The usual forms of boundary."""
    boundary = Globs(("growth_*", "!growth_secret"))
    inside = ("growth_sync", "growth_*", "growth_model_*", "growth_?", "growth_*_daily_*")
    outside = ("growth*", "*", "orders_*", "growth_secret", "grow?h_x", "*growth_x")
    assert [stays_within(pattern, boundary) for pattern in inside] == [True] * len(inside)
    assert [stays_within(pattern, boundary) for pattern in outside] == [False] * len(outside)


def test_each_wildcard_of_a_pattern_is_tried_with_nothing_and_with_much() -> None:
    """A boundary that names only the shortest of the names, or leaves it out, does not hold the pattern."""
    inside = (
        ("a*", ("a*",)),
        ("a*b*", ("a*",)),
        ("a*b*c*d*e*f*", ("*",)),
        ("a?", ("a?", "!ab")),
        ("a*b*c*d*e*", ("a*b*c*d*e",)),
    )  # four wildcards are tried
    outside = (
        ("a*", ("a",)),
        ("a*", ("a?*",)),
        ("a*b", ("ab",)),
        ("a*b*", ("a*b",)),
        ("a*b*c*d*e*f*", ("a*b*c*def",)),
        ("a?", ("a", "a[?]", "ab")),
    )
    assert [stays_within(pattern, Globs(globs)) for pattern, globs in inside] == [True] * len(inside)
    assert [stays_within(pattern, Globs(globs)) for pattern, globs in outside] == [False] * len(outside)


@pytest.mark.parametrize(
    ("left", "right", "meet"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "ab", False),
        ("ab", "a", False),
        ("a?", "ab", True),
        ("a?", "a", False),
        ("?b", "a?", True),
        ("a*", "a", True),
        ("*", "", True),
        ("a*c", "ab*", True),
        ("a*c", "*b", False),
        ("a*c*", "abd?c", True),
        ("*a?", "b*?c", True),
        ("a**b", "a*?b", True),
        ("x*a", "?a*b", False),
    ],
)
def test_globs_that_meet_share_a_name(left: str, right: str, meet: bool) -> None:
    """Whichever of the two is walked first."""
    assert can_meet(left, right) is can_meet(right, left) is meet


def test_a_legal_dag_id_is_its_own_session_name() -> None:
    """What STS takes is left as it is, so that CloudTrail shows the DAG."""
    assert session_name("orders_daily-v2.1") == "orders_daily-v2.1"


def test_other_dag_ids_keep_what_is_legal_and_get_a_hash() -> None:
    """Too long, too short, other letters: cut or replaced, and told apart by the hash of the whole id."""
    assert session_name("d") == "d-18ac3e7343f01689"
    assert session_name("über") == "_ber-b51c854170449c38"
    assert len(session_name("x" * 250)) == 64
    assert session_name("x" * 250) != session_name("x" * 249)


def test_no_dag_can_take_the_hashed_name_of_another() -> None:
    """An id that looks like a hashed name is hashed itself."""
    assert session_name(session_name("über")) != session_name("über")


@settings(deadline=None)
@given(st.text())
@example("\ud800")
def test_session_names_are_legal_for_sts(dag_id: str) -> None:
    """2 to 64 characters of the set that AssumeRole documents."""
    assert re.fullmatch(r"[A-Za-z0-9_+=,.@-]{2,64}", session_name(dag_id))
