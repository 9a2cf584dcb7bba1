"""Clients that are slow, leave, lie or come in crowds: nobody else is to notice."""

from __future__ import annotations

import asyncio

from tests.support.path import until_true

from . import backends as b
from .load import Load
from .scenario import Scenario, Step, all_succeed, at_least, counted, fact, only, reasons
from .steps import all_behave, behave, kill, other_clients, send
from .world import SHORT, World

GET = b"GET /side HTTP/1.1\r\nHost: x\r\n\r\n"
GRACE = 0.002


async def leaves(world: World) -> None:
    """Asks and is gone, again and again."""
    while True:
        client = await send(world, GET)
        await asyncio.sleep(GRACE)
        client.reset()
        await client.closed()
        world.clients.remove(client)


async def resets(world: World) -> None:
    """Asks and resets, while the answer is on its way."""
    while True:
        client = await send(world, GET)
        assert client.reader is not None
        await client.reader.readexactly(1)
        client.reset()
        await client.closed()
        world.clients.remove(client)


async def does_not_read(world: World) -> None:
    await send(world, GET * 20)
    await asyncio.Event().wait()


async def drips(world: World) -> None:
    """A head that never ends (slow loris)."""
    client = await send(world, b"GET / HTTP/1.1\r\nX: ")
    assert client.writer is not None
    while not client.writer.is_closing():
        client.writer.write(b"x")
        await asyncio.sleep(0.01)


async def stalls_upload(world: World) -> None:
    await send(world, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhello")
    await asyncio.Event().wait()


async def talks_nonsense(world: World) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"A: b\r\n\r\n",
        b"\r\n" * 50,
    ):
        await send(world, data)
    await asyncio.Event().wait()


async def smuggles(world: World) -> None:
    """A request within a request."""
    hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % len(
        hidden
    )
    await send(world, head + hidden)
    await asyncio.Event().wait()


async def half_closes(world: World) -> None:
    """Asks, closes its sending side, and wants its answer all the same."""
    for _ in range(10):
        client = await send(world, GET)
        assert client.writer is not None
        client.writer.write_eof()
        world.side.add(await client.response("GET", "/side"))
        client.drop()


async def pipelines(world: World) -> None:
    """Asks ten times at once, and looks whether the answers come in order."""
    targets = [f"/pipe/{number}" for number in range(10)]
    client = await send(world, b"".join(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % each.encode() for each in targets))
    for target in targets:
        world.side.add(await client.response("GET", target))
    client.drop()


