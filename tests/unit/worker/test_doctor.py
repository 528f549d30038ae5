"""`doctor` on a worker: each broken link is named with its fix, against a real gateway; no token is ever printed."""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from proxy.refusal import Reason
from proxy.worker.asking import clock
from proxy.worker.chain import LINK_OF_REASON, LINKS, PROBES, Finding, judge_answer, print_findings, probe
from proxy.worker.doctor import bypasses_proxy, examine_worker, walk
from tests.fake_aws import FakeAws, RunningGateway, fake_aws, running_gateway, self_signed, settings_in, token
from tests.stack.process import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def aws() -> Iterator[FakeAws]:
    """DynamoDB and STS; role `locked` may not be assumed, for `astray` STS is failing."""
    with fake_aws() as running:
        running.sts_errors |= {"locked": "AccessDenied", "astray": "InternalFailure"}
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, aws: FakeAws) -> Iterator[RunningGateway]:
    """A gateway with two issuers, one of which has no keys."""
    folder = tmp_path_factory.mktemp("gateway")
    settings = settings_in(folder, aws.url)
    away = {"name": "away", "issuer": "https://away.test", "audience": "x", "may_assert": ["*"]}
    settings["issuers"].append(away | {"algorithms": ["ES256"], "keys": {"jwks_url": "https://127.0.0.1:1/keys"}})
    with running_gateway(folder, settings) as running:
        running.until_ready()
        yield running


