"""How `check` tells what it found: to a person, to a program, or as annotations of a pull request on GitHub.

Coverage counts, for every rule, the tests whose decision it made: a rule that no test decides by can be wrong unseen.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from proxy.refusal import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from proxy.policy.check import Outcome, Report
    from proxy.policy.lint import Finding

FORMATS = ("text", "json", "github")
_DECIDED = frozenset(
    {
        Reason.ALLOWED,
        Reason.DENIED_BY_RULE,
        Reason.REQUIREMENT_NOT_MET,
        Reason.OUTSIDE_KEYS,
        Reason.OUTSIDE_ATTRIBUTES,
        Reason.OUTSIDE_BOUNDARY,
    }
)


def coverage_of(report: Report) -> dict[str, int]:
    """Place of each rule -> how many tests were decided by it, over all environments."""
    places: set[str] = set()
    for policies in report.snapshots:
        for rules in policies.dag_rules():
            requirements = (requirement.rule for requirement in rules.require)
            places |= {rule.place for rule in (*rules.allow, *rules.deny, *requirements)}
    counted = Counter(place for outcome in report.outcomes for place in _decided_by(outcome))
    return {place: counted[place] for place in sorted(places, key=_order)}


def _decided_by(outcome: Outcome) -> Iterable[str]:
    decision = outcome.decision
    reason = decision.would_deny or decision.reason
    return decision.rule.split(", ") if reason in _DECIDED else ()


def _order(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return file, int(line)


def render_check(report: Report, findings: Sequence[Finding], files: int, form: str) -> str:
    """The whole of it, with a line feed at the end."""
    if form == "json":
        return json.dumps(_document(report, findings), indent=2, ensure_ascii=False) + "\n"
    if form == "github":
        return "".join(line + "\n" for line in _annotations(report, findings))
    lines = [*report.mistakes.lines(), *(f"{place}: {kind}: {message}" for place, message, kind in findings)]
    lines += [outcome.line() for outcome in report.outcomes if not outcome.is_passed]
    return "\n".join([*lines, *_summary(report, findings, files)]) + "\n"


def warnings_in(report: Report, findings: Sequence[Finding]) -> int:
    """What `--strict` counts."""
    return len(report.mistakes.warnings) + sum(finding.kind == "warning" for finding in findings)


def _summary(report: Report, findings: Sequence[Finding], files: int) -> Iterator[str]:
    warnings = warnings_in(report, findings)
    passed = sum(outcome.is_passed for outcome in report.outcomes)
    yield (
        f"{files} file(s), {len(report.mistakes.errors)} mistake(s), {warnings} warning(s), "
        f"{passed} of {len(report.outcomes)} tests pass"
    )
    coverage = coverage_of(report)
    if coverage:
        unseen = [place for place, count in coverage.items() if not count]
        seen = len(coverage) - len(unseen)
        told = f"; untested: {', '.join(unseen)}" if unseen else ""
        yield f"{seen} of {len(coverage)} rules {'is' if seen == 1 else 'are'} decided by a test{told}"


def _document(report: Report, findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "good": report.is_good,
        "mistakes": [{"place": str(place), "message": message} for place, message in report.mistakes.errors],
        "warnings": [
            *({"place": str(place), "message": message, "kind": "warning"} for place, message in report.mistakes.warnings),
            *(finding._asdict() for finding in findings),
        ],
        "tests": [
            {
                "place": str(outcome.place),
                "environment": outcome.environment,
                "dag": outcome.dag,
                "call": outcome.call,
                "table": outcome.table,
                "expect": "allow" if outcome.expect_allow else "deny",
                "passed": outcome.is_passed,
                "reason": str(outcome.decision.reason),
                "rule": outcome.decision.rule,
                "message": outcome.decision.message,
            }
            for outcome in report.outcomes
        ],
        "coverage": coverage_of(report),
    }


def _annotations(report: Report, findings: Sequence[Finding]) -> Iterator[str]:
    """GitHub's workflow commands, one a line."""
    for place, message in report.mistakes.errors:
        yield annotation("error", str(place), message)
    for outcome in report.outcomes:
        if not outcome.is_passed:
            yield annotation("error", str(outcome.place), outcome.line().removeprefix(f"{outcome.place}: "))
    for warned, message in report.mistakes.warnings:
        yield annotation("warning", str(warned), message)
    for finding in findings:
        yield annotation("warning" if finding.kind == "warning" else "notice", finding.place, finding.message)


def annotation(kind: str, place: str, message: str) -> str:
    """One workflow command. What has a meaning in it is escaped, so that no text of a file can give a command."""
    file, _, line = place.rpartition(":")
    if not line.isdigit():
        file, line = place, "1"
    properties = file
    for sign, escape in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        properties = properties.replace(sign, escape)
    for sign, escape in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        message = message.replace(sign, escape)
    return f"::{kind} file={properties},line={line}::{message}"
