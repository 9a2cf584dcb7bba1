"""From a file to a checked `Config`, or to all its problems at once.

Invariant: for any bytes `load` returns a `Loaded` or raises `ConfigError`, in time and memory bounded by the size of
the file. Each problem has the place of its key or value.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from ..errors import ConfigError, Problem
from .capacity import room_findings
from .findings import Finding, Path, dotted
from .lint import warning_findings
from .rules import model_findings, model_rule_findings, rule_findings
from .schema import Config
from .sections.python_path import resolved, wrong_folders
from .values import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

FILE_SIZE_MAX = 16 << 20
VALUES_MAX = 500_000
"""The largest number of values in one file; an alias counts as the values it refers to."""
_TAG = "tag:yaml.org,2002:"
_MINIMAL = "listeners, upstreams and routes"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration, and its warnings."""

    config: Config
    warnings: tuple[Problem, ...]
    report: Callable[[Iterable[Finding]], tuple[Problem, ...]]
    """Locates later findings, those of the compilation, in the file."""
    digest: str = ""
    """The digest of the bytes that were loaded, to detect a change of the file."""


def load(path: str | os.PathLike[str], algorithms: Collection[str] | None = None) -> Loaded:
    """Loads a YAML file. `algorithms` are the names that `balance` may use; those of the project by default.

    Raises ConfigError with every problem of the file.
    """
    name = os.fspath(path)
    content = read_regular(name)
    return replace(load_text(_decoded(content, name), name, algorithms), digest=digest_of(content))


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_document(path: str | os.PathLike[str], needs: str) -> Document:
    """Any YAML or JSON file, with the place of each value; `needs` is the message for an empty one. Raises
    ConfigError."""
    name = os.fspath(path)
    return parse_document(_decoded(read_regular(name), name), name, needs)


def parse_document(text: str, name: str, needs: str = _MINIMAL) -> Document:
    """As `read_document`, from text."""
    return Document(name, _composed(text, name, needs))


def load_text(text: str, name: str = "<config>", algorithms: Collection[str] | None = None) -> Loaded:
    """As `load`, from text; `name` is the name of the file in the problems."""
    if len(text) > FILE_SIZE_MAX:
        raise _refused(name, f"the file is larger than {FILE_SIZE_MAX >> 20} MiB")
    document = parse_document(text, name)
    data = document.data
    if not isinstance(data, dict):
        raise ConfigError([Problem(name, 1, 1, "", f"must be a mapping with the keys {_MINIMAL}")])
    findings = list(rule_findings(data, _algorithms() if algorithms is None else algorithms))
    findings += [Finding(("python_path", at), why) for at, why in wrong_folders(data.get("python_path"), name)]
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(document.report([*model_findings(error), *findings])) from None
    config = config.model_copy(update={"python_path": resolved(config.python_path, name)})
    findings += [*room_findings(config), *model_rule_findings(config)]
    if findings or document.problems:
        raise ConfigError(document.report(findings))
    return Loaded(config, document.report(warning_findings(config)), document.report)


def _algorithms() -> Collection[str]:
    from ..balancing import ALGORITHMS  # here, so that a caller with names of its own need not load it

    return ALGORITHMS


def _refused(name: str, message: str, line: int = 0, column: int = 0) -> ConfigError:
    return ConfigError([Problem(name, line, column, "", message)])


# --- the file ---------------------------------------------------------------------------------------------


