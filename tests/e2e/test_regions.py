"""Geographic and labels on a running proxy: whose requests go where, and where they go when that cannot serve them.

Invariant: what a route or a location is not allowed to use gets no request of it, not even a second try.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from proxy.configuration.load import load_text
from proxy.metrics import U_QUEUE_LENGTH
from proxy.scoreboard import DOWN, HEALTH
from proxy.upstream.group import Group
from tests.support import PATIENCE
from tests.support.client import RawClient, Response, connect
from tests.support.mmdb import write
from tests.support.origin import Origin, Script, origins, request, reset, response
from tests.support.path import get, made, until_true
from tests.support.plans import linked
from tests.support.running import Running, running

TRUSTED = "trusted_proxies: [127.0.0.0/8]"
GEO = f"{TRUSTED}\ngeo: {{header: X-Client-Region}}"
PLACES = ("eu-central", "us-east", "ap-northeast")
NO_BACKEND = (503, "pick.no_backend")


def answering(name: str) -> Script:
    return [request(), response(name.encode())]


@dataclass(frozen=True, slots=True)
class World:
    origins: Mapping[str, Origin]
    running: Running
    client: RawClient

    @property
    def group(self) -> Group:
        return self.running.proxy.plan.groups["app"]

    async def ask(self, *lines: bytes, target: bytes = b"/") -> Response:
        return await self.client.request(get(*lines, target=target))

    async def who(self, *lines: bytes, target: bytes = b"/", times: int = 6) -> set[str]:
        """Who answers."""
        answers = [await self.ask(*lines, target=target) for _ in range(times)]
        assert {got.status for got in answers} == {200}
        return {got.body.decode() for got in answers}

    def ill(self, *names: str) -> None:
        """These backends, and no others, are found ill by active checks."""
        for name, origin in self.origins.items():
            backend = next(each for each in self.group.members.all if each.name == origin.address)
            backend.rows[HEALTH] = DOWN if name in names else 0
        self.group.refresh(monotonic())

    def asked(self, name: str) -> int:
        return len(self.origins[name].requests)


@asynccontextmanager
async def world(
    backends: Mapping[str, str],
    top: str,
    upstream: str = "balance: geographic",
    routes: str = "{upstream: app}",
    scripts: Mapping[str, Script] | None = None,
) -> AsyncIterator[World]:
    """Origins by name; `backends` says what the configuration says of each. They answer with their names."""
    async with AsyncExitStack() as stack:
        answers = [(scripts or {}).get(name, answering(name)) for name in backends]
        servers = dict(zip(backends, await origins(stack, answers), strict=True))
        listed = ", ".join(f"{{address: '{servers[name].address}', {said}}}" for name, said in backends.items())
        text = f"{top}\nupstreams: {{app: {{backends: [{listed}], {upstream}}}}}\nroutes: [{routes}]\n"
        proxy = await stack.enter_async_context(running(text))
        client = await stack.enter_async_context(connect(proxy.address))
        yield World(servers, proxy, client)


def one_each() -> dict[str, str]:
    return {place: f"region: {place}" for place in PLACES}


def of(place: str) -> bytes:
    return b"X-Client-Region: " + place.encode()


# --- where clients are ------------------------------------------------------------------------------------------------


async def test_each_client_goes_to_its_region_and_one_that_nobody_knows_to_all() -> None:
    async with world(one_each(), GEO) as there:
        for place in PLACES:
            assert await there.who(of(place)) == {place}
        assert await there.who(of("eu-west")) == {"eu-central"}  # no backend there: the nearest
        assert await there.who(times=60) == set(PLACES)
        assert await there.who(of("nowhere"), times=60) == set(PLACES)


async def test_a_header_of_somebody_who_is_not_trusted_says_nothing() -> None:
    async with world(one_each(), "geo: {header: X-Client-Region, default: us-east}") as there:
        assert await there.who(of("ap-northeast")) == {"us-east"}


async def test_networks_of_clients_behind_trusted_proxies() -> None:
    networks = "{10.1.0.0/16: eu-central, 10.1.7.0/24: us-east, '2001:db8::/32': ap-northeast}"
    async with world(one_each(), f"{TRUSTED}\ngeo: {{networks: {networks}, default: ap-northeast}}") as there:
        for address, place in (
            ("10.1.2.3", "eu-central"),
            ("10.1.7.3", "us-east"),
            ("2001:db8::5", "ap-northeast"),
            ("192.0.2.1", "ap-northeast"),
        ):
            assert await there.who(b"X-Forwarded-For: " + address.encode()) == {place}


async def test_a_database_is_read_anew_at_a_reload(tmp_path: Path) -> None:
    file = write(tmp_path / "geo.mmdb", {"10.1.0.0/16": {"country": {"iso_code": "DE"}}})
    values = "{DE: eu-central, US: us-east}"
    top = f"{TRUSTED}\ngeo: {{database: {{path: '{file}', values: {values}}}, default: ap-northeast}}"
    line = b"X-Forwarded-For: 10.1.2.3"
    async with world(one_each(), top) as there:
        assert await there.who(line) == {"eu-central"}
        assert await there.who(b"X-Forwarded-For: 10.2.2.3") == {"ap-northeast"}
        write(file, {"10.1.0.0/16": {"country": {"iso_code": "US"}}})
        listed = ", ".join(f"{{address: '{there.origins[place].address}', region: {place}}}" for place in PLACES)
        text = f"""
