"""What `check` tells: to a person, to a program, to GitHub; and which rules no test decides by."""

from __future__ import annotations

import json

from proxy.policy.check import check_policies
from proxy.policy.diff_report import FORMATS as DIFF_FORMATS
from proxy.policy.lint import Finding, lint
from proxy.policy.report import FORMATS as CHECK_FORMATS
from proxy.policy.report import annotation, coverage_of, render_check, warnings_in
from tests.unit.policy.whole import whole

TEXT = """\
tables: {orders: {key: "pk (S)"}, spare: {}}
dags:
  d:
    role: arn:aws:iam::111122223333:role/r
    allow:
      - {actions: [GetItem], tables: [orders]}
      - {actions: [Query], tables: [orders], keys: {prefix: "a"}}
      - {actions: [Scan], tables: [orders]}
    deny:
      - {actions: [Scan], tables: [orders], tasks: [x]}
tests:
  - {dag: d, call: GetItem, table: orders, expect: allow}
  - {dag: d, call: Query, table: orders, expect: deny}
  - {dag: d, call: PutItem, table: orders, expect: deny}
  - {dag: d, call: Scan, table: orders, task: x, expect: allow}
"""


def test_coverage_counts_the_tests_that_a_rule_decides() -> None:
    """Allowed by it, denied by it, or outside its limits; the nearest rule of a denial has decided nothing."""
    report = check_policies({"a.yaml": TEXT})
    assert coverage_of(report) == {"a.yaml:6": 1, "a.yaml:7": 1, "a.yaml:8": 0, "a.yaml:10": 1}


def test_a_person_reads_lines() -> None:
    """Mistakes, warnings, notes, failed tests, then the sum."""
    report = check_policies({"a.yaml": TEXT})
    findings = [*lint(report.document, report.snapshots), Finding("a.yaml:1", "by the way", "note")]
    assert render_check(report, findings, 1, "text").splitlines() == [
        "a.yaml:1: warning: no rule names table `spare`; take it out, or give a DAG something on it",
        "a.yaml:1: note: by the way",
        (
            "a.yaml:15: FAIL: d Scan orders: expected allow; dag 'd' may not Scan on 'orders': denied by a.yaml:10 "
            "(Scan on orders for tasks x); ask the owners of a.yaml"
        ),
        "1 file(s), 0 mistake(s), 1 warning(s), 3 of 4 tests pass",
        "3 of 4 rules are decided by a test; untested: a.yaml:8",
    ]
    assert warnings_in(report, findings) == 1
    tested = TEXT.replace("[orders]}\n    deny", "[orders], tasks: [x]}\n    deny").replace(
        "task: x, expect: allow", "task: x, expect: deny"
    )
    every = check_policies(
        {"a.yaml": tested.replace("      - {actions: [Scan], tables: [orders], tasks: [x]}\n    deny", "    deny")}
    )
    assert render_check(every, [], 1, "text").splitlines()[-1] == "3 of 3 rules are decided by a test"
    lines = TEXT.splitlines()
    single = check_policies({"a.yaml": "\n".join(lines[:6] + lines[10:12])})
    assert render_check(single, [], 1, "text").splitlines()[-1] == "1 of 1 rules is decided by a test"


def test_a_program_reads_json() -> None:
    """The same, each part by name."""
    report = check_policies({"a.yaml": TEXT})
    document = json.loads(render_check(report, lint(report.document, report.snapshots), 1, "json"))
    assert (document["good"], document["mistakes"], document["coverage"]["a.yaml:8"]) == (False, [], 0)
    assert document["warnings"][0]["place"] == "a.yaml:1"
    assert [test["passed"] for test in document["tests"]] == [True, True, True, False]
    broken = json.loads(render_check(check_policies({"a.yaml": "dags: x"}), [], 1, "json"))
    assert broken["mistakes"] == [
        {"place": "a.yaml:1", "message": "`dags` must be a mapping of keys to values; `{}` where there is nothing to say"}
    ]


def test_the_whole_of_it_as_json() -> None:
    """Warnings of loader and lint, notes, tests in the order of the file, and how many of them decide by which rule."""
    report = check_policies(
        {"a.yaml": 'contact: "#blé"\n' + TEXT.replace("[Scan], tables: [orders], tasks", "[read], tables: [orders], tasks")}
    )
    findings = [*lint(report.document, report.snapshots), Finding("a.yaml:1", "by the way", "note")]
    assert render_check(report, findings, 1, "json") == whole("check.json")


def test_github_reads_annotations() -> None:
    """Errors, warnings and notices at their lines; loader warnings too."""
    warned = TEXT.replace("[Scan], tables: [orders], tasks", "[read], tables: [orders], tasks").partition("tests:")[0]
    report = check_policies({"a.yaml": warned})
    findings = [*lint(report.document, report.snapshots), Finding("a.yaml", "by the way", "note")]
    text = render_check(report, findings, 1, "github")
    lines = text.split("\n")[:-1]
    assert "::notice file=a.yaml,line=1::by the way" in lines
    assert [line.partition("::")[2].partition("::")[0] for line in lines] == [
        "warning file=a.yaml,line=10",
        "warning file=a.yaml,line=1",
        "notice file=a.yaml,line=1",
    ]
    failed = render_check(check_policies({"a.yaml": TEXT}), [], 1, "github")
    assert failed.startswith("::error file=a.yaml,line=15::FAIL: d Scan orders: expected allow; ")
    assert render_check(check_policies({"a.yaml": "dags: x"}), [], 1, "github").startswith("::error file=a.yaml,line=1::")


def test_no_text_of_a_file_gives_github_a_command() -> None:
    """Line breaks and signs that have a meaning are escaped."""
    assert (
        annotation("error", "a,b:c%.yaml:3", "one\n::set-output::%\r")
        == "::error file=a%2Cb%3Ac%25.yaml,line=3::one%0A::set-output::%25%0D"
    )
    assert annotation("error", "a%\r\n,:.yaml:3", "%\r\n") == "::error file=a%25%0D%0A%2C%3A.yaml,line=3::%25%0D%0A"
    assert annotation("error", "whole.yaml", "x") == "::error file=whole.yaml,line=1::x"


def test_without_rules_there_is_no_coverage_to_tell() -> None:
    """One line is enough."""
    assert (
        render_check(check_policies({"a.yaml": "contact: x\n"}), [], 1, "text")
        == "1 file(s), 0 mistake(s), 0 warning(s), 0 of 0 tests pass\n"
    )


def test_coverage_is_in_the_order_of_the_files() -> None:
    """By line, though deny rules are asked first and lines have two digits; what is only observed is decided by its rule."""
    text = """\
tables: {orders: {}}
dags:
  d:
    role: arn:aws:iam::111122223333:role/r
    deny:
      - {actions: [Scan], tables: [orders]}

    # two lines apart
    allow:
      - {actions: [GetItem], tables: [orders]}
tests:
  - {dag: d, call: Scan, table: orders, expect: deny}
"""
    platform = """\
environments: {dev: {account: "111122223333", region: eu-west-1, mode: observe}}
require:
  - {actions: [Scan], tables: ["*"], max_limit: 1}
"""
    counted = coverage_of(check_policies({"a.yaml": text, "platform.yaml": platform}))
    assert list(counted.items()) == [("a.yaml:6", 1), ("a.yaml:10", 0), ("platform.yaml:3", 0)]


def test_each_form_is_offered() -> None:
    """What the command line takes for `--format` is what there is, the one for a person first."""
    assert (CHECK_FORMATS, DIFF_FORMATS) == (("text", "json", "github"), ("text", "markdown", "json"))
