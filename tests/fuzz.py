"""Bytes that nobody meant: `python -m tests.fuzz SECONDS [SALT]` damages good inputs of each reader and looks what comes out.

A reader may take an input or refuse it in its own way (a Refusal; of the policy loader, mistakes). Anything else is a defect:
the command prints the input that shows it and fails. The unit tests run the first few thousand of the same inputs.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.aws.inbound import read_signature
from proxy.aws.sts_form import read_call
from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.mentions import read_mentions
from proxy.dynamodb.operation import read_operation
from proxy.dynamodb.partiql import read_statement
from proxy.edge.gate import read_head
from proxy.edge.limits import EdgeLimits
from proxy.identity.denials import read_denials
from proxy.policy.document import read_policies
from proxy.refusal import Refusal
from proxy.yaml_source import Mistakes
from tests.made_requests import RequestMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = 64 * 1024
_LIMITS = EdgeLimits()
_TARGETS = {row.name: row.target.encode() for row in OPERATIONS if row.name != "GetRecords"}
_FACTS = ("named", "whole", "replaces", "absent", "limit", "total_segments", "has_condition", "has_client_token")
_EXPRESSIONS = (
    "KeyConditionExpression",
    "FilterExpression",
    "ConditionExpression",
    "ProjectionExpression",
    "UpdateExpression",
)


class Reader(NamedTuple):
    """What is fed, what with, and which pieces its grammar makes the most of."""

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    pieces: tuple[bytes, ...]


def _head(data: bytes) -> None:
    read_head(data.partition(b"\r\n\r\n")[0].removesuffix(b"\r\n") + b"\r\n\r\n", "127.0.0.1", _LIMITS)


def _request(data: bytes) -> None:
    """The first line is the operation, the rest its body; a decision may ask for every fact."""
    name, _, body = data.partition(b"\n")
    operation = read_operation(_TARGETS.get(name.decode("latin-1"), name), body)
    for touch in operation.touches:
        if touch.facts is not None:
            touch.facts.pin("pk")
            for fact in _FACTS:
                getattr(touch.facts, fact)


def _expression(data: bytes) -> None:
    """The first byte says which member the text is; placeholders that it uses are defined."""
    text = data[1:].decode("utf-8", "surrogatepass")
    member: dict[str, Any] = {_EXPRESSIONS[(data[:1] or b"\0")[0] % len(_EXPRESSIONS)]: text}
    if aliases := re.findall(r"#\w+", text, re.ASCII):
        member["ExpressionAttributeNames"] = dict.fromkeys(aliases, "pk")
    if placeholders := re.findall(r":\w+", text, re.ASCII):
        member["ExpressionAttributeValues"] = {name: {"S": "v"} for name in placeholders}
    read_mentions(member)


def _statement(data: bytes) -> None:
    read_statement(data.decode("utf-8", "surrogatepass"))


def _form(data: bytes) -> None:
    read_call(data, 3600)


def _signature(data: bytes) -> None:
    """The value of `Authorization`, among headers that are in order."""
    headers = {
        b"authorization": data,
        b"host": b"localhost:8000",
        b"content-type": b"application/x-amz-json-1.0",
        b"x-amz-date": b"20261122T120000Z",
        b"x-amz-security-token": b"ddbproxy1-AAAA",
        b"x-amz-target": b"DynamoDB_20120810.GetItem",
    }
    read_signature(headers, "DDBPAAAAAAAAAAAAAAAA", "secret", "dynamodb", 1795348800.0)


def _denials(data: bytes) -> None:
    read_denials(data.decode("utf-8"), "denied.yaml", Mistakes())


def _policy(data: bytes) -> None:
    read_policies({"p.yaml": data.decode("utf-8")}, "", "us-east-1", Mistakes())


_HEAD = (
    b"POST / HTTP/1.1\r\nHost: localhost:8000\r\nX-Amz-Target: DynamoDB_20120810.GetItem\r\n"
    b"Content-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\nAuthorization: AWS4-HMAC-SHA256 Credential=a/b/c\r\n"
)
_FORM = (
    b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fr&RoleSessionName=task"
    b"&WebIdentityToken=eyJ.eyJ.sig&DurationSeconds=900"
)
_SIGNATURE = (
    b"AWS4-HMAC-SHA256 Credential=DDBPAAAAAAAAAAAAAAAA/20261122/us-east-1/dynamodb/aws4_request, "
    b"SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=" + b"0" * 64
)
_POLICY = b"""tables:
  orders: {key: "pk (S), sk (S)", indexes: {by_status: "status (S)"}}
defaults:
  allow: [{actions: [read], tables: [orders], keys: {prefix: "<dag_id>#"}}]
dags:
  "orders_*":
    role: arn:aws:iam::000000000000:role/r
    deny:
      - {actions: ["*"], tables: ["*"], attributes: [ssn]}
tests:
  - {dag: orders_daily, call: PutItem, table: orders, key: "daily#2026-11-22", expect: allow}
