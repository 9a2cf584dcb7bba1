"""Subsets: each proxy has its own, they change little, and all backends are used about alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from proxy.balancing.power_of_two import PowerOfTwo
from proxy.balancing.wrappers.subset import Subset
from proxy.upstream.backend import Backend

from ..members import backends, placed, set_members, settle

PROXIES = [f"proxy-{n}" for n in range(200)]


class Counted(PowerOfTwo):
    """Keeps what it is told of."""

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        super().members(listed, in_rotation, usable)
        self.all, self.usable = in_rotation, usable


def chosen(identity: str, members: list[Backend], size: int = 10) -> set[Backend]:
    subset = Subset(PowerOfTwo, size, identity)
    settle(subset, members)
    return set(subset.parts[0].members) if subset.parts else set()


def test_only_so_many_are_used_and_all_of_those() -> None:
    subset = Subset(PowerOfTwo, 3, "proxy-1")
    settle(subset, backends(*[1] * 10))
    assert len({subset.pick(None) for _ in range(300)}) == 3
    (reach,) = subset.candidates(None) or ()
    assert set(reach) == {subset.pick(None) for _ in range(300)}


def test_what_it_would_use_does_not_depend_on_who_is_well() -> None:
    """Of ten used, nine well: the algorithm is told of ten in rotation, of whom one is ill."""
    members = backends(*[1] * 30)
    settle(subset := Subset(Counted, 10, "proxy-1"), members)
    used = set(subset.parts[0].members)
    ill = next(iter(used))
    set_members(subset, [backend for backend in members if backend is not ill], members)
    child = subset.children["subset"]
    assert isinstance(child, Counted)
    assert len(child.all) == len(child.usable) == 10
    set_members(subset, members[:4], members)
    assert (len(child.all), len(child.usable)) == (10, 4)


def test_fewer_than_that_are_all_used() -> None:
    members = backends(1, 1, 0)
    assert chosen("proxy-1", members) == set(members[:2])
    assert chosen("proxy-1", []) == set()


def test_a_proxy_that_starts_again_has_the_same() -> None:
    members = placed("b", 100)
    assert chosen("proxy-1", members) == chosen("proxy-1", members)
    assert chosen("proxy-1", members) != chosen("proxy-2", members)


def test_if_one_leaves_only_those_that_had_it_change_and_by_one() -> None:
    members = placed("b", 100)
    for gone in (members[0], members[57]):
        left = [backend for backend in members if backend is not gone]
        for identity in PROXIES:
            before, after = chosen(identity, members), chosen(identity, left)
            if gone in before:
                assert before - after == {gone}
                assert len(after - before) == 1
            else:
                assert before == after


def test_one_that_is_ill_is_replaced_until_it_is_back() -> None:
    members = placed("b", 100)
    subset = Subset(PowerOfTwo, 10, "proxy-1")
    settle(subset, members)
    before = set(subset.parts[0].members)
    ill = next(iter(before))
    ill.healthy = False
    settle(subset, members)
    assert before - set(subset.parts[0].members) == {ill}
    ill.healthy = True
    settle(subset, members)
    assert set(subset.parts[0].members) == before


def test_backends_are_chosen_about_equally_often() -> None:
    """200 proxies that choose 10 of 100: 20 each, with the spread of a binomial distribution (sigma 4.2)."""
    members = placed("b", 100)
    counts = Counter(backend.name for identity in PROXIES for backend in chosen(identity, members))
    assert sum(counts.values()) == 2000
    assert min(counts.values()) >= 20 - 4 * 4.2
    assert max(counts.values()) <= 20 + 4 * 4.2
    squared = sum((count - 20) ** 2 for count in counts.values()) / 18
    assert 55 <= squared <= 160  # chi square of 99 degrees of freedom within about 0.1 % on either side
