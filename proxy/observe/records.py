"""One audit record as one line of JSON: which members it has, and what can never be in it.

Only named fields come in: never a token, a credential, a claim set, a key or an item value. What callers sent is cut where
it makes a line long, and escaped, so that no string can end a line or break it. Every record has the same members, always.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import orjson

from proxy.model import Ending
from proxy.refusal import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.model import Exchange, Operation, TableReference

CAP: Final = 250  # characters of a string in a long record; Airflow's longest DAG, task and run ids
CAPS: Final = {
    "message": 1000,
    "rule": 1000,
    "details": 1000,
    "role_arn": 2048,
    "touches": 400,
    "throttles": 400,
    "unprocessed": 400,
}
_LONG: Final = 1200  # bytes of a record that is looked at string by string
_TOKEN: Final = re.compile(rb"eyJ[A-Za-z0-9_-]{12,}(?:\.[A-Za-z0-9_-]*)*")  # a JWT that strayed into a field

# named here, for looking up a member of an enum is slow (Python 3.11)
_ALLOWED: Final = Reason.ALLOWED
_OBSERVED: Final = Reason.OBSERVED
_BROKEN: Final = Ending.BROKEN
_SERVED: Final = Ending.SERVED


def decision_line(exchange: Exchange, time: str, seq: int, worker: str) -> bytes:
    """What was decided, about whom and what, on what grounds. `time` is UTC in ISO 8601."""
    operation = exchange.operation
    reason = exchange.reason
    return _line(
        {
            "record": "decision",
            "time": time,
            "seq": seq,
            "worker": worker,
            "id": exchange.id,
            "peer": exchange.peer,
            **_who(exchange),
            "operation": exchange.operation_name or (operation.name if operation else ""),
            "touches": _touches(operation) if operation else [],
            "decision": "none" if reason is None else "allow" if reason is _ALLOWED or reason is _OBSERVED else "deny",
            "reason": reason,
            "would_deny": exchange.would_deny,
            "rule": exchange.rule,
            "role_arn": exchange.role_arn,
            "policy_digest": exchange.policy_digest,
            "invocation_id": exchange.invocation_id,
            "attempt": exchange.attempt,
            "request_bytes": exchange.request_bytes,
            "message": exchange.message,
        }
    )


def outcome_line(exchange: Exchange, time: str, seq: int, worker: str) -> bytes:
    """How it ended, joined by `id`; `sent` is `unknown` where AWS did not answer, so that nobody can say whether it did it."""
    ending = exchange.ending or _BROKEN
    summary = exchange.summary
    return _line(
        {
            "record": "outcome",
            "time": time,
            "seq": seq,
            "worker": worker,
            "id": exchange.id,
            "ending": ending,
            "status": exchange.status,
            "reason": exchange.reason,
            "sent": "no" if not exchange.sent else "yes" if ending is _SERVED or summary.error else "unknown",
            "error": summary.error,
            "aws_request_id": exchange.aws_request_id,
            "throttles": [(throttle.reason, throttle.table) for throttle in summary.throttles],
            "unprocessed": summary.unprocessed,
            "gateway_ms": round(exchange.gateway_seconds * 1000, 3),
            "upstream_ms": round(exchange.upstream_seconds * 1000, 3),
            "reply_bytes": exchange.reply_bytes,
        }
    )


def event_line(name: str, details: Mapping[str, str], time: str, seq: int, worker: str) -> bytes:
    """A change of the gateway itself."""
    return _line({"record": "event", "time": time, "seq": seq, "worker": worker, "event": name, "details": dict(details)})


def _who(exchange: Exchange) -> dict[str, Any]:
    """Who asked, how that is known, and what of it (`claimed`) nobody proved; the same members in every record."""
    identity = exchange.identity
    subject = exchange.subject if identity is None else identity.subject
    if identity is not None and subject is not None:
        return {
            "issuer": subject.issuer,
            "subject": subject.subject,
            "token_id": subject.token_id,
            "session": subject.session_id,
            "dag": identity.dag_id,
            "evidence": identity.evidence,
            "source": identity.source,
            "workload": identity.workload,
            "task_id": identity.task_id,
            "run_id": identity.run_id,
            "try_number": identity.try_number,
            "map_index": identity.map_index,
            "claimed": identity.claimed,
        }
    nobody: dict[str, Any] = dict.fromkeys(
        (
            "issuer",
            "subject",
            "token_id",
            "session",
            "dag",
            "evidence",
            "source",
            "workload",
            "task_id",
            "run_id",
            "try_number",
            "map_index",
        ),
        "",
    )
    nobody["claimed"] = ()
    if subject is not None:
        nobody.update(issuer=subject.issuer, subject=subject.subject, token_id=subject.token_id, session=subject.session_id)
    return nobody


def _line(fields: dict[str, Any]) -> bytes:
    """One record as JSON and a line feed. Lone surrogates are written out as text, a stray token as `(token)`.

    Strings are cut only in a line that is longer than any record of honest names: to look at each costs more than to write.
    """
    try:
        line = orjson.dumps(fields)
    except TypeError:
        line = b""
    if not line or len(line) > _LONG:
        tidy = {name: _tidy(value, CAPS.get(name, CAP)) for name, value in fields.items()}
        line = orjson.dumps(tidy)
    if b"J" in line and b"eyJ" in line:  # one letter is found five times faster
        line = _TOKEN.sub(b"(token)", line)
    return line + b"\n"  # a copy of the right size: to keep what `dumps` returns costs three times as much


def _tidy(value: Any, cap: int) -> Any:
    """The same value with strings cut, lone surrogates spelled out, and no integer that JSON readers would bend."""
    if isinstance(value, str):
        return str(value)[:cap].encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {name: _tidy(member, cap) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tidy(member, cap) for member in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "out of range"
    return value


def _touches(operation: Operation) -> list[tuple[str, str, str, int]]:
    """What an operation touches as (action, table, index, count), equal ones of a batch together."""
    touches = operation.touches
    if len(touches) == 1:
        action, table, index = touches[0][:3]
        return [(action, _table(table), index, 1)]
    counted = Counter((touch.action, touch.table, touch.index) for touch in touches)
    return [(action, _table(table), index, count) for (action, table, index), count in counted.items()]


def _table(table: TableReference) -> str:
    """The name of the caller's own table, the ARN of one that was named by ARN."""
    name, partition, region, account = table
    return f"arn:{partition}:dynamodb:{region}:{account}:table/{name}" if partition or region or account else name
