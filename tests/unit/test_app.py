"""The gateway as a process, before a small AWS: it starts whole or not at all, serves, tells, reloads and stops well."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from proxy.aws.endpoints import default_endpoint
from proxy.gateway import tell_defect
from proxy.server import CannotServe, bind_unix
from tests.fake_aws import RunningGateway, fake_aws, running_gateway, self_signed, settings_in, token
from tests.stack.process import ROOT, clean_environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fake_aws import FakeAws

PUT = {"TableName": "orders", "Item": {"pk": {"S": "hidden-value"}}}
SECRETS = ("hidden-value", "hidden-secret", "hidden-session", "hidden-base", "eyJ")


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    """DynamoDB and STS."""
    with fake_aws() as running:
        yield running


@pytest.fixture
def gateway(tmp_path: Path, aws: FakeAws) -> Iterator[RunningGateway]:
    """A gateway of one process, ready."""
    with running_gateway(tmp_path, settings_in(tmp_path, aws.url)) as running:
        running.until_ready()
        yield running


@pytest.mark.parametrize("workers", [1, 2])
def test_why_is_asked_on_the_admin_socket(tmp_path: Path, aws: FakeAws, workers: int) -> None:
    """Of one process and of several: who may open the socket asks; the port has no such route."""
    path = tmp_path / "admin.sock"
    settings = settings_in(tmp_path, aws.url, workers=workers, admin={"socket": "admin.sock"})
    with running_gateway(tmp_path, settings) as running:
        running.until_ready()
        _, headers, _ = running.call("Scan", {"TableName": "orders"})
        assert path.stat().st_mode & 0o777 == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://admin") as client:
            asked = client.post("/explain", json={"dag": "etl", "operation": "Scan", "table": "orders"}).json()
            running.until(
                lambda: client.get(f"/explain/{headers['x-amzn-requestid']}").status_code == 200, "the decision is on record"
            )
            found = client.get(f"/explain/{headers['x-amzn-requestid']}").json()
            assert client.get("/healthz").json() == {"status": "ok"}
        with httpx.Client(base_url=f"http://{running.admin}", trust_env=False) as client:
            assert client.post("/explain", json={}).status_code == 404
    assert asked["reason"] == found["record"]["reason"] == found["explanation"]["reason"] == "no_rule"
    assert not path.exists()


def test_a_socket_that_is_served_is_not_taken(tmp_path: Path, aws: FakeAws) -> None:
    """One that nobody serves any more gives way; one that somebody does, or a path that is none, stops the start."""
    path = tmp_path / "admin.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    settings = settings_in(tmp_path, aws.url, admin={"socket": "admin.sock"})
    with running_gateway(tmp_path, settings) as running:
        running.until_ready()
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        with pytest.raises(CannotServe, match="cannot listen on"):
            bind_unix(path)
    with pytest.raises(CannotServe, match="the path is too long"):
        bind_unix(tmp_path / ("x" * 200))


def metric(text: str, start: str) -> float:
    """The sum of the samples that start so."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(start))


