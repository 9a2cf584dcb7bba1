"""Zones: requests stay in the zone of this proxy as far as its backends get no more than those of other zones.

The rule is Envoy's (zone aware routing): if the local share of backends is not below the local share of proxies,
everything stays; otherwise as much as keeps the load of all backends equal, and the rest goes to zones that have more
backends than proxies. Backends count by their weights, and proxies only in zones with backends: proxies of other zones
spread over all of them. Zones are ignored with fewer than `min_backends`, where shares are too coarse, and in panic,
where their capacities are unknown.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from ...upstream.backend import Backend
from .partition import Make, Part, Partition

ALL = "all"


class ZoneAware(Partition):
    """Divides members by their zone. `proxies`: the number of proxies of each zone; empty for equally many."""

    name = "zone"
    salt = 0x53

    def __init__(
        self,
        make: Make,
        zone: str,
        proxies: Mapping[str, int] | None = None,
        min_backends: int = 6,
        seed: int | None = None,
    ) -> None:
        super().__init__(make, seed)
        self.zone = zone
        self.proxies = dict(proxies or {})
        self.min_backends = min_backends
        self.divided = False
        """Whether zones are not ignored now."""

    def divide(self, in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> list[Part]:
        zones: dict[str | None, list[Backend]] = {}
        weights: dict[str | None, int] = {}
        for backend in usable:
            if backend.weight > 0:
                zone = backend.spec.zone
                zones.setdefault(zone, []).append(backend)
                weights[zone] = weights.get(zone, 0) + backend.weight
        used = [backend for each in zones.values() for backend in each]
        small = len(used) < self.min_backends
        well = all(backend.healthy for backend in used)
        self.divided = self.zone in zones and len(zones) > 1 and not small and well
        if not self.divided:
            return [Part(ALL, used, 1.0)] if used else []
        total = sum(weights.values())
        shares = self.shares({zone: weight / total for zone, weight in weights.items()})
        return [Part(zone, each, shares[zone]) for zone, each in zones.items()]

    def label_of(self, backend: Backend) -> Hashable:
        return backend.spec.zone if self.divided else ALL

    def shares(self, backends: Mapping[str | None, float]) -> dict[str | None, float]:
        """The share of requests of each zone, from its share of the backends."""
        proxies = self._proxies(backends)
        here = self.zone
        if backends[here] >= proxies[here]:
            return {zone: float(zone == here) for zone in backends}
        stays = backends[here] / proxies[here]
        spare = {zone: max(0.0, share - proxies[zone]) for zone, share in backends.items() if zone != here}
        total = sum(spare.values())
        return {here: stays} | {zone: (1.0 - stays) * each / total for zone, each in spare.items()}

    def _proxies(self, backends: Mapping[str | None, float]) -> dict[str | None, float]:
        total = sum(self.proxies.get(zone or "", 0) for zone in backends)
        if not total or not self.proxies.get(self.zone):
            return dict.fromkeys(backends, 1.0 / len(backends))
        return {zone: self.proxies.get(zone or "", 0) / total for zone in backends}
