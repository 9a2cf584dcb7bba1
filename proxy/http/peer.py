"""The other side of a client connection, and what backends are told of it.

Law of this file: a peer is believed only if its address is that of a trusted proxy.
"""

from __future__ import annotations

from typing import Protocol

from ..http1.codec import HeaderEdits
from .forwarded import ALL_FORWARDING, REPLACED, static_fields


class Trust(Protocol):
    """The settings of a plan that decide about peers (plan.Settings)."""

    @property
    def forwarded(self) -> str:
        """As `forwarded:` in YAML."""

    @property
    def via(self) -> str | None:
        """The pseudonym of this proxy."""

    def trusts(self, address: str) -> bool:
        """Whether the forwarding fields of a peer are believed."""


class Peer:
    """What is on the other side of a client connection: its address, and what backends are told of it."""

    def __init__(self) -> None:
        self.address = ""
        """Address of the peer on the socket, without its port; "unix" on a Unix socket."""
        self.key: bytes | None = None
        """The key that its requests are counted by, once it was asked for (stages/request_key.py)."""
        self.scheme = "http"
        self.trusted = False
        self.forwarded: HeaderEdits = HeaderEdits()
        """The fields that every request of this peer gets, as far as they do not depend on the request."""
        self.forwarded_drop = 0
        """Forwarding fields of the client that are left out, as the codec's mask."""
        self.forwarded_host = True
        """Whether X-Forwarded-Host is added."""
        self.forwarded_static = True
        """Whether `forwarded` is all there is to add besides X-Forwarded-Host."""

    def introduce(self, settings: Trust) -> None:
        """Decide what backends are told about this peer."""
        mode = settings.forwarded
        self.trusted = settings.trusts(self.address)
        self.forwarded_static = not self.trusted and mode in ("x-forwarded", "none")
        self.forwarded = static_fields(mode, self.address, self.scheme, settings.via)
        self.forwarded_host = mode in ("x-forwarded", "both")
        self.forwarded_drop = ALL_FORWARDING
        if self.trusted:
            self.forwarded_drop = 0 if mode == "none" else REPLACED