def test_the_main_job(gateway: RunningGateway, aws: FakeAws) -> None:
    """An allowed read and write reach DynamoDB as the DAG's role; a denial does not; all of it is counted and on record."""
    aws.answers["GetItem"] = (200, {"Item": {"pk": {"S": "hidden-value"}}})
    status, _, body = gateway.call()
    assert (status, body) == (200, {"Item": {"pk": {"S": "hidden-value"}}})
    assert gateway.call("PutItem", PUT)[0] == 200
    status, headers, body = gateway.call("Scan", {"TableName": "orders"})
    assert (status, headers["x-ddb-proxy-reason"]) == (400, "no_rule")
    assert body["__type"] == "com.amazon.coral.service#AccessDeniedException"
    assert body["message"].endswith(f"; decision {headers['x-amzn-requestid']}")
    assert [operation for operation, _, _ in aws.requests] == ["GetItem", "PutItem"]
    assert "Credential=ASIAROLE/" in aws.requests[0][1]["authorization"]
    assert [call["RoleArn"] for call in aws.sts_calls] == ["arn:aws:iam::111122223333:role/etl"]

    gateway.until(lambda: len(gateway.records()) >= 7, "all records are written")
    records = [r for r in gateway.records() if r["record"] != "event"]
    assert [(r["record"], r.get("decision") or r["ending"]) for r in records] == [
        ("decision", "allow"), ("outcome", "served"), ("decision", "allow"), ("outcome", "served"),
        ("decision", "deny"), ("outcome", "refused"),
    ]  # fmt: skip
    assert len({r["id"] for r in records}) == 3
    text = gateway.get("/metrics")[1]
    assert metric(text, 'dynamodb_proxy_requests_total{dag="etl",ending="served"') == 2
    assert metric(text, 'dynamodb_proxy_refusals_total{dag="etl",reason="no_rule"}') == 1
    assert metric(text, "dynamodb_proxy_sts_calls_total") == 1
    assert metric(text, 'dynamodb_proxy_jwks_fetches_total{issuer="idp",result="ok"}') >= 1
    gateway.until(lambda: metric(gateway.get("/metrics")[1], "dynamodb_proxy_ready") == 1, "readiness is a metric too")
    seen = text + gateway.errors.read_text() + gateway.out.read_text() + (gateway.folder / "audit.jsonl").read_text()
    assert not [secret for secret in SECRETS if secret in seen]


def test_what_first_requests_would_wait_for_is_had_before_them(tmp_path: Path, aws: FakeAws) -> None:
    """The roles of `aws.warm_up` and a connection to DynamoDB; where DynamoDB is away the log tells, and the roles are had."""
    settings = settings_in(tmp_path, aws.url)
    with socket.create_server(("127.0.0.1", 0)) as dynamodb:
        dynamodb.settimeout(30)
        host, port = dynamodb.getsockname()
        settings["aws"] |= {"warm_up": ["et*"], "endpoint_url": f"http://{host}:{port}"}
        with running_gateway(tmp_path, settings) as gateway:
            dynamodb.accept()[0].close()
            gateway.until(lambda: len(aws.sts_calls) == 1, "the role is assumed")
    aws.sts_calls.clear()
    with running_gateway(tmp_path, settings) as gateway:
        gateway.until(lambda: len(aws.sts_calls) == 1, "the role is assumed")
        assert "no connection could be opened ahead: " in gateway.errors.read_text()
    assert [call["RoleArn"] for call in aws.sts_calls] == ["arn:aws:iam::111122223333:role/etl"]


def test_a_workload_of_an_unknown_issuer_is_told(tmp_path: Path, aws: FakeAws) -> None:
    """A misspelt issuer would else show as tasks without a DAG only."""
    settings = settings_in(tmp_path, aws.url)
    (tmp_path / "policies" / "platform.yaml").write_text('workloads: {pool: {issuer: ipd, subject: "*", dags: ["*"]}}\n')
    with running_gateway(tmp_path, settings) as gateway:
        gateway.until_ready()
        assert "platform.yaml:1: workload `pool` covers nobody here: the settings have no issuer `ipd`, only idp" in (
            gateway.errors.read_text()
        )


async def test_a_task_beside_the_requests_does_not_end_unheard(caplog: pytest.LogCaptureFixture) -> None:
    """A defect there is logged when it happens, not when the process ends; to be stopped is none."""

    async def fail() -> None:
        raise ValueError

    async def wait() -> None:
        await asyncio.Event().wait()

    failing, waiting = asyncio.create_task(fail(), name="housekeeping"), asyncio.create_task(wait())
    waiting.cancel()
    await asyncio.wait([failing, waiting])
    tell_defect(failing)
    tell_defect(waiting)
    assert [record.getMessage() for record in caplog.records] == ["a defect ended what sees to housekeeping; restart the gateway"]


def test_it_stops_at_once_when_idle(gateway: RunningGateway) -> None:
    """SIGTERM: exit status 0, with a last word in the audit; an idle connection does not hold it."""
    with socket.create_connection(gateway.listen.split(":")):
        assert gateway.stop() == 0  # long before the drain's 60 s, or this raises
    assert [r["event"] for r in gateway.records() if r["record"] == "event"][-1] == "stop"
    assert "Traceback" not in gateway.errors.read_text()


