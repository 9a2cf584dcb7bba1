"""The shape of the package, checked on its syntax trees: layers, the data path, sizes.

Each check is a function over (path, tree), so that its own tests can show it a culprit; the last test of the
file runs them all over `proxy/`. Messages name file and line.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "proxy"

# A unit imports only what stands in an earlier line; neighbours in one line do not import each other.
LAYERS = (
    ("deadlines", "errors", "middleware"),
    ("scoreboard",),
    ("metrics",),
    ("http1", "sharding", "limits"),
    ("http",),
    ("upstream",),
    ("balancing",),
    ("routing", "runtime"),
    ("plan",),
    ("exchange",),
    ("stages",),
    ("telemetry",),
    ("features",),
    ("pipeline",),
    ("downstream",),
    ("configuration",),
    ("control",),
    ("server",),
    ("console",),
    ("cli",),
    ("__main__",),
)
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}

DATA_PATH = frozenset(
    """
    http1 http upstream balancing sharding runtime exchange routing plan stages pipeline features downstream
    deadlines metrics telemetry scoreboard limits
    """.split()
)
FOREIGN = frozenset(("aiohttp", "pydantic", "pydantic_core", "ruamel", "rich", "opentelemetry", "proxy"))
"""Packages that the data path does not import. `proxy` is here because imports inside it are relative."""

FILE_LINES = 400
FUNCTION_LINES = 60
CODEC_LINES = 1500
"""The codec is one file on purpose: the C compiler inlines only what it sees. Still bounded."""

# Calls that cost more than they look, or start something that nobody owns (docs/, "life of a request").
BANNED_CALLS = {
    "asyncio.create_task": "a task per request; only the pool opens connections in one",
    "asyncio.ensure_future": "a task per request",
    "contextlib.suppress": "ten times the price of try/except",
    "suppress": "ten times the price of try/except",
    "time.time": "the wall clock jumps; use the loop's time",
    "print": "the data path does not print",
}
TASK_MAKERS = frozenset((Path("upstream/pool.py"), Path("telemetry/access_log.py"), Path("stages/shared_limits.py")))
"""The pool connects in tasks; the access log writes in one for the whole worker, shared limits ask in one."""
WALL_CLOCKS = frozenset((Path("http1/rendering.py"), Path("telemetry/access_log.py"), Path("stages/retry.py")))
"""The Date header, the log's time and a date in Retry-After are the wall clock."""
LOG_METHODS = frozenset(("debug", "info", "warning", "error", "exception", "critical", "log"))

MOST_POSITIONAL = 6
"""Arguments that a call may pass without their names."""
LONGER = frozenset(("upstream/load/report.py:LoadReport.__init__",))
"""Functions that have more still. The set only shrinks."""
HOMONYMS: frozenset[str] = frozenset()
"""Class names with more than one meaning: none, and so it stays."""
READ_ELSEWHERE = {
    "pipeline.py:STAGES": "the words of the documents and the tests",
    "scoreboard.py:UNKNOWN": "the value of a row that was never written",
}
"""Constants that the package itself does not read, and what they are for."""

Check = Callable[[Path, ast.Module], Iterator[str]]
Trees = Mapping[Path, ast.Module]


def unit_of(path: Path) -> str:
    """The unit that a file (relative to the package) belongs to: its folder or, at the top, its name."""
    return path.parts[0] if len(path.parts) > 1 else path.stem


def imported(path: Path, node: ast.ImportFrom) -> list[str]:
    """Units of the package that a relative import names."""
    base = list(path.parent.parts)[: len(path.parent.parts) - (node.level - 1)]
    dotted = [*base, *(node.module.split(".") if node.module else [])]
    return [dotted[0]] if dotted else [alias.name for alias in node.names]


