"""All upstreams together: reloads, operators, own sources, reports, and the list that is handed on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.configuration.load import load_text
from proxy.configuration.schema import Config
from proxy.control.discovery.base import backend
from proxy.control.discovery.service import Adoption, Discovery, SourceReport
from proxy.errors import ConfigError, DiscoveryError
from proxy.upstream.backend import BackendSpec
from tests.support.clock import EPOCH, WoundClock
from tests.support.dns import dns_server
from tests.support.path import until_true
from tests.support.plans import linked

OWN = """
import asyncio
from proxy.control.discovery.base import Source, backend

class Own(Source):
    def __init__(self, first, weight=1):
        if first == "bad":
            raise RuntimeError("not that one")
        self.first, self.weight = first, weight
    def asks(self):
        return f"for {self.first}"
    async def watch(self):
        yield [backend(self.first, self.weight)]
        await asyncio.Event().wait()

class Silent(Source):
    async def watch(self):
        await asyncio.Event().wait()
        yield []

class Stranger:
    pass
"""


def config(**upstreams: str) -> Config:
    entries = "".join(f"  {name}: {text}\n" for name, text in upstreams.items())
    return load_text(f"listeners: [{{bind: ':0'}}]\nroutes: [{{respond: {{}}}}]\nupstreams:\n{entries}").config


class Told:
    def __init__(self) -> None:
        self.clock = WoundClock()
        self.calls: list[tuple[str, list[str]]] = []
        self.known: dict[str, tuple[BackendSpec, ...]] = {}
        self.discovery = Discovery(self._changed, self.clock)

    def _changed(self, upstream: str, backends: tuple[BackendSpec, ...]) -> None:
        self.known[upstream] = backends
        self.calls.append((upstream, [spec.address for spec in backends]))

    async def adopt(self, **upstreams: str) -> None:
        self.take(await self.discovery.prepare(config(**upstreams).upstreams))

    def take(self, adoption: Adoption) -> None:
        for name, backends in adoption.members.items():
            if self.known.get(name) != backends:
                self._changed(name, backends)
        self.discovery.adopt(adoption)

    def now(self, upstream: str) -> list[str]:
        return [spec.address for spec in self.discovery.backends(upstream)]


@asynccontextmanager
async def told() -> AsyncIterator[Told]:
    made = Told()
    try:
        yield made
    finally:
        await made.discovery.close()
        assert not made.discovery.sources
        assert sources_at_work() == 0


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_sources.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


# --- the configuration -------------------------------------------------------------------------------------


async def test_backends_of_the_file_are_told_at_once_and_only_when_they_change() -> None:
    async with told() as at:
        await at.adopt(a="{backends: [x:80, y:80]}", b="{backends: [z:80]}")
        assert at.calls == [("a", ["x:80", "y:80"]), ("b", ["z:80"])]
        await at.adopt(a="{backends: [x:80, y:80]}", b="{backends: [z:80, w:80]}")
        assert at.calls[2:] == [("b", ["z:80", "w:80"])]


async def test_a_source_adds_to_the_file() -> None:
    async with dns_server() as dns, told() as at:
        dns.set("app.internal", "A", "10.0.0.2", "10.0.0.1", ttl=30)
        where = f"dns: 'app.internal:80', resolvers: ['127.0.0.1:{dns.port}']"
        await at.adopt(app=f"{{backends: [x:80], discover: {{{where}}}}}")
        assert at.calls == [("app", ["x:80", "10.0.0.1:80", "10.0.0.2:80"])]
        dns.set("app.internal", "A", "10.0.0.2")
        await at.clock.asleep()
        await at.clock.wind(30)
        await until_true(lambda: at.calls[1:] == [("app", ["x:80", "10.0.0.2:80"])])


async def test_a_name_that_is_gone_keeps_its_backends_for_keep_and_comes_back() -> None:
    async with dns_server() as dns, told() as at:
        dns.set("app.internal", "A", "10.0.0.1", ttl=10)
        where = f"dns: 'app.internal:80', resolvers: ['127.0.0.1:{dns.port}'], keep: 10s, ttl_max: 10s"
        await at.adopt(app=f"{{discover: {{{where}}}}}")
        dns.gone("app.internal")
        failing = 0.0
        await at.clock.asleep()
        await at.clock.wind(10)
        while failing < 10:
            await at.clock.asleep()
            assert at.now("app") == ["10.0.0.1:80"]
            nap = min(at.clock.naps[0], 10 - failing)
            failing += nap
            await at.clock.wind(nap)
        await until_true(lambda: at.now("app") == [])
        (entry,) = at.discovery.report()
        assert entry.error == "there is no name app.internal (NXDOMAIN)"
        dns.set("app.internal", "A", "10.0.0.9", ttl=10)
        await at.clock.asleep()
        await at.clock.wind(10)
        await until_true(lambda: at.now("app") == ["10.0.0.9:80"])


async def test_a_reload_restarts_no_source_that_stays_the_same() -> None:
    async with dns_server() as dns, told() as at:
        dns.set("app.internal", "A", "10.0.0.1", ttl=30)
        where = f"{{dns: 'app.internal:80', resolvers: ['127.0.0.1:{dns.port}']}}"
        await at.adopt(app=f"{{discover: {where}}}")
        before = at.discovery.sources["app"]
        await at.adopt(app=f"{{discover: {where}, pool: {{max: 7}}, backends: [x:80]}}", other="{backends: [y:80]}")
        assert at.discovery.sources["app"] is before
        assert at.now("app") == ["x:80", "10.0.0.1:80"]
        assert dns.count("A app.internal.") == 1


async def test_a_source_that_changes_takes_nothing_away_before_the_new_one_answers() -> None:
    async with dns_server() as dns, told() as at:
        dns.set("old.internal", "A", "10.0.0.1", ttl=30)
        dns.set("new.internal", "A", "10.0.0.2", ttl=30)
        where = f"resolvers: ['127.0.0.1:{dns.port}']"
        await at.adopt(app=f"{{discover: {{dns: 'old.internal:80', {where}}}}}")
        at.calls.clear()
        upstreams = config(app=f"{{discover: {{dns: 'new.internal:80', {where}}}}}").upstreams
        adoption = await at.discovery.prepare(upstreams)
        assert at.now("app") == ["10.0.0.1:80"]
        at.take(adoption)
        assert at.calls == [("app", ["10.0.0.2:80"])]


async def test_without_its_source_an_upstream_has_what_the_file_lists() -> None:
    async with dns_server() as dns, told() as at:
        dns.set("app.internal", "A", "10.0.0.1")
        where = f"discover: {{dns: 'app.internal:80', resolvers: ['127.0.0.1:{dns.port}']}}"
        await at.adopt(app=f"{{backends: [x:80], {where}}}", gone=f"{{{where}}}")
        await at.adopt(app="{backends: [x:80]}")
        assert at.now("app") == ["x:80"]
        with pytest.raises(DiscoveryError, match="there is no upstream gone; there are: app"):
            at.now("gone")


async def test_what_is_prepared_is_what_adopt_brings() -> None:
    async with told() as at:
        await at.adopt(a="{backends: [x:80, y:80]}")
        at.discovery.add("a", backend("z:80"))
        at.discovery.remove("a", "x:80")
        upstreams = config(a="{backends: [x:80, w:80]}", b="{backends: [v:80]}").upstreams
        adoption = await at.discovery.prepare(upstreams)
        assert at.now("a") == ["y:80", "z:80"]
        at.take(adoption)
        assert adoption.members == {name: at.discovery.backends(name) for name in ("a", "b")}
        assert at.now("a") == ["w:80", "z:80"]


async def test_what_changes_between_the_two_is_told() -> None:
    async with told() as at:
        await at.adopt(a="{backends: [x:80]}")
        adoption = await at.discovery.prepare(config(a="{backends: [x:80, w:80]}").upstreams)
        at.discovery.add("a", backend("z:80"))
        at.calls.clear()
        at.take(adoption)
        assert at.calls == [("a", ["x:80", "w:80"]), ("a", ["x:80", "w:80", "z:80"])]


async def test_of_srv_records_all_priorities_are_told_in_their_order() -> None:
    async with dns_server() as dns, told() as at:
        name = "_http._tcp.app.internal"
        dns.set(name, "SRV", "10 1 80 a.internal.", "20 1 80 b.internal.", ttl=30)
        dns.set("a.internal", "A", "10.0.0.1", ttl=30)
        dns.set("b.internal", "A", "10.0.0.2", ttl=30)
        where = f"dns: {name}, type: srv, resolvers: ['127.0.0.1:{dns.port}']"
        await at.adopt(app=f"{{discover: {{{where}}}}}")
        assert at.now("app") == ["10.0.0.1:80", "10.0.0.2:80"]
        assert [spec.priority for spec in at.discovery.backends("app")] == [0, 1]
        dns.set(name, "SRV", "20 1 80 b.internal.", ttl=30)
        await at.clock.asleep()
        await at.clock.wind(30)
        await until_true(lambda: at.now("app") == ["10.0.0.2:80"])
        assert [spec.priority for spec in at.discovery.backends("app")] == [0]


async def test_backends_from_dns_are_what_the_configuration_says_of_each() -> None:
    async with dns_server() as dns, told() as at:
        dns.set("app.internal", "A", "10.0.0.1", "10.0.0.2", ttl=30)
        each = "{region: eu-west, zone: z1, labels: {version: canary}}"
        where = f"dns: 'app.internal:80', resolvers: ['127.0.0.1:{dns.port}'], each: {each}"
        await at.adopt(app=f"{{backends: ['c:80'], discover: {{{where}}}}}")
        found = [(spec.address, spec.region, spec.zone, spec.labels) for spec in at.discovery.backends("app")]
        same = ("eu-west", "z1", (("version", "canary"),))
        assert found == [("c:80", None, None, ()), ("10.0.0.1:80", *same), ("10.0.0.2:80", *same)]


# --- operators ---------------------------------------------------------------------------------------------


async def test_what_operators_do_is_told_and_survives_a_reload() -> None:
    async with told() as at:
        await at.adopt(a="{backends: [x:80, y:80]}")
        at.discovery.add("a", backend("z:80", 3))
        assert at.discovery.remove("a", "x:80").address == "x:80"
        assert at.calls[-1] == ("a", ["y:80", "z:80"])
        await at.adopt(a="{backends: [x:80, y:80], pool: {max: 9}}")
        assert at.now("a") == ["y:80", "z:80"]
        assert [spec.address for spec in at.discovery.to_write("a")] == ["y:80", "z:80"]


async def test_a_bad_call_says_why_and_changes_nothing() -> None:
    async with told() as at:
        await at.adopt(a="{backends: [x:80]}")
        count = len(at.calls)
        for call in (
            lambda: at.discovery.add("b", backend("z:80")),
            lambda: at.discovery.add("a", backend("x:80")),
            lambda: at.discovery.remove("a", "z:80"),
            lambda: at.discovery.remove("b", "x:80"),
        ):
            with pytest.raises(DiscoveryError):
                call()
        assert (at.now("a"), len(at.calls)) == (["x:80"], count)


async def test_what_was_discovered_is_not_for_the_file() -> None:
    async with dns_server() as dns, told() as at:
        dns.set("app.internal", "A", "10.0.0.1")
        where = f"discover: {{dns: 'app.internal:80', resolvers: ['127.0.0.1:{dns.port}']}}"
        await at.adopt(app=f"{{backends: [x:80], {where}}}")
        at.discovery.add("app", backend("z:80"))
        assert [spec.address for spec in at.discovery.to_write("app")] == ["x:80", "z:80"]


async def test_a_listener_that_fails_is_not_the_source_s_fault(caplog: pytest.LogCaptureFixture) -> None:
    def broken(upstream: str, backends: tuple[BackendSpec, ...]) -> None:
        raise ZeroDivisionError

    discovery = Discovery(broken, WoundClock())
    discovery.adopt(await discovery.prepare(config(a="{backends: [x:80]}").upstreams))
    discovery.add("a", backend("y:80"))
    assert [spec.address for spec in discovery.backends("a")] == ["x:80", "y:80"]
    assert "could not be handed on" in caplog.text
    await discovery.close()


# --- sources of one's own ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("own")
async def test_a_source_of_ones_own_gets_its_keys() -> None:
    async with told() as at:
        await at.adopt(a="{discover: {source: 'own_sources:Own', first: 'x:80', weight: 4}}")
        assert at.discovery.backends("a") == (backend("x:80", 4),)
        (entry,) = at.discovery.report()
        assert (entry.kind, entry.asks) == ("own_sources:Own", "for x:80")


async def test_the_example_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "discovery.md").read_text(encoding="utf-8")
    (tmp_path / "inventory.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    (tmp_path / "hosts").write_text("10.0.0.1:80\n10.0.0.2:80\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    async with told() as at:
        await at.adopt(a=f"{{discover: {{source: 'inventory:Inventory', path: '{tmp_path / 'hosts'}', every: 10}}}}")
        assert at.discovery.backends("a") == (backend("10.0.0.1:80", 2), backend("10.0.0.2:80", 2))


@pytest.mark.usefixtures("own")
async def test_one_that_cannot_be_made_changes_nothing() -> None:
    async with told() as at:
        await at.adopt(a="{backends: [x:80]}")
        with pytest.raises(ValueError, match="own_sources:Own cannot be made: not that one"):
            await at.adopt(b="{backends: [y:80]}", a="{discover: {source: 'own_sources:Own', first: bad}}")
        assert at.now("a") == ["x:80"]
        with pytest.raises(DiscoveryError):
            at.now("b")


@pytest.mark.usefixtures("own")
async def test_a_source_that_says_nothing_is_not_waited_for_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with told() as at:
        await at.adopt(slow="{backends: [x:80]}")
        upstreams = config(
            slow="{discover: {source: 'own_sources:Silent'}}", new="{discover: {source: 'own_sources:Silent'}}"
        )
        at.take(await at.discovery.prepare(upstreams.upstreams, patience=0.01))
        assert "no answer yet about the backends of slow, new" in caplog.text
        assert at.now("slow") == ["x:80"]  # what it had before
        assert at.now("new") == []


@pytest.mark.usefixtures("own")
async def test_what_is_not_wanted_leaves_nothing_behind() -> None:
    async with told() as at:
        await at.adopt(a="{backends: [x:80]}")
        own = "{source: 'own_sources:Own', first: 'y:80'}"
        adoption = await at.discovery.prepare(config(a=f"{{discover: {own}}}", b=f"{{discover: {own}}}").upstreams)
        assert [spec.address for spec in adoption.members["a"]] == ["y:80"]
        await at.discovery.drop(adoption)
        assert all(watched.task is not None and watched.task.done() for watched in adoption.sources.values())
        assert (at.now("a"), at.calls) == (["x:80"], [("a", ["x:80"])])


@pytest.mark.usefixtures("own")
async def test_a_preparation_that_is_cancelled_leaves_nothing_behind() -> None:
    async with told() as at:
        upstreams = config(a="{discover: {source: 'own_sources:Silent'}}").upstreams
        preparing = asyncio.ensure_future(at.discovery.prepare(upstreams))
        await until_true(lambda: sources_at_work() == 1)
        preparing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await preparing
        assert sources_at_work() == 0


def sources_at_work() -> int:
    return sum(task.get_name().startswith("discovery of") for task in asyncio.all_tasks())


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("source: 'no_such_module:X'", "no_such_module:X cannot be imported: No module named 'no_such_module'"),
        ("source: 'own_sources:X'", "own_sources:X cannot be imported: module 'own_sources' has no attribute 'X'"),
        (
            "source: 'own_sources:Stranger'",
            "own_sources:Stranger is not a subclass of proxy.control.discovery.base.Source",
        ),
        (
            "source: 'own_sources:Own'",
            "own_sources:Own does not take these parameters: missing a required argument: 'first'",
        ),
        (
            "source: 'own_sources:Own', first: 'x:80', frist: 1",
            "own_sources:Own does not take these parameters: got an unexpected keyword argument 'frist'",
        ),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_with_the_configuration(keys: str, words: str) -> None:
    text = f"listeners: [{{bind: ':0'}}]\nroutes: [{{respond: {{}}}}]\nupstreams: {{a: {{discover: {{{keys}}}}}}}\n"
    loaded = load_text(text, "c.yaml")
    with pytest.raises(ConfigError) as caught:
        linked(loaded.config, loaded.report)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.message) == (3, 36, words)


# --- the report --------------------------------------------------------------------------------------------


async def test_the_report_says_who_says_what() -> None:
    async with dns_server() as dns, told() as at:
        dns.set("app.internal", "A", "10.0.0.1", ttl=30)
        where = f"discover: {{dns: 'app.internal:80', resolvers: ['127.0.0.1:{dns.port}']}}"
        at.clock.time = 100
        await at.adopt(app=f"{{backends: [x:80], {where}}}", plain="{backends: [y:80]}")
        at.discovery.add("app", backend("z:80"))
        at.discovery.remove("app", "x:80")
        at.clock.time = 110
        asks = f"A of app.internal at 127.0.0.1:{dns.port}"
        found = BackendSpec("10.0.0.1:80", "10.0.0.1", 80, "", 1, None)
        assert at.discovery.report() == [
            SourceReport("app", "static", "the configuration", (backend("x:80"),)),
            SourceReport("app", "dns", asks, (found,), EPOCH + 100, 20.0, ""),
            SourceReport("app", "admin", "", (backend("z:80"),), removed=("x:80",)),
            SourceReport("plain", "static", "the configuration", (backend("y:80"),)),
        ]