def test_a_write_in_flight_is_finished(gateway: RunningGateway, aws: FakeAws) -> None:
    """SIGTERM while DynamoDB works: the caller gets its answer, then the process ends with 0."""
    answers: list[int] = []
    aws.held.clear()
    asking = threading.Thread(target=lambda: answers.append(gateway.call("PutItem", PUT)[0]))
    asking.start()
    assert aws.arrived.wait(10)
    gateway.signal(signal.SIGTERM)
    gateway.until(lambda: gateway.get("/readyz")[0] == 503, "it says that it drains")
    aws.held.set()
    asking.join(10)
    assert answers == [200]
    assert gateway.stop() == 0
    assert [r["ending"] for r in gateway.records() if r["record"] == "outcome"] == ["served"]


def test_a_write_that_outlasts_the_drain_is_on_record(tmp_path: Path, aws: FakeAws) -> None:
    """Over the drain timeout it is broken, with its outcome unknown; nothing is lost and the status is still 0."""
    with running_gateway(tmp_path, settings_in(tmp_path, aws.url, drain_timeout_seconds=0.1)) as gateway:
        gateway.until_ready()
        aws.held.clear()
        connection = http.client.HTTPConnection(gateway.listen, timeout=20)
        headers = {
            "x-amz-target": "DynamoDB_20120810.PutItem",
            "content-type": "application/x-amz-json-1.0",
            "x-dag-token": token(),
        }
        connection.request("POST", "/", json.dumps(PUT), headers)
        assert aws.arrived.wait(10)
        assert gateway.stop() == 0
        connection.close()
    (outcome,) = (r for r in gateway.records() if r["record"] == "outcome")
    assert (outcome["ending"], outcome["sent"]) == ("broken", "unknown")
    assert gateway.records()[-1]["event"] == "stop"


def test_audit_on_standard_output_is_not_mixed_with_logs(tmp_path: Path, aws: FakeAws) -> None:
    """Every line there is a record; logs go to standard error."""
    with running_gateway(tmp_path, settings_in(tmp_path, aws.url, audit={"path": "-"}, log_level="debug")) as gateway:
        gateway.until_ready()
        gateway.call()
        gateway.stop()
    records = [json.loads(line) for line in gateway.out.read_text().splitlines()]
    assert {r["record"] for r in records} == {"event", "decision", "outcome"}
    assert "serving http" in gateway.errors.read_text()


def test_sighup_opens_the_audit_file_anew(gateway: RunningGateway) -> None:
    """A rotated file is left alone from then on."""
    gateway.call()
    audit, rotated = gateway.folder / "audit.jsonl", gateway.folder / "audit.1"
    gateway.until(lambda: any(r["record"] == "outcome" for r in gateway.records()), "the first outcome is written")
    audit.rename(rotated)
    gateway.signal(signal.SIGHUP)

    def another_is_in_the_new_file() -> bool:
        gateway.call()  # one that comes before the signal is heard is still in the old one
        return audit.exists() and any(r["record"] == "outcome" for r in gateway.records())

    gateway.until(another_is_in_the_new_file, "an outcome is in the new file")
    before, records = rotated.read_text(), len(gateway.records())
    gateway.call()
    gateway.until(lambda: len(gateway.records()) >= records + 2, "the next outcome is in the new file")
    assert rotated.read_text() == before


def test_it_answers_before_its_issuer_does(tmp_path: Path, aws: FakeAws) -> None:
    """Without keys: 503 with its reason at once, not ready; with keys it becomes ready by itself."""
    settings = settings_in(tmp_path, aws.url)
    keys = (tmp_path / "jwks.json").read_text()
    (tmp_path / "jwks.json").write_text("{")
    with running_gateway(tmp_path, settings) as gateway:
        gateway.until(lambda: gateway.get("/readyz")[0] == 503, "the admin plane answers")
        status, headers, _ = gateway.call()
        assert (status, headers["x-ddb-proxy-reason"]) == (503, "keys_unavailable")
        assert "keys of issuer idp" in json.loads(gateway.get("/readyz")[1])["missing"][0]
        assert str(tmp_path) not in gateway.get("/readyz")[1]
        (tmp_path / "jwks.json").write_text(keys)
        gateway.until_ready()
        assert gateway.call()[0] == 200


