"""The command line: `dynamodb-proxy serve | check | explain | diff | init | schema | token | doctor`.

Parsed with argparse, for the base distribution goes into Airflow workers without a single dependency. Each command imports
what it needs only when it runs; the gateway's commands need the `[server]` extra and say so where it is missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from proxy import __version__
from proxy.worker.chain import PROBES

if TYPE_CHECKING:
    from collections.abc import Sequence

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

USAGE_ERROR = 2


def parser() -> argparse.ArgumentParser:
    """The whole command line, as the README's table of commands is made from it."""
    top = argparse.ArgumentParser(prog="dynamodb-proxy", description="Identity-aware gateway between Airflow and DynamoDB.")
    top.add_argument("--version", action="version", version=f"dynamodb-proxy {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the gateway")
    _add_config(serve)
    serve.add_argument("--workers", type=int, metavar="N", help="processes of the data plane; beats the setting `workers`")

    _add_check(commands)
    _add_explain(commands)
    _add_diff(commands)
    _add_init(commands)
    commands.add_parser("schema", help="print the JSON Schema of policy files, for editors")

    _add_token(commands)

    doctor = commands.add_parser(
        "doctor", help="walk from token to table and name the first broken link, on a worker or in the gateway"
    )
    doctor.add_argument("--config", type=Path, metavar="FILE", help="the gateway's settings: walk inside the gateway")
    doctor.add_argument(
        "--endpoint",
        metavar="URL",
        help="the gateway's address as this worker sees it (default: DDB_PROXY_URL, else the AWS_ENDPOINT_URL variables)",
    )
    doctor.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the worker's token (default: DDB_PROXY_TOKEN_FILE, else as AWS's variables say)",
    )
    doctor.add_argument("--dag", metavar="DAG_ID", help="the DAG to speak for, where the token names none")
    doctor.add_argument("--table", metavar="NAME", help="a table to reach, by its real name")
    doctor.add_argument(
        "--operation",
        default="GetItem",
        choices=PROBES,
        help="what to try on it (default: GetItem)",
    )
    return top


def _add_token(commands: Commands) -> None:
    token = commands.add_parser("token", help="on a worker: print its token as a `credential_process` of the AWS SDKs")
    source = token.add_mutually_exclusive_group(required=True)
    source.add_argument("--file", type=Path, metavar="FILE", help="a file that holds the token and is renewed by others")
    source.add_argument("--oidc-issuer", metavar="URL", help="a provider: client credentials with private_key_jwt")
    source.add_argument("--aws-web-identity", action="store_true", help="AWS STS: a token for the worker's own role")
    texts = {
        "client-id": "with --oidc-issuer: how the provider calls this worker",
        "key-id": "the `kid` of the key, where the provider wants one",
        "assertion-audience": "the `aud` of the signed assertion (default: the provider's token endpoint)",
        "scope": "sent to the provider, such as Entra's <app id>/.default",
        "resource": "sent to the provider (RFC 8707)",
        "audience": "sent to the provider (Auth0); with --aws-web-identity the token's `aud`",
        "region": "with --aws-web-identity: whose STS is asked",
        "profile": "with --aws-web-identity: the AWS profile that has the worker's own credentials",
        "endpoint-url": "with --aws-web-identity: the endpoint of STS",
    }
    for name, meaning in texts.items():
        token.add_argument(f"--{name}", metavar=name.upper(), help=meaning)
    files = {
        "key": "with --oidc-issuer: the private key, PEM",
        "certificate": "its certificate, where the provider finds the key by that (Entra)",
        "ca-file": "PEM bundle for the provider (default: the system's)",
        "cache": "where the token is kept until the next, mode 0600 (default: in ~/.cache/dynamodb-proxy)",
    }
    for name, meaning in files.items():
        token.add_argument(f"--{name}", type=Path, metavar="FILE", help=meaning)
    token.add_argument("--algorithm", choices=("RS256", "PS256", "ES256", "ES384"), help="default: RS256; of AWS ES384")
    token.add_argument("--seconds", type=int, default=3600, metavar="N", help="with --aws-web-identity: life (default: 3600)")


def _add_check(commands: Commands) -> None:
    check = commands.add_parser("check", help="validate and lint policies, and run the tests that they carry, offline")
    check.add_argument("policies", type=Path, nargs="?", default=Path("policies"), help="folder or file (default: policies)")
    check.add_argument(
        "--tables",
        type=Path,
        metavar="FILE",
        help="names of real tables (one a line, or what ListTables answers) to compare with",
    )
    check.add_argument("--strict", action="store_true", help="warnings are failures too")
    check.add_argument("--format", choices=("text", "json", "github"), default="text", help="how to tell (default: text)")


