"""From target and body to an `Operation`: strict JSON, members judged, one `Touch` for each thing that is done to a table.

What leaves is written from the object that was judged, so no difference between our parser and DynamoDB's can matter. Member
order is kept; numbers of items are strings in this protocol, so nothing is lost.
Everything else ends as `Unreadable`, with a sentence that names members and tables but no attribute, key or value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import jiter
import orjson

from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.members import INPUTS
from proxy.dynamodb.names import table_in
from proxy.dynamodb.seals import is_page
from proxy.dynamodb.touches import TOUCHES
from proxy.dynamodb.values import Misfit
from proxy.model import Operation, Touch
from proxy.native import IS_COMPILED, each_once, plainly_fits
from proxy.refusal import Reason, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from proxy.dynamodb.seals import Seals
    from proxy.dynamodb.shapes import Plan

MAX_MEMBERS = 60_000  # about 30 ms of parsing and judging; a body within the size limit could otherwise hold the loop for seconds
MAX_BACKSLASHES = 2_000_000  # likewise: 16 MiB of `\\n` would be read for 25 ms and written for 50
_START = "ExclusiveStartKey"
_SHOWABLE = re.compile(rb"[A-Za-z0-9_.]{1,80}")


def operation_name(target: bytes) -> str:
    """The operation's name if the gateway has one for it, else `unknown`: a label of bounded cardinality."""
    served = _SERVED.get(target)
    return served.name if served else "unknown"


def read_operation(
    target: bytes,
    body: bytes,
    max_members: int = MAX_MEMBERS,
    seals: Seals | None = None,
    dag_id: str = "",
) -> Operation:
    """Understand one request. `target` is the whole value of X-Amz-Target, `body` the whole body.

    `seals` open what was sealed for the DAG that is asking; the request is forwarded with what was in it. Without them, nothing
    sealed is served. Raises `Unreadable` (UNKNOWN_OPERATION, UNSUPPORTED_OPERATION, UNREADABLE_BODY), and Forbidden
    (FOREIGN_ITERATOR) for what was sealed for another.
    """
    served = _SERVED.get(target) or _unknown(target)
    if len(body) > 2 * max_members or len(body) > 2 * MAX_BACKSLASHES:
        for _ in _counting(body, max_members):
            pass
    request = _counted(body)
    if request is None:
        request = _parsed(body)
    if not plainly_fits(served.plan, request):
        _judge(served, request)
    return _understood(served, request, seals, dag_id)


def read_in_steps(target: bytes, body: bytes, max_members: int, seals: Seals, dag_id: str) -> Generator[None, None, Operation]:
    """As `read_operation`, with a pause before each piece of work that takes long where the body is large."""
    served = _SERVED.get(target) or _unknown(target)
    yield
    yield from _counting(body, max_members)
    yield
    request = _counted(body)
    if request is None:
        yield
        request = _parsed(body)
    yield
    if not plainly_fits(served.plan, request):
        _judge(served, request)
    yield
    return _understood(served, request, seals, dag_id)


def _unknown(target: bytes) -> NoReturn:
    shown = f"`{target.decode()}`" if _SHOWABLE.fullmatch(target) else "the value of `X-Amz-Target`"
    raise Unreadable(
        Reason.UNKNOWN_OPERATION, f"{shown} names no known operation; write `DynamoDB_20120810.` and its name, in exact case"
    )


def _counting(body: bytes, max_members: int) -> Generator[None, None, None]:
    """Colons and commas bound the members, those inside of strings included; each takes two bytes. So do escapes.

    To count one mark in 16 MiB takes 4 to 25 ms, by machine: a pause between.
    """
    if len(body) > 2 * max_members:
        colons = body.count(b":")
        yield
        if colons + body.count(b",") > max_members:
            raise _too_many(f"{max_members} colons and commas, the gateway's bound on members")
    if len(body) > 2 * MAX_BACKSLASHES:
        yield
        if body.count(b"\\") > MAX_BACKSLASHES:
            raise _too_many(f"{MAX_BACKSLASHES} backslashes")


