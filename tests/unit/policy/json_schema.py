"""A validator for the part of JSON Schema that the policies' schema uses; any other keyword is an error."""

from __future__ import annotations

import re
from typing import Any

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
_ANNOTATIONS = {"$schema", "title", "description", "definitions", "then", "else", "patternProperties", "additionalProperties"}

Schema = dict[str, Any]


def problems(value: object, schema: Schema, root: Schema | None = None) -> list[str]:
    """What is wrong with `value`; empty if it is valid."""
    root = schema if root is None else root
    found: list[str] = []
    for keyword, wanted in schema.items():
        if keyword in ("$ref", "allOf", "anyOf", "if"):
            found += _combined(value, keyword, wanted, schema, root)
        elif keyword not in _ANNOTATIONS:
            if keyword not in _APPLIES:
                raise KeyError(keyword)
            if isinstance(value, _APPLIES[keyword]):
                found += _asked(value, keyword, wanted, root)
    if isinstance(value, dict):
        found += _fields(value, schema, root)
    return found


def _combined(value: object, keyword: str, wanted: Any, schema: Schema, root: Schema) -> list[str]:
    if keyword == "$ref":
        return problems(value, root["definitions"][wanted.rsplit("/", 1)[1]], root)
    if keyword == "allOf":
        return [problem for each in wanted for problem in problems(value, each, root)]
    if keyword == "anyOf":
        return [] if any(not problems(value, each, root) for each in wanted) else ["fits none"]
    return problems(value, schema.get("else" if problems(value, wanted, root) else "then", {}), root)


_APPLIES: dict[str, Any] = {
    "type": object,
    "enum": object,
    "const": object,
    "required": dict,
    "properties": dict,
    "minProperties": dict,
    "items": list,
    "minItems": list,
    "contains": list,
    "pattern": str,
    "minimum": int,
}


def _asked(value: Any, keyword: str, wanted: Any, root: Schema) -> list[str]:
    if keyword == "items":
        return [problem for item in value for problem in problems(item, wanted, root)]
    is_good = {
        "type": lambda: isinstance(value, _TYPES[wanted]) and (wanted != "integer" or not isinstance(value, bool)),
        "enum": lambda: value in wanted,
        "const": lambda: value == wanted and type(value) is type(wanted),
        "required": lambda: set(wanted) <= value.keys(),
        "properties": lambda: True,
        "minProperties": lambda: len(value) >= wanted,
        "minItems": lambda: len(value) >= wanted,
        "contains": lambda: any(not problems(item, wanted, root) for item in value),
        "pattern": lambda: re.search(wanted, value) is not None,
        "minimum": lambda: value >= wanted,
    }[keyword]()
    return [] if is_good else [f"{keyword} {wanted}: {value!r}"]


def _fields(value: dict[Any, Any], schema: Schema, root: Schema) -> list[str]:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    found = []
    for name, inner in value.items():
        schemas = [known[name]] if name in known else []
        schemas += [each for pattern, each in patterns.items() if isinstance(name, str) and re.search(pattern, name)]
        found += [f"unknown field {name}"] if not schemas and schema.get("additionalProperties") is False else []
        found += [problem for each in schemas for problem in problems(inner, each, root)]
    return found
