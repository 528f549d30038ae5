"""The table of settings: a row is a setting, with its environment variable, default and meaning. The README's is made from it."""

from __future__ import annotations

from typing import NamedTuple

PREFIX = "DDB_PROXY_"
REQUIRED = object()


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
    Setting("aws.warm_up", "texts", (), "globs of DAGs whose roles are assumed and connections opened before a first request"),
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
        "keys that seal shard iterators and page keys: 32 bytes in base64 a line, the first seals; the same for all replicas",
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