def _too_many(what: str) -> Unreadable:
    return Unreadable(Reason.UNREADABLE_BODY, f"the body has more than {what}; send fewer items at once")


def _counted(body: bytes) -> Any:
    """`_parsed`, where it is plain that no member comes twice: to count is cheaper than to keep names apart.

    None (and for `null`): it must look itself.
    """
    if not IS_COMPILED:
        return None
    try:
        value = jiter.from_json(body, allow_inf_nan=False, cache_mode="keys")
    except ValueError:
        return None
    return value if each_once(body, value) else None


def _parsed(body: bytes) -> Any:
    """The JSON value of the body, strictly."""
    try:
        return jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError as error:
        place = str(error).rpartition(" at ")[2]  # the rest could quote the body
        place = f" ({place})" if _PLACE.fullmatch(place) else ""
    raise Unreadable(
        Reason.UNREADABLE_BODY,
        f"the body is not strict JSON{place}: UTF-8 without byte order mark, each member once, no NaN, at most 200 levels",
    )


_PLACE = re.compile(r"line [0-9]+ column [0-9]+")


def _judge(served: _Served, request: Any) -> None:
    try:
        served.judge(request)
    except Misfit as misfit:
        raise _unfit(served, misfit) from None


def _understood(served: _Served, request: Any, seals: Seals | None, dag_id: str) -> Operation:
    """What a judged request does, and the request written again."""
    stream = ""
    try:
        if served.name == "GetRecords":
            stream = _open_iterator(request, seals, dag_id)
            touches: tuple[Touch, ...] = (Touch("GetRecords", table_in(stream)),)
        else:
            touches = served.touches_of(request)
    except Misfit as misfit:
        raise _unfit(served, misfit) from None
    is_write = served.is_write and not (served.is_partiql and all(touch.action == "PartiQLSelect" for touch in touches))
    if served.name == "GetShardIterator":
        stream = request["StreamArn"]
    has_page = _START in request and is_page(request[_START])
    body = _with_opened_page(request, seals, dag_id, touches[0]) if has_page else orjson.dumps(request)
    return Operation(served.name, served.target, is_write, touches, body, served.plane, stream)


def _unfit(served: _Served, misfit: Misfit) -> Unreadable:
    subject = f"`{misfit.path}` of {served.name}" if misfit.path else f"the body of {served.name}"
    return Unreadable(Reason.UNREADABLE_BODY, f"{subject} {misfit.problem}")


def _open_iterator(request: Any, seals: Seals | None, dag_id: str) -> str:
    """Put DynamoDB's own iterator in the place of the sealed one; the stream's ARN."""
    if seals is None:
        raise Unreadable(Reason.UNSUPPORTED_OPERATION, "shard iterators cannot be opened here, so `GetRecords` is not served")
    stream, request["ShardIterator"] = seals.open_iterator(request["ShardIterator"], dag_id)
    return stream


def _with_opened_page(request: Any, seals: Seals | None, dag_id: str, touch: Touch) -> bytes:
    """The request with DynamoDB's own key in the place of the sealed one, which names nothing that the DAG would have to know."""
    if seals is not None:
        request[_START] = seals.open_page(request[_START], dag_id, touch)
    body = orjson.dumps(request)
    del request[_START]  # of what is judged
    return body


@dataclass(frozen=True, slots=True)
class _Served:
    """What `read_operation` needs of one operation, made once."""

    name: str
    target: str
    is_write: bool  # at most: of PartiQL the statements say
    is_partiql: bool
    plane: str
    judge: Callable[[Any], None]
    plan: Plan  # the same for the compiled form
    touches_of: Callable[[Any], tuple[Touch, ...]]


_SERVED: dict[bytes, _Served] = {
    row.target.encode(): _Served(
        row.name,
        row.target,
        row.access != "read",
        row.kind == "partiql",
        row.plane,
        INPUTS[row.name].judge(),
        INPUTS[row.name].plan(),
        TOUCHES.get(row.name, tuple),
    )
    for row in OPERATIONS
}
