"""Geographic: requests go to the region nearest to the client, and spill over to the next ones as far as it cannot.

The order is an explicit preference, then the distance on the globe (locations.py). Inside of a region any other
algorithm picks. The capacity of a region is Envoy's measure for priorities: the healthy share of its backends times a
factor; below 1 the rest goes to the next region, so that regions empty gradually. With `max_in_flight` a region also
spills over the excess of its requests in flight: first those of clients of other regions, then its own. The load that
other proxies send to a region is known only as far as the load of its backends shows it.

The key is the location of the client: its name, empty if it is unknown, then after a line feed the key of the algorithm
inside, if that needs one. A client whose location is unknown goes to any region, by weight.

Law of this file: `pick` looks up one plan for its location and draws a region from it. Plans change in `members` and
`tick` only; learned values are in the backends.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

from ..upstream.backend import Backend
from . import create
from .base import Balancer
from .locations import BUILTIN, Location, distance, ordered
from .wrappers.keyless import KeylessFallback
from .wrappers.partition import Make, Part, Partition, Split, behind_location
from .wrappers.priorities import ability, shares_of

SPILLS = ("local_preferred", "local_only", "any")
"""To the next regions as far as needed; to none; or no order of regions."""
GAIN = 0.1
"""The speed at which a region's room follows its load, as an exponent per tick: slow enough that requests sent
elsewhere are gone from its load before more are, also where requests take seconds."""
GUESTS = 3.0
"""The multiple of GAIN for requests that spill over from other regions."""
STEP = 1.1
"""The greatest factor by which room grows in one tick."""
LEAST = 0.01
"""The least room: without any request a recovery would not be seen."""


class Room:
    """The shares of requests that a region has room for: of its own clients, and of those that spill over to it."""

    def __init__(self) -> None:
        self.own = self.others = 1.0

    def follow(self, busy: float) -> bool:
        """Adapt to `busy`, load by capacity. Room for others falls faster, and grows last. True if it changed."""
        before = self.own, self.others
        change = max(busy, 1e-9) ** -GAIN
        if busy > 1.0:
            self.own = max(LEAST, self.own * change)
            self.others = max(LEAST, self.others * change**GUESTS)
        elif self.own < 1.0:
            self.own = min(1.0, self.own * min(STEP, change))
        else:
            self.others = min(1.0, self.others * min(STEP, change))
        return before != (self.own, self.others)


class Region:
    """The backends of one region: their number, that of the healthy ones, and their capacity."""

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.room = Room()
        self.total = self.well = 0
        self.members: list[Backend] = []
        self.weight = 0
        """The sum of the usable members."""
        self.capacity = 0.0
        """The limit of requests in flight; 0 for none."""

    def busy(self) -> float:
        """Requests in flight by the capacity."""
        return sum(backend.load() for backend in self.members) / self.capacity if self.capacity else 0.0


class LocationPlan(Split):
    """The shares of regions for clients at one location."""

    def __init__(self, tiers: Sequence[Sequence[str | None]]) -> None:
        super().__init__()
        self.tiers = tiers
        """Regions, the nearest first; those without a known order in one group."""
        self.shares: dict[str | None, float] = {}
        self.picks = 0


class Geographic(Partition):
    """The nearest region, within its capacity."""

    name = "geographic"
    needs_location = True
    salt = 0x54

    def __init__(
        self,
        inner: str | Mapping[str, Any] = "power_of_two",
        spill: str = "local_preferred",
        overprovisioning: float = 1.4,
        max_in_flight: float | None = None,
        locations: Mapping[str, Location | Mapping[str, Any]] | None = None,
        seed: int | None = None,
    ) -> None:
        if spill not in SPILLS:
            raise ValueError(f"spill: must be {', '.join(SPILLS[:-1])} or {SPILLS[-1]}, not {spill}")
        if not overprovisioning >= 1.0:
            raise ValueError(f"overprovisioning: must be at least 1, not {overprovisioning}")
        if max_in_flight is not None and not max_in_flight > 0:
            raise ValueError(f"max_in_flight: must be greater than 0, not {max_in_flight}")
        super().__init__(inner_of(inner), seed)
        self.keyed = self.model.needs_key
        self.spill = spill
        self.factor = overprovisioning
        self.max_in_flight = max_in_flight
        self.locations = BUILTIN if locations is None else {n: location_of(each) for n, each in locations.items()}
        self.regions: dict[str | None, Region] = {}
        self.plans: dict[bytes | None, LocationPlan] = {}
        """By the names of locations."""
        self.anywhere = LocationPlan(())

    # --- changes of members, ticks ---

    def divide(self, in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> list[Part]:
        self._take_stock(in_rotation, usable)
        total = sum(region.weight for region in self.regions.values())
        return [
            Part(region.name, region.members, region.weight / total)
            for region in self.regions.values()
            if region.members
        ]

    def _take_stock(self, in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        old = self.regions
        counted = [backend for backend in in_rotation if backend.weight > 0]
        names = dict.fromkeys(backend.spec.region for backend in (*counted, *usable))
        self.regions = {name: Region(name) for name in names}
        for backend in counted:
            self.regions[backend.spec.region].total += 1
        for backend in usable:
            region = self.regions[backend.spec.region]
            if backend.weight > 0:
                region.members.append(backend)
                region.weight += backend.weight
                region.well += backend.healthy
                region.capacity += (self.max_in_flight or 0.0) * backend.wanted_weight()
        for name, region in self.regions.items():
            if name in old:
                region.room = old[name].room

    def label_of(self, backend: Backend) -> Hashable:
        return backend.spec.region

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        super().members(listed, in_rotation, usable)
        old = self.plans
        names = {*self.locations, *(name for name in self.regions if name is not None)}
        self.plans = {}
        for name in sorted(names):
            plan = self.plans[name.encode()] = LocationPlan(self._order(name))
            before = old.get(name.encode())
            plan.picks = before.picks if before is not None else 0
        picks = self.anywhere.picks
        self.anywhere = LocationPlan(self._order(None))
        self.anywhere.picks = picks
        self._plan()

    def _order(self, name: str | None) -> list[list[str | None]]:
        """The regions in the order for clients at a location; in one group where it is unknown, or `spill` is any."""
        if name is None or self.spill == "any":
            return [list(self.regions)] if self.regions else []
        return ordered(name, self.regions, self.locations)

    def tick(self, now: float) -> None:
        super().tick(now)
        if self.max_in_flight is None or self.spill == "local_only":
            return
        changed = [region.room.follow(region.busy()) for region in self.regions.values() if region.members]
        if any(changed):
            self._plan()

    def _plan(self) -> None:
        for plan in (self.anywhere, *self.plans.values()):
            plan.shares = self._shares(plan.tiers)
            plan.share_out(plan.shares, self.children)

    def _shares(self, tiers: Sequence[Sequence[str | None]]) -> dict[str | None, float]:
        """The share of each region for clients that have the regions in this order."""
        if self.spill == "local_only":
            tiers = tiers[:1]
        able = [max(self._able(name, rank == 0) for name in tier) for rank, tier in enumerate(tiers)]
        if not any(able):  # panic without a healthy backend: the nearest
            able = [float(any(self.regions[name].members for name in tier)) for tier in tiers]
            able = [each if not any(able[:rank]) else 0.0 for rank, each in enumerate(able)]
        found: dict[str | None, float] = {}
        for rank, (tier, share) in enumerate(zip(tiers, shares_of(able), strict=True)):
            found.update(self._split(tier, share, rank == 0))
        return found

    def _split(self, tier: Sequence[str | None], share: float, local: bool) -> dict[str | None, float]:
        """The shares of regions at the same rank: by weight, times their capacities."""
        parts = {name: self.regions[name].weight * (self._able(name, local) or 1e-9) for name in tier}
        total = sum(parts.values())
        return {name: share * part / total if total else 0.0 for name, part in parts.items()}

    def _able(self, name: str | None, local: bool) -> float:
        """The share of all requests that a region can serve, from 0 to 1."""
        region = self.regions[name]
        room = region.room.own if local else region.room.others
        return min(room, ability(region.well, region.total, self.factor))

    # --- requests ---

    def pick(self, key: bytes | None) -> Backend | None:
        rest: bytes | None = None
        if key is not None and self.keyed:
            end = key.find(b"\n")
            if end >= 0:
                rest, key = key[end + 1 :], key[:end]
        found = self.plans.get(key)
        plan: LocationPlan = self.anywhere if found is None else found
        plan.picks += 1
        child = plan.only
        if child is not None:
            return child.pick(rest)
        if not plan.children:
            return None
        child = plan.at(self.place_of(rest))
        return child.pick(rest)

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        rest = behind_location(key) if key is not None else None
        inside = {name: self.children[name].candidates(rest) for name in self.regions if name in self.children}
        if self.spill == "any" and all(ranks is None for ranks in inside.values()):
            return None
        groups = {name: [self.regions[name].members] if ranks is None else ranks for name, ranks in inside.items()}
        location = (key or b"").partition(b"\n")[0]
        tiers = self.plans.get(location, self.anywhere).tiers
        if self.spill == "local_only":
            tiers = tiers[:1]
        found: list[Sequence[Backend]] = []
        for tier in tiers:
            parts = [groups[name] for name in tier if name in groups]
            found += parts[0] if len(parts) == 1 else self.ranked(parts)
        return found

    # --- for people ---

    def explain(self) -> dict[str, Any]:
        found = super().explain()
        for part in found["parts"]:
            del part["share"]  # by weight; the shares are below, for each location
        return found | {
            "regions": {str(name): self._region(region) for name, region in self.regions.items()},
            "locations": {
                name.decode() or "unknown": self._route(name.decode(), plan)
                for name, plan in ((b"", self.anywhere), *self.plans.items())
                if name is not None and plan.picks
            },
        }

    def _region(self, region: Region) -> dict[str, Any]:
        return {
            "healthy": region.well,
            "total": region.total,
            "busy": round(region.busy(), 4) if region.capacity else None,
            "can_serve": round(self._able(region.name, True), 4),
            "can_serve_for_others": round(self._able(region.name, False), 4),
        }

    def _route(self, name: str, plan: LocationPlan) -> dict[str, Any]:
        here = self.locations.get(name, Location())
        return {
            "picks": plan.picks,
            "order": [
                {
                    "region": region,
                    "km": round(km) if km is not None else None,
                    "share": round(plan.shares.get(region, 0.0), 4),
                    "why": self._why(region, rank),
                }
                for rank, tier in enumerate(plan.tiers)
                for region in tier
                for km in [distance(here, self.locations.get(str(region), Location()))]
            ],
        }

    def _why(self, name: str | None, rank: int) -> str:
        """The reason why a region spills over, or is not used; empty if neither."""
        region = self.regions[name]
        if rank and self.spill == "local_only":
            return "not used: local_only"
        healthy = ability(region.well, region.total, self.factor)
        room = region.room.own if rank == 0 else region.room.others
        if room < healthy:
            return f"more in flight than {self.max_in_flight:g} per weight: has room for {room:.0%}"
        if healthy < 1.0:
            return f"{region.well} of {region.total} are healthy: can serve {healthy:.0%}"
        return ""


def location_of(place: Location | Mapping[str, Any]) -> Location:
    """A location from its section of the configuration."""
    if isinstance(place, Location):
        return place
    return Location(place.get("latitude"), place.get("longitude"), tuple(place.get("near", ())))


def inner_of(inner: str | Mapping[str, Any]) -> Make:
    """The factory of the algorithm of each region. Raises ValueError."""
    params = {"algorithm": inner} if isinstance(inner, str) else dict(inner)
    if "algorithm" not in params:
        raise ValueError("inner: needs an algorithm, such as {algorithm: consistent_hash}")
    make: Make = partial(create, **params)
    model = make()
    if model.needs_location:
        raise ValueError(f"inner: {params['algorithm']} cannot be inside of geographic")
    return partial(keyed, make) if model.needs_key else make


def keyed(make: Make) -> Balancer:
    """The algorithm with a fallback for requests without a key."""
    return KeylessFallback(make(), create("power_of_two"))
