"""Which worker serves which socket, and that none is closed or shared by mistake."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from proxy.downstream.listener import open_listener
from proxy.errors import BindError
from proxy.plan import ListenerSpec
from proxy.server.sockets import ListenerSockets, Offered, remove_files, serves


def spec_of(bind: str) -> ListenerSpec:
    if bind.startswith("unix:"):
        return ListenerSpec(bind, "", 0, bind[5:])
    host, _, port = bind.rpartition(":")
    return ListenerSpec(bind, host, int(port), "")


ANY = spec_of("127.0.0.1:0")


def test_each_worker_has_a_socket_of_its_own_on_the_same_port() -> None:
    sockets = ListenerSockets()
    sockets.open([ANY], 3)
    assert len({sock.getsockname() for sock in sockets.binds[ANY.bind]}) == 1
    shares = [sockets.share(ANY.bind, index, 3) for index in range(3)]
    assert [len(share) for share in shares] == [1, 1, 1]
    assert len({share[0].fileno() for share in shares}) == 3
    sockets.close()


def test_fewer_workers_serve_all_sockets_and_more_get_more() -> None:
    sockets = ListenerSockets()
    sockets.open([ANY], 3)
    assert sorted(len(sockets.share(ANY.bind, index, 2)) for index in range(2)) == [1, 2]
    opened = sockets.open([ANY], 5)
    assert len(opened) == 2
    assert len({sock.getsockname() for sock in sockets.binds[ANY.bind]}) == 1
    sockets.give_back(opened)
    assert len(sockets.binds[ANY.bind]) == 3
    sockets.close()


def test_a_port_that_somebody_listens_on_is_not_shared_in_silence() -> None:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    sockets = ListenerSockets()
    with taken, pytest.raises(BindError, match="in use"):
        sockets.open([ANY, spec_of(f"127.0.0.1:{taken.getsockname()[1]}")], 2)
    assert sockets.binds == {}


def test_a_unix_socket_is_shared_and_its_file_goes_with_its_listener(tmp_path: Path) -> None:
    spec = spec_of(f"unix:{tmp_path}/q.sock")
    sockets = ListenerSockets()
    sockets.open([spec, ANY], 2)
    assert sockets.share(spec.bind, 0, 2) == sockets.share(spec.bind, 1, 2)
    sockets.keep_only([ANY.bind])
    assert not (tmp_path / "q.sock").exists()
    remove_files(sockets.close())


def test_sockets_from_outside_are_used() -> None:
    given = socket.create_server(("127.0.0.1", 0))
    spec = spec_of("127.0.0.1:{1}".format(*given.getsockname()))
    sockets = ListenerSockets()
    sockets.offered = [Offered(given, True)]
    assert sockets.open([spec], 2) == []
    assert sockets.share(spec.bind, 0, 2) == sockets.share(spec.bind, 1, 2) == [given]
    sockets.close()


def test_a_lent_socket_keeps_its_file_and_can_be_had_again(tmp_path: Path) -> None:
    """Of a service manager: it hands the same socket to the next start, and nobody else can listen there."""
    spec = spec_of(f"unix:{tmp_path}/q.sock")
    with open_listener(spec) as given:
        sockets = ListenerSockets()
        sockets.offered = [Offered(given.dup(), True)]
        sockets.open([spec, ANY], 2)
        sockets.keep_only([ANY.bind])
        assert (tmp_path / "q.sock").exists()
        assert sockets.open([spec], 2) == []
        assert sockets.close() == []
        assert (tmp_path / "q.sock").exists()


def test_what_no_listener_wants_is_told_or_closed() -> None:
    lent, left = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    sockets = ListenerSockets()
    sockets.offered = [Offered(lent, True), Offered(left, False)]
    sockets.open([ANY], 1)
    assert sockets.let_go() == ["{}:{}".format(*lent.getsockname())]
    assert left.fileno() == -1
    assert sockets.offered == [Offered(lent, True)]
    sockets.close()
    assert lent.fileno() == -1


def test_where_a_socket_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert serves(sock, spec_of(f"127.0.0.1:{port}"))
        assert not serves(sock, spec_of(f"127.0.0.2:{port}"))
        assert not serves(sock, spec_of("127.0.0.1:1"))
        assert not serves(sock, spec_of("unix:/q"))


def test_a_file_that_somebody_has_removed_is_no_trouble(tmp_path: Path) -> None:
    spec = spec_of(f"unix:{tmp_path}/q.sock")
    sockets = ListenerSockets()
    sockets.open([spec], 1)
    (tmp_path / "q.sock").unlink()
    sockets.keep_only([])
    assert sockets.binds == {}
