"""The table of differences from IAM can be printed as it is."""

from __future__ import annotations

from tests.docs.differences import DIFFERENCES


def test_each_row_is_four_short_cells() -> None:
    """The README prints them: no line breaks, no final period, no row twice."""
    for row in DIFFERENCES:
        for cell in row:
            assert cell
            assert cell.isprintable()
            assert not cell.endswith(".")
    assert len({row.topic for row in DIFFERENCES}) == len(DIFFERENCES)
