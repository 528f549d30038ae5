"""Decisions: the table of tests/cases/decisions.yaml, what holds for every policy, and the bounds of what is kept."""

from __future__ import annotations

import difflib
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.globs import Globs
from proxy.model import Evidence, Identity, Operation, Pin, Principal, Subject, TableReference, Touch
from proxy.policy.cases import Boundary, DagRules, Home
from proxy.policy.coverage import Asked, Requirement, Rule
from proxy.policy.document import read_policies
from proxy.policy.keys import KeyAttribute, KeyLimit, KeyPattern, TableKeys
from proxy.policy.messages import has
from proxy.policy.patterns import session_name
from proxy.policy.rules import Decision, Policies
from proxy.policy.vocabulary import ITEM_ACTIONS
from proxy.refusal import Forbidden, Reason, Unreadable
from proxy.yaml_source import Mistakes
from tests.unit.policy.facts import StatedFacts

FOLDER = Path(__file__).parents[2] / "cases"
TABLES: list[dict[str, Any]] = [yaml.safe_load((FOLDER / name).read_text()) for name in ("decisions.yaml", "limits.yaml")]
WORLDS: dict[str, Any] = {name: world for table in TABLES for name, world in table["worlds"].items()}
ROWS: list[dict[str, Any]] = [row for table in TABLES for row in table["rows"]]
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")
SUBJECT = Subject("airflow", "system:serviceaccount:airflow:growth-worker", {}, ("*",), 0.0, "id")


def policies_of(world: str) -> Policies:
    """The policies of one of the table's worlds, freshly read."""
    told = WORLDS[world]
    mistakes = Mistakes()
    policies = read_policies(told["files"], told["environment"], told["region"], mistakes)
    assert policies is not None, mistakes.lines()
    return policies


def identity_of(
    dag_id: str, task_id: str = "", *, verified: bool = False, run_id: str = "", claims: dict[str, str] | None = None
) -> Identity:
    """Somebody who speaks for a DAG."""
    evidence, source = (Evidence.VERIFIED, "claim") if verified else (Evidence.CLAIMED, "header")
    subject = replace(SUBJECT, claims=claims or {})
    return Identity(subject, dag_id, evidence, source, "workers", task_id=task_id, run_id=run_id)


def operation_of(name: str, *touches: Touch) -> Operation:
    """A request that touches these tables."""
    return Operation(name, "", name in WRITES, touches, b"")


def touches_of(row: dict[str, Any]) -> tuple[Touch, ...]:
    """What a row of the table touches."""
    if "members" in row:
        return tuple(
            Touch(m[0], reference_of(m[1]), "", place, facts_of(m[2] if len(m) > 2 else None))
            for place, m in enumerate(row["members"], 1)
        )
    action = row.get("action", row["call"])
    return (Touch(action, reference_of(row["table"]), row.get("index", ""), 0, facts_of(row.get("facts"))),)


def reference_of(table: str | list[str]) -> TableReference:
    """A bare name, or the parts of an ARN."""
    return TableReference(*table) if isinstance(table, list) else TableReference(table)


def facts_of(told: dict[str, Any] | None) -> StatedFacts | None:
    """What a row says that its request proves."""
    return None if told is None else StatedFacts(**told)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['world']}: {row['title']}" for row in ROWS])
def test_decision_table(row: dict[str, Any]) -> None:
    """Each row is decided as written, twice in a row the same, and only one that is let through has a principal."""
    policies = policies_of(row["world"])
    identity = identity_of(
        row["dag"], row.get("task", ""), verified=row.get("verified", False), run_id=row.get("run", ""), claims=row.get("claims")
    )
    identity = replace(identity, workload=row.get("workload", "workers"))
    operation = operation_of(row["call"], *touches_of(row))
    now = row.get("now", 1.0)
    decision = policies.decide(identity, operation, now)
    assert (decision.reason, decision.message) == (row["expect"], row.get("message", decision.message))
    assert (decision.rule, decision.would_deny) == (row.get("rule", decision.rule), row.get("would_deny"))
    assert policies.decide(identity, operation, now) == decision
    assert (decision.principal is not None) == (decision.reason in (Reason.ALLOWED, Reason.OBSERVED))
    assert "\n" not in decision.message
    if decision.principal is not None:
        assert decision.granted_role() is decision.principal


def test_the_role_of_an_allowed_decision_is_the_dags() -> None:
    """An allowed decision hands out role, session name and Region of the DAG."""
    decision = policies_of("teams").decide(
        identity_of("growth_sync"), operation_of("PutItem", Touch("PutItem", TableReference("prod-growth-events"))), 1.0
    )
    role = "arn:aws-us-gov:iam::333333333333:role/ddb-prod-growth"
    assert decision.granted_role() == Principal(role, "growth_sync", "us-gov-west-1", "growth_sync")


def test_members_that_several_rules_allow_are_one_decision() -> None:
    """Each rule is named once, in the order of the members, and nothing is said."""
    get = rule(place="a.yaml:3", actions=frozenset({"GetItem"}))
    policies = snapshot({"d": dag_rules(allow=(get, rule(place="a.yaml:2", actions=frozenset({"Query"}))))})
    members = [Touch(action, TableReference("orders"), "", at) for at, action in enumerate(("Query", "GetItem", "Query"), 1)]
    decision = policies.decide(identity_of("d"), operation_of("TransactGetItems", *members), 1.0)
    principal = Principal("arn:aws:iam::111122223333:role/r", session_name("d"), "eu-west-1", "d")
    assert decision == Decision(Reason.ALLOWED, "", "a.yaml:2, a.yaml:3", principal)


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


