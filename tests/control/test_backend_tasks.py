"""The skeleton of what asks backends at intervals: which are asked, when, and what becomes of a bad answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.control.backend_tasks import BackendTask, BackendTasks
from proxy.scoreboard import create
from proxy.upstream.backend import BackendSpec
from proxy.upstream.spec import GroupSpec
from tests.support.path import until_true

ONE, TWO = (BackendSpec(f"127.0.0.1:{port}", "127.0.0.1", port, "", 1) for port in (1, 2))


class Questions(BackendTasks[float, BackendTask[float]]):
    """The spec of an upstream is its `panic`, the seconds between two questions."""

    action = "asking"

    def __init__(self) -> None:
        super().__init__(create(2), {})
        self.asked: list[str] = []
        self.judged: list[str] = []
        self.forgotten: list[tuple[str, str]] = []
        self.error: BaseException | None = None

    def spec_of(self, group: GroupSpec) -> float | None:
        return group.panic or None

    def target(self, upstream: str, backend: BackendSpec, spec: float) -> BackendTask[float]:
        return BackendTask(upstream, backend, spec)

    def forget(self, upstream: str, address: str) -> None:
        self.forgotten.append((upstream, address))

    def first_within(self, spec: float) -> float:
        return 0.0

    def timeout(self, spec: float) -> float:
        return 0.05

    async def ask(self, target: BackendTask[float]) -> str:
        self.asked.append(target.backend.address)
        if isinstance(self.error, TimeoutError):
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return ""

    def judge(self, target: BackendTask[float], wrong: str, seconds: float) -> None:
        self.judged.append(wrong)

    def pause(self, target: BackendTask[float]) -> tuple[float, float]:
        return target.spec, 0.0


@asynccontextmanager
async def asking() -> AsyncIterator[Questions]:
    questions = Questions()
    try:
        yield questions
    finally:
        await questions.close()


def specs(*backends: BackendSpec, every: float = 0.01) -> dict[str, GroupSpec]:
    return {"app": GroupSpec("app", backends, None, panic=every)}


async def test_each_backend_is_asked_again_and_again() -> None:
    async with asking() as questions:
        await questions.adopt(specs(ONE, TWO))
        await until_true(lambda: min(map(questions.asked.count, (ONE.address, TWO.address))) > 2)
    assert set(questions.judged) == {""}


async def test_what_is_unchanged_goes_on_and_the_rest_is_forgotten() -> None:
    async with asking() as questions:
        await questions.adopt(specs(ONE, TWO))
        one, two = (questions.targets["app", each.address] for each in (ONE, TWO))
        await questions.adopt(specs(ONE))
        assert questions.targets == {("app", ONE.address): one}
        assert two.task is not None
        assert two.task.cancelled()
        assert questions.forgotten == [("app", TWO.address)]
        await questions.adopt(specs(ONE, every=0.02))
        assert questions.targets["app", ONE.address] is not one
        assert questions.forgotten == [("app", TWO.address)], "its last answer stands until the next one"
        await questions.adopt(specs(ONE, every=0))
        assert questions.targets == {}
        assert questions.forgotten == [("app", TWO.address), ("app", ONE.address)]


@pytest.mark.parametrize(
    ("error", "wrong"),
    [
        (TimeoutError(), "timed out after 0.05 s"),
        (ConnectionRefusedError("refused"), "refused"),
        (ConnectionResetError(), "ConnectionResetError"),
        (KeyError("x"), "KeyError('x')"),
    ],
)
async def test_what_goes_wrong_is_an_answer(error: Exception, wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    async with asking() as questions:
        questions.error = error
        await questions.adopt(specs(ONE))
        await until_true(lambda: len(questions.judged) > 1)
    assert set(questions.judged) == {wrong}
    defects = {record.getMessage() for record in caplog.records if record.levelno == logging.ERROR}
    assert defects == ({"a defect of the proxy, while asking 127.0.0.1:1"} if isinstance(error, KeyError) else set())
