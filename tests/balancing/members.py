"""Backends without a network, for tests of algorithms."""

from __future__ import annotations

from proxy.upstream.backend import Backend, BackendSpec


def backends(*weights: int) -> list[Backend]:
    """One backend for each weight, named a, b, c and so on."""
    return [
        Backend(BackendSpec(chr(97 + n % 26) + str(n // 26 or ""), "127.0.0.1", 9000 + n, "", weight))
        for n, weight in enumerate(weights)
    ]
