"""The loader: what it refuses, line by line (tests/cases/policy_mistakes.yaml), and what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.model import Evidence, Workload
from proxy.policy.cases import DagRules, Unmapped
from proxy.policy.declared import KeySchema
from proxy.policy.document import digest_of, read_document, read_policies
from proxy.policy.fields import moment_of
from proxy.policy.keys import KeyAttribute
from proxy.policy.vocabulary import LATER, PLATFORM_SECTIONS, RULE_FIELDS, TEAM_SECTIONS, TEST_FIELDS
from proxy.yaml_source import Mistakes, Place, Scalar

if TYPE_CHECKING:
    from proxy.policy.rules import Policies

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[2] / "cases" / "policy_mistakes.yaml").read_text())
NAMES = {"a": "a.yaml", "b": "b.yaml", "platform": "platform.yaml", "platform_yml": "platform.yml"}
INDEXES = '{{by_status: "status (S)", by_count: "count (N)"}}'
AROUND = f"""\
tables: {{{{orders: {{{{key: "pk (S)", indexes: {INDEXES}}}}}, totals: {{{{}}}}, counters: {{{{key: "id (N)"}}}}}}}}
dags:
  d:
    role: arn:aws:iam::111122223333:role/r
    {{list}}:
      - {{rule}}
"""


def files_of(case: dict[str, Any]) -> dict[str, str]:
    """The files of a case."""
    if "rule" in case:
        return {"a.yaml": AROUND.format(list=case.get("as", "allow"), rule=case["rule"])}
    return {NAMES[key]: text for key, text in case.items() if key in NAMES}


@pytest.mark.parametrize("case", CASES, ids=[case["title"] for case in CASES])
def test_mistakes_are_refused(case: dict[str, Any]) -> None:
    """Each mistake of the case is told with its place and what to write, and nothing is loaded."""
    mistakes = Mistakes()
    policies = read_policies(files_of(case), case.get("environment", ""), case.get("region", "eu-west-1"), mistakes)
    assert mistakes.lines() == case["mistakes"]
    assert policies is None


@pytest.mark.parametrize(
    "limit", ["indexes: [by_day]", "keys: {prefix: 'a'}", "attributes: [b]", "indexes: [by_day], keys: {prefix: 'a'}"]
)
def test_of_a_table_that_is_not_declared_nothing_else_is_told(limit: str) -> None:
    """Its indexes and its key are unknown with it: one line for one mistake, and so for each of them."""
    rule = f"{{actions: [Query], tables: [zebra, lion], {limit}}}"
    mistakes = Mistakes()
    assert read_policies({"a.yaml": AROUND.format(list="allow", rule=rule)}, "", "eu-west-1", mistakes) is None
    assert mistakes.lines() == [
        f"a.yaml:6: this file declares no table `{table}`; declare it under tables: in this file" for table in ("zebra", "lion")
    ]


def test_a_key_of_a_team_needs_the_team_of_its_file() -> None:
    """A placeholder that is known when files are read must be known then."""
    rule = '{actions: [Query], tables: [orders], keys: {prefix: "<team>#"}}'
    mistakes = Mistakes()
    assert read_policies({"a.yaml": AROUND.format(list="allow", rule=rule)}, "", "eu-west-1", mistakes) is None
    assert ["`<team>` needs team: in this file" in line for line in mistakes.lines()] == [True]


def test_an_empty_value_is_one_mistake() -> None:
    """Written as an empty text or not at all."""
    for value in ("", '""'):
        mistakes = Mistakes()
        assert read_policies({"a.yaml": f"contact: {value}\n"}, "", "eu-west-1", mistakes) is None
        assert len(mistakes.lines()) == 1


def loaded(files: dict[str, str], environment: str = "", region: str = "eu-west-1") -> Policies:
    """The policies of files that have no mistake."""
    mistakes = Mistakes()
    policies = read_policies(files, environment, region, mistakes)
    assert policies is not None, mistakes.lines()
    assert mistakes.lines() == []
    return policies


def test_one_small_file_is_enough() -> None:
    """The smallest policy of the README loads, and has its DAG."""
    policies = loaded({"policies/orders.yaml": SMALL})
    assert [principal.role_arn for principal in policies.principals()] == ["arn:aws:iam::111122223333:role/ddb-orders"]
    assert policies.workloads == ()


SMALL = """\
tables:
  orders: {key: "pk (S), sk (S)", indexes: {by_status: "status (S), created_at (S)"}}
  totals: {name: order-totals, key: "day (S)"}       # name: the real table, where it differs
