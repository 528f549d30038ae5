"""Sealed shard iterators and page keys: one DAG's own, whole or not at all, and never bare."""

from __future__ import annotations

import base64
import random
import zlib
from typing import TYPE_CHECKING, Any

import jiter
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dynamodb.operation import read_operation
from proxy.dynamodb.seals import MAX_SEALED, PAGE_KEY, OpenedIterator, Seals, seal_iterators, seal_last_key
from proxy.model import Reply, TableReference, Touch
from proxy.refusal import Broken, Forbidden, Reason, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STREAM = "arn:aws:dynamodb:us-east-1:111122223333:table/orders/stream/2026-01-01T00:00:00.000"
OPENED = OpenedIterator(STREAM, f"{STREAM}|1|AAAAAAAAAAGQ")
OLD, NEW = b"o" * 32, b"n" * 32
NONCE = b"0123456789ab"
SEAL = Seals((NEW, OLD))
GET_RECORDS = b"DynamoDBStreams_20120810.GetRecords"


def is_refused(sealed: str, dag_id: str = "orders_daily", seal: Seals = SEAL) -> bool:
    """Whether it is refused as a foreign iterator."""
    with pytest.raises(Forbidden) as caught:
        seal.open_iterator(sealed, dag_id)
    return caught.value.reason is Reason.FOREIGN_ITERATOR


@given(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=300),
    st.text("abc_.#", min_size=1),
    st.binary(min_size=12, max_size=12),
)
def test_what_was_sealed_for_a_dag_is_opened_for_it(iterator: str, dag_id: str, nonce: bytes) -> None:
    """Stream and iterator come back whole, whatever the iterator holds."""
    opened = OpenedIterator(STREAM, iterator)
    sealed = SEAL.seal_iterator(opened, dag_id, nonce)
    assert SEAL.open_iterator(sealed, dag_id) == opened
    assert is_refused(sealed, dag_id + "2")


def test_a_key_is_replaced_without_a_gap() -> None:
    """The first key seals, all of them open; a key that is gone opens nothing."""
    before, after = Seals((OLD,)), Seals((NEW,))
    assert SEAL.open_iterator(before.seal_iterator(OPENED, "orders_daily", NONCE), "orders_daily") == OPENED
    assert after.open_iterator(SEAL.seal_iterator(OPENED, "orders_daily", NONCE), "orders_daily") == OPENED
    assert is_refused(SEAL.seal_iterator(OPENED, "orders_daily", NONCE), seal=before)


def test_what_was_sealed_before_an_upgrade_is_opened_after_it() -> None:
    """Its form is kept: key id of 4 bytes, nonce of 12, packed text. An iterator lives for 15 minutes, longer than a rollout."""
    sealed = (
        "jTVubjAxMjM0NTY3ODlhYj8OGqmAbjPH17FUCNBoHfX6pqyLaS8Wxli7zWEDyUWb6HtvC6ouw3j23RYOI1bpxBPFslL9BvmarD_PDMR9afMP_BRT1Kk2"
        "qictysJa7moC6bIr4Ka35QOoUAlZax_HIvkvfEyMLd6aWYsOOTU"
    )
    assert SEAL.open_iterator(sealed, "orders_daily") == OPENED


SEALED = SEAL.seal_iterator(OPENED, "orders_daily", NONCE)


@pytest.mark.parametrize(
    "sealed",
    [
        OPENED.iterator,
        "x",
        "AAAA",
        "é" * 40,
        SEALED[:-1],
        SEALED[:6],
        SEALED[:20],
        SEALED + "A",
        SEALED + "\n",
        SEALED[:8] + "." + SEALED[8:],
        SEALED[:8] + "...." + SEALED[8:],
        base64.urlsafe_b64encode(b"\0" * 64).decode(),
    ],
)
def test_what_was_not_sealed_here_is_refused(sealed: str) -> None:
    """DynamoDB's own iterators, cut, lengthened and invented ones."""
    assert is_refused(sealed)


@given(st.integers(0, len(SEALED) - 1), st.sampled_from("AQgw_-"))
def test_no_changed_character_is_accepted(place: int, character: str) -> None:
    """Every bit is under the seal, but for those that base64 has no use for at its end."""
    changed = SEALED[:place] + character + SEALED[place + 1 :]
    padding = "=" * (-len(SEALED) % 4)
    if base64.urlsafe_b64decode(changed + padding) != base64.urlsafe_b64decode(SEALED + padding):
        assert is_refused(changed)


