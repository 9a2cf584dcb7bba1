"""The map of the package (proxy/__init__.py), the layers in CONTRIBUTING and what docs/architecture.md shows of the
code are those of the code."""

from __future__ import annotations

import re

import proxy
from proxy.pipeline import STAGES

from .test_architecture import LAYERS, PACKAGE

ROOT = PACKAGE.parent
LINE = re.compile(r"^(\w+(?:/|\.py)) +(\S.*)$", re.MULTILINE)


def units() -> set[str]:
    """Folders and modules at the top of the package, as the map writes them."""
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    return modules | {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}


def map_lines() -> list[tuple[str, str]]:
    assert proxy.__doc__ is not None
    return LINE.findall(proxy.__doc__)


def section_of(page: str, heading: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_map_is_that_of_the_tree() -> None:
    names = [name for name, _ in map_lines()]
    assert sorted(names) == sorted(units())


def test_the_map_is_in_the_order_of_a_request() -> None:
    """What belongs to a stage names it first, and the picture has all of them."""
    named = [text.partition(":")[0].partition(",")[0].partition(" to ")[0] for _, text in map_lines()]
    stages = [STAGES.index(stage) for stage in named if stage in STAGES]
    hops = [at for at in stages if at != STAGES.index("route")]
    assert hops == sorted(hops)
    assert len(set(hops)) >= 5
    assert proxy.__doc__ is not None
    assert tuple(re.findall(r"[a-z]+", proxy.__doc__.splitlines()[2]))[1:-1] == STAGES


def test_the_layers_are_those_of_the_tree() -> None:
    """Each unit has its place, and each place its unit."""
    listed = [unit for layer in LAYERS for unit in layer]
    assert sorted(listed) == sorted(re.sub(r"/|\.py$", "", unit) for unit in units())


def test_contributing_has_the_layers() -> None:
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    sentence = f"`{' <- '.join(' '.join(layer) for layer in LAYERS)}`"
    assert sentence in text, f"CONTRIBUTING.md: the layers are {sentence}"


def test_the_architecture_page_has_the_map_and_the_chain() -> None:
    page = "docs/architecture.md"
    assert LINE.findall(section_of(page, "The map")) == map_lines()
    (chain,) = re.findall(
        r"```python\n(# fmt: off\nCHAIN.*?)```", section_of(page, "A request in ten lines"), re.DOTALL
    )
    assert chain in (PACKAGE / "pipeline.py").read_text(encoding="utf-8")


def test_each_test_of_a_law_exists_in_the_table() -> None:
    """The tests of the house rules, which lie at the top of the tests, are all named."""
    table = section_of("docs/architecture.md", "Laws, and the test of each")
    rules = {"architecture", "map", "declarations", "mirror", "errors", "docs", "adding_a_feature"}
    assert {f"tests/test_{rule}.py" for rule in rules} <= set(re.findall(r"`(tests/[\w/.]+)`", table))
