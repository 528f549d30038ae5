"""What a run says of itself: bars that were missed, met or not taken, and a picture that is well-formed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.bench.bars import BARS, Bar, Run, Verdict, judge
from tests.bench.report import logged, picture_of, table_of, tables_of

ROWS = [
    {"target": "dynamodb-proxy", "cpu us": 90.4},
    {"target": "envoy", "cpu us": 129.0},
    {"target": "naive", "cpu us": 4000.0},
    {"target": "unknown", "cpu us": 1.0},
]


@pytest.mark.parametrize(
    ("value", "word"), [(None, "not taken"), (0.71, "FAIL"), (0.7, "pass"), (0.5, "stretch"), (0.0, "stretch")]
)
def test_a_bar_is_met_up_to_its_limit(value: float | None, word: str) -> None:
    """The limit itself is met; beyond the stretch goal is said so; what was not measured never passes."""
    assert Verdict(Bar("a", "", "x", 0.7, 0.5), value).word == word


def test_a_bar_without_a_stretch_goal_passes() -> None:
    """However small the figure."""
    assert Verdict(Bar("a", "", "x", 0.7), 0.0).word == "pass"


def test_every_bar_is_told() -> None:
    """Each has a figure of its own and a line in the report, taken or not."""
    assert len({bar.figure for bar in BARS}) == len(BARS)
    run = Run({BARS[0].figure: 9.0}, {"plain": ROWS}, ["a peer"])
    text = "\n".join(tables_of(run))
    assert all(bar.meaning in text for bar in BARS)
    assert text.count("FAIL") == 1
    assert text.endswith("left out: a peer")
    assert [verdict.word for verdict in judge(run.figures)].count("not taken") == len(BARS) - 1
    assert run.as_json()["bars"][0]["verdict"] == "FAIL"


def test_a_table_without_rows_is_nothing() -> None:
    """Not even a head."""
    assert list(table_of([])) == []


def test_a_run_goes_into_the_log_between_its_marks() -> None:
    """What stood there goes, all else stays; doing it twice is doing it once."""
    run = Run({}, {"plain": ROWS})
    once = logged("before\n<!-- results -->\nformer tables\n<!-- /results -->\nafter\n", run)
    assert once.startswith("before\n<!-- results -->\n\n**")
    assert once.endswith("|\n\n<!-- /results -->\nafter\n")
    assert "former tables" not in once
    assert logged(once, run) == once


def test_the_picture_shows_the_cheapest_first_and_cuts_what_would_not_fit() -> None:
    """Well-formed SVG with a bar for each gateway that is known."""
    picture = ET.fromstring(picture_of(ROWS))  # noqa: S314 - our own text
    told = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert [one for one in told if one in ("90", "129", "4,000 (cut)")] == ["90", "129", "4,000 (cut)"]
    assert "unknown" not in told
