"""The changes: each site of a module's syntax tree, and what can be changed there.

Left alone are docstrings, annotations, decorators, imports, what only type checkers read, and sentences: they decide nothing.
A mutant's name (module, function, change, text of the line) holds no line number, so that it outlives edits elsewhere.
"""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import CodeType

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.Mod: ast.FloorDiv,
    ast.FloorDiv: ast.Mod,
}
_UNTESTED = ("annotation", "returns", "type_comment", "decorator_list")


class Change(NamedTuple):
    """One way to change one node. `make` gives the node that takes its place, from a copy of it."""

    what: str
    make: Callable[[ast.AST], ast.AST]


class Mutant(NamedTuple):
    """One change at one place."""

    module: str  # proxy.policy.rules
    path: Path
    name: str
    line: int
    node: int  # its place in the order of `ast.walk`
    change: int  # its place among the changes of that node

    def code(self) -> CodeType:
        """The changed module, with the lines of the unchanged one."""
        tree = ast.parse(self.path.read_text())
        wanted = list(ast.walk(tree))[self.node]
        found = list(_changes(wanted))[self.change].make(copy.deepcopy(wanted))
        changed = _Swap(wanted, ast.copy_location(found, wanted)).visit(tree)
        return compile(ast.fix_missing_locations(changed), str(self.path), "exec")


class _Swap(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        """The tree with one node for another."""
        return self._new if node is self._old else self.generic_visit(node)


def mutants_of(path: Path, module: str) -> list[Mutant]:
    """Every mutant of one module, in the order of its text."""
    text = path.read_text()
    tree, lines = ast.parse(text), text.splitlines()
    places = {id(node): place for place, node in enumerate(ast.walk(tree))}
    found, counts = [], dict[str, int]()
    for node, owner in _tested(tree, ""):
        for number, change in enumerate(_changes(node)):
            line: int = getattr(node.target if isinstance(node, ast.comprehension) else node, "lineno", 0)
            name = f"{module}:{owner or '-'}: {change.what}: {' '.join(lines[line - 1].split())}"
            counts[name] = counts.get(name, 0) + 1
            name += f" #{counts[name]}" if counts[name] > 1 else ""
            found.append(Mutant(module, path, name, line, places[id(node)], number))
    return found


def _tested(node: ast.AST, owner: str) -> Iterator[tuple[ast.AST, str]]:
    """Nodes that tests can tell something of, each with the function or class that it stands in."""
    for field, value in ast.iter_fields(node):
        if field in _UNTESTED:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.Import, ast.ImportFrom, ast.JoinedStr)):
                continue
            if (
                _is_docstring(child)
                or _is_size_of_cache(child)
                or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING")
            ):
                continue
            yield child, owner
            inner = owner
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inner = f"{owner}.{child.name}" if owner else child.name
            yield from _tested(child, inner)


def _is_size_of_cache(node: ast.AST) -> bool:
    """How much is kept changes no answer."""
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith("_CACHED")


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for place, sign in enumerate(node.ops):
            if other := _COMPARED.get(type(sign)):
                yield Change(f"{type(sign).__name__} to {other.__name__}", _compared(place, other))
    elif isinstance(node, ast.BoolOp):
        other_joint = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield Change("and/or", lambda old: _with(old, op=other_joint()))
        for place in range(len(node.values)):
            yield Change(f"without operand {place + 1}", _without(place))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield Change("without not", lambda old: old.operand)  # type: ignore[attr-defined]  # of the kind that was asked for
    elif isinstance(node, ast.BinOp) and (opposite := _COUNTED.get(type(node.op))):
        yield Change(f"{type(node.op).__name__} to {opposite.__name__}", lambda old: _with(old, op=opposite()))
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node)
    else:
        yield from _of_statement(node)


def _of_constant(node: ast.Constant) -> Iterator[Change]:
    if isinstance(node.value, bool):
        yield Change(f"{node.value} to {not node.value}", lambda old: _with(old, value=not old.value))  # type: ignore[attr-defined]  # of the kind that was asked for
    elif isinstance(node.value, int):
        yield Change("one more", lambda old: _with(old, value=old.value + 1))  # type: ignore[attr-defined]  # of the kind that was asked for
    elif isinstance(node.value, str) and " " not in node.value:
        yield Change("another text", lambda old: _with(old, value=old.value + "\x01"))  # type: ignore[attr-defined]  # of the kind that was asked for


def _of_statement(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Return) and node.value is not None and not _is_false(node.value):
        yield Change("returns None", lambda old: _with(old, value=ast.Constant(None)))
    elif isinstance(node, (ast.Expr, ast.Raise, ast.AugAssign, ast.Continue, ast.Break)):
        yield Change("deleted", lambda _: ast.Pass())
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)) and not isinstance(node.test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
        yield Change("negated", lambda old: _with(old, test=ast.UnaryOp(ast.Not(), old.test)))  # type: ignore[attr-defined]  # of the kind that was asked for
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield Change("without its if", lambda old: _with(old, ifs=[]))


def _is_false(node: ast.expr) -> bool:
    """None, False and what is empty: where one is asked for, another is the same answer."""
    return isinstance(node, ast.Constant) and not node.value


def _with(node: ast.AST, **fields: object) -> ast.AST:
    for field, value in fields.items():
        setattr(node, field, value)
    return node


def _compared(place: int, other: type[ast.cmpop]) -> Callable[[ast.AST], ast.AST]:
    def make(old: ast.AST) -> ast.AST:
        assert isinstance(old, ast.Compare)
        old.ops[place] = other()
        return old

    return make


def _without(place: int) -> Callable[[ast.AST], ast.AST]:
    def make(old: ast.AST) -> ast.AST:
        assert isinstance(old, ast.BoolOp)
        del old.values[place]
        return old if len(old.values) > 1 else old.values[0]

    return make
