"""Facts as tests state them, in place of those that are read off a request."""

from __future__ import annotations

from typing import Any

from proxy.model import Pin
from proxy.refusal import Reason, Unreadable


class StatedFacts:
    """Facts from a row of a table. Counts how often it is asked; `unreadable` names what cannot be read."""

    def __init__(self, **told: Any) -> None:
        self.told = told
        self.asked = 0

    def _read(self, name: str, default: Any) -> Any:
        self.asked += 1
        if name in self.told.get("unreadable", ()):
            raise Unreadable(Reason.UNREADABLE_BODY, f"{name} cannot be read")
        return self.told.get(name, default)

    def pin(self, name: str) -> Pin | None:
        """`pins: {name: [values]}` and `starts: {name: value}`."""
        exact, starts = self._read("pins", {}), self.told.get("starts", {})
        if name in starts:
            return Pin((starts[name],), True)
        return Pin(tuple(exact[name])) if name in exact else None

    @property
    def named(self) -> frozenset[str]:
        """`named: [names]`."""
        return frozenset(self._read("named", ()))

    @property
    def whole(self) -> str:
        """`whole: how`."""
        return str(self._read("whole", ""))

    @property
    def replaces(self) -> bool:
        """`replaces: true`."""
        return bool(self._read("replaces", False))

    @property
    def absent(self) -> frozenset[str]:
        """`absent: [names]`."""
        return frozenset(self._read("absent", ()))

    @property
    def limit(self) -> int | None:
        """`limit: 1`."""
        return self._read("limit", None)  # type: ignore[no-any-return]  # as stated

    @property
    def total_segments(self) -> int:
        """`segments: 1`."""
        return int(self._read("segments", 1))

    @property
    def has_condition(self) -> bool:
        """`condition: true`."""
        return bool(self._read("condition", False))

    @property
    def has_client_token(self) -> bool:
        """`token: true`."""
        return bool(self._read("token", False))