def absolute(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Every absolute import with the dotted name that it imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node, node.module


def type_checking(tree: ast.Module) -> set[ast.AST]:
    """Nodes under `if TYPE_CHECKING`: they do not run."""
    blocks = (n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING"))
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


# --- checks ------------------------------------------------------------------------------------------


def layers(path: Path, tree: ast.Module) -> Iterator[str]:
    own = unit_of(path)
    if own == "__init__":
        return
    if own not in LEVEL:
        yield f"{path}:1: the unit {own} has no place in LAYERS"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from (
                f"{path}:{node.lineno}: {own} imports {unit}" for unit in imported(path, node) if upward(own, unit)
            )


def upward(own: str, unit: str) -> bool:
    return unit != own and unit in LEVEL and LEVEL[unit] >= LEVEL[own]


def relative(path: Path, tree: ast.Module) -> Iterator[str]:
    for node, name in absolute(tree):
        if name.split(".")[0] == "proxy":
            yield f"{path}:{node.lineno}: write a relative import"


def foreign(path: Path, tree: ast.Module) -> Iterator[str]:
    if unit_of(path) not in DATA_PATH:
        return
    ignored = type_checking(tree)
    for node, name in absolute(tree):
        if node not in ignored and name.split(".")[0] in FOREIGN:
            yield f"{path}:{node.lineno}: the data path imports {name}"


def banned(path: Path, tree: ast.Module) -> Iterator[str]:
    if unit_of(path) not in DATA_PATH:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        makes_task = name.endswith(".create_task")
        if (makes_task and path in TASK_MAKERS) or (name == "time.time" and path in WALL_CLOCKS):
            continue
        if name in BANNED_CALLS or makes_task:
            yield f"{path}:{node.lineno}: {name}: {BANNED_CALLS.get(name, 'a task per request')}"
        if formatted_log(node):
            yield f"{path}:{node.lineno}: an f-string for a log line is formatted even if nobody logs"


def formatted_log(call: ast.Call) -> bool:
    func = call.func
    return (
        isinstance(func, ast.Attribute)
        and func.attr in LOG_METHODS
        and "log" in ast.unparse(func.value).lower()
        and any(isinstance(argument, ast.JoinedStr) for argument in call.args)
    )


def sizes(path: Path, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines, more than {FUNCTION_LINES}"


def header(path: Path, tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield f"{path}:1: no docstring that says what lives here"


def positional(path: Path, tree: ast.Module) -> Iterator[str]:
    for name, count, line in sorted(long_signatures(tree)):
        if f"{path}:{name}" not in LONGER:
            yield f"{path}:{line}: {name} has {count} positional arguments, more than {MOST_POSITIONAL}: name the rest"


def long_signatures(scope: ast.AST, prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """Functions with too many positional arguments: qualified name, their number without self, line."""
    for node in ast.iter_child_nodes(scope):
        inside = prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{prefix}{node.name}."
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            bound = isinstance(scope, ast.ClassDef) and "staticmethod" not in map(ast.unparse, node.decorator_list)
            count = len(node.args.posonlyargs) + len(node.args.args) - bound
            if count > MOST_POSITIONAL:
                yield inside[:-1], count, node.lineno
        yield from long_signatures(node, inside)


CHECKS: tuple[Check, ...] = (layers, relative, foreign, banned, sizes, header, positional)


# --- checks of the whole package ----------------------------------------------------------------------


def one_meaning(trees: Trees) -> Iterator[str]:
    """A class name belongs to one class."""
    places = defaultdict(list)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    for name, found in places.items():
        if len(found) > 1 and name not in HOMONYMS:
            yield f"{found[-1]}: the class name {name} is taken: {', '.join(found[:-1])}"


def constants(tree: ast.Module) -> Iterator[ast.Name]:
    """Names in capitals that a module sets."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            yield from (name for name in names if re.fullmatch("_?[A-Z][A-Z0-9_]*", name.id))


def module_of(path: Path, node: ast.ImportFrom) -> Path:
    """The module that a relative import names, as a path without suffix."""
    return path.parents[node.level - 1].joinpath(*(node.module or "").split("."))


def unread(trees: Trees, compiled: str = "") -> Iterator[str]:
    """A constant is read by its module, by one that imports it, as an attribute, by a string with its name (hooks of
    sections), or in Cython source (`compiled`)."""
    imported, attributes = set(), set(re.findall(r"\w+", compiled))
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                imported |= {(module_of(path, node), alias.name) for alias in node.names}
            elif isinstance(node, ast.Attribute):
                attributes.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                attributes.add(node.value)
    for path, tree in trees.items():
        loads = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
        own = path.parent if path.stem == "__init__" else path.with_suffix("")
        for name in constants(tree):
            read = loads[name.id] or name.id in attributes or (own, name.id) in imported
            if not read and f"{path}:{name.id}" not in READ_ELSEWHERE:
                yield f"{path}:{name.lineno}: {name.id} is never read"


def cimports(path: Path, text: str) -> Iterator[str]:
    """`cimport` in .pxd and .pyx obeys the layers as import does."""
    own = unit_of(path)
    pattern = re.compile(r"^\s*from\s+(\.+)([\w.]*)\s+c?import\s+(\w+)", re.MULTILINE)
    for match in pattern.finditer(text):
        dots, module, name = match.groups()
        node = ast.ImportFrom(module or None, [ast.alias(name)], len(dots))
        line = text.count("\n", 0, match.start(1)) + 1
        yield from (f"{path}:{line}: {own} cimports {unit}" for unit in imported(path, node) if upward(own, unit))
    for match in re.finditer(r"^\s*(?:from|cimport|import)\s+proxy\b", text, re.MULTILINE):
        line = text.count("\n", 0, match.end()) + 1
        yield f"{path}:{line}: write a relative import"


def length(path: Path, text: str) -> Iterator[str]:
    limit = CODEC_LINES if path == Path("http1/codec.pyx") else FILE_LINES
    lines = text.count("\n")
    if lines > limit:
        yield f"{path}:1: {lines} lines, more than {limit}"


def problems() -> Iterator[str]:
    trees, compiled = {}, ""
    for source in sorted(PACKAGE.rglob("*.py*")):
        if source.suffix not in (".py", ".pyx", ".pxd"):
            continue
        path, text = source.relative_to(PACKAGE), source.read_text()
        yield from length(path, text)
        if source.suffix == ".py":
            tree = trees[path] = ast.parse(text)
            for check in CHECKS:
                yield from check(path, tree)
        else:
            yield from cimports(path, text)
            compiled += text if source.suffix == ".pyx" else ""
    yield from one_meaning(trees)
    yield from unread(trees, compiled)


# --- tests -------------------------------------------------------------------------------------------


def test_the_package_keeps_its_shape() -> None:
    found = list(problems())
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("check", "path", "code"),
    [
        (layers, "upstream/pool.py", "from ..balancing import base"),
        (layers, "upstream/pool.py", "from .. import pipeline"),
        (layers, "routing.py", "from .configuration.schema import Config"),
        (layers, "routing.py", "from . import pipeline"),
        (layers, "http1/framing.py", "if TYPE_CHECKING:\n    from ..upstream.pool import Pool"),
        (layers, "helpers.py", "x = 1"),
        (relative, "routing.py", "from proxy.errors import Reason"),
        (relative, "routing.py", "import proxy.errors"),
        (foreign, "routing.py", "import aiohttp.web"),
        (foreign, "downstream/listener.py", "from ruamel.yaml import YAML"),
        (banned, "pipeline.py", "asyncio.create_task(x())"),
        (banned, "pipeline.py", "self.loop.create_task(x())"),
        (banned, "upstream/pool.py", "time.time()"),
        (banned, "upstream/pool.py", "with contextlib.suppress(OSError): pass"),
        (banned, "upstream/pool.py", "self.log.debug(f'{x}')"),
        (sizes, "configuration/load.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
        (header, "routing.py", "import asyncio"),
        (positional, "routing.py", "def f(a, b, c, d, e, f, g): pass"),
        (positional, "routing.py", "class C:\n    def f(self, a, b, c, /, d, e, f, g): pass"),
    ],
)
def test_a_culprit_is_found(check: Check, path: str, code: str) -> None:
    assert len(list(check(Path(path), ast.parse(code)))) == 1


@pytest.mark.parametrize(
    ("check", "path", "code"),
    [
        (layers, "balancing/base.py", "from ..upstream.backend import Backend"),
        (layers, "balancing/round_robin.py", "from .base import Balancer"),
        (layers, "cli.py", "from .server.proxy import Proxy"),
        (relative, "routing.py", "from .errors import Reason"),
        (foreign, "configuration/schema.py", "import pydantic"),
        (banned, "upstream/pool.py", "loop.create_task(x())"),
        (banned, "control/reload.py", "asyncio.create_task(x())"),
        (banned, "pipeline.py", "log.warning('%s', x)"),
        (positional, "routing.py", "class C:\n    def f(self, a, b, c, d, e, f, *, g, h): pass"),
    ],
)
def test_what_is_allowed_passes(check: Check, path: str, code: str) -> None:
    assert not list(check(Path(path), ast.parse(code)))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("from ..balancing.base cimport Balancer\n", 1),
        ("from .. cimport pipeline\n", 1),
        ("from ..http1.codec cimport Head\nfrom .backend cimport Backend\n", 0),
        ("from proxy.http1.codec cimport Head\n", 1),
        ("from libc.string cimport memcpy\nfrom cpython.bytes cimport PyBytes_AS_STRING\n", 0),
    ],
)
def test_cimports_obey_the_layers(text: str, count: int) -> None:
    assert len(list(cimports(Path("upstream/pool.pxd"), text))) == count


def test_every_unit_of_the_package_has_a_layer() -> None:
    units = {unit_of(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
    assert units - set(LEVEL) <= {"__init__"}


def trees_of(**files: str) -> dict[Path, ast.Module]:
    return {Path(name.replace("__", "/") + ".py"): ast.parse(code) for name, code in files.items()}


def test_a_class_name_that_is_taken_is_found() -> None:
    assert not list(one_meaning(trees_of(a="class A: pass\nclass B: pass", b="class C: pass\nB = A")))
    assert list(one_meaning(trees_of(a="class A: pass", u__b="def f():\n    class A: pass"))) == [
        "u/b.py:2: the class name A is taken: a.py:1"
    ]


def test_a_constant_that_is_never_read_is_found() -> None:
    assert not list(unread(trees_of(a="A = 1\nprint(A)", u__b="B: int = 1", u__c="from .b import B", d="_D = 1"), "_D"))
    assert not list(unread(trees_of(a="A, B = range(2)", b="from . import a\nprint(a.A, a.B)")))
    assert list(unread(trees_of(a="A, B = range(2)\nprint(A)", u__b="B = 1", u__c="from .b import B"))) == [
        "a.py:1: B is never read"
    ]


def test_what_is_allowed_still_is_needed_still() -> None:
    """What has got better is taken out of the sets, so that it stays so."""
    trees = {path.relative_to(PACKAGE): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
    longer = {f"{path}:{name}" for path, tree in trees.items() for name, _, _ in long_signatures(tree)}
    assert longer >= LONGER
    names = Counter(n.name for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef))
    assert {name for name, count in names.items() if count > 1} >= HOMONYMS
    set_ = {f"{path}:{name.id}" for path, tree in trees.items() for name in constants(tree)}
    assert set_ >= READ_ELSEWHERE.keys()
