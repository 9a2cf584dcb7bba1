"""The .pxd beside a module declares what the module has: its classes, fields, methods, functions, numbers and locals.

The interpreted form ignores declarations, and the compiled one takes a field that nothing sets or a local that no
statement has without a word. So both are compared here, by the text of the one and the syntax tree of the other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "proxy"
SETS = (ast.AnnAssign, ast.AugAssign, ast.For, ast.AsyncFor, ast.NamedExpr, ast.comprehension)
FIELDS = re.compile(r"cdef (?:(?:public|readonly) )?(?:(?:unsigned|const|long) )*[\w.]+(?:\[.*?\])? (.*)")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Signature:
    """A declared function or method."""

    line: int
    arguments: int
    """Without self."""
    local: list[str]


@dataclass
class Declared:
    """A declared class; or a module, as far as it is declared outside of classes."""

    line: int = 1
    base: str = ""
    fields: dict[str, int] = field(default_factory=dict)
    """Their lines, by name; of a module, its numbers."""
    methods: dict[str, Signature] = field(default_factory=dict)


@dataclass
class Module:
    """A module and its declarations."""

    path: Path
    tree: ast.Module
    outside: Declared
    classes: dict[str, Declared]


# --- reading -----------------------------------------------------------------------------------------


def statements(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a .pxd with their numbers, those within parentheses joined, without comments."""
    begun, whole = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].rstrip()
        begun, whole = (number, line) if not whole else (begun, f"{whole} {line.strip()}")
        if whole.count("(") == whole.count(")"):
            if whole.strip():
                yield begun, whole
            whole = ""


def declarations(text: str) -> tuple[Declared, dict[str, Declared]]:
    """What a .pxd declares outside of classes, and its classes."""
    outside, classes, local = Declared(), {}, []
    scope = outside
    for line, statement in statements(text):
        if not statement[0].isspace() and not statement.startswith("@"):
            scope = outside
        code = statement.strip()
        if match := re.fullmatch(r"cdef class (\w+)(?:\((\w+)\))?:", code):
            scope = classes[match[1]] = Declared(line, match[2] or "")
        elif match := re.fullmatch(r"@cython\.locals\((.*)\)", code):
            local = re.findall(r"(\w+)\s*=", match[1])
        elif match := re.fullmatch(r"(?:cpdef|cdef|def)\b[^(]*?(\w+)\((.*)\).*", code):
            names = [name for name in match[2].split(",") if name.strip()]
            scope.methods[match[1]] = Signature(line, len(names) - (scope is not outside), local)
            local = []
        elif match := FIELDS.fullmatch(code):
            scope.fields |= dict.fromkeys(re.findall(r"\w+", match[1]), line)
        else:
            assert re.match(r"from |cimport |import |pass$|@", code), f"{line}: {code}"
    return outside, classes


def modules() -> list[Module]:
    sources = [(pxd, pxd.with_suffix(".py")) for pxd in sorted(PACKAGE.rglob("*.pxd"))]
    return [
        Module(pxd.relative_to(PACKAGE), ast.parse(source.read_text()), *declarations(pxd.read_text()))
        for pxd, source in sources
        if source.exists()
    ]


# --- what a module has -------------------------------------------------------------------------------


def functions(scope: ast.Module | ast.ClassDef) -> dict[str, Function]:
    return {node.name: node for node in scope.body if isinstance(node, Function)}


