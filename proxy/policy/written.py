"""Pieces of policy files as the tools write them, for a person to paste: every YAML reader takes them for the same text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_TAKEN = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})  # other YAML readers take them for more


def quoted(text: str) -> str:
    """A scalar in double quotes."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def scalar(text: str) -> str:
    """A scalar, in quotes only where it needs them."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _TAKEN else quoted(text)


def flow_list(texts: Iterable[str]) -> str:
    """`[a, "b c"]`."""
    return "[" + ", ".join(scalar(text) for text in texts) + "]"


def key_limit(keys: Iterable[tuple[bool, str]]) -> str:
    """`keys` of a rule, from (is_prefix, text): one mapping, or a list of them where there are several prefixes."""
    every = tuple(keys)
    exact = [quoted(text) for is_prefix, text in every if not is_prefix]
    parts = [f"exact: [{', '.join(exact)}]"] if exact else []
    parts += [f"prefix: {quoted(text)}" for is_prefix, text in every if is_prefix]
    if len(parts) - bool(exact) < 2:
        return "{" + ", ".join(parts) + "}"
    return "[" + ", ".join(f"{{{part}}}" for part in parts) + "]"


def rule(
    actions: Iterable[str],
    tables: Iterable[str],
    *,
    indexes: Iterable[str] = (),
    keys: Iterable[tuple[bool, str]] = (),
    attributes: Iterable[str] = (),
    tasks: Iterable[str] = (),
) -> str:
    """One rule on one line."""
    fields = [f"actions: {flow_list(actions)}", f"tables: {flow_list(tables)}"]
    fields += [f"indexes: {flow_list(found)}" for found in (tuple(indexes),) if found]
    fields += [f"keys: {key_limit(found)}" for found in (tuple(keys),) if found]
    fields += [f"attributes: {flow_list(found)}" for found in (tuple(attributes),) if found]
    fields += [f"tasks: {flow_list(found)}" for found in (tuple(tasks),) if found]
    return "{" + ", ".join(fields) + "}"
