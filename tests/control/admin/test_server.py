"""The sockets of the admin API: what listens, what is replaced, and what is loaded when."""

from __future__ import annotations

import asyncio
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.console.admin_client import ask
from proxy.control.admin import server as module
from proxy.control.admin.server import AdminServer
from proxy.errors import BindError, ControlError
from tests.support.path import until_true

from .fake import Fake


@asynccontextmanager
async def listening(path: Path, keep_file: bool = False) -> AsyncIterator[AdminServer]:
    server = AdminServer(Fake())
    await server.listen_at(path)
    try:
        yield server
    finally:
        await server.close(keep_file)


async def called(path: Path) -> int:
    status, _ = await asyncio.to_thread(ask, path, "GET", "/readyz")
    return status


async def test_the_control_socket_belongs_to_its_user(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with listening(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await asyncio.gather(*(called(path) for _ in range(8))) == [200] * 8
    assert list(tmp_path.iterdir()) == []


async def test_one_that_is_never_asked_ends_as_well(tmp_path: Path) -> None:
    async with listening(tmp_path / "control.sock") as server:
        assert server._runners == []
    assert list(tmp_path.iterdir()) == []


async def test_one_that_is_left_while_it_loads(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with listening(path) as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            await until_true(lambda: server._loading is not None)
    assert list(tmp_path.iterdir()) == []


async def test_a_successor_takes_the_file_over(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with listening(path, keep_file=True):
        assert await called(path) == 200
        async with listening(path):
            assert await called(path) == 200
        assert not path.exists()


async def test_a_defect_closes_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_import_api", lambda: 1 / 0)
    path = tmp_path / "control.sock"
    async with listening(path):
        with pytest.raises(ControlError):
            await called(path)
    assert "the control socket cannot be served" in caplog.text


async def test_an_address_in_use() -> None:
    server = AdminServer(Fake())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BindError, match=rf"admin\.bind: cannot listen on 127\.0\.0\.1:{port}: "):
            await server.listen_on("127.0.0.1", port, None)
    await server.close(keep_file=False)


def test_a_supervisor_starts_without_what_it_may_never_need() -> None:
    heavy = "aiohttp h2 prometheus_client watchfiles rich dns redis opentelemetry maxminddb"
    code = f"import sys, proxy.server.run; print(*[name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
