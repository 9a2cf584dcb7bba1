"""Backends from DNS: a real server on loopback, and a clock that is wound."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.configuration.sections.discover import DiscoverSection
from proxy.control.discovery.base import Answer
from proxy.control.discovery.dns_source import DnsSource, scaled
from proxy.errors import DiscoveryError
from tests.support.clock import WoundClock
from tests.support.dns import DnsServer, dns_server


def source_of(server: DnsServer, clock: WoundClock | None = None, **keys: Any) -> DnsSource:
    keys = {"dns": "app.internal:80", "resolvers": [f"127.0.0.1:{server.port}"], "timeout": "5s"} | keys
    return DnsSource(DiscoverSection.model_validate(keys), clock or WoundClock())


def listed(answer: Answer) -> list[str]:
    return [spec.address for spec in answer.backends]


async def failure(source: DnsSource) -> str:
    with pytest.raises(DiscoveryError) as caught:
        await source.ask()
    return str(caught.value)


# --- addresses ---------------------------------------------------------------------------------------------


async def test_addresses_are_in_the_order_of_numbers_whatever_order_they_come_in() -> None:
    async with dns_server() as dns:
        dns.set("app.internal", "A", "10.0.0.10", "10.0.0.9", "10.0.0.2", ttl=30)
        answer = await source_of(dns).ask()
        assert listed(answer) == ["10.0.0.2:80", "10.0.0.9:80", "10.0.0.10:80"]
        assert (answer.ttl, answer.trouble) == (30, "")
        assert (answer.backends[0].host, answer.backends[0].port, answer.backends[0].weight) == ("10.0.0.2", 80, 1)


async def test_ipv6_addresses_get_brackets() -> None:
    async with dns_server() as dns:
        dns.set("app.internal", "AAAA", "fd00::2", "fd00::1")
        answer = await source_of(dns, type="aaaa").ask()
        assert listed(answer) == ["[fd00::1]:80", "[fd00::2]:80"]
        assert answer.backends[0].host == "fd00::1"


async def test_ip_asks_for_both_families() -> None:
    async with dns_server() as dns:
        dns.set("app.internal", "A", "10.0.0.1", ttl=40)
        dns.set("app.internal", "AAAA", "fd00::1", ttl=20)
        answer = await source_of(dns, type="ip").ask()
        assert (listed(answer), answer.ttl) == (["10.0.0.1:80", "[fd00::1]:80"], 20)


async def test_a_family_that_a_name_has_not_is_no_failure_if_it_has_the_other() -> None:
    async with dns_server() as dns:
        dns.set("app.internal", "A", "10.0.0.1", ttl=40)
        answer = await source_of(dns, type="ip").ask()
        assert (listed(answer), answer.ttl, answer.trouble) == (["10.0.0.1:80"], 40, "")


async def test_a_chain_of_aliases_is_followed_and_holds_as_long_as_its_weakest_link() -> None:
    async with dns_server() as dns:
        dns.set("app.internal", "CNAME", "a.internal.", ttl=50)
        dns.set("a.internal", "CNAME", "b.internal.", ttl=7)
        dns.set("b.internal", "A", "10.0.0.1", ttl=60)
        answer = await source_of(dns).ask()
        assert (listed(answer), answer.ttl) == (["10.0.0.1:80"], 7)


async def test_an_answer_too_long_for_udp_is_asked_for_over_tcp() -> None:
    async with dns_server() as dns:
        dns.set("app.internal", "A", *(f"10.0.1.{n}" for n in range(1, 201)))
        assert len(listed(await source_of(dns).ask())) == 200
        assert dns.asked == ["A app.internal. udp", "A app.internal. tcp"]


@pytest.mark.parametrize(("ttl", "holds"), [(0, 5), (3, 5), (5, 5), (30, 30), (60, 60), (86400, 60)])
async def test_the_ttl_is_kept_within_bounds(ttl: int, holds: int) -> None:
    async with dns_server() as dns:
        dns.set("app.internal", "A", "10.0.0.1", ttl=ttl)
        assert (await source_of(dns, ttl_min="5s", ttl_max="60s").ask()).ttl == holds


async def test_search_domains_complete_a_short_name() -> None:
    async with dns_server() as dns:
        dns.set("app.prod.internal", "A", "10.0.0.1")
        assert listed(await source_of(dns, dns="app:80", search=["test.internal", "prod.internal"]).ask())
        assert dns.asked == ["A app.test.internal. udp", "A app.prod.internal. udp"]


async def test_a_name_with_a_dot_at_its_end_is_searched_for_nowhere() -> None:
    async with dns_server() as dns:
        dns.set("app.prod.internal", "A", "10.0.0.1")
        assert "NXDOMAIN" in await failure(source_of(dns, dns="app.:80", search=["prod.internal"]))
        assert dns.asked == ["A app. udp"]


async def test_the_next_resolver_is_asked_where_one_fails() -> None:
    async with dns_server() as bad, dns_server() as good:
        bad.fail("app.internal", "A", "REFUSED")
        good.set("app.internal", "A", "10.0.0.1")
        servers = [f"127.0.0.1:{bad.port}", f"127.0.0.1:{good.port}"]
        assert listed(await source_of(bad, resolvers=servers).ask()) == ["10.0.0.1:80"]
        assert bad.asked


# --- failures ----------------------------------------------------------------------------------------------


async def test_a_name_that_does_not_exist() -> None:
    async with dns_server() as dns:
        assert await failure(source_of(dns)) == "there is no name app.internal (NXDOMAIN)"


async def test_a_name_without_such_records() -> None:
    async with dns_server() as dns:
        dns.set("app.internal", "AAAA", "fd00::1")
        hint = "type: ip asks for both IPv4 and IPv6"
        assert await failure(source_of(dns)) == f"app.internal has no A record; {hint}"
        dns.set("app.internal", "AAAA")
        assert await failure(source_of(dns, type="ip")) == "app.internal has no A and no AAAA record"


async def test_a_resolver_that_fails_is_named() -> None:
    async with dns_server() as dns:
        dns.fail("app.internal", "A", "SERVFAIL")
        where = f"127.0.0.1:{dns.port}"
        words = f"no resolver could answer A of app.internal ({where}: SERVFAIL)"
        assert await failure(source_of(dns)) == words


@pytest.mark.parametrize("how", ["silent", "stranger"])
async def test_no_answer_or_that_of_another_ends_in_time(how: str) -> None:
    async with dns_server() as dns:
        dns.fail("app.internal", "A", how)
        words = await failure(source_of(dns, timeout="100ms"))
        assert words.startswith("no answer to A of app.internal within 100ms"), words


async def test_an_answer_that_is_no_dns_is_a_failure() -> None:
    async with dns_server() as dns:
        dns.fail("app.internal", "A", "garbage")
        assert "A of app.internal" in await failure(source_of(dns, timeout="100ms"))


async def test_a_loop_of_aliases_is_a_failure() -> None:
    async with dns_server() as dns:
        dns.set("app.internal", "CNAME", "b.internal.")
        dns.set("b.internal", "CNAME", "app.internal.")
        assert "A of app.internal" in await failure(source_of(dns))


async def test_one_family_that_fails_keeps_its_last_addresses_until_they_are_too_old() -> None:
    async with dns_server() as dns:
        clock = WoundClock()
        source = source_of(dns, clock, type="ip", keep="60s")
        dns.set("app.internal", "A", "10.0.0.1", ttl=30)
        dns.set("app.internal", "AAAA", "fd00::1", ttl=30)
        both = ["10.0.0.1:80", "[fd00::1]:80"]
        assert listed(await source.ask()) == both
        dns.fail("app.internal", "AAAA", "SERVFAIL")
        clock.time = 59
        answer = await source.ask()
        assert (listed(answer), answer.ttl) == (both, 2)  # it is tried again soon
        assert "AAAA of app.internal" in answer.trouble
        clock.time = 61
        assert listed(await source.ask()) == ["10.0.0.1:80"]


async def test_a_family_that_says_it_is_gone_is_gone() -> None:
    async with dns_server() as dns:
        source = source_of(dns, type="ip")
        dns.set("app.internal", "A", "10.0.0.1")
        dns.set("app.internal", "AAAA", "fd00::1")
        await source.ask()
        dns.set("app.internal", "AAAA")
        assert listed(await source.ask()) == ["10.0.0.1:80"]
        dns.fail("app.internal", "AAAA", "SERVFAIL")
        assert listed(await source.ask()) == ["10.0.0.1:80"]


# --- services ----------------------------------------------------------------------------------------------


def srv(dns: DnsServer, *records: str, ttl: int = 60) -> None:
    dns.set("_http._tcp.app.internal", "SRV", *records, ttl=ttl)


def service(dns: DnsServer, clock: WoundClock | None = None, **keys: Any) -> DnsSource:
    return source_of(dns, clock, dns="_http._tcp.app.internal", type="srv", **keys)


async def test_srv_gives_port_weight_and_priority() -> None:
    async with dns_server() as dns:
        srv(dns, "20 5 8002 c.internal.", "10 3 8001 b.internal.", "10 1 8000 a.internal.")
        for name, address in (("a", "10.0.0.3"), ("b", "10.0.0.2"), ("c", "10.0.0.1")):
            dns.set(f"{name}.internal", "A", address)
        answer = await service(dns).ask()
        assert [(spec.address, spec.weight, spec.priority) for spec in answer.backends] == [
            ("10.0.0.2:8001", 3, 0),
            ("10.0.0.3:8000", 1, 0),
            ("10.0.0.1:8002", 1, 1),
        ]


async def test_srv_holds_as_long_as_its_addresses() -> None:
    async with dns_server() as dns:
        srv(dns, "0 0 80 a.internal.", ttl=50)
        dns.set("a.internal", "A", "10.0.0.1", ttl=20)
        assert (await service(dns).ask()).ttl == 20
        srv(dns, "0 0 80 a.internal.", ttl=10)
        assert (await service(dns).ask()).ttl == 10


async def test_a_target_of_ipv6_alone_is_found() -> None:
    async with dns_server() as dns:
        srv(dns, "0 0 80 a.internal.")
        dns.set("a.internal", "AAAA", "fd00::1")
        assert listed(await service(dns).ask()) == ["[fd00::1]:80"]


async def test_a_target_with_several_addresses_and_two_targets_with_one() -> None:
    async with dns_server() as dns:
        srv(dns, "0 7 80 a.internal.", "5 1 80 b.internal.")
        dns.set("a.internal", "A", "10.0.0.1", "10.0.0.2")
        dns.set("b.internal", "A", "10.0.0.1")
        answer = await service(dns).ask()
        assert [(spec.address, spec.priority) for spec in answer.backends] == [("10.0.0.1:80", 0), ("10.0.0.2:80", 0)]


async def test_a_target_that_cannot_be_resolved_keeps_its_last_address() -> None:
    async with dns_server() as dns:
        clock = WoundClock()
        source = service(dns, clock, keep="60s")
        srv(dns, "0 0 80 a.internal.", "0 0 80 b.internal.")
        dns.set("a.internal", "A", "10.0.0.1")
        dns.set("b.internal", "A", "10.0.0.2")
        await source.ask()
        dns.fail("b.internal", "A", "SERVFAIL")
        answer = await source.ask()
        assert listed(answer) == ["10.0.0.1:80", "10.0.0.2:80"]
        assert "A of b.internal." in answer.trouble
        clock.time = 61
        assert listed(await source.ask()) == ["10.0.0.1:80"]


async def test_a_target_that_is_gone_from_the_record_is_not_kept() -> None:
    async with dns_server() as dns:
        source = service(dns)
        srv(dns, "0 0 80 a.internal.", "0 0 80 b.internal.")
        dns.set("a.internal", "A", "10.0.0.1")
        dns.set("b.internal", "A", "10.0.0.2")
        await source.ask()
        srv(dns, "0 0 80 a.internal.")
        assert listed(await source.ask()) == ["10.0.0.1:80"]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (("0 0 0 .",), "says that the service is not available (its target is .)"),
        (("0 0 80 gone.internal.",), "there is no name gone.internal. (NXDOMAIN)"),
        (("0 0 80 empty.internal.",), "empty.internal. has no A and no AAAA record"),
        (("0 0 0 a.internal.",), "no record of _http._tcp.app.internal names a port"),
        ((), "_http._tcp.app.internal has no SRV record"),
    ],
)
async def test_srv_that_leads_nowhere(records: tuple[str, ...], words: str) -> None:
    async with dns_server() as dns:
        srv(dns, *records)
        dns.set("a.internal", "A", "10.0.0.1")
        dns.set("empty.internal", "TXT", "x")
        assert words in await failure(service(dns))


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        ([0, 0], [1, 1]),
        ([5], [1]),
        ([10, 20], [1, 2]),
        ([1000, 3000, 2000], [1, 3, 2]),
        ([65535, 1], [256, 1]),
        ([0, 10], [1, 256]),
        ([100, 201], [100, 201]),
    ],
)
def test_weights_keep_their_proportion_and_none_gets_nothing(weights: list[int], wanted: list[int]) -> None:
    assert scaled(weights) == wanted


# --- when it is asked again --------------------------------------------------------------------------------


async def test_it_is_asked_again_when_the_ttl_is_over_and_no_sooner() -> None:
    async with dns_server() as dns:
        clock = WoundClock()
        clock.chance = 0.5
        dns.set("app.internal", "A", "10.0.0.1", ttl=20)
        answers = source_of(dns, clock).watch()
        await anext(answers)
        later = anext(answers)
        waiting = asyncio.ensure_future(later)
        await clock.asleep()
        assert clock.naps == [21]  # 20 s, and half of 10 % more
        dns.set("app.internal", "A", "10.0.0.2", ttl=20)
        await clock.wind(20.9)
        assert dns.count("A app.internal.") == 1
        await clock.wind(0.1)
        answer = await waiting
        assert isinstance(answer, Answer)
        assert listed(answer) == ["10.0.0.2:80"]
        await answers.aclose()


def test_what_it_asks_is_said() -> None:
    keys: dict[str, Any] = {"dns": "app.internal:80", "resolvers": ["10.0.0.2", "fd00::2"]}
    assert (
        DnsSource(DiscoverSection.model_validate(keys), WoundClock()).asks()
        == "A of app.internal at 10.0.0.2:53, [fd00::2]:53"
    )
    other = DiscoverSection.model_validate({"dns": "app.internal:80", "type": "ip"})
    assert DnsSource(other, WoundClock()).asks() == "A and AAAA of app.internal at the resolvers of the system"
