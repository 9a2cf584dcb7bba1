"""Backends that come and go by the admin API, and what a reload would change, on a proxy with workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.client import connect
from tests.support.launcher import launch
from tests.support.origin import Origin, Script, request, response
from tests.support.path import GET
from tests.support.service import Running, running, until

pytestmark = pytest.mark.processes


def named(name: bytes) -> Script:
    return [request(), response(name)]


def yaml(*origins: Origin) -> str:
    listed = "".join(f"      - {each.address}  # a comment\n" for each in origins)
    return (
        f"upstreams:\n  app:\n    slow_start: null\n    backends:\n{listed}"
        "routes: [{upstream: app}]\naccess_log: null\nworkers: 2\n"
    )


async def answers(service: Running, times: int = 8) -> set[bytes]:
    found = set()
    for _ in range(times):
        async with connect(service.address) as client:
            got = await client.request(GET)
            assert got.status == 200
            found.add(got.body)
    return found


async def until_answers(service: Running, wanted: set[bytes]) -> None:
    async def so() -> bool:
        return await answers(service) == wanted

    await until(so)


async def test_a_backend_is_added_serves_outlives_a_reload_and_is_removed(tmp_path: Path) -> None:
    async with Origin(named(b"a"), forever=True) as a, Origin(named(b"b"), forever=True) as b:
        async with running(tmp_path, yaml(a), tcp=True) as service:
            status, told = await service.call("POST", "/upstreams/app/backends", {"address": b.address, "weight": 3})
            assert (status, told["address"], told["weight"]) == (201, b.address, 3)
            await until_answers(service, {b"a", b"b"})
            assert (await service.reload(yaml(a)))["ok"]
            assert await answers(service) == {b"a", b"b"}
            assert (await service.call("DELETE", f"/upstreams/app/backends/{b.address}"))[0] == 200
            await until_answers(service, {b"a"})
            assert b.address not in service.file.read_text()


async def test_what_is_written_back_is_in_the_file_and_served(tmp_path: Path) -> None:
    async with Origin(named(b"a"), forever=True) as a, Origin(named(b"b"), forever=True) as b:
        async with running(tmp_path, yaml(a), tcp=True) as service:
            body = {"address": b.address, "write_back": True}
            assert (await service.call("POST", "/upstreams/app/backends", body))[0] == 200
            assert f"- {b.address}" in service.file.read_text()
            assert "# a comment" in service.file.read_text()
            assert await answers(service) == {b"a", b"b"}
            assert (await service.call("DELETE", f"/upstreams/app/backends/{a.address}?write_back=true"))[0] == 200
            assert a.address not in service.file.read_text()
            assert await answers(service) == {b"b"}


async def test_a_bad_call_is_told_why_and_changes_nothing(tmp_path: Path) -> None:
    async with Origin(named(b"a"), forever=True) as a, running(tmp_path, yaml(a), tcp=True) as service:
        for method, target, body, status, words in (
            ("POST", "/upstreams/app/backends", {"address": "nonsense"}, 400, "address"),
            ("POST", "/upstreams/app/backends", {"address": "127.0.0.1:1", "weight": 999}, 400, "weight"),
            ("POST", "/upstreams/app/backends", {}, 400, "address"),
            ("POST", "/upstreams/none/backends", {"address": "127.0.0.1:1"}, 404, "there is no upstream"),
            ("POST", "/upstreams/app/backends", {"address": a.address}, 409, "already"),
            ("DELETE", "/upstreams/app/backends/127.0.0.1:1", None, 404, "127.0.0.1:1"),
            ("DELETE", "/upstreams/app/backends/127.0.0.1:1?write_back=true", None, 409, "does not list"),
            ("DELETE", f"/upstreams/app/backends/{a.address}?write_back=no", None, 400, "must be true or false"),
        ):
            got, told = await service.call(method, target, body)
            assert (got, words in told["detail"]) == (status, True), told
        service.file.write_text(service.file.read_text() + "# changed\n")
        body = {"address": "127.0.0.1:1", "write_back": True}
        got, told = await service.call("POST", "/upstreams/app/backends", body)
        assert (got, "has changed since it was loaded" in told["detail"]) == (409, True)
        assert await answers(service) == {b"a"}


async def diffed(service: Running) -> tuple[int | None, str, str]:
    process = await launch("diff", str(service.file))
    said, wrong = await process.communicate()
    return process.returncode, said.decode(), wrong.decode()


async def test_diff_tells_what_a_reload_of_the_running_proxy_would_change(tmp_path: Path) -> None:
    async with Origin(named(b"a"), forever=True) as a, running(tmp_path, yaml(a), tcp=True) as service:
        assert await diffed(service) == (0, "# nothing would change\n", "")
        service.write(yaml(a) + "timeouts: {drain: 5s}\n")
        code, said, _ = await diffed(service)
        assert (code, "timeouts.drain: 30s -> 5s" in said) == (1, True), said
        service.write("nonsense: 1\n")
        code, said, wrong = await diffed(service)
        assert (code, said, "nonsense" in wrong) == (2, "", True)


async def test_diff_without_a_proxy_says_so(tmp_path: Path) -> None:
    service = Running(tmp_path / "qantara.yaml", tmp_path / "q.sock")
    code, _, wrong = await diffed(service)
    assert (code, "nobody serves" in wrong) == (2, True)


async def test_explain_asks_the_running_proxy(tmp_path: Path) -> None:
    async with Origin(named(b"a"), forever=True) as a, running(tmp_path, yaml(a), tcp=True) as service:
        await service.call("PUT", f"/upstreams/app/backends/{a.address}", {"state": "maint"})
        process = await launch("explain", "GET", "/", "-c", str(service.file), "-H", "A: b")
        said, wrong = await process.communicate()
        assert (process.returncode, wrong) == (0, b"")
        assert f"{a.address}: gets nothing, maint (an operator said so)" in said.decode()
        assert (await service.call("POST", "/explain", {"url": "/a b"}))[0] == 400
        status, told = await service.call("GET", "/upstreams/app/explain")
        assert (status, told["upstream"]) == (200, "app")
        assert {(each["algorithm"], each["failed"]) for each in told["workers"]} == {("round_robin", False)}
        assert (await service.call("GET", "/upstreams/nope/explain"))[0] == 404


async def test_top_shows_what_all_workers_do(tmp_path: Path) -> None:
    async with Origin(named(b"a"), forever=True) as a, running(tmp_path, yaml(a), tcp=True) as service:
        await answers(service, 20)
        status, told = await service.call("GET", "/top/talkers?by=upstream")
        assert (status, [each["upstream"] for each in told]) == (200, ["app"])
        assert (await service.call("GET", "/top/talkers?by=colour"))[0] == 400
        assert (await service.call("GET", "/top/talkers?limit=0"))[0] == 400
        process = await launch("top", "--once", "--interval", "0.1", "-c", str(service.file))
        said, wrong = await process.communicate()
        assert (process.returncode, wrong) == (0, b"")
        assert a.address in said.decode()
        assert "requests/s" in said.decode()
