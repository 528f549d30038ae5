"""One YAML file plus environment variables -> frozen `Settings`. All mistakes are reported at once, or none is left.

Behaviour is the table `SETTINGS`: a row is a setting, with its environment variable, default and meaning; the README's table is
made from it. A variable beats the file. Unknown keys and unknown `DDB_PROXY_*` variables are mistakes: a typo must not
silently leave a default in force.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from proxy.issuer_settings import issuers_of
from proxy.setting_values import Address, delay_of, is_host, seconds_of, url_of
from proxy.worker.switch import NAMES as WORKER_VARIABLES
from proxy.yaml_source import (
    Mapping,
    Mistakes,
    Node,
    Place,
    Scalar,
    boolean_of,
    integer_of,
    known_keys,
    mapping_of,
    read_yaml,
    text_of,
    texts_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as Environment

    from proxy.identity.token import Issuer

PREFIX = "DDB_PROXY_"
CONFIG_VARIABLE = "DDB_PROXY_CONFIG"
PURE_VARIABLE = "DDB_PROXY_PURE"  # native.c looks at it
_NOT_OURS = WORKER_VARIABLES | {CONFIG_VARIABLE, PURE_VARIABLE}  # gateway and worker may share an environment
REQUIRED = object()
# What Kubernetes puts into every pod for a Service that is named `ddb-proxy`; no setting ends so.
_SERVICE_LINK = re.compile(
    r"DDB_PROXY_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)?)"
)
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]{1,2}")


class Setting(NamedTuple):
    """One setting. `default` is REQUIRED where there is none; `shown` is the default as the README prints it."""

    key: str
    kind: str
    default: object
    meaning: str
    shown: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return PREFIX + self.key.upper().replace(".", "_")

    @property
    def field(self) -> str:
        """Its name in `Settings`."""
        return self.key.replace(".", "_")


SETTINGS: tuple[Setting, ...] = (
    Setting("listen", "address", "127.0.0.1:8080", "data plane, `host:port`; off loopback it needs TLS or `insecure_plaintext`"),
    Setting("admin_listen", "address", "127.0.0.1:9090", "admin plane: `/metrics`, `/healthz`, `/readyz`"),
    Setting("admin.issuer", "text", "", "issuer whose tokens open `/explain` and `/denied` on a shared gateway's admin plane"),
    Setting("admin.subjects", "texts", (), "globs of the `sub` of tokens that may ask there"),
    Setting(
        "admin.socket",
        "socket",
        "",
        "Unix socket with the admin plane, `/explain` and `/denied`, for whoever may open it (mode 0600)",
    ),
    Setting("insecure_plaintext", "boolean", False, "allow plain HTTP off loopback: tokens then travel in the clear"),
    Setting("tls.certificate", "file", "", "PEM chain of the data plane; read again when it changes"),
    Setting("tls.key", "file", "", "its private key"),
    Setting("workers", "count", 1, "processes of the data plane, one for each core"),
    Setting("policies", "path", "policies", "folder (or file) of policies; relative to the settings file"),
    Setting("environment", "text", "", "which of platform.yaml's `environments` this process serves; needed if there are any"),
    Setting("issuers", "issuers", REQUIRED, "who may sign tokens: see the issuer table"),
    Setting("aws.region", "region", REQUIRED, "Region of the tables where the policy's environment names none, and of STS"),
    Setting("aws.endpoint_url", "origin", "", "DynamoDB's endpoint", "`https://dynamodb.<region>.amazonaws.com`"),
    Setting("aws.streams_endpoint_url", "url", "", "DynamoDB Streams' endpoint", "`aws.endpoint_url`, else AWS's own"),
    Setting("aws.sts_endpoint_url", "url", "", "STS's endpoint", "`https://sts.<region>.amazonaws.com`"),
    Setting("aws.ca_file", "file", "", "PEM bundle that DynamoDB's certificate must chain to", "the system's"),
    Setting(
        "aws.session_seconds", "count", 900, "life of a DAG's AWS session, 900 to 43200; 3600 at most when roles are chained"
    ),
    Setting("aws.session_tags", "boolean", False, "tag sessions with `dag`; the roles' trust policies must allow sts:TagSession"),
    Setting("aws.warm_up", "texts", (), "globs of DAGs whose roles are assumed at start, before their first request"),
    Setting("upstream.max_connections", "count", 256, "connections to DynamoDB, each worker"),
    Setting("upstream.connect_seconds", "seconds", 2.0, "to open a connection, tries included"),
    Setting("upstream.total_seconds", "seconds", 30.0, "from the first byte sent to the last byte received"),
    Setting("limits.body_bytes", "count", 16 * 1024 * 1024 + 65536, "largest request body", "16 MiB + 64 KiB"),
    Setting("limits.body_bytes_total", "count", 512 * 1024 * 1024, "request bodies held at once, each worker", "512 MiB"),
    Setting("limits.head_bytes", "count", 32768, "largest request head"),
    Setting("limits.headers", "count", 100, "headers in a request"),
    Setting("limits.connections", "count", 1000, "connections of callers, each worker"),
    Setting("limits.json_members", "count", 60000, "JSON members and elements in a body (30 ms of parsing)"),
    Setting("timeouts.head_seconds", "seconds", 10.0, "for a request head to arrive"),
    Setting("timeouts.body_seconds", "seconds", 30.0, "for a request body to arrive"),
    Setting("timeouts.idle_seconds", "seconds", 75.0, "before an idle connection of a caller is closed"),
    Setting(
        "streams.key_file",
        "file",
        "",
        "keys that seal shard iterators: 32 bytes in base64 a line, the first seals, all open; the same for all replicas",
        "a new key at each start",
    ),
    Setting(
        "sessions.key_file",
        "key_file",
        "",
        "keys that seal sessions, as in `streams.key_file`, followed; made if absent where `listen` is loopback",
        "on loopback a new key at each start, else no sessions",
    ),
    Setting("sessions.seconds", "count", 3600, "life of a session, and the most that a login may ask for; 1800 to 43200"),
    Setting(
        "deny_list", "file", "", "file of the kill switches, `denied:`; read again when it changes, written by the admin API"
    ),
    Setting("audit.path", "sink", "-", "file of audit records, one JSON object a line; `-` is standard output"),
    Setting(
        "drain_delay_seconds",
        "delay",
        -1.0,
        "between SIGTERM and closing the port, for endpoints to learn it",
        "0 on loopback, else 5",
    ),
    Setting("drain_timeout_seconds", "seconds", 60.0, "for requests in flight to finish after SIGTERM"),
    Setting("log_level", "level", "info", "`debug`, `info`, `warning` or `error`, on standard error"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the gateway was told, checked and complete. Field names are the keys with `.` as `_`."""

    listen: Address
    admin_listen: Address
    admin_issuer: str
    admin_subjects: tuple[str, ...]
    admin_socket: str
    insecure_plaintext: bool
    tls_certificate: str
    tls_key: str
    workers: int
    policies: Path
    environment: str
    issuers: tuple[Issuer, ...]
    aws_region: str
    aws_endpoint_url: str
    aws_streams_endpoint_url: str
    aws_sts_endpoint_url: str
    aws_ca_file: str
    aws_session_seconds: int
    aws_session_tags: bool
    aws_warm_up: tuple[str, ...]
    upstream_max_connections: int
    upstream_connect_seconds: float
    upstream_total_seconds: float
    limits_body_bytes: int
    limits_body_bytes_total: int
    limits_head_bytes: int
    limits_headers: int
    limits_connections: int
    limits_json_members: int
    timeouts_head_seconds: float
    timeouts_body_seconds: float
    timeouts_idle_seconds: float
    streams_key_file: str
    sessions_key_file: str
    sessions_seconds: int
    deny_list: str
    audit_path: str
    drain_delay_seconds: float
    drain_timeout_seconds: float
    log_level: str