def test_changed_policies_come_into_force_and_bad_ones_do_not(gateway: RunningGateway) -> None:
    """The last good snapshot stays while the files are wrong."""
    policy = gateway.folder / "policies" / "orders.yaml"
    good = policy.read_text()
    policy.write_text(good.replace("[read, write]", "[read, nonsense]"))
    gateway.until(lambda: "dynamodb_proxy_policy_reload_failed 1.0" in gateway.get("/metrics")[1], "the bad policy is told")
    assert gateway.call()[0] == 200
    policy.write_text(good.replace("[read, write]", "[write]"))
    gateway.until(lambda: gateway.call()[0] == 400, "the new policy is in force")
    assert "dynamodb_proxy_policy_reload_failed 0.0" in gateway.get("/metrics")[1]


def test_a_platform_file_that_is_lost_opens_nothing(tmp_path: Path, aws: FakeAws) -> None:
    """What it denied stays denied, and it is told as any other broken change; a start without it is told too."""
    settings = settings_in(tmp_path, aws.url)
    platform = tmp_path / "policies" / "platform.yaml"
    platform.write_text("deny: [{actions: [PutItem], tables: [orders]}]\n")
    with running_gateway(tmp_path, settings) as gateway:
        gateway.until_ready()
        assert "no platform.yaml" not in gateway.errors.read_text()
        platform.rename(tmp_path / "away.yaml")
        gateway.until(lambda: "dynamodb_proxy_policy_reload_failed 1.0" in gateway.get("/metrics")[1], "the loss is told")
        assert gateway.call("PutItem", PUT)[1]["x-ddb-proxy-reason"] == "denied_by_rule"
        assert "policies: holds no platform.yaml any more, so nothing would be denied" in gateway.errors.read_text()
    with running_gateway(tmp_path, settings) as gateway:
        gateway.until_ready()
        assert gateway.call("PutItem", PUT)[0] == 200
        assert "no platform.yaml: nothing is denied, required or bounded platform-wide" in gateway.errors.read_text()


@pytest.mark.parametrize("command", [["serve"], ["doctor"]])
def test_policies_that_cannot_be_listed(tmp_path: Path, command: list[str]) -> None:
    """A sentence from each command of the gateway, no trace."""
    settings = settings_in(tmp_path, "http://127.0.0.1:1")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "proxy.yaml").write_text(json.dumps(settings | {"policies": "fifo"}))
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *command, "--config", str(tmp_path / "proxy.yaml")],
        env=clean_environment({}), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "fifo: cannot be read (Not a directory); name a folder or file of policies" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------------------ workers


def worker_ids(gateway: RunningGateway) -> set[str]:
    """The workers that have audit records of requests."""
    return {str(r["worker"]) for r in gateway.records() if r["record"] == "outcome"}


@pytest.mark.parametrize("workers", [1, 2])
def test_each_worker_leaves_out_the_compiled_forms_where_it_is_told_to(tmp_path: Path, aws: FakeAws, workers: int) -> None:
    """DDB_PROXY_PURE holds for the processes that serve, however they were begun."""
    settings = settings_in(tmp_path, aws.url, workers=workers)
    with running_gateway(tmp_path, settings, env={"DDB_PROXY_PURE": "1"}) as gateway:
        gateway.until_ready()
        gateway.until(lambda: gateway.errors.read_text().count("serving http on") == workers, "all have said what they serve")
        assert gateway.errors.read_text().count("all is Python") == workers


