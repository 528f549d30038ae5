"""PartiQL: from judged statements to touches, one for each statement, with what each proves.

A statement is forwarded as it was received. It was read by a closed grammar over closed tokens (no comments, nothing after
`;`, ASCII white space), so nothing in it can be read in two ways; printing it anew would put the printer's mistakes between
what was judged and what is done, and change the text to which a NextToken is bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.dynamodb.partiql import Statement, Verb, read_statement
from proxy.dynamodb.partiql_conditions import Literal
from proxy.dynamodb.partiql_tokens import refuse
from proxy.model import Pin, TableReference, Touch
from proxy.refusal import Unreadable

if TYPE_CHECKING:
    from proxy.dynamodb.partiql_conditions import Given


# Of all different statements of a request together: what the longest single one can have, 8,192 characters of one token each.
# 100 of those would hold the loop for 2 s, one 20 ms.
MAX_TOKENS = 8192


class StatementFacts:
    """`model.Facts` of one statement. `member` is the judged object that carries it, `request` the whole body."""

    __slots__ = ("_member", "_named", "_request", "_statement")

    def __init__(self, statement: Statement, member: dict[str, Any], request: dict[str, Any]) -> None:
        self._statement = statement
        self._member = member
        self._request = request
        self._named: frozenset[str] | None = None

    def pin(self, name: str) -> Pin | None:
        """Equalities of WHERE's top-level conjunction, or the attributes of an inserted item."""
        given = self._statement.equalities.get(name)
        return Pin(tuple(map(self._value, given))) if given is not None else None

    def _value(self, given: Given) -> dict[str, Any]:
        if isinstance(given, Literal):
            return {given.type: given.text}
        value: dict[str, Any] = self._member["Parameters"][given.position]
        return value

    @property
    def named(self) -> frozenset[str]:
        """Every attribute that the statement speaks of."""
        if self._named is None:
            self._named = self._statement.attributes
        return self._named

    @property
    def whole(self) -> str:
        """Why attributes come back that are not named."""
        statement = self._statement
        if statement.projected is None:
            return "SELECT *"
        if statement.returning.startswith("ALL_"):
            return f"RETURNING {statement.returning.replace('_', ' ')} *"
        if self._member.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            return "ReturnValuesOnConditionCheckFailure ALL_OLD"
        return ""

    @property
    def replaces(self) -> bool:
        """A DELETE; an INSERT fails where an item is."""
        return self._statement.verb is Verb.DELETE

    @property
    def absent(self) -> frozenset[str]:
        """Nothing: what a condition proves missing matters to puts alone."""
        return frozenset()

    @property
    def limit(self) -> int | None:
        """`Limit` of ExecuteStatement."""
        limit: int | None = self._request.get("Limit")
        return limit

    @property
    def total_segments(self) -> int:
        """PartiQL has none."""
        return 1

    @property
    def has_condition(self) -> bool:
        """An INSERT is; of others what WHERE has beyond a key, which is at most two equalities."""
        statement = self._statement
        if statement.verb is Verb.INSERT:
            return True
        tested = {path[0] for path in statement.tested}
        return len(statement.equalities) > 2 or not tested <= statement.equalities.keys()

    @property
    def has_client_token(self) -> bool:
        """`ClientRequestToken` of ExecuteTransaction."""
        return "ClientRequestToken" in self._request


def touch_of_statement(request: Any) -> tuple[Touch, ...]:
    """ExecuteStatement."""
    return (_touch(request, request, 0, read_statement(request["Statement"])),)


def touches_of_batch(request: Any) -> tuple[Touch, ...]:
    """BatchExecuteStatement."""
    return _touches(request, request["Statements"])


def touches_of_transaction(request: Any) -> tuple[Touch, ...]:
    """ExecuteTransaction, where alone EXISTS has its place."""
    return _touches(request, request["TransactStatements"], has_exists=True)


def _touches(request: Any, members: list[Any], *, has_exists: bool = False) -> tuple[Touch, ...]:
    touches, read, tokens = [], dict[str, Statement](), 0
    for position, member in enumerate(members, 1):
        text = member["Statement"]
        try:
            if text not in read:
                read[text] = read_statement(text)
                tokens += read[text].tokens
            if tokens > MAX_TOKENS:
                refuse(
                    f"and those before it have more than {MAX_TOKENS} words and signs; send fewer at once, "
                    "or write values as `?`: a statement that comes again does not count again"
                )
            touches.append(_touch(request, member, position, read[text], has_exists=has_exists))
        except Unreadable as refusal:
            raise Unreadable(refusal.reason, f"statement {position} of {len(members)}: {refusal.message}") from None
    return tuple(touches)


def _touch(request: Any, member: Any, position: int, statement: Statement, *, has_exists: bool = False) -> Touch:
    given = len(member.get("Parameters", ()))
    if statement.verb is Verb.EXISTS and not has_exists:
        refuse("is EXISTS, which has its place in ExecuteTransaction only")
    if statement.parameters != given:
        refuse(f"has {statement.parameters} `?`, and there are {given} `Parameters`")
    facts = StatementFacts(statement, member, request)
    return Touch(statement.verb.action, TableReference(statement.table), statement.index, position, facts)
