"""An algorithm by itself: in-flight counts, outcomes, the clock, and a thousand backends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from proxy.balancing import Balancer, Done
from proxy.balancing.base import ANSWERED, CANCELLED, FAILED
from proxy.balancing.standalone import StandalonePicker
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport

from .members import backends


class Watching(Balancer):
    """The first member, always; writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = usable
        self.told.append("members")

    def pick(self, key: bytes | None) -> Backend | None:
        return self.backends[0] if self.backends and key != b"nobody" else None

    def assigned(self, backend: Backend) -> None:
        self.told.append(("assigned", backend.in_flight, backend.requests))

    def released(self, backend: Backend, done: Done) -> None:
        self.told.append((done.outcome, done.seconds, done.now, done.in_flight, backend.in_flight, done.report))

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        self.told.append(("reported", report.cpu, now))

    def tick(self, now: float) -> None:
        self.told.append(("tick", now))


class Clock:
    """Time that is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_does_what_the_pipeline_does() -> None:
    clock, balancer = Clock(), Watching()
    picker = StandalonePicker(balancer, ["10.0.0.1:80"], clock=clock)
    first, second = picker.pick(), picker.pick()
    assert first is not None
    assert second is not None
    clock.now += 0.03
    first.answered()
    clock.now += 0.02
    report = LoadReport(cpu=0.5)
    second.failed(0.01, report)
    assert balancer.told == [
        *("members", ("assigned", 1, 1), ("assigned", 2, 2)),
        (ANSWERED, pytest.approx(0.03), 100.03, 1, 1, None),
        ("reported", 0.5, 100.05),
        (FAILED, 0.01, 100.05, 2, 0, report),
    ]


def test_the_clock_brings_the_ticks() -> None:
    clock, balancer = Clock(), Watching()
    picker = StandalonePicker(balancer, ["10.0.0.1:80"], clock=clock)
    for _ in range(30):
        clock.now += 0.03
        request = picker.pick()
        assert request is not None
        request.cancelled()
    ticks = [each[1] for each in balancer.told if isinstance(each, tuple) and each[0] == "tick"]
    assert len(ticks) in (7, 8)  # 0.9 s, looked at every 30 ms
    assert sum(each[0] == CANCELLED for each in balancer.told if isinstance(each, tuple)) == 30


def test_nobody_is_nobody() -> None:
    assert StandalonePicker(Watching(), ["10.0.0.1:80"]).pick(b"nobody") is None
    assert StandalonePicker("round_robin", []).pick() is None


def test_a_request_ends_once() -> None:
    request = StandalonePicker("round_robin", ["10.0.0.1:80"]).pick()
    assert request is not None
    request.answered(0.1)
    with pytest.raises(ValueError, match=r"at 10\.0\.0\.1:80 is over already"):
        request.failed()
    assert request.backend.in_flight == 0


def test_a_thousand_backends_by_weight() -> None:
    picker = StandalonePicker("round_robin", {f"10.0.{n // 256}.{n % 256}:80": 1 + n % 2 for n in range(1000)})
    counts: Counter[int] = Counter()
    for _ in range(1500):
        request = picker.pick()
        assert request is not None
        counts[request.backend.weight] += 1
        request.answered(0.001)
    assert counts == {1: 500, 2: 1000}


def test_backends_come_and_go_and_are_remembered() -> None:
    picker = StandalonePicker("latency", ["a:1", "b:1"], seed=1)
    for _ in range(4):
        request = picker.pick()
        assert request is not None
        request.answered(0.25)
    known = picker.backends["a:1"]
    picker.set_backends({"a:1": 3, "c:1": 1})
    assert picker.backends["a:1"] is known
    assert known.weight == 3
    assert picker.explain()["backends"]["a:1"]["seconds"] == 0.25
    picker.set_weight("a:1", 0)
    assert list(picker.explain()["backends"]) == ["c:1"]


def test_weights_are_what_the_algorithm_would_find_in_a_configuration() -> None:
    """geographic, for instance, works out from them what a region can take."""
    picker = StandalonePicker("geographic", {"a:1": 5, "b:1": 1}, max_in_flight=10)
    picker.set_weight("b:1", 2)
    assert [backend.wanted_weight() for backend in picker.backends.values()] == [5, 2]
    (region,) = picker.balancer.regions.values()  # type: ignore[attr-defined]
    assert region.capacity == 70


@pytest.mark.parametrize("given", [{"b:1": 2, "c:1": 257}, {"b:1": -1}])
def test_what_is_refused_changes_nothing(given: dict[str, int]) -> None:
    picker = StandalonePicker("round_robin", {"a:1": 1, "b:1": 1})
    with pytest.raises(ValueError, match="must be from 0 to 256"):
        picker.set_backends(given)
    assert [(backend.name, backend.weight) for backend in picker.backends.values()] == [("a:1", 1), ("b:1", 1)]
    with pytest.raises(ValueError, match="the weight of b:1 must be from 0 to 256, not 999"):
        picker.set_weight("b:1", 999)
    assert picker.backends["b:1"].weight == 1


def test_backends_that_are_there_already() -> None:
    members = backends(2, 1)
    picker = StandalonePicker("round_robin", members)
    assert list(picker.backends.values()) == members


@pytest.mark.parametrize(
    ("algorithm", "members", "params", "said"),
    [
        ("nonsense", [], {}, "there is no algorithm 'nonsense'"),
        ("latency", [], {"choices": 1}, "choices: must be from 2 to 64, not 1"),
        ("latency", {"a:1": 257}, {}, "the weight of a:1 must be from 0 to 256, not 257"),
    ],
)
def test_what_is_wrong_is_told(algorithm: str, members: dict[str, int], params: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StandalonePicker(algorithm, members, **params)  # type: ignore[arg-type]