def test_two_workers_are_one_gateway(tmp_path: Path, aws: FakeAws) -> None:
    """Both answer, their metrics are one sum, readiness counts both, the dead is replaced, SIGHUP and SIGTERM reach both."""
    with running_gateway(tmp_path, settings_in(tmp_path, aws.url), "--workers", "2") as gateway:
        gateway.until_ready()
        asked = 0

        def both_have_answered() -> bool:
            nonlocal asked
            connections = [http.client.HTTPConnection(gateway.listen, timeout=10) for _ in range(8)]
            for connection in connections:
                headers = {"x-amz-target": "DynamoDB_20120810.GetItem", "content-type": "application/x-amz-json-1.0"}
                connection.request("POST", "/", b"{}", headers | {"x-dag-token": token(dag_id="stranger")})
                assert connection.getresponse().read()
                asked += 1
            for connection in connections:
                connection.close()
            return len(worker_ids(gateway)) == 2

        gateway.until(both_have_answered, "both workers have answered")
        started = [r for r in gateway.records() if r.get("event") == "start"]
        assert len(started) == 2

        def refusals_told() -> float:
            return metric(gateway.get("/metrics")[1], "dynamodb_proxy_refusals_total")

        gateway.until(lambda: refusals_told() == asked, "both have told what they counted")

        victim = int(started[0]["worker"].rsplit("-", 2)[1])
        gateway.signal(signal.SIGHUP)
        os.kill(victim, signal.SIGKILL)
        gateway.until(lambda: "1 of 2 run" in gateway.get("/readyz")[1], "one is missing")
        gateway.until_ready()
        assert len([r for r in gateway.records() if r.get("event") == "start"]) == 3
        assert gateway.call()[0] == 200
        assert refusals_told() == asked
        assert gateway.stop() == 0
    assert len([r for r in gateway.records() if r.get("event") == "stop"]) == 2
    assert "Traceback" not in gateway.errors.read_text()


def test_a_worker_that_cannot_be_replaced_stops_nobody(tmp_path: Path, aws: FakeAws) -> None:
    """Bad policies on the disk while a worker dies: the other one goes on serving the last good ones."""
    with running_gateway(tmp_path, settings_in(tmp_path, aws.url), "--workers", "2") as gateway:
        gateway.until_ready()
        started = [r for r in gateway.records() if r.get("event") == "start"]
        policy = tmp_path / "policies" / "orders.yaml"
        good = policy.read_text()
        policy.write_text("dags: nonsense")
        os.kill(int(started[0]["worker"].rsplit("-", 2)[1]), signal.SIGKILL)
        gateway.until(lambda: gateway.errors.read_text().count("is replaced") >= 2, "its replacement has failed")
        assert gateway.call()[0] == 200
        policy.write_text(good)
        gateway.until_ready()
        assert gateway.stop() == 0


# ------------------------------------------------------------------------------------------ what stops the start


