"""Decisions: the table of tests/cases/decisions.yaml, what holds for every policy, and the bounds of what is kept."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.globs import Globs
from proxy.model import Evidence, Identity, Operation, Principal, Subject, TableReference, Touch
from proxy.policy import rules as rules_module
from proxy.policy.document import read_policies
from proxy.policy.rules import Boundary, DagRules, Decision, Home, Policies, Rule
from proxy.policy.vocabulary import ACTIONS
from proxy.refusal import Forbidden, Reason
from proxy.yaml_source import Mistakes

CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "cases" / "decisions.yaml").read_text())
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")
SUBJECT = Subject("airflow", "system:serviceaccount:airflow:growth-worker", {}, ("*",), 0.0, "id")


def policies_of(world: str) -> Policies:
    """The policies of one of the table's worlds, freshly read."""
    told = CASES["worlds"][world]
    mistakes = Mistakes()
    policies = read_policies(told["files"], told["environment"], told["region"], mistakes)
    assert policies is not None, mistakes.lines()
    return policies


def identity_of(dag_id: str, task_id: str = "", *, verified: bool = False) -> Identity:
    """Somebody who speaks for a DAG."""
    evidence, source = (Evidence.VERIFIED, "claim") if verified else (Evidence.CLAIMED, "header")
    return Identity(SUBJECT, dag_id, evidence, source, "workers", task_id=task_id)


def operation_of(name: str, *touches: Touch) -> Operation:
    """A request that touches these tables."""
    return Operation(name, "", name in WRITES, touches, b"")


def touches_of(row: dict[str, Any]) -> tuple[Touch, ...]:
    """What a row of the table touches."""
    if "members" in row:
        return tuple(Touch(m[0], TableReference(m[1]), "", place) for place, m in enumerate(row["members"], 1))
    table = row["table"]
    reference = TableReference(*table) if isinstance(table, list) else TableReference(table)
    return (Touch(row["call"], reference, row.get("index", "")),)


@pytest.mark.parametrize("row", CASES["rows"], ids=[row["title"] for row in CASES["rows"]])
def test_decision_table(row: dict[str, Any]) -> None:
    """Each row is decided as written, twice in a row the same, and only an allowed one has a principal."""
    policies = policies_of(row["world"])
    identity = identity_of(row["dag"], row.get("task", ""), verified=row.get("verified", False))
    operation = operation_of(row["call"], *touches_of(row))
    decision = policies.decide(identity, operation)
    assert (decision.reason, decision.message) == (row["expect"], row.get("message", decision.message))
    assert decision.rule == row.get("rule", decision.rule)
    assert policies.decide(identity, operation) == decision
    assert (decision.principal is not None) == (decision.reason is Reason.ALLOWED)
    assert "\n" not in decision.message


def test_the_role_of_an_allowed_decision_is_the_dags() -> None:
    """An allowed decision hands out role, session name and Region of the DAG."""
    decision = policies_of("teams").decide(
        identity_of("growth_sync"), operation_of("PutItem", Touch("PutItem", TableReference("prod-growth-events")))
    )
    role = "arn:aws-us-gov:iam::333333333333:role/ddb-prod-growth"
    assert decision.granted_role() == Principal(role, "growth_sync", "us-gov-west-1", "growth_sync")


def test_a_refused_decision_hands_out_no_role() -> None:
    """The only way to a role raises Forbidden with reason, message and rule of the decision."""
    decision = Decision(Reason.NO_RULE, "no", "a.yaml:1", None)
    with pytest.raises(Forbidden) as refused:
        decision.granted_role()
    assert (refused.value.reason, refused.value.message, refused.value.rule) == (Reason.NO_RULE, "no", "a.yaml:1")


def test_a_refused_decision_with_a_principal_hands_out_no_role() -> None:
    """Even a decision that was put together wrongly gives no role unless its reason allows."""
    decision = Decision(Reason.NO_RULE, "no", "", Principal("arn", "name", "region", "dag"))
    with pytest.raises(Forbidden):
        decision.granted_role()


def test_the_same_permission_is_the_same_decision() -> None:
    """What is always allowed is decided by one ready value, so that nothing is made per request."""
    policies = policies_of("one_file")
    operation = operation_of("GetItem", Touch("GetItem", TableReference("orders")))
    first = policies.decide(identity_of("orders_daily"), operation)
    assert policies.decide(identity_of("orders_daily", "any"), operation) is first


def dag_rules(**changes: Any) -> DagRules:
    """A DAG that may nothing, but for the changes."""
    told: dict[str, Any] = {
        "pattern": "d",
        "place": "a.yaml:1",
        "role_arn": "arn:aws:iam::111122223333:role/r",
        "home": ("aws", "eu-west-1", "111122223333"),
        "allow": (),
        "deny": (),
        "boundary": None,
        "owner": "owner #a",
        "environments": (),
        "is_active": True,
    }
    return DagRules(**{**told, **changes})


