"""Tokens that a worker fetches itself: by `private_key_jwt` from a provider, by its role from AWS; kept, and handed to boto3."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.__main__ import main, parser
from proxy.worker.jws import ALGORITHMS, CannotSign, encoded, signed_jwt
from proxy.worker.token import fetch_over, hand_over
from proxy.worker.token_cache import cached_token, default_file
from proxy.worker.token_sources import RUNNING, AwsWebIdentity, ClientCredentials, NoToken, source_of
from tests.fake_aws import self_signed
from tests.stack.process import ROOT
from tests.unit.identity.keyring import NOW, Ring, claims_with, make_ring
from tests.unit.worker.authorization_server import AuthorizationServer, authorization_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.identity.keyring import SigningKey


@pytest.fixture(scope="module")
def ring() -> Ring:
    """Keys of provider and worker."""
    return make_ring()


@pytest.fixture
def provider(ring: Ring) -> Iterator[AuthorizationServer]:
    """Signs with RSA, and knows the worker by another key."""
    with authorization_server(ring.rsa_a) as running:
        running.client_key = ring.rsa_b.private.public_key()
        yield running


def key_file(folder: Path, key: SigningKey) -> Path:
    """A private key as a worker has it."""
    path = folder / f"{key.kid}.pem"
    path.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.fixture
def options(provider: AuthorizationServer, ring: Ring, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The command's options for the provider, as argparse gives them; changes override."""

    def make(*more: str) -> dict[str, Any]:
        words = ["token", "--oidc-issuer", provider.url + "/realm", "--client-id", "airflow-worker"]
        words += ["--key", str(key_file(tmp_path, ring.rsa_b)), "--cache", str(tmp_path / "kept" / "token")]
        return vars(parser().parse_args([*words, *more]))

    return make


def fetched(options: dict[str, Any]) -> dict[str, Any]:
    """What boto3 would read."""
    out = io.StringIO()
    assert fetch_over(options, out) == 0
    return dict(json.loads(out.getvalue()))


# ------------------------------------------------------------------------------------------------ signatures


@pytest.mark.parametrize("by_openssl", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_assertion_is_signed_as_the_provider_checks_it(ring: Ring, tmp_path: Path, algorithm: str, by_openssl: bool) -> None:
    """By cryptography and by openssl, each algorithm, many times: the sizes of ECDSA's numbers vary."""
    from jwt.algorithms import get_default_algorithms

    key = {"RS256": ring.rsa_b, "PS256": ring.rsa_b, "ES256": ring.ec_1, "ES384": ring.ec_384}[algorithm]
    file = key_file(tmp_path, key)
    for number in range(3 if by_openssl or algorithm.startswith(("RS", "PS")) else 60):
        token = signed_jwt({"alg": algorithm}, {"n": number}, file, is_openssl_wanted=by_openssl)
        signed, _, signature = token.encode().rpartition(b".")
        raw = base64.urlsafe_b64decode(signature + b"=" * (-len(signature) % 4))
        assert get_default_algorithms()[algorithm].verify(signed, key.private.public_key(), raw)


@pytest.mark.parametrize("by_openssl", [False, True])
@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("nonsense", "RS256"),
        ("ec_1", "RS256"),
        ("weak", "RS256"),
        ("rsa_a", "ES256"),
        ("ec_384", "ES256"),
        ("ed", "RS256"),
        ("", "RS256"),
    ],
)
def test_a_key_that_cannot_sign_is_named(ring: Ring, tmp_path: Path, name: str, algorithm: str, by_openssl: bool) -> None:
    """No key, another kind, another curve: the file and what is wrong, and nothing of the key."""
    file = key_file(tmp_path, getattr(ring, name)) if hasattr(ring, name) else tmp_path / "key.pem"
    if name == "nonsense":
        file.write_text(name)
    with pytest.raises(CannotSign, match=str(file)) as caught:
        signed_jwt({"alg": algorithm}, {}, file, is_openssl_wanted=by_openssl)
    assert "nonsense" not in str(caught.value)


