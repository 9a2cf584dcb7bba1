"""Rate limits that several machines count together, in a real Redis server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from proxy.limits.rate import StoreSpec
from proxy.metrics import L_REMOTE_FAILED, L_TAKEN
from proxy.server.proxy import Proxy
from proxy.stages.shared_limits import SharedBuckets
from tests.support.client import connect
from tests.support.origin import Origin, Script, never, request, response, tell, until
from tests.support.path import GET, made, until_true
from tests.support.redis import program, redis_server
from tests.support.running import running

pytestmark = pytest.mark.skipif(program() is None, reason="no Redis server here, and no wheel of one for this Python")

OK: Script = [request(), response(b"ok")]


def yaml(origin: Origin, url: str, rate: str = "3/h", timeout: str = "5s") -> str:
    return (
        f"rate_limits: {{all: {{rate: {rate}, key: [], shared: {{url: '{url}', timeout: {timeout}}}}}}}\n"
        f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\nroutes: [{{upstream: app, rate_limits: [all]}}]"
    )


def counted(proxy: Proxy, cell: int) -> int:
    return int(proxy.board.limit_row("all")[cell])


async def test_two_machines_count_together(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as url, Origin(OK, forever=True) as origin:
        async with running(yaml(origin, url)) as one, running(yaml(origin, url)) as two:
            async with connect(one.address) as first, connect(two.address) as second:
                found = [await client.request(GET) for client in (first, second, first, second, first)]
        assert [each.status for each in found] == [200, 200, 200, 429, 429]
        assert 1190 <= int(found[3].header(b"retry-after") or b"") <= 1200
        assert len(origin.requests) == 3


async def test_many_at_a_time_get_no_more_than_there_is(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as url, Origin(OK, forever=True) as origin:
        async with running(yaml(origin, url, rate="20/h")) as one, running(yaml(origin, url, rate="20/h")) as two:

            async def ask(address: tuple[str, int] | str) -> int:
                async with connect(address) as client:
                    return (await client.request(GET)).status

            found = await asyncio.gather(*(ask(each.address) for each in (one, two) for _ in range(30)))
            assert sorted(found) == [200] * 20 + [429] * 40
            assert counted(one.proxy, L_TAKEN) + counted(two.proxy, L_TAKEN) == 20


async def test_without_the_store_the_machine_counts_alone(tmp_path: Path) -> None:
    async with Origin(OK, forever=True) as origin:
        async with running(yaml(origin, f"unix://{tmp_path}/none")) as proxy, connect(proxy.address) as client:
            assert [(await client.request(GET)).status for _ in range(4)] == [200, 200, 200, 429]
            assert counted(proxy.proxy, L_REMOTE_FAILED) == 3


async def test_a_store_that_does_not_answer_costs_one_time_out() -> None:
    async with Origin([never], [never]) as silent, Origin(OK, forever=True) as origin:
        url = f"redis://{silent.address}/0"
        async with running(yaml(origin, url, timeout="200ms")) as proxy, connect(proxy.address) as client:
            assert [(await client.request(GET)).status for _ in range(4)] == [200, 200, 200, 429]
            assert counted(proxy.proxy, L_REMOTE_FAILED) == 3


async def test_a_client_that_leaves_while_the_store_is_asked_leaves_nothing_behind() -> None:
    asked = asyncio.Event()
    async with Origin([until(b"\r\n"), tell(asked), never], [never]) as silent, Origin(OK, forever=True) as origin:
        url = f"redis://{silent.address}/0"
        async with running(yaml(origin, url, timeout="2s") + "\ntimeouts: {half_close: 20ms}") as proxy:
            async with connect(proxy.address) as client:
                await client.send(GET)
                await asked.wait()
            await until_true(lambda: proxy.proxy.counters.in_flight == 0)
            async with connect(proxy.address) as client:
                assert (await client.request(GET)).status == 200
        assert len(origin.requests) == 1


async def test_a_request_that_waited_for_the_store_and_is_refused_is_told_so(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as url, Origin(OK, forever=True) as origin:
        async with running(yaml(origin, url, rate="1/h")) as one, running(yaml(origin, url, rate="1/h")) as two:
            async with connect(one.address) as first, connect(two.address) as second:
                assert (await first.request(GET)).status == 200
                assert made(await second.request(GET)) == (429, "admit.rate_limited")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ValueError, match=r"pip install qantara\[redis\]"):
        SharedBuckets(StoreSpec("redis://127.0.0.1:1/0", 1.0, ""))
