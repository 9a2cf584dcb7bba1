"""The client's address, and the fields that pass it to backends: X-Forwarded-*, Forwarded (RFC 7239), Via.

Law of this file: by default no peer is trusted. Forwarding headers of a peer that is not a trusted proxy are
dropped and replaced; those of a trusted one are extended, and the client is the first address from the right
that is not itself a trusted proxy.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from ..http1.codec import (
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_FORWARDED_PROTO,
    X_REAL_IP,
    HeaderEdits,
    RequestHead,
    mask_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALL_FORWARDING = mask_of(FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REAL_IP)
REPLACED = mask_of(FORWARDED, X_FORWARDED_FOR)
"""What is dropped from a trusted proxy, because it comes back extended."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = re.compile(
    rb'[ \t]*(?P<name>%s)=(?:(?P<token>%s)|"(?P<quoted>(?:[^"\\]|\\.)*)")[ \t]*(?:;|\Z)' % (_TOKEN, _TOKEN)
)
"""One parameter of an element of Forwarded (RFC 7239 4)."""


def via_field(pseudonym: str | None, version: str = "1.1") -> list[tuple[bytes, bytes]]:
    """The Via field of RFC 9110 7.6.3 for a message received in this version of HTTP, none without a pseudonym."""
    return [(b"Via", b"%b %b" % (version.encode(), pseudonym.encode()))] if pseudonym else []


@lru_cache(4096)
def static_fields(mode: str, address: str, scheme: str, via: str | None) -> HeaderEdits:
    """The fields that are the same for every request of an untrusted peer. `mode` as `forwarded:` in YAML."""
    fields: list[tuple[bytes, bytes]] = []
    if mode in ("x-forwarded", "both"):
        fields = [(b"X-Forwarded-For", named(address)), (b"X-Forwarded-Proto", scheme.encode())]
    return HeaderEdits(append=dict(fields + via_field(via)))


def peer_address(host: str) -> str:
    """The address of a socket; an IPv4-mapped one (::ffff:192.0.2.1) as IPv4."""
    return host.removeprefix("::ffff:") if "." in host else host


def named(address: str) -> bytes:
    """The peer's address as X-Forwarded-For has it; a Unix socket has none."""
    return b"unknown" if address == "unix" else address.encode()


def node(address: str | None) -> bytes:
    """An address as Forwarded has it (RFC 7239 6)."""
    if address is None or address == "unix":
        return b"unknown"
    return b'"[%s]"' % address.encode() if ":" in address else address.encode()


def element(address: str, scheme: str, host: bytes) -> bytes:
    """One element of Forwarded."""
    quoted = b';host="%s"' % host.replace(b"\\", b"\\\\").replace(b'"', b'\\"') if host else b""
    return b"for=%s;proto=%s%s" % (node(address), scheme.encode(), quoted)


def fields_for(
    head: RequestHead, mode: str, address: str, scheme: str, *, via: str | None, trusted: bool
) -> HeaderEdits:
    """The fields that depend on the request: of a trusted peer, or with Forwarded enabled."""
    fields = via_field(via, head.version)
    if mode in ("x-forwarded", "both"):
        chain = believed_for(head) if trusted else []
        fields.append((b"X-Forwarded-For", b", ".join([*chain, named(address)])))
        if not (trusted and head.has(X_FORWARDED_PROTO)):
            fields.append((b"X-Forwarded-Proto", scheme.encode()))
    if mode in ("rfc7239", "both"):
        chain = believed_elements(head) if trusted else []
        fields.append((b"Forwarded", b", ".join([*chain, element(address, scheme, head.host_header())])))
    return HeaderEdits(append=dict(fields))


def believed_for(head: RequestHead) -> list[bytes]:
    """The value of X-Forwarded-For as received; converted from Forwarded if only that is present (RFC 7239 7.4)."""
    if head.has(X_FORWARDED_FOR) or not head.has(FORWARDED):
        return [line for line in head.get_all(b"x-forwarded-for") if line]
    return [named(address_in(entry) or "unknown") for entry in entries(head)]


def believed_elements(head: RequestHead) -> list[bytes]:
    """The value of Forwarded as received; converted from X-Forwarded-For if only that is present."""
    if head.has(FORWARDED) or not head.has(X_FORWARDED_FOR):
        return [line for line in head.get_all(b"forwarded") if line]
    return [b"for=" + node(address_in(entry)) for entry in entries(head)]


def entries(head: RequestHead) -> list[bytes]:
    """The addresses of the chain of proxies, the nearest last: from X-Forwarded-For, else from Forwarded.

    Elements of Forwarded end at any comma, even in quotes: an open quote of a client must not hide the elements that
    trusted proxies have appended.
    """
    name = b"x-forwarded-for" if head.has(X_FORWARDED_FOR) else b"forwarded"
    parts = b",".join(head.get_all(name)).split(b",")
    return parts if name == b"x-forwarded-for" else [for_of(part) for part in parts]


def for_of(part: bytes) -> bytes:
    """The node after `for=` in one element of Forwarded, b"" if there is none or the element is malformed."""
    found = b""
    for match in pairs(part):
        if match is None:
            return b""
        if match["name"].lower() == b"for":
            found = match["token"] or match["quoted"] or b""
    return found


def pairs(part: bytes) -> Iterator[re.Match[bytes] | None]:
    """The parameters of an element, None in place of a malformed one."""
    at = 0
    while at < len(part):
        match = _PAIR.match(part, at)
        yield match
        if match is None:
            return
        at = match.end()


def address_in(entry: bytes) -> str | None:
    """The address of an entry, without brackets and port, in canonical form. None if it is no address."""
    text = entry.strip(b" \t").decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if "%" in text:
        return None
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip)


def client_address(head: RequestHead, peer: str, trusts: Callable[[str], bool]) -> str:
    """The client behind trusted proxies: the first address from the right that is not a trusted proxy.

    `peer` is the trusted proxy that connected. An entry that is not an address ends the walk: entries left of it are
    not trustworthy.
    """
    client = peer
    for entry in reversed(entries(head)):
        address = address_in(entry)
        if address is None:
            break
        client = address
        if not trusts(client):
            break
    return client
