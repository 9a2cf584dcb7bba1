"""Balancing algorithms, one file each. To add one: one file against `base.Balancer`, one line in this table.

Law of this package: pure data structures over backends; no asyncio, no sockets, usable as a library.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .base import Balancer, Done
from .wrappers.former_hooks import with_present_hooks

ALGORITHMS = {
    "round_robin": "proxy.balancing.round_robin:RoundRobin",
    "weighted_round_robin": "proxy.balancing.weighted_round_robin:WeightedRoundRobin",
    "random": "proxy.balancing.random_choice:RandomChoice",
    "power_of_two": "proxy.balancing.power_of_two:PowerOfTwo",
    "least_connections": "proxy.balancing.least_connections:LeastConnections",
    "latency": "proxy.balancing.latency:Latency",
    "least_time": "proxy.balancing.least_time:LeastTime",
    "first": "proxy.balancing.first:First",
    "consistent_hash": "proxy.balancing.consistent_hash:ConsistentHash",
    "maglev": "proxy.balancing.maglev:MaglevHash",
    "rendezvous": "proxy.balancing.rendezvous:RendezvousHash",
    "orca_weighted": "proxy.balancing.orca_weighted:OrcaWeighted",
    "prequal": "proxy.balancing.prequal:Prequal",
    "ai_scored": "proxy.balancing.ai_scored:AiScored",
    "geographic": "proxy.balancing.geographic:Geographic",
}

HOOKS = frozenset(("pick", "candidates", "assigned", "released", "reported", "tick", "explain"))
"""Of the contract, those that are called by the instance."""


def find(algorithm: str) -> type:
    """The class of an algorithm, by its name in ALGORITHMS or by `module:Class`.

    Raises ValueError with a sentence for people if there is none.
    """
    target = ALGORITHMS.get(algorithm, algorithm)
    module_name, colon, class_name = target.partition(":")
    if not colon:
        raise ValueError(f"there is no algorithm {algorithm!r}; known are {', '.join(ALGORITHMS)}")
    if module_name.startswith("proxy."):
        module_name = __name__.removesuffix("balancing") + module_name.removeprefix("proxy.")
    try:
        found: type = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"algorithm {algorithm!r} cannot be used: {error}") from error
    return found


def create(algorithm: str, **params: Any) -> Balancer:
    """Make a balancer by its name in ALGORITHMS or by `module:Class`.

    Raises ValueError with a sentence for people if there is no such algorithm or it does not take these parameters.
    """
    kind = find(algorithm)
    try:
        balancer = kind(**params)
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"algorithm {algorithm!r} cannot be used: {error}") from error
    if not isinstance(balancer, Balancer):
        raise ValueError(f"algorithm {algorithm!r} is not a subclass of proxy.balancing.base.Balancer")
    if algorithm in ALGORITHMS:
        return balancer
    present = with_present_hooks(balancer)
    hidden = HOOKS.intersection(getattr(balancer, "__dict__", ())) if present is balancer else ()
    for name in hidden:
        raise ValueError(f"algorithm {algorithm!r}: its field `{name}` hides the hook `{name}`; give it another name")
    return present


__all__ = ["ALGORITHMS", "Balancer", "Done", "create"]
