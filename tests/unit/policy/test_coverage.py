"""What one rule covers and what one requirement asks for, each alone; whole policies are judged in test_rules.py."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.globs import Globs
from proxy.model import Evidence, Identity, Subject, TableReference, Touch
from proxy.policy.coverage import Asked, Gap, Requirement, Rule
from proxy.policy.keys import NO_KEYS
from tests.unit.policy.facts import StatedFacts

RULE = Rule("a.yaml:1", "*", None, Globs(("*",)), None, None, (), True, "")
SUBJECT = Subject("i", "s", {}, ("*",), 0.0, "")


def asked(action: str, *, claimed: bool = False, now: float = 0.0, **told: Any) -> Asked:
    """A request by some DAG; what is told of it are its facts, and it has none where nothing is."""
    evidence = Evidence.CLAIMED if claimed else Evidence.VERIFIED
    touch = Touch(action, TableReference("orders"), "", 0, StatedFacts(**told) if told else None)
    return Asked(Identity(SUBJECT, "d", evidence, "claim", ""), touch, NO_KEYS.leading(""), now)


@pytest.mark.parametrize("action", ["Scan", "PutItem", "GetItem", "ConditionCheckItem", "ListTables"])
def test_what_a_requirement_does_not_name_it_does_not_ask_for(action: str) -> None:
    """A request that has no shape at all, by a DAG that is only claimed, lacks nothing."""
    assert Requirement(RULE).lacks(asked(action, claimed=True)) == ("", "")


LACKING: list[tuple[dict[str, Any], str, Asked]] = [
    ({"max_limit": 5}, "a Limit of at most 5", asked("Query", limit=6)),
    ({"max_limit": 5}, "a Limit of at most 5", asked("Query", limit=None)),
    ({"max_limit": 5}, "a Limit of at most 5", asked("PartiQLSelect")),
    ({"max_limit": 5}, "", asked("Query", limit=5)),
    ({"max_limit": 5}, "", asked("GetItem")),
    ({"max_segments": 2}, "at most 2 segments", asked("Scan", segments=3)),
    ({"max_segments": 2}, "at most 2 segments", asked("Scan")),
    ({"max_segments": 2}, "", asked("Scan", segments=2)),
    ({"max_segments": 2}, "", asked("Query", segments=3)),
    ({"condition": True}, "a condition", asked("PutItem", condition=False)),
    ({"condition": True}, "a condition", asked("PartiQLUpdate")),
    ({"condition": True}, "", asked("PutItem", condition=True)),
    ({"condition": True}, "", asked("ConditionCheckItem")),
    ({"client_token": True}, "a client token", asked("PutItem", token=False)),
    ({"client_token": True}, "a client token", asked("ConditionCheckItem")),
    ({"client_token": True}, "", asked("PutItem", token=True)),
    ({"client_token": True}, "", asked("GetItem")),
    ({"evidence": True}, "a verified dag", asked("ListTables", claimed=True)),
    ({"evidence": True}, "", asked("ListTables")),
]


@pytest.mark.parametrize(("shape", "lack", "request_"), LACKING, ids=range(len(LACKING)))
def test_a_requirement_asks_for_its_one_shape(shape: dict[str, Any], lack: str, request_: Asked) -> None:
    """Of the actions that can have it; what has no facts has it not. What to write is said with what is lacking."""
    told, advice = Requirement(RULE, **shape).lacks(request_)
    assert (told, bool(advice)) == (lack, bool(lack))


def test_a_rule_without_an_end_has_none() -> None:
    """And asks nothing of the request; a grant covers until its last moment, and no longer."""
    assert (RULE.has_conditions, RULE.gap(asked("GetItem", now=1e300))) == (False, None)
    grant = Rule("a.yaml:1", "*", None, Globs(("*",)), None, None, (), True, "", until=10.0)
    assert [grant.gap(asked("GetItem", now=now)) for now in (9.9, 10.0)] == [None, Gap.ENDED]
    assert grant.has_conditions
