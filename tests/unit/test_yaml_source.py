"""Strict YAML with places: what is read, what is refused, and with which line and words."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.yaml_source import (
    MAX_BYTES,
    MAX_DEPTH,
    Mapping,
    Mistakes,
    Node,
    Place,
    Scalar,
    Sequence,
    boolean_of,
    decimal_of,
    integer_of,
    known_keys,
    mapping_of,
    read_yaml,
    text_of,
    texts_of,
)


def read(text: str) -> tuple[Node | None, list[str]]:
    """The document and the mistakes of a file named f.yaml."""
    mistakes = Mistakes()
    return read_yaml(text, "f.yaml", mistakes), mistakes.lines()


def plain(node: Node | None) -> object:
    """The document as dict, list and str."""
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node]
    return node.text if node else None


def value(text: str) -> Node:
    """The node of `text` as the value of a key on line 1."""
    node, mistakes = read(f"key: {text}\n")
    assert isinstance(node, Mapping)
    assert not mistakes
    found = node.get("key")
    assert found is not None
    return found


# ------------------------------------------------------------------------------------------------ documents


def test_a_document_keeps_text_and_lines() -> None:
    """Scalars stay as written, and everything knows its line."""
    node, mistakes = read("dags:\n  orders:\n    - no\n    - 'no'\n    - 007\n")
    assert mistakes == []
    assert plain(node) == {"dags": {"orders": ["no", "no", "007"]}}
    assert isinstance(node, Mapping)
    dags = node.get("dags")
    assert isinstance(dags, Mapping)
    assert str(dags.place_of("orders")) == "f.yaml:2"
    assert dags.place_of("absent") == dags.place == Place("f.yaml", 2)
    assert "orders" in dags
    assert "absent" not in dags
    items = dags.get("orders")
    assert isinstance(items, Sequence)
    assert [(item.text, item.quoted, item.place.line) for item in items if isinstance(item, Scalar)] == [
        ("no", False, 3),
        ("no", True, 4),
        ("007", False, 5),
    ]


@pytest.mark.parametrize("text", ["key: |\n  no\n", "key: >\n  no\n", 'key: "no"', "key: 'no'"])
def test_every_quoting_style_counts_as_quoted(text: str) -> None:
    """Whoever quotes or uses a block means text."""
    node, _ = read(text)
    assert isinstance(node, Mapping)
    found = node.get("key")
    assert isinstance(found, Scalar)
    assert found.quoted


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "f.yaml: is empty"),
        ("# only a comment\n", "f.yaml: is empty"),
        ("---\n", "f.yaml: is empty"),
        ("~", "f.yaml: is empty"),
        ("a: 1\na: 2\n", "f.yaml:2: `a` stands twice; first on line 1"),
        ("a: 1\n'a': 2\n", "f.yaml:2: `a` stands twice; first on line 1"),
        ("x:\n  a: &one 1\n", "f.yaml:2: is not valid YAML: anchor `&one` is not supported; write the value out"),
        ("x: &one {a: b}\n", "f.yaml:1: is not valid YAML: anchor `&one` is not supported; write the value out"),
        ("x: *one\n", "f.yaml:1: is not valid YAML: alias `*one` is not supported; a `*` in a value must be quoted"),
        ("x: !!str 1\n", "f.yaml:1: is not valid YAML: tag `tag:yaml.org,2002:str` is not supported; write a plain value"),
        ("x: !own 1\n", "f.yaml:1: is not valid YAML: tag `!own` is not supported; write a plain value"),
        ("<<: {a: b}\n", "f.yaml:1: is not valid YAML: merge key `<<` is not supported; write the entries out"),
        ("? [a]\n: b\n", "f.yaml:1: is not valid YAML: a mapping's key must be a plain word"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2: is not valid YAML: holds several documents (`---`); use one file for each"),
    ],
)
def test_what_the_dialect_refuses(text: str, mistake: str) -> None:
    """Each has let a wrong policy look right elsewhere; the message says what to write instead."""
    assert read(text) == (None, [mistake])


def test_a_quoted_merge_key_is_an_ordinary_key() -> None:
    """Only the plain `<<` means merging."""
    assert plain(read("'<<': a\n")[0]) == {"<<": "a"}


@pytest.mark.parametrize(
    "text", ["a: [1, 2\n", "a: b: c\n", "a:\n\t- b\n", "a: \x01\n", "a: '\ud800'\n", "x: *\n", "%YAML 9\n---\na"]
)
def test_a_syntax_error_is_one_mistake(text: str) -> None:
    """Broken YAML, control characters and lone surrogates are told, never raised."""
    node, mistakes = read(text)
    assert node is None
    assert len(mistakes) == 1
    assert mistakes[0].startswith("f.yaml")
    assert "is not valid YAML: " in mistakes[0]


@pytest.mark.parametrize(
    "text", ["a:\n\t- b\n", "a: x\n\tb: y\n", "# \u00e9\u4e2d\U0001f600\ntables:\n  \t\ta: b\n", "\u00e9: 1\n\tb: 2\n"]
)
def test_a_tab_is_told_as_one(text: str) -> None:
    """The reader's own words for it are a riddle; what stands before it on other lines may be of any script."""
    line = text.partition("\t")[0].count("\n") + 1
    assert read(text) == (None, [f"f.yaml:{line}: is not valid YAML: a tab stands here; indent with spaces"])


