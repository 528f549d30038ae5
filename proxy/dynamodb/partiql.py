"""PartiQL by DynamoDB's own dialect: one statement, one table, what it proves about keys and how it touches attributes.

An equality is proven only where the top-level conjunction of WHERE has it; below OR and NOT nothing is. What the dialect does
not have (comments, aliases, joins, sub-selects, other functions, `FROM ... SET`) is `Unreadable`, also where DynamoDB is
known to take it. Grammar: developer guide, "PartiQL for DynamoDB"; its corners are held against DynamoDB Local.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from proxy.dynamodb.mentions import refuse_overlaps, roots_of
from proxy.dynamodb.partiql_conditions import ConditionReader
from proxy.dynamodb.partiql_tokens import Kind, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.dynamodb.expression_tokens import Path
    from proxy.dynamodb.partiql_conditions import Equalities, Given

_CACHED_TEXT = 512  # longer statements are read each time: the cache must not be a place to fill
_CACHED_TEXTS = 1024
_RESOURCE = re.compile(r"[A-Za-z0-9_.\-]{3,255}", re.ASCII)
_RETURNING = {
    ("ALL", "OLD"): "ALL_OLD",
    ("ALL", "NEW"): "ALL_NEW",
    ("MODIFIED", "OLD"): "UPDATED_OLD",
    ("MODIFIED", "NEW"): "UPDATED_NEW",
}
_UPDATE_FUNCTIONS = frozenset(("LIST_APPEND", "SET_ADD", "SET_DELETE", "IF_NOT_EXISTS"))


class Verb(StrEnum):
    """What a statement does. `EXISTS` is the condition check of ExecuteTransaction and has no place elsewhere."""

    SELECT = "Select"
    INSERT = "Insert"
    UPDATE = "Update"
    DELETE = "Delete"
    EXISTS = "Exists"

    @property
    def action(self) -> str:
        """The IAM action; that of EXISTS is not documented, and a read it is."""
        return f"PartiQL{Verb.SELECT if self is Verb.EXISTS else self}"


@dataclass(frozen=True)
class Statement:
    """One statement. The first element of each path is the attribute; `INSERT` and `DELETE` touch whole items besides."""

    verb: Verb
    table: str
    index: str = ""
    # Each item that is read or changed has one of the values in each attribute; every one of them must be permitted.
    equalities: Mapping[str, tuple[Given, ...]] = field(default_factory=lambda: MappingProxyType({}))
    projected: tuple[Path, ...] | None = ()  # None: whole items come back
    tested: tuple[Path, ...] = ()  # WHERE and ORDER BY
    sources: tuple[Path, ...] = ()  # what SET copies from
    targets: tuple[Path, ...] = ()  # what SET and REMOVE change, and the attributes of an inserted item
    returning: str = "NONE"  # as ReturnValues has it
    parameters: int = 0  # how many `?` it has
    tokens: int = field(default=0, compare=False)  # how long it is to read

    @cached_property
    def attributes(self) -> frozenset[str]:
        """Every attribute that is spoken of."""
        return roots_of((*(self.projected or ()), *self.tested, *self.sources, *self.targets))


def read_statement(text: str) -> Statement:
    """Read one statement. Raises `Unreadable` UNREADABLE_BODY; the message says where, never what."""
    return _read_cached(text) if len(text) <= _CACHED_TEXT else _read(text)


def _read(text: str) -> Statement:
    reader = _StatementReader(text)
    verb = reader.take(Kind.KEYWORD)
    if verb not in Verb.__members__:
        refuse("must begin with SELECT, INSERT, UPDATE, DELETE or EXISTS")
    statement = {
        "SELECT": reader.select,
        "INSERT": reader.insert,
        "UPDATE": reader.update,
        "DELETE": reader.delete,
        "EXISTS": reader.exists,
    }[verb]()
    reader.take(Kind.END)
    return replace(statement, tokens=len(reader.tokens))


_read_cached = lru_cache(_CACHED_TEXTS)(_read)


class _StatementReader(ConditionReader):
    """The five statements, each from after its verb."""

    def select(self) -> Statement:
        """`paths|* FROM table[.index] [WHERE ... [ORDER BY ...]]`."""
        projected = self._projection()
        self.expect("FROM")
        table, index = self._table_or_index()
        proven: Equalities = {}
        if self.has_taken("WHERE"):
            proven = self.condition()
            if self.has_taken("ORDER"):
                self.expect("BY")
                self._order()
        return Statement(
            Verb.SELECT,
            table,
            index,
            MappingProxyType(proven),
            projected=projected,
            tested=tuple(self.reads),
            parameters=self.parameters,
        )

    def exists(self) -> Statement:
        """`(SELECT ...)`: nothing comes back, so what it projects is only tested."""
        self.open("(")
        self.expect("SELECT")
        read = self.select()
        self.close(")")
        return Statement(
            Verb.EXISTS,
            read.table,
            read.index,
            read.equalities,
            tested=(*(read.projected or ()), *read.tested),
            parameters=read.parameters,
        )

    def insert(self) -> Statement:
        """`INTO table VALUE {...}`."""
        self.expect("INTO")
        table = self._table()
        self.expect("VALUE")
        self.open("{")
        item: dict[str, Given | None] = {}
        while True:
            name = self.take(Kind.STRING)
            if name in item:
                refuse("names an attribute twice")
            self.expect(":")
            item[name] = self.value()
            if not self.has_taken(","):
                break
        self.close("}")
        return Statement(
            Verb.INSERT,
            table,
            equalities=MappingProxyType({name: (given,) for name, given in item.items() if given is not None}),
            targets=tuple((name,) for name in item),
            parameters=self.parameters,
        )

    def update(self) -> Statement:
        """`table SET|REMOVE ... WHERE ... [RETURNING ...]`."""
        table = self._table()
        targets: list[Path] = []
        if not self.is_at("SET", "REMOVE"):
            self.unexpected()
        while not self.is_at("WHERE"):
            if self.has_taken("REMOVE"):
                targets.append(self.path())
            else:
                self.expect("SET")
                targets.append(self._assignment())
                while self.has_taken(","):
                    targets.append(self._assignment())
        refuse_overlaps("Statement", tuple(targets))
        sources, self.reads = tuple(self.reads), []
        self.expect("WHERE")
        proven = self.condition()
        return Statement(
            Verb.UPDATE,
            table,
            equalities=MappingProxyType(proven),
            tested=tuple(self.reads),
            sources=sources,
            targets=tuple(targets),
            returning=self._returning(),
            parameters=self.parameters,
        )

    def delete(self) -> Statement:
        """`FROM table WHERE ... [RETURNING ALL OLD *]`."""
        self.expect("FROM")
        table = self._table()
        self.expect("WHERE")
        proven, returning = self.condition(), self._returning()
        if returning not in ("NONE", "ALL_OLD"):
            refuse("can only have RETURNING ALL OLD * in a DELETE")
        return Statement(
            Verb.DELETE,
            table,
            equalities=MappingProxyType(proven),
            tested=tuple(self.reads),
            returning=returning,
            parameters=self.parameters,
        )

    # --------------------------------------------------------------------------------------------------- parts

    def _projection(self) -> tuple[Path, ...] | None:
        if self.has_taken("*"):
            return None
        projected = [self.path()]
        while self.has_taken(","):
            projected.append(self.path())
        refuse_overlaps("Statement", tuple(projected))
        return tuple(projected)

    def _table(self) -> str:
        name = self.take(Kind.NAME)
        if _RESOURCE.fullmatch(name) is None:
            refuse("names a table or index that can have no such name; an ARN has no place in PartiQL")
        return name

    def _table_or_index(self) -> tuple[str, str]:
        is_quoted, table = self.here.is_quoted, self._table()
        if not self.has_taken("."):
            return table, ""
        if not (is_quoted and self.here.is_quoted):
            refuse('must have table and index in double quotes, as in "table"."index"')
        return table, self._table()

    def _order(self) -> None:
        while True:
            self.reads.append((self.take(Kind.NAME),))
            self.has_taken("ASC", "DESC")
            if not self.has_taken(","):
                break

    def _assignment(self) -> Path:
        target = self.path()
        self.expect("=")
        self._sum()
        return target

    def _sum(self) -> None:
        self._term()
        while self.has_taken("+", "-"):
            self._term()

    def _term(self) -> None:
        if self.here.kind is Kind.NUMBER:
            self.operand()
        elif self.is_at("("):
            self.open("(")
            self._sum()
            self.close(")")
        elif function := self.function():
            if function not in _UPDATE_FUNCTIONS:
                refuse("uses a function that is not known in an UPDATE")
            self.at += 1
            self.open("(")
            self._sum()
            self.expect(",")
            self._sum()
            self.close(")")
        else:
            self.operand()

    def _returning(self) -> str:
        if not self.has_taken("RETURNING"):
            return "NONE"
        words = (self.take(Kind.KEYWORD), self.take(Kind.KEYWORD))
        self.expect("*")
        return _RETURNING.get(words) or refuse("can have RETURNING with (ALL|MODIFIED) (OLD|NEW) * only")
