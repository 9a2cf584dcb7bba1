"""The backends of one upstream: those of the configuration, of its source, and of operators at run time.

Law of this file: plain data. A change of an address at run time holds while its entry in the configuration stays the
same; a changed entry replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...errors import DiscoveryError
from ...upstream.backend import BackendSpec


class MemberChange(NamedTuple):
    """What an operator has done to an address."""

    spec: BackendSpec | None
    """The backend that was added; None if it was removed."""
    said: BackendSpec | None
    """Its entry in the configuration at that time."""


class KnownMembers:
    """The backends of one upstream."""

    def __init__(self) -> None:
        self.static: dict[str, BackendSpec] = {}
        self.changes: dict[str, MemberChange] = {}

    def configure(self, static: Sequence[BackendSpec]) -> None:
        """Adopt the entries of the configuration."""
        self.static = {spec.address: spec for spec in static}
        self.changes = self._holding(self.static)

    def preview(self, static: Sequence[BackendSpec], found: Sequence[BackendSpec]) -> list[BackendSpec]:
        """What `merged` would be after `configure`."""
        wanted = {spec.address: spec for spec in static}
        return merge(wanted.values(), found, self._holding(wanted))

    def merged(self, found: Sequence[BackendSpec]) -> list[BackendSpec]:
        """In this order: those of the configuration, those of the source, those that were added."""
        return merge(self.static.values(), found, self.changes)

    def _holding(self, static: dict[str, BackendSpec]) -> dict[str, MemberChange]:
        return {at: change for at, change in self.changes.items() if static.get(at) == change.said}

    def add(self, spec: BackendSpec, found: Sequence[BackendSpec]) -> None:
        if any(member.address == spec.address for member in self.merged(found)):
            raise DiscoveryError(f"{spec.address} is there already")
        self.changes[spec.address] = MemberChange(spec, self.static.get(spec.address))
        if spec in self.static.values() or spec in found:
            del self.changes[spec.address]  # it was removed, and is back as it was

    def remove(self, address: str, found: Sequence[BackendSpec]) -> BackendSpec:
        members = self.merged(found)
        spec = next((member for member in members if member.address == address), None)
        if spec is None:
            there = ", ".join(member.address for member in members[:12]) or "none"
            raise DiscoveryError(f"there is no backend {address}; there are: {there}")
        self.changes[address] = MemberChange(None, self.static.get(address))
        if address not in self.static and all(member.address != address for member in found):
            del self.changes[address]  # it was only added
        return spec


def merge(
    static: Iterable[BackendSpec], found: Iterable[BackendSpec], changes: dict[str, MemberChange]
) -> list[BackendSpec]:
    """Each address once: as an operator has it, else as the configuration has it, else as the source has it."""
    members: dict[str, BackendSpec] = {}
    for spec in (*static, *found):
        members.setdefault(spec.address, spec)
    for address, change in changes.items():
        if change.spec is None:
            members.pop(address, None)
        else:
            members[address] = change.spec
    return list(members.values())
