"""One YAML file plus environment variables -> frozen `Settings`. All mistakes are reported at once, or none is left.

Behaviour is the table `SETTINGS`: a row is a setting, with its environment variable, default and meaning; the README's table is
made from it. A variable beats the file. Unknown keys and unknown `DDB_PROXY_*` variables are mistakes: a typo must not
silently leave a default in force.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from proxy.identity.token import Issuer, KeySource
from proxy.worker.switch import NAMES as WORKER_VARIABLES
from proxy.yaml_source import (
    Mapping,
    Mistakes,
    Node,
    Place,
    Scalar,
    Sequence,
    boolean_of,
    decimal_of,
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

PREFIX = "DDB_PROXY_"
CONFIG_VARIABLE = "DDB_PROXY_CONFIG"
_NOT_OURS = WORKER_VARIABLES | {CONFIG_VARIABLE}  # gateway and worker may share an environment
REQUIRED = object()
# What Kubernetes puts into every pod for a Service that is named `ddb-proxy`; no setting ends so.
_SERVICE_LINK = re.compile(
    r"DDB_PROXY_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)?)"
)
_HOST = re.compile(r"[0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*")
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]{1,2}")
_LONGEST_LEEWAY = 300.0  # seconds; more would keep expired tokens alive for no clock's sake
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


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
    Setting("admin.issuer", "text", "", "issuer whose tokens open `/explain` on a shared gateway's admin plane; none: not there"),
    Setting("admin.subjects", "texts", (), "globs of the `sub` of tokens that may ask there"),
    Setting("admin.socket", "socket", "", "Unix socket with the admin plane and `/explain`, for whoever may open it (mode 0600)"),
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

ISSUER_KEYS: tuple[tuple[str, str, str], ...] = (
    ("name", "required", "how policies and logs call this issuer"),
    ("issuer", "required", "the exact `iss` of its tokens"),
    ("audience", "required", "the `aud` that tokens for this gateway carry; a string or a list"),
    ("keys.discovery", "`issuer`", "base URL of its OpenID discovery"),
    ("keys.jwks_url", "", "or the URL of its key set"),
    ("keys.jwks_file", "", "or a file with its key set"),
    ("keys.ca_file", "the system's", "PEM bundle for these URLs"),
    ("algorithms", "[RS256]", "signature algorithms; asymmetric ones only"),
    ("claims", "{dag_id: dag_id, task_id: task_id, run_id: run_id}", "which claim holds what; dots reach into objects"),
    ("may_assert", "required", "globs of the DAGs that its tokens may speak for; `!glob` takes back"),
    ("required_type", "any", "the `typ` that tokens must have, such as `at+jwt`"),
    ("leeway_seconds", "60", "clock difference that is forgiven"),
    ("max_lifetime_seconds", "86400", "longest life of a token, `exp` minus `iat`"),
)
CLAIM_NAMES = ("dag_id", "task_id", "run_id", "try_number", "map_index")
DEFAULT_CLAIMS = {"dag_id": "dag_id", "task_id": "task_id", "run_id": "run_id"}


class Address(NamedTuple):
    """Where a port listens. `host` is an IP address or a name."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True if nobody off this machine (or pod) can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


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
            return _issuers(node, self.base, self.mistakes)
        if setting.kind not in ("path", "file", "sink", "socket"):
            return _READERS[setting.kind](node, setting.key, self.mistakes)
        text = text_of(node, f"`{setting.key}`", self.mistakes)
        if setting.kind == "sink":
            return text if text == "-" else str(self.base / text) if text else "-"
        if setting.kind == "socket":
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
    if not _is_host(host) or not port.isascii() or not port.isdigit() or int(port) > 65535:
        mistakes.add(node.place, f"`{key}`: `{text}` is not host:port, for example 127.0.0.1:8080 or [::1]:8080")
        return Address("", 0)
    return Address(host, int(port))


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def _url(node: Node, key: str, mistakes: Mistakes) -> str:
    text = text_of(node, f"`{key}`", mistakes)
    if text and (problem := problem_of_url(text)):
        mistakes.add(node.place, f"`{key}`: {problem}")
    return text.rstrip("/")


