"""Which attributes a request speaks of, and what its key condition proves: expressions and legacy parameters in one form.

`read_mentions` takes one member that carries expressions: a whole request, a table of BatchGetItem, the verb of a transaction.
Every alias is resolved, so one attribute has one spelling. As with DynamoDB a placeholder that is not defined, not used or of
the wrong map is refused, so are paths that overlap, and so is a mixture of expressions and legacy parameters; `KeyConditions`
alone may stand beside expressions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from proxy.dynamodb.expression import KeyTest, read_expression
from proxy.dynamodb.legacy import key_tests, paths_compared, paths_expected, paths_projected, paths_updated, refuse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from proxy.dynamodb.expression_tokens import Path

    AttributeValue: TypeAlias = Mapping[str, Any]  # {"S": "..."}: one type, its content

_NAMES, _VALUES = "ExpressionAttributeNames", "ExpressionAttributeValues"
_TESTING = ("KeyConditionExpression", "FilterExpression", "ConditionExpression")
_EXPRESSIONS = (*_TESTING, "ProjectionExpression", "UpdateExpression")
_LEGACY = frozenset(("AttributesToGet", "AttributeUpdates", "Expected", "ConditionalOperator", "QueryFilter", "ScanFilter"))
_WRITTEN = frozenset((*_EXPRESSIONS, _NAMES, _VALUES))
_SPEAKING = _LEGACY | _WRITTEN | {"KeyConditions"}
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_CACHED = 2048
_CACHED_WEIGHT = 1024  # characters of texts and names; what is longer is worked out each time


class Range(NamedTuple):
    """A test of a key attribute that is no equality: `<`, `<=`, `>`, `>=`, `between` or `begins_with`."""

    kind: str
    values: tuple[AttributeValue, ...]


@dataclass(frozen=True)
class Mentions:
    """Paths as DynamoDB will take them; the first element of each is the attribute. Keys and items are not among them."""

    projected: tuple[Path, ...] | None = None  # None: nothing is projected, so items come whole
    tested: tuple[Path, ...] = ()  # conditions, filters and key conditions: the answer tells about these
    sources: tuple[Path, ...] = ()  # what an update copies from
    targets: tuple[Path, ...] = ()  # what an update changes
    has_condition: bool = False  # the write depends on something; what, says `tested`
    equalities: Mapping[str, AttributeValue] = field(default_factory=lambda: _NOTHING)  # proven for every item that is read
    ranges: Mapping[str, Range] = field(default_factory=lambda: _NOTHING)  # likewise

    length: int = field(default=0, compare=False)  # of the expressions, in tokens

    @cached_property
    def attributes(self) -> frozenset[str]:
        """Every attribute that is spoken of."""
        paths = (*(self.projected or ()), *self.tested, *self.sources, *self.targets)
        return roots_of(paths)


_SILENT = Mentions()


def roots_of(paths: Iterable[Path]) -> frozenset[str]:
    """The attributes in which paths begin."""
    return frozenset(str(path[0]) for path in paths)


def read_mentions(request: Mapping[str, Any]) -> Mentions:
    """What one member says. `members` has judged it, so its parts have the types of DynamoDB's model.

    Raises `Unreadable` UNREADABLE_BODY.
    """
    if _SPEAKING.isdisjoint(request):
        return _SILENT
    if _LEGACY.isdisjoint(request) and not ("KeyConditions" in request and "KeyConditionExpression" in request):
        return _of_expressions(request)
    if not _WRITTEN.isdisjoint(request):
        refuse("the request mixes expressions and legacy parameters; DynamoDB takes one or the other")
    return _of_legacy(request)


def as_written(member: Mapping[str, Any]) -> tuple[object, ...]:
    """What decides what a member of a batch or transaction says: equal for two that say the same in the same words."""
    return (
        *[member.get(expression) for expression in _EXPRESSIONS],
        tuple(member.get(_NAMES, _NOTHING).items()),
        tuple(member.get(_VALUES, _NOTHING)),
        tuple(member.get("AttributesToGet", ())),
    )


def _of_legacy(request: Mapping[str, Any]) -> Mentions:
    tests = key_tests(request.get("KeyConditions", _NOTHING))
    expected = paths_expected(request.get("Expected", _NOTHING))
    equalities, ranges = _proven(tests)
    return Mentions(
        projected=paths_projected(request["AttributesToGet"]) if "AttributesToGet" in request else None,
        tested=(
            *((test.attribute,) for test in tests),
            *paths_compared("QueryFilter", request.get("QueryFilter", _NOTHING)),
            *paths_compared("ScanFilter", request.get("ScanFilter", _NOTHING)),
            *expected,
        ),
        targets=paths_updated(request.get("AttributeUpdates", _NOTHING)),
        has_condition=bool(expected),
        equalities=equalities,
        ranges=ranges,
    )


def _of_expressions(request: Mapping[str, Any]) -> Mentions:
    names, values = request.get(_NAMES, _NOTHING), request.get(_VALUES, _NOTHING)
    texts = tuple(map(request.get, _EXPRESSIONS))
    weight = sum(map(len, filter(None, texts))) + sum(map(len, names.values()))
    settle = _settled if weight <= _CACHED_WEIGHT else _settle
    said, tests = settle(texts, tuple(names.items()), tuple(values))
    if not tests and "KeyConditions" not in request:
        return said
    given_tests = [KeyTest(attribute, kind, tuple(map(values.__getitem__, used))) for attribute, kind, used in tests]
    legacy_tests = key_tests(request["KeyConditions"]) if "KeyConditions" in request else ()
    equalities, ranges = _proven((*given_tests, *legacy_tests))
    return Mentions(  # `replace` would take longer than all else here
        projected=said.projected,
        tested=(*[(test.attribute,) for test in legacy_tests], *said.tested),
        sources=said.sources,
        targets=said.targets,
        has_condition=said.has_condition,
        equalities=equalities,
        ranges=ranges,
        length=said.length,
    )


def _settle(
    texts: tuple[str | None, ...], aliases: tuple[tuple[str, str], ...], placeholders: tuple[str, ...]
) -> tuple[Mentions, tuple[KeyTest, ...]]:
    """All that does not depend on values: what is mentioned, and the key tests with their placeholders."""
    names = dict(aliases)
    read = {member: read_expression(member, text) for member, text in zip(_EXPRESSIONS, texts, strict=True) if text is not None}
    _check_placeholders(_NAMES, names, [expression.names for expression in read.values()])
    _check_placeholders(_VALUES, placeholders, [expression.values for expression in read.values()])
    paths = {member: _resolved(expression.reads, names) for member, expression in read.items()}
    targets = _resolved(read["UpdateExpression"].targets, names) if "UpdateExpression" in read else ()
    refuse_overlaps("UpdateExpression", targets)
    refuse_overlaps("ProjectionExpression", paths.get("ProjectionExpression", ()))
    said = Mentions(
        projected=paths.get("ProjectionExpression"),
        tested=tuple(path for member in _TESTING for path in paths.get(member, ())),
        sources=paths.get("UpdateExpression", ()),
        targets=targets,
        has_condition="ConditionExpression" in read,
        length=sum(expression.length for expression in read.values()),
    )
    tests = [test for expression in read.values() for test in expression.tests]
    return said, tuple(test._replace(attribute=names.get(test.attribute, test.attribute)) for test in tests)


_settled = lru_cache(_CACHED)(_settle)


def _check_placeholders(member: str, defined: Collection[str], used_in: list[frozenset[str]]) -> None:
    used = frozenset[str]().union(*used_in)
    if not used.issubset(defined):
        refuse(f"`{member}` does not define a placeholder that an expression uses")
    if len(used) != len(defined):
        refuse(f"`{member}` defines a placeholder that no expression uses")


def _resolved(paths: tuple[Path, ...], names: Mapping[str, str]) -> tuple[Path, ...]:
    """Paths with their aliases replaced; an alias is one element, whatever its name holds."""
    return tuple(tuple(names.get(step, step) if isinstance(step, str) else step for step in path) for path in paths)


def _proven(tests: Iterable[KeyTest]) -> tuple[Mapping[str, AttributeValue], Mapping[str, Range]]:
    equalities: dict[str, AttributeValue] = {}
    ranges: dict[str, Range] = {}
    for attribute, kind, values in tests:
        if attribute in equalities or attribute in ranges:
            refuse("`KeyConditionExpression` tests a key attribute twice")
        if kind == "=":
            equalities[attribute] = values[0]
        else:
            ranges[attribute] = Range(kind, values)
    return equalities, ranges


def refuse_overlaps(member: str, paths: tuple[Path, ...]) -> None:
    """Refuse paths of which one lies in another, or which take one thing for a map and for a list, as DynamoDB does."""
    tree: dict[str | int, Any] = {}
    for path in paths:
        branch, is_new = tree, True
        for step in path:
            first = next(iter(branch), None)
            if first is None and not is_new:
                refuse(f"`{member}` has paths that overlap; leave one of them out")  # an earlier path ends here
            if first is not None and type(first) is not type(step):
                refuse(f"`{member}` has paths that take one thing for a map and for a list")
            is_new = step not in branch
            branch = branch.setdefault(step, {})
        if not is_new:
            refuse(f"`{member}` has paths that overlap; leave one of them out")
