"""PartiQL statements: what DynamoDB's dialect has is told whole, what it has not is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dynamodb.partiql import Statement, Verb, read_statement
from proxy.dynamodb.partiql_conditions import Literal, Parameter
from proxy.dynamodb.partiql_tokens import KEYWORDS
from proxy.refusal import Reason, Unreadable

WHERE = "SELECT * FROM orders WHERE"
REFUSED = yaml.safe_load((Path(__file__).parents[2] / "cases" / "refused_texts.yaml").read_text())["Statement"]


def S(text: str) -> Literal:  # noqa: N802 - as DynamoDB spells the type
    """A string."""
    return Literal("S", text)


STATEMENTS = {
    'SELECT * FROM "orders"': Statement(Verb.SELECT, "orders", projected=None),
    "select*from Orders": Statement(Verb.SELECT, "Orders", projected=None),
    'SELECT * FROM "se.x-1"."by_st" ': Statement(Verb.SELECT, "se.x-1", "by_st", projected=None),
    '\tSELECT a,\r\n"b.c" . "d""e", f [ 0 ][\'it\'\'s\'].g FROM orders': Statement(
        Verb.SELECT, "orders", projected=(("a",), ("b.c", 'd"e'), ("f", 0, "it's", "g"))
    ),
    "SELECT a FROM orders WHERE pk = 'x''y' AND sk >= ? ORDER BY sk DESC, pk ASC, x": Statement(
        Verb.SELECT,
        "orders",
        equalities={"pk": (S("x'y"),)},
        projected=(("a",),),
        tested=(("pk",), ("sk",), ("sk",), ("pk",), ("x",)),
        parameters=1,
    ),
    "INSERT INTO \"orders\" value {'pk': 'a', 'n': -1.5e3, 'p': ?, "
    "'m': {'x': [1, <<'q'>>, NULL], 'y': {}}, 'b': true, 'l': []}": Statement(
        Verb.INSERT,
        "orders",
        equalities={"pk": (S("a"),), "n": (Literal("N", "-1.5e3"),), "p": (Parameter(0),)},
        targets=(("pk",), ("n",), ("p",), ("m",), ("b",), ("l",)),
        parameters=1,
    ),
    "UPDATE orders SET a = ?, b.c[1] = d - 1 SET e = (f + (g)) REMOVE h remove i['j'] "
    "WHERE pk = ? AND secret = x RETURNING ALL OLD *": Statement(
        Verb.UPDATE,
        "orders",
        equalities={"pk": (Parameter(1),)},
        tested=(("pk",), ("secret",), ("x",)),
        sources=(("d",), ("f",), ("g",)),
        targets=(("a",), ("b", "c", 1), ("e",), ("h",), ("i", "j")),
        returning="ALL_OLD",
        parameters=2,
    ),
    "UPDATE orders SET a = List_Append(b, ['x']) SET c = SET_ADD(c, <<1>>) SET d = set_delete(d, ?) SET e = if_not_exists(f, g) "
    "WHERE pk = +5 returning modified new *": Statement(
        Verb.UPDATE,
        "orders",
        equalities={"pk": (Literal("N", "5"),)},
        tested=(("pk",),),
        sources=(("b",), ("c",), ("d",), ("f",), ("g",)),
        targets=(("a",), ("c",), ("d",), ("e",)),
        returning="UPDATED_NEW",
        parameters=1,
    ),
    "DELETE FROM orders WHERE pk = 'a' RETURNING ALL OLD *": Statement(
        Verb.DELETE, "orders", equalities={"pk": (S("a"),)}, tested=(("pk",),), returning="ALL_OLD"
    ),
    "EXISTS (SELECT a FROM orders WHERE pk = ? AND b IS NOT MISSING)": Statement(
        Verb.EXISTS, "orders", equalities={"pk": (Parameter(0),)}, tested=(("a",), ("pk",), ("b",)), parameters=1
    ),
    "exists(select * from orders where pk = 'a')": Statement(
        Verb.EXISTS, "orders", equalities={"pk": (S("a"),)}, tested=(("pk",),)
    ),
}


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_statement_is_told_whole(text: str) -> None:
    """Verb, table, index, keys, and every attribute in its role."""
    assert read_statement(text) == STATEMENTS[text]


def test_what_comes_back_of_an_update_is_told_as_return_values() -> None:
    """Whole items before and after, or what was changed of them."""
    told = {
        what: read_statement("UPDATE orders SET a = 1 WHERE pk = 'a' RETURNING WHAT *".replace("WHAT", what)).returning
        for what in ("ALL OLD", "ALL NEW", "MODIFIED OLD", "MODIFIED NEW")
    }
    assert told == {
        "ALL OLD": "ALL_OLD",
        "ALL NEW": "ALL_NEW",
        "MODIFIED OLD": "UPDATED_OLD",
        "MODIFIED NEW": "UPDATED_NEW",
    }


def test_what_stands_in_quotes_is_neither_keyword_nor_sign() -> None:
    """An attribute may be called as they are; where none has a place, a name in quotes does not stand for one."""
    assert read_statement('SELECT "*" FROM orders').projected == (("*",),)
    assert read_statement('SELECT "FROM" FROM orders WHERE "NOT" = 1').equalities == {"NOT": (Literal("N", "1"),)}
    for text in (
        'SELECT * "FROM" orders',
        "SELECT * 'FROM' orders",
        "INSERT INTO orders VALUE {'pk': \"?\"}",
        "INSERT INTO orders VALUE {'pk': 'a' ',' 'b': 'c'}",
        "DELETE FROM orders \"WHERE\" pk = 'a'",
        "SELECT * FROM orders WHERE pk = 'a' 'AND' sk = 'b'",
        "SELECT * FROM orders WHERE pk = 'a' \"OR\" sk = 'b'",
    ):
        with pytest.raises(Unreadable):
            read_statement(text)


def test_what_a_statement_does_not_say_is_told_as_requests_have_it() -> None:
    """Without RETURNING nothing comes back, as ReturnValues has it; a table is read by no index, and without parameters."""
    for text in ("SELECT * FROM orders", "INSERT INTO orders VALUE {'pk': 'a'}", "UPDATE orders REMOVE a WHERE pk = 'a'"):
        read = read_statement(text)
        assert (read.returning, read.index, read.parameters) == ("NONE", "", 0)


# A condition: what it proves (attribute=values, by blanks), and the attributes that it mentions.
CONDITIONS = {
    "pk = 'a'": ("pk=a", "pk"),
    "'a' = pk": ("pk=a", "pk"),
    "((pk)) = (('a'))": ("pk=a", "pk"),
    "((\"pk\" = 'a') AND x <> 1) AND (sk = ?)": ("pk=a sk=0", "pk x sk"),
    "pk IN ('a', ?)": ("pk=a,0", "pk"),
    "(pk) IN ['a', ('b')]": ("pk=a,b", "pk"),
    "pk IN <<'a'>>": ("pk=a", "pk"),
    "(pk) NOT IN ('a') AND (x) NOT BETWEEN 1 AND 2 AND (y) BETWEEN (1) AND (2)": ("", "pk x y"),
    "(')') = pk": ("pk=)", "pk"),
    "(pk = '(')": ("pk=(", "pk"),
    "pk = 'a' AND pk = 'b'": ("pk=a,b", "pk"),
    "pk = 'a' AND (x = 1 OR y = 2)": ("pk=a", "pk x y"),
    "pk = 'a' AND NOT sk = 'b'": ("pk=a", "pk sk"),
    "pk = 'a' OR sk = 'b'": ("", "pk sk"),
    "pk = 'a' AND x = 1 OR sk = 'b'": ("", "pk x sk"),
    "(pk = 'a' OR x = 1) AND sk = 'b'": ("sk=b", "pk x sk"),
    "NOT pk = 'a'": ("", "pk"),
    "NOT NOT (pk = 'a')": ("", "pk"),
    "NOT(pk = 'a' AND sk = 'b')": ("", "pk sk"),
    "pk NOT IN ('a')": ("", "pk"),
    "pk NOT BETWEEN 'a' AND 'b'": ("", "pk"),
    "pk BETWEEN x AND 'b' AND sk = 'c'": ("sk=c", "pk x sk"),
    "pk IN ('a', x)": ("", "pk x"),
    "'a' IN (pk)": ("", "pk"),
    "'a' IN ('a')": ("", ""),
    "pk = x": ("", "pk x"),
    'pk = "a"': ("", "pk a"),
    "pk = FALSE AND x = Null AND y = True": ("", "pk x y"),
    "pk = NULL AND x = true AND y = [1] AND z = {'a': 1} AND w = <<1, 2>>": ("", "pk x y z w"),
    "pk.a = 'x' AND l[0] = 'y' AND m['pk'] = 'z'": ("", "pk l m"),
    "pk <> 'a' AND pk != 'b' AND pk > 'c' AND pk >= 'd' AND pk < 'e' AND pk <= 'f'": ("", "pk"),
    "begins_with(pk, 'a') AND Contains(x, y) AND ATTRIBUTE_TYPE(z, 'S')": ("", "pk x y z"),
    "size(pk) = 1 AND SIZE (x) > 2": ("", "pk x"),
    "size = 'x'": ("size=x", "size"),
    "pk IS NULL AND x IS NOT NULL AND y is missing AND (z) IS NOT MISSING": ("", "pk x y z"),
    "1 = 1 AND ? = ?": ("", ""),
    "PK = 'a' AND pk = 'b'": ("PK=a pk=b", "PK pk"),
    "pk = 'a'AND(sk='b')": ("pk=a sk=b", "pk sk"),
    "pk = '--' AND sk = '/* ; ?'": ("pk=-- sk=/*;?", "pk sk"),
    "pk = -5 AND sk = - 5 AND x = 05 AND y = 1e5": ("pk=-5 sk=-5 x=05 y=1e5", "pk sk x y"),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_only_a_top_level_conjunction_proves_an_equality(condition: str) -> None:
    """Each value that an item can have is told; what is in doubt is not proven; every attribute is mentioned."""
    proven, mentioned = CONDITIONS[condition]
    for start in ("SELECT * FROM", "DELETE FROM"):
        read = read_statement(f"{start} orders WHERE {condition}")
        told = {
            name: ",".join(str(one.position) if isinstance(one, Parameter) else one.text for one in given)
            for name, given in read.equalities.items()
        }
        assert " ".join(f"{name}={given}" for name, given in told.items()).replace("/* ; ?", "/*;?") == proven
        assert read.attributes == set(mentioned.split())


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_outside_of_the_dialect_is_refused(text: str) -> None:
    """Also what DynamoDB is known to take: comments, bare index names, `FROM ... SET`."""
    with pytest.raises(Unreadable) as caught:
        read_statement(text)
    assert caught.value.reason is Reason.UNREADABLE_BODY
    assert caught.value.message.startswith(("the PartiQL statement ", "`Statement` has paths"))


@pytest.mark.parametrize("end", [";", " ;", ";\r\n\t "])
def test_a_semicolon_at_the_very_end_says_nothing(end: str) -> None:
    """Statements are pasted from consoles, and DynamoDB takes one `;`; what stands before it is all there is."""
    for text in ("SELECT * FROM orders", "DELETE FROM orders WHERE pk = 'a;b'", "EXISTS(SELECT * FROM orders WHERE pk = ?)"):
        assert read_statement(text + end) == read_statement(text)
    for text in ("", "SELECT * FROM orders -- x", "EXISTS(SELECT * FROM orders", "SELECT * FROM orders WHERE pk = 'a"):
        with pytest.raises(Unreadable):
            read_statement(text + end)


def test_a_refusal_says_where_and_never_what() -> None:
    """A statement holds names and values of the caller."""
    with pytest.raises(Unreadable, match=r"^the PartiQL statement is not in DynamoDB's dialect at character 23$"):
        read_statement("SELECT * FROM orders  ; secret")
    with pytest.raises(Unreadable, match=r" at character 9$"):  # its end
        read_statement("SELECT *")


def test_limits_hold() -> None:
    """8192 characters, 32 levels, list indexes of ten digits."""
    condition = "(" * 32 + "a = 1" + ")" * 32
    assert read_statement(f"{WHERE} {condition}").equalities == {"a": (Literal("N", "1"),)}
    assert read_statement("SELECT a[1234567890] FROM orders").projected == (("a", 1234567890),)
    for text in (
        f"{WHERE} a = '{'x' * 8192}'",
        f"{WHERE} ({condition})",
        f"{WHERE} a = {'[' * 33}{']' * 33}",
        f"{WHERE} {'(' * 33}a{')' * 33} = 1",
        "UPDATE orders SET a = N WHERE a = 1".replace("N", "(" * 33 + "1" + ")" * 33),
        "SELECT a[12345678901] FROM orders",
        "SELECT a[N] FROM orders".replace("N", "1" * 5000),
    ):
        with pytest.raises(Unreadable):
            read_statement(text)


def test_a_statement_has_8192_characters_at_most() -> None:
    """White space at its end among them."""
    longest = f"{WHERE} a = '{'x' * (8192 - len(WHERE) - 7)}'"
    assert len(longest) == 8192
    assert read_statement(longest).attributes == {"a"}
    for text in (longest + " ", longest.replace("x", "xx", 1)):
        with pytest.raises(Unreadable, match="is longer than 8192 characters"):
            read_statement(text)


def test_levels_beside_each_other_do_not_add_up() -> None:
    """Neither to more depth nor to less: what was closed is as if it had not been."""
    beside = " AND ".join(["(a = 1)"] * 40)
    deepest = "(" * 32 + "b = 1" + ")" * 32
    assert set(read_statement(f"{WHERE} {beside} AND {deepest}").equalities) == {"a", "b"}
    with pytest.raises(Unreadable, match="is nested more than 32 levels deep"):
        read_statement(f"{WHERE} {beside} AND ({deepest})")


def test_in_has_dynamodb_s_own_number_of_values() -> None:
    """100 values, in whichever brackets."""
    for start, end in ("()", "[]", ("<<", ">>")):
        hundred = f"{WHERE} pk IN {start}{','.join(['?'] * 100)}"
        assert read_statement(hundred + end).parameters == 100
        with pytest.raises(Unreadable, match="the PartiQL statement has more than 100 values in IN"):
            read_statement(f"{hundred},1{end}")


def test_each_verb_has_its_action() -> None:
    """EXISTS reads."""
    assert [verb.action for verb in Verb] == [
        "PartiQLSelect",
        "PartiQLInsert",
        "PartiQLUpdate",
        "PartiQLDelete",
        "PartiQLSelect",
    ]


def test_results_are_kept_by_text() -> None:
    """Short statements are read once, long ones each time; nobody can change what is kept."""
    assert read_statement("SELECT * FROM kept") is read_statement("SELECT * FROM kept")
    long = "SELECT * FROM kept".ljust(600)
    assert read_statement(long) is not read_statement(long)
    with pytest.raises(TypeError):
        read_statement("SELECT * FROM kept").equalities["pk"] = ()  # type: ignore[index]  # that it cannot is tested


# ------------------------------------------------------------------------------------------------- properties

NAMES = st.one_of(
    st.sampled_from(["pk", "sk", "a", "Secret", "_x"]),
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=4),
)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=4)


@st.composite
def written_name(draw: st.DrawFn, name: str) -> str:
    """A name bare or in double quotes."""
    bare = name.isascii() and name.isidentifier() and name.upper() not in KEYWORDS
    return name if bare and draw(st.booleans()) else '"' + name.replace('"', '""') + '"'


@st.composite
def operands(draw: st.DrawFn, found: set[str]) -> tuple[str, Any]:
    """An operand, and a value if it is one."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        text = draw(TEXTS)
        return "'" + text.replace("'", "''") + "'", text
    if kind == 1:
        number = draw(st.integers(-9, 9))
        return f"({number})", str(number)
    name = draw(NAMES)
    found.add(name)
    spelled = draw(written_name(name))
    return (f"{spelled}['x'].y[0]" if kind == 2 else f"size({spelled})"), None


