"""Settings: every way to be wrong is told with its place and all at once; nothing starts half-configured."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.identity.token import Cluster, KeySource
from proxy.setting_table import REQUIRED, SETTINGS
from proxy.setting_values import Address, problem_of_url
from proxy.settings import Settings, SettingsError, load_settings, settings_path

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUER = {"name": "idp", "issuer": "https://idp.test", "audience": "dynamodb-proxy", "may_assert": ["*"]}
LEAST: dict[str, Any] = {"issuers": [ISSUER], "aws": {"region": "eu-west-1"}}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a settings file (a mapping as JSON, which is YAML, or a text) beside an empty policy folder."""
    (tmp_path / "policies").mkdir()

    def to_file(content: dict[str, Any] | str) -> Path:
        path = tmp_path / "proxy.yaml"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return to_file


def mistakes_of(path: Path | None, environment: dict[str, str] | None = None) -> list[str]:
    """The lines of the error."""
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environment or {})
    assert str(caught.value) == "\n".join(caught.value.lines)
    return caught.value.lines


def issuer_with(**changes: Any) -> dict[str, Any]:
    """The least settings with an issuer that differs in these members; None removes one."""
    changed = {key: value for key, value in (ISSUER | changes).items() if value is not None}
    return LEAST | {"issuers": [changed]}


# ------------------------------------------------------------------------------------------------- the table


def test_every_row_is_a_field_and_every_field_a_row() -> None:
    """Nothing can be set that is not read, nor read that cannot be set."""
    assert [setting.field for setting in SETTINGS] == [field.name for field in fields(Settings)]


def test_two_settings_never_share_a_variable() -> None:
    """`aws.ca_file` and `aws_ca.file` would."""
    assert len({setting.variable for setting in SETTINGS}) == len(SETTINGS)


def test_the_least_that_serves(write) -> None:
    """A Region and an issuer are all that must be said; all else has its documented default."""
    path = write(LEAST)
    settings = load_settings(path, {})
    assert settings.listen == Address("127.0.0.1", 8080)
    assert settings.policies == path.parent / "policies"
    assert settings.drain_delay_seconds == 0.0
    issuer = settings.issuers[0]
    assert (issuer.audiences, issuer.algorithms, issuer.leeway, issuer.max_lifetime) == (
        ("dynamodb-proxy",), ("RS256",), 60.0, 86400.0
    )  # fmt: skip
    assert issuer.keys == KeySource("discovery", "https://idp.test")
    assert issuer.claims == {"dag_id": "dag_id", "task_id": "task_id", "run_id": "run_id"}
    plain = [s for s in SETTINGS if s.kind not in ("address", "path", "issuers") and s.default not in (REQUIRED, -1.0)]
    assert {s.field: getattr(settings, s.field) for s in plain} == {s.field: s.default for s in plain}


