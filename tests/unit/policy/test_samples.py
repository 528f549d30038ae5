"""Samples: what a request of each kind would prove, so that `diff` asks what it says that it asks."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from proxy.model import Evidence, Identity, Operation, Pin, Subject, TableReference, Touch
from proxy.policy.check import check_policies
from proxy.policy.samples import Choice, _combined, operation_for, samples_for
from proxy.policy.trial import StatedFacts
from tests.pinned import pins_of

if TYPE_CHECKING:
    from proxy.policy.cases import DagRules

TEXT = """\
tables:
  text: {key: "pk (S), sk (S)", indexes: {by_a: "a (N)"}}
  number: {key: "id (N)"}
  bytes: {key: "h (B)"}
  bare: {}
dags:
  d:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - actions: ["*"]
        tables: [text]
        keys: [{prefix: "a#"}, {exact: ["b"]}, {prefix: "<claim.team>#"}, {exact: ["<claim.no>"]}]
      - {actions: [Query], tables: [text], indexes: [by_a], keys: {exact: ["7"]}}
      - {actions: ["*"], tables: [number], keys: {exact: ["7", "-0.5"]}}
      - {actions: ["*"], tables: [bytes], keys: {prefix: "é"}}
      - {actions: [Scan, write], tables: [bare], attributes: [v]}
"""
STRANGER = "~stranger~"


def rules(text: str = TEXT) -> DagRules:
    """Of the one DAG."""
    report = check_policies({"a.yaml": text})
    assert report.snapshots, report.lines()
    found = report.snapshots[0].rules_of("d")
    assert found is not None
    return found


def asked(
    action: str, table: str, index: str = "", *, old: DagRules | None = None, new: DagRules | None = None
) -> dict[tuple[str, ...], tuple[Identity, Operation]]:
    """Every sample by its labels."""
    versions = (old, new or rules())
    return {
        tuple(choice.label for choice in sample): operation_for(sample, "d", action, table, index, versions)
        for sample in samples_for(*versions, action, table, index)
    }


def proven(action: str, table: str, index: str = "") -> dict[str, dict[str, Pin]]:
    """By the label of the key, what is proven of it."""
    found = {}
    for (_, key, *_), (_, operation) in asked(action, table, index).items():
        facts = operation.touches[0].facts
        assert facts is not None
        found[key] = pins_of(facts)
    return found


@pytest.mark.parametrize(
    ("table", "index", "attribute", "values"),
    [
        ("text", "", "pk", {
            "a#...": {"S": "a#x"}, "b": {"S": "b"}, "<claim.team>#...": {"S": STRANGER}, "<claim.no>": {"S": STRANGER},
            "any other": {"S": STRANGER},
        }),
        ("text", "by_a", "a", {"7": {"N": "7"}, "any other": {"N": "987654321.5"}}),
        ("number", "", "id", {"7": {"N": "7"}, "-0.5": {"N": "-0.5"}, "any other": {"N": "987654321.5"}}),
        ("bytes", "", "h", {"é...": {"B": "w6l4"}, "any other": {"B": "fnN0cmFuZ2Vyfg=="}}),
    ],
)  # fmt: skip
def test_a_key_is_proven_as_its_attribute_is_typed(
    table: str, index: str, attribute: str, values: dict[str, dict[str, str]]
) -> None:
    """Inside a prefix, equal to a text, or a stranger to all; what a placeholder leaves empty is a stranger too."""
    wanted = {label: {attribute: Pin((value,))} for label, value in values.items()}
    assert proven("Query", table, index) == {**wanted, "not proven": {}}


def test_all_combinations_are_asked_or_all_pairs() -> None:
    """2,048 are all asked; of more every two values of two kinds meet, in few samples."""

    def combined(*sizes: int) -> set[tuple[Choice, ...]]:
        return set(_combined([[Choice(f"{kind}{number}") for number in range(size)] for kind, size in enumerate(sizes)]))

    assert len(combined(8, 8, 8, 4)) == 2048
    found = combined(10, 10, 10, 10)
    assert len(found) <= 6 * 10 * 10 * 2 * 2
    met = {pair for sample in found for pair in combinations((choice.label for choice in sample), 2)}
    assert len(met) == 6 * 10 * 10


def test_what_cannot_matter_gives_no_samples() -> None:
    """Keys, attributes and shapes of rules on other tables or for other actions: asked with them, nothing else would come out."""
    text = (
        TEXT
        + """\
      - {actions: [GetItem], tables: [number], attributes: [id, v]}
    deny:
      - {actions: [write], tables: [number], keys: {exact: ["8"]}}
      - {actions: [read, Scan], tables: [text], attributes: [v]}
