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
from proxy.metrics import REASON_CELLS, Counters
from proxy.plan import Plan, PlanSpec, Settings
from proxy.routing import RouteTable
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


# --- what a connection does that seldom comes in time with a real client ----------------------------------------------


class BrokenRoutes(RouteTable):
    """A defect of the proxy."""

    def find(self, head: Any) -> Any:
        raise RuntimeError("broken")


def test_a_defect_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    transport = Transport(True)
    connection = client_on(transport)
    plan = connection.plan
    assert plan is not None
    plan.routes = BrokenRoutes([])
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert transport.calls[0] == "write"
    assert connection.counters.cells[REASON_CELLS["finish.internal"]] == 1
    assert "a defect of the proxy, while reading from 192.0.2.1" in caplog.text


def test_a_connection_that_comes_while_the_worker_stops_is_refused() -> None:
    transport = Transport(True)
    sweep = Sweep()
    acceptor = Acceptor(Plan(PlanSpec((), Settings(), {}, ()), Registry(alone(), sweep)), sweep, Counters(), None)
    acceptor.stopping = True
    connection = ClientConnection(acceptor)
    connection.connection_made(transport)
    assert transport.calls[0] == "write"
    assert connection.counters.cells[REASON_CELLS["admit.shutting_down"]] == 1


def test_an_idle_client_that_reads_again_has_the_keep_alive_time() -> None:
    connection = client_on(Transport(True))
    connection.write_paused = True
    connection.deadline = 0.0
    connection.resume_writing()
    assert (connection.write_paused, connection.deadline > 0.0) == (False, True)


def test_a_head_in_parts_is_refused_when_it_is_too_large() -> None:
    transport = Transport(True)
    connection = client_on(transport)
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    connection.data_received(b"x" * 40_000)
    assert transport.calls[0] == "write"
    assert connection.counters.cells[REASON_CELLS["accept.head_too_large"]] == 1


class GoneTransport(Transport):
    """One whose socket is closed by an error; `closing` says whether the transport knows it."""

    def __init__(self, closing: bool) -> None:
        super().__init__(True)
        self.closing = closing

    def write(self, data: Any) -> None:
        raise RuntimeError("unable to perform operation; the handler is closed")

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 7

    def fileno(self) -> int:
        raise OSError("closed")

    def get_extra_info(self, name: str) -> Any:
        return self if name == "socket" else super().get_extra_info(name)


def test_a_write_to_a_socket_that_is_closed_this_moment_is_lost_with_it() -> None:
    client_on(GoneTransport(True)).send(b"x")
    with pytest.raises(RuntimeError):
        client_on(GoneTransport(False)).send(b"x")


def test_of_a_closed_socket_only_the_buffer_is_known() -> None:
    assert client_on(GoneTransport(True)).unsent() == 7
