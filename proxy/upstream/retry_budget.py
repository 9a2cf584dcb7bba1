"""The retry budget of an upstream: retries as a share of requests, so that they cannot become the overload.

Law of this file: an account of tokens, as in Finagle and Linkerd. Each request deposits `budget`, each retry or hedge
withdraws one; a balance decays within BUDGET_SECONDS, and `budget_min` tokens per second are always deposited.

A share of the requests in flight (Envoy) was tried first: when one of three backends is killed, a third of what is in
flight fails at once, and most of it was refused a retry.
"""

from __future__ import annotations

from ..deadlines import TICK
from .retry import RetrySpec

BUDGET_SECONDS = 10.0
"""The time constant of the decay of unused tokens."""


class RetryBudget:
    """The budget of one upstream in one worker."""

    def __init__(self) -> None:
        self.tokens = 0.0
        """Retries that are allowed now."""
        self.per_request = 0.0
        self.per_second = 0.0

    def adopt(self, spec: RetrySpec) -> None:
        """Take up the configuration; the balance stays."""
        self.per_request = spec.budget
        self.per_second = float(spec.budget_min)

    def fill(self) -> None:
        """Set the balance of an upstream without requests, which `budget_min` alone leads to."""
        self.tokens = self.per_second * BUDGET_SECONDS

    def deposit(self) -> None:
        """Credit one request."""
        self.tokens += self.per_request

    def withdraw(self) -> bool:
        """Debit one retry. False, and no debit, if the budget is exhausted."""
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def tick(self) -> None:
        """One TICK of `budget_min` and of the decay."""
        self.tokens += (self.per_second - self.tokens / BUDGET_SECONDS) * TICK
