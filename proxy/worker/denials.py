"""Refusals that no retry mends: what is one, and as which exception it ends the task.

Within Airflow the plugin names AirflowFailException: it passes `except ClientError`, by which a sensor would go on poking, and
Airflow does not try the task again. Elsewhere nothing is changed, and boto3 raises as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ERRORS = frozenset({"AccessDeniedException", "UnrecognizedClientException", "MissingAuthenticationTokenException"})
# Sessions that are over, or sealed with a key that the gateway no longer has: a new one is asked for.
SESSION_OVER = frozenset({"session_invalid", "session_expired"})
# A gateway or a line that is full at the moment: the same call is tried again at once, with pauses.
BUSY = frozenset({"overloaded", "too_slow"})
# Reasons that may be gone a minute later: clocks, a key that the gateway has not fetched yet, a file about to be renewed, an
# iterator or page that a gateway with another key sealed, for a task that begins again gets one of its own.
PASSING = SESSION_OVER | BUSY | {"token_not_yet_valid", "unknown_key", "token_expired", "signature_expired", "foreign_iterator"}

_ends_with: Callable[[str], Exception] | None = None


def end_tasks_with(exception: Callable[[str], Exception] | None) -> None:
    """From now on a final refusal is raised as this; None: not at all."""
    global _ends_with
    _ends_with = exception


def reason_of(parsed: dict[str, Any]) -> str:
    """The gateway's reason in an answer as botocore parsed it, or ""."""
    return str(parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-ddb-proxy-reason", ""))


def is_final(error: str, reason: str) -> bool:
    """True for a refusal by the gateway (it gives a reason, AWS does not) that the same call will meet again."""
    return bool(reason) and error in ERRORS and reason not in PASSING


def is_off() -> bool:
    """True where a refusal ends as any error of boto3."""
    return _ends_with is None


def end_task(message: str) -> None:
    """Raise what ends the task, if it is to be ended."""
    if _ends_with is not None:
        raise _ends_with(message)
