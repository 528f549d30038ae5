"""The gateway among its stubs, and one case after the other sent to it.

What a case caused is the difference of before and after.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.attacks.client import Conversation, converse
from tests.attacks.corpus import Case, Expectation
from tests.attacks.placeholders import Expansion
from tests.attacks.sending import bytes_of, requests_in
from tests.attacks.stubs import Canary, DynamoDbStub, KeyServer, StsStub
from tests.attacks.tokens import TokenMaker
from tests.stack.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.attacks.defender import Defender
    from tests.attacks.loopback import Loopback
    from tests.attacks.stubs import Forwarded
    from tests.attacks.tokens import Keyring

FOLDER = Path(__file__).parent
REGION, ACCOUNT = "us-east-1", "111122223333"
DEDICATED_HEADER = "X-DAG-Token"
_AT_ONCE = 16
_UNTIL_CLOSED_SECONDS = 3.0  # for the gateway to close what it refused


class Surroundings:
    """Issuers, STS, DynamoDB and canary, on loopback; and the settings by which a gateway finds them."""

    def __init__(self, loop: Loopback, keys: Keyring, fixtures: Mapping[str, Any]) -> None:
        self.fixtures = fixtures
        self.maker = TokenMaker(keys, fixtures)
        self.issuers = {"main": KeyServer(loop, keys.main_set), "partner": KeyServer(loop, keys.partner_set)}
        self.sts = StsStub(loop)
        self.dynamodb = DynamoDbStub(self.sts)
        self.dynamodb_url = self.dynamodb.start(loop)
        self.canary = Canary(loop)
        self._accounted = 0

    def newly_forwarded(self) -> tuple[Forwarded, ...]:
        """What reached DynamoDB since the last call: what comes late is told to the next case, never to none."""
        new = tuple(self.dynamodb.forwarded[self._accounted :])
        self._accounted += len(new)
        return new

    @property
    def jwks_fetches(self) -> int:
        """Fetches of both issuers' keys so far."""
        return sum(issuer.fetches for issuer in self.issuers.values())

    def settings(self) -> dict[str, Any]:
        """The gateway's settings but for addresses, policies and audit."""
        limits = self.fixtures["assumed_limits"]
        dags = {"main": ["*", "!partner_*"], "partner": ["partner_*"]}
        issuers = [
            {
                "name": name,
                "issuer": self.fixtures["issuers"][name]["iss"],
                "audience": self.fixtures["issuers"][name]["audience"],
                "algorithms": self.fixtures["issuers"][name]["algorithms"],
                "keys": {"jwks_url": server.url},
                "may_assert": dags[name],
                "claims": {claim: claim for claim in ("dag_id", "task_id", "run_id", "try_number")},
                "leeway_seconds": limits["clock_leeway_seconds"],
                "max_lifetime_seconds": limits["max_token_lifetime_seconds"],
            }
            for name, server in self.issuers.items()
        ]
        return {
            "issuers": issuers,
            "aws": {"region": REGION, "endpoint_url": self.dynamodb_url, "sts_endpoint_url": self.sts.url},
            "limits": {
                "body_bytes": limits["max_body_bytes"],
                "head_bytes": limits["max_header_bytes"],
                "headers": limits["max_headers"],
            },
        }

    def environment(self) -> dict[str, str]:
        """The gateway's own AWS keys, and everything by which an environment could lead it astray: to the canary."""
        lure = f"http://{self.canary.authority}"
        astray = (
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "http_proxy",
            "https_proxy",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_STS",
        )
        own = {"AWS_ACCESS_KEY_ID": self.sts.base_key_id, "AWS_SECRET_ACCESS_KEY": self.sts.base_secret}
        return own | dict.fromkeys((*astray, "AWS_ENDPOINT_URL_DYNAMODB"), lure)


@dataclass(frozen=True)
class Observation:
    """Everything that one case caused. `more` are the conversations of `parallel_with`."""

    conversations: tuple[Conversation, ...]
    more: tuple[Conversation, ...]
    expansions: tuple[Expansion, ...]
    forwarded: tuple[Forwarded, ...]
    canary_hits: int
    jwks_fetches: int
    sts_calls: int
    faults: tuple[str, ...]  # what the stubs found wrong
    output: bytes = b""  # of logs and audit; where the case asks for it
    decisions: int = 0  # in the audit; where the case asks for it
    new_series: frozenset[str] = frozenset()  # where the case asks for it
    memory_growth: float = 0.0  # MiB; where the case asks for it


