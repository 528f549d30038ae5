"""What Airflow's parts find where the recipes are run: an account, two gateways, and a token for each service account.

Every DAG of `DAGS` does the whole of dags/ways.py; its id says how it comes in.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.airflow.recipes import exported, recipe
from tests.demo.issuer import Client, oidc_issuer
from tests.stack.account import Account, administrator, create_table, policy
from tests.stack.environments import python_of
from tests.stack.gateway import gateway
from tests.stack.ministack import ministack
from tests.stack.process import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.stack.gateway import Gateway
    from tests.stack.ministack import Ministack

AUDIENCE = "dynamodb-proxy"
ACCOUNTS = "system:serviceaccount:airflow:"
SERVICE_ACCOUNTS = ("worker-orders", "worker-billing", "triggerer")
ROLE = "arn:aws:iam::000000000000:role/"


class Machines(NamedTuple):
    """The environments of Airflow's parts, each as its recipe says, with the token of its own service account."""

    folder: Path
    beside: str
    shared: str
    s3: dict[str, str]

    def everywhere(self) -> dict[str, str]:
        """What holds for every part of Airflow: a Region, `pip install dynamodb-proxy`, and S3 with keys of its own."""
        return {"AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": str(self.folder / "installed"), **self.s3}

    def places(self, account: str) -> dict[str, str]:
        """What stands here where the README has an example."""
        role = {"ddb-orders-daily": "ddb-triggerer"} if account == "triggerer" else {}
        return {
            **role,
            "/var/run/secrets/ddb-proxy/token": str(self.folder / account),
            "/var/run/secrets/ddb-proxy/ca.crt": str(self.folder / "ca.crt"),
            "http://127.0.0.1:8080": self.beside,
            "https://ddb-proxy.airflow.svc:8443": self.shared,
            "eu-west-1": "us-east-1",
            "111122223333": "000000000000",
        }

    def of(self, machine: str) -> dict[str, str]:
        """The environment by its name."""
        made = {
            "plain": self.plain,
            "orders": self.orders,
            "billing": self.billing,
            "sidecar": lambda: exported("sidecar", self.places("worker-orders")),
            "shared": lambda: exported("shared", self.places("worker-orders")),
        }
        return made[machine]()

    def orders(self, account: str = "worker-orders") -> dict[str, str]:
        """A machine with the plugin."""
        return exported("plugin", self.places(account))

    def billing(self) -> dict[str, str]:
        """The same, of the other team."""
        return self.orders("worker-billing")

    def plain(self, account: str = "worker-orders") -> dict[str, str]:
        """A machine that has nothing but connections, one for each way."""
        places = self.places(account)
        config = self.folder / f"{account}.config"
        config.write_text(recipe("profile", places))
        token = (self.folder / account).read_text()
        given = {"login": "gateway", "password": "unused"}
        bearer = {"config_kwargs": {"signature_version": "bearer"}, "verify": str(self.folder / "ca.crt")}
        return {
            "AWS_CONFIG_FILE": str(config),
            "PATH": f"{self.folder / 'installed' / 'bin'}:{os.environ['PATH']}",
            "AWS_BEARER_TOKEN_DYNAMODB": token,
            "AIRFLOW_CONN_AWS_PROFILE": json.dumps({"conn_type": "aws", "extra": {"profile_name": "ddb-proxy"}}),
            "AIRFLOW_CONN_AWS_CONNECTION": exported("connection", places)["AIRFLOW_CONN_AWS_DEFAULT"],
            "AIRFLOW_CONN_AWS_TOKEN": connection_to(self.beside, {"aws_session_token": token}, given),
            "AIRFLOW_CONN_AWS_BEARER": connection_to(self.shared, bearer, {}),
        }

    def triggerer(self) -> dict[str, str]:
        """The triggerer has the plugin, the same connections, and a service account of its own."""
        return {**self.plain("triggerer"), **self.orders("triggerer")}


class Place(NamedTuple):
    """Everything but Airflow: the engine, a gateway beside the workers, and one that is shared over TLS."""

    account: Account
    beside: Gateway
    shared: Gateway
    machines: Machines

    def decisions(self, dag: str) -> list[dict[str, Any]]:
        """What both gateways decided about a DAG's requests."""
        records = self.beside.records() + self.shared.records()
        return [record for record in records if record["record"] == "decision" and record["dag"] == dag]


