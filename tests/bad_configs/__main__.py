"""`python -m tests.bad_configs`: writes the reports of all configurations of this folder anew."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from .cases import HERE, all_cases, prepare, report_of, store, stored


def regenerate() -> int:
    """Returns how many reports have changed."""
    reports: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        sys.path.insert(0, folder)
        try:
            for case in all_cases():
                reports.setdefault(case.group, {})[case.name] = report_of(case, Path(folder))
        finally:
            sys.path.remove(folder)
    before = {path.stem: stored(path.stem) for path in HERE.glob("*.txt")}
    for path in HERE.glob("*.txt"):
        path.unlink()
    for group, texts in reports.items():
        store(group, texts)
    names = {(group, name) for texts in (before, reports) for group, of_group in texts.items() for name in of_group}
    return sum(before.get(group, {}).get(name) != reports.get(group, {}).get(name) for group, name in names)


print(f"{regenerate()} reports have changed; read the difference (git diff tests/bad_configs)")
