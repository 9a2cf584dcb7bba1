"""The backends of an upstream: membership, rotation, weights and health as of the last refresh.

Law of this file: a refresh follows a change (the scoreboard's epoch, an ejection, a new member) or `refresh_at`, never
a request. Which of the members are usable is decided per picker (picker.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from .backend import Backend
from .spec import GroupSpec
from .weights import next_refresh, weights_of


class Members:
    """The members of one upstream. They outlive the plan that names them."""

    def __init__(self) -> None:
        self.all: tuple[Backend, ...] = ()
        """Drained and unhealthy ones included."""
        self.in_rotation: list[Backend] = []
        """Those neither drained nor in maintenance, healthy or not."""
        self.refresh_at = 0.0
        """When an ejection ends or a slow start goes on a step: the next refresh without a change (seconds,
        monotonic)."""
        self.slow_start = self.slow_start_floor = 0.0
        self.panic = 0.0
        """The healthy share below which health is ignored."""
        self.overprovisioning = 1.0
        """The factor by which a priority can serve more than its share."""

    def adopt(self, spec: GroupSpec) -> None:
        """Take up the configuration."""
        self.slow_start, self.slow_start_floor = spec.slow_start, spec.slow_start_floor
        self.panic, self.overprovisioning = spec.panic, spec.overprovisioning

    def replace(self, backends: Sequence[Backend]) -> None:
        """Set the members. Those that join others begin with a slow start."""
        if self.all:
            known = set(self.all)
            for backend in backends:
                if backend not in known:
                    backend.added = monotonic()
        self.all = tuple(backends)

    def refresh(self, now: float, now_ns: int) -> None:
        """Update rotation, weights and health at time `now` (`now_ns`: the same clock, in ns)."""
        self.in_rotation = [backend for backend in self.all if backend.in_rotation()]
        weights = weights_of(self.in_rotation, now, self.slow_start, self.slow_start_floor)
        for backend, (weight, scale) in zip(self.in_rotation, weights, strict=True):
            backend.weight, backend.scale, backend.healthy = weight, scale, backend.healthy_at(now_ns)
        self.refresh_at = next_refresh(self.all, now, now_ns, self.slow_start)
