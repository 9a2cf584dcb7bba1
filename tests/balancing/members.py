"""Backends without a network, for tests of algorithms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.balancing import Balancer, Done
from proxy.scoreboard import create
from proxy.upstream.backend import Backend, BackendSpec


def backends(*weights: int, **more: Any) -> list[Backend]:
    """One backend for each weight, named a, b, c and so on; `more` is what else their specs say."""
    return [
        Backend(BackendSpec(chr(97 + n % 26) + str(n // 26 or ""), "127.0.0.1", 9000 + n, "", weight, **more))
        for n, weight in enumerate(weights)
    ]


def shared_backends(count: int) -> list[Backend]:
    """Backends on a board with two workers; this process is the first of them, the other one's row is the next."""
    board = create(3)
    board.slot = 1
    specs = [BackendSpec(f"b{n}", "b", 1, "") for n in range(count)]
    return [Backend(spec, board.backend_rows("app", spec.address), board) for spec in specs]


def placed(prefix: str, count: int, ill: int = 0, weight: int = 1, **more: Any) -> list[Backend]:
    """So many backends named after a prefix, the last of them `ill`."""
    found = [Backend(BackendSpec(f"{prefix}{n}:80", prefix, 80, "", weight, **more)) for n in range(count)]
    for backend in found[count - ill :]:
        backend.healthy = False
    return found


def set_members(
    balancer: Balancer,
    usable: Sequence[Backend],
    in_rotation: Sequence[Backend] | None = None,
    listed: Sequence[Backend] | None = None,
) -> None:
    """Call `members` as a group does; all members in rotation are usable, and all are in rotation, unless said."""
    in_rotation = usable if in_rotation is None else in_rotation
    type(balancer).members(balancer, in_rotation if listed is None else listed, in_rotation, usable)


def settle(balancer: Balancer, members: list[Backend], panic: bool = False) -> None:
    """Tell a balancer of members in rotation as a group does; in panic the ill ones are usable too."""
    set_members(balancer, [backend for backend in members if backend.healthy or panic], members)


def shares(balancer: Balancer, of: str, key: bytes | None = None, picks: int = 4000) -> dict[Any, float]:
    """The share of picks by a field of the backends' specs; each request is over before the next."""
    found: dict[Any, float] = {}
    done = Done(0.001)
    for n in range(picks):
        backend = balancer.pick(key if key is not None else None)
        assert backend is not None, n
        balancer.assigned(backend)
        balancer.released(backend, done)
        label = getattr(backend.spec, of)
        found[label] = found.get(label, 0.0) + 1 / picks
    return found
