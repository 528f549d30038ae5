"""An Airflow session factory (AIRFLOW__AWS__SESSION_FACTORY) that does as the botocore plugin does, by documented means.

For a botocore without the experimental hook: it reaches the amazon provider's hooks, not plain `boto3.client`. The class is
made when it is first asked for, so that this module can be imported without Airflow.
"""

from __future__ import annotations

from typing import Any

from proxy.worker.botocore_plugin import initialize_client_plugin

SERVICE_IDS = ("dynamodb", "dynamodb-streams")


class Adapted:
    """A base class of DynamoDB clients, added when their class is made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        initialize_client_plugin(self)


def add_base(base_classes: list[type], **_: Any) -> None:
    """The handler of the event `creating-client-class`, as boto3's extensibility guide describes it."""
    base_classes.insert(0, Adapted)


def extend(session: Any) -> Any:
    """Let a session of boto3, botocore or aiobotocore make DynamoDB clients that talk to the gateway."""
    emitter = getattr(session, "events", None) or session.get_component("event_emitter")
    for service_id in SERVICE_IDS:
        emitter.register(f"creating-client-class.{service_id}", add_base, unique_id=f"ddb-proxy-{service_id}")
    return session


def _make_class() -> type:
    from airflow.providers.amazon.aws.hooks.base_aws import BaseSessionFactory

    class GatewaySessionFactory(BaseSessionFactory):  # type: ignore[misc]  # known at run time only
        """The provider's sessions, whose DynamoDB clients talk to the gateway while DDB_PROXY_URL is set."""

        def create_session(self, deferrable: bool = False) -> Any:
            """A session of boto3, or of aiobotocore where `deferrable`."""
            return extend(super().create_session(deferrable=deferrable))

    return GatewaySessionFactory


def __getattr__(name: str) -> Any:
    if name != "GatewaySessionFactory":
        raise AttributeError(name)
    globals()[name] = made = _make_class()
    return made