def classes_of(tree: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def targets(scope: ast.AST) -> Iterator[ast.expr]:
    """What the statements of a scope set, those of inner scopes included."""
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            yield from (target for whole in node.targets for target in ast.walk(whole) if isinstance(target, ast.expr))
        elif isinstance(node, SETS):
            yield from (target for target in ast.walk(node.target) if isinstance(target, ast.expr))
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            yield from (target for target in ast.walk(node.optional_vars) if isinstance(target, ast.expr))


def names_set(scope: ast.AST) -> set[str]:
    """Names that a scope sets or imports."""
    imports = [node for node in ast.walk(scope) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {alias.asname or alias.name for node in imports for alias in node.names}
    return imported | {target.id for target in targets(scope) if isinstance(target, ast.Name)}


def fields_set(node: ast.ClassDef) -> set[str]:
    """Fields that a class sets: in its body, or of self."""
    found = {name for statement in node.body if not isinstance(statement, Function) for name in names_set(statement)}
    for function in functions(node).values():
        own = function.args.args[0].arg if function.args.args else ""
        for target in targets(function):
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == own:
                found.add(target.attr)
    return found


def positional(function: Function) -> list[str]:
    return [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]


# --- comparing ---------------------------------------------------------------------------------------


def lineage(name: str, known: dict[str, Declared]) -> Iterator[Declared]:
    """The declarations of a class and of those above it."""
    while name in known:
        yield known[name]
        name = known[name].base


def compared(module: Module, known: dict[str, Declared], set_in: dict[str, set[str]]) -> Iterator[str]:
    """What differs. `known`: all declared classes of the package; `set_in`: the fields that each class sets."""
    path, has = module.path, classes_of(module.tree)
    yield from signatures(str(path), module.outside, functions(module.tree), bound=False)
    for name in module.outside.fields.keys() - names_set(module.tree):
        yield f"{path}:{module.outside.fields[name]}: {name} is not set in the module"
    for name, declared in module.classes.items():
        if name not in has:
            yield f"{path}:{declared.line}: there is no class {name}"
            continue
        bases = [ast.unparse(base) for base in has[name].bases]
        if bases[:1] != [declared.base][: len(bases)]:
            yield f"{path}:{declared.line}: {name} is declared with the base {declared.base or 'none'}, and has {bases}"
        yield from signatures(f"{path}", declared, functions(has[name]), bound=True)
        above = list(lineage(declared.base, known))
        inherited = {field for each in above for field in each.fields}
        for field_, line in declared.fields.items():
            if field_ in inherited:
                yield f"{path}:{line}: {name}.{field_} is declared above, too: they would be two fields"
            if field_ not in set_in[name]:
                yield f"{path}:{line}: {name}.{field_} is never set in {name}"
        for field_ in set_in[name] - inherited - declared.fields.keys():
            if field_ not in class_names(has[name]):
                yield f"{path}:{declared.line}: {name}.{field_} is set, and not declared"


def class_names(node: ast.ClassDef) -> set[str]:
    """What lies in the class itself and needs no field: constants of its body, properties."""
    in_body = {name for statement in node.body if not isinstance(statement, Function) for name in names_set(statement)}
    return in_body | functions(node).keys()


def signatures(path: str, declared: Declared, has: dict[str, Function], bound: bool) -> Iterator[str]:
    for name, signature in declared.methods.items():
        if name not in has:
            yield f"{path}:{signature.line}: there is no function {name}"
            continue
        arguments = positional(has[name])
        count = len(arguments) - bound
        if count != signature.arguments:
            yield f"{path}:{signature.line}: {name} is declared with {signature.arguments} arguments, and has {count}"
        for local in set(signature.local) - names_set(has[name]) - set(arguments):
            yield f"{path}:{signature.line}: {name} has no local {local}"


def problems(found: list[Module]) -> Iterator[str]:
    known = {name: declared for module in found for name, declared in module.classes.items()}
    set_in = {name: fields_set(node) for module in found for name, node in classes_of(module.tree).items()}
    for module in found:
        yield from sorted(compared(module, known, set_in))


# --- tests -------------------------------------------------------------------------------------------


def test_declarations_are_those_of_the_modules() -> None:
    found = list(problems(modules()))
    assert not found, "\n" + "\n".join(found)


def test_class_names_of_declarations_are_unique() -> None:
    """Or a base could not be looked up by its name."""
    names = [name for module in modules() for name in module.classes]
    assert len(names) == len(set(names))


PXD = """
cimport cython
from .base cimport Base

cdef double LIMIT  # a number


cdef class A(Base):
    cdef public long long x, y
    cdef double[::1] z

    @cython.locals(
        a=cython.int, b=Base,
    )
    cpdef bint f(self, int a, b) except -1
    cdef g(self)


cpdef bytes h(str x)
"""
CODE = """
LIMIT = 1.0


class A(Base):
    kind = "a"

    def __init__(self):
        self.x, self.y = 0, 1
        self.z: list = []

    @property
    def w(self): ...

    def f(self, a, b=1):
        for b in a: pass

    def g(self): ...


def h(x): ...
"""


def differences(pxd: str, code: str, base: str = "cdef class Base:\n    pass") -> list[str]:
    own = Module(Path("a.pxd"), ast.parse(code), *declarations(pxd))
    above = Module(Path("b.pxd"), ast.parse("class Base: pass"), *declarations(base))
    return [line for line in problems([own, above]) if line.startswith("a.pxd")]


def test_what_is_declared_rightly_passes() -> None:
    assert differences(PXD, CODE) == []


@pytest.mark.parametrize(
    ("pxd", "code", "words"),
    [
        (("LIMIT", "LEAST"), ("", ""), "a.pxd:5: LEAST is not set in the module"),
        (("", ""), ("class A(", "class B("), "a.pxd:8: there is no class A"),
        (("A(Base)", "A"), ("", ""), "a.pxd:8: A is declared with the base none, and has ['Base']"),
        (("x, y", "x, y, v"), ("", ""), "a.pxd:9: A.v is never set in A"),
        (("x, y", "x"), ("", ""), "a.pxd:8: A.y is set, and not declared"),
        (("int a, b)", "int a)"), ("", ""), "a.pxd:15: f is declared with 1 arguments, and has 2"),
        (("cdef g(self)", "cdef g(self, bytes k)"), ("", ""), "a.pxd:16: g is declared with 1 arguments, and has 0"),
        (("cdef g", "cpdef k"), ("", ""), "a.pxd:16: there is no function k"),
        (("a=cython.int,", "a=cython.int, c=Base,"), ("", ""), "a.pxd:15: f has no local c"),
        (("", ""), ("def h(x)", "def h(x, y)"), "a.pxd:19: h is declared with 1 arguments, and has 2"),
    ],
)
def test_what_differs_is_found(pxd: tuple[str, str], code: tuple[str, str], words: str) -> None:
    assert differences(PXD.replace(*pxd), CODE.replace(*code)) == [words]


def test_a_field_that_is_declared_above_is_found() -> None:
    words = "a.pxd:9: A.x is declared above, too: they would be two fields"
    assert differences(PXD, CODE, "cdef class Base:\n    cdef public int x") == [words]
