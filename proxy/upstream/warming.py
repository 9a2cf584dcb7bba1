"""What share of its weight a backend gets now: slow start, in whole numbers.

Law of this file: pure arithmetic over backends; `Group.refresh` asks when something has changed, and knows from
`next_due` when to ask again although nothing was said. Times in seconds (monotonic).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isclose

from .backend import Backend

RAMP_STEPS = 10
"""Steps in which a backend's weight grows during slow start."""
WEIGHT_SCALES = (1, 10, 100)
"""What weights are multiplied by until they are whole numbers; the less, the shorter is a round of round robin."""
LATER = 3600.0
"""Seconds until somebody looks again although nothing is due."""


def weights(usable: Iterable[Backend], window: float, floor: float, now: float) -> list[int]:
    """Whole numbers in proportion to what each backend is to get now."""
    wanted = [backend.wanted_weight() * warmth(backend, window, floor, now) for backend in usable]
    for scale in WEIGHT_SCALES:
        scaled = [weight * scale for weight in wanted]
        whole = [round(weight) for weight in scaled]
        if all(isclose(*pair, abs_tol=1e-6) for pair in zip(scaled, whole, strict=True)):
            return whole
    return [max(1, each) if weight > 0 else 0 for each, weight in zip(whole, wanted, strict=True)]


def warmth(backend: Backend, window: float, floor: float, now: float) -> float:
    """The share of its weight that a backend gets: it grows in steps from the floor to 1 within the window."""
    since = backend.warm_since()
    if not since or not 0.0 <= now - since < window:
        return 1.0
    return max(floor, int((now - since) / window * RAMP_STEPS) / RAMP_STEPS)


def next_due(members: Iterable[Backend], window: float, now: float, now_ns: int) -> float:
    """When an ejection ends or a slow start goes a step on."""
    due = now + LATER
    for backend in members:
        until = backend.ejected_until()
        if until > now_ns:
            due = min(due, now + (until - now_ns) / 1e9)
        elif 0.0 <= now - backend.warm_since() < window:
            due = min(due, now + window / RAMP_STEPS)
    return due
