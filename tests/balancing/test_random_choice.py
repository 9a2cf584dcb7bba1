"""Random: shares by weight, whatever has happened."""

from __future__ import annotations

from collections import Counter

from proxy.balancing.random_choice import RandomChoice

from .members import backends, set_members


def test_shares_are_those_of_the_weights_within_chance() -> None:
    balancer = RandomChoice(seed=1)
    members = backends(5, 1, 0, 2)
    members[0].in_flight = 1000  # it does not look
    set_members(balancer, members)
    counts = Counter(backend.name for backend in map(balancer.pick, [None] * 80_000) if backend is not None)
    assert set(counts) == {"a", "b", "d"}
    for name, weight in zip("abd", (5, 1, 2), strict=True):
        share = weight / 8
        assert abs(counts[name] / 80_000 - share) <= 5 * (share * (1 - share) / 80_000) ** 0.5


def test_a_seed_says_it_all() -> None:
    def order(seed: int) -> list[str]:
        balancer = RandomChoice(seed)
        set_members(balancer, backends(1, 1, 1))
        return [backend.name for backend in map(balancer.pick, [None] * 30) if backend is not None]

    assert order(1) == order(1) != order(2)
