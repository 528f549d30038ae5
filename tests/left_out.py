"""Tell what the runs of the tests left out and what to install for it; fail where nothing may be left out.

Run as `python -m tests.left_out FILE` at the end of `make test`; FILE has one JSON object a line: `test`, `parts`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from tests.stack.parts import PARTS, all_are_required


def describe(left_out: list[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Lines for a person: how many tests need what, and how to get it. `left_out` holds (test, missing parts)."""
    count = Counter(part for _, parts in left_out for part in parts)
    return [
        f"left out: {n} {'test needs' if n == 1 else 'tests need'} {PARTS[part].title}: {PARTS[part].install}"
        for part, n in count.most_common()
    ]


def read(file: Path) -> list[tuple[str, tuple[str, ...]]]:
    """What the runs wrote to `file`; nothing where there is none."""
    if not file.exists():
        return []
    records = [json.loads(line) for line in file.read_text().splitlines()]
    return [(record["test"], tuple(record["parts"])) for record in records]


def main(file: str) -> int:
    """Print the lines; 1 where something was left out that may not be."""
    left_out = read(Path(file))
    for line in describe(left_out) or ["nothing was left out"]:
        print(line)
    return 1 if left_out and all_are_required() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