def test_the_same_from_variables_alone(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container needs no file."""
    write("")
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {"DDB_PROXY_ISSUERS": json.dumps([ISSUER]), "DDB_PROXY_AWS_REGION": "eu-west-1"})
    assert (settings.aws_region, settings.policies) == ("eu-west-1", Path("policies"))


OVERRIDES = {
    "listen": ("[::1]:81", Address("::1", 81)),
    "admin_listen": ("localhost:82", Address("localhost", 82)),
    "admin.issuer": ("idp", "idp"),
    "admin.subjects": ("['ops-*']", ("ops-*",)),
    "admin.socket": ("admin.sock", "{base}/admin.sock"),
    "insecure_plaintext": ("true", True),
    "tls.certificate": ("cert.pem", "{base}/cert.pem"),
    "tls.key": ("cert.pem", "{base}/cert.pem"),
    "workers": ("3", 3),
    "policies": ("other", Path("other")),
    "environment": ("prod", "prod"),
    "issuers": (json.dumps([ISSUER | {"name": "other"}]), "other"),
    "aws.region": ("us-gov-west-1", "us-gov-west-1"),
    "aws.endpoint_url": ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
    "aws.streams_endpoint_url": ("http://127.0.0.1:8001", "http://127.0.0.1:8001"),
    "aws.sts_endpoint_url": ("https://sts.test/path", "https://sts.test/path"),
    "aws.ca_file": ("cert.pem", "{base}/cert.pem"),
    "aws.session_seconds": ("3600", 3600),
    "aws.session_tags": ("true", True),
    "aws.warm_up": ("[a, 'b_*']", ("a", "b_*")),
    "upstream.max_connections": ("7", 7),
    "upstream.connect_seconds": ("0.5", 0.5),
    "upstream.total_seconds": ("9", 9.0),
    "limits.body_bytes": ("7", 7),
    "limits.body_bytes_total": ("7", 7),
    "limits.head_bytes": ("7", 7),
    "limits.headers": ("7", 7),
    "limits.connections": ("7", 7),
    "limits.json_members": ("7", 7),
    "timeouts.head_seconds": ("0.5", 0.5),
    "timeouts.body_seconds": ("0.5", 0.5),
    "timeouts.idle_seconds": ("0.5", 0.5),
    "streams.key_file": ("cert.pem", "{base}/cert.pem"),
    "sessions.key_file": ("sessions.key", "{base}/sessions.key"),
    "sessions.seconds": ("1800", 1800),
    "deny_list": ("cert.pem", "{base}/cert.pem"),
    "audit.path": ("audit.jsonl", "{base}/audit.jsonl"),
    "drain_delay_seconds": ("0.5", 0.5),
    "drain_timeout_seconds": ("0.5", 0.5),
    "log_level": ("debug", "debug"),
}


def test_every_setting_has_a_row_below() -> None:
    """A new setting asks for its override here."""
    assert list(OVERRIDES) == [setting.key for setting in SETTINGS]


@pytest.mark.parametrize("setting", SETTINGS, ids=[setting.key for setting in SETTINGS])
def test_a_variable_beats_the_file(write, tmp_path: Path, setting) -> None:
    """Each setting is overridden by its variable; relative paths belong to the settings file's folder."""
    (tmp_path / "cert.pem").touch()
    (tmp_path / "other").mkdir()
    text, expected = OVERRIDES[setting.key]
    environment = {setting.variable: text}
    if setting.key.startswith("tls."):
        environment |= {"DDB_PROXY_TLS_CERTIFICATE": "cert.pem", "DDB_PROXY_TLS_KEY": "cert.pem"}
    if setting.key in ("admin.issuer", "admin.subjects"):
        environment |= {"DDB_PROXY_LISTEN": "10.0.0.1:8080", "DDB_PROXY_INSECURE_PLAINTEXT": "true"}
        environment = {"DDB_PROXY_ADMIN_ISSUER": "idp", "DDB_PROXY_ADMIN_SUBJECTS": "[ops]"} | environment
    found = getattr(load_settings(write(LEAST), environment), setting.field)
    if isinstance(expected, str):
        expected = expected.format(base=tmp_path)
    if isinstance(expected, Path):
        expected = tmp_path / expected
    assert (found[0].name if setting.key == "issuers" else found) == expected


@pytest.mark.parametrize("setting", SETTINGS, ids=[setting.key for setting in SETTINGS])
def test_a_variable_says_its_name_when_it_is_wrong(write, setting) -> None:
    """A value of the wrong kind is told under the variable that holds it."""
    if setting.kind in ("text", "sink", "socket", "key_file"):
        return  # every text is one
    (line,) = mistakes_of(write(LEAST), {setting.variable: "?!", "DDB_PROXY_CONFIG": "x"})
    assert line.startswith((f"{setting.variable}: ", f"{setting.variable}:1: "))


# ------------------------------------------------------------------------------------------------- mistakes

WRONG = [
    ("listen: 8080", "proxy.yaml:1: `listen`: `8080` is not host:port, for example 127.0.0.1:8080 or [::1]:8080"),
    ("listen: '127.0.0.1:65536'", "proxy.yaml:1: `listen`: `127.0.0.1:65536` is not host:port"),
    ("listen: 'a..b:80'", "proxy.yaml:1: `listen`: `a..b:80` is not host:port"),
    ("listen: [a]", "proxy.yaml:1: `listen` must be a string"),
    ("sessions: {seconds: 1799}", "`sessions.seconds` must lie between 1800 and 43200"),
    ("sessions: {seconds: 43201}", "`sessions.seconds` must lie between 1800 and 43200"),
    (
        "sessions: {key_file: nowhere}\nlisten: 10.0.0.1:80\ninsecure_plaintext: true",
        "nowhere` does not exist; its keys must be the same for all replicas",
    ),
    ("listen: 0.0.0.0:8080", "proxy.yaml:1: `listen` on 0.0.0.0 is reachable from other machines"),
    ("listen: gateway:8080", "proxy.yaml:1: `listen` on gateway is reachable from other machines"),
    ("listen: 127.0.0.1:9090", "proxy.yaml: `admin_listen` must be another port than `listen`"),
    ("admin_listen: 127.0.0.1:8080", "proxy.yaml:1: `admin_listen` must be another port than `listen`"),
    ("tls: {certificate: policies}", "proxy.yaml:1: `tls` needs both"),
    ("tls: {key: policies}", "proxy.yaml:1: `tls` needs both"),
    ("tls: {key: ''}\nworkers: 0", "proxy.yaml:2: `workers` must be at least 1"),
    ("workers: two", "proxy.yaml:1: `workers` must be a whole number"),
    ("workers: -1", "proxy.yaml:1: `workers` must be at least 1"),
    ("worker: 2", "proxy.yaml:1: the settings file has no `worker`; did you mean `workers`?"),
    ("audit: {file: x}", "proxy.yaml:1: `audit` has no `file`"),
    ("admin: {issuer: idp}", "proxy.yaml:1: `admin` needs both `issuer` and `subjects`, or neither"),
    ("admin: {subjects: [ops]}", "proxy.yaml:1: `admin` needs both `issuer` and `subjects`, or neither"),
    ("admin: {issuer: [x]}", "proxy.yaml:1: `admin.issuer` must be a string"),
    ("admin: {issuer: idp, subjects: [ops]}", "`admin.issuer` is for a shared gateway; beside a task (`listen` on loopback) use"),
    (
        "listen: 10.0.0.1:80\ninsecure_plaintext: true\nadmin: {issuer: ipd, subjects: [ops]}",
        "proxy.yaml:3: `admin.issuer`: no issuer is named `ipd`; write the name of one of `issuers`",
    ),
    ("audit: [x]", "proxy.yaml:1: `audit` must be a mapping"),
    ("audit: {path: [x]}", "proxy.yaml:1: `audit.path` must be a string"),
    ("policies: nowhere", "does not exist; write it there"),
    ("insecure_plaintext: 'true'", "proxy.yaml:1: `insecure_plaintext` must be true or false"),
    ("log_level: loud", "proxy.yaml:1: `log_level`: `loud` is not one of debug, info, warning, error"),
    ("drain_delay_seconds: -1", "proxy.yaml:1: `drain_delay_seconds` must be 0 seconds or more"),
    ("drain_timeout_seconds: 0", "proxy.yaml:1: `drain_timeout_seconds` must be more than 0 seconds"),
    ("drain_timeout_seconds: soon", "proxy.yaml:1: `drain_timeout_seconds` (seconds) must be a number"),
]
WRONG_AWS = [
    ("region: ''", "`aws.region` is missing (or DDB_PROXY_AWS_REGION)"),
    ("region: ireland", "`aws.region`: `ireland` is not a Region, for example eu-west-1"),
    ("region: eu-west-1, session_seconds: 899", "`aws.session_seconds` must lie between 900 and 43200"),
    ("region: eu-west-1, session_seconds: 43201", "`aws.session_seconds` must lie between 900 and 43200"),
    ("region: eu-west-1, warm_up: '*'", "`aws.warm_up` must be a list"),
    ("region: eu-west-1, ca_file: nowhere.pem", "nowhere.pem` does not exist"),
    ("region: eu-west-1, endpoint_url: 'https://vpce.test/path'", "has a path; write scheme, host and port only"),
    ("region: eu-west-1, endpoint_url: 'http://10.0.0.1:8000'", "`http://10.0.0.1:8000` is plain HTTP to another machine"),
]
WRONG_ISSUER: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "issuer without `name`: how policies and logs call this issuer"),
    ({"audience": None}, "issuer without `audience`: the `aud`"),
    ({"audience": []}, "`audience` is empty: the `aud`"),
    ({"audience": ""}, "`audience` is empty: the `aud`"),
    ({"audience": ["a", ""]}, "an entry of `audience` is empty; remove it"),
    ({"audience": {"a": "b"}}, "`audience` must be a string"),
    ({"may_assert": None}, "issuer without `may_assert`"),
    ({"may_assert": "*"}, "`may_assert` must be a list"),
    ({"may_assert": []}, "`may_assert` is empty"),
    ({"algorithms": ["HS256"]}, "algorithm `HS256` is not one of RS256, "),
    ({"algorithms": ["none"]}, "algorithm `none` is not one of RS256, "),
    ({"claims": {"dag": "dag"}}, "`claims` has no `dag`; did you mean `dag_id`?"),
    ({"claims": {"dag_id": ""}}, "`claims.dag_id` is empty"),
    ({"claims": ["dag_id"]}, "`claims` must be a mapping"),
    ({"leeway_seconds": 301}, "`leeway_seconds` must be 300 at most"),
    ({"leeway_seconds": -1}, "`leeway_seconds` must be 0 seconds or more"),
    ({"max_lifetime_seconds": 0}, "`max_lifetime_seconds` must be more than 0"),
    ({"issuer": "idp.test"}, "keys cannot be discovered at `issuer`: `idp.test` is not an http(s) URL; or give `keys`"),
    ({"issuer": "http://idp.test"}, "`http://idp.test` is plain HTTP to another machine"),
    ({"issuer": "idp.test", "keys": {"ca_file": ""}}, "keys cannot be discovered at `issuer`"),
    ({"keys": ["x"]}, "`keys` must be a mapping"),
    ({"keys": {"jwks": "x"}}, "`keys` has no `jwks`"),
    ({"keys": {"jwks_url": "http://idp.test/keys"}}, "is plain HTTP to another machine"),
    ({"keys": {"jwks_url": ""}}, "`keys.jwks_url` is empty"),
    ({"keys": {"jwks_file": ""}}, "`keys.jwks_file` is empty"),
    ({"keys": {"token_file": "nowhere"}}, "nowhere` is not a file"),
    ({"required_claims": {"repository_owner": ""}}, "`required_claims.repository_owner` can be met by no token"),
    ({"required_claims": {"repository_owner": []}}, "can be met by no token"),
    ({"required_claims": {"repository_owner": ["!acme"]}}, "can be met by no token"),
    ({"required_claims": {"repository_owner": 5}}, "is not read as text by every YAML reader"),
    ({"required_claims": ["acme"]}, "`required_claims` must be a mapping"),
    ({"kubernetes": {}}, "`kubernetes` without `api`"),
    ({"kubernetes": {"api": "http://10.0.0.1"}}, "is plain HTTP to another machine"),
    ({"kubernetes": {"api": "https://k8s.test", "token": "x"}}, "`kubernetes` has no `token`; did you mean `token_file`?"),
    ({"kubernetes": {"api": "https://k8s.test", "pods": "yes"}}, "`kubernetes.pods` must be true or false"),
    ({"kubernetes": {"api": "https://k8s.test", "ca_file": "nowhere"}}, "nowhere` is not a file"),
    (
        {"kubernetes": {"api": "https://k8s.test"}, "keys": {"jwks_url": "https://idp.test/keys"}},
        "`kubernetes` is asked nothing: add `token_review` or `pods`, or leave `keys` out",
    ),
    ({"keys": {"jwks_file": "nowhere"}}, "nowhere` is not a file"),
    ({"keys": {"jwks_url": "https://a.test", "discovery": "https://b.test"}}, "must hold one of discovery, jwks_url and"),
    ({"key": "x"}, "an issuer has no `key`; did you mean `keys`?"),
]  # fmt: skip


