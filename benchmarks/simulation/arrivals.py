"""When requests come, and how much work each of them is.

Law of this file: it has dice of its own and draws for every request alike, so all policies see the same requests.
"""

from __future__ import annotations

from collections.abc import Callable
from math import erf, exp, log, pi, sqrt
from random import Random

Work = Callable[[Random], float]
Level = Callable[[float], float]

MEAN = 0.075
"""Seconds of work of a request, on average; also in the paper about Prequal."""


def normal(mean: float = MEAN) -> Work:
    """A normal distribution as wide as its mean, without what would be below 2 % of it."""
    low = 0.02
    density = exp(-((low - 1) ** 2) / 2) / sqrt(2 * pi)
    scale = mean / (1 + density / (0.5 * (1 + erf((1 - low) / sqrt(2)))))

    def draw(dice: Random) -> float:
        while (size := dice.gauss(1.0, 1.0)) <= low:
            pass
        return size * scale

    return draw


def constant(mean: float = MEAN) -> Work:
    return lambda dice: mean


def exponential(mean: float = MEAN) -> Work:
    return lambda dice: dice.expovariate(1.0) * mean


def two_routes(short: float = 0.005, long: float = 0.2, share: float = 0.1) -> Work:
    """A short route, and a long one that gets `share` of the requests; each exponential."""
    return lambda dice: (long if dice.random() < share else short) * dice.expovariate(1.0)


def pareto(alpha: float = 1.5, mean: float = MEAN) -> Work:
    """A heavy tail; what is above a thousand times the mean is cut off there."""
    least = mean * (alpha - 1) / alpha
    return lambda dice: min(least * dice.paretovariate(alpha), 1000 * mean)


class Arrivals:
    """Poisson arrivals. `level(now)` is the load as a multiple of what was allotted to all backends together."""

    def __init__(self, seed: int, work: Work, mean: float, level: Level, allotted: float, proxies: int) -> None:
        self.dice = Random(f"arrivals {seed}")
        self.work = work
        self.level = level
        self.per_level = allotted / mean
        self.proxies = proxies

    def next(self, now: float) -> tuple[float, float, int]:
        """When the next request comes, its work, and the number of the proxy that it comes to."""
        dice = self.dice
        gap = -log(1.0 - dice.random()) / (self.level(now) * self.per_level)
        return now + gap, self.work(dice), int(dice.random() * self.proxies)