@pytest.mark.parametrize("reason", [Reason.ALLOWED, Reason.OBSERVED])
def test_a_decision_without_a_principal_hands_out_no_role(reason: Reason) -> None:
    """Nor does one that allows, and yet says not as whom."""
    with pytest.raises(Forbidden):
        Decision(reason, "", "", None).granted_role()


def test_the_same_permission_is_the_same_decision() -> None:
    """What is always allowed is decided by one ready value, so that nothing is made per request."""
    policies = policies_of("one_file")
    operation = operation_of("GetItem", Touch("GetItem", TableReference("orders")))
    first = policies.decide(identity_of("orders_daily"), operation, 1.0)
    assert policies.decide(identity_of("orders_daily", "any"), operation, 2.0) is first


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
    first, second = dag_rules(pattern="a*"), dag_rules(pattern="*b", place="b.yaml:2")
    third = dag_rules(pattern="?b", place="c.yaml:3")  # the first two are enough to mend it
    for globs in ((first, second), (first, second, third)):
        policies = snapshot({}, *globs)
        decision = policies.decide(identity_of("ab"), operation_of("GetItem", Touch("GetItem", TableReference("orders"))), 1.0)
        assert (decision.reason, decision.rule) == (Reason.NO_RULE, "a.yaml:1")
        assert decision.message == (
            "dag 'ab' is named by 'a*' (a.yaml:1) and '*b' (b.yaml:2); define it by its own name in one file, owner #a"
        )


def test_a_dag_is_of_the_team_in_whose_file_it_stands() -> None:
    """None is told of a DAG that two globs name, whose file has no team, or that no team may have."""
    growth = Boundary("growth", "platform.yaml:1", Globs(("*",)), Globs(("*",)), "")
    policies = snapshot({"a": dag_rules(boundary=growth), "b": dag_rules()}, dag_rules(pattern="c*"), dag_rules(pattern="*d"))
    assert [policies.teams_of(dag_id) for dag_id in ("a", "b", "c", "cd", "e")] == [("growth",), (), (), (), ()]


def test_a_dag_that_no_file_names_is_of_each_team_that_may_have_it() -> None:
    """It may be let through as `unmapped`, and to stop one of these teams must stop it; what a file names keeps its own team."""
    growth, orders, all_of_c = (Globs(patterns) for patterns in (("g_*", "!g_x"), ("*_o", "a"), ("c*",)))
    homes = (
        Home("g1.yaml", growth, "", "growth"), Home("g2.yaml", growth, "", "growth"), Home("any.yaml", None, ""),
        Home("o.yaml", orders, "", "orders"), Home("c.yaml", all_of_c, "", "c"),
    )  # fmt: skip
    own = Boundary("growth", "platform.yaml:1", growth, Globs(("*",)), "")
    policies = snapshot({"a": dag_rules(boundary=own)}, dag_rules(pattern="c*"), homes=homes)
    told = {dag_id: policies.teams_of(dag_id) for dag_id in ("g_new", "g_o", "g_x", "a", "c1", "", "g_ new", "g_" + "o" * 249)}
    assert told == {
        "g_new": ("growth",), "g_o": ("growth", "orders"), "g_x": (), "a": ("growth",), "c1": (), "": (), "g_ new": (),
        "g_" + "o" * 249: (),
    }  # fmt: skip


def test_an_exact_name_beats_a_glob() -> None:
    """A DAG with an entry of its own has nothing of the glob that names it too."""
    read = rule(actions=frozenset({"GetItem"}))
    policies = snapshot({"ab": dag_rules(pattern="ab")}, dag_rules(pattern="a*", allow=(read,)))
    operation = operation_of("GetItem", Touch("GetItem", TableReference("orders")))
    assert policies.decide(identity_of("ab"), operation, 1.0).reason is Reason.NO_RULE
    assert policies.decide(identity_of("ac"), operation, 1.0).reason is Reason.ALLOWED


def test_ready_decisions_of_globbed_dags_are_bounded() -> None:
    """A caller that invents DAG ids under a glob pushes out older ones of its kind, and never one with its own name."""
    policies = snapshot({"own": dag_rules(pattern="own")}, dag_rules(pattern="a*"))
    operation = operation_of("GetItem", Touch("GetItem", TableReference("orders")))
    policies.decide(identity_of("own"), operation, 1.0)
    for number in range(4098):
        policies.decide(identity_of(f"a{number}"), operation, 1.0)
    assert len(policies._ready) == 4097
    assert "own" in policies._ready
    assert "a1" not in policies._ready
    assert policies.decide(identity_of("a1"), operation, 1.0).reason is Reason.NO_RULE


