"""The admin plane over a real socket: open, plain, and telling a stranger nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from proxy.admin import MOST_BYTES, SCRAPE_SECONDS, Scrape, admin_server
from proxy.admin_gate import AdminGate
from proxy.admin_plane import AdminThread, PoliciesOnDisk, admin_planes
from proxy.deny_file import DenyFile
from proxy.followed import FollowedFile
from proxy.identity.denials import Denial, denials_of
from proxy.identity.token import Issuer, KeySource
from proxy.inquiry import Admitted, Inquiries
from proxy.policy.check import check_policies
from proxy.policy.store import PolicyError
from proxy.server import CannotServe, bind
from proxy.settings import load_settings
from proxy.trusted_files import strangers
from tests.fake_aws import POLICY, settings_in, token
from tests.fake_aws import jwks as key_set

if TYPE_CHECKING:
    from pathlib import Path


class State:
    """What the admin plane is told."""

    missing: list[str]

    def __init__(self, missing: list[str], *, is_broken: bool = False) -> None:
        self.missing = missing
        self.is_broken = is_broken

    def is_ready(self) -> tuple[bool, list[str]]:
        """Say what is missing."""
        return not self.missing, self.missing

    def render_metrics(self) -> tuple[str, bytes]:
        """Give a scrape, or fail as a defect does."""
        if self.is_broken:
            raise RuntimeError("SECRET-CANARY")
        return "text/plain; version=0.0.4; charset=utf-8", b"up 1\n"


@asynccontextmanager
async def admin(
    state: State, inquiries: Inquiries | None = None, gate: AdminGate | None = None, switches: DenyFile | None = None
):
    """A client of the admin plane, served by uvicorn on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(admin_server(state, "127.0.0.1", 0, inquiries, gate, switches))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            await serving


async def test_health_and_metrics_are_open() -> None:
    """Without a token: alive, ready, and metrics in Prometheus' content type, without a `server` header."""
    async with admin(State([])) as client:
        health = await client.get("/healthz")
        ready = await client.get("/readyz")
        metrics = await client.get("/metrics")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "missing": []})
    assert (metrics.status_code, metrics.content) == (200, b"up 1\n")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert all("server" not in reply.headers for reply in (health, ready, metrics))


async def test_what_is_missing_is_listed() -> None:
    """503 with one line for each thing that stands in the way; health stays 200."""
    async with admin(State(["policy", "keys of issuer airflow"])) as client:
        reply = await client.get("/readyz")
        health = await client.get("/healthz")
    assert (reply.status_code, reply.json()) == (503, {"ready": False, "missing": ["policy", "keys of issuer airflow"]})
    assert health.status_code == 200


async def test_a_defect_shows_no_trace() -> None:
    """An error inside is a bare 500 to the caller."""
    async with admin(State([], is_broken=True)) as client:
        reply = await client.get("/metrics")
    assert reply.status_code == 500
    assert b"CANARY" not in reply.content
    assert b"Traceback" not in reply.content


async def test_openapi_names_the_three_and_nothing_else() -> None:
    """The schema is served, and no other route exists."""
    async with admin(State([])) as client:
        schema = (await client.get("/openapi.json")).json()
        page = await client.get("/docs")
        unknown = await client.get("/explain")
        wrong = await client.post("/metrics")
    assert set(schema["paths"]) == {"/healthz", "/readyz", "/metrics"}
    assert page.status_code == 200
    assert (unknown.status_code, wrong.status_code) == (404, 405)
    assert "DynamoDB requests go to the port of `listen`" in unknown.json()["message"]  # which an SDK shows who went astray


# -------------------------------------------------------------------------------------------------- explain

DECISION = "00112233445566ff"
QUESTION = {"dag": "etl", "operation": "GetItem", "table": "orders"}
RECORD = {
    "record": "decision", "time": "2026-11-22T10:00:00Z", "id": DECISION, "issuer": "i", "subject": "s", "dag": "etl",
    "evidence": "verified", "operation": "Scan", "touches": [["Scan", "orders", "", 1]], "decision": "deny", "reason": "no_rule",
    "rule": "a.yaml:6", "policy_digest": "x", "message": "dag 'etl' may not Scan on 'orders'",
}  # fmt: skip


def inquiries(audit: Path | None = None, admitted: Admitted | None = None) -> Inquiries:
    """Questions about the policy of the small AWS."""
    snapshot = check_policies({"a.yaml": POLICY}).snapshots[0]
    return Inquiries(lambda: snapshot, audit, admitted)


