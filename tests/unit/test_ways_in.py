"""The ways in, of a gateway as a process: log in as SDKs do, sign with what was minted, and see it end when it must."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import httpx
import pytest
from botocore.credentials import Credentials

from tests.fake_aws import POLICY, RunningGateway, fake_aws, running_gateway, settings_in, token
from tests.signing import signed_headers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.fake_aws import FakeAws

ETL = "arn:aws:iam::111122223333:role/etl"
LOCKED = "arn:aws:iam::111122223333:role/locked"
PLATFORM = """
teams:
  data: {dags: ["*"], tables: ["*"]}
workloads:
  dedicated: {issuer: idp, subject: etl-worker, dags: [etl], dag_from: [session]}
  pool: {issuer: idp, subject: pool-worker, dags: [etl, twin, locked], dag_from: [session, header]}
"""
DAGS = POLICY.replace("dags:", f'dags:\n  twin: {{role: "{ETL}", allow: [{{actions: [read], tables: [orders]}}]}}')
GET = b'{"TableName":"orders","Key":{"pk":{"S":"hidden-value"}}}'


class Answer(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        """Why it was refused."""
        return self.headers.get("x-ddb-proxy-reason", "")


def send(listen: str, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """One request over a connection of its own."""
    connection = http.client.HTTPConnection(listen, timeout=20)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def get_credentials(listen: str, authorization: str, **headers: str) -> Answer:
    """`GET /v1/credentials`."""
    return send(listen, "GET", "/v1/credentials", {"Authorization": authorization} | headers)


def credentials_of(answer: Answer) -> Credentials:
    """What the answer gives."""
    assert answer.status == 200, answer.body
    given = json.loads(answer.body)
    assert set(given) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["Token"])


def signed(
    listen: str, credentials: Credentials, body: bytes = GET, service: str = "dynamodb", late: float = 0, **headers: str
) -> dict[str, str]:
    """Headers as botocore signs them."""
    kind = "application/x-amz-json-1.0" if service == "dynamodb" else "application/x-www-form-urlencoded; charset=utf-8"
    given = {"content-type": kind, **headers}
    if service == "dynamodb":
        given.setdefault("x-amz-target", "DynamoDB_20120810.GetItem")
    return signed_headers(credentials, given | {"host": listen}, body, service=service, moment=time.time() + late)


def ask(listen: str, credentials: Credentials, **headers: str) -> Answer:
    """One GetItem under a session."""
    return send(listen, "POST", "/", signed(listen, credentials, **headers), GET)


def call_sts(listen: str, headers: Mapping[str, str] | None = None, **fields: str) -> Answer:
    """One STS call."""
    form = urlencode({"Version": "2011-06-15", **fields}).encode()
    return send(listen, "POST", "/", {"content-type": "application/x-www-form-urlencoded"} | dict(headers or {}), form)


def assume(listen: str, jwt: str, role: str = ETL, **fields: str) -> Answer:
    """AssumeRoleWithWebIdentity."""
    return call_sts(
        listen, Action="AssumeRoleWithWebIdentity", RoleArn=role, RoleSessionName="task", WebIdentityToken=jwt, **fields
    )


def element(answer: Answer, name: str) -> str:
    """The text of one XML element."""
    found = re.search(rf"<{name}>([^<]*)</{name}>", answer.body.decode())
    return found[1] if found else ""


def assumed(answer: Answer) -> Credentials:
    """What STS gave."""
    assert answer.status == 200, answer.body
    return Credentials(*(element(answer, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))


@pytest.fixture(scope="module")
def aws() -> Iterator[FakeAws]:
    """DynamoDB and STS."""
    with fake_aws() as running:
        yield running


def furnished(folder: Path, aws: FakeAws, **changes: Any) -> dict[str, Any]:
    """Settings with workloads and kill switches."""
    settings = settings_in(folder, aws.url, deny_list="denied.yaml", sessions={"key_file": "sessions.key"}, **changes)
    (folder / "policies" / "orders.yaml").write_text("team: data\n" + DAGS)
    (folder / "policies" / "platform.yaml").write_text(PLATFORM)
    (folder / "denied.yaml").write_text("denied: []\n")
    return settings


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, aws: FakeAws) -> Iterator[RunningGateway]:
    """A gateway that all of these share; it is not changed."""
    folder = tmp_path_factory.mktemp("ways")
    with running_gateway(folder, furnished(folder, aws)) as running:
        running.until_ready()
        yield running


def test_container_credentials_sign_what_dynamodb_gets(gateway: RunningGateway, aws: FakeAws) -> None:
    """The raw token in `Authorization`, four members back, an hour to go; what they sign is served, and on record."""
    for authorization in (token(), f"Bearer {token()}"):
        answer = get_credentials(gateway.listen, authorization)
        ends = datetime.strptime(json.loads(answer.body)["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert 3590 < ends.timestamp() - time.time() <= 3600
        before = len(aws.requests)
        assert ask(gateway.listen, credentials_of(answer)).status == 200
        assert len(aws.requests) == before + 1


def test_web_identity_gives_a_session_of_the_role(gateway: RunningGateway) -> None:
    """The RoleArn names the DAG; its session says so without any header."""
    answer = assume(gateway.listen, token(sub="etl-worker", dag_id=None))
    assert element(answer, "Arn") == "arn:aws:sts::111122223333:assumed-role/etl/task"
    assert element(answer, "SubjectFromWebIdentityToken") == "etl-worker"
    assert ask(gateway.listen, assumed(answer)).status == 200


# ------------------------------------------------------------------------------------------------- for which DAG


def test_who_speaks_for_one_dag_needs_no_role_and_no_header(gateway: RunningGateway) -> None:
    """A worker with a login of its own gets its DAG from that alone, and that is verified."""
    made = credentials_of(get_credentials(gateway.listen, token(sub="etl-worker", dag_id=None)))
    answer = ask(gateway.listen, made)
    assert answer.status == 200
    for operation in ("GetContainerCredentials", "GetItem"):
        record = found_record(gateway, record="decision", operation=operation, session=made.access_key)
        assert (record["dag"], record["evidence"], record["workload"]) == ("etl", "verified", "dedicated")


def found_record(gateway: RunningGateway, **fields: str) -> dict[str, Any]:
    """The last audit record with these members."""

    def fitting() -> list[dict[str, Any]]:
        return [record for record in gateway.records() if fields.items() <= record.items()]

    gateway.until(lambda: bool(fitting()), f"a record with {fields}")
    return fitting()[-1]


def test_a_session_of_a_role_of_several_dags_lets_requests_choose_among_them(gateway: RunningGateway) -> None:
    """`etl` and `twin` share the role; each request says which, and `locked`, which has another, is refused."""
    made = assumed(assume(gateway.listen, token(sub="pool-worker", dag_id=None)))
    assert ask(gateway.listen, made).reason == "no_dag_claim"
    assert ask(gateway.listen, made, **{"x-airflow-dag-id": "etl"}).status == 200
    assert ask(gateway.listen, made, **{"x-airflow-dag-id": "twin"}).status == 200
    assert ask(gateway.listen, made, **{"x-airflow-dag-id": "locked"}).reason == "outside_role"


def test_a_pinned_session_speaks_for_no_other_dag(gateway: RunningGateway) -> None:
    """One that was made for `locked` may not say `etl`, though its subject may speak for both."""
    made = assumed(assume(gateway.listen, token(sub="pool-worker", dag_id=None), LOCKED))
    assert ask(gateway.listen, made).status == 200
    assert ask(gateway.listen, made, **{"x-airflow-dag-id": "etl"}).reason == "conflicting_claims"
    assert found_record(gateway, record="decision", session=made.access_key, dag="locked")["evidence"] == "claimed"


@pytest.mark.parametrize(
    ("claims", "role", "code", "says"),
    [
        ({"sub": "etl-worker", "dag_id": None}, LOCKED, "AccessDenied", f"write the role of one of these: '{ETL}'"),
        ({"sub": "etl-worker", "dag_id": None}, "arn:aws:iam::1:role/x", "AccessDenied", "is that of no dag in the policies"),
        ({"sub": "stranger", "dag_id": None}, ETL, "AccessDenied", "no workload covers it"),
        ({"sub": "x", "dag_id": "locked"}, ETL, "AccessDenied", f"'{LOCKED}'"),
        ({"aud": "sts.amazonaws.com"}, ETL, "InvalidIdentityToken", "expected 'dynamodb-proxy'"),
        ({"iss": "https://other.test"}, ETL, "InvalidIdentityToken", "no setting names"),
        ({"exp": 1, "iat": 0}, ETL, "ExpiredTokenException", "the token expired"),
    ],
)
def test_a_login_that_is_refused_says_why_in_stss_words(
    gateway: RunningGateway, claims: dict[str, Any], role: str, code: str, says: str
) -> None:
    """The code decides whether an SDK tries again, the message is what the task's log shows."""
    answer = assume(gateway.listen, token(**claims), role)
    assert element(answer, "Code") == code
    assert says in element(answer, "Message")
    assert element(answer, "RequestId") in element(answer, "Message")