def test_what_no_rule_can_allow_is_not_kept() -> None:
    """A caller that invents tables takes no room from what is asked every day."""
    policies = snapshot({"d": dag_rules(allow=(rule(attributes=frozenset({"pk"})),))})
    for table in ("orders", "invented", "more"):
        operation = operation_of("GetItem", Touch("GetItem", TableReference(table), "", 0, StatedFacts(named=("x",))))
        assert policies.decide(identity_of("d"), operation, 1.0).reason is not Reason.ALLOWED
    assert [key[1].name for key in policies._ready["d"].cases] == ["orders"]


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
    assert names == {"growth_sync", "growth_report", "growth_half", "growth_greedy", "sales_sync", "growth_awake"}


def test_the_dag_of_a_user_agent_key_is_found() -> None:
    """The amazon provider's DagRunKey is the uuid5 of the DAG id (value from a captured request)."""
    policies = snapshot({"orders_etl": dag_rules()})
    assert policies.dag_of_key == {"4967833d-f0d7-50c1-bd80-9f84fbc02c8e": "orders_etl"}


def test_a_long_dag_id_is_cut_in_the_message() -> None:
    """A name of any length that a request chose does not flood the log."""
    decision = snapshot({}).decide(identity_of("x" * 5000), operation_of("GetItem"), 1.0)
    assert len(decision.message) < 300
    for length, shown in ((120, "'" + "x" * 120 + "'"), (121, "'" + "x" * 120 + "...'")):
        decision = snapshot({}).decide(identity_of("x" * length), operation_of("GetItem"), 1.0)
        assert decision.message.startswith(f"no policy names dag {shown} (")


def test_a_denial_is_cheap_however_long_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of a caller's choice cannot hold the loop: of 36 that are alike few are compared in full, and 64 characters of each.

    To compare two such names takes up to 5 ms, and each denial once did it 32 times.
    """
    names = [("abc" * 66)[: 150 + n] for n in range(36)]
    tables = "".join(f'  {name}: {{key: "pk (S)"}}\n' for name in names)
    allow = "".join(f"      - {{actions: [read], tables: [{name}]}}\n" for name in names)
    text = f"tables:\n{tables}dags:\n  etl:\n    role: arn:aws:iam::111122223333:role/etl\n    allow:\n{allow}"
    policies = read_policies({"a.yaml": text}, "", "eu-west-1", Mistakes())
    assert policies is not None
    compared: list[tuple[int, int]] = []
    ratio = difflib.SequenceMatcher.ratio

    def counted(matcher: difflib.SequenceMatcher[str]) -> float:
        compared.append((len(matcher.a), len(matcher.b)))
        return ratio(matcher)

    monkeypatch.setattr(difflib.SequenceMatcher, "ratio", counted)
    decision = policies.decide(identity_of("etl"), operation_of("Scan", Touch("Scan", TableReference("acb" * 66))), 0.0)
    assert decision.reason is Reason.NO_RULE
    assert compared == [(64, 64)] * 4


def test_of_rules_for_names_equally_close_the_nearest_has_the_action() -> None:
    """However many stand before it."""
    rules = "".join(f"      - {{actions: [{action}], tables: [orders]}}\n" for action in ["PutItem"] * 9 + ["Scan", "PutItem"])
    text = (
        f'tables:\n  orders: {{key: "pk (S)"}}\ndags:\n  etl:\n    role: arn:aws:iam::111122223333:role/etl\n    allow:\n{rules}'
    )
    policies = read_policies({"a.yaml": text}, "", "eu-west-1", Mistakes())
    assert policies is not None
    decision = policies.decide(identity_of("etl"), operation_of("Scan", Touch("Scan", TableReference("order"))), 0.0)
    assert "nearest is a.yaml:16 (Scan on orders)" in decision.message


def refused_table(tables: list[str], asked: str, *, of_one_rule: int = 1) -> str:
    """The place of the rule that is called nearest, of rules at lines 1, 2, ... for these tables."""
    groups = [tables[at : at + of_one_rule] for at in range(0, len(tables), of_one_rule)]
    allow = tuple(rule(place=f"a.yaml:{line}", tables=Globs(tuple(group))) for line, group in enumerate(groups, 1))
    operation = operation_of("GetItem", Touch("GetItem", TableReference(asked)))
    return snapshot({"d": dag_rules(allow=allow)}).decide(identity_of("d"), operation, 1.0).rule


def test_the_nearest_rule_is_looked_for_among_a_few() -> None:
    """32 names, four of one rule, 64 characters of each: what lies beyond is not compared, the last that is may be nearest."""
    far = [f"zz{number}" for number in range(32)]
    assert refused_table([*far[:31], "orders"], "order") == "a.yaml:32"
    assert refused_table([*far, "orders"], "order") == "a.yaml:1"
    assert refused_table([*far[:7], "orders"], "order", of_one_rule=4) == "a.yaml:2"
    assert refused_table([*far[:9], "orders"], "order", of_one_rule=5) == "a.yaml:1"
    assert refused_table(["x" * 63 + "b", "x" * 63 + "ac"], "x" * 63 + "a") == "a.yaml:2"
    assert refused_table(["x" * 64 + "b", "x" * 64 + "ac"], "x" * 64 + "a") == "a.yaml:1"


def test_a_misspelt_dag_is_looked_for_among_a_few() -> None:
    """32 that begin or end alike; the last of them may be the one that is meant."""
    far = {f"ord{number:05}": dag_rules() for number in range(32)}
    for before, is_found in ((31, True), (32, False)):
        dags = {**dict(list(far.items())[:before]), "orders_a": dag_rules()}
        message = snapshot(dags).decide(identity_of("orders_b"), operation_of("GetItem"), 1.0).message
        assert ("did you mean 'orders_a'?" in message) is is_found


def test_three_files_are_told_of_many() -> None:
    """Where a DAG may be added to any of an owner's files, some are enough."""
    homes = tuple(Home(f"{name}.yaml", None, "owner #a") for name in "abcd")
    message = snapshot({}, homes=homes).decide(identity_of("x"), operation_of("GetItem"), 1.0).message
    assert message.endswith("add it under dags: in a.yaml or b.yaml or c.yaml, owner #a")


