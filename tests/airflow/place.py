"""What Airflow's parts find where the recipes are run: an account, two gateways, a token for each service account, and policies.

Those of the platform are the README's; team orders has a DAG for each way in.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.airflow.machines import ROLE, Machines
from tests.airflow.recipes import recipe
from tests.demo.issuer import Client, oidc_issuer
from tests.stack.account import Account, administrator, create_table, policy
from tests.stack.gateway import gateway
from tests.stack.ministack import ministack
from tests.stack.process import ROOT, clean_environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.stack.gateway import Gateway
    from tests.stack.ministack import Ministack

AUDIENCE = "dynamodb-proxy"
ACCOUNTS = "system:serviceaccount:airflow:"
SERVICE_ACCOUNTS = ("worker-orders", "worker-billing", "triggerer")


class Place(NamedTuple):
    """Everything but Airflow: the engine, a gateway beside the workers, and one that is shared over TLS."""

    account: Account
    beside: Gateway
    shared: Gateway
    machines: Machines

    def decisions(self, dag: str, *operations: str) -> list[dict[str, Any]]:
        """What both gateways decided about a DAG's requests, once these are among them: reads are written in batches."""

        def found() -> list[dict[str, Any]]:
            records = self.beside.records() + self.shared.records()
            return [record for record in records if record["record"] == "decision" and record["dag"] == dag]

        wanted = Counter(operations)
        wait_until(lambda: wanted <= Counter(r["operation"] for r in found()), 10, f"{operations} of {dag} are on record")
        return found()


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
        machines = Machines(folder, beside.url, shared.url.replace("http:", "https:"), engine)
        installed(folder)
        yield Place(account, beside, shared, machines)


def installed(folder: Path) -> None:
    """Build the base wheel and install it below `folder / "installed"`, entry points and command included."""
    source = folder / "source"
    shutil.copytree(ROOT / "proxy", source / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = ["build", "--wheel", "--no-isolation", "--outdir", folder, source]
    install = ["pip", "install", "--disable-pip-version-check", "--no-index", "--no-deps", "--target", folder / "installed"]
    for words in (build, [*install, "--find-links", folder, "dynamodb-proxy"]):
        command = [sys.executable, "-m", *map(str, words)]
        subprocess.run(command, check=True, capture_output=True, env=clean_environment(), stdin=subprocess.DEVNULL)


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