@pytest.mark.parametrize(
    ("authorization", "code", "says"),
    [
        ("", "MissingAuthenticationTokenException", "is empty"),
        ("eyJ.x.y", "UnrecognizedClientException", "header"),
        ("AWS4-HMAC-SHA256 Credential=ASIAX/2026", "UnrecognizedClientException", "signed with AWS keys (ASIA"),
        ("ddbproxy1-AAAA", "UnrecognizedClientException", "log in with the token"),
    ],
)
def test_a_refused_fetch_of_credentials_is_readable_in_a_task_log(
    gateway: RunningGateway, authorization: str, code: str, says: str
) -> None:
    """`code` and `message`, as SDKs quote them."""
    answer = get_credentials(gateway.listen, authorization)
    body = json.loads(answer.body)
    assert answer.status == 400
    assert (body["code"], set(body)) == (code, {"code", "message"})
    assert says in body["message"]


# ------------------------------------------------------------------------------------------------- STS for sessions


def test_a_session_assumes_the_role_of_its_dag(gateway: RunningGateway) -> None:
    """As a connection with `role_arn` does: the call is signed, and narrows the session."""
    first = credentials_of(get_credentials(gateway.listen, token(sub="pool-worker", dag_id=None)))
    form = {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": LOCKED,
        "RoleSessionName": "airflow",
    }
    body = urlencode(form).encode()
    answer = send(gateway.listen, "POST", "/", signed(gateway.listen, first, body, "sts"), body)
    second = assumed(answer)
    assert ask(gateway.listen, second).status == 200
    wider = urlencode(form | {"RoleArn": ETL}).encode()
    refused = send(gateway.listen, "POST", "/", signed(gateway.listen, second, wider, "sts"), wider)
    assert (refused.status, refused.reason, element(refused, "Code")) == (403, "outside_role", "AccessDenied")
    ends = [element(answer, "Expiration"), json.loads(get_credentials(gateway.listen, token()).body)["Expiration"]]
    assert ends == sorted(ends), "a session that was made from a session does not outlive it"