def test_a_long_iterator_fits_and_a_longer_one_is_told() -> None:
    """What DynamoDB gives out is base64, which packs well; where it does not fit, nothing leaves bare."""
    noise = random.Random(7)
    tail = base64.b64encode(noise.randbytes(1050)).decode()
    assert len(SEAL.seal_iterator(OpenedIterator(STREAM, f"{STREAM}|1|{tail}"), "orders_daily", NONCE)) <= MAX_SEALED
    with pytest.raises(Broken, match="does not fit into 2048"):
        SEAL.seal_iterator(OpenedIterator(STREAM, base64.b64encode(noise.randbytes(1500)).decode()), "orders_daily", NONCE)


def test_the_longest_that_fits_has_2048_characters() -> None:
    """As many as DynamoDB's own and botocore's model take; with a few more of the iterator nothing leaves."""
    text = base64.b64encode(random.Random(7).randbytes(1500)).decode()
    lengths = []
    for end in range(1000, 2000):
        try:
            lengths.append(len(SEAL.seal_iterator(OpenedIterator("", text[:end]), "orders_daily", NONCE)))
        except Broken:
            break
    assert max(lengths) == 2048


# ------------------------------------------------------------------------------------------------ requests


def test_get_records_is_forwarded_with_the_iterator_that_was_sealed() -> None:
    """The touch is the stream's table, and the reply's next iterator belongs to the same stream."""
    body = orjson.dumps({"ShardIterator": SEALED, "Limit": 10})
    operation = read_operation(GET_RECORDS, body, seals=SEAL, dag_id="orders_daily")
    assert jiter.from_json(operation.body) == {"ShardIterator": OPENED.iterator, "Limit": 10}
    assert operation.touches == (Touch("GetRecords", TableReference("orders", "aws", "us-east-1", "111122223333")),)
    assert (operation.plane, operation.stream, operation.is_write) == ("streams", STREAM, False)


def test_without_a_seal_no_records_are_read() -> None:
    """An iterator whose stream is unknown is never forwarded."""
    with pytest.raises(Unreadable) as caught:
        read_operation(GET_RECORDS, orjson.dumps({"ShardIterator": OPENED.iterator}))
    assert caught.value.reason is Reason.UNSUPPORTED_OPERATION


def test_get_shard_iterator_says_of_which_stream_its_reply_is() -> None:
    """The stream is known from the request; DescribeStream gives out no iterators."""
    shard = {"StreamArn": STREAM, "ShardId": "shardId-000000000000000000001", "ShardIteratorType": "LATEST"}
    operation = read_operation(b"DynamoDBStreams_20120810.GetShardIterator", orjson.dumps(shard))
    assert (operation.stream, operation.touches[0].table.name) == (STREAM, "orders")
    described = read_operation(b"DynamoDBStreams_20120810.DescribeStream", orjson.dumps({"StreamArn": STREAM}))
    assert (described.stream, described.touches[0].action) == ("", "DescribeStream")


# ------------------------------------------------------------------------------------------------- replies


def reply(body: bytes, status: int = 200, crc32: int | None = None) -> Reply:
    """A reply as DynamoDB sends it."""
    checksum = zlib.crc32(body) if crc32 is None else crc32
    return Reply(status, ((b"x-amzn-requestid", b"R1"), (b"x-amz-crc32", b"%d" % checksum)), body)


def mark(iterator: str) -> str:
    """A seal that can be read."""
    return f"<{iterator}>"


@pytest.mark.parametrize("member", ["ShardIterator", "NextShardIterator"])
def test_iterators_in_replies_are_sealed_and_the_checksum_is_new(member: str) -> None:
    """Nothing else changes."""
    records = [{"dynamodb": {"ApproximateCreationDateTime": 1.46480431e9, "Keys": {"NextShardIterator": {"S": "x"}}}}]
    sealed = seal_iterators(reply(orjson.dumps({"Records": records, member: "it"})), mark)
    assert jiter.from_json(sealed.body) == {"Records": records, member: "<it>"}
    assert sealed.headers == ((b"x-amzn-requestid", b"R1"), (b"x-amz-crc32", b"%d" % zlib.crc32(sealed.body)))


def test_the_end_of_a_shard_has_no_iterator() -> None:
    """A closed shard's last reply names none, or null; a reply without a checksum gets none."""
    assert seal_iterators(reply(b'{"NextShardIterator":null}'), mark).body == b'{"NextShardIterator":null}'
    assert seal_iterators(Reply(200, (), b'{"Records":[]}'), mark) == Reply(200, (), b'{"Records":[]}')


def test_errors_pass_unchanged() -> None:
    """They hold no iterator."""
    error = reply(b'{"__type":"ExpiredIteratorException"}', status=400)
    assert seal_iterators(error, mark) is error