dags:
  orders_daily:
    role: arn:aws:iam::111122223333:role/ddb-orders
    allow:
      - {actions: [read], tables: [orders]}
      - {actions: [write], tables: [totals]}
    deny: []
tests:
  - {dag: orders_daily, call: PutItem, table: totals, expect: allow}
"""
PLATFORM = """\
environments:
  dev: {account: "111111111111", region: eu-west-1}
  prod: {account: "333333333333", region: eu-central-1}
teams:
  growth: {dags: ["growth_*", "!growth_secret"], tables: ["<env>-*"], role: {dev: d, prod: "arn:aws:iam::444444444444:role/x"}}
  orders: {dags: ["orders_*"], tables: ["<env>-*"]}
workloads:
  queue: {issuer: eks, subject: "system:*", teams: [growth, orders], dags: [adhoc], dag_from: [header, user_agent]}
  pods: {issuer: eks, subject: pod, dags: ["*"], unknown_dag: deny}
"""
GROWTH = """\
team: growth
defaults: {}
dags: {growth_sync: {}, growth_own: {role: "<env>-<team>-own"}}
"""


def test_environments_and_teams_give_role_and_region() -> None:
    """Role: the DAG's own, else the team's; a name takes the environment's account; the Region is the environment's."""
    files = {"platform.yaml": PLATFORM, "growth.yaml": GROWTH}
    told = {
        name: {(p.dag_id, p.role_arn, p.region) for p in loaded(files, name, "us-east-1").principals()}
        for name in ("dev", "prod")
    }
    assert told == {
        "dev": {
            ("growth_sync", "arn:aws:iam::111111111111:role/d", "eu-west-1"),
            ("growth_own", "arn:aws:iam::111111111111:role/dev-growth-own", "eu-west-1"),
        },
        "prod": {
            ("growth_sync", "arn:aws:iam::444444444444:role/x", "eu-central-1"),
            ("growth_own", "arn:aws:iam::333333333333:role/prod-growth-own", "eu-central-1"),
        },
    }


def test_workloads_speak_for_their_dags_and_those_of_their_teams() -> None:
    """Globs of teams join those of the workload; without `dag_from` a verified claim is the only source."""
    policies = loaded({"platform.yaml": PLATFORM}, "dev")
    assert policies.workloads == (
        Workload(
            "queue",
            "eks",
            "system:*",
            ("adhoc", "growth_*", "!growth_secret", "orders_*"),
            ("header", "user_agent"),
            "platform.yaml:8",
        ),
        Workload("pods", "eks", "pod", ("*",), ("claim",), "platform.yaml:9", may_be_unmapped=False),
    )


def test_a_subject_may_stand_for_the_one_dag_that_it_speaks_for() -> None:
    """Where the workload is of one DAG alone, its token says which by being there."""
    text = 'workloads: {own: {issuer: eks, subject: "system:etl", dags: [orders_daily], dag_from: [claim, subject]}}\n'
    (workload,) = loaded({"platform.yaml": text}).workloads
    assert (workload.dags, workload.dag_from) == (("orders_daily",), ("claim", "subject"))


def test_annotations_are_as_good_as_the_platform_team_says() -> None:
    """What a DAG could set itself is a claim, until the platform team says that it cannot."""
    text = """\
workloads:
  pods: {issuer: eks, subject: a, dags: ["*"], dag_from: [annotation], annotations: verified}
  open: {issuer: eks, subject: b, dags: ["*"], dag_from: [annotation, header], annotations: claimed}
  mute: {issuer: eks, subject: c, dags: ["*"], dag_from: [annotation], unknown_dag: unmapped}