def test_admin_tokens_do_not_travel_in_the_clear(write, tmp_path: Path) -> None:
    """Off loopback the admin port with `/explain` needs `insecure_plaintext`, as the data plane does."""
    (tmp_path / "cert.pem").touch()
    settings = LEAST | {
        "listen": "10.0.0.1:80",
        "admin_listen": "10.0.0.1:90",
        "tls": {"certificate": "cert.pem", "key": "cert.pem"},
        "admin": {"issuer": "idp", "subjects": ["ops"]},
    }
    (line,) = mistakes_of(write(settings))
    assert "`admin.issuer` on 10.0.0.1: admin tokens would travel in the clear" in line
    assert load_settings(write(settings | {"insecure_plaintext": True}), {}).admin_subjects == ("ops",)


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[row[0] for row in WRONG])
def test_each_mistake_is_told_with_its_place(write, text: str, told: str) -> None:
    """One mistake, one line, with file and line."""
    (line,) = mistakes_of(write(f"{text}\nissuers: {json.dumps([ISSUER])}\naws: {{region: eu-west-1}}\n"))
    assert told in line
    assert "proxy.yaml" in line


@pytest.mark.parametrize(("text", "told"), WRONG_AWS, ids=[row[0] for row in WRONG_AWS])
def test_each_mistake_about_aws(write, text: str, told: str) -> None:
    """One mistake, one line."""
    (line,) = mistakes_of(write(f"issuers: {json.dumps([ISSUER])}\naws: {{{text}}}\n"))
    assert told in line
    assert "proxy.yaml:2" in line


