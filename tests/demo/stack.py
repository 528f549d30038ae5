"""The embedded stack: engine, issuer, fault proxy, gateway; on loopback ports of their own, in one temporary folder.

    worker -> gateway -> fault proxy -> ministack (DynamoDB, IAM)        gateway -> issuer (keys), ministack (STS)

Every name comes from the shipped policies; only the gateway's settings are written here. Nothing is left behind.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.session import Session

from tests.demo.account import AccessKey, Blueprint, furnish, table_arn
from tests.demo.faults import Throttler
from tests.demo.issuer import Client, Issuer, oidc_issuer
from tests.stack.environments import python_of
from tests.stack.faults import fault_proxy
from tests.stack.gateway import Gateway
from tests.stack.ministack import Ministack, ministack
from tests.stack.process import ROOT, answers, clean_environment, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENVIRONMENT, REGION = "demo", "us-east-1"
AUDIENCE = "dynamodb-proxy"
DAGS = ("orders_daily", "orders_report", "growth_sync")
POOL = "airflow-pool"  # a worker whose token names no DAG
DAY = "2026-11-21"
ORDERS = 12
_TASKS = Path(__file__).parent / "tasks"
_TASK_SECONDS = 60


@dataclass(frozen=True, slots=True)
class TaskRun:
    """How a task ended, with what it printed and the last line that it left on standard error."""

    exit_code: int
    output: str
    error: str


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that runs."""

    engine: Ministack
    blueprint: Blueprint
    issuer: Issuer
    throttler: Throttler
    gateway: Gateway
    base: AccessKey

    @property
    def tables(self) -> Mapping[str, str]:
        """Logical name -> real name, as the policies say."""
        return self.blueprint.tables

    def worker_environment(self, dag_id: str) -> dict[str, str]:
        """All that a worker needs: the gateway's address, and its token where boto3 looks for a session token."""
        return {
            "AWS_ENDPOINT_URL_DYNAMODB": self.gateway.url,
            "AWS_ACCESS_KEY_ID": "unused",
            "AWS_SECRET_ACCESS_KEY": "unused",
            "AWS_SESSION_TOKEN": self.issuer.token(dag_id),
            "AWS_DEFAULT_REGION": REGION,
        }

    def task_environment(self) -> dict[str, str]:
        """What the tasks are told: table names and the day."""
        return {"DAY": DAY, **{f"{logical.upper()}_TABLE": name for logical, name in self.tables.items()}}

    def run_task(self, dag_id: str, **aws: str) -> TaskRun:
        """Run the DAG's task with the newest boto3, as its worker; `aws` overrides variables of the worker."""
        env = clean_environment({**self.task_environment(), **self.worker_environment(dag_id), **aws})
        done = subprocess.run(
            [python_of("clients"), _TASKS / f"{dag_id}.py"],
            env=env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TASK_SECONDS,
            check=False,
        )
        return TaskRun(done.returncode, done.stdout.strip(), (done.stderr.strip().splitlines() or [""])[-1])

    def assume_role_of(self, dag_id: str) -> dict[str, str]:
        """Variables with a session of the DAG's role, made with the gateway's own base identity."""
        sts = Session(*self.base, region_name=REGION).client("sts", endpoint_url=self.engine.url)
        made = sts.assume_role(RoleArn=self.blueprint.role_of(dag_id), RoleSessionName=dag_id)["Credentials"]
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
        variables = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return {variable: made[name] for variable, name in zip(variables, names, strict=True)}

    def count(self, logical: str) -> int:
        """Items in a table, seen by the account's administrator and not through the gateway."""
        client = _administrator(self.engine)
        return int(client.scan(TableName=self.tables[logical], Select="COUNT")["Count"])


@contextlib.contextmanager
def demo_stack() -> Iterator[Stack]:
    """Start everything, empty but for one day's orders."""
    blueprint = Blueprint.read(ROOT / "policies", ENVIRONMENT, REGION)
    clients = {dag_id: Client("airflow-worker", {"dag_id": dag_id}) for dag_id in DAGS}
    clients[POOL] = Client(POOL)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dynamodb-proxy-demo-")))
        issuer = stack.enter_context(oidc_issuer(AUDIENCE, clients))
        engine = stack.enter_context(ministack(folder))
        base = furnish(engine, blueprint)
        _write_orders(engine, blueprint.tables["orders"])
        throttler = Throttler(table_arn(blueprint.tables["events"], REGION, engine.account))
        upstream, _ = stack.enter_context(fault_proxy(engine.url, throttler))
        settings = gateway_settings(issuer.url, upstream, engine.url)
        gateway = stack.enter_context(_gateway(folder, settings, base))
        yield Stack(engine, blueprint, issuer, throttler, gateway, base)


def gateway_settings(issuer_url: str, dynamodb_url: str, sts_url: str) -> dict[str, Any]:
    """The gateway's settings file. Against AWS the two `endpoint_url`s fall away."""
    return {
        "listen": f"127.0.0.1:{free_port()}",
        "admin_listen": f"127.0.0.1:{free_port()}",
        "policies": "policies",
        "environment": ENVIRONMENT,
        "issuers": [{"name": "airflow", "issuer": issuer_url, "audience": AUDIENCE, "may_assert": ["orders_*", "growth_*"]}],
        "aws": {"region": REGION, "endpoint_url": dynamodb_url, "sts_endpoint_url": sts_url, "warm_up": ["*"]},
        "audit": {"path": "audit.jsonl"},
    }


@contextlib.contextmanager
def _gateway(folder: Path, settings: Mapping[str, Any], base: AccessKey) -> Iterator[Gateway]:
    """The gateway as its users start it, beside a link to the shipped policies, so that messages name `policies/FILE:LINE`."""
    (folder / "policies").symlink_to(ROOT / "policies", target_is_directory=True)
    (folder / "proxy.yaml").write_text(json.dumps(settings, indent=1))  # JSON is YAML
    env = {"AWS_ACCESS_KEY_ID": base.key_id, "AWS_SECRET_ACCESS_KEY": base.secret, "PYTHONPATH": str(ROOT)}
    command = [str(python_of("server")), "-m", "proxy", "serve", "--config", "proxy.yaml"]
    url, admin_url = f"http://{settings['listen']}", f"http://{settings['admin_listen']}"
    with running(
        "gateway", command, folder, env=env, cwd=folder, ready=lambda _: answers(f"{admin_url}/readyz", status=200)
    ) as program:
        yield Gateway(url, admin_url, folder / "audit.jsonl", program)


def _administrator(engine: Ministack) -> Any:
    return Session(engine.root_key, engine.root_secret, region_name=REGION).client("dynamodb", endpoint_url=engine.url)


def _write_orders(engine: Ministack, table: str) -> None:
    orders = [
        {
            "pk": {"S": DAY},
            "sk": {"S": f"order#{n:03}"},
            "status": {"S": "paid"},
            "created_at": {"S": f"{DAY}T{n + 8:02}:00:00Z"},
            "cents": {"N": str(995 + 100 * n)},
        }
        for n in range(ORDERS)
    ]
    _administrator(engine).batch_write_item(RequestItems={table: [{"PutRequest": {"Item": order}} for order in orders]})
