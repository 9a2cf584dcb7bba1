"""Panic: with too few healthy backends the checks are more likely wrong than right, and health is ignored.

Law of this file: pure functions. The rule is Envoy's, per priority: while all priorities together have the capacity for
all requests there is no panic, since requests spill over to healthy priorities; otherwise the priorities below the
threshold are in panic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .backend import Backend


def in_panic(rotating: Iterable[tuple[int, bool]], threshold: float, factor: float) -> frozenset[int]:
    """The priorities in panic, from priority and health of each backend in rotation. `threshold` is the healthy share
    below which a priority panics, `factor` the overprovisioning factor."""
    total: Counter[int] = Counter()
    well: Counter[int] = Counter()
    for priority, healthy in rotating:
        total[priority] += 1
        well[priority] += healthy
    shares = {priority: well[priority] / total[priority] for priority in total}
    if len(shares) > 1 and sum(min(1.0, factor * share) for share in shares.values()) >= 1.0:
        return frozenset()
    return frozenset(priority for priority, share in shares.items() if share < threshold)


def usable_of(rotating: Sequence[Backend], panicking: frozenset[int], now_ns: int) -> list[Backend]:
    """The backends that may be picked: the healthy ones; of a priority in panic all but those that refuse connections,
    or those too if there are no others."""
    found = []
    tried = {
        backend.spec.priority
        for backend in rotating
        if backend.spec.priority in panicking and not backend.refuses(now_ns)
    }
    for backend in rotating:
        priority = backend.spec.priority
        if priority not in panicking:
            may = backend.healthy
        else:
            may = priority not in tried or not backend.refuses(now_ns)
        if may:
            found.append(backend)
    return found
