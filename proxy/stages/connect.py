"""connect: take an idle connection to the backend, or wait for one."""

from __future__ import annotations

from ..exchange import Exchange, Stage
from ..plan import LinkContext, RouteSpec
from ..upstream.pool import Pool
from .attempt import wait_for_connection


class Connect(Stage):
    """connect: after a wait for a connection the response path continues the request (Relay.connected)."""

    def enter(self, x: Exchange) -> None:
        attempt = x.attempt
        backend = attempt.backend
        assert backend is not None
        pool: Pool = backend.pool
        x.tries += 1
        connection = pool.acquire(not x.head.idempotent, x.started)
        if connection is None:
            wait_for_connection(attempt, False)
            return
        attempt.upstream = connection
        x.source = connection
        self.next.enter(x)


def link_connect(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
    """On every route to an upstream."""
    return Connect(following) if spec.group is not None else following
