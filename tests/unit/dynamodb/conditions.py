"""Conditions as trees: written as text in DynamoDB's dialects, and evaluated on items. An oracle that knows no parser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Mapping

# ("and", a, b) ("or", a, b) ("not", a) ("in", name, texts), or a test (kind, name, text)
Condition: TypeAlias = tuple[Any, ...]
Item: TypeAlias = dict[str, str]  # attribute -> its string

NAMES = ("pk", "sk", "owner", "size.of", "and")
TEXTS = ("a", "ab", "b")
attributes = st.sampled_from(NAMES)
texts = st.sampled_from(TEXTS)
items: st.SearchStrategy[Item] = st.dictionaries(attributes, texts)
tests: st.SearchStrategy[Condition] = st.tuples(
    st.sampled_from(("=", "<", "begins_with", "missing")), attributes, texts
) | st.tuples(st.just("in"), attributes, st.lists(texts, min_size=1, max_size=2).map(tuple))
conditions: st.SearchStrategy[Condition] = st.recursive(
    tests,
    lambda inner: (
        st.tuples(st.just("and"), inner, inner) | st.tuples(st.just("or"), inner, inner) | st.tuples(st.just("not"), inner)
    ),
    max_leaves=5,
)


def holds(condition: Condition, item: Mapping[str, str]) -> bool:
    """Whether `item` meets `condition`."""
    match condition:
        case ("and", left, right):
            return holds(left, item) and holds(right, item)
        case ("or", left, right):
            return holds(left, item) or holds(right, item)
        case ("not", inner):
            return not holds(inner, item)
        case ("missing", name, _):
            return name not in item
        case (_, name, _) if name not in item:
            return False
        case ("=", name, text):
            return item[name] == text
        case ("<", name, text):
            return item[name] < text
        case ("begins_with", name, text):
            return item[name].startswith(text)
        case ("in", name, candidates):
            return item[name] in candidates
        case _:
            raise AssertionError(condition)


def names_in(condition: Condition) -> set[str]:
    """Every attribute that is tested."""
    kind, *rest = condition
    return set().union(*map(names_in, rest)) if kind in ("and", "or", "not") else {rest[0]}


class Expression:
    """Writes conditions as DynamoDB's expressions, with a placeholder for each name and value."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def name(self, name: str) -> str:
        """Its alias."""
        alias = f"#{NAMES.index(name)}"
        self.names[alias] = name
        return alias

    def value(self, text: str) -> str:
        """A new placeholder."""
        placeholder = f":{len(self.values)}"
        self.values[placeholder] = {"S": text}
        return placeholder

    def text(self, condition: Condition, *, is_inner: bool = False) -> str:
        """The text; inner conditions stand in parentheses."""
        match condition:
            case ("and" | "or" as word, left, right):
                joined = f"{self.text(left, is_inner=True)} {word} {self.text(right, is_inner=True)}"
                return f"({joined})" if is_inner else joined
            case ("not", inner):
                return f"NOT {self.text(inner, is_inner=True)}"
            case ("missing", name, _):
                return f"attribute_not_exists({self.name(name)})"
            case ("begins_with", name, text):
                return f"begins_with({self.name(name)}, {self.value(text)})"
            case ("in", name, candidates):
                return f"{self.name(name)} IN ({', '.join(map(self.value, candidates))})"
            case (sign, name, text):
                return f"{self.name(name)} {sign} {self.value(text)}"
            case _:
                raise AssertionError(condition)


class Statement:
    """Writes conditions as PartiQL, with every second value as a parameter."""

    def __init__(self) -> None:
        self.parameters: list[Any] = []
        self.count = 0

    def value(self, text: str) -> str:
        """A literal or a `?`."""
        self.count += 1
        if self.count % 2:
            return f"'{text}'"
        self.parameters.append({"S": text})
        return "?"

    def text(self, condition: Condition, *, is_inner: bool = False) -> str:
        """The text; inner conditions stand in parentheses."""
        match condition:
            case ("and" | "or" as word, left, right):
                joined = f"{self.text(left, is_inner=True)} {word} {self.text(right, is_inner=True)}"
                return f"({joined})" if is_inner else joined
            case ("not", inner):
                return f"NOT {self.text(inner, is_inner=True)}"
            case ("missing", name, _):
                return f'"{name}" IS MISSING'
            case ("begins_with", name, text):
                return f'begins_with("{name}", {self.value(text)})'
            case ("in", name, candidates):
                return f'"{name}" IN [{", ".join(map(self.value, candidates))}]'
            case (sign, name, text):
                return f'"{name}" {sign} {self.value(text)}'
            case _:
                raise AssertionError(condition)
