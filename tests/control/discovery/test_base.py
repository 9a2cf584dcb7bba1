"""What a source of one's own is written with."""

from __future__ import annotations

import pytest

from proxy.configuration.sections.discover import Each
from proxy.control.discovery.base import Clock, Source, backend, completed
from proxy.upstream.backend import BackendSpec


def test_a_backend_is_written_as_in_the_configuration() -> None:
    assert backend("App-1:80") == BackendSpec("app-1:80", "app-1", 80, "", 1, None)
    assert backend("[FD00::1]:80", 3, "eu") == BackendSpec("[fd00::1]:80", "fd00::1", 80, "", 3, "eu")
    assert backend("unix:/run/app.sock").path == "/run/app.sock"


def test_all_that_a_backend_may_be_can_be_written() -> None:
    spec = backend("a:80", region="eu", zone="z1", priority=2, labels={"version": "canary", "tier": "web"})
    assert (spec.region, spec.zone, spec.priority) == ("eu", "z1", 2)
    assert spec.labels == (("tier", "web"), ("version", "canary"))


def test_what_is_said_of_all_holds_as_far_as_the_source_says_nothing() -> None:
    each = Each(region="eu", zone="z1", labels={"tier": "web", "version": "stable"})
    plain, own = backend("a:80"), backend("b:80", region="us", zone="z2", labels={"version": "canary"})
    assert completed(plain, Each()) == plain
    filled = completed(plain, each)
    assert (filled.region, filled.zone, filled.labels) == ("eu", "z1", (("tier", "web"), ("version", "stable")))
    kept = completed(own, each)
    assert (kept.region, kept.zone, kept.labels) == ("us", "z2", (("tier", "web"), ("version", "canary")))


@pytest.mark.parametrize(("address", "weight"), [("app", 1), ("http://app:80", 1), ("app:80", 257), ("app:80", -1)])
def test_what_the_configuration_would_refuse_is_refused(address: str, weight: int) -> None:
    with pytest.raises(ValueError):
        backend(address, weight)


def test_a_source_says_by_itself_what_it_is() -> None:
    with pytest.raises(NotImplementedError):
        Source().watch()
    assert Source().asks() == ""


async def test_the_clock_goes_by_itself() -> None:
    clock = Clock()
    before = clock.now()
    await clock.sleep(0.001)
    assert clock.now() - before >= 0.0009
    assert clock.wall() > 1_600_000_000
    assert 0 <= clock.jitter() <= 1
