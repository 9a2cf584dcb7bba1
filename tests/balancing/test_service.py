"""Algorithms in service: named in YAML, fed with keys of real requests, told what they have to know.

Invariant: whatever an algorithm does, a client gets an answer, and each `assigned` is followed by one `released`.
"""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from proxy.balancing.power_of_two import PowerOfTwo
from proxy.balancing.wrappers.keyless import KeylessFallback
from proxy.configuration.load import load_text
from proxy.metrics import U_BALANCER_FAILED
from tests.balancing.algorithms import LastByKey
from tests.support.client import connect
from tests.support.origin import Origin, Script, end_of_input, origins, request, reset, response
from tests.support.path import GET, backend_of, until_true
from tests.support.plans import linked
from tests.support.running import Running, running, unwatched

OK: Script = [request(), response()]
BY_KEY = "{algorithm: 'tests.balancing.algorithms:LastByKey', key: 'header:x-user', offset: 0}"


def yaml(addresses: list[str], balance: str, weights: list[int] | None = None) -> str:
    listed = ", ".join(
        f"{{address: '{address}', weight: {weight}}}"
        for address, weight in zip(addresses, weights or [1] * len(addresses), strict=True)
    )
    return f"upstreams: {{app: {{balance: {balance}, backends: [{listed}]}}}}\nroutes: [{{upstream: app}}]\n"


def balancer_of(proxy: Running) -> LastByKey:
    """The algorithm of the only upstream."""
    keyed = proxy.proxy.plan.groups["app"].balancer
    assert isinstance(keyed, KeylessFallback)
    return unwatched(keyed.main, LastByKey)


async def test_round_robin_shares_by_weight() -> None:
    async with AsyncExitStack() as stack:
        servers = await origins(stack, [OK] * 3)
        text = yaml([server.address for server in servers], "round_robin", [5, 1, 0])
        proxy = await stack.enter_async_context(running(text))
        client = await stack.enter_async_context(connect(proxy.address))
        for _ in range(60):
            assert (await client.request(GET)).status == 200
        assert [len(server.requests) for server in servers] == [50, 10, 0]


async def test_a_class_of_ones_own_gets_keys_and_events() -> None:
    async with AsyncExitStack() as stack:
        servers = await origins(stack, [OK] * 2)
        proxy = await stack.enter_async_context(running(yaml([s.address for s in servers], BY_KEY)))
        client = await stack.enter_async_context(connect(proxy.address))
        for user in (b"\x2a", b"a1", b"a1", b"x0"):  # the last byte modulo 2
            got = await client.request(b"GET / HTTP/1.1\r\nHost: x\r\nX-User: %b\r\n\r\n" % user)
            assert got.status == 200
        assert [len(server.requests) for server in servers] == [2, 2]
        balancer = balancer_of(proxy)
        assert balancer.keys == [b"\x2a", b"a1", b"a1", b"x0"]
        assert Counter(event for event, _ in balancer.events) == {"assigned": 4, "released": 4}
        assert balancer.events[:2] == [("assigned", servers[0].address), ("released", servers[0].address)]


async def test_without_a_key_the_fallback_decides() -> None:
    async with AsyncExitStack() as stack:
        (server,) = await origins(stack, [OK])
        proxy = await stack.enter_async_context(running(yaml([server.address], BY_KEY)))
        client = await stack.enter_async_context(connect(proxy.address))
        assert (await client.request(GET)).status == 200
        balancer = balancer_of(proxy)
        assert balancer.keys == []
        assert [event for event, _ in balancer.events] == ["assigned", "released"]  # it learns from all requests


