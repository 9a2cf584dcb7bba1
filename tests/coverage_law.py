"""`python -m tests.coverage_law FOLDER`: the statements of each package that the tests have run, from coverage's data.

Invariant: a package that has a compiled module is listed, and below LEAST per cent of its statements it exits with 1.
What runs in processes of its own (server, console, most of control) is not measured: a worker is ended by SIGKILL.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import coverage

ROOT = Path(__file__).resolve().parents[1]
LEAST = 97.0
"""Per cent, of each package."""


def measured() -> set[str]:
    """Folders with a compiled module, as they are written in Python's paths: those that the interpreted run is for."""
    return {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("proxy/**/*.pxd")}


def shares(data: Path) -> dict[str, tuple[int, list[str]]]:
    """Of each package: how many statements it has, and where those are that did not run."""
    found: dict[str, tuple[int, list[str]]] = {}
    missed: defaultdict[str, list[str]] = defaultdict(list)
    count: defaultdict[str, int] = defaultdict(int)
    measure = coverage.Coverage(data_file=str(data), config_file=str(ROOT / "pyproject.toml"))
    measure.load()
    for path in sorted(ROOT.glob("proxy/**/*.py")):
        package = str(path.parent.relative_to(ROOT))
        if package not in measured():
            continue
        _, statements, _, missing, _ = measure.analysis2(str(path))
        count[package] += len(statements)
        missed[package] += [f"{path.relative_to(ROOT)}:{line}" for line in missing]
    for package, statements in sorted(count.items()):
        found[package] = (statements, missed[package])
    return found


def main(data: str) -> int:
    short = []
    for package, (statements, missing) in shares(Path(data)).items():
        share = 100.0 * (1 - len(missing) / max(statements, 1))
        print(f"{share:6.1f} %  {statements:5} statements  {package}")
        if share < LEAST:
            short.append(package)
            print("".join(f"            not run: {place}\n" for place in missing), end="")
    if short:
        print(f"below {LEAST:g} %: {', '.join(short)}", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
