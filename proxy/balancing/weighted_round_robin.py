"""Weighted round robin: another name of `round_robin`, which honours weights.

nginx, HAProxy and Envoy call it round robin; Caddy and Traefik say weighted. Here both words name the same algorithm.
"""

from __future__ import annotations

from .round_robin import RoundRobin


class WeightedRoundRobin(RoundRobin):
    """Each backend in turn, as often as its weight says."""

    name = "weighted_round_robin"
