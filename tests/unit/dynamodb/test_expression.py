"""Expressions by their text: what DynamoDB takes is told whole, what it does not take is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dynamodb.expression import KeyTest, read_expression
from proxy.refusal import Reason, Unreadable

FILTER, KEYS, PROJECTION, UPDATE = "FilterExpression", "KeyConditionExpression", "ProjectionExpression", "UpdateExpression"
REFUSED = yaml.safe_load((Path(__file__).parents[2] / "cases" / "refused_texts.yaml").read_text())
MEMBERS = (FILTER, KEYS, PROJECTION, UPDATE, "ConditionExpression")


def reads(member: str, text: str) -> set[Any]:
    """The paths that are read, roots alone as bare names."""
    return {path[0] if len(path) == 1 else path for path in read_expression(member, text).reads}


CONDITIONS = {
    "a = :v": {"a"},
    ":v = a": {"a"},
    "a = b": {"a", "b"},
    "(a) <> (b)": {"a", "b"},
    "((a) = (:v))": {"a"},
    ":v = :w": set(),
    "a\t=\r\n:v": {"a"},
    "a>=:v": {"a"},
    "m . a [ 0 ] . #b = :v": {("m", "a", 0, "#b")},
    "#a.b[10][1] = :v": {("#a", "b", 10, 1)},
    "(m.a) = :v": {("m", "a")},
    "NOT NOT a = :v": {"a"},
    "not(a=:v)and(b=:w)or c<d": {"a", "b", "c", "d"},
    "((a = :v) OR b < :w) AND NOT (c = :v AND (d = :w))": {"a", "b", "c", "d"},
    "nota = :v": {"nota"},
    "a BETWEEN b AND size(c) AND d = :v": {"a", "b", "c", "d"},
    "a IN (:v, b, #c, size(d), (e))": {"a", "b", "#c", "d", "e"},
    "size(a) IN (:v)": {"a"},
    "(size((a))) > :n": {"a"},
    "attribute_exists(a) AND attribute_not_exists ((b.c))": {"a", ("b", "c")},
    "attribute_type(a, (:t))": {"a"},
    "begins_with(a, b)": {"a", "b"},
    "contains(:v, a) OR contains(b, size(c))": {"a", "b", "c"},
    "size = :v": {"size"},
    "a.size = :v": {("a", "size")},
}


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_mentions_every_path(text: str) -> None:
    """Each operand that is a path is told, wherever it stands."""
    assert reads(FILTER, text) == CONDITIONS[text]
    assert read_expression("ConditionExpression", text) == read_expression(FILTER, text)


@pytest.mark.parametrize(("member", "text"), [(member, text) for member in MEMBERS for text in REFUSED.get(member, ())])
def test_what_is_outside_of_the_grammar_is_refused(member: str, text: str) -> None:
    """Nothing is guessed, and the message names the member alone."""
    with pytest.raises(Unreadable) as caught:
        read_expression(member, text)
    assert caught.value.reason is Reason.UNREADABLE_BODY
    assert f"`{member}`" in caught.value.message


def test_a_refusal_says_where_and_never_what() -> None:
    """The text holds names and placeholders of the caller, so a message has a place only."""
    with pytest.raises(Unreadable, match=r"^`FilterExpression` is not in DynamoDB's grammar at character 15$"):
        read_expression(FILTER, "a = :v AND  x secret")
    with pytest.raises(Unreadable, match=r"grammar at character 12$"):  # a keyword is no function
        read_expression(FILTER, "a = :v AND OR (b = :v)")
    with pytest.raises(Unreadable, match=r"grammar at its end$"):
        read_expression(FILTER, "a = ")


KEY_CONDITIONS = {
    "pk = :v": [("pk", "=", ":v")],
    ":v = pk": [("pk", "=", ":v")],
    "(pk) = (:v)": [("pk", "=", ":v")],
    "(#k=:v)and(:w<=sk)": [("#k", "=", ":v"), ("sk", ">=", ":w")],
    "(pk = :v AND sk > :w)": [("pk", "=", ":v"), ("sk", ">", ":w")],
    "pk = :v AND (sk BETWEEN (:a) AND :b)": [("pk", "=", ":v"), ("sk", "between", ":a", ":b")],
    "begins_with((sk), :p) AND pk = :v": [("sk", "begins_with", ":p"), ("pk", "=", ":v")],
    "a = :a AND b = :b AND c = :c AND d = :d AND e < :e": [(name, "=" if name < "e" else "<", f":{name}") for name in "abcde"],
}


@pytest.mark.parametrize("text", KEY_CONDITIONS)
def test_a_key_condition_tells_its_tests(text: str) -> None:
    """Operands may be swapped and wrapped; each test is told in one form."""
    read = read_expression(KEYS, text)
    assert [(test.attribute, test.kind, *test.values) for test in read.tests] == KEY_CONDITIONS[text]
    assert {path[0] for path in read.reads} == {test.attribute for test in read.tests}


def test_a_key_condition_has_no_more_tests_than_a_key_can_have_attributes() -> None:
    """Four and four are the most."""
    parts = [f"a{number} = :v" for number in range(9)]
    assert len(read_expression(KEYS, " AND ".join(parts[:8])).tests) == 8
    with pytest.raises(Unreadable, match="more attributes than a key"):
        read_expression(KEYS, " AND ".join(parts))


def test_a_projection_is_its_paths() -> None:
    """Paths with commas between them, and nothing else."""
    assert read_expression(PROJECTION, " a,#b . c\t,d[0][1].e\r\n").reads == (("a",), ("#b", "c"), ("d", 0, 1, "e"))


UPDATES = {
    "SET a = :v": ("a", ""),
    "set#a=:v": ("#a", ""),
    "SET a = (:v), b.c[0] = d REMOVE e, #f ADD g :n, h :s DELETE i :s": ("a b #f e g h i", "d"),
    "REMOVE a SET b = :v": ("a b", ""),
    "SET a = b + :n": ("a", "b"),
    "SET a = :n - (b)": ("a", "b"),
    "SET a = (b + c)": ("a", "b c"),
    "SET a = ((b) + (c))": ("a", "b c"),
    "SET a = (b) - (:n)": ("a", "b"),
    "SET a = (b) + c": ("a", "b c"),
    "SET a = (b)": ("a", "b"),
    "SET a = if_not_exists(b, c)": ("a", "b c"),
    "SET a = (if_not_exists((b), (c)) + d)": ("a", "b c d"),
    "SET a = list_append(b, if_not_exists(c, if_not_exists(d, #e)))": ("a", "b c d #e"),
    "SET setx = removey REMOVE addz": ("setx addz", "removey"),
}


@pytest.mark.parametrize("text", UPDATES)
def test_an_update_tells_targets_and_sources(text: str) -> None:
    """What is changed and what is copied from are told apart."""
    targets, sources = UPDATES[text]
    read = read_expression(UPDATE, text)
    assert {path[0] for path in read.targets} == set(targets.split())
    assert {path[0] for path in read.reads} == set(sources.split())


def test_limits_of_the_service_hold() -> None:
    """4 KB of text, 300 operators, 100 operands of IN, 255 characters in a name, functions nested 32 deep."""
    assert read_expression(FILTER, " AND ".join(["a = :v"] * 150))
    assert read_expression(FILTER, " AND ".join(["a IN (:v)"] * 150))  # a word before a parenthesis is counted once
    assert read_expression(FILTER, " AND ".join(["NOT (a = :v)"] * 100))
    assert read_expression(FILTER, f"a IN ({','.join([':v'] * 100)})")
    assert read_expression(PROJECTION, "a" * 255)
    nested = "if_not_exists(b," * 32 + "c" + ")" * 32
    assert read_expression(UPDATE, f"SET a = {nested}")
    for member, text, problem in (
        (FILTER, f"a = :v{' ' * 4096}", "longer than 4096"),
        (FILTER, " AND ".join(["a = :v"] * 151), "more than 300"),
        (FILTER, " AND ".join(["attribute_exists(a)"] * 151), "more than 300"),
        (FILTER, f"a IN ({','.join([':v'] * 101)})", "more than 100"),
        (PROJECTION, "a" * 256, "longer than 255"),
        (UPDATE, f"SET a = if_not_exists(b,{nested})", "more than 32 levels"),
    ):
        with pytest.raises(Unreadable, match=problem):
            read_expression(member, text)


@pytest.mark.parametrize(
    ("member", "first", "more", "most"),
    [
        (FILTER, "a=b", " AND a=b", 150),
        (FILTER, "a=b", " OR a=b", 150),
        (FILTER, "NOT a=b", " OR NOT a=b", 100),
        (FILTER, "a BETWEEN b AND c", " OR a BETWEEN b AND c", 100),
        (FILTER, "a IN (b)", " OR a IN (b)", 150),
        (UPDATE, "SET a=b+c", ",a=b+c", 150),
        (UPDATE, "SET a=b-c", ",a=b-c", 150),
    ],
)
def test_each_operator_counts_once(member: str, first: str, more: str, most: int) -> None:
    """Whichever it is: as many as fit are taken, and with one piece more the text is refused."""
    assert read_expression(member, first + more * (most - 1))
    with pytest.raises(Unreadable, match="more than 300 operators"):
        read_expression(member, first + more * most)


def test_boto3_nests_a_group_for_each_test() -> None:
    """`Attr("a").eq(1) & ...` is written as groups in groups, as many as there are tests."""
    text = "a0 = :v"
    for number in range(1, 140):
        text = f"({text} AND a{number} = :v)"
    assert len(read_expression(FILTER, text).reads) == 140


def test_placeholders_are_told() -> None:
    """Each alias and each value placeholder, once."""
    read = read_expression(UPDATE, "SET #a.#b = :v + :w, c = #a REMOVE #d")
    assert (read.names, read.values) == ({"#a", "#b", "#d"}, {":v", ":w"})


def test_results_are_kept_by_text_and_member() -> None:
    """A text is read once, but by the grammar of each member that holds it; long ones are read each time."""
    assert read_expression(FILTER, "kept = :v") is read_expression(FILTER, "kept = :v")
    with pytest.raises(Unreadable):
        read_expression(PROJECTION, "kept = :v")
    long = f"kept = :v{' ' * 600}"
    assert read_expression(FILTER, long) == read_expression(FILTER, "kept = :v")


# ------------------------------------------------------------------------------------------------- properties

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: name.upper() not in {"AND", "OR", "NOT", "IN", "BETWEEN", "SET", "REMOVE", "ADD", "DELETE"}
)
STEPS = st.one_of(NAMES, NAMES.map("#{}".format))
PATHS = st.builds(lambda head, tail: (head, *tail), STEPS, st.lists(st.one_of(STEPS, st.integers(0, 999)), max_size=3))
SPACES = st.sampled_from(["", " ", "\t", "\r\n", "  "])
VALUES = st.just(":v")


def written(path: tuple[Any, ...]) -> str:
    """A path as it is written."""
    return str(path[0]) + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path[1:])


@st.composite
def operands(draw: st.DrawFn, found: list[Any]) -> str:
    """An operand; its path is noted in `found`."""
    if draw(st.booleans()):
        return draw(VALUES)
    path = draw(PATHS)
    found.append(path)
    text = written(path)
    return draw(st.sampled_from([text, f"({text})", f"size({text})"]))


@st.composite
def conditions(draw: st.DrawFn, found: list[Any], depth: int = 0) -> str:
    """A condition in some spelling; its paths are noted in `found`."""
    space = draw(SPACES)
    form = draw(st.integers(0, 7 if depth < 4 else 4))
    one = draw(operands(found)) if form < 5 else ""
    if form == 0:
        return f"{one}{space}{draw(st.sampled_from(['=', '<>', '<', '<=', '>', '>=']))}{space}{draw(operands(found))}"
    if form == 1:
        return f"{one} {draw(st.sampled_from(['BETWEEN', 'between']))} {draw(operands(found))} AnD {draw(operands(found))}"
    if form == 2:
        return f"{one} In{space}({space}{one},{draw(operands(found))})"
    if form == 3:
        return f"contains{space}({one}{space},{draw(operands(found))})"
    if form == 4:
        found.append(path := draw(PATHS))
        return f"attribute_exists({written(path)}) AND {one}={one}"
    if form == 5:
        return f"not {draw(conditions(found, depth + 1))}"
    inner = draw(conditions(found, depth + 1))
    if form == 6 and not inner.startswith("("):
        return f"({space}{inner})"
    return f"{inner} {draw(st.sampled_from(['AND', 'or', 'oR']))} {draw(conditions(found, depth + 1))}"


@given(st.data())
def test_every_path_of_a_generated_condition_is_told(data: st.DataObject) -> None:
    """Whatever the spacing, case, grouping and order of operands."""
    found: list[Any] = []
    text = data.draw(conditions(found))
    assert set(read_expression(FILTER, text).reads) == set(found)


@given(st.lists(PATHS, min_size=1, max_size=8), SPACES)
def test_every_path_of_a_generated_projection_is_told(paths: list[Any], space: str) -> None:
    """In order, with the indexes as numbers."""
    assert read_expression(PROJECTION, f"{space},{space}".join(map(written, paths))).reads == tuple(paths)


@given(st.data())
def test_every_path_of_a_generated_update_is_told(data: st.DataObject) -> None:
    """Targets and sources, whatever the functions and the order of clauses."""
    sources: list[Any] = []
    targets = data.draw(st.lists(PATHS, min_size=4, max_size=4))
    value = data.draw(operands(sources).filter(lambda text: "size" not in text))
    sources = [path for path in sources if written(path) in value]
    call = f"if_not_exists({written(targets[0])}, {value})"
    clauses = [
        f"SET {written(targets[0])}={call} + {value}",
        f"remove {written(targets[1])}",
        f"Add {written(targets[2])} :v",
        f"DELETE {written(targets[3])}:v",
    ]
    read = read_expression(UPDATE, " ".join(data.draw(st.permutations(clauses))))
    assert set(read.targets) == set(targets)
    assert set(read.reads) == {*sources, targets[0]}


@given(st.permutations(["pk = :a", "sk < :b", "begins_with(x, :c)", "y BETWEEN :d AND :e"]), st.booleans(), st.booleans())
def test_a_key_condition_proves_the_same_in_any_order(tests: list[str], is_swapped: bool, is_wrapped: bool) -> None:
    """Order, swapped operands and parentheses change nothing."""
    swap = {"pk = :a": ":a = pk", "sk < :b": ":b > sk"}
    parts = [swap.get(test, test) if is_swapped else test for test in tests]
    text = " AND ".join(f"({part})" if is_wrapped else part for part in parts)
    assert set(read_expression(KEYS, text).tests) == {
        KeyTest("pk", "=", (":a",)),
        KeyTest("sk", "<", (":b",)),
        KeyTest("x", "begins_with", (":c",)),
        KeyTest("y", "between", (":d", ":e")),
    }


WORDS = """
    a b #c :v size attribute_exists contains begins_with if_not_exists list_append and OR not In between SET remove ADD delete
    ( ) ( ) [ ] . , = <> < + - 0 1 é ' ;
