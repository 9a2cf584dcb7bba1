"""`qantara policy new`, as it is typed: the files that it writes are tested, checked and serve, as they are."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.client import connect
from tests.support.launcher import launch
from tests.support.origin import Origin, request, response
from tests.support.path import GET
from tests.support.servers import ROOT
from tests.support.service import running

pytestmark = pytest.mark.processes


async def command(*arguments: str | Path, cwd: Path = ROOT) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that is given in `cwd`."""
    process = await launch(*map(str, arguments), cwd=cwd)
    out, err = await process.communicate()
    return await process.wait(), out.decode(), err.decode()


async def pytest_of(file: str, folder: Path) -> tuple[int, str]:
    """Exit code and output of pytest in a folder, without the plugins that happen to be installed here."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", file),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_what_is_written_passes_its_test(tmp_path: Path) -> None:
    code, out, err = await command("policy", "new", "least-loaded", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert "python -m pytest test_least_loaded.py" in out
    assert {path.name for path in tmp_path.iterdir()} == {"least_loaded.py", "test_least_loaded.py"}
    code, out = await pytest_of("test_least_loaded.py", tmp_path)
    assert code == 0, out
    assert "8 passed" in out


async def test_the_test_finds_an_algorithm_that_is_wrong(tmp_path: Path) -> None:
    await command("policy", "new", "Wrong", "--folder", tmp_path)
    file = tmp_path / "wrong.py"
    file.write_text(file.read_text().replace("if backend.weight > 0", ""))
    code, out = await pytest_of("test_wrong.py", tmp_path)
    assert code == 1
    assert "FAILED test_wrong.py::test_only_backends_with_a_weight_are_picked" in out


async def test_what_is_written_is_checked_and_serves(tmp_path: Path) -> None:
    folder = tmp_path / "algorithms"
    assert (await command("policy", "new", "LeastLoaded", "--folder", folder))[0] == 0
    script = [request(), response(b"served")]
    async with Origin(script, forever=True) as one, Origin(script, forever=True) as two:
        yaml = (
            "python_path: [algorithms]\n"
            'upstreams: {app: {balance: {algorithm: "least_loaded:LeastLoaded", seed: 7}, '
            f"backends: ['{one.address}', '{two.address}']}}}}\n"
            "routes: [{upstream: app}]\nworkers: 1\naccess_log: null\n"
        )
        async with running(tmp_path, yaml) as service:
            code, out, err = await command("check", service.file)
            assert (code, err) == (0, "")
            assert "good" in out
            async with connect(service.address) as client:
                assert [(await client.request(GET)).body for _ in range(40)] == [b"served"] * 40
            _, told = await service.call("GET", "/upstreams/app/explain")
            (worker,) = told["workers"]
            counts = {name: each["picked"] for name, each in worker["backends"].items()}
            assert counts == {one.address: len(one.requests), two.address: len(two.requests)}


async def test_a_parameter_that_it_does_not_take_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    await command("policy", "new", "near", "--folder", tmp_path)
    file = tmp_path / "qantara.yaml"
    file.write_text(
        "listeners: [{bind: '127.0.0.1:0'}]\nroutes: [{upstream: app}]\n"
        "upstreams: {app: {balance: {algorithm: 'near:Near', sed: 7}, backends: ['127.0.0.1:1']}}\n"
    )
    code, _, err = await command("check", file)
    assert code == 2
    assert "unexpected keyword argument 'sed'" in err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("2fast", "error: '2fast' is no name: take letters, digits and _, and a letter first, such as least_loaded\n"),
        ("class", "error: 'class' is a word of Python's; take another, such as my_class\n"),
        ("RoundRobin", "error: round_robin is there already: it is a built-in algorithm; take another name\n"),
    ],
)
async def test_names_that_are_refused(name: str, told: str, tmp_path: Path) -> None:
    assert await command("policy", "new", name, "--folder", tmp_path) == (2, "", told)
    assert list(tmp_path.iterdir()) == []


async def test_files_that_are_there_stay(tmp_path: Path) -> None:
    file = tmp_path / "near.py"
    file.write_text("mine")
    told = f"error: {file}: is there already, and is not written over\n"
    assert await command("policy", "new", "near", "--folder", tmp_path) == (1, "", told)
    assert file.read_text() == "mine"


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "folder"
    told = f"error: {folder}: Not a directory\n"
    assert await command("policy", "new", "near", "--folder", folder) == (1, "", told)


async def test_without_a_name() -> None:
    code, _, err = await command("policy")
    assert (code, "ACTION" in err) == (2, True)
    code, _, err = await command("policy", "new")
    assert (code, "NAME" in err) == (2, True)
