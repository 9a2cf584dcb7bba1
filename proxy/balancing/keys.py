"""Where the key of a balancing algorithm comes from: a header, a cookie, a query parameter, or a part of the path.

Law of this file: a key function takes a request head and returns bytes, or None where the request has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote_to_bytes

from ..http1.codec import RequestHead

Key = Callable[[RequestHead], bytes | None]


def make_key(source: str, pattern: re.Pattern[bytes] | None) -> Key:
    """The key function for "header:NAME", "cookie:NAME", "query:NAME" or "path:NAME".

    `pattern` is the route's regex, whose named groups are what "path:" names. Raises ValueError without it.
    """
    kind, _, name = source.partition(":")
    if kind == "header":
        return partial(from_header, name.lower().encode())
    if kind == "cookie":
        return partial(from_cookie, name.encode() + b"=")
    if kind == "query":
        return partial(from_query, name.encode() + b"=")
    if kind != "path" or pattern is None or name not in pattern.groupindex:
        raise ValueError(f"the key {source!r} needs a route with a regex that has a group named {name!r}")
    return partial(from_path, pattern, name)


def from_header(name: bytes, head: RequestHead) -> bytes | None:
    return head.get(name)


def from_cookie(prefix: bytes, head: RequestHead) -> bytes | None:
    for line in head.get_all(b"cookie"):
        for pair in line.split(b";"):
            pair = pair.strip()
            if pair.startswith(prefix):
                return pair[len(prefix) :]
    return None


def from_query(prefix: bytes, head: RequestHead) -> bytes | None:
    for pair in head.query_string()[1:].split(b"&"):
        if pair.startswith(prefix):
            return unquote_to_bytes(pair[len(prefix) :].replace(b"+", b" "))
    return None


def from_path(pattern: re.Pattern[bytes], name: str, head: RequestHead) -> bytes | None:
    match = pattern.search(head.path)
    return match[name] if match is not None else None
