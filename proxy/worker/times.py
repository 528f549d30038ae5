"""Times as gateway and worker both see them: which numbers are dates, and how a duration is said."""

from __future__ import annotations

LAST_SECOND = 253_402_300_799  # the year 9999; beyond, a number is no date


def span(seconds: float) -> str:
    """A duration as people say it: `45 s`, `12 min`, `3 h`, `5 days`; negative ones keep their sign."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if abs(seconds) >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
