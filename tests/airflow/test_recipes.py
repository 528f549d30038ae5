"""A whole Airflow 3, Celery and triggerer with it, in which each of the README's recipes is one DAG's way to the gateway.

All DAGs start at once when Airflow has read them; a test waits for the end of its own and looks at what the gateway has seen.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.airflow.recipes import exported, recipe
from tests.demo.issuer import Client, oidc_issuer
from tests.stack.account import Account, administrator, create_table, policy
from tests.stack.airflow_deployment import airflow_deployment
from tests.stack.environments import python_of
from tests.stack.gateway import gateway
from tests.stack.ministack import ministack
from tests.stack.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stack.airflow_deployment import Deployment
    from tests.stack.gateway import Gateway
    from tests.stack.ministack import Ministack

pytestmark = pytest.mark.needs("server", "engine", "airflow3", "redis", "openssl")
DAGS = ROOT / "tests" / "airflow" / "dags"
AUDIENCE = "dynamodb-proxy"
ACCOUNTS = "system:serviceaccount:airflow:"


class Way(NamedTuple):
    """A DAG of team orders and how it comes in: on which queue, by which connection, through which gateway."""

    queue: str
    connection: str = "aws_default"
    evidence: tuple[str, str] = ("claimed", "user_agent")

    def dag(self, name: str) -> str:
        """Its DAG's id."""
        return f"orders_{name}"  # its table for imports is orders-imported-NAME


WAYS = {
    "connection": Way("plain", "aws_connection"),
    "profile": Way("plain", "aws_profile"),
    "bearer": Way("plain", "aws_bearer"),
}


class Site(NamedTuple):
    """Everything that stands: the engine, a gateway beside the workers, one that is shared over TLS, Airflow."""

    account: Account
    beside: Gateway
    shared: Gateway
    airflow: Deployment

    def decisions(self, dag: str) -> list[dict[str, Any]]:
        """What both gateways decided about a DAG's requests."""
        records = self.beside.records() + self.shared.records()
        return [record for record in records if record["record"] == "decision" and record["dag"] == dag]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """All of it, with every way's DAG on its way."""
    folder = tmp_path_factory.mktemp("recipes")
    workers = {name: Client(f"{ACCOUNTS}{name}") for name in ("worker-orders", "worker-billing")}
    workers["triggerer"] = Client(f"{ACCOUNTS}triggerer", {"dag_id": "airflow_triggerer"})
    with contextlib.ExitStack() as stack:
        account = furnished(stack.enter_context(ministack(folder)))
        issuer = stack.enter_context(oidc_issuer(AUDIENCE, workers))
        for name in workers:
            (folder / name).write_text(issuer.token(name))
        settings: dict[str, Any] = {
            "issuers": [{"name": "airflow", "issuer": issuer.url, "audience": AUDIENCE, "may_assert": ["*"]}],
            "aws": {
                "region": account.engine.region,
                "endpoint_url": account.engine.url,
                "sts_endpoint_url": account.engine.url,
            },
        }
        tls = certificate(folder)
        options: dict[str, Any] = {"policies": policies(), "env": account.gateway_environment()}
        beside = stack.enter_context(gateway(settings, folder / "beside", **options))
        shared = stack.enter_context(gateway({**settings, "tls": tls}, folder / "shared", **options))
        machines = Machines(folder, beside.url, shared.url.replace("http:", "https:"))
        airflow = stack.enter_context(
            airflow_deployment(
                folder / "airflow",
                dags=[DAGS / "ways.py"],
                workers={"plain": machines.plain()},
                triggerer=machines.triggerer(),
                env={"WAYS": json.dumps([described(name, way) for name, way in WAYS.items()]), **s3_connection(account)},
            )
        )
        yield Site(account, beside, shared, airflow)


class Machines(NamedTuple):
    """The environments of Airflow's parts, each as its recipe says, with the token of its own service account."""

    folder: Path
    beside: str
    shared: str

    def places(self, account: str) -> dict[str, str]:
        """What stands here where the README has an example."""
        return {
            "/var/run/secrets/ddb-proxy/token": str(self.folder / account),
            "/var/run/secrets/ddb-proxy/ca.crt": str(self.folder / "ca.crt"),
            "http://127.0.0.1:8080": self.beside,
            "https://ddb-proxy.airflow.svc:8443": self.shared,
            "eu-west-1": "us-east-1",
            "111122223333": "000000000000",
            "dynamodb-proxy token": f"{python_of('airflow3')} -m proxy token",
        }

    def plain(self, account: str = "worker-orders") -> dict[str, str]:
        """A machine that has nothing but connections, one for each recipe."""
        config = self.folder / f"{account}.config"
        config.write_text(recipe("profile", self.places(account)))
        bearer = exported("bearer", self.places(account))
        return {
            "AWS_CONFIG_FILE": str(config),
            "AWS_BEARER_TOKEN_DYNAMODB": bearer["AWS_BEARER_TOKEN_DYNAMODB"],
            "AIRFLOW_CONN_AWS_PROFILE": json.dumps({"conn_type": "aws", "extra": {"profile_name": "ddb-proxy"}}),
            "AIRFLOW_CONN_AWS_CONNECTION": exported("token", self.places(account))["AIRFLOW_CONN_AWS_DEFAULT"],
            "AIRFLOW_CONN_AWS_BEARER": bearer["AIRFLOW_CONN_AWS_DEFAULT"],
        }

    def triggerer(self) -> dict[str, str]:
        """The triggerer has the same connections, and a service account of its own."""
        return self.plain("triggerer")


