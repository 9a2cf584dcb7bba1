"""The raw client, the scripted origin and the app servers, before any other test trusts what they report."""

from __future__ import annotations

import asyncio

import pytest

from .client import RawClient, connect
from .origin import Origin, byte_by_byte, end_of_input, expect, half_close, request, reset, response, until, wait
from .servers import KINDS, TRANSPORTS, AppServers

GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"


def target(origin: Origin) -> tuple[str, int]:
    host, _, port = origin.address.rpartition(":")
    return host, int(port)


async def test_request_and_response_are_read_whole() -> None:
    answer = response(b"hello", headers=[b"Set-Cookie: a", b"Set-Cookie: b"])
    async with Origin([request(), answer], forever=True) as origin, connect(target(origin)) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" + GET)
        first, second = await client.response(), await client.response()
    assert (first.status, first.body, first.all(b"set-cookie")) == (200, b"hello", [b"a", b"b"])
    assert second.body == b"hello"
    assert [(r.method, r.target, r.body) for r in origin.requests] == [
        (b"POST", b"/", b"hi"),
        (b"GET", b"/a?b=c", b""),
    ]
    assert bytes(origin.peers[0].received).endswith(GET)


async def test_byte_by_byte_in_both_directions() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
    async with Origin([request(), byte_by_byte(chunked)]) as origin, connect(target(origin)) as client:
        await client.send_byte_by_byte(GET)
        got = await client.response()
    assert (got.body, got.trailers) == (b"abc", [(b"x-t", b"1")])


async def test_steps_on_literal_bytes() -> None:
    go = asyncio.Event()
    script = [until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n", expect(b"body"), wait(go), response(b"x")]
    async with Origin([*script, half_close, end_of_input]) as origin, connect(target(origin)) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo")
        await client.send(b"dy")
        go.set()
        got = await client.response(b"POST")
        assert [interim.status for interim in got.interim] == [100]
        assert await client.closed()


async def test_upgrade_hands_over_what_follows() -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nfirst"
    async with (
        Origin([until(b"\r\n\r\n"), switched, end_of_input]) as origin,
        connect(target(origin)) as client,
    ):
        await client.send(GET)
        assert (await client.response(upgrade=b"echo")).status == 101
        assert await client.read_exactly(5) == b"first"


async def test_a_reset_is_seen_as_closed() -> None:
    async with Origin([until(b"\r\n\r\n"), reset]) as origin, connect(target(origin)) as client:
        await client.send(GET)
        assert await client.closed()


async def test_a_script_that_goes_wrong_fails_the_test() -> None:
    with pytest.raises(AssertionError):
        async with Origin([expect(b"PUT")]) as origin, connect(target(origin)) as client:
            await client.send(GET)
            await client.read_to_end()


async def test_a_stopped_origin_refuses() -> None:
    async with Origin([request(), response()]) as origin:
        where = target(origin)
    with pytest.raises(ConnectionRefusedError):
        async with connect(where):
            pass


@pytest.mark.processes
@pytest.mark.xdist_group("app_servers")
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", KINDS)
async def test_app_servers_answer(app_servers: AppServers, kind: str, transport: str) -> None:
    address = app_servers.get(kind, transport).address
    host, _, port = address.rpartition(":")
    async with connect(address if transport == "unix" else (host, int(port))) as client:
        await check_app(client)


async def check_app(client: RawClient) -> None:
    shown = await client.request(b"GET /show?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert shown.status == 200
    assert b'"/show?x=1"' in shown.body
