"""`make run`: the same stack, kept up until Ctrl-C, with what to paste to use it: shell, curl, Airflow connection."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

from tests.demo.stack import DAGS, DAY, POOL, REGION, Stack
from tests.demo.story import StoryBroke, perform
from tests.stack.process import ROOT

if TYPE_CHECKING:
    from tests.demo.screen import Screen


def keep_up(stack: Stack, screen: Screen) -> None:
    """Say how to use it, and wait for Ctrl-C or SIGTERM."""
    for describe in (_addresses, _boto3, _curl, _airflow):
        describe(stack, screen)
    screen.end("UP", "until Ctrl-C. Tokens last an hour; the issuer's token endpoint gives fresh ones")
    with contextlib.suppress(KeyboardInterrupt):
        exit_code = stack.gateway.program.process.wait()
        raise StoryBroke(f"the gateway ended by itself with exit code {exit_code}")


def connection_of(stack: Stack, client: str) -> dict[str, Any]:
    """An Airflow connection of type aws: the gateway's address, and a token where the session token goes."""
    return {
        "conn_type": "aws",
        "login": "unused",
        "password": "unused",
        "extra": {
            "region_name": REGION,
            "aws_session_token": stack.issuer.token(client),
            "service_config": {"dynamodb": {"endpoint_url": stack.gateway.url}},
        },
    }


def _addresses(stack: Stack, screen: Screen) -> None:
    screen.heading(1, "ADDRESSES", "all on loopback")
    screen.verbatim(
        f"gateway   {stack.gateway.url}\n"
        f"metrics   {stack.gateway.admin_url}/metrics    ready: {stack.gateway.admin_url}/readyz\n"
        f"audit     tail -f {stack.gateway.audit}\n"
        f"policies  {ROOT / 'policies'}\n"
        f"issuer    {stack.issuer.url}/.well-known/openid-configuration\n"
        f"engine    {stack.engine.url} (what you reach when you go round the gateway)"
    )


def _boto3(stack: Stack, screen: Screen) -> None:
    shared = {name: value for name, value in stack.worker_environment(DAGS[0]).items() if name != "AWS_SESSION_TOKEN"}
    screen.heading(2, "BOTO3", "paste it all to be orders_daily; with another token you are another DAG")
    screen.verbatim("export " + " \\\n       ".join(f"{name}={value}" for name, value in shared.items()))
    for dag_id in reversed(DAGS):  # so that who pastes everything ends as the first
        screen.verbatim(f"export AWS_SESSION_TOKEN={stack.issuer.token(dag_id)}  # {dag_id}")
    screen.verbatim(
        f"export DAY={DAY} {' '.join(f'{name}={value}' for name, value in stack.task_environment().items() if name != 'DAY')}\n"
        ".venv/clients/bin/python tests/demo/tasks/orders_daily.py"
    )


def _curl(stack: Stack, screen: Screen) -> None:
    body = json.dumps({"TableName": stack.tables["orders"], "Key": {"pk": {"S": DAY}, "sk": {"S": "order#001"}}})
    client = stack.issuer.clients["orders_report"]
    screen.heading(3, "CURL", "a token from the issuer, and a denial with its reason")
    screen.verbatim(
        f"TOKEN=$(curl -s -u orders_report:{client.secret} -d grant_type=client_credentials {stack.issuer.url}/token"
        " | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])')\n"
        f"curl -s {stack.gateway.url} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/x-amz-json-1.0' \\\n"
        f"     -H 'X-Amz-Target: DynamoDB_20120810.GetItem' -d '{body}'"
    )


def _airflow(stack: Stack, screen: Screen) -> None:
    screen.heading(4, "AIRFLOW", "one connection for all DAGs: the token names none, the amazon provider's User-Agent does")
    screen.verbatim(f"export AIRFLOW_CONN_AWS_DEFAULT='{json.dumps(connection_of(stack, POOL))}'")


if __name__ == "__main__":
    sys.exit(perform(keep_up, "everything is stopped"))
