"""Each table (or output) of the README that repeats the code, made from the code: a row of `TABLES` is a table.

In a document a table stands between `<!-- table: NAME -->` and `<!-- /table -->`; `make docs` writes it, a test compares it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.__main__ import main, parser
from proxy.issuer_settings import ISSUER_KEYS
from proxy.observe.metric_table import METRICS
from proxy.refusal import ANSWERS
from proxy.setting_table import REQUIRED, SETTINGS
from proxy.worker.switch import VARIABLES
from tests.docs.differences import DIFFERENCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ROOT = Path(__file__).resolve().parents[2]
_EXPLAINED = "explain --environment prod --dag orders_daily --operation Scan --table orders"
_MARKED = re.compile(r"(?P<open><!-- table: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(?P<close><!-- /table -->)", re.DOTALL)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _default(value: object, shown: str) -> str:
    if shown:
        return shown
    if value is REQUIRED:
        return "required"
    if value in ("", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def settings() -> str:
    """Every setting with its variable, default and meaning."""
    rows = ((f"`{row.key}`", f"`{row.variable}`", _default(row.default, row.shown), row.meaning) for row in SETTINGS)
    return _table(("setting", "environment variable", "default", "meaning"), rows)


def issuers() -> str:
    """Every key of an entry of `issuers`."""
    return _table(("key", "default", "meaning"), ((f"`{key}`", default, meaning) for key, default, meaning in ISSUER_KEYS))


def reasons() -> str:
    """Every reason to say no, with the answer that a caller sees."""
    rows = (
        (f"`{reason}`", str(answer.status), f"`{answer.error.rpartition('#')[2]}`", answer.meaning)
        for reason, answer in ANSWERS.items()
    )
    return _table(("reason", "status", "error name", "meaning"), rows)


def metrics() -> str:
    """Every metric."""
    rows = (
        (f"`{metric.name}`", metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.meaning)
        for metric in METRICS
    )
    return _table(("metric", "kind", "labels", "meaning"), rows)


def commands() -> str:
    """Every command, as its `--help` says."""
    (choices,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    rows = ((f"`dynamodb-proxy {choice.dest}`", choice.help or "") for choice in choices._choices_actions)
    return _table(("command", "what it does"), rows)


def differences() -> str:
    """Where a decision differs from IAM's."""
    rows = ((row.topic, row.iam, row.here, row.why) for row in DIFFERENCES)
    return _table(("about", "IAM", "here", "why"), rows)


def explained() -> str:
    """What `explain` prints of a request that the policies of this repository refuse."""
    printed = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(printed):
        main([*_EXPLAINED.split(), "--policies", "policies"])
    return f"```\n$ dynamodb-proxy {_EXPLAINED}\n{printed.getvalue()}```\n"


def worker() -> str:
    """Every variable of the plugin on a worker."""
    rows = ((f"`{name}`", f"`{default}`" if default else "", meaning) for name, default, meaning in VARIABLES)
    return _table(("variable on the worker", "default", "meaning"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "issuers": issuers,
    "reasons": reasons,
    "metrics": metrics,
    "commands": commands,
    "differences": differences,
    "worker": worker,
    "explained": explained,
}


def names_in(document: str) -> list[str]:
    """The tables that a document holds, in order."""
    return [match["name"] for match in _MARKED.finditer(document)]


def rewritten(document: str) -> str:
    """The document with each of its tables made anew. KeyError where it names a table that nobody makes."""
    return _MARKED.sub(lambda match: match["open"] + TABLES[match["name"]]() + match["close"], document)
