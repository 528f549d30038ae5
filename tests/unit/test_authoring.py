"""The commands of those who write policies, as they are called: what they print, where, and their exit status."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proxy.__main__ import main
from proxy.policy.document import digest_of
from proxy.policy.schema import schema_text
from tests.fake_aws import settings_in, token

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[2]
POLICIES = str(ROOT / "policies")
PROD = ("--policies", POLICIES, "--environment", "prod")
SINGLE = """\
tables: {orders: {key: "pk (S)"}}
dags:
  etl:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - {actions: [GetItem], tables: [orders], keys: {prefix: "etl#"}}
"""
DECISION = "00112233445566ff"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command: exit status, standard output, standard error."""

    def to_end(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return status, told.out, told.err

    return to_end


@pytest.fixture
def single(tmp_path: Path) -> Path:
    """A folder with one policy file, without environments."""
    folder = tmp_path / "single"
    folder.mkdir()
    (folder / "orders.yaml").write_text(SINGLE)
    return folder


def audit_of(folder: Path, name: str = "audit.jsonl", **fields: Any) -> Path:
    """An audit file with the start of a gateway, one decision and its outcome."""
    texts = {str(path): path.read_text() for path in folder.glob("*.yaml")}
    decision = {
        "record": "decision", "time": "2026-11-22T10:00:00Z", "id": DECISION, "issuer": "i", "subject": "s", "dag": "etl",
        "evidence": "verified", "operation": "GetItem", "touches": [["GetItem", "orders", "", 1]], "decision": "allow",
        "reason": "allowed", "rule": "orders.yaml:6", "policy_digest": digest_of(texts), "message": "",
    } | fields  # fmt: skip
    records = [
        {"record": "event", "event": "start", "details": {"environment": "prod"}},
        decision,
        {"record": "outcome", "id": DECISION},
    ]
    text = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)
    path = folder.parent / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


# ------------------------------------------------------------------------------------------- check, schema


def test_the_examples_pass_strictly(run: Run) -> None:
    """Neither mistake nor warning, and the coverage is told."""
    status, out, _ = run("check", "--strict", POLICIES)
    assert status == 0
    assert "0 mistake(s), 0 warning(s)" in out
    assert "rules are decided by a test" in out


@pytest.mark.parametrize("text", ["orders\nmore\n", '{"TableNames": ["orders", "more"]}', '["orders"]'])
def test_real_tables_are_read_in_each_of_their_forms(run: Run, tmp_path: Path, single: Path, text: str) -> None:
    """One a line, what ListTables answers, a list."""
    names = tmp_path / "tables"
    names.write_text(text)
    assert run("check", single, "--tables", names)[0] == 0


def test_warnings_fail_only_strictly(run: Run, single: Path) -> None:
    """Status 0 without --strict, 1 with it."""
    (single / "orders.yaml").write_text(SINGLE.replace("tables: {", "tables: {spare: {}, "))
    assert run("check", single)[0] == 0
    status, out, _ = run("check", "--strict", "--format", "github", single)
    assert (status, "no rule names table `spare`" in out) == (1, True)


@pytest.mark.parametrize(
    "text", ['{"TableNames": "orders"}', '{"TableNames": [1]}', "", " \n", "[]", '{"TableNames": []}', "{}", "7"]
)
def test_files_that_are_no_names_of_tables(run: Run, tmp_path: Path, single: Path, text: str) -> None:
    """Status 2: it could not be tried. So is one without any name, which a command that failed leaves behind."""
    names = tmp_path / "tables"
    names.write_text(text)
    assert run("check", single, "--tables", names)[0::2] == (
        2, f"{names}: holds no names of tables; write one a line, or give what `aws dynamodb list-tables` prints\n"
    )  # fmt: skip
    assert run("check", single, "--tables", tmp_path / "absent")[2].startswith(
        f"{tmp_path / 'absent'}: cannot be read: No such file"
    )


def test_the_schema_is_printed(run: Run) -> None:
    """As it stands in policies/."""
    assert run("schema") == (0, schema_text(), "")


# ------------------------------------------------------------------------------------------------- explain


