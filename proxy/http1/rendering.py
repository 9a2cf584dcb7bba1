"""HTTP/1.1 heads that the proxy writes itself: of its own responses and requests.

Law of this file: fields in, bytes out. What is rendered here was made by the proxy or checked with its configuration,
so nothing is escaped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .codec import RequestHead, ResponseHead
from .phrases import PHRASES

NO_BODY = (204, 304)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Reply(Protocol):
    """A response of the proxy's own, as it is rendered here (http/local_replies.py)."""

    fields: tuple[tuple[str, str], ...]
    body: bytes
    rendered: Any

    @property
    def status(self) -> int:
        """The status code."""


class Date:
    """The Date field (RFC 9110 6.6.1), formatted once a second."""

    second = -1
    line = b""


def date_line() -> bytes:
    """The line of the present second."""
    second = int(time.time())
    if second != Date.second:
        Date.line = b"Date: %b\r\n" % imf_fixdate(second).encode()
        Date.second = second
    return Date.line


def imf_fixdate(second: int) -> str:
    """A time of day (seconds since 1970) as IMF-fixdate (RFC 9110 5.6.7), whatever the locale. email.utils has it too,
    for a tenth of the time that a worker takes to be imported."""
    at = time.gmtime(second)
    day, month = DAYS[at.tm_wday], MONTHS[at.tm_mon - 1]
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"


def render(reply: Reply, http10: bool, keep: bool, head_only: bool) -> bytes:
    """A whole response of the proxy's own; `http10` and `keep` decide about Connection."""
    start, rest = prepare(reply) if reply.rendered is None else reply.rendered
    if keep and not http10 and not head_only:
        return b"%b%b%b\r\n%b" % (start, date_line(), rest, b"" if reply.status in NO_BODY else reply.body)
    connection = b"" if keep and not http10 else b"Connection: keep-alive\r\n" if keep else b"Connection: close\r\n"
    body = b"" if head_only or reply.status in NO_BODY else reply.body
    return b"%b%b%b%b\r\n%b" % (start, date_line(), rest, connection, body)


def prepare(reply: Reply) -> tuple[bytes, bytes]:
    """The status line, and the lines behind Date that are the same for every request."""
    status = reply.status
    lines = "".join(f"{name}: {value}\r\n" for name, value in reply.fields)
    if status not in NO_BODY:
        lines += f"Content-Length: {len(reply.body)}\r\n"
    reply.rendered = parts = (
        f"HTTP/1.1 {status} {PHRASES.get(status, '')}\r\n".encode("latin-1"),
        lines.encode("latin-1"),
    )
    return parts


def request_head(method: str, path: str, host: str, fields: Iterable[tuple[str, str]]) -> RequestHead:
    """The head of a request of the proxy's own."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (("Host", host), *fields))
    head = RequestHead()
    head.parse(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"), 0)
    return head


def response_head(like: ResponseHead, status: int, fields: Iterable[tuple[str, str]]) -> ResponseHead:
    """The head of a response without a body, as if a backend had sent it; with the limits of another."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*fields, ("Content-Length", "0")))
    return parsed(like, f"HTTP/1.1 {status} {PHRASES.get(status, '')}\r\n{lines}\r\n".encode("latin-1"))


def copied(head: ResponseHead) -> ResponseHead:
    """A head of its own, which lives on when the connection reads the next."""
    return parsed(head, head.data[head.start : head.end])


def changed(head: ResponseHead, body_end: int, name: bytes, change: Callable[[bytes], bytes]) -> ResponseHead:
    """A copy of a head, with the first part of its body, in which each value of one field is another of that length."""

    def replace(match: re.Match[bytes]) -> bytes:
        return match[1] + change(match[2])

    text = head.data[head.start : head.end]
    text = re.sub(rb"(?mi)^(" + re.escape(name) + rb":[ \t]*)([^\r\n]*)", replace, text)
    return parsed(head, text + head.data[head.end : body_end])


def parsed(like: ResponseHead, text: bytes) -> ResponseHead:
    """A head read with the limits of another."""
    head = ResponseHead()
    head.max_size, head.max_count = max(like.max_size, len(text)), like.max_count
    head.parse(text, 0)
    return head
