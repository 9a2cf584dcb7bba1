"""The peer of a client connection, and its forwarding fields.

Law of this file: forwarding fields of a peer are trusted only if its address is that of a trusted proxy.
"""

from __future__ import annotations

from typing import Protocol

from ..http1.codec import HeaderEdits
from .forwarded import ALL_FORWARDING, REPLACED, static_fields


class Trust(Protocol):
    """The settings of a plan that concern peers (plan.Settings)."""

    @property
    def forwarded(self) -> str:
        """As `forwarded:` in YAML."""

    @property
    def via(self) -> str | None:
        """The pseudonym of this proxy."""

    def trusts(self, address: str) -> bool:
        """Whether the forwarding fields of a peer are trusted."""


class Peer:
    """The peer of a client connection: its address, and the fields that pass it to backends."""

    def __init__(self) -> None:
        self.address = ""
        """Address of the peer on the socket, without its port; "unix" on a Unix socket."""
        self.key: bytes | None = None
        """The cached key of its address (stages/request_key.py)."""
        self.scheme = "http"
        self.trusted = False
        self.forwarded: HeaderEdits = HeaderEdits()
        """The forwarding fields that are the same for every request of this peer."""
        self.forwarded_drop = 0
        """Forwarding fields of the client that are removed, as a mask of the codec."""
        self.forwarded_host = True
        """Whether X-Forwarded-Host is added."""
        self.forwarded_static = True
        """Whether `forwarded`, beside X-Forwarded-Host, is complete: no field depends on the request."""

    def introduce(self, settings: Trust) -> None:
        """Set the forwarding fields of this peer."""
        mode = settings.forwarded
        self.trusted = settings.trusts(self.address)
        self.forwarded_static = not self.trusted and mode in ("x-forwarded", "none")
        self.forwarded = static_fields(mode, self.address, self.scheme, settings.via)
        self.forwarded_host = mode in ("x-forwarded", "both")
        self.forwarded_drop = ALL_FORWARDING
        if self.trusted:
            self.forwarded_drop = 0 if mode == "none" else REPLACED