listeners: [{{bind: '127.0.0.1:0'}}]
access_log: null
{top}
upstreams: {{app: {{backends: [{listed}], balance: geographic}}}}
routes: [{{upstream: app}}]
"""
        await there.running.proxy.adopt(linked(load_text(text).config, registry=there.running.proxy.registry))
        assert await there.who(line) == {"us-east"}


# --- when a region cannot ---------------------------------------------------------------------------------------------


async def test_a_region_that_is_ill_goes_to_the_next_and_comes_back() -> None:
    async with world(one_each(), GEO, "balance: geographic, panic: 0%") as there:
        there.ill("eu-central")
        assert await there.who(of("eu-central")) == {"us-east"}
        there.ill("eu-central", "us-east")
        assert await there.who(of("eu-central")) == {"ap-northeast"}
        there.ill()
        assert await there.who(of("eu-central")) == {"eu-central"}


async def test_local_only_answers_itself_rather_than_go_elsewhere() -> None:
    """Also where there would be a second try."""
    backends = one_each() | {"eu-2": "region: eu-central"}
    upstream = "balance: {algorithm: geographic, spill: local_only}, panic: 0%, outlier: null, slow_start: null"
    scripts: dict[str, Any] = {"eu-central": [request(), reset]}
    async with world(backends, GEO, upstream, scripts=scripts) as there:
        assert await there.who(of("eu-central"), times=10) == {"eu-2"}  # the second try stays in the region
        there.ill("eu-2")
        got = await there.ask(of("eu-central"))
        assert got.status == 502
        there.ill("eu-central", "eu-2")
        assert made(await there.ask(of("eu-central"))) == NO_BACKEND
        assert await there.who(of("us-east")) == {"us-east"}
        assert there.asked("ap-northeast") == 0


async def test_a_region_that_is_full_sends_some_to_the_next() -> None:
    """Requests rest in Europe; what comes meanwhile goes to America more and more."""
    done = asyncio.Event()

    async def rest(_: object) -> None:
        await done.wait()

    scripts = {"eu-central": [request(), rest, response(b"eu-central")]}
    balance = "{algorithm: geographic, max_in_flight: 2}"
    async with world(one_each(), GEO, f"balance: {balance}", scripts=scripts) as there, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(there.running.address)) for _ in range(200)]
        asking = [asyncio.create_task(client.request(get(of("eu-central")))) for client in clients[:8]]
        await until_true(lambda: there.asked("eu-central") == 8)
        for client in clients[8:]:
            asking.append(asyncio.create_task(client.request(get(of("eu-central")))))
            await until_true(lambda: sum(map(there.asked, PLACES)) == len(asking))
            there.group.tick_balancer(monotonic())  # the load is followed in steps, one with each tick
            if there.asked("us-east") >= 10:
                break
        done.set()
        answers = await asyncio.gather(*asking)
        assert {got.status for got in answers} == {200}
        assert there.asked("us-east") >= 10
        assert there.asked("ap-northeast") == 0


async def test_a_session_stays_where_it_is_wherever_its_client_goes() -> None:
    async with world(one_each(), GEO, "balance: geographic, sticky: {cookie: {}}") as there:
        got = await there.ask(of("eu-central"))
        assert got.body == b"eu-central"
        pair = (got.header(b"set-cookie") or b"").partition(b";")[0]
        assert await there.who(of("us-east"), b"Cookie: " + pair) == {"eu-central"}
        assert await there.who(of("us-east")) == {"us-east"}


# --- labels -----------------------------------------------------------------------------------------------------------

CANARY = "{path: /new, upstream: app, subset: {version: canary}}"
STRICT = "{path: /strict, upstream: app, subset: {version: canary}, subset_fallback: none}"
FLEET = {
    "s1": "labels: {version: stable}",
    "s2": "labels: {version: stable}",
    "c1": "labels: {version: canary}",
    "c2": "labels: {version: canary}",
}


def fleet(upstream: str, **scripts: Any) -> Any:
    routes = f"{CANARY}, {STRICT}, {{upstream: app}}"
    return world(FLEET, "", f"slow_start: null, {upstream}", routes, scripts)


@pytest.mark.parametrize("algorithm", ["round_robin", "power_of_two", "least_connections", "latency"])
async def test_a_route_uses_only_backends_with_its_labels(algorithm: str) -> None:
    async with fleet(f"balance: {algorithm}") as there:
        for target, wanted in ((b"/new", {"c1", "c2"}), (b"/strict", {"c1", "c2"}), (b"/", set(FLEET))):
            found = await there.who(target=target, times=40)
            async with asyncio.timeout(PATIENCE):
                while found < wanted:  # `latency` goes by the time that each took, which may be the machine's
                    found |= await there.who(target=target)
            assert found == wanted


async def test_if_none_of_them_is_well_others_serve_or_nobody() -> None:
    async with fleet("panic: 0%") as there:
        there.ill("c1")
        assert await there.who(target=b"/new") == {"c2"}
        there.ill("c1", "c2")
        assert await there.who(target=b"/new") == {"s1", "s2"}
        assert made(await there.ask(target=b"/strict")) == NO_BACKEND
        there.ill()
        assert await there.who(target=b"/new") == {"c1", "c2"}


async def test_a_second_try_stays_among_them() -> None:
    broken: Script = [request(), reset]
    async with fleet("panic: 0%, outlier: null, retry: {attempts: 3}", c1=broken) as there:
        assert await there.who(target=b"/new", times=10) == {"c2"}
        there.ill("c2")
        for target in (b"/new", b"/strict"):
            assert (await there.ask(target=target)).status == 502
        assert there.asked("s1") == there.asked("s2") == 0


async def test_a_hedged_request_stays_among_them() -> None:
    async def late(_: object) -> None:
        await asyncio.sleep(0.3)

    slow: Script = [request(), late, response(b"c1")]
    async with fleet("retry: {hedge: {delay: 10ms}}", c1=slow) as there:
        assert await there.who(target=b"/strict", times=4) == {"c2"}
        assert there.asked("s1") == there.asked("s2") == 0


async def test_who_waits_for_them_holds_up_nobody_else() -> None:
    done = asyncio.Event()

    async def rest(_: object) -> None:
        await done.wait()

    slow = {name: [request(), rest, response(name.encode())] for name in ("c1", "c2")}
    limits = "limits: {requests_per_backend: 1, queue_timeout: 5s, queue_target: 5s}"
    async with fleet(limits, **slow) as there, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(there.running.address)) for _ in range(3)]
        asking = [asyncio.create_task(client.request(get(target=b"/new"))) for client in clients]
        await until_true(lambda: there.group.rows[U_QUEUE_LENGTH] == 1)
        assert await there.who(times=10) <= {"s1", "s2"}
        assert there.group.rows[U_QUEUE_LENGTH] == 1
        done.set()
        answers = await asyncio.gather(*asking)
        assert [got.status for got in answers] == [200, 200, 200]
        assert {got.body for got in answers} <= {b"c1", b"c2"}


async def test_a_session_outside_of_them_is_placed_anew() -> None:
    async with fleet("sticky: {cookie: {}}") as there:
        pairs: dict[str, bytes] = {}
        while len(pairs) < 4:
            got = await there.ask()
            pairs[got.body.decode()] = b"Cookie: " + (got.header(b"set-cookie") or b"").partition(b";")[0]
        assert await there.who(pairs["s1"]) == {"s1"}
        assert await there.who(pairs["c1"], target=b"/new") == {"c1"}
        assert await there.who(pairs["s1"], target=b"/new", times=12) == {"c1", "c2"}


# --- priorities -------------------------------------------------------------------------------------------------------


async def test_a_dead_first_priority_is_no_panic_while_the_second_can_serve() -> None:
    backends = {"a1": "priority: 0", "a2": "priority: 0", "b1": "priority: 1", "b2": "priority: 1"}
    async with world(backends, "", "slow_start: null") as there:
        assert await there.who(times=12) == {"a1", "a2"}
        there.ill("a1", "a2")
        assert not there.group.panicking
        assert await there.who(times=12) == {"b1", "b2"}
        there.ill("a1", "a2", "b1", "b2")
        assert there.group.panicking
        assert await there.who(times=12) == {"a1", "a2"}
