"""A table of networks; the one with the longest prefix wins.

Law of this file: nested networks are cut into pieces that do not overlap when the table is made; a lookup is one binary
search over their beginnings.
"""

from __future__ import annotations

import socket
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network

MAPPED = bytes(10) + b"\xff\xff"
"""The prefix of IPv4-mapped IPv6 addresses (RFC 4291 2.5.5.2)."""


def packed(address: str) -> bytes | None:
    """The 4 or 16 bytes of an address, 4 of an IPv4-mapped one; None if it is no address."""
    try:
        if ":" not in address:
            return socket.inet_pton(socket.AF_INET, address)
        found = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return None
    return found[12:] if found.startswith(MAPPED) else found


class Networks:
    """Networks of both families, each with a name."""

    def __init__(self, table: Mapping[Network, bytes]) -> None:
        self.starts4, self.names4 = pieces((net, name) for net, name in table.items() if net.version == 4)
        self.starts6, self.names6 = pieces((net, name) for net, name in table.items() if net.version == 6)

    def find(self, address: bytes) -> bytes | None:
        """The name of the smallest network that a packed address is in."""
        if len(address) == 4:
            at = bisect_right(self.starts4, address)
            return self.names4[at - 1] if at else None
        at = bisect_right(self.starts6, address)
        return self.names6[at - 1] if at else None


def pieces(table: Iterable[tuple[Network, bytes]]) -> tuple[list[bytes], list[bytes | None]]:
    """The beginnings of the pieces, packed, and their names."""
    starts: list[bytes] = []
    names: list[bytes | None] = []

    def begin(at: int, size: int, name: bytes | None) -> None:
        if at >> 8 * size:  # behind the last address
            return
        where = at.to_bytes(size, "big")
        if starts and starts[-1] == where:
            names[-1] = name
        else:
            starts.append(where)
            names.append(name)

    around: list[tuple[int, bytes]] = []
    """The networks around the current position, with their ends, the smallest last."""
    size = 4
    for network, name in sorted(table, key=lambda item: (int(item[0].network_address), item[0].prefixlen)):
        size = network.max_prefixlen // 8
        first = int(network.network_address)
        while around and around[-1][0] < first:
            end, _ = around.pop()
            begin(end + 1, size, around[-1][1] if around else None)
        begin(first, size, name)
        around.append((int(network.broadcast_address), name))
    while around:
        end, _ = around.pop()
        begin(end + 1, size, around[-1][1] if around else None)
    return starts, names
