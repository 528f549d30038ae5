"""A run as tables for a terminal, and as a picture for the README: what one request costs, ours beside the others.

`python -m tests.bench.report FILE` writes the run of a JSON file into LOG.md, between its marks, and draws bench.svg from it.
"""

from __future__ import annotations

import json
import re
import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.bars import Run, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TITLES = {
    "plain": "GetItem 0.3 KB, plaintext upstream, 16 callers: CPU microseconds a request (process tree)",
    "tls": "the same over TLS",
    "batch": "BatchWriteItem of 25 items, 100 KB",
    "sessions": "a minted session with a signature of the worker's, against a bearer token",
    "workers": "workers on one processor, 16 callers each",
    "rate": "latency at 300 requests a second",
    "stages": "what each stage costs inside the process, everything warm",
    "memory": "memory after the load, and seconds to the first answer",
    "start": "starts",
    "worst bodies": "the bodies that hold the loop longest",
}
_SHOWN_ROWS = 12
_HERE = Path(__file__).resolve().parent
_MARKED = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)


def tables_of(run: Run) -> Iterator[str]:
    """Each table, then the verdicts, then what was left out; lines of GitHub's Markdown."""
    for name, rows in run.tables.items():
        yield f"\n**{TITLES.get(name, name)}**\n"
        yield from table_of(rows[:_SHOWN_ROWS])
    yield "\n**bars**\n"
    yield from table_of(
        [
            {
                "": verdict.word,
                "what": verdict.bar.meaning,
                "is": _shown(verdict.value, verdict.bar.unit),
                "at most": _shown(verdict.bar.limit, verdict.bar.unit),
                "stretch": _shown(verdict.bar.stretch, verdict.bar.unit),
            }
            for verdict in judge(run.figures)
        ]
    )
    yield from (f"\nleft out: {line}" for line in run.left_out)


def table_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows with the same keys as a table, columns aligned."""
    if not rows:
        return
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells]
    yield lines[0]
    yield "| " + " | ".join("-" * width for width in widths) + " |"
    yield from lines[1:]


def _cell(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    number = f"1/{1 / value:.0f}" if unit == "x" and value < 0.1 else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"
    return f"{number} {unit}".strip()


# --------------------------------------------------------------------------------------------------- picture

_ROW, _LEFT, _WIDTH, _BAR = 34, 290, 800, 430
_WHO = {
    "dynamodb-proxy": ("dynamodb-proxy", "token, body policy, roles by STS, signing, metrics, audit"),
    "envoy": ("Envoy", "token (cached), signing with one fixed key"),
    "envoy lua": ("Envoy + Lua", "the same, table name found by a pattern"),
    "nginx pass-through": ("nginx", "moves bytes"),
    "haproxy pass-through": ("HAProxy", "moves bytes"),
    "naive": ("FastAPI + httpx + PyJWT + botocore", "token, table names, signing, metrics, audit"),
}


def picture_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """An SVG of bars, cheapest first: CPU time of one request. A bar that would not fit is cut and says so."""
    known = sorted((row for row in rows if row["target"] in _WHO), key=lambda row: row["cpu us"])
    longest = max(row["cpu us"] for row in known if row["target"] != "naive")
    height = _ROW * len(known) + 52
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        '<text x="12" y="22" font-weight="600" font-size="15">CPU time of one GetItem, microseconds (less is better)</text>',
    ]
    for number, row in enumerate(known):
        parts += _bar(row, 40 + number * _ROW, longest)
    return "\n".join([*parts, "</svg>", ""])


def _bar(row: Mapping[str, Any], top: int, longest: float) -> list[str]:
    who, does = _WHO[row["target"]]
    is_cut = row["cpu us"] > longest
    length = _BAR if is_cut else max(3, round(row["cpu us"] / longest * _BAR * 0.8))
    colour = "#2563eb" if row["target"] == "dynamodb-proxy" else "#9ca3af"
    end = f"{row['cpu us']:,.0f}{' (cut)' if is_cut else ''}"
    at = f'x="{_LEFT + length + 6}" text-anchor="start"' if not is_cut else f'x="{_LEFT + length - 6}" text-anchor="end"'
    return [
        f'<text x="{_LEFT - 8}" y="{top + 11}" text-anchor="end">{escape(who)}</text>',
        f'<text x="{_LEFT - 8}" y="{top + 24}" text-anchor="end" font-size="9" fill="#6b7280">{escape(does)}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{length}" height="20" rx="2" fill="{colour}"/>',
        f'<text {at} y="{top + 15}">{end}</text>',
    ]


# -------------------------------------------------------------------------------------------------- documents


def logged(log: str, run: Run) -> str:
    """The log with the tables of `run` between its marks."""
    text = "\n".join(tables_of(run)).strip("\n")
    return _MARKED.sub(lambda marks: f"{marks[1]}\n{text}\n\n{marks[2]}", log)


def main(file: str) -> int:
    """Write log and picture anew."""
    told = json.loads(Path(file).read_text())
    run = Run(told["figures"], told["tables"], told["left_out"])
    log = _HERE / "LOG.md"
    log.write_text(logged(log.read_text(), run))
    (_HERE / "bench.svg").write_text(picture_of(run.tables["plain"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
