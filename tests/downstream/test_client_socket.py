"""Transports whose sides cannot end one by one, as those of TLS: they are flushed, or closed, and no method of theirs
that they have not is called."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.deadlines import Sweep
from proxy.downstream.acceptor import Acceptor
from proxy.downstream.client_socket import LINGER, TUNNEL
from proxy.downstream.http1.connection import ClientConnection
from proxy.exchange import Exchange
from proxy.metrics import Counters
from proxy.plan import Plan, PlanSpec, Settings
from proxy.runtime import Registry
from proxy.scoreboard import alone
from proxy.upstream.http1 import Http1Connection
from tests.support.ports import FakeRequester

UPSTREAM_UNTIL_CLOSE, UPSTREAM_TUNNEL = 3, 4
"""States of upstream/http1.py, which are C constants in the compiled form."""


class Transport:
    """One that takes down what is done with it; `one_sided` says whether one side of it can end alone."""

    def __init__(self, one_sided: bool) -> None:
        self.one_sided = one_sided
        self.calls: list[str] = []

    def write(self, data: Any) -> None:
        self.calls.append("write")

    def is_closing(self) -> bool:
        return "close" in self.calls

    def can_write_eof(self) -> bool:
        return self.one_sided

    def write_eof(self) -> None:
        assert self.one_sided
        self.calls.append("write_eof")

    def close(self) -> None:
        self.calls.append("close")

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else None


class NoPool:
    """That of a connection that is used once."""

    sweep = Sweep()

    def forget(self, connection: Any) -> None: ...


def client_on(transport: Transport) -> ClientConnection:
    sweep = Sweep()
    plan = Plan(PlanSpec((), Settings(), {}, ()), Registry(alone(), sweep))
    connection = ClientConnection(Acceptor(plan, sweep, Counters(), None))
    connection.connection_made(transport)
    return connection


@pytest.mark.parametrize(("one_sided", "calls"), [(True, ["write_eof"]), (False, [])])
def test_a_client_connection_that_reads_on_after_its_last_response(one_sided: bool, calls: list[str]) -> None:
    transport = Transport(one_sided)
    connection = client_on(transport)
    connection.close(0.0, 1.0, True)
    assert (connection.state, transport.calls) == (LINGER, calls)


@pytest.mark.parametrize(("one_sided", "calls"), [(True, ["write_eof"]), (False, ["close"])])
def test_a_tunnel_whose_backend_has_ended_its_side(one_sided: bool, calls: list[str]) -> None:
    transport = Transport(one_sided)
    connection = client_on(transport)
    connection.x = x = Exchange()
    x.begin(connection, connection.acceptor.plan, 0.0)
    x.status = 101
    connection.state = TUNNEL
    connection.end_tunnel(x)
    assert transport.calls == calls


@pytest.mark.parametrize(("one_sided", "calls"), [(True, ["write_eof"]), (False, ["close"])])
def test_a_tunnel_whose_client_has_ended_its_side(one_sided: bool, calls: list[str]) -> None:
    """Its end is that of the tunnel, and no failure of the backend."""
    transport, requester = Transport(one_sided), FakeRequester()
    connection = Http1Connection(NoPool(), 8192, 100)
    connection.connection_made(transport)
    connection.requester, connection.state = requester, UPSTREAM_TUNNEL
    connection.end_input()
    assert transport.calls == calls
    connection.connection_lost(None)
    assert requester.events == [("end", ())]


@pytest.mark.parametrize("state", [UPSTREAM_TUNNEL, UPSTREAM_UNTIL_CLOSE])
def test_a_backend_that_resets_what_only_its_end_delimits_has_failed(state: int) -> None:
    requester = FakeRequester()
    connection = Http1Connection(NoPool(), 8192, 100)
    connection.connection_made(Transport(True))
    connection.requester, connection.state = requester, state
    connection.connection_lost(ConnectionResetError())
    assert requester.events == ["relay.incomplete"]
