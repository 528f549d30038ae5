"""The nouns: what they promise beyond holding fields."""

from __future__ import annotations

import dataclasses

import pytest

from proxy import model
from proxy.dynamodb.facts import SearchFacts
from proxy.model import Credentials, Exchange, Operation, ReplySummary, TableReference, Touch


def touching(*tables: str) -> Operation:
    """An operation that reads one item of each table."""
    touches = tuple(Touch("GetItem", TableReference(table), position=n) for n, table in enumerate(tables, 1))
    return Operation("BatchGetItem", "DynamoDB_20120810.BatchGetItem", is_write=False, touches=touches, body=b"{}")


def test_an_operation_on_one_table_is_named_by_it() -> None:
    """Also where several members touch it."""
    assert touching("orders", "orders").table == "orders"


def test_an_operation_on_two_tables_is_labelled_several() -> None:
    """One bounded label, not a list of names."""
    assert touching("orders", "orders", "billing").table == "several"


def test_an_operation_without_contents_is_on_record_as_it_was() -> None:
    """Its name and what it touches, in its order, stay; body and facts, which hold megabytes, do not."""
    whole = touching("orders", "orders", "billing", "orders")
    whole = whole._replace(touches=tuple(touch._replace(facts=SearchFacts()) for touch in whole.touches))
    rest = whole.without_contents()
    assert rest.body == b""
    assert [touch.facts for touch in rest.touches] == [None] * 4
    assert [touch[:3] for touch in rest.touches] == [touch[:3] for touch in whole.touches]
    assert rest._replace(touches=whole.touches, body=whole.body) == whole


def test_credentials_never_show_their_secrets() -> None:
    """A trace or log that prints them shows the access key id only."""
    shown = repr(Credentials("AKIAEXAMPLE", "secret-key", "session-token", 0.0))
    assert "AKIAEXAMPLE" in shown
    assert "secret-key" not in shown
    assert "session-token" not in shown


@pytest.mark.parametrize(
    "noun",
    [noun for noun in vars(model).values() if dataclasses.is_dataclass(noun) and noun is not Exchange],
    ids=lambda noun: noun.__name__,
)
def test_nouns_are_immutable(noun: type) -> None:
    """What was judged cannot be changed afterwards; the running record of a request is the one exception."""
    assert noun.__dataclass_params__.frozen
    assert "__slots__" in vars(noun)


def test_a_fresh_exchange_has_no_ending() -> None:
    """So that an exchange which nobody ended can be told from one that was."""
    exchange = Exchange("id", 0.0)
    assert exchange.ending is None
    assert exchange.sent is False
    assert exchange.summary == ReplySummary()


@pytest.mark.parametrize(
    ("said", "is_own"),
    [
        (("", "", ""), True),
        (("aws", "eu-west-1", "111122223333"), True),
        (("", "eu-west-1", ""), True),
        (("", "", "111122223333"), True),
        (("", "eu-west-2", ""), False),
        (("", "", "999999999999"), False),
        (("aws-cn", "eu-west-1", "111122223333"), False),
    ],
)
def test_a_table_is_foreign_by_whatever_it_says(said: tuple[str, str, str], is_own: bool) -> None:
    """A replica says its Region only, a bucket's owner its account only."""
    assert TableReference("orders", *said).is_at(("aws", "eu-west-1", "111122223333")) is is_own
