"""Latency: peak-EWMA. Of a few members drawn, the one with the least product of recent response times and load.

The estimate jumps up to a response that took longer, and comes down slowly (a moving average over `decay` seconds): a
backend that stumbles is avoided at once and trusted again with caution. Source: Twitter Finagle's PeakEwma, tower's
load::PeakEwma, Linkerd. Other than there, eight are drawn instead of two, a failure counts against a backend, and an
estimate fades towards the others' instead of towards 0; scored.py says how. The time is that until the response head.
"""

from __future__ import annotations

from math import exp

from .scored import Scored
from .structures.records import BackendRecord


class Latency(Scored):
    """The least peak-EWMA of response times, times load."""

    name = "latency"

    def learn(self, record: BackendRecord, seconds: float, now: float) -> None:
        if record.answers == 0 or seconds > record.seconds:
            record.seconds = seconds
            return
        keep = exp((record.answered_at - now) / self.decay)
        record.seconds = record.seconds * keep + seconds * (1.0 - keep)