@dataclass
class Testbed:
    """One defender among its surroundings."""

    __test__ = False

    surroundings: Surroundings
    defender: Defender
    roles: Mapping[str, str] = field(default_factory=dict)  # DAG -> role that its requests must be signed as
    recorded: set[str] = field(default_factory=set)  # the id of each answer, ours or DynamoDB's
    tokens: set[str] = field(default_factory=set)  # all that were ever made for it
    _is_used: bool = False
    owners: dict[tuple[str, str], str] = field(default_factory=dict)  # session -> the one DAG that was signed as it

    def play(self, case: Case) -> Observation:
        """Send a case and see what it causes."""
        outside = self.surroundings
        first = case.outcomes[0]
        asks_output = any(o.audit_lines is not None or o.log_must_not_contain for o in case.outcomes)
        asks_series = first.metrics_new_series_max is not None
        if asks_series:
            self._use_ordinarily()
        if asks_output:
            self._await_records()
        before = (outside.canary.hits, outside.jwks_fetches, outside.sts.calls, len(outside.sts.faults))
        output, records = (self.defender.output(), self.defender.records()) if asks_output else (b"", [])
        series = _series(self.defender.metrics()) if asks_series else frozenset()
        asks_memory = first.max_rss_growth_mb is not None
        memory = self.defender.memory(start=True) if asks_memory else 0.0

        conversations, more, expansions = asyncio.run(self._send_all(case))
        memory = self.defender.memory() - memory if asks_memory else 0.0
        forwarded = outside.newly_forwarded()
        if asks_output:
            self._await_records()
        return Observation(
            conversations,
            more,
            expansions,
            forwarded,
            outside.canary.hits - before[0],
            outside.jwks_fetches - before[1],
            outside.sts.calls - before[2],
            tuple(outside.sts.faults[before[3] :]),
            output=self.defender.output()[len(output) :] if asks_output else b"",
            decisions=_decisions(self.defender.records()) - _decisions(records) if asks_output else 0,
            new_series=_series(self.defender.metrics()) - series if asks_series else frozenset(),
            memory_growth=memory,
        )

    def _await_records(self) -> None:
        """Until every answer has its outcome in the audit; what a request adds stands before its outcome."""

        def are_there() -> bool:
            outcomes = [record for record in self.defender.records() if record["record"] == "outcome"]
            return self.recorded <= {record[name] for record in outcomes for name in ("id", "aws_request_id")}

        wait_until(are_there, 5, "every answer has its outcome in the audit")

    def _use_ordinarily(self) -> None:
        """Ordinary requests and refusals for every identity, once: their series are there in any gateway that is in use."""
        if self._is_used:
            return
        self._is_used = True
        operations = ("GetItem", "PutItem", "Query", "Scan", "DeleteTable", "ExecuteStatement", "Invented{{rand}}")
        bearers = [f"Bearer {{{{token:{name}}}}}" for name in self.surroundings.fixtures["identities"]]
        for operation, bearer in itertools.product(operations, [*bearers, "Bearer invented", "Basic invented"]):
            for body in ('{"TableName":"invented_{{rand}}","Key":{},"Item":{}}', '{"Invented{{rand}}":1}'):
                self._send_aside(operation, bearer, body)
        for table, bearer in itertools.product(self.surroundings.fixtures["tables"], bearers):
            key = '{"pk":{"S":"orders#1"},"sk":{"S":"a"}}'
            self._send_aside("GetItem", bearer, f'{{"TableName":"{table}","Key":{key},"ProjectionExpression":"pk"}}')
        self.surroundings.newly_forwarded()

    def _send_aside(self, operation: str, bearer: str, body: str) -> None:
        """Send a request that belongs to no case."""
        headers = [
            ["Host", "{{proxy_host}}"],
            ["Content-Type", "application/x-amz-json-1.0"],
            ["X-Amz-Target", f"DynamoDB_20120810.{operation}"],
            ["Authorization", bearer],
        ]
        request = {"headers": headers, "body": body}
        nobody = Case("ORDINARY", "", "", {}, request, (Expectation(False, frozenset()),), True, False)
        asyncio.run(self._send_all(nobody))

    async def _send_all(self, case: Case) -> tuple[tuple[Conversation, ...], tuple[Conversation, ...], tuple[Expansion, ...]]:
        shared: dict[str, str] = {}
        expansions: list[Expansion] = []
        gate = asyncio.Semaphore(_AT_ONCE)

        async def send(request: Mapping[str, Any]) -> Conversation:
            async with gate:
                values = {
                    "proxy_host": f"{self.defender.host}:{self.defender.port}",
                    "canary": self.surroundings.canary.authority,
                    "dedicated_header": DEDICATED_HEADER,
                }
                expansion = Expansion(self.surroundings.maker, case.tokens, request.get("segments") or {}, values, shared)
                expansions.append(expansion)
                data = bytes_of(request, expansion)
                number, seconds = _answers_expected(case, request, data)
                return await converse(self.defender.host, self.defender.port, data, answers=number, seconds=seconds)

        times = int(case.request.get("repeat", 1))
        second = case.request.get("parallel_with")
        work = [send(request) for _ in range(times) for request in (case.request, second) if request]
        done = await asyncio.gather(*work)
        self.recorded |= {i for conversation in done for r in conversation.responses if (i := r.headers.get("x-amzn-requestid"))}
        self.tokens |= {token for expansion in expansions for token in expansion.tokens}
        step = 2 if second else 1
        return tuple(done[::step]), tuple(done[1::2]) if second else (), tuple(expansions)


def _answers_expected(case: Case, request: Mapping[str, Any], data: bytes) -> tuple[int | None, float]:
    """How many answers end the conversation (None: the gateway must close it), and how long that may take."""
    patience = max([20.0, *(outcome.max_seconds + 1 for outcome in case.outcomes if outcome.max_seconds)])
    if case.must_close and not case.outcomes[0].allow:
        return None, _UNTIL_CLOSED_SECONDS
    if case.outcomes[0].responses:
        return len(case.outcomes[0].responses), patience
    return (max(1, len(requests_in(data))) if request.get("raw") else 1), patience


def _decisions(records: list[dict[str, Any]]) -> int:
    return sum(record["record"] == "decision" for record in records)


def _series(metrics: str) -> frozenset[str]:
    return frozenset(line.rpartition(" ")[0] for line in metrics.splitlines() if line and not line.startswith("#"))


def roles_in(policies: Path) -> dict[str, str]:
    """DAG -> role, of the DAGs that policy files name in full."""
    roles = {}
    for file in policies.glob("*.yaml"):
        document = yaml.safe_load(file.read_text())
        common = (document.get("defaults") or {}).get("role")
        for dag, entry in (document.get("dags") or {}).items():
            role = (entry or {}).get("role", common)
            if "*" not in dag and "?" not in dag and role:
                roles[dag] = role
    return roles
