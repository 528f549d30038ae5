"""One YAML file plus environment variables -> frozen `Settings`. All mistakes are reported at once, or none is left.

`setting_table` says which there are, `setting_reader` how each is read. A variable beats the file. Unknown keys and unknown
`DDB_PROXY_*` variables are mistakes: a typo must not silently leave a default in force.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.setting_reader import Reader
from proxy.setting_table import PREFIX, REQUIRED, SETTINGS
from proxy.worker.switch import NAMES as WORKER_VARIABLES
from proxy.yaml_source import Mapping, Mistakes, Node, Place, Scalar, known_keys, mapping_of, read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as Environment

    from proxy.identity.token import Issuer
    from proxy.setting_values import Address

CONFIG_VARIABLE = "DDB_PROXY_CONFIG"
PURE_VARIABLE = "DDB_PROXY_PURE"  # native.c looks at it
_NOT_OURS = WORKER_VARIABLES | {CONFIG_VARIABLE, PURE_VARIABLE}  # gateway and worker may share an environment
# What Kubernetes puts into every pod for a Service that is named `ddb-proxy`; no setting ends so.
_SERVICE_LINK = re.compile(
    r"DDB_PROXY_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)?)"
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
    reader = Reader(str(path) if path is not None else "settings", path.parent if path is not None else Path(), mistakes)
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
    needed = " and ".join(f"`{setting.key}`" for setting in SETTINGS if setting.default is REQUIRED)
    node = read_yaml(text, str(path), mistakes, f"write at least {needed}, as in the README's proxy.yaml")
    top = mapping_of(node, "a settings file", mistakes)
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


# ------------------------------------------------------------------------------------ values that must fit each other


def _check_together(values: dict[str, Any], reader: Reader, nodes: Environment[str, Node]) -> None:
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
