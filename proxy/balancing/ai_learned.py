"""What `ai_scored` knows of one backend, and how it learns it from what becomes of requests.

Law of this file: one backend at a time; nothing here compares backends. The signal is stretch: the time until the
response over the CPU time that the backend says the request took. It is free of how much work a request is, so one
or two responses tell a backend that is being starved. From the stretch and the requests in flight follows the
capacity: how many requests the backend can work on before they slow each other down. It is estimated as by a Kalman
filter: the longer nothing was heard, the more the next response counts.
"""

from __future__ import annotations

from math import sqrt

from ..upstream.backend import Backend
from ..upstream.load.report import LoadReport

DRIFT = 12.0
"""How fast what is known of a capacity gets uncertain, per second, in units of the variance of one observation."""
SURE = 0.9
"""The most that one observation counts."""
UPWARD = 0.6
"""An observation above what is believed counts so much: to overload a backend costs more than to spare it."""
FADES = 6.0
"""Seconds after which a capacity is half forgotten, and the average of the others believed instead."""
CONTENDED = 1.05
"""Stretch above which requests were in each other's way."""
ERRORS_FADE = 10.0
"""Seconds after which the share of errors is half forgotten."""
RESPONSES = 8
"""The mean latency is that of so many responses. Where each backend gives more in a second, the peak is better."""
_RESPONSES = RESPONSES
PEAK_FADES = 10.0
"""Seconds after which a peak of the latency, and the latency of an idle backend, is half forgotten."""
COSTS_KEPT = 500.0
"""Responses over which the mean cost of requests at this backend is taken."""
PENALTY = 20.0
"""What a share of errors of 1 is as bad as: so many times the usual latency."""
CHANCE = 2.0
"""Standard errors by which costs may differ without a reason."""
DOUBT = 50.0
"""Of so many responses' weight is the assumption that its requests cost what those of the others cost."""


class Learned:
    """One backend. Capacities in requests, times in seconds (monotonic), the rest are ratios."""

    def __init__(self, backend: Backend, capacity: float) -> None:
        self.backend = backend
        self.share = 1.0
        """Its weight over the mean weight of all."""
        # What responses have told
        self.capacity = capacity
        self.variance = 1.0
        self.when = 0.0
        """When it last answered; or began to work, if it has not answered since."""
        self.latency = 0.0
        """The time until the response, over that of all; used when costs are not reported. Where responses are rare it
        is the mean of the latest, by their square roots, since requests differ: a long one is to say little of the
        backend that it was sent to. Where they are frequent it is the peak, which is about the same for all unless one
        is slow, and leaves the choice to the requests in flight."""
        self.answers = 0
        self.error = 0.0
        """Share of failed requests lately."""
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
        """Time passes: what was learned gets old."""
        gap = now - self.when
        if gap > 0.0:
            self.variance += DRIFT * gap
            self.capacity = prior + (self.capacity - prior) * FADES / (FADES + gap)

    def completed(self, seconds: float, cost: float, at_pick: float, at_end: float, now: float, fleet: Fleet) -> None:
        """A response whose cost is known. `at_pick` and `at_end`: requests in flight then, itself included."""
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
        """A response, whatever it cost: its latency, and that it was no error."""
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
        """A request failed. How long that took says nothing of the capacity."""
        self.error = 0.7 * self.error + 0.3
        self.penalty = PENALTY * self.error

    def told(self, report: LoadReport, now: float) -> None:
        """It has reported: what is not a number, or exactly 0, was not said."""
        if report.cpu > 0.0:
            self.cpu = report.cpu
        if report.memory > 0.0:
            self.memory = report.memory
        if report.eps > 0.0 and report.rps > 0.0:  # what it fails for others it will fail for us
            errors = report.eps / report.rps
            if errors > self.error:
                self.error = errors if errors < 1.0 else 1.0
                self.penalty = PENALTY * self.error
        self.reported_when = now

    def sweep(self, now: float, fleet: Fleet) -> None:
        """Some ten times per second: what changes without any event."""
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
            if gap > expected:  # that nobody came back is evidence too
                self.silence = (2.0 + gap / expected) / 3.0
        self.settle()

    def settle(self) -> None:
        """What a pick reads."""
        self.inverse = 1.0 / (self.capacity * self.share)
        self.base = self.pace * self.silence * self.prior


class Fleet:
    """What all backends have in common, as `Learned` needs it."""

    def __init__(self) -> None:
        self.capacity = 3.0
        """The mean of what is believed: what is assumed of a backend that nothing is known of."""
        self.ceiling = 6.0
        """No capacity is believed beyond twice the most requests that one backend had at a time."""
        self.cost = 0.0
        self.spread = 1.0
        """Variance of the cost of a request, in units of the mean squared."""
        self.latency = 0.05
        self.often = False
        """Whether a backend gives more than RESPONSES responses in a second."""
        self.idle = 1.0
        """Time over CPU time of a request that nobody is in the way of: what it waits for disks and databases."""
        self.step = 0.1

    def pace(self, costs: float, number: float) -> float:
        """What the requests of a backend cost on average, over what all do, as far as chance does not explain it."""
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
