"""Discovery and the data path together: where requests go when DNS, a file or an operator says something else."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.configuration.load import load_text
from proxy.control.discovery.base import backend
from proxy.control.discovery.service import Discovery
from tests.support.client import connect
from tests.support.clock import WoundClock
from tests.support.dns import DnsServer, dns_server
from tests.support.origin import Origin, Script, request, response, tell, wait
from tests.support.path import GET, made, until_true
from tests.support.running import Running, running
from tests.support.service import Running as Processes
from tests.support.service import running as running_processes
from tests.support.service import until

NAME = "_http._tcp.app.internal"


def answers(body: bytes) -> Script:
    return [request(), response(body)]


class Served:
    """A running proxy whose only upstream is discovered."""

    def __init__(self, proxy: Running, discovery: Discovery, clock: WoundClock) -> None:
        self.running = proxy
        self.discovery = discovery
        self.clock = clock

    async def get(self) -> bytes:
        async with connect(self.running.address) as client:
            got = await client.request(GET)
            assert got.status == 200, made(got)
            return got.body

    @property
    def members(self) -> list[str]:
        return [backend.name for backend in self.running.proxy.registry.groups["app"].members.all]


@asynccontextmanager
async def served(upstream: str) -> AsyncIterator[Served]:
    text = f"upstreams: {{app: {{{upstream}}}}}\nroutes: [{{upstream: app}}]\n"
    config = load_text(f"{text}listeners: [{{bind: ':0'}}]\n").config
    clock = WoundClock()
    async with running(text) as proxy:
        discovery = Discovery(proxy.proxy.registry.set_members, clock)
        adoption = await discovery.prepare(config.upstreams)
        for name, backends in adoption.members.items():
            proxy.proxy.registry.set_members(name, backends)
        discovery.adopt(adoption)
        try:
            yield Served(proxy, discovery, clock)
        finally:
            await discovery.close()


def publish(dns: DnsServer, *origins: Origin) -> None:
    ports = (origin.address.rpartition(":")[2] for origin in origins)
    dns.set(NAME, "SRV", *(f"0 1 {port} host.internal." for port in ports), ttl=10)
    dns.set("host.internal", "A", "127.0.0.1", ttl=10)


def srv(dns: DnsServer, more: str = "") -> str:
    return f"discover: {{dns: {NAME}, type: srv, resolvers: ['127.0.0.1:{dns.port}']}} {more}"


async def test_requests_follow_dns_and_one_in_flight_is_finished_where_it_began() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    slow: Script = [request(), tell(begun), wait(go_on), response(b"old")]
    async with Origin(slow) as old, Origin(answers(b"new"), forever=True) as new, dns_server() as dns:
        publish(dns, old)
        async with served(srv(dns)) as at, connect(at.running.address) as client:
            in_flight = asyncio.ensure_future(client.request(GET))
            await begun.wait()
            publish(dns, new)
            await at.clock.asleep()
            await at.clock.wind(10)
            await until_true(lambda: at.members == [new.address])
            assert await at.get() == b"new"
            go_on.set()
            assert (await in_flight).body == b"old"
            await until_true(lambda: not at.running.proxy.registry.retired)


async def test_without_a_backend_it_answers_503_and_recovers_when_one_is_found() -> None:
    async with Origin(answers(b"hi"), forever=True) as origin, dns_server() as dns:
        async with served(srv(dns)) as at:
            async with connect(at.running.address) as client:
                assert made(await client.request(GET)) == (503, "pick.no_backend")
            publish(dns, origin)
            await at.clock.asleep()
            await at.clock.wind(1)
            await until_true(lambda: at.members == [origin.address])
            assert await at.get() == b"hi"


async def test_dns_that_fails_takes_nothing_away() -> None:
    async with Origin(answers(b"hi"), forever=True) as origin, dns_server() as dns:
        publish(dns, origin)
        async with served(srv(dns)) as at:
            dns.fail(NAME, "SRV", "SERVFAIL")
            await at.clock.asleep()
            await at.clock.wind(10)
            await at.clock.asleep()
            (entry,) = at.discovery.report()
            assert "SERVFAIL" in entry.error
            assert await at.get() == b"hi"


async def test_an_operator_swaps_backends() -> None:
    async with Origin(answers(b"one"), forever=True) as one, Origin(answers(b"two"), forever=True) as two:
        async with served(f"backends: ['{one.address}']") as at:
            assert await at.get() == b"one"
            at.discovery.add("app", backend(two.address))
            at.discovery.remove("app", one.address)
            assert await at.get() == b"two"


async def test_a_file_decides(tmp_path: Path) -> None:
    file = tmp_path / "backends.yaml"
    async with Origin(answers(b"one"), forever=True) as one, Origin(answers(b"two"), forever=True) as two:
        file.write_text(f"['{one.address}']")
        async with served(f"discover: {{file: '{file}'}}") as at:
            assert await at.get() == b"one"
            (tmp_path / "new").write_text(f"['{two.address}']")
            os.replace(tmp_path / "new", file)
            await at.clock.asleep()
            await at.clock.wind(1)
            await until_true(lambda: at.members == [two.address])
            assert await at.get() == b"two"


# --- in all processes --------------------------------------------------------------------------------------


@pytest.mark.processes
async def test_every_worker_follows_and_a_new_one_begins_with_what_is_known(tmp_path: Path) -> None:
    file = tmp_path / "backends.yaml"
    async with Origin(answers(b"one"), forever=True) as one, Origin(answers(b"two"), forever=True) as two:
        file.write_text(f"['{one.address}']")
        found = f"workers: 2\nupstreams: {{app: {{discover: {{file: '{file}', interval: 10ms}}}}}}\n"
        plain = f"workers: 2\nupstreams: {{app: {{backends: ['{two.address}']}}}}\n"
        route = "routes: [{upstream: app}]\naccess_log: null\n"
        async with running_processes(tmp_path, found + route, tcp=True) as service:
            assert await bodies(service) == {b"one"}
            (tmp_path / "new").write_text(f"['{two.address}']")
            os.replace(tmp_path / "new", file)
            await until(lambda: served_only(service, b"two"))
            pid = (await service.workers())[1]
            os.kill(pid, signal.SIGKILL)
            await service.until_said("place 0 is served again")
            assert await bodies(service) == {b"two"}
            (tmp_path / "new").write_text(f"['{one.address}']")
            os.replace(tmp_path / "new", file)
            await until(lambda: served_only(service, b"one"))
            result = await service.reload(plain + route)
            assert result["ok"], result
            assert await bodies(service) == {b"two"}
            result = await service.reload(found + route)
            assert result["ok"], result
            assert await bodies(service) == {b"one"}


async def bodies(service: Processes) -> set[bytes]:
    """What a number of new connections get, which the kernel spreads over the workers."""
    found = set()
    for _ in range(12):
        async with connect(service.address) as client:
            got = await client.request(GET)
            found.add(got.body if got.status == 200 else b"%d" % got.status)
    return found


async def served_only(service: Processes, body: bytes) -> bool:
    return await bodies(service) == {body}
