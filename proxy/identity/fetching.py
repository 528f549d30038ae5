"""The way to an issuer: https only (http on this host), no redirects, no proxies of the environment, bounded in bytes and time.

The files behind it rotate: an authority or a bearer token is read again when it has changed, off the loop. A bearer token goes to
one origin and to no other, whatever a document says. A connection in use is never cut by a new authority. httpx is imported with
the first document, off the loop.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.identity.text import quoted

if TYPE_CHECKING:
    import httpx

FETCH_SECONDS = 5.0
MAX_BYTES = 256 * 1024
CONNECTIONS = 16  # at once to one issuer or API server; more wait, within the time that their document may take
_JSON = "application/json"
_SHOWN = 300  # characters of an address: those of issuers are longer than names


class _Client:
    """An httpx client, the authority that it was made for, and how many requests are under way on it."""

    def __init__(self, http: httpx.AsyncClient, authority: bytes | None) -> None:
        self.http = http
        self.authority = authority
        self.uses = 0
        self.is_retired = False


class Way:
    """Small JSON documents by GET and POST. Belongs to one event loop.

    `ca_file` is a PEM bundle ("" the system's); `token_file` holds a bearer token for the origin of `origin`, "" for none.
    Raises OSError (ssl.SSLError included) if `ca_file` cannot be used at the start.
    """

    def __init__(self, ca_file: str = "", token_file: str = "", origin: str = "") -> None:
        self._ca_file = ca_file
        self._token_file = token_file
        self._origin = origin
        self._client: _Client | None = None
        self._lock = asyncio.Lock()
        _trust(_read(ca_file))

    async def get(self, url: str, seconds: float = FETCH_SECONDS) -> bytes:
        """The body of a 200. Raises ValueError or OSError; what went wrong is told with the address."""
        status, body = await self.ask("GET", url, b"", seconds)
        if status != 200:
            raise ValueError(f"{quoted(url)} answers {status}")
        return body

    async def ask(self, method: str, url: str, body: bytes, seconds: float = FETCH_SECONDS) -> tuple[int, bytes]:
        """(Status, body) of one exchange within `seconds`, however it drips. Raises as `get` does."""
        if self._client is None:
            await asyncio.to_thread(importlib.import_module, "httpx")
        import httpx

        place = _checked_url(url)
        headers = {"accept": _JSON, "accept-encoding": "identity"} | ({"content-type": _JSON} if body else {})
        try:
            async with asyncio.timeout(seconds):
                if self._token_file and _origin(place) == _origin(_url(self._origin)):
                    headers["authorization"] = "Bearer " + await asyncio.to_thread(_token, self._token_file)
                client = await self._current()
                client.uses += 1
                try:
                    return await _exchange(client.http, httpx.Request(method, place, headers=headers, content=body))
                finally:
                    client.uses -= 1
                    await _close_if_done(client)
        except (httpx.HTTPError, TimeoutError) as error:
            raise ConnectionError(f"{quoted(url, most=_SHOWN)}: {_cause(error)}") from error

    async def _current(self) -> _Client:
        """The client for the authority as it stands now; one that cannot be read or used raises, and takes nothing away."""
        if self._client is not None and not self._ca_file:
            return self._client
        async with self._lock:
            authority = await asyncio.to_thread(_read, self._ca_file)
            if self._client is None:
                self._client = await asyncio.to_thread(_client, authority)
            elif authority != self._client.authority:
                fresh = await asyncio.to_thread(_client, authority)
                retired, self._client = self._client, fresh
                retired.is_retired = True
                await _close_if_done(retired)
            return self._client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.http.aclose()


def _read(file: str) -> bytes | None:
    return Path(file).read_bytes() if file else None


def _trust(authority: bytes | None) -> ssl.SSLContext | bool:
    """What httpx is told to trust; True for the system's authorities. Raises ssl.SSLError for a bundle that is none."""
    if authority is None:
        return True
    text = authority.decode("ascii", "ignore")  # bundles carry names of authorities as comments
    if "-----BEGIN CERTIFICATE-----" not in text:  # an empty bundle would mean the system's authorities
        raise ssl.SSLError("the authority's file holds no certificate in PEM form")
    return ssl.create_default_context(cadata=text)


def _client(authority: bytes | None) -> _Client:
    """A client that goes where the settings say and nowhere else. Raises ssl.SSLError for a bundle that is none."""
    import httpx

    verify = _trust(authority)
    limits = httpx.Limits(max_connections=CONNECTIONS)
    http = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=FETCH_SECONDS, verify=verify, limits=limits)
    return _Client(http, authority)


def _cause(error: BaseException) -> str:
    """Why no answer came, in words: what the system says of a name is a number and a riddle."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, socket.gaierror):
            return "the name does not resolve"
        at = at.__cause__ or at.__context__
    return str(error) or "no answer in time"


async def _close_if_done(client: _Client) -> None:
    if client.is_retired and not client.uses:
        await client.http.aclose()


def _token(file: str) -> str:
    """The bearer token as it stands in its file now. Raises ValueError or OSError; never shows it."""
    token = Path(file).read_bytes().strip()
    if not token or not token.isascii() or any(byte <= 32 or byte == 127 for byte in token):
        raise ValueError(f"{quoted(file)} holds no bearer token")
    return token.decode("ascii")


async def _exchange(http: httpx.AsyncClient, request: httpx.Request) -> tuple[int, bytes]:
    reply = await http.send(request, stream=True)
    try:
        url = str(request.url)
        if reply.headers.get("content-encoding", "identity") != "identity":
            raise ValueError(f"{quoted(url)} answers compressed, though it was asked not to")
        body = bytearray()
        async for chunk in reply.aiter_raw(16384):
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError(f"{quoted(url)} answers more than {MAX_BYTES} bytes")
        return reply.status_code, bytes(body)
    finally:
        await reply.aclose()


def _checked_url(url: str) -> httpx.URL:
    """Judged in the form in which it is dialled: a second parser could read another host out of it."""
    place = _url(url)
    if place.userinfo or not place.host:
        raise ValueError("an address needs a host and no user name or password")  # nor is one shown
    if place.scheme != "https" and not (place.scheme == "http" and _is_loopback(place.host)):
        raise ValueError(f"{quoted(url)} is not https")
    return place


def _url(text: str) -> httpx.URL:
    """Raises ValueError."""
    import httpx

    try:
        return httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None


def _origin(place: httpx.URL) -> tuple[str, str, int]:
    return place.scheme, place.host, place.port or {"https": 443, "http": 80}.get(place.scheme, 0)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