@pytest.mark.parametrize(("changes", "told"), WRONG_ISSUER, ids=[str(row[0]) for row in WRONG_ISSUER])
def test_each_mistake_in_an_issuer(write, changes: dict[str, Any], told: str) -> None:
    """One mistake, one line."""
    (line,) = mistakes_of(write(issuer_with(**changes)))
    assert told in line
    assert "proxy.yaml:1: " in line


@pytest.mark.parametrize("issuers", ["issuers: []", "issuers: idp", "issuers: {a: b}"])
def test_issuers_are_a_list_with_something_in_it(write, issuers: str) -> None:
    """Without an issuer nobody could ever come in."""
    (line,) = mistakes_of(write(issuers + "\naws: {region: eu-west-1}\n"))
    assert "`issuers` must be a list with at least one issuer" in line


def test_an_issuer_that_is_no_mapping(write) -> None:
    """A bare name is not enough."""
    assert "an issuer must be a mapping" in mistakes_of(write(LEAST | {"issuers": [ISSUER, "other"]}))[0]


def test_two_issuers_are_two(write) -> None:
    """Neither name nor `iss` may stand twice, for a token must have one issuer and a policy must mean one."""
    lines = mistakes_of(write(LEAST | {"issuers": [ISSUER, ISSUER]}))
    assert [line.partition(": ")[2] for line in lines] == [
        "issuer name `idp` stands twice", "`https://idp.test` is already issuer `idp`"
    ]  # fmt: skip
    assert len(mistakes_of(write(LEAST | {"issuers": [{}, {}]}))) == 8  # nothing is said of equal absences