def issuer_of(folder: Path, keys: KeySource) -> Issuer:
    """The issuer of the small AWS's tokens."""
    settings = settings_in(folder, "http://127.0.0.1:1")["issuers"][0]
    return Issuer("idp", settings["issuer"], (settings["audience"],), ("ES256",), keys, {}, ("*",))


async def test_explain_is_not_there_unless_it_is_configured(tmp_path: Path) -> None:
    """Neither without inquiries nor with a list of who may ask and nobody to check it."""
    anybody = Admitted(issuer_of(tmp_path, KeySource("jwks_file", "x")), ("*",))
    for found in (None, inquiries(admitted=anybody)):
        async with admin(State([]), found) as client:
            assert (await client.post("/explain", json=QUESTION)).status_code == 404
            assert (await client.get(f"/explain/{DECISION}")).status_code == 404


async def test_explain_answers_as_the_command_line_does(tmp_path: Path) -> None:
    """A described request, one with its body, and one that cannot be read."""
    async with admin(State([]), inquiries()) as client:
        allowed = await client.post("/explain", json=QUESTION | {"key": "x", "attributes": ["pk"], "at": "2026-11-22"})
        denied = (await client.post("/explain", json=QUESTION | {"operation": "Scan"})).json()
        body = {"TableName": "orders", "Key": {"pk": {"S": "x"}}}
        asked = (await client.post("/explain", json=QUESTION | {"request": body})).json()
        unread = (await client.post("/explain", json=QUESTION | {"request": {"Table": "orders"}})).json()
        schema = (await client.get("/openapi.json")).json()
    assert (allowed.status_code, allowed.json()["verdict"]) == (200, "allowed")
    assert denied["touches"][0]["changes"][0]["line"] == "- {actions: [Scan], tables: [orders]}"
    assert (asked["verdict"], unread["verdict"], unread["reason"]) == ("allowed", "denied", "unreadable_body")
    assert "claims" in str(schema["paths"]["/explain"]["post"]["requestBody"])


async def test_questions_that_are_none() -> None:
    """422 with what to write, 413 for one that is too long."""
    async with admin(State([]), inquiries()) as client:
        unknown = await client.post("/explain", json=QUESTION | {"tabel": "orders"})
        nothing = await client.post("/explain", content=b"nonsense")
        misdescribed = await client.post("/explain", json=QUESTION | {"operation": "Frobnicate"})
        long = await client.post("/explain", json=QUESTION | {"key": "x" * MOST_BYTES})
    assert (unknown.status_code, unknown.json()["message"]) == (422, "tabel: Extra inputs are not permitted")
    assert nothing.status_code == 422
    assert (misdescribed.status_code, "there is no action `Frobnicate`" in misdescribed.json()["message"]) == (422, True)
    assert long.status_code == 413


async def test_a_decision_is_looked_up_in_the_audit(tmp_path: Path) -> None:
    """What it was and what it would be; where there is nothing to look up in, that is said."""
    audit = tmp_path / "audit.jsonl"
    audit.write_text(json.dumps(RECORD, separators=(",", ":")) + "\n")
    async with admin(State([]), inquiries(audit)) as client:
        found = (await client.get(f"/explain/{DECISION}")).json()
        absent = await client.get(f"/explain/{'0' * 16}")
        malformed = await client.get("/explain/nonsense")
        audit.unlink()
        gone = await client.get(f"/explain/{DECISION}")
    assert (found["record"]["reason"], found["is_same_policy"], found["explanation"]["reason"]) == ("no_rule", False, "no_rule")
    assert (absent.status_code, malformed.status_code, gone.status_code) == (404, 422, 503)
    async with admin(State([]), inquiries()) as client:
        assert (await client.get(f"/explain/{DECISION}")).status_code == 404


