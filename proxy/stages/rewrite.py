"""Rewritten values: paths, Host, forwarding headers, locations of redirects.

Law of this file: the rare cases; a request without any of them does not enter this file.
"""

from __future__ import annotations

import re

from ..exchange import Exchange
from ..http import forwarded
from ..http1.codec import MAX_FORWARDS, HeaderEdits
from ..plan import RoutePlan

PLACEHOLDER = re.compile(r"\{(?:host|path|query)\}")


def location(to: str, x: Exchange) -> str:
    """`to` with its placeholders replaced in one pass: values of the client are not scanned for placeholders."""
    head = x.head
    path = head.path if head.path != b"*" else b"/"
    parts = {"{host}": head.host_header(), "{path}": path, "{query}": head.query_string()}
    return PLACEHOLDER.sub(lambda match: parts[match[0]].decode("latin-1"), to)


def host_field(x: Exchange) -> tuple[bytes, bytes]:
    """Host for a backend, where an HTTP/1.0 client sent none: the backend's own name (RFC 9112 3.3)."""
    backend = x.attempt.backend
    assert backend is not None
    return b"Host", b"localhost" if backend.spec.path else backend.name.encode()


def max_forwards_field(x: Exchange) -> tuple[tuple[bytes, bytes], ...]:
    """Max-Forwards, decremented (RFC 9110 7.6.2). One that is not a number is removed."""
    value = x.head.value(MAX_FORWARDS) or b""
    return ((b"Max-Forwards", b"%d" % (int(value) - 1)),) if value.isdigit() and len(value) < 10 else ()


def forwarding_fields(x: Exchange) -> HeaderEdits:
    """The forwarding fields that depend on the request."""
    client, plan = x.client, x.plan
    assert client is not None and plan is not None
    settings, peer = plan.settings, client.peer
    return forwarded.fields_for(
        x.head, settings.forwarded, peer.address, peer.scheme, via=settings.via, trusted=peer.trusted
    )


def rewritten_path(x: Exchange, route: RoutePlan) -> bytes | None:
    """The path that the backend sees where the route changes it, None for the canonical one."""
    path = x.head.path
    if not route.rewrites:
        return raw_path(x)
    strip = route.strip  # without its last slash, so that it ends at a segment boundary
    if path != strip and not path.startswith(strip + b"/"):
        return None
    return route.prefix + path[len(strip) :] or b"/"


def raw_path(x: Exchange) -> bytes:
    """The path as sent by the client, from any form of target (RFC 9112 3.2)."""
    raw = x.head.raw_target().partition(b"?")[0]
    if not raw.startswith((b"/", b"*")):
        _, slash, rest = raw.partition(b"://")[2].partition(b"/")
        raw = slash + rest
    return raw or b"/"