def test_all_mistakes_at_once(write) -> None:
    """A person mends a file in one go: no mistake hides another, the file's nor the variables'."""
    content = """listen: 0.0.0.0:80
workers: 0
aws: {session_seconds: 1, region: nowhere}
timeouts: {head_seconds: 0}
issuers: [{name: a}]
"""
    lines = mistakes_of(write(content), {"DDB_PROXY_LIMITS_HEADERS": "0", "DDB_PROXY_WORKER": "2"})
    told = [line.removeprefix(str(write(content).parent) + "/") for line in lines]
    assert [line[:55] for line in sorted(told)] == sorted(
        [
            "DDB_PROXY_LIMITS_HEADERS: `limits.headers` must be at least 1"[:55],
            "DDB_PROXY_WORKER: is not a setting's variable; did you mean DDB_PROXY_WORKERS?"[:55],
            "proxy.yaml:1: `listen` on 0.0.0.0 is reachable from other machines"[:55],
            "proxy.yaml:2: `workers` must be at least 1"[:55],
            "proxy.yaml:3: `aws.region`: `nowhere` is not a Region, for"[:55],
            "proxy.yaml:3: `aws.session_seconds` must lie between 900 and"[:55],
            "proxy.yaml:4: `timeouts.head_seconds` must be more than 0 seconds"[:55],
            "proxy.yaml:5: issuer without `audience`: the `aud` that tokens"[:55],
            "proxy.yaml:5: issuer without `issuer`: the exact `iss` of its tokens"[:55],
            "proxy.yaml:5: issuer without `may_assert`: globs of the DAGs"[:55],
        ]
    )


