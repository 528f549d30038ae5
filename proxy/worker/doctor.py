"""`dynamodb-proxy doctor` on a worker: what would boto3 do here, and how far does its request come?

First the worker's own traps (variables, `~/.aws`, HTTP_PROXY), then the token by itself, then the gateway is asked
(`proxy.worker.asking`). Standard library only; prints no token.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from proxy.worker.asking import ask_gateway
from proxy.worker.chain import Finding, print_findings
from proxy.worker.profile import endpoint_of_profile, stale_profile, token_of_profile
from proxy.worker.recipe import examine_recipe
from proxy.worker.switch import TOKEN_FILE, URL, SwitchError, is_loopback, problem_of_endpoint, read_switch
from proxy.worker.times import span
from proxy.worker.wire import claims_of, expiry_of, flaw_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from typing import TextIO

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")
# Where the AWS SDKs look for a token, with the words for it.
TOKEN_FILE_VARIABLES = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE")


class TokenSource(NamedTuple):
    """A token as found, and where."""

    text: str
    where: str


def examine_worker(options: argparse.Namespace, out: TextIO) -> int:
    """Walk and print. Exit status 0 if the whole chain holds, 1 at the first broken link."""
    return print_findings(walk(options, os.environ), out)


def walk(options: argparse.Namespace, environment: Mapping[str, str]) -> Iterator[Finding]:
    """The findings in order; the reader stops at the first that is broken."""
    if not options.endpoint and environment.get(URL):
        yield from walk_plugin(options, environment)
        return
    endpoint, where = find_endpoint(options.endpoint, environment)
    if not endpoint:
        yield Finding("worker", "broken", "no endpoint: boto3 would go straight to AWS", f"set {URL} to the gateway's address")
        return
    if problem := problem_of_endpoint(endpoint):
        yield Finding("worker", "broken", f"{where}: {problem}", "write the gateway's address, for example http://127.0.0.1:8080")
        return
    yield from traps(endpoint, environment, explicit_token=options.token_file is not None)
    yield Finding("worker", "ok", f"DynamoDB calls go to {endpoint} ({where})")
    source = find_token(options.token_file, environment)
    if isinstance(source, Finding):
        yield source
        return
    yield from examine_token(source, time.time())
    yield from ask_gateway(endpoint, source.text.strip(), options)


def walk_plugin(options: argparse.Namespace, environment: Mapping[str, str]) -> Iterator[Finding]:
    """The walk where the plugin's variable is set: what botocore alone would do does not matter then."""
    try:
        switch = read_switch(environment)
    except SwitchError as error:
        yield Finding("worker", "broken", str(error), "see `Plugin` in the README")
        return
    if switch is None:  # white space only
        yield Finding("worker", "broken", f"{URL} is empty", "set it to the gateway's address")
        return
    if not is_loopback(urlsplit(switch.url).hostname or ""):
        yield from proxied(switch.url, environment)
    yield from examine_recipe(switch, environment, connections(environment))
    where = TOKEN_FILE if environment.get(TOKEN_FILE) else f"{TOKEN_FILE}'s default"
    source = token_in_file(options.token_file or switch.token_file, "--token-file" if options.token_file else where)
    if isinstance(source, Finding):
        yield source
        return
    source = source._replace(text=source.text.strip())  # as the plugin reads it
    yield from examine_token(source, time.time())
    yield from ask_gateway(switch.url, source.text, options)


# ------------------------------------------------------------------------------------------- this worker


def find_endpoint(given: str | None, environment: Mapping[str, str]) -> tuple[str, str]:
    """(URL, where it was found); empty strings where nothing names one."""
    if given:
        return given, "--endpoint"
    for variable in ENDPOINT_VARIABLES:
        if environment.get(variable):
            return environment[variable], variable
    for name, extra in connections(environment):
        service = extra.get("service_config", {}).get("dynamodb", {}) if isinstance(extra.get("service_config"), dict) else {}
        found = service.get("endpoint_url") or extra.get("endpoint_url")
        if isinstance(found, str) and found:
            return found, f"{name}, extra"
    return endpoint_of_profile(environment, profile_of(environment))


