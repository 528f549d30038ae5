"""Whole outputs of the tools, as they stand in tests/cases/reports: what a person or a program gets, to the last character."""

from __future__ import annotations

from pathlib import Path

_REPORTS = Path(__file__).parents[2] / "cases" / "reports"


def whole(name: str) -> str:
    """The text of one report."""
    return (_REPORTS / name).read_text()
