"""Which location a request comes from: asked in order of header, database, networks; else the default.

Law of this file: a header is believed only from trusted proxies, and only names of known locations come out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from socket import AF_INET, AF_INET6, inet_ntop

from ..http1.codec import RequestHead
from ..http1.forwarded import client_address
from .database import Database
from .networks import Networks, packed


class Locator:
    """Finds the location of a client; b"" where nobody knows it."""

    def __init__(
        self,
        header: bytes | None = None,
        values: Mapping[str, bytes] | None = None,
        known: frozenset[bytes] = frozenset(),
        database: Database | None = None,
        networks: Networks | None = None,
        default: bytes = b"",
    ) -> None:
        self.header = header
        """Its name, lower case."""
        self.values = {value.casefold().encode(): name for value, name in (values or {}).items()}
        """What its values mean; others mean themselves if they are `known` names."""
        self.known = known
        self.database = database
        self.networks = networks
        self.default = default

    def find(self, head: RequestHead, peer: str, trusted: bool, trusts: Callable[[str], bool]) -> bytes:
        """The location of the client behind `peer`, which is `trusted` or not."""
        if trusted and self.header is not None:
            value = head.get(self.header)
            if value is not None:
                found = self.values.get(value.lower())
                if found is not None:
                    return found
                if value in self.known:
                    return value
        if self.database is None and self.networks is None:
            return self.default
        text = client_address(head, peer, trusts) if trusted else peer
        return self.of(text) or self.default

    def of(self, text: str) -> bytes:
        """The location of an address; b"" where nobody knows it."""
        address = packed(text)
        if address is None:
            return b""
        found = b""
        if self.database is not None:
            if ":" in text:  # without its zone; and one of IPv4 that is written as IPv6, as what it is
                text = inet_ntop(AF_INET if len(address) == 4 else AF_INET6, address)
            found = self.database.find(text, address)
        if not found and self.networks is not None:
            found = self.networks.find(address) or b""
        return found
