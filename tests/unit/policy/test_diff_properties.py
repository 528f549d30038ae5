"""What `diff` may never do: miss a decision that changes, or claim of recorded traffic what is not so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.model import Evidence, Identity, Operation, Pin, Subject, TableReference, Touch
from proxy.policy.check import check_policies
from proxy.policy.diff import diff_policies, state_of
from proxy.policy.recorded import UNDETERMINED, _told_by, judge, read_records
from proxy.policy.trial import StatedFacts

if TYPE_CHECKING:
    from proxy.policy.rules import Policies

ALLOW = (
    "{actions: [GetItem], tables: [t]}",
    "{actions: [read], tables: [t, u], keys: {prefix: 'a'}}",
    "{actions: [read, Scan], tables: [t], attributes: [pk, v]}",
    "{actions: [write], tables: [u], keys: {exact: ['a1', 'b1']}, tasks: ['load_*']}",
    "{actions: [GetItem], tables: [t, u], tasks: [load_1]}",
    "{actions: [Scan, PutItem], tables: [t]}",
)
DENY = (
    "{actions: ['*'], tables: [u]}",
    "{actions: [read], tables: [t], attributes: [ssn]}",
    "{actions: [read, write], tables: [t, u], keys: {prefix: 'b'}}",
    "{actions: [GetItem], tables: [t], tasks: [load_2]}",
)
REQUIRE = (
    "{actions: [Scan], tables: ['*'], max_limit: 5}",
    "{actions: [write], tables: ['*'], condition: true, tasks: [load_1]}",
)


def files(allow: list[str], deny: list[str], require: list[str]) -> dict[str, str]:
    """A policy of one DAG."""

    def listed(rules: list[str]) -> str:
        return "".join(f"      - {rule}\n" for rule in rules)

    text = (
        'tables: {t: {name: table-t, key: "pk (S)"}, u: {name: table-u, key: "pk (S)"}}\n'
        "dags:\n  d:\n    role: arn:aws:iam::111122223333:role/r\n"
        + (f"    allow:\n{listed(allow)}" if allow else "")
        + (f"    deny:\n{listed(deny)}" if deny else "")
    )
    platform = "contact: x\n" + ("require:\n" + "".join(f"  - {rule}\n" for rule in require) if require else "")
    return {"a.yaml": text, "platform.yaml": platform}


def some(rules: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    """Some of these, each once."""
    return st.lists(st.sampled_from(rules), unique=True, max_size=4)


POLICIES = st.builds(files, some(ALLOW), some(DENY), some(REQUIRE))
FACTS = st.builds(
    StatedFacts,
    pins=st.sampled_from([{}, *({"pk": Pin(({"S": text},))} for text in ("a1", "b1", "a2", "zz"))]),
    named=st.sampled_from([frozenset(), frozenset({"pk"}), frozenset({"pk", "v"}), frozenset({"ssn"}), frozenset({"w"})]),
    whole=st.sampled_from(["", "no projection"]),
    replaces=st.booleans(),
    absent=st.sampled_from([frozenset(), frozenset({"pk"})]),
    limit=st.sampled_from([None, 1, 6]),
    total_segments=st.just(1),
    has_condition=st.booleans(),
    has_client_token=st.booleans(),
)
TOUCHES = st.builds(
    Touch,
    st.sampled_from(["GetItem", "Query", "Scan", "PutItem", "UpdateItem"]),
    st.sampled_from([TableReference(name) for name in ("table-t", "table-u", "table-x")]),
    st.just(""),
    st.just(0),
    FACTS,
)
TASKS = st.sampled_from(["", "load_1", "load_2", "other"])


def loaded(texts: dict[str, str]) -> Policies:
    """The one snapshot."""
    return check_policies(texts).snapshots[0]


def request(touches: list[Touch], task: str) -> tuple[Identity, Operation]:
    """Who asks and what."""
    identity = Identity(Subject("i", "s", {}, ("*",), 0.0, ""), "d", Evidence.VERIFIED, "claim", "", task_id=task)
    return identity, Operation("Op", "", False, tuple(touches), b"")


@settings(max_examples=300, deadline=None)
@given(old=POLICIES, new=POLICIES, touch=TOUCHES, task=TASKS)
def test_no_decision_changes_unseen(old: dict[str, str], new: dict[str, str], touch: Touch, task: str) -> None:
    """If any request is decided otherwise, a change is told for its action and table, in that direction."""
    before, after = loaded(old), loaded(new)
    identity, operation = request([touch], task)
    first, second = (state_of(policies.decide(identity, operation, 0.0)) for policies in (before, after))
    if first != second:
        told = diff_policies([before], [after], 0.0).changes
        assert any(
            touch.action in change.actions
            and change.table == touch.table.name
            and (change.before, change.after) == (first, second)
            for change in told
        ), (first, second, told)


@settings(max_examples=300, deadline=None)
@given(old=POLICIES, new=POLICIES, touches=st.lists(TOUCHES, min_size=1, max_size=3), task=TASKS)
def test_a_record_claims_nothing_that_is_not_so(
    old: dict[str, str], new: dict[str, str], touches: list[Touch], task: str
) -> None:
    """Judged from its record, a request is decided as it is itself, or `undetermined`; by its own policies never otherwise."""
    before, after = loaded(old), loaded(new)
    identity, operation = request(touches, task)
    decision = before.decide(identity, operation, 0.0)
    (record,) = read_records([_line(decision, identity, operation, before)])
    known = _told_by(record, before)
    assert judge(record, before, known) in (state_of(decision), UNDETERMINED)
    assert judge(record, after, known) in (state_of(after.decide(identity, operation, 0.0)), UNDETERMINED)


def _line(decision: Any, identity: Identity, operation: Operation, policies: Policies) -> str:
    counted: dict[tuple[str, str, str], int] = {}
    for touch in operation.touches:
        key = (touch.action, touch.table.name, touch.index)
        counted[key] = counted.get(key, 0) + 1
    fields = {
        "record": "decision",
        "time": "1970-01-01T00:00:00Z",
        "id": "0" * 16,
        "issuer": "i",
        "subject": "s",
        "dag": "d",
        "evidence": "verified",
        "task_id": identity.task_id,
        "operation": operation.name,
        "touches": [(*key, count) for key, count in counted.items()],
        "reason": decision.reason,
        "would_deny": decision.would_deny,
        "rule": decision.rule,
        "policy_digest": policies.digest,
    }
    return json.dumps(fields)
