"""Responses that the proxy makes itself.

Law of this file: each one names its reason in Proxy-Status (RFC 9209) and in its body, says how long it is,
and tells nothing about the inside: no backend addresses, no versions.
"""

from __future__ import annotations

import json
import re
import time
from email.utils import formatdate
from html import escape
from http import HTTPStatus
from typing import NamedTuple

from ..errors import METHOD_REFUSED, Reason

MOST_ACCEPT = 512
"""Bytes of Accept that are looked at: what browsers send is a quarter of that."""

PHRASES = {status.value: status.phrase for status in HTTPStatus}
_SF_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_QUALITY = re.compile(rb"[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*", re.IGNORECASE)
_HTML_RANGES = (b"*/*", b"text/*", b"text/html")
_JSON_RANGES = (b"*/*", b"application/*", b"application/json")
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
    """The Proxy-Status line. `name` is the pseudonym of this proxy, a token of RFC 9110 5.6.2.

    The field is structured (RFC 9651 3.3): a name that is no token there, such as one that begins with a
    digit, stands in quotes. A token of HTTP holds nothing that would have to be escaped in them.
    """
    if _SF_TOKEN.fullmatch(name) is None:
        name = f'"{name}"'
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
    reason: Reason,
    name: str,
    accept: bytes,
    request_id: str,
    *,
    minor: int,
    keep: bool,
    head_only: bool,
    lines: str = "",
) -> bytes:
    """The response for a reason, in HTML if the client asks for HTML and in JSON otherwise. `lines` are further header
    lines; unless they say when to come again, Retry-After does, where the request may be answered then."""
    status = reason.status
    if wants_html(accept):
        kind, body = "text/html; charset=utf-8", _html(reason, request_id)
    else:
        kind, body = "application/json", _json(reason, request_id)
    again = lines
    lines = f"Content-Type: {kind}\r\nCache-Control: no-store\r\n{proxy_status(name, reason)}{again}"
    if status in (503, 429) and not again:
        lines += "Retry-After: 1\r\n"
    if reason is METHOD_REFUSED:
        lines += _ALLOWED
    return response(status, lines, body, minor=minor, keep=keep, head_only=head_only)


class _Preference(NamedTuple):
    quality: float
    specific: int
    earlier: int


def wants_html(accept: bytes) -> bool:
    """Whether an Accept header (RFC 9110 12.5.1) prefers HTML to JSON. JSON if it has no preference.

    The higher quality wins; then what is named more specifically; then what is named first.
    """
    html = json_ = _Preference(0.0, 0, 0)
    for position, part in enumerate(accept[:MOST_ACCEPT].lower().split(b",")):
        media, *parameters = part.split(b";")
        media = media.strip(b" \t")
        quality = _quality(parameters)
        if media in _HTML_RANGES:
            html = _more_specific(html, _Preference(quality, 1 + _HTML_RANGES.index(media), -position))
        if media in _JSON_RANGES:
            json_ = _more_specific(json_, _Preference(quality, 1 + _JSON_RANGES.index(media), -position))
    return html.quality > 0 and html > json_


def _more_specific(a: _Preference, b: _Preference) -> _Preference:
    return b if b.specific > a.specific else a


def _quality(parameters: list[bytes]) -> float:
    """The weight of a media range: 1 unless it says otherwise, 0 if what it says is no weight."""
    for parameter in parameters:
        if parameter.strip(b" \t").startswith(b"q="):
            match = _QUALITY.fullmatch(parameter)
            return float(match[1]) if match is not None else 0.0
    return 1.0


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
