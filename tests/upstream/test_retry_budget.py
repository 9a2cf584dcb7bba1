"""The retry budget: deposits, withdrawals, decay."""

from __future__ import annotations

import pytest

from proxy.deadlines import TICK
from proxy.upstream.retry import RetrySpec
from proxy.upstream.retry_budget import BUDGET_SECONDS, RetryBudget


def budget_of(spec: RetrySpec) -> RetryBudget:
    budget = RetryBudget()
    budget.adopt(spec)
    return budget


def test_requests_deposit_a_share_and_retries_withdraw_one() -> None:
    budget = budget_of(RetrySpec(budget=0.25))
    assert not budget.withdraw()
    for _ in range(7):
        budget.deposit()
    assert budget.withdraw()
    assert not budget.withdraw()
    assert budget.tokens == pytest.approx(0.75)


def test_it_begins_with_what_the_minimum_leads_to() -> None:
    budget = budget_of(RetrySpec(budget_min=3))
    budget.fill()
    assert budget.tokens == 30.0
    assert [budget.withdraw() for _ in range(40)].count(True) == 30


@pytest.mark.parametrize("tokens", [0.0, 1000.0])
def test_without_requests_it_returns_to_the_minimum(tokens: float) -> None:
    budget = budget_of(RetrySpec(budget_min=3))
    budget.tokens = tokens
    for _ in range(round(10 * BUDGET_SECONDS / TICK)):
        budget.tick()
    assert budget.tokens == pytest.approx(3 * BUDGET_SECONDS, rel=0.01)


def test_it_decays_within_its_time_constant() -> None:
    budget = budget_of(RetrySpec(budget_min=0))
    budget.tokens = 100.0
    for _ in range(round(BUDGET_SECONDS / TICK)):
        budget.tick()
    assert 35.0 < budget.tokens < 38.0


def test_a_reload_keeps_the_balance() -> None:
    budget = budget_of(RetrySpec())
    budget.tokens = 5.0
    budget.adopt(RetrySpec(budget=0.5, budget_min=1))
    assert (budget.tokens, budget.per_request, budget.per_second) == (5.0, 0.5, 1.0)
