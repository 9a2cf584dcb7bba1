"""The location of a request: from a header, a database, networks, in this order; else the default.

Law of this file: a header counts only from trusted proxies, and results are names of known locations only.
"""

from __future__ import annotations

from collections.abc import Mapping
from socket import AF_INET, AF_INET6, inet_ntop

from ...http1.codec import RequestHead
from ...plan import LocatorSpec
from .database import Database
from .networks import Networks, packed


class Locator:
    """Finds the location of a client; b"" if it is unknown."""

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
        """Locations by header value; other values count if they are `known` names."""
        self.known = known
        self.database = database
        self.networks = networks
        self.default = default
        self.by_address = database is not None or networks is not None
        """Whether there is a source by address."""

    def said(self, head: RequestHead) -> bytes | None:
        """The location in the header of a request, None without one. The peer has to be trusted."""
        value = head.get(self.header) if self.header is not None else None
        if value is None:
            return None
        found = self.values.get(value.lower())
        return found if found is not None else value if value in self.known else None

    def of(self, text: str) -> bytes:
        """The location of an address; b"" if it is unknown."""
        address = packed(text)
        if address is None:
            return b""
        found = b""
        if self.database is not None:
            if ":" in text:  # without its zone; IPv4 written as IPv6 becomes IPv4
                text = inet_ntop(AF_INET if len(address) == 4 else AF_INET6, address)
            found = self.database.find(text, address)
        if not found and self.networks is not None:
            found = self.networks.find(address) or b""
        return found


def open_locator(spec: LocatorSpec) -> Locator:
    """A locator with its database open. Raises ValueError in words for people if that cannot be read."""
    source = spec.database
    return Locator(
        spec.header,
        spec.values,
        frozenset(name.encode() for name in spec.locations),
        Database(source.path, source.field, source.values, spec.locations) if source is not None else None,
        Networks(spec.networks) if spec.networks else None,
        spec.default,
    )