"""
    )
    require = "require: [{actions: [Scan], tables: ['*'], max_limit: 3}, {actions: [write], tables: [t*], condition: true}]\n"
    report = check_policies({"a.yaml": text, "platform.yaml": require})
    assert report.snapshots, report.lines()
    labels = asked("Query", "number", new=report.snapshots[0].rules_of("d"))
    assert set(labels) == {
        ("any other", key, "whole items", "the required shape") for key in ("7", "-0.5", "any other", "not proven")
    }


def test_a_scan_proves_nothing() -> None:
    """DynamoDB tests no key of it."""
    assert proven("Scan", "number") == {"7": {}, "-0.5": {}, "any other": {}, "not proven": {}}


@pytest.mark.parametrize(
    ("was", "pins"),
    [
        ('{key: "was (S)"}', {"was": Pin(({"S": "7"},)), "id": Pin(({"N": "7"},))}),
        ("{}", {"id": Pin(({"N": "7"},))}),
    ],
)
def test_the_keys_of_both_versions_are_proven(was: str, pins: dict[str, Pin]) -> None:
    """Each version is shown what it asks for, so that rules alone decide; a put is new by either key."""
    limit = ', keys: {exact: ["7", "-0.5"]}'
    old = rules(TEXT.replace('{key: "id (N)"}', was).replace(limit, "" if was == "{}" else limit))
    found = {labels[1]: operation for labels, (_, operation) in asked("PutItem", "number", old=old).items()}
    facts = found["7"].touches[0].facts
    assert facts is not None
    assert pins_of(facts) == pins
    assert facts.absent == set(pins)


@pytest.mark.parametrize(
    ("action", "replaces", "absent", "is_write"),
    [
        ("GetItem", False, set(), False),
        ("Scan", False, set(), False),
        ("UpdateItem", False, set(), True),
        ("PutItem", True, {"id"}, True),
        ("DeleteItem", True, set(), True),
        ("PartiQLSelect", False, set(), False),
        ("PartiQLUpdate", False, set(), True),
        ("PartiQLDelete", True, set(), True),
    ],
)
def test_a_sample_is_the_request_that_would_be_sent(action: str, replaces: bool, absent: set[str], is_write: bool) -> None:
    """One touch of one table in its best shape, which is nothing that could be forwarded."""
    whole = ("any other", "not proven", "whole items", "the required shape")
    identity, operation = asked(action, "number")[whole]
    facts = StatedFacts({}, frozenset(), "no projection", replaces, frozenset(absent), 1, 1, True, True)
    assert operation == Operation(action, "", is_write, (Touch(action, TableReference("number"), "", 0, facts),), b"")
    nobody = Subject("samples", "samples", {}, ("*",), 0.0, "")
    assert identity == Identity(nobody, "d", Evidence.VERIFIED, "claim", "", task_id=STRANGER, run_id="run")


def test_an_operation_without_items_proves_nothing() -> None:
    """A table is described, whatever its key."""
    for _, operation in asked("DescribeTable", "number").values():
        assert operation == Operation("DescribeTable", "", False, (Touch("DescribeTable", TableReference("number")),), b"")


def test_attributes_are_named_or_whole_items_come_back() -> None:
    """The list of a rule, none, one that no rule has; and everything."""
    found = {}
    for (_, _, named, _), (_, operation) in asked("Scan", "bare").items():
        facts = operation.touches[0].facts
        assert facts is not None
        found[named] = (set(facts.named), facts.whole)
    assert found == {
        "attributes v": ({"v"}, ""),
        "no attributes": (set(), ""),
        "other attributes": ({STRANGER}, ""),
        "whole items": (set(), "no projection"),
    }


def test_a_shape_lacks_one_thing_at_a_time() -> None:
    """The first has all that is required; of each other one thing is changed."""
    require = """\
require:
  - {actions: [Scan, PutItem], tables: ["*"], max_limit: 1, max_segments: 1}
  - {actions: [Scan, PutItem], tables: ["*"], max_limit: 7, condition: true, client_token: true, evidence: verified}
"""
    report = check_policies({"a.yaml": TEXT, "platform.yaml": require})
    assert report.snapshots, report.lines()
    found = {}
    for labels, (identity, operation) in asked("Scan", "number", new=report.snapshots[0].rules_of("d")).items():
        facts = operation.touches[0].facts
        assert facts is not None
        shape = (facts.limit, facts.total_segments, facts.has_condition, facts.has_client_token)
        found[labels[3]] = (*shape, identity.evidence is Evidence.VERIFIED)
    assert found == {
        "the required shape": (1, 1, True, True, True),
        "no Limit": (None, 1, True, True, True),
        "Limit over 7": (8, 1, True, True, True),
        "Limit 1": (1, 1, True, True, True),
        "Limit 7": (7, 1, True, True, True),
        "1 segments": (1, 1, True, True, True),
        "more than 1 segments": (1, 2, True, True, True),
        "no condition": (1, 1, False, True, True),
        "no client token": (1, 1, True, False, True),
        "a dag that is only claimed": (1, 1, True, True, False),
    }