async def test_only_admin_tokens_open_it(tmp_path: Path) -> None:
    """A verified token of a listed subject; nothing of the question is read before."""
    (tmp_path / "jwks.json").write_text(json.dumps(key_set()))
    issuer = issuer_of(tmp_path, KeySource("jwks_file", str(tmp_path / "jwks.json")))
    admitted = Admitted(issuer, ("ops-*",))
    gate = AdminGate(*admitted)
    statuses = {}
    async with admin(State([]), inquiries(admitted=admitted), gate) as client:
        for name, authorization in {
            "none": "", "basic": "Basic x", "empty": "Bearer", "long": "Bearer " + "x" * 20_000, "strange": "Bearer \xe9",
            "forged": f"Bearer {token(sub='ops-ann')[:-8]}AAAAAAAA", "worker": f"Bearer {token()}",
            "admin": f"bearer {token(sub='ops-ann')}",
        }.items():  # fmt: skip
            headers = {"authorization": authorization.encode("latin-1")} if authorization else {}
            reply = await client.post("/explain", content=b"never read", headers=headers)
            statuses[name] = reply.status_code
            assert b"eyJ" not in reply.content
        assert (await client.get(f"/explain/{DECISION}")).status_code == 401
        assert (await client.get("/healthz")).status_code == 200
    await gate.close()
    assert statuses == {
        "none": 401,
        "basic": 401,
        "empty": 401,
        "long": 401,
        "strange": 401,
        "forged": 401,
        "worker": 403,
        "admin": 422,
    }


async def test_keys_that_cannot_be_had_admit_nobody(tmp_path: Path) -> None:
    """503: nobody can say whether the token is good."""
    issuer = issuer_of(tmp_path, KeySource("jwks_url", "http://127.0.0.1:1"))
    gate = AdminGate(issuer, ("*",))
    async with admin(State([]), inquiries(admitted=Admitted(issuer, ("*",))), gate) as client:
        assert (await client.post("/explain", headers={"authorization": f"Bearer {token()}"})).status_code == 503
    await gate.close()


async def test_policies_that_cannot_be_used_are_told() -> None:
    """503, and no more of it to the asker."""

    def broken() -> Any:
        raise PolicyError(["a.yaml:1: SECRET-CANARY"])

    async with admin(State([]), Inquiries(broken, None, None)) as client:
        reply = await client.post("/explain", json=QUESTION)
    assert (reply.status_code, b"CANARY" in reply.content) == (503, False)


def test_policies_on_disk_keep_the_last_good(tmp_path: Path) -> None:
    """What a process that serves none itself answers by: read anew when they change, kept when they break."""
    (tmp_path / "proxy.yaml").write_text(json.dumps(settings_in(tmp_path, "http://127.0.0.1:1")))
    settings = load_settings(tmp_path / "proxy.yaml", {})
    file = tmp_path / "policies" / "orders.yaml"
    found = PoliciesOnDisk(settings)
    first = found()
    assert found() is first
    file.write_text("nonsense")
    assert found() is first
    file.write_text(POLICY + "# changed\n")
    assert found().digest != first.digest
    file.write_text("nonsense")
    with pytest.raises(PolicyError):
        PoliciesOnDisk(settings)()
    file.unlink()
    file.parent.rmdir()
    assert found().digest != first.digest  # nor is a folder that is gone a reason to answer nothing


def test_many_scrapers_are_one() -> None:
    """Within a tenth of a second all get the same text, which was made once; the next has its own."""
    made, now = [], [0.0]

    def render() -> tuple[str, bytes]:
        made.append(b"up %d\n" % len(made))
        return "text/plain", made[-1]

    scrape = Scrape(render, lambda: now[0])
    assert [scrape()[1] for _ in range(8)] == [b"up 0\n"] * 8
    now[0] += SCRAPE_SECONDS
    assert scrape() == ("text/plain", b"up 1\n")


# -------------------------------------------------------------------------------------------- the kill switches


async def test_only_admin_tokens_throw_a_switch(tmp_path: Path) -> None:
    """A worker's token is none, and who threw it is in the file; without `admin` there is no such route."""
    (tmp_path / "jwks.json").write_text(json.dumps(key_set()))
    issuer = issuer_of(tmp_path, KeySource("jwks_file", str(tmp_path / "jwks.json")))
    file, admitted = tmp_path / "denied.yaml", Admitted(issuer, ("ops-*",))
    file.write_text("denied: []\n")
    gate = AdminGate(*admitted)
    entry = {"dag": "etl", "reason": "INC-4711"}
    try:
        async with admin(State([]), inquiries(admitted=admitted), gate, DenyFile(file)) as client:
            for headers, status in (({}, 401), ({"authorization": f"Bearer {token(sub='worker')}"}, 403)):
                for method, given in (("GET", {}), ("POST", {"json": entry}), ("DELETE", {"params": {"dag": "etl"}})):
                    assert (await client.request(method, "/denied", headers=headers, **given)).status_code == status
            assert file.read_text() == "denied: []\n"
            ops = {"authorization": f"Bearer {token(sub='ops-1')}"}
            assert (await client.post("/denied", json=entry, headers=ops)).json() == {"denied": [entry | {"by": "ops-1"}]}
            assert "ops-1" in file.read_text()
    finally:
        await gate.close()
    async with admin(State([]), None, None, DenyFile(file)) as client:
        assert (await client.get("/denied")).status_code == 404
    async with admin(State([]), inquiries(admitted=admitted), None, DenyFile(file)) as client:
        assert (await client.get("/denied")).status_code == 404


