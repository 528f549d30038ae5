"""What `doctor` sees of the plugin's recipe: is it on, can it be loaded here, and what would lead clients past it?

Looks at the environment and at what is installed; imports neither Airflow nor botocore.
"""

from __future__ import annotations

import importlib.util
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxy.worker.chain import Finding
from proxy.worker.switch import (
    BOTOCORE_PLUGINS,
    ENDPOINTS,
    PLUGIN_MODULE,
    SESSION_FACTORY,
    URL,
    goes_to_gateway,
    has_plugin,
    is_loopback,
    profile_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proxy.worker.switch import Switch

OLDEST_BOTOCORE = (1, 40)
NEWEST_BOTOCORE = (1, 44)  # the newest that the tests ran with; a test holds it against the lock


def examine_recipe(
    switch: Switch, environment: Mapping[str, str], connections: Iterable[tuple[str, dict[str, Any]]]
) -> Iterator[Finding]:
    """The findings of the link `worker` where DDB_PROXY_URL is set."""
    yield from loading(environment)
    yield from botocore_here(switch)
    place = urlsplit(switch.url)
    if place.scheme == "http" and not is_loopback(place.hostname or ""):
        yield Finding(
            "worker", "note", f"{switch.url} is plain HTTP off this machine: the token travels in the clear; use https://"
        )
    for name in ENDPOINTS:
        if environment.get(name) and not goes_to_gateway(environment[name], switch):
            yield Finding("worker", "broken", f"{name} leads to {environment[name]}, not to {URL}", "unset it")
    for name, extra in connections:
        yield from connection_findings(name, extra, switch)
    yield Finding("worker", "ok", f"DynamoDB clients of Airflow's processes go to {switch.url} ({URL}, plugin)")


def loading(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Who loads the plugin here."""
    if has_plugin(environment):
        return
    entries = {entry.name for entry in metadata.entry_points(group="airflow.plugins")}
    if "dynamodb_proxy" not in entries:
        yield Finding(
            "worker",
            "broken",
            "the distribution's entry point for Airflow is not installed here, so nothing turns the plugin on",
            f"in a clone: DDB_PROXY_PURE=1 pip install . for Airflow; or set {BOTOCORE_PLUGINS}=ddb-proxy={PLUGIN_MODULE}",
        )
    elif importlib.util.find_spec("airflow") is None:
        yield Finding(
            "worker",
            "note",
            f"no Airflow here, which turns the plugin on; else set {BOTOCORE_PLUGINS}=ddb-proxy={PLUGIN_MODULE}",
        )


def botocore_here(switch: Switch) -> Iterator[Finding]:
    """Whether the botocore of this environment can load it."""
    if importlib.util.find_spec("botocore") is None:
        yield Finding("worker", "note", "no botocore here: run doctor with the Python of the worker to have it looked at")
        return
    version = metadata.version("botocore")
    if importlib.util.find_spec("botocore.plugin") is None:
        yield Finding(
            "worker",
            "broken",
            f"botocore {version} has no hook for plugins",
            f"set AIRFLOW__AWS__SESSION_FACTORY={SESSION_FACTORY}, or unset {URL} and write this profile:\n{profile_for(switch)}",
        )
    elif not OLDEST_BOTOCORE <= release_of(version) <= NEWEST_BOTOCORE:
        tested = " to ".join(".".join(map(str, pair)) for pair in (OLDEST_BOTOCORE, NEWEST_BOTOCORE))
        yield Finding("worker", "note", f"botocore {version} was not tested with the plugin ({tested} were)")


def release_of(version: str) -> tuple[int, ...]:
    """(1, 44) of `1.44.5`; zeros for what is no number."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split(".")[:2])


def connection_findings(name: str, extra: Mapping[str, Any], switch: Switch) -> Iterator[Finding]:
    """What in a connection leads past the gateway, or asks AWS first."""
    services = extra.get("service_config")
    service = services.get("dynamodb") if isinstance(services, dict) else None
    said = (service.get("endpoint_url") if isinstance(service, dict) else None) or extra.get("endpoint_url")
    if isinstance(said, str) and not goes_to_gateway(said, switch):
        yield Finding(
            "worker",
            "broken",
            f"{name}, extra: endpoint_url leads to {said}, and the plugin leaves such clients alone",
            "remove it there, or use another connection for DynamoDB",
        )
    if extra.get("role_arn"):
        yield Finding(
            "worker",
            "broken",
            f"{name}, extra: role_arn makes the hook ask AWS STS before it has a client",
            "remove it there, or use another connection for DynamoDB: the gateway takes the DAG's role",
        )
