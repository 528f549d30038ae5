"""Every metric is in the table, named as Prometheus wants it, bounded in labels and size, and joined over workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.model import Ending, ReplySummary, TableReference, Throttle, Touch
from proxy.observe.fleet import share_between_workers
from proxy.observe.metric_table import METRICS
from proxy.observe.metrics import _MOST_KNOWN, Metrics
from proxy.refusal import Reason

ROOT = Path(__file__).parents[3]
BASE_UNITS = ("_seconds", "_bytes")


class Policy:
    """Names that a policy holds."""

    def __init__(self, dags: set[str], tables: set[str]) -> None:
        self.dags = dags
        self.tables = tables

    def dag_label(self, dag_id: str) -> str:
        """Bound a DAG."""
        return dag_id if dag_id in self.dags else "other"

    def table_label(self, name: str) -> str:
        """Bound a table."""
        return name if name in self.tables else "other"


POLICY = Policy({"etl.orders"}, {"orders", "stock"})


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every sample of a scrape: name and label values in the order of their names, to its value."""
    text = metrics.render()[1].decode()
    families = list(text_string_to_metric_families(text))
    return {
        (sample.name.removeprefix("dynamodb_proxy_"), *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_table_is_what_is_exposed() -> None:
    """Every row has its HELP and TYPE in a scrape, and nothing else is there."""
    text = Metrics("1.0").render()[1].decode()
    exposed = {family.name: family for family in text_string_to_metric_families(text)}
    assert {metric.name.removesuffix("_total"): (metric.kind, metric.meaning) for metric in METRICS} == {
        name: (family.type, family.documentation) for name, family in exposed.items()
    }


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_are_as_promtool_wants_them(metric) -> None:
    """Counters end in `_total` and only they, times are in seconds, no name repeats its kind or label."""
    assert metric.name.startswith("dynamodb_proxy_")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    if metric.kind == "histogram":
        assert metric.name.endswith(BASE_UNITS)
    for word in ("milliseconds", "_ms", "counter", "gauge", "histogram", "_count", "_sum", "_bucket", *metric.labels[1:]):
        assert not metric.name.removesuffix("_total").endswith(word)
    assert metric.meaning
    assert metric.meaning[-1] != "."
    assert (metric.across != "") == (metric.kind == "gauge")


def test_a_served_request_is_counted_once_everywhere(build) -> None:
    """One allowed read is one request, one call, one attempt, and one time of each kind."""
    metrics = Metrics("1.0")
    metrics.record(build(), POLICY)
    seen = samples(metrics)
    assert seen["requests_total", "etl.orders", "served", "GetItem", "200", "orders"] == 1
    assert seen["sdk_calls_total", "etl.orders", "GetItem"] == 1
    assert seen["sdk_attempts_total", "etl.orders", "GetItem"] == 1
    assert seen["gateway_seconds_count", "GetItem"] == 1
    assert seen["gateway_seconds_sum", "GetItem"] == pytest.approx(0.0004)
    assert seen["gateway_seconds_bucket", "0.0005", "GetItem"] == 1
    assert seen["upstream_seconds_sum", "GetItem"] == pytest.approx(0.004)
    assert not [key for key in seen if key[0] == "refusals_total"]


def test_retries_are_attempts_and_no_calls(build) -> None:
    """A call that takes three attempts is one call; an attempt of 0 is taken as a first one."""
    metrics = Metrics("1.0")
    for attempt in (1, 2, 3, 0):
        metrics.record(build(attempt=attempt), POLICY)
    seen = samples(metrics)
    assert seen["sdk_calls_total", "etl.orders", "GetItem"] == 2
    assert seen["sdk_attempts_total", "etl.orders", "GetItem"] == 4


def test_a_refusal_is_counted_by_dag_and_reason_and_never_waits_for_aws(build) -> None:
    """A denied request has its reason, and no upstream time."""
    metrics = Metrics("1.0")
    metrics.record(build(reason=Reason.NO_RULE, ending=Ending.REFUSED, status=400, sent=False), POLICY)
    seen = samples(metrics)
    assert seen["refusals_total", "etl.orders", "no_rule"] == 1
    assert seen["requests_total", "etl.orders", "refused", "GetItem", "400", "orders"] == 1
    assert seen["upstream_seconds_count", "GetItem"] == 0


def test_an_unknown_operation_brings_forth_no_series(build) -> None:
    """What a caller can ask for at will is there from the start, for each DAG that the policy names."""
    metrics = Metrics("1.0")
    metrics.expect(sorted(POLICY.dags))
    before = samples(metrics).keys()
    exchange = build(ending=Ending.REFUSED, reason=Reason.UNKNOWN_OPERATION, status=400, operation_name="unknown", sent=False)
    exchange.operation = None
    metrics.record(exchange, POLICY)
    assert samples(metrics).keys() == before


def test_what_is_only_observed_is_no_refusal(build) -> None:
    """A request that went through although the policy says no is counted by why it says so, and not as refused."""
    metrics = Metrics("1.0")
    metrics.record(build(reason=Reason.OBSERVED, would_deny=Reason.OUTSIDE_KEYS), POLICY)
    seen = samples(metrics)
    assert seen["observed_denials_total", "etl.orders", "outside_keys"] == 1
    assert seen["requests_total", "etl.orders", "served", "GetItem", "200", "orders"] == 1
    assert not [key for key in seen if key[0] == "refusals_total"]


def test_what_a_request_does_not_have_is_none(build) -> None:
    """What the gate turns away has neither DAG nor table nor operation, and is no SDK call that we know of."""
    metrics = Metrics("1.0")
    gate = build(identity=None, operation=None, operation_name="", reason=Reason.TOO_LARGE, ending=Ending.REFUSED, status=413)
    metrics.record(gate, None)
    metrics.record(build(identity=None, operation=None, reason=None, ending=Ending.ABANDONED, status=0), POLICY)
    metrics.record(build(ending=None, status=10**9), None)
    seen = samples(metrics)
    assert seen["requests_total", "none", "refused", "none", "413", "none"] == 1
    assert seen["requests_total", "none", "abandoned", "GetItem", "none", "none"] == 1
    assert seen["requests_total", "other", "broken", "GetItem", "none", "other"] == 1
    assert seen["refusals_total", "none", "too_large"] == 1
    assert not [key for key in seen if key[0].startswith("sdk") and "none" in key[2]]


def test_throttles_are_aws_own_by_dag_table_operation_and_reason(build) -> None:
    """A table may be named by ARN, by name or not at all; a reason that AWS does not document is `other`."""
    metrics = Metrics("1.0")
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/stock/index/by_day"
    throttles = (
        Throttle("TableReadProvisionedThroughputExceeded", "orders"),
        Throttle("IndexReadKeyRangeThroughputExceeded", arn),
        Throttle("ThrottlingException", ""),
        Throttle("<script>", "not-in-policy"),
    )
    metrics.record(build(summary=ReplySummary("ThrottlingException", throttles, (("stock", 7), ("orders", 2)))), POLICY)
    seen = samples(metrics)
    told = {key[1:]: value for key, value in seen.items() if key[0] == "throttles_total"}
    assert told == {
        ("etl.orders", "GetItem", "TableReadProvisionedThroughputExceeded", "orders"): 1,
        ("etl.orders", "GetItem", "IndexReadKeyRangeThroughputExceeded", "stock"): 1,
        ("etl.orders", "GetItem", "ThrottlingException", "orders"): 1,
        ("etl.orders", "GetItem", "other", "other"): 1,
    }
    assert seen["unprocessed_items_total", "etl.orders", "GetItem", "stock"] == 7
    assert seen["unprocessed_items_total", "etl.orders", "GetItem", "orders"] == 2


def test_a_request_on_several_tables_is_one_request(build) -> None:
    """A transaction over two tables counts once, under `several`."""
    metrics = Metrics("1.0")
    touches = (Touch("GetItem", TableReference("orders")), Touch("GetItem", TableReference("stock")))
    metrics.record(build(operation=build.operation(touches=touches), operation_name="TransactGetItems"), POLICY)
    assert samples(metrics)["requests_total", "etl.orders", "served", "TransactGetItems", "200", "several"] == 1


def test_invented_names_make_no_series(build) -> None:
    """A caller that invents DAGs and tables adds nothing to a scrape but `other`."""
    metrics = Metrics("1.0")
    for number in range(1000):
        operation = build.operation(touches=(Touch("GetItem", TableReference(f"t{number}")),))
        metrics.record(build(identity=build.identity(f"dag{number}"), operation=operation), POLICY)
    requests = [key for key in samples(metrics) if key[0] == "requests_total"]
    assert requests == [("requests_total", "other", "served", "GetItem", "200", "other")]


def test_a_new_policy_names_anew(build) -> None:
    """What one policy calls `other` has its name as soon as the next one names it, and the other way round."""
    metrics = Metrics("1.0")
    names_stock = Policy({"etl.stock"}, {"stock"})
    for policy in (POLICY, names_stock, POLICY, None):
        metrics.record(build(), policy)
    seen = samples(metrics)
    assert seen["requests_total", "etl.orders", "served", "GetItem", "200", "orders"] == 2
    assert seen["requests_total", "other", "served", "GetItem", "200", "other"] == 2


def test_names_that_callers_choose_are_remembered_up_to_a_number(build) -> None:
    """A caller that invents names has them counted, and takes no more memory."""
    metrics = Metrics("1.0")
    identities = [build.identity(f"dag{number}") for number in range(_MOST_KNOWN + 10)]
    for identity in identities * 2:
        metrics.record(build(identity=identity), POLICY)
    assert len(metrics._known) == _MOST_KNOWN
    assert samples(metrics)["requests_total", "other", "served", "GetItem", "200", "orders"] == 2 * len(identities)


def test_a_scrape_stays_below_a_megabyte_whatever_the_policy_names(build) -> None:
    """With 12,000 DAGs of the longest names and every operation what does not fit is `other`, and no request is lost."""
    names = [f"{number:05d}" + "x" * 245 for number in range(12_000)]
    policy = Policy(set(names), {"orders"})
    operations = [f"OperationWithALongName{number:03d}" for number in range(70)]
    metrics = Metrics("1.0")
    for number, name in enumerate(names):
        exchange = build(identity=build.identity(name), operation_name=operations[number % 70], reason=Reason.NO_RULE)
        metrics.record(exchange, policy)
    text = metrics.render()[1]
    assert 600_000 < len(text) < 1_000_000
    requests = {key: value for key, value in samples(metrics).items() if key[0] == "requests_total"}
    assert sum(requests.values()) == len(names)
    assert any(key[1] == "other" for key in requests)


def test_a_lone_surrogate_in_a_name_does_not_break_the_scrape(build) -> None:
    """A policy that names a DAG with half a character is shown with it spelled out."""
    metrics = Metrics("1.0")
    metrics.record(build(identity=build.identity('a\udc80\n"')), Policy({'a\udc80\n"'}, set()))
    assert samples(metrics)["requests_total", 'a\\udc80\n"', "served", "GetItem", "200", "other"] == 1


def test_what_happens_beside_requests() -> None:
    """STS, keys, policy, readiness and audit each have their numbers."""
    metrics = Metrics("1.0")
    metrics.sts_called("ok", 1000.0)
    metrics.sts_called("refused", 2000.0)
    metrics.keys_fetched("airflow", "ok", 3000.0)
    metrics.keys_fetched("airflow", "failed", 4000.0)
    metrics.keys_stale("airflow", True)
    metrics.policy_loaded("aaaa", "prod")
    metrics.policy_loaded("aaaa", "prod")
    metrics.policy_loaded("bbbb", "prod")
    metrics.policy_reload_failed(True)
    metrics.set_ready(True)
    metrics.set_inflight(3)
    metrics.audit_written("decision", 2)
    metrics.audit_failed(5)
    metrics.audit_lost(1)
    seen = samples(metrics)
    expected = {
        ("sts_calls_total", "ok"): 1, ("sts_calls_total", "refused"): 1, ("sts_calls_total", "unavailable"): 0,
        ("credentials_last_refresh_timestamp_seconds",): 1000, ("jwks_fetches_total", "airflow", "ok"): 1,
        ("jwks_fetches_total", "airflow", "failed"): 1, ("jwks_last_fetch_timestamp_seconds", "airflow"): 3000,
        ("jwks_stale", "airflow"): 1, ("policy_info", "bbbb", "prod"): 1, ("policy_reload_failed",): 1, ("ready",): 1,
        ("inflight_requests",): 3, ("audit_records_total", "decision"): 2, ("audit_failures_total",): 5,
        ("audit_lost_total",): 1, ("build_info", "1.0"): 1,
    }  # fmt: skip
    assert {key: value for key, value in seen.items() if key in expected} == expected
    assert ("policy_info", "aaaa", "prod") not in seen
    metrics.audit_written("decision", 3)
    assert samples(metrics)["audit_records_total", "decision"] == 5
    metrics.policy_loaded("cccc", "prod")
    assert samples(metrics)["policy_reload_failed",] == 0


def test_sharing_too_late_is_an_error(tmp_path: Path) -> None:
    """Once prometheus-client has chosen, workers cannot be told to share, and the lead hears of it."""
    with pytest.raises(RuntimeError, match="before the first"):
        share_between_workers(tmp_path)


WORKER = """
import sys
from pathlib import Path
from proxy.observe.metrics import Metrics
metrics = Metrics("1.0", workers=2)
metrics.set_ready(sys.argv[1] == "ready")
metrics.set_inflight(2)
metrics.policy_loaded("aaaa", "prod")
metrics.policy_loaded("bbbb", "prod")
metrics.audit_written("decision", 5)
metrics.settle()
print("up", flush=True)
sys.stdin.read()
"""

PARENT = """
import subprocess, sys
from pathlib import Path
from proxy.observe.fleet import render_shared, share_between_workers
from proxy.observe.metrics import Metrics
directory = Path(sys.argv[1])
directory.mkdir()
(directory / "counter_1.db").write_bytes(b"left over")
share_between_workers(directory)
workers = [
    subprocess.Popen([sys.executable, "-c", sys.argv[2], state], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for state in ("ready", "waiting")
]
assert [worker.stdout.readline() for worker in workers] == [b"up\\n", b"up\\n"]
print(render_shared(directory)[1].decode())
workers[1].kill()
workers[1].wait()
print("=====")
print(render_shared(directory)[1].decode())
workers[0].communicate()
assert Metrics("1.0").render()[1]
workers[1].stdin.close()
workers[1].stdout.close()
"""


def test_workers_are_joined_and_a_dead_one_leaves_its_gauges(tmp_path: Path) -> None:
    """Counters add up and outlive a worker; gauges are those of living ones; a former policy is not shown."""
    environment = {key: value for key, value in os.environ.items() if key != "PROMETHEUS_MULTIPROC_DIR"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PARENT, str(tmp_path / "shared"), WORKER],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    both, one = ([line for line in text.splitlines() if not line.startswith("#")] for text in done.stdout.split("====="))
    assert 'dynamodb_proxy_audit_records_total{record="decision"} 10.0' in both
    assert "dynamodb_proxy_ready 0.0" in both
    assert "dynamodb_proxy_inflight_requests 4.0" in both
    assert [line for line in both if "policy_info" in line] == [
        'dynamodb_proxy_policy_info{digest="bbbb",environment="prod"} 1.0'
    ]
    assert 'dynamodb_proxy_audit_records_total{record="decision"} 10.0' in one
    assert "dynamodb_proxy_ready 1.0" in one
    assert "dynamodb_proxy_inflight_requests 2.0" in one