def cannot_start(folder: Path, settings: dict[str, Any], env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status and what was said, without a trace."""
    gateway = RunningGateway(folder, settings, env=env)
    wait_until(lambda: gateway.process.poll() is not None, 30, "the process ends")
    said = gateway.errors.read_text()
    assert "Traceback" not in said
    assert gateway.out.read_text() == ""
    return gateway.process.returncode, said


def test_bad_settings(tmp_path: Path) -> None:
    """Status 2, every mistake with its place, nothing started."""
    settings = settings_in(tmp_path, "http://10.0.0.1:1", workers=0)
    status, said = cannot_start(tmp_path, settings, {"DDB_PROXY_WORKER": "2"})
    assert status == 2
    assert "4 mistake(s) in the settings; nothing was started" in said
    assert "DDB_PROXY_WORKER: is not a setting's variable; did you mean DDB_PROXY_WORKERS?" in said
    assert "`workers` must be at least 1" in said
    assert "is plain HTTP to another machine" in said


def test_bad_policies(tmp_path: Path) -> None:
    """Status 2, with file and line."""
    settings = settings_in(tmp_path, "http://127.0.0.1:1")
    (tmp_path / "policies" / "orders.yaml").write_text("tables: {}\ndags: nonsense\n")
    status, said = cannot_start(tmp_path, settings)
    assert status == 2
    assert "policies/orders.yaml:2: " in said


@pytest.mark.parametrize("key", ["listen", "admin_listen"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use(tmp_path: Path, key: str, workers: int) -> None:
    """Status 3, with the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, said = cannot_start(tmp_path, settings_in(tmp_path, "http://127.0.0.1:1", workers=workers) | {key: address})
    assert status == 3
    assert "Address already in use; choose another or stop what uses it" in said


def test_credentials_from_itself(tmp_path: Path) -> None:
    """Status 2 where the gateway's own credential chain would come back to its own port."""
    settings = settings_in(tmp_path, "http://127.0.0.1:1")
    env = {"AWS_ENDPOINT_URL": f"http://localhost:{settings['listen'].rpartition(':')[2]}"}
    status, said = cannot_start(tmp_path, settings, env)
    assert status == 2
    assert "AWS_ENDPOINT_URL points at this gateway's own port" in said


def test_an_audit_file_that_cannot_be_written(tmp_path: Path) -> None:
    """Status 2: a gateway without its audit does not start."""
    status, said = cannot_start(tmp_path, settings_in(tmp_path, "http://127.0.0.1:1", audit={"path": "absent/audit.jsonl"}))
    assert status == 2
    assert "absent/audit.jsonl` cannot be written: No such file or directory" in said


@pytest.mark.parametrize("where", ["aws", "issuer", "folder"])
def test_authorities_that_are_none(tmp_path: Path, where: str) -> None:
    """Status 2 for a trust file without certificates, instead of a failure at the first request."""
    settings = settings_in(tmp_path, "http://127.0.0.1:1")
    (tmp_path / "ca.pem").write_text("no certificate")
    if where == "issuer":
        settings["issuers"][0]["keys"] = {"jwks_url": "https://idp.test/keys", "ca_file": "ca.pem"}
    else:
        settings["aws"]["ca_file"] = "ca.pem" if where == "aws" else "policies"
    status, said = cannot_start(tmp_path, settings)
    assert status == 2
    assert "give a bundle of PEM certificates" in said


@pytest.mark.parametrize("workers", [1, 2])
def test_a_certificate_that_cannot_be_used(tmp_path: Path, workers: int) -> None:
    """Status 3, named by file."""
    (tmp_path / "pem").write_text("no certificate")
    settings = settings_in(tmp_path, "http://127.0.0.1:1", tls={"certificate": "pem", "key": "pem"}, workers=workers)
    status, said = cannot_start(tmp_path, settings)
    assert status == 3
    assert "cannot use certificate" in said
    assert "admin plane on" not in said  # before any port is opened


def test_a_certificate_that_cannot_be_renewed_is_counted(tmp_path: Path) -> None:
    """As every file that is followed: in metrics and audit; and so is that it was mended."""
    good = self_signed(tmp_path).read_bytes()
    tls = {"certificate": "server.pem", "key": "server.pem"}
    with running_gateway(tmp_path, settings_in(tmp_path, "http://127.0.0.1:1", tls=tls)) as gateway:
        gateway.until_ready()
        for content, number in ((good[:300], "1.0"), (good, "0.0")):
            (tmp_path / "server.pem").write_bytes(content)
            line = f'dynamodb_proxy_file_reload_failed{{file="certificate"}} {number}'
            gateway.until(lambda line=line: line in gateway.get("/metrics")[1], line)
        told = ["certificate_refused", "certificate"]
        gateway.until(lambda: [r["event"] for r in gateway.records() if r.get("event") in told] == told, "it is on record")


def test_endpoints_by_region() -> None:
    """Partitions have domains of their own."""
    assert default_endpoint("eu-west-1", "dynamodb") == "https://dynamodb.eu-west-1.amazonaws.com"
    assert default_endpoint("cn-north-1", "dynamodb") == "https://dynamodb.cn-north-1.amazonaws.com.cn"
    assert default_endpoint("us-gov-west-1", "dynamodb") == "https://dynamodb.us-gov-west-1.amazonaws.com"
    assert default_endpoint("eusc-de-east-1", "streams") == "https://streams.dynamodb.eusc-de-east-1.amazonaws.eu"
    assert default_endpoint("us-isob-east-1", "dynamodb") == "https://dynamodb.us-isob-east-1.sc2s.sgov.gov"
