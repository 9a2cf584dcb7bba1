"""Names that a new algorithm may have, and what stands in its files. That they work is in e2e/test_policy.py."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from proxy.balancing import ALGORITHMS, Balancer
from proxy.balancing.wrappers.former_hooks import FORMER
from proxy.console.policy.new import Name, contract, name_of, next_steps, text_of, write_policy
from proxy.console.policy.skeleton import Skeleton


@pytest.mark.parametrize(
    "given", ["least_loaded", "least-loaded", "LeastLoaded", "leastLoaded", "Least-Loaded", "_least__loaded_"]
)
def test_three_ways_to_write_a_name(given: str) -> None:
    assert name_of(given) == Name("least_loaded", "LeastLoaded")


@pytest.mark.parametrize(
    ("given", "module", "title"),
    [("near", "near", "Near"), ("HTTPAware", "http_aware", "HttpAware"), ("by2nd_best", "by2nd_best", "By2ndBest")],
)
def test_where_words_end(given: str, module: str, title: str) -> None:
    assert name_of(given) == Name(module, title)


@pytest.mark.parametrize("given", ["", "-", "2fast", "a b", "near/first", "../near", "near:First", "near.py", "nähe"])
def test_what_is_no_name(given: str) -> None:
    with pytest.raises(ValueError, match="is no name: take letters"):
        name_of(given)


@pytest.mark.parametrize("given", ["class", "None", "true", "Import"])
def test_words_of_python(given: str) -> None:
    with pytest.raises(ValueError, match="is a word of Python's; take another, such as my_"):
        name_of(given)


@pytest.mark.parametrize("given", [*ALGORITHMS, "RoundRobin", "round-robin"])
def test_names_of_the_table(given: str) -> None:
    with pytest.raises(ValueError, match="is there already: it is a built-in algorithm"):
        name_of(given)


@pytest.mark.parametrize("given", ["balancer", "Backend", "standalone_picker", "done"])
def test_names_that_its_files_need(given: str) -> None:
    with pytest.raises(ValueError, match="is a name of the contract"):
        name_of(given)
    assert {"Balancer", "Backend", "StandalonePicker", "Random"} <= contract()


@pytest.mark.parametrize("given", ["queue", "proxy", "pytest"])
def test_a_module_that_it_would_hide(given: str, tmp_path: Path) -> None:
    """With its folder on Python's path, a random.py is what everybody imports who wants the one of Python."""
    with pytest.raises(ValueError, match=f"there is a module {given} already"):
        write_policy(given, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["near.py", "test_near.py"])
def test_nothing_is_written_over(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(FileExistsError, match="not written over") as caught:
        write_policy("near", tmp_path)
    assert caught.value.filename == str(tmp_path / there)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]


def test_nothing_but_names_is_changed(tmp_path: Path) -> None:
    written = write_policy("LeastLoaded", tmp_path / "new" / "folder")
    algorithm, test = written.algorithm.read_text(), written.test.read_text()
    assert "skeleton" not in (algorithm + test).lower()
    assert "class LeastLoaded(Balancer):" in algorithm
    assert "from proxy.balancing import Balancer, Done" in algorithm
    assert "from proxy.balancing.standalone import StandalonePicker" in test
    assert "\n\nfrom least_loaded import LeastLoaded\n" in test
    assert "from ." not in algorithm + test
    assert len(algorithm.splitlines()) == len(text_of("skeleton.py").splitlines())


def test_the_steps_can_be_typed(tmp_path: Path) -> None:
    steps = next_steps(write_policy("near", tmp_path / "my algorithms"))
    assert f"python -m pytest '{tmp_path}/my algorithms/test_near.py'" in steps
    assert f'\n    python_path: ["{tmp_path}/my algorithms"]\n    upstreams:' in steps
    assert "qantara check qantara.yaml" in steps
    assert 'balance: {algorithm: "near:Near"}' in steps


@pytest.mark.parametrize(("folder", "shown"), [(".", "."), ("own/algorithms", "own/algorithms")])
def test_the_folder_is_relative_to_the_working_folder(
    folder: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"\n    python_path: [{shown}]\n" in next_steps(write_policy("near", Path(folder)))


def test_the_skeleton_has_all_of_the_contract() -> None:
    said = {name for name in vars(Balancer) if not name.startswith(("_", "former_"))} - set(FORMER)
    assert said - set(vars(Skeleton)) == {"name", "scope", "prober"}, "for the table; and what an algorithm is given"


def test_all_of_the_skeleton_is_explained() -> None:
    tree = ast.parse(text_of("skeleton.py"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert [node.name for node in found if not ast.get_docstring(node)] == []
