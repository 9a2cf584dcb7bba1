"""The configurations of this folder, and what the command line says of them.

Law of this file: the program is known by `main(argv)` alone, so that a report can be compared whatever moves inside.
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from proxy.cli import main

from .generated import GENERATED, MODULES

HERE = Path(__file__).parent
FILE = "c.yaml"
"""What each configuration is called, in the working directory of the command."""
_SEPARATOR = "--- # "
_KEY = re.compile(r"[a-z_]+(?=:)")
_COMMAND = re.compile(r"^#\$ qantara (.*)$", re.MULTILINE)
_WITHOUT = re.compile(r"^#without (\w+)$", re.MULTILINE)
_HANGS = re.compile(r"^#hangs$", re.MULTILINE)
_PATIENCE = 0.05
_PYTHONS_OWN = re.compile(r"(algorithm '\w+' cannot be used: ).*")
"""The words after it are those of a TypeError, which differ between versions of Python and forms of the package."""
_SOCKET = re.compile(r"-[0-9a-f]{8}\.sock")
"""What a control socket is called follows from where the configuration lies."""


class Case(NamedTuple):
    """A configuration, and what to do with it."""

    group: str
    name: str
    write: Callable[[Path], object]
    """Writes it to a path."""
    arguments: tuple[str, ...] = ("check", FILE)
    without: tuple[str, ...] = ()
    """Packages that are not installed."""
    hangs: bool = False

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


def all_cases() -> list[Case]:
    written = [case for path in sorted(HERE.glob("*.yaml")) for case in _written(path)]
    raw = [Case("raw", path.name, _writer(path.read_bytes())) for path in sorted(HERE.glob("raw/*"))]
    made = [Case("generated", name, each.write, ("check", each.argument)) for name, each in sorted(GENERATED.items())]
    return [*written, *raw, *made]


def _written(path: Path) -> Iterator[Case]:
    common, *parts = re.split(f"^{_SEPARATOR}", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    usual = [line for line in common.splitlines(keepends=True) if _KEY.match(line)]
    for part in parts:
        name, _, text = part.partition("\n")
        own = {found[0] for line in text.splitlines() if (found := _KEY.match(line))}
        text += "".join(line for line in usual if line.partition(":")[0] not in own)
        command = _COMMAND.search(text)
        arguments = tuple(shlex.split(command[1])) if command is not None else ("check", FILE)
        hangs = _HANGS.search(text) is not None
        yield Case(path.stem, name, _writer(text.encode()), arguments, tuple(_WITHOUT.findall(text)), hangs)


def _writer(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


# --- what is said of them -------------------------------------------------------------------------------------------


def prepare(folder: Path) -> None:
    """Makes a working directory."""
    shutil.copytree(HERE / "beside", folder, dirs_exist_ok=True)
    for name, code in MODULES.items():
        (folder / name).write_text(code, encoding="utf-8")


def report_of(case: Case, folder: Path) -> str:
    """What the command says in a folder that was prepared."""
    case.write(folder / FILE)
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err), _uninstalled(case.without), _impatient(case.hangs):
        try:
            ending = f"exit {main(case.arguments)}"
        except Exception as error:  # a defect; see crashes.yaml
            ending = f"raised {type(error).__name__}"
    lines = [ending, *err.getvalue().splitlines()]
    lines += [f"stdout: {line}" for line in out.getvalue().splitlines()]
    return _alike("".join(f"{line}\n" for line in lines), folder)


def _alike(report: str, folder: Path) -> str:
    """A report without what differs between machines, versions of Python, and forms of the package."""
    report = _PYTHONS_OWN.sub(r"\1(what Python says)", report)
    return _SOCKET.sub("-HASH.sock", report).replace(str(folder), "FOLDER")


@contextmanager
def _uninstalled(packages: tuple[str, ...]) -> Iterator[None]:
    """As long as this lasts, importing one of the packages fails."""
    loaded = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in packages}
    missing: dict[str, Any] = dict.fromkeys([*packages, *loaded])  # what is None there cannot be imported
    sys.modules.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
        sys.modules.update(loaded)


def _impatient(hangs: bool) -> Any:
    """As long as this lasts, whoever waits for a result of another thread gives up soon."""
    wait = Future.exception

    def exception(future: Future[Any], timeout: float | None = None) -> BaseException | None:
        return wait(future, _PATIENCE if hangs else timeout)

    return mock.patch.object(Future, "exception", exception)


# --- the reports in the repository ----------------------------------------------------------------------------------


def stored(group: str) -> dict[str, str]:
    """The reports of a group by the names of the cases."""
    path = HERE / f"{group}.txt"
    if not path.exists():
        return {}
    _, *parts = re.split(f"^{_SEPARATOR}", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text for name, _, text in (part.partition("\n") for part in parts)}


def store(group: str, reports: dict[str, str]) -> None:
    text = "".join(f"{_SEPARATOR}{name}\n{report}" for name, report in reports.items())
    (HERE / f"{group}.txt").write_text(text, encoding="utf-8")
