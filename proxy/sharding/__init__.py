"""Placement of keys: each key belongs to one of several names, and few keys move when a name comes or goes.

Law of this package: pure mathematics over names and weights; no I/O, no clock, no randomness. The same names and
weights give the same places in every process, on every machine, independent of history: proxies agree without
communication.

    ring = Ring({"a": 1.0, "b": 2.0})
    ring.owner(b"user-42")      # "a" or "b"
"""

from __future__ import annotations

from .maglev import Maglev
from .placement import Placement
from .rendezvous import Rendezvous
from .ring import Ring

__all__ = ["Maglev", "Placement", "Rendezvous", "Ring"]