def test_what_is_missing_is_told_with_its_variable() -> None:
    """Without any settings the two required ones and the policies are asked for."""
    lines = mistakes_of(None, {"DDB_PROXY_POLICIES": "/nowhere/at/all"})
    assert [line.partition(":")[0] for line in lines] == ["DDB_PROXY_POLICIES", "settings", "settings"]
    assert "DDB_PROXY_ISSUERS" in lines[1]
    assert "DDB_PROXY_AWS_REGION" in lines[2]


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"a: [", "is not valid YAML"), (b"\xff", "is not UTF-8"), (b"", "is empty"), (b"- a", "a settings file must be a mapping")],
)
def test_a_file_that_cannot_be_read_is_all_that_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    """What it would have held is not missed."""
    (tmp_path / "proxy.yaml").write_bytes(content)
    (line,) = mistakes_of(tmp_path / "proxy.yaml")
    assert told in line


def test_an_empty_file_is_told_with_the_least_that_it_needs(tmp_path: Path) -> None:
    """The settings without a default."""
    (tmp_path / "proxy.yaml").write_text("# nothing yet\n")
    assert mistakes_of(tmp_path / "proxy.yaml") == [
        f"{tmp_path}/proxy.yaml: is empty; write at least `issuers` and `aws.region`, as in the README's proxy.yaml"
    ]


def test_no_file(tmp_path: Path) -> None:
    """The path that was tried is named."""
    (line,) = mistakes_of(tmp_path / "absent.yaml")
    assert line == f"{tmp_path}/absent.yaml: cannot be read: No such file or directory; name the settings file with --config"


def test_an_unknown_variable_far_from_any(write) -> None:
    """A variable that is none stops the start: a typo must not leave a default in force."""
    assert mistakes_of(write(LEAST), {"DDB_PROXY_XYZZY": "1"}) == ["DDB_PROXY_XYZZY: is not a setting's variable; remove it"]


def test_an_empty_list_in_a_variable(write) -> None:
    """An empty variable is a mistake of its own name."""
    assert mistakes_of(write(LEAST), {"DDB_PROXY_AWS_WARM_UP": ""}) == ["DDB_PROXY_AWS_WARM_UP: is empty"]


