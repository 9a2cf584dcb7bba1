"""Smooth weighted round robin: nginx's sequence, exact shares, and no bursts."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.balancing import round_robin
from proxy.balancing.round_robin import MOST_TURNS, RoundRobin, smooth_order
from proxy.upstream.backend import Backend

from .members import backends, set_members

WEIGHTS = st.lists(st.integers(1, 256), min_size=1, max_size=10)


def names(order: list[Backend]) -> str:
    return "".join(backend.name for backend in order)


def periods(balancer: RoundRobin, length: int) -> str:
    """`length` picks, turned so that they begin where the schedule does."""
    balancer.next = 0
    return "".join((balancer.pick(None) or backends(1)[0]).name for _ in range(length))


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ((5, 1, 1), "aabacaa"),  # as in nginx, ngx_http_upstream_round_robin.c
        ((1,), "a"),
        ((7,), "a"),
        ((1, 1, 1), "abc"),
        ((4, 4), "ab"),
        ((2, 1), "aba"),
        ((3, 2, 1), "abacba"),
        ((10, 2, 2), "aabacaa"),
        ((4, 3, 2), "abcabacba"),
    ],
)
def test_the_order(weights: tuple[int, ...], order: str) -> None:
    assert names(smooth_order(backends(*weights))) == order


def nginx(weights: list[int], length: int) -> list[int]:
    """The algorithm as nginx runs it, step by step."""
    current = [0] * len(weights)
    picked = []
    for _ in range(length):
        best = 0
        for n, weight in enumerate(weights):
            current[n] += weight
            if current[n] > current[best]:
                best = n
        current[best] -= sum(weights)
        picked.append(best)
    return picked


@given(WEIGHTS)
def test_it_is_the_order_of_nginx(weights: list[int]) -> None:
    members = backends(*weights)
    order = smooth_order(members)
    assert order == [members[n] for n in nginx(weights, len(order))]


@given(WEIGHTS)
def test_a_period_has_exact_shares(weights: list[int]) -> None:
    counts = Counter(names([backend]) for backend in smooth_order(backends(*weights)))
    total = sum(counts.values())
    for backend in backends(*weights):
        assert counts[backend.name] * sum(weights) == backend.weight * total


@settings(max_examples=30)
@given(st.lists(st.integers(1, 256), min_size=2, max_size=8), st.booleans())
def test_nobody_is_served_in_bursts(weights: list[int], sorted_schedule: bool) -> None:
    """In any window a backend gets its share, give or take one turn on each side for every other backend."""
    members = backends(*weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(round_robin, "MOST_WORK", 0 if sorted_schedule else 10**9)
        order = smooth_order(members)
    total = sum(weights)
    for backend in members:
        at = [n for n, each in enumerate(order) if each is backend]
        gaps = [b - a for a, b in zip(at, [*at[1:], at[0] + len(order)], strict=True)]
        assert max(gaps) <= 2 * total / backend.weight + len(members)


def test_beyond_the_work_limit_the_shares_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_robin, "MOST_WORK", 0)
    counts = Counter(names([backend]) for backend in smooth_order(backends(5, 1, 3)))
    assert counts == {"a": 5, "b": 1, "c": 3}


def test_many_backends_with_odd_weights_are_scheduled_within_the_limit() -> None:
    members = backends(*(251 - n % 100 for n in range(300)))
    order = smooth_order(members)
    assert len(order) == sum(backend.weight for backend in members)


def test_weights_with_much_behind_the_point_do_not_make_a_schedule_of_millions() -> None:
    """Shares are rounded to a turn of many instead; nobody is left out."""
    members = backends(*(1 if n == 7 else 20_000 + 7 * n for n in range(1000)))
    order = smooth_order(members)
    assert len(order) <= MOST_TURNS + len(members)
    counts = Counter(backend.name for backend in order)
    total = sum(backend.weight for backend in members)
    for backend in members:
        assert counts[backend.name] >= 1
        assert abs(counts[backend.name] - backend.weight * len(order) / total) <= 1.0


def test_the_schedule_repeats() -> None:
    balancer = RoundRobin()
    set_members(balancer, backends(5, 1, 1))
    assert periods(balancer, 21) == "aabacaa" * 3


def test_it_begins_anywhere() -> None:
    """All proxies of a fleet must not begin at the same backend."""
    members = backends(*[1] * 10)
    firsts = set()
    for _ in range(200):
        balancer = RoundRobin()
        set_members(balancer, members)
        firsts.add((balancer.pick(None) or members[0]).name)
    assert len(firsts) > 5


def test_a_weight_of_none_takes_part_in_nothing() -> None:
    balancer = RoundRobin()
    set_members(balancer, backends(0, 2, 1))
    assert periods(balancer, 6) == "bcbbcb"


def test_a_rebuild_takes_up_new_weights() -> None:
    balancer = RoundRobin()
    members = backends(1, 1)
    set_members(balancer, members)
    members[0].weight = 3
    assert periods(balancer, 4) == "abab"
    set_members(balancer, members)
    assert periods(balancer, 4) == "aaba"
