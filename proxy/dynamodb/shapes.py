"""The kinds of member that a request can have, each with its judge: a closure that is compiled once.

A judge returns nothing or raises `Misfit`, which gathers the path of member names on its way up, so that the good path
pays nothing for it. Messages name members of the API and valid table names, never an attribute, a key or a value.
`null` fits nowhere: DynamoDB takes it for absent, but then what was judged is not what was written.
Meaning (sizes of items, expressions, empty sets) is DynamoDB's to judge; here only what could be read in two ways is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from sys import maxsize
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from proxy.dynamodb.values import Misfit, check_attributes, check_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Judge: TypeAlias = Callable[[Any], None]

# A shape for `native.plainly_fits`: one of these and what belongs to it, in the order of native.c's. None: it has no word for it.
Plan: TypeAlias = "tuple[Any, ...] | None"
_TEXT, _NAME, _CHOICE, _FLAG, _WHOLE, _VALUE, _ATTRIBUTES, _LIST, _MAP, _BY_TABLE, _STRUCTURE = range(11)

_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**64 - 1  # that orjson writes

_MEMBER_NAME = re.compile(r"[A-Za-z]{1,64}", re.ASCII)


class Shape(Protocol):
    """A kind of member."""

    def judge(self) -> Judge:
        """The closure that raises `Misfit` for whatever is not of this kind."""
        ...

    def plan(self) -> Plan:
        """The same for the compiled form, which may know less of the kind and never more."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A string of `shortest` to `longest` characters."""

    shortest: int = 0
    longest: int = maxsize

    def judge(self) -> Judge:
        """Refuses other types and lengths."""
        shortest, longest = self.shortest, self.longest

        def check(value: Any) -> None:
            if type(value) is not str:
                raise Misfit("must be a string")
            if not shortest <= len(value) <= longest:
                raise Misfit(f"must have {shortest} to {longest} characters")

        return check

    def plan(self) -> Plan:
        """All of it."""
        return (_TEXT, self.shortest, self.longest)


@dataclass(frozen=True, slots=True)
class Matching:
    """A string that fits a pattern to its last character: a name, an ARN, a Region."""

    pattern: str
    problem: str  # `must name an index: ...`
    takes_names: bool = False  # whatever could name a table fits: 3 to 255 of the characters A-Z a-z 0-9 _ . -

    def judge(self) -> Judge:
        """Refuses everything else."""
        matches, problem = re.compile(self.pattern, re.ASCII).fullmatch, self.problem

        def check(value: Any) -> None:
            if type(value) is not str or matches(value) is None:
                raise Misfit(problem)

        return check

    def plan(self) -> Plan:
        """Names alone."""
        return (_NAME,) if self.takes_names else None