class SettingsError(Exception):
    """The settings cannot be used. `lines` has every mistake: file and line (or variable), and what to write instead."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def settings_path(given: Path | None) -> Path | None:
    """The settings file to read: as given, as the variable says, ./proxy.yaml where it exists, else none."""
    if given is not None:
        return given
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    here = Path("proxy.yaml")
    return here if here.exists() else None


def load_settings(path: Path | None, environment: Environment[str, str]) -> Settings:
    """Read the settings file (None: environment variables only) and `environment`.

    Raises SettingsError with all mistakes; nothing is ever half-configured.
    """
    mistakes = Mistakes()
    nodes = _nodes_of_file(path, mistakes) if path is not None else {}
    nodes |= _nodes_of_environment(environment, mistakes)
    reader = _Reader(str(path) if path is not None else "settings", path.parent if path is not None else Path(), mistakes)
    if not mistakes.errors or nodes:  # a file that cannot be read at all lacks nothing in particular
        values = {setting.field: reader.value(setting, nodes.get(setting.key)) for setting in SETTINGS}
        _check_together(values, reader, nodes)
    if mistakes.errors:
        raise SettingsError(mistakes.lines())
    return Settings(**values)


# ------------------------------------------------------------------------------------- where values come from


def _nodes_of_file(path: Path, mistakes: Mistakes) -> dict[str, Node]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        mistakes.add(Place(str(path), 0), f"cannot be read: {cause}; name the settings file with --config")
        return {}
    top = mapping_of(read_yaml(text, str(path), mistakes), "a settings file", mistakes)
    nodes: dict[str, Node] = {}
    if top is not None:
        _flatten(top, "", nodes, mistakes)
    return nodes


def _flatten(mapping: Mapping, prefix: str, nodes: dict[str, Node], mistakes: Mistakes) -> None:
    keys = {setting.key for setting in SETTINGS}
    sections = {key.rsplit(".", 1)[0] for key in keys if "." in key}
    here = tuple(sorted({key[len(prefix) :].split(".")[0] for key in keys if key.startswith(prefix)}))
    known_keys(mapping, here, f"`{prefix[:-1]}`" if prefix else "the settings file", mistakes)
    for name, node in mapping.entries.items():
        key = prefix + name
        if key in keys:
            nodes[key] = node
        elif key in sections and (section := mapping_of(node, f"`{key}`", mistakes)) is not None:
            _flatten(section, key + ".", nodes, mistakes)


def _nodes_of_environment(environment: Environment[str, str], mistakes: Mistakes) -> dict[str, Node]:
    import difflib

    variables = {setting.variable: setting for setting in SETTINGS}
    nodes: dict[str, Node] = {}
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in _NOT_OURS or _SERVICE_LINK.fullmatch(name):
            continue
        setting = variables.get(name)
        if setting is None:
            near = difflib.get_close_matches(name.removeprefix(PREFIX), [v.removeprefix(PREFIX) for v in variables], 1)
            hint = f"; did you mean {PREFIX}{near[0]}?" if near else "; remove it"
            mistakes.add(Place(name, 0), f"is not a setting's variable{hint}")
        elif setting.kind in ("issuers", "texts"):
            node = read_yaml(environment[name], name, mistakes)
            if node is not None:
                nodes[setting.key] = node
        else:
            quoted = setting.kind not in ("boolean", "count", "seconds", "delay")
            nodes[setting.key] = Scalar(environment[name], quoted, Place(name, 0))
    return nodes


# -------------------------------------------------------------------------------------------- one value


class _Reader:
    """Reads one setting after the other; `failed` are the fields of those that have a mistake."""

    def __init__(self, file: str, base: Path, mistakes: Mistakes) -> None:
        self.file = file
        self.base = base  # what relative paths are relative to
        self.mistakes = mistakes
        self.failed: set[str] = set()

    def value(self, setting: Setting, node: Node | None) -> Any:
        """The value of a setting, from its node or its default."""
        before = len(self.mistakes.errors)
        value = self._default(setting) if node is None else self._given(setting, node)
        if setting.default is REQUIRED and not value and len(self.mistakes.errors) == before:
            place = Place(self.file, 0) if node is None else node.place
            self.mistakes.add(place, f"`{setting.key}` is missing (or {setting.variable}): {setting.meaning}")
        if len(self.mistakes.errors) > before:
            self.failed.add(setting.field)
        return value

    def _default(self, setting: Setting) -> Any:
        if setting.kind == "address":
            return _address(Scalar(str(setting.default), True, Place(self.file, 0)), setting.key, self.mistakes)
        if setting.kind == "path":
            return self._existing(str(setting.default), setting.key, Place(self.file, 0))
        return None if setting.default is REQUIRED else setting.default

    def _given(self, setting: Setting, node: Node) -> Any:
        if setting.kind == "issuers":
            return issuers_of(node, self.base, self.mistakes)
        if setting.kind not in ("path", "file", "key_file", "sink", "socket"):
            return _READERS[setting.kind](node, setting.key, self.mistakes)
        text = text_of(node, f"`{setting.key}`", self.mistakes)
        if setting.kind == "sink":
            return text if text == "-" else str(self.base / text) if text else "-"
        if setting.kind in ("socket", "key_file"):
            return str(self.base / text) if text else ""
        if setting.kind == "path":
            return self._existing(text, setting.key, node.place)
        return str(self._existing(text, setting.key, node.place)) if text else ""

    def _existing(self, text: str, key: str, place: Place) -> Path:
        found = self.base / text
        if not found.exists():
            self.mistakes.add(place, f"`{key}`: `{found}` does not exist; write it there, or name where it is")
        return found


def _address(node: Node, key: str, mistakes: Mistakes) -> Address:
    if not isinstance(node, Scalar):
        mistakes.add(node.place, f"`{key}` must be a string")
        return Address("", 0)
    text = node.text
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not is_host(host) or not port.isascii() or not port.isdigit() or int(port) > 65535:
        mistakes.add(node.place, f"`{key}`: `{text}` is not host:port, for example 127.0.0.1:8080 or [::1]:8080")
        return Address("", 0)
    return Address(host, int(port))


def _origin(node: Node, key: str, mistakes: Mistakes) -> str:
    """A URL without a path: DynamoDB's requests go to `/`."""
    before = len(mistakes.errors)
    text = url_of(node, key, mistakes)
    if len(mistakes.errors) == before and urlsplit(text).path:
        mistakes.add(node.place, f"`{key}`: `{text}` has a path; write scheme, host and port only")
    return text


