"""`python -m tests.coverage_law`: the share of each package's statements that the tests have run, by coverage's data.

Invariant: below LEAST per cent of a package that the interpreted run is for, the exit code is 1. What runs in processes
of its own, or has no part in the path of a request, is not in it: see NOT_MEASURED.
"""

from __future__ import annotations

import sys
from pathlib import Path

import coverage

ROOT = Path(__file__).resolve().parents[1]
LEAST = 97
"""Per cent of the statements of each package."""
NOT_MEASURED = {
    "cli.py": "a command is a process",
    "__main__.py": "a command is a process",
    "configuration": "the same in both forms: tested by the compiled run, with those below",
    "console": "commands",
    "control": "runs in the supervisor",
    "middleware": "runs in app servers",
    "server": "processes, which end by SIGKILL and then leave no data",
}
"""File or folder of the package, and why it is not in the interpreted run."""


def packages() -> dict[str, list[Path]]:
    """The files of each package that is measured, by its path."""
    found: dict[str, list[Path]] = {}
    for path in sorted((ROOT / "proxy").rglob("*.py")):
        if path.relative_to(ROOT / "proxy").parts[0] not in NOT_MEASURED:
            found.setdefault(str(path.parent.relative_to(ROOT)), []).append(path)
    return found


def main() -> int:
    measure = coverage.Coverage()
    measure.load()
    short = []
    for package, paths in packages().items():
        statements, missing = 0, []
        for path in paths:
            _, lines, _, missed, _ = measure.analysis2(str(path))
            statements += len(lines)
            missing += [f"{path.relative_to(ROOT)}:{line}" for line in missed]
        share = 100.0 * (1 - len(missing) / max(statements, 1))
        print(f"{share:6.1f} %  of {statements:5} statements  {package}")
        if share < LEAST:
            short.append(package)
            print(*(f"            not run: {place}" for place in missing), sep="\n")
    if short:
        print(f"below {LEAST:g} %: {', '.join(short)}", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