def connections(environment: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Airflow's AWS connections that are given by variables in JSON form: (variable, extra)."""
    for name, value in sorted(environment.items()):
        if name.startswith("AIRFLOW_CONN_") and value.lstrip().startswith("{"):
            try:
                connection = json.loads(value)
                extra = connection.get("extra") or {}
                extra = json.loads(extra) if isinstance(extra, str) else extra
            except ValueError:
                continue
            if connection.get("conn_type") == "aws" and isinstance(extra, dict):
                yield name, extra | {"_password": connection.get("password"), "_login": connection.get("login")}


def traps(endpoint: str, environment: Mapping[str, str], *, explicit_token: bool) -> Iterator[Finding]:
    """What silently takes boto3 elsewhere."""
    if environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        yield Finding(
            "worker", "broken", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true: boto3 ignores the endpoint variable", "unset it"
        )
    yield from proxied(endpoint, environment)
    if not explicit_token and not environment.get("AWS_ACCESS_KEY_ID"):
        section, key = stale_profile(environment, profile_of(environment))
        if section:
            yield Finding(
                "worker",
                "broken",
                f"{section} holds {key}: it wins over the gateway's token, so requests are signed with that",
                f"remove {key} there, or point AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE at empty files",
            )


def proxied(endpoint: str, environment: Mapping[str, str]) -> Iterator[Finding]:
    """A proxy of the environment that would stand before the gateway."""
    url = urlsplit(endpoint)
    host, port = url.hostname or "", url.port
    if variable_of(f"{url.scheme}_proxy", environment) and not bypasses_proxy(host, port, variable_of("no_proxy", environment)):
        yield Finding(
            "worker",
            "broken",
            f"{url.scheme.upper()}_PROXY is set and NO_PROXY does not hold {host}: requests go to that proxy, not to the gateway",
            f"add {host} to NO_PROXY",
        )


def variable_of(name: str, environment: Mapping[str, str]) -> str:
    """A proxy variable as Python reads it: the lower-case spelling wins, also when it is empty."""
    return environment[name] if name in environment else environment.get(name.upper(), "")


def bypasses_proxy(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether NO_PROXY keeps requests to the host from the proxy, by the rules of Python's urllib, which botocore follows."""
    if no_proxy == "*":
        return True
    for entry in filter(None, (part.strip().lower().lstrip(".") for part in no_proxy.split(","))):
        for name in (host.lower(), f"{host.lower()}:{port}"):
            if name == entry or name.endswith("." + entry):
                return True
    return False


def profile_of(environment: Mapping[str, str]) -> str:
    """The profile that boto3 takes here: the variable's, else that of an Airflow connection, else the default one."""
    named = (str(extra["profile_name"]) for _, extra in connections(environment) if extra.get("profile_name"))
    return environment.get("AWS_PROFILE") or next(named, "default")


# --------------------------------------------------------------------------------------------- the token


def find_token(given: Path | None, environment: Mapping[str, str]) -> TokenSource | Finding:
    """The token that boto3 would send, or the finding that there is none."""
    if given is None and environment.get("AWS_ACCESS_KEY_ID"):
        if environment.get("AWS_SESSION_TOKEN"):
            return TokenSource(environment["AWS_SESSION_TOKEN"], "AWS_SESSION_TOKEN")
        prefix = environment["AWS_ACCESS_KEY_ID"][:4]
        return Finding(
            "token",
            "broken",
            f"AWS_ACCESS_KEY_ID ({prefix}...) is set without AWS_SESSION_TOKEN: boto3 signs with AWS keys",
            "unset the keys, or set AWS_SESSION_TOKEN to the token",
        )
    path = given
    where = "--token-file"
    for variable in TOKEN_FILE_VARIABLES:
        if path is None and environment.get(variable):
            path, where = Path(environment[variable]), variable
    if path is not None:
        return token_in_file(path, where)
    for name, extra in connections(environment):
        if isinstance(extra.get("aws_session_token"), str):
            if not extra.get("_login") or not extra.get("_password"):
                return Finding(
                    "token", "broken", f"{name} has aws_session_token but no login and password", "give both; any text will do"
                )
            return TokenSource(extra["aws_session_token"], f"{name}, aws_session_token")
    said, where = token_of_profile(environment, profile_of(environment))
    if said:
        return token_in_file(said, where) if isinstance(said, Path) else TokenSource(said, where)
    return Finding("token", "broken", "no token found where boto3 looks", "name it with --token-file, or set AWS_SESSION_TOKEN")


def token_in_file(path: Path, where: str) -> TokenSource | Finding:
    """The text of a token file, or the finding that it cannot be read."""
    try:
        return TokenSource(path.read_text(encoding="utf-8"), f"{path} ({where})")
    except (OSError, UnicodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not text"
        return Finding("token", "broken", f"{path} ({where}) cannot be read: {cause}", "look at the volume mount and its mode")


def examine_token(source: TokenSource, now: float) -> Iterator[Finding]:
    """What the token says by itself; the gateway checks the signature."""
    text = source.text
    if text != text.strip() or any(c.isspace() for c in text) or "\\n" in text:
        yield Finding(
            "token", "broken", f"{source.where} holds a line break or white space", 'write it without: printf %s "$TOKEN" > file'
        )
    if flaw := flaw_of(text):
        fix = "look at who writes it" if not text else "give the worker's OIDC token"
        yield Finding("token", "broken", f"{source.where} is not a JWT ({flaw})", fix)
        return
    claims = claims_of(text) or {}
    facts = f"issuer {claims.get('iss')!r}, audience {claims.get('aud')!r}, subject {claims.get('sub')!r}"
    expires = expiry_of(text)
    left = None if expires is None else expires - now
    if left is not None and left < 0:
        yield Finding(
            "token",
            "broken",
            f"{source.where}: expired {span(-left)} ago; {facts}",
            "get a new one; if it is new, look at this machine's clock",
        )
    remaining = f", {span(left)} left" if left is not None else ""
    yield Finding("token", "note", f"{source.where}: {facts}{remaining}")