def _region(node: Node, key: str, mistakes: Mistakes) -> str:
    text = text_of(node, f"`{key}`", mistakes)
    if text and not _REGION.fullmatch(text):
        mistakes.add(node.place, f"`{key}`: `{text}` is not a Region, for example eu-west-1")
    return text


def _count(node: Node, key: str, mistakes: Mistakes) -> int:
    before = len(mistakes.errors)
    value = integer_of(node, f"`{key}`", mistakes)
    if value < 1 and len(mistakes.errors) == before:
        mistakes.add(node.place, f"`{key}` must be at least 1")
    return value


def _level(node: Node, key: str, mistakes: Mistakes) -> str:
    level = text_of(node, f"`{key}`", mistakes)
    if level and level not in ("debug", "info", "warning", "error"):
        mistakes.add(node.place, f"`{key}`: `{level}` is not one of debug, info, warning, error")
    return level


_READERS: dict[str, Callable[[Node, str, Mistakes], Any]] = {
    "address": _address,
    "boolean": lambda node, key, mistakes: boolean_of(node, f"`{key}`", mistakes),
    "count": _count,
    "delay": delay_of,
    "level": _level,
    "origin": _origin,
    "region": _region,
    "seconds": seconds_of,
    "text": lambda node, key, mistakes: text_of(node, f"`{key}`", mistakes),
    "texts": lambda node, key, mistakes: texts_of(node, f"`{key}`", mistakes),
    "url": url_of,
}


