"""Requests without a connection, for what only reads them, and what a plan would do with one."""

from __future__ import annotations

from ipaddress import ip_network

from proxy.deadlines import Sweep
from proxy.exchange import ClientStream, Exchange
from proxy.http.peer import Peer
from proxy.metrics import Counters
from proxy.plan import Plan, PlanSpec, Settings
from proxy.runtime import Registry
from proxy.scoreboard import alone
from proxy.stages.pick import Pick


def exchange(lines: str = "", address: str = "10.0.0.7", trusted: str | None = None) -> Exchange:
    """A GET with these header lines of a client at `address`; the peers of the network `trusted` are believed."""
    settings = Settings(trusted_proxies=(ip_network(trusted),) if trusted is not None else ())
    x = Exchange()
    assert x.head.parse(f"GET /?q=1 HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode(), 0)
    x.client = ClientStream(Peer(), Counters())
    x.client.peer.address = address
    x.client.peer.introduce(settings)
    x.plan = Plan(PlanSpec((), settings, {}, ()), Registry(alone(), Sweep()))
    return x


def pick_of(plan: Plan) -> Pick:
    """The stage that picks a backend for a GET of /."""
    stage = plan.routes.find(exchange().head).first
    while not isinstance(stage, Pick):
        stage = stage.next
    return stage
