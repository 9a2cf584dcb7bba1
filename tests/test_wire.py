"""Nothing between downstream/ and upstream/ knows HTTP/1.1 bytes: neither line ends, nor chunks, nor a minor version,
nor the fields of its framing.

Law of this file: what is exempt is the wire itself (`http1/`, and one place on each side that speaks it).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_architecture import DATA_PATH, PACKAGE, unit_of

WIRE = ("http1/", "downstream/http1/", "upstream/http1.")
"""Where HTTP/1.1 is spoken."""
WORDS = ("chunk", "minor")
TEXTS = ("\r", "http/1", "transfer-encoding", "content-length", "keep-alive", "connection:", *WORDS)
"""What no literal has in it, in lower case."""


def docstrings(tree: ast.Module) -> set[int]:
    """The constants that are documentation, by their identity: expressions that stand alone."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def wire_words(path: Path, tree: ast.Module) -> Iterator[str]:
    """Literals with one of TEXTS in them, and names with one of WORDS."""
    documentation = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in documentation:
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            found = any(word in text.lower() for word in TEXTS)
        else:
            name = getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "arg", None)
            name = name or getattr(node, "name", None)
            found = isinstance(name, str) and any(word in name.lower() for word in WORDS)
        if found:
            yield f"{path}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)[:80]}"


def between() -> list[Path]:
    """The modules of the data path that are not the wire."""
    found = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    inside = (path for path in found if unit_of(path) in DATA_PATH)
    return sorted(path for path in inside if not path.as_posix().startswith(WIRE))


def test_nothing_between_the_sides_knows_the_wire() -> None:
    found = [each for path in between() for each in wire_words(path, ast.parse((PACKAGE / path).read_text()))]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        'x = b"A: b\\r\\n"',
        'f"{x}\\r\\n"',
        'x = b"HTTP/1.1 200 OK"',
        'fields.append(("Content-Length", "0"))',
        'names = {"transfer-encoding"}',
        "head.minor",
        "def chunk(data): ...",
        "f(chunked=True)",
        "from a import b_chunk",
    ],
)
def test_a_culprit_is_found(code: str) -> None:
    assert list(wire_words(Path("stages/relay.py"), ast.parse(code)))


def test_docstrings_may_speak_of_it() -> None:
    assert not list(wire_words(Path("x.py"), ast.parse('"""Chunks end with \\r\\n, whatever the minor version."""')))