def test_three_names_of_a_rule_are_told() -> None:
    """Of its tables, indexes and whatever else it has; a rule may have dozens, and a message is one line."""
    four = Globs(("abc1", "abc2", "abc3", "abc4"))
    keys = KeyLimit(tuple(KeyPattern(False, (text,)) for text in "klmn"))
    text = has(rule(tables=four, indexes=four, keys=keys, attributes=frozenset("wxyz"), tasks=four, environments=("dev", "prod")))
    names = "abc1, abc2, abc3"
    assert text == f"... on {names} index {names} keys k, l, m attributes w, x, y for tasks {names} in dev, prod"


def test_a_subject_cannot_break_the_line() -> None:
    """A verified subject is shown like any other name from outside: on one line."""
    subject = Subject("airflow", "pods:a\nb", {}, ("*",), 0.0, "id")
    identity = Identity(subject, "x", Evidence.CLAIMED, "header", "")
    assert snapshot({}).decide(identity, operation_of("GetItem"), 1.0).message == (
        "no policy names dag 'x' (claimed: header; verified: a?b); add it under dags: in the file of its team"
    )


def test_a_team_with_two_files_is_told_both() -> None:
    """Where several files of one owner fit, any will do."""
    homes = (Home("a.yaml", None, "owner #a"), Home("b.yaml", None, "owner #a"))
    message = snapshot({}, homes=homes).decide(identity_of("x"), operation_of("GetItem"), 1.0).message
    assert message.endswith("add it under dags: in a.yaml or b.yaml, owner #a")


def test_a_globbed_dag_is_known() -> None:
    """`has_dag` answers for names and for globs."""
    policies = snapshot({"own": dag_rules()}, dag_rules(pattern="a*"))
    assert [policies.has_dag(name) for name in ("own", "ab", "b")] == [True, True, False]


# ------------------------------------------------------------------------------------- what holds always

NAMES = ("t1", "t2")
TASKS = ("", "load", "purge")
KEYS = {name: TableKeys(KeyAttribute("pk", "S"), {"i1": KeyAttribute("status", "S")}) for name in NAMES}


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


def test_all_indexes_are_not_the_table() -> None:
    """A glob of every name has the empty one too, and that is the table's."""
    every = rule(indexes=Globs(("*",)))
    assert (every.grants_index("by_day"), every.grants_index("")) == (True, False)


def test_a_grant_that_ends_now_has_ended() -> None:
    """The one that goes on is nearer, though both are for another task."""
    ended, running = (rule(place=f"a.yaml:{line}", tasks=Globs(("load",)), until=until) for line, until in ((2, 1.0), (3, 2.0)))
    policies = snapshot({"d": dag_rules(allow=(ended, running))})
    operation = operation_of("GetItem", Touch("GetItem", TableReference("orders")))
    assert policies.decide(identity_of("d", "store"), operation, 1.0).rule == "a.yaml:3"


def globs_from(names: tuple[str, ...]) -> st.SearchStrategy[Globs]:
    """Lists of names."""
    return st.lists(st.sampled_from(names), min_size=1, max_size=2).map(lambda chosen: Globs(tuple(chosen)))


PATTERNS = st.builds(
    KeyPattern, st.booleans(), st.sampled_from((("a",), ("a#",), ("b",), ("", "dag_id", "#"), ("", "run_id", "#")))
)
RULES = st.builds(
    rule,
    actions=st.one_of(st.none(), st.frozensets(st.sampled_from(ITEM_ACTIONS), min_size=1)),
    tables=globs_from(NAMES),
    indexes=st.one_of(st.none(), globs_from(("i1", "i2"))),
    tasks=st.one_of(st.none(), globs_from(("load", "pur*"))),
    is_active=st.booleans(),
    keys=st.one_of(st.none(), st.lists(PATTERNS, min_size=1, max_size=2).map(lambda found: KeyLimit(tuple(found)))),
    attributes=st.one_of(st.none(), st.frozensets(st.sampled_from(("pk", "x", "y")), min_size=1)),
    until=st.sampled_from((inf, 0.5, 2.0)),
)
REQUIREMENTS = st.builds(
    Requirement,
    RULES.map(lambda found: replace(found, keys=None, attributes=None, until=inf)),
    max_limit=st.sampled_from((0, 10)),
    max_segments=st.sampled_from((0, 2)),
    condition=st.booleans(),
    client_token=st.booleans(),
    evidence=st.booleans(),
)
VALUES = st.sampled_from(("a", "a#", "a#1", "b", "d#", "x")).map(lambda text: {"S": text})
FACTS = st.fixed_dictionaries(
    {
        "pins": st.dictionaries(st.sampled_from(("pk", "status")), st.lists(VALUES, max_size=2), max_size=2),
        "named": st.frozensets(st.sampled_from(("pk", "x", "z"))),
        "whole": st.sampled_from(("", "no projection")),
        "replaces": st.booleans(),
        "limit": st.sampled_from((None, 5, 50)),
        "condition": st.booleans(),
        "unreadable": st.frozensets(st.sampled_from(("pins", "named", "whole")), max_size=1),
    }
).map(lambda told: StatedFacts(**told))
TOUCHES = st.builds(
    Touch,
    st.sampled_from((*ITEM_ACTIONS, "DescribeTable", "ListTables")),
    st.sampled_from((*NAMES, "t3", "")).map(TableReference),
    st.sampled_from(("", "i1", "i3")),
    st.sampled_from((0, 1)),
    st.one_of(st.none(), FACTS),
)
BOUNDARIES = st.one_of(
    st.none(), globs_from(NAMES).map(lambda tables: Boundary("team", "platform.yaml:1", Globs(("*",)), tables, "owner #p"))
)