def s3_connection(account: Account) -> dict[str, str]:
    """S3 has keys of its own: no recipe may touch them."""
    extra = {"region_name": account.engine.region, "endpoint_url": account.engine.url}
    connection = {"conn_type": "aws", "login": account.engine.root_key, "password": account.engine.root_secret, "extra": extra}
    return {"AIRFLOW_CONN_AWS_S3": json.dumps(connection)}


def described(name: str, way: Way) -> dict[str, object]:
    """A way's DAG for dags/ways.py."""
    return {"dag": way.dag(name), "queue": way.queue, "connection": way.connection, "deferrable": True}


def furnished(engine: Ministack) -> Account:
    """Tables, buckets and roles, as administrators leave them."""
    account = Account.furnish(engine)
    dynamodb, s3, iam = (administrator(engine, service) for service in ("dynamodb", "s3", "iam"))
    create_table(dynamodb, "orders-events", "pk:S", "sk:S")
    create_table(dynamodb, "orders-states", "pk:S")
    create_table(dynamodb, "billing-invoices", "pk:S")
    for bucket in ("exports", "imports"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="imports", Key="states/1.json", Body=json.dumps({"Item": {"pk": {"S": "imported"}}}).encode())
    account.create_role("ddb-orders", "orders-events", "orders-states")
    importing = policy({"Effect": "Allow", "Action": ["dynamodb:*", "s3:*"], "Resource": "*"})
    iam.put_role_policy(RoleName="ddb-orders", PolicyName="imports", PolicyDocument=importing)
    account.create_role("ddb-billing", "billing-invoices")
    account.create_role("ddb-triggerer", "orders-states")
    return account


def policies() -> dict[str, str]:
    """The README's files of the platform team and its triggerer, and the teams' files with a DAG for each way."""
    orders = [way.dag(name) for name, way in WAYS.items()]
    imported = [f"imported_{name}" for name in WAYS]
    tables = {"events": "pk (S), sk (S)", "states": "pk (S)", **dict.fromkeys(imported, "pk (S)")}
    own = [{"exact": ["<dag_id>"]}]
    rules = [
        {"actions": ["read", "write"], "tables": ["events"], "keys": own},
        {"actions": ["read", "Scan", "write"], "tables": ["states"]},
        {"actions": ["ImportTable", "DescribeImport"], "tables": imported},
    ]
    team = {
        "team": "orders",
        "contact": "#orders",
        "tables": {name: {"name": f"orders-{name.replace('_', '-')}", "key": key} for name, key in tables.items()},
        "defaults": {"role": "arn:aws:iam::000000000000:role/ddb-orders", "allow": rules},
        "dags": {dag: {} for dag in orders},
    }
    places = {"111122223333": "000000000000"}
    return {
        "platform.yaml": recipe("queue-per-team", places),
        "triggerer.yaml": recipe("triggerer", places),
        "orders.yaml": json.dumps(team),  # which is YAML
    }


def certificate(folder: Path) -> dict[str, str]:
    """The shared gateway's certificate, which is its own authority, and its key: the setting `tls`."""
    made, key = folder / "ca.crt", folder / "tls.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, "-keyout", key, "-out", made], check=True, capture_output=True)
    return {"certificate": str(made), "key": str(key)}


@pytest.mark.parametrize("name", WAYS)
def test_a_way_serves_the_whole_dag(name: str, site: Site) -> None:
    """Batch, client, resource, both sensors and both transfers, as the DAG's own role; what waits reads as the triggerer."""
    way = WAYS[name]
    dag = way.dag(name)
    end = site.airflow.end_of(dag)
    assert end == "success", site.airflow.log_of(dag)
    assert [item for item in site.account.items("orders-states") if item["pk"]["S"] == dag] == [
        {"pk": {"S": dag}, "count": {"N": "30"}, "state": {"S": "done"}}
    ]
    assert site.account.items(f"orders-imported-{name}") == [{"pk": {"S": "imported"}}]
    decisions = site.decisions(dag)
    assert {record["operation"] for record in decisions} >= {
        "BatchWriteItem",
        "Query",
        "PutItem",
        "GetItem",
        "Scan",
        "ImportTable",
    }
    for record in decisions:
        assert record["decision"] == "allow"
        assert (record["evidence"], record["source"]) == way.evidence
        assert (record["subject"], record["workload"]) == (f"{ACCOUNTS}worker-orders", "orders-queue")


def test_deferred_sensors_of_all_dags_read_as_the_triggerer(site: Site) -> None:
    """The triggerer's own DAG id, role and rule; it does nothing but read."""
    for name, way in WAYS.items():
        assert site.airflow.end_of(way.dag(name)) == "success"
    decisions = site.decisions("airflow_triggerer")
    assert len(decisions) >= len(WAYS)
    assert {(record["operation"], record["decision"], record["evidence"]) for record in decisions} == {
        ("GetItem", "allow", "verified")
    }
    assert {record["role_arn"] for record in decisions} == {"arn:aws:iam::000000000000:role/ddb-triggerer"}
