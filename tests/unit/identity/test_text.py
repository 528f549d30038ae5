"""Names from outside, accepted and shown."""

from __future__ import annotations

import pytest

from proxy.identity.text import is_name, listed, quoted


@pytest.mark.parametrize("name", ["a", "orders etl", "aufträge", "a" * 250, "manual__2026-11-22T06:36:02.885051+00:00"])
def test_printable_names_are_names(name: str) -> None:
    """Printable text of up to 250 characters is a name, whatever its script."""
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "a" * 251, "a\nb", "a\x00", "a\u202eb", "a\u2028b", "\x7f", "a\u00a0b"])
def test_what_could_forge_a_line_is_no_name(name: str) -> None:
    """Empty, overlong, control, bidirectional and separator characters are refused."""
    assert not is_name(name)


def test_quotes_are_short_and_printable() -> None:
    """A quoted text loses its tail and its control characters."""
    assert quoted("dag") == "'dag'"
    assert quoted("a\r\nb\u202e") == "'a??b?'"
    assert quoted("x" * 100) == "'" + "x" * 80 + "...'"


def test_lists_end_after_a_few() -> None:
    """A long list says how many it leaves out."""
    assert listed(("a", "b")) == "'a', 'b'"
    assert listed(("a", "b", "c"), most=2) == "'a', 'b' and 1 more"
