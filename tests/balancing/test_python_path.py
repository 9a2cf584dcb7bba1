"""Modules of a user's own: from which folders they come, and which are refused."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.balancing.python_path import distrust, use_folders


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    modules, path = set(sys.modules), list(sys.path)
    yield
    use_folders(())
    assert sys.path == path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, name: str, value: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(f"VALUE = {value!r}\n")
    return file


def value_of(module: str) -> object:
    return importlib.import_module(module).VALUE


def test_a_module_comes_from_a_folder_that_is_named(tmp_path: Path) -> None:
    write(tmp_path, "own_one", 1)
    with pytest.raises(ModuleNotFoundError):
        value_of("own_one")
    use_folders([str(tmp_path)])
    assert value_of("own_one") == 1


def test_no_more_than_the_folders_of_the_last_call(tmp_path: Path) -> None:
    write(tmp_path / "a", "own_two", "a")
    write(tmp_path / "b", "own_three", "b")
    use_folders([str(tmp_path / "a")])
    use_folders([str(tmp_path / "b")])
    with pytest.raises(ModuleNotFoundError):
        value_of("own_two")
    assert value_of("own_three") == "b"


def test_nothing_of_the_library_is_hidden(tmp_path: Path) -> None:
    write(tmp_path, "colorsys", "poison")
    write(tmp_path, "pytest_asyncio", "poison")
    sys.modules.pop("colorsys", None)
    use_folders([str(tmp_path)])
    assert importlib.import_module("colorsys").__file__ != str(tmp_path / "colorsys.py")


def test_packages_and_what_lies_in_them(tmp_path: Path) -> None:
    write(tmp_path / "own_package", "__init__", 1)
    inner = write(tmp_path / "own_package" / "inner", "leaf", 2)
    use_folders([str(tmp_path)])
    assert (value_of("own_package"), value_of("own_package.inner.leaf")) == (1, 2)
    assert list(tmp_path.rglob("*.pyc")) == []
    write(inner.parent, "open", 3).chmod(0o666)
    with pytest.raises(ImportError, match=r"open\.py can be written by its group and everybody"):
        value_of("own_package.inner.open")


def test_bytecode_is_neither_written_nor_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = write(tmp_path, "own_cached", 1)
    cached = Path(importlib.util.cache_from_source(str(file)))
    cached.parent.mkdir()
    cached.write_bytes(b"poison")
    use_folders([str(tmp_path)])
    assert value_of("own_cached") == 1
    assert cached.read_bytes() == b"poison"


@pytest.mark.parametrize(
    ("mode", "writers"), [(0o664, "its group"), (0o646, "everybody"), (0o666, "its group and everybody")]
)
def test_a_module_that_others_can_write(mode: int, writers: str, tmp_path: Path) -> None:
    file = write(tmp_path, "own_open", 1)
    file.chmod(mode)
    use_folders([str(tmp_path)])
    told = f"{file} can be written by {writers}, whose code would run in the proxy; type chmod go-w {file}"
    with pytest.raises(ImportError) as caught:
        value_of("own_open")
    assert str(caught.value) == told
    file.chmod(0o644)
    assert value_of("own_open") == 1


def test_a_folder_above_that_others_can_write(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "own"
    folder.mkdir(parents=True)
    assert distrust(str(folder)) == ""
    folder.parent.chmod(0o775)
    assert distrust(str(folder)).startswith(f"{folder.parent} can be written by its group, ")
    folder.parent.chmod(0o1777)
    assert distrust(str(folder)) == "", "nobody else can replace what lies in it"


def test_a_sticky_folder_is_not_one_to_import_from(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert distrust(str(tmp_path)).startswith(f"{tmp_path} can be written by its group and everybody, ")


def test_both_ends_of_a_link_count(tmp_path: Path) -> None:
    target = tmp_path / "open" / "target"
    target.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(target)
    assert distrust(str(link)) == ""
    target.parent.chmod(0o777)
    assert distrust(str(link)).startswith(f"{target.parent} can be written")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_is_root_or_the_user_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "own_other", 1)
    os.chown(file, 54321, -1)
    assert distrust(str(file)) == f"{file} belongs to user 54321, not to root; type chown -h root {file}"
    monkeypatch.setattr("proxy.balancing.python_path.os.geteuid", lambda: 54321)
    assert distrust(str(file)) == ""
    os.chown(file, 54322, -1)
    told = f"{file} belongs to user 54322, not to root or 54321; type chown -h 54321 {file}"
    assert distrust(str(file)) == told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_link_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    link = tmp_path / "link"
    link.symlink_to("target")
    os.chown(link, 54321, -1, follow_symlinks=False)
    assert distrust(str(link)).startswith(f"{link} belongs to user 54321")


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        distrust(str(tmp_path / "none.py"))