async def test_a_stopped_admin_token_is_stopped_here_too(tmp_path: Path) -> None:
    """It would lift its own entry; one for its issuer is told the way out. A file that breaks leaves what was read last."""
    (tmp_path / "jwks.json").write_text(json.dumps(key_set()))
    issuer = issuer_of(tmp_path, KeySource("jwks_file", str(tmp_path / "jwks.json")))
    file, admitted = tmp_path / "denied.yaml", Admitted(issuer, ("ops-*",))
    file.write_text("denied: []\n")
    gate = AdminGate(*admitted, FollowedFile(str(file), lambda text: denials_of(text, str(file))))
    stolen, other = ({"authorization": f"Bearer {token(sub='ops-1', jti=jti)}"} for jti in ("STOLEN-1", "OTHER-1"))
    try:
        async with admin(State([]), inquiries(admitted=admitted), gate, DenyFile(file)) as client:
            assert (await client.get("/denied", headers=stolen)).status_code == 200
            assert (await client.post("/denied", json={"jti": "STOLEN-1"}, headers=other)).status_code == 200
            for broken in (False, True):
                if broken:
                    file.write_text("denied: [")
                for method, path in (("GET", "/denied"), ("DELETE", "/denied?jti=STOLEN-1"), ("GET", f"/explain/{DECISION}")):
                    refused = await client.request(method, path, headers=stolen)
                    assert (refused.status_code, refused.json()["reason"]) == (403, "token_stopped")
            file.write_text("denied: [{issuer: idp, reason: by mistake}]\n")
            assert (await client.get("/denied", headers=other)).json() == {
                "reason": "issuer_stopped",
                "message": "issuer `idp` is stopped by the gateway's deny list (by mistake); ask those who run the gateway, "
                "who lift this on `admin.socket` or in the file of `deny_list`",
            }
    finally:
        await gate.close()


def test_a_stolen_admin_token_does_not_lift_its_own_entry(tmp_path: Path) -> None:
    """The admin plane as it is put together: a second token stops the first at once, and both changes are in the audit."""
    given = settings_in(tmp_path, "http://127.0.0.1:1", deny_list="denied.yaml", admin={"issuer": "idp", "subjects": ["ops-*"]})
    shared = {"listen": "0.0.0.0:8080", "insecure_plaintext": True}  # nobody listens there
    (tmp_path / "proxy.yaml").write_text(json.dumps(given | shared))
    (tmp_path / "denied.yaml").write_text("denied: []\n")
    stolen, other = ({"authorization": f"Bearer {token(sub=f'ops-{jti}', jti=jti)}"} for jti in ("stolen", "other"))
    with bind("127.0.0.1", 0) as listener:
        settings = load_settings(tmp_path / "proxy.yaml", {})
        plane = AdminThread(State([]), admin_planes(settings, inquiries().policies, listener))
        plane.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", trust_env=False) as client:
            assert client.post("/denied", json={"jti": "stolen"}, headers=other).status_code == 200
            refused = client.delete("/denied?jti=stolen", headers=stolen)
            lifted = client.delete("/denied?jti=stolen", headers=other)
        plane.stop()
    assert (refused.status_code, refused.json()["reason"]) == (403, "token_stopped")
    assert (lifted.status_code, lifted.json()) == (200, {"denied": []})
    records = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(record["event"], record["details"]) for record in records] == [
        ("switch", {"stopped": "jti stolen", "by": "ops-other"}),
        ("switch", {"lifted": "jti stolen", "by": "ops-other"}),
    ]