# ------------------------------------------------------------------------------------ values that must fit each other


def _check_together(values: dict[str, Any], reader: _Reader, nodes: Environment[str, Node]) -> None:
    """What only several settings say; those with a mistake of their own are left out."""

    def are_good(*fields: str) -> bool:
        return reader.failed.isdisjoint(fields)

    def add(key: str, message: str) -> None:
        reader.mistakes.add(nodes[key].place if key in nodes else Place(reader.file, 0), message)

    listen, admin = values["listen"], values["admin_listen"]
    has_tls = bool(values["tls_certificate"])
    if are_good("tls_certificate", "tls_key") and has_tls != bool(values["tls_key"]):
        add("tls.certificate" if has_tls else "tls.key", "`tls` needs both `certificate` and `key`")
    is_plaintext = not has_tls and not values["insecure_plaintext"]
    if are_good("listen", "tls_certificate", "insecure_plaintext") and is_plaintext and not listen.is_loopback:
        add(
            "listen",
            f"`listen` on {listen.host} is reachable from other machines, and tokens are as good as passwords: "
            "give `tls.certificate` and `tls.key`, or accept it with `insecure_plaintext: true`",
        )
    if are_good("listen", "admin_listen") and listen == admin and listen.port:
        add("admin_listen", "`admin_listen` must be another port than `listen`")
    _check_admin(values, add, are_good)
    if are_good("aws_session_seconds") and not 900 <= values["aws_session_seconds"] <= 43200:
        add("aws.session_seconds", "`aws.session_seconds` must lie between 900 and 43200")
    if are_good("sessions_seconds") and not 1800 <= values["sessions_seconds"] <= 43200:
        add("sessions.seconds", "`sessions.seconds` must lie between 1800 and 43200: SDKs renew from 15 minutes before the end")
    key_file = values["sessions_key_file"]
    if are_good("listen", "sessions_key_file") and key_file and not Path(key_file).exists() and not listen.is_loopback:
        add("sessions.key_file", f"`sessions.key_file`: `{key_file}` does not exist; its keys must be the same for all replicas")
    if values["drain_delay_seconds"] < 0 and are_good("listen"):
        values["drain_delay_seconds"] = 0.0 if listen.is_loopback else 5.0