@st.composite
def conditions(draw: st.DrawFn, found: set[str], proven: dict[str, set[str]], depth: int = 0) -> str:
    """A condition; `found` gathers its attributes, `proven` what an item that meets it must hold."""
    keyword = st.sampled_from([str.upper, str.lower, str.title])
    form = draw(st.integers(0, 6 if depth < 4 else 2))
    if form == 0:
        name = draw(NAMES)
        found.add(name)
        spelled, value = draw(operands(found))
        if value is not None:
            proven.setdefault(name, set()).add(value)
        sides = [draw(written_name(name)), spelled]
        return draw(st.sampled_from(["=", " = ", "\t=\n"])).join(draw(st.permutations(sides)))
    if form == 1:
        name, (low, _), (high, _) = draw(NAMES), draw(operands(found)), draw(operands(found))
        found.add(name)
        return f"{draw(written_name(name))} {draw(keyword)('between')} {low} {draw(keyword)('and')} {high}"
    if form == 2:
        return f"begins_with({draw(operands(found))[0]}, {draw(operands(found))[0]})"
    if form == 3:
        return f"{draw(keyword)('not')} ({draw(conditions(found, {}, depth + 1))})"
    if form == 4:
        one, other = draw(conditions(found, {}, depth + 1)), draw(conditions(found, {}, depth + 1))
        return f"({one} {draw(keyword)('or')} {other})"
    one, other = draw(conditions(found, proven, depth + 1)), draw(conditions(found, proven, depth + 1))
    return f"({one}\r\n{draw(keyword)('and')} {other} )"