def test_a_deny_list_that_broke_meanwhile_stops_the_start(tmp_path: Path) -> None:
    """As it does a moment earlier, and without a trace."""
    (tmp_path / "proxy.yaml").write_text(json.dumps(settings_in(tmp_path, "http://127.0.0.1:1", deny_list="denied.yaml")))
    (tmp_path / "denied.yaml").write_text("denied: []\n")
    settings = load_settings(tmp_path / "proxy.yaml", {})
    (tmp_path / "denied.yaml").write_text("")
    with bind("127.0.0.1", 0) as listener, pytest.raises(CannotServe, match=r"^`deny_list`: .*denied\.yaml: is empty"):
        admin_planes(settings, inquiries().policies, listener)


async def test_a_switch_that_stops_nobody_is_thrown_and_warned_of(tmp_path: Path) -> None:
    """A DAG, team or issuer that neither policies nor settings know; what they know is not spoken of."""
    file = tmp_path / "denied.yaml"
    file.write_text("denied: []\n")
    known = inquiries()._replace(issuers=frozenset({"idp"}))
    async with admin(State([]), known, None, DenyFile(file)) as client:
        for entry in ({"dag": "etl"}, {"dag": "e*"}, {"issuer": "idp"}, {"jti": "x"}):
            assert "warnings" not in (await client.post("/denied", json=entry)).json()
        for entry in ({"dag": "elt"}, {"dag": "x_*"}, {"team": "nosuchteam"}, {"issuer": "https://idp.test"}):
            told = (await client.post("/denied", json=entry)).json()
            assert told["denied"][-1] == entry | {"by": "the admin socket"}
        lifted = (await client.delete("/denied", params={"dag": "elt"})).json()
    assert told["warnings"] == [
        "the deny list stops nobody by dag 'elt': no policy names such a dag",
        "the deny list stops nobody by dag 'x_*': no policy names such a dag",
        "the deny list stops nobody by team 'nosuchteam': platform.yaml has no teams",
        "the deny list stops nobody by issuer 'https://idp.test': the settings call theirs 'idp'",
    ]
    assert lifted["warnings"] == told["warnings"][1:]


def test_an_entry_for_what_is_let_through_may_be_right() -> None:
    """Where `unmapped` lets DAGs through that no file names, the warning says so."""
    unmapped = 'unmapped: {role: "arn:aws:iam::111122223333:role/legacy", mode: observe, until: "2099-01-01"}'
    policies = check_policies({"a.yaml": POLICY, "platform.yaml": unmapped}).snapshots[0]
    many = strangers([Denial("dag", f"*_old_{number}_*") for number in range(30)], policies, ())
    assert (len(many), many[-1]) == (21, "there may be more such entries; take these out first")
    assert strangers([Denial("dag", "elt"), Denial("dag", "etl")], policies, ()) == [
        "the deny list stops nobody by dag 'elt' but what `unmapped` lets through: no policy names such a dag"
    ]


async def test_a_switch_is_thrown_without_policies(tmp_path: Path) -> None:
    """Nobody can say then whom it stops; that keeps nobody from throwing it."""

    def broken() -> Any:
        raise PolicyError(["a.yaml:1: nonsense"])

    (tmp_path / "denied.yaml").write_text("denied: []\n")
    async with admin(State([]), Inquiries(broken, None, None), None, DenyFile(tmp_path / "denied.yaml")) as client:
        assert (await client.post("/denied", json={"dag": "elt"})).json()["denied"][0]["dag"] == "elt"


async def test_a_switch_that_cannot_be_thrown_is_told(tmp_path: Path) -> None:
    """What is no entry, a list that is broken, and a file that cannot be written."""
    file = tmp_path / "denied.yaml"
    file.write_text("denied: [")
    async with admin(State([]), inquiries(), None, DenyFile(file)) as client:
        for body in (
            "",
            "[]",
            '{"dag": 1}',
            '{"dags": "a"}',
            '{"dag": "a", "jti": "b"}',
            '{"dag": "!a"}',
            '{"dag": "a", "by": "me"}',
        ):
            assert (await client.post("/denied", content=body)).status_code == 422, body
        assert 'write {"dag": "orders_*"' in (await client.post("/denied", content="")).json()["message"]
        assert (await client.delete("/denied", params={"to": "a"})).status_code == 422
        answer = await client.post("/denied", json={"dag": "a"})
        assert (answer.status_code, "mend it first" in answer.json()["message"]) == (409, True)
        assert file.read_text() == "denied: ["
        file.unlink()
        assert (await client.get("/denied")).status_code == 409
