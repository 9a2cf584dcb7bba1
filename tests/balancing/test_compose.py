"""Every composition with every algorithm: what each keeps alone, it keeps inside of priorities, zones and subsets."""

from __future__ import annotations

from collections import Counter

import pytest

from proxy.balancing import ALGORITHMS, Balancer, Done
from proxy.balancing.compose import BalanceSpec, SubsetSpec, ZoneSpec, compose, spare
from proxy.balancing.round_robin import RoundRobin
from proxy.balancing.wrappers.keyless import KeylessFallback
from proxy.balancing.wrappers.partition import Partition
from proxy.balancing.wrappers.priorities import Priorities
from proxy.balancing.wrappers.subset import Subset
from proxy.balancing.wrappers.zones import ZoneAware

from .members import backends, placed, settle
from .serving import passed_through

PRIORITIES = {"overprovisioning": 1.4}
ZONES = {"zone": ZoneSpec("a")}
SUBSETS = {"subset": SubsetSpec(5, "proxy-1")}
LAYERS = {
    "priorities": PRIORITIES,
    "zones": ZONES,
    "subset": SUBSETS,
    "priorities, zones": PRIORITIES | ZONES,
    "priorities, subset": PRIORITIES | SUBSETS,
    "zones, subset": ZONES | SUBSETS,
    "all": PRIORITIES | ZONES | SUBSETS,
}
every = pytest.mark.parametrize("algorithm", ALGORITHMS)
layers = pytest.mark.parametrize("layers", LAYERS)
KEYS = [b"key-%d" % n for n in range(200)]


def composed(algorithm: str, layers: str) -> Balancer:
    return compose(BalanceSpec(algorithm, **LAYERS[layers]))  # type: ignore[arg-type]


@every
@layers
def test_without_members_there_is_nobody(algorithm: str, layers: str) -> None:
    balancer = composed(algorithm, layers)
    for members in ([], backends(0), backends(0, 0)):
        settle(balancer, members)
        assert balancer.pick(b"key") is None
        assert balancer.pick(None) is None


@every
@layers
def test_a_single_member_gets_everything(algorithm: str, layers: str) -> None:
    balancer = composed(algorithm, layers)
    (only,) = members = backends(3, zone="b", priority=2)
    settle(balancer, members)
    assert all(balancer.pick(key) is only for key in KEYS[:20])
    assert balancer.pick(None) is only


@every
@layers
def test_what_has_no_weight_or_is_ill_gets_nothing_and_the_rest_something(algorithm: str, layers: str) -> None:
    balancer = composed(algorithm, layers)
    members = placed("a", 4, 1, zone="a") + placed("b", 3, zone="b") + placed("none", 2, weight=0, zone="a")
    settle(balancer, members)
    picked = {balancer.pick(key) for key in KEYS} | {balancer.pick(None) for _ in range(200)}
    assert None not in picked
    assert picked <= {backend for backend in members if backend.healthy and backend.weight}
    assert len(picked) >= (1 if algorithm == "first" else 3)


@pytest.mark.long
@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "first"])
@layers
def test_shares_inside_follow_the_weights(algorithm: str, layers: str) -> None:
    """With ten requests in flight for each member; `first` fills one after the other."""
    balancer = composed(algorithm, layers)
    weights = (1, 2, 3, 4)
    settle(balancer, backends(*weights, zone="a"))
    counts = passed_through(balancer, most=10 * len(weights))
    for name, weight in zip("abcd", weights, strict=True):
        assert 0.7 * weight / 10 <= counts[name] / 10_000 <= 1.3 * weight / 10


@every
@layers
def test_members_come_and_go_while_requests_are_in_flight(algorithm: str, layers: str) -> None:
    """Requests whose backend became ill, drained or left meanwhile end all the same."""
    balancer = composed(algorithm, layers)
    members = placed("a", 5, zone="a") + placed("b", 5, zone="b", priority=1)
    settle(balancer, members)
    flying = []
    for n in range(300):
        backend = balancer.pick(KEYS[n % 200])
        if backend is not None:
            backend.in_flight += 1
            balancer.assigned(backend)
            flying.append(backend)
        if n % 30 == 10:
            members[n // 30 % 5].healthy = n % 60 < 30
        if n % 30 == 20:
            settle(balancer, members[n // 30 % 3 :])
        if n % 3 == 2:
            over = flying.pop(0)
            over.in_flight -= 1
            balancer.released(over, Done(0.001, n % 3, float(n)))
        balancer.tick(float(n))
    for over in flying:
        over.in_flight -= 1
        balancer.released(over, Done(0.001, 0, 400.0))
    assert {backend.in_flight for backend in members} == {0}
    assert isinstance(balancer.explain(), dict)


# --- what it is made of ------------------------------------------------------------------------------------


def test_an_algorithm_alone_is_alone() -> None:
    assert type(compose(BalanceSpec())) is RoundRobin


def test_from_the_outside_in() -> None:
    balancer = compose(BalanceSpec("tests.balancing.algorithms:LastByKey", **LAYERS["all"]))  # type: ignore[arg-type]
    assert isinstance(balancer, KeylessFallback)
    made: list[type[Balancer]] = []
    inner: Balancer = balancer.main
    while isinstance(inner, Partition):
        made.append(type(inner))
        inner = inner.model
    assert made == [Priorities, ZoneAware, Subset]
    assert type(inner).__name__ == "LastByKey"
    assert isinstance(balancer.other, Priorities)


def test_parameters_reach_the_algorithm() -> None:
    spec = BalanceSpec("tests.balancing.algorithms:LastByKey", {"offset": 1}, **PRIORITIES)  # type: ignore[arg-type]
    balancer = compose(spec)
    members = backends(1, 1, 1)
    settle(balancer, members)
    assert balancer.pick(b"\x00") is members[1]


@pytest.mark.parametrize("fallback", ["round_robin", "power_of_two"])
def test_without_the_key_the_fallback_picks(fallback: str) -> None:
    balancer = compose(BalanceSpec("tests.balancing.algorithms:LastByKey", fallback=fallback))
    members = backends(1, 1)
    settle(balancer, members)
    assert {balancer.pick(None) for _ in range(50)} == set(members)
    assert {balancer.pick(b"\x01") for _ in range(50)} == {members[1]}


@pytest.mark.parametrize("fallback", ["tests.balancing.algorithms:LastByKey", "geographic"])
def test_a_fallback_that_needs_a_key_itself_is_refused(fallback: str) -> None:
    with pytest.raises(ValueError, match="needs a key itself"):
        spare(BalanceSpec(fallback=fallback))


def test_the_priorities_of_a_subset_are_measured_by_all_backends() -> None:
    """Half of the first level is ill: 30 % go on, although enough of it is left to fill a subset of five."""
    balancer = compose(BalanceSpec(**(PRIORITIES | SUBSETS)))  # type: ignore[arg-type]
    settle(balancer, placed("p0-", 20, 10, priority=0) + placed("p1-", 20, priority=1))
    counts = Counter(picked.spec.priority for _ in range(4000) if (picked := balancer.pick(None)) is not None)
    assert counts[1] / 4000 == pytest.approx(0.3, abs=0.03)
