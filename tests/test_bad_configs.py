"""What `qantara check` says of bad configurations stays as it is, to the letter: see tests/bad_configs/__init__.py."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from .bad_configs.cases import HERE, Case, all_cases, prepare, report_of, stored
from .bad_configs.own_code import LET_GO

CASES = all_cases()
AGAIN = "if this is meant: python -m tests.bad_configs, and read the difference"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory of all commands."""
    folder = tmp_path_factory.mktemp("beside")
    prepare(folder)
    yield folder
    LET_GO.set()


@cache
def reports(group: str) -> dict[str, str]:
    return stored(group)


@pytest.mark.parametrize("case", CASES, ids=lambda case: re.sub(r"\W+", "_", str(case)))
def test_the_report_is_the_one_in_the_repository(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    found, wanted = report_of(case, folder), reports(case.group).get(case.name, "")
    if found != wanted:
        lines = difflib.unified_diff(wanted.splitlines(), found.splitlines(), "stored", "now", lineterm="")
        pytest.fail("\n".join([f"{case}; {AGAIN}", *lines]), pytrace=False)


def test_each_report_belongs_to_a_configuration_of_its_own() -> None:
    names = Counter(map(str, CASES))
    assert [name for name, count in names.items() if count > 1] == []
    kept = {f"{path.stem}: {name}" for path in HERE.glob("*.txt") for name in stored(path.stem)}
    assert kept == set(names), AGAIN