async def asks_for_continue(world: World) -> None:
    """Waits for 100 before it sends its body."""
    client = await send(world, b"POST /side HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert client.writer is not None
    await asyncio.sleep(GRACE)
    client.writer.write(b"hello")
    world.side.add(await client.response("POST", "/side"))
    client.drop()


async def tunnels(world: World) -> None:
    """A WebSocket, as far as a proxy can tell, that talks all the time."""
    client = await send(world, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert client.reader is not None and client.writer is not None
    await client.reader.readuntil(b"\r\n\r\n")
    name = f"pings {id(client)}"
    while True:
        client.writer.write(b"ping")
        assert await client.reader.readexactly(4) == b"ping"
        world.facts[name] = world.facts.get(name, 0) + 1
        await asyncio.sleep(GRACE)


def tunnels_stand(after: int = 0) -> Step:
    """All tunnels but the one to the backend that was killed go on."""

    async def act(world: World) -> None:
        before = dict(world.facts)
        least = 3 if not after else 2
        await until_true(lambda: sum(world.facts[key] > before.get(key, 0) for key in world.facts) >= least)

    return Step(after, "the tunnels stand", act, holds=True)


def side(count: int) -> Step:
    """The load ends before these clients do: wait for them."""

    async def act(world: World) -> None:
        await until_true(lambda: len(world.side.outcomes) >= count)

    return Step(1, "the others get their answers", act)


def side_succeeds(what: str) -> fact:  # type: ignore[valid-type]
    return fact(what, lambda world: set(world.side.kinds) == {"200"})


LARGE = all_behave("answer with 400 kB", b.large(400_000))

ALL = (
    Scenario(
        "clients leave before their answer",
        [all_behave("take 5 ms", b.slow(0.005)), other_clients("leave", leaves)],
        [all_succeed(), counted("relay.client_gone")],
    ),
    Scenario("clients reset while they get large answers", [LARGE, other_clients("reset", resets)], [all_succeed()]),
    Scenario(
        "clients do not read what they asked for",
        [LARGE, other_clients("do not read", does_not_read)],
        [all_succeed()],
        load=Load(60),
        more=SHORT,
    ),
    Scenario(
        "clients send their heads a byte at a time",
        [other_clients("drip", drips), all_behave("take 10 ms", b.slow(0.01))],
        [all_succeed(), counted("accept.head_timeout")],
        load=Load(300),
        more=SHORT,
    ),
    Scenario(
        "uploads stall",
        [other_clients("stall", stalls_upload), all_behave("take 10 ms", b.slow(0.01))],
        [all_succeed(), counted("accept.body_timeout")],
        load=Load(300),
        more=SHORT,
    ),
    Scenario(
        "clients talk nonsense",
        [other_clients("talk nonsense", talks_nonsense)],
        [all_succeed(), counted("accept.bad_request_line", 10)],
    ),
    Scenario(
        "clients hide requests in requests",
        [other_clients("smuggle", smuggles)],
        [
            all_succeed(),
            counted("accept.length_and_coding", 10),
            fact("no backend sees more than the load", lambda w: sum(s.requests for s in w.servers) == 150),
        ],
    ),
    Scenario(
        "clients close their sending side",
        [other_clients("half-close", half_closes, 3), side(30)],
        [all_succeed(), side_succeeds("and they have their answers")],
    ),
    Scenario(
        "clients pipeline while a backend is killed",
        [other_clients("pipeline", pipelines), kill(0, after=20), side(100)],
        [all_succeed(), side_succeeds("and all pipelined answers come in order")],
    ),
    Scenario(
        "clients wait for 100",
        [other_clients("expect 100", asks_for_continue), side(10)],
        [all_succeed(), side_succeeds("and they are served")],
    ),
    Scenario(
        "more connections than one client may have",
        [other_clients("hold a connection", does_not_read, 20)],
        [counted("accept.too_many_from_client"), only("200", "429", "cut")],
        more="limits: {connections_per_client: 15}",
        load=Load(60, 10, new_connection=True),
    ),
    Scenario(
        "ten times more than the backends take",
        [all_behave("take 5 ms", b.slow(0.005))],
        [all_succeed()],
        upstream="limits: {requests_per_backend: 2, queue_timeout: 5s}",
        load=Load(300, 60),
    ),
    Scenario(
        "more than the queue takes",
        [all_behave("take 5 ms", b.slow(0.005))],
        [only("200", "503"), reasons("pick.queue_full"), at_least(10, "200")],
        upstream="limits: {requests_per_backend: 2, queue: 4}",
        load=Load(300, 60),
    ),
    Scenario(
        "nothing gets out of the queue",
        [all_behave("take 250 ms", b.slow(0.25))],
        [only("200", "503"), reasons("pick.queue_timeout"), at_least(3, "200")],
        upstream="limits: {requests_per_backend: 1, queue_timeout: 50ms}, outlier: null",
        load=Load(40, 20),
    ),
    Scenario(
        "a backend that is full sends its share to the others",
        [behave(0, "takes 100 ms", b.slow(0.1))],
        [all_succeed(), fact("the others do the work", lambda w: w.servers[0].requests < 30)],
        upstream="limits: {requests_per_backend: 2}",
    ),
    Scenario(
        "tunnels go on while a backend is killed",
        [
            all_behave("hold tunnels", b.echoes_tunnel),
            other_clients("hold tunnels", tunnels, 3),
            tunnels_stand(),
            all_behave("answer", b.ok),
            kill(0, after=40),
            tunnels_stand(after=100),
        ],
        [all_succeed()],
        load=Load(300),
    ),
)
