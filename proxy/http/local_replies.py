"""Responses that the proxy makes itself.

Law of this file: each one names its reason in Proxy-Status (RFC 9209) and in its body, and nothing about the inside:
no backend addresses, no versions. How it is written on a connection is not known here (http1/rendering.py).
"""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any, NamedTuple

from ..errors import METHOD_REFUSED, Reason
from ..http1.phrases import PHRASES

MOST_ACCEPT = 512
"""Bytes of Accept that are looked at: what browsers send is a quarter of that."""

_SF_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_QUALITY = re.compile(rb"[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*", re.IGNORECASE)
_HTML_RANGES = (b"*/*", b"text/*", b"text/html")
_JSON_RANGES = (b"*/*", b"application/*", b"application/json")
ALLOW = ("Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")


Fields = tuple[tuple[str, str], ...]


class LocalReply:
    """A response that the proxy makes itself. `reason` is why; its status is that of the response.

    One that is the same for every request of a route is made once; `rendered` keeps it as a client connection writes
    it.
    """

    __slots__ = ("body", "fields", "reason", "rendered")

    def __init__(self, reason: Reason, fields: Fields, body: bytes = b"") -> None:
        self.reason = reason
        self.fields = fields
        self.body = body
        self.rendered: Any = None

    @property
    def status(self) -> int:
        return self.reason.status


def proxy_status(name: str, reason: Reason) -> tuple[str, str]:
    """The field Proxy-Status. `name` is the pseudonym of this proxy, a token of RFC 9110 5.6.2.

    The field is structured (RFC 9651 3.3): a name that is no token there, such as one that begins with a
    digit, stands in quotes. A token of HTTP holds nothing that would have to be escaped in them.
    """
    if _SF_TOKEN.fullmatch(name) is None:
        name = f'"{name}"'
    error = f"; error={reason.error}" if reason.error else ""
    return "Proxy-Status", f'{name}{error}; details="{reason.name}"'


def error_reply(reason: Reason, name: str, accept: bytes, request_id: str, fields: Fields = ()) -> LocalReply:
    """The response for a reason, in HTML if the client asks for HTML and in JSON otherwise. Further `fields` follow;
    unless they say when to come again, Retry-After does, where the request may be answered then."""
    if wants_html(accept):
        kind, body = "text/html; charset=utf-8", _html(reason, request_id)
    else:
        kind, body = "application/json", _json(reason, request_id)
    all_fields = [("Content-Type", kind), ("Cache-Control", "no-store"), proxy_status(name, reason), *fields]
    if reason.status in (503, 429) and not fields:
        all_fields.append(("Retry-After", "1"))
    if reason is METHOD_REFUSED:
        all_fields.append(ALLOW)
    return LocalReply(reason, tuple(all_fields), body)


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