@contextlib.contextmanager
def place(folder: Path, roles: Mapping[str, str]) -> Iterator[Place]:
    """Start it, with a DAG `orders_WAY` for each of `roles`: way -> name of its role."""
    workers = {name: Client(ACCOUNTS + name) for name in SERVICE_ACCOUNTS}
    with contextlib.ExitStack() as stack:
        account = furnished(stack.enter_context(ministack(folder)))
        issuer = stack.enter_context(oidc_issuer(AUDIENCE, workers))
        for name in workers:
            (folder / name).write_text(issuer.token(name))
        engine = account.engine
        settings: dict[str, Any] = {
            "issuers": [{"name": "airflow", "issuer": issuer.url, "audience": AUDIENCE, "may_assert": ["*"]}],
            "aws": {"region": engine.region, "endpoint_url": engine.url, "sts_endpoint_url": engine.url},
        }
        shared_settings = {**settings, "tls": certificate(folder)}
        options: dict[str, Any] = {"policies": policies(roles), "env": account.gateway_environment()}
        beside = stack.enter_context(gateway(settings, folder / "beside", **options))
        shared = stack.enter_context(gateway(shared_settings, folder / "shared", **options))
        machines = Machines(folder, beside.url, shared.url.replace("http:", "https:"), s3_connection(account))
        installed(folder)
        yield Place(account, beside, shared, machines)


def connection_to(gateway: str, extra: dict[str, Any], keys: dict[str, str]) -> str:
    """A connection with this endpoint for DynamoDB."""
    whole = {"region_name": "us-east-1", "service_config": {"dynamodb": {"endpoint_url": gateway}}, **extra}
    return json.dumps({"conn_type": "aws", **keys, "extra": whole})


def installed(folder: Path) -> None:
    """Build the base wheel and install it below `folder / "installed"`, entry points and command included."""
    source, python = folder / "source", python_of("dev")
    source.mkdir()
    for name in ("proxy", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", ROOT / name, source], check=True)
    quiet: dict[str, Any] = {"check": True, "capture_output": True, "env": clean_environment()}
    subprocess.run([python, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source], **quiet)
    (wheel,) = folder.glob("*.whl")
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-index", "--no-deps", "--target"]
    subprocess.run([*pip, folder / "installed", wheel], **quiet)


def s3_connection(account: Account) -> dict[str, str]:
    """S3 has keys of its own: no recipe may touch them."""
    extra = {"region_name": account.engine.region, "endpoint_url": account.engine.url}
    connection = {"conn_type": "aws", "login": account.engine.root_key, "password": account.engine.root_secret, "extra": extra}
    return {"AIRFLOW_CONN_AWS_S3": json.dumps(connection)}


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
    importing = policy({"Effect": "Allow", "Action": ["dynamodb:*", "s3:*"], "Resource": "*"})
    for role in ("ddb-orders", "ddb-orders-daily"):
        account.create_role(role, "orders-events", "orders-states")
        iam.put_role_policy(RoleName=role, PolicyName="imports", PolicyDocument=importing)
    account.create_role("ddb-billing", "billing-invoices")
    account.create_role("ddb-triggerer", "orders-states")
    return account


def policies(roles: Mapping[str, str]) -> dict[str, str]:
    """The README's files of the platform team and its triggerer, and the teams' files with a DAG for each way."""
    imported = [f"imported_{way}" for way in roles]
    tables = {"events": "pk (S), sk (S)", "states": "pk (S)", **dict.fromkeys(imported, "pk (S)")}
    own = [{"exact": ["<dag_id>"]}]
    rules = [
        {"actions": ["read", "write"], "tables": ["events"], "keys": own},
        {"actions": ["read", "Scan", "write"], "tables": ["states"]},
        {"actions": ["ImportTable", "DescribeImport"], "tables": imported},
    ]
    orders = {
        "team": "orders",
        "contact": "#orders",
        "tables": {name: {"name": f"orders-{name.replace('_', '-')}", "key": key} for name, key in tables.items()},
        "defaults": {"allow": rules},
        "dags": {f"orders_{way}": {"role": ROLE + role} for way, role in roles.items()},
    }
    billing = {
        "team": "billing",
        "tables": {"invoices": {"name": "billing-invoices", "key": "pk (S)"}},
        "dags": {
            "billing_daily": {
                "role": f"{ROLE}ddb-billing",
                "allow": [{"actions": ["read", "write"], "tables": ["invoices"]}],
            }
        },
    }
    places = {"111122223333": "000000000000"}
    return {
        "platform.yaml": recipe("queue-per-team", places),
        "triggerer.yaml": recipe("triggerer", places),
        "orders.yaml": json.dumps(orders),  # which is YAML
        "billing.yaml": json.dumps(billing),
    }


def certificate(folder: Path) -> dict[str, str]:
    """The shared gateway's certificate, which is its own authority, and its key: the setting `tls`."""
    made, key = folder / "ca.crt", folder / "tls.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, "-keyout", key, "-out", made], check=True, capture_output=True)
    return {"certificate": str(made), "key": str(key)}
