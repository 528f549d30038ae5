"""How `diff` tells what changes: to a person, as Markdown for a pull request, or to a program. Lost and gained apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from proxy.actions import ESCALATIONS
from proxy.policy.diff import ALLOW, DENY
from proxy.policy.recorded import UNDETERMINED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxy.policy.diff import Change, Difference
    from proxy.policy.recorded import TrafficChange

FORMATS = ("text", "markdown", "json")
_MOST_DAGS = 5
_MOST_ROWS = 200  # of a Markdown table: GitHub takes 65,536 characters in a comment
_LOST_FIRST = ("lost", "gained", UNDETERMINED)


class Row(NamedTuple):
    """One line of a report."""

    environment: str
    kind: str  # lost, gained, undetermined
    who: str
    what: str
    change: str
    ground: str


def render_diff(difference: Difference, traffic: Sequence[tuple[str, TrafficChange]], form: str) -> str:
    """The whole of it, with a line feed at the end. `traffic`: environment and change."""
    if form == "json":
        document = {
            "changes": [change._asdict() for change in difference.changes],
            "notes": list(difference.notes),
            "traffic": [{"environment": name, **change._asdict()} for name, change in traffic],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    rows = [_row(change) for change in difference.changes]
    recorded = [_traffic_row(name, change) for name, change in traffic]
    if form == "markdown":
        return "\n".join(_markdown(rows, recorded, difference.notes)) + "\n"
    return "\n".join(_text(rows, recorded, difference.notes)) + "\n"


def _row(change: Change) -> Row:
    kind = "gained" if change.is_gain else "lost"
    marked = ", ".join(f"{action} (escalation)" if action in ESCALATIONS else action for action in change.actions)
    index = f" index {change.index}" if change.index else ""
    when = f", {change.when}" if change.when else ""
    what = f"{marked}{f' on {change.table}' if change.table else ''}{index}{when}"
    return Row(change.environment, kind, _dags(change.dags), what, f"{change.before} to {change.after}", change.ground)


def _traffic_row(environment: str, change: TrafficChange) -> Row:
    is_known = UNDETERMINED not in (change.before, change.after)
    kind = UNDETERMINED
    if is_known:
        kind = "gained" if change.before != ALLOW and change.after != DENY else "lost"
    what = f"{change.operation} on {', '.join(change.tables)}: {change.requests} request(s)"
    example = f"decision {change.examples[0]}"
    return Row(environment, kind, change.dag, what, f"{change.before} to {change.after}", example)


def _dags(dags: tuple[str, ...]) -> str:
    more = f" and {len(dags) - _MOST_DAGS} more" if len(dags) > _MOST_DAGS else ""
    return ", ".join(dags[:_MOST_DAGS]) + more


def _counts(rows: Iterable[Row]) -> str:
    kinds = [row.kind for row in rows]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in _LOST_FIRST if kind != UNDETERMINED or kind in kinds)


def _text(rows: list[Row], recorded: list[Row], notes: Iterable[str]) -> Iterable[str]:
    sign = {"lost": "-", "gained": "+", UNDETERMINED: "?"}
    if not rows and not recorded and not notes:
        yield "no decision changes"
        return
    for title, listed in (("decisions", rows), ("recorded requests", recorded)):
        for environment in dict.fromkeys(row.environment for row in listed):
            here = [row for row in listed if row.environment == environment]
            yield f"{title}{f' in {environment}' if environment else ''}: {_counts(here)}"
            for row in sorted(here, key=lambda row: _LOST_FIRST.index(row.kind)):
                yield f"  {sign[row.kind]} {row.who}: {row.what} ({row.change}; {row.ground})"
    for note in notes:
        yield f"note: {note}"


def _markdown(rows: list[Row], recorded: list[Row], notes: Iterable[str]) -> Iterable[str]:
    if not rows and not recorded and not notes:
        yield "No decision changes."
        return
    for title, listed in (("Decisions", rows), ("Recorded requests", recorded)):
        for environment in dict.fromkeys(row.environment for row in listed):
            here = sorted((row for row in listed if row.environment == environment), key=lambda row: _LOST_FIRST.index(row.kind))
            yield f"#### {title}{f' in {_cell(environment)}' if environment else ''}: {_counts(here)}"
            yield ""
            yield "| | DAG | request | change | ground |"
            yield "| --- | --- | --- | --- | --- |"
            for row in here[:_MOST_ROWS]:
                cells = (row.kind, row.who, row.what, row.change, row.ground)
                yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"
            if len(here) > _MOST_ROWS:
                yield f"| | | {len(here) - _MOST_ROWS} more | | |"
            yield ""
    for note in notes:
        yield f"- {_cell(note)}"


def _cell(text: str) -> str:
    """Text of a policy file as text: no mark-up, mention or cell of its own."""
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    for sign in "\\`*_{}[]<>()#|~!@":
        plain = plain.replace(sign, f"&#{ord(sign)};" if sign in "@<>|" else f"\\{sign}")
    return plain