def is_allowed(rules: DagRules, task: str, *touches: Touch) -> bool:
    """The decision of fresh policies; what cannot be read is refused."""
    try:
        decision = snapshot({"d": rules}).decide(identity_of("d", task), operation_of("TransactWriteItems", *touches), 1.0)
    except Unreadable:
        return False
    return decision.reason is Reason.ALLOWED


@settings(deadline=None, max_examples=300)
@given(
    allow=st.lists(RULES, max_size=4),
    deny=st.lists(RULES, max_size=2),
    require=st.lists(REQUIREMENTS, max_size=1),
    more=RULES,
    needed=REQUIREMENTS,
    boundary=BOUNDARIES,
    touches=st.lists(TOUCHES, min_size=1, max_size=3),
    task=st.sampled_from(TASKS),
)
def test_decide_is_monotone(
    allow: list[Rule],
    deny: list[Rule],
    require: list[Requirement],
    more: Rule,
    needed: Requirement,
    boundary: Boundary | None,
    touches: list[Touch],
    task: str,
) -> None:
    """One more allow rule never refuses what was allowed; one more deny or require rule never allows what was refused."""

    def allowed(allow: list[Rule], deny: list[Rule], require: list[Requirement]) -> bool:
        rules = dag_rules(allow=tuple(allow), deny=tuple(deny), require=tuple(require), boundary=boundary, keys=KEYS)
        return is_allowed(rules, task, *touches)

    before = allowed(allow, deny, require)
    assert allowed([*allow, more], deny, require) >= before
    assert allowed([more, *allow], deny, require) >= before
    assert allowed(allow, [*deny, more], require) <= before
    assert allowed(allow, deny, [*require, needed]) <= before


@settings(deadline=None, max_examples=200)
@given(allow=st.lists(RULES, max_size=3), deny=st.lists(RULES, max_size=2), touch=TOUCHES, task=st.sampled_from(TASKS))
def test_who_proves_less_gets_no_more(allow: list[Rule], deny: list[Rule], touch: Touch, task: str) -> None:
    """A request that pins less, names more, or brings more back is never allowed where the other was not."""
    if not isinstance(touch.facts, StatedFacts):
        return
    rules = dag_rules(allow=tuple(allow), deny=tuple(deny), keys=KEYS)
    told = {**touch.facts.told, "unreadable": ()}
    before = is_allowed(rules, task, touch._replace(facts=StatedFacts(**told)))
    for weaker in ({"pins": {}}, {"named": {*told["named"], "y"}}, {"whole": "no projection"}, {"replaces": True}):
        assert is_allowed(rules, task, touch._replace(facts=StatedFacts(**{**told, **weaker}))) <= before
    assert is_allowed(rules, task, touch._replace(facts=None)) <= before or touch.action not in ITEM_ACTIONS


@settings(deadline=None)
@given(allow=st.lists(RULES, max_size=4), deny=st.lists(RULES, max_size=2), touch=TOUCHES, tasks=st.permutations(TASKS))
def test_what_is_kept_answers_like_fresh_rules(allow: list[Rule], deny: list[Rule], touch: Touch, tasks: list[str]) -> None:
    """Policies that have answered others before answer as if nobody had asked."""
    rules = dag_rules(allow=tuple(allow), deny=tuple(deny), keys=KEYS)
    kept = snapshot({"d": rules})
    for task in tasks:
        operation = operation_of("TransactWriteItems", touch)
        try:
            reason = kept.decide(identity_of("d", task), operation, 1.0).reason
        except Unreadable:
            reason = Reason.UNREADABLE_BODY
        assert (reason is Reason.ALLOWED) == is_allowed(rules, task, touch)


@settings(deadline=None)
@given(first=TOUCHES, second=TOUCHES, allow=st.lists(RULES, max_size=4))
def test_a_batch_is_allowed_exactly_when_each_member_is(first: Touch, second: Touch, allow: list[Rule]) -> None:
    """No member travels on the permission of another."""
    rules = dag_rules(allow=tuple(allow), keys=KEYS)
    assert is_allowed(rules, "", first, second) == (is_allowed(rules, "", first) and is_allowed(rules, "", second))