"""
    told = [(w.annotations, w.dag_from, w.may_be_unmapped) for w in loaded({"platform.yaml": text}).workloads]
    assert told == [
        (Evidence.VERIFIED, ("annotation",), True),
        (Evidence.CLAIMED, ("annotation", "header"), True),
        (Evidence.CLAIMED, ("annotation",), True),
    ]


def test_what_nobody_has_named_is_let_through_with_no_rights() -> None:
    """As the role of `unmapped`, in the environment's own home, whichever DAG it is; nothing is allowed by it."""
    platform = PLATFORM + 'contact: "#p"\nunmapped: {role: legacy, mode: observe, until: "2027-01-31"}\n'
    rules = DagRules(
        pattern="*",
        place="platform.yaml:11",
        role_arn="arn:aws:iam::111111111111:role/legacy",
        home=("aws", "eu-west-1", "111111111111"),
        allow=(),
        deny=(),
        boundary=None,
        owner="owner #p",
        environments=(),
        is_active=True,
    )
    assert loaded({"platform.yaml": platform}, "dev").unmapped == Unmapped(rules, 1801440000.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('key: "pk (S)", indexes: {i: "a (S)"}', "name: orders"),
        ("indexes: {}", 'name: orders, key: "pk (S)", indexes: {i: "a (S)"}'),
        ('key: "pk (S)", indexes: {i: "a (S)"}', 'name: orders, key: "pk (S)", indexes: {i: "a (S)", j: "b (S)"}'),
    ],
)
def test_two_entries_of_one_table_are_put_together(first: str, second: str) -> None:
    """What only one of them declares is no contradiction, whichever stands first."""
    text = f"""\
tables: {{orders: {{{first}}}, same: {{{second}}}}}
dags: {{d: {{role: "arn:aws:iam::111122223333:role/r"}}}}
"""
    (rules,) = loaded({"a.yaml": text}).dag_rules()
    assert rules.keys["orders"].table == KeyAttribute("pk", "S")
    assert rules.keys["orders"].indexes["i"] == KeyAttribute("a", "S")


def test_a_setting_of_a_file_replaces_and_its_own_dag_replaces_that() -> None:
    """`role` under defaults holds for every DAG of the file that has none of its own."""
    text = """\
defaults: {role: "arn:aws:iam::111122223333:role/shared"}
dags: {d: {}, e: {role: "arn:aws:iam::111122223333:role/path/own"}}
"""
    roles = {p.dag_id: p.role_arn.rpartition(":")[2] for p in loaded({"a.yaml": text}).principals()}
    assert roles == {"d": "role/shared", "e": "role/path/own"}


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_partition_of_an_environment_is_that_of_its_roles(partition: str) -> None:
    """China and GovCloud are named as AWS names them."""
    platform = f'environments: {{dev: {{account: "111111111111", region: cn-north-1, partition: {partition}}}}}'
    policies = loaded({"platform.yaml": platform, "a.yaml": "dags: {d: {role: r}}"}, "dev")
    assert [p.role_arn for p in policies.principals()] == [f"arn:{partition}:iam::111111111111:role/r"]


def test_a_role_of_another_account_is_warned_of() -> None:
    """Without teams nobody sets limits, but a role that leads out of the environment's account is pointed at."""
    mistakes = Mistakes()
    platform = 'environments: {dev: {account: "111111111111", region: eu-west-1}}'
    text = 'dags: {d: {role: "arn:aws:iam::222222222222:role/r"}, e: {role: "arn:aws:iam::111111111111:role/r"}}'
    assert read_policies({"platform.yaml": platform, "a.yaml": text}, "dev", "", mistakes) is not None
    assert mistakes.lines() == ["a.yaml:1: warning: the role is of account 222222222222, and environment dev is of 111111111111"]


WARNED = (
    (
        "deny",
        "{actions: [GetItem, Query, ConditionCheckItem], tables: [orders]}",  # all of `read`, one by one
        "`read` does not hold Scan, so scanning passes this rule by; write [read, Scan] if it should not",
    ),
    (
        "allow",
        "{actions: [GetItem], tables: [orders], keys: {prefix: '<task_id>#'}}",
        "`keys`: the caller chooses <task_id>, and with it the keys; begin with <dag_id># or with a fixed text",
    ),
    (
        "allow",
        "{actions: [GetItem], tables: [orders], attributes: [pk, 'list[0]']}",
        "`attributes` are those at the top of an item; `list[0]` is one with such a name, not a path into one",
    ),
    (
        "deny",
        "{actions: [Query], tables: [orders], indexes: [by_status], attributes: [status]}",
        "requests name the key `status` of table `orders`, so the rule denies them all",
    ),
    (
        "allow",
        "{actions: [PartiQLDelete], tables: [orders], attributes: [pk]}",
        (
            "PartiQLDelete takes every attribute away, so a rule with `attributes` does not cover it; "
            "write it in a rule of its own, without `attributes`"
        ),
    ),
    (
        "deny",
        "{actions: [read], tables: [orders]}",
        "`read` does not hold Scan, so scanning passes this rule by; write [read, Scan] if it should not",
    ),
    (
        "allow",
        "{actions: [write], tables: [orders], keys: {prefix: '<run_id>#'}}",
        "`keys`: the caller chooses <run_id>, and with it the keys; begin with <dag_id># or with a fixed text",
    ),
    (
        "allow",
        "{actions: [GetItem], tables: [orders], attributes: [pk, address.city]}",
        "`attributes` are those at the top of an item; `address.city` is one with such a name, not a path into one",
    ),
    (
        "allow",
        "{actions: [GetItem], tables: [orders], attributes: [status]}",
        "requests name the key of table `orders`; add `pk` to `attributes`",
    ),
    (
        "allow",
        "{actions: [Query], tables: [orders], indexes: [by_status, by_count], attributes: [x]}",
        "requests name the key of table `orders`; add `status`, `count` to `attributes`",
    ),
    (
        "deny",
        "{actions: [GetItem], tables: [orders], attributes: [pk]}",
        "requests name the key `pk` of table `orders`, so the rule denies them all",
    ),
    (
        "allow",
        "{actions: [DeleteItem], tables: [orders], attributes: [pk]}",
        (
            "DeleteItem takes every attribute away, so a rule with `attributes` does not cover it; "
            "write it in a rule of its own, without `attributes`"
        ),
    ),
)


