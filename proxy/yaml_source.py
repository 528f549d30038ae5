"""Strict YAML that remembers where everything stands, for settings and policies alike.

Refused, because each has let a wrong policy look right: duplicate keys, anchors, aliases, tags, merge keys, several
documents, control characters, files over 1 MiB. Scalars keep their text and whether they were quoted; what type a plain
scalar has is for the reader of the field to say (`no` is not a boolean unless a boolean is wanted).
All mistakes are collected, so that a person can mend them in one go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is 10x faster; the pure one reads the same language
MAX_BYTES = 1 << 20
MAX_DEPTH = 32
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: file (as given by the caller) and line from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar as written. `quoted` tells `"no"` from `no`."""

    text: str
    quoted: bool
    place: Place

    @property
    def is_null(self) -> bool:
        """Nothing, `~` or `null`, unquoted."""
        return not self.quoted and self.text in ("", "~", "null")


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list with its place."""

    items: tuple[Node, ...]
    place: Place

    def __iter__(self) -> Iterator[Node]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping with scalar keys; `keys` keeps the place of each key."""

    entries: dict[str, Node]
    keys: dict[str, Scalar]
    place: Place

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def get(self, key: str) -> Node | None:
        """The value under `key`, or None."""
        return self.entries.get(key)

    def place_of(self, key: str) -> Place:
        """Where `key` stands, or the mapping itself where it is absent."""
        return self.keys[key].place if key in self.keys else self.place


Node = Scalar | Sequence | Mapping


@dataclass(slots=True)
class Mistakes:
    """Everything that is wrong, each with its place; `warnings` do not stop a start."""

    errors: list[tuple[Place, str]] = field(default_factory=list)
    warnings: list[tuple[Place, str]] = field(default_factory=list)

    def add(self, place: Place, message: str) -> None:
        """Record an error. `message` says what is wrong and what to write instead."""
        self.errors.append((place, message))

    def warn(self, place: Place, message: str) -> None:
        """Record something that is probably not meant."""
        self.warnings.append((place, message))

    def lines(self) -> list[str]:
        """`file:line: message`, errors first, in the order of files and lines."""
        ordered = sorted(self.errors, key=lambda e: (e[0].file, e[0].line))
        return [f"{place}: {message}" for place, message in ordered] + [
            f"{place}: warning: {message}" for place, message in sorted(self.warnings, key=lambda e: (e[0].file, e[0].line))
        ]


def read_yaml(text: str, file: str, mistakes: Mistakes, to_write: str = "") -> Node | None:
    """Read one document. On a syntax error, or on anything that the module refuses, records it and returns None.

    An empty file is a mistake too: nobody means one. `to_write` says what belongs there.
    """
    top = Place(file, 0)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        mistakes.add(top, f"is larger than {MAX_BYTES} bytes; split it into several files")
        return None
    before = len(mistakes.errors)
    try:
        events = yaml.parse(text, Loader=_LOADER)
        node = _document(events, file, mistakes)
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        mistakes.add(Place(file, _line_of(error)), f"is not valid YAML: {_problem_of(error, text)}")
        return None
    if len(mistakes.errors) > before:
        return None
    if node is None:
        mistakes.add(top, f"is empty; {to_write}" if to_write else "is empty")
    return node