async def test_each_backend_that_was_tried_is_given_back() -> None:
    """A refusing backend, then a good one; and a backend that resets."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = "{}:{}".format(*closed.getsockname())
    async with Origin([request(), reset]) as origin:
        text = yaml([refusing, origin.address], BY_KEY)
        async with running(text) as proxy, connect(proxy.address) as client:
            for user in (b"0", b"1"):
                got = await client.request(b"GET / HTTP/1.1\r\nHost: x\r\nX-User: %b\r\n\r\n" % user)
                assert got.status == 502
            counts = Counter(event for event, _ in balancer_of(proxy).events)
            assert counts["assigned"] == counts["released"] >= 2
            assert [backend.in_flight for backend in proxy.proxy.plan.groups["app"].members.all] == [0, 0]


async def test_another_algorithm_takes_over_from_one_that_is_broken(caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        servers = await origins(stack, [OK] * 2)
        text = yaml([server.address for server in servers], "'tests.balancing.algorithms:Broken'")
        proxy = await stack.enter_async_context(running(text))
        client = await stack.enter_async_context(connect(proxy.address))
        assert [(await client.request(GET)).status for _ in range(4)] == [200] * 4
        group = proxy.proxy.plan.groups["app"]
        assert isinstance(group.balancer, PowerOfTwo)
        assert group.rows[U_BALANCER_FAILED] == 1
        assert caplog.text.count("power_of_two takes over") == 1


async def test_one_that_fails_again_after_a_reload_is_replaced_again() -> None:
    async with AsyncExitStack() as stack:
        (server,) = await origins(stack, [OK])
        proxy = await stack.enter_async_context(running(yaml([server.address], "'tests.balancing.algorithms:Broken'")))
        client = await stack.enter_async_context(connect(proxy.address))
        group = proxy.proxy.plan.groups["app"]
        for balance in ("'tests.balancing.algorithms:Broken'", fails_in("pick")):
            text = yaml([server.address], balance) + "listeners: [{bind: '127.0.0.1:0'}]\naccess_log: null\n"
            await proxy.proxy.adopt(linked(load_text(text).config, registry=proxy.proxy.registry))
            assert (await client.request(GET)).status == 200
            assert isinstance(group.balancer, PowerOfTwo)
        assert group.rows[U_BALANCER_FAILED] >= 2


def fails_in(method: str) -> str:
    return f"{{algorithm: 'tests.balancing.algorithms:FailsIn', method: {method}}}"


@pytest.mark.parametrize("method", ["pick", "assigned", "released"])
async def test_an_algorithm_that_fails_takes_no_request_with_it(method: str) -> None:
    """Each client gets its answer, on a connection that goes on, and nothing stays counted."""
    async with AsyncExitStack() as stack:
        (server,) = await origins(stack, [OK])
        proxy = await stack.enter_async_context(running(yaml([server.address], fails_in(method))))
        client = await stack.enter_async_context(connect(proxy.address))
        for _ in range(3):
            assert (await client.request(GET)).status == 200
        (backend,) = proxy.proxy.plan.groups["app"].members.all
        assert (backend.in_flight, proxy.proxy.counters.in_flight) == (0, 0)
        assert proxy.proxy.counters.requests == 3


async def test_an_algorithm_that_fails_in_released_does_not_keep_a_retry_from_its_backend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = "{}:{}".format(*closed.getsockname())
    async with AsyncExitStack() as stack:
        (server,) = await origins(stack, [OK])
        text = yaml([refusing, server.address], fails_in("released"))
        proxy = await stack.enter_async_context(running(text))
        client = await stack.enter_async_context(connect(proxy.address))
        for _ in range(3):
            assert (await client.request(GET)).status == 200
        assert [backend.in_flight for backend in proxy.proxy.plan.groups["app"].members.all] == [0, 0]


async def test_an_algorithm_that_fails_in_released_when_the_client_leaves() -> None:
    async with (
        Origin([request(), end_of_input]) as origin,
        running(yaml([origin.address], fails_in("released"))) as proxy,
        connect(proxy.address) as client,
    ):
        await client.send(GET)
        await until_true(lambda: origin.requests)
        client.reset()
        await until_true(lambda: proxy.proxy.counters.in_flight == 0)
        assert backend_of(proxy.proxy).in_flight == 0


async def test_weights_of_none_are_no_backend() -> None:
    async with running(yaml(["127.0.0.1:1"], "round_robin", [0])) as proxy, connect(proxy.address) as client:
        got = await client.request(GET)
        assert got.status == 503
        assert got.header(b"proxy-status") == b'qantara; error=destination_unavailable; details="pick.no_backend"'
