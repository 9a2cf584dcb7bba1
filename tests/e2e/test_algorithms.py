"""The algorithm of an upstream changes while requests are in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from proxy.balancing import Balancer, Done
from proxy.upstream.backend import Backend
from tests.support.client import connect
from tests.support.origin import Origin, origins, request, response
from tests.support.path import GET, until_true
from tests.support.running import adopt, running, unwatched

ALGORITHMS = ("power_of_two", "round_robin", "tests.e2e.test_algorithms:Learns")


class Learns(Balancer):
    """Takes turns, and counts the ends of requests where every algorithm keeps what it learns."""

    def __init__(self, seed: int = 0) -> None:
        self.turn = seed

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = list(usable)
        for backend in usable:
            backend.learned.setdefault("learns", [0])

    def pick(self, key: bytes | None) -> Backend | None:
        self.turn += 1
        return self.backends[self.turn % len(self.backends)]

    def released(self, backend: Backend, done: Done) -> None:
        backend.learned["learns"][0] += 1


def yaml(algorithm: str, servers: Sequence[Origin], seed: int = 0) -> str:
    addresses = ", ".join(f"'{server.address}'" for server in servers)
    return (
        f"listeners: [{{bind: '127.0.0.1:0'}}]\naccess_log: null\n"
        f"upstreams: {{app: {{balance: {{algorithm: '{algorithm}', seed: {seed}}}, backends: [{addresses}]}}}}\n"
        "routes: [{upstream: app}]\n"
    ).replace(", seed: 0", "")


async def test_a_change_of_the_algorithm_loses_no_request_and_keeps_what_was_learned() -> None:
    async with AsyncExitStack() as stack:
        servers = await origins(stack, [[request(), response()]] * 3)
        proxy = await stack.enter_async_context(running(yaml(ALGORITHMS[2], servers)))
        statuses: list[int] = []
        over = asyncio.Event()

        async def ask() -> None:
            async with connect(proxy.address) as client:
                while not over.is_set():
                    statuses.append((await client.request(GET)).status)

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for number in range(9):
            await adopt(proxy.proxy, yaml(ALGORITHMS[number % 3], servers))
            wanted = len(statuses) + 20
            await until_true(lambda wanted=wanted: len(statuses) >= wanted)  # type: ignore[misc]
        over.set()
        await asyncio.gather(*asking)
        group = proxy.proxy.plan.groups["app"]
        assert set(statuses) == {200}
        assert [backend.in_flight for backend in group.members.all] == [0, 0, 0]
        assert unwatched(group.balancer, Learns)
        counted = sum(backend.learned["learns"][0] for backend in group.members.all)
        assert 0 < counted < len(statuses)  # of each time that it picked, and of no other


async def test_new_parameters_keep_it_too() -> None:
    async with AsyncExitStack() as stack:
        (server,) = await origins(stack, [[request(), response()]])
        proxy = await stack.enter_async_context(running(yaml(ALGORITHMS[2], [server])))
        client = await stack.enter_async_context(connect(proxy.address))
        for seed in (0, 5):
            await adopt(proxy.proxy, yaml(ALGORITHMS[2], [server], seed))
            assert (await client.request(GET)).status == 200
        group = proxy.proxy.plan.groups["app"]
        assert unwatched(group.balancer, Learns).turn == 6
        assert group.members.all[0].learned["learns"] == [2]