def test_without_cryptography_and_openssl_it_says_what_to_install(
    ring: Ring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clear sentence, not a trace."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotSign, match="install either"):
        signed_jwt({"alg": "RS256"}, {}, key_file(tmp_path, ring.rsa_b), is_openssl_wanted=True)


# ------------------------------------------------------------------------------------------- the provider


def test_a_provider_gives_a_token_for_an_assertion(provider: AuthorizationServer, options) -> None:
    """The whole way; what boto3 reads has the token and its end, and no secret was sent."""
    answer = fetched(options("--scope", "dynamodb", "--audience", "dynamodb-proxy", "--key-id", "w1"))
    assert (answer["Version"], answer["SessionToken"].count(".")) == (1, 2)
    assert answer["Expiration"].endswith("+00:00")
    (form,), (assertion,) = provider.forms, provider.assertions
    assert set(form) == {"grant_type", "client_id", "client_assertion_type", "client_assertion", "scope", "audience"}
    assert (form["grant_type"], form["scope"], form["audience"]) == ("client_credentials", "dynamodb", "dynamodb-proxy")
    assert (assertion["kid"], assertion["sub"], assertion["aud"]) == ("w1", "airflow-worker", provider.url + "/token")
    assert assertion["exp"] - assertion["iat"] == 60


def test_the_assertions_audience_and_algorithm_can_be_said(provider: AuthorizationServer, ring: Ring, options) -> None:
    """As providers differ: Auth0 and Keycloak want their issuer, others another algorithm."""
    fetched(options("--assertion-audience", provider.url + "/realm", "--algorithm", "PS256"))
    assert (provider.assertions[0]["aud"], provider.assertions[0]["alg"]) == (provider.url + "/realm", "PS256")


def test_entra_finds_the_key_by_its_certificate(provider: AuthorizationServer, options, tmp_path: Path) -> None:
    """`x5t#S256` is the digest of the certificate (RFC 7515, 4.1.8)."""
    import ssl

    text = self_signed(tmp_path).read_text()
    certificate = text[text.index("-----BEGIN CERTIFICATE") :]
    (tmp_path / "cert.pem").write_text(certificate)
    fetched(options("--certificate", str(tmp_path / "cert.pem")))
    assert provider.assertions[0]["x5t#S256"] == encoded(hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest())
    (tmp_path / "kept" / "token").unlink()
    (tmp_path / "cert.pem").write_text("nonsense")
    with pytest.raises(NoToken, match="no certificate"):
        source_of(options("--certificate", str(tmp_path / "cert.pem"))).fetch()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (
            (400, b'{"error":"invalid_scope","error_description":"no\\nsuch scope"}', {}),
            "answers 400: invalid_scope (no such scope)",
        ),
        ((401, b'{"error":"invalid_client"}', {}), "answers 401: invalid_client"),
        ((500, b"<html>", {}), "answers 500"),
        ((403, b"[]", {}), "answers 403"),
        ((302, b"", {"location": "http://127.0.0.1:1/"}), "answers 302"),
        ((200, b'{"access_token":"opaque"}', {}), "no access token that is a JWT"),
        ((200, b'{"access_token":5}', {}), "no access token that is a JWT"),
        ((200, b'{"token_type":"Bearer"}', {}), "--audience (Auth0)"),
        ((200, b"[]", {}), "something else than a JSON object"),
        ((200, b"<html>", {}), "cannot be asked"),
    ],
)
def test_a_provider_that_gives_none_is_told(provider: AuthorizationServer, options, raw: Any, says: str) -> None:
    """In one line, with the provider's own words where it has some."""
    provider.raw = raw
    with pytest.raises(NoToken) as caught:
        source_of(options()).fetch()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_key_is_the_providers_to_refuse(provider: AuthorizationServer, ring: Ring, options, capsys: Any) -> None:
    """And ends as a sentence on standard error with status 1."""
    provider.client_key = ring.rsa_a.private.public_key()
    assert fetch_over(options(), io.StringIO()) == 1
    assert "answers 401: invalid_client (Signature verification failed)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("discovery", "says"),
    [
        ({"issuer": "https://evil.test"}, "calls itself otherwise"),
        ({"token_endpoint": None}, "names no token endpoint"),
        ({"token_endpoint": "http://idp.test/token"}, "is not https"),
        ({"token_endpoint": "file:///etc/passwd"}, "is not https"),
    ],
)
def test_discovery_cannot_lead_an_assertion_astray(provider: AuthorizationServer, options, discovery: Any, says: str) -> None:
    """It is sent to the provider of that name, over https, or not at all."""
    provider.discovery = discovery
    with pytest.raises(NoToken, match=says):
        source_of(options()).fetch()
    assert provider.forms == []


