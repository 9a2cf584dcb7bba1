"""A new algorithm: from a name to two files that work, and what to do with them.

Law of this file: no file is written over, and no name is taken under which the algorithm could not be used: one of the
table, one of Python's, or one of a module that would be hidden by it.
"""

from __future__ import annotations

import ast
import json
import keyword
import re
from errno import EEXIST
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from ...balancing import ALGORITHMS

BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[-_]+")
"""Where a word of a name ends: before a capital letter, at a hyphen or an underscore."""
INSIDE = re.compile(r"^from (\.+)(\S*) import", re.MULTILINE)
"""The imports of the skeleton: relative here, from an installed package for a user."""
FILES = ("skeleton.py", "skeleton_test.py")


class Name(NamedTuple):
    """What a new algorithm is called."""

    module: str
    """least_loaded"""
    title: str
    """Of its class: LeastLoaded."""


class Written(NamedTuple):
    """The files of a new algorithm."""

    name: Name
    algorithm: Path
    test: Path


def name_of(given: str) -> Name:
    """What an algorithm is called whose name is written in one of three ways: least_loaded, least-loaded, LeastLoaded.
    Raises ValueError in words for people."""
    words = [word.lower() for word in BORDER.split(given) if word]
    name = Name("_".join(words), "".join(word.capitalize() for word in words))
    if not (given.isascii() and name.module.isidentifier()):
        raise ValueError(f"{given!r} is no name: take letters, digits and _, and a letter first, such as least_loaded")
    if keyword.iskeyword(name.module) or keyword.iskeyword(name.title):
        raise ValueError(f"{given!r} is a word of Python's; take another, such as my_{name.module}")
    if name.module in ALGORITHMS:
        raise ValueError(f"{name.module} is there already: it is a built-in algorithm; take another name")
    if name.title in contract():
        raise ValueError(f"{name.title} is a name of the contract; take another, such as my_{name.module}")
    return name


def contract() -> set[str]:
    """The names that the two files import from elsewhere."""
    statements = [node for file in FILES for node in ast.parse(text_of(file)).body]
    imports = [node for node in statements if isinstance(node, ast.ImportFrom) and node.module != "skeleton"]
    return {alias.name for node in imports for alias in node.names}


def text_of(file: str) -> str:
    return resources.files(__package__ or "").joinpath(file).read_text(encoding="utf-8")


def for_users(text: str, name: Name) -> str:
    """A file of the skeleton as one of a user's algorithm."""
    parts = __name__.split(".")

    def absolute(found: re.Match[str]) -> str:
        dots, module = found.groups()
        if len(dots) == 1:  # the algorithm, which lies beside its test
            return f"\nfrom {module} import"
        return f"from {'.'.join([*parts[: -len(dots)], module])} import"

    return INSIDE.sub(absolute, text).replace("skeleton", name.module).replace("Skeleton", name.title)


def write_policy(given: str, folder: Path) -> Written:
    """Write an algorithm and its test into a folder, which is made if it is not there.

    Raises ValueError for a name that cannot be taken and OSError for files that cannot be written.
    """
    name = name_of(given)
    written = Written(name, folder / f"{name.module}.py", folder / f"test_{name.module}.py")
    for path in (written.algorithm, written.test):
        if path.exists():
            raise FileExistsError(EEXIST, "is there already, and is not written over", str(path))
    hidden = find_spec(name.module)
    if hidden is not None:
        raise ValueError(
            f"there is a module {name.module} already ({hidden.origin}), which yours would hide; take another"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, file in zip((written.algorithm, written.test), FILES, strict=True):
        with path.open("x", encoding="utf-8") as out:
            out.write(for_users(text_of(file), name))
    return written


def next_steps(written: Written) -> str:
    """What to do with the files, as it is typed in the working folder."""
    name, folder = written.name, written.algorithm.parent.resolve()
    here = Path.cwd()
    shown = str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
    if not re.fullmatch(r"[\w./-]+", shown):
        shown = json.dumps(shown, ensure_ascii=False)
    return f"""\
{written.algorithm}: the algorithm, class {name.title}; it works as it is
{written.test}: its test, which needs no server

Test it:

    python -m pytest {quote(str(written.test))}

Name it in the configuration, and its folder, relative to that of the configuration:

    python_path: [{shown}]
    upstreams:
      app:
        balance: {{algorithm: "{name.module}:{name.title}"}}

Check that, and serve it:

    qantara check qantara.yaml
    qantara run -c qantara.yaml
"""