@settings(deadline=None, max_examples=500)
@given(
    allow=st.lists(RULES, min_size=1, max_size=3),
    deny=st.lists(RULES, max_size=1),
    require=st.lists(REQUIREMENTS, max_size=1),
    boundary=BOUNDARIES,
    first=TOUCHES,
    others=st.lists(st.one_of(st.none(), FACTS), max_size=2),
    task=st.sampled_from(TASKS),
)
def test_the_rule_that_allows_all_allows_each(
    allow: list[Rule],
    deny: list[Rule],
    require: list[Requirement],
    boundary: Boundary | None,
    first: Touch,
    others: list[StatedFacts | None],
    task: str,
) -> None:
    """A run of touches that is judged as one has the very answer that each of them has alone."""
    rules = dag_rules(allow=tuple(allow), deny=tuple(deny), require=tuple(require), boundary=boundary, keys=KEYS)
    case = rules.case("d", first.action, first.table.name, first.index)
    touches = [first, *(first._replace(facts=facts) for facts in others)]
    found = case.rule_for_all(touches, identity_of("d", task), 1.0)
    for touch in touches:
        assert found is None or case.judge(Asked(identity_of("d", task), touch, case.keys, 1.0)) is found
    if case.short_way is not None and case.short_way.allows(first):
        assert case.rule_for_all([first], identity_of("d", task), 1.0) is case.short_way.rule


TEXTS = st.text(st.sampled_from("ab#\u00e9\ud800\udc80\U0001f600"), max_size=4)


@settings(deadline=None, max_examples=500)
@given(
    patterns=st.lists(st.tuples(st.booleans(), TEXTS), min_size=1, max_size=3),
    values=st.lists(st.one_of(TEXTS.map(lambda text: {"S": text}), st.sampled_from([{"N": "1"}, {"S": 1}, {}])), max_size=2),
    is_prefix=st.booleans(),
)
def test_the_short_way_says_yes_where_the_long_one_does(
    patterns: list[tuple[bool, str]], values: list[dict[str, Any]], is_prefix: bool
) -> None:
    """To exactly the one key that is proven whole, whatever characters it has; all else it leaves to the long one."""
    limit = KeyLimit(tuple(KeyPattern(starts, (text,)) for starts, text in patterns))
    rules = dag_rules(allow=(rule(place="0", keys=limit),), keys={"orders": TableKeys(KeyAttribute("pk", "S"), {})})
    case = rules.case("d", "GetItem", "orders", "")
    told = {"starts": {"pk": values[0]}} if is_prefix and values else {"pins": {"pk": values}}
    touch = Touch("GetItem", TableReference("orders"), "", 0, facts_of(told))
    assert case.short_way is not None
    is_allowed_by_all = case.rule_for_all([touch], identity_of("d"), 1.0) is not None
    assert case.short_way.allows(touch) == (is_allowed_by_all and len(values) == 1 and not is_prefix)


@pytest.mark.parametrize(
    ("changes", "index", "rule_of_way"),
    [
        ({}, "", "1"),
        ({"allow": (rule(place="0", keys=KeyLimit((KeyPattern(False, ("a",)),))), rule(place="1"))}, "", None),
        ({"allow": ()}, "", None),
        ({"allow": (rule(place="1"),)}, "", None),
        ({"deny": (rule(keys=KeyLimit((KeyPattern(False, ("a",)),))),)}, "", None),
        ({"require": (Requirement(rule(), condition=True),)}, "", None),
        ({"boundary": Boundary("team", "platform.yaml:1", Globs(("*",)), Globs(("t2",)), "owner #p")}, "", None),
        ({"keys": {}}, "", None),
        ({"keys": {"orders": TableKeys(KeyAttribute("pk", "N"), {})}}, "", None),
        ({"tasks": Globs(("load",))}, "", None),
        ({"until": 9e9}, "", None),
        ({"attributes": frozenset({"pk"})}, "", None),
        ({"limit": (KeyPattern(True, ("", "task_id", "")),)}, "", None),
        ({"limit": (KeyPattern(True, ("", "dag_id", "#")),)}, "", "1"),
        ({"indexes": Globs(("*",))}, "by_day", None),
    ],
)
def test_only_a_rule_of_keys_alone_has_a_short_way(changes: dict[str, Any], index: str, rule_of_way: str | None) -> None:
    """Nothing denies or requires beside it, and it asks for neither task, time, attributes nor what a request fills in."""
    keys = KeyLimit(changes.pop("limit", (KeyPattern(True, ("a",)),)))
    of_rule = {name: changes.pop(name) for name in ("tasks", "until", "attributes", "indexes") if name in changes}
    known = {"orders": TableKeys(KeyAttribute("pk", "S"), {"by_day": KeyAttribute("day", "S")})}
    rules = dag_rules(**{"allow": (rule(place="1", keys=keys, **of_rule),), "keys": known} | changes)
    way = rules.case("d", "Query", "orders", index).short_way
    assert (way.rule.place if way else None) == rule_of_way


