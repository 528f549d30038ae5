"""Names that come from outside: which are acceptable, and how one is shown in a message.

A name is printable text of 1 to 250 characters (Airflow's own limit for DAG, task and run ids). What a message quotes is
cut short and stripped of everything that could forge a log line.
"""

from __future__ import annotations

MAX_NAME = 250
_SHOWN = 80


def is_name(text: str) -> bool:
    """True for 1 to 250 printable characters: no control, format or separator characters but the plain space."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()


def quoted(text: str, *, most: int = _SHOWN) -> str:
    """`text` in single quotes, at most `most` characters of it, unprintable ones as `?`."""
    shown = text[:most]
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else "?" for character in shown)
    return f"'{shown}...'" if len(text) > most else f"'{shown}'"


def listed(texts: tuple[str, ...], *, most: int = 5) -> str:
    """`texts` quoted and joined by commas, at most `most` of them."""
    shown = ", ".join(quoted(text) for text in texts[:most])
    return f"{shown} and {len(texts) - most} more" if len(texts) > most else shown
