"""A MaxMind DB: the location of an address, cached by network.

Law of this file: the file is opened once and never written. Answers are cached for their network, /24 or /48 at the
widest, so that most requests cost a look-up in a dict; in two generations, of which the older one is dropped when the
younger is full. If the file is replaced, a reload reads the new one; replace it by
renaming, as geoipupdate does, since this one is mapped into memory.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ...balancing.locations import Location, nearest

log = logging.getLogger("qantara")

GENERATION = 32768
"""Networks in one generation of the cache."""
WIDEST = {4: (24, 3), 16: (48, 6)}
"""By the length of an address: the widest network that is cached as one, in bits and bytes."""


class Database:
    """One file, and the field of its records that is read."""

    def __init__(
        self,
        path: str,
        field: str,
        values: Mapping[str, bytes],
        locations: Mapping[str, Location],
    ) -> None:
        """`field`: the path in a record, such as country.iso_code; `values`: the location of each value. A value with
        latitude and longitude is the location nearest to it.

        Raises ValueError with a sentence for people.
        """
        self.path = path
        self.reader = opened(path)
        self.complained = False
        """Whether the log has a line about unreadable records."""
        self.field = field.split(".")
        self.values = {value.casefold(): name for value, name in values.items()}
        self.locations = locations
        self.young: dict[bytes, bytes] = {}
        self.old: dict[bytes, bytes] = {}

    def find(self, text: str, address: bytes) -> bytes:
        """The location of an address, given as text and packed; b"" if the file does not have it."""
        bits, count = WIDEST[len(address)]
        wide = address[:count]
        found = self._remembered(wide)
        if found is None:
            found = self._remembered(address)
        if found is None:
            found, prefix = self._asked(text)
            self._remember(wide if prefix <= bits else address, found)
        return found

    def _asked(self, text: str) -> tuple[bytes, int]:
        """The location of an address in the file, and the prefix length that it holds for."""
        try:
            record, prefix = self.reader.get_with_prefix_len(text)
            return self._location(record), prefix
        except Exception as error:  # IPv6 in a file that has only IPv4; a file that is damaged, or of another kind
            if not self.complained:
                self.complained = True
                log.warning("geo: %s says nothing of %s: %s", self.path, text, error)
            return b"", 128

    def _remembered(self, network: bytes) -> bytes | None:
        found = self.young.get(network)
        if found is None:
            found = self.old.get(network)
            if found is not None:
                self._remember(network, found)
        return found

    def _remember(self, network: bytes, name: bytes) -> None:
        if len(self.young) >= GENERATION:
            self.old, self.young = self.young, {}
        self.young[network] = name

    def _location(self, record: Any) -> bytes:
        for step in self.field:
            if isinstance(record, list) and step.isdigit() and int(step) < len(record):
                record = record[int(step)]
            else:
                record = record.get(step) if isinstance(record, dict) else None
        if isinstance(record, dict):
            latitude, longitude = record.get("latitude"), record.get("longitude")
            if latitude is None or longitude is None:
                return b""
            return (nearest(latitude, longitude, self.locations) or "").encode()
        if record is None:
            return b""
        found = self.values.get(str(record).casefold())
        return found if found is not None else str(record).encode() if str(record) in self.locations else b""


def opened(path: str) -> Any:
    """A reader of a file. Raises ValueError."""
    try:
        maxminddb = import_module("maxminddb")
    except ImportError:
        raise ValueError("reading a MaxMind DB needs the package maxminddb; install qantara[geo]") from None
    try:
        return maxminddb.open_database(path)
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}; download one, such as GeoLite2-Country.mmdb") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except maxminddb.InvalidDatabaseError:
        raise ValueError(f"{path} is no MaxMind DB (.mmdb)") from None