def _add_explain(commands: Commands) -> None:
    explain = commands.add_parser("explain", help="why a request is allowed or refused, rule by rule, and the nearest change")
    explain.add_argument("decision", nargs="?", metavar="DECISION-ID", help="the id at the end of a refusal, with --audit")
    explain.add_argument("--policies", type=Path, metavar="PATH", help="folder or file (default: the settings', else policies)")
    explain.add_argument(
        "--environment", metavar="NAME", help="which of platform.yaml's (default: the settings', or the only one)"
    )
    explain.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the gateway's settings (default: serve's, unless --policies says all); without any, tables are in us-east-1",
    )
    explain.add_argument("--audit", type=Path, metavar="FILE", help="audit file that has the decision (default: the settings')")
    explain.add_argument("--token", type=Path, metavar="FILE", help="a token that says who asks; with --config")
    explain.add_argument("--request", type=Path, metavar="FILE", help="a request's body as JSON, or {operation, body}")
    texts = {
        "dag": "who asks",
        "operation": "PutItem, Query, ...: the action, or with --request the operation",
        "table": "its real name, or the one in the DAG's file",
        "index": "the index that is read",
        "key": "value of the partition key; without it the request proves none",
        "attributes": "names that the request names and brings back, parted by commas; a read without it brings whole items",
        "returns": "ReturnValues",
        "task": "task id",
        "run": "run id",
        "at": "when, as 2026-11-30T18:00Z (default: now)",
    }
    for name, meaning in texts.items():
        default = None if name in ("dag", "key", "attributes") else ""
        explain.add_argument(f"--{name}", metavar=name.upper(), default=default, help=meaning)
    explain.add_argument("--claim", action="append", default=[], metavar="NAME=VALUE", help="a verified claim; may come again")
    explain.add_argument("--evidence", choices=("verified", "claimed"), default="verified", help="how the DAG is known")
    explain.add_argument("--limit", type=int, metavar="N", help="Limit")
    explain.add_argument("--segments", type=int, default=1, metavar="N", help="TotalSegments")
    explain.add_argument("--condition", action="store_true", help="the write is conditional")
    explain.add_argument("--new-item", action="store_true", help="a condition proves that there is no item yet")
    explain.add_argument("--client-token", action="store_true", help="it has a ClientRequestToken")
    explain.add_argument("--format", choices=("text", "json"), default="text", help="how to tell (default: text)")


def _add_diff(commands: Commands) -> None:
    diff = commands.add_parser("diff", help="which decisions two versions of the policies make otherwise, and for which traffic")
    diff.add_argument("old", type=Path, help="folder or file as it was")
    diff.add_argument("new", type=Path, help="folder or file as it will be")
    diff.add_argument("--audit", type=Path, metavar="FILE", help="audit file: recorded requests that would be decided otherwise")
    diff.add_argument("--environment", metavar="NAME", help="environment of the audit file (default: as it says itself)")
    diff.add_argument("--format", choices=("text", "markdown", "json"), default="text", help="how to tell (default: text)")


def _add_init(commands: Commands) -> None:
    init = commands.add_parser("init", help="draft a first policy from CloudTrail's data events or from IAM policies")
    source = init.add_mutually_exclusive_group(required=True)
    source.add_argument("--from-cloudtrail", type=Path, nargs="+", metavar="FILE", help="event files: JSON, JSON lines, .gz")
    source.add_argument(
        "--from-iam", type=Path, nargs="+", metavar="FILE", help="policy documents, or get-account-authorization-details"
    )
    init.add_argument("--tables", type=Path, metavar="FILE", help="names of real tables, for wildcards in ARNs")


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
        from proxy.worker.token import fetch_over, hand_over

        return hand_over(options.file, sys.stdout) if options.file else fetch_over(vars(options), sys.stdout)
    if options.command == "doctor" and options.config is None:
        from proxy.worker.doctor import examine_worker

        return examine_worker(options, sys.stdout)
    if importlib.util.find_spec("yaml") is None or importlib.util.find_spec("httptools") is None:
        print(f"dynamodb-proxy {options.command} runs in the gateway: pip install 'dynamodb-proxy[server]'", file=sys.stderr)
        return USAGE_ERROR
    return _run_in_gateway(options)


def _run_in_gateway(options: argparse.Namespace) -> int:
    if options.command in ("check", "explain", "diff", "init", "schema"):
        from proxy.authoring import run

        return run(options, sys.stdout)
    from proxy.settings import SettingsError, load_settings, settings_path

    if options.command == "serve" and options.workers is not None:
        os.environ["DDB_PROXY_WORKERS"] = str(options.workers)  # one spelling for this process and the workers that it starts
    path = settings_path(options.config)
    try:
        settings = load_settings(path, os.environ)
    except SettingsError as error:
        print(f"{len(error.lines)} mistake(s) in the settings; nothing was started", file=sys.stderr)
        if path is None:
            print("  no ./proxy.yaml is here; name the settings file with --config", file=sys.stderr)
        print("\n".join(f"  {line}" for line in error.lines), file=sys.stderr)
        return USAGE_ERROR
    if options.command == "doctor":
        from proxy.doctor import examine_gateway

        return examine_gateway(settings, options, sys.stdout)
    if path is not None:
        os.environ["DDB_PROXY_CONFIG"] = str(path)
    from proxy.app import serve

    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
