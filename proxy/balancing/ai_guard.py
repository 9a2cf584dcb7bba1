"""Champion and challenger: a comparison of the learned algorithm with power of two choices, by outcomes.

Law of this file: a small random share of the requests is the control group, and picked for by the other algorithm. A
request is slow if it fails or is above the ninth decile of response times; the group with the smaller share of slow
ones is better. Only requests of the control group show the effect of an even choice: features are fitted to them.
"""

from __future__ import annotations

from math import sqrt

ENOUGH = 50
"""Requests of the control group in a window."""
TOLERATED = 1.1
"""The ratio to the control group's share of slow requests that still counts as equal."""
LOST = 3
"""Lost windows in a row after which the other algorithm takes over."""
SIGMAS = 2.0
"""Standard errors of a difference below which it is chance (one window of forty)."""


class Contest:
    """The two groups. The algorithm reports the ends of requests, and goes by `fallen_back`."""

    def __init__(self) -> None:
        self.slow_above = 0.0
        """The ninth decile of response times in seconds."""
        self.usual = self.usual_slow = 0
        self.control = self.control_slow = 0
        self.lost = 0
        self.fallen_back = False
        """Whether power of two choices picks, and the learned algorithm is the control group."""
        self.falls = 0
        self.last: tuple[float, float] | None = None
        """The shares of slow requests of the learned algorithm and of power of two, in the last window."""

    def over(self, seconds: float, failed: bool, control: bool) -> None:
        """Count a request."""
        slow = failed or seconds > self.slow_above
        if not failed:
            if seconds > self.slow_above:
                self.slow_above = self.slow_above * 1.018 if self.slow_above > 0.0 else seconds
            else:
                self.slow_above *= 0.998
        if control:
            self.control += 1
            self.control_slow += slow
        else:
            self.usual += 1
            self.usual_slow += slow

    def judge(self) -> None:
        """Compare the groups at the end of a window."""
        if self.control < ENOUGH:
            return
        usual, control = self.usual_slow / max(1, self.usual), self.control_slow / self.control
        # the better group's share is the estimate of chance: no slow ones among few prove nothing
        chance = SIGMAS * sqrt((control * (1.0 - control) + 0.25 / self.control) / self.control)
        if self.fallen_back:
            worse = control <= usual
            self.last = (control, usual)
        else:
            worse = usual > TOLERATED * control + chance
            self.last = (usual, control)
        self.usual = self.usual_slow = self.control = self.control_slow = 0
        self.lost = self.lost + 1 if worse else 0
        if self.lost == LOST:
            self.lost = 0
            self.fallen_back = not self.fallen_back
            self.falls += self.fallen_back
