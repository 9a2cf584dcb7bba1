"""Who the client is, and what the backend is told of it: X-Forwarded-*, Forwarded (RFC 7239), Via.

Law of this file: nobody is believed by default. Forwarding headers of a peer that is not a trusted proxy are dropped
and replaced; those of a trusted one are extended, and the client is the first address from the right that
is not itself a trusted proxy.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .codec import (
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_FORWARDED_PROTO,
    X_REAL_IP,
    RequestHead,
    mask_of,
)

ALL_FORWARDING = mask_of(
    FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REAL_IP
)
REPLACED = mask_of(FORWARDED, X_FORWARDED_FOR)
"""What is dropped from a trusted proxy, because it comes back extended."""

_ADDRESS = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Fa-f:.]+?))(?::\d+)?")


def via_line(pseudonym: str | None) -> bytes:
    """The Via line of RFC 9110 7.6.3, b"" without a pseudonym."""
    return b"Via: 1.1 %s\r\n" % pseudonym.encode() if pseudonym else b""


def static_lines(mode: str, address: str, scheme: str, via: str | None) -> bytes:
    """The lines that are the same for every request of an untrusted peer. `mode` as `forwarded:` in YAML."""
    lines = b""
    if mode in ("x-forwarded", "both"):
        lines = b"X-Forwarded-For: %s\r\nX-Forwarded-Proto: %s\r\n" % (named(address), scheme.encode())
    return lines + via_line(via)


def named(address: str) -> bytes:
    """The peer's address as X-Forwarded-For has it; a Unix socket has none."""
    return b"unknown" if address == "unix" else address.encode()


def element(address: str, scheme: str, host: bytes) -> bytes:
    """One element of Forwarded."""
    node = address.encode() if ":" not in address else b'"[%s]"' % address.encode()
    quoted = b';host="%s"' % host.replace(b"\\", b"\\\\").replace(b'"', b'\\"') if host else b""
    return b"for=%s;proto=%s%s" % (b"unknown" if address == "unix" else node, scheme.encode(), quoted)


def lines_for(head: RequestHead, mode: str, address: str, scheme: str, via: str | None, trusted: bool) -> bytes:
    """The lines for one request where they depend on it: a trusted peer, or Forwarded is wanted."""
    lines = via_line(via)
    if mode in ("x-forwarded", "both"):
        chain = head.get_all(b"x-forwarded-for") if trusted else []
        lines += b"X-Forwarded-For: %s\r\n" % b", ".join([*chain, named(address)])
        if not (trusted and head.has(X_FORWARDED_PROTO)):
            lines += b"X-Forwarded-Proto: %s\r\n" % scheme.encode()
    if mode in ("rfc7239", "both"):
        chain = head.get_all(b"forwarded") if trusted else []
        lines += b"Forwarded: %s\r\n" % b", ".join([*chain, element(address, scheme, head.host_header())])
    return lines


def client_address(head: RequestHead, peer: str, trusts: Callable[[str], bool]) -> str:
    """The client behind trusted proxies: X-Forwarded-For from right to left, as far as it is believed.

    `peer` is the trusted proxy that connected. An entry that is not an address ends the walk: what stands left of
    it is hearsay.
    """
    client = peer
    chain = b",".join(head.get_all(b"x-forwarded-for")).split(b",")
    for entry in reversed(chain):
        match = _ADDRESS.fullmatch(entry.strip())
        if match is None:
            break
        client = (match[1] or match[2]).decode()
        if not trusts(client):
            break
    return client
