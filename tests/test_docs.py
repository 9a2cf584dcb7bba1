"""What the pages claim: reasons, keys, commands, files and links exist, none is forgotten, and the examples work.

Prose is for people to check. What can be read out of the code is checked here, so that a page cannot fall behind.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.balancing.base import Balancer
from proxy.cli import make_parser
from proxy.configuration.compile import compile_plan
from proxy.configuration.load import load, load_text
from proxy.configuration.sections.limits import LimitsSection
from proxy.configuration.sections.pool import PoolSection
from proxy.configuration.sections.timeouts import TimeoutsSection
from proxy.errors import REASONS, Reason
from proxy.pipeline import STAGES
from proxy.upstream.backend import Backend, BackendSpec

from .balancing.members import set_members

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks" / "README.md"])
EXTERNAL = ("http://", "https://", "mailto:")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def rows(page: str) -> Iterator[list[str]]:
    """The cells of each row of each table."""
    for line in text_of(page).splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


# --- links ---------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where it is shown."""
    headings = re.findall(r"^#+ (.+)$", prose(str(page.relative_to(ROOT))), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(EXTERNAL):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    code = re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(code) <= targets


def test_every_page_is_linked_from_the_readme() -> None:
    readme = text_of("README.md")
    assert [page.name for page in ROOT.glob("docs/*.md") if f"(docs/{page.name}" not in readme] == []


# --- errors.md -----------------------------------------------------------------------------------------


def row_of(reason: Reason) -> list[str]:
    """All cells but the last, which is advice."""
    error = f"`{reason.error}`" if reason.error else ""
    meaning = f"{reason.hint} Retried." if reason.retryable else reason.hint
    return [f"`{reason.name}`", str(reason.status), error, meaning]


def test_errors_has_every_reason_in_order_and_no_other() -> None:
    found = [row for row in rows("docs/errors.md") if row[0] != "reason"]
    assert [row[:-1] for row in found] == [row_of(reason) for reason in REASONS]
    assert [row[0] for row in found if not row[-1]] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_reasons_that_are_mentioned_exist(page: Path) -> None:
    names = {reason.name for reason in REASONS}
    words = re.findall(rf"`((?:{'|'.join(STAGES)})\.[a-z0-9_]+)`", page.read_text(encoding="utf-8"))
    assert set(words) <= names


# --- timeouts-and-limits.md ----------------------------------------------------------------------------


def test_every_time_out_and_limit_is_explained() -> None:
    keys = {row[0].strip("`") for row in rows("docs/timeouts-and-limits.md")}
    wanted = {f"timeouts.{name}" for name in TimeoutsSection.model_fields}
    wanted |= {f"limits.{name}" for name in LimitsSection.model_fields}
    wanted |= {f"pool.{name}" for name in PoolSection.model_fields if name != "min"}
    assert wanted - keys == set()
    assert {key for key in keys if re.match(r"(timeouts|limits|pool)\.", key)} <= wanted


def test_the_constants_that_are_named_exist() -> None:
    places = [row[-1] for row in rows("docs/timeouts-and-limits.md") if "` in `" in row[-1]]
    assert places
    for place in places:
        *constants, file = re.findall(r"`([^`]+)`", place)
        assert all(re.search(rf"^{constant} = ", text_of(file), re.MULTILINE) for constant in constants), place


# --- life-of-a-request.md and the README ---------------------------------------------------------------


def test_the_stages_stand_in_order() -> None:
    stages = [row[0] for row in rows("docs/life-of-a-request.md") if row[0] in STAGES]
    assert tuple(stages) == STAGES
    picture = next(block for block in blocks("README.md", "") if block.startswith("client"))
    assert tuple(re.findall(r"[a-z]+", picture.splitlines()[0]))[1:-1] == STAGES


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/life-of-a-request.md",
        "docs/development.md",
        "docs/security.md",
    ],
)
def test_the_files_that_are_named_exist(page: str) -> None:
    for name in re.findall(r"`((?:proxy|tests|config|benchmarks)/[\w/.-]+)`", prose(page)):
        made = name.startswith("benchmarks/results")
        assert made or (ROOT / name).exists(), f"{page} names {name}"


