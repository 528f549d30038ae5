"""The chain from token to table, as `doctor` walks and prints it, on a worker and in the gateway alike.

The first broken link is the answer; what lies behind it was not reached. Standard library only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

LINKS = ("worker", "token", "issuer", "gateway", "dag", "policy", "role", "sts", "table")

# Which link a gateway's refusal (its header x-ddb-proxy-reason) breaks. A test holds it against the closed list of reasons.
LINK_OF_REASON: Mapping[str, str] = {
    **dict.fromkeys(
        ("no_token", "several_tokens", "aws_keys", "token_malformed", "token_newline", "token_expired", "token_not_yet_valid"),
        "token",
    ),
    **dict.fromkeys(("token_claims", "wrong_audience", "token_revoked"), "token"),
    **dict.fromkeys(("session_invalid", "session_expired", "token_stopped"), "token"),
    **dict.fromkeys(("signature_incomplete", "signature_expired", "signature_mismatch"), "token"),
    **dict.fromkeys(("unknown_role", "outside_role", "dag_stopped", "team_stopped"), "dag"),
    "issuer_stopped": "issuer",
    "sts_request": "gateway",
    **dict.fromkeys(("unknown_issuer", "unknown_key", "bad_signature", "keys_unavailable", "cluster_unavailable"), "issuer"),
    **dict.fromkeys(
        ("malformed_request", "unsupported_route", "too_large", "too_slow", "overloaded", "plaintext_to_tls"),
        "gateway",
    ),
    **dict.fromkeys(("audit_unavailable", "internal_error", "unreadable_body"), "gateway"),
    **dict.fromkeys(("no_dag_claim", "conflicting_claims", "not_entitled", "unknown_dag"), "dag"),
    **dict.fromkeys(("no_rule", "denied_by_rule", "outside_boundary", "unknown_operation", "unsupported_operation"), "policy"),
    **dict.fromkeys(("foreign_table", "foreign_iterator", "outside_keys", "outside_attributes", "requirement_not_met"), "policy"),
    "role_not_assumable": "role",
    **dict.fromkeys(("credentials_unavailable", "credentials_refused"), "sts"),
    **dict.fromkeys(("upstream_unreachable", "upstream_broken"), "table"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one link. `state` is `ok`, `broken` or `note`; a broken one says how to mend it."""

    link: str
    state: str
    detail: str
    fix: str = ""


def print_findings(findings: Iterable[Finding], out: TextIO) -> int:
    """Print the walk up to the first broken link. Returns the exit status: 0 whole, 1 broken."""
    reached: list[str] = []
    for finding in findings:
        reached.append(finding.link)
        print(f"{finding.link:<8} {finding.state:<7} {finding.detail}", file=out)
        if finding.fix:
            print(f"{'':<16} fix: {finding.fix}", file=out)
        if finding.state == "broken":
            left = [link for link in LINKS[LINKS.index(reached[0]) :] if link not in reached]
            if left:
                print(f"{'':<16} not reached: {', '.join(left)}", file=out)
            return 1
    return 0


def probe(operation: str, table: str) -> bytes:
    """A real request that can do no harm: it asks for, or writes, under a key that no table has, so that DynamoDB answers
    ValidationException once everything before the item is in order. A Scan reads one item, which is not shown.
    """
    stranger = {"dynamodb-proxy-doctor": {"S": "probe"}}
    body: dict[str, object] = {"TableName": table}
    if operation == "PutItem":
        body["Item"] = {"dynamodb-proxy-doctor-attribute": {"S": "probe"}}
    elif operation == "Scan":
        body["Limit"] = 1
    elif operation == "Query":
        body |= {
            "KeyConditionExpression": "#k = :v",
            "ExpressionAttributeNames": {"#k": "dynamodb-proxy-doctor"},
            "ExpressionAttributeValues": {":v": {"S": "probe"}},
        }
    else:
        body["Key"] = stranger
    return json.dumps(body).encode()


PROBES = ("GetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem")


def judge_answer(status: int, reason: str, error: str, message: str, table: str) -> list[Finding]:
    """What DynamoDB's or the gateway's answer to the probe says about the links from `token` to `table`."""
    if reason:
        link = LINK_OF_REASON.get(reason, "gateway")
        # the gate comes before the token, and STS is asked before a role is had
        passed = [name for name in LINKS[1 : LINKS.index(link)] if link != "gateway" and (link, name) != ("sts", "role")]
        return [Finding(name, "ok", "the gateway passed it") for name in passed] + [
            Finding(link, "broken", f"{reason}: {message}")
        ]
    before = [Finding(name, "ok", "the gateway passed it") for name in LINKS[1:-1]]
    if status == 200 or error == "ValidationException":
        return [*before, Finding("table", "ok", f"'{table}' was reached; AWS let the role in")]
    if error == "ResourceNotFoundException":
        return [
            *before,
            Finding("table", "broken", f"'{table}' does not exist there", "look at its name, account and Region in the policy"),
        ]
    if error == "AccessDeniedException":
        return [
            *before[:-2],
            Finding("role", "broken", f"AWS refused the DAG's role: {message}", "add action and table to the role's IAM policy"),
        ]
    return [*before, Finding("table", "broken", f"AWS answered {status} {error}: {message}")]
