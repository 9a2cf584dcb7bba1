"""`python_path`: where a configuration has its own modules from, and what is said about folders that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.balancing.python_path import use_folders
from proxy.configuration.compile import compile_plan
from proxy.configuration.diff import diff_against
from proxy.configuration.load import Loaded, load
from proxy.errors import ConfigError

ALGORITHM = """
from proxy.balancing import Balancer

class Own(Balancer):
    def rebuild(self, members):
        self.members = members

    def pick(self, key):
        return self.members[0]
"""


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    modules = set(sys.modules)
    yield
    use_folders(())
    for name in set(sys.modules) - modules:
        if name.startswith("own_"):
            del sys.modules[name]


def written(folder: Path, python_path: str, module: str, file: str = "qantara.yaml") -> Path:
    config = folder / file
    config.write_text(
        f"python_path: {python_path}\n"
        "listeners: [{bind: '127.0.0.1:0'}]\n"
        f"upstreams: {{app: {{balance: {{algorithm: '{module}:Own'}}, backends: ['127.0.0.1:1']}}}}\n"
        "routes: [{upstream: app}]\n"
    )
    return config


def algorithm(folder: Path, module: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{module}.py"
    file.write_text(ALGORITHM)
    return file


def compiled(config: Path) -> Loaded:
    loaded = load(config)
    compile_plan(loaded.config, loaded.report)
    return loaded


def refused(config: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compiled(config)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(("python_path", "folder"), [("[.]", "."), ("[other, ./own/algorithms/]", "own/algorithms")])
def test_folders_are_relative_to_the_file(
    python_path: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    algorithm(tmp_path / folder, "own_relative")
    config = written(tmp_path, python_path, "own_relative")
    assert compiled(config).config.python_path[-1] == str(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    assert compiled(Path(config.name)).config.python_path[-1] == str(tmp_path / folder)


def test_nothing_comes_from_the_folder_of_the_file_or_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm(tmp_path, "own_beside")
    monkeypatch.chdir(tmp_path)
    (problem,) = refused(written(tmp_path, "[]", "own_beside"))
    assert problem.endswith("algorithm 'own_beside:Own' cannot be used: No module named 'own_beside'")


def test_the_folder_has_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = written(tmp_path, "[none, file]", "own_missing")
    hint = "paths are relative to the folder of this file"
    told = [
        f"{config}:1:15: python_path[0]: there is no folder {tmp_path}/none; {hint}",
        f"{config}:1:21: python_path[1]: {tmp_path}/file is not a folder; name the one that the module lies in",
    ]
    assert refused(config) == told


def test_nobody_else_may_write_to_the_folder(tmp_path: Path) -> None:
    file = algorithm(tmp_path / "own", "own_open")
    file.parent.chmod(0o775)
    config = written(tmp_path, "[own]", "own_open")
    repair = f"whose code would run in the proxy; type chmod go-w {file.parent}"
    assert refused(config) == [f"{config}:1:15: python_path[0]: {file.parent} can be written by its group, {repair}"]


def test_nobody_else_may_write_to_the_module(tmp_path: Path) -> None:
    file = algorithm(tmp_path / "own", "own_open_file")
    file.chmod(0o646)
    config = written(tmp_path, "[own]", "own_open_file")
    (problem,) = refused(config)
    assert problem.startswith(
        f"{config}:3:28: upstreams.app.balance: algorithm 'own_open_file:Own' cannot be used: {file}"
    )
    assert problem.endswith(f"type chmod go-w {file}")


@pytest.mark.parametrize("value", ["own", "[1]", "['']", "{a: b}", '["a\\0b"]'])
def test_what_is_no_list_of_folders(value: str, tmp_path: Path) -> None:
    (problem,) = refused(written(tmp_path, value, "own_none"))
    assert ": python_path" in problem


def test_a_comparison_leaves_the_path_as_it_was(tmp_path: Path) -> None:
    for name in ("own_now", "own_then"):
        algorithm(tmp_path / name, name)
    running = compiled(written(tmp_path, "[own_now]", "own_now")).config
    new = written(tmp_path, "[own_then]", "own_then", "new.yaml")
    changes = {change.what: change for change in diff_against(running, new).changes}
    assert changes["python_path"].before == f"[{tmp_path}/own_now]"
    assert (
        changes["python_path"].effect
        == "modules that have been imported stay as they are until a restart or an upgrade"
    )
    assert str(tmp_path / "own_now") in sys.path
    assert str(tmp_path / "own_then") not in sys.path
