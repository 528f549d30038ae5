"""What a touch proves of keys, gathered over all attributes that tests speak of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.dynamodb.conditions import NAMES

if TYPE_CHECKING:
    from proxy.model import Facts, Pin

_ASKED_FOR = frozenset((*NAMES, "pk", "sk", "id", "a", "h", "m", "n", "total", "was", "absent"))


def pins_of(facts: Facts) -> dict[str, Pin]:
    """By attribute, what is proven of it."""
    return {name: pin for name in _ASKED_FOR if (pin := facts.pin(name)) is not None}
