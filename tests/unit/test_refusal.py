"""The closed list of reasons and what each answers."""

from __future__ import annotations

import pytest

from proxy import refusal
from proxy.refusal import ANSWERS, Reason, Refusal

KINDS = [
    refusal.Malformed,
    refusal.Unauthenticated,
    refusal.Unreadable,
    refusal.Forbidden,
    refusal.Throttled,
    refusal.Unavailable,
    refusal.Broken,
]


def test_every_reason_that_refuses_has_an_answer() -> None:
    """A refusal without an answer could not be sent; two reasons let a request through."""
    assert set(ANSWERS) == set(Reason) - {Reason.ALLOWED, Reason.OBSERVED}


@pytest.mark.parametrize("reason", ANSWERS)
def test_an_answer_is_one_that_dynamodb_gives(reason: Reason) -> None:
    """Statuses and error names are DynamoDB's own, so that every SDK treats a refusal as it treats DynamoDB (decision 7)."""
    answer = ANSWERS[reason]
    assert answer.status in (400, 413, 500, 503)
    namespace, _, name = answer.error.partition("#")
    assert namespace.startswith(("com.amazon.coral.", "com.amazonaws.dynamodb.v20120810"))
    assert name.endswith(("Exception", "InternalServerError"))


@pytest.mark.parametrize("reason", ANSWERS)
def test_only_what_may_pass_by_itself_is_retried(reason: Reason) -> None:
    """An SDK retries throttles and 5xx and nothing else: a denial ends the task at once."""
    answer = ANSWERS[reason]
    is_retried = answer.status >= 500 or "Throttling" in answer.error
    passes_by_itself = {
        Reason.OVERLOADED,
        Reason.KEYS_UNAVAILABLE,
        Reason.CLUSTER_UNAVAILABLE,
        Reason.CREDENTIALS_UNAVAILABLE,
        Reason.CREDENTIALS_REFUSED,
        Reason.UPSTREAM_UNREACHABLE,
        Reason.UPSTREAM_BROKEN,
        Reason.AUDIT_UNAVAILABLE,
        Reason.INTERNAL_ERROR,
    }
    assert is_retried is (reason in passes_by_itself)


@pytest.mark.parametrize("reason", ANSWERS)
def test_a_meaning_is_one_line_in_house_style(reason: Reason) -> None:
    """The README prints it: lower case, no final period, no pipe that would break the table."""
    meaning = ANSWERS[reason].meaning
    assert meaning
    assert not meaning.endswith(".")
    assert "\n" not in meaning
    assert "|" not in meaning


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_carries_reason_message_rule_and_answer(kind: type[Refusal]) -> None:
    """Whoever catches a refusal can answer, record and explain it without knowing its kind."""
    error = kind(Reason.NO_RULE, "no rule allows it", rule="orders.yaml:3")
    assert (error.reason, error.message, error.rule, str(error)) == (
        Reason.NO_RULE,
        "no rule allows it",
        "orders.yaml:3",
        "no rule allows it",
    )
    assert error.answer is ANSWERS[Reason.NO_RULE]
    again = error.again()
    assert again is not error
    assert (type(again), again.reason, again.message, again.rule) == (kind, error.reason, error.message, error.rule)
    assert kind(Reason.NO_RULE, "x").rule == ""


def test_one_spelling_of_a_reason() -> None:
    """The value is the name in lower case, so that log, label, header and test cannot differ."""
    assert all(reason.value == reason.name.lower() for reason in Reason)


def test_abandoned_is_no_refusal() -> None:
    """Nobody is there to be answered."""
    assert not issubclass(refusal.Abandoned, Refusal)
