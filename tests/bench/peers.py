"""The gateways that are compared, as their users run them: one process (one worker thread) each, on one processor.

A row is a `Target`: a command, a port, an environment. Configurations are written into the world's folder.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.processes import cpu_seconds, pinned
from tests.bench.wire import body_of, get_item
from tests.bench.world import AUDIENCE, BENCH, ISSUER, REGION, World, settings_of
from tests.stack.environments import python_of
from tests.stack.process import Program, free_port, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TARGET_CPU = 0
_CALM_SECONDS = 0.5
_KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzE" + "A" * 300,
}


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway to be measured."""

    name: str
    command: list[str]
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    audit: Path | None = None  # its audit log, if it has one

    @property
    def url(self) -> str:
        """Where the load goes."""
        return f"http://127.0.0.1:{self.port}/"


@dataclass(frozen=True, slots=True)
class Started:
    """A target that runs, and the seconds from its start to its first signed answer."""

    target: Target
    program: Program
    first_answer: float


@contextlib.contextmanager
def started(target: Target, world: World, cpu: int | None = TARGET_CPU) -> Iterator[Started]:
    """Run a target until the block ends; `cpu` None lets it use every processor."""
    token = world.token()
    began = time.monotonic()
    command = [*(pinned(cpu) if cpu is not None else ()), *target.command]
    folder = world.folder / "logs"
    with running(target.name, command, folder, env=target.env, ready=lambda _: ask(target.port, token)[0] == 200) as program:
        first_answer = time.monotonic() - began
        _settle(program.process.pid)
        yield Started(target, program, first_answer)


def _settle(pid: int) -> None:
    """Wait until what goes on after a start (imports, first keys) is over: it is no cost of a request."""
    used = 0.0

    def is_calm() -> bool:
        nonlocal used
        before, used = used, cpu_seconds(pid)
        time.sleep(_CALM_SECONDS)
        return used - before <= _CALM_SECONDS * 0.05

    wait_until(is_calm, 60, "the gateway comes to rest")


def ask(port: int, token: str) -> tuple[int, bytes]:
    """Status and body of one GetItem; status 0 where nobody answers."""
    call = get_item()
    headers = {
        "host": "dynamodb.us-east-1.amazonaws.com",
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": f"DynamoDB_20120810.{call[0]}",
        "authorization": f"Bearer {token}",
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/", body_of(call), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


# ------------------------------------------------------------------------------------------------------ ours


def ours(world: World, name: str = "dynamodb-proxy", *, tls: bool = False, **changes: Any) -> Target:
    """Our gateway with its default configuration: identity, policy, signing, metrics and audit are on."""
    folder = world.folder / name
    settings = settings_of(world, folder, tls=tls, **changes)
    config = folder / "proxy.yaml"
    config.write_text(json.dumps(settings, indent=1))
    command = [str(python_of("bench-server")), "-m", "proxy", "serve", "--config", str(config)]
    keys = {"AWS_ACCESS_KEY_ID": "AKIDBASE", "AWS_SECRET_ACCESS_KEY": "hidden-base"}
    return Target(name, command, int(settings["listen"].rpartition(":")[2]), keys, Path(settings["audit"]["path"]))


# ----------------------------------------------------------------------------------------------------- Envoy

_TYPE = "type.googleapis.com/envoy.extensions."
_LUA = """
function envoy_on_request(handle)
  local body = handle:body()
  local text = body and body:getBytes(0, body:length()) or ""
  local table = text:match('"TableName"%s*:%s*"([^"]+)"') or text:match('"RequestItems"%s*:%s*{%s*"([^"]+)"')
  if table ~= "airflow_runs" then handle:respond({[":status"] = "403"}, "denied") end
end"""


def _filter(name: str, kind: str, **config: Any) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{_TYPE}filters.http.{name}.v3.{kind}", **config}}


def _jwt_filter(world: World) -> dict[str, Any]:
    provider = {
        "issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": {"inline_string": world.jwks.read_text()},
        "forward": False, "payload_in_metadata": "jwt", "jwt_cache_config": {"jwt_cache_size": 1000},
    }  # fmt: skip
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "p"}}
    return _filter("jwt_authn", "JwtAuthentication", providers={"p": provider}, rules=[rule])


def _signing_filter() -> dict[str, Any]:
    credential = {
        "access_key_id": _KEYS["AWS_ACCESS_KEY_ID"],
        "secret_access_key": _KEYS["AWS_SECRET_ACCESS_KEY"],
        "session_token": _KEYS["AWS_SESSION_TOKEN"],
    }
    unsigned = ("amz-sdk", "x-forwarded", "x-envoy", "user-agent", "accept", "x-request-id")
    return _filter(
        "aws_request_signing", "AwsRequestSigning", service_name="dynamodb", region=REGION,
        host_rewrite=f"dynamodb.{REGION}.amazonaws.com", match_excluded_headers=[{"prefix": name} for name in unsigned],
        credential_provider={"custom_credential_provider_chain": True, "inline_credential": credential},
    )  # fmt: skip


