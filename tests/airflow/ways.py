"""The ways in, as data: a row is a DAG `orders_NAME`, the worker on which it runs and the connection that it names."""

from __future__ import annotations

from typing import NamedTuple


class Way(NamedTuple):
    """How one DAG comes in."""

    machine: str  # whose environment its worker has: a method of place.Machines, and a queue
    connection: str = "aws_default"
    source: str = "user_agent"  # what says which DAG it is
    role: str = "ddb-orders"


WAYS = {
    "plugin": Way("orders", source="header"),
    "sidecar": Way("sidecar"),
    "connection": Way("plain", "aws_connection", source="session", role="ddb-orders-daily"),
    "shared": Way("shared"),
    "profile": Way("plain", "aws_profile"),
    "token": Way("plain", "aws_token"),
    "bearer": Way("plain", "aws_bearer"),
}
# In Airflow 2.11, one process a DAG, where nothing defers.
WAYS_OF_2 = {
    "two_plugin": Way("orders", source="header"),
    "two_sidecar": Way("sidecar"),
    "two_shared": Way("shared"),
    "two_profile": Way("plain", "aws_profile"),
    "two_token": Way("plain", "aws_token"),
    "two_bearer": Way("plain", "aws_bearer"),
}
# Other DAGs of the same team, which come by the plugin.
OTHERS = ("foreign", "two_foreign", "strayed", "victim")
