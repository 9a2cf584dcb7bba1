"""The working folder is off the path: of this process, and of those that it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.server.safe_path import python_module

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, os, sys
from proxy.server.safe_path import leave_working_folder, python_module
leave_working_folder()
print(json.dumps([sys.path, os.environ.get("PYTHONPATH"), python_module("proxy", "run")]))
"""


def left(cwd: Path, path: str | None, *flags: str) -> tuple[list[str], str | None, list[str]]:
    """sys.path, PYTHONPATH and the command for a module, in a process that has left its working folder."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        env["PYTHONPATH"] = path
    command = [sys.executable, *flags, "-c", PROGRAM]
    ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=True)
    found: tuple[list[str], str | None, list[str]] = tuple(json.loads(ended.stdout))
    return found


def test_what_python_puts_first_is_gone(tmp_path: Path) -> None:
    path, env, _ = left(tmp_path, str(ROOT))
    assert path[0] == str(ROOT)
    assert not {"", ".", str(tmp_path)} & set(path)
    assert env == str(ROOT)


@pytest.mark.parametrize("given", ["{}:", ":{}", "{}::"])
def test_an_empty_entry_does_not_mean_the_working_folder(given: str, tmp_path: Path) -> None:
    path, env, _ = left(tmp_path, given.format(ROOT))
    assert not {"", ".", str(tmp_path)} & set(path)
    assert env == str(ROOT)


@pytest.mark.parametrize("entry", [".", "{tmp_path}", "{tmp_path}/"])
def test_a_working_folder_that_is_named_stays(entry: str, tmp_path: Path) -> None:
    path, _, _ = left(tmp_path, f"{ROOT}::{entry.format(tmp_path=tmp_path)}")
    assert os.path.abspath(path[-1]) != str(tmp_path)
    assert str(tmp_path) in map(os.path.abspath, path)


def test_a_path_that_is_safe_already_stays(tmp_path: Path) -> None:
    path, _, _ = left(tmp_path, str(ROOT), "-P")
    assert path[0] == str(ROOT)


def test_children_of_a_checkout_find_the_same_package(tmp_path: Path) -> None:
    """As `python -m proxy` in a checkout that is not installed."""
    checkout = tmp_path / "checkout"
    (checkout / "proxy" / "server").mkdir(parents=True)
    for name in ("__init__.py", "server/__init__.py", "server/safe_path.py"):
        (checkout / "proxy" / name).write_text((ROOT / "proxy" / name).read_text())
    path, env, _ = left(checkout, None)
    assert str(checkout) not in path
    assert env == str(checkout)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    code = f"import os; os.rmdir('{tmp_path / 'gone'}')\n{PROGRAM}"
    (tmp_path / "gone").mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=tmp_path / "gone", env=env, capture_output=True, text=True, check=True)
    assert "" not in json.loads(ended.stdout)[0]


def test_children_are_as_isolated_as_their_parent(tmp_path: Path) -> None:
    assert python_module("x", "y") == [sys.executable, "-P", "-m", "x", "y"]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}"
    ended = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)[2] == [sys.executable, "-P", "-E", "-s", "-m", "proxy", "run"]