def _origin(node: Node, key: str, mistakes: Mistakes) -> str:
    """A URL without a path: DynamoDB's requests go to `/`."""
    before = len(mistakes.errors)
    text = _url(node, key, mistakes)
    if len(mistakes.errors) == before and urlsplit(text).path:
        mistakes.add(node.place, f"`{key}`: `{text}` has a path; write scheme, host and port only")
    return text


def problem_of_url(text: str) -> str:
    """What is wrong with a URL that secrets or decisions depend on, or "". Plain HTTP is for loopback only."""
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        return f"`{text}` is not a URL"
    if "@" in url.netloc or url.query or url.fragment:
        return "the URL must not hold a user, a password, a query or a fragment"  # and none of them is shown
    if url.scheme not in ("http", "https") or not _is_host(host) or port == 0 or not (text.isascii() and text.isprintable()):
        return f"`{text}` is not an http(s) URL"
    if url.scheme == "http" and not Address(host, 0).is_loopback:
        return f"`{text}` is plain HTTP to another machine; write https://"
    return ""


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


def _seconds(node: Node, key: str, mistakes: Mistakes) -> float:
    before = len(mistakes.errors)
    value = decimal_of(node, f"`{key}` (seconds)", mistakes)
    if value <= 0 and len(mistakes.errors) == before:
        mistakes.add(node.place, f"`{key}` must be more than 0 seconds")
    return value


def _delay(node: Node, key: str, mistakes: Mistakes) -> float:
    value = decimal_of(node, f"`{key}` (seconds)", mistakes)
    if value < 0:
        mistakes.add(node.place, f"`{key}` must be 0 seconds or more")
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
    "delay": _delay,
    "level": _level,
    "origin": _origin,
    "region": _region,
    "seconds": _seconds,
    "text": lambda node, key, mistakes: text_of(node, f"`{key}`", mistakes),
    "texts": lambda node, key, mistakes: texts_of(node, f"`{key}`", mistakes),
    "url": _url,
}


# --------------------------------------------------------------------------------------------- issuers


def _issuers(node: Node, base: Path, mistakes: Mistakes) -> tuple[Issuer, ...]:
    if not isinstance(node, Sequence) or not node.items:
        mistakes.add(node.place, "`issuers` must be a list with at least one issuer")
        return ()
    issuers: list[Issuer] = []
    for item in node:
        mapping = mapping_of(item, "an issuer", mistakes)
        if mapping is None:
            continue
        issuer = _issuer(mapping, base, mistakes)
        for other in issuers:
            if issuer.name and other.name == issuer.name:
                mistakes.add(mapping.place_of("name"), f"issuer name `{issuer.name}` stands twice")
            if issuer.issuer and other.issuer == issuer.issuer:
                mistakes.add(mapping.place_of("issuer"), f"`{issuer.issuer}` is already issuer `{other.name}`")
        issuers.append(issuer)
    return tuple(issuers)


def _issuer(mapping: Mapping, base: Path, mistakes: Mistakes) -> Issuer:
    known_keys(mapping, tuple(dict.fromkeys(key.split(".")[0] for key, _, _ in ISSUER_KEYS)), "an issuer", mistakes)
    issuer = text_of(mapping.get("issuer"), "`issuer`", mistakes)
    algorithms = texts_of(mapping.get("algorithms"), "`algorithms`", mistakes) or ("RS256",)
    for algorithm in algorithms:
        if algorithm not in ASYMMETRIC:
            mistakes.add(mapping.place_of("algorithms"), f"algorithm `{algorithm}` is not one of {', '.join(ASYMMETRIC)}")
    read = Issuer(
        name=text_of(mapping.get("name"), "`name`", mistakes),
        issuer=issuer,
        audiences=_audiences(mapping.get("audience"), mistakes),
        algorithms=algorithms,
        keys=_key_source(mapping, issuer, base, mistakes),
        claims=_claims(mapping.get("claims"), mistakes),
        may_assert=texts_of(mapping.get("may_assert"), "`may_assert`", mistakes),
        required_type=text_of(mapping.get("required_type"), "`required_type`", mistakes),
        leeway=_leeway(mapping.get("leeway_seconds"), mistakes),
        max_lifetime=_lifetime(mapping.get("max_lifetime_seconds"), mistakes),
    )
    _require(mapping, {"name": read.name, "issuer": issuer, "audience": read.audiences, "may_assert": read.may_assert}, mistakes)
    return read