def test_variables_of_the_worker_are_no_settings(write) -> None:
    """Gateway and worker may share an environment, as on a laptop."""
    load_settings(write(LEAST), {"DDB_PROXY_URL": "http://127.0.0.1:8080", "DDB_PROXY_TOKEN_FILE": "/token"})


def test_variables_of_kubernetes_service_links_are_no_settings(write) -> None:
    """A Service named `ddb-proxy` puts these into every pod of its namespace, the gateway's included."""
    links = [
        "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR", "PORT_8080_TCP_PORT",
        "PORT_8080_TCP_PROTO", "ADMIN_SERVICE_HOST", "ADMIN_PORT_9090_TCP",
    ]  # fmt: skip
    load_settings(write(LEAST), {f"DDB_PROXY_{link}": "tcp://10.0.0.1:8080" for link in links})


@pytest.mark.parametrize("address", ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "gateway.test:80"])
def test_off_loopback_takes_tls_or_a_word(write, tmp_path: Path, address: str) -> None:
    """Tokens are as good as passwords: plaintext off this machine is said aloud or not served."""
    (tmp_path / "pem").touch()
    assert len(mistakes_of(write(LEAST | {"listen": address}))) == 1
    aloud = load_settings(write(LEAST | {"listen": address, "insecure_plaintext": True}), {})
    assert aloud.drain_delay_seconds == 5.0
    load_settings(write(LEAST | {"listen": address, "tls": {"certificate": "pem", "key": "pem"}}), {})


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.9.9.9:80", "[::1]:80", "localhost:80"])
def test_loopback_needs_none(write, address: str) -> None:
    """A sidecar speaks plaintext to its own pod, and drains without delay."""
    settings = load_settings(write(LEAST | {"listen": address}), {})
    assert settings.listen.is_loopback
    assert settings.drain_delay_seconds == 0.0


@pytest.mark.parametrize("key", ["discovery", "jwks_url"])
def test_keys_at_a_url(write, key: str) -> None:
    """Issuer string and key source are separate settings."""
    issuer = load_settings(write(issuer_with(issuer="any text", keys={key: "https://idp.test/x/"})), {}).issuers[0]
    assert (issuer.issuer, issuer.keys) == ("any text", KeySource(key, "https://idp.test/x"))  # type: ignore[arg-type]  # any key


def test_keys_in_a_file_and_trust_in_another(write, tmp_path: Path) -> None:
    """Relative to the settings file."""
    (tmp_path / "keys.json").touch()
    (tmp_path / "ca.pem").touch()
    found = load_settings(write(issuer_with(keys={"jwks_file": "keys.json"})), {}).issuers[0].keys
    assert found == KeySource("jwks_file", str(tmp_path / "keys.json"))
    found = load_settings(write(issuer_with(keys={"ca_file": "ca.pem"})), {}).issuers[0].keys
    assert found == KeySource("discovery", "https://idp.test", str(tmp_path / "ca.pem"))


def test_a_cluster_is_where_the_keys_are(write, tmp_path: Path) -> None:
    """Without `keys`, the API server's key set is read with its authority and the gateway's own token; with them, as they say."""
    (tmp_path / "ca.crt").touch()
    (tmp_path / "token").touch()
    said = {"api": "https://10.0.0.1:6443/", "ca_file": "ca.crt", "token_file": "token"}
    files = (str(tmp_path / "ca.crt"), str(tmp_path / "token"))
    found = load_settings(write(issuer_with(issuer="kubernetes/serviceaccount", kubernetes=said)), {}).issuers[0]
    assert found.keys == KeySource("jwks_url", "https://10.0.0.1:6443/openid/v1/jwks", *files)
    assert found.cluster == Cluster("https://10.0.0.1:6443", *files)
    own = {"jwks_file": "token"}
    found = load_settings(write(issuer_with(keys=own, kubernetes=said | {"token_review": True, "pods": True})), {}).issuers[0]
    assert found.keys == KeySource("jwks_file", str(tmp_path / "token"))
    assert found.cluster == Cluster("https://10.0.0.1:6443", *files, token_review=True, pods=True)


