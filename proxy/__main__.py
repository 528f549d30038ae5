"""The command line: `dynamodb-proxy serve | check | token | doctor`.

Parsed with argparse, for the base distribution goes into Airflow workers without a single dependency. Each command imports
what it needs only when it runs; the gateway's commands need the `[server]` extra and say so where it is missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from proxy import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_ERROR = 2


def parser() -> argparse.ArgumentParser:
    """The whole command line, as the README's table of commands is made from it."""
    top = argparse.ArgumentParser(prog="dynamodb-proxy", description="Identity-aware gateway between Airflow and DynamoDB.")
    top.add_argument("--version", action="version", version=f"dynamodb-proxy {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the gateway")
    _add_config(serve)
    serve.add_argument("--workers", type=int, metavar="N", help="processes of the data plane; beats the setting `workers`")

    check = commands.add_parser("check", help="validate policies and run the tests that they carry, offline")
    check.add_argument("policies", type=Path, nargs="?", default=Path("policies"), help="folder or file (default: policies)")

    token = commands.add_parser("token", help="on a worker: print its token as a `credential_process` of the AWS SDKs")
    token.add_argument("--file", type=Path, required=True, metavar="FILE", help="the file that holds the token")

    doctor = commands.add_parser(
        "doctor", help="walk from token to table and name the first broken link, on a worker or in the gateway"
    )
    doctor.add_argument("--config", type=Path, metavar="FILE", help="the gateway's settings: walk inside the gateway")
    doctor.add_argument(
        "--endpoint",
        metavar="URL",
        help="the gateway's address as this worker sees it (default: from the AWS_ENDPOINT_URL variables)",
    )
    doctor.add_argument(
        "--token-file", type=Path, metavar="FILE", help="the worker's token (default: where the AWS variables say)"
    )
    doctor.add_argument("--dag", metavar="DAG_ID", help="the DAG to speak for, where the token names none")
    doctor.add_argument("--table", metavar="NAME", help="a table to reach, by its real name")
    doctor.add_argument(
        "--operation",
        default="GetItem",
        metavar="NAME",
        help="what to try on it: GetItem, Query, PutItem, ... (default: GetItem)",
    )
    return top


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings file (default: $DDB_PROXY_CONFIG, else ./proxy.yaml, else variables only)",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 the answer is no, 2 it could not be tried."""
    options = parser().parse_args(arguments)
    if options.command == "token":
        from proxy.worker.token import hand_over

        return hand_over(options.file, sys.stdout)
    if options.command == "doctor" and options.config is None:
        from proxy.worker.doctor import examine_worker

        return examine_worker(options, sys.stdout)
    if importlib.util.find_spec("yaml") is None or importlib.util.find_spec("httptools") is None:
        print(f"dynamodb-proxy {options.command} runs in the gateway: pip install 'dynamodb-proxy[server]'", file=sys.stderr)
        return USAGE_ERROR
    return _run_in_gateway(options)


def _run_in_gateway(options: argparse.Namespace) -> int:
    if options.command == "check":
        return check(options.policies)
    from proxy.settings import SettingsError, load_settings, settings_path

    if options.command == "serve" and options.workers is not None:
        os.environ["DDB_PROXY_WORKERS"] = str(options.workers)  # one spelling for this process and the workers that it starts
    path = settings_path(options.config)
    try:
        settings = load_settings(path, os.environ)
    except SettingsError as error:
        print(f"{len(error.lines)} mistake(s) in the settings; nothing was started", file=sys.stderr)
        print("\n".join(f"  {line}" for line in error.lines), file=sys.stderr)
        return USAGE_ERROR
    if options.command == "doctor":
        from proxy.doctor import examine_gateway

        return examine_gateway(settings, options, sys.stdout)
    if path is not None:
        os.environ["DDB_PROXY_CONFIG"] = str(path)
    from proxy.app import serve

    return serve(settings)


def check(policies: Path) -> int:
    """Validate policies and run their tests for every environment. Returns 0 if all is well, 1 if not."""
    from proxy.policy.check import check_policies
    from proxy.policy.store import PolicyError, policy_texts

    try:
        files = policy_texts(policies)
    except PolicyError as error:
        print("\n".join(error.lines), file=sys.stderr)
        return USAGE_ERROR
    report = check_policies(files, now=time.time())
    for line in report.lines():
        print(line)
    passed = sum(outcome.is_passed for outcome in report.outcomes)
    print(f"{len(files)} file(s), {len(report.mistakes.errors)} mistake(s), {passed} of {len(report.outcomes)} tests pass")
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
