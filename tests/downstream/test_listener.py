"""Addresses in use, stale sockets, and what is no socket; connections of a listener that is gone."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from proxy.downstream.listener import address_of, open_listener, probe, written
from proxy.errors import BindError
from proxy.plan import ListenerSpec
from tests.support.client import connect
from tests.support.origin import Script, request, response
from tests.support.path import GET, path, until_true

ECHO: Script = [request(), response(b"ok")]


def unix(path: Path) -> ListenerSpec:
    return ListenerSpec(f"unix:{path}", "", 0, str(path))


def tcp(host: str, port: int = 0) -> ListenerSpec:
    return ListenerSpec(f"{host}:{port}", host, port, "")


def test_a_socket_file_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    spec = unix(tmp_path / "q.sock")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(spec.path)
    with open_listener(spec) as listening:
        assert address_of(listening) == spec.path
        with pytest.raises(BindError, match="the address is in use"):
            open_listener(spec)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(spec.path)


def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_text("data")
    with pytest.raises(BindError, match="the address is in use"):
        open_listener(unix(file))
    assert file.read_text() == "data"
    with pytest.raises(BindError, match="the folder does not exist"):
        open_listener(unix(tmp_path / "none" / "q.sock"))


def test_a_socket_file_of_another_kind_stays(tmp_path: Path) -> None:
    spec = unix(tmp_path / "d.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(spec.path)
        with pytest.raises(BindError, match="the address is in use"):
            open_listener(spec)


def test_a_port_is_shared_with_those_that_share_it() -> None:
    with open_listener(tcp("127.0.0.1"), shared=True) as first:
        spec = tcp("127.0.0.1", first.getsockname()[1])
        with open_listener(spec, shared=True) as second:
            assert address_of(second) == address_of(first) == ("127.0.0.1", spec.port)
        with pytest.raises(BindError, match="the address is in use"):
            probe(spec)
    probe(spec)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(BindError, match="does not have that address"):
        open_listener(tcp("192.0.2.1"))


def test_addresses_as_they_are_written() -> None:
    assert written("/run/q.sock") == "/run/q.sock"
    assert written(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert written(("::1", 80)) == "[::1]:80"


async def test_connections_of_a_listener_that_is_gone_close_when_they_are_idle() -> None:
    async with path(ECHO, forever=True) as way, connect(way.running.address) as other:
        assert (await way.client.request(GET)).body == (await other.request(GET)).body == b"ok"
        acceptor = way.proxy.acceptor
        assert acceptor is not None
        acceptor.retire("another")
        assert (await way.client.request(GET)).body == b"ok"
        (listener,) = {connection.listener for connection in way.open}
        acceptor.retire(listener)
        assert await way.client.closed()
        assert await other.closed()
        await until_true(lambda: not way.open)
