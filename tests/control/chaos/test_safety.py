"""Who would be hit, and everything that speaks against it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from proxy.control.chaos.contract import Member, UpstreamState
from proxy.control.chaos.safety import Targets, draw, objections
from proxy.features.chaos.experiment import Experiment, malformed
from tests.control.chaos.lab import ABORT, REFUSE, address, settings

KILL = Experiment("kill", "worker_kill")
HALF = "limits: {min_healthy: 50%}"


def group(size: int, *ill: int, panicking: bool = False) -> UpstreamState:
    return UpstreamState(tuple(Member(address(n), n not in ill) for n in range(size)), panicking)


def said(
    experiment: Experiment, more: str = "", workers: Sequence[int] = (1, 2), seed: int = 1, **groups: UpstreamState
) -> list[str]:
    """What speaks against an experiment."""
    found = settings(more)
    targets = draw(experiment, found, groups, workers, seed)
    return list(objections(experiment, found, groups, workers, targets))


def hit(experiment: Experiment, more: str = "", seed: int = 1, **groups: UpstreamState) -> Targets:
    return draw(experiment, settings(more), groups, (1, 2), seed)


# --- who -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), [(1, 1), (3, 1), (20, 1), (39, 1), (40, 2), (100, 5)])
def test_the_blast_radius_is_a_share_but_always_one(size: int, count: int) -> None:
    assert len(hit(REFUSE, app=group(size)).backends) == count


def test_the_lots_depend_on_the_seed() -> None:
    assert hit(REFUSE, seed=1, app=group(100)) == hit(REFUSE, seed=1, app=group(100))
    assert len({hit(REFUSE, seed=seed, app=group(100)) for seed in range(10)}) > 1


def test_every_upstream_has_its_own_radius() -> None:
    found = hit(REFUSE._replace(upstreams=()), app=group(40), other=group(3)).backends
    assert sorted(name for name, _ in found) == ["app", "app", "other"]


def test_who_has_opted_out_draws_no_lot() -> None:
    more = f"opt_out: ['app/{address(0)}', 'ot*']"
    for seed in range(20):
        found = hit(REFUSE._replace(upstreams=()), more, seed, app=group(2), other=group(2)).backends
        assert found == (("app", address(1)),)


def test_backends_may_be_named() -> None:
    found = hit(REFUSE._replace(backends=(address(2),)), app=group(3), other=group(3)).backends
    assert found == (("app", address(2)),)


def test_requests_have_no_targets() -> None:
    assert hit(ABORT, app=group(3)) == Targets()


def test_a_worker_is_drawn() -> None:
    assert {hit(KILL, seed=seed, app=group(1)).workers for seed in range(20)} == {(1,), (2,)}


# --- what speaks against it ----------------------------------------------------------------------------


def test_nothing_speaks_against_it() -> None:
    assert said(REFUSE, app=group(20)) == []
    assert said(ABORT, app=group(20)) == []
    assert said(KILL, app=group(20)) == []


def test_too_few_would_be_left() -> None:
    (why,) = said(REFUSE, app=group(3))
    assert why == "2 of 3 backends of app would be healthy: 3 have to be (chaos.limits.min_healthy)"
    assert said(REFUSE, HALF, app=group(3)) == []


def test_the_last_healthy_one_is_never_hit() -> None:
    more = "limits: {min_healthy: 0%, blast_radius: 100%}"
    (why,) = said(REFUSE, more, app=group(3))
    assert "the last healthy one is never hit" in why
    (why,) = said(REFUSE._replace(backends=(address(0),)), more, app=group(3, 1, 2))
    assert "the last healthy one is never hit" in why
    assert said(REFUSE._replace(backends=(address(1),)), more, app=group(3, 1, 2)) == []


def test_those_that_are_ill_already_count() -> None:
    (why,) = said(REFUSE._replace(backends=(address(0),)), app=group(10, 1, 2, 3))
    assert why.startswith("6 of 10")


def test_a_lie_for_the_better_leaves_all_of_them() -> None:
    lie = Experiment("lie", "health_lie", upstreams=("app",), healthy=True)
    assert said(lie, app=group(1)) == []
    assert said(lie._replace(healthy=False), app=group(1)) != []


def test_more_are_named_than_may_be_hit() -> None:
    found = said(REFUSE._replace(backends=(address(0), address(1))), HALF, app=group(10))
    assert found == ["2 backends of app would be hit, 1 may be (chaos.limits.blast_radius is 0.05)"]


@pytest.mark.parametrize(
    ("experiment", "more", "why"),
    [
        (ABORT, "enabled: false", "chaos is not enabled"),
        (ABORT, "environment: ''", "an environment without a name is not among"),
        (ABORT, "environment: production", "environment 'production' is not among chaos.environments (development,"),
        (ABORT._replace(duration=61.0), "", "61 s, longer than chaos.limits.duration (60 s)"),
        (ABORT._replace(upstreams=("nope",)), "", "there is no upstream nope"),
        (REFUSE._replace(backends=("10.9.9.9:80",)), "", "there is no backend 10.9.9.9:80"),
        (REFUSE._replace(backends=(address(1),)), f"opt_out: ['app/{address(1)}']", "has opted out"),
        (REFUSE, "opt_out: [app]", "upstream app has opted out"),
        (REFUSE, "opt_out: ['app/*']", "nothing is left to be hit"),
        (ABORT._replace(stage="finish"), "", "abort cannot happen at finish; it can at accept"),
    ],
)
def test_it_says_what_would_be_right(experiment: Experiment, more: str, why: str) -> None:
    assert any(why in each for each in said(experiment, more, app=group(20)))


def test_the_environment_can_be_waived_but_not_the_switch() -> None:
    waived = "i_understand: true, environment: production"
    assert said(ABORT, waived, app=group(3)) == []
    assert said(ABORT, waived + ", enabled: false", app=group(3)) == ["chaos is not enabled; set chaos.enabled"]


def test_an_outage_is_no_time_for_experiments() -> None:
    assert said(ABORT, app=group(20), other=group(5, panicking=True)) == [
        "upstream other panics: there is an outage already"
    ]
    assert said(ABORT._replace(upstreams=("app",)), app=group(20), other=group(5, panicking=True)) == []


@pytest.mark.parametrize("workers", [(), (1,)])
def test_the_last_worker_is_never_killed(workers: Sequence[int]) -> None:
    assert said(KILL, workers=workers, app=group(1)) == ["the last worker is never killed; run at least two"]


# --- the experiment itself -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("experiment", "why"),
    [
        (Experiment("x", "truncate", "send"), "truncate cannot happen at send; it can at relay"),
        (Experiment("x", "worker_kill", "send"), "worker_kill happens at no stage"),
        (Experiment("x", "abort", "pick", backends=("a:1",)), "at pick no backend is picked yet"),
        (Experiment("x", "corrupt_header", "relay"), "name it with header"),
        (Experiment("x", "corrupt_header", "relay", header="Content-Length"), "frames the message"),
    ],
)
def test_what_makes_no_sense_is_told(experiment: Experiment, why: str) -> None:
    (found,) = malformed(experiment)
    assert why in found