@pytest.mark.parametrize(
    "bad",
    [
        reply(b'{"NextShardIterator":"it"'),
        reply(b'{"NextShardIterator":"it"}', crc32=1),
        reply(b'["NextShardIterator"]'),
        reply(b'{"NextShardIterator":"it","NextShardIterator":"it"}'),
        reply(b'{"NextShardIterator":7}'),
        reply(b"1"),
        reply(b""),
    ],
)
def test_a_reply_that_cannot_be_read_is_not_passed_on(bad: Reply) -> None:
    """A bare iterator must not leave, nor may a new checksum hide that bytes were lost."""
    with pytest.raises(Broken) as caught:
        seal_iterators(bad, mark)
    assert caught.value.reason is Reason.UPSTREAM_BROKEN


# ----------------------------------------------------------------------------------------------- next pages

LAST_KEY = {"user_id": {"S": "u1@secret"}, "ts": {"N": "12345678901234567890.5"}, "campaign_id": {"S": "c1"}}
QUERY = {"TableName": "events", "KeyConditionExpression": "c = :c", "ExpressionAttributeValues": {":c": {"S": "c1"}}}


EVENTS = Touch("Query", TableReference("events"))


def sealed_page(dag_id: str = "orders_daily", touch: Touch = EVENTS) -> dict[str, dict[str, str]]:
    """A page key of a DAG's."""
    return SEAL.seal_page(LAST_KEY, dag_id, touch, NONCE)


@pytest.mark.parametrize("operation", ["Query", "Scan"])
def test_a_page_key_is_forwarded_opened_and_names_nothing(operation: str) -> None:
    """What DynamoDB gets is its own key again; what is judged has no start key, for the DAG need not know what is in it."""
    body = {**QUERY, "ExclusiveStartKey": sealed_page()} if operation == "Query" else {"TableName": "events"}
    body["ExclusiveStartKey"] = sealed_page()
    understood = read_operation(b"DynamoDB_20120810." + operation.encode(), orjson.dumps(body), seals=SEAL, dag_id="orders_daily")
    assert jiter.from_json(understood.body) == {**body, "ExclusiveStartKey": LAST_KEY}
    facts = understood.touches[0].facts
    assert facts is not None
    assert facts.named == ({"c"} if operation == "Query" else set())


@pytest.mark.parametrize(
    "key",
    [
        sealed_page("orders_daily2"),
        sealed_page(touch=Touch("Scan", TableReference("event"))),
        sealed_page(touch=Touch("Scan", TableReference("events"), "s")),
        sealed_page(touch=Touch("Scan", TableReference("people"))),
        {PAGE_KEY: {"S": SEALED}},
        {PAGE_KEY: {"S": sealed_page()[PAGE_KEY]["S"][:-4]}},
        {PAGE_KEY: {"S": "x"}},
        {PAGE_KEY: {"N": "1"}},
        {PAGE_KEY: {"M": {}}},
    ],
)
def test_a_page_key_that_was_not_sealed_for_the_dag_is_refused(key: dict[str, object]) -> None:
    """Another DAG's, another table's or index's, a shard iterator of its own, one that was cut, and what is none."""
    with pytest.raises(Forbidden, match="begin again without `ExclusiveStartKey`") as caught:
        read_operation(
            b"DynamoDB_20120810.Scan",
            orjson.dumps({"TableName": "events", "ExclusiveStartKey": key}),
            seals=SEAL,
            dag_id="orders_daily",
        )
    assert caught.value.reason is Reason.FOREIGN_ITERATOR


def test_the_length_of_a_page_key_tells_nothing() -> None:
    """Of keys as long as most are."""
    lengths = {len(SEAL.seal_page({"pk": {"S": "x" * size}}, "d", EVENTS, NONCE)[PAGE_KEY]["S"]) for size in range(200)}
    assert len(lengths) == 1


def test_a_page_key_beside_other_attributes_is_an_attribute() -> None:
    """It is judged by its name, and forwarded as it came."""
    body = {"TableName": "events", "ExclusiveStartKey": {**sealed_page(), "pk": {"S": "x"}}}
    understood = read_operation(b"DynamoDB_20120810.Scan", orjson.dumps(body), seals=SEAL, dag_id="orders_daily")
    assert jiter.from_json(understood.body) == body
    facts = understood.touches[0].facts
    assert facts is not None
    assert facts.named == {PAGE_KEY, "pk"}


def test_without_seals_a_page_key_is_judged_and_stays_sealed() -> None:
    """So that a decision can be explained where no key is at hand."""
    body = {"TableName": "events", "ExclusiveStartKey": sealed_page()}
    understood = read_operation(b"DynamoDB_20120810.Scan", orjson.dumps(body))
    assert jiter.from_json(understood.body) == body
    facts = understood.touches[0].facts
    assert facts is not None
    assert facts.named == set()


def hidden(*names: str) -> Callable[[Iterable[str]], bool]:
    """Whether attributes may be seen, where these may not."""
    return frozenset(names).isdisjoint


