"""`qantara demo` in this loop, on Unix sockets: it answers, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from proxy.configuration.load import load, load_text
from proxy.console import demo as demo_module
from proxy.console.demo import claim, commands, demo, find_config
from proxy.errors import BindError, QantaraError
from tests.support.client import RawClient, connect

UPSTREAMS = ("fastapi", "wsgi", "aiohttp")


def config_text(folder: Path) -> str:
    upstreams = ", ".join(f"{name}: {{backends: ['unix:{folder}/{name}.sock']}}" for name in UPSTREAMS)
    routes = ", ".join(f"{{path: /{name}, upstream: {name}, strip_prefix: /{name}}}" for name in UPSTREAMS)
    listeners = f"listeners: [{{bind: 'unix:{folder}/proxy.sock'}}]"
    return f"{listeners}\nupstreams: {{{upstreams}}}\nroutes: [{routes}]\naccess_log: null\n"


@asynccontextmanager
async def demonstrated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, apps: bool
) -> AsyncIterator[tuple[RawClient, dict[str, str]]]:
    """A connection to a running demo, and its servers."""
    ready: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    def introduce(_: object, __: object, servers: dict[str, str], ___: object) -> None:
        ready.set_result(servers)

    monkeypatch.setattr(demo_module, "introduce", introduce)
    file = folder / "demo.yaml"
    file.write_text(config_text(folder))
    task = asyncio.create_task(demo(apps, file))
    task.add_done_callback(lambda ended: ready.done() or ended.cancelled() or ready.cancel())
    try:
        await ready
    except asyncio.CancelledError:
        await task
    async with connect(f"{folder}/proxy.sock") as client:
        yield client, ready.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.processes
@pytest.mark.parametrize("apps", [False, True], ids=["in_process", "app_servers"])
async def test_the_demo_answers_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apps: bool) -> None:
    async with demonstrated(tmp_path, monkeypatch, apps) as (client, servers):
        assert len(servers) == len(UPSTREAMS)
        for name in UPSTREAMS:
            shown = await client.request(b"GET /%s/a?b HTTP/1.1\r\nHost: x\r\n\r\n" % name.encode())
            assert json.loads(shown.body)["path"] == "/a?b"
            echo = b"POST /%s/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" % name.encode()
            assert (await client.request(echo, b"POST")).body == b"hello"
    for name in (*UPSTREAMS, "proxy"):
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            await asyncio.open_unix_connection(f"{tmp_path}/{name}.sock")


async def test_a_taken_address_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await asyncio.start_unix_server(lambda reader, writer: writer.close(), f"{tmp_path}/wsgi.sock")
    async with server:
        with pytest.raises(BindError, match=r"wsgi\.sock is in use"):
            async with demonstrated(tmp_path, monkeypatch, apps=False):
                pass


async def test_an_app_server_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "command", lambda *_: ["json.tool", "--no-such-option"])
    with pytest.raises(QantaraError, match="ended at once with status 2"):
        async with demonstrated(tmp_path, monkeypatch, apps=True):
            pass


@pytest.mark.parametrize("name", ["demo.yaml", "app_servers.yaml"])
def test_what_is_proposed_is_routed(name: str) -> None:
    config = load(find_config(name)).config
    tries = commands(config)
    assert len(tries) >= 6
    prefixes = [route.path for route in config.routes if route.upstream and route.path]
    assert all(path.startswith(tuple(prefixes)) for path, _, what in tries if "refused" not in what)


def test_a_missing_config_is_said() -> None:
    with pytest.raises(QantaraError, match=r"config/none\.yaml is missing"):
        find_config("none.yaml")


def test_claim_takes_a_free_address(tmp_path: Path) -> None:
    claim(load_text(config_text(tmp_path)).config.upstreams["wsgi"].backends[0].address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [(("0.0.0.0", 8080), "127.0.0.1:8080"), (("::1", 80), "[::1]:80"), ("/run/x.sock", "localhost")],
)
def test_the_base_url(address: tuple[str, int] | str, expected: str) -> None:
    assert demo_module._host(address) == expected


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")

    monkeypatch.setattr(demo_module, "demo", missing)
    monkeypatch.setattr(demo_module, "signal", SimpleNamespace(SIGINT=10, SIGTERM=12))
    assert demo_module.run_demo() == 1
    assert "pip install 'qantara[demo]'" in capsys.readouterr().err