def snapshot(dags: dict[str, DagRules], *globs: DagRules, homes: tuple[Home, ...] = ()) -> Policies:
    """Policies put together without files."""
    return Policies(
        digest="",
        environment="prod",
        workloads=(),
        dags=dags,
        globs=tuple((Globs((rules.pattern,)), rules) for rules in globs),
        tables=frozenset({"orders"}),
        homes=homes,
    )


def test_two_globs_that_name_one_dag_give_it_nothing() -> None:
    """Should two globs ever name one DAG, it is refused with both named: nobody can say which was meant."""
    policies = snapshot({}, dag_rules(pattern="a*"), dag_rules(pattern="*b", place="b.yaml:2"))
    decision = policies.decide(identity_of("ab"), operation_of("GetItem", Touch("GetItem", TableReference("orders"))))
    assert decision.reason is Reason.NO_RULE
    assert decision.message == (
        "dag 'ab' is named by 'a*' (a.yaml:1) and '*b' (b.yaml:2); define it by its own name in one file, owner #a"
    )


def test_an_exact_name_beats_a_glob() -> None:
    """A DAG with an entry of its own has nothing of the glob that names it too."""
    read = rule(actions=frozenset({"GetItem"}))
    policies = snapshot({"ab": dag_rules(pattern="ab")}, dag_rules(pattern="a*", allow=(read,)))
    operation = operation_of("GetItem", Touch("GetItem", TableReference("orders")))
    assert policies.decide(identity_of("ab"), operation).reason is Reason.NO_RULE
    assert policies.decide(identity_of("ac"), operation).reason is Reason.ALLOWED


def test_ready_decisions_of_globbed_dags_are_bounded() -> None:
    """A caller that invents DAG ids under a glob pushes out older ones of its kind, and never one with its own name."""
    policies = snapshot({"own": dag_rules(pattern="own")}, dag_rules(pattern="a*"))
    operation = operation_of("GetItem", Touch("GetItem", TableReference("orders")))
    policies.decide(identity_of("own"), operation)
    for number in range(rules_module._MAX_GLOBBED + 2):
        policies.decide(identity_of(f"a{number}"), operation)
    assert len(policies._ready) == rules_module._MAX_GLOBBED + 1
    assert "own" in policies._ready
    assert "a1" not in policies._ready
    assert policies.decide(identity_of("a1"), operation).reason is Reason.NO_RULE


def test_labels_are_bounded_by_the_files() -> None:
    """Labels are names and globs of the files; whatever else a request says is `other`."""
    policies = policies_of("teams")
    assert [policies.dag_label(name) for name in ("growth_sync", "growth_model_1", "x", "growth_model_\n")] == [
        "growth_sync",
        "growth_model_*",
        "other",
        "other",
    ]
    assert [policies.table_label(name) for name in ("campaigns", "several", "dev-campaigns")] == ["campaigns", "several", "other"]


def test_principals_are_those_of_named_dags_of_this_environment() -> None:
    """Credentials can be had ahead for every DAG with a name of its own that runs here."""
    names = {principal.session_name for principal in policies_of("teams").principals()}
    assert names == {"growth_sync", "growth_report", "growth_half", "growth_greedy", "sales_sync"}


def test_the_dag_of_a_user_agent_key_is_found() -> None:
    """The amazon provider's DagRunKey is the uuid5 of the DAG id (value from a captured request)."""
    policies = snapshot({"orders_etl": dag_rules()})
    assert policies.dag_of_key == {"4967833d-f0d7-50c1-bd80-9f84fbc02c8e": "orders_etl"}


def test_a_long_dag_id_is_cut_in_the_message() -> None:
    """A name of any length that a request chose does not flood the log."""
    decision = snapshot({}).decide(identity_of("x" * 5000), operation_of("GetItem"))
    assert len(decision.message) < 300


def test_a_denial_is_cheap_however_long_the_names() -> None:
    """The search for the nearest rule compares a bounded length: names of a caller's choice cannot hold the loop for seconds."""
    names = [("abc" * 66)[: 150 + n] for n in range(36)]
    tables = "".join(f'  {name}: {{key: "pk (S)"}}\n' for name in names)
    allow = "".join(f"      - {{actions: [read], tables: [{name}]}}\n" for name in names)
    text = f"tables:\n{tables}dags:\n  etl:\n    role: arn:aws:iam::111122223333:role/etl\n    allow:\n{allow}"
    policies = read_policies({"a.yaml": text}, "", "eu-west-1", Mistakes())
    assert policies is not None
    began = time.process_time()
    decision = policies.decide(identity_of("etl"), operation_of("Scan", Touch("Scan", TableReference("acb" * 66))))
    assert decision.reason is Reason.NO_RULE
    assert time.process_time() - began < 0.5


def test_a_subject_cannot_break_the_line() -> None:
    """A verified subject is shown like any other name from outside: on one line."""
    subject = Subject("airflow", "pods:a\nb", {}, ("*",), 0.0, "id")
    identity = Identity(subject, "x", Evidence.CLAIMED, "header", "")
    assert snapshot({}).decide(identity, operation_of("GetItem")).message == (
        "no policy names dag 'x' (claimed: header; verified: a?b); add it under dags: in the file of its team"
    )


