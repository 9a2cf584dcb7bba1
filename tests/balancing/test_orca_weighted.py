"""Client-side weighted round robin: what a report weighs, when it counts, and that requests follow capacities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from proxy.balancing import create
from proxy.balancing.orca_weighted import OrcaWeighted
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport

from .members import backends, set_members


def balancer(members: Sequence[Backend], **params: float) -> OrcaWeighted:
    made = create("orca_weighted", seed=1, **params)
    assert isinstance(made, OrcaWeighted)
    set_members(made, members)
    return made


def shares(of: OrcaWeighted, picks: int = 10_000) -> dict[str, float]:
    counts = Counter(backend.name for backend in (of.pick(None) for _ in range(picks)) if backend is not None)
    return {name: count / picks for name, count in counts.items()}


def weights(of: OrcaWeighted) -> dict[str, float | None]:
    return {name: told["reported_weight"] for name, told in of.explain()["backends"].items()}


def silence(of: OrcaWeighted) -> list[str | None]:
    return [told["not_counted_because"] for told in of.explain()["backends"].values()]


# --- what a report weighs ---


@pytest.mark.parametrize(
    ("report", "weight"),
    [
        (LoadReport(cpu=0.5, rps=100.0), 200.0),
        (LoadReport(cpu=0.5, application=0.8, rps=100.0), 125.0),
        (LoadReport(cpu=0.5, application=0.0, rps=100.0), 200.0),
        (LoadReport(application=2.0, rps=100.0), 50.0),
        (LoadReport(cpu=0.5, rps=100.0, eps=50.0), 100.0),
        (LoadReport(cpu=0.5, rps=100.0, eps=0.0), 200.0),
        (LoadReport(rps=100.0), None),
        (LoadReport(cpu=0.0, rps=100.0), None),
        (LoadReport(cpu=0.5), None),
        (LoadReport(cpu=0.5, rps=0.0), None),
    ],
)
def test_the_weight_of_a_report(report: LoadReport, weight: float | None) -> None:
    (only,) = members = backends(1)
    of = balancer(members)
    of.reported(only, report, 1.0)
    assert weights(of)["a"] == (pytest.approx(weight) if weight is not None else None)


def test_the_penalty_for_errors_is_a_parameter() -> None:
    (only,) = members = backends(1)
    of = balancer(members, error_utilization_penalty=0.0)
    of.reported(only, LoadReport(cpu=0.5, rps=100.0, eps=50.0), 1.0)
    assert weights(of)["a"] == pytest.approx(200.0)


# --- when it counts ---


def told(of: OrcaWeighted, members: Sequence[Backend], capacities: Sequence[float], now: float) -> None:
    for backend, capacity in zip(members, capacities, strict=True):
        if capacity:
            of.reported(backend, LoadReport(cpu=0.5, rps=capacity / 2), now)


def test_it_is_plain_round_robin_until_two_have_told_long_enough() -> None:
    members = backends(1, 1, 1)
    of = balancer(members)
    even = {name: pytest.approx(1 / 3, abs=0.001) for name in "abc"}
    assert shares(of) == even
    told(of, members, (100, 300, 0), 1.0)
    of.tick(1.0)
    assert shares(of) == even, "blackout"
    assert silence(of)[:2] == ["it has not reported for long enough"] * 2
    told(of, members, (100, 0, 0), 11.5)
    of.tick(11.5)
    assert silence(of) == [None, None, "it has reported nothing"]
    # c has told nothing: it gets the mean of the others
    assert shares(of) == {"a": pytest.approx(1 / 6, abs=0.001), "b": pytest.approx(3 / 6, abs=0.001),
                          "c": pytest.approx(2 / 6, abs=0.001)}  # fmt: skip


def test_one_alone_does_not_count() -> None:
    members = backends(1, 1)
    of = balancer(members, blackout_period=0)
    told(of, members, (100, 0), 1.0)
    of.tick(1.0)
    assert shares(of) == {"a": pytest.approx(0.5), "b": pytest.approx(0.5)}
    assert of.explain()["plain_round_robin"] is True


def test_weights_expire_and_begin_with_a_blackout() -> None:
    members = backends(1, 1)
    of = balancer(members)
    told(of, members, (100, 300), 0.0)
    of.tick(20.0)
    assert shares(of)["b"] == pytest.approx(0.75, abs=0.001)
    of.tick(180.0)
    assert silence(of) == ["its last report has expired"] * 2
    assert shares(of)["b"] == pytest.approx(0.5, abs=0.001)
    told(of, members, (100, 300), 200.0)
    of.tick(205.0)
    assert shares(of)["b"] == pytest.approx(0.5, abs=0.001), "as new ones"
    of.tick(211.0)
    assert shares(of)["b"] == pytest.approx(0.75, abs=0.001)


def test_weights_follow_once_per_period() -> None:
    members = backends(1, 1)
    of = balancer(members, blackout_period=0, weight_update_period=5)
    told(of, members, (100, 300), 10.0)
    of.tick(10.0)
    told(of, members, (300, 100), 11.0)
    of.tick(14.9)
    assert shares(of)["b"] == pytest.approx(0.75, abs=0.001)
    of.tick(15.0)
    assert shares(of)["b"] == pytest.approx(0.25, abs=0.001)


def test_configured_weights_are_factors() -> None:
    members = backends(1, 3, 0)
    of = balancer(members, blackout_period=0)
    told(of, members, (200, 100, 900), 1.0)
    of.tick(1.0)
    assert shares(of) == {"a": pytest.approx(0.4, abs=0.001), "b": pytest.approx(0.6, abs=0.001)}


@pytest.mark.long
def test_a_report_cannot_take_everything_or_nothing() -> None:
    members = backends(*[1] * 100)
    of = balancer(members, blackout_period=0)
    told(of, members, (1e9, 1e-6, *[100.0] * 98), 1.0)
    of.tick(1.0)
    found = shares(of, 100_000)
    # nearly all of the mean is the first one's: it is cut to ten times the mean, all others raised to a hundredth
    assert found["a"] == pytest.approx(10 / (10 + 99 * 0.01), rel=0.01)
    assert min(found.values()) > 0
    assert len(found) == 100


# --- how requests are spread ---


def test_requests_are_spread_evenly_in_time() -> None:
    members = backends(1, 1, 1, 1)
    of = balancer(members, blackout_period=0)
    told(of, members, (100, 100, 100, 300), 1.0)
    of.tick(1.0)
    picked = [backend.name for backend in (of.pick(None) for _ in range(600)) if backend is not None]
    for start in range(0, 600 - 12):
        in_a_row = Counter(picked[start : start + 12])
        assert 5 <= in_a_row["d"] <= 7
        assert all(1 <= in_a_row[name] <= 3 for name in "abc")


def test_what_was_told_survives_a_change_of_members_and_of_the_algorithm() -> None:
    members = backends(1, 1, 1)
    of = balancer(members, blackout_period=0)
    told(of, members, (100, 300, 500), 1.0)
    of.tick(1.0)
    set_members(of, members[:2])
    assert shares(of)["b"] == pytest.approx(0.75, abs=0.001)
    another = balancer(members, blackout_period=0)
    another.tick(1.0)
    assert shares(another)["c"] == pytest.approx(5 / 9, abs=0.001)


def test_proxies_begin_at_different_backends() -> None:
    members = backends(*[1] * 50)
    first = {balancer_of(seed, members) for seed in range(30)}
    assert len(first) > 10


def balancer_of(seed: int, members: Sequence[Backend]) -> str:
    made = create("orca_weighted", seed=seed)
    set_members(made, members)
    backend = made.pick(None)
    assert backend is not None
    return backend.name


def test_shares_settle_at_capacities() -> None:
    """Backends that report honestly, at 60 % of what they can do together, with noise: once the blackout is over,
    each gets its part of the capacity."""
    dice = Random(7)
    members = backends(*[1] * 20)
    capacity = {backend.name: dice.choice((50.0, 100.0, 400.0)) for backend in members}
    of = balancer(members)
    rate = 0.6 * sum(capacity.values())
    served: Counter[str] = Counter()
    for second in range(60):
        counts = Counter(backend.name for backend in (of.pick(None) for _ in range(int(rate))) if backend is not None)
        for backend in members:
            rps = counts[backend.name]
            if rps:
                cpu = rps / capacity[backend.name] * dice.uniform(0.9, 1.1)
                of.reported(backend, LoadReport(cpu=cpu, rps=rps), float(second))
        of.tick(float(second))
        if second >= 20:
            served += counts
    total = sum(served.values())
    for name, able in capacity.items():
        assert served[name] / total == pytest.approx(able / sum(capacity.values()), rel=0.08)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"blackout_period": -1}, "blackout_period: must be a number of at least 0, not -1"),
        ({"weight_expiration_period": 0}, "weight_expiration_period: must be a number of at least 1, not 0"),
        ({"weight_update_period": "1s"}, "weight_update_period: must be a number of at least 0.1, not '1s'"),
        ({"error_utilization_penalty": float("nan")}, "error_utilization_penalty: must be a number"),
        ({"blackout_period": True}, "blackout_period: must be a number"),
    ],
)
def test_parameters_are_checked(params: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        create("orca_weighted", **params)
    assert said in str(caught.value)