def test_the_short_way_leaves_what_it_cannot_read_to_the_long_one() -> None:
    """Which says that it cannot be read; and what says nothing of keys is denied."""
    rules = dag_rules(
        allow=(rule(keys=KeyLimit((KeyPattern(True, ("a",)),))),), keys={"orders": TableKeys(KeyAttribute("pk", "S"), {})}
    )
    policies = snapshot({"d": rules})
    with pytest.raises(Unreadable):
        policies.decide(
            identity_of("d"),
            operation_of("Query", Touch("Query", TableReference("orders"), facts=StatedFacts(unreadable=("pins",)))),
            1.0,
        )
    for facts in (None, StatedFacts(), StatedFacts(pins={"pk": []}), StatedFacts(pins={"pk": [{"S": "a"}, {"S": "b"}]})):
        touch = Touch("Query", TableReference("orders"), facts=facts)
        assert policies.decide(identity_of("d"), operation_of("Query", touch), 1.0).reason is Reason.OUTSIDE_KEYS


def test_what_cannot_be_read_is_not_merely_denied() -> None:
    """Also where no key of the index is known: a denial may only be observed, what cannot be read is never let through."""
    hidden = rule(indexes=Globs(("*",)), keys=KeyLimit((KeyPattern(True, ("a",)),)))
    rules = dag_rules(allow=(rule(indexes=Globs(("*",))),), deny=(hidden,))
    nameless = StatedFacts(pins={"": [{"S": "b"}]})  # a key that nobody has proves nothing
    unreadable = StatedFacts(unreadable=("pins",))
    for facts, answer in ((unreadable, Unreadable), (StatedFacts(), Reason.DENIED_BY_RULE), (nameless, Reason.DENIED_BY_RULE)):
        touch = Touch("Query", TableReference("orders"), "by_day", facts=facts)
        try:
            found: object = snapshot({"d": rules}).decide(identity_of("d"), operation_of("Query", touch), 1.0).reason
        except Unreadable:
            found = Unreadable
        assert found is answer


def test_what_cannot_be_read_is_not_merely_outside_of_an_allow_rule() -> None:
    """Nor there where no key is known: a request that nobody understands is not let through by observation."""
    rules = dag_rules(allow=(rule(keys=KeyLimit((KeyPattern(True, ("",)),))),))
    nameless = StatedFacts(pins={"": [{"S": "a"}]})
    unreadable = StatedFacts(unreadable=("pins",))
    for facts, answer in ((unreadable, Unreadable), (StatedFacts(), Reason.OUTSIDE_KEYS), (nameless, Reason.OUTSIDE_KEYS)):
        touch = Touch("Query", TableReference("orders"), facts=facts)
        try:
            found: object = snapshot({"d": rules}).decide(identity_of("d"), operation_of("Query", touch), 1.0).reason
        except Unreadable:
            found = Unreadable
        assert found is answer


A_KEY, ANOTHER_KEY = ({"pins": {"pk": [{"S": text}]}, "named": ["pk"]} for text in "ab")
INSIDE = KeyLimit((KeyPattern(True, ("a",)),))
OUTSIDE = Boundary("team", "platform.yaml:1", Globs(("*",)), Globs(("t2",)), "owner #p")


@pytest.mark.parametrize(
    ("changes", "facts", "place"),
    [
        ({}, [A_KEY, ANOTHER_KEY], "1"),
        ({"allow": (rule(place="0", tasks=Globs(("purge",))), rule(place="1", keys=INSIDE))}, [A_KEY], "1"),
        ({"allow": (rule(place="0", until=1.0, keys=INSIDE), rule(place="1", keys=INSIDE))}, [A_KEY], "1"),
        ({"allow": (rule(place="0", until=1.5),)}, [A_KEY], "0"),
        ({"allow": (rule(place="0", tasks=Globs(("load",))),)}, [A_KEY], "0"),
        ({"allow": (rule(place="0", keys=INSIDE),)}, [A_KEY, A_KEY], "0"),
        ({"allow": (rule(place="0", keys=INSIDE),)}, [A_KEY, ANOTHER_KEY], None),
        ({"allow": (rule(place="0", keys=INSIDE),)}, [A_KEY, A_KEY, ANOTHER_KEY], None),
        ({"allow": (rule(place="0", keys=INSIDE), rule(place="1", keys=INSIDE, until=2.0))}, [A_KEY, ANOTHER_KEY], None),
        ({"allow": (rule(place="0", keys=INSIDE),)}, [{"unreadable": ["pins"]}], None),
        ({"allow": (rule(place="0", keys=INSIDE),)}, [A_KEY, None], None),
        ({"allow": (rule(place="0", attributes=frozenset({"pk"})),)}, [A_KEY, A_KEY], "0"),
        ({"allow": (rule(place="0", attributes=frozenset({"pk"})),)}, [A_KEY, {"named": ["x"]}], None),
        ({"allow": (rule(place="0", attributes=frozenset({"pk"})),)}, [A_KEY, None], None),
        ({"allow": (rule(place="0", tasks=Globs(("purge",))),)}, [A_KEY], None),
        ({"deny": (rule(keys=INSIDE),)}, [ANOTHER_KEY], None),
        ({"require": (Requirement(rule(), condition=True),)}, [A_KEY], None),
        ({"boundary": OUTSIDE}, [A_KEY], None),
    ],
)
def test_a_run_is_judged_as_one_where_its_first_open_rule_can(
    changes: dict[str, Any], facts: list[dict[str, Any] | None], place: str | None
) -> None:
    """Who is asked for a task and a time is asked once; deny rules, requirements and a boundary that is passed ask of each."""
    rules = dag_rules(**{"allow": (rule(place="1"),), "keys": {"orders": TableKeys(KeyAttribute("pk", "S"), {})}} | changes)
    touches = [Touch("PutItem", TableReference("orders"), "", n, facts_of(told)) for n, told in enumerate(facts, 1)]
    found = rules.case("d", "PutItem", "orders", "").rule_for_all(touches, identity_of("d", "load"), 1.0)
    assert (found.place if found else None) == place