def test_explain_tells_the_decision_and_its_rules(run: Run) -> None:
    """Status 0 if it is allowed, 1 if not; text or JSON."""
    status, out, _ = run("explain", *PROD, "--dag", "orders_daily", "--operation", "Query", "--table", "orders")
    assert (status, out.splitlines()[0]) == (0, "allowed: allowed, decided by " + out.splitlines()[0].rpartition("by ")[2])
    status, out, _ = run(
        "explain", *PROD, "--dag", "orders_daily", "--operation", "Scan", "--table", "orders", "--format", "json"
    )
    assert (status, json.loads(out)["touches"][0]["changes"][0]["line"]) == (1, "- {actions: [Scan], tables: [orders]}")


def test_what_is_asked_can_be_described_in_full(run: Run, single: Path) -> None:
    """Key, attributes, task, run, claims, shape and moment."""
    ask = ("explain", "--policies", single, "--dag", "etl", "--operation", "GetItem", "--table", "orders")
    assert run(*ask, "--key", "etl#1", "--at", "2026-11-22T10:00", "--task", "t", "--run", "r", "--claim", "team=a")[0] == 0
    assert run(*ask, "--key", "other#1", "--attributes", "pk, v", "--evidence", "claimed", "--at", "2026-11-22T10:00Z")[0] == 1
    assert run(*ask, "--at", "soon")[0::2] == (2, "`soon` is no moment; write it as 2026-11-30T18:00Z\n")
    assert run("explain", "--policies", single, "--dag", "etl")[0::2] == (
        2, "name the operation with --operation, or a file with a request with --request\n"
    )  # fmt: skip
    assert run("explain", "--policies", single, "--operation", "Scan")[0::2] == (
        2, "name the DAG with --dag, or the token that says it with --token\n"
    )  # fmt: skip
    assert run("explain", "--policies", single, "--dag", "etl", "--operation", "Get", "--table", "orders")[0] == 2


def test_one_environment_must_be_meant(run: Run) -> None:
    """With several, one is named."""
    ask = ("--dag", "orders_daily", "--operation", "Scan", "--table", "orders")
    assert run("explain", "--policies", POLICIES, *ask)[0::2] == (
        2, "the policies have several environments; name one with --environment: demo, prod\n"
    )  # fmt: skip
    assert run("explain", "--policies", POLICIES, "--environment", "none", *ask)[0] == 2


