"""The nouns. Plain values without behaviour that needs I/O; every folder speaks in these and in nothing else.

All are immutable but `Exchange`, the one running record of a request that audit and metrics read at its end.
Times are seconds since the epoch, durations seconds, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.refusal import Reason

# ---------------------------------------------------------------------------------------------- who


@dataclass(frozen=True, slots=True)
class Subject:
    """What a token proves, and nothing that the request merely says.

    `claims` holds the verified context under the gateway's own names (`dag_id`, `task_id`, `run_id`, `try_number`,
    `map_index`), already mapped from the issuer's claim names; absent ones are absent.
    """

    issuer: str  # the issuer's name in the settings, not its URL
    subject: str  # the token's `sub`
    claims: Mapping[str, str]
    may_assert: tuple[str, ...]  # DAG globs, `!glob` takes back; from the issuer's settings
    expires_at: float
    token_id: str  # `jti` where the token has one, else the start of the token's SHA-256
    pod: Mapping[str, str] = field(default_factory=dict)  # context by the annotations of the token's pod, where it is asked for
    # what a session adds that the gateway minted from such a token; it can only narrow what the token proves
    session_id: str = ""  # the access key id; "" for a token
    assumed_from: tuple[str, ...] = ()  # ids of the sessions that it was assumed from, the first login's first
    pinned_dag: str = ""  # the only DAG of the session, or "": then each request says
    role_arn: str = ""  # the only role of the session's DAGs, or "": any


class Evidence(StrEnum):
    """How the gateway came to believe the DAG id."""

    VERIFIED = "verified"  # a signed claim, a subject with one DAG alone, or an annotation that no DAG could have set
    CLAIMED = "claimed"  # the request said so, and the workload may say so


class Claimed(NamedTuple):
    """What the request itself says about its origin. Never proof; empty string means not said."""

    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    try_number: str = ""
    map_index: str = ""
    dag_run_key: str = ""  # `DagRunKey` of the amazon provider's User-Agent: uuid5 of the DAG id, the same for every run


class Proof(Protocol):
    """That a token was verified."""

    @property
    def subject(self) -> Subject:
        """What the token proves."""

    def holds(self, now: float) -> bool:
        """Whether it may still be believed: neither token nor key has ended, nor is it time to look again."""
        ...


class Session(Proof, Protocol):
    """That somebody logged in, whose requests are signed."""

    @property
    def secret(self) -> str:
        """What they are signed with."""


@dataclass(frozen=True, slots=True)
class Known:
    """Who asked last on a connection, and by what headers: a task's requests say the same of their origin.

    It saves reading them again, and no more: whether the proof holds, a session's signature, kill switches and policies are
    looked at for each request.
    """

    headers: dict[bytes, bytes]
    who: tuple[bytes, ...]  # names of those that say who asks
    token: bytes
    proof: Proof
    session: Session | None  # the proof again, where it signs its requests
    claimed: Claimed


@dataclass(frozen=True, slots=True)
class Identity:
    """Subject + DAG + claims + evidence, bound for one request."""

    subject: Subject
    dag_id: str
    evidence: Evidence
    source: str  # `claim`, `session`, `subject`, `annotation`, `header` or `user_agent`
    workload: str  # name of the workload rule that let the subject speak, or ""
    task_id: str = ""
    run_id: str = ""
    try_number: str = ""
    map_index: str = ""
    claimed: tuple[str, ...] = ()  # which of the above nobody proved: names of fields


@dataclass(frozen=True, slots=True)
class Workload:
    """Which verified subjects may speak for which DAGs (platform.yaml, `workloads`)."""

    name: str
    issuer: str  # name of an issuer in the settings
    subject: str  # glob over `sub`
    dags: tuple[str, ...]  # DAG globs: the workload's own `dags` and those of its teams
    dag_from: tuple[str, ...]  # sources in the order in which they are asked, of `policy.vocabulary.SOURCES`
    where: str  # file:line
    may_be_unmapped: bool = True  # False (`unknown_dag: deny`): `unmapped` is not for its DAGs
    annotations: Evidence = Evidence.CLAIMED  # verified only where nobody who writes DAGs can set them on a pod


# --------------------------------------------------------------------------------------------- what


class TableReference(NamedTuple):
    """A table as a request names it. Empty partition, region and account mean, each for itself: the caller's own."""

    name: str
    partition: str = ""
    region: str = ""
    account: str = ""

    def is_at(self, home: tuple[str, str, str]) -> bool:
        """True if nothing that it says differs from `home`: partition, Region and account."""
        return all(not said or said == own for said, own in zip(self[1:], home, strict=True))


class Pin(NamedTuple):
    """What a request proves of one attribute of every item that it reads or changes: it has one of `values`.

    `values` are typed AttributeValues (`{"S": "orders#1"}`). With `is_prefix` the attribute starts with the one string or
    binary value.
    """

    values: tuple[dict[str, Any], ...]
    is_prefix: bool = False


