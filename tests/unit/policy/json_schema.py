"""A validator for the part of JSON Schema that the policies' schema uses; any other keyword is an error."""

from __future__ import annotations

import re
from typing import Any

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
_SAYS_NOTHING = {"$schema", "title", "description", "definitions", "then", "else"}


def problems(value: object, schema: dict[str, Any], root: dict[str, Any] | None = None, path: str = "") -> list[str]:
    """What is wrong with `value`, each with the path to it; empty if it is valid."""
    root = schema if root is None else root
    found: list[str] = []
    for keyword, wanted in schema.items():
        if keyword not in _SAYS_NOTHING:
            found += [
                f"{path}: {problem}" if ":" not in problem else problem
                for problem in _ASKS[keyword](value, wanted, schema, root, path)
            ]
    return found


def _of_type(value, wanted, schema, root, path):
    is_good = isinstance(value, _TYPES[wanted]) and (wanted != "integer" or not isinstance(value, bool))
    return [] if is_good else [f"is not of type {wanted}"]


def _fields(value, wanted, schema, root, path):
    if not isinstance(value, dict):
        return []
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    found = []
    for name, inner in value.items():
        schemas = [known[name]] if name in known else []
        schemas += [each for pattern, each in patterns.items() if isinstance(name, str) and re.search(pattern, name)]
        if not schemas and schema.get("additionalProperties") is False:
            found.append(f"has no field {name}")
        for each in schemas:
            found += problems(inner, each, root, f"{path}/{name}")
    return found


_ASKS = {
    "$ref": lambda value, wanted, schema, root, path: problems(value, root["definitions"][wanted.rsplit("/", 1)[1]], root, path),
    "type": _of_type,
    "properties": _fields,
    "patternProperties": lambda value, wanted, schema, root, path: (
        [] if "properties" in schema else _fields(value, wanted, schema, root, path)
    ),
    "additionalProperties": lambda value, wanted, schema, root, path: [] if wanted is False else ["is no closed object"],
    "required": lambda value, wanted, schema, root, path: (
        [f"lacks {name}" for name in wanted if name not in value] if isinstance(value, dict) else []
    ),
    "minProperties": lambda value, wanted, schema, root, path: (
        ["is empty"] if isinstance(value, dict) and len(value) < wanted else []
    ),
    "items": lambda value, wanted, schema, root, path: (
        [problem for at, item in enumerate(value) for problem in problems(item, wanted, root, f"{path}/{at}")]
        if isinstance(value, list)
        else []
    ),
    "minItems": lambda value, wanted, schema, root, path: (
        ["is empty"] if isinstance(value, list) and len(value) < wanted else []
    ),
    "minimum": lambda value, wanted, schema, root, path: (
        ["is too small"] if isinstance(value, int) and value < wanted else []
    ),
    "pattern": lambda value, wanted, schema, root, path: (
        ["does not match"] if isinstance(value, str) and not re.search(wanted, value) else []
    ),
    "enum": lambda value, wanted, schema, root, path: [] if value in wanted else ["is none of the words"],
    "const": lambda value, wanted, schema, root, path: [] if value == wanted and type(value) is type(wanted) else ["differs"],
    "anyOf": lambda value, wanted, schema, root, path: (
        [] if any(not problems(value, each, root, path) for each in wanted) else ["fits none"]
    ),
    "allOf": lambda value, wanted, schema, root, path: [
        problem for each in wanted for problem in problems(value, each, root, path)
    ],
    "contains": lambda value, wanted, schema, root, path: (
        ["has none of the kind"]
        if isinstance(value, list) and all(problems(item, wanted, root, path) for item in value)
        else []
    ),
    "if": lambda value, wanted, schema, root, path: problems(
        value, schema.get("else" if problems(value, wanted, root, path) else "then", {}), root, path
    ),
}  # fmt: skip