def test_a_provider_that_is_away_is_named(ring: Ring, tmp_path: Path) -> None:
    """With its address."""
    source = ClientCredentials("http://127.0.0.1:1/realm", "airflow-worker", key_file(tmp_path, ring.rsa_b))
    with pytest.raises(NoToken, match=r"http://127.0.0.1:1/realm/.well-known/openid-configuration cannot be asked"):
        source.fetch()


# -------------------------------------------------------------------------------------------------- cache


def test_a_token_is_kept_until_it_is_time_for_the_next(provider: AuthorizationServer, options, tmp_path: Path) -> None:
    """boto3 asks for each client and task; the provider is asked once, and the file is the user's alone."""
    first = fetched(options())
    assert fetched(options()) == first
    assert provider.asked == 1
    file = tmp_path / "kept" / "token"
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)


@pytest.mark.parametrize(("life", "after", "asked"), [(3600, 2600, 1), (3600, 2641, 2), (600, 299, 1), (600, 301, 2)])
def test_the_next_token_is_there_before_boto3_wants_it(
    provider: AuthorizationServer, options, tmp_path: Path, life: int, after: float, asked: int
) -> None:
    """16 minutes ahead of the end, or at half of a shorter life."""
    provider.life = life
    source, file = source_of(options()), tmp_path / "kept"
    cached_token(file, source.fetch)
    cached_token(file, source.fetch, lambda: time.time() + after)
    assert provider.asked == asked


def test_while_the_provider_is_away_the_last_token_serves(
    provider: AuthorizationServer, options, tmp_path: Path, capsys: Any
) -> None:
    """As long as it is good, and no longer."""
    source, file = source_of(options()), tmp_path / "kept"
    token = cached_token(file, source.fetch)
    provider.raw = (503, b"", {})
    assert cached_token(file, source.fetch, lambda: time.time() + 3500) == token
    assert "the last token is used" in capsys.readouterr().err
    with pytest.raises(NoToken):
        cached_token(file, source.fetch, lambda: time.time() + 3580)


@pytest.mark.parametrize("spoil", ["mode", "link", "text", "folder"])
def test_a_file_that_others_could_have_written_is_not_believed(
    provider: AuthorizationServer, options, ring: Ring, tmp_path: Path, spoil: str
) -> None:
    """Nor one that is no token; a new one takes its place."""
    planted = ring.attacker.token(claims_with(time.time())).decode()
    file, other = tmp_path / "kept", tmp_path / "other"
    other.write_text(planted)
    other.chmod(0o600)
    match spoil:
        case "mode":
            file.write_text(planted)
            file.chmod(0o644)
        case "link":
            file.symlink_to(other)
        case "text":
            file.write_text("nonsense")
            file.chmod(0o600)
        case "folder":
            file.mkdir()
    assert cached_token(file, source_of(options()).fetch) != planted
    assert provider.asked == 1
    assert other.read_text() == planted


def test_where_nothing_can_be_kept_it_says_so(tmp_path: Path) -> None:
    """The option that mends it is named."""
    (tmp_path / "file").touch()
    with pytest.raises(NoToken, match="name another place with --cache"):
        cached_token(tmp_path / "file" / "token", lambda: "")


def test_tasks_that_start_together_fetch_once(provider: AuthorizationServer, options, tmp_path: Path) -> None:
    """The lock is between processes; here threads stand for them."""
    source, file, found = source_of(options()), tmp_path / "kept", []
    threads = [threading.Thread(target=lambda: found.append(cached_token(file, source.fetch))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found)), provider.asked) == (8, 1, 1)