@pytest.mark.parametrize(
    ("document", "arguments"),
    [
        ({"TableName": "orders", "Key": {"pk": {"S": "etl#1"}}}, ("--operation", "GetItem")),
        ({"operation": "GetItem", "body": {"TableName": "orders", "Key": {"pk": {"S": "etl#1"}}}}, ()),
        ({"target": "DynamoDB_20120810.GetItem", "body": {"TableName": "orders", "Key": {"pk": {"S": "etl#1"}}}}, ()),
    ],
)
def test_a_request_is_explained_as_it_is(
    run: Run, tmp_path: Path, single: Path, document: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    """Its keys are read from it; a request that cannot be read is refused as the gateway would."""
    file = tmp_path / "request.json"
    file.write_text(json.dumps(document))
    ask = ("explain", "--policies", single, "--dag", "etl", "--request", file, *arguments)
    status, out, err = run(*ask)
    assert (status, err) == (0, "")
    file.write_text(json.dumps(document).replace("etl#1", "x"))
    assert "outside_keys" in run(*ask)[1]
    file.write_text(json.dumps(document).replace("TableName", "Tabel"))
    status, out, _ = run(*ask)
    assert (status, out.splitlines()[0]) == (1, "denied: unreadable_body, before any rule is asked")


def test_requests_that_are_none(run: Run, tmp_path: Path, single: Path) -> None:
    """Status 2 with what to write."""
    file = tmp_path / "request.json"
    ask = ("explain", "--policies", single, "--dag", "etl", "--request", file)
    file.write_text("nonsense")
    assert "is not JSON; write the request's body" in run(*ask)[2]
    file.write_text("{}")
    assert run(*ask)[2] == "the file has a body and no operation; name it with --operation\n"
    assert run(*ask, "--operation", "Frobnicate")[2] == (
        "there is no operation `Frobnicate`; write DynamoDB's name for it, such as PutItem\n"
    )


def test_a_token_says_who_asks(run: Run, tmp_path: Path) -> None:
    """Verified with the gateway's own issuers, bound as a request's would be; refused as a request's would be."""
    (tmp_path / "proxy.yaml").write_text(json.dumps(settings_in(tmp_path, "http://127.0.0.1:1")))
    file = tmp_path / "token"
    file.write_text(token() + "\n")
    ask = ("explain", "--config", tmp_path / "proxy.yaml", "--token", file, "--operation", "GetItem", "--table", "orders")
    status, out, _ = run(*ask)
    assert (status, "dag 'etl' (verified: claim)" in out) == (0, True)
    assert "conflicting_claims" in run(*ask, "--dag", "other")[1]
    file.write_text(token(seconds=-600, iat=int(time.time()) - 1200))
    status, out, _ = run(*ask, "--format", "json")
    assert (status, json.loads(out)["reason"]) == (1, "token_expired")
    assert "eyJ" not in out
    assert run("explain", "--token", file, "--operation", "Scan", "--table", "orders")[2] == (
        "a token is judged by the gateway's issuers; name its settings with --config\n"
    )
    assert run("explain", "--config", tmp_path / "none.yaml", "--dag", "d")[0] == 2


def test_a_decision_is_looked_up(run: Run, single: Path) -> None:
    """By its id, in an audit file or the settings'; what it was, and what it would be now."""
    audit = audit_of(single)
    ask = ("explain", "--policies", single, "--audit", audit)
    status, out, _ = run(*ask, DECISION)
    assert status == 1
    assert out.startswith("recorded: allow, allowed, at 2026-11-22T10:00:00Z, by policies ")
    assert "(the ones asked now)" in out
    assert "undetermined: unreadable_body" in out
    (single / "orders.yaml").write_text(SINGLE.replace(', keys: {prefix: "etl#"}', ""))
    status, out, _ = run(*ask, DECISION, "--format", "json")
    assert (status, json.loads(out)["is_same_policy"], json.loads(out)["explanation"]["verdict"]) == (0, False, "allowed")
    audit_of(single, reason="token_expired", message="the token has expired")
    status, out, _ = run(*ask, DECISION)
    assert (status, out.splitlines()[1:]) == (
        1, ["  the token has expired", "  it was not for a policy to decide, so there are no rules to tell of"]
    )  # fmt: skip
    assert run(*ask, "f" * 16)[2] == f"{audit}: has no decision {'f' * 16}; it may stand in an older file, or another gateway's\n"
    assert "is no decision id" in run(*ask, "nonsense")[2]
    assert (
        run("explain", "--policies", single, DECISION)[2] == "a decision is looked up in the audit; name its file with --audit\n"
    )


def test_the_settings_name_audit_and_policies(run: Run, tmp_path: Path) -> None:
    """A gateway's file is enough."""
    (tmp_path / "proxy.yaml").write_text(json.dumps(settings_in(tmp_path, "http://127.0.0.1:1")))
    audit_of(tmp_path / "policies").rename(tmp_path / "audit.jsonl")
    assert run("explain", "--config", tmp_path / "proxy.yaml", DECISION)[0] == 0
    (tmp_path / "audit.jsonl").write_text(f'torn "record":"decision" {DECISION}\n["record":"decision","{DECISION}"]\n')
    assert run("explain", "--config", tmp_path / "proxy.yaml", DECISION)[0] == 2


def test_the_settings_are_found_as_serve_finds_them(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """./proxy.yaml or the variable's file; not asked, and free to be broken, where --policies and --audit say all."""
    (tmp_path / "proxy.yaml").write_text(json.dumps(settings_in(tmp_path, "http://127.0.0.1:1")))
    audit = audit_of(tmp_path / "policies")
    file = tmp_path / "token"
    file.write_text(token())
    ask = ("explain", "--token", file, "--operation", "GetItem", "--table", "orders")
    monkeypatch.chdir(tmp_path)
    assert run(*ask)[0] == 0
    assert run("explain", DECISION)[0] == 0
    monkeypatch.chdir(tmp_path / "policies")
    assert run(*ask)[0] == 2
    monkeypatch.setenv("DDB_PROXY_CONFIG", str(tmp_path / "proxy.yaml"))
    assert run(*ask)[0] == 0
    (tmp_path / "proxy.yaml").write_text("nonsense: x\n")
    assert run(*ask)[0] == 2
    assert run("explain", "--policies", tmp_path / "policies", "--audit", audit, DECISION)[0] == 0


def test_a_folder_is_no_decision_id(run: Run, single: Path) -> None:
    """As one writes `check policies`: it is told where a folder goes, before anything else is looked at."""
    ask = ("--dag", "etl", "--operation", "GetItem", "--table", "orders")
    assert run("explain", single, *ask) == (2, "", f"`{single}` is no decision id; name a folder with --policies\n")
    assert run("explain", "--policies", single, "nonsense")[2] == (
        "`nonsense` is no decision id; it has 16 digits and letters, at the end of the refusal's message\n"
    )


def test_a_claim_without_a_value_is_none(run: Run, single: Path) -> None:
    """It was taken for an empty one; a value may hold the sign."""
    ask = ("explain", "--policies", single, "--dag", "etl", "--operation", "GetItem", "--table", "orders", "--key", "etl#1")
    assert run(*ask, "--claim", "team=a=b")[0] == 0
    assert run(*ask, "--claim", "team") == (2, "", "`team` is no claim; write --claim NAME=VALUE\n")


# ------------------------------------------------------------------------------------------------- diff


@pytest.mark.parametrize("command", [("check",), ("diff", POLICIES), ("explain", "--dag", "d", "--policies")])
def test_policies_that_are_named_and_not_there(run: Run, command: tuple[str, ...]) -> None:
    """They are an argument of these commands, not a setting."""
    assert run(*command, "nope") == (2, "", "nope: does not exist; name a folder or file of policies\n")


def test_diff_tells_what_changes(run: Run, tmp_path: Path, single: Path) -> None:
    """Status 0 if nothing does, 1 if something does, 2 if a version does not load."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "orders.yaml").write_text(SINGLE)
    assert run("diff", single, other) == (0, "no decision changes\n", "")
    (other / "orders.yaml").write_text(SINGLE.replace("GetItem", "GetItem, Query"))
    status, out, _ = run("diff", single, other, "--format", "markdown")
    assert (status, "| gained | etl |" in out) == (1, True)
    (other / "orders.yaml").write_text(SINGLE.replace("etl#", "load#"))
    status, out, _ = run("diff", single, other, "--format", "json")
    assert [change["when"] for change in json.loads(out)["changes"]] == ["with key etl#...", "with key load#..."]
    (other / "orders.yaml").write_text("dags: x\n")
    status, out, err = run("diff", single, other)
    assert (status, out) == (2, "")
    assert f"{other}: cannot be compared, for it does not load" in err


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.jsonl.gz"])
def test_diff_replays_recorded_traffic(run: Run, tmp_path: Path, single: Path, name: str) -> None:
    """Compressed or not; the one environment is meant."""
    audit = audit_of(single, name)
    other = tmp_path / "other"
    other.mkdir()
    (other / "orders.yaml").write_text(SINGLE.replace("GetItem", "Query"))
    status, out, _ = run("diff", single, other, "--audit", audit)
    assert (status, f"- etl: GetItem on orders: 1 request(s) (allow to deny; decision {DECISION})" in out) == (1, True)


def test_diff_finds_the_environment_of_an_audit(run: Run, tmp_path: Path) -> None:
    """As the gateway said at its start, or as it is named."""
    audit = tmp_path / "audit.jsonl"
    audit.write_text(
        '{"record":"event","event":"keys","details":{}}\n{"record":"event","event":"start","details":{"environment":"prod"}}\n'
    )
    assert run("diff", POLICIES, POLICIES, "--audit", audit)[0] == 0
    cut = '{"record":"event","event":"start","deta\n{"record":"event","details":null}\n["record":"event"]\n'
    audit.write_text(cut + '["record","x"]\n{"record":"event","event":"start","details":{"environment":"prod"}}\n')
    assert run("diff", POLICIES, POLICIES, "--audit", audit)[0] == 0
    audit.write_text("")
    assert run("diff", POLICIES, POLICIES, "--audit", audit)[2] == (
        f"{audit}: does not say of which environment it is; name it with --environment\n"
    )
    assert run("diff", POLICIES, POLICIES, "--audit", audit, "--environment", "demo")[0] == 0
    assert (
        "there is no environment `x` in both versions (known: demo, prod)"
        in run("diff", POLICIES, POLICIES, "--audit", audit, "--environment", "x")[2]
    )


# ------------------------------------------------------------------------------------------------- init


def test_init_drafts_from_cloudtrail(run: Run, tmp_path: Path) -> None:
    """Several files, compressed or not; what it prints passes check."""
    event = {
        "eventSource": "dynamodb.amazonaws.com", "eventName": "GetItem", "requestParameters": {"tableName": "orders"},
        "userIdentity": {"arn": "arn:aws:sts::111122223333:assumed-role/r/etl"},
    }  # fmt: skip
    plain, packed = tmp_path / "a.json", tmp_path / "b.json.gz"
    plain.write_text(json.dumps({"Records": [event]}))
    packed.write_bytes(gzip.compress(json.dumps(event | {"eventName": "Query"}).encode()))
    status, out, _ = run("init", "--from-cloudtrail", plain, packed)
    assert (status, "- {actions: [GetItem, Query], tables: [orders]}" in out) == (0, True)
    folder = tmp_path / "drafted"
    folder.mkdir()
    (folder / "first.yaml").write_text(out)
    assert run("check", "--strict", folder)[0] == 0
    plain.write_text("nonsense")
    assert run("init", "--from-cloudtrail", plain)[0] == 2


def test_files_that_are_no_whole_gzip(run: Run, tmp_path: Path, single: Path) -> None:
    """Plain, cut or changed: by name, with what may have happened."""
    plain, cut, changed = (tmp_path / f"{name}.json.gz" for name in ("plain", "cut", "changed"))
    packed = gzip.compress(json.dumps({"Records": [{"x": "y" * 50}] * 9}).encode())
    plain.write_text("{}")
    cut.write_bytes(packed[:-9])
    changed.write_bytes(packed[:20] + bytes(9) + packed[29:])
    for file in (plain, cut, changed):
        told = f"{file}: is no whole gzip file; get it again if it was cut, take `.gz` off its name if it is plain\n"
        assert run("init", "--from-cloudtrail", file) == (2, "", told)
        assert run("diff", single, single, "--audit", file) == (2, "", told)


def test_init_finds_nothing_in_files_of_another_kind(run: Run, tmp_path: Path) -> None:
    """As --from-iam does; a trail without events of DynamoDB is one, and drafts nothing."""
    file = tmp_path / "file.json"
    for text in ("{}", json.dumps({"Version": "2012-10-17", "Statement": []}), "[]", ""):
        file.write_text(text)
        assert run("init", "--from-cloudtrail", file) == (
            2, "", f"{file}: holds no CloudTrail events; give files of a trail with data events, or what `lookup-events` prints\n"
        )  # fmt: skip
    for text in ('{"Events": []}', '{"Records": [{"eventSource": "s3.amazonaws.com"}]}'):
        file.write_text(text)
        status, out, _ = run("init", "--from-cloudtrail", file)
        assert (status, "Nothing was found" in out) == (0, True)


def test_init_drafts_from_iam(run: Run, tmp_path: Path) -> None:
    """With names of tables for wildcards; other JSON is refused."""
    document, names = tmp_path / "policy.json", tmp_path / "tables"
    statement = {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "arn:aws:dynamodb:*:111122223333:table/o*"}
    document.write_text(json.dumps({"Statement": [statement]}))
    names.write_text("orders\nmore\n")
    status, out, _ = run("init", "--from-iam", document, "--tables", names)
    assert (status, "- {actions: [GetItem], tables: [orders]}" in out) == (0, True)
    assert "Nothing was found" in run("init", "--from-iam", document)[1]
    document.write_text('{"RoleDetailList": [{"RolePolicyList": [{}]}]}')
    assert run("init", "--from-iam", document)[2] == f"{document}: is JSON of another form than is meant here\n"
    document.write_text('{"Statement":')
    assert run("init", "--from-iam", document)[2] == f"{document}: is not JSON (line 1); was it cut?\n"
