"""What is shipped: sdist, wheel, container image, service unit; and that the commands of the README exist.

Two tests install into a clean virtual environment, as pip does for a user, from the index. `packaging` takes a wheel
of the modules that `make build` has left, so that next to nothing is compiled; `make test` runs it. `sdist` compiles
everything from the sdist once more; `make test-all` runs it too.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

import proxy
from proxy.configuration.load import load

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

SERVE_ONE = """
import asyncio, sys, uvloop
from proxy.configuration.compile import compile_plan
from proxy.configuration.load import load_text
from proxy.console.demo import find_config
from proxy.pipeline import link_plan
from proxy.server.proxy import Proxy
import proxy.http1.codec, proxy.exchange

assert "site-packages" in proxy.__file__, proxy.__file__
assert not proxy.http1.codec.__file__.endswith(".py"), proxy.http1.codec.__file__
assert not proxy.exchange.__file__.endswith(".py"), proxy.exchange.__file__
assert "site-packages" in str(find_config("demo.yaml"))

async def main():
    text = "listeners: [{bind: '127.0.0.1:0'}]\\nroutes: [{respond: {body: served}}]\\naccess_log: null\\n"
    async with Proxy(link_plan(compile_plan(load_text(text).config))) as p:
        reader, writer = await asyncio.open_connection(*p.addresses[0])
        writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        print((await reader.read()).decode())
        writer.close()

uvloop.run(main())
"""


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] = MappingProxyType({})) -> str:
    """Output of a command that must succeed, run where the checkout is not on the import path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | dict(env)
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_build(kind: str, folder: Path) -> Path:
    """The sdist or wheel of this checkout. It is built in build/, beside what the tests import."""
    env = {"QANTARA_OPTIMISE": os.environ.get("QANTARA_OPTIMISE", "g")}
    run(sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", folder, ROOT, cwd=folder, env=env)
    return next(folder.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


def check_installed(distribution: Path, folder: Path, env: Mapping[str, str] = MappingProxyType({})) -> None:
    """Installed into a clean virtual environment, it works and has brought all that it needs and no more."""
    venv = folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=folder)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", venv / "bin" / "python")
    run(*pip, "install", "--quiet", distribution, cwd=folder, env=env)
    check_command(venv, folder)
    check_package(venv)
    names = {entry["name"].lower() for entry in json.loads(run(*pip, "list", "--format=json", cwd=folder))}
    assert not names & {"cython", "pytest", "fastapi"}, "a build, demo or test dependency became a runtime one"
    run(*pip, "check", cwd=folder)


@pytest.mark.packaging
@pytest.mark.xdist_group("build")
@pytest.mark.timeout(1500)
def test_the_wheel_works_in_a_clean_environment(tmp_path: Path) -> None:
    """One test with the content of the sdist: a build writes into the checkout, and two would disturb each other."""
    check_sources(run_build("sdist", tmp_path))
    check_installed(run_build("wheel", tmp_path), tmp_path)


@pytest.mark.sdist
@pytest.mark.xdist_group("build")
@pytest.mark.timeout(1500)
def test_the_sdist_builds_and_works_in_a_clean_environment(tmp_path: Path) -> None:
    sdist = run_build("sdist", tmp_path)
    check_sources(sdist)
    # what is looked at is what gets where, not how fast it is: not optimising takes minutes less
    check_installed(sdist, tmp_path, env={"CFLAGS": "-O0"})


def check_sources(sdist: Path) -> None:
    """It holds every source and nothing built."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = (path for suffix in (".py", ".pyx", ".pxd") for path in ROOT.glob(f"proxy/**/*{suffix}"))
    wanted = {str(path.relative_to(ROOT)) for path in sources}
    wanted |= {"LICENSE", "setup.py", "proxy/py.typed", "config/demo.yaml", "docs/errors.md"}
    assert not wanted - names
    assert not [name for name in names if name.endswith((".so", ".pyc")) or re.fullmatch(r"proxy/.*\.c", name)]


def check_command(venv: Path, folder: Path) -> None:
    """The installed command runs, and the installed proxy serves."""
    qantara = venv / "bin" / "qantara"
    assert run(qantara, "--version", cwd=folder).split() == ["qantara", PROJECT["version"]]
    config = next(venv.glob("lib/python3*/site-packages/proxy/config/demo.yaml"))
    assert "1 upstreams" in run(qantara, "check", config, cwd=folder)
    assert "least_loaded:LeastLoaded" in run(qantara, "policy", "new", "least-loaded", cwd=folder)
    assert "class LeastLoaded(Balancer)" in (folder / "least_loaded.py").read_text()
    assert run(venv / "bin" / "python", "-c", SERVE_ONE, cwd=folder).endswith("served\n")


def check_package(venv: Path) -> None:
    """What is compiled is what has a .pxd, and what those share; and the rest that people need is there."""
    package = next(venv.glob("lib/python3*/site-packages/proxy"))
    shipped = {str(path.relative_to(package)) for path in package.rglob("*")}
    assert {"py.typed", "http1/codec.pyx", "http1/codec.pxd", "config/demo.yaml"} <= shipped
    assert not [name for name in shipped if name.endswith(".c")]
    compiled = {name.partition(".")[0] for name in shipped if name.endswith(".so")}
    augmented = {name.removesuffix(".pxd") for name in shipped if name.endswith(".pxd")}
    assert compiled == augmented | {"_shared"}


# --- quick checks ------------------------------------------------------------------------------------


def test_one_version_everywhere() -> None:
    assert proxy.__version__ == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_command_exists() -> None:
    module, _, function = PROJECT["scripts"]["qantara"].partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_container_image_rules() -> None:
    """What hadolint does not check, or checks only where it has a wheel."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    steps = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    last = max(index for index, (word, _) in enumerate(steps) if word == "FROM")
    final = dict(steps[last:])
    assert sum(word == "FROM" for word, _ in steps) == 2
    assert all(":" in rest and ":latest" not in rest for word, rest in steps if word == "FROM")
    assert final["USER"] not in ("root", "0")
    assert json.loads(final["ENTRYPOINT"]) == ["qantara"]
    assert "HEALTHCHECK" in final
    assert "gcc" not in str(steps[last:])
    assert not any(word == "ADD" for word, _ in steps)


def test_the_container_has_what_its_build_copies() -> None:
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = line.split()[1:]
            assert not [source for source in sources if f"!{source}" not in allowed]


def test_configurations_that_are_shipped_load() -> None:
    loaded = load(ROOT / "deploy" / "container.yaml")
    assert not loaded.warnings
    assert str(loaded.config.listeners[0].bind) == ":8080"


def test_service_unit() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "deploy" / "qantara.service")
    service = unit["Service"]
    assert service["ExecStart"].endswith("qantara run -c /etc/qantara/qantara.yaml")
    assert service["DynamicUser"] == "yes"
    assert int(service["TimeoutStopSec"].rstrip("s")) > 30, "longer than the drain"
    assert int(service["LimitNOFILE"]) >= 2 * 32768


@pytest.mark.parametrize("target", "run run-apps test test-all dev lint bench bench-quick fuzz soak dist clean".split())
def test_make_target(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert f"make {target}" in makefile, "not in make help"
