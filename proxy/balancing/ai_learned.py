"""The state of one backend in `ai_scored`, learned from the ends of requests.

Law of this file: one backend at a time; nothing here compares backends. The signal is stretch: the time until the
response over the CPU time that the backend reports for the request. It does not depend on the work of a request, so one
or two responses reveal a backend that is being starved. From the stretch and the requests in flight follows the
capacity: the number of requests in flight above which they slow each other down. It is estimated as by a Kalman filter:
the longer the time since a response, the more the next one counts.
"""

from __future__ import annotations

from math import sqrt

from ..upstream.backend import Backend
from ..upstream.load.report import LoadReport

DRIFT = 12.0
"""The growth of the variance of a capacity per second, in units of the variance of one observation."""
SURE = 0.9
"""The greatest gain of one observation."""
UPWARD = 0.6
"""The factor of an observation above the estimate: overload costs more than idleness."""
FADES = 6.0
"""The half-life of a capacity in seconds; it fades towards the mean of all."""
CONTENDED = 1.05
"""The stretch above which requests have slowed each other down."""
ERRORS_FADE = 10.0
"""The half-life of the share of errors in seconds."""
RESPONSES = 8
"""The window of the mean latency, in responses. Where each backend has more per second, the peak is better."""
_RESPONSES = RESPONSES
PEAK_FADES = 10.0
"""The half-life of a peak of the latency, and of the latency of an idle backend, in seconds."""
COSTS_KEPT = 500.0
"""The window of the mean cost of requests at a backend, in responses."""
PENALTY = 20.0
"""The score of a share of errors of 1, as a multiple of the usual latency."""
CHANCE = 2.0
"""Standard errors by which costs may differ by chance."""
DOUBT = 50.0
"""The weight of the prior that requests of all backends cost the same, in responses."""


