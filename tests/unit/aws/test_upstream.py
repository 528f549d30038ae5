"""The pool against a server that misbehaves in every way it can, over real sockets."""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import ssl
import struct
import zlib
from collections import Counter, deque
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.aws.sigv4 import Endpoint, signed_request
from proxy.aws.tls_sessions import ResumingContext
from proxy.aws.upstream import PoolLimits, UpstreamPool
from proxy.model import Credentials
from proxy.outbox import Outbox
from proxy.refusal import Broken, Reason, Unavailable
from tests.outboxes import OUTBOXES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from proxy.model import Reply

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\ncontent-length: 2\r\n\r\n{}"
PATIENT = PoolLimits(idle=30)
HASTY = PoolLimits(total=0.3, sweep=0.02)  # where a deadline is what is tested


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, five seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - any condition, also one without an event
            await asyncio.sleep(0.002)


class Stream:
    """One accepted connection, as a script of the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def request(self) -> bytes:
        """One whole request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length
        return head + await self.reader.readexactly(int(length[1]))

    async def say(self, data: bytes) -> None:
        """Bytes, as they are."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """RST instead of FIN."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def answer(stream: Stream, request: bytes) -> None:
    """What a well-behaved server does."""
    await stream.say(OK)


def saying(*pieces: bytes, then_close: bool = False) -> Callable[[Stream, bytes], Awaitable[None]]:
    """A script that sends these pieces, and closes if asked to."""

    async def script(stream: Stream, request: bytes) -> None:
        for piece in pieces:
            await stream.say(piece)
            await asyncio.sleep(0)
        if then_close:
            stream.writer.close()

    return script


async def reset(stream: Stream, request: bytes) -> None:
    """Read the whole request, then reset (F1)."""
    stream.reset()


async def hang(stream: Stream, request: bytes) -> None:
    """Never answer."""
    await stream.reader.read()


class Server:
    """Plays the scripts in turn, one a request; well-behaved when there are none left."""

    def __init__(self) -> None:
        self.scripts: deque[Callable[[Stream, bytes], Awaitable[None]]] = deque()
        self.always: Callable[[Stream, bytes], Awaitable[None]] = answer
        self.requests: list[bytes] = []
        self.streams: list[Stream] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        stream = Stream(reader, writer)
        self.streams.append(stream)
        try:
            while not writer.is_closing():
                request = await stream.request()
                self.requests.append(request)
                await (self.scripts.popleft() if self.scripts else self.always)(stream, request)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    def stop_accepting(self) -> None:
        """New connections are refused, those that stand go on."""
        self._listener.close()

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Server]:
        """Listen on a free port of loopback."""
        listener = self._listener = await asyncio.start_server(self.serve, "127.0.0.1", port, ssl=tls)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listener.close()
            for task in tuple(self._tasks):
                task.cancel()
            await until(lambda: not self._tasks)
            await listener.wait_closed()


@pytest.fixture(params=OUTBOXES.values(), ids=OUTBOXES, autouse=True)
def outbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """When what is written leaves: the outbox that is made where, as here, none is given."""
    monkeypatch.setattr("proxy.aws.upstream.Outbox", request.param)


@asynccontextmanager
async def serving(limits: PoolLimits = PATIENT) -> AsyncIterator[tuple[Server, UpstreamPool]]:
    """A server and a pool to it. At the end the pool must have all its slots back."""
    async with Server().listening() as server:
        pool = UpstreamPool(Endpoint("http", "127.0.0.1", server.port, "us-east-1"), limits=limits)
        try:
            yield server, pool
            await until(lambda: pool.busy == 0)
        finally:
            await pool.close()
        assert pool.open == 0


