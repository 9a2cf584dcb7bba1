"""The key of a request, for rate limits and balancing algorithms.

Law of this file: the encoding of several parts is unambiguous; a request without one of the parts has no key.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address

from ..balancing.keys import Key, make_key
from ..exchange import Exchange
from ..plan import KeySpec, LinkContext, RouteSpec


class RequestKey:
    """A key of one or more parts; None among them is the client's address. Without parts all requests have one key."""

    def __init__(self, parts: Sequence[Key | None]) -> None:
        self.parts = tuple(parts)

    def of(self, x: Exchange) -> bytes | None:
        """The key of a request, None if a part of it is missing."""
        if len(self.parts) == 1:
            only = self.parts[0]
            return client_of(x) if only is None else only(x.head)
        whole = b""
        for each in self.parts:
            part = client_of(x) if each is None else each(x.head)
            if part is None:
                return None
            whole += b"%d:%b" % (len(part), part)  # with its length, so that the encoding is unambiguous
        return whole


def client_of(x: Exchange) -> bytes:
    """The address of a client for keys: the one behind trusted proxies; of IPv6 the /64 network, since a client may use
    any address in it."""
    assert x.client is not None
    peer = x.client.peer
    if peer.trusted:
        return address_key(x.client_address())
    if peer.key is None:
        peer.key = address_key(peer.address)
    return peer.key


def address_key(address: str) -> bytes:
    """An address as a key."""
    if ":" in address:
        try:
            return IPv6Address(address.partition("%")[0]).packed[:8]
        except ValueError:
            pass
    return address.encode()


def key_parts(spec: KeySpec) -> list[Key | None]:
    """The parts of a key. Raises ValueError if one names a group that the pattern has not."""
    return [None if source == "client_ip" else make_key(source, spec.pattern) for source in spec.sources]


def link_key(spec: RouteSpec, context: LinkContext, key: RequestKey | None) -> RequestKey | None:
    """The key for the algorithm of a route. Raises ValueError."""
    return RequestKey(key_parts(spec.key)) if spec.key is not None else key
