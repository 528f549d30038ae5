"""`make demo`: what the gateway does, told in one minute and proven as it is told.

Each step acts, asserts that it came out as told, and shows the real words of whoever spoke: boto3, ministack, the gateway's
metrics and audit records. A step that comes out otherwise ends the story with exit status 1.
"""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.demo.screen import Screen
from tests.demo.stack import DAGS, ORDERS, Stack, demo_stack
from tests.stack.process import NotReady, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

_DECISION_ID = re.compile(r"decision (\S+)$")
_THROTTLE_REASON = "TableWriteKeyRangeThroughputExceeded"
_RECORD_SECONDS = 5


class StoryBroke(Exception):
    """A step did not come out as told."""


def expect(holds: object, what: str, seen: object = "") -> None:
    """Raise StoryBroke with `what` was expected and what was `seen`, unless it `holds`."""
    if not holds:
        raise StoryBroke(f"expected: {what}" + (f"\n  seen: {seen}" if seen != "" else ""))


def tell(stack: Stack, screen: Screen) -> None:
    """The whole story on a fresh stack. Raises StoryBroke."""
    screen.say(
        f"Three DAGs call DynamoDB with plain boto3. Their workers hold no AWS key: only the address {stack.gateway.url} "
        "(AWS_ENDPOINT_URL_DYNAMODB) and a token of the company's identity provider (AWS_SESSION_TOKEN).",
        indent="",
    )
    allowed(stack, screen)
    decision_id = denied(stack, screen)
    bypassed(stack, screen)
    throttled(stack, screen)
    metrics(stack, screen)
    audit(stack, screen, decision_id)
    nothing_leaked(stack)


def allowed(stack: Stack, screen: Screen) -> None:
    """A DAG does what its policy allows."""
    screen.heading(1, "ALLOWED", "orders_daily reads the orders and writes their total")
    run = stack.run_task("orders_daily")
    expect(run.exit_code == 0, "orders_daily succeeds", run.error)
    expect(run.output.startswith(f"{ORDERS} orders"), f"{ORDERS} orders are read", run.output)
    expect(stack.count("totals") == 1, "one total is in the table")
    (decision,) = records(stack, dag="orders_daily", operation="PutItem", record="decision")
    screen.note("tests/demo/tasks/orders_daily.py")
    screen.quote(run.output)
    screen.say(f"Allowed by {decision['rule']}; the gateway signed as {decision['role_arn']}, this DAG's own role.")


def denied(stack: Stack, screen: Screen) -> str:
    """A DAG reaches for a table that is not its own. Returns the decision id."""
    screen.heading(2, "DENIED", "orders_report may read the totals; now it reaches for the orders")
    run = stack.run_task("orders_report")
    expect(run.exit_code != 0 and "AccessDeniedException" in run.error, "orders_report is denied", run.error or run.output)
    found = _DECISION_ID.search(run.error)
    expect(found and "policies/orders.yaml:" in run.error, "the message names the policy's line and the decision", run.error)
    refused = records(stack, dag="orders_report", record="decision")
    expect(len(refused) == 1, "boto3 asks once and does not retry", f"{len(refused)} requests")
    screen.quote(run.error)
    screen.say("That line ends the task's log. Nothing was sent to DynamoDB, and boto3 did not retry.")
    return found[1] if found else ""


def bypassed(stack: Stack, screen: Screen) -> None:
    """AWS itself refuses whoever goes round the gateway."""
    screen.heading(3, "REFUSED", "by AWS too: the same task goes round the gateway, straight to the engine")
    direct = stack.engine.url
    by_token = stack.run_task("orders_report", AWS_ENDPOINT_URL_DYNAMODB=direct)
    expect("UnrecognizedClientException" in by_token.error, "the engine does not know the worker's token", by_token.error)
    by_role = stack.run_task("orders_report", AWS_ENDPOINT_URL_DYNAMODB=direct, **stack.assume_role_of("orders_report"))
    expect("AccessDenied" in by_role.error and "assumed-role" in by_role.error, "IAM denies the DAG's role", by_role.error)
    own = stack.run_task("orders_daily", AWS_ENDPOINT_URL_DYNAMODB=direct, **stack.assume_role_of("orders_daily"))
    expect(own.exit_code == 0, "the engine does serve a role that may", own.error)
    screen.say("with the worker's token, which is worth nothing in AWS:")
    screen.quote(by_token.error)
    screen.say("with a session of the DAG's own role, had it leaked:")
    screen.quote(by_role.error)


