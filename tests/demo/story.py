"""`make demo`: what the gateway does, told in one minute and proven as it is told.

Each step acts, asserts that it came out as told, and shows the real words of whoever spoke: boto3, ministack, the gateway's
metrics and audit records. A step that comes out otherwise ends the story with exit status 1.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from proxy.policy.store import PolicyError
from tests.demo.screen import Screen
from tests.demo.stack import DAGS, ORDERS, Stack, demo_stack
from tests.stack.process import ROOT, NotReady, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_DECISION_ID = re.compile(r"decision (\S+)$")
THROTTLE_REASON = "TableWriteKeyRangeThroughputExceeded"
_RECORD_SECONDS = 5
_REQUESTS = 10  # orders_daily's query and put, orders_report's one, growth_sync's seven attempts


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
        "(AWS_ENDPOINT_URL_DYNAMODB) and a token of the company's identity provider (AWS_SESSION_TOKEN). Their team wrote:",
        indent="",
    )
    screen.verbatim(_rules_of("orders.yaml"))
    allowed(stack, screen)
    decision_id = denied(stack, screen)
    bypassed(stack, screen)
    throttled(stack, screen)
    metrics(stack, screen)
    audit(stack, screen, decision_id)
    nothing_leaked(stack)


def _rules_of(name: str) -> str:
    """The DAGs of a shipped policy file, as written, each line with its number."""
    lines = [f"{number:>3} {line}" for number, line in enumerate((ROOT / "policies" / name).read_text().splitlines(), 1)]
    start, end = (next(at for at, line in enumerate(lines) if line[4:] == section) for section in ("dags:", "tests:"))
    return f"policies/{name}\n" + "\n".join(lines[start:end])


def allowed(stack: Stack, screen: Screen) -> None:
    """A DAG does what its policy allows."""
    screen.heading(1, "ALLOWED", "orders_daily reads the orders and writes their total")
    run = stack.run_task("orders_daily")
    expect(run.exit_code == 0, "orders_daily succeeds", run.error)
    expect(run.output.startswith(f"{ORDERS} orders"), f"{ORDERS} orders are read", run.output)
    expect(stack.count("totals") == 1, "one total is in the table")
    (decision,) = records(stack, 1, dag="orders_daily", operation="PutItem", record="decision")
    screen.note("tests/demo/tasks/orders_daily.py")
    screen.quote(run.output)
    screen.say(f"Allowed by {decision['rule']}; the gateway signed as {decision['role_arn']}, this DAG's own role.")


def denied(stack: Stack, screen: Screen) -> str:
    """A DAG reaches for a table that is not its own. Returns the decision id."""
    screen.heading(2, "DENIED", "orders_report may read the totals; now it reaches for the orders")
    run = stack.run_task("orders_report")
    expect(run.exit_code != 0 and "AccessDeniedException" in run.error, "orders_report is denied", run.error or run.output)
    expect("policies/orders.yaml:" in run.error, "the message names the policy's line", run.error)
    metric(stack, "sdk_attempts_total", {"dag": "orders_report"}, 1)
    screen.quote(run.error)
    screen.say("That line ends the task's log. Nothing was sent to DynamoDB, and boto3 did not retry.")
    return decision_id_in(run.error)


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
    screen.say("It is IAM that decides: a session of orders_daily's role is served there.")


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
    throttle = {**growth, "table": stack.tables["events"], "reason": THROTTLE_REASON}
    screen.verbatim(metric(stack, "throttles_total", throttle, 3))
    screen.verbatim(metric(stack, "sdk_calls_total", growth, 4))
    screen.verbatim(metric(stack, "sdk_attempts_total", growth, 7))
    screen.verbatim(metric(stack, "refusals_total", {"dag": "orders_report"}, 1))


def audit(stack: Stack, screen: Screen, decision_id: str) -> None:
    """Who asked for what, what was decided and why, how it ended."""
    screen.heading(6, "AUDIT", f"the two records of decision {decision_id}, the one that the task's log names")
    decision, outcome = records(stack, 2, id=decision_id)
    expect((decision["record"], outcome["record"]) == ("decision", "outcome"), "a decision, then its outcome", outcome)
    expect(decision["dag"] == "orders_report" and decision["decision"] == "deny", "the denial is on record", decision)
    expect(outcome["sent"] == "no", "nothing was sent", outcome)
    screen.members(shown_in(decision))
    screen.members(shown_in(outcome))
    ids = [[r["id"] for r in records(stack, _REQUESTS, record=kind)] for kind in ("decision", "outcome")]
    expect(sorted(ids[0]) == sorted(set(ids[1])), "each request has one decision and one outcome", ids)
    expect(len(ids[0]) == _REQUESTS, f"there were {_REQUESTS} requests", len(ids[0]))


def shown_in(record: dict[str, Any]) -> dict[str, Any]:
    """A record without its empty members, and without the message, which was shown."""
    return {name: value for name, value in record.items() if value not in ("", [], None) and name != "message"}


def nothing_leaked(stack: Stack) -> None:
    """No token, no credential and no item value in what the gateway has written."""
    written = stack.gateway.metrics() + stack.gateway.audit.read_text() + stack.gateway.program.output()
    for secret in ("eyJ", stack.base.secret, "order#001", "user#001"):
        expect(secret not in written, f"`{secret[:4]}...` stands in no output of the gateway")


def records(stack: Stack, count: int, **wanted: object) -> list[dict[str, Any]]:
    """The audit records with these members, once there are `count`: refusals and reads are written in batches."""

    def found() -> list[dict[str, Any]]:
        return [record for record in stack.gateway.records() if wanted.items() <= record.items()]

    wait_until(lambda: len(found()) >= count, _RECORD_SECONDS, f"{count} audit record(s) with {wanted}")
    return found()


def metric(stack: Stack, name: str, labels: dict[str, str], value: int) -> str:
    """The line of /metrics with all of these labels. Raises StoryBroke unless it has this value."""
    parts = [f'{label}="{text}"' for label, text in labels.items()]
    lines = stack.gateway.metrics().splitlines()
    found = [line for line in lines if line.startswith(f"dynamodb_proxy_{name}{{") and all(part in line for part in parts)]
    expect(len(found) == 1 and float(found[0].rpartition(" ")[2]) == value, f"{name} of {labels} is {value}", found)
    return found[0]


def decision_id_in(error: str) -> str:
    """The decision id that ends a refusal's message. Raises StoryBroke where there is none."""
    found = _DECISION_ID.search(error)
    expect(found, "the message ends with its decision id", error)
    return found[1] if found else ""


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do as on Ctrl-C, so that whatever ends the story leaves nothing running."""
    raise KeyboardInterrupt


def perform(act: Callable[[Stack, Screen], None], farewell: str) -> int:
    """Start the stack, act, stop. Exit status 0, or 1 with what came out otherwise."""
    screen, started = Screen(), time.monotonic()
    signal.signal(signal.SIGINT, _interrupt)  # also where a shell started us in the background, with SIGINT ignored
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        with demo_stack() as stack:
            screen.say(
                f"Up in {time.monotonic() - started:.1f} s, all on this machine: an AWS stand-in that verifies signatures and "
                "IAM policies (ministack), an OpenID issuer, a fault proxy that throttles, and the gateway with policies/*.yaml.",
                indent="",
            )
            act(stack, screen)
            expect(stack.gateway.stop() == 0, "the gateway drains and ends with exit status 0")
    except (StoryBroke, NotReady, PolicyError, subprocess.TimeoutExpired) as broke:
        screen.end("BROKEN", str(broke), is_good=False)
        for note in getattr(broke, "__notes__", ()):
            screen.verbatim(note)
        return 1
    except KeyboardInterrupt:
        return 130
    screen.end("DONE", f"in {time.monotonic() - started:.0f} s: {farewell}")
    return 0


if __name__ == "__main__":
    sys.exit(perform(tell, f"{len(DAGS)} DAGs, everything came out as told. To play with it: make run"))
