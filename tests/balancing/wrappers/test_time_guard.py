"""An algorithm that is guarded, by a clock that only its own calls move: what is slow, and what is forgiven."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from proxy.balancing import Balancer, Done
from proxy.balancing.compose import BalanceSpec, compose, spare
from proxy.balancing.round_robin import RoundRobin
from proxy.balancing.wrappers.keyless import KeylessFallback
from proxy.balancing.wrappers.partition import Partition
from proxy.balancing.wrappers.priorities import Priorities
from proxy.balancing.wrappers.time_guard import CallTimes, TimeGuard
from proxy.errors import PolicyTooSlow
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport
from tests.balancing.algorithms import LastByKey

from ..members import backends, set_members, settle

QUICK, LIMIT, SLOW = 0.001, 0.01, 0.0125
OWN = "tests.balancing.algorithms:LastByKey"


class Takes(Balancer):
    """Each call takes as long as `seconds` says, by its own clock."""

    needs_key = True
    wants_reports = True

    def __init__(self) -> None:
        self.now = 100.0
        self.seconds = QUICK
        self.called: list[str] = []
        self.backend = backends(1)[0]

    def clock(self) -> float:
        return self.now

    def call(self, what: str) -> None:
        self.called.append(what)
        self.now += self.seconds

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.call("members")

    def pick(self, key: bytes | None) -> Backend | None:
        self.call(f"pick {key!r}")
        return self.backend

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        self.call("candidates")
        return [[self.backend]]

    def assigned(self, backend: Backend) -> None:
        self.call(f"assigned {backend.name}")

    def released(self, backend: Backend, done: Done) -> None:
        self.call(f"released {backend.name} {done.seconds:g}")

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        self.call(f"reported {backend.name} {now:g}")

    def tick(self, now: float) -> None:
        self.call(f"tick {now:g}")

    def explain(self) -> dict[str, Any]:
        self.call("explain")
        return {"backends": {}}


def guarded() -> tuple[TimeGuard, Takes]:
    inner = Takes()
    return TimeGuard(inner, CallTimes(LIMIT, inner.clock)), inner


def calls_of(balancer: Balancer, inner: Takes) -> dict[str, Callable[[], Any]]:
    """Every method but `explain`, called."""
    backend = inner.backend
    return {
        "pick": lambda: balancer.pick(b"key"),
        "assigned": lambda: balancer.assigned(backend),
        "released": lambda: balancer.released(backend, Done(0.5)),
        "reported": lambda: balancer.reported(backend, LoadReport(), 3.0),
        "candidates": lambda: balancer.candidates(None),
        "tick": lambda: balancer.tick(7.0),
        "members": lambda: set_members(balancer, [backend]),
    }


ON_PATH = ("pick", "assigned", "released", "reported", "candidates")
OFF_PATH = ("tick", "members")


def test_everything_gets_to_the_algorithm_and_back() -> None:
    balancer, inner = guarded()
    balancer.scope, balancer.prober = "a=b", print
    calls = calls_of(balancer, inner)
    assert calls["pick"]() is inner.backend
    assert calls["candidates"]() == [[inner.backend]]
    for what in ("assigned", "released", "reported", "tick", "members"):
        assert calls[what]() is None
    assert balancer.explain() == {"backends": {}}
    assert inner.called == [
        "pick b'key'", "candidates", "assigned a", "released a 0.5", "reported a 3", "tick 7", "members", "explain",
    ]  # fmt: skip
    assert (inner.scope, inner.prober) == ("a=b", print)
    assert (balancer.needs_key, balancer.needs_location, balancer.wants_reports) == (True, False, True)


@pytest.mark.parametrize("what", ON_PATH)
def test_the_fifth_slow_call_is_one_too_many(what: str) -> None:
    balancer, inner = guarded()
    call = calls_of(balancer, inner)[what]
    inner.seconds = SLOW
    for _ in range(4):
        call()
    with pytest.raises(PolicyTooSlow, match=f"^{what} took 12.5 ms; 5 of the last 5 calls took longer than 10 ms$"):
        call()


@pytest.mark.parametrize("what", OFF_PATH)
def test_off_the_path_of_requests_twenty_times_as_much_is_allowed(what: str) -> None:
    balancer, inner = guarded()
    call = calls_of(balancer, inner)[what]
    inner.seconds = 19 * LIMIT
    for _ in range(100):
        call()
    inner.seconds = 21 * LIMIT
    for _ in range(4):
        call()
    with pytest.raises(PolicyTooSlow, match=rf"^{what} took 210.0 ms; 5 of the last 5 \w+ took longer than 200 ms$"):
        call()


def one_slow_call_in(count: int, rounds: int) -> TimeGuard:
    """After so many rounds of one slow call and quick ones."""
    balancer, inner = guarded()
    for _ in range(rounds):
        inner.seconds = SLOW
        balancer.pick(None)
        inner.seconds = QUICK
        for _ in range(count - 1):
            balancer.assigned(inner.backend)
    return balancer


def test_slow_calls_with_many_quick_ones_between_are_forgiven() -> None:
    assert one_slow_call_in(101, rounds=50).times.verdict == ""
    with pytest.raises(PolicyTooSlow, match=r"^pick took 12.5 ms; 5 of the last 401 calls took longer than 10 ms$"):
        one_slow_call_in(100, rounds=5)


def test_those_that_are_forgiven_do_not_count_any_more() -> None:
    balancer = one_slow_call_in(100, rounds=4)
    inner = balancer.inner
    assert isinstance(inner, Takes)
    balancer.assigned(inner.backend)  # the hundredth quick one
    inner.seconds = SLOW
    for _ in range(4):
        balancer.pick(None)
    with pytest.raises(PolicyTooSlow, match="5 of the last 5 calls"):
        balancer.pick(None)


def test_a_call_as_long_as_the_limit_is_quick() -> None:
    balancer, inner = guarded()
    inner.now, inner.seconds = 0.0, 0.0
    balancer.times.path.limit = inner.seconds = 0.25  # such numbers have no rounding
    for _ in range(20):
        balancer.pick(None)


def test_quick_calls_on_the_path_excuse_no_slow_ticks() -> None:
    balancer, inner = guarded()
    calls = calls_of(balancer, inner)
    with pytest.raises(PolicyTooSlow, match="5 of the last 5 ticks"):
        for _ in range(5):
            inner.seconds = QUICK
            for _ in range(200):
                calls["pick"]()
            inner.seconds = 1.0
            calls["tick"]()


def test_once_given_up_it_is_left_alone() -> None:
    """Those who still have requests with it do not wait for it again."""
    balancer, inner = guarded()
    calls = calls_of(balancer, inner)
    inner.seconds = SLOW
    with pytest.raises(PolicyTooSlow):
        for _ in range(5):
            calls["assigned"]()
    inner.called.clear()
    with pytest.raises(PolicyTooSlow, match="assigned took"):
        calls["pick"]()
    assert [calls[what]() for what in (*ON_PATH[1:], *OFF_PATH)] == [None] * 6
    assert inner.called == []


def test_what_it_raises_itself_is_no_slowness() -> None:
    class Raises(Takes):
        def pick(self, key: bytes | None) -> Backend | None:
            self.now += 1.0
            raise KeyError(key)

    inner = Raises()
    balancer = TimeGuard(inner, CallTimes(LIMIT, inner.clock))
    for _ in range(10):
        with pytest.raises(KeyError):
            balancer.pick(None)
    assert balancer.times.verdict == ""


# --- where it stands ---


def test_it_is_directly_around_the_algorithm() -> None:
    keyed = compose(BalanceSpec(OWN, slow=LIMIT))
    assert isinstance(keyed, KeylessFallback)
    assert isinstance(keyed.main, TimeGuard)
    assert isinstance(keyed.main.inner, LastByKey)
    assert not isinstance(keyed.other, TimeGuard)


def test_all_parts_of_an_upstream_share_one_watch() -> None:
    keyed = compose(BalanceSpec(OWN, slow=LIMIT, overprovisioning=1.4))
    assert isinstance(keyed, KeylessFallback)
    levels = keyed.main
    assert isinstance(levels, Priorities)
    first, second = backends(1, 1)
    second.spec = second.spec._replace(priority=1)
    settle(keyed, [first, second])
    found = [part for part in levels.children.values() if isinstance(part, TimeGuard)]
    assert len(found) == 2
    assert found[0].times is found[1].times
    assert found[0].inner is not found[1].inner


def test_nobody_is_watched_unless_it_is_said_and_the_spare_never() -> None:
    assert type(compose(BalanceSpec("round_robin"))) is RoundRobin
    keyed = compose(BalanceSpec(OWN))
    assert isinstance(keyed, KeylessFallback)
    assert isinstance(keyed.main, LastByKey)
    assert not isinstance(spare(BalanceSpec(OWN, slow=LIMIT)), TimeGuard | Partition)
