"""Geographic: the nearest region, gradual spill by health and by load, keys inside, and what it tells."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import pstdev
from typing import Any

import pytest

from proxy.balancing import ALGORITHMS, Done, create
from proxy.balancing.geographic import Geographic
from proxy.balancing.locations import Location
from proxy.balancing.wrappers.priorities import Priorities
from proxy.upstream.backend import Backend

from .algorithms import InOrder
from .members import backends, placed, settle, shares

PLACES = {
    "fra": Location(50.11, 8.68),
    "ams": Location(52.37, 4.90),
    "nyc": Location(40.71, -74.01),
    "home": Location(51.0, 9.0),
    "picky": Location(50.11, 8.68, ("nyc",)),
    "blank": Location(),
}


def geographic(**more: Any) -> Geographic:
    wanted: dict[str, Any] = {"locations": PLACES, "seed": 11} | more
    return Geographic(**wanted)


def regions(fra: int = 10, ams: int = 10, nyc: int = 10, ill: int = 0) -> list[Backend]:
    """Backends in three regions; `ill` of those in Frankfurt."""
    return placed("fra", fra, ill, region="fra") + placed("ams", ams, region="ams") + placed("nyc", nyc, region="nyc")


def regional(balancer: Geographic, location: str, picks: int = 4000) -> dict[str, float]:
    return shares(balancer, "region", location.encode(), picks)


def only(region: str) -> dict[str, Any]:
    return {region: pytest.approx(1.0)}


# --- which region --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("location", "region"), [("fra", "fra"), ("home", "fra"), ("nyc", "nyc"), ("picky", "nyc")])
def test_the_nearest_region_gets_all(location: str, region: str) -> None:
    balancer = geographic()
    settle(balancer, regions())
    assert regional(balancer, location, 200) == only(region)


def test_an_unknown_client_goes_anywhere_by_weight() -> None:
    balancer = geographic()
    settle(balancer, regions(10, 10, 0) + placed("nyc", 10, weight=2, region="nyc"))
    for location in ("", "atlantis"):
        assert regional(balancer, location) == pytest.approx({"fra": 0.25, "ams": 0.25, "nyc": 0.5}, abs=0.03)
    counts = Counter(picked.spec.region for _ in range(4000) if (picked := balancer.pick(None)))
    assert counts["nyc"] / 4000 == pytest.approx(0.5, abs=0.03)


def test_from_a_place_without_coordinates_all_are_equally_far() -> None:
    balancer = geographic()
    settle(balancer, regions(10, 10, 20))
    assert regional(balancer, "blank") == pytest.approx({"fra": 0.25, "ams": 0.25, "nyc": 0.5}, abs=0.03)


def test_a_region_that_is_no_location_serves_clients_of_its_own_name() -> None:
    balancer = geographic()
    settle(balancer, regions() + placed("lab", 2, region="lab"))
    assert regional(balancer, "lab", 200) == only("lab")


def test_the_built_in_locations_are_the_default() -> None:
    balancer = Geographic()
    settle(balancer, placed("a", 2, region="us-east") + placed("b", 2, region="eu-central"))
    assert balancer.pick(b"eu-north").spec.region == "eu-central"  # type: ignore[union-attr]


# --- spill by health -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ill", "stays"), [(0, 1.0), (28, 1.0), (29, 0.994), (50, 0.7), (75, 0.35), (100, 0.0)])
def test_it_spills_gradually_to_the_next(ill: int, stays: float) -> None:
    """As priorities do: below 71.4 % healthy the rest goes on, in proportion, to the next in order."""
    balancer = geographic()
    settle(balancer, regions(fra=100, ill=ill))
    found = regional(balancer, "home")
    assert found.get("fra", 0.0) == pytest.approx(stays, abs=0.025)
    assert found.get("ams", 0.0) == pytest.approx(1.0 - stays, abs=0.025)
    assert "nyc" not in found
    assert regional(balancer, "nyc", 200) == only("nyc")  # others see nothing of it


def test_there_is_no_cliff() -> None:
    """One backend more or less never moves more than its own share times the factor."""
    balancer = geographic()
    members = regions(fra=50)
    kept = []
    for ill in range(51):
        for n, backend in enumerate(members[:50]):
            backend.healthy = n >= ill
        settle(balancer, members)
        kept.append(balancer.plans[b"home"].shares.get("fra", 0.0))
    steps = [before - after for before, after in pairwise(kept)]
    assert min(steps) >= 0.0
    assert max(steps) <= 1.4 / 50 + 1e-9


def test_local_only_has_nobody_elsewhere() -> None:
    balancer = geographic(spill="local_only")
    members = regions(fra=2, ill=1)
    settle(balancer, members)
    assert regional(balancer, "home", 200) == only("fra")
    assert balancer.candidates(b"home") == [members[:1]]
    members[0].healthy = False
    settle(balancer, members)
    assert balancer.pick(b"home") is None
    assert balancer.candidates(b"home") == []


def test_a_retry_goes_to_the_nearest_region_that_has_somebody_left() -> None:
    """And so does a request whose backend is full."""
    balancer = geographic()
    members = regions(ams=1, fra=2)
    settle(balancer, members)
    reach = balancer.candidates(b"home")
    assert reach is not None
    assert [{backend.spec.region for backend in rank} for rank in reach] == [{"fra"}, {"ams"}, {"nyc"}]
    assert geographic(spill="any").candidates(b"home") is None


class OnlyFirst(InOrder):
    """Sends nothing to anybody but its first member, retries included; a key turns that round."""

    needs_key = True

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        return [self.backends[:1] if key is None else self.backends[-1:]]


@pytest.mark.parametrize(("spill", "ranks"), [("local_preferred", 3), ("local_only", 1), ("any", 3)])
def test_whom_the_algorithm_inside_leaves_out_a_retry_leaves_out_too(spill: str, ranks: int) -> None:
    balancer = geographic(inner="tests.balancing.test_geographic:OnlyFirst", spill=spill)
    members = regions(ams=2, fra=2, nyc=2)
    settle(balancer, members)
    reach = balancer.candidates(b"home\nkey")
    assert reach is not None
    found = [backend for rank in reach for backend in rank]
    assert found == [members[1], members[3], members[5]][:ranks]
    assert len(reach) == (1 if spill == "any" else ranks)


def test_where_nobody_is_healthy_the_nearest_that_is_left_to_panic_gets_all() -> None:
    balancer = geographic()
    settle(balancer, placed("fra", 3, 3, region="fra") + placed("ams", 3, 3, region="ams"), panic=True)
    assert regional(balancer, "home", 200) == only("fra")


# --- spill by load -------------------------------------------------------------------------------------------


class World:
    """Requests that all take the same time, so many new ones per tick (0.1 s) from each place."""

    def __init__(self, balancer: Geographic, seconds: float = 1.0) -> None:
        self.balancer = balancer
        self.flying: deque[tuple[int, Backend]] = deque()
        self.ticks = int(seconds * 10)
        self.now = 0

    def run(self, ticks: int, **rates: int) -> dict[str, Counter[str | None]]:
        """Where the requests of each place went in the last fifth of these ticks."""
        found: dict[str, Counter[str | None]] = {place: Counter() for place in rates}
        for tick in range(ticks):
            for place, rate in rates.items():
                for _ in range(rate):
                    backend = self.balancer.pick(place.encode())
                    assert backend is not None
                    self.balancer.assigned(backend)
                    backend.in_flight += 1
                    self.flying.append((self.now + self.ticks, backend))
                    if tick >= ticks * 4 // 5:
                        found[place][backend.spec.region] += 1
            self.now += 1
            self.balancer.tick(self.now / 10)
            while self.flying and self.flying[0][0] <= self.now:
                _, backend = self.flying.popleft()
                backend.in_flight -= 1
                self.balancer.released(backend, Done(0.1, 0, self.now / 10))
        return found


@pytest.mark.long
@pytest.mark.parametrize("seconds", [0.1, 1.0, 2.0])
def test_what_a_region_cannot_hold_goes_to_the_next(seconds: float) -> None:
    """Frankfurt may have 100 in flight and would have 200: half of it goes to Amsterdam, whatever requests take."""
    balancer = geographic(max_in_flight=10)
    settle(balancer, regions(10, 100, 10))
    world = World(balancer, seconds)
    rate = int(200 / (seconds * 10))
    found = world.run(600, home=rate)["home"]
    total = sum(found.values())
    assert found["fra"] / total == pytest.approx(0.5, abs=0.1)
    assert found["ams"] / total == pytest.approx(0.5, abs=0.1)


@pytest.mark.long
@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0])
def test_it_settles_and_does_not_swing(seconds: float) -> None:
    """The spread is that of drawing lots (sigma 7 if half of 200 go there), and little more."""
    balancer = geographic(max_in_flight=10)
    members = regions(10, 100, 10)
    settle(balancer, members)
    world = World(balancer, seconds)
    rate = int(200 / (seconds * 10))
    world.run(300, home=rate)
    seen = []
    for _ in range(400):
        world.run(1, home=rate)
        seen.append(sum(backend.in_flight for backend in members[:10]))
    assert pstdev(seen) <= 13


def test_guests_go_before_residents() -> None:
    """Amsterdam is full with its own: what spills over from Frankfurt goes on to New York."""
    balancer = geographic(max_in_flight=10)
    settle(balancer, regions(10, 10, 100))
    found = World(balancer).run(600, home=20, ams=9)
    assert found["ams"]["ams"] / sum(found["ams"].values()) >= 0.9
    assert found["home"]["fra"] / sum(found["home"].values()) == pytest.approx(0.5, abs=0.1)
    assert found["home"]["nyc"] / sum(found["home"].values()) == pytest.approx(0.45, abs=0.12)


def test_when_the_rush_is_over_all_come_home() -> None:
    balancer = geographic(max_in_flight=10)
    settle(balancer, regions(10, 100, 10))
    world = World(balancer)
    world.run(300, home=20)
    assert world.run(300, home=5)["home"]["fra"] == 5 * 60


def test_without_a_capacity_nobody_looks_at_load() -> None:
    balancer = geographic()
    settle(balancer, regions(10, 100, 10))
    assert set(World(balancer).run(200, home=20)["home"]) == {"fra"}


def test_local_only_does_not_look_at_load_either() -> None:
    balancer = geographic(max_in_flight=10, spill="local_only")
    settle(balancer, regions(10, 100, 10))
    assert set(World(balancer).run(200, home=20)["home"]) == {"fra"}


def test_for_any_it_is_no_matter_where_the_client_is() -> None:
    balancer = geographic(spill="any")
    settle(balancer, regions(10, 20, 10))
    for location in ("home", "nyc", "picky", "", "nowhere"):
        found = regional(balancer, location)
        assert found == pytest.approx({"fra": 0.25, "ams": 0.5, "nyc": 0.25}, abs=0.03)


def test_if_all_are_full_all_are_used() -> None:
    balancer = geographic(max_in_flight=1)
    settle(balancer, regions(10, 10, 10))
    found = World(balancer).run(400, home=20)["home"]
    assert set(found) == {"fra", "ams", "nyc"}


# --- inside --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [name for name in ALGORITHMS if name != "geographic"])
def test_any_algorithm_picks_inside(inner: str) -> None:
    balancer = geographic(inner=inner)
    members = regions(3, 3, 3)
    settle(balancer, members)
    picked = {balancer.pick(b"home\nuser-%d" % n) if balancer.needs_key else balancer.pick(b"home") for n in range(200)}
    assert picked
    assert picked <= set(members[:3])


def test_a_key_goes_to_the_algorithm_inside() -> None:
    balancer = geographic(inner={"algorithm": "tests.balancing.algorithms:LastByKey", "offset": 1})
    members = regions(2, 2, 2)
    settle(balancer, members)
    assert balancer.needs_key
    assert balancer.needs_location
    assert balancer.pick(b"home\nx\x00") is members[1]
    assert balancer.pick(b"nyc\nx\x01") is members[4]
    assert balancer.pick(b"nyc\n\n\x01") is members[4]  # only the first line feed divides
    assert {balancer.pick(b"home") for _ in range(50)} == set(members[:2])  # without a key: power of two


def test_a_key_stays_where_it_is_while_regions_share() -> None:
    balancer = geographic(inner="tests.balancing.algorithms:LastByKey")
    settle(balancer, regions(10, 10, 10, ill=5))
    keys = [b"home\nuser-%d" % n for n in range(2000)]
    first = [balancer.pick(key) for key in keys]
    assert first == [balancer.pick(key) for key in keys]
    away = sum(backend is not None and backend.spec.region == "ams" for backend in first)
    assert away / 2000 == pytest.approx(0.3, abs=0.03)


def test_without_a_key_inside_the_key_is_the_location_alone() -> None:
    assert not geographic().needs_key
    assert geographic().needs_location


def test_it_works_inside_of_priorities() -> None:
    levels = Priorities(geographic)
    assert levels.needs_location
    spare = placed("spare", 4, region="fra", priority=1)
    members = regions(4, 4, 4) + spare
    settle(levels, members)
    assert shares(levels, "region", b"home", 200) == only("fra")
    for backend in members[:12]:
        backend.healthy = False
    settle(levels, members)
    assert {levels.pick(b"home") for _ in range(100)} == set(spare)


@pytest.mark.parametrize("inner", ["power_of_two", "consistent_hash"])
def test_the_clients_of_a_location_are_shared_out_over_priorities(inner: str) -> None:
    """Not all of them go one way because they have the same location; those with a key always go the same."""
    levels = Priorities(lambda: geographic(inner=inner))
    settle(levels, placed("one", 10, 5, region="fra") + placed("two", 10, region="fra", priority=1))
    assert shares(levels, "priority", b"home") == pytest.approx({0: 0.7, 1: 0.3}, abs=0.03)
    if inner == "consistent_hash":
        keys = [b"home\nuser-%d" % n for n in range(2000)]
        first = [levels.pick(key) for key in keys]
        assert first == [levels.pick(key) for key in keys]
        away = sum(backend is not None and backend.spec.priority == 1 for backend in first)
        assert away / 2000 == pytest.approx(0.3, abs=0.03)


# --- parameters and explanations -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"spill": "never"}, "spill: must be local_preferred, local_only or any, not never"),
        ({"overprovisioning": 0.5}, "overprovisioning: must be at least 1, not 0.5"),
        ({"max_in_flight": 0}, "max_in_flight: must be greater than 0, not 0"),
        ({"inner": "geographic"}, "geographic cannot be inside of geographic"),
        ({"inner": {"seed": 1}}, "inner: needs an algorithm"),
        ({"inner": "nonsense"}, "there is no algorithm 'nonsense'"),
    ],
)
def test_what_makes_no_sense_is_told(params: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="a") as caught:
        create("geographic", **params)
    assert said in str(caught.value)


def test_locations_may_come_as_mappings() -> None:
    balancer = create("geographic", locations={"here": {"near": ["b"]}, "b": {"latitude": 1, "longitude": 2}})
    settle(balancer, placed("a", 1, region="a") + placed("b", 1, region="b"))
    assert balancer.pick(b"here").spec.region == "b"  # type: ignore[union-attr]


def test_it_tells_the_order_the_shares_and_why_it_spills() -> None:
    balancer = geographic(max_in_flight=10)
    settle(balancer, regions(10, 10, 10, ill=5))
    for _ in range(30):
        balancer.pick(b"home")
    told = balancer.explain()
    assert set(told["locations"]) == {"home"}
    home = told["locations"]["home"]
    assert home["picks"] == 30
    assert [(each["region"], each["km"], each["share"]) for each in home["order"]] == [
        ("fra", pytest.approx(101, abs=2), 0.7),
        ("ams", pytest.approx(318, abs=5), 0.3),
        ("nyc", pytest.approx(6200, abs=60), 0.0),
    ]
    assert home["order"][0]["why"] == "5 of 10 are healthy: can serve 70%"
    assert told["regions"]["fra"] == {
        "healthy": 5, "total": 10, "busy": 0.0, "can_serve": 0.7, "can_serve_for_others": 0.7,
    }  # fmt: skip


def test_it_tells_that_a_region_is_full() -> None:
    balancer = geographic(max_in_flight=10)
    settle(balancer, regions(10, 100, 10))
    World(balancer).run(300, home=20)
    why = balancer.explain()["locations"]["home"]["order"][0]["why"]
    assert why.startswith("more in flight than 10 per weight: has room for ")


def test_a_region_has_no_share_of_its_own() -> None:
    """What it gets is a matter of where clients are, and told for each of their locations."""
    balancer = geographic()
    settle(balancer, regions())
    balancer.pick(b"home")
    parts = balancer.explain()["parts"]
    assert [(part["part"], part["members"], "share" in part) for part in parts] == [
        (region, 10, False) for region in ("fra", "ams", "nyc")
    ]


def test_counts_and_rooms_stay_when_members_change() -> None:
    balancer = geographic(max_in_flight=10)
    members = regions(10, 100, 10)
    settle(balancer, members)
    World(balancer).run(300, home=20)
    before = balancer.plans[b"home"].shares["fra"]
    picks = balancer.plans[b"home"].picks
    settle(balancer, members[:-1])
    assert balancer.plans[b"home"].shares["fra"] == pytest.approx(before)
    assert balancer.plans[b"home"].picks == picks == 6000


def test_nobody_anywhere() -> None:
    balancer = geographic()
    for members in ([], backends(0)):
        settle(balancer, members)
        assert balancer.pick(b"home") is None
        assert balancer.pick(None) is None
