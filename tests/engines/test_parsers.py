"""The parsers of expressions and PartiQL against DynamoDB Local: no effect of what it takes is missing from what we tell.

Texts are generated from a grammar that is wider than DynamoDB's, then damaged. Each attribute has a value of its own, so that
an effect shows where it comes from: an attribute that comes back was projected, one whose absence changes an answer was tested,
one that changes was a target, one whose value turns up elsewhere was a source, and no item lies outside of a proven equality.
"""

from __future__ import annotations

import json
import random
import re
import urllib.error
import urllib.request
from typing import Any

import pytest

from proxy.dynamodb.mentions import read_mentions, roots_of
from proxy.dynamodb.partiql import Statement, Verb, read_statement
from proxy.dynamodb.partiql_conditions import Literal
from proxy.refusal import Unreadable

CASES = 400
ATTRIBUTES = ("a", "b", "c", "d.e")
NAMES = {"#a": "a", "#d": "d.e", "#m": "m"}
VALUES = {
    ":p": {"S": "p1"},
    ":s": {"S": "base"},
    ":a": {"S": "value of a"},
    ":n": {"N": "7"},
    ":l": {"L": []},
    ":t": {"SS": ["x"]},
}
ITEM = {
    "pk": {"S": "p1"},
    "sk": {"S": "base"},
    **{name: {"S": f"value of {name}"} for name in ATTRIBUTES},
    "n": {"N": "41"},
    "l": {"L": [{"S": "value of l"}]},
    "m": {"M": {"a": {"S": "value of m"}}},
    "t": {"SS": ["value of t"]},
}