@pytest.mark.parametrize(
    ("page", "top"), [("README.md", "proxy"), ("docs/development.md", "tests")], ids=["README", "development"]
)
def test_every_folder_has_a_line(page: str, top: str) -> None:
    folders = {f"{top}/{each.name}/" for each in (ROOT / top).iterdir() if any(each.glob("*.py"))}
    named = {name for row in rows(page) for name in re.findall(r"`([\w/]+/)`", row[0]) if name.startswith(f"{top}/")}
    assert named - {f"{top}/"} == folders


@pytest.mark.parametrize(("page", "least"), [("docs/life-of-a-request.md", len(STAGES)), ("docs/architecture.md", 4)])
def test_the_names_are_in_the_files_that_are_said(page: str, least: int) -> None:
    found = re.findall(r"`(\w+)` in `(proxy/[\w/]+\.py)`", text_of(page))
    assert len(found) >= least
    for name, file in found:
        assert re.search(rf"(?:class|def) {name}\b", text_of(file)), f"{name} in {file}"


def test_every_command_is_in_the_readme() -> None:
    actions = make_parser()._subparsers
    assert actions is not None
    commands = next(iter(actions._group_actions)).choices
    assert commands is not None
    assert [name for name in commands if f"| `qantara {name}" not in text_of("README.md")] == []


def test_the_benchmark_table_has_its_place() -> None:
    before, _, rest = text_of("README.md").partition("<!-- benchmark:begin -->")
    assert before
    assert rest.count("<!-- benchmark:end -->") == 1


# --- examples ------------------------------------------------------------------------------------------


def whole_configurations() -> list[str]:
    """Those of all pages but the one that adds a key first (tests/test_adding_a_feature.py runs it)."""
    pages = [str(page.relative_to(ROOT)) for page in PAGES if page.name != "adding-a-feature.md"]
    return [block for page in pages for block in blocks(page, "yaml") if "routes:" in block]


def run_example(code: str) -> type[Balancer]:
    """The balancer that an example defines."""
    names: dict[str, object] = {"__name__": "example"}
    exec(code, names)
    found = [value for value in names.values() if isinstance(value, type) and issubclass(value, Balancer)]
    return next(each for each in found if each is not Balancer)


def example(page: str) -> str:
    return next(block for block in blocks(page, "python") if "(Balancer)" in block)


def backends(*regions: str) -> list[Backend]:
    return [Backend(BackendSpec(f"127.0.0.1:{n}", "127.0.0.1", n, "", 1, region)) for n, region in enumerate(regions)]


def test_the_configurations_load(tmp_path: Path) -> None:
    (tmp_path / "near_first.py").write_text(example("README.md"))
    found = whole_configurations()
    assert len(found) >= 2
    for text in found:
        compile_plan(load_text(text, str(tmp_path / "near.yaml")).config)
    assert load(ROOT / "config" / "minimal.yaml").config.listeners


def test_the_algorithm_of_the_readme() -> None:
    balancer = run_example(example("README.md"))(region="eu", spill_at=2)  # type: ignore[call-arg]
    eu, us = members = backends("eu", "us")
    set_members(balancer, members)
    assert {balancer.pick(None) for _ in range(20)} == {eu}
    eu.in_flight = 2
    assert balancer.pick(None) is us
    set_members(balancer, [eu])
    assert balancer.pick(None) is eu
    set_members(balancer, [])
    assert balancer.pick(None) is None


def test_the_example_with_a_key() -> None:
    balancer = run_example(example("docs/writing-an-algorithm.md"))()
    members = backends("eu", "us", "ap")
    set_members(balancer, members)
    assert balancer.pick(b"ann") is balancer.pick(b"ann")
    assert {balancer.pick(b"user-%d" % n) for n in range(100)} == set(members)
    assert balancer.pick(None) in members


def test_the_example_of_a_test() -> None:
    code = next(block for block in blocks("docs/writing-an-algorithm.md", "python") if "assert" in block)
    exec(code, {})


# --- dependencies.md -----------------------------------------------------------------------------------


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    names = {re.split(r"[<>=\[; ]", each)[0] for each in wanted} - {"qantara"}
    explained = {name for row in rows("docs/dependencies.md") for name in re.split(r",\s*", row[0])}
    assert names - explained == set()