def test_caller_identity_is_told(gateway: RunningGateway) -> None:
    """What `hook.account_id` and the connection test ask for; of a session and of a token."""
    made = credentials_of(get_credentials(gateway.listen, token()))
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    answer = send(gateway.listen, "POST", "/", signed(gateway.listen, made, body, "sts"), body)
    assert element(answer, "Arn") == f"arn:aws:sts::111122223333:assumed-role/etl/{made.access_key}"
    assert element(answer, "Account") == "111122223333"
    by_token = call_sts(gateway.listen, {"authorization": f"Bearer {token(dag_id=None)}"}, Action="GetCallerIdentity")
    assert element(by_token, "Account") == "000000000000"
    assert call_sts(gateway.listen, Action="GetCallerIdentity").reason == "no_token"


# ------------------------------------------------------------------------------------------------- what is refused


ATTACKS = {
    "body": "signature_mismatch",
    "target": "signature_mismatch",
    "signed claim": "signature_mismatch",
    "added claim": "signature_incomplete",
    "host": "signature_mismatch",
    "secret": "signature_mismatch",
    "other key id": "signature_mismatch",
    "no signature": "signature_incomplete",
    "bearer": "signature_incomplete",
    "dedicated header": "signature_incomplete",
    "for sts": "signature_incomplete",
    "replayed": "signature_expired",
    "ahead": "signature_expired",
    "cut": "session_invalid",
    "cut short": "session_invalid",
    "altered": "session_invalid",
    "other kid": "session_invalid",
    "other gateway": "session_invalid",
    "query": "unsupported_route",
    "two tokens": "several_tokens",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_somebody_else_could_send_is_refused(gateway: RunningGateway, aws: FakeAws, attack: str, tmp_path: Path) -> None:
    """Forged, tampered, replayed, truncated, foreign: each has its reason, and nothing goes upstream."""
    listen = gateway.listen
    made = credentials_of(get_credentials(listen, token()))
    before = len(aws.requests)
    headers, body, path = signed(listen, made, **{"x-airflow-task-id": "load"}), GET, "/"
    raw = base64.urlsafe_b64decode(made.token.removeprefix("ddbproxy1-") + "==")

    def resigned(access_key: str, secret: str, session: str) -> dict[str, str]:
        return signed(listen, Credentials(access_key, secret, session))

    def spelled(changed: bytes) -> str:
        return "ddbproxy1-" + base64.urlsafe_b64encode(changed).rstrip(b"=").decode()

    match attack:
        case "body":
            body = GET.replace(b"hidden", b"forged")
        case "target":
            headers["x-amz-target"] = "DynamoDB_20120810.DeleteItem"
        case "signed claim":
            headers["x-airflow-task-id"] = "other"
        case "added claim":
            headers["x-airflow-dag-id"] = "twin"
        case "host":
            headers["host"] = "localhost:1"
        case "secret":
            headers = resigned(made.access_key, "A" * 43, made.token)
        case "other key id":
            headers = resigned("DDBPAAAAAAAAAAAAAAAA", made.secret_key, made.token)
        case "no signature":
            del headers["authorization"]
        case "bearer":
            headers = {"authorization": f"Bearer {made.token}", "content-type": "application/x-amz-json-1.0"}
        case "dedicated header":
            headers = {"x-dag-token": made.token, "content-type": "application/x-amz-json-1.0"}
        case "for sts":
            headers = {**signed(listen, made, service="sts"), "content-type": "application/x-amz-json-1.0"}
        case "replayed":
            headers = signed(listen, made, late=-901)
        case "ahead":
            headers = signed(listen, made, late=905)
        case "cut":
            headers = resigned(made.access_key, made.secret_key, made.token[:-1])
        case "cut short":
            headers = resigned(made.access_key, made.secret_key, spelled(raw[:30]))
        case "altered":
            headers = resigned(made.access_key, made.secret_key, spelled(raw[:-1] + bytes([raw[-1] ^ 1])))
        case "other kid":
            headers = resigned(made.access_key, made.secret_key, spelled(b"kidd" + raw[4:]))
        case "other gateway":
            headers = resigned(made.access_key, made.secret_key, spelled(raw[:4] + os.urandom(len(raw) - 4)))
        case "query":
            path = "/?a=b"
        case "two tokens":
            headers["x-dag-token"] = token()
    answer = send(listen, "POST", path, headers, body)
    assert (answer.reason, answer.status) == (ATTACKS[attack], 400)
    assert len(aws.requests) == before
    assert made.token not in answer.body.decode()


def test_each_login_has_one_decision_and_one_outcome(gateway: RunningGateway) -> None:
    """Each is an operation of its own, in audit and metrics, granted or not, and shows no secret."""
    granted = get_credentials(gateway.listen, token())
    refused = get_credentials(gateway.listen, token(aud="x"))
    for answer, decision, ending in ((granted, "allow", "served"), (refused, "deny", "refused")):
        request_id = answer.headers["x-amzn-requestid"]
        gateway.until(lambda r=request_id: sum(x.get("id") == r for x in gateway.records()) == 2, "both records")
        first, second = (record for record in gateway.records() if record.get("id") == request_id)
        assert (first["operation"], first["decision"], second["ending"]) == ("GetContainerCredentials", decision, ending)
    text = gateway.get("/metrics")[1]
    for ending in ("served", "refused"):
        assert re.search(rf'requests_total{{[^}}]*ending="{ending}",operation="GetContainerCredentials"', text)
    made = credentials_of(granted)
    written = (gateway.folder / "audit.jsonl").read_text() + gateway.errors.read_text() + text
    assert made.secret_key not in written
    assert made.token not in written


# ------------------------------------------------------------------------------------------------- when it ends


def until_refused(running: RunningGateway, made: Credentials, reason: str, **headers: str) -> float:
    """Seconds until a session is refused for a reason."""
    before = time.monotonic()
    running.until(lambda: ask(running.listen, made, **headers).reason == reason, f"the session is refused: {reason}", 10)
    return time.monotonic() - before


def test_a_kill_switch_ends_sessions_and_tokens_within_seconds(tmp_path: Path, aws: FakeAws) -> None:
    """Of a DAG, a token, a session, a team and an issuer; what is not named goes on, and lifted it all works again."""
    deny = tmp_path / "denied.yaml"
    with running_gateway(tmp_path, furnished(tmp_path, aws)) as running:
        running.until_ready()
        listen = running.listen
        first, second, other = (
            credentials_of(get_credentials(listen, token(jti=jti))) for jti in ("one-token", "two-tokens", "others")
        )
        locked = assumed(assume(listen, token(sub="pool-worker", dag_id=None), LOCKED))
        deny.write_text(
            f"denied:\n  - {{dag: 'lock*', reason: INC-4711}}\n  - {{jti: one-token}}\n  - jti: {second.access_key}\n"
        )
        assert until_refused(running, first, "token_stopped") < 5
        assert ask(listen, second).reason == "token_stopped"
        assert "dag 'locked' is stopped by the gateway's deny list (INC-4711)" in json.loads(ask(listen, locked).body)["message"]
        assert get_credentials(listen, token(jti="one-token")).reason == "token_stopped"
        assert ask(listen, other).status == 200
        for entry, reason in (("{team: data}", "team_stopped"), ("{issuer: idp}", "issuer_stopped")):
            deny.write_text(f"denied:\n  - {entry}\n")
            assert until_refused(running, other, reason) < 5
            assert running.call(bearer=token())[1]["x-ddb-proxy-reason"] == reason
            assert get_credentials(listen, token()).reason == reason
        deny.write_text("denied: []\n")
        running.until(lambda: {ask(listen, one).status for one in (first, second, locked)} == {200}, "all works again")
        assert 'dynamodb_proxy_denied_entries{kind="issuer"} 0.0' in running.get("/metrics")[1]


def test_the_admin_api_throws_the_switch_for_all_workers(tmp_path: Path, aws: FakeAws) -> None:
    """It writes the file that every worker follows; who did it and why is in message and audit."""
    settings = furnished(tmp_path, aws, workers=2, admin={"socket": "admin.sock"})
    with running_gateway(tmp_path, settings) as running:
        running.until_ready()
        made = credentials_of(get_credentials(running.listen, token()))
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "admin.sock")), base_url="http://admin") as admin:
            thrown = admin.post("/denied", json={"dag": "etl", "reason": "INC-4711"})
            assert thrown.json() == {"denied": [{"dag": "etl", "reason": "INC-4711", "by": "the admin socket"}]}
            assert admin.get("/denied").json() == thrown.json()
            before = time.monotonic()
            wait_for_all(running, lambda: ask(running.listen, made).reason == "dag_stopped")
            assert time.monotonic() - before < 5
            assert admin.delete("/denied", params={"dag": "etl"}).json() == {"denied": []}
            assert admin.delete("/denied", params={"dag": "etl"}).status_code == 404
            assert admin.post("/denied", json={"dag": "etl", "team": "data"}).status_code == 422
            wait_for_all(running, lambda: ask(running.listen, made).status == 200)
        for change in ("added", "lifted"):
            running.until(
                lambda what=change: (
                    sum(
                        record["details"][what] == "dag etl (INC-4711, by the admin socket)"
                        for record in running.records()
                        if record.get("event") == "deny_list"
                    )
                    == 2
                ),
                f"each worker has it on record: {change}",
            )
        assert [record["details"] for record in running.records() if record.get("event") == "switch"] == [
            {"stopped": "dag etl (INC-4711)", "by": "the admin socket"},
            {"lifted": "dag etl (INC-4711)", "by": "the admin socket"},
        ]


