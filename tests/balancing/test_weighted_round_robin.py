"""Two words for one algorithm."""

from __future__ import annotations

from proxy.balancing import create

from .members import backends, set_members


def test_both_words_give_the_same_order() -> None:
    orders = []
    for word in ("round_robin", "weighted_round_robin"):
        balancer = create(word, seed=3)
        set_members(balancer, backends(5, 1, 1))
        orders.append("".join(backend.name for backend in map(balancer.pick, [None] * 14) if backend is not None))
    assert orders[0] == orders[1]
    assert orders[0].count("a") == 10


def test_the_seed_says_where_it_begins() -> None:
    starts = set()
    for seed in range(40):
        balancer = create("round_robin", seed=seed)
        set_members(balancer, backends(*[1] * 10))
        first = balancer.pick(None)
        assert first is not None
        starts.add(first.name)
    assert len(starts) > 5
