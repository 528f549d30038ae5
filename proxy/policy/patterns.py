"""Which names are legal, and how patterns of names relate. All questions are decided on the patterns alone, at load.

Sources: DynamoDB's limits on table and index names, IAM's on role and session names, Airflow's `KEY_REGEX` for DAG ids.
"""

from __future__ import annotations

import hashlib
import re
from itertools import product
from typing import TYPE_CHECKING

from proxy.globs import is_glob

if TYPE_CHECKING:
    from proxy.globs import Globs

TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
LOGICAL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")
TABLE_GLOB = re.compile(r"!?[A-Za-z0-9_.*?-]{1,255}")
DAG_GLOB = re.compile(r"!?[\w.*?-]{1,250}")
DAG_PATTERN = re.compile(r"[\w.*?-]{1,250}")
ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):role/[A-Za-z0-9_+=,.@/-]{1,512}")
ROLE_NAME = re.compile(r"(?:[A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64}")
ACCOUNT = re.compile(r"[0-9]{12}")
REGION = re.compile(r"[a-z]{2,8}(?:-[a-z]{2,12})+-[0-9]{1,2}")
PARTITION = re.compile(r"aws[a-z-]*")
PLACEHOLDER = re.compile(r"<([^<>]*)>")

_SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
_HASHED = re.compile(r".*-[0-9a-f]{16}", re.DOTALL)
_NOT_SESSION = re.compile(r"[^A-Za-z0-9_+=,.@-]")


def session_name(dag_id: str) -> str:
    """The STS session name of a DAG: its id where that is legal, else a legal start of it, `-` and 16 digits of its SHA-256.

    Distinct DAGs get distinct names: an id that already ends like a hashed one is hashed too, so the two kinds never meet.
    """
    if _SESSION_NAME.fullmatch(dag_id) and not _HASHED.fullmatch(dag_id):
        return dag_id
    digest = hashlib.sha256(dag_id.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{_NOT_SESSION.sub('_', dag_id)[:47]}-{digest}"


def can_meet(left: str, right: str) -> bool:
    """True if some name matches both globs. Exact: the two patterns are walked together."""
    if not _ends_fit(left, right):
        return False
    reachable = _past_stars(right, {0})
    for sign in left:
        if not reachable:
            return False
        if sign == "*":  # swallows nothing, or any part of the rest
            following = set(range(min(reachable), len(right) + 1))
        else:
            following = {step for at in reachable for step in _after(right, at, sign)}
        reachable = _past_stars(right, following)
    return len(right) in reachable


def _after(pattern: str, at: int, sign: str) -> tuple[int, ...]:
    """Where in `pattern` one can stand after a character that `sign` stands for, coming from `at`."""
    if at == len(pattern):
        return ()
    if pattern[at] == "*":
        return (at,)
    return (at + 1,) if sign == pattern[at] or "?" in (sign, pattern[at]) else ()


def _past_stars(pattern: str, positions: set[int]) -> set[int]:
    reached = set(positions)
    for position in positions:
        at = position
        while at < len(pattern) and pattern[at] == "*":
            at += 1
            reached.add(at)
    return reached


def _ends_fit(left: str, right: str) -> bool:
    """Cheap and often enough: what stands before the first wildcard must agree."""
    for one, other in zip(left, right, strict=False):
        if is_glob(one) or is_glob(other):
            return True
        if one != other:
            return False
    return True


def stays_within(pattern: str, globs: Globs) -> bool:
    """True if `globs` cover what `pattern` can match, as far as its shortest and some long names tell.

    A warning's ground, never a decision's: names are judged one by one when a request comes.
    """
    parts = pattern.replace("?", "\0").split("*")
    fills = product(("", "\0" * 300), repeat=min(len(parts) - 1, 4))
    return all(globs.match(_filled(parts, fill)) for fill in fills)


def _filled(parts: list[str], fill: tuple[str, ...]) -> str:
    joints = [*fill, *("",) * (len(parts) - 1 - len(fill))]
    return parts[0] + "".join(joint + part for joint, part in zip(joints, parts[1:], strict=True))