def test_entries_that_stop_nobody_are_warned_of(tmp_path: Path, aws: FakeAws) -> None:
    """At the start, and when they come."""
    settings = furnished(tmp_path, aws)
    (tmp_path / "denied.yaml").write_text("denied: [{dag: etl}, {team: data}, {dag: elt}]\n")
    with running_gateway(tmp_path, settings) as running:
        running.until_ready()
        assert "stops nobody by dag 'elt': no policy names such a dag" in running.errors.read_text()
        (tmp_path / "denied.yaml").write_text("denied: [{dag: etl}, {team: Data}, {dag: elt}]\n")
        warned = "stops nobody by team 'Data': platform.yaml has only 'data'"
        running.until(lambda: warned in running.errors.read_text(), "the new one is told")
        assert running.errors.read_text().count("stops nobody") == 2


def wait_for_all(running: RunningGateway, condition: Any) -> None:
    """Until it holds eight times in a row: connections are spread over the workers."""
    running.until(lambda: all(condition() for _ in range(8)), "every worker knows")


def test_a_broken_deny_list_leaves_the_last_one_in_force(tmp_path: Path, aws: FakeAws) -> None:
    """It is told, counted and changes nothing; at the start it is no list to start with."""
    settings = furnished(tmp_path, aws)
    (tmp_path / "denied.yaml").write_text("denied: [{dag: etl}, {issuer: 'https://idp.test'}]\n")
    with running_gateway(tmp_path, settings) as running:
        running.until_ready()
        assert "stops nobody by issuer 'https://idp.test': the settings call theirs 'idp'" in running.errors.read_text()
        made = credentials_of(get_credentials(running.listen, token(sub="pool-worker", dag_id=None)))
        etl = {"x-airflow-dag-id": "etl"}
        assert ask(running.listen, made, **etl).reason == "dag_stopped"
        (tmp_path / "denied.yaml").write_text("denied: [{dags: etl}]\n")
        failed = 'dynamodb_proxy_file_reload_failed{file="deny_list"} 1.0'
        running.until(lambda: failed in running.get("/metrics")[1], "it is counted")
        assert ask(running.listen, made, **etl).reason == "dag_stopped"
        assert "denied.yaml:1: an entry of `denied` has no `dags`; did you mean `dag`?" in running.errors.read_text()
    with running_gateway(tmp_path, settings) as running:
        assert running.process.wait(30) == 2
        assert "`deny_list`: " in running.errors.read_text()