@pytest.mark.parametrize(("list_name", "rule", "warning"), WARNED)
def test_what_is_probably_not_meant_is_warned_of(list_name: str, rule: str, warning: str) -> None:
    """Such a rule loads, for it may be meant; who reads the start's log is told."""
    mistakes = Mistakes()
    assert read_policies(files_of({"rule": rule, "as": list_name}), "", "eu-west-1", mistakes) is not None
    assert mistakes.lines() == [f"a.yaml:6: warning: {warning}"]


@pytest.mark.parametrize(
    ("list_name", "rule"),
    [
        ("deny", "{actions: ['*'], tables: [orders], attributes: [pk]}"),
        ("deny", "{actions: [read, Scan], tables: [totals], attributes: [pk]}"),
        ("allow", "{actions: [Scan], tables: [orders], attributes: [status, pk]}"),
        ("allow", "{actions: [read], tables: [orders], keys: [{exact: ['a'], prefix: 'b'}, {exact: ['c']}]}"),
        ("deny", "{actions: [read, Scan], tables: [orders], keys: {prefix: '<run_id>#'}}"),
        ("allow", "{actions: [GetItem], tables: [orders], keys: {prefix: 'loads#<task_id>#'}}"),
        ("allow", "{actions: [GetItem], tables: [counters], keys: {exact: ['-1.5e3', '<claim.shard>']}}"),
        ("allow", "{actions: [DescribeTable, PutResourcePolicy, UpdateTable.StreamSpecification], tables: [orders]}"),
    ],
)
def test_what_is_meant_is_not_warned_of(list_name: str, rule: str) -> None:
    """These rules load without a word."""
    loaded(files_of({"rule": rule, "as": list_name}))


def test_keys_of_an_index_need_no_key_of_the_table() -> None:
    """A rule about an index alone is judged by the index's key."""
    text = """\
tables: {orders: {indexes: {by_a: "a (S)"}}}
dags:
  d:
    role: arn:aws:iam::111122223333:role/r
    allow: [{actions: [Query], tables: [orders], indexes: [by_a], keys: {prefix: "x#"}}]
"""
    loaded({"a.yaml": text})


def test_a_key_may_be_of_several_attributes() -> None:
    """A global index may have up to four partition and four sort key attributes; a semicolon parts them."""
    text = """\
tables:
  t:
    key: "pk (S); sk (N)"
    indexes: {a: "x (S), z (S); pk (B)", b: "x (N), z (N);", c: "a (S), b (S), c (S), d (S); e (S), f (S), g (S), h (S)"}
"""
    mistakes = Mistakes()
    document = read_document({"a.yaml": text}, mistakes)
    assert mistakes.lines() == []
    table = document.teams[0].tables["t"]
    assert table.key == KeySchema((("pk", "S"),), (("sk", "N"),))
    assert [schema and (schema.leading, len(schema.partition), len(schema.sort)) for schema in table.indexes.values()] == [
        (("x", "S"), 2, 1),
        (("x", "N"), 2, 0),
        (("a", "S"), 4, 4),
    ]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-30", 1796083200.0),
        ("2026-11-30T18:00Z", 1796061600.0),
        ("2026-11-30T18:00:30+01:00", 1796058030.0),
    ],
)
def test_moments_are_days_in_utc_or_have_a_zone(text: str, moment: float) -> None:
    """A day ends with its last second in UTC; a time of day says its zone."""
    mistakes = Mistakes()
    assert moment_of(Scalar(text, True, Place("a.yaml", 1)), "`until`", mistakes) == moment
    assert mistakes.lines() == []