class Learned:
    """One backend. Capacities in requests, times in seconds (monotonic), the rest are ratios."""

    def __init__(self, backend: Backend, capacity: float) -> None:
        self.backend = backend
        self.share = 1.0
        """Its weight over the mean weight of all."""
        # From responses
        self.capacity = capacity
        self.variance = 1.0
        self.when = 0.0
        """Time of the latest response; or of the first request after idleness, if there was none since."""
        self.latency = 0.0
        """The time until the response, over that of all; used when costs are not reported. Where responses are rare it
        is the mean of the latest, by their square roots, since requests differ: a single long one must not decide.
        Where they are frequent it is the peak, which is about the same for all unless one is slow, and leaves the
        choice to the requests in flight."""
        self.answers = 0
        self.error = 0.0
        """The recent share of failed requests."""
        self.costs = 0.0
        self.costed = 0.0
        """Sum of reported costs over the mean cost of all, and the number of them."""
        self.cost_when = -1e9
        # What it has reported of itself
        self.cpu = self.memory = -1.0
        self.reported_when = -1e9
        # What the sweep has made of it, for picks to read
        self.inverse = 1.0 / capacity
        self.base = 1.0
        self.penalty = 0.0
        self.pace = 1.0
        self.silence = 1.0
        self.prior = 1.0
        # The picks of the present sweep, and their share of all lately
        self.picks = 0
        self.recent = 0.0
        # A request of the control group: the requests in flight when it was picked, and when about that was
        self.tag = 0
        self.tagged = 0.0

    def fade(self, now: float, prior: float) -> None:
        """Let the estimate fade with time."""
        gap = now - self.when
        if gap > 0.0:
            self.variance += DRIFT * gap
            self.capacity = prior + (self.capacity - prior) * FADES / (FADES + gap)

    def completed(self, seconds: float, cost: float, at_pick: float, at_end: float, now: float, fleet: Fleet) -> None:
        """Learn from a response with a cost. `at_pick` and `at_end`: requests in flight then, this one included."""
        self.fade(now, fleet.capacity)
        self.when = now
        self.cost_when = now
        stretch = seconds / (cost * fleet.idle)
        fleet.stretched(stretch)
        beside = 0.5 * (at_pick + at_end)
        gain = self.variance / (1.0 + self.variance)
        gain = gain if gain < SURE else SURE
        self.variance = gain
        if stretch > CONTENDED:
            observed = beside / stretch
        else:  # it was not full: no more than a lower bound
            observed = beside + 0.5 if beside > self.capacity else self.capacity
            if observed < fleet.capacity:
                observed += 0.3
        observed = observed if observed < fleet.ceiling else fleet.ceiling
        step = observed - self.capacity
        self.capacity += gain * step if step < 0.0 else gain * UPWARD * step
        if self.capacity < 0.2:
            self.capacity = 0.2
        if self.costed >= COSTS_KEPT:
            self.costs *= 1.0 - 1.0 / COSTS_KEPT
            self.costed *= 1.0 - 1.0 / COSTS_KEPT
        ratio = cost / fleet.cost
        fleet.spread += 0.002 * ((ratio - 1.0) * (ratio - 1.0) - fleet.spread)
        self.costs += ratio
        self.costed += 1.0
        self.pace = fleet.pace(self.costs, self.costed)
        self.settle()

    def answered(self, seconds: float, now: float, fleet: Fleet) -> None:
        """Learn the latency of a response."""
        ratio = seconds / fleet.latency
        if self.answers < _RESPONSES:
            self.answers += 1
        if not fleet.often:
            root = sqrt(self.latency)
            root += (sqrt(ratio) - root) / self.answers
            self.latency = root * root
        elif ratio > self.latency:
            self.latency = ratio
        else:
            gap = now - self.when
            kept = PEAK_FADES / (PEAK_FADES + gap) if gap > 0.0 else 1.0
            self.latency = ratio + (self.latency - ratio) * kept
        self.silence = 1.0
        if self.error > 0.0:
            self.error *= 0.9
            self.penalty = PENALTY * self.error

    def failed(self) -> None:
        """Count a failed request. Its duration is no evidence of the capacity."""
        self.error = 0.7 * self.error + 0.3
        self.penalty = PENALTY * self.error

    def reported(self, report: LoadReport, now: float) -> None:
        """Take a report: a value that is not a number, or exactly 0, is none."""
        if report.cpu > 0.0:
            self.cpu = report.cpu
        if report.memory > 0.0:
            self.memory = report.memory
        if report.eps > 0.0 and report.rps > 0.0:  # failures for other proxies count as well
            errors = report.eps / report.rps
            if errors > self.error:
                self.error = errors if errors < 1.0 else 1.0
                self.penalty = PENALTY * self.error
        self.reported_when = now

    def sweep(self, now: float, fleet: Fleet) -> None:
        """Update what changes with time, about ten times per second."""
        in_flight = self.backend.load()
        gap = now - self.when
        if self.error > 0.0:
            self.error *= ERRORS_FADE / (ERRORS_FADE + fleet.step)
            if self.error < 0.001:
                self.error = 0.0
            self.penalty = PENALTY * self.error
        self.silence = 1.0
        if in_flight == 0:
            if gap > fleet.step:
                self.fade(now, fleet.capacity)
                self.latency = 1.0 + (self.latency - 1.0) * PEAK_FADES / (PEAK_FADES + fleet.step)
                self.when = now
        else:
            full = (in_flight + 1) * self.inverse
            expected = fleet.latency * (full if full > 1.0 else 1.0) / in_flight
            if gap > expected:  # a missing response is evidence too
                self.silence = (2.0 + gap / expected) / 3.0
        self.settle()

    def settle(self) -> None:
        """Compute the values that a pick reads."""
        self.inverse = 1.0 / (self.capacity * self.share)
        self.base = self.pace * self.silence * self.prior


class Fleet:
    """The state that all backends share."""

    def __init__(self) -> None:
        self.capacity = 3.0
        """The mean of estimated capacities: the estimate for a backend without data."""
        self.ceiling = 6.0
        """The upper bound of capacities: twice the most requests in flight of one backend."""
        self.cost = 0.0
        self.spread = 1.0
        """Variance of the cost of a request, in units of the mean squared."""
        self.latency = 0.05
        self.often = False
        """Whether backends have more than RESPONSES responses per second."""
        self.idle = 1.0
        """Time over CPU time of a request without contention: waiting for disks and databases."""
        self.step = 0.1

    def pace(self, costs: float, number: float) -> float:
        """The mean cost of a backend's requests over that of all, as far as chance does not explain it."""
        mean = (costs + DOUBT) / (number + DOUBT)
        chance = CHANCE * sqrt(self.spread / (number + DOUBT))
        if mean > 1.0:
            return mean - chance if mean - chance > 1.0 else 1.0
        return mean + chance if mean + chance < 1.0 else 1.0

    def stretched(self, stretch: float) -> None:
        """Follow the tenth percentile of the stretch; at least 1, since CPU time takes time."""
        if stretch * self.idle < self.idle:
            self.idle = max(1.0, self.idle * 0.991)
        else:
            self.idle *= 1.001
