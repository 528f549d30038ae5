"""Durations in messages, worded alike by gateway and worker."""

from __future__ import annotations


def span(seconds: float) -> str:
    """A duration as people say it: `45 s`, `12 min`, `3 h`, `5 days`; negative ones keep their sign."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if abs(seconds) >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
