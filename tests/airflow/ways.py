"""The ways in, as data: a row is a DAG `orders_NAME`, the worker on which it runs and the connection that it names."""

from __future__ import annotations

from typing import NamedTuple


class Way(NamedTuple):
    """How one DAG comes in."""

    machine: str  # whose environment its worker has: a method of place.Machines, and a queue
    connection: str = "aws_default"
    evidence: tuple[str, str] = ("claimed", "user_agent")


WAYS = {
    "plugin": Way("orders", evidence=("claimed", "header")),
    "token": Way("plain", "aws_token"),
    "profile": Way("plain", "aws_profile"),
    "bearer": Way("plain", "aws_bearer"),
}
# In Airflow 2.11, one process a DAG.
WAYS_OF_2 = {
    "two_plugin": Way("orders", evidence=("claimed", "header")),
    "two_token": Way("plain", "aws_token"),
}
# Other DAGs of the same team, which come by the plugin and are refused.
OTHERS = ("foreign", "two_foreign", "strayed")