class Facts(Protocol):
    """What a request proves about one touch, found out only when a policy asks. Reading one may raise Unreadable.

    Sound, never complete: what cannot be proven is absent.
    """

    def pin(self, name: str) -> Pin | None:
        """What is proven of a top-level attribute, if anything is."""

    @property
    def named(self) -> frozenset[str]:
        """Every top-level attribute named anywhere: key, item, projection, filter, condition, update targets and sources."""

    @property
    def whole(self) -> str:
        """How attributes that are not named come back (`no projection`, `ReturnValues ALL_OLD`, ...), or "" if they do not."""

    @property
    def replaces(self) -> bool:
        """True if attributes that are not named are lost: a put or a delete."""

    @property
    def absent(self) -> frozenset[str]:
        """Attributes that the condition proves missing: where the partition key is one of them, a put meets no item."""

    @property
    def limit(self) -> int | None:
        """`Limit`, or None."""

    @property
    def total_segments(self) -> int:
        """`TotalSegments`, or 1."""

    @property
    def has_condition(self) -> bool:
        """True if a write is conditional."""

    @property
    def has_client_token(self) -> bool:
        """True if a ClientRequestToken makes the whole request idempotent."""


class Touch(NamedTuple):
    """One thing that an operation does to one table; a batch or transaction has one for each member."""

    action: str  # the item-level IAM action: GetItem, PutItem, ConditionCheckItem, ...
    table: TableReference
    index: str = ""  # type: ignore[assignment]  # hides tuple.index, which nobody means on a Touch
    position: int = 0  # place of the member in the request, from 1; 0 for operations without members
    facts: Facts | None = None  # None: the operation has no items (control plane, streams)


NAMES = itemgetter(slice(3))  # of a touch: action, table and index


class Operation(NamedTuple):
    """One DynamoDB request, understood. `body` is what was judged, written again: the only bytes that may be forwarded."""

    name: str
    target: str  # X-Amz-Target as it is forwarded
    is_write: bool
    touches: tuple[Touch, ...]
    body: bytes
    plane: str = "dynamodb"  # which endpoint of the Region serves it: `dynamodb`, `streams` or `search`
    stream: str = ""  # ARN of the stream whose shard iterators the reply holds; they leave sealed (`dynamodb.seals`)

    @property
    def table(self) -> str:
        """The one table that the operation touches, or `several` (used as a label, bounded by the policy's names)."""
        names = {touch.table.name for touch in self.touches}
        return names.pop() if len(names) == 1 else "several"

    def without_contents(self) -> Operation:
        """What is on record of it: not its body, nor the members' places and facts, which hold all that was parsed."""
        touches: list[Touch] = []
        for names, run in groupby(self.touches, NAMES):
            touches += [Touch(*names)] * len(tuple(run))
        return self._replace(touches=tuple(touches), body=b"")


# -------------------------------------------------------------------------------------- may they, as whom


class Principal(NamedTuple):
    """As whom a request is signed: exactly what enters AssumeRole, hence the key of the credentials cache.

    A tuple, for a dataclass works its hash out in Python.
    """

    role_arn: str
    session_name: str  # 2 to 64 characters of [\w+=,.@-], distinct for distinct DAGs
    region: str
    dag_id: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Short-lived AWS credentials. The repr shows the access key id only."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: float


# ------------------------------------------------------------------------------------------ on the wire

Headers = tuple[tuple[bytes, bytes], ...]


class RequestHead(NamedTuple):
    """The head of one request, past the gate. Header names are lower case; each appears once."""

    method: bytes
    path: bytes
    headers: dict[bytes, bytes]
    peer: str  # socket address of the caller, never a header


class Reply(NamedTuple):
    """An answer: status, headers in order, body. `content-length` and connection headers are the edge's to add."""

    status: int
    headers: Headers
    body: bytes


class Throttle(NamedTuple):
    """One throttle that DynamoDB reported.

    `reason` is its ThrottlingReason, else the error name; `table` is as DynamoDB named it, or "".
    """

    reason: str
    table: str


class ReplySummary(NamedTuple):
    """What a reply says about how it went: `error` is the AWS error name or "", `unprocessed` counts items by table."""

    error: str = ""
    throttles: tuple[Throttle, ...] = ()
    unprocessed: tuple[tuple[str, int], ...] = ()


# -------------------------------------------------------------------------------------- what happened


class Ending(StrEnum):
    """How a request ended; each request has exactly one."""

    SERVED = "served"  # AWS answered and the answer was passed on, its errors included
    REFUSED = "refused"  # we said no; nothing was sent
    BROKEN = "broken"  # we tried and failed: not sent, or sent with the outcome unknown
    ABANDONED = "abandoned"  # the caller went away before anything was sent


@dataclass(slots=True)
class Exchange:
    """The running record of one request, from its head to its ending."""

    id: str  # the decision id
    started: float  # wall clock
    peer: str = ""
    # monotonic seconds spent
    gateway_seconds: float = 0.0
    upstream_seconds: float = 0.0
    identity: Identity | None = None
    subject: Subject | None = None
    operation: Operation | None = None
    operation_name: str = ""  # as asked for, bounded to names that the gateway knows
    reason: Reason | None = None
    would_deny: Reason | None = None  # of a request that was only observed: why it would have been refused
    message: str = ""
    rule: str = ""  # file:line of the rule that decided
    role_arn: str = ""
    policy_digest: str = ""
    invocation_id: str = ""  # `amz-sdk-invocation-id`: one per SDK call, shared by its attempts
    attempt: int = 1  # from `amz-sdk-request`
    status: int = 0
    aws_request_id: str = ""
    summary: ReplySummary = ReplySummary()  # noqa: RUF009 - immutable, so it may be shared
    request_bytes: int = 0
    reply_bytes: int = 0
    sent: bool = False  # a byte may have gone upstream
    decided: bool = False  # the decision record is in the sink, or may wait for it
    recorded: bool = False  # the outcome record is written
    ending: Ending | None = None

    def note_sent(self) -> None:
        """The first byte may go upstream now."""
        self.sent = True
