"""The environments of Airflow's parts: each is what its recipe exports, with the token of its own service account."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.airflow.recipes import exported, recipe

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.ministack import Ministack

ROLE = "arn:aws:iam::000000000000:role/"


class Machines(NamedTuple):
    """What they are made of: `folder` has tokens, certificate and the installed distribution; the rest are URLs."""

    folder: Path
    beside: str
    shared: str
    engine: Ministack

    def everywhere(self) -> dict[str, str]:
        """What holds for every part of Airflow: a Region, `pip install dynamodb-proxy`, and S3 with keys of its own."""
        return {"AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": str(self.folder / "installed"), **s3_connection(self.engine)}

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


def connection_to(gateway: str, extra: dict[str, Any], keys: dict[str, str]) -> str:
    """A connection with this endpoint for DynamoDB."""
    whole = {"region_name": "us-east-1", "service_config": {"dynamodb": {"endpoint_url": gateway}}, **extra}
    return json.dumps({"conn_type": "aws", **keys, "extra": whole})


def s3_connection(engine: Ministack) -> dict[str, str]:
    """S3 has keys of its own: no recipe may touch them."""
    extra = {"region_name": engine.region, "endpoint_url": engine.url}
    connection = {"conn_type": "aws", "login": engine.root_key, "password": engine.root_secret, "extra": extra}
    return {"AIRFLOW_CONN_AWS_S3": json.dumps(connection)}