"""
TOKENS = st.sampled_from(WORDS.split())


@settings(max_examples=400)
@given(st.one_of(st.text(), st.lists(TOKENS, max_size=40).map(" ".join), st.lists(TOKENS, max_size=40).map("".join)))
def test_anything_else_is_refused_and_nothing_else_happens(text: str) -> None:
    """Any text is read or refused; what is read has told each of its names."""
    for member in MEMBERS:
        try:
            read = read_expression(member, text)
        except Unreadable:
            continue
        told = {str(step) for path in (*read.reads, *read.targets) for step in path}
        keywords = {"and", "or", "not", "in", "between", "set", "remove", "add", "delete"}
        functions = {"size", "attribute_exists", "contains", "begins_with", "if_not_exists", "list_append"}
        assert {name for name in re.findall(r"#?[A-Za-z][A-Za-z0-9_]*|:\w+|\d+", text) if name[0] != ":"} <= (
            told | functions | {word for word in re.findall(r"\w+", text) if word.lower() in keywords}
        )


def test_an_expression_has_4096_characters_at_most() -> None:
    """As DynamoDB counts; one more is refused unread."""
    longest = "a" + ".b" * 2047 + " "
    assert len(longest) == 4096
    assert read_expression("ProjectionExpression", longest).length == 4096
    with pytest.raises(Unreadable, match="`ProjectionExpression` is longer than 4096 characters"):
        read_expression("ProjectionExpression", longest + " ")


@pytest.mark.parametrize("word", ["AND", "OR", "NOT", "IN", "BETWEEN", "SET", "REMOVE", "ADD", "DELETE"])
def test_a_keyword_is_no_name(word: str) -> None:
    """In any case of its letters, alone and in a path; an alias may stand for it."""
    for text in (word, word.lower(), f"a.{word}", f"{word}.a"):
        with pytest.raises(Unreadable):
            read_expression("ProjectionExpression", text)


@pytest.mark.parametrize(("sign", "kind"), [("=", "="), ("<", ">"), ("<=", ">="), (">", "<"), (">=", "<=")])
def test_a_value_may_stand_first(sign: str, kind: str) -> None:
    """The test is told as that of the attribute."""
    assert read_expression("KeyConditionExpression", f":v {sign} sk").tests == (KeyTest("sk", kind, (":v",)),)
    assert read_expression("KeyConditionExpression", f"sk {sign} :v").tests == (KeyTest("sk", sign, (":v",)),)