class Sent:
    """Counts how often the first byte was announced."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        """The pool says: now."""
        self.times += 1


async def send(pool: UpstreamPool, *, is_write: bool = False, request: bytes = REQUEST) -> Reply:
    """One request, and the promise about `sent` checked on every way out."""
    sent = Sent()
    try:
        reply = await pool.send(request, is_write=is_write, sent=sent)
    except Unavailable:
        assert sent.times == 0
        raise
    except Broken:
        assert sent.times == 1
        raise
    assert sent.times == 1
    return reply


# ------------------------------------------------------------------------------------------------ whole answers


async def test_connections_are_kept_and_used_again() -> None:
    """A hundred requests in a row need one connection."""
    async with serving() as (server, pool):
        for _ in range(100):
            assert (await send(pool)).status == 200
        assert len(server.streams) == 1
        assert pool.open == 1


async def test_the_request_leaves_byte_for_byte() -> None:
    """What was signed is what arrives."""
    keys = Credentials("AKID", "secret", "token", 0)
    async with serving() as (server, pool):
        request = signed_request(
            Endpoint("http", "127.0.0.1", server.port, "us-east-1"), b"DynamoDB_20120810.PutItem", b'{"a":1}' * 30_000, keys, 1e9
        )
        await send(pool, request=request)
        assert server.requests == [request]


HEAD = b"HTTP/1.1 400 Bad\r\nX-Amzn-RequestId: R1\r\nx-amz-crc32: 9\r\n"
WHOLE_ANSWERS: dict[str, tuple[bytes, ...]] = {
    "length": (HEAD + b"content-length: 4\r\n\r\n{\xff} ",),
    "chunked": (
        HEAD + b"transfer-encoding: chunked\r\n\r\n",
        b"1\r\n{\r\n",
        b"3;x=y\r\n\xff} \r\n0\r\n",
        b"x-trailer: dropped\r\n\r\n",
    ),
    "provisional": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n",
        HEAD + b"content-length: 4\r\n\r\n{\xff} ",
    ),
    "byte by byte": tuple(bytes([byte]) for byte in HEAD + b"Content-Length: 4\r\nProxy-X: 1\r\n\r\n{\xff} "),
    "hop by hop": (
        HEAD + b"Hop: 1\r\nconnection: keep-alive, hop\r\nkeep-alive: timeout=5\r\n",
        b"content-length: 4\r\nTE: x\r\nUpgrade: y\r\n\r\n{\xff} ",
    ),
}


@pytest.mark.parametrize("pieces", WHOLE_ANSWERS.values(), ids=WHOLE_ANSWERS)
async def test_answers_pass_untouched_and_without_hop_by_hop_fields(pieces: tuple[bytes, ...]) -> None:
    """Status, end-to-end headers and body are AWS's, errors included (F5, F35); the connection can be used again."""
    async with serving() as (server, pool):
        server.scripts.append(saying(*pieces))
        reply = await send(pool, is_write=True)
        assert reply == (400, ((b"x-amzn-requestid", b"R1"), (b"x-amz-crc32", b"9")), b"{\xff} ")
        assert (await send(pool)).body == b"{}"
        assert len(server.streams) == 1


