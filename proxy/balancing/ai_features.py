"""Reported CPU, memory and connections of a backend: an estimate of its slowdown while nothing better is known.

Law of this file: features never rank backends that have answered lately, since a policy that avoids load cannot learn
from its own picks what load does. They are fitted to requests of the control group only, weights are never
negative (more load does not help), and what comes of them is between a half and four times.
"""

from __future__ import annotations

from math import exp, log

NAMES = ("cpu", "memory", "connections")
PACE = 0.05
"""The step of one request, as a share of what would explain it (normalised least mean squares)."""
LEAST, MOST = log(0.5), log(4.0)


class Features:
    """A linear model of the logarithm of the ratio of a request's time to the expected one."""

    def __init__(self) -> None:
        self.weights = [0.0, 0.0, 0.0]
        self.bias = 0.0
        self.fitted = 0

    def predict(self, values: tuple[float, float, float]) -> float:
        """The ratio to the mean of all backends; 1 if it is unknown."""
        known = sum(weight * value for weight, value in zip(self.weights, values, strict=True) if value >= 0.0)
        return exp(min(MOST, max(LEAST, known)))

    def contributions(self, values: tuple[float, float, float]) -> dict[str, float]:
        """The summand of each feature in the logarithm; a feature that was not reported adds nothing."""
        parts = zip(NAMES, self.weights, values, strict=True)
        return {name: weight * value if value >= 0.0 else 0.0 for name, weight, value in parts}

    def fit(self, values: tuple[float, float, float], ratio: float) -> None:
        """Learn from a request of the control group: `ratio` of its time to the expected one without features."""
        known = [max(0.0, value) for value in values]
        guess = self.bias + sum(weight * value for weight, value in zip(self.weights, known, strict=True))
        change = PACE * (log(max(ratio, 1e-3)) - guess) / (1.0 + sum(value * value for value in known))
        self.bias += change
        self.weights = [max(0.0, weight + change * value) for weight, value in zip(self.weights, known, strict=True)]
        self.fitted += 1
