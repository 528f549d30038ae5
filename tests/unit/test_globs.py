"""The one form of name pattern."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.globs import Globs, is_glob
from tests.endless import an_end


@pytest.mark.parametrize(
    ("patterns", "name", "matches"),
    [
        (("orders",), "orders", True),
        (("orders",), "orders_etl", False),
        (("orders",), "Orders", False),  # case-sensitive
        (("orders*",), "orders", True),
        (("orders*",), "orders_etl", True),
        (("*etl",), "orders_etl", True),
        (("*etl",), "orders_etl_2", False),
        (("a*b*c",), "a-b-b-c", True),
        (("a*b*c",), "a-c-b", False),
        (("a**c",), "abc", True),  # a run of stars is one star
        (("order?",), "orders", True),
        (("order?",), "order", False),
        (("*",), "line\nbreak", True),  # any character, line breaks included
        (("a.c",), "abc", False),  # everything else is literal
        (("[ab]",), "a", False),
        (("[ab]",), "[ab]", True),
        (("a\\?",), "a\\b", True),
        (("a", "b"), "b", True),
        (("*", "!secret*"), "secret_etl", False),
        (("!secret*", "*"), "secret_etl", False),  # an exclusion counts wherever it stands
        (("*", "!secret*"), "orders", True),
        (("!secret*",), "orders", False),  # exclusions alone give nothing
        ((), "orders", False),
        ((), "", False),
        (("",), "", True),
    ],
)
def test_a_list_of_patterns_covers_a_name(patterns: tuple[str, ...], name: str, matches: bool) -> None:
    """`*`, `?`, literals and exclusions, as the module's docstring says."""
    assert Globs(patterns).match(name) is matches


@pytest.mark.parametrize(("pattern", "several"), [("orders", False), ("orders*", True), ("order?", True), ("[a]", False)])
def test_a_glob_can_match_more_than_one_name(pattern: str, several: bool) -> None:
    """Only `*` and `?` make a pattern out of a name."""
    assert is_glob(pattern) is several


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_one_pattern_matches_as_fnmatch_does(pattern: str, name: str) -> None:
    """Without brackets and exclusions, the language is fnmatch's."""
    assert Globs((pattern,)).match(name) is (re.match(fnmatch.translate(pattern), name) is not None)


def test_no_name_makes_a_pattern_slow() -> None:
    """A caller chooses the name, so a pattern of many stars must not be tried in every combination: that would never end."""
    with an_end():
        assert not Globs(("*a" * 20 + "b",)).match("a" * 2000)