def test_each_way_to_ask_has_a_file_of_its_own(options) -> None:
    """Two clients of one worker never get each other's token."""
    first, second = source_of(options()), source_of(options("--scope", "x"))
    assert default_file(first) != default_file(second)
    assert default_file(first) == default_file(source_of(options()))


# ---------------------------------------------------------------------------------------------- the command


def test_the_command_hands_over_what_it_fetched(options, provider: AuthorizationServer, ring: Ring, tmp_path: Path) -> None:
    """As boto3 runs it, in an environment with nothing but the standard library."""
    command = [sys.executable, "-S", "-E", "-m", "proxy", "token", "--oidc-issuer", provider.url + "/realm"]
    command += ["--client-id", "airflow-worker", "--key", str(key_file(tmp_path, ring.rsa_b))]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False, timeout=30)
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout)["SessionToken"].count(".") == 2
    assert provider.asked == 1
    assert len(list((tmp_path / ".cache" / "dynamodb-proxy").glob("token-*"))) == 2  # the token and its lock


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--oidc-issuer", "https://idp.test"], "needs --client-id and --key"),
        (["--aws-web-identity"], "needs --audience"),
    ],
)
def test_missing_options_are_told(words: list[str], says: str, capsys: Any) -> None:
    """Status 1 and the option's name."""
    assert main(["token", *words]) == 1
    assert says in capsys.readouterr().err


def test_a_jwt_svid_is_handed_over_as_spiffe_helper_writes_it(ring: Ring, tmp_path: Path) -> None:
    """The bare token in a file that is renewed in place."""
    out, file = io.StringIO(), tmp_path / "jwt_svid.token"
    file.write_bytes(ring.ec_1.token(claims_with(sub="spiffe://acme.example/airflow/worker")))
    assert hand_over(file, out, lambda: NOW) == 0
    assert json.loads(out.getvalue())["Expiration"] == time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(NOW + 900))


def test_an_expired_token_is_not_handed_over(ring: Ring, tmp_path: Path, capsys: Any) -> None:
    """boto3 would say of it that the refreshed credentials are still expired, and not which file nobody renews."""
    file = tmp_path / "token"
    file.write_bytes(ring.ec_1.token(claims_with(iat=NOW - 11_700, exp=NOW - 10_800)))
    out = io.StringIO()
    assert hand_over(file, out, lambda: NOW) == 1
    assert out.getvalue() == ""
    assert capsys.readouterr().err == f"the token in {file} expired 3 h ago; look at who renews it, and at this machine's clock\n"


@pytest.mark.parametrize(("content", "flaw"), [("", "it is empty"), ("a b.c.d", "three parts, separated by dots")])
def test_what_is_no_token_is_not_handed_over(tmp_path: Path, capsys: Any, content: str, flaw: str) -> None:
    """Told with the file's name."""
    file = tmp_path / "token"
    file.write_text(content)
    assert main(["token", "--file", str(file)]) == 1
    assert capsys.readouterr().err == f"token file {file} holds no JWT ({flaw})\n"


@pytest.mark.parametrize("exp", [float("nan"), float("inf"), 10**400, True, "soon"])
def test_a_token_with_an_odd_expiry_is_handed_over_without(exp: object, tmp_path: Path) -> None:
    """The gateway judges it."""
    out, file = io.StringIO(), tmp_path / "token"
    payload = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).decode().rstrip("=")
    file.write_text(f"e30.{payload}.c2ln")
    assert hand_over(file, out) == 0
    assert "Expiration" not in json.loads(out.getvalue())


# ------------------------------------------------------------------------------------------------------ AWS


def test_credentials_that_come_from_this_command_do_not_call_it_again() -> None:
    """A profile that names the command, which asks AWS by that profile: one sentence, not a fork bomb."""
    options = vars(parser().parse_args(["token", "--aws-web-identity", "--audience", "dynamodb-proxy"]))
    assert source_of(options, {}) == AwsWebIdentity("dynamodb-proxy")
    with pytest.raises(NoToken, match="name a profile that has others, --profile"):
        source_of(options, {RUNNING: "true"})
