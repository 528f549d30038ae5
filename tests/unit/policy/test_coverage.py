"""What one rule covers and what one requirement asks for, each alone; whole policies are judged in test_rules.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proxy.globs import Globs
from proxy.model import Evidence, Identity, Subject, TableReference, Touch
from proxy.policy.cases import Case, Verdict
from proxy.policy.coverage import Asked, Gap, Requirement, Rule, attribute_gap
from proxy.policy.keys import NO_KEYS, KeyLimit, KeyPattern
from proxy.refusal import Reason
from tests.unit.policy.facts import StatedFacts

RULE = Rule("a.yaml:1", "*", None, Globs(("*",)), None, None, (), True, "")
SUBJECT = Subject("i", "s", {}, ("*",), 0.0, "")


def asked(action: str, *, claimed: bool = False, now: float = 0.0, **told: Any) -> Asked:
    """A request by some DAG; what is told of it are its facts, and it has none where nothing is."""
    evidence = Evidence.CLAIMED if claimed else Evidence.VERIFIED
    touch = Touch(action, TableReference("orders"), "", 0, StatedFacts(**told) if told else None)
    return Asked(Identity(SUBJECT, "d", evidence, "claim", ""), touch, NO_KEYS.leading(action, ""), now)


NAMED = replace(RULE, actions=frozenset({"Query", "ListTables"}), tables=Globs(("orders",)))
INDEXED = replace(NAMED, indexes=Globs(("by_a", "by_b*")))
BY_NAMES: list[tuple[str, Rule, tuple[str, str, str], bool, bool]] = [
    # what is so, the rule, what is asked, whether it may allow, whether it may deny
    ("its own", NAMED, ("Query", "orders", ""), True, True),
    ("asleep", replace(NAMED, is_active=False), ("Query", "orders", ""), False, False),
    ("another action", NAMED, ("Scan", "orders", ""), False, False),
    ("another table", NAMED, ("Query", "totals", ""), False, False),
    ("an index of its table", NAMED, ("Query", "orders", "by_a"), False, True),
    ("its index", INDEXED, ("Query", "orders", "by_a"), True, True),
    ("its index by a glob", INDEXED, ("Query", "orders", "by_b1"), True, True),
    ("another index", INDEXED, ("Query", "orders", "by_c"), False, False),
    ("the table of its index", INDEXED, ("Query", "orders", ""), False, False),
    ("the table, by a glob of all indexes", replace(NAMED, indexes=Globs(("*",))), ("Query", "orders", ""), False, False),
    ("an index of another table", INDEXED, ("Query", "totals", "by_a"), False, False),
    ("no table", NAMED, ("ListTables", "", ""), True, True),
    ("no table, with a glob of all actions", RULE, ("ListTables", "", ""), True, True),
    ("no table, all actions", replace(RULE, tables=NAMED.tables), ("ListTables", "", ""), True, False),
    ("no table where one is needed", NAMED, ("Query", "", ""), False, True),
    ("attributes", replace(NAMED, attributes=frozenset({"a"})), ("Query", "orders", ""), True, True),
    ("attributes of no item", replace(NAMED, attributes=frozenset({"a"})), ("ListTables", "", ""), True, False),
    ("attributes of a table", replace(RULE, attributes=frozenset({"a"})), ("DeleteTable", "orders", ""), True, False),
    ("keys", replace(NAMED, keys=KeyLimit(())), ("Query", "orders", ""), True, True),
    ("keys of no item", replace(NAMED, keys=KeyLimit(())), ("ListTables", "", ""), True, False),
    ("keys of a table", replace(RULE, keys=KeyLimit(())), ("DeleteTable", "orders", ""), True, True),
]


@pytest.mark.parametrize(("rule", "what", "allows", "denies"), [row[1:] for row in BY_NAMES], ids=[row[0] for row in BY_NAMES])
def test_names_alone_say_whether_a_rule_can_matter(rule: Rule, what: tuple[str, str, str], allows: bool, denies: bool) -> None:
    """Of a table an allow rule gives no index and a deny rule takes all; of an index both are about it alone."""
    assert (rule.may_allow(*what), rule.may_deny(*what)) == (allows, denies)


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


def test_a_requirement_for_other_tasks_asks_for_nothing() -> None:
    """One for some tasks is for an unknown one too."""
    requirement, request_ = Requirement(replace(RULE, tasks=Globs(("load_*",))), max_limit=5), asked("Query")
    told = {
        task: requirement.lacks(request_._replace(identity=replace(request_.identity, task_id=task)))[0]
        for task in ("store", "load_1", "")
    }
    assert told == {"store": "", "load_1": "a Limit of at most 5", "": "a Limit of at most 5"}
    assert requirement.lacks(request_._replace(identity=replace(request_.identity, task_id="store"))) == ("", "")


@pytest.mark.parametrize(
    ("request_", "gap"),
    [
        (asked("GetItem"), ((), "", True)),
        (asked("GetItem", named=("z", "a", "b"), whole="no projection"), (("b", "z"), "", False)),
        (asked("GetItem", named=("a",), whole="no projection"), ((), "no projection", False)),
        (asked("PutItem", named=("a",), replaces=True), ((), "", False)),
    ],
)
def test_a_gap_of_attributes_is_of_one_kind(request_: Asked, gap: tuple[tuple[str, ...], str, bool]) -> None:
    """Nothing is known, names lie beside, the whole item comes back, or what is left is lost: the first that is so."""
    assert attribute_gap(frozenset({"a"}), request_) == gap


def test_the_rule_that_came_nearest_is_told() -> None:
    """Also one for other tasks; the later a rule fails, the nearer it came, and of equals the first is told."""
    keys, task = KeyLimit((KeyPattern(False, ("x",)),)), Globs(("load",))
    for_tasks, again, ended, keyed = (
        replace(RULE, tasks=task),
        replace(RULE, place="a.yaml:2", tasks=task),
        replace(RULE, until=0.0),
        replace(RULE, keys=keys),
    )
    for rules, nearest, reason in (
        ((for_tasks, again), for_tasks, Reason.NO_RULE),
        ((for_tasks, ended), ended, Reason.NO_RULE),
        ((keyed, ended, for_tasks), keyed, Reason.OUTSIDE_KEYS),
        ((), None, Reason.NO_RULE),
    ):
        assert Case((), (), rules, True, NO_KEYS.leading("", "")).judge(asked("GetItem", limit=1)) == Verdict(reason, nearest)


def test_where_no_rule_allows_nothing_is_settled() -> None:
    """A yes that no request can change needs a rule that says it."""
    assert not Case((), (), (), True, NO_KEYS.leading("", "")).is_settled
    assert Case((), (), (RULE,), True, NO_KEYS.leading("", "")).is_settled
    assert not Case((), (), (RULE,), False, NO_KEYS.leading("", "")).is_settled


def test_a_rule_without_an_end_has_none() -> None:
    """And asks nothing of the request; a grant covers until its last moment, and no longer."""
    assert (RULE.has_conditions, RULE.gap(asked("GetItem", now=1e300))) == (False, None)
    grant = Rule("a.yaml:1", "*", None, Globs(("*",)), None, None, (), True, "", until=10.0)
    assert [grant.gap(asked("GetItem", now=now)) for now in (9.9, 10.0)] == [None, Gap.ENDED]
    assert grant.has_conditions
