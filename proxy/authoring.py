"""The commands of those who write policies: check, explain, diff, init, schema. Files in, text out; nothing is served.

Exit status: 0 good (nothing changes; it is allowed), 1 not, 2 it could not be tried.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from proxy.given_files import CannotTry, given_policies, opened, parsed, table_names
from proxy.policy.check import Report, check_policies
from proxy.policy.cloudtrail import draft_from_cloudtrail, read_trail
from proxy.policy.described import Description, Misdescribed, identity_in, request_of
from proxy.policy.diff import diff_policies
from proxy.policy.diff_report import render_diff
from proxy.policy.explain import explain
from proxy.policy.iam import draft_from_iam, read_sources
from proxy.policy.lint import lint
from proxy.policy.recorded import diff_traffic, read_records
from proxy.policy.report import render_check, warnings_in
from proxy.policy.schema import schema_text
from proxy.policy.store import PolicyError, policies_of
from proxy.refusal import Refusal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from proxy.model import Identity, Operation
    from proxy.policy.recorded import TrafficChange
    from proxy.policy.rules import Policies
    from proxy.settings import Settings

GOOD, NOT_GOOD, UNTRIED = 0, 1, 2


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Run the command that `options` name. Returns the exit status."""
    try:
        return _COMMANDS[options.command](options, out)
    except (CannotTry, PolicyError) as error:
        print("\n".join(error.lines), file=sys.stderr)
    except Misdescribed as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename}: cannot be read: {error.strerror}", file=sys.stderr)
    return UNTRIED


# ------------------------------------------------------------------------------------------- check and schema


def _check(options: argparse.Namespace, out: TextIO) -> int:
    files = given_policies(options.policies)
    tables = table_names(options.tables) if options.tables else ()
    report = check_policies(files, now=time.time())
    findings = lint(report.document, report.snapshots, tables) if report.snapshots else []
    out.write(render_check(report, findings, len(files), options.format))
    is_good = report.is_good and not (options.strict and warnings_in(report, findings))
    return GOOD if is_good else NOT_GOOD


def _schema(options: argparse.Namespace, out: TextIO) -> int:  # noqa: ARG001 - every command has one signature
    out.write(schema_text())
    return GOOD


# ------------------------------------------------------------------------------------------------- diff


def _diff(options: argparse.Namespace, out: TextIO) -> int:
    now = time.time()
    old, new = _checked(options.old), _checked(options.new)
    difference = diff_policies(old.snapshots, new.snapshots, now)
    traffic = _traffic(options, old, new) if options.audit else []
    out.write(render_diff(difference, traffic, options.format))
    return GOOD if difference.is_empty and not traffic else NOT_GOOD


def _checked(folder: Path) -> Report:
    """A version of the policies, by the files' own names: two folders are never called alike."""
    texts = {Path(name).name: text for name, text in given_policies(folder).items()}
    report = check_policies(texts)
    if not report.snapshots:
        raise CannotTry(f"{folder}: cannot be compared, for it does not load", *(f"  {line}" for line in report.mistakes.lines()))
    return report


def _traffic(options: argparse.Namespace, old: Report, new: Report) -> list[tuple[str, TrafficChange]]:
    with opened(options.audit) as lines:
        name = options.environment
        if name is None:
            known = {policies.environment for policies in (*old.snapshots, *new.snapshots)}
            name = next(iter(known)) if len(known) == 1 else _environment_in(options.audit)
        before, after = (_snapshot(report, name) for report in (old, new))
        return [(name, change) for change in diff_traffic(read_records(lines), before, after)]


def _snapshot(report: Report, name: str) -> Policies:
    for policies in report.snapshots:
        if policies.environment == name:
            return policies
    known = ", ".join(policies.environment for policies in report.snapshots)
    raise CannotTry(f"there is no environment `{name}` in both versions (known: {known}); name it with --environment")


def _environment_in(audit: Path) -> str:
    """The environment that the gateway said it serves when it started."""
    with opened(audit) as lines:
        for line in lines:
            if '"record":"event"' in line and (name := _environment_of(line)):
                return name
    raise CannotTry(f"{audit}: does not say of which environment it is; name it with --environment")


def _environment_of(line: str) -> str:
    """What one record of an event says of it; empty for others, and for lines that were cut."""
    try:
        return str(json.loads(line)["details"]["environment"] or "")
    except (KeyError, TypeError, ValueError):
        return ""


# ------------------------------------------------------------------------------------------------- init


def _init(options: argparse.Namespace, out: TextIO) -> int:
    if options.from_cloudtrail:
        events = chain.from_iterable(parsed(file, read_trail) for file in options.from_cloudtrail)
        draft = draft_from_cloudtrail(events)
    else:
        tables = table_names(options.tables) if options.tables else ()
        draft = draft_from_iam(chain.from_iterable(parsed(file, read_sources) for file in options.from_iam), tables)
    out.write(draft.render())
    return GOOD


# ---------------------------------------------------------------------------------------------- explain


def _explain(options: argparse.Namespace, out: TextIO) -> int:
    if options.decision:
        _check_decision_id(options.decision)
    settings = _settings(options)
    folder = options.policies or (settings.policies if settings else Path("policies"))
    texts = given_policies(folder)
    environment = options.environment or (settings.environment if settings else "") or _only_environment(texts)
    policies = policies_of(texts, environment, settings.aws_region if settings else "us-east-1")
    if options.decision:
        return _explain_decision(options, settings, policies, out)
    from proxy.inquiry import moment_of

    try:
        identity, operation = _asked(options, settings, policies)
    except Refusal as refusal:
        _print({"verdict": "denied", "reason": str(refusal.reason), "message": refusal.message}, [
            f"denied: {refusal.reason}, before any rule is asked", f"  {refusal.message}",
        ], options, out)  # fmt: skip
        return NOT_GOOD
    explanation = explain(policies, identity, operation, moment_of(options.at))
    _print(explanation.document(), explanation.lines(), options, out)
    return GOOD if explanation.verdict in ("allowed", "observed") else NOT_GOOD