def test_an_empty_file_is_told_with_what_belongs_there() -> None:
    """As the reader of the file says."""
    mistakes = Mistakes()
    assert read_yaml("# nothing\n", "f.yaml", mistakes, "write a: b") is None
    assert mistakes.lines() == ["f.yaml: is empty; write a: b"]


def test_a_syntax_error_knows_its_line() -> None:
    """The line of the problem, counted from 1."""
    assert read("a: 1\nb: c: d\n")[1] == ["f.yaml:2: is not valid YAML: mapping values are not allowed in this context"]


def test_depth_is_bounded() -> None:
    """A file cannot exhaust the stack."""
    nested = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert read(nested)[1] == []
    assert read(f"[[{nested}]]") == (None, [f"f.yaml:1: is not valid YAML: is nested deeper than {MAX_DEPTH} levels"])


def test_size_is_bounded() -> None:
    """Counted in bytes, before anything is parsed."""
    assert read("é" * (MAX_BYTES // 2 + 1)) == (None, [f"f.yaml: is larger than {MAX_BYTES} bytes; split it into several files"])


def test_all_duplicates_are_reported_at_once() -> None:
    """A person mends them in one go."""
    assert len(read("a: 1\na: 2\nb: 1\nb: 2\n")[1]) == 2


@given(st.text())
def test_any_text_is_read_or_reported(text: str) -> None:
    """No text raises, and there is a document exactly if there is no mistake."""
    node, mistakes = read(text)
    assert (node is None) is bool(mistakes)


_PLAIN = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1, max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abc", min_size=1), _PLAIN, min_size=1, max_size=5))
def test_what_was_written_is_read(document: dict[str, object]) -> None:
    """Strings, lists and mappings survive being written by an ordinary YAML writer."""
    node, mistakes = read(yaml.dump(document, default_style='"', allow_unicode=True))
    assert mistakes == []
    assert plain(node) == document


# ------------------------------------------------------------------------------------------------- mistakes


def test_mistakes_are_listed_by_place_with_warnings_last() -> None:
    """Errors first, each kind in the order of files and lines; a place without a line is the file alone."""
    mistakes = Mistakes()
    mistakes.warn(Place("a.yaml", 1), "is odd")
    mistakes.add(Place("b.yaml", 1), "is wrong")
    mistakes.add(Place("a.yaml", 10), "is wrong")
    mistakes.add(Place("a.yaml", 9), "is wrong")
    mistakes.add(Place("a.yaml", 0), "is missing")
    assert mistakes.lines() == [
        "a.yaml: is missing",
        "a.yaml:9: is wrong",
        "a.yaml:10: is wrong",
        "b.yaml:1: is wrong",
        "a.yaml:1: warning: is odd",
    ]


# -------------------------------------------------------------------------------------------- single fields


@pytest.mark.parametrize("text", ["orders", "orders-2", "arn:aws:iam::123:role/x", "2fast", "'no'", '"12"', "a.b", "v1.2", "''"])
def test_text_is_read(text: str) -> None:
    """Plain words, and anything quoted."""
    mistakes = Mistakes()
    assert text_of(value(text), "name", mistakes) == text.strip("'\"")
    assert mistakes.lines() == []


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "Yes",
        "ON",
        "true",
        "n",
        "Null",
        "12",
        "-3",
        "+.5",
        "1e3",
        "1_000",
        ".inf",
        "-.NaN",
        "0x1F",
        "0o17",
        "0b11",
        "2026-11-22",
        "12:30:45",
        "1,2",
    ],
)
def test_text_that_other_readers_take_for_something_else_must_be_quoted(text: str) -> None:
    """`no` is a boolean to some, 0o17 a number: only quotes say that text is meant."""
    mistakes = Mistakes()
    text_of(value(text), "name", mistakes)
    assert mistakes.lines() == [f'f.yaml:1: name: `{text}` is not read as text by every YAML reader; quote it: "{text}"']


