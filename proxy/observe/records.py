"""One audit record as one line of JSON: which members it has, and what can never be in it.

Only named fields come in: never a token, a credential, a claim set, a key or an item value. What callers sent is cut where
it makes a line long, and escaped, so that no string can end a line or break it. Every record has the same members, always:
first those of this one request, then those that it shares with others and that are written once for all of them.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import jiter
import orjson

from proxy.model import Ending, Exchange, ReplySummary
from proxy.native import plain_line
from proxy.refusal import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.model import Identity, Operation, TableReference

    Touched = tuple[tuple[tuple[str, TableReference, str], int], ...]  # action, table, index; how often

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
KINDS: Final = ("decision", "outcome", "event")
MOST_REMEMBERED: Final = 1024
_LONG: Final = 1200  # bytes of a record that is looked at string by string
_TOKEN: Final = re.compile(rb"eyJ[A-Za-z0-9_-]{12,}(?:\.[A-Za-z0-9_-]*)*")  # a JWT that strayed into a field

_LETTER: Final = ord("J")  # looked for first: one byte is found ten times faster than three

# named here, for looking up a member of an enum is slow (Python 3.11)
_ALLOWED: Final = Reason.ALLOWED
_OBSERVED: Final = Reason.OBSERVED
_BROKEN: Final = Ending.BROKEN
_SERVED: Final = Ending.SERVED
_NOTHING_SAID: Final = ReplySummary()


# What each record has of its own, in this order.
_OF_A_DECISION: Final = ("record", "time", "seq", "id", "peer", "invocation_id", "attempt", "request_bytes")
_OF_AN_OUTCOME: Final = ("record", "time", "seq", "id", "aws_request_id", "gateway_ms", "upstream_ms", "reply_bytes")


def _pieces(names: tuple[str, ...]) -> tuple[bytes, ...]:
    """What stands before each value in a line of JSON."""
    return tuple(b'%b"%b":' % (b"," if place else b"{", name.encode()) for place, name in enumerate(names))


class Records:
    """Makes the records of one worker, each a line. `time` is UTC in ISO 8601.

    A task's requests differ in little: what an allowed one has in common with those before it is remembered as it was written,
    and so is the course of a request that AWS served without a word.
    """

    _decision_pieces = _pieces(_OF_A_DECISION)
    _outcome_pieces = _pieces(_OF_AN_OUTCOME)

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._shared: dict[tuple[object, ...], tuple[Identity, bytes]] = {}  # by the identity's `id`: it is kept alive here
        self._served_well = _rest(_course(Exchange("", 0.0, reason=_ALLOWED, status=200, sent=True, ending=_SERVED), worker))

    def decision(self, exchange: Exchange, time: str, seq: int) -> bytes:
        """What was decided, about whom and what, on what grounds."""
        own = (
            "decision",
            time,
            seq,
            exchange.id,
            exchange.peer,
            exchange.invocation_id,
            exchange.attempt,
            exchange.request_bytes,
        )
        if exchange.reason is _ALLOWED and not exchange.message and exchange.would_deny is None:
            rest = self._shared_grounds(exchange)
            if rest:
                return plain_line(self._decision_pieces, own, rest, _LONG) or _joined(_OF_A_DECISION, own, rest)
        return _line(dict(zip(_OF_A_DECISION, own, strict=True)) | _grounds(exchange, self._worker))

    def outcome(self, exchange: Exchange, time: str, seq: int) -> bytes:
        """How it ended, joined by `id`; `sent` is `unknown` where AWS did not answer: nobody can say whether it did it."""
        own = (
            "outcome",
            time,
            seq,
            exchange.id,
            exchange.aws_request_id,
            round(exchange.gateway_seconds * 1_000_000) / 1000,
            round(exchange.upstream_seconds * 1_000_000) / 1000,
            exchange.reply_bytes,
        )
        is_served = exchange.ending is _SERVED and exchange.status == 200 and exchange.sent
        if is_served and exchange.reason is _ALLOWED and exchange.summary == _NOTHING_SAID and self._served_well:
            rest = self._served_well
            return plain_line(self._outcome_pieces, own, rest, _LONG) or _joined(_OF_AN_OUTCOME, own, rest)
        return _line(dict(zip(_OF_AN_OUTCOME, own, strict=True)) | _course(exchange, self._worker))

    def event(self, name: str, details: Mapping[str, str], time: str, seq: int) -> bytes:
        """A change of the gateway itself."""
        own = {"record": "event", "time": time, "seq": seq, "worker": self._worker, "event": name, "details": dict(details)}
        return _line(own)

    def _shared_grounds(self, exchange: Exchange) -> bytes:
        """The grounds of an allowed request as the rest of a line, or nothing where they are not to be shared.

        The key is all that they are made of, and takes no more room than they do.
        """
        identity, operation = exchange.identity, exchange.operation
        if identity is None or operation is None:
            return b""
        touches = operation.touches
        touched = touches[0][:3] if len(touches) == 1 else _touched(operation)
        name = exchange.operation_name or operation.name
        key = (id(identity), name, touched, exchange.rule, exchange.role_arn, exchange.policy_digest)
        found = self._shared.get(key)
        return found[1] if found is not None else self._keep(key, identity, _rest(_grounds(exchange, self._worker)))

    def _keep(self, key: tuple[object, ...], identity: Identity, rest: bytes) -> bytes:
        """Remember the rest of a line, unless it is to be tidied."""
        if rest:
            if len(self._shared) >= MOST_REMEMBERED:
                del self._shared[next(iter(self._shared))]
            self._shared[key] = (identity, rest)
        return rest


# ------------------------------------------------------------------------------------- what requests have in common


def _grounds(exchange: Exchange, worker: str) -> dict[str, Any]:
    """Who may do what, and why."""
    operation = exchange.operation
    touched = _touched(operation) if operation else ()
    reason = exchange.reason
    return {
        "worker": worker,
        **_who(exchange),
        "operation": exchange.operation_name or (operation.name if operation else ""),
        "touches": [(action, _table(table), index, count) for (action, table, index), count in touched],
        "decision": "none" if reason is None else "allow" if reason is _ALLOWED or reason is _OBSERVED else "deny",
        "reason": reason,
        "would_deny": exchange.would_deny,
        "rule": exchange.rule,
        "role_arn": exchange.role_arn,
        "policy_digest": exchange.policy_digest,
        "message": exchange.message,
    }


def _course(exchange: Exchange, worker: str) -> dict[str, Any]:
    """What came of it."""
    ending = exchange.ending or _BROKEN
    summary = exchange.summary
    return {
        "worker": worker,
        "ending": ending,
        "status": exchange.status,
        "reason": exchange.reason,
        "sent": "no" if not exchange.sent else "yes" if ending is _SERVED or summary.error else "unknown",
        "error": summary.error,
        "throttles": [(throttle.reason, throttle.table) for throttle in summary.throttles],
        "unprocessed": summary.unprocessed,
    }


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


def _touched(operation: Operation) -> Touched:
    """What an operation touches, equal ones of a batch together."""
    return tuple(Counter([touch[:3] for touch in operation.touches]).items())


def _table(table: TableReference) -> str:
    """The name of the caller's own table, the ARN of one that was named by ARN."""
    name, partition, region, account = table
    return f"arn:{partition}:dynamodb:{region}:{account}:table/{name}" if partition or region or account else name


# ------------------------------------------------------------------------------------------------ as one line


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
    if _LETTER in line and b"eyJ" in line:
        line = _TOKEN.sub(b"(token)", line)
    return line + b"\n"  # a copy of the right size: to keep what `dumps` returns costs three times as much


def _joined(names: tuple[str, ...], values: tuple[Any, ...], rest: bytes) -> bytes:
    """Own members and the rest. A token ends where a member does: none hides where the two meet."""
    own = dict(zip(names, values, strict=True))
    text = _untouched(own, _LONG - len(rest))
    return text[:-1] + rest if text else _line(own | jiter.from_json(b"{" + rest[1:]))


def _rest(fields: dict[str, Any]) -> bytes:
    """These members as the end of a line, or nothing where something of them is to be tidied."""
    text = _untouched(fields, _LONG)
    return b",%b\n" % text[1:] if text else b""


def _untouched(fields: dict[str, Any], room: int) -> bytes:
    """Members as JSON, or nothing if there is no room for them or `_line` would change something in them."""
    try:
        text = orjson.dumps(fields)
    except TypeError:
        return b""
    return b"" if len(text) > room or (_LETTER in text and b"eyJ" in text) else text


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
