"""Champion and challenger: whether the learned algorithm is better than power of two choices, by what it does.

Law of this file: a small share of the requests, drawn by chance, goes the other way, as a control group. A request is
slow if it fails or takes longer than nine tenths of all requests; the group with fewer slow ones is better. Requests of
the control group are the only ones that say what an even choice does: what is fitted to features is fitted to them.
"""

from __future__ import annotations

from math import sqrt

ENOUGH = 50
"""Requests of the control group in a window."""
TOLERATED = 1.1
"""So many times the control group's share of slow requests is still as good."""
LOST = 3
"""Windows in a row after which the other one takes over."""
SIGMAS = 2.0
"""Differences that chance makes in one window of forty are no differences."""


class Contest:
    """The two groups. The algorithm says what became of requests; it asks whether `fallen_back` is set."""

    def __init__(self) -> None:
        self.slow_above = 0.0
        """The ninth decile of the seconds until the response."""
        self.usual = self.usual_slow = 0
        self.control = self.control_slow = 0
        self.lost = 0
        self.fallen_back = False
        """Whether power of two choices picks, and the learned algorithm is the control group."""
        self.falls = 0
        self.last: tuple[float, float] | None = None
        """Share of slow requests of the learned algorithm and of power of two, in the last window."""

    def over(self, seconds: float, failed: bool, control: bool) -> None:
        """A request is over."""
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
        """At the end of a window, if it is one: who was better?"""
        if self.control < ENOUGH:
            return
        usual, control = self.usual_slow / max(1, self.usual), self.control_slow / self.control
        # the better group's share is the estimate of chance: of no slow ones among few nothing follows
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