class Engine:
    """One table of DynamoDB Local: a whole item, and beside it one copy for each attribute, without that attribute."""

    def __init__(self, url: str) -> None:
        self.url = url
        keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
        definitions = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
        for table in ("parsed", "other"):
            self.call(
                "CreateTable", TableName=table, KeySchema=keys, AttributeDefinitions=definitions, BillingMode="PAY_PER_REQUEST"
            )
        self.items: list[dict[str, Any]] = [ITEM, {**ITEM, "pk": {"S": "p2"}}]
        self.items += [
            {key: value for key, value in ITEM.items() if key != name} | {"sk": {"S": f"without {name}"}}
            for name in ITEM
            if name not in ("pk", "sk")
        ]
        self.fill()

    def call(self, operation: str, **body: Any) -> dict[str, Any] | None:
        """The answer, or None where it was refused."""
        headers = {
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": "AWS4-HMAC-SHA256 Credential=ANYBODY/20261122/us-east-1/dynamodb/aws4_request, "
            "SignedHeaders=host, Signature=00",
        }
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)  # noqa: S310 - http on loopback
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310 - http on loopback
                return dict(json.load(reply))
        except urllib.error.HTTPError as error:
            with error:
                return None

    def fill(self) -> None:
        """Put the table as it was."""
        for item in self.scan():
            self.call("DeleteItem", TableName="parsed", Key={"pk": item["pk"], "sk": item["sk"]})
        for item in self.items:
            self.call("PutItem", TableName="parsed", Item=item)

    def scan(self) -> list[dict[str, Any]]:
        """All items."""
        answer = self.call("Scan", TableName="parsed")
        assert answer is not None
        return list(answer["Items"])

    def changes(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Items before and after, of those that are not as they were; {} for none. Puts them back."""
        before = {(item["pk"]["S"], item["sk"]["S"]): item for item in self.items}
        after = {(item["pk"]["S"], item["sk"]["S"]): item for item in self.scan()}
        changed = [
            (before.get(key, {}), after.get(key, {})) for key in before.keys() | after.keys() if before.get(key) != after.get(key)
        ]
        if changed:
            self.fill()
        return changed


@pytest.fixture(scope="module")
def engine(dynamodb_local: str) -> Engine:
    """The table, filled."""
    return Engine(dynamodb_local)


# ------------------------------------------------------------------------------------------------- generation

Grammar = dict[str, list[str]]
EXPRESSIONS: Grammar = {
    "name": ["a", "b", "c", "n", "#a", "#d", "#m", "_a", "size", "sk", "pk"],
    "path": ["<name>", "<name>", "m.a", "#m . #a", "l[0]", "l [ 0 ]", "m.#d[1]", "(<name>)", "(m).a"],
    "value": [":a", ":p", ":n", "(:a)", ":l"],
    "operand": ["<path>", "<path>", "<value>", "size(<path>)", "(size(<path>))"],
    "sign": [" = ", "=", "<>", " < ", "<=", ">", ">=", "!="],
    "test": [
        "<operand><sign><operand>",
        "<operand><sign><operand>",
        "<path> BETWEEN <operand> and <operand>",
        "<operand> in (<operand>, <operand>)",
        "attribute_exists(<path>)",
        "attribute_not_exists ( <path> )",
        "begins_with(<operand>, <operand>)",
        "contains(<operand>,<operand>)",
        "attribute_type(<path>, :a)",
    ],
    "FilterExpression": [
        "<test>",
        "<test>",
        "NOT <test>",
        "<FilterExpression> AND <FilterExpression>",
        "<FilterExpression>\tor\n<FilterExpression>",
        "(<FilterExpression>)",
        "not(<FilterExpression>)",
    ],
    "key": ["pk", "sk", "(sk)", "#a", "sk"],
    "key test": ["<key> = :s", ":s<sign><key>", "<key> < :s", "begins_with(<key>, :s)", "<key> between :p and :s", "(<key>=:s)"],
    "pk test": ["pk = :p", ":p=pk", "(pk) = (:p)", "(pk = :p)", "pk = :s", "pk > :p"],
    "KeyConditionExpression": ["<pk test>", "<pk test> AND <key test>", "<key test> and <pk test>", "(<pk test> AND <key test>)"],
    "ProjectionExpression": ["<path>", "<path>, <path>", "<path>,<path> , <ProjectionExpression>"],
    "term": ["<operand>", "<path>", "if_not_exists(<path>, <term>)", "list_append(<term>, <term>)", "(<term>)"],
    "set": ["<path> = <term>", "<path>=<term> + <term>", "<path> = (<term> - <term>)", "<path> = <path>"],
    "clause": [
        "SET <set>",
        "set <set>, <set>",
        "REMOVE <path>",
        "remove <path>, <path>",
        "ADD <path> :n",
        "Delete t :t",
        "ADD t :t",
    ],
    "UpdateExpression": ["<clause>", "<clause> <clause>", "<clause>\r\n<clause> <clause>"],
}
PARTIQL: Grammar = {
    "name": ["a", '"a"', "b", "c", "n", '"d.e"', '"A"', "@a", "parsed.a", "sk", "pk"],
    "path": ["<name>", "<name>", "m.a", "m['a']", 'm."a"', "l[0]", "(<name>)"],
    "literal": ["'value of a'", "'p1'", "'base'", '"p1"', "7", "-1", "<<'x'>>", "['x']", "{'x': 1}", "true", "'it''s'", "(7)"],
    "operand": ["<path>", "<path>", "<literal>", "size(<path>)", "?"],
    "sign": [" = ", "=", "<>", " < ", "<=", ">", ">=", "!="],
    "test": [
        "<operand><sign><operand>",
        "<path> = <literal>",
        "pk = 'p1'",
        "'p1' = \"pk\"",
        "pk IN ('p1', 'p2')",
        "pk in ['p2']",
        "<path> BETWEEN <operand> and <operand>",
        "<path> NOT IN (<operand>, <operand>)",
        "<path> IS NOT MISSING",
        "<path> is null",
        "begins_with(<operand>, <operand>)",
        "Contains(<path>,<operand>)",
        "attribute_type(<path>, 'S')",
    ],
    "condition": [
        "<test>",
        "<test>",
        "NOT <test>",
        "<condition> AND <condition>",
        "<condition> AND <condition>",
        "<condition>\tor\n<condition>",
        "(<condition>)",
        "<condition> -- <condition>",
    ],
    "key": [
        "pk = 'p1' AND sk = 'base'",
        "sk='base' AND \"pk\"='p1'",
        "(pk IN ('p1') OR a = 'x') AND sk = 'base' AND pk = 'p1'",
        "pk = 'p2' and sk = ('base')",
        "'base' = sk and (pk = 'p1')",
        "pk = 'p1' AND sk = 'base' AND <condition>",
        "<condition>",
    ],
    "table": ["parsed", '"parsed"', "parsed", '"parsed"', '"other"', "parsed p", "parsed, other", '"parsed"."other"', "@parsed"],
    "end": ["", "", "", ";", " -- end", " ORDER BY sk", " LIMIT 1"],
    "SELECT": ["SELECT <list> FROM <table> WHERE <condition><end>", "select <list> from parsed where <condition>"],
    "list": ["*", "*", "<path>", "<path>, <path>", "<path> AS x", "ALL <path>", "DISTINCT <path>"],
    "term": [
        "<operand>",
        "<path>",
        "list_append(<term>, <term>)",
        "if_not_exists(<path>, <term>)",
        "<term> + <term>",
        "set_add(t, <<'y'>>)",
    ],
    "clause": [
        "SET <path> = <term>",
        "SET <path>=<path>",
        "set <path> = <literal>, <path>=<term>",
        "REMOVE <path>",
        "SET t = set_add(t, <<'y'>>)",
    ],
    "return": ["", "", " RETURNING ALL OLD *", " returning modified new *"],
    "UPDATE": [
        "UPDATE <table> <clause> WHERE <key><return>",
        "UPDATE parsed <clause> WHERE pk = 'p1' AND sk = 'base' AND <test><return>",
        "update parsed <clause> <clause> where <key><end>",
        "FROM parsed WHERE <key> <clause>",
    ],
    "DELETE": ["DELETE FROM <table> WHERE <key><return>", 'delete from "parsed" where <key> AND <test>'],
    "partition": ["'p1'", "('p2')", "?", "<literal>"],
    "INSERT": [
        "INSERT INTO <table> VALUE {'pk': <partition>, 'sk': 'new', 'a': <literal>}",
        "insert into parsed value {'pk':'p1','sk':?,'x':{'a':[1, <literal>]}}",
        "INSERT INTO \"parsed\" VALUE { 'sk' :'new', 'd.e':<operand>,\n'pk':<partition>}",
    ],
}
_WORD = re.compile(r"\s+|[#:@]?\w+|'[^']*'|\"[^\"]*\"|.", re.DOTALL)


def texts(grammar: Grammar, start: str, salt: int) -> list[str]:
    """Some hundred different texts, about a third of them damaged in one place."""
    chance = random.Random(salt)

    def expand(symbol: str, depth: int) -> str:
        rows = grammar[symbol]
        row = chance.choice(rows[:2] if depth > 5 else rows)
        return re.sub(r"<([A-Za-z ]+)>", lambda found: expand(found[1], depth + 1) if found[1] in grammar else found[0], row)

    def damaged(text: str) -> str:
        words = _WORD.findall(text)
        place, other = chance.randrange(len(words)), chance.choice(words)
        new: list[str] = chance.choice(([], [other], [words[place], other], [words[place]] * 2, [chance.choice("().,;- '\"")]))
        return "".join([*words[:place], *new, *words[place + 1 :]])

    made = {expand(start, 0) for _ in range(CASES)}
    return sorted(damaged(text) if chance.random() < 0.35 else text for text in made)


def with_placeholders(member: str, text: str) -> dict[str, Any]:
    """The request's part for one expression."""
    names = {name: NAMES[name] for name in re.findall(r"#\w+", text) if name in NAMES}
    values = {name: VALUES[name] for name in re.findall(r":\w+", text) if name in VALUES}
    defined = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
    return {member: text, **{key: value for key, value in defined.items() if value}}


def holders(value: Any) -> set[str]:
    """The attributes whose own values occur in `value`."""
    text = json.dumps(value)
    return {
        name for name in ITEM if name not in ("pk", "sk") and (f'"value of {name}"' in text or (name == "n" and '"41"' in text))
    }


def missing(items: list[dict[str, Any]]) -> set[str]:
    """The attributes whose absence decides whether an item with the key `p1` is among `items`."""
    found = {item["sk"]["S"] for item in items if item["pk"]["S"] == "p1"}
    return {name for name in ITEM if name not in ("pk", "sk") and (f"without {name}" in found) != ("base" in found)}


# ------------------------------------------------------------------------------------------------------ tests


@pytest.mark.needs("java")
def test_a_filter_tests_only_what_is_told(engine: Engine) -> None:
    """Where the absence of an attribute changes the answer of a Scan, it was told as tested."""
    agreed = 0
    for text in texts(EXPRESSIONS, "FilterExpression", 1):
        request = with_placeholders("FilterExpression", text)
        answer = engine.call("Scan", TableName="parsed", **request)
        try:
            told = roots_of(read_mentions(request).tested)
        except Unreadable:
            continue
        if answer is not None:
            agreed += 1
            assert "sk" in told or missing(answer["Items"]) <= told, text  # `sk` tells the copies apart as well
    assert agreed > CASES / 8


@pytest.mark.needs("java")
def test_a_key_condition_reads_only_what_is_proven(engine: Engine) -> None:
    """Each item that a Query reads has the values of the proven equalities."""
    agreed = 0
    for text in texts(EXPRESSIONS, "KeyConditionExpression", 2):
        request = with_placeholders("KeyConditionExpression", text)
        answer = engine.call("Query", TableName="parsed", **request)
        try:
            proven = read_mentions(request).equalities
        except Unreadable:
            continue
        if answer is not None:
            agreed += 1
            assert "pk" in proven, text
            assert all(item[name] == value for item in answer["Items"] for name, value in proven.items()), text
    assert agreed > 20


@pytest.mark.needs("java")
def test_a_projection_shows_only_what_is_told(engine: Engine) -> None:
    """Each attribute that comes back was told as projected."""
    agreed = 0
    for text in texts(EXPRESSIONS, "ProjectionExpression", 3):
        request = with_placeholders("ProjectionExpression", text)
        answer = engine.call("GetItem", TableName="parsed", Key={"pk": ITEM["pk"], "sk": ITEM["sk"]}, **request)
        try:
            told = roots_of(read_mentions(request).projected or ())
        except Unreadable:
            continue
        if answer is not None:
            agreed += 1
            assert answer["Item"].keys() <= told, text
    assert agreed > 20


@pytest.mark.needs("java")
def test_an_update_touches_only_what_is_told(engine: Engine) -> None:
    """What changes was told as target; where a value turns up, its own attribute was told as source."""
    agreed = 0
    for text in texts(EXPRESSIONS, "UpdateExpression", 4):
        request = with_placeholders("UpdateExpression", text)
        answer = engine.call("UpdateItem", TableName="parsed", Key={"pk": ITEM["pk"], "sk": ITEM["sk"]}, **request)
        changes = engine.changes() if answer is not None else []
        try:
            told = read_mentions(request)
        except Unreadable:
            continue
        for before, after in changes:
            agreed += 1
            changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
            assert changed <= roots_of(told.targets), text
            given = {"a"} if ":a" in text else set()
            copied = {holder for name in changed for holder in holders(after.get(name)) - holders(before.get(name)) - given}
            assert copied <= roots_of(told.sources), text
    assert agreed > 8


def agrees(statement: Statement, text: str, returned: list[dict[str, Any]], changes: list[tuple[Any, Any]]) -> None:
    """Nothing that a statement showed or changed is missing from what is told of it."""
    assert statement.table == "parsed", text
    for item in returned:
        shown = holders(item)
        assert statement.returning != "NONE" or statement.projected is None or shown <= roots_of(statement.projected), text
    for before, after in changes:
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        assert statement.verb is Verb.DELETE or changed <= roots_of(statement.targets), text
        item = before or after
        for name in ("pk", "sk"):
            given = statement.equalities[name]
            literals = {one.text for one in given if isinstance(one, Literal)}
            assert item[name]["S"] in literals or len(literals) < len(given), text


@pytest.mark.needs("java")
@pytest.mark.parametrize("verb", ["SELECT", "UPDATE", "DELETE", "INSERT"])
def test_a_statement_touches_only_what_is_told(engine: Engine, verb: str) -> None:
    """Table, keys, attributes: whatever DynamoDB takes and we do not refuse has no effect beyond what is told."""
    agreed = 0
    for text in texts(PARTIQL, verb, 5):
        parameters = [{"S": "p1"}] * text.count("?")
        answer = engine.call("ExecuteStatement", Statement=text, **({"Parameters": parameters} if parameters else {}))
        changes = engine.changes() if answer is not None and verb != "SELECT" else []
        try:
            statement = read_statement(text)
        except Unreadable:
            continue
        if answer is None:
            continue
        if statement.table == "other":  # it is empty: what it takes from there is told by its name
            assert not answer["Items"], text
            continue
        agreed += 1
        assert statement.parameters == len(parameters), text
        agrees(statement, text, answer["Items"], changes)
        if verb == "SELECT" and statement.projected is None:
            tested = roots_of(statement.tested)
            assert "sk" in tested or missing(answer["Items"]) <= tested, text
            for name, given in statement.equalities.items():
                literals = [{one.type: one.text} for one in given if isinstance(one, Literal)]
                assert all(item[name] in literals or len(literals) < len(given) for item in answer["Items"]), text
    assert agreed > 15
