"""Real clients (curl, aiohttp, httpx, requests, websockets) through the proxy to real app servers
(uvicorn with Starlette, gunicorn, aiohttp), over TCP and Unix sockets.

What is streamed is proved by order, not by time: a second event is only sent after the client has seen the
first one and asked for more.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests
import websockets

from tests.support.apps import CHUNK, COOKIES, FIRST_EVENT, SECOND_EVENT
from tests.support.running import Running, running, to_backends
from tests.support.servers import KINDS, TRANSPORTS, AppServers

pytestmark = [pytest.mark.xdist_group("app_servers"), pytest.mark.processes]

BIG = bytes(range(256)) * 4096 * 5
"""5 MiB: larger than all buffers on the way."""
EVERYWHERE = [(kind, transport) for kind in KINDS for transport in TRANSPORTS]
WITH_WEBSOCKET = [(kind, transport) for kind, transport in EVERYWHERE if kind != "gunicorn"]


@pytest.fixture(params=EVERYWHERE, ids="-".join)
async def proxy(request: pytest.FixtureRequest, app_servers: AppServers) -> AsyncIterator[Running]:
    kind, transport = request.param
    async with running(to_backends(app_servers.get(kind, transport).address)) as proxy:
        yield proxy


@pytest.fixture
async def aio(proxy: Running) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(proxy.url) as session:
        yield session


@pytest.fixture
async def client(proxy: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=proxy.url, trust_env=False, verify=False) as client:
        yield client


async def curl(*arguments: str) -> bytes:
    """Run curl; a status of its own other than 0 fails."""
    process = await asyncio.create_subprocess_exec(
        "curl",
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out


# --- curl --------------------------------------------------------------------------------------------


async def test_curl_get(proxy: Running) -> None:
    shown = json.loads(await curl("-H", "X-Mine: 7", f"{proxy.url}/show?a=%20b&c"))
    headers = dict(shown["headers"])
    assert (shown["method"], shown["path"]) == ("GET", "/show?a=%20b&c")
    assert headers["host"] == proxy.url.removeprefix("http://")
    assert headers["x-mine"] == "7"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["via"].endswith("qantara")
    assert headers["x-request-id"]


async def test_curl_head(proxy: Running) -> None:
    head = await curl("--head", f"{proxy.url}/bytes/1234")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"content-length: 1234" in head.lower()


async def test_curl_upload_waits_for_100_continue(proxy: Running, tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(BIG)
    expect = ("-H", "Expect: 100-continue", "--expect100-timeout", "10")
    echoed = await curl(*expect, "--data-binary", f"@{file}", f"{proxy.url}/echo")
    assert hashlib.sha256(echoed).digest() == hashlib.sha256(BIG).digest()


async def test_curl_http10(proxy: Running) -> None:
    answer = await curl("--http1.0", "-i", f"{proxy.url}/bytes/10")
    assert answer.endswith(b"\r\n\r\n" + b"x" * 10)
    assert b"transfer-encoding" not in answer.lower()


async def test_curl_reuses_its_connection(proxy: Running) -> None:
    url = f"{proxy.url}/bytes/1"
    counts = await curl("-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects}", url, url)
    assert counts == b"10"


# --- httpx -------------------------------------------------------------------------------------------


async def test_httpx_statuses(client: httpx.AsyncClient) -> None:
    for status in (200, 204, 304, 404, 500):
        assert (await client.get(f"/status/{status}")).status_code == status
    assert (await client.get("/nowhere")).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_httpx_methods(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/show")
    assert answer.json()["method"] == method


async def test_httpx_cookies_stay_separate_lines(client: httpx.AsyncClient) -> None:
    answer = await client.get("/cookies")
    assert answer.headers.get_list("set-cookie") == list(COOKIES)


async def test_httpx_post_with_length(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", content=BIG)
    assert answer.status_code == 200
    assert answer.content == BIG


async def test_httpx_post_chunked(client: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(BIG), 100_000):
            yield BIG[start : start + 100_000]

    answer = await client.post("/echo", content=parts())
    assert answer.content == BIG


async def test_httpx_server_sent_events_are_not_buffered(client: httpx.AsyncClient) -> None:
    gate = uuid.uuid4().hex
    async with client.stream("GET", f"/events?{gate}") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        received = events.aiter_raw()
        seen = await anext(received)
        assert seen == FIRST_EVENT
        assert (await client.post(f"/release?{gate}")).status_code == 200
        rest = [part async for part in received]
        assert b"".join(rest) == SECOND_EVENT


# --- aiohttp -----------------------------------------------------------------------------------------


async def test_aiohttp_streaming_download(aio: aiohttp.ClientSession) -> None:
    async with aio.get("/stream/5000") as answer:
        assert answer.status == 200
        size = 0
        async for part in answer.content.iter_any():
            size += len(part)
    assert size == 5000 * len(CHUNK)


async def test_aiohttp_empty_and_large_bodies(aio: aiohttp.ClientSession) -> None:
    for count in (0, 1, 65_536, 4_000_000):
        async with aio.get(f"/bytes/{count}") as answer:
            assert len(await answer.read()) == count


async def test_aiohttp_many_at_once(aio: aiohttp.ClientSession) -> None:
    async def one(number: int) -> str:
        async with aio.get(f"/show?n={number}") as answer:
            return str(json.loads(await answer.read())["path"])

    paths = await asyncio.gather(*(one(number) for number in range(100)))
    assert paths == [f"/show?n={number}" for number in range(100)]


async def test_aiohttp_leaves_in_the_middle(aio: aiohttp.ClientSession) -> None:
    async with aio.get("/stream/50000") as answer:
        await answer.content.readexactly(1)
        answer.close()
    async with aio.get("/bytes/3") as answer:
        assert await answer.read() == b"xxx"


# --- requests ----------------------------------------------------------------------------------------


async def test_requests_session(proxy: Running) -> None:
    def use() -> list[tuple[int, bytes]]:
        with requests.Session() as session:
            session.trust_env = False
            answers = [
                session.get(f"{proxy.url}/bytes/5", timeout=10),
                session.post(f"{proxy.url}/echo", data=b"body", timeout=10),
                session.post(f"{proxy.url}/echo", data=iter([b"in ", b"chunks"]), timeout=10),
                session.head(f"{proxy.url}/bytes/5", timeout=10),
            ]
            return [(answer.status_code, answer.content) for answer in answers]

    assert await asyncio.to_thread(use) == [(200, b"xxxxx"), (200, b"body"), (200, b"in chunks"), (200, b"")]


# --- websockets --------------------------------------------------------------------------------------


def ws_url(proxy: Running) -> str:
    return proxy.url.replace("http://", "ws://") + "/ws"


@pytest.mark.parametrize("proxy", WITH_WEBSOCKET, indirect=True, ids="-".join)
async def test_websocket_echo(proxy: Running) -> None:
    async with websockets.connect(ws_url(proxy), proxy=None, compression=None) as socket:
        for message in ("text", "", b"\x00binary", "x" * 300_000):
            await socket.send(message)
            assert await socket.recv() == message
        await (await socket.ping())


@pytest.mark.parametrize("proxy", WITH_WEBSOCKET, indirect=True, ids="-".join)
async def test_websocket_subprotocol_and_compression(proxy: Running) -> None:
    offered = [websockets.Subprotocol("chat")]
    async with websockets.connect(ws_url(proxy), proxy=None, subprotocols=offered) as socket:
        assert socket.subprotocol == "chat"
        await socket.send("a" * 10_000)
        assert await socket.recv() == "a" * 10_000


@pytest.mark.parametrize("proxy", WITH_WEBSOCKET, indirect=True, ids="-".join)
@pytest.mark.parametrize("code", [1000, 3000, 4999])
async def test_websocket_close_code_of_the_server(proxy: Running, code: int) -> None:
    async with websockets.connect(ws_url(proxy), proxy=None) as socket:
        await socket.send(f"close {code}")
        await socket.wait_closed()
    assert (socket.close_code, socket.close_reason) == (code, "as asked")


@pytest.mark.parametrize("proxy", WITH_WEBSOCKET, indirect=True, ids="-".join)
async def test_websocket_closed_by_the_client(proxy: Running) -> None:
    async with websockets.connect(ws_url(proxy), proxy=None) as socket:
        await socket.close(4001, "bye")
    # uvicorn answers with the code that it got, aiohttp with 1000; without an answer it would be 1006.
    assert socket.close_code in (4001, 1000)


@pytest.mark.parametrize("proxy", WITH_WEBSOCKET, indirect=True, ids="-".join)
async def test_websocket_aiohttp_client(proxy: Running, aio: aiohttp.ClientSession) -> None:
    async with aio.ws_connect("/ws") as socket:
        await socket.send_bytes(b"abc")
        assert await socket.receive_bytes() == b"abc"


# --- several servers behind one proxy ----------------------------------------------------------------


async def test_all_servers_behind_one_proxy(app_servers: AppServers) -> None:
    addresses = [app_servers.get(kind, transport).address for kind, transport in EVERYWHERE]
    async with (
        running(to_backends(*addresses)) as proxy,
        httpx.AsyncClient(base_url=proxy.url, trust_env=False, verify=False) as client,
    ):
        answers = await asyncio.gather(*(client.post("/echo", content=b"x") for _ in range(60)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, b"x")}
