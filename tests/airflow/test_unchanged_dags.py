"""A real Airflow 3 with the amazon provider: DAGs that know of no gateway, one connection, `airflow dags test`.

The worker's token names no DAG. The provider's User-Agent does (DagRunKey), and platform.yaml lets this pool be believed.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.stack.account import Account, administrator, create_table, policy
from tests.stack.gateway import gateway as start

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
  pool: {issuer: idp, subject: worker-pool, dags: ["*"], dag_from: [header, user_agent]}
""",
    "readings.yaml": """\
contact: "#readings"
tables:
  readings: {key: "pk (S), sk (S)"}
  sums: {key: "pk (S)"}
  stock: {key: "pk (S), sk (S)", indexes: {by_kind: "kind (S)"}}
  imported: {key: "pk (S), sk (S)"}
  tmp_stock: {key: "pk (S), sk (S)"} # where S3ToDynamoDBOperator puts what goes into an existing table
dags:
  ingest:
    role: arn:aws:iam::000000000000:role/ddb-ingest
    allow:
      - {actions: [read, write], tables: [readings, sums]}
  snoop:
    role: arn:aws:iam::000000000000:role/ddb-snoop
    allow:
      - {actions: [read], tables: [sums]}
  transfer:
    role: arn:aws:iam::000000000000:role/ddb-transfer
    allow:
      - {actions: [GetItem, Query, write], tables: [stock]}
      - {actions: [Query], tables: [stock], indexes: [by_kind]}
      - {actions: [Scan], tables: [stock]}
      - {actions: [DescribeTable, ExportTableToPointInTime, DescribeExport], tables: [stock]}
      - {actions: [ImportTable, DescribeImport], tables: [imported]}
      - {actions: [ImportTable, DescribeImport, Scan, DeleteTable], tables: [tmp_stock]}
""",
}


@pytest.fixture(scope="module")
def account(ministack: Ministack) -> Account:
    """Tables, a role for each DAG, and the gateway's user."""
    made = Account.furnish(ministack)
    dynamodb = administrator(ministack, "dynamodb")
    create_table(dynamodb, "readings", "pk:S", "sk:S")
    create_table(dynamodb, "sums", "pk:S")
    made.create_role("ddb-ingest", "readings", "sums")
    made.create_role("ddb-snoop", "sums")
    furnish_transfers(made)
    return made


