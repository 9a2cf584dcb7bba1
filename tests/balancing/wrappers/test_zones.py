"""Zones: what stays here, and where the rest goes (Envoy: zone aware routing)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.balancing.maglev import MaglevHash
from proxy.balancing.power_of_two import PowerOfTwo
from proxy.balancing.wrappers.zones import ZoneAware
from proxy.upstream.backend import Backend

from ..members import placed, settle, shares


def zoned(**counts: int) -> list[Backend]:
    return [each for zone, count in counts.items() for each in placed(f"{zone}-", count, zone=zone)]


@pytest.mark.parametrize(
    ("backends", "expected"),
    [
        ({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 0.0}),
        ({"a": 0.75, "b": 0.25}, {"a": 1.0, "b": 0.0}),
        ({"a": 0.25, "b": 0.75}, {"a": 0.5, "b": 0.5}),
        ({"a": 0.1, "b": 0.4, "c": 0.5}, {"a": 0.3, "b": 0.2, "c": 0.5}),
        ({"a": 0.2, "b": 0.2, "c": 0.6}, {"a": 0.6, "b": 0.0, "c": 0.4}),
    ],
)
def test_what_stays_and_where_the_rest_goes(backends: dict[str | None, float], expected: dict[str, float]) -> None:
    """By hand from the formulas: stays = backends / proxies here, the rest by what other zones have to spare."""
    assert ZoneAware(PowerOfTwo, "a").shares(backends) == pytest.approx(expected)


def test_more_proxies_elsewhere_leave_room_here() -> None:
    zones = ZoneAware(PowerOfTwo, "a", {"a": 1, "b": 3})
    assert zones.shares({"a": 0.25, "b": 0.75}) == pytest.approx({"a": 1.0, "b": 0.0})
    assert ZoneAware(PowerOfTwo, "b", {"a": 1, "b": 3}).shares({"a": 0.5, "b": 0.5}) == pytest.approx(
        {"a": 1 / 3, "b": 2 / 3}
    )


@given(
    st.dictionaries(st.sampled_from("abcde"), st.tuples(st.integers(1, 50), st.integers(1, 20)), min_size=2),
    st.dictionaries(st.sampled_from("vwxyz"), st.integers(1, 20)),
)
def test_all_proxies_together_load_all_backends_alike(
    zones: dict[str, tuple[int, int]], elsewhere: dict[str, int]
) -> None:
    """Proxies of zones without backends, which are `elsewhere`, spread over everything."""
    counts = {zone: backends for zone, (backends, _) in zones.items()}
    proxies = {zone: many for zone, (_, many) in zones.items()} | elsewhere
    total = sum(counts.values())
    wanted: dict[str | None, float] = {zone: count / total for zone, count in counts.items()}
    load: Counter[str | None] = Counter()
    for zone, many in proxies.items():
        sent = ZoneAware(PowerOfTwo, zone, proxies).shares(wanted) if zone in counts else wanted
        for where, share in sent.items():
            load[where] += many * share / sum(proxies.values())  # type: ignore[assignment]
    assert {zone: load[zone] for zone in wanted} == pytest.approx(wanted)


def test_a_proxy_uses_its_own_zone_first() -> None:
    zones = ZoneAware(PowerOfTwo, "a", seed=3)
    settle(zones, zoned(a=4, b=4))
    assert shares(zones, "zone", picks=200) == {"a": pytest.approx(1.0)}
    settle(zones, zoned(a=2, b=6))
    assert shares(zones, "zone") == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.03)


def test_weights_count_as_that_many_backends() -> None:
    zones = ZoneAware(PowerOfTwo, "a", seed=3)
    settle(zones, placed("a-", 2, weight=3, zone="a") + placed("b-", 6, zone="b"))
    assert [part.share for part in zones.parts] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("zone", "members"),
    [
        ("a", zoned(a=2, b=3)),  # fewer than six
        ("c", zoned(a=4, b=4)),  # nobody is in this zone
        ("a", zoned(a=8)),  # there is no other
        ("a", zoned(a=4, b=4) + placed("a-ill", 1, 1, zone="a")),  # in panic
    ],
    ids=["few", "elsewhere", "one", "panic"],
)
def test_when_zones_are_ignored(zone: str, members: list[Backend]) -> None:
    zones = ZoneAware(PowerOfTwo, zone)
    settle(zones, members, panic=True)
    assert [(part.label, part.share) for part in zones.parts] == [("all", 1.0)]
    assert {zones.pick(None) for _ in range(500)} == set(members)


def test_who_has_no_zone_is_in_another_one() -> None:
    zones = ZoneAware(PowerOfTwo, "a")
    settle(zones, zoned(a=4) + placed("nowhere", 4))
    assert {part.label: part.share for part in zones.parts} == {"a": 1.0, None: 0.0}


def test_without_weights_there_is_nobody() -> None:
    zones = ZoneAware(PowerOfTwo, "a")
    settle(zones, placed("a", 8, weight=0, zone="a"))
    assert zones.pick(None) is None


@pytest.mark.parametrize(
    ("min_backends", "expected"),
    [(100, {"all": 28}), (6, {"all": 4, "a": 20, "b": 4})],
    ids=["ignored", "divided"],
)
def test_how_many_belong_to_a_zone_does_not_depend_on_who_is_ill(
    min_backends: int, expected: dict[Hashable, int]
) -> None:
    """Or a ring or table inside would be another one, and nearly everybody's keys would move."""
    zones = ZoneAware(MaglevHash, "a", min_backends=min_backends)
    members = zoned(all=4, a=20, b=4)
    for ill in (0, 15):
        for backend in members[4 : 4 + ill]:
            backend.healthy = False
        settle(zones, members)
        children = {label: child for label, child in zones.children.items() if isinstance(child, MaglevHash)}
        assert {label: child.configured for label, child in children.items()} == expected
        assert sum(len(child.backends) for child in children.values()) == 28 - ill