def test_what_the_policies_no_longer_say_ends_at_the_next_request(tmp_path: Path, aws: FakeAws) -> None:
    """A workload or a DAG that is taken away takes its sessions along; and a role that was changed its own."""
    policies = tmp_path / "policies"
    with running_gateway(tmp_path, furnished(tmp_path, aws)) as running:
        running.until_ready()
        worker = token(sub="etl-worker", dag_id=None)
        made, by_role = credentials_of(get_credentials(running.listen, worker)), assumed(assume(running.listen, worker))
        assert [ask(running.listen, one).status for one in (made, by_role)] == [200, 200]
        (policies / "orders.yaml").write_text("team: data\n" + DAGS.replace("role/etl", "role/moved"))
        until_refused(running, by_role, "outside_role")
        assert ask(running.listen, made).status == 200
        (policies / "orders.yaml").write_text("team: data\n" + DAGS.replace("  etl: {", "  extract: {"))
        until_refused(running, made, "unknown_dag")
        (policies / "platform.yaml").write_text(PLATFORM.replace("subject: etl-worker", "subject: nobody"))
        until_refused(running, made, "no_dag_claim")


def test_session_keys_are_followed_and_survive_a_restart(tmp_path: Path, aws: FakeAws) -> None:
    """Beside a task the file is made; a new first key mints, the old one opens; one that is gone ends its sessions."""
    settings, file = furnished(tmp_path, aws), tmp_path / "sessions.key"
    with running_gateway(tmp_path, settings) as running:
        running.until_ready()
        made = credentials_of(get_credentials(running.listen, token()))
        assert file.stat().st_mode & 0o777 == 0o600
    old, new = file.read_text(), base64.b64encode(os.urandom(32)).decode() + "\n"
    with running_gateway(tmp_path, settings) as running:
        running.until_ready()
        assert ask(running.listen, made).status == 200
        file.write_text(new + old)
        running.until(lambda: any(r.get("event") == "session_keys" for r in running.records()), "the keys are read again")
        assert ask(running.listen, made).status == 200
        later = credentials_of(get_credentials(running.listen, token()))
        file.write_text(new)
        until_refused(running, made, "session_invalid")
        assert ask(running.listen, later).status == 200
        file.write_text("no key\n")
        failed = 'dynamodb_proxy_file_reload_failed{file="session_keys"} 1.0'
        running.until(lambda: failed in running.get("/metrics")[1], "it is counted")
        assert ask(running.listen, later).status == 200


def test_workers_of_one_process_open_each_others_sessions(tmp_path: Path, aws: FakeAws) -> None:
    """Without a key file too."""
    settings = furnished(tmp_path, aws, workers=2)
    del settings["sessions"]
    with running_gateway(tmp_path, settings) as running:
        running.until_ready()
        made = [credentials_of(get_credentials(running.listen, token())) for _ in range(6)]
        assert {ask(running.listen, one).status for one in made * 2} == {200}