@pytest.fixture
def examine(gateway: RunningGateway, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Walk with a good token and table unless told otherwise; exit status and what was printed, which never shows a token."""

    def run(text: str | None = None, *, env: dict[str, str] | None = None, **changes: Any) -> tuple[int, str]:
        said = token() if text is None else text
        file = tmp_path / "token"
        file.write_text(said)
        options = {"endpoint": gateway.url, "token_file": file, "dag": None, "table": "orders", "operation": "GetItem"}
        out = io.StringIO()
        files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        status = print_findings(walk(argparse.Namespace(**(options | changes)), files | (env or {})), out)
        for part in said.strip().split("."):
            assert len(part) < 12 or part not in out.getvalue()
        return status, out.getvalue()

    return run


def broken(printed: tuple[int, str]) -> str:
    """The broken link and its line, with the fix."""
    status, text = printed
    assert status == 1
    lines = text.splitlines()
    place = next(number for number, line in enumerate(lines) if line[9:].startswith("broken"))
    return " ".join(" ".join(lines[place:]).split())


# ---------------------------------------------------------------------------------------------------- the whole


def test_a_whole_chain(examine, aws: FakeAws) -> None:
    """Every link is told, in order, and the probe asks for a key that no table has."""
    aws.answers["GetItem"] = (400, {"__type": "com.amazon.coral.validate#ValidationException", "message": "no such key"})
    status, text = examine()
    aws.answers.clear()
    assert status == 0
    assert [line.split()[:2] for line in text.splitlines()] == [
        ["worker", "ok"], ["token", "note"], *([link, "ok"] for link in LINKS[1:])
    ]  # fmt: skip


def test_without_a_table_it_walks_to_the_policy(examine) -> None:
    """The chain up to the DAG is proven by a table that no policy has."""
    status, text = examine(table=None)
    assert status == 0
    assert "policy   note    name a table with --table" in text
    assert "role" not in [line.split()[0] for line in text.splitlines()]


@pytest.mark.parametrize("operation", PROBES)
def test_every_probe_is_understood_by_the_gateway(examine, operation: str) -> None:
    """None is refused as unreadable."""
    text = examine(operation=operation)[1]
    assert "unreadable_body" not in text


# -------------------------------------------------------------------------------------------------- this worker


def test_no_endpoint(examine) -> None:
    """Without one boto3 would go to AWS."""
    assert "no endpoint" in broken(examine(endpoint=None))
    assert "fix: set DDB_PROXY_URL" in broken(examine(endpoint=None))


@pytest.mark.parametrize(
    "endpoint", ["gateway:8080", "127.0.0.1:8080", "http://", "http://[::1", "http://a:99999", "ftp://a", "http://a/b"]
)
def test_an_endpoint_that_is_none(examine, endpoint: str) -> None:
    """Told before anything is tried."""
    assert broken(examine(endpoint=endpoint)).startswith("worker broken --endpoint: ")


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"])
def test_the_endpoint_of_the_variables(examine, gateway: RunningGateway, variable: str) -> None:
    """Found where boto3 finds it."""
    status, text = examine(endpoint=None, env={variable: gateway.url})
    assert status == 0
    assert f"({variable})" in text


def test_the_endpoint_and_token_of_a_connection(examine, gateway: RunningGateway) -> None:
    """Airflow's connection in JSON form carries both."""
    connection = {
        "conn_type": "aws", "login": "x", "password": "x",
        "extra": {"aws_session_token": token(), "service_config": {"dynamodb": {"endpoint_url": gateway.url}}},
    }  # fmt: skip
    env = {
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_BAD": "{",
        "AIRFLOW_CONN_OTHER": '{"conn_type": "x"}',
    }
    status, text = examine(endpoint=None, token_file=None, env=env)
    assert status == 0, text
    assert "AIRFLOW_CONN_AWS_DEFAULT, aws_session_token" in text
    connection |= {"password": ""}
    env = {"AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection | {"extra": json.dumps(connection["extra"])})}
    assert "no login and password" in broken(examine(endpoint=None, token_file=None, env=env))


def test_ignored_endpoint_variables(examine) -> None:
    """A variable that makes boto3 look away."""
    found = broken(examine(env={"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}))
    assert found.startswith("worker broken AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true")
    assert "fix: unset it" in found


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_a_proxy_of_the_environment(examine, name: str) -> None:
    """HTTP_PROXY without NO_PROXY; its address, which may hold a password, is not printed."""
    found = broken(examine(env={name: "http://user:hunter2@proxy.test:3128"}))
    assert found.startswith("worker broken HTTP_PROXY is set and NO_PROXY does not hold 127.0.0.1")
    assert "fix: add 127.0.0.1 to NO_PROXY" in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "env",
    [
        {"HTTP_PROXY": "http://p", "NO_PROXY": "other, 127.0.0.1"},
        {"HTTP_PROXY": "http://p", "no_proxy": "*"},
        {"HTTP_PROXY": "http://p", "http_proxy": ""},
        {"HTTPS_PROXY": "http://p"},
    ],
)
def test_a_proxy_that_does_not_matter(examine, env: dict[str, str]) -> None:
    """Held off by NO_PROXY, by an empty lower-case spelling, or meant for https."""
    assert examine(env=env)[0] == 0


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_held_off"),
    [
        ("gw.ns.svc", ".svc", True),
        ("gw.ns.svc", "svc", True),
        ("gw.ns.svc", "gw.ns.svc:8080", True),
        ("gw.ns.svc", "gw.ns.svc:81", False),
        ("gw.ns.svc", "s.svc", False),
        ("GW", "gw", True),
        ("gw", "", False),
        ("gw", ",, *", False),
    ],
)
def test_no_proxy_as_python_reads_it(host: str, no_proxy: str, is_held_off: bool) -> None:
    """Suffixes at dots, ports where named, the star alone."""
    assert bypasses_proxy(host, 8080, no_proxy) is is_held_off


@pytest.mark.parametrize(
    ("variable", "profile", "text"),
    [
        ("AWS_CONFIG_FILE", "default", "[default]\nrole_arn = arn:aws:iam::1:role/x\n"),
        ("AWS_CONFIG_FILE", "etl", "[profile etl]\ncredential_process = x\n"),
        ("AWS_SHARED_CREDENTIALS_FILE", "default", "[default]\naws_access_key_id = AKIAX\n"),
    ],
)
def test_a_stale_profile(examine, tmp_path: Path, variable: str, profile: str, text: str) -> None:
    """Keys or roles in ~/.aws win over the gateway's token, without a word."""
    (tmp_path / "aws").write_text(text)
    env = {
        variable: str(tmp_path / "aws"),
        "AWS_PROFILE": profile,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
    }
    found = broken(examine(token_file=None, env=env))
    assert found.startswith(f"worker broken {tmp_path}/aws [")
    assert "fix: remove" in found


@pytest.mark.parametrize(
    "text",
    [
        "[default]\nregion = x\n",
        "[default]\nrole_arn = x\nservices = gw\n",
        "nonsense",
        "[default]\naws_access_key_id = x\naws_session_token = a.b.c\n",
    ],
)
def test_a_profile_that_does_no_harm(examine, tmp_path: Path, text: str) -> None:
    """No keys, the gateway's own profile, or no profile at all."""
    (tmp_path / "aws").write_text(text)
    env = {"AWS_CONFIG_FILE": str(tmp_path / "aws"), "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token")}
    assert examine(token_file=None, env=env)[0] == 0


@pytest.mark.parametrize("where", ["AWS_PROFILE", "connection"])
def test_the_profile_of_the_readme(examine, gateway: RunningGateway, tmp_path: Path, where: str) -> None:
    """Endpoint and token of a profile with `services` and `dynamodb-proxy token`, named by the variable or by a connection."""
    (tmp_path / "aws").write_text(
        f"[profile ddb-proxy]\ncredential_process = dynamodb-proxy token --file {tmp_path}/token\nservices = ddb-proxy\n"
        f"[services ddb-proxy]\ndynamodb =\n  endpoint_url = {gateway.url}\n"
    )
    connection = {"conn_type": "aws", "extra": {"profile_name": "ddb-proxy"}}
    names = {"AWS_PROFILE": "ddb-proxy"} if where == "AWS_PROFILE" else {"AIRFLOW_CONN_AWS": json.dumps(connection)}
    status, text = examine(endpoint=None, token_file=None, env=names | {"AWS_CONFIG_FILE": str(tmp_path / "aws")})
    assert status == 0, text
    assert f"({tmp_path}/aws [profile ddb-proxy])" in text
    assert f"{tmp_path}/token ({tmp_path}/aws [profile ddb-proxy])" in text


@pytest.mark.parametrize("process", ["other-process", "'", "dynamodb-proxy token"])
def test_a_process_that_is_not_ours_is_not_run(examine, gateway: RunningGateway, tmp_path: Path, process: str) -> None:
    """No token can be told of it; its endpoint can."""
    (tmp_path / "aws").write_text(f"[default]\ncredential_process = {process}\nendpoint_url = {gateway.url}\n")
    assert "no token found" in broken(examine(endpoint=None, token_file=None, env={"AWS_CONFIG_FILE": str(tmp_path / "aws")}))


def test_the_token_of_a_credentials_file(examine, tmp_path: Path) -> None:
    """A profile may hold the token itself."""
    (tmp_path / "aws").write_text(f"[default]\naws_access_key_id = x\naws_session_token = {token()}\n")
    assert examine(token_file=None, env={"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws")})[0] == 0


# ---------------------------------------------------------------------------------------------------- the token


def test_real_aws_keys(examine) -> None:
    """Keys without a session token sign as AWS; only their first letters are shown."""
    found = broken(examine(token_file=None, env={"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}))
    assert found.startswith("token broken AWS_ACCESS_KEY_ID (AKIA...) is set without AWS_SESSION_TOKEN")
    assert "IOSFODNN7" not in found


def test_a_session_token_beside_keys(examine) -> None:
    """The way of boto3 without any hook."""
    assert examine(token_file=None, env={"AWS_ACCESS_KEY_ID": "x", "AWS_SESSION_TOKEN": token()})[0] == 0


def test_no_token_anywhere(examine) -> None:
    """What to do is said."""
    assert "fix: name it with --token-file" in broken(examine(token_file=None))


def test_a_token_file_that_cannot_be_read(examine, tmp_path: Path) -> None:
    """The cause is the system's."""
    assert "cannot be read: No such file or directory" in broken(examine(token_file=tmp_path / "absent"))
    (tmp_path / "binary").write_bytes(b"\xff")
    assert "cannot be read: not text" in broken(examine(token_file=tmp_path / "binary"))


@pytest.mark.parametrize("tail", ["\n", " ", "\r\n", "\\n"])
def test_a_newline_in_the_token_file(examine, tail: str) -> None:
    """The usual first mistake."""
    found = broken(examine(token() + tail))
    assert found.startswith("token broken")
    assert "holds a line break or white space fix: write it without: printf" in found


def encoded(claims: str) -> str:
    """A token's text around these claims, unsigned."""
    return "eyJhbGciOiJSUzI1NiJ9." + base64.urlsafe_b64encode(claims.encode()).rstrip(b"=").decode() + ".c2ln"


@pytest.mark.parametrize("text", ["", "abc", "a.b.c", "a.b", "\u2026.e30.c", encoded("[]"), encoded("[" * 100_000)])
def test_a_token_that_is_no_jwt(examine, text: str) -> None:
    """Told before it is sent."""
    assert "is not a JWT" in broken(examine(text))


def test_an_empty_token_file(examine) -> None:
    """Whoever writes it failed: that is told, and not the form of a token."""
    assert "is not a JWT (it is empty) fix: look at who writes it" in broken(examine(""))


@pytest.mark.parametrize("exp", ["NaN", "Infinity", "-Infinity", '"soon"', "null", "1e400", "true"])
def test_a_token_with_an_odd_expiry(examine, exp: str) -> None:
    """No expiry makes the doctor fall ill; the gateway judges it."""
    assert broken(examine(encoded(f'{{"exp": {exp}}}'))).startswith(("token broken", "issuer broken"))


def test_an_expired_token(examine) -> None:
    """With issuer and audience, which are no secret."""
    found = broken(examine(token(seconds=-100)))
    assert found.startswith("token broken")
    assert "expired 10" in found
    assert "fix: get a new one; if it is new, look at this machine's clock" in found


def test_a_token_that_expired_long_ago(examine) -> None:
    """Told in days, as the gateway says it."""
    assert re.search(r": expired \d{4} days ago; ", broken(examine(token(iat=1_600_000_000, exp=1_600_000_600))))


# --------------------------------------------------------------------------------- what the gateway says, by link

SAID: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("token", "wrong_audience", {"aud": "sts.amazonaws.com"}, {}),
    ("token", "token_not_yet_valid", {"nbf": 4_000_000_000}, {}),
    ("token", "token_claims", {"sub": None}, {}),
    ("issuer", "unknown_issuer", {"iss": "https://idp.test/"}, {}),
    ("issuer", "keys_unavailable", {"iss": "https://away.test", "aud": "x"}, {}),
    ("dag", "no_dag_claim", {"dag_id": None}, {}),
    ("dag", "conflicting_claims", {}, {"dag": "another d\u00e4g, 100 %"}),
    ("dag", "unknown_dag", {"dag_id": "stranger"}, {}),
    ("policy", "no_rule", {}, {"operation": "Scan"}),
    ("policy", "no_rule", {}, {"table": "others"}),
    ("role", "role_not_assumable", {"dag_id": "locked"}, {}),
    ("sts", "credentials_unavailable", {"dag_id": "astray"}, {}),
]


@pytest.mark.parametrize(("link", "reason", "claims", "options"), SAID, ids=[f"{row[0]}-{row[1]}" for row in SAID])
def test_what_the_gateway_refuses(examine, link: str, reason: str, claims: dict[str, Any], options: dict[str, Any]) -> None:
    """The refusal's reason names the link, its message what to do; what lies behind is said not to be reached."""
    found = broken(examine(token(**claims), **options))
    assert found.startswith(f"{link} broken {reason}: ")
    assert "; " in found
    assert ("fix: name the DAG with --dag" in found) == (reason == "no_dag_claim")
    assert "not reached: " in found
    assert "table" in found.rpartition("not reached: ")[2]


@pytest.mark.parametrize(
    ("answer", "link", "words"),
    [
        ((400, {"__type": "x#ResourceNotFoundException"}), "table", "'lost' does not exist there fix: look at its name"),
        (
            (400, {"__type": "x#AccessDeniedException", "Message": "not authorized"}),
            "role",
            "AWS refused the DAG's role: not authorized",
        ),
        ((400, {"__type": "x#ThrottlingException", "message": "slow"}), "table", "AWS answered 400 ThrottlingException: slow"),
        ((400, {"__type": "x#ExpiredTokenException"}), "sts", "credentials_refused: AWS did not accept the gateway's session"),
    ],
)
def test_what_aws_refuses(examine, aws: FakeAws, answer: tuple[int, dict[str, Any]], link: str, words: str) -> None:
    """Behind the gateway: the table, the role's IAM policy, the gateway's own session."""
    aws.answers["GetItem"] = answer
    found = broken(examine(table="lost"))
    aws.answers.clear()
    assert found.startswith(f"{link} broken {words}")


# ----------------------------------------------------------------------------------------- reaching the gateway


def test_nobody_listens(examine) -> None:
    """Told with the address."""
    found = broken(examine(endpoint=f"http://127.0.0.1:{free_port()}"))
    assert found.startswith("gateway broken nobody listens at http://127.0.0.1:")
    assert "fix: start the gateway" in found


def test_a_name_that_nobody_has(examine) -> None:
    """DNS."""
    assert broken(examine(endpoint="http://gateway.invalid:8080")).startswith("gateway broken http://gateway.invalid:8080: ")


def test_https_to_a_plaintext_port(examine, gateway: RunningGateway) -> None:
    """The endpoint says https, the gateway has no certificate."""
    found = broken(examine(endpoint=gateway.url.replace("http:", "https:")))
    assert "does not speak TLS fix: write http:// in the endpoint" in found


def test_http_to_a_tls_port_and_an_unknown_authority(examine, tmp_path: Path, aws: FakeAws) -> None:
    """The gateway itself says that it speaks TLS; a certificate that nobody trusts is told with the variable."""
    folder = tmp_path / "tls"
    folder.mkdir()
    pem = self_signed(folder)
    settings = settings_in(folder, aws.url, tls={"certificate": pem.name, "key": pem.name})
    with running_gateway(folder, settings) as running:
        running.until_ready()
        found = broken(examine(endpoint=running.url))
        assert found.startswith("gateway broken plaintext_to_tls: ")
        assert "https://" in found
        found = broken(examine(endpoint=running.url.replace("http:", "https:")))
        assert "fix: set AWS_CA_BUNDLE to the CA" in found


class Stranger(BaseHTTPRequestHandler):
    """Not the gateway: answers 404 in HTML, with a clock of its own."""

    date = "Thu, 01 Jan 2026 00:00:00 GMT"
    status = 404
    body = b"<html>"
    mark = False
    heard: ClassVar[list[tuple[str, Any]]] = []

    def do_POST(self) -> None:
        """Answer."""
        self.heard.append((self.command, self.headers))
        self.send_response_only(self.status)
        self.send_header("date", self.date)
        if self.mark:
            self.send_header("x-ddb-proxy", "ok")
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[str]:
    """URL of something else that speaks HTTP."""
    server = HTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_clock_that_is_off(examine, stranger: str) -> None:
    """Tokens are judged by the clock: told before anything that it may have broken."""
    found = broken(examine(endpoint=stranger))
    assert found.startswith("gateway broken this machine's clock is +")
    assert "fix: set the clock (NTP)" in found


def test_somebody_else_listens_and_hears_no_token(examine, stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has not the gateway's mark (AWS itself, the admin plane) is named as a stranger and given nothing."""
    monkeypatch.setattr(Stranger, "date", "no date")
    Stranger.heard.clear()
    found = broken(examine(endpoint=stranger))
    assert "is not the gateway: it answered 404 to GET /healthz" in found
    assert "fix: write the address of the gateway's data plane" in found
    assert [(method, headers["authorization"]) for method, headers in Stranger.heard] == [("GET", None)]


def test_the_admin_plane_is_not_the_data_plane(examine, gateway: RunningGateway) -> None:
    """Its health looks alike but has no mark; what it says of itself tells it from others, whatever these answer."""
    found = broken(examine(endpoint=f"http://{gateway.admin}"))
    assert "is not the gateway: it answered 200" in found
    assert "fix: this is its admin port; use that of `listen`" in found


@pytest.mark.parametrize("body", [b"<html>", b"7", b'{"status": "ok"}'])
def test_a_healthy_stranger_is_no_admin_plane(examine, stranger: str, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """Another service's health is no reason to speak of the gateway's ports."""
    monkeypatch.setattr(Stranger, "date", "no date")
    monkeypatch.setattr(Stranger, "status", 200)
    monkeypatch.setattr(Stranger, "body", body)
    assert "fix: write the address of the gateway's data plane" in broken(examine(endpoint=stranger))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_an_answer_in_other_words(examine, stranger: str, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """Something between worker and gateway that answers for it is told apart from both."""
    monkeypatch.setattr(Stranger, "date", "no date")
    monkeypatch.setattr(Stranger, "mark", True)
    monkeypatch.setattr(Stranger, "body", body)
    assert "answered 404, not in DynamoDB's words fix: look at what stands before the gateway" in broken(
        examine(endpoint=stranger)
    )


def test_clocks() -> None:
    """A minute is forgiven; no date says nothing."""
    assert list(clock(None)) == []
    assert [finding.state for finding in clock("Thu, 01 Jan 2026 00:00:00 GMT")] == ["broken"]


# ---------------------------------------------------------------------------------------------------- the chain


def test_every_reason_has_its_link() -> None:
    """The closed list of reasons, exactly; each link is one of the chain."""
    assert set(LINK_OF_REASON) == {reason.value for reason in Reason} - {Reason.ALLOWED.value, Reason.OBSERVED.value}
    assert set(LINK_OF_REASON.values()) <= set(LINKS)


@pytest.mark.parametrize("reason", LINK_OF_REASON)
def test_only_what_was_passed_is_called_ok(reason: str) -> None:
    """A refusal at the gate says nothing of the token; one for want of STS nothing of the role."""
    *passed, last = judge_answer(400, reason, "", "why; what to do", "t")
    assert (last.link, last.state) == (LINK_OF_REASON[reason], "broken")
    names = [finding.link for finding in passed]
    assert names == (
        [] if last.link == "gateway" else [x for x in LINKS[1 : LINKS.index(last.link)] if (x, last.link) != ("role", "sts")]
    )


def test_a_reason_of_a_newer_gateway_breaks_the_gateways_link() -> None:
    """A worker older than its gateway still says something true."""
    (finding,) = judge_answer(400, "brand_new", "", "m", "t")
    assert finding == Finding("gateway", "broken", "brand_new: m")


def test_the_last_link_has_none_behind_it() -> None:
    """Nothing is left unreached behind the table, and nothing is printed behind the first broken link."""
    out = io.StringIO()
    findings = [Finding(link, "ok", "x") for link in LINKS[:-1]] + [Finding("table", "broken", "x"), Finding("table", "ok", "y")]
    assert print_findings(findings, out) == 1
    assert "not reached" not in out.getvalue()
    assert " y" not in out.getvalue()


def test_probes_are_json_and_name_their_table() -> None:
    """Each is one harmless request."""
    assert {json.loads(probe(operation, "t"))["TableName"] for operation in PROBES} == {"t"}


def test_the_worker_side_is_the_standard_library_alone(gateway: RunningGateway) -> None:
    """Run without site-packages: nothing of the gateway and no third-party package is imported."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from proxy.__main__ import main\n"
        "status = main(['doctor', '--endpoint', sys.argv[2], '--token-file', '/dev/stdin', '--table', 'orders'])\n"
        "ours = sorted(n for n in sys.modules if n.split('.')[0] == 'proxy')\n"
        "foreign = sorted({n.split('.')[0] for n in sys.modules} - sys.stdlib_module_names - {'proxy', '__main__'})\n"
        "print(status, ours, foreign, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", script, str(ROOT), gateway.url],
        input=token(), capture_output=True, text=True, check=True, timeout=60,
        env={"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull},
    )  # fmt: skip
    names = ("asking", "chain", "doctor", "partitions", "profile", "recipe", "switch", "times", "wire")
    parts = [f"proxy.worker.{name}" for name in names]
    assert done.stderr == f"0 {['proxy', 'proxy.__main__', 'proxy.worker', *parts]} []\n"
    assert "table    ok" in done.stdout


def test_the_command_reads_its_own_environment(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`examine_worker` walks with the variables of this process."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", gateway.url)
    for name in ("HTTP_PROXY", "http_proxy", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text(token())
    options = argparse.Namespace(endpoint=None, token_file=tmp_path / "token", dag=None, table="orders", operation="GetItem")
    out = io.StringIO()
    assert examine_worker(options, out) == 0, out.getvalue()
