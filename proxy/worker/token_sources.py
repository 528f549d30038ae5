"""Where a worker's token comes from when no file is mounted: an OIDC provider by `private_key_jwt`, or AWS's own STS.

Each source is asked for one JWT and raises NoToken with what to do. No shared secret is ever sent: the provider knows the public
half of a key that stays here (RFC 7523), and AWS knows the role. Standard library only; botocore is used where it is installed.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib
import json
import os
import secrets
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from proxy.worker.jws import CannotSign, encoded, signed_jwt
from proxy.worker.wire import claims_of

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from pathlib import Path

DISCOVERY = "/.well-known/openid-configuration"
ASSERTION_SECONDS = 60
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TIMEOUT_SECONDS = 10
_MAX_BYTES = 256 * 1024
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
RUNNING = "DDB_PROXY_TOKEN_RUNNING"
# What would lead the call for a token to the gateway, or back to this command.
_ASTRAY = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "BOTOCORE_EXPERIMENTAL__PLUGINS")


class NoToken(Exception):
    """The source gave none. The message says what to do, and holds no token or key."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth 2.0 client credentials (RFC 6749, 4.4) with `private_key_jwt` (OpenID Connect Core, 9)."""

    issuer: str
    client_id: str
    key: Path
    algorithm: str = "RS256"
    key_id: str = ""
    certificate: Path | None = None  # Entra finds the key by its certificate's digest
    assertion_audience: str = ""  # "" means the token endpoint
    parameters: tuple[tuple[str, str], ...] = ()  # scope, audience, resource: what the provider wants
    ca_file: Path | None = None

    def fetch(self) -> str:
        """A fresh access token. Raises NoToken."""
        document = self._ask(self.issuer.removesuffix(DISCOVERY).rstrip("/") + DISCOVERY)
        if document.get("issuer") != self.issuer.removesuffix(DISCOVERY):
            raise NoToken(f"the provider at {self.issuer} calls itself otherwise; write its issuer exactly, slash included")
        endpoint = document.get("token_endpoint")
        if not isinstance(endpoint, str):
            raise NoToken(f"the provider at {self.issuer} names no token endpoint")
        answer = self._ask(endpoint, self._form(endpoint))
        token = answer.get("access_token")
        if not isinstance(token, str) or claims_of(token) is None:
            raise NoToken(
                "the provider gave no access token that is a JWT; name the gateway as it knows it, with --audience (Auth0), "
                "--resource (RFC 8707) or --scope (Entra: <app id>/.default)"
            )
        return token

    def _form(self, endpoint: str) -> bytes:
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.assertion_audience or endpoint,
            "iat": now,
            "nbf": now,
            "exp": now + ASSERTION_SECONDS,
            "jti": secrets.token_hex(16),
        }
        try:
            assertion = signed_jwt(self._header(), claims, self.key)
        except CannotSign as error:
            raise NoToken(str(error)) from None
        form = {"grant_type": "client_credentials", "client_id": self.client_id, "client_assertion_type": _ASSERTION}
        return urlencode([*form.items(), ("client_assertion", assertion), *self.parameters]).encode()

    def _header(self) -> dict[str, str]:
        header = {"alg": self.algorithm, "typ": "JWT"}
        if self.key_id:
            header["kid"] = self.key_id
        if self.certificate is not None:
            try:
                der = ssl.PEM_cert_to_DER_cert(self.certificate.read_text(encoding="ascii").strip())
            except (OSError, ValueError):
                raise NoToken(f"{self.certificate} is no certificate in PEM form") from None
            header["x5t#S256"] = encoded(hashlib.sha256(der).digest())
        return header

    def _ask(self, url: str, form: bytes | None = None) -> dict[str, Any]:
        """GET or POST. Redirects are refused: a form that proves who we are goes where the provider says, and no further."""
        place = urlsplit(url)
        if place.scheme != "https" and not (place.scheme == "http" and place.hostname in _LOOPBACK):
            raise NoToken(f"{url} is not https")
        request = Request(url, data=form, headers={"accept": "application/json"})  # noqa: S310 - judged above
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            with build_opener(_NoRedirects, HTTPSHandler(context=context)).open(request, timeout=_TIMEOUT_SECONDS) as reply:
                answer = json.loads(reply.read(_MAX_BYTES))
        except HTTPError as error:
            with error:
                raise NoToken(f"{url} answers {error.code}{_cause(error.read(_MAX_BYTES))}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NoToken(f"{url} cannot be asked: {getattr(error, 'reason', '') or type(error).__name__}") from None
        if not isinstance(answer, dict):
            raise NoToken(f"{url} answers something else than a JSON object")
        return answer


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Leave the redirect as the answer."""


def _cause(body: bytes) -> str:
    """`error` and `error_description` of RFC 6749, 5.2, on one line."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    told = [str(said[name]) for name in ("error", "error_description") if said.get(name)] if isinstance(said, dict) else []
    line = " ".join(" (".join(told).split())[:300] + (")" if len(told) == 2 else "")
    return ": " + "".join(character if character.isprintable() else "?" for character in line) if told else ""


@dataclass(frozen=True, slots=True)
class AwsWebIdentity:
    """A JWT that AWS signs for the worker's own role (`sts:GetWebIdentityToken`, outbound identity federation)."""

    audience: str
    region: str = ""
    profile: str = ""
    algorithm: str = "ES384"
    seconds: int = 3600
    endpoint: str = ""

    def fetch(self, environment: MutableMapping[str, str] = os.environ) -> str:
        """A fresh token by the AWS credentials that the worker has otherwise. Raises NoToken."""
        try:
            sessions: Any = importlib.import_module("botocore.session")
            exceptions: Any = importlib.import_module("botocore.exceptions")
        except ModuleNotFoundError:
            raise NoToken("--aws-web-identity needs botocore; install it beside dynamodb-proxy") from None
        for name in _ASTRAY:
            environment.pop(name, None)
        environment[RUNNING] = "true"
        environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true"  # they may be the gateway's
        try:
            client = sessions.Session(profile=self.profile or None).create_client(
                "sts", region_name=self.region or None, endpoint_url=self.endpoint or None
            )
            answer = client.get_web_identity_token(
                Audience=[self.audience], DurationSeconds=self.seconds, SigningAlgorithm=self.algorithm
            )
        except AttributeError:
            raise NoToken("the installed botocore does not know GetWebIdentityToken; upgrade it to 1.42 or newer") from None
        except (exceptions.BotoCoreError, exceptions.ClientError) as error:
            raise NoToken(f"STS gave no web identity token: {_one_line(str(error))}") from None
        return str(answer["WebIdentityToken"])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def source_of(options: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> ClientCredentials | AwsWebIdentity:
    """The source that the command's options name. Raises NoToken where some are missing, or where the command asks itself."""
    if options["aws_web_identity"]:
        if environment.get(RUNNING):  # before anything waits: whoever runs this holds the cache's lock
            raise NoToken("the worker's AWS credentials come from this command itself; name a profile that has others, --profile")
        if not options["audience"]:
            raise NoToken("--aws-web-identity needs --audience: the `audience` of the issuer in the gateway's settings")
        return AwsWebIdentity(
            audience=options["audience"],
            region=options["region"] or "",
            profile=options["profile"] or "",
            algorithm=options["algorithm"] or "ES384",
            seconds=options["seconds"],
            endpoint=options["endpoint_url"] or "",
        )
    if not options["client_id"] or not options["key"]:
        raise NoToken("--oidc-issuer needs --client-id and --key: the private key whose public half the provider knows")
    parameters = tuple((name, options[name]) for name in ("scope", "audience", "resource") if options[name])
    return ClientCredentials(
        issuer=options["oidc_issuer"],
        client_id=options["client_id"],
        key=options["key"],
        algorithm=options["algorithm"] or "RS256",
        key_id=options["key_id"] or "",
        certificate=options["certificate"],
        assertion_audience=options["assertion_audience"] or "",
        parameters=parameters,
        ca_file=options["ca_file"],
    )