@pytest.mark.parametrize("text", ["5", "5.0", "50", "4"])
def test_a_prefix_names_no_number(text: str) -> None:
    """Numbers have no prefix: one that looks like it does not hold them, not even the number that it spells."""
    limit, pin = KeyLimit((KeyPattern(True, ("5",)),)), Pin(({"N": text},))
    assert not limit.are_inside("N", [pin], identity_of("d"))
    assert KeyLimit((KeyPattern(False, (text,)),)).are_inside("N", [pin], identity_of("d"))


@settings(deadline=None, max_examples=300)
@given(value=VALUES, pattern=PATTERNS, is_prefix=st.booleans(), run=st.sampled_from(("", "a", "a#")))
def test_inside_and_outside_agree_with_trying_keys_out(
    value: dict[str, str], pattern: KeyPattern, is_prefix: bool, run: str
) -> None:
    """What is called inside is so for every key that it can mean, what is called outside for none."""
    identity = identity_of("d", run_id=run)
    limit, attribute, pin = KeyLimit((pattern,)), KeyAttribute("pk", "S"), Pin((value,), is_prefix)
    meant = [value["S"] + more for more in ("", "#", "#1", "1", "a")] if is_prefix else [value["S"]]
    text = pattern.filled(identity)
    covered = [bool(text) and (key.startswith(text) if pattern.is_prefix else key == text) for key in meant]
    assert not limit.are_inside("S", [pin], identity) or all(covered)
    assert not limit.is_outside(attribute, pin, identity) or not any(covered)


# ----------------------------------------------------------------------------------------- what it costs


def test_facts_are_read_only_where_a_rule_asks() -> None:
    """A DAG without limits is served without a look at what its requests prove; one with limits pays for its own tables."""
    free = rule(tables=Globs(("free",)))
    limited = rule(attributes=frozenset({"pk"}))
    policies = snapshot({"d": dag_rules(allow=(free, limited), deny=(rule(actions=frozenset({"Scan"}), keys=KeyLimit(())),))})
    facts = StatedFacts()
    for table in ("free", "free", "other"):
        policies.decide(identity_of("d"), operation_of("GetItem", Touch("GetItem", TableReference(table), facts=facts)), 1.0)
    assert facts.asked == 0
    policies.decide(identity_of("d"), operation_of("GetItem", Touch("GetItem", TableReference("orders"), facts=facts)), 1.0)
    assert facts.asked > 0


def test_what_is_kept_of_one_dag_is_bounded() -> None:
    """Index names that a caller makes up under a glob fill no more than a bounded room, and are judged all the same."""
    policies = snapshot({"d": dag_rules(allow=(rule(indexes=Globs(("*",))),))})
    for number in range(4098):
        touch = Touch("Query", TableReference("orders"), f"i{number}")
        assert policies.decide(identity_of("d"), operation_of("Query", touch), 1.0).reason is Reason.ALLOWED
    assert len(policies._ready["d"].decisions) == 4096


def test_what_is_kept_of_one_dag_is_bounded_over_all_kinds() -> None:
    """Answers that are settled, and rules that the request decides, share the room."""
    limited = rule(indexes=Globs(("l*",)), attributes=frozenset({"pk"}))
    policies = snapshot({"d": dag_rules(allow=(rule(indexes=Globs(("f*",))), limited))})
    for number in range(2200):
        for kind in "fl":
            touch = Touch("Query", TableReference("orders"), f"{kind}{number}", facts=StatedFacts())
            policies.decide(identity_of("d"), operation_of("Query", touch), 1.0)
    ready = policies._ready["d"]
    assert len(ready.decisions) + len(ready.cases) == 4096
    assert min(len(ready.decisions), len(ready.cases)) > 2000


def test_a_dag_that_no_file_names_is_refused_by_no_rule() -> None:
    """The place of a rule is empty where none decided."""
    decision = snapshot({"d": dag_rules()}).decide(identity_of("x"), operation_of("GetItem"), 1.0)
    assert (decision.reason, decision.rule) == (Reason.UNKNOWN_DAG, "")


def test_a_request_that_cannot_be_read_is_not_observed() -> None:
    """Observation lets pass what a policy refuses, never what the gateway does not understand."""
    policies = policies_of("observing")
    touch = Touch("GetItem", TableReference("dev-orders"), facts=StatedFacts(unreadable=("pins",)))
    with pytest.raises(Unreadable):
        policies.decide(identity_of("orders_daily"), operation_of("GetItem", touch), 1.0)
