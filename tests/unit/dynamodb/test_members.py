"""The members of every operation, spelt a second time in `members.txt`: a slip of one of the two is seen.

`make clients` holds the tables against the newest service model; here each line says what is taken today, so that a review of
a change shows it in words. Written anew by `python -m tests.unit.dynamodb.test_members` from the repository's root.
"""

from __future__ import annotations

from pathlib import Path
from sys import maxsize
from typing import TYPE_CHECKING

from proxy.dynamodb import control_parts, names
from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.members import INPUTS
from proxy.dynamodb.shapes import (
    Attributes,
    ByTable,
    Choice,
    Flag,
    ListOf,
    MapOf,
    Matching,
    Number,
    Shape,
    Structure,
    Text,
    Value,
    Whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = Path(__file__).with_name("members.txt")
PARTS = {id(shape): name for name, shape in vars(control_parts).items() if isinstance(shape, Structure)}  # spelt once
NAMES = {shape: name for name, shape in vars(names).items() if isinstance(shape, Matching)}


def lines_of(shape: Shape, path: str) -> Iterator[str]:
    """Each member below `path`, one a line, `!` after one that must be there, with what it may be."""
    match shape:
        case Structure() if id(shape) in PARTS and path != PARTS[id(shape)]:
            yield f"{path}: {PARTS[id(shape)]}"
        case Structure():
            if shape.one_only:
                yield f"{path}: one of {' '.join(sorted(shape.members))}"
            for name in sorted(shape.required):
                if name not in shape.members:
                    yield f"{path}: requires {name}, which nobody can give"
            for name, member in sorted(shape.members.items()):
                yield from lines_of(member, f"{path}.{name}{'!' if name in shape.required else ''}")
        case ListOf():
            yield f"{path}: list of {_range(shape.fewest, shape.most)}"
            yield from lines_of(shape.member, f"{path}[]")
        case ByTable():
            yield f"{path}: 1 to {shape.most}, each under its {NAMES[shape.table]}"
            yield from lines_of(shape.member, f"{path}.*")
        case MapOf():
            yield from lines_of(shape.member, f"{path}.*")
        case _:
            yield f"{path}: {_said(shape)}"


def _said(shape: Shape) -> str:
    match shape:
        case Matching():
            return NAMES[shape]
        case Choice():
            return " ".join(shape.words)
        case Whole():
            return f"whole number {shape.least} to {shape.most}"
        case Number():
            return f"number {shape.least:g} to {shape.most:g}"
        case Text():
            return f"text of {_range(shape.shortest, shape.longest)}"
        case _:
            return {Flag: "flag", Value: "attribute value", Attributes: "attributes"}[type(shape)]


def _range(least: int, most: int) -> str:
    return f"{least} or more" if most == maxsize else f"{least} to {most}"


def current() -> list[str]:
    """All lines: the shared parts, then the operations, each in the order of their names."""
    parts = {name: shape for name, shape in vars(control_parts).items() if isinstance(shape, Structure)}
    lines = [line for name, shape in sorted(parts.items()) for line in lines_of(shape, name)]
    for row in sorted(OPERATIONS):
        lines += [f"{row.name}: {row.kind}, {row.access}, at {row.plane}, as {row.target}", *lines_of(INPUTS[row.name], row.name)]
    return lines


def test_every_member_is_what_it_is_recorded_to_be() -> None:
    """Targets, names, kinds, words, ranges, counts, what must be there and what excludes each other, at every level."""
    assert current() == RECORDED.read_text().splitlines()


if __name__ == "__main__":
    RECORDED.write_text("\n".join(current()) + "\n")