def sealer(key: dict[str, Any]) -> dict[str, Any]:
    """A seal that can be read."""
    return {"sealed": {"L": [{"S": name} for name in key]}}


def test_a_last_key_with_a_hidden_attribute_is_sealed_and_the_checksum_is_new() -> None:
    """Nothing else changes."""
    page = {
        "Count": 1,
        "ScannedCount": 3,
        "ConsumedCapacity": {"CapacityUnits": 0.5},
        "Items": [{"LastEvaluatedKey": {"S": "x"}}],
    }
    sent = reply(orjson.dumps({**page, "LastEvaluatedKey": LAST_KEY}))
    sealed = seal_last_key(sent, hidden("user_id"), sealer)
    assert jiter.from_json(sealed.body) == {**page, "LastEvaluatedKey": sealer(LAST_KEY)}
    assert sealed.headers == ((b"x-amzn-requestid", b"R1"), (b"x-amz-crc32", b"%d" % zlib.crc32(sealed.body)))
    assert seal_last_key(sent, hidden("ssn"), sealer) is sent


@pytest.mark.parametrize(
    "page",
    [
        b'{"Count":1,"Items":[{"a":{"S":"x"}}],%s,"ScannedCount":1}',
        b'{%s,"Items":[{"a":{"S":"x"}}]}',
        b'{"Items":[{"a":{"S":"x"}}],%s}',
        b'{ "Items" : [ ] , %s , "Count" : 0 }',
        b'{"Items":[{"LastEvaluatedKey":{"S":"x"}}],%s}',
        b'{"Items":[{"a":{"S":"LastEvaluatedKey"}}],%s}',
        b'{%s,"Items":[{"a":{"M":{"LastEvaluatedKey":{"S":"x"}}}}]}',
        b'{"Items":[{"a":{"S":"\\"LastEvaluatedKey\\":{}}"}}],%s}',
    ],
)
def test_a_last_key_is_found_wherever_it_stands(page: bytes) -> None:
    """Before the items, behind them, alone, and beside attributes and texts of that name."""
    sent = reply(page % (b'"LastEvaluatedKey":' + orjson.dumps(LAST_KEY)))
    sealed = seal_last_key(sent, hidden("user_id"), sealer)
    assert jiter.from_json(sealed.body) == {**jiter.from_json(sent.body), "LastEvaluatedKey": sealer(LAST_KEY)}
    assert dict(sealed.headers)[b"x-amz-crc32"] == b"%d" % zlib.crc32(sealed.body)


def test_a_page_of_many_small_items_is_not_parsed_for_its_key() -> None:
    """1 MB as DynamoDB counts can be 200,000 members. Where they must be looked at, a page with fewer is asked for."""
    items = b'{"Items":[%s],' % b",".join([b'{"a":{"N":"1"}}'] * 70_000)
    key = b'"LastEvaluatedKey":' + orjson.dumps(LAST_KEY)
    sealed = seal_last_key(reply(items + key + b"}"), hidden("user_id"), sealer)
    assert sealed.body == items + b'"LastEvaluatedKey":' + orjson.dumps(sealer(LAST_KEY)) + b"}"
    with pytest.raises(Broken, match="retry, with a smaller Limit if it stays"):
        seal_last_key(reply(items.replace(b"a", b"LastEvaluatedKey", 1) + key + b"}"), hidden("user_id"), sealer)


@pytest.mark.parametrize(
    "sent",
    [
        reply(b'{"Items":[{"LastEvaluatedKey":{"S":"x"}}],"Count":1}'),
        reply(b'{"Items":[],"Count":0}'),
        reply(b'{"__type":"x","message":"\\"LastEvaluatedKey\\""}', status=400),
    ],
)
def test_a_reply_without_a_last_key_passes_unchanged(sent: Reply) -> None:
    """An attribute of that name, the last page, an error."""
    assert seal_last_key(sent, lambda names: not set(names), sealer) is sent


@pytest.mark.parametrize(
    "bad",
    [
        reply(b'{"LastEvaluatedKey":{"pk":{"S":"x"}'),
        reply(b'{"LastEvaluatedKey":{"pk":{"S":"x"}}}', crc32=1),
        reply(b'{"LastEvaluatedKey":{},"LastEvaluatedKey":{}}'),
        reply(b'{"LastEvaluatedKey":"x"}'),
        reply(b'["LastEvaluatedKey"]'),
    ],
)
def test_a_page_that_cannot_be_read_is_not_passed_on(bad: Reply) -> None:
    """A key must not leave bare."""
    with pytest.raises(Broken) as caught:
        seal_last_key(bad, hidden("pk"), sealer)
    assert caught.value.reason is Reason.UPSTREAM_BROKEN