def _require(mapping: Mapping, values: dict[str, str | tuple[str, ...]], mistakes: Mistakes) -> None:
    """Neither absent nor empty, nor with an empty entry. What is of another form has been told already."""
    meanings = {key: meaning for key, _, meaning in ISSUER_KEYS}
    for key, value in values.items():
        node = mapping.get(key)
        if node is None:
            mistakes.add(mapping.place, f"issuer without `{key}`: {meanings[key]}")
        elif (isinstance(node, Sequence) and not value) or (isinstance(node, Scalar) and node.quoted and not node.text):
            mistakes.add(mapping.place_of(key), f"`{key}` is empty: {meanings[key]}")
        elif isinstance(node, Sequence) and any(isinstance(item, Scalar) and item.quoted and not item.text for item in node):
            mistakes.add(mapping.place_of(key), f"an entry of `{key}` is empty; remove it")


def _leeway(node: Node | None, mistakes: Mistakes) -> float:
    leeway = 60.0 if node is None else _delay(node, "leeway_seconds", mistakes)
    if node is not None and leeway > _LONGEST_LEEWAY:
        mistakes.add(node.place, f"`leeway_seconds` must be {_LONGEST_LEEWAY:g} at most: set the clocks instead")
    return leeway


def _lifetime(node: Node | None, mistakes: Mistakes) -> float:
    return 86400.0 if node is None else _seconds(node, "max_lifetime_seconds", mistakes)


def _audiences(node: Node | None, mistakes: Mistakes) -> tuple[str, ...]:
    if isinstance(node, Sequence):
        return texts_of(node, "`audience`", mistakes)
    text = text_of(node, "`audience`", mistakes)
    return (text,) if text else ()


def _claims(node: Node | None, mistakes: Mistakes) -> dict[str, str]:
    mapping = mapping_of(node, "`claims`", mistakes)
    if mapping is None:
        return dict(DEFAULT_CLAIMS)
    known_keys(mapping, CLAIM_NAMES, "`claims`", mistakes)
    claims = {name: text_of(value, f"`claims.{name}`", mistakes) for name, value in mapping.entries.items()}
    for name, claim in claims.items():
        value = mapping.entries[name]
        if not claim and isinstance(value, Scalar) and value.quoted:
            mistakes.add(value.place, f"`claims.{name}` is empty; name a claim, or leave it out")
    return claims


def _key_source(issuer_mapping: Mapping, issuer: str, base: Path, mistakes: Mistakes) -> KeySource:
    keys = mapping_of(issuer_mapping.get("keys"), "`keys`", mistakes)
    place = issuer_mapping.place_of("keys")
    if keys is not None:
        known_keys(keys, ("discovery", "jwks_url", "jwks_file", "ca_file"), "`keys`", mistakes)
    ca_file = _file(keys.get("ca_file"), "`keys.ca_file`", base, mistakes) if keys is not None else ""
    given = [kind for kind in ("discovery", "jwks_url", "jwks_file") if keys is not None and kind in keys]
    if keys is None or not given:
        if issuer and (problem := problem_of_url(issuer)):
            mistakes.add(place, f"keys cannot be discovered at `issuer`: {problem}; or give `keys`")
        return KeySource("discovery", issuer, ca_file)
    if len(given) > 1:
        mistakes.add(place, f"`keys` must hold one of discovery, jwks_url and jwks_file, and has {' and '.join(given)}")
    kind, node = given[0], keys.entries[given[0]]
    is_file = kind == "jwks_file"
    location = _file(node, "`keys.jwks_file`", base, mistakes) if is_file else _url(node, f"keys.{kind}", mistakes)
    if not location and isinstance(node, Scalar) and node.quoted:
        mistakes.add(node.place, f"`keys.{kind}` is empty; name it, or leave it out")
    return KeySource("jwks_file" if is_file else "jwks_url" if kind == "jwks_url" else "discovery", location, ca_file)


def _file(node: Node | None, what: str, base: Path, mistakes: Mistakes) -> str:
    text = text_of(node, what, mistakes)
    if node is None or not text:
        return ""
    if not (base / text).is_file():
        mistakes.add(node.place, f"{what}: `{base / text}` is not a file")
    return str(base / text)


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
