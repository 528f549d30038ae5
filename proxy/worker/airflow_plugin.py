"""The Airflow plugin (entry point `airflow.plugins`), for Airflow 2.11 and 3. It does nothing while DDB_PROXY_URL is unset.

Loading it turns the botocore plugin on in that process of Airflow's and its children. Its classes are made when they are first
asked for, so that this module can be imported without Airflow.
"""

from __future__ import annotations

import logging
from typing import Any

from proxy.worker import denials
from proxy.worker.switch import Switch, SwitchError, turn_on
from proxy.worker.tasks import Endings, begin

LOG = logging.getLogger("proxy.worker")


def switched_on(refused: type[Exception]) -> Switch | None:
    """Turn the botocore plugin on as the variables say; final refusals are raised as `refused`, if at all."""
    try:
        switch = turn_on()
    except SwitchError as error:
        LOG.error("DynamoDB does not go through the gateway: %s", error)
        return None
    denials.end_tasks_with(refused if switch and switch.fails_at_once else None)
    return switch


def _make_classes() -> dict[str, type]:
    from airflow.exceptions import AirflowFailException, AirflowSkipException
    from airflow.listeners import hookimpl
    from airflow.plugins_manager import AirflowPlugin

    class GatewayRefused(AirflowFailException):  # type: ignore[misc]  # known at run time only
        """The gateway refused for good; Airflow does not try the task again."""

    GatewayRefused.__qualname__ = "GatewayRefused"  # as its name stands in tracebacks, by which a trigger's failure is known
    endings = Endings(GatewayRefused, (AirflowFailException, AirflowSkipException))

    class Listener:
        """Called by Airflow in the process of a task, before it runs."""

        @hookimpl  # type: ignore[untyped-decorator]  # known at run time only
        def on_task_instance_running(self, task_instance: Any) -> None:
            """The task is about to run."""
            begin(task_instance, endings)

    class GatewayPlugin(AirflowPlugin):  # type: ignore[misc]  # known at run time only
        """What Airflow loads."""

        name = "dynamodb_proxy"
        listeners = [Listener()] if switched_on(GatewayRefused) else []

    return {made.__name__: made for made in (GatewayRefused, GatewayPlugin)}


def __getattr__(name: str) -> Any:
    if name not in ("GatewayRefused", "GatewayPlugin"):
        raise AttributeError(name)
    globals().update(_make_classes())
    return globals()[name]
