"""proxy/balancing: what a pick costs, with its events, for every algorithm of the table and one of a user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.balancing import ALGORITHMS, Balancer, Done, create
from proxy.balancing.compose import BalanceSpec, compose
from proxy.upstream.backend import Backend, BackendSpec

from .harness import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PICK_MARK = 150.0
OWN = BalanceSpec("proxy.control.policy.skeleton:Skeleton")
"""What `qantara policy new` writes."""


def cases() -> Iterator[Case]:
    for name in ALGORITHMS:
        for count in (3, 300):
            yield Case(
                f"{name}, {count} backends: pick, took, dropped", one_request(create(name), count), mark=PICK_MARK
            )
        yield Case(f"{name}, 300 backends: rebuild", rebuild(name, 300))
    yield Case("one's own, 300 backends: pick, took, dropped", one_request(compose(OWN), 300))
    yield Case("one's own, watched: pick, took, dropped", one_request(compose(OWN._replace(slow=0.01)), 300))


def backends(count: int) -> list[Backend]:
    """Backends with weights 5, 1, 1 over and over."""
    return [
        Backend(BackendSpec(f"10.0.{n // 256}.{n % 256}:80", f"10.0.{n // 256}.{n % 256}", 80, "", 1 if n % 3 else 5))
        for n in range(count)
    ]


def one_request(balancer: Balancer, count: int) -> Callable[[], object]:
    balancer.rebuild(backends(count))
    key = b"user-42" if balancer.needs_key else None
    done = Done(0.001)

    def call() -> None:
        backend = balancer.pick(key)
        assert backend is not None
        balancer.took(backend)
        balancer.dropped(backend, done)

    return call


def rebuild(name: str, count: int) -> Callable[[], object]:
    balancer = create(name)
    members = backends(count)
    return lambda: balancer.rebuild(members)
