"""An algorithm of a user's own that really blocks: each request is answered, and soon another algorithm picks.

Law of this file: nothing here is timed. That nobody waits any more is told by how often the algorithm was called.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.balancing.power_of_two import PowerOfTwo
from proxy.balancing.round_robin import RoundRobin
from proxy.balancing.wrappers.time_guard import TimeGuard
from proxy.configuration.load import load_text
from proxy.metrics import U_BALANCER_FAILED, U_BALANCER_SLOW
from tests.balancing.algorithms import Blocks
from tests.support import service
from tests.support.client import connect
from tests.support.launcher import ROOT
from tests.support.origin import origins, request, response
from tests.support.path import GET
from tests.support.plans import linked
from tests.support.running import Running, running, unwatched


async def addresses(stack: AsyncExitStack) -> list[str]:
    """Of two origins."""
    return [f"'{origin.address}'" for origin in await origins(stack, [[request(), response()]] * 2)]


def yaml(backends: list[str], method: str = "pick", more: str = "") -> str:
    balance = f"{{algorithm: 'tests.balancing.algorithms:Blocks', method: {method}{more}}}"
    return (
        f"upstreams: {{app: {{balance: {balance}, backends: [{', '.join(backends)}]}}}}\nroutes: [{{upstream: app}}]\n"
    )


def algorithm_of(proxy: Running) -> Blocks:
    return unwatched(proxy.proxy.plan.groups["app"].balancer, Blocks)


@pytest.mark.parametrize("method", ["pick", "assigned", "released"])
async def test_every_request_is_answered_and_another_algorithm_takes_over(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(running(yaml(await addresses(stack), method)))
        algorithm = algorithm_of(proxy)
        client = await stack.enter_async_context(connect(proxy.address))
        assert [(await client.request(GET)).status for _ in range(30)] == [200] * 30
        assert algorithm.blocked == {method: 5}, "from then on it is not called"
        group = proxy.proxy.plan.groups["app"]
        assert isinstance(group.balancer, PowerOfTwo)
        assert (group.rows[U_BALANCER_FAILED], group.rows[U_BALANCER_SLOW]) == (1, 1)
        assert [backend.in_flight for backend in group.members.all] == [0, 0]
    (line,) = [record for record in caplog.records if "too slow" in record.message]
    assert line.levelno == logging.ERROR
    assert line.exc_info is None
    assert re.fullmatch(
        "upstream app: balancing algorithm tests.balancing.algorithms:Blocks is too slow, power_of_two takes over: "
        rf"{method} took \d+\.\d ms; 5 of the last 13 calls took longer than 10 ms",
        line.message,
    )


async def test_with_many_requests_at_once_those_in_flight_do_not_wait_for_it_again() -> None:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(running(yaml(await addresses(stack), "released")))
        algorithm = algorithm_of(proxy)
        clients = [await stack.enter_async_context(connect(proxy.address)) for _ in range(20)]
        got = await asyncio.gather(*(client.request(GET) for client in clients))
        assert [each.status for each in got] == [200] * 20
        assert algorithm.blocked == {"released": 5}


async def test_a_reload_gives_it_another_chance() -> None:
    async with AsyncExitStack() as stack:
        text = yaml(await addresses(stack)) + "listeners: [{bind: '127.0.0.1:0'}]\naccess_log: null\n"
        proxy = await stack.enter_async_context(running(text))
        client = await stack.enter_async_context(connect(proxy.address))
        group = proxy.proxy.plan.groups["app"]
        for times in (1, 2):
            assert [(await client.request(GET)).status for _ in range(10)] == [200] * 10
            assert isinstance(group.balancer, PowerOfTwo)
            assert group.rows[U_BALANCER_SLOW] == times
            await proxy.proxy.adopt(linked(load_text(text).config, registry=proxy.proxy.registry))
            assert algorithm_of(proxy).blocked == {}


@pytest.mark.parametrize("more", [", slow: 0", ", slow: 1m"])
async def test_as_slow_as_it_is_told_that_it_may_be(more: str) -> None:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(running(yaml(await addresses(stack), more=more)))
        client = await stack.enter_async_context(connect(proxy.address))
        assert [(await client.request(GET)).status for _ in range(10)] == [200] * 10
        group = proxy.proxy.plan.groups["app"]
        assert isinstance(group.balancer, TimeGuard) == ("1m" in more)
        algorithm = group.balancer.inner if "1m" in more else group.balancer
        assert algorithm.blocked == {"pick": 10}
        assert group.rows[U_BALANCER_FAILED] == 0


async def test_a_built_in_algorithm_has_nothing_in_its_way() -> None:
    balance = "{algorithm: round_robin, slow: 1ms}"
    text = f"upstreams: {{app: {{balance: {balance}, backends: ['a:1']}}}}\nroutes: [{{upstream: app}}]\n"
    async with running(text) as proxy:
        assert type(proxy.proxy.plan.groups["app"].balancer) is RoundRobin


async def test_one_that_is_inside_of_geographic_is_watched_too() -> None:
    text = """
geo: {header: x-location}
upstreams:
  app:
    balance: {algorithm: geographic, inner: {algorithm: 'tests.balancing.algorithms:Blocks', method: pick}}
    backends: ['a:1']
routes: [{upstream: app}]
"""
    async with running(text) as proxy:
        assert isinstance(proxy.proxy.plan.groups["app"].balancer, TimeGuard)


@pytest.mark.processes
async def test_of_a_service_the_log_and_the_admin_api_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # its algorithm lies in the tests
    async with AsyncExitStack() as stack:
        text = yaml(await addresses(stack)) + "workers: 1\naccess_log: null\n"
        proxy = await stack.enter_async_context(service.running(tmp_path, text))
        client = await stack.enter_async_context(connect(proxy.address))
        assert [(await client.request(GET)).status for _ in range(20)] == [200] * 20
        await proxy.until_said("power_of_two takes over")
        assert proxy.said.count("is too slow, ") == 1
        assert "Traceback" not in proxy.said
        _, told = await proxy.call("GET", "/upstreams/app/explain")
        assert [worker["failed"] for worker in told["workers"]] == [True]