def _print(document: dict[str, Any], lines: list[str], options: argparse.Namespace, out: TextIO) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False) if options.format == "json" else "\n".join(lines)
    out.write(text + "\n")


def _settings(options: argparse.Namespace) -> Settings | None:
    """The gateway's settings where they are named, or needed; None where the options say all, or there is no file of settings."""
    from proxy.settings import SettingsError, load_settings, settings_path

    is_all_said = options.policies and not options.token and (options.audit or not options.decision)
    path = options.config if options.config or is_all_said else settings_path(None)
    if path is None:
        if options.token:
            raise CannotTry("a token is judged by the gateway's issuers; name its settings with --config")
        return None
    try:
        return load_settings(path, os.environ)
    except SettingsError as error:
        raise CannotTry(*error.lines) from None


def _only_environment(texts: dict[str, str]) -> str:
    from proxy.policy.document import read_document
    from proxy.yaml_source import Mistakes

    known = read_document(texts, Mistakes()).platform.environments
    if len(known) > 1:
        raise CannotTry(f"the policies have several environments; name one with --environment: {', '.join(known)}")
    return next(iter(known), "")


def _check_decision_id(text: str) -> None:
    """What `check` takes as the policies is taken as an id here."""
    from proxy.inquiry import DECISION_ID

    if not DECISION_ID.fullmatch(text):
        meant = "it has 16 digits and letters, at the end of the refusal's message"
        hint = "name a folder with --policies" if Path(text).exists() else meant
        raise CannotTry(f"`{text}` is no decision id; {hint}")


def _explain_decision(options: argparse.Namespace, settings: Settings | None, policies: Policies, out: TextIO) -> int:
    from proxy.inquiry import recall

    named = options.audit or (Path(settings.audit_path) if settings and settings.audit_path != "-" else None)
    if named is None:
        raise CannotTry("a decision is looked up in the audit; name its file with --audit")
    found = recall(named, options.decision, policies)
    if found is None:
        raise CannotTry(f"{named}: has no decision {options.decision}; it may stand in an older file, or another gateway's")
    _print(found.document(), found.lines(), options, out)
    is_allowed = found.explanation is not None and found.explanation.verdict in ("allowed", "observed")
    return GOOD if is_allowed else NOT_GOOD


def _asked(options: argparse.Namespace, settings: Settings | None, policies: Policies) -> tuple[Identity, Operation]:
    """Who asks and what. Raises Misdescribed, and Refusal as a request of that kind is refused."""
    if not options.dag and not options.token:
        raise Misdescribed("name the DAG with --dag, or the token that says it with --token")
    description = _description(options)
    if options.request:
        operation = _operation(options)
    elif options.operation:
        _, operation = request_of(description, policies)
    else:
        raise Misdescribed("name the operation with --operation, or a file with a request with --request")
    if options.token and settings:
        return asyncio.run(_identity(options, settings, policies)), operation
    return identity_in(description), operation


def _description(options: argparse.Namespace) -> Description:
    return Description(
        dag=options.dag or "",
        operation=options.operation,
        table=options.table,
        index=options.index,
        key=options.key,
        attributes=tuple(name.strip() for name in options.attributes.split(",")) if options.attributes else None,
        returns=options.returns,
        task=options.task,
        run=options.run,
        claims=_claims(options),
        is_verified=options.evidence == "verified",
        limit=options.limit,
        segments=options.segments,
        has_condition=options.condition,
        is_new=options.new_item,
        has_client_token=options.client_token,
    )


def _claims(options: argparse.Namespace) -> dict[str, str]:
    for text in options.claim:
        if not text.partition("=")[1]:
            raise Misdescribed(f"`{text}` is no claim; write --claim NAME=VALUE")
    return dict(text.split("=", 1) for text in options.claim)


def _operation(options: argparse.Namespace) -> Operation:
    """A request from a file: its body, or an object with `operation` (or `target`) and `body`."""
    from proxy.inquiry import operation_of_request

    try:
        document = json.loads(options.request.read_text(encoding="utf-8"))
    except ValueError:
        raise CannotTry(f"{options.request}: is not JSON; write the request's body, or {{operation: ..., body: ...}}") from None
    name = options.operation
    if isinstance(document, dict) and "body" in document and not document.keys() - {"operation", "target", "body"}:
        name = name or str(document.get("target") or document.get("operation") or "")
        document = document["body"]
    if not name:
        raise Misdescribed("the file has a body and no operation; name it with --operation")
    return operation_of_request(name, document)


async def _identity(options: argparse.Namespace, settings: Settings, policies: Policies) -> Identity:
    """Whom the token proves, bound to a DAG as a request would be."""
    from proxy.identity.binding import bind
    from proxy.identity.verifier import TokenVerifier
    from proxy.model import Claimed

    verifier = TokenVerifier(settings.issuers)
    try:
        subject = await verifier.verify(options.token.read_bytes().strip())
    finally:
        await verifier.close()
    claimed = Claimed(dag_id=options.dag or "", task_id=options.task, run_id=options.run)
    return bind(subject, claimed, policies.workloads, policies.dag_of_key)


_COMMANDS: dict[str, Callable[[argparse.Namespace, TextIO], int]] = {
    "check": _check,
    "diff": _diff,
    "explain": _explain,
    "init": _init,
    "schema": _schema,
}