@dataclass(frozen=True, slots=True)
class Choice:
    """One word of a closed list."""

    words: tuple[str, ...]

    def judge(self) -> Judge:
        """Refuses other words, also in another case."""
        words = frozenset(self.words)
        problem = f"must be one of {', '.join(self.words)}"

        def check(value: Any) -> None:
            if type(value) is not str or value not in words:
                raise Misfit(problem)

        return check

    def plan(self) -> Plan:
        """All of it."""
        return (_CHOICE, frozenset(self.words))


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`; DynamoDB would also take `"true"` and `"1"`, which is why we do not."""

    def judge(self) -> Judge:
        """Refuses strings and numbers that mean a boolean elsewhere."""

        def check(value: Any) -> None:
            if type(value) is not bool:
                raise Misfit("must be true or false")

        return check

    def plan(self) -> Plan:
        """All of it."""
        return (_FLAG,)


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer from `least` to `most`; no float, also not one without fraction."""

    least: int
    most: int = 2**31 - 1

    def judge(self) -> Judge:
        """Refuses floats, booleans and what is out of range."""
        least, most = self.least, self.most

        def check(value: Any) -> None:
            if type(value) is not int or not least <= value <= most:
                raise Misfit(f"must be a whole number from {least} to {most}")

        return check

    def plan(self) -> Plan:
        """All of it."""
        return (_WHOLE, self.least, self.most)


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number, for the few members that are no whole ones: a moment in seconds since the epoch, a percentage."""

    least: float
    most: float

    def judge(self) -> Judge:
        """Refuses booleans, strings and what is out of range (`1e400`, read as infinite, is), or cannot be written again."""
        least, most = self.least, self.most

        def check(value: Any) -> None:
            if type(value) not in (int, float) or not least <= value <= most:
                raise Misfit(f"must be a number from {least:g} to {most:g}")
            if type(value) is int and not _LEAST_INTEGER <= value <= _MOST_INTEGER:
                raise Misfit("has too many digits; write it with an exponent")

        return check

    def plan(self) -> Plan:
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Value:
    """One AttributeValue."""

    def judge(self) -> Judge:
        """Refuses what `check_value` refuses."""
        return check_value

    def plan(self) -> Plan:
        """All but long numbers and binary values."""
        return (_VALUE,)


@dataclass(frozen=True, slots=True)
class Attributes:
    """A map of names to AttributeValues: an item, a key, or the values of an expression's placeholders."""

    def judge(self) -> Judge:
        """Refuses what `check_attributes` refuses."""
        return check_attributes

    def plan(self) -> Plan:
        """All but long numbers and binary values."""
        return (_ATTRIBUTES,)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of `fewest` to `most` members of one shape."""

    member: Shape
    fewest: int = 0
    most: int = maxsize

    def judge(self) -> Judge:
        """Refuses other types, counts and members."""
        member, fewest, most = self.member.judge(), self.fewest, self.most

        def check(value: Any) -> None:
            if type(value) is not list:
                raise Misfit("must be a list")
            if not fewest <= len(value) <= most:
                raise Misfit(f"must have {_range(fewest, most)} members")
            place = 0
            try:
                for entry in value:
                    member(entry)
                    place += 1
            except Misfit as misfit:
                misfit.below(f"[{place}]")
                raise

        return check

    def plan(self) -> Plan:
        """All of it, if the member has a plan."""
        member = self.member.plan()
        return member and (_LIST, self.fewest, self.most, member)


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map whose keys are attribute names or placeholders: they are the caller's data, so no message shows them."""

    member: Shape

    def judge(self) -> Judge:
        """Refuses other types and members."""
        member = self.member.judge()

        def check(value: Any) -> None:
            if type(value) is not dict:
                raise Misfit("must be an object")
            try:
                for entry in value.values():
                    member(entry)
            except Misfit as misfit:
                misfit.below("*")
                raise

        return check

    def plan(self) -> Plan:
        """All of it, if the member has a plan."""
        member = self.member.plan()
        return member and (_MAP, member)


@dataclass(frozen=True, slots=True)
class ByTable:
    """A map whose keys are tables: at least one, at most `most`."""

    table: Matching
    member: Shape
    most: int

    def judge(self) -> Judge:
        """Refuses other types, counts, keys and members."""
        member, check_table, most = self.member.judge(), self.table.judge(), self.most

        def check(value: Any) -> None:
            if type(value) is not dict:
                raise Misfit("must be an object of tables")
            if not 1 <= len(value) <= most:
                raise Misfit(f"must name 1 to {most} tables")
            for table, entry in value.items():
                try:
                    check_table(table)
                except Misfit as misfit:
                    raise Misfit(f"has a key that {misfit.problem}") from None
                try:
                    member(entry)
                except Misfit as misfit:
                    misfit.below(table)
                    raise

        return check

    def plan(self) -> Plan:
        """Tables by name, if the member has a plan."""
        member = self.member.plan()
        return member and (_BY_TABLE, 1, self.most, member) if self.table.takes_names else None


@dataclass(frozen=True, slots=True)
class Structure:
    """An object of known members. With `one_only` exactly one of them is present (the verb of a batch's member)."""

    members: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    one_only: bool = False

    def judge(self) -> Judge:
        """Refuses unknown, missing, null and unfit members, and more or fewer than one where one is meant."""
        judge_of = {name: shape.judge() for name, shape in self.members.items()}.get
        required = self.required
        one_only = f"must have exactly one of {', '.join(self.members)}" if self.one_only else ""

        def check(value: Any) -> None:
            if type(value) is not dict:
                raise Misfit("must be an object")
            for name, member in value.items():
                judge = judge_of(name)
                if judge is None:
                    raise Misfit(_unknown(name))
                try:
                    if member is None:
                        raise Misfit("is null; leave the member out")
                    judge(member)
                except Misfit as misfit:
                    misfit.below(name)
                    raise
            for name in required:
                if name not in value:
                    raise Misfit(f"lacks {', '.join(f'`{name}`' for name in sorted(set(required) - value.keys()))}")
            if one_only and len(value) != 1:
                raise Misfit(one_only)

        return check

    def plan(self) -> Plan:
        """Those of its members that have a plan."""
        plans = {name: plan for name, shape in self.members.items() if (plan := shape.plan()) is not None}
        return (_STRUCTURE, plans, self.required, self.one_only)


def _unknown(name: str) -> str:
    shown = f"member `{name}` that" if _MEMBER_NAME.fullmatch(name) else "member whose name"
    return f"has a {shown} the gateway does not know; what cannot be judged is not forwarded"


def _range(fewest: int, most: int) -> str:
    return f"{fewest} to {most}" if most < maxsize else f"at least {fewest}"
