"""What one decision costs: `python -m tests.bench.bench_decisions` prints microseconds of CPU, and fails where a goal is missed.

A GetItem of 0.3 KB under ten rules, its body parsed, is read and judged in 10 us; told beside it is what rules on keys and
attributes cost, with expressions that are known and with new ones. 10,000 DAGs may cost 10 % more than 10. Rounds take turns, so
that a busy machine is as busy for each.
"""

from __future__ import annotations

import gc
import itertools
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import jiter
import orjson

from proxy.dynamodb.operation import read_operation
from proxy.policy.described import Description, identity_in
from proxy.policy.store import policies_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.model import Identity
    from proxy.policy.rules import Policies

GOAL_MICROSECONDS = 10.0
GOAL_RATIO = 1.10
_ROUNDS = 20
_RULES = 10
_A_FILE = 500  # DAGs
_LIMITS = ', keys: {prefix: "<dag_id>#"}, attributes: [pk, sk, status, total, customer]'
_FEW_RULES = 2  # of each of 10,000 DAGs, which would take a minute to load with ten
_CALLS = 2_000
_TARGET = b"DynamoDB_20120810.GetItem"
_PAD = "x" * 120


class Figures(NamedTuple):
    """Microseconds of CPU of read_operation + decide, without the parsing of JSON; and how 10,000 DAGs compare to 10."""

    plain: float  # rules of actions and tables
    warm: float  # rules of keys and attributes besides, expressions known
    cold: float  # expressions that were never seen
    parsing: float
    ratio: float  # 10,000 DAGs against 10, asked by the same 10
    spread: float  # asked by 2,000 of them: what the caches of the CPU do not hold comes on top


def policies_for(dags: int, rules: int = _RULES, limits: str = _LIMITS) -> Policies:
    """`dags` DAGs with `rules` rules each, of which the last allows the request."""
    files = {}
    for first in range(0, dags, _A_FILE):
        tables = [_table(first, number) for number in range(rules)]
        lines = ["tables:", *(f'  {table}: {{key: "pk (S), sk (S)"}}' for table in tables), "dags:"]
        for dag in range(first, min(dags, first + _A_FILE)):
            lines += [f"  dag_{dag}:", "    role: arn:aws:iam::111122223333:role/r", "    allow:"]
            lines += [f"      - {{actions: [read, write], tables: [{table}]{limits}}}" for table in tables]
        files[f"team{first}.yaml"] = "\n".join(lines)
    return policies_of(files, "", "eu-west-1")


def _table(dag: int, number: int) -> str:
    return f"table_{dag // _A_FILE}_{number}"


def body_of(dag: int, projection: str = "#a, total, customer.address[0]", rules: int = _RULES) -> bytes:
    """A GetItem of about 0.3 KB."""
    return orjson.dumps(
        {
            "TableName": _table(dag, rules - 1),
            "Key": {"pk": {"S": f"dag_{dag}#{_PAD[:40]}"}, "sk": {"S": _PAD[:40]}},
            "ProjectionExpression": projection,
            "ExpressionAttributeNames": {"#a": "status"},
            "ConsistentRead": True,
            "ReturnConsumedCapacity": "TOTAL",
        }
    )


def _asked(dags: Iterable[int], rules: int) -> list[tuple[Identity, bytes]]:
    """A request of each, which shares nothing with the others: as they come from a socket."""
    return [(identity_in(Description(dag=f"dag_{dag}", operation="GetItem")), body_of(dag, rules=rules)) for dag in dags]


def _seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def _each(policies: Policies, asked: list[tuple[Identity, bytes]]) -> Callable[[], None]:
    def judge() -> None:
        for identity, body in asked:
            policies.decide(identity, read_operation(_TARGET, body), 0.0)

    return judge


def _parse_each(asked: list[tuple[Identity, bytes]]) -> Callable[[], None]:
    def parse() -> None:
        for _, body in asked:
            _parsed(body)

    return parse


def _parsed(body: bytes) -> Any:
    return jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")


def measure(dags: int = 10_000) -> Figures:
    """The least of 20 rounds that take turns."""
    gc.collect()
    gc.freeze()  # as the gateway does: else a collection goes through all policies whenever requests have left some rubbish
    ten, small, large = policies_for(10), policies_for(10, _FEW_RULES), policies_for(dags, _FEW_RULES)
    gc.freeze()
    one = _asked([0] * _CALLS, _RULES)
    few = _asked((number % 10 for number in range(_CALLS)), _FEW_RULES)
    spread = _asked(range(0, dags, dags // _CALLS), _FEW_RULES)
    calls = {
        "plain": _each(policies_for(10, limits=""), one),
        "ten": _each(ten, one),
        "few": _each(small, few),
        "same": _each(large, few),
        "spread": _each(large, spread),
        "parse": _parse_each(one),
    }
    for call in calls.values():
        call()
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _, (name, call) in itertools.product(range(_ROUNDS), calls.items()):
        rounds[name].append(_seconds(call))
    least = {name: min(seconds) for name, seconds in rounds.items()}
    parsing = least["parse"] / _CALLS * 1e6
    return Figures(
        plain=least["plain"] / _CALLS * 1e6 - parsing,
        warm=least["ten"] / _CALLS * 1e6 - parsing,
        cold=_cold(ten, one[0][0]) - parsing,
        parsing=parsing,
        ratio=least["same"] / least["few"],
        spread=least["spread"] / least["few"],
    )


def _cold(policies: Policies, identity: Identity) -> float:
    """Each request has a projection of its own, and a rule asks for it."""
    bodies = [(identity, body_of(0, f"#a, total, customer.address[{number}]")) for number in range(500)]
    judge = _each(policies, bodies)
    return _seconds(judge) / len(bodies) * 1e6


def main() -> int:
    """Print the figures; 1 where a goal is missed."""
    figures = measure()
    print(f"GetItem of {len(body_of(0))} bytes, 10 rules        {figures.plain:6.2f} us (goal {GOAL_MICROSECONDS:g})")
    print(f"the same with keys and attributes       {figures.warm:6.2f} us")
    print(f"the same with expressions never seen    {figures.cold:6.2f} us")
    print(f"parsing its JSON                        {figures.parsing:6.2f} us")
    print(f"10,000 DAGs against 10                  {(figures.ratio - 1) * 100:+6.1f} % (goal {(GOAL_RATIO - 1) * 100:.0f})")
    print(f"the same asked by {_CALLS} of them              {(figures.spread - 1) * 100:+6.1f} %")
    return 0 if figures.plain < GOAL_MICROSECONDS and figures.ratio < GOAL_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
