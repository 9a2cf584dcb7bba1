"""pick: the balancing algorithm names a backend.

Law of this file: an algorithm that raises fails no request. If no backend has a free slot, the request waits in the
queue of the upstream.
"""

from __future__ import annotations

from time import monotonic

from ..balancing.base import Balancer
from ..errors import NO_BACKEND
from ..exchange import Exchange, Stage
from ..metrics import U_ACTIVE, U_REQUESTS
from ..plan import LinkContext, RouteSpec
from ..scoreboard import RETRIES
from ..upstream.backend import Backend
from ..upstream.group import Group
from ..upstream.picker import Picker
from .attempt import begin, next_attempt
from .finish import local_error
from .request_key import RequestKey


class Target:
    """The target of a route: an upstream, and the members of it that the route may use."""

    def __init__(self, group: Group, picker: Picker) -> None:
        self.group = group
        self.picker = picker

    def choose(self, x: Exchange) -> None:
        """Set the group and picker of a request that has none yet."""
        x.group = self.group
        x.picker = self.picker


class Pick(Stage):
    """pick: a backend for the first attempt, and another one for each retry."""

    def __init__(self, target: Target, key: RequestKey | None, priority: int, following: Stage) -> None:
        super().__init__(following)
        self.target = target
        self.key = key
        self.priority = priority
        """An index into `limits.shedding.PRIORITIES`: the order of queued requests."""

    def enter(self, x: Exchange) -> None:
        if x.group is None:
            self.target.choose(x)
            group, picker = x.group, x.picker
            assert group is not None and picker is not None
            group.rows[U_REQUESTS] += 1
            group.rows[U_ACTIVE] += 1
            group.retry_budget.deposit()
            if self.key is not None:
                self.read_key(x)
        else:
            group, picker = x.group, x.picker
            assert picker is not None
            if self.key is not None and x.tried is not None:
                self.read_key(x)
        balancer: Balancer = picker.balancer
        try:
            backend = balancer.pick(x.key) if x.tried is None else picker.another(x.tried, x.key)
        except Exception:
            balancer = picker.balancer_failed(balancer)
            backend = picker.first_of(x.tried or (), x.key)
        if backend is None:
            local_error(x, NO_BACKEND)
            return
        if group.overload.near_limit(backend):
            backend = self.within_limits(x, backend)
            if backend is None:
                return
        if x.tries == 0:
            begin(x, x.attempt, backend, balancer, monotonic() if x.was_delayed else x.started)
        else:
            begin(x, next_attempt(x), backend, balancer, monotonic())
            if x.tried is not None:
                backend.count(RETRIES)
        self.next.enter(x)

    def read_key(self, x: Exchange) -> None:
        """Set the key of the algorithm; without a key the fallback picks."""
        assert self.key is not None
        try:
            x.key = self.key.of(x)
        except Exception:
            assert x.picker is not None
            x.picker.balancer_failed(x.picker.balancer)

    def within_limits(self, x: Exchange, backend: Backend) -> Backend | None:
        """This backend or another one with a free slot; None if the request is queued."""
        group, picker = x.group, x.picker
        assert group is not None and picker is not None
        if group.overload.has_room(0):  # this request is among those that it has
            if group.overload.below_limit(backend):
                return backend
            other = picker.first_of(x.tried or (), x.key, group.overload)
            if other is not None:
                return other
        x.was_delayed = True
        now = monotonic()
        x.queued_since = x.queued_since or now
        x.wait = QueueWait(x)
        group.queues.enqueue(x.attempt, picker, self.priority, x.queued_since, now)
        return None


class QueueWait:
    """The wait of an exchange in the queue of its upstream."""

    def __init__(self, x: Exchange) -> None:
        self.x = x

    def cancel(self) -> None:
        """Remove the request from the queue."""
        x = self.x
        if x.group is not None and x.picker is not None:
            x.group.queues.leave(x.attempt, x.picker)


def link_pick(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
    """On every route to an upstream. Raises ValueError for an invalid key."""
    if spec.group is None:
        return following
    group = context.runtime.group(spec.upstream)
    picker = group if spec.selector is None else group.subset(spec.selector)
    return Pick(Target(group, picker), context.key_of(spec), spec.priority, following)
