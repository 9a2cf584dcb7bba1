"""Responses that the proxy makes itself.

Law of this file: each one names its reason in Proxy-Status (RFC 9209) and in its body, says how long it is, and
tells nothing about the inside: no backend addresses, no versions.
"""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from html import escape
from http import HTTPStatus

from ..errors import METHOD_REFUSED, Reason

PHRASES = {status.value: status.phrase for status in HTTPStatus}
_ALLOWED = "Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n"


class _Date:
    """The Date header (RFC 9110 6.6.1), formatted once a second."""

    second = -1
    line = ""

    @classmethod
    def now(cls) -> str:
        second = int(time.time())
        if second != cls.second:
            cls.second = second
            cls.line = f"Date: {formatdate(second, usegmt=True)}\r\n"
        return cls.line


def proxy_status(name: str, reason: Reason) -> str:
    """The Proxy-Status line. `name` is the pseudonym of this proxy."""
    error = f"; error={reason.error}" if reason.error else ""
    return f'Proxy-Status: {name}{error}; details="{reason.name}"\r\n'


def response(
    status: int, lines: str, body: bytes, *, minor: int = 1, keep: bool = True, head_only: bool = False
) -> bytes:
    """A whole response. `lines` are further header lines; `minor` and `keep` decide about Connection."""
    connection = "" if keep and minor else "Connection: keep-alive\r\n" if keep else "Connection: close\r\n"
    length = "" if status in (204, 304) else f"Content-Length: {len(body)}\r\n"
    head = f"HTTP/1.1 {status} {PHRASES.get(status, '')}\r\n{_Date.now()}{lines}{length}{connection}\r\n"
    return head.encode("latin-1") + (b"" if head_only or status in (204, 304) else body)


def error(
    reason: Reason, name: str, accept: bytes, request_id: str, *, minor: int, keep: bool, head_only: bool
) -> bytes:
    """The response for a reason, in HTML if the client asks for HTML and in JSON otherwise."""
    status = reason.status
    if wants_html(accept):
        kind, body = "text/html; charset=utf-8", _html(reason, request_id)
    else:
        kind, body = "application/json", _json(reason, request_id)
    lines = f"Content-Type: {kind}\r\nCache-Control: no-store\r\n{proxy_status(name, reason)}"
    if status in (503, 429):
        lines += "Retry-After: 1\r\n"
    if reason is METHOD_REFUSED:
        lines += _ALLOWED
    return response(status, lines, body, minor=minor, keep=keep, head_only=head_only)


def wants_html(accept: bytes) -> bool:
    """Whether an Accept header asks for HTML rather than JSON: it names it, and does not name JSON before it."""
    accept = accept.lower()
    html, other = accept.find(b"text/html"), accept.find(b"application/json")
    return html >= 0 and (other < 0 or html < other)


def _json(reason: Reason, request_id: str) -> bytes:
    fields = {
        "status": reason.status,
        "reason": reason.name,
        "message": reason.hint,
        "request_id": request_id,
    }
    return json.dumps(fields).encode() + b"\n"


def _html(reason: Reason, request_id: str) -> bytes:
    title = f"{reason.status} {PHRASES.get(reason.status, '')}"
    return (
        f"<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>{title}</title>\n<h1>{title}</h1>\n"
        f"<p>{escape(reason.hint)}</p>\n<p>Reason: <code>{reason.name}</code></p>\n"
        f"<p>Request: <code>{escape(request_id)}</code></p>\n</html>\n"
    ).encode()