"""


def _made(*operations: str) -> tuple[bytes, ...]:
    maker = RequestMaker(random.Random(7))
    return tuple(f"{name}\n{json.dumps(maker.body(name))}".encode() for name in operations for _ in range(2))


def _texts(kind: str) -> Iterator[bytes]:
    maker = RequestMaker(random.Random(8))
    for number in range(12):
        if kind == "Statement":
            yield maker._Statement().encode()
        else:
            member = _EXPRESSIONS[number % len(_EXPRESSIONS)]
            yield bytes([number % len(_EXPRESSIONS)]) + str(getattr(maker, f"_{member}")()).encode()


READERS = {
    "gate": Reader(
        _head,
        (_HEAD, b"GET /healthz HTTP/1.1\r\nHost: a\r\n", _HEAD + b"Connection: keep-alive, close\r\nExpect: 100-continue\r\n"),
        (
            b"a: b\r\n",
            b"via: x\r\n",
            b"Connection: ",
            b"close,",
            b" ",
            b"\r\n",
            b"\n",
            b"\t",
            b"\0",
            b"a" * 99,
            b"a_b: c\r\n",
            b":",
        ),
    ),
    "request": Reader(
        _request,
        _made(*(name for name in _TARGETS if not name.startswith(("Describe", "List")))),
        (
            b"{",
            b"[",
            b'{"M":{"a":',
            b'{"L":[',
            b'{"SS":[]},',
            b'"a",',
            b'"a":1,',
            b"\\u005f",
            b"0",
            b"1e",
            b" ",
            b'"',
            b"\xff",
            b"null,",
        ),
    ),
    "expression": Reader(
        _expression,
        tuple(_texts("")),
        (
            b"(",
            b"NOT ",
            b"pk = :v AND ",
            b"size(",
            b"a[0]",
            b"a.",
            b"a,",
            b"SET a = ",
            b"if_not_exists(a,",
            b"#k",
            b" ",
            b"1",
            b"\xc3\xa9",
        ),
    ),
    "statement": Reader(
        _statement,
        tuple(_texts("Statement")),
        (
            b"(",
            b"NOT ",
            b"pk = 'd' AND ",
            b"[",
            b"{'a':",
            b"<<",
            b"''",
            b'"',
            b"?,",
            b"1e",
            b"-",
            b".",
            b"a IN (",
            b" ",
            b"\xc3\xa9",
        ),
    ),
    "form": Reader(
        _form,
        (_FORM, b"Action=GetCallerIdentity&Version=2011-06-15"),
        (b"&", b"=", b"%", b"%ff", b"%00", b"+", b";", b"Action=", b"Policy=x&", b"Tags.member.1=", b"\xc3\xa9"),
    ),
    "signature": Reader(
        _signature,
        (_SIGNATURE, _SIGNATURE.replace(b", ", b",")),
        (b", ", b";", b"/", b"=", b" ", b"host;", b"Credential=", b"SignedHeaders=", b"Signature=", b"a" * 64, b"\xc3\xa9"),
    ),
    "denials": Reader(
        _denials,
        (b"denied: []\n", b"denied:\n  - {dag: 'growth_*', reason: INC-4711}\n  - {jti: abc, by: ops}\n  - team: growth\n"),
        (b"[", b"{", b"- ", b"dag: ", b"a: ", b"&a ", b"!!x ", b"'", b"\n  ", b"*", b"!", b"\t", b"\xc3\xa9"),
    ),
    "policy": Reader(
        _policy,
        (
            _POLICY,
            b"environments:\n  dev: {account: '000000000000', region: us-east-1}\nteams:\n  a: {dags: ['*'], tables: ['*']}\n",
        ),
        (
            b"[",
            b"{",
            b"- ",
            b"? ",
            b"a: ",
            b"&a ",
            b"*a ",
            b"!!x ",
            b"'",
            b'"',
            b"|\n",
            b"\n  ",
            b"<dag_id>",
            b"*",
            b"#",
            b"---\n",
            b"\t",
            b"%",
            b"\xc3\xa9",
        ),
    ),
}


def damaged(reader: Reader, chance: random.Random) -> bytes:
    """A good input with one to four places damaged; one in fifty is blown up to 64 KiB."""
    data = bytearray(chance.choice(reader.seeds))
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
        match chance.randrange(6):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[at : min(end, at + 20)]
            case 2:
                data[at:at] = chance.choice(reader.pieces)
            case 3:
                data[at:at] = chance.choice(reader.pieces) * chance.choice((2, 40))
            case 4:
                data[at:at] = data[at : min(end, at + 60)]
            case _:
                data[at:end] = chance.choice(reader.seeds)[at:end]
    if chance.random() < 0.02:
        at = chance.randint(0, len(data))
        data[at:at] = blown(chance.choice((chance.choice(reader.pieces), bytes(data[at : at + 9]) or b"x")), SIZE - len(data))
    return bytes(data)


def blown(piece: bytes, size: int) -> bytes:
    """`piece` over and over."""
    return (piece * (size // len(piece) + 1))[: max(size, 0)]


def feed(name: str, data: bytes) -> bool:
    """True if the reader takes it, False if it refuses as it may; everything else is raised. What is no text is no input."""
    try:
        READERS[name].read(data)
    except (Refusal, UnicodeDecodeError):
        return False
    return True


def main() -> int:
    """Feed all readers in turn until the time is over."""
    seconds, salt = float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "0"
    deadline, number = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        number += 1
        for name, reader in READERS.items():
            data = damaged(reader, random.Random(f"{salt} {name} {number}"))
            try:
                feed(name, data)
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                print(f"{name}: {error!r}\n{data!r}")
                return 1
    print(f"{number} inputs for each of {', '.join(READERS)}: all were taken or refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
