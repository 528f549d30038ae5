"""The default recipe in a real Airflow 3: the wheel installed, one variable set, and DAGs that know of no gateway.

The connection holds keys, which are S3's business and not DynamoDB's; the token's file is all that the gateway is shown.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.stack.account import Account, administrator, create_table
from tests.stack.gateway import gateway as start
from tests.stack.wheel import unpacked_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack.airflow import Airflow
    from tests.stack.gateway import Gateway
    from tests.stack.ministack import Ministack
    from tests.stack.oidc_provider import IdentityProvider

pytestmark = pytest.mark.needs("server")
DAGS = Path(__file__).parent / "dags"
POLICIES = {
    "platform.yaml": """\
workloads:
  pool: {issuer: idp, subject: worker-pool, dags: ["*"], dag_from: [header]}
""",
    "team.yaml": """\
contact: "#team"
tables: {known: {key: "pk (S)"}, seen: {key: "pk (S)"}}
dags:
  audited:
    role: arn:aws:iam::000000000000:role/ddb-audited
    allow: [{actions: [read], tables: [known]}, {actions: [write], tables: [seen]}]
  refused:
    role: arn:aws:iam::000000000000:role/ddb-refused
    allow: [{actions: [read], tables: [seen]}]
""",
}


@pytest.fixture(scope="module")
def account(ministack: Ministack) -> Account:
    """Tables, a bucket, and a role for each DAG."""
    made = Account.furnish(ministack)
    dynamodb = administrator(ministack, "dynamodb")
    for table in ("known", "seen"):
        create_table(dynamodb, table, "pk:S")
        made.create_role({"known": "ddb-refused", "seen": "ddb-audited"}[table], "known", "seen")
    administrator(ministack, "s3").create_bucket(Bucket="kept")
    return made


@pytest.fixture(scope="module")
def gateway(account: Account, oidc_provider: IdentityProvider, logs: Path) -> Iterator[Gateway]:
    """The gateway before the engine that verifies signatures, sessions and roles."""
    issuer = {"name": "idp", "issuer": oidc_provider.issuer, "audience": oidc_provider.audience, "may_assert": ["*"]}
    engine = account.engine
    settings = {
        "issuers": [issuer],
        "aws": {"region": engine.region, "endpoint_url": engine.url, "sts_endpoint_url": engine.url},
    }
    with start(settings, logs / "plugin-gateway", policies=POLICIES, env=account.gateway_environment()) as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, installed."""
    return unpacked_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def worker(gateway: Gateway, account: Account, oidc_provider: IdentityProvider, site: Path, tmp_path: Path) -> dict[str, str]:
    """The worker's environment. The default connection has keys that nobody knows, S3's has the engine's."""
    (tmp_path / "token").write_text(oidc_provider.token("worker-pool"))
    engine = account.engine
    extra = {"region_name": engine.region}
    stale = {"conn_type": "aws", "login": "AKIAEXAMPLE", "password": "stale", "extra": extra}
    s3 = {"conn_type": "aws", "login": engine.root_key, "password": engine.root_secret}
    return {
        "PYTHONPATH": str(site),
        "DDB_PROXY_URL": gateway.url,
        "DDB_PROXY_TOKEN_FILE": str(tmp_path / "token"),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(stale),
        "AIRFLOW_CONN_AWS_S3": json.dumps(s3 | {"extra": extra | {"service_config": {"s3": {"endpoint_url": engine.url}}}}),
    }


def test_one_variable_is_enough(
    airflow: Airflow, gateway: Gateway, account: Account, worker: dict[str, str], tmp_path: Path
) -> None:
    """Mapped tasks by hook and plain client: claims in the audit, the line in the log, the XCom, the lineage; S3 as ever."""
    (tmp_path / "plugins").mkdir()
    shutil.copy(DAGS / "lineage_reader.py", tmp_path / "plugins")
    more = {"AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path / "plugins")}
    run = airflow.test_dag("audited", DAGS / "audited.py", worker | more)
    assert run.is_green, run.output
    assert len(account.items("seen")) == 60
    assert len(administrator(account.engine, "s3").list_objects_v2(Bucket="kept")["Contents"]) == 2
    decisions = [record for record in gateway.settled() if record["record"] == "decision" and record["dag"] == "audited"]
    assert Counter(record["operation"] for record in decisions) == {"BatchWriteItem": 4, "GetItem": 2}
    for record in decisions:
        assert (record["evidence"], record["source"], record["workload"]) == ("claimed", "header", "pool")
    assert run.output.count("gateway: 3 calls, 0.5 read units") == 2, run.output
    assert "'tables_read': ['known'], 'tables_written': ['seen']" in run.output
    assert "READ ['dynamodb://us-east-1/known'" in run.output
    assert "'dynamodb://us-east-1/seen'" in run.output
    assert (tmp_path / "token").read_text() not in run.output


def test_a_refused_task_fails_at_once(airflow: Airflow, gateway: Gateway, worker: dict[str, str]) -> None:
    """With `retries=3`, a hook that wraps the error and a sensor that would wait two hours: asked once each."""
    run = airflow.test_dag("refused", DAGS / "refused.py", worker)
    assert not run.is_green, run.output
    decisions = [record for record in gateway.settled() if record["record"] == "decision" and record["dag"] == "refused"]
    assert {record["operation"] for record in decisions} == {"BatchWriteItem", "DeleteItem", "GetItem"}
    assert len(decisions) == 3
    for record in decisions:
        sentence = f"An error occurred (AccessDeniedException) when calling the {record['operation']} operation: "
        assert sentence + record["message"] in run.output.replace("\\'", "'")
    assert run.output.count("gateway: 1 call, 1 denied") == 3
    assert "up_for_retry" not in run.output.lower()


def test_without_the_variable_nothing_is_changed(airflow: Airflow, gateway: Gateway, worker: dict[str, str]) -> None:
    """The plugin is installed and off: boto3 goes where the connection says, here nowhere."""
    before = len(gateway.settled(requests=0))
    endpoint = {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    run = airflow.test_dag("snoop", DAGS / "snoop.py", worker | endpoint | {"DDB_PROXY_URL": ""})
    assert not run.is_green, run.output
    assert 'Could not connect to the endpoint URL: "http://127.0.0.1:1/"' in run.output, run.output
    assert "gateway:" not in run.output
    assert len(gateway.settled(requests=0)) == before