async def test_connection_close_is_honoured() -> None:
    """After `connection: close` the next request opens a new connection."""
    async with serving() as (server, pool):
        server.scripts.append(saying(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")))
        assert (await send(pool)).body == b"{}"
        await until(lambda: pool.open == 0)
        assert (await send(pool, is_write=True)).body == b"{}"
        assert len(server.streams) == 2


@pytest.mark.parametrize("head", [b"x: y\r\n", b"x-amz-crc32: %d\r\n" % zlib.crc32(b'{"a":1}')], ids=["json", "checksum"])
async def test_an_answer_that_ends_with_its_connection_is_accepted_when_shown_whole(head: bytes) -> None:
    """A whole object or a right checksum proves that the end was no cut."""
    async with serving() as (server, pool):
        server.scripts.append(saying(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n", b'{"a":', b"1}", then_close=True))
        assert (await send(pool)).body == b'{"a":1}'
        await until(lambda: pool.open == 0)


# -------------------------------------------------------------------------------------------------- cut and odd

BROKEN_ANSWERS: dict[str, tuple[Callable[[Stream, bytes], Awaitable[None]], str]] = {
    "reset": (reset, "reset"),
    "closed": (saying(then_close=True), "closed"),
    "silent": (hang, "timed out"),
    "head cut": (saying(b"HTTP/1.1 200 OK\r\nconte", then_close=True), "closed in the middle"),
    "body cut": (saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", then_close=True), "closed in the middle"),
    "body slow": (saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), "timed out"),
    "chunked cut": (
        saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", then_close=True),
        "in the middle",
    ),
    "without length cut": (saying(b'HTTP/1.1 200 OK\r\n\r\n{"a":{}', then_close=True), "closed in the middle"),
    "without length empty": (saying(b"HTTP/1.1 200 OK\r\n\r\n", then_close=True), "closed in the middle"),
    "checksum wrong": (saying(b"HTTP/1.1 200 OK\r\nx-amz-crc32: 5\r\n\r\n{}", then_close=True), "closed in the middle"),
    "garbage": (saying(b"SSH-2.0-OpenSSH\r\n"), "not HTTP"),
    "two lengths": (saying(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"), "not HTTP"),
    "length and chunked": (saying(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"), "not HTTP"),
    "bare line feeds": (saying(b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}"), "not HTTP"),
    "switching": (saying(b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"), "no usable status"),
    "status 99": (saying(b"HTTP/1.1 099 S\r\ncontent-length: 0\r\n\r\n"), "no usable status"),
    "endless head": (saying(b"HTTP/1.1 200 OK\r\n", *[b"x: " + b"y" * 8000 + b"\r\n"] * 10), "too large"),
    "endless provisional": (saying(*[b"HTTP/1.1 100 C\r\n\r\n" * 1000] * 10), "too large"),
    "long head at once": (saying(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 66_000 + b"\r\ncontent-length: 0\r\n\r\n"), "too large"),
    "endless body": (saying(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 2**20] * 34), "too large"),
}


@pytest.mark.parametrize("is_kept", [False, True], ids=["fresh", "kept"])
@pytest.mark.parametrize("name", BROKEN_ANSWERS)
async def test_a_write_that_breaks_after_sending_is_broken_and_never_sent_twice(name: str, is_kept: bool) -> None:
    """Whatever happens after the first byte: one request at the server, one honest refusal, the slot back (F1, F4)."""
    script, cause = BROKEN_ANSWERS[name]
    async with serving(HASTY if cause == "timed out" else PATIENT) as (server, pool):
        if is_kept:
            await send(pool)
        server.requests.clear()
        server.scripts.append(script)
        with pytest.raises(Broken, match=cause) as caught:
            await send(pool, is_write=True)
        assert caught.value.reason is Reason.UPSTREAM_BROKEN
        assert f"127.0.0.1:{server.port}" in caught.value.message
        assert len(server.requests) == 1
        assert (await send(pool, is_write=True)).status == 200


@pytest.mark.parametrize("script", [reset, saying(then_close=True)], ids=["reset", "closed"])
async def test_a_read_on_a_kept_connection_that_died_unanswered_is_sent_once_more(
    script: Callable[[Stream, bytes], Awaitable[None]],
) -> None:
    """One resend on a fresh connection, for reads only."""
    async with serving() as (server, pool):
        await send(pool)
        server.scripts.append(script)
        assert (await send(pool)).status == 200
        assert len(server.requests) == 3
        server.scripts.extend([script, script])
        with pytest.raises(Broken):
            await send(pool)
        assert len(server.requests) == 5


@pytest.mark.parametrize("name", ["head cut", "body cut", "garbage", "silent"])
async def test_a_read_that_was_answered_in_part_or_too_late_is_not_sent_again(name: str) -> None:
    """Only a death before any byte looks like a stale connection."""
    async with serving(HASTY if name == "silent" else PATIENT) as (server, pool):
        await send(pool)
        server.scripts.append(BROKEN_ANSWERS[name][0])
        with pytest.raises(Broken):
            await send(pool)
        assert len(server.requests) == 2


async def test_a_read_on_a_fresh_connection_is_not_sent_again() -> None:
    """A server that kills fresh connections is broken, not stale."""
    async with serving() as (server, pool):
        server.scripts.append(reset)
        with pytest.raises(Broken):
            await send(pool)
        assert len(server.requests) == 1


async def test_a_second_try_without_a_connection_is_broken() -> None:
    """Once announced as sent, a request never ends as `nothing was sent`."""
    async with serving() as (server, pool):
        await send(pool)
        server.stop_accepting()
        server.scripts.append(reset)
        with pytest.raises(Broken, match="no connection for a second try"):
            await send(pool)


@pytest.mark.parametrize(
    "extra", [OK, b"garbage", b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n"], ids=["answer", "junk", "head"]
)
async def test_bytes_after_a_whole_answer_never_reach_the_next_request(extra: bytes) -> None:
    """The answer passes, the connection does not."""
    async with serving() as (server, pool):
        server.scripts.append(saying(OK.replace(b"{}", b"[]") + extra))
        assert (await send(pool)).body == b"[]"
        assert (await send(pool)).body == b"{}"
        assert len(server.streams) == 2


async def test_bytes_that_come_while_idle_discard_the_connection() -> None:
    """An answer that nobody asked for is for nobody."""
    async with serving() as (server, pool):
        await send(pool)
        await server.streams[0].say(OK.replace(b"{}", b"[]"))
        assert (await send(pool, is_write=True)).body == b"{}"
        await until(lambda: pool.open == 1)
        assert len(server.streams) == 2


async def test_an_idle_connection_that_speaks_is_closed_at_once() -> None:
    """It need not wait for a request to be found out."""
    async with serving() as (server, pool):
        await send(pool)
        await server.streams[0].say(OK)
        await until(lambda: pool.open == 0)


# ---------------------------------------------------------------------------------------------------- stale


async def test_a_connection_closed_while_idle_is_seen_before_the_write() -> None:
    """The end of the stream is looked for at once before use, even if the loop has not told of it yet (F3)."""
    async with serving() as (server, pool):
        for _ in range(200):
            await send(pool, is_write=True)
            with socket.socket(fileno=os.dup(server.streams[-1].writer.get_extra_info("socket").fileno())) as same:
                same.shutdown(socket.SHUT_WR)
        assert len(server.requests) == 200


async def test_a_write_waits_for_no_end_of_a_turn_on_a_connection_that_could_go_stale_until_then() -> None:
    """Nor could an answer that nobody asked for come in between. A read waits, for it would be sent again."""

    class Holding(Outbox):
        held: tuple[asyncio.WriteTransport, bytes] | None = None

        def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
            """Until the test lets it go."""
            self.held = transport, data

    outbox = Holding()
    async with Server().listening() as server:
        pool = UpstreamPool(Endpoint("http", "127.0.0.1", server.port, "us-east-1"), limits=PATIENT, outbox=outbox)
        for _ in range(2):  # on a fresh connection, and on a kept one
            assert (await send(pool, is_write=True)).status == 200
        assert outbox.held is None
        reading = asyncio.ensure_future(send(pool))
        await until(lambda: outbox.held is not None)
        assert len(server.requests) == 2
        transport, data = outbox.held
        transport.write(data)
        assert (await reading).status == 200
        await pool.close()


async def test_idle_connections_are_closed_after_their_time() -> None:
    """The sweeper closes what nobody used, and rests when there is nothing left."""
    async with serving(PoolLimits(idle=0.05, sweep=0.01)) as (_, pool):
        await send(pool)
        await until(lambda: pool.open == 0)
        assert (await send(pool)).status == 200


async def test_connections_are_not_used_beyond_their_lifetime() -> None:
    """So that a change of DNS is followed under load."""
    async with serving(PoolLimits(lifetime=0)) as (server, pool):
        for _ in range(3):
            await send(pool)
        assert len(server.streams) == 3


async def test_warm_opens_connections_ahead() -> None:
    """The first request finds its connection open."""
    async with serving() as (_, pool):
        await pool.warm(3)
        assert pool.open == 3
        await asyncio.gather(*(send(pool) for _ in range(3)))
        assert pool.open == 3


# ----------------------------------------------------------------------------------------------- connecting


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_refused_connection_is_unavailable_after_three_tries() -> None:
    """Nothing was sent; the message names the place, the cause and what to look at (F2)."""
    port = free_port()
    pool = UpstreamPool(Endpoint("http", "127.0.0.1", port, "us-east-1"))
    with pytest.raises(Unavailable, match=f"cannot connect to 127.0.0.1:{port}: refused; nothing was sent; look at") as caught:
        await send(pool, is_write=True)
    assert caught.value.reason is Reason.UPSTREAM_UNREACHABLE
    assert pool.busy == 0
    await pool.close()


async def test_a_server_that_comes_back_between_tries_is_found() -> None:
    """A connect failure is tried again inside the connect budget, writes too: no byte had left."""
    port = free_port()
    pool = UpstreamPool(Endpoint("http", "127.0.0.1", port, "us-east-1"))
    task = asyncio.create_task(send(pool, is_write=True))
    await until(lambda: pool.busy == 1)
    async with Server().listening(port=port) as server:
        assert (await task).status == 200
        assert len(server.requests) == 1
        await pool.close()


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    """DNS errors are told as such."""
    pool = UpstreamPool(Endpoint("http", "nowhere.invalid", 80, "us-east-1"))
    with pytest.raises(Unavailable, match=r"nowhere\.invalid:80: the name does not resolve|timed out"):
        await send(pool)
    await pool.close()


async def test_a_silent_handshake_ends_within_the_connect_budget(tmp_path: Path) -> None:
    """TLS that is never answered costs the connect budget, not the total one."""
    quiet = socket.create_server(("127.0.0.1", 0))
    with quiet:
        pool = UpstreamPool(
            Endpoint("https", "127.0.0.1", quiet.getsockname()[1], "us-east-1"),
            ResumingContext(),
            PoolLimits(connect=0.2),
        )
        async with asyncio.timeout(2):
            with pytest.raises(Unavailable, match="timed out"):
                await send(pool)
        assert pool.busy == 0
        await pool.close()


# ------------------------------------------------------------------------------------------------------- TLS


def certificate(folder: Path, name: str, ends: timedelta) -> tuple[ssl.SSLContext, ResumingContext]:
    """Contexts of a server with a self-signed certificate for `name`, and of a client that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = folder / "chain.pem"
    chain.write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    return server, ResumingContext(str(chain))


async def test_requests_over_tls_are_kept_alive_too(tmp_path: Path) -> None:
    """A trusted certificate of the right name: one handshake for many requests."""
    server_side, client_side = certificate(tmp_path, "localhost", timedelta(days=1))
    async with Server().listening(server_side) as server:
        pool = UpstreamPool(Endpoint("https", "localhost", server.port, "us-east-1"), client_side)
        for _ in range(20):
            assert (await send(pool, is_write=True)).body == b"{}"
        assert len(server.streams) == 1
        server.scripts.append(reset)
        with pytest.raises(Broken):
            await send(pool, is_write=True)
        await pool.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_new_connection_goes_on_with_the_last_session(version: ssl.TLSVersion, tmp_path: Path) -> None:
    """Once its ticket has come: the next handshake needs no certificate, and the pool is as strict as before."""
    server_side, client_side = certificate(tmp_path, "localhost", timedelta(days=1))
    server_side.maximum_version = version
    async with Server().listening(server_side) as server:
        pool = UpstreamPool(Endpoint("https", "localhost", server.port, "us-east-1"), client_side, PoolLimits(sweep=0.01))
        await send(pool)
        await until(lambda: "localhost" in client_side.hosts)
        for resumed in (1, 2):
            server.streams[-1].reset()
            await until(lambda: not pool.open)
            await send(pool)
            assert server_side.session_stats()["hits"] == resumed
        await pool.close()


def test_the_trust_is_that_of_a_default_context() -> None:
    """Going on with sessions makes nothing laxer, on no version of Python."""
    default, resuming = ssl.create_default_context(), ResumingContext()
    for name in ("verify_mode", "check_hostname", "verify_flags", "options", "minimum_version"):
        assert getattr(resuming, name) == getattr(default, name), name
    assert resuming.cert_store_stats() == default.cert_store_stats()


async def test_a_session_that_a_server_will_not_go_on_with_is_not_offered_again(tmp_path: Path) -> None:
    """Hosts behind one name differ; one that ends the handshake over a session must not keep the gateway out for good."""
    server_side, client_side = certificate(tmp_path, "localhost", timedelta(days=1))
    server_side.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Server().listening(server_side) as server:
        pool = UpstreamPool(Endpoint("https", "localhost", server.port, "us-east-1"), client_side, PoolLimits(sweep=0.01))
        await send(pool)
        await until(lambda: "localhost" in client_side.hosts)
        server_side.options |= 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET: RFC 7627 section 5.3 has such a session end the handshake
        server.streams[-1].reset()
        await until(lambda: not pool.open)
        assert (await send(pool)).body == b"{}"
        await pool.close()


@pytest.mark.parametrize(
    ("name", "days", "cause"),
    [("localhost", -1, "certificate has expired"), ("elsewhere.test", 1, "mismatch")],
    ids=["expired", "name"],
)
async def test_a_bad_certificate_is_unavailable_and_nothing_is_sent(name: str, days: int, cause: str, tmp_path: Path) -> None:
    """TLS is never given up: no plaintext, no byte of a request (F32)."""
    server_side, client_side = certificate(tmp_path, name, timedelta(days=days))
    async with Server().listening(server_side) as server:
        pool = UpstreamPool(Endpoint("https", "localhost", server.port, "us-east-1"), client_side)
        with pytest.raises(Unavailable, match=rf"TLS certificate refused \(.*{cause}.*look at the endpoint's host name"):
            await send(pool)
        assert server.requests == []
        await pool.close()


async def test_a_plaintext_server_behind_https_is_unavailable() -> None:
    """What does not speak TLS is not spoken to."""

    async def speak_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        pool = UpstreamPool(Endpoint("https", "localhost", port, "us-east-1"), ResumingContext())
        with pytest.raises(Unavailable, match="TLS failed"):
            await send(pool)
        await pool.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_scheme_and_trust_must_agree(scheme: str) -> None:
    """An https endpoint without trust, or http with it, is a mistake of the caller."""
    tls = ResumingContext() if scheme == "http" else None
    with pytest.raises(ValueError, match="TLS context"):
        UpstreamPool(Endpoint(scheme, "h", 1, "r"), tls)  # type: ignore[arg-type]  # any text, to be refused


# ------------------------------------------------------------------------------------------------ slots, cancels


@pytest.mark.parametrize("connections", [1, 3])
async def test_callers_beyond_the_limit_wait_in_line(connections: int) -> None:
    """Never more connections than allowed; first come, first served."""
    async with serving(PoolLimits(connections=connections)) as (server, pool):
        bodies = [b"%02d" % number for number in range(50)]
        await asyncio.gather(*(send(pool, request=REQUEST.replace(b"{}", body)) for body in bodies))
        assert len(server.streams) <= connections
        if connections == 1:
            assert [request[-2:] for request in server.requests] == bodies


async def test_a_line_that_does_not_move_ends_in_unavailable() -> None:
    """The wait is bounded in time and in number, and says which."""
    async with serving(PoolLimits(connections=1, waiting=1, wait=0.05, total=1, sweep=0.01)) as (server, pool):
        server.scripts.append(hang)
        first = asyncio.create_task(send(pool))
        await until(lambda: len(server.requests) == 1)
        second = asyncio.create_task(send(pool))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="all 1 connections"):
            await send(pool)
        with pytest.raises(Unavailable, match="all 1 connections"):
            await second
        with pytest.raises(Broken):
            await first


async def test_a_caller_that_leaves_when_its_turn_comes_passes_it_on() -> None:
    """A slot that was given to somebody who is gone goes to the next in line."""

    def refuse() -> None:
        raise Unavailable(Reason.AUDIT_UNAVAILABLE, "no")

    async with serving(PoolLimits(connections=1)) as (_, pool):
        later: list[asyncio.Task[Reply]] = []

        async def give_the_turn_and_cancel_it() -> None:
            with pytest.raises(Unavailable):
                await pool.send(REQUEST, is_write=True, sent=refuse)
            later[0].cancel()  # its turn has been given, and it has not run since

        first = asyncio.create_task(give_the_turn_and_cancel_it())
        later.extend(asyncio.create_task(send(pool)) for _ in range(2))
        await first
        assert (await later[1]).status == 200
        assert later[0].cancelled()


async def test_warming_does_not_grow_the_pool_beyond_its_limit() -> None:
    """A new connection takes the place of the one idle longest."""
    async with serving(PoolLimits(connections=3)) as (server, pool):
        await pool.warm(5)
        await until(lambda: pool.open == 3)
        assert len(server.streams) == 5


async def test_close_while_connecting_ends_in_unavailable() -> None:
    """No connection outlives the pool that asked for it."""
    async with serving() as (server, pool):
        connecting = asyncio.create_task(send(pool))
        while not pool.busy:  # noqa: ASYNC110 - the first step of the task is enough
            await asyncio.sleep(0)
        await pool.close()
        with pytest.raises(Unavailable, match="stopping"):
            await connecting
        assert server.requests == []


async def test_ten_thousand_cancels_leave_the_pool_whole() -> None:
    """Whenever callers go away, slots come back and answers stay with their requests (F26)."""
    source = random.Random(26)

    async def echo(stream: Stream, request: bytes) -> None:
        body = request.partition(b"\r\n\r\n")[2]
        await stream.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async with serving(PoolLimits(connections=8, total=5, wait=5)) as (server, pool):
        server.always = echo

        async def one(number: int) -> None:
            body = b"%05d" % number
            reply = await send(pool, is_write=True, request=b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n" + body)
            assert reply.body == body

        for start in range(0, 10_000, 50):
            tasks = [asyncio.create_task(one(start + offset)) for offset in range(50)]
            for task in tasks:
                for _ in range(source.randint(0, 3)):
                    await asyncio.sleep(0)
                if source.random() < 0.8:
                    task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        await until(lambda: pool.busy == 0)
        assert pool.open <= 8
        await asyncio.gather(*(one(number) for number in range(20)))
        assert max(Counter(server.requests).values()) <= 2


async def test_a_cancelled_write_is_finished_on_its_connection() -> None:
    """The exchange goes on without its caller, and the connection serves the next one."""
    async with serving(PoolLimits(total=5)) as (server, pool):
        go = asyncio.Event()

        async def slow(stream: Stream, request: bytes) -> None:
            await go.wait()
            await stream.say(OK.replace(b"{}", b"[]"))

        server.scripts.append(slow)
        task = asyncio.create_task(send(pool, is_write=True))
        await until(lambda: len(server.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.busy == 1
        go.set()
        await until(lambda: pool.busy == 0)
        assert (await send(pool)).body == b"{}"
        assert len(server.streams) == 1


async def test_a_failing_announcement_sends_nothing_and_keeps_the_connection() -> None:
    """If the decision cannot be recorded, no byte leaves."""

    def refuse() -> None:
        raise Unavailable(Reason.AUDIT_UNAVAILABLE, "no")

    async with serving() as (server, pool):
        with pytest.raises(Unavailable):
            await pool.send(REQUEST, is_write=True, sent=refuse)
        assert pool.busy == 0
        assert (await send(pool)).status == 200
        assert len(server.requests) == len(server.streams) == 1


async def test_two_principals_interleaved_are_never_mixed() -> None:
    """Ten thousand requests of two signers over one pool: each gets the answer to its own key and body (F29)."""

    async def mirror(stream: Stream, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        key = re.search(rb"Credential=(\w+)/", head)
        assert key
        said = b'{"key":"%b","body":%b}' % (key[1], body)
        await stream.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said))

    async with serving(PoolLimits(connections=16, wait=30, waiting=10_000)) as (server, pool):
        server.always = mirror
        endpoint = Endpoint("http", "127.0.0.1", server.port, "us-east-1")

        async def speak(name: str) -> None:
            for number in range(250):
                keys = Credentials(name, "secret " + name, "token" + name, number // 50)  # a session that rotates
                body = b'"%b %d"' % (name.encode(), number)
                request = signed_request(endpoint, b"DynamoDB_20120810.PutItem", body, keys, 1e9 + number)
                reply = await send(pool, is_write=True, request=request)
                assert reply.body == b'{"key":"%b","body":%b}' % (name.encode(), body)

        await asyncio.gather(*(speak(("AKIDONE", "AKIDTWO")[number % 2]) for number in range(40)))
        assert len(server.requests) == 10_000
        assert len(server.streams) <= 16


async def test_close_ends_what_runs_and_what_waits() -> None:
    """Nothing hangs when the gateway stops, and nothing starts after."""
    async with serving(PoolLimits(connections=1)) as (server, pool):
        server.always = hang
        running = asyncio.create_task(send(pool, is_write=True))
        await until(lambda: len(server.requests) == 1)
        waiting = asyncio.create_task(send(pool, is_write=True))
        await asyncio.sleep(0)
        await pool.close()
        with pytest.raises(Broken, match="stopping"):
            await running
        with pytest.raises(Unavailable, match="stopping"):
            await waiting
        with pytest.raises(Unavailable, match="stopping"):
            await send(pool)