def test_empty_lists_of_the_platform_team_say_nothing() -> None:
    """`deny: []` and its like are a place to write in, as an empty `deny` of a DAG is."""
    loaded({"platform.yaml": "deny: []\nrequire: []\ngrants: []\n"})


def test_placeholders_of_an_environment_are_filled_in_keys() -> None:
    """<env> and <team> stand for their names at load; what only a request knows is left to it."""
    platform = """\
environments: {dev: {account: "111111111111", region: eu-west-1}}
teams: {orders: {dags: ["*"], tables: ["*"], role: r}}
"""
    text = """\
team: orders
tables: {orders: {key: "pk (S)"}}
dags: {d: {allow: [{actions: [read], tables: [orders], keys: {prefix: "<env>/<team>/<dag_id>#"}}]}}
"""
    policies = loaded({"platform.yaml": platform, "a.yaml": text}, "dev")
    (rules,) = policies.dag_rules()
    assert rules.allow[0].keys is not None
    assert [pattern.written() for pattern in rules.allow[0].keys.patterns] == ["dev/orders/<dag_id>#"]


def test_the_digest_is_of_names_and_contents() -> None:
    """Other contents, names or borders between them give another digest; another directory does not."""
    digests = {
        digest_of(files)
        for files in ({"a.yaml": "x", "b.yaml": "y"}, {"a.yaml": "xb.yaml", "": "y"}, {"a.yaml": "y", "b.yaml": "x"}, {})
    }
    assert len(digests) == 4
    assert digest_of({"here/a.yaml": "x"}) == digest_of({"there/a.yaml": "x"})


def test_a_digest_outlives_upgrades() -> None:
    """Records name the policies that decided; those of before are told from others after."""
    assert digest_of({"b.yaml": "é", "a.yaml": "x"}) == "ffaaf9a0f2754cd1380ff717d26ad4d52bbfd355a75ba0679774ce7e1b546497"


def test_every_field_that_comes_later_is_refused_with_its_reason() -> None:
    """Each word of the language that is not carried out yet has a sentence of its own; none is taken silently."""
    for field in LATER:
        mistakes = Mistakes()
        read_document({"a.yaml": f"{field}: {{}}\ncontact: c\n"}, mistakes)
        assert mistakes.lines() == [f"a.yaml:1: `{field}` comes with a later version; {LATER[field]}, so the file is refused"]


WORDS = (
    "",
    "*",
    "<env>",
    "orders",
    "d",
    "read",
    "{}",
    "[]",
    "~",
    "yes",
    "1",
    "arn:aws:iam::111122223333:role/r",
    "<x>",
    "!a",
    "pk (S)",
)
FIELDS = (
    *TEAM_SECTIONS,
    *PLATFORM_SECTIONS,
    *RULE_FIELDS,
    *TEST_FIELDS,
    "exact",
    "prefix",
    "until",
    "reason",
    "mode",
    "max_limit",
    "actions",
    "tables",
    "name",
    "key",
    "indexes",
    "role",
    "allow",
    "deny",
    "environments",
    "teams",
    "account",
)
TREES = st.recursive(
    st.sampled_from(WORDS) | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from((*FIELDS, *WORDS)), inner, max_size=4),
    max_leaves=25,
)


@settings(deadline=None)
@given(text=st.text(), name=st.sampled_from(("a.yaml", "platform.yaml")))
@example(text="\ud800: x", name="a.yaml")
@example(text="[" * 5000, name="a.yaml")
@example(text="\x00", name="a.yaml")
@example(text="a: !<tag:x> b", name="a.yaml")
def test_no_text_breaks_the_loader(text: str, name: str) -> None:
    """Whatever stands in a file, the loader answers with policies or with mistakes."""
    mistakes = Mistakes()
    policies = read_policies({name: text}, "", "eu-west-1", mistakes)
    assert (policies is None) == bool(mistakes.errors)


@settings(deadline=None)
@given(team=TREES, platform=TREES)
def test_no_structure_breaks_the_loader(team: object, platform: object) -> None:
    """Known words in unknown order are mistakes with a place, never a crash."""
    mistakes = Mistakes()
    files = {"a.yaml": yaml.safe_dump(team), "platform.yaml": yaml.safe_dump(platform)}
    policies = read_policies(files, "orders", "eu-west-1", mistakes)
    assert (policies is None) == bool(mistakes.errors)
    assert all(place.file in files for place, _ in mistakes.errors)
