"""Configurations that are too large or too odd to be written down."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

BASE = 'listeners: [{bind: ":8080"}]\nroutes: [{respond: {}}]\n'

MODULES = {
    "broken_syntax.py": "def broken(:\n",
    "raises_at_import.py": "raise RuntimeError('there is no licence')\n",
    "imports_what_is_not_there.py": "import a_package_that_is_not_there\n",
    "leaves_at_import.py": "raise SystemExit(3)\n",
}
"""Modules of a user's own that lie in the working directory."""


class Generated(NamedTuple):
    """How a configuration is made, and what is checked then."""

    write: Callable[[Path], object]
    argument: str = "c.yaml"


def text(content: str) -> Generated:
    return Generated(lambda path: path.write_text(content, encoding="utf-8"))


def nothing(path: Path) -> None:
    """The configuration that is checked is another one than that at the path."""


def pipe(path: Path) -> None:
    os.mkfifo(path.with_name("a_pipe"))


def aliases() -> str:
    """Few characters, many values."""
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]
    return "\n".join(["a0: &a0 [x]", *levels])


def many_backends() -> str:
    """128 upstreams with the same 129 backends are 16,512."""
    backends = ", ".join(f"a:{port}" for port in range(1, 130))
    upstreams = "".join(f"  u{number}: *same\n" for number in range(1, 128))
    return f"{BASE}upstreams:\n  u0: &same {{backends: [{backends}]}}\n{upstreams}"


def many_upstreams() -> str:
    more = "".join(f"  u{number}: *same\n" for number in range(1, 1025))
    return f"{BASE}upstreams:\n  u0: &same {{backends: [a:1]}}\n{more}"


def many_limits() -> str:
    more = "".join(f"  l{number}: *same\n" for number in range(1, 1025))
    return f"{BASE}upstreams: {{app: {{backends: [a:1]}}}}\nrate_limits:\n  l0: &same {{rate: 1/s}}\n{more}"


GENERATED = {
    "a file that is not there": Generated(nothing, "missing.yaml"),
    "a file in a folder that is not there": Generated(nothing, "missing/c.yaml"),
    "a file below a file": Generated(nothing, "good.yaml/c.yaml"),
    "a folder": Generated(lambda path: path.with_name("a_folder").mkdir(), "a_folder"),
    "a pipe that nobody writes": Generated(pipe, "a_pipe"),
    "a device": Generated(nothing, "/dev/null"),
    "a name that is too long": Generated(nothing, f"{'c' * 300}.yaml"),
    "a name with a NUL": Generated(nothing, "c\0.yaml"),
    "an empty name": Generated(nothing, ""),
    "a file that is too large": text(f"#{'x' * (16 << 20)}\n"),
    "values that are nested too deeply": text("{a: " * 5000),
    "lists that are nested too deeply": text("[" * 1000),
    "aliases of aliases": text(aliases()),
    "more backends than there is room for": text(many_backends()),
    "more upstreams than there is room for": text(many_upstreams()),
    "more rate limits than there is room for": text(many_limits()),
    "a value that is too long to be shown": text(f"{BASE}via: {'long ' * 100}\n"),
    "a key that is too long to be shown": text(f"{BASE}{'long' * 30}: 1\n"),
    "a name of a thousand letters": text(f"{BASE}upstreams: {{{'a' * 1000}: {{backends: [a:1]}}}}\n"),
    "a unix socket with a path that is too long": text(f"{BASE[29:]}listeners: [{{bind: 'unix:/{'a' * 107}'}}]\n"),
    "a host name that is too long": text(f"{BASE}upstreams: {{app: {{backends: ['{'a.' * 130}b:1']}}}}\n"),
    "a number of thirty digits": text(f"{BASE}workers: 1{'0' * 30}\n"),
    "a number of five thousand digits": text(f"{BASE}workers: 1{'0' * 5000}\n"),
    "a hundred problems at once": text(BASE + "".join(f"unknown_{number}: 1\n" for number in range(100))),
}
