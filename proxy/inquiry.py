"""One question about a decision, however it is asked: described in words, as a request, or by the id of a decision.

Asked by `explain` on the command line and by the admin API alike, so that both give the same answer.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.operation import read_operation
from proxy.policy.described import Misdescribed
from proxy.policy.explain import Explanation, explain
from proxy.policy.recorded import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proxy.identity.token import Issuer
    from proxy.model import Operation
    from proxy.policy.rules import Policies

MOST_BYTES = 256 << 20  # of the end of an audit file are searched for one decision
DECISION_ID = re.compile(r"[0-9a-f]{16}")
_TARGETS = {row.name: row.target for row in OPERATIONS}


class Admitted(NamedTuple):
    """Whose tokens may ask: an issuer, and globs of subjects."""

    issuer: Issuer
    subjects: tuple[str, ...]


class Inquiries(NamedTuple):
    """What is needed to answer: the policies in force, the audit where it is a file, who may ask (None: whoever can)."""

    policies: Callable[[], Policies]
    audit: Path | None
    admitted: Admitted | None
    issuers: frozenset[str] = frozenset()  # names of those in the settings


class Recollection(NamedTuple):
    """A recorded decision, and what the policies say of it now. `explanation` is None where no policy decided."""

    record: dict[str, Any]
    explanation: Explanation | None
    is_same_policy: bool

    def lines(self) -> list[str]:
        """For a person to read."""
        record = self.record
        digest = str(record.get("policy_digest", ""))[:12]
        now = "the ones asked now" if self.is_same_policy else "others than those asked now"
        by = f", by policies {digest} ({now})" if digest else ""  # none where no policy was asked
        lines = [
            f"recorded: {record.get('decision')}, {record.get('reason')}, at {record.get('time')}{by}",
            f"  {record.get('message') or record.get('rule')}",
        ]
        if self.explanation is None:
            return [*lines, "  it was not for a policy to decide, so there are no rules to tell of"]
        return [*lines, "", *self.explanation.lines()]

    def document(self) -> dict[str, Any]:
        """The same for a program."""
        explanation = self.explanation.document() if self.explanation else None
        return {"record": self.record, "is_same_policy": self.is_same_policy, "explanation": explanation}


def operation_of_request(operation: str, body: object) -> Operation:
    """The operation of a request body, by its name or its whole X-Amz-Target.

    Raises Misdescribed, and Unreadable as a request does.
    """
    target = operation if "." in operation else _TARGETS.get(operation, "")
    if not target:
        raise Misdescribed(f"there is no operation `{operation}`; write DynamoDB's name for it, such as PutItem")
    return read_operation(
        target.encode("utf-8", "replace"), json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    )


def recall(audit: Path, decision_id: str, policies: Policies) -> Recollection | None:
    """A decision of the audit, explained; None where the end of the file has no such decision. Raises OSError."""
    for fields in _decisions(audit, decision_id.encode()):
        if fields.get("id") == decision_id:
            record = record_of(fields)
            is_same = fields.get("policy_digest") == policies.digest
            found = explain(policies, record.identity, record.operation, record.time) if record else None
            return Recollection(fields, found, is_same)
    return None


def _decisions(audit: Path, decision_id: bytes) -> Iterator[dict[str, Any]]:
    with audit.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - MOST_BYTES))
        for line in file:
            if decision_id in line and b'"record":"decision"' in line:
                try:
                    fields = json.loads(line)
                except ValueError:  # the first line may be the end of one, the last the start of one
                    continue
                if isinstance(fields, dict):
                    yield fields


def moment_of(text: str) -> float:
    """Seconds since the epoch: now for an empty text, else ISO 8601, in UTC where it names no zone. Raises Misdescribed."""
    if not text:
        return time.time()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Misdescribed(f"`{text}` is no moment; write it as 2026-11-30T18:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
