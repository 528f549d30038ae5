"""PartiQL requests: each statement is a touch with what it proves, or the whole request is refused."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from proxy.dynamodb.operation import read_operation
from proxy.model import Operation, Pin, TableReference
from proxy.refusal import Reason, Unreadable
from tests.pinned import pins_of

BY_SUM = "UPDATE orders SET a = 0 WHERE pk = 'x'"
BY_KEY = "SELECT a FROM \"orders\" WHERE pk = 'x'"


def read(name: str, body: Any) -> Operation:
    """Read a request."""
    return read_operation(b"DynamoDB_20120810." + name.encode(), orjson.dumps(body))


def refused(name: str, body: Any) -> str:
    """The message with which it is refused."""
    with pytest.raises(Unreadable) as caught:
        read(name, body)
    assert caught.value.reason is Reason.UNREADABLE_BODY
    return caught.value.message


def single(statement: str, *parameters: Any, **members: Any) -> Operation:
    """One ExecuteStatement."""
    given = {"Parameters": list(parameters)} if parameters else {}
    return read("ExecuteStatement", {"Statement": statement, **given, **members})


@pytest.mark.parametrize(
    ("statement", "action", "index", "is_write"),
    [
        (BY_KEY, "PartiQLSelect", "", False),
        ('select * from "orders"."by_status"', "PartiQLSelect", "by_status", False),
        ("INSERT INTO \"orders\" VALUE {'pk':'x'}", "PartiQLInsert", "", True),
        ("UPDATE \"orders\" SET a = 1 WHERE pk = 'x'", "PartiQLUpdate", "", True),
        ("DELETE FROM \"orders\" WHERE pk = 'x'", "PartiQLDelete", "", True),
    ],
)
def test_a_statement_is_one_touch(statement: str, action: str, index: str, is_write: bool) -> None:
    """Verb, table and index; a SELECT alone is no write, so it may be sent again."""
    operation = single(statement)
    (touch,) = operation.touches
    assert (touch.action, touch.table, touch.index, touch.position) == (action, TableReference("orders"), index, 0)
    assert operation.is_write is is_write
    assert json.loads(operation.body) == {"Statement": statement}


def test_members_of_batches_and_transactions_are_touches_in_their_order() -> None:
    """A batch of reads is no write; EXISTS is a read on its own table."""
    batch = read(
        "BatchExecuteStatement", {"Statements": [{"Statement": BY_KEY}, {"Statement": BY_KEY.replace("orders", "stock")}]}
    )
    assert [(t.action, t.table.name, t.position) for t in batch.touches] == [
        ("PartiQLSelect", "orders", 1),
        ("PartiQLSelect", "stock", 2),
    ]
    assert not batch.is_write
    transaction = read(
        "ExecuteTransaction",
        {
            "TransactStatements": [
                {"Statement": "EXISTS(SELECT * FROM \"stock\" WHERE pk = 'x')"},
                {"Statement": "DELETE FROM \"orders\" WHERE pk = 'x'"},
            ],
            "ClientRequestToken": "once",
        },
    )
    assert [(t.action, t.table.name, t.position) for t in transaction.touches] == [
        ("PartiQLSelect", "stock", 1),
        ("PartiQLDelete", "orders", 2),
    ]
    assert transaction.is_write
    assert all(touch.facts is not None and touch.facts.has_client_token for touch in transaction.touches)


@pytest.mark.parametrize(
    ("statement", "parameters", "pins"),
    [
        ("SELECT a FROM \"orders\" WHERE pk = 'x' AND n = 1.50", (), {"pk": [{"S": "x"}], "n": [{"N": "1.50"}]}),
        ('SELECT a FROM "orders" WHERE pk IN (?, ?)', ({"B": "eA=="}, {"S": "y"}), {"pk": [{"B": "eA=="}, {"S": "y"}]}),
        ("SELECT a FROM \"orders\" WHERE pk = 'x' OR a = 'y'", (), {}),
        ("INSERT INTO \"orders\" VALUE {'pk':?, 'm':{'a':1}}", ({"S": "x"},), {"pk": [{"S": "x"}]}),
        ('UPDATE "orders" SET a = ? WHERE pk = ?', ({"S": "1"}, {"S": "2"}), {"pk": [{"S": "2"}]}),
    ],
)
def test_pins_are_resolved_against_the_parameters(statement: str, parameters: tuple[Any, ...], pins: dict[str, Any]) -> None:
    """Each `?` by its place in the statement, literals as they are spelled."""
    (touch,) = single(statement, *parameters).touches
    assert touch.facts is not None
    assert pins_of(touch.facts) == {name: Pin(tuple(values)) for name, values in pins.items()}


@pytest.mark.parametrize(
    ("statement", "members", "named", "whole", "replaces"),
    [
        ("SELECT * FROM \"orders\" WHERE pk = 'x'", {}, {"pk"}, "SELECT *", False),
        (BY_KEY, {}, {"pk", "a"}, "", False),
        ("SELECT a.b[0], c FROM \"orders\" WHERE size(d) > 1 AND pk = 'x' ORDER BY e", {}, {*"acde", "pk"}, "", False),
        ("INSERT INTO \"orders\" VALUE {'pk':'x', 'a':1}", {}, {"pk", "a"}, "", False),
        ("UPDATE \"orders\" SET a = b REMOVE c WHERE pk = 'x'", {}, {"pk", "a", "b", "c"}, "", False),
        ("UPDATE \"orders\" SET a = 1 WHERE pk = 'x' RETURNING MODIFIED NEW *", {}, {"pk", "a"}, "", False),
        ("UPDATE \"orders\" SET a = 1 WHERE pk = 'x' RETURNING ALL NEW *", {}, {"pk", "a"}, "RETURNING ALL NEW *", False),
        ("DELETE FROM \"orders\" WHERE pk = 'x'", {}, {"pk"}, "", True),
        ("DELETE FROM \"orders\" WHERE pk = 'x' RETURNING ALL OLD *", {}, {"pk"}, "RETURNING ALL OLD *", True),
        ("DELETE FROM \"orders\" WHERE pk = 'x'", {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}, {"pk"},
         "ReturnValuesOnConditionCheckFailure ALL_OLD", True),
    ],
)  # fmt: skip
def test_attributes_of_a_statement(statement: str, members: Any, named: set[str], whole: str, replaces: bool) -> None:
    """What is named, what brings the whole item back, and what loses the rest of it."""
    (touch,) = single(statement, **members).touches
    assert touch.facts is not None
    assert (touch.facts.named, touch.facts.whole, touch.facts.replaces) == (named, whole, replaces)
    assert (touch.facts.absent, touch.facts.total_segments) == (frozenset(), 1)


@pytest.mark.parametrize(
    ("statement", "has_condition"),
    [
        ("INSERT INTO \"orders\" VALUE {'pk':'x'}", True),
        ("DELETE FROM \"orders\" WHERE pk = 'x' AND sk = 'y'", False),
        ("DELETE FROM \"orders\" WHERE pk = 'x' AND sk = 'y' AND v = 3", True),
        ("DELETE FROM \"orders\" WHERE pk = 'x' AND v > 3", True),
    ],
)
def test_a_write_is_conditional_beyond_its_key(statement: str, has_condition: bool) -> None:
    """Two equalities may be the key; a third, or any other test, is a condition. INSERT meets no item."""
    (touch,) = single(statement).touches
    assert touch.facts is not None
    assert touch.facts.has_condition is has_condition


def test_the_limit_is_told() -> None:
    """`Limit` of ExecuteStatement; batches have none."""
    (touch,) = single(BY_KEY, Limit=5).touches
    assert touch.facts is not None
    assert (touch.facts.limit, touch.facts.has_client_token) == (5, False)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("ExecuteStatement", {"Statement": "SELECT * FROM a, b"}, "the PartiQL statement "),
        ("ExecuteStatement", {"Statement": BY_KEY + " -- x"}, "the PartiQL statement "),
        ("ExecuteStatement", {"Statement": f"EXISTS({BY_KEY})"}, "the PartiQL statement is EXISTS"),
        ("ExecuteStatement", {"Statement": BY_KEY, "Parameters": [{"S": "x"}]},
         "the PartiQL statement has 0 `?`, and there are 1 `Parameters`"),
        ("ExecuteStatement", {"Statement": BY_KEY.replace("'x'", "?")},
         "the PartiQL statement has 1 `?`, and there are 0 `Parameters`"),
        ("BatchExecuteStatement", {"Statements": [{"Statement": BY_KEY}, {"Statement": f"EXISTS({BY_KEY})"}]},
         "statement 2 of 2: the PartiQL statement is EXISTS"),
        ("ExecuteStatement", {"Statement": ""}, "`Statement` of ExecuteStatement must have 1 to 8192 characters"),
        ("ExecuteTransaction", {"TransactStatements": []}, "`TransactStatements` of ExecuteTransaction must have 1 to 100"),
    ],
)  # fmt: skip
def test_what_is_no_statement_of_the_dialect_is_refused(name: str, body: Any, message: str) -> None:
    """One bad member refuses the whole request, and the message shows nothing of the text."""
    assert refused(name, body).startswith(message)


def laborious(number: int) -> str:
    """A statement of a little more than 4,000 tokens, different for each number."""
    return BY_SUM.replace("0", str(number) + " + 1" * 2000)


@pytest.mark.parametrize("name", ["BatchExecuteStatement", "ExecuteTransaction"])
def test_statements_share_what_one_of_them_may_have(name: str) -> None:
    """100 different statements of 8,192 characters would hold the gateway for seconds; 8,192 words and signs are for all."""
    member = "Statements" if name == "BatchExecuteStatement" else "TransactStatements"
    assert len(read(name, {member: [{"Statement": laborious(1)}, {"Statement": laborious(2)}]}).touches) == 2
    message = refused(name, {member: [{"Statement": laborious(number)} for number in range(25)]})
    assert message.startswith("statement 3 of 25: the PartiQL statement and those before it have more than 8192 words and signs;")


def test_statements_may_have_all_that_they_share() -> None:
    """8,192 words and signs are read, one more is not."""

    def statements(*sums: int) -> list[dict[str, Any]]:
        """Of 11 words and signs and two for each addend."""
        return [{"Statement": BY_SUM.replace("0", str(at) + " + 1" * more)} for at, more in enumerate(sums)]

    assert len(read("BatchExecuteStatement", {"Statements": statements(1018, 1018, 1019, 1019)}).touches) == 4
    message = refused("BatchExecuteStatement", {"Statements": statements(1018, 1018, 1019, 1014, 0)})
    assert message.startswith("statement 5 of 5: the PartiQL statement and those before it have more than 8192 words and signs;")


def test_a_statement_that_comes_again_does_not_count_again() -> None:
    """As it should be written: one text, with other parameters each time."""
    statement = laborious(1).replace("'x'", "?")
    statements = [{"Statement": statement, "Parameters": [{"S": str(number)}]} for number in range(25)]
    touches = read("BatchExecuteStatement", {"Statements": statements}).touches
    assert [touch.facts.pin("pk") for touch in touches if touch.facts] == [Pin(({"S": str(at)},)) for at in range(25)]


def test_the_longest_statement_alone_is_read() -> None:
    """Single statements are bounded by their characters only, as DynamoDB does."""
    longest = BY_SUM.replace("0", "1" + "+1" * 4077)
    assert len(longest) == 8192
    assert single(longest).touches[0].action == "PartiQLUpdate"
    assert len(read("ExecuteTransaction", {"TransactStatements": [{"Statement": longest}]}).touches) == 1
