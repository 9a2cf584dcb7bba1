"""Least time: of a few members drawn, the one with the least product of mean response time and load.

The mean is that of the latest `window` responses or so (each moves it by 1/window). Against `latency`: it follows the
usual response, not the worst of late, so it is calmer where single slow responses mean nothing, and slower to leave a
backend that has become slow. nginx `least_time header`, Traefik `leasttime`; other than there, members are drawn and
not all looked at, a failure counts against a backend, and an old mean fades; scored.py says how. The time is that until
the response head.
"""

from __future__ import annotations

from .scored import Scored
from .structures.records import BackendRecord


class LeastTime(Scored):
    """The least mean response time, times load."""

    name = "least_time"

    def __init__(
        self,
        choices: int = 8,
        window: int = 32,
        decay: float = 10.0,
        default_rtt: float = 0.01,
        failure_penalty: float = 20.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(choices, decay, default_rtt, failure_penalty, seed)
        if not window >= 1:
            raise ValueError(f"window: must be at least 1 response, not {window}")
        self.window = window

    def learn(self, record: BackendRecord, seconds: float, now: float) -> None:
        count = record.answers + 1.0
        if count > self.window:
            count = self.window
        record.seconds += (seconds - record.seconds) / count
