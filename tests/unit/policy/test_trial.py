"""Described requests: what an entry of `tests:` says, as the request that it stands for would prove it."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.model import Evidence, Identity, Operation, Pin, Subject, TableReference, Touch
from proxy.policy.declared import KeySchema, TableDeclaration, Varied
from proxy.policy.described import Description
from proxy.policy.trial import StatedFacts, identity_of, operation_of
from proxy.yaml_source import Place
from tests.pinned import pins_of

HERE = Place("a.yaml", 1)


def described(call: str, **said: Any) -> Description:
    """What one DAG does to one table."""
    return Description("d", call, "orders", **said)


def table(kind: str = "S") -> TableDeclaration:
    """A table with a sort key and an index."""
    key = KeySchema((("pk", kind),), (("sk", "S"),))
    return TableDeclaration(
        "orders", HERE, Varied(HERE, "orders"), key, {"by_a": KeySchema((("a", "N"), ("b", "N")), (("c", "S"),))}
    )


def facts(**told: Any) -> StatedFacts:
    """What a request proves that says no more than its key's names."""
    bare: dict[str, Any] = {
        "pins": {}, "named": frozenset(), "whole": "", "replaces": False, "absent": frozenset(), "limit": None,
        "total_segments": 1, "has_condition": False, "has_client_token": False,
    }  # fmt: skip
    return StatedFacts(**{**bare, **told})


OWN = frozenset({"pk", "sk"})


@pytest.mark.parametrize(
    ("call", "said", "is_write", "told"),
    [
        ("GetItem", {}, False, {"named": OWN, "whole": "no projection"}),
        ("GetItem", {"attributes": ("v",), "key": "x"}, False, {"named": OWN | {"v"}, "pins": {"pk": Pin(({"S": "x"},))}}),
        ("Query", {"attributes": ()}, False, {"named": frozenset({"pk"})}),
        ("Query", {"index": "by_a", "key": "7"}, False,
         {"named": frozenset({"pk", "a", "b"}), "whole": "no projection", "pins": {"a": Pin(({"N": "7"},))}}),
        ("PartiQLSelect", {}, False, {"named": frozenset({"pk"}), "whole": "no projection"}),
        ("Scan", {"limit": 5, "segments": 4}, False, {"whole": "no projection", "limit": 5, "total_segments": 4}),
        ("PutItem", {"is_new": True}, True,
         {"named": OWN, "replaces": True, "absent": frozenset({"pk"}), "has_condition": True}),
        ("UpdateItem", {"returns": "ALL_NEW", "has_condition": True}, True,
         {"named": OWN, "whole": "ReturnValues ALL_NEW", "has_condition": True}),
        ("UpdateItem", {"returns": "UPDATED_OLD", "has_client_token": True}, True, {"named": OWN, "has_client_token": True}),
        ("DeleteItem", {}, True, {"named": OWN, "replaces": True}),
        ("PartiQLInsert", {}, True, {"named": OWN}),
        ("PartiQLDelete", {}, True, {"named": OWN, "replaces": True}),
    ],
)  # fmt: skip
def test_a_description_is_the_request_that_would_be_sent(
    call: str,
    said: dict[str, Any],
    is_write: bool,
    told: dict[str, Any],
) -> None:
    """One touch of the real table with all that it proves; without target and body there is nothing to forward."""
    touch = Touch(call, TableReference("real"), said.get("index", ""), 0, facts(**told))
    assert operation_of(described(call, **said), table(), "real") == Operation(call, "", is_write, (touch,), b"")


def test_a_binary_key_is_written_as_text() -> None:
    """As UTF-8 in base64, whatever the letters."""
    (touch,) = operation_of(described("GetItem", key="é#"), table("B"), "real").touches
    assert touch.facts is not None
    assert pins_of(touch.facts) == {"pk": Pin(({"B": "w6kj"},))}
    (touch,) = operation_of(described("GetItem", key="\udcff"), table("B"), "real").touches  # of a command line, no UTF-8
    assert touch.facts is not None
    assert pins_of(touch.facts) == {"pk": Pin(({"B": "7bO/"},))}


def test_of_a_table_that_no_file_declares_nothing_is_proven() -> None:
    """Neither its key nor the names of its key; an operation without items has no facts at all."""
    (touch,) = operation_of(described("PutItem", key="x", is_new=True, attributes=("v",)), None, "real").touches
    assert touch.facts == facts(named=frozenset({"v"}), replaces=True, has_condition=True)
    assert operation_of(described("DescribeTable"), table(), "real").touches == (Touch("DescribeTable", TableReference("real")),)


def test_who_asks_is_verified_unless_the_test_says_otherwise() -> None:
    """By a claim of the token, or by a header beside it."""
    verified = identity_of(described("GetItem", task="t", run="r", claims={"team": "a"}))
    nobody = Subject("tests", "tests", {"team": "a"}, ("*",), 0.0, "")
    assert verified == Identity(nobody, "d", Evidence.VERIFIED, "claim", "", task_id="t", run_id="r")
    claimed = identity_of(described("GetItem", is_verified=False))
    assert [(who.evidence, who.source) for who in (verified, claimed)] == [
        (Evidence.VERIFIED, "claim"),
        (Evidence.CLAIMED, "header"),
    ]
