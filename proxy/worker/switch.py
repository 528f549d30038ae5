"""The one setting of a worker: DDB_PROXY_URL. While it is set, DynamoDB clients of the process go to the gateway.

The variables are read anew by whoever asks, so that a task's process sees what its worker was given. Standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from proxy.worker.partitions import is_host_of_aws

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

URL = "DDB_PROXY_URL"
TOKEN_FILE = "DDB_PROXY_TOKEN_FILE"  # noqa: S105 - the name of a variable
CREDENTIALS = "DDB_PROXY_CREDENTIALS"
FAIL_AT_ONCE = "DDB_PROXY_FAIL_AT_ONCE"
ASK_UNITS = "DDB_PROXY_ASK_UNITS"
DEFAULT_TOKEN_FILE = "/var/run/secrets/ddb-proxy/token"  # noqa: S105 - a path
WAYS = ("auto", "session", "token")
_YES_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

# variable, default, meaning: the rows of the README's table
VARIABLES = (
    (URL, "", "the gateway, for example `http://127.0.0.1:8080`; unset: everything is as without the plugin"),
    (TOKEN_FILE, DEFAULT_TOKEN_FILE, "the worker's OIDC token; read again when it changes"),
    (
        CREDENTIALS,
        "auto",
        "`session`: sign with a session that the gateway gives for the token; `token`: send the token itself; `auto`: as it can",
    ),
    (FAIL_AT_ONCE, "true", "a task that the gateway refuses fails at once, whatever its `retries`"),
    (ASK_UNITS, "false", "ask DynamoDB for consumed capacity where a request does not, so that the task's line can tell units"),
)
NAMES = frozenset(name for name, _, _ in VARIABLES)

# Read by botocore when a client is made, and by the amazon provider.
BOTOCORE_PLUGINS = "BOTOCORE_EXPERIMENTAL__PLUGINS"
PLUGIN_MODULE = "proxy.worker.botocore_plugin"
SESSION_FACTORY = "proxy.worker.session_factory.GatewaySessionFactory"
ENDPOINTS = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS")


class SwitchError(ValueError):
    """The worker's variables cannot be followed; the message names the variable and what to write."""


class Switch(NamedTuple):
    """What the variables say."""

    url: str  # without a trailing slash
    token_file: Path
    way: str  # of WAYS
    fails_at_once: bool
    asks_units: bool


def read_switch(environment: Mapping[str, str] = os.environ) -> Switch | None:
    """The settings, or None while the plugin is off. Raises SwitchError."""
    url = environment.get(URL, "").strip()
    if not url:
        return None
    if problem := problem_of_endpoint(url):
        raise SwitchError(f"{URL}: {problem}; write the gateway's address, for example http://127.0.0.1:8080")
    way = environment.get(CREDENTIALS, "") or "auto"
    if way not in WAYS:
        raise SwitchError(f"{CREDENTIALS}: write one of {', '.join(WAYS)}")
    place = urlsplit(url)
    return Switch(
        f"{place.scheme}://{place.netloc}",
        Path(environment.get(TOKEN_FILE, "") or DEFAULT_TOKEN_FILE),
        way,
        _yes_or_no(environment, FAIL_AT_ONCE, "true"),
        _yes_or_no(environment, ASK_UNITS, "false"),
    )


def _yes_or_no(environment: Mapping[str, str], name: str, default: str) -> bool:
    said = _YES_NO.get((environment.get(name) or default).strip().lower())
    if said is None:
        raise SwitchError(f"{name}: write true or false")
    return said


def problem_of_endpoint(endpoint: str) -> str:
    """Why boto3 could not call this URL, or ""."""
    try:
        url = urlsplit(endpoint)
        is_good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        return f"'{endpoint}' is not an http(s) URL"
    if url.path not in ("", "/") or url.query:
        return f"'{endpoint}' has a path; the gateway serves '/' only"
    return ""


def goes_to_gateway(endpoint: str, switch: Switch) -> bool:
    """True for the gateway's own address and for every one of AWS. Another was given on purpose, such as DynamoDB Local."""
    place = urlsplit(endpoint)  # with a path too: left alone, such a client would send its AWS keys to the gateway
    return f"{place.scheme}://{place.netloc}".lower() == switch.url.lower() or is_of_aws(endpoint)


def is_of_aws(endpoint: str) -> bool:
    """True for an address of AWS's own."""
    return is_host_of_aws(urlsplit(endpoint).hostname or "")


def is_loopback(host: str) -> bool:
    """True for this machine, which no proxy reaches."""
    return host in ("localhost", "::1") or host.startswith("127.")


def has_plugin(environment: Mapping[str, str]) -> bool:
    """Whether botocore is told to load the plugin."""
    entries = environment.get(BOTOCORE_PLUGINS, "").split(",")
    return PLUGIN_MODULE in (entry.partition("=")[2].strip() for entry in entries)


def turn_on(environment: MutableMapping[str, str] = os.environ) -> Switch | None:
    """Let every botocore client of this process and its children load the plugin; nothing while DDB_PROXY_URL is unset.

    The endpoint variables are the second lock: a client that the plugin did not reach still goes to the gateway, which
    refuses its keys in a sentence, and not past it to AWS. Raises SwitchError, and the plugin is loaded even so: it lets no
    call leave.
    """
    try:
        switch = read_switch(environment)
    except SwitchError:
        _load_plugin(environment)
        raise
    if switch is None:
        return None
    _load_plugin(environment)
    for name in ENDPOINTS:
        environment.setdefault(name, switch.url)
    return switch


def _load_plugin(environment: MutableMapping[str, str]) -> None:
    if not has_plugin(environment):
        others = environment.get(BOTOCORE_PLUGINS, "")
        environment[BOTOCORE_PLUGINS] = ",".join(filter(None, (others, f"ddb-proxy={PLUGIN_MODULE}")))


def profile_for(switch: Switch) -> str:
    """The profile that does without any hook of botocore, for the file that AWS_CONFIG_FILE names; claims are not sent."""
    return f"""\
[profile ddb-proxy]
credential_process = dynamodb-proxy token --file {switch.token_file}
services = ddb-proxy
[services ddb-proxy]
dynamodb =
  endpoint_url = {switch.url}
dynamodb_streams =
  endpoint_url = {switch.url}
"""
