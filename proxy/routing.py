"""Routing: the route of a request by host, path, method and headers, compiled once.

Law of this file: the cost of finding a route depends on the length of the path, not on the number of routes. Hosts are
looked up in a dictionary (wildcards by their suffixes); paths walk down a radix tree. Regexes hang in the same tree
at the literal text that they begin with. No I/O, no configuration types: a matcher leads to an opaque target.

Most specific wins: an exact host before a wildcard, a longer wildcard before a shorter, "*" last; within a host an
exact path, then regexes in order, then the longest prefix; routes of equal precedence in the order given. If the method
or headers of a route do not match, the next one is tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .http1.codec import RequestHead, canonicalize, matches_at

EXACT, REGEX, PREFIX = range(3)


class HeaderCondition(NamedTuple):
    """A header must be there (or not), be equal to a text, or match a regex. `name` in lower case."""

    name: bytes
    present: bool = True
    equals: bytes | None = None
    pattern: re.Pattern[bytes] | None = None

    def holds(self, head: RequestHead) -> bool:
        value = head.get(self.name)
        if value is None or not self.present:
            return (value is not None) == self.present
        if self.equals is not None:
            return value == self.equals
        return self.pattern is None or self.pattern.search(value) is not None


class Match(NamedTuple):
    """The conditions of a route on a request. `text` is the exact path, the prefix or the regex."""

    host: bytes = b"*"
    kind: int = PREFIX
    text: bytes = b"/"
    methods: frozenset[bytes] | None = None
    headers: tuple[HeaderCondition, ...] = ()


class Candidate:
    """A route at its place in the tree: the conditions that the tree has not checked yet, and the target."""

    def __init__(self, match: Match, rank: int, target: Any) -> None:
        self.rank = rank
        self.methods = match.methods
        self.headers = match.headers
        self.pattern = re.compile(match.text) if match.kind == REGEX else None
        self.plain = match.methods is None and not match.headers and match.kind != REGEX
        self.target = target

    def accepts(self, head: RequestHead) -> bool:
        if self.plain:
            return True
        if self.methods is not None and head.method not in self.methods:
            return False
        if self.pattern is not None and self.pattern.search(head.path) is None:
            return False
        for condition in self.headers:
            if not condition.holds(head):
                return False
        return True


class Node:
    """A node of the radix tree. `label` is the text from its parent to it."""

    def __init__(self, label: bytes) -> None:
        self.label = label
        self.children: dict[int, Node] = {}
        self.exact: list[Candidate] = []
        self.prefix: list[Candidate] = []
        self.regex: list[Candidate] = []

    def insert(self, text: bytes) -> Node:
        """The node for `text`, made if it is not there yet."""
        node = self
        while text:
            child = node.children.get(text[0])
            if child is None:
                child = node.children[text[0]] = Node(text)
                return child
            shared = common_length(child.label, text)
            if shared < len(child.label):
                child = node.split(child, shared)
            node, text = child, text[shared:]
        return node

    def split(self, child: Node, at: int) -> Node:
        """Put a node between this one and `child`, after `at` bytes of its label."""
        middle = Node(child.label[:at])
        child.label = child.label[at:]
        middle.children[child.label[0]] = child
        self.children[middle.label[0]] = middle
        return middle


def common_length(a: bytes, b: bytes) -> int:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return length


def first_accepting(candidates: Sequence[Candidate], head: RequestHead) -> Candidate | None:
    for candidate in candidates:
        if candidate.accepts(head):
            return candidate
    return None


class PathTree:
    """The routes of one host."""

    def __init__(self) -> None:
        self.root = Node(b"")

    def add(self, match: Match, rank: int, target: Any) -> None:
        candidate = Candidate(match, rank, target)
        if match.kind == EXACT:
            self.root.insert(match.text).exact.append(candidate)
        elif match.kind == PREFIX:
            self.root.insert(match.text).prefix.append(candidate)
        else:
            self.root.insert(literal_prefix(match.text)).regex.append(candidate)

    def find(self, head: RequestHead) -> Candidate | None:
        """Walk down the path once, remembering the deepest prefix that accepts."""
        path = head.path if head.path != b"*" else b"/"  # OPTIONS *: the root serves it
        length = len(path)
        at = 0
        node = self.root
        best: Candidate | None = None
        regexes: list[Candidate] | None = None
        while True:
            if node.prefix and (at == length or path[at] == 47 or (at > 0 and path[at - 1] == 47)):
                found = first_accepting(node.prefix, head)
                if found is not None:
                    best = found
            if node.regex:
                regexes = node.regex if regexes is None else regexes + node.regex
            if at == length:
                if node.exact:
                    found = first_accepting(node.exact, head)
                    if found is not None:
                        return found
                break
            child = node.children.get(path[at])
            if child is None or not matches_at(path, at, child.label):
                break
            at += len(child.label)
            node = child
        if regexes is not None:
            found = first_accepting(sorted(regexes, key=candidate_rank), head)
            if found is not None:
                return found
        return best


def candidate_rank(candidate: Candidate) -> int:
    return candidate.rank


def literal_prefix(pattern: bytes) -> bytes:
    """The text that every match of an anchored regex begins with, as far as it is plainly written."""
    if not pattern.startswith(b"^") or b"|" in pattern or pattern.startswith(b"^(?"):
        return b""
    literal = re.match(rb"[A-Za-z0-9/_~%!@&=:;,\-]*", pattern[1:])
    assert literal is not None
    text = literal[0]
    if pattern[1 + len(text) :][:1] in (b"?", b"*", b"{"):  # the last byte may be absent
        text = text[:-1]
    return text


class RouteTable:
    """All routes of a plan."""

    def __init__(self, routes: Iterable[tuple[Match, Any]]) -> None:
        self.exact_hosts: dict[bytes, PathTree] = {}
        self.wildcards: dict[bytes, PathTree] = {}
        self.any_host: PathTree | None = None
        for rank, (match, target) in enumerate(routes):
            self._tree(match.host).add(normalized(match), rank, target)

    def _tree(self, host: bytes) -> PathTree:
        if host == b"*":
            if self.any_host is None:
                self.any_host = PathTree()
            return self.any_host
        if host.startswith(b"*."):
            return self.wildcards.setdefault(host[1:], PathTree())
        return self.exact_hosts.setdefault(host, PathTree())

    def find(self, head: RequestHead) -> Any:
        """The target of the route for this request, None if no route matches."""
        found: Candidate | None
        if self.exact_hosts:
            tree = self.exact_hosts.get(head.host)
            if tree is not None:
                found = tree.find(head)
                if found is not None:
                    return found.target
        if self.wildcards:
            found = self._find_wildcard(head)
            if found is not None:
                return found.target
        if self.any_host is not None:
            found = self.any_host.find(head)
            if found is not None:
                return found.target
        return None

    def _find_wildcard(self, head: RequestHead) -> Candidate | None:
        """Try the host's suffixes from the longest on: at most as many as it has dots."""
        host = head.host
        dot = host.find(b".")
        while dot >= 0:
            tree = self.wildcards.get(host[dot:])
            if tree is not None and dot > 0:
                found = tree.find(head)
                if found is not None:
                    return found
            dot = host.find(b".", dot + 1)
        return None


def normalized(match: Match) -> Match:
    """The same match over canonical paths, as requests have them."""
    if match.kind == REGEX:
        return match
    return match._replace(text=canonicalize(match.text) or match.text)
