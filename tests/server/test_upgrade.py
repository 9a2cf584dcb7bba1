"""When the program may be replaced; that it is, is tested with processes (e2e/test_processes.py)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import BindError
from proxy.server.runtime_paths import RuntimePaths
from proxy.server.upgrade import Upgrade


class Successors:
    """Stands for the workers: what is started takes over when it is told to."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.started = 0

    async def succeed(self, command: Sequence[str], within: float, done: Callable[[], bool]) -> int:
        self.started += 1
        await self.over.wait()
        return 4711


def upgrading(workers: Any) -> Upgrade:
    return Upgrade("q.yaml", RuntimePaths(Path("/nowhere"), "q.yaml"), workers)


async def test_one_at_a_time() -> None:
    """Two operators at once must not leave two proxies behind."""
    workers = Successors()
    upgrade = upgrading(workers)
    first = asyncio.ensure_future(upgrade.run(False, bool))
    await asyncio.sleep(0)
    with pytest.raises(BindError, match="already"):
        await upgrade.run(False, bool)
    workers.over.set()
    assert (await first, workers.started) == (4711, 1)
    assert await upgrade.run(False, bool) == 4711


async def test_not_while_it_stops() -> None:
    with pytest.raises(BindError, match="stopped already"):
        await upgrading(Successors()).run(True, bool)


async def test_not_as_process_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end would be the end of the container, and of its successor."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(BindError, match="process 1"):
        await upgrading(Successors()).run(False, bool)
