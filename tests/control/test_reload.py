"""What is checked before a reload, and how long that may take; reloads themselves need processes (e2e)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from proxy.configuration.compile import compile_plan
from proxy.configuration.load import digest_of
from proxy.control import reload
from proxy.errors import ConfigError
from proxy.plan import PlanSpec

TEXT = "listeners: [{bind: '127.0.0.1:0'}]\nroutes: [{respond: {body: hello}}]\n"


async def test_what_can_be_served_comes_back_compiled(tmp_path: Path) -> None:
    file = tmp_path / "q.yaml"
    file.write_text(TEXT)
    checked = await reload.check_in_thread(str(file))
    assert len(checked.plan.listeners) == len(checked.config.listeners) == 1
    assert (checked.warnings, checked.digest) == ((), digest_of(TEXT.encode()))


async def test_a_configuration_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers link what comes of it; they cannot compile (server/test_worker_main.py)."""
    compiled = []

    def compile_counted(*arguments: Any) -> PlanSpec:
        compiled.append(arguments)
        return compile_plan(*arguments)

    monkeypatch.setattr(reload, "compile_plan", compile_counted)
    file = tmp_path / "q.yaml"
    file.write_text(TEXT)
    checked = await reload.check_in_thread(str(file))
    await reload.try_members(checked.plan, {})
    assert len(compiled) == 1


async def test_a_file_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file on a network that is gone, say: whoever reloads is told, and may try again."""
    go_on = threading.Event()
    monkeypatch.setattr(reload, "CHECK_WITHIN", 0.05)
    monkeypatch.setattr(reload, "check", lambda path: go_on.wait())
    with pytest.raises(ConfigError) as caught:
        await reload.check_in_thread("q.yaml")
    go_on.set()
    assert reload.problems_of(caught.value) == ("q.yaml: cannot be read and compiled within 0.05 s",)