class _Refused(yaml.YAMLError):
    """Valid YAML that this dialect does not take."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


def _line_of(error: BaseException) -> int:
    if isinstance(error, _Refused):
        return error.line
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark is not None else 0


def _problem_of(error: BaseException, text: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        if mark is not None and text[mark.index : mark.index + 1] == "\t":
            return "a tab stands here; indent with spaces"
        return " ".join(filter(None, (error.context, error.problem)))
    return str(error).splitlines()[0] if str(error) else "cannot be read"


def _line_at(event: Any) -> int:  # Any: the published types say that a parsed event may have no mark
    return int(event.start_mark.line) + 1


def _document(events: Iterator[Any], file: str, mistakes: Mistakes) -> Node | None:
    document: Node | None = None
    seen = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            seen += 1
            if seen > 1:
                raise _Refused(_line_at(event), "holds several documents (`---`); use one file for each")
        elif isinstance(event, yaml.NodeEvent):
            document = _node(event, events, file, mistakes, 0)
    if isinstance(document, Scalar) and document.is_null:
        return None
    return document


def _node(event: Any, events: Iterator[Any], file: str, mistakes: Mistakes, depth: int) -> Node:
    line = _line_at(event)
    if depth > MAX_DEPTH:
        raise _Refused(line, f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(event, yaml.AliasEvent):
        raise _Refused(line, f"alias `*{event.anchor}` is not supported; a `*` in a value must be quoted")
    if event.anchor is not None:
        raise _Refused(line, f"anchor `&{event.anchor}` is not supported; write the value out")
    if event.tag is not None:
        raise _Refused(line, f"tag `{event.tag}` is not supported; write a plain value")
    place = Place(file, line)
    if isinstance(event, yaml.ScalarEvent):
        return Scalar(event.value, quoted=event.style in ("'", '"', "|", ">"), place=place)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_node(event, events, file, mistakes, depth + 1))
        return Sequence(tuple(items), place)
    return _mapping(events, place, mistakes, depth)


def _mapping(events: Iterator[Any], place: Place, mistakes: Mistakes, depth: int) -> Mapping:
    entries: dict[str, Node] = {}
    keys: dict[str, Scalar] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _node(event, events, place.file, mistakes, depth + 1)
        if not isinstance(key, Scalar):
            raise _Refused(key.place.line, "a mapping's key must be a plain word")
        if key.text == "<<" and not key.quoted:
            raise _Refused(key.place.line, "merge key `<<` is not supported; write the entries out")
        if key.text in keys:
            mistakes.add(key.place, f"`{key.text}` stands twice; first on line {keys[key.text].place.line}")
        keys[key.text] = key
        entries[key.text] = _node(next(events), events, place.file, mistakes, depth + 1)
    return Mapping(entries, keys, place)


# ----------------------------------------------------------------------------- readers of single fields


def text_of(node: Node | None, what: str, mistakes: Mistakes) -> str:
    """A string. Plain scalars that other YAML readers take for a boolean, null, number or date must be quoted."""
    if not isinstance(node, Scalar):
        if node is not None:
            mistakes.add(node.place, f"{what} must be a string")
        return ""
    if node.is_null:
        mistakes.add(node.place, f"{what} is empty; write a value or leave the key out")
        return ""
    if not node.quoted and _AMBIGUOUS.fullmatch(node.text):
        mistakes.add(node.place, f'{what}: `{node.text}` is not read as text by every YAML reader; quote it: "{node.text}"')
    return node.text


_AMBIGUOUS = re.compile(
    r"(?i:true|false|yes|no|on|off|y|n|null|~)|[-+]?\.?[0-9][0-9_.,eE+-]*|[-+]?\.(?:inf|nan)|0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9]+(?::[0-9]{1,2})+",
    re.ASCII | re.IGNORECASE,
)


def texts_of(node: Node | None, what: str, mistakes: Mistakes) -> tuple[str, ...]:
    """A list of strings; a single string is refused, for `read` and `[read]` should not both be written."""
    if node is None:
        return ()
    if not isinstance(node, Sequence):
        mistakes.add(node.place, f"{what} must be a list, for example [a, b]")
        return ()
    return tuple(text_of(item, f"an entry of {what}", mistakes) for item in node)


def boolean_of(node: Node, what: str, mistakes: Mistakes) -> bool:
    """`true` or `false`, nothing else."""
    if isinstance(node, Scalar) and not node.quoted and node.text in ("true", "false"):
        return node.text == "true"
    mistakes.add(node.place, f"{what} must be true or false")
    return False


def integer_of(node: Node, what: str, mistakes: Mistakes) -> int:
    """A decimal integer, unquoted, without underscores or leading zeros."""
    if isinstance(node, Scalar) and not node.quoted and _INTEGER.fullmatch(node.text):
        return int(node.text)
    mistakes.add(node.place, f"{what} must be a whole number")
    return 0


def decimal_of(node: Node, what: str, mistakes: Mistakes) -> float:
    """A decimal number such as `0.5` or `30`."""
    if isinstance(node, Scalar) and not node.quoted and _DECIMAL.fullmatch(node.text):
        return float(node.text)
    mistakes.add(node.place, f"{what} must be a number, for example 2.5")
    return 0.0


def mapping_of(node: Node | None, what: str, mistakes: Mistakes) -> Mapping | None:
    """A mapping, or None (with the mistake recorded unless absent)."""
    if node is None or isinstance(node, Mapping):
        return node
    mistakes.add(node.place, f"{what} must be a mapping of keys to values")
    return None


def known_keys(mapping: Mapping, known: tuple[str, ...], what: str, mistakes: Mistakes) -> None:
    """Record each key that is not `known`, with the nearest known one."""
    import difflib  # only where a mistake is likely: keeps the start cheap

    for key, scalar in mapping.keys.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean `{near[0]}`?" if near else f"; known here: {', '.join(known)}"
            mistakes.add(scalar.place, f"{what} has no `{key}`{hint}")
