"""Sockets from a service manager; what it is told is tested with processes (e2e/test_processes.py)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from proxy.errors import BindError
from proxy.server import notify

Give = Callable[[int], None]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Give:
    """Has one open file stand where inherited ones begin."""

    def give(fd: int) -> None:
        monkeypatch.setattr(notify, "FIRST_FD", fd)
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")

    return give


def test_a_listening_socket_is_taken_once(given: Give) -> None:
    with socket.create_server(("127.0.0.1", 0)) as lent:
        given(fd := os.dup(lent.fileno()))
        [taken] = notify.inherited_sockets()
        with taken:
            assert taken.getsockname() == lent.getsockname()
            assert not os.get_inheritable(fd)
        assert notify.inherited_sockets() == []


def test_those_of_another_process_are_left_alone(given: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    given(0)
    monkeypatch.setenv("LISTEN_PID", "1")
    assert notify.inherited_sockets() == []


def test_what_is_no_listening_stream_socket_is_refused(given: Give) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as silent:
        for sock in (datagrams, silent):
            given(os.dup(sock.fileno()))
            with pytest.raises(BindError, match="no listening stream socket"):
                notify.inherited_sockets()


def test_what_is_not_open_is_refused(given: Give) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    given(writing)
    with pytest.raises(BindError, match=f"file descriptor {writing} is no socket"):
        notify.inherited_sockets()
    given(reading)
    with pytest.raises(BindError, match=f"file descriptor {reading} is no socket"):
        notify.inherited_sockets()
