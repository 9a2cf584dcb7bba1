"""Docstrings and comments of the package are technical prose: their subject is the thing, never a person.

The check reads syntax trees and tokens, so that messages and the values of the configuration, which are string
literals, are exempt. Its own test shows it a culprit; the last test runs it over `proxy/`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "proxy"

PERSONS = re.compile(r"\b(who|whoever|nobody|somebody|everybody|told)\b", re.IGNORECASE)
QUOTED = re.compile(r"`[^`\n]*`")
"""Code in prose: names and values, such as `everybody` of tracing.believe."""
EXCEPTIONS: frozenset[str] = frozenset()
"""PATH:WORD of a personification that has to stay, with a comment that gives the reason. The set only shrinks."""


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of each string that is a statement: docstrings, and those below attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def python_prose(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring and comment of a module."""
    yield from docstrings(ast.parse(text))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def cython_prose(text: str) -> Iterator[tuple[int, str]]:
    """The same of Cython source, which Python cannot parse: triple-quoted strings, and comments."""
    for match in re.finditer(r'"""(.*?)"""|#[^"\'\n]*$', text, re.DOTALL | re.MULTILINE):
        yield text.count("\n", 0, match.start()) + 1, match.group()


def persons(path: Path, text: str) -> Iterator[str]:
    """Each personification in a file: its place and the word."""
    prose = python_prose(text) if path.suffix in (".py", ".pyi") else cython_prose(text)
    for line, words in prose:
        for match in PERSONS.finditer(QUOTED.sub("", words)):
            word = match.group().lower()
            if f"{path}:{word}" not in EXCEPTIONS:
                yield f"{path}:{line}: {word}: name the thing, not a person: {' '.join(words.split())[:80]}"


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("a.py", '"""Nobody waits here."""', 1),
        ("a.py", 'class A:\n    b: int = 1\n    """What clients are told."""', 1),
        ("a.py", "x = 1  # for whoever asks", 1),
        ("a.py", 'message = "nobody listens"', 0),
        ("a.py", '"""Whose: `everybody` or `nobody`; a wholesale change."""', 0),
        ("a.pyx", '"""Who reads?"""\ncdef int a  # somebody\n', 2),
        ("a.pxd", "cdef int who\n", 0),
    ],
)
def test_a_culprit_is_found(name: str, text: str, count: int) -> None:
    assert len(list(persons(Path(name), text))) == count


def test_the_prose_of_the_package_names_things() -> None:
    sources = [path for path in sorted(PACKAGE.rglob("*.p*")) if path.suffix in (".py", ".pyi", ".pyx", ".pxd")]
    found = [each for path in sources for each in persons(path.relative_to(PACKAGE), path.read_text(encoding="utf-8"))]
    assert not found, "\n" + "\n".join(found)