def _envoy_config(world: World, port: int, admin: int, *, lua: bool, tls: bool) -> dict[str, Any]:
    lua_filter = _filter("lua", "Lua", default_source_code={"inline_string": _LUA})
    filters = [_jwt_filter(world), *([lua_filter] if lua else []), _signing_filter(), _filter("router", "Router")]
    host, _, upstream_port = (world.tls if tls else world.plain).partition(":")
    manager = {
        "@type": f"{_TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "i",
        "http_filters": filters,
        "route_config": {
            "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}]
        },
    }
    endpoint = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(upstream_port)}}}}
    cluster: dict[str, Any] = {
        "name": "up", "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }  # fmt: skip
    if tls:
        trusted = {"validation_context": {"trusted_ca": {"filename": str(world.certificate)}}}
        context = {"@type": f"{_TYPE}transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": trusted}
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    listener = {
        "name": "l",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "per_connection_buffer_limit_bytes": 20971520,
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }
    return {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


def envoy(world: World, name: str, *, lua: bool = False, tls: bool = False) -> Target:
    """Envoy with jwt_authn (its cache on) and aws_request_signing, and a body policy in Lua if wanted; one worker thread."""
    port = free_port()
    config = world.folder / f"{name}.json"
    config.write_text(json.dumps(_envoy_config(world, port, free_port(), lua=lua, tls=tls), indent=1))
    binary = str(python_of("bench").parent / "envoy")
    return Target(name, [binary, "--concurrency", "1", "-l", "error", "--disable-hot-restart", "-c", str(config)], port)


# ----------------------------------------------------------------------------------------- bytes moved, no more

_NGINX = """
daemon off; worker_processes 1; pid nginx-plain.pid; error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000; client_body_buffer_size 512k; client_max_body_size 20m;
  client_body_temp_path tmp-b; proxy_temp_path tmp-p; fastcgi_temp_path tmp-f; uwsgi_temp_path tmp-u; scgi_temp_path tmp-s;
  upstream up { server %s; keepalive 128; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:%d;
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }
  }
}
"""
_HAPROXY = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend f
  bind 127.0.0.1:%d
  default_backend b
backend b
  server s1 %s pool-max-conn 256
"""


def nginx(world: World) -> Target:
    """Nginx that moves bytes: the floor."""
    port = free_port()
    config = world.folder / "nginx-plain.conf"
    config.write_text(_NGINX % (world.plain, port))
    return Target("nginx pass-through", ["nginx", "-p", f"{world.folder}/", "-c", str(config)], port)


def haproxy(world: World) -> Target:
    """HAProxy that moves bytes."""
    port = free_port()
    config = world.folder / "haproxy.cfg"
    config.write_text(_HAPROXY % (port, world.plain))
    return Target("haproxy pass-through", [shutil.which("haproxy") or "haproxy", "-f", str(config)], port)


# --------------------------------------------------------------------------------------- what others would write


def naive(world: World, *, tls: bool = False) -> Target:
    """FastAPI, httpx, PyJWT and botocore; see naive.py."""
    port = free_port()
    python = str(python_of("bench"))
    serve = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    command = [python, "-m", "uvicorn", "naive:app", "--app-dir", str(BENCH), "--port", str(port), *serve]
    env = {"UPSTREAM": world.upstream_url(tls=tls), "JWKS": str(world.jwks)}
    return Target("naive tls" if tls else "naive", command, port, env | ({"CAFILE": str(world.certificate)} if tls else {}))


def sigv4_proxies(world: World, *, tls: bool = False) -> list[Target]:
    """aws-sigv4-proxy where PEER_SIGV4 names its binary: as shipped, and with a larger idle pool. No identity, no policy."""
    binary = os.environ.get("PEER_SIGV4")
    if not binary:
        return []
    scheme, _, host = world.upstream_url(tls=tls).partition("://")
    made = []
    for name, more in (("as shipped", []), ("tuned", ["--transport.max-idle-conns-per-host", "256"])):
        port = free_port()
        command = [
            binary, "--port", f"127.0.0.1:{port}", "--name", "dynamodb", "--region", REGION, "--host", host,
            "--upstream-url-scheme", scheme, "--sign-host", f"dynamodb.{REGION}.amazonaws.com", *more,
            *(["--no-verify-ssl"] if tls else []),
        ]  # fmt: skip
        made.append(Target(f"aws-sigv4-proxy {name}{' tls' if tls else ''}", command, port, _KEYS | {"GOMAXPROCS": "1"}))
    return made
