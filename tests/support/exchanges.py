"""Requests without a connection, for what only reads them, and what a plan would do with one."""

from __future__ import annotations

from ipaddress import ip_network

from proxy.deadlines import Sweep
from proxy.exchange import Client, Exchange
from proxy.metrics import Counters
from proxy.pipeline import Pick
from proxy.plan import Plan, Settings
from proxy.routing import RouteTable
from proxy.runtime import Registry
from proxy.scoreboard import alone


def exchange(lines: str = "", address: str = "10.0.0.7", trusted: str | None = None) -> Exchange:
    """A GET with these header lines of a client at `address`; the peers of the network `trusted` are believed."""
    settings = Settings(trusted_proxies=(ip_network(trusted),) if trusted is not None else ())
    x = Exchange()
    assert x.head.parse(f"GET /?q=1 HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode(), 0)
    x.client = Client(Counters(), None)
    x.client.address = address
    x.client.introduce(settings)
    x.plan = Plan((), settings, {}, Registry(alone(), Sweep()), {}, RouteTable([]), None)
    return x


def pick_of(plan: Plan) -> Pick:
    """The stage that picks a backend for a GET of /."""
    stage = plan.routes.find(exchange().head).first
    while not isinstance(stage, Pick):
        stage = stage.next
    return stage
