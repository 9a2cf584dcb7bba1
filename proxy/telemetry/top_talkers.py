"""Top talkers: the clients, hosts, paths, routes and upstreams with the most requests, by a sample of the requests.

Law of this file: memory is bounded for any input, and a request that is not in the sample pays for one
decrement. Every 64th request is looked at (ending.SAMPLE); each dimension keeps PLACES names (Space-Saving: Metwally,
Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in data streams", ICDT 2005): a name that
comes when all places are taken gets that of the smallest, and begins with its count. So the true top is in the list,
and a count is too high by at most that of the smallest. Counts are halved once per HALF_LIFE.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..exchange import Exchange

PLACES = 128
HALF_LIFE = 60.0
"""Seconds."""
NAME_LIMIT = 96
"""Bytes of a path or host that are kept."""
DIMENSIONS = ("client", "host", "path", "route", "upstream")


@dataclass(slots=True)
class Count:
    """What one name has asked for, in samples, and bytes sent for it."""

    requests: float = 0.0
    bytes: float = 0.0
    errors: float = 0.0
    """Of the requests, those that ended with a status of 500 and above, or were given up."""

    def add(self, requests: float, size: float, errors: float) -> None:
        self.requests += requests
        self.bytes += size
        self.errors += errors


Sketch = dict[str, Count]


class Talkers:
    """The sketches of one worker."""

    def __init__(self) -> None:
        self.sketches: dict[str, Sketch] = {name: {} for name in DIMENSIONS}
        self.halved = 0.0

    def take(self, x: Exchange, now: float) -> None:
        """Look at a request that is over at time `now` (monotonic)."""
        if now - self.halved >= HALF_LIFE:
            self._halve(now)
        for sketch, name in zip(self.sketches.values(), names_of(x), strict=True):
            if name:
                place(sketch, name).add(1.0, x.bytes_out, x.status >= 499)

    def _halve(self, now: float) -> None:
        if self.halved:
            for name, sketch in self.sketches.items():
                for count in sketch.values():
                    count.add(-count.requests / 2, -count.bytes / 2, -count.errors / 2)
                self.sketches[name] = {key: count for key, count in sketch.items() if count.requests >= 0.1}
        self.halved = now


def names_of(x: Exchange) -> tuple[str, str, str, str, str]:
    """What a request is counted under, in the order of DIMENSIONS."""
    head, route = x.head, x.route
    host = path = ""
    if head.data is not None:
        host = head.host[:NAME_LIMIT].decode("latin-1")
        path = head.path[:NAME_LIMIT].decode("latin-1")
    names = (route.name, route.upstream) if route is not None else ("", "")
    return x.client_address(), host, path, *names


def place(sketch: Sketch, name: str) -> Count:
    """The count of a name; if there is no place left, it takes that of the smallest."""
    count = sketch.get(name)
    if count is None:
        count = sketch[name] = Count(_leave(sketch) if len(sketch) >= PLACES else 0.0)
    return count


def _leave(sketch: Sketch) -> float:
    """The name with the fewest requests leaves; how many it had."""
    smallest, count = min(sketch.items(), key=_requests_of)
    del sketch[smallest]
    return count.requests


def _requests_of(item: tuple[str, Count]) -> float:
    return item[1].requests


def merged(parts: Iterable[Mapping[str, Any]]) -> Sketch:
    """What several workers have counted, together."""
    found: Sketch = {}
    for part in parts:
        for name, count in part.items():
            found.setdefault(name, Count()).add(count.requests, count.bytes, count.errors)
    return found


def top(sketch: Sketch, limit: int) -> list[tuple[str, Count, float]]:
    """The names with the most requests, and the share of all that each has."""
    total = sum(count.requests for count in sketch.values()) or 1.0
    ranked = sorted(sketch.items(), key=lambda item: (-item[1].requests, item[0]))
    return [(name, count, count.requests / total) for name, count in ranked[:limit]]
