"""A request as an entry of `tests:` describes it: who asks, and what the request would prove, without any request.

A read without `attributes` brings whole items back, as one without a projection does; every action on items but Scan names
the key attributes of its table.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.actions import ITEM, PARTIQL, WRITE
from proxy.model import Evidence, Identity, Operation, Pin, Subject, TableReference, Touch
from proxy.policy.vocabulary import PARTIQL_WRITES

if TYPE_CHECKING:
    from proxy.policy.declared import KeySchema, TableDeclaration, TestDeclaration
    from proxy.policy.described import Description

ASSUMED = "tests"  # issuer and subject of who asks in a description
_READS = frozenset({"GetItem", "Query", "Scan", "PartiQLSelect"})
_REPLACING = frozenset({"PutItem", "DeleteItem", "PartiQLDelete"})


@dataclass(frozen=True, slots=True)
class StatedFacts:
    """What a request would prove that was never sent, as a test or a sample states it; a `Facts`."""

    pins: dict[str, Pin]
    named: frozenset[str]
    whole: str
    replaces: bool
    absent: frozenset[str]
    limit: int | None
    total_segments: int
    has_condition: bool
    has_client_token: bool

    def pin(self, name: str) -> Pin | None:
        """Of what is stated."""
        return self.pins.get(name)


def identity_of(test: TestDeclaration | Description) -> Identity:
    """Who asks."""
    evidence = Evidence.VERIFIED if test.is_verified else Evidence.CLAIMED
    subject = Subject(ASSUMED, ASSUMED, test.claims, ("*",), 0.0, "")
    source = "claim" if test.is_verified else "header"
    return Identity(subject, test.dag, evidence, source, "", task_id=test.task, run_id=test.run)


def operation_of(test: TestDeclaration | Description, table: TableDeclaration | None, real: str) -> Operation:
    """What is asked for: one touch of `real`, the real name of `table`."""
    facts = _facts(test, table) if test.call in ITEM | PARTIQL else None
    is_write = test.call in WRITE | PARTIQL_WRITES
    return Operation(test.call, "", is_write, (Touch(test.call, TableReference(real), test.index, 0, facts),), b"")


def _facts(test: TestDeclaration | Description, table: TableDeclaration | None) -> StatedFacts:
    schema = table.key if table else None
    of_index = table.indexes.get(test.index) if table else None
    key_names = [name for found in (schema, of_index) if found and test.call != "Scan" for name, _ in _own(found, test)]
    is_whole_read = test.call in _READS and test.attributes is None
    returns = f"ReturnValues {test.returns}" if test.returns.startswith("ALL_") else ""
    return StatedFacts(
        pins=_pins(test.key, of_index or schema),
        named=frozenset((*(test.attributes or ()), *key_names)),
        whole="no projection" if is_whole_read else returns,
        replaces=test.call in _REPLACING,
        absent=frozenset(name for name, _ in schema.partition) if test.is_new and schema else frozenset(),
        limit=test.limit,
        total_segments=test.segments,
        has_condition=test.has_condition or test.is_new,
        has_client_token=test.has_client_token,
    )


def _own(schema: KeySchema, test: TestDeclaration | Description) -> tuple[tuple[str, str], ...]:
    """The key attributes that the request has to name: all of an item's key, only the partition key of a Query."""
    return schema.partition if test.call in ("Query", "PartiQLSelect") else (*schema.partition, *schema.sort)


def _pins(key: str | None, schema: KeySchema | None) -> dict[str, Pin]:
    if key is None or schema is None:
        return {}
    name, kind = schema.leading
    text = base64.b64encode(key.encode(errors="surrogatepass")).decode() if kind == "B" else key
    return {name: Pin(({kind: text},))}
