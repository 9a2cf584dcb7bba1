"""No command imports anything from the working folder or from that of the configuration, whatever lies there."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.client import connect
from tests.support.launcher import ROOT
from tests.support.origin import Origin, request, response
from tests.support.path import GET
from tests.support.service import Running, running

pytestmark = pytest.mark.processes

POISONED = """
    aiohttp argparse asyncio encodings json logging maxminddb mmh3 numpy orjson own_near pydantic pydantic_core rich
    ruamel sitecustomize socket ssl typing_extensions usercustomize uvloop yaml
""".split()
SCRIPT = f"#!{sys.executable}\nimport sys\nfrom proxy.__main__ import main\nsys.exit(main())\n"
"""As pip writes it."""
ALGORITHM = """
from proxy.balancing import Balancer

class Near(Balancer):
    def rebuild(self, members):
        self.members = members

    def pick(self, key):
        import own_helper
        return self.members[0]
"""


def poison(folder: Path, marker: Path, names: list[str]) -> None:
    """Modules that leave their name in the file `marker` when they are imported."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write('{name}\\n')\n")
    if "proxy" in names:
        (folder / "proxy.py").rename(folder / "proxy_init.py")
        (folder / "proxy").mkdir()
        (folder / "proxy_init.py").rename(folder / "proxy" / "__init__.py")


@pytest.mark.timeout(90)  # a dozen processes are started
@pytest.mark.parametrize("way", ["script", "module"])
async def test_nothing_is_imported_from_the_working_folder(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker, here, own = tmp_path / "marker", tmp_path / "here", tmp_path / "own"
    # `python -m proxy` is a folder proxy/ in the working folder if there is one: so does Python find it
    poison(here, marker, [*POISONED, "proxy"] if way == "script" else POISONED)
    own.mkdir()
    (own / "own_near.py").write_text(ALGORITHM)
    (own / "own_helper.py").write_text("")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "qantara").write_text(SCRIPT)
    command = (sys.executable, *((str(tmp_path / "bin" / "qantara"),) if way == "script" else ("-m", "proxy")))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    async def told(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(*command, *arguments), cwd=here, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        return out.decode()

    async with Origin([request(), response(b"served")], forever=True) as origin:
        yaml = (
            f"python_path: [../own]\nupstreams: {{app: {{balance: {{algorithm: 'own_near:Near'}}, "
            f"backends: ['{origin.address}']}}}}\nroutes: [{{upstream: app}}]\nworkers: 1\naccess_log: null\n"
        )
        async with running(here, yaml, command=command) as service:
            file = str(service.file)
            assert "good" in await told("check", file)
            assert await answered(service) == b"served"
            assert "reloaded" in await told("reload", "-c", file)
            assert "worker 1" in await told("status", "-c", file)
            assert origin.address in await told("explain", "GET", "/", "-c", file)
            assert origin.address in await told("explain", "GET", "/", "-c", file, "--offline")
            assert "nothing would change" in await told("diff", file)
            before = (await service.status())["pid"]
            assert "has taken over" in await told("upgrade", "-c", file)
            assert (await service.status())["pid"] != before
            assert await answered(service) == b"served"
            assert "draining" in await told("stop", "-c", file)
    assert not marker.exists(), marker.read_text()


async def answered(service: Running) -> bytes:
    async with connect(service.address) as client:
        return (await client.request(GET)).body


async def test_a_reload_with_other_folders(tmp_path: Path) -> None:
    """They are taken up by the workers that run, and a refused one changes nothing."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"own_{name}.py").write_text(ALGORITHM.replace("import own_helper", f"import helper_{name}"))
        (tmp_path / name / f"helper_{name}.py").write_text("")
    async with Origin([request(), response(b"served")], forever=True) as origin:

        def yaml(folder: str, module: str) -> str:
            return (
                f"python_path: [{folder}]\nupstreams: {{app: {{balance: {{algorithm: '{module}:Near'}}, "
                f"backends: ['{origin.address}']}}}}\nroutes: [{{upstream: app}}]\nworkers: 1\naccess_log: null\n"
            )

        async with running(tmp_path, yaml("one", "own_one")) as service:
            told = await service.reload(yaml("two", "own_missing"))
            assert "No module named 'own_missing'" in told["problems"][0]
            assert await answered(service) == b"served", "helper_one is imported by the first pick"
            os.chmod(tmp_path / "two", 0o777)
            told = await service.reload(yaml("two", "own_two"))
            assert f"{tmp_path}/two can be written by its group and everybody" in told["problems"][0]
            os.chmod(tmp_path / "two", 0o755)
            assert (await service.reload(yaml("two", "own_two")))["ok"]
            assert await answered(service) == b"served"
            assert "takes over" not in service.said, "no algorithm has failed"
