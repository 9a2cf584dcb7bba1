"""The monkey: in working hours, on its leash, and never past the rules that hold for everybody."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from proxy.control.chaos.monkey import Monkey
from tests.control.chaos.lab import MONDAY, Lab


def monkey(folder: Path, more: str = "", settings: str = "", **sizes: int) -> tuple[Monkey, Lab]:
    lab = Lab(folder, f"{settings or 'limits: {cool_down: 0s}'}, monkey: {{seed: 1, {more}}}", **sizes)
    assert lab.settings.monkey is not None
    return Monkey(lab.settings.monkey, lab.controller, lab.clock), lab


async def hours(one: Monkey, lab: Lab, count: int) -> None:
    """Let hours pass, each with the end of whatever was begun."""
    for _ in range(count):
        lab.clock.seconds += 3600
        await one.tick()
        await lab.controller.tick()
        await lab.controller.stop("the test")


async def test_it_only_says_what_it_would_do(tmp_path: Path) -> None:
    one, lab = monkey(tmp_path, "probability: 100%")
    await hours(one, lab, 4)
    assert len(lab.events("start")) == 4
    assert {(record["dry_run"], record["who"]) for record in lab.events("start")} == {(True, "chaos monkey")}
    assert {each[0] for each in lab.target.did} <= {"set_rules", "tallies"}


async def test_off_its_leash_it_still_has_to_show_it_first(tmp_path: Path) -> None:
    one, lab = monkey(tmp_path, "probability: 100%, leashed: false, victims: [backend]")
    await hours(one, lab, 1)
    assert "dry run" in lab.last()["why"][0]
    experiment = one.choose()
    assert experiment is not None
    await lab.prove(experiment)
    await hours(one, lab, 1)
    assert [record["dry_run"] for record in lab.events("start")] == [True, False]


async def test_it_picks_backends_and_workers(tmp_path: Path) -> None:
    one, _ = monkey(tmp_path, app=20, other=20)
    found = Counter((each.fault, each.upstreams) for each in (one.choose() for _ in range(200)) if each is not None)
    assert set(found) == {("worker_kill", ()), ("connect_refused", ("app",)), ("connect_refused", ("other",))}


async def test_it_leaves_alone_who_has_opted_out(tmp_path: Path) -> None:
    one, _ = monkey(tmp_path, "victims: [backend]", settings="opt_out: ['*']")
    assert one.choose() is None


async def test_it_rolls_its_dice(tmp_path: Path) -> None:
    one, lab = monkey(
        tmp_path, "probability: 25%, from_hour: 0, to_hour: 24, days: [mon, tue, wed, thu, fri, sat, sun]"
    )
    await hours(one, lab, 200)
    assert 30 <= len(lab.events("start")) <= 70


async def test_once_per_interval(tmp_path: Path) -> None:
    one, lab = monkey(tmp_path, "probability: 100%")
    for _ in range(7200):
        lab.clock.seconds += 1
        await one.tick()
        await lab.controller.stop("the test")
    assert len(lab.events("start")) == 2


@pytest.mark.parametrize(
    ("after", "works"),
    [(0, True), (-1, True), (-2, False), (4, True), (5, False), (24 * 4, True), (24 * 5, False), (24 * 6, False)],
)
def test_working_hours(tmp_path: Path, after: int, works: bool) -> None:
    one, lab = monkey(tmp_path)
    lab.clock.start = MONDAY + timedelta(hours=after)  # Monday, 10 o'clock
    assert one.at_work() == works


async def test_it_does_nothing_at_night(tmp_path: Path) -> None:
    one, lab = monkey(tmp_path, "probability: 100%")
    lab.clock.start = MONDAY + timedelta(hours=10)
    await hours(one, lab, 5)
    assert lab.events() == []


async def test_the_last_backend_is_safe_from_it(tmp_path: Path) -> None:
    one, lab = monkey(tmp_path, "probability: 100%, victims: [backend]", app=1)
    await hours(one, lab, 3)
    assert {record["event"] for record in lab.events()} == {"refused"}