def throttled(stack: Stack, screen: Screen) -> None:
    """DynamoDB throttles; boto3 retries and succeeds; the gateway counts."""
    screen.heading(4, "THROTTLED", "growth_sync writes 100 events while DynamoDB throttles every second batch")
    run = stack.run_task("growth_sync")
    expect(run.exit_code == 0, "growth_sync succeeds in the end", run.error)
    expect(run.output.endswith("4 calls took 7 attempts"), "4 calls take 7 attempts", run.output)
    expect(stack.throttler.throttled == 3, "three attempts are throttled", stack.throttler.throttled)
    expect(stack.count("events") == 100, "every event is in the table, once", stack.count("events"))
    screen.quote(run.output)
    screen.say("The gateway passed the throttles on untouched and repeated nothing: retries are boto3's. It counted them:")


def metrics(stack: Stack, screen: Screen) -> None:
    """What Prometheus would scrape."""
    screen.heading(5, "METRICS", f"{stack.gateway.admin_url}/metrics")
    growth = {"dag": "growth_sync", "operation": "BatchWriteItem"}
    wanted: list[tuple[str, dict[str, str], int]] = [
        ("throttles_total", {**growth, "table": stack.tables["events"], "reason": _THROTTLE_REASON}, 3),
        ("sdk_calls_total", growth, 4),
        ("sdk_attempts_total", growth, 7),
        ("refusals_total", {"dag": "orders_report"}, 1),
    ]
    text = stack.gateway.metrics()
    for name, labels, value in wanted:
        line = _metric(text, "dynamodb_proxy_" + name, labels)
        expect(line and float(line.rpartition(" ")[2]) == value, f"{name} {labels} is {value}", line or "no such line")
        screen.verbatim(line)


def audit(stack: Stack, screen: Screen, decision_id: str) -> None:
    """Who asked for what, what was decided and why, how it ended."""
    screen.heading(6, "AUDIT", f"the records of decision {decision_id}, the one that the task's log names")
    decision, outcome = records(stack, id=decision_id)
    expect((decision["record"], outcome["record"]) == ("decision", "outcome"), "a decision, then its outcome", outcome)
    expect(decision["dag"] == "orders_report" and decision["decision"] == "deny", "the denial is on record", decision)
    expect(outcome["sent"] == "no", "nothing was sent", outcome)
    for record in (decision, outcome):
        said = {name: value for name, value in record.items() if value not in ("", [], None) and name != "message"}
        screen.quote(json.dumps(said))
    every = records(stack)
    ids = [[r["id"] for r in every if r["record"] == kind] for kind in ("decision", "outcome")]
    expect(sorted(ids[0]) == sorted(ids[1]) and len(set(ids[0])) == len(ids[0]), "one decision and one outcome a request")
    expect(len(ids[0]) == 10, "10 requests: 2 allowed, 1 denied, 7 attempts", len(ids[0]))


def nothing_leaked(stack: Stack) -> None:
    """No token, no credential and no item value in what the gateway has written."""
    written = stack.gateway.metrics() + stack.gateway.audit.read_text() + stack.gateway.program.output()
    for secret in ("eyJ", stack.base.secret, "order#001", "user#001"):
        expect(secret not in written, f"`{secret[:4]}...` stands in no output of the gateway")


def records(stack: Stack, **wanted: object) -> list[dict[str, Any]]:
    """The audit records with these members, once every decision has its outcome."""

    def is_whole() -> bool:
        kinds = [record["record"] for record in stack.gateway.records()]
        return bool(kinds) and kinds.count("decision") == kinds.count("outcome")

    wait_until(is_whole, _RECORD_SECONDS, "each audited decision has its outcome")
    return [
        record for record in stack.gateway.records() if all(record.get(name) == value for name, value in wanted.items())
    ]


def _metric(text: str, name: str, labels: dict[str, str]) -> str:
    """The line of a metric with all of these labels; empty if there is none."""
    parts = [f'{label}="{value}"' for label, value in labels.items()]
    return next(
        (line for line in text.splitlines() if line.startswith(name + "{") and all(part in line for part in parts)), ""
    )


def perform(act: Callable[[Stack, Screen], None], farewell: str) -> int:
    """Start the stack, act, stop. Exit status 0, or 1 with what came out otherwise."""
    screen, started = Screen(), time.monotonic()
    try:
        with demo_stack() as stack:
            screen.say(
                f"Up in {time.monotonic() - started:.1f} s, all on this machine: an AWS stand-in that verifies signatures and IAM "
                "policies (ministack), an OpenID issuer, a fault proxy that throttles, and the gateway with policies/*.yaml.",
                indent="",
            )
            act(stack, screen)
    except (StoryBroke, NotReady) as broke:
        screen.end("BROKEN", str(broke), is_good=False)
        for note in getattr(broke, "__notes__", ()):
            screen.verbatim(note)
        return 1
    except KeyboardInterrupt:
        return 130
    screen.end("DONE", f"{farewell}, in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(perform(tell, f"{len(DAGS)} DAGs, everything came out as told; `make run` keeps it up to play with"))
