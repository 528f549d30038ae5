"""`dynamodb-proxy doctor --config` in the gateway: the same chain, walked with the gateway's own parts, each by itself.

Nothing is simulated: keys are fetched, the token is verified, the policy decides, the role is assumed, and one harmless signed
request goes to the table. Without a token the walk goes on for the DAG that was named, as if its identity were verified.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from proxy.app import configure_logging, problems_before_start
from proxy.aws.sigv4 import signed_request
from proxy.dynamodb.operation import read_operation
from proxy.dynamodb.reply import summarise
from proxy.gateway import Gateway
from proxy.identity.binding import bind
from proxy.identity.channels import token_in
from proxy.model import Claimed, Evidence, Identity, Subject
from proxy.refusal import Refusal
from proxy.worker.chain import LINK_OF_REASON, Finding, judge_answer, print_findings, probe

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator
    from pathlib import Path
    from typing import TextIO

    from proxy.model import Operation, Principal
    from proxy.settings import Settings


def examine_gateway(settings: Settings, options: argparse.Namespace, out: TextIO) -> int:
    """Walk and print. Exit status 0 if the whole chain holds, 1 at the first broken link."""
    configure_logging("error")  # the findings say it better
    problems = problems_before_start(settings)
    if problems:
        return print_findings([Finding("gateway", "broken", problem) for problem in problems], out)
    return print_findings(asyncio.run(_collect(settings, options)), out)


async def _collect(settings: Settings, options: argparse.Namespace) -> list[Finding]:
    gateway = Gateway(settings)
    findings = []
    try:
        async with aclosing(walk(gateway, options)) as steps:
            async for finding in steps:
                findings.append(finding)
                if finding.state == "broken":
                    break
    finally:
        await gateway.close_connections()
    return findings


async def walk(gateway: Gateway, options: argparse.Namespace) -> AsyncGenerator[Finding]:
    """The findings in order."""
    try:
        async with aclosing(_walk(gateway, options)) as steps:
            async for finding in steps:
                yield finding
    except Refusal as refusal:
        yield Finding(LINK_OF_REASON[refusal.reason], "broken", f"{refusal.reason}: {refusal.message}")


async def _walk(gateway: Gateway, options: argparse.Namespace) -> AsyncGenerator[Finding]:
    await gateway.tokens.warm()
    for issuer in gateway.tokens.status():
        if issuer.keys:
            yield Finding("issuer", "ok", f"{issuer.name} ({issuer.issuer}): keys are at hand")
        else:
            yield Finding(
                "issuer",
                "broken",
                f"{issuer.name} ({issuer.issuer}): {issuer.failure}",
                "look at its `keys` and at the network policy",
            )
    if options.token_file is None and not options.dag:
        yield Finding("token", "note", "name a token with --token-file, or a DAG with --dag, to walk on")
        return
    if options.token_file is None:
        yield Finding("token", "note", f"none was named: the walk goes on as if one for '{options.dag}' were verified")
        identity = _assumed(options.dag)
    else:
        token = _token_of(options.token_file)
        if isinstance(token, Finding):
            yield token
            return
        subject = await gateway.tokens.verify(token_in({b"x-dag-token": token}))
        yield Finding("token", "ok", f"subject '{subject.subject}' of issuer '{subject.issuer}'")
        claimed = Claimed(dag_id=options.dag or "")
        identity = bind(subject, claimed, gateway.current.workloads, gateway.current.dag_of_key)
        yield Finding("dag", "ok", f"speaks for '{identity.dag_id}' ({identity.evidence}, by {identity.source})")
    yield Finding("gateway", "ok", f"policies {gateway.current.digest[:12]} are loaded")
    if not options.table:
        yield Finding("policy", "note", "name a table with --table to walk on")
        return
    operation = read_operation(f"DynamoDB_20120810.{options.operation}".encode(), probe(options.operation, options.table))
    decision = gateway.current.decide(identity, operation, time.time())
    principal = decision.granted_role()
    if decision.would_deny is None:
        yield Finding("policy", "ok", f"{options.operation} on '{options.table}' is allowed by {decision.rule}")
    else:
        yield Finding("policy", "note", f"let through only while the policy observes: {decision.message}")
    caller = await gateway.sts.caller_identity()
    yield Finding("sts", "ok", f"the gateway itself is {caller.arn}")
    yield await _assume(gateway, principal)
    for finding in await _reach(gateway, principal, operation):
        if finding.link == "table" or finding.state == "broken":  # the others were told above, with what was found
            yield finding


def _token_of(file: Path) -> bytes | Finding:
    try:
        return file.read_bytes()
    except OSError as error:
        return Finding("token", "broken", f"{file} cannot be read: {error.strerror}", "look at its path, mount and mode")


def _assumed(dag_id: str) -> Identity:
    """A verified identity that nobody proved, to judge the rest of the chain by."""
    nobody = Subject("doctor", "doctor", {}, ("*",), time.time() + 60, "")
    return Identity(nobody, dag_id, Evidence.VERIFIED, "claim", "")


async def _assume(gateway: Gateway, principal: Principal) -> Finding:
    credentials = await gateway.roles.credentials_for(principal)
    minutes = int((credentials.expires_at - time.time()) / 60)
    return Finding("role", "ok", f"{principal.role_arn} as session '{principal.session_name}', for {minutes} min")


async def _reach(gateway: Gateway, principal: Principal, operation: Operation) -> list[Finding]:
    """Send the probe, which can do no harm (see `proxy.worker.chain.probe`), and judge the answer."""
    credentials = await gateway.roles.credentials_for(principal)
    pool = gateway.upstreams.pool_of(principal.region, operation.plane)
    request = signed_request(pool.endpoint, operation.target.encode(), operation.body, credentials, time.time())
    reply = await pool.send(request, is_write=False, sent=lambda: None)
    error = summarise(operation, reply).error
    message = reply.body[:500].decode("utf-8", "replace") if reply.status != 200 else ""
    return judge_answer(reply.status, "", error, message, operation.table)
