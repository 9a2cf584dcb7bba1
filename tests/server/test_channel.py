"""Messages and open files between two processes, here two ends in one loop."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from proxy.server.channel import Channel
from tests.support.path import until_true


class End:
    def __init__(self, sock: socket.socket) -> None:
        self.got: list[tuple[Any, list[int]]] = []
        self.gone = False
        self.channel = Channel(sock, self.on_message, self.on_close)

    def on_message(self, message: Any, fds: list[int]) -> None:
        self.got.append((message, fds))

    def on_close(self) -> None:
        self.gone = True


def pair() -> tuple[End, End]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return End(ours), End(theirs)


async def test_messages_arrive_whole_and_in_order() -> None:
    one, other = pair()
    sent = [{"n": n, "body": b"x" * (n * 50_000)} for n in range(40)]  # far more than a socket buffer
    for message in sent:
        one.channel.send(message)
    await until_true(lambda: len(other.got) == len(sent))
    assert [message for message, _ in other.got] == sent
    other.channel.send("back")
    await until_true(lambda: one.got == [("back", [])])
    one.channel.close()
    other.channel.close()


async def test_open_files_come_with_their_message() -> None:
    one, other = pair()
    files = [os.memfd_create(f"f{n}") for n in range(200)]
    for n, file in enumerate(files):
        os.write(file, b"%d" % n)
    one.channel.send("none")
    one.channel.send("some", files[:3])
    one.channel.send("many", files)
    await until_true(lambda: len(other.got) == 3)
    assert [(message, len(fds)) for message, fds in other.got] == [("none", 0), ("some", 3), ("many", 200)]
    for n, fd in enumerate(other.got[2][1]):
        assert os.pread(fd, 10, 0) == b"%d" % n
    for fd in [*files, *(fd for _, fds in other.got for fd in fds)]:
        os.close(fd)
    one.channel.close()
    other.channel.close()


async def test_the_end_of_the_peer_is_told_once() -> None:
    one, other = pair()
    one.channel.close()
    await until_true(lambda: other.gone)
    other.channel.send("to nobody")
    assert other.channel.closed


async def test_what_a_dead_peer_does_not_take_is_dropped() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    one = End(ours)
    one.channel.send(b"x" * 10_000_000)
    theirs.close()
    await until_true(lambda: one.gone)
    await asyncio.sleep(0)
    assert one.channel.closed
