"""Weighted round robin is what `round_robin` does anyway; this is its other name.

nginx, HAProxy and Envoy call it round robin and honour weights; Caddy and Traefik say weighted. Who looks for either
word finds it, and nobody finds a `round_robin` that ignores a weight.
"""

from __future__ import annotations

from .round_robin import RoundRobin


class WeightedRoundRobin(RoundRobin):
    """Each backend in turn, as often as its weight says."""

    name = "weighted_round_robin"