def test_a_team_with_two_files_is_told_both() -> None:
    """Where several files of one owner fit, any will do."""
    homes = (Home("a.yaml", None, "owner #a"), Home("b.yaml", None, "owner #a"))
    message = snapshot({}, homes=homes).decide(identity_of("x"), operation_of("GetItem")).message
    assert message.endswith("add it under dags: in a.yaml or b.yaml, owner #a")


def test_a_globbed_dag_is_known() -> None:
    """`has_dag` answers for names and for globs."""
    policies = snapshot({"own": dag_rules()}, dag_rules(pattern="a*"))
    assert [policies.has_dag(name) for name in ("own", "ab", "b")] == [True, True, False]


# ------------------------------------------------------------------------------------- what holds always

NAMES = ("t1", "t2")
TASKS = ("", "load", "purge")


def rule(**changes: Any) -> Rule:
    """An allow or deny rule on `orders`, but for the changes."""
    told: dict[str, Any] = {
        "place": "a.yaml:2",
        "has": "...",
        "actions": None,
        "tables": Globs(("orders",)),
        "indexes": None,
        "tasks": None,
        "environments": (),
        "is_active": True,
        "owner": "owner #a",
    }
    return Rule(**{**told, **changes})


def globs_from(names: tuple[str, ...]) -> st.SearchStrategy[Globs]:
    """Lists of names."""
    return st.lists(st.sampled_from(names), min_size=1, max_size=2).map(lambda chosen: Globs(tuple(chosen)))


RULES = st.builds(
    rule,
    actions=st.one_of(st.none(), st.frozensets(st.sampled_from(ACTIONS), min_size=1)),
    tables=globs_from(NAMES),
    indexes=st.one_of(st.none(), globs_from(("i1", "i2"))),
    tasks=st.one_of(st.none(), globs_from(("load", "pur*"))),
    is_active=st.booleans(),
)
TOUCHES = st.builds(
    Touch,
    st.sampled_from((*ACTIONS, "DescribeTable")),
    st.sampled_from((*NAMES, "t3")).map(TableReference),
    st.sampled_from(("", "i1", "i3")),
    st.sampled_from((0, 1)),
)
BOUNDARIES = st.one_of(
    st.none(), globs_from(NAMES).map(lambda tables: Boundary("team", "platform.yaml:1", Globs(("*",)), tables, "owner #p"))
)


@settings(deadline=None)
@given(
    allow=st.lists(RULES, max_size=4),
    deny=st.lists(RULES, max_size=2),
    more=RULES,
    boundary=BOUNDARIES,
    touches=st.lists(TOUCHES, min_size=1, max_size=3),
    task=st.sampled_from(TASKS),
)
def test_decide_is_monotone(
    allow: list[Rule], deny: list[Rule], more: Rule, boundary: Boundary | None, touches: list[Touch], task: str
) -> None:
    """One more allow rule never refuses what was allowed; one more deny rule never allows what was refused."""

    def allowed(allow: list[Rule], deny: list[Rule]) -> bool:
        policies = snapshot({"d": dag_rules(allow=tuple(allow), deny=tuple(deny), boundary=boundary)})
        operation = operation_of("TransactWriteItems", *touches)
        return policies.decide(identity_of("d", task), operation).reason is Reason.ALLOWED

    before = allowed(allow, deny)
    assert allowed([*allow, more], deny) >= before
    assert allowed([more, *allow], deny) >= before
    assert allowed(allow, [*deny, more]) <= before


@settings(deadline=None)
@given(allow=st.lists(RULES, max_size=4), deny=st.lists(RULES, max_size=2), touch=TOUCHES, task=st.sampled_from(TASKS))
def test_ready_decisions_agree_with_the_rules(allow: list[Rule], deny: list[Rule], touch: Touch, task: str) -> None:
    """The prepared answer is the one that judging rule by rule gives."""
    rules = dag_rules(allow=tuple(allow), deny=tuple(deny))
    decided = snapshot({"d": rules}).decide(identity_of("d", task), operation_of(touch.action, touch)).reason
    assert decided is rules.judge(touch.action, touch.table.name, touch.index, task)[0]


@settings(deadline=None)
@given(first=TOUCHES, second=TOUCHES, allow=st.lists(RULES, max_size=4))
def test_a_batch_is_allowed_exactly_when_each_member_is(first: Touch, second: Touch, allow: list[Rule]) -> None:
    """No member travels on the permission of another."""
    policies = snapshot({"d": dag_rules(allow=tuple(allow))})
    alone = [policies.decide(identity_of("d"), operation_of("X", touch)).reason is Reason.ALLOWED for touch in (first, second)]
    together = policies.decide(identity_of("d"), operation_of("BatchWriteItem", first, second)).reason is Reason.ALLOWED
    assert together == all(alone)
