"""The present weights of backends: the wanted one, reduced during slow start, in whole numbers.

Law of this file: pure functions of the state of backends and a time; nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isclose

from .backend import Backend

RAMP_STEPS = 10
"""Steps in which a backend's weight grows during slow start."""
WEIGHT_SCALES = (1, 10, 100)
"""Factors that are tried to make weights whole; the smaller, the shorter a round of round robin."""
LEAST = 0.01
"""The share of its weight that a starting backend has even with a floor of 0: it may be the only one."""
LONG = 3600.0
"""Seconds to the next refresh if neither ejection nor slow start demands one."""


def weights_of(backends: Sequence[Backend], now: float, window: float, floor: float) -> list[tuple[int, int]]:
    """The weight of each backend as a whole number, and the scale that it is multiplied by. `window` (seconds) and
    `floor` (share) are those of slow start."""
    wanted = [backend.wanted_weight() * warmth(backend.warm_since(), now, window, floor) for backend in backends]
    for scale in WEIGHT_SCALES:
        scaled = [weight * scale for weight in wanted]
        whole = [round(weight) for weight in scaled]
        if all(isclose(*pair, abs_tol=1e-6) for pair in zip(scaled, whole, strict=True)):
            return [(each, scale) for each in whole]
    return [(max(1, each) if weight > 0 else 0, scale) for each, weight in zip(whole, wanted, strict=True)]


def warmth(since: float, now: float, window: float, floor: float) -> float:
    """The share of its weight that a backend has: it grows in steps from `floor` to 1 within `window` seconds."""
    if not since or not 0.0 <= now - since < window:
        return 1.0
    return max(floor, LEAST, int((now - since) / window * RAMP_STEPS) / RAMP_STEPS)


def next_refresh(backends: Iterable[Backend], now: float, now_ns: int, window: float) -> float:
    """The time of the next end of an ejection or step of a slow start (seconds, monotonic)."""
    due = now + LONG
    for backend in backends:
        until = backend.ejected_until()
        if until > now_ns:
            due = min(due, now + (until - now_ns) / 1e9)
        elif 0.0 <= now - backend.warm_since() < window:
            due = min(due, now + window / RAMP_STEPS)
    return due
