"""The way to an issuer: where it may lead, whose certificates it takes, to whom it shows its token."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from proxy.identity.fetching import Way
from tests.unit.identity.api_server import OWN_TOKEN, ApiServer, authority
from tests.unit.identity.idp import Idp, answer, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.unit.identity.keyring import Ring


@asynccontextmanager
async def way_to(*arguments: str) -> AsyncIterator[Way]:
    """The way under test, closed at the end."""
    way = Way(*arguments)
    yield way
    await way.close()


def way_to_server(server: ApiServer, origin: str = "") -> AbstractAsyncContextManager[Way]:
    """With the server's authority and the gateway's own token."""
    return way_to(str(server.ca_file), str(server.token_file), origin or server.url)


async def test_an_authority_that_is_missing_or_none_stops_the_start(tmp_path: Path) -> None:
    """An empty bundle is none either: it must never come to mean the system's authorities."""
    with pytest.raises(OSError, match="No such file"):
        Way(str(tmp_path / "ca.pem"))
    for text in ("nonsense", ""):
        (tmp_path / "ca.pem").write_text(text)
        with pytest.raises(ssl.SSLError, match="no certificate"):
            Way(str(tmp_path / "ca.pem"))


async def test_only_the_named_authority_is_trusted(ring: Ring, tmp_path: Path) -> None:
    """Another one, and the system's, are refused by TLS."""
    other, _ = authority(tmp_path, "other")
    async with ApiServer(tmp_path, ring.rsa_a.jwk()) as server:
        for file in (str(other), ""):
            async with way_to(file) as way:
                with pytest.raises(ConnectionError, match="certificate verify failed"):
                    await way.get(server.url + "/openid/v1/jwks")
    assert not server.questions


async def test_a_new_authority_is_read_when_its_file_changes(ring: Ring, tmp_path: Path) -> None:
    """A cluster's authority rotates while the gateway runs; a broken file takes nothing away once it is mended."""
    async with ApiServer(tmp_path, ring.rsa_a.jwk()) as server, way_to_server(server) as way:
        keys = server.url + "/openid/v1/jwks"
        assert b"rsa-a" in await way.get(keys)
        renewed = server.change_authority(tmp_path)
        with pytest.raises(ConnectionError):
            await way.get(keys)
        server.ca_file.write_text("half a fi")
        with pytest.raises(ssl.SSLError):
            await way.get(keys)
        server.ca_file.write_bytes(renewed)
        assert b"rsa-a" in await way.get(keys)


async def test_a_request_under_way_survives_a_new_authority(ring: Ring, tmp_path: Path) -> None:
    """The old connections are closed when their last answer is there."""
    async with ApiServer(tmp_path, ring.rsa_a.jwk()) as server, way_to_server(server) as way:
        keys = server.url + "/openid/v1/jwks"
        server.held.clear()
        first = asyncio.create_task(way.get(keys))
        await server.asked.wait()
        server.ca_file.write_bytes(server.ca_file.read_bytes() + b"\n# the same, written again\n")
        second = asyncio.create_task(way.get(keys))
        await until(lambda: server.questions.total() == 2)
        server.held.set()
        assert await first == await second


async def test_the_bearer_token_is_read_for_each_question(ring: Ring, tmp_path: Path) -> None:
    """A projected token rotates in its file; an old one is not kept."""
    async with ApiServer(tmp_path, ring.rsa_a.jwk()) as server, way_to_server(server) as way:
        await way.get(server.url + "/openid/v1/jwks")
        server.token_file.write_text("the-next\n")
        server.allowed = {"the-next"}
        await way.get(server.url + "/openid/v1/jwks")
        assert server.bearers == [f"Bearer {OWN_TOKEN}", "Bearer the-next"]


@pytest.mark.parametrize("text", ["", "two words", "a\r\nx-evil: 1", "\u00e9"])
async def test_a_token_file_that_holds_no_token_is_not_sent(ring: Ring, tmp_path: Path, text: str) -> None:
    """Neither nothing nor a header of somebody's making; and the failure does not show it."""
    async with ApiServer(tmp_path, ring.rsa_a.jwk()) as server, way_to_server(server) as way:
        server.token_file.write_text(text, newline="")
        with pytest.raises(ValueError, match="holds no bearer token") as caught:
            await way.get(server.url + "/openid/v1/jwks")
        assert not text or text not in str(caught.value)
        assert not server.questions


async def test_the_bearer_token_goes_to_its_own_host_only(ring: Ring, tmp_path: Path) -> None:
    """A discovery document that points elsewhere does not take the gateway's token with it."""
    async with (
        Idp(ring.rsa_a.jwk()) as idp,
        ApiServer(tmp_path) as server,
        way_to_server(server, "https://127.0.0.1:1/") as way,
    ):
        with pytest.raises(ValueError, match="answers 401"):
            await way.get(server.url + "/openid/v1/jwks")
        assert b"rsa-a" in await way.get(idp.url + "/jwks")
    assert server.bearers == [""]


async def test_an_answer_is_small_plain_and_in_time(ring: Ring) -> None:
    """Floods, compression, redirects and drips are given up, each with the address."""
    async with Idp(ring.rsa_a.jwk()) as idp, way_to() as way:
        for raw, says in (
            (answer(b"200 OK", b"x" * 300_000), "more than 262144 bytes"),
            (answer(b"200 OK", b"x", b"content-encoding: gzip"), "compressed"),
            (answer(b"302 Found", b"", b"location: http://127.0.0.1:1/"), "answers 302"),
            (b"nonsense\r\n\r\n", "/jwks"),
        ):
            idp.raw = raw
            with pytest.raises((ValueError, ConnectionError), match=says):
                await way.get(idp.url + "/jwks")
        idp.held.clear()
        with pytest.raises(ConnectionError, match="no answer in time"):
            await way.get(idp.url + "/jwks", 0.05)


async def test_a_name_that_does_not_resolve_is_told_in_words() -> None:
    """With the whole address, for they are long; only one beyond measure is cut. No server is asked for so long a name."""
    url = "https://" + "long-name." * 27 + "test/"
    async with way_to() as way:
        with pytest.raises(ConnectionError) as caught:
            await way.get(url)
        assert str(caught.value) == f"'{url}': the name does not resolve"
        with pytest.raises(ConnectionError, match=r"x\.\.\.': the name does not resolve"):
            await way.get(url + "x" * 99)


@pytest.mark.parametrize("url", ["http://idp.test/", "http://10.0.0.1/", "https://u:p@idp.test/", "file:///x", "https://", "//x"])
async def test_only_https_and_loopback_are_dialled(url: str) -> None:
    """The address is judged before anything is sent."""
    async with way_to() as way:
        with pytest.raises(ValueError, match=r"user name|not https"):
            await way.get(url)


async def test_localhost_by_name_is_loopback(ring: Ring) -> None:
    """`http://localhost` is for development, as `127.0.0.1` is."""
    async with Idp(ring.rsa_a.jwk()) as idp, way_to() as way:
        assert b"rsa-a" in await way.get(idp.url.replace("127.0.0.1", "localhost") + "/jwks")


async def test_the_environment_leads_nobody_astray(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies, netrc and authorities of the environment are not asked."""
    async with Idp(ring.rsa_a.jwk()) as idp:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        for name in ("SSL_CERT_FILE", "NETRC"):
            monkeypatch.setenv(name, "/nowhere")
        async with way_to() as way:
            assert b"rsa-a" in await way.get(idp.url + "/jwks")