def furnish_transfers(account: Account) -> None:
    """What the transfers read and write: a table with backups, buckets, a file to import, and a role for all of it."""
    dynamodb, s3, iam = (administrator(account.engine, service) for service in ("dynamodb", "s3", "iam"))
    create_table(dynamodb, "stock", "pk:S", "sk:S", by_kind=("kind:S",))
    dynamodb.update_continuous_backups(TableName="stock", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    for bucket in ("exports", "imports"):
        s3.create_bucket(Bucket=bucket)
    lines = [json.dumps({"Item": {"pk": {"S": "import"}, "sk": {"S": str(n)}}}) for n in range(3)]
    s3.put_object(Bucket="imports", Key="stock/part-1.json", Body="\n".join(lines).encode())
    account.create_role("ddb-transfer", "stock", "imported", "tmp_stock")
    every = policy({"Effect": "Allow", "Action": ["dynamodb:*", "s3:*"], "Resource": "*"})
    iam.put_role_policy(RoleName="ddb-transfer", PolicyName="all", PolicyDocument=every)


@pytest.fixture(scope="module")
def gateway(account: Account, oidc_provider: IdentityProvider, logs: Path) -> Iterator[Gateway]:
    """The gateway before the engine that verifies signatures, sessions and roles."""
    issuer = {"name": "idp", "issuer": oidc_provider.issuer, "audience": oidc_provider.audience, "may_assert": ["*"]}
    engine = account.engine
    aws = {"region": engine.region, "endpoint_url": engine.url, "sts_endpoint_url": engine.url}
    settings = {"issuers": [issuer], "aws": aws}
    with start(settings, logs / "gateway", policies=POLICIES, env=account.gateway_environment()) as running:
        yield running


def by_connection(gateway: Gateway, token: str) -> dict[str, str]:
    """The worker's environment: one connection, and nothing else."""
    extra = {
        "region_name": "us-east-1",
        "aws_session_token": token,
        "service_config": {"dynamodb": {"endpoint_url": gateway.url}},
    }
    connection = {"conn_type": "aws", "login": "gateway", "password": "unused", "extra": extra}
    return {"AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection)}


def calls_of(gateway: Gateway, dag: str, since: int) -> list[dict[str, Any]]:
    """The decisions about a DAG's requests, from the record number `since` on."""
    return [record for record in gateway.settled()[since:] if record["record"] == "decision" and record["dag"] == dag]


def test_hook_batch_and_sensor_run_unchanged(
    airflow: Airflow, gateway: Gateway, account: Account, oidc_provider: IdentityProvider
) -> None:
    """write_batch_data, get_conn and DynamoDBValueSensor: the DAG is known by its DagRunKey, and acts as its own role."""
    since = len(gateway.settled(requests=0))
    token = oidc_provider.token("worker-pool")
    run = airflow.test_dag("ingest", DAGS / "ingest.py", {**by_connection(gateway, token), "DAY": "monday"})
    assert run.is_green, run.output
    items = [item for item in account.items("readings") if item["pk"]["S"] == "monday"]
    assert len(items) == 60
    assert {"pk": {"S": "monday"}, "total": {"N": str(sum(range(60)))}, "state": {"S": "complete"}} in account.items("sums")
    decisions = calls_of(gateway, "ingest", since)
    assert Counter(record["operation"] for record in decisions) == {
        "BatchWriteItem": 3,
        "Query": 1,
        "PutItem": 1,
        "GetItem": 1,
    }  # no DescribeTable, nor anything else that is not the DAG's own doing
    for record in decisions:
        assert (record["evidence"], record["source"], record["workload"]) == ("claimed", "user_agent", "pool")
        assert (record["decision"], record["role_arn"]) == ("allow", "arn:aws:iam::000000000000:role/ddb-ingest")
    assert token not in run.output


def test_every_call_of_hook_sensor_and_transfers_is_served(
    airflow: Airflow, gateway: Gateway, account: Account, oidc_provider: IdentityProvider
) -> None:
    """DynamoDBHook, DynamoDBValueSensor, DynamoDBToS3Operator and S3ToDynamoDBOperator, by rules that list what they do."""
    since = len(gateway.settled(requests=0))
    engine = account.engine
    extra = {"region_name": engine.region, "endpoint_url": engine.url}
    s3 = {"conn_type": "aws", "login": engine.root_key, "password": engine.root_secret, "extra": extra}
    worker = by_connection(gateway, oidc_provider.token("worker-pool"))
    run = airflow.test_dag("transfer", DAGS / "transfer.py", {**worker, "AIRFLOW_CONN_AWS_S3": json.dumps(s3)})
    assert run.is_green, run.output
    assert {item["pk"]["S"] for item in account.items("stock")} == {"hook", "import"}
    assert len(account.items("imported")) == 3
    decisions = calls_of(gateway, "transfer", since)
    assert [record["message"] for record in decisions if record["decision"] != "allow"] == []
    assert len({record["rule"] for record in decisions}) == 6  # none of the rules is superfluous


def test_a_denied_dag_fails_with_our_sentence_in_its_log(
    airflow: Airflow, gateway: Gateway, oidc_provider: IdentityProvider
) -> None:
    """The task's log says which DAG, action and table, the nearest rule, whom to ask and the decision id; asked once."""
    since = len(gateway.settled(requests=0))
    run = airflow.test_dag("snoop", DAGS / "snoop.py", by_connection(gateway, oidc_provider.token("worker-pool")))
    assert not run.is_green, run.output
    (denial,) = calls_of(gateway, "snoop", since)
    assert (denial["decision"], denial["reason"], denial["source"]) == ("deny", "no_rule", "user_agent")
    expected = f"An error occurred (AccessDeniedException) when calling the GetItem operation: {denial['message']}"
    assert expected in run.output.replace("\\'", "'")
    assert "dag 'snoop' may not GetItem on 'readings'" in denial["message"]
    assert "readings.yaml:" in denial["message"]
    assert "#readings" in denial["message"]
