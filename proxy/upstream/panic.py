"""Panic: where so few backends are healthy that the checks are more likely wrong than right, health is ignored.

The rule is Envoy's: it is a matter of each priority. As long as all priorities together can serve everything there is
no panic at all, since requests spill over to those that are well; else those below the threshold are in panic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .backend import Backend


def in_panic(rotating: Iterable[tuple[int, bool]], threshold: float, factor: float) -> frozenset[int]:
    """The priorities that are in panic, if those in rotation have such priorities and are healthy or not. `threshold`
    is the healthy share below which one may be, `factor` how much more than its share a priority can serve."""
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
    """Those that may be picked: the healthy ones, and where there is panic all but those that refuse connections,
    which is no matter of opinion. If a priority in panic has no others, it has those."""
    found = []
    tried = {
        backend.spec.priority
        for backend in rotating
        if backend.spec.priority in panicking and not backend.refuses(now_ns)
    }
    for backend in rotating:
        priority = backend.spec.priority
        if priority not in panicking:
            may = backend.well
        else:
            may = priority not in tried or not backend.refuses(now_ns)
        if may:
            found.append(backend)
    return found
