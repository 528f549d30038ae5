"""The kill switches: what a list stops, how it is read, and that half a list is none."""

from __future__ import annotations

import pytest

from proxy.identity.denials import KINDS, Denial, DenyList, NoDenials, denials_of, entry_of, written
from proxy.model import Subject
from proxy.refusal import Forbidden, Reason

SUBJECT = Subject("eks", "worker", {}, ("*",), 1e10, "jti-1", session_id="DDBPSESSION")


def stopped_by(denials: DenyList, dag_id: str = "orders_daily", team: str = "orders") -> Reason | None:
    """Why this list stops a request, None if it does not."""
    try:
        denials.check_subject(SUBJECT)
        denials.check_dag(dag_id, lambda _: (team,))
    except Forbidden as refusal:
        return refusal.reason if "deny list (INC-1); ask those who run the gateway" in refusal.message else None
    return None


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("dag", "orders_daily", Reason.DAG_STOPPED),
        ("dag", "orders_*", Reason.DAG_STOPPED),
        ("dag", "growth_*", None),
        ("dag", "Orders_daily", None),
        ("team", "orders", Reason.TEAM_STOPPED),
        ("team", "growth", None),
        ("team", "*", None),
        ("issuer", "eks", Reason.ISSUER_STOPPED),
        ("issuer", "okta", None),
        ("jti", "jti-1", Reason.TOKEN_STOPPED),
        ("jti", "DDBPSESSION", Reason.TOKEN_STOPPED),
        ("jti", "jti-2", None),
    ],
)
def test_an_entry_stops_what_it_names(kind: str, name: str, reason: Reason | None) -> None:
    """And nothing else."""
    assert stopped_by(DenyList([Denial(kind, name, "INC-1")])) is reason


def test_an_empty_list_stops_nothing() -> None:
    """Nor does a gateway without one."""
    assert not DenyList().stops_any
    assert NoDenials().current is NoDenials().current
    assert stopped_by(DenyList()) is None


def test_a_list_is_read_as_it_is_written() -> None:
    """Each kind, with who and why; the text is YAML that a person can edit."""
    denials = tuple(Denial(kind, f'a "b": #{kind}', "INC-4711: it loops", "ops@example") for kind in KINDS)
    assert denials_of(written(DenyList(denials)), "denied.yaml").denials == denials
    assert denials_of(written(DenyList()), "denied.yaml").denials == ()
    assert str(denials[0]) == 'dag a "b": #dag (INC-4711: it loops, by ops@example)'
    assert str(Denial("team", "orders")) == "team orders"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "denied.yaml: is empty; write `denied: []`"),
        ("denied:", "denied.yaml:1: `denied` must be a list"),
        ("other: []", "denied.yaml:1: a deny list has no `other`"),
        ("- {dag: a}", "denied.yaml:1: a deny list must be a mapping"),
        ("denied: [a]", "denied.yaml:1: an entry of `denied` must be a mapping"),
        ("denied: [{reason: x}]", "denied.yaml:1: an entry of `denied` names exactly one of dag, team, issuer, jti"),
        ("denied: [{dag: a, team: b}]", "names exactly one of"),
        ("denied: [{dags: a}]", "an entry of `denied` has no `dags`; did you mean `dag`?"),
        ("denied: [{dag: '!a'}]", "`dag` must be 1 to 250 printable characters, and not begin with `!`"),
        ("denied: [{jti: ''}]", "`jti` must be 1 to 250 printable characters"),
        ("denied: [{jti: 42}]", 'quote it: "42"'),
        ("denied: [{dag: [a]}]", "`dag` must be a string"),
        ("denied: [{dag: a}, {dag: a, reason: 'x\ty'}]", "`reason` must be 1 to 250 printable characters"),
        ("denied: [{dag: a]", "denied.yaml:1: "),
    ],
)
def test_half_a_list_is_none(text: str, says: str) -> None:
    """One mistake and nothing of it counts; what is wrong is told with its place."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is looked at below
        denials_of(text, "denied.yaml")
    assert says in str(caught.value)


def test_an_entry_that_is_asked_for() -> None:
    """Exactly one kind, and who asks is noted."""
    assert entry_of({"dag": "a", "reason": "x"}, "ops") == Denial("dag", "a", "x", "ops")
    for fields in ({}, {"reason": "x"}, {"dag": "a", "jti": "b"}, {"dag": "a", "to": "b"}, {"dag": "!a"}, {"jti": "a\nb"}):
        with pytest.raises(ValueError, match=r"exactly one of|printable"):
            entry_of(fields)
