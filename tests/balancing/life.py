"""An algorithm while its members come, go, fall ill and are drained, with requests under way.

Law of this file: it does what a group, a registry and the pipeline do, in any order that chance makes of it: who comes
back after a reload is another object with the same counters, and a request ends at the one that it was given to.
"""

from __future__ import annotations

from random import Random
from typing import Any

from proxy.balancing import Balancer, Done
from proxy.balancing.base import ANSWERED, CANCELLED, FAILED
from proxy.features.sticky.balancer import Sticky, packed
from proxy.upstream.backend import Backend, BackendSpec
from proxy.upstream.load.report import LoadReport

from .members import set_members

PLACES = ("eu-west", "us-east", None)
KEYS = (b"", b"eu-west", b"us-east\nuser-1", b"nowhere\n", *(b"user-%d" % n for n in range(9)))


class Life:
    """One of them, from members that all are well to none."""

    def __init__(self, balancer: Balancer, seed: int) -> None:
        self.balancer = balancer
        self.chance = Random(seed)
        self.members = [self.new(f"b{n}:80") for n in range(self.chance.choice((1, 2, 6)))]
        self.asked: list[Backend] = []
        if seed % 2:
            balancer.prober = self.asked.append
        self.drained: set[Backend] = set()
        self.panic = False
        self.gone: list[Backend] = []
        self.usable: list[Backend] = []
        self.flying: list[tuple[Backend, float, int]] = []
        self.now = 1.0
        self.settle()

    def new(self, name: str, rows: Any = None) -> Backend:
        choice = self.chance.choice
        return Backend(BackendSpec(name, "b", 80, "", choice((1, 1, 5)), choice(PLACES), choice((0, 1)), "here"), rows)

    def settle(self) -> None:
        """Tell the algorithm of its members, as a group does."""
        rotating = [backend for backend in self.members if backend not in self.drained]
        self.usable = [backend for backend in rotating if backend.healthy or self.panic]
        set_members(self.balancer, self.usable, rotating, self.members)

    def step(self) -> None:
        """Something happens."""
        self.now += self.chance.random() * 0.05
        what = self.chance.random()
        if what < 0.45:
            self.begin()
        elif what < 0.75:
            self.end()
        elif what < 0.82:
            self.balancer.tick(self.now)
        elif what < 0.86:
            self.tell()
        else:
            self.change()
            self.settle()

    def begin(self) -> None:
        key = self.chance.choice((None, *KEYS))
        if isinstance(self.balancer, Sticky):
            known = self.members and self.chance.random() < 0.4
            key = packed(self.balancer.tokens.of(self.chance.choice(self.members)) if known else None, key)
        backend = self.balancer.pick(key)
        weighty = [each for each in self.usable if each.weight > 0]
        if isinstance(self.balancer, Sticky):  # a session stays at who is drained
            assert backend in self.members or (backend is None and not weighty)
        else:
            assert backend in weighty or (backend is None and not weighty)
        for rank in self.balancer.candidates(key) or ():
            assert set(rank) <= set(self.usable)
        if backend is None:
            return
        if weighty and self.chance.random() < 0.1:  # the one that was picked is full
            backend = self.chance.choice(weighty)
        backend.in_flight += 1
        self.balancer.assigned(backend)
        self.flying.append((backend, self.now, backend.load()))

    def end(self) -> None:
        if not self.flying:
            return
        backend, since, beside = self.flying.pop(self.chance.randrange(len(self.flying)))
        backend.in_flight -= 1
        outcome = self.chance.choice((ANSWERED, ANSWERED, ANSWERED, FAILED, CANCELLED))
        report = self.report() if self.chance.random() < 0.5 else None
        self.balancer.released(backend, Done(self.now - since, outcome, self.now, beside, report))

    def report(self) -> LoadReport:
        number = self.chance.random
        return LoadReport(
            cpu=number(), rps=100 * number(), cost=0.1 * number(), in_flight=9 * number(), latency=number()
        )

    def tell(self) -> None:
        everybody = [*self.members, *self.gone]
        self.balancer.reported(self.chance.choice(everybody), self.report(), self.now)

    def change(self) -> None:
        """Weights, health, drains, panic, and who is a member at all."""
        what = self.chance.randrange(7)
        if what == 0:
            self.panic = not self.panic
        elif what == 1:
            well = self.chance.random() < 0.5
            for backend in self.members:
                backend.healthy = well
        elif what == 2 and self.gone:
            left = self.gone.pop(self.chance.randrange(len(self.gone)))
            self.members.append(self.new(left.name, left.rows))
        elif self.members:
            backend = self.chance.choice(self.members)
            if what == 3:
                self.members.remove(backend)
                self.drained.discard(backend)
                self.gone.append(backend)
            elif what == 4:
                backend.weight = self.chance.choice((0, 1, 5))
            elif what == 5:
                self.drained ^= {backend}
            else:
                backend.healthy = not backend.healthy

    def finish(self) -> None:
        """All requests are over, and all members are well."""
        while self.flying:
            self.end()
        for backend in self.members:
            backend.healthy, backend.weight = True, 1
        self.drained = set()
        self.settle()
        self.balancer.tick(self.now + 1.0)
