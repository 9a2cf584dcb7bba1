"""Chaos as the supervisor runs it: it follows the configuration, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

from proxy.control.chaos.service import ChaosService, SystemClock
from tests.control.chaos.lab import ABORT, FakeClock, FakeTarget, settings
from tests.support.path import until_true


def service(folder: Path, more: str = "") -> tuple[ChaosService, FakeTarget]:
    clock = FakeClock()
    target = FakeTarget(clock, app=20)
    return ChaosService(settings(more, str(folder / "audit.jsonl")), target, clock), target


async def test_when_it_ends_everything_ends(tmp_path: Path) -> None:
    chaos, target = service(tmp_path)
    task = asyncio.get_running_loop().create_task(chaos.run())
    await asyncio.sleep(0)
    await chaos.controller.start(ABORT, "me")
    assert target.rules
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (target.rules, chaos.controller.runs) == ([], {})


async def test_it_ticks_while_it_is_enabled(tmp_path: Path) -> None:
    chaos, target = service(tmp_path, "rules: [{name: one, fault: abort, start: true}]")
    task = asyncio.get_running_loop().create_task(chaos.run())
    await until_true(lambda: target.rules)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_tick_that_goes_wrong_is_not_the_last(tmp_path: Path) -> None:
    chaos, target = service(tmp_path)
    target.ups = None  # type: ignore[assignment]
    await chaos.controller.adopt(chaos.controller.settings, None)
    await chaos.tick()
    target.sample = lambda: 1 / 0  # type: ignore[assignment, return-value, method-assign]
    await chaos.tick()


async def test_it_takes_up_a_new_configuration(tmp_path: Path) -> None:
    chaos, _ = service(tmp_path)
    assert chaos.monkey is None
    changed = settings("monkey: {}", str(tmp_path / "other.jsonl"))
    await chaos.adopt(changed)
    assert chaos.monkey is not None
    monkey = chaos.monkey
    await chaos.adopt(changed)
    assert chaos.monkey is monkey, "nothing has changed, and its interval goes on"
    await chaos.controller.start(ABORT, "me")
    assert (tmp_path / "other.jsonl").exists()
    assert not (tmp_path / "audit.jsonl").exists()


async def test_without_being_enabled_there_is_no_monkey(tmp_path: Path) -> None:
    clock = FakeClock()
    off = settings("monkey: {}").model_copy(update={"enabled": False})
    assert ChaosService(off, FakeTarget(clock), clock).monkey is None


def test_the_clocks_of_the_machine() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is not None
    assert clock.monotonic() <= clock.monotonic()