def _check_admin(values: dict[str, Any], add: Callable[[str, str], None], are_good: Callable[..., bool]) -> None:
    """`/explain` is closed unless all of it is said, and never there for a task that shares a sidecar's network."""
    issuer, admin = values["admin_issuer"], values["admin_listen"]
    if not are_good("admin_issuer", "admin_subjects"):
        return
    if bool(issuer) != bool(values["admin_subjects"]):
        add("admin.issuer" if issuer else "admin.subjects", "`admin` needs both `issuer` and `subjects`, or neither")
        return
    if not issuer:
        return
    if are_good("issuers") and issuer not in {found.name for found in values["issuers"]}:
        add("admin.issuer", f"`admin.issuer`: no issuer is named `{issuer}`; write the name of one of `issuers`")
    if are_good("listen") and values["listen"].is_loopback:
        add("admin.issuer", "`admin.issuer` is for a shared gateway; beside a task (`listen` on loopback) use `admin.socket`")
    if are_good("admin_listen", "insecure_plaintext") and not admin.is_loopback and not values["insecure_plaintext"]:
        add(
            "admin.issuer",
            f"`admin.issuer` on {admin.host}: admin tokens would travel in the clear; "
            "put `admin_listen` on loopback, or accept it with `insecure_plaintext: true`",
        )
