"""The connections of the data plane, over real sockets: order, deadlines, limits, departures."""

from __future__ import annotations

import asyncio
import socket
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.refusal import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.0\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
MIB = 1024 * 1024


def post(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    """A request for the echo pipeline."""
    extra = b"".join(header + b"\r\n" for header in headers)
    return HEAD + extra + b"content-length: %d\r\n\r\n" % (len(body) if length is None else length) + body


async def test_a_request_is_answered_with_framing_and_date_of_the_edge(start: Callable[..., Any]) -> None:
    """Status, length, date, then the reply's headers; the connection stays open for the next."""
    bench = await start()
    wire = await bench.connect()
    for number in (b"1", b"2"):
        wire.send(post(b"{}"))
        status, headers, body = await wire.reply()
        assert (status, body, headers[b"x-order"]) == (200, b"{}", number)
        assert headers[b"date"].endswith(b"GMT")
        assert b"connection" not in headers
    assert bench.pipeline.heads[0].peer.startswith("127.0.0.1:")


async def test_health_is_told_without_a_token(start: Callable[..., Any]) -> None:
    """`GET /healthz` does not reach the pipeline; a thousand of them in one piece are answered too."""
    bench = await start()
    wire = await bench.connect()
    wire.send(HEALTH * 1000)
    for _ in range(1000):
        assert (await wire.reply())[0] == 200
    assert not bench.pipeline.heads


BEHIND = post(b"smuggled")
REFUSED = {
    "http 0.9": (b"GET /\r\n", Reason.MALFORMED_REQUEST),
    "http 2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reason.MALFORMED_REQUEST),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Reason.MALFORMED_REQUEST),
    "length and chunks": (post(b"5\r\nabcde\r\n0\r\n\r\n", b"transfer-encoding: chunked"), Reason.MALFORMED_REQUEST),
    "two lengths": (post(b"abc", b"content-length: 40"), Reason.MALFORMED_REQUEST),
    "trailers": (
        HEAD + b"transfer-encoding: chunked\r\ntrailer: x-amz-target\r\n\r\n0\r\nx-amz-target: a\r\n\r\n",
        Reason.MALFORMED_REQUEST,
    ),
    "bare line feeds": (b"POST / HTTP/1.1\nhost: a\ncontent-length: 0\n\n", Reason.MALFORMED_REQUEST),
    "two hosts": (post(b"", b"host: other"), Reason.MALFORMED_REQUEST),
    "gzip": (post(b"\x1f\x8b", b"content-encoding: gzip"), Reason.MALFORMED_REQUEST),
    "20 MiB announced": (post(b"", length=20 * MIB), Reason.TOO_LARGE),
    "endless head": (HEAD + b"a: " + b"b" * 40_000, Reason.TOO_LARGE),
    "other route": (b"GET /v1/tokens HTTP/1.1\r\nhost: a\r\n\r\n", Reason.UNSUPPORTED_ROUTE),
    "text": (
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\na=b",
        Reason.UNSUPPORTED_ROUTE,
    ),
}


@pytest.mark.parametrize(("raw", "reason"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("before", [b"", HEALTH])
async def test_a_refusal_is_answered_and_ends_the_connection(
    start: Callable[..., Any], raw: bytes, reason: Reason, before: bytes
) -> None:
    """One answer with `Connection: close`, then the end; what stands behind never reaches the pipeline."""
    bench = await start()
    wire = await bench.connect()
    wire.send(before + raw + BEHIND)
    if before:
        assert (await wire.reply())[0] == 200
    _, headers, _ = await wire.reply()
    assert headers[b"connection"] == b"close"
    assert await wire.rest() == b""
    assert [refusal.reason for refusal in bench.pipeline.refusals] == [reason]
    assert not bench.pipeline.heads


async def test_the_refusal_of_a_large_body_can_be_read_by_a_client_that_is_still_sending(start: Callable[..., Any]) -> None:
    """The bytes behind are swallowed for a while, so that no reset destroys the answer."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"a" * 20 * MIB))
    await wire.writer.drain()
    assert (await wire.reply())[0] == 413
    assert await wire.rest() == b""


async def test_pipelined_requests_are_answered_in_order_and_judged_alone(start: Callable[..., Any]) -> None:
    """Three in one piece: three heads, three answers, in order, one at a time."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"one", b"x-do: wait", b"authorization: a") + post(b"two", b"x-do: refuse") + post(b"three"))
    await bench.pipeline.started.wait()
    assert len(bench.pipeline.heads) == 1
    bench.pipeline.go.set()
    assert [(await wire.reply())[2] for _ in range(3)] == [b"one", b"refused unread", b"three"]
    assert b"authorization" not in bench.pipeline.heads[2].headers


async def test_pipelined_requests_that_wait_for_nothing_leave_turns_to_the_others(start: Callable[..., Any]) -> None:
    """Thousands that are refused unread, in one piece from one caller without a token, held the loop for seconds."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"", b"x-do: refuse") * 500)
    seen = [0]
    async with asyncio.timeout(10):
        while seen[-1] < 500:
            await asyncio.sleep(0)
            seen.append(len(bench.pipeline.heads))
    assert max(after - before for before, after in pairwise(seen)) <= 2
    for _ in range(500):
        assert (await wire.reply())[0] == 400


async def test_a_request_behind_a_close_is_not_served(start: Callable[..., Any]) -> None:
    """`Connection: close` means it."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"one", b"connection: close") + post(b"two"))
    _, headers, body = await wire.reply()
    assert (body, headers[b"connection"]) == (b"one", b"close")
    assert await wire.rest() == b""
    assert bench.pipeline.bodies == [b"one"]


async def test_a_flood_behind_a_running_request_is_not_taken_into_memory(start: Callable[..., Any]) -> None:
    """The queue is bounded: reading stops, and goes on when the running request ends."""
    bench = await start()
    wire = await bench.connect()
    flood = post(b"a" * 1000) * 2000
    wire.send(post(b"", b"x-do: wait") + flood)
    (connection,) = bench.edge.connections
    await bench.pipeline.started.wait()
    await bench.until(lambda: connection._reading_paused)
    assert len(connection._buffer) < MIB
    bench.pipeline.go.set()
    for _ in range(2001):
        assert (await wire.reply())[0] == 200


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("option", [b"x-do: late", b"x-do: refuse-late"])
async def test_a_connection_is_read_again_after_a_body_that_came_before_it_was_asked_for(
    start: Callable[..., Any], option: bytes, at_once: bool
) -> None:
    """A whole body of more than is read ahead stops reading while its token is verified; taken or dropped, the next is heard."""
    bench = await start()
    wire = await bench.connect()
    head, _, body = post(b"x" * 100_000, option).partition(b"\r\n\r\n")
    if at_once:
        wire.send(head + b"\r\n\r\n" + body)
    else:
        wire.send(head + b"\r\n\r\n")
        await bench.until(lambda: bool(bench.pipeline.heads))
        wire.send(body)
        await bench.until(lambda: [len(connection._buffer) for connection in bench.edge.connections] == [100_000])
    await bench.until(lambda: bool(bench.pipeline.heads))
    bench.pipeline.go.set()
    assert (await wire.reply())[0] == (200 if option == b"x-do: late" else 400)
    wire.send(post(b"{}"))
    assert (await wire.reply())[2] == b"{}"


async def test_the_body_is_invited_when_it_is_asked_for(start: Callable[..., Any]) -> None:
    """`Expect: 100-continue` gets its interim answer from the pipeline's `read`, not before."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"", b"expect: 100-continue", length=3))
    assert await wire.reply() == (100, {}, b"")
    wire.send(b"abc")
    assert (await wire.reply())[2] == b"abc"


async def test_a_body_that_nobody_asks_for_is_not_invited(start: Callable[..., Any]) -> None:
    """A refusal before the body is the only answer, and the connection ends for its bytes may still come."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"", b"expect: 100-continue", b"x-do: refuse", length=3))
    status, headers, _ = await wire.reply()
    assert (status, headers[b"connection"]) == (400, b"close")
    wire.send(b"abc" + BEHIND)
    assert await wire.rest() == b""
    assert len(bench.pipeline.heads) == 1


async def test_a_body_in_many_pieces_is_whole(start: Callable[..., Any]) -> None:
    """Nothing is lost or added between the pieces, and the next request starts behind the last byte."""
    bench = await start()
    wire = await bench.connect()
    body = bytes(range(256)) * 4096
    whole = post(body) + post(b"next")
    for at in range(0, len(whole), 50_001):
        wire.send(whole[at : at + 50_001])
        await wire.writer.drain()
    assert (await wire.reply())[2] == body
    assert (await wire.reply())[2] == b"next"
    assert bench.edge.body_bytes == 0


@pytest.mark.parametrize("first", [b"", b"P", HEAD])
async def test_a_connection_that_does_not_finish_its_head_is_closed(start: Callable[..., Any], first: bytes) -> None:
    """Silent ones are closed without a word, slow ones hear why."""
    bench = await start(head_seconds=0.1, first_byte_seconds=0.1)
    wire = await bench.connect()
    wire.send(first)
    answer = await wire.rest()
    assert bool(answer) is bool(first)
    assert [refusal.reason for refusal in bench.pipeline.refusals] == [Reason.TOO_SLOW] * bool(first)


async def test_a_head_that_drips_is_closed_at_its_deadline(start: Callable[..., Any]) -> None:
    """The time counts from the first byte; further bytes do not prolong it."""
    bench = await start(head_seconds=0.2)
    wire = await bench.connect()

    async def drip() -> None:
        while True:
            wire.send(b"POST / HTTP/1.1\r\na: b"[:1] if not bench.pipeline.refusals else b"")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    await wire.reply()
    dripping.cancel()
    assert bench.pipeline.refusals[0].reason is Reason.TOO_SLOW


async def test_a_slow_body_is_refused_and_the_connection_closed(start: Callable[..., Any]) -> None:
    """`read` raises `too_slow` at the body's deadline."""
    bench = await start(body_seconds=0.1)
    wire = await bench.connect()
    wire.send(post(b"ab", length=3))
    _, headers, body = await wire.reply()
    assert (body, headers[b"connection"]) == (b"too_slow", b"close")
    assert await wire.rest() == b""


async def test_an_idle_connection_is_closed(start: Callable[..., Any]) -> None:
    """Between two requests there is a deadline of its own."""
    bench = await start(idle_seconds=0.1)
    wire = await bench.connect()
    wire.send(HEALTH)
    await wire.reply()
    assert await wire.rest() == b""


async def test_a_caller_that_does_not_read_is_cut_off(start: Callable[..., Any]) -> None:
    """An answer that nobody takes is dropped with its connection, and no further request is served meanwhile."""
    bench = await start(write_seconds=0.1)
    raw = socket.create_connection(("127.0.0.1", bench.port))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.sendall(post(b"", b"x-do: large") + post(b"second"))
    await bench.until(lambda: bool(bench.pipeline.bodies) and not bench.edge.connections)
    assert bench.pipeline.bodies == [b""]
    raw.close()


@pytest.mark.parametrize("option", [b"connection: keep-alive", b"connection: close"])
async def test_a_caller_that_reads_slowly_is_not_cut_off(start: Callable[..., Any], option: bytes) -> None:
    """The deadline is for those who take nothing; who takes a little each time gets the whole answer."""
    bench = await start(write_seconds=0.2, linger_seconds=0.2, idle_seconds=0.2)
    raw = socket.create_connection(("127.0.0.1", bench.port))
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(raw, post(b"", b"x-do: large", option))
    received = 0
    while piece := await loop.sock_recv(raw, 400_000):
        received += len(piece)
        await asyncio.sleep(0.04)
    assert received > 8_000_000
    raw.close()


async def test_a_slow_reader_gets_all_and_its_next_answer(start: Callable[..., Any]) -> None:
    """When the caller catches up, the conversation goes on."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"", b"x-do: large") + post(b"second"))
    assert len((await wire.reply())[2]) == 8_000_000
    assert (await wire.reply())[2] == b"second"


async def test_a_caller_that_leaves_is_told_to_the_running_request(start: Callable[..., Any]) -> None:
    """The request is not cancelled, `gone` becomes true and the answer is dropped."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"{}", b"x-do: wait"))
    await bench.pipeline.started.wait()
    (connection,) = bench.edge.connections
    wire.writer.close()
    await bench.until(lambda: connection.gone)
    assert len(bench.edge.requests) == 1
    bench.pipeline.go.set()
    await bench.pipeline.left.wait()
    assert bench.pipeline.endings == ["gone"]
    await bench.until(lambda: not bench.edge.requests and not bench.edge.connections)


async def test_a_reset_is_told_to_the_running_request(start: Callable[..., Any]) -> None:
    """A reset connection ends at once; its request runs on, counted apart."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"{}", b"x-do: wait"))
    await bench.pipeline.started.wait()
    wire.writer.transport.abort()
    await bench.until(lambda: not bench.edge.connections or next(iter(bench.edge.connections)).gone)
    bench.pipeline.go.set()
    await bench.pipeline.left.wait()
    assert bench.pipeline.endings == ["gone"]


async def test_a_departure_that_nobody_has_read_of_yet_ends_its_own_connection_only(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Reading is paused behind a running request; whoever answers it, another request's reply perhaps, goes on undisturbed."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"{}", b"x-do: wait", b"connection: close") + b"x" * 200_000)
    await bench.until(lambda: [connection._reading_paused for connection in bench.edge.connections] == [True])
    wire.writer.close()
    await wire.writer.wait_closed()
    bench.pipeline.go.set()  # what is written now is answered by a reset
    await bench.until(lambda: not bench.edge.requests and not bench.edge.connections)
    assert not caplog.records


async def test_a_caller_that_leaves_within_its_body_abandons_it(start: Callable[..., Any]) -> None:
    """A body is valid only when it is whole."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"ab", length=3))
    await bench.pipeline.started.wait()
    wire.writer.close()
    await bench.pipeline.left.wait()
    assert bench.pipeline.endings == ["abandoned"]
    assert not bench.pipeline.bodies


async def test_a_half_closed_caller_still_hears_its_answer(start: Callable[..., Any]) -> None:
    """Someone who only says that nothing more comes (`nc -N`) is answered."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"{}"))
    wire.writer.write_eof()
    assert (await wire.rest()).endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("end", ["eof", "drain", "leave"])
async def test_an_answer_is_not_lost_to_what_ends_its_connection_in_the_same_turn(start: Callable[..., Any], end: str) -> None:
    """The caller's half close, a drain, or an answer that is the last one: what was answered before is written before."""
    bench = await start()
    wire = await bench.connect()
    await bench.until(lambda: bench.edge.connections)
    (connection,) = bench.edge.connections
    connection.data_received(post(b"{}"))
    if end == "eof" and not connection.eof_received():
        connection._transport.close()  # as the loop does
    elif end == "drain":
        connection.close_if_idle()
    elif end == "leave":
        connection.data_received(post(b"{}", b"x-do: none"))
    assert (await wire.reply())[::2] == (200, b"{}")
    assert await wire.rest() == b""


@pytest.mark.parametrize("do", [b"none", b"crash", b"twice"])
async def test_a_request_without_an_answer_ends_its_connection(
    start: Callable[..., Any], do: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether abandoned or by a defect: the caller never waits for nothing."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"", b"x-do: " + do) + BEHIND)
    assert await wire.rest() == b""
    assert bool(caplog.records) is (do != b"none")
    assert bench.pipeline.bodies == [b""]


async def test_large_bodies_share_one_budget(start: Callable[..., Any]) -> None:
    """What does not fit is refused at once, small requests pass, and the memory is given back."""
    bench = await start(bodies_in_memory=MIB)
    first, second, third = [await bench.connect() for _ in range(3)]
    first.send(post(b"a" * 700_000, b"x-do: wait"))
    await bench.until(lambda: bool(bench.pipeline.bodies))
    assert bench.edge.body_bytes == 700_000
    second.send(post(b"", length=700_000))
    status, headers, body = await second.reply()
    assert (status, body, headers[b"connection"]) == (400, b"overloaded", b"close")
    third.send(post(b"small"))
    assert (await third.reply())[2] == b"small"
    bench.pipeline.go.set()
    await first.reply()
    assert bench.edge.body_bytes == 0


async def test_connections_over_the_limit_hear_why(start: Callable[..., Any]) -> None:
    """One too many is answered and closed; when one leaves there is room again."""
    bench = await start(connections=1)
    first, second = await bench.connect(), await bench.connect()
    assert (await second.reply())[0] == 400
    assert await second.rest() == b""
    assert bench.pipeline.refusals[0].reason is Reason.OVERLOADED
    first.writer.close()
    second.writer.close()
    await bench.until(lambda: not bench.edge.connections)
    third = await bench.connect()
    third.send(HEALTH)
    assert (await third.reply())[0] == 200


async def test_answers_say_goodbye_while_draining(start: Callable[..., Any]) -> None:
    """Requests that still come are served, and their connections closed."""
    bench = await start()
    wire = await bench.connect()
    bench.edge.is_draining = True
    wire.send(post(b"{}"))
    status, headers, _ = await wire.reply()
    assert (status, headers[b"connection"]) == (200, b"close")
    assert await wire.rest() == b""


async def test_draining_waits_for_what_runs_and_closes_what_is_idle(start: Callable[..., Any]) -> None:
    """An idle connection ends at once, a running request gets its answer, and a budget that is too short is told."""
    bench = await start()
    idle, busy = await bench.connect(), await bench.connect()
    busy.send(post(b"{}", b"x-do: wait"))
    await bench.pipeline.started.wait()
    assert not await bench.edge.drain(0.05)
    assert await idle.rest() == b""
    bench.pipeline.go.set()
    assert (await busy.reply())[2] == b"{}"
    busy.writer.close()
    assert await bench.edge.drain(10)


async def test_draining_closes_a_caller_that_was_still_reading(start: Callable[..., Any]) -> None:
    """An answer from before the drain is flushed whole; then its connection is idle and ends."""
    bench = await start()
    wire = await bench.connect()
    wire.send(post(b"", b"x-do: large"))
    (connection,) = bench.edge.connections
    await bench.until(lambda: connection._writing_paused)
    bench.edge.is_draining = True
    draining = asyncio.create_task(bench.edge.drain(10))
    assert len((await wire.reply())[2]) == 8_000_000
    assert await wire.rest() == b""
    assert await draining


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_random_bytes_end_in_a_refusal_or_in_silence(start: Callable[..., Any], data: st.DataObject) -> None:
    """Whatever is sent in whatever pieces: the loop sees no error and the connection ends."""
    loop = asyncio.get_running_loop()
    errors: list[object] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    bench = await start(head_seconds=0.02, first_byte_seconds=0.02, body_seconds=0.02, idle_seconds=0.02, linger_seconds=0.02)
    wire = await bench.connect()
    pieces = st.one_of(
        st.binary(max_size=40), st.sampled_from([HEAD, HEALTH, b"\r\n", b"\r\n\r\n", b"content-length: 3", post(b"abc")])
    )
    for piece in data.draw(st.lists(pieces, max_size=6)):
        wire.send(piece)
    await wire.rest()
    assert not errors