def test_required_claims_are_a_text_or_several(write) -> None:
    """Each a glob."""
    said = {"repository_owner": "acme", "https://acme.example/team": ["growth-*", "!growth-x"]}
    found = load_settings(write(issuer_with(required_claims=said)), {}).issuers[0]
    assert found.required_claims == {"repository_owner": ("acme",), "https://acme.example/team": ("growth-*", "!growth-x")}


def test_everything_of_an_issuer(write) -> None:
    """What may be said of an issuer is kept as said."""
    said = {
        "audience": ["a", "b"], "algorithms": ["ES256"], "claims": {"dag_id": "kubernetes.io.pod"}, "required_type": "at+jwt",
        "leeway_seconds": 0, "max_lifetime_seconds": 600,
    }  # fmt: skip
    issuer = load_settings(write(issuer_with(**said)), {}).issuers[0]
    assert (issuer.audiences, issuer.algorithms, issuer.claims) == (("a", "b"), ("ES256",), {"dag_id": "kubernetes.io.pod"})
    assert (issuer.required_type, issuer.leeway, issuer.max_lifetime) == ("at+jwt", 0.0, 600.0)


# -------------------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://idp.test", ""),
        ("https://idp.test:8443/realms/x", ""),
        ("http://127.0.0.1:8000", ""),
        ("http://[::1]:8000", ""),
        ("http://localhost", ""),
        ("http://idp.test", "plain HTTP"),
        ("http://127.0.0.1.evil.test", "plain HTTP"),
        ("ftp://idp.test", "not an http(s) URL"),
        ("idp.test", "not an http(s) URL"),
        ("https://", "not an http(s) URL"),
        ("https://a b", "not an http(s) URL"),
        ("https://idp.test/\n", "not an http(s) URL"),
        ("https://idp.test:0", "not an http(s) URL"),
        ("https://idp.test:99999", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://idp.test?x=1", "must not hold"),
        ("https://idp.test#x", "must not hold"),
    ],
)
def test_urls(url: str, problem: str) -> None:
    """Https, or http to this machine; nothing that two parsers could read differently."""
    found = problem_of_url(url)
    assert problem in found
    assert bool(found) == bool(problem)


@pytest.mark.parametrize("url", ["https://user:hunter2@idp.test", "https://hunter2@idp.test", "https://:hunter2@idp.test"])
def test_a_password_in_a_url_is_refused_and_not_shown(write, url: str) -> None:
    """What is logged at a failed start may be read by many."""
    (line,) = mistakes_of(write(LEAST | {"aws": {"region": "eu-west-1", "sts_endpoint_url": url}}))
    assert "must not hold a user" in line
    assert "hunter2" not in line


@given(st.text(max_size=60))
def test_no_url_breaks_the_judge(text: str) -> None:
    """Whatever the text, the answer is a sentence or nothing; plain HTTP off loopback is never let through."""
    problem = problem_of_url(text)
    assert problem or text.lower().startswith(("https://", "http://127.", "http://[", "http://localhost"))


# ---------------------------------------------------------------------------------------------- where the file is


def test_the_settings_file_as_given_as_named_as_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config beats the variable, which beats ./proxy.yaml; without any there are variables only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DDB_PROXY_CONFIG", raising=False)
    assert settings_path(None) is None
    Path("proxy.yaml").touch()
    assert settings_path(None) == Path("proxy.yaml")
    monkeypatch.setenv("DDB_PROXY_CONFIG", "/etc/other.yaml")
    assert settings_path(None) == Path("/etc/other.yaml")
    assert settings_path(Path("given.yaml")) == Path("given.yaml")


def test_the_sink_is_standard_output_by_its_sign(write) -> None:
    """`-` is no file's name."""
    assert load_settings(write(LEAST | {"audit": {"path": "-"}}), {}).audit_path == "-"
