"""docs/adding-a-feature.md, carried out: its blocks, applied to a copy of the package, make a feature that works.

The copy has the form of the checkout: compiled modules are copied with their sources. The two files that the page
changes are never compiled.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "adding-a-feature.md").read_text(encoding="utf-8")
SECTIONS, PIPELINE = "proxy/configuration/sections/__init__.py", "proxy/pipeline.py"

SERVE = """
import asyncio, sys, uvloop
from pathlib import Path

import proxy
from proxy.configuration.compile import compile_plan
from proxy.configuration.load import load_text
from proxy.pipeline import link_plan
from proxy.server.proxy import Proxy

assert Path(proxy.__file__).is_relative_to(sys.argv[1]), proxy.__file__

def origin(status):
    async def answer(reader, writer):
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            writer.write(b"HTTP/1.1 %s\\r\\nX-Backend-Region: forged\\r\\nContent-Length: 0\\r\\n\\r\\n" % status)
    return answer

async def ask(text):
    async with Proxy(link_plan(compile_plan(load_text(text).config))) as running:
        reader, writer = await asyncio.open_connection(*running.addresses[0][:2])
        for _ in range(4):
            writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
            print(head.split("\\r\\n")[0], *[line for line in head.split("\\r\\n") if "region" in line.lower()])
        writer.close()

async def main():
    for first in (b"200 OK", b"503 Service Unavailable"):
        eu = await asyncio.start_server(origin(first), "127.0.0.1", 0)
        us = await asyncio.start_server(origin(b"200 OK"), "127.0.0.1", 0)
        text = sys.stdin_text.replace("127.0.0.1:8080", "127.0.0.1:0") + "access_log: null\\n"
        for port, server in (("9001", eu), ("9002", us)):
            text = text.replace(port, str(server.sockets[0].getsockname()[1]))
        await ask(text)
    await ask(text.replace("region_header: X-Backend-Region", "panic: 50%"))
    print("end")

sys.stdin_text = sys.stdin.read()
uvloop.run(main())
"""


class Addition(NamedTuple):
    """A diff block: the lines around, and those that are added."""

    before: list[str]
    added: list[str]
    after: list[str]


def page_blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def new_files() -> dict[str, str]:
    """The modules of the page, each under the name that stands before it."""
    names = re.findall(r"`(proxy/[\w/]+\.py)`[^`]*?\n\n```python\n", PAGE)
    return dict(zip(names, page_blocks("python"), strict=True))


def additions() -> dict[str, Addition]:
    """The diff blocks of the page, each under the name of the file that its paragraph begins with."""
    named = re.findall(r"^In `(proxy/[\w/]+\.py)`", PAGE, re.MULTILINE)
    return dict(zip(named, map(addition, page_blocks("diff")), strict=True))


def addition(block: str) -> Addition:
    lines = block.splitlines()
    at = [number for number, line in enumerate(lines) if line.startswith("+")]
    context = [line[1:] for line in lines]
    return Addition(context[: at[0]], context[at[0] : at[-1] + 1], context[at[-1] + 1 :])


def apply_to(text: str, change: Addition) -> str:
    """The text with the lines in their one place."""
    around = "\n".join([*change.before, *change.after])
    assert text.count(around) == 1, f"the lines of the page stand {text.count(around)} times in the file:\n{around}"
    return text.replace(around, "\n".join([*change.before, *change.added, *change.after]))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the package and the feature."""
    folder = tmp_path_factory.mktemp("feature")
    shutil.copytree(ROOT / "proxy", folder / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in new_files().items():
        assert not (folder / name).exists()
        (folder / name).write_text(text, encoding="utf-8")
    for name, change in additions().items():
        file = folder / name
        assert not list(file.parent.glob(f"{file.stem}.*.so")), f"{name} is compiled: a changed line would not count"
        file.write_text(apply_to(file.read_text(encoding="utf-8"), change), encoding="utf-8")
    yield folder
    shutil.rmtree(folder)


def run(copy: Path, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=copy,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_files_are_new_and_two_have_a_line_more(copy: Path) -> None:
    assert list(new_files()) == ["proxy/features/region_header.py", "proxy/configuration/sections/region_header.py"]
    before = {path.relative_to(ROOT): path.read_text() for path in ROOT.glob("proxy/**/*.py")}
    after = {path.relative_to(copy): path.read_text() for path in copy.glob("proxy/**/*.py")}
    assert sorted(map(str, after.keys() - before.keys())) == sorted(new_files())
    changed = {str(path): text for path, text in before.items() if after[path] != text}
    assert changed.keys() == {SECTIONS, PIPELINE}
    for name, text in changed.items():
        lines, more = text.splitlines(), after[Path(name)].splitlines()
        (line,) = additions()[name].added
        at = more.index(line)
        assert [*more[:at], *more[at + 1 :]] == lines


def test_clients_see_the_region(copy: Path) -> None:
    """By turns; of the other backend where a retry went there; and nothing of it without the key."""
    done = run(copy, "-c", SERVE, copy, stdin=page_blocks("yaml")[0])
    assert done.returncode == 0, done.stderr
    *lines, end = done.stdout.splitlines()
    assert end == "end"
    ok = "HTTP/1.1 200 OK X-Backend-Region: "
    assert sorted(lines[:4]) == [f"{ok}eu", f"{ok}eu", f"{ok}us", f"{ok}us"]
    assert lines[4:8] == [f"{ok}us"] * 4
    assert lines[8:] == [f"{ok}forged"] * 4
    assert "X-Backend-Region: eu" in PAGE


def test_a_wrong_value_is_reported_with_its_place(copy: Path) -> None:
    (copy / "wrong.yaml").write_text(page_blocks("yaml")[1])
    done = run(copy, "-m", "proxy", "check", "wrong.yaml")
    report = next(block for block in page_blocks("") if block.startswith("wrong.yaml"))
    assert (done.returncode, done.stderr) == (2, f"{report}wrong.yaml: 1 error\n")


def test_the_schema_has_the_key(copy: Path) -> None:
    done = run(copy, "-m", "proxy", "schema")
    assert '"region_header"' in done.stdout, done.stderr
    assert "The response header that gets the region of the backend" in done.stdout