def read_regular(name: str) -> bytes:
    """The bytes of a file that can be read again and again. Raises ConfigError."""
    try:
        with open(name, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _refused(name, "is not a regular file; it has to be one that can be read again with each reload")
            content = file.read(FILE_SIZE_MAX + 1)
    except IsADirectoryError:
        raise _refused(name, "is a directory; give the path of a YAML file") from None
    except FileNotFoundError:
        raise _refused(name, "there is no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _refused(name, f"cannot be read: {reason}") from None
    if len(content) > FILE_SIZE_MAX:
        raise _refused(name, f"the file is larger than {FILE_SIZE_MAX >> 20} MiB")
    return content


def _without_waiting(name: str, flags: int) -> int:
    """Opens without blocking: a pipe without a writer must not delay a reload."""
    return os.open(name, flags | os.O_NONBLOCK)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise _refused(
            name, f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8", line, column
        ) from None


# --- YAML -------------------------------------------------------------------------------------------------

# Messages of the parser, and their replacements.
_SYNTAX = (
    (
        "mapping values are not allowed",
        'a ": " is not expected here; check the indentation, or quote the value',
    ),
    ("cannot start any token", "this character cannot begin a value; indent with spaces, quote the value"),
    ("but found another document", 'the file must hold one document; remove the "---"'),
    ("found undefined alias", "this alias has no anchor before it"),
    (
        "expected <block end>",
        "this does not continue what stands before; check the indentation and the quotes",
    ),
    ("unexpected end of stream", "the file ends inside a quoted text; the closing quote is missing"),
    ("<stream end>", "the file ends too early; a closing bracket is missing"),
    ("expected the node content", "a value is missing here, or must be quoted"),
    ("could not find expected ':'", "a key without a colon, or a wrong indentation"),
)


def _composed(text: str, name: str, needs: str) -> Node:
    """The node tree of the text, marks included."""
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True  # found by Document, which reports all of them
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about anchors that are used twice: allowed
            node: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        raise _syntax(error, name) from None
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise _refused(name, "this character is not allowed in YAML; write it as an escape", line, column) from None
    except RecursionError:
        raise _refused(name, "the values are nested too deeply") from None
    except Exception as error:  # the parser leaks IndexError and the like on odd input: still bad input
        raise _refused(name, f"this is not YAML that can be read ({type(error).__name__})") from None
    if node is None:
        raise _refused(name, f"the file is empty; it needs {needs}")
    return node


def _syntax(error: MarkedYAMLError, name: str) -> ConfigError:
    said = error.problem or error.context or "it ends unexpectedly"
    words = next((words for pattern, words in _SYNTAX if pattern in said), said)
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return _refused(name, f"not valid YAML: {words}", line, column)


@dataclass(slots=True)
class Document:
    """The node tree as plain data, and the way back from a path in the data to a place in the file."""

    name: str
    root: Node
    data: Any = None
    problems: list[Problem] = field(default_factory=list)
    """Errors of the YAML that do not prevent its parsing."""
    _built: dict[int, tuple[Any, int]] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        try:
            self.data, count = self._build(self.root, ())
        except RecursionError:
            raise _refused(self.name, "the values are nested too deeply") from None
        if count > VALUES_MAX:
            raise _refused(self.name, f"holds more than {VALUES_MAX} values, aliases counted in full")

    def report(self, findings: Iterable[Finding]) -> tuple[Problem, ...]:
        """The findings at their places, with the errors of the YAML itself, in the order of the file."""
        known = {problem[:4] for problem in self.problems}  # a value that cannot be read is reported once
        found = {problem for problem in map(self._problem, findings) if problem[:4] not in known}
        return tuple(sorted({*self.problems, *found}, key=lambda problem: problem[1:]))

    def _problem(self, finding: Finding) -> Problem:
        key = node = self.root
        depth = 0
        while depth < len(finding.path) and (pair := _child(node, finding.path[depth])):
            key, node = pair
            depth += 1
        # A missing key is named in full; the long form of a bare string is not in the file.
        path = finding.path if isinstance(node, MappingNode) else finding.path[:depth]
        mark = (key if finding.at_key else node).start_mark
        return Problem(self.name, mark.line + 1, mark.column + 1, dotted(path), finding.message)

    def _complain(self, node: Node, path: Path, message: str) -> None:
        mark = node.start_mark
        self.problems.append(Problem(self.name, mark.line + 1, mark.column + 1, dotted(path), message))

    def _build(self, node: Node, path: Path) -> tuple[Any, int]:
        """The value of a node, and how many values that is. Aliased nodes are built once."""
        known = self._built.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            self._complain(node, path, "an alias must not be part of what it stands for")
            return None, 1
        self._open.add(id(node))
        built = self._value(node, path)
        self._open.discard(id(node))
        self._built[id(node)] = built
        return built

    def _value(self, node: Node, path: Path) -> tuple[Any, int]:
        if isinstance(node, MappingNode):
            return self._dict(node, path)
        if isinstance(node, SequenceNode):
            parts = [self._build(child, (*path, index)) for index, child in enumerate(node.value)]
            return [value for value, _ in parts], 1 + sum(count for _, count in parts)
        return self._scalar(node, path), 1

    def _dict(self, node: MappingNode, path: Path) -> tuple[dict[str, Any], int]:
        result: dict[str, Any] = {}
        lines: dict[str, int] = {}
        total = 1
        for key_node, child in node.value:
            if not isinstance(key_node, ScalarNode):
                self._complain(key_node, path, "a key must be plain text; quote it")
                continue
            key = key_node.value
            if key in result:
                self._complain(key_node, (*path, key), f"is given twice; the first is in line {lines[key]}")
                continue
            lines[key] = key_node.start_mark.line + 1
            result[key], count = self._build(child, (*path, key))
            total += count
        return result, total

    def _scalar(self, node: Node, path: Path) -> Any:
        kind, text = str(node.tag).removeprefix(_TAG), node.value
        if kind in _SCALARS:
            try:
                return _SCALARS[kind](text)
            except UnicodeEncodeError:
                self._complain(node, path, "holds half of a surrogate pair, which is no character")
            except ValueError:
                self._complain(node, path, f"{quoted(text)} is no number that can be used here")
            return None
        self._complain(node, path, f"the tag {quoted(str(node.tag))} is not supported; remove it")
        return None


def _child(node: Node, part: str | int) -> tuple[Node, Node] | None:
    """The key node and the value node (the same for entries of a list)."""
    if isinstance(node, MappingNode):
        return next(((key, child) for key, child in node.value if key.value == part), None)
    if isinstance(node, SequenceNode) and isinstance(part, int):
        return node.value[part], node.value[part]
    return None


def _int(text: str) -> int:
    """An integer of the YAML 1.2 core schema that fits into 64 bits."""
    number = int(text.replace("0o", "0O"), 0) if re.match(r"[-+]?0[oxb]", text) else int(text)
    if abs(number) >= 1 << 63:
        raise ValueError
    return number


def _str(text: str) -> str:
    text.encode()  # an escape in quotes can make what UTF-8 cannot write
    return text


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


_SCALARS: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() in ("true", "yes", "on"),
    "int": _int,
    "float": _float,
    "str": _str,
    # Texts that only look like more: a date, an equals sign, the merge sign
    "timestamp": str,
    "value": str,
    "merge": str,
}