@pytest.mark.parametrize("text", ["", "~", "null"])
def test_empty_text_is_a_mistake(text: str) -> None:
    """A key without a value is more often forgotten than meant."""
    mistakes = Mistakes()
    assert text_of(value(text), "name", mistakes) == ""
    assert mistakes.lines() == ["f.yaml:1: name is empty; write a value or leave the key out"]


def test_text_wants_a_scalar() -> None:
    """Absent is no mistake here, a list is."""
    mistakes = Mistakes()
    assert text_of(None, "name", mistakes) == ""
    assert mistakes.lines() == []
    assert text_of(value("[a]"), "name", mistakes) == ""
    assert mistakes.lines() == ["f.yaml:1: name must be a string"]


def test_texts_want_a_list() -> None:
    """Absent is an empty list; a single word is refused; each entry is read as text."""
    mistakes = Mistakes()
    assert texts_of(None, "read", mistakes) == ()
    assert texts_of(value("[a, b]"), "read", mistakes) == ("a", "b")
    assert mistakes.lines() == []
    assert texts_of(value("a"), "read", mistakes) == ()
    assert texts_of(value("[[a]]"), "read", mistakes) == ("",)
    assert mistakes.lines() == [
        "f.yaml:1: read must be a list, for example [a, b]",
        "f.yaml:1: an entry of read must be a string",
    ]


@pytest.mark.parametrize(
    ("text", "expected", "ok"),
    [("true", True, True), ("false", False, True), ("'true'", False, False), ("yes", False, False), ("[true]", False, False)],
)
def test_booleans(text: str, expected: bool, ok: bool) -> None:
    """`true` or `false`, plain."""
    mistakes = Mistakes()
    assert boolean_of(value(text), "flag", mistakes) is expected
    assert mistakes.lines() == ([] if ok else ["f.yaml:1: flag must be true or false"])


@pytest.mark.parametrize(
    ("text", "expected", "ok"),
    [
        ("0", 0, True),
        ("-12", -12, True),
        ("007", 0, False),
        ("1_000", 0, False),
        ("1.0", 0, False),
        ("'1'", 0, False),
        ("\N{ARABIC-INDIC DIGIT ONE}", 0, False),
        ("[1]", 0, False),
        ("9" * 19, 0, False),
    ],
)
def test_integers(text: str, expected: int, ok: bool) -> None:
    """Decimal, plain, without leading zeros, underscores or other digits than 0 to 9, 18 digits at most."""
    mistakes = Mistakes()
    assert integer_of(value(text), "count", mistakes) == expected
    assert mistakes.lines() == ([] if ok else ["f.yaml:1: count must be a whole number"])


@pytest.mark.parametrize(
    ("text", "expected", "ok"),
    [
        ("0.5", 0.5, True),
        ("30", 30.0, True),
        ("-1.25", -1.25, True),
        ("1e3", 0.0, False),
        (".inf", 0.0, False),
        ("'1'", 0.0, False),
        ("{a: b}", 0.0, False),
    ],
)
def test_decimals(text: str, expected: float, ok: bool) -> None:
    """Digits with at most one point; no exponents, no infinities."""
    mistakes = Mistakes()
    assert decimal_of(value(text), "seconds", mistakes) == expected
    assert mistakes.lines() == ([] if ok else ["f.yaml:1: seconds must be a number, for example 2.5"])


def test_mappings() -> None:
    """A mapping or nothing; anything else is a mistake."""
    mistakes = Mistakes()
    assert mapping_of(None, "dag", mistakes) is None
    assert plain(mapping_of(value("{a: b}"), "dag", mistakes)) == {"a": "b"}
    assert mistakes.lines() == []
    assert mapping_of(value("a"), "dag", mistakes) is None
    assert mistakes.lines() == ["f.yaml:1: dag must be a mapping of keys to values"]


def test_unknown_keys_come_with_the_nearest_known_one() -> None:
    """A near miss is guessed; where nothing is near, the known keys are listed."""
    mistakes = Mistakes()
    node = value("{tables: a, alow: b, zzz: c}")
    assert isinstance(node, Mapping)
    known_keys(node, ("tables", "allow"), "a DAG", mistakes)
    assert mistakes.lines() == [
        "f.yaml:1: a DAG has no `alow`; did you mean `allow`?",
        "f.yaml:1: a DAG has no `zzz`; known here: tables, allow",
    ]
