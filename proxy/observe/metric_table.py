"""The table of metrics: name, kind, labels and meaning. The README's is made from it."""

from __future__ import annotations

from itertools import product
from typing import Final, Literal, NamedTuple

PREFIX: Final = "dynamodb_proxy_"
DENIAL_KINDS: Final = ("dag", "team", "issuer", "jti")


class Metric(NamedTuple):
    """A row of the README's table. `across` says how a gauge is joined over workers (prometheus-client's mode)."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    across: str = ""


_P: Final = PREFIX  # short, for the rows
METRICS: Final = (
    Metric(_P + "requests_total", "counter", ("dag", "table", "operation", "ending", "status"),
           "requests by how they ended; status is that of the answer, `none` where nobody was left to answer"),
    Metric(_P + "refusals_total", "counter", ("dag", "reason"), "answers that are the gateway's own, not DynamoDB's"),
    Metric(_P + "observed_denials_total", "counter", ("dag", "reason"),
           "requests let through although the policy says no (`mode: observe`), by why it says so"),
    Metric(_P + "gateway_seconds", "histogram", ("operation",), "time that the gateway itself spent on a request"),
    Metric(_P + "upstream_seconds", "histogram", ("operation",), "time spent waiting for DynamoDB"),
    Metric(_P + "sdk_calls_total", "counter", ("dag", "operation"), "SDK calls: first attempts"),
    Metric(_P + "sdk_attempts_total", "counter", ("dag", "operation"), "SDK attempts: calls and their retries"),
    Metric(_P + "throttles_total", "counter", ("dag", "table", "operation", "reason"),
           "throttles that DynamoDB reported, by its ThrottlingReason or else its error name"),
    Metric(_P + "unprocessed_items_total", "counter", ("dag", "table", "operation"),
           "items and keys of batches that DynamoDB gave back unprocessed"),
    Metric(_P + "sts_calls_total", "counter", ("result",), "AssumeRole calls: ok, refused or unavailable"),
    Metric(_P + "credentials_last_refresh_timestamp_seconds", "gauge", (), "when credentials were last had from STS", "livemax"),
    Metric(_P + "jwks_fetches_total", "counter", ("issuer", "result"), "fetches of an issuer's keys: ok or failed"),
    Metric(_P + "jwks_last_fetch_timestamp_seconds", "gauge", ("issuer",), "when an issuer's keys were last had", "livemin"),
    Metric(_P + "jwks_stale", "gauge", ("issuer",), "1 while an issuer's keys are used past their refresh time", "livemax"),
    Metric(_P + "policy_info", "gauge", ("digest", "environment"), "1 for the policy in force", "livemax"),
    Metric(_P + "policy_reload_failed", "gauge", (), "1 while the policy files cannot be loaded and the last good ones hold",
           "livemax"),
    Metric(_P + "denied_entries", "gauge", ("kind",), "entries of the deny list in force: dag, team, issuer or jti", "livemax"),
    Metric(_P + "file_reload_failed", "gauge", ("file",),
           "1 while `session_keys`, `deny_list` or `certificate` is broken and the last good one holds", "livemax"),
    Metric(_P + "ready", "gauge", (), "1 while requests can be served", "livemin"),
    Metric(_P + "inflight_requests", "gauge", (), "requests being served", "livesum"),
    Metric(_P + "loop_lag_seconds", "histogram", (), "how late a timer of the event loop came, looked at every 20 ms"),
    Metric(_P + "audit_records_total", "counter", ("record",), "records that the audit sink took"),
    Metric(_P + "audit_failures_total", "counter", (), "audit records that a try to write did not bring into the sink"),
    Metric(_P + "audit_lost_total", "counter", (),
           "audit records given up: of refusals while the backlog was full, or for a defect that the log tells"),
    Metric(_P + "build_info", "gauge", ("version",), "1 for the version that runs", "livemax"),
)  # fmt: skip

# ThrottlingReasons (API_ThrottlingReason), error names, and the codes that TransactionCanceledException gives
_LIMITS: Final = (
    "ProvisionedThroughputExceeded",
    "AccountLimitExceeded",
    "KeyRangeThroughputExceeded",
    "MaxOnDemandThroughputExceeded",
)
THROTTLE_REASONS: Final = frozenset(
    {"".join(parts) for parts in product(("Table", "Index"), ("Read", "Write"), _LIMITS)}
    | {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
    | {"ProvisionedThroughputExceeded", "ThrottlingError"}
)

METRICS_BY_NAME: Final = {metric.name: metric for metric in METRICS}