@given(st.data())
def test_a_generated_condition_is_told_whole(data: st.DataObject) -> None:
    """Whatever its spelling: the same attributes, and exactly the equalities that the conjunction proves."""
    found: set[str] = set()
    proven: dict[str, set[str]] = {}
    text = data.draw(conditions(found, proven))
    read = read_statement(f"{WHERE} {text}")
    assert read.attributes == found
    told = {name: {one.text for one in given if isinstance(one, Literal)} for name, given in read.equalities.items()}
    assert told == proven


WORDS = """
    SELECT * FROM orders "orders" . "by_st" WHERE pk 'a' = ? AND OR NOT IN BETWEEN IS MISSING ( ) ( ) [ ] { } << >> , : - + 1
    5e0     INSERT INTO VALUE UPDATE SET REMOVE DELETE RETURNING ALL OLD EXISTS size begins_with
    list_append ORDER BY ; -- ' " @ é AS LIMIT
"""
TOKENS = st.lists(st.sampled_from(WORDS.split()), max_size=30)
STARTS = st.sampled_from(
    ["", "SELECT * FROM orders WHERE ", "UPDATE orders SET a = ", "INSERT INTO orders VALUE {'a':", "EXISTS("]
)


@settings(max_examples=400)
@given(STARTS, st.one_of(st.text(), TOKENS.map(" ".join), TOKENS.map("".join)))
def test_anything_else_is_refused_and_nothing_else_happens(start: str, text: str) -> None:
    """Any text is read or refused; a statement that is read has its table, and no more parameters than question marks."""
    try:
        read = read_statement(start + text)
    except Unreadable:
        return
    assert read.table == "orders"
    assert read.parameters <= text.count("?")


def test_a_statement_may_end_in_white_space() -> None:
    """White space belongs to the token after it, the end included: a long tail of it is passed over once."""
    text = "SELECT a FROM orders WHERE pk = 'a'"
    assert read_statement(text + " \r\n\t" * 2000) == read_statement(text)


def test_what_is_said_of_one_attribute_adds_up() -> None:
    """Each equality of a conjunction counts, in the order of the statement."""
    proven = read_statement("SELECT a FROM orders WHERE pk = 'a' AND sk = 1 AND pk IN ('b', ?) AND (pk = 'c')").equalities
    assert proven == {"pk": (Literal("S", "a"), Literal("S", "b"), Parameter(0), Literal("S", "c")), "sk": (Literal("N", "1"),)}
