"""Requests that end in every order and every way, between two fakes: nothing is counted twice, nothing is left over.

Law of this file: a step is one event that a client, a backend, a pool or a queue may bring; exchanges are reused as on
a connection, so that what still points at one that is over shows in the next.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from proxy.configuration.load import load_text
from proxy.errors import CLIENT_GONE, CONNECT_LIMIT, CONNECT_REFUSED, REQUEST_TIMEOUT, RESPONSE_INCOMPLETE, SEND_RESET
from proxy.exchange import Exchange
from proxy.metrics import U_ACTIVE, U_QUEUE_LENGTH, U_REQUESTS, U_STATUSES
from proxy.plan import Plan
from proxy.scoreboard import IN_FLIGHT, REQUESTS, RESPONSES
from proxy.stages import retry
from proxy.stages.finish import abort, local_error
from proxy.stages.route import start
from proxy.upstream.backend import Backend
from proxy.upstream.hedge import Hedger
from tests.support.plans import linked
from tests.support.ports import FakeClient, FakeStream, head

BACKENDS = "backends: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3']"
RETRY = "retry: {on: [503], attempts: 2, non_idempotent: true}"
HEDGED = "retry: {on: [503], attempts: 2, hedge: {delay: 50ms}}"
QUEUE = "limits: {requests: 3, queue: 3, queue_timeout: 5s}"
TRACED = "tracing: {endpoint: 'http://127.0.0.1:1/v1/traces'}\n"
METHODS = (b"GET", b"PUT", b"POST")


class Client(FakeClient):
    """A client that asks again on the same connection, `more` times at once."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.x: Exchange | None = None
        self.more = 0

    def go(self) -> None:
        world, plan = self.world, self.world.plan
        self.peer.introduce(plan.settings)
        self.x = x = world.spare.pop() if world.spare else Exchange()
        length = world.dice.choice((b"", b"Content-Length: 3\r\n"))
        assert x.head.parse(b"%b / HTTP/1.1\r\nHost: a\r\n%b\r\n" % (world.dice.choice(METHODS), length), 0)
        x.begin(self, plan, monotonic())
        x.request_done = not length
        world.asked += 1
        start(x)

    def finished(self, x: Exchange, now: float) -> None:
        super().finished(x, now)
        assert self.x is x
        self.x = None
        x.clear()
        self.world.spare.append(x)
        if self.more:
            self.more -= 1
            self.go()


class World:
    """One upstream, its connections and its clients."""

    def __init__(self, seed: int, upstream: str, more: str) -> None:
        self.dice = random.Random(seed)
        text = f"listeners: [{{bind: '127.0.0.1:0'}}]\nupstreams: {{app: {{{BACKENDS}, {upstream}}}}}\n"
        self.plan: Plan = linked(load_text(f"{text}routes: [{{upstream: app}}]\n{more}").config)
        self.plan.settle_groups()
        self.group = self.plan.groups["app"]
        self.hedger: Hedger | None = self.group.hedger
        self.group.hedger = None  # the delay of a request is over when a step says so
        self.backends = self.group.members.all
        self.streams: list[FakeStream] = []
        self.spare: list[Exchange] = []
        self.asked = 0
        self.answers: dict[str, int] = {}
        """Final heads that each backend has sent."""
        self.begun: dict[FakeStream, Any] = {}
        """Whose response has begun on a connection."""
        self.clients = [Client(self) for _ in range(6)]
        for backend in self.backends:
            backend.pool.max = 0  # none is opened: steps connect

    def steps(self) -> Iterator[Any]:
        """What may happen now."""
        for client in self.clients:
            if client.x is None:
                yield self.ask, client
            else:
                yield self.more_body, client.x
                yield self.hedge, client.x
                if self.dice.random() < 0.05:
                    yield self.give_up, client
        for stream in self.streams:
            if stream.requester is not None:
                yield self.answer, stream
                yield self.lose, stream
        for backend in self.backends:
            for waiting in backend.pool.waiting:
                yield self.connect, backend, waiting

    def step(self, asking: bool) -> bool:
        for backend in self.backends:
            if not backend.pool.idle and self.dice.random() < 0.7:
                self.streams.append(FakeStream(backend))
        found = [each for each in self.steps() if asking or each[0] != self.ask]
        if found:
            call, *arguments = self.dice.choice(found)
            call(*arguments)
        return bool(found)

    # --- steps --------------------------------------------------------------------------------------------------------

    def ask(self, client: Client) -> None:
        client.more = self.dice.choice((0, 0, 2))
        client.go()

    def more_body(self, x: Exchange) -> None:
        if not x.request_done and x.attempt.upstream is not None:
            x.bytes_in += 3
            x.request_complete(monotonic())
            x.request_data(b"abc")

    def hedge(self, x: Exchange) -> None:
        if self.hedger is not None and x.route is not None and x.group is not None:
            stage: Any = x.route.send
            stage.hedge(x)

    def give_up(self, client: Client) -> None:
        x = client.x
        assert x is not None
        if self.dice.random() < 0.5:
            local_error(x, REQUEST_TIMEOUT)
        else:
            client.more = 0
            abort(x, CLIENT_GONE)

    def answer(self, stream: FakeStream) -> None:
        requester: Any = stream.requester
        begun, chance = requester is self.begun.get(stream), self.dice.random()
        if not begun and chance < 0.1:
            requester.interim(head(103))
        elif not begun:
            name = stream.backend.name
            self.answers[name] = self.answers.get(name, 0) + 1
            complete = chance < 0.6
            if not complete:
                self.begun[stream] = requester
            stream.respond(self.dice.choice((200, 204, 404, 500, 503, 503)), b"x", complete)
        elif chance < 0.5:
            requester.data(b"y")
        else:
            stream.requester = None
            requester.end(())

    def lose(self, stream: FakeStream) -> None:
        requester: Any = stream.requester
        begun = requester is self.begun.get(stream)
        stream.discard()
        requester.failed(RESPONSE_INCOMPLETE if begun else SEND_RESET, not begun and self.dice.random() < 0.5)

    def connect(self, backend: Backend, waiting: Any) -> None:
        backend.pool.waiting.remove(waiting)
        if self.dice.random() < 0.3:
            waiting.requester.connect_failed(self.dice.choice((CONNECT_REFUSED, CONNECT_LIMIT)))
        else:
            stream = FakeStream(backend)
            backend.pool.idle.remove(stream)
            self.streams.append(stream)
            waiting.requester.connected(stream)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("more", ["", TRACED], ids=["", "traced"])
@pytest.mark.parametrize("queued", ["", QUEUE], ids=["", "queued"])
@pytest.mark.parametrize("upstream", ["", RETRY, HEDGED], ids=["once", "retried", "hedged"])
def test_every_end_leaves_nothing(
    upstream: str, queued: str, more: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "backoff", lambda spec, tried: 0.0)  # there is no loop to wait in
    world = World(seed, ", ".join(filter(None, (upstream, queued))), more)
    for _ in range(200):
        world.step(True)
    for client in world.clients:
        client.more = 0
    for _ in range(5000):
        if all(client.x is None for client in world.clients):
            break
        assert world.step(False), "requests wait for nothing"
    rows = world.group.rows
    assert [client.x for client in world.clients] == [None] * len(world.clients)
    assert (rows[U_ACTIVE], rows[U_QUEUE_LENGTH], world.group.queues.waiting) == (0, 0, 0)
    assert rows[U_REQUESTS] == sum(rows[U_STATUSES + hundred] for hundred in range(6)) == world.asked
    for backend in world.backends:
        assert backend.rows[backend.own + IN_FLIGHT] == 0
        assert backend.rows[backend.own + RESPONSES] == world.answers.get(backend.name, 0)
        assert backend.rows[backend.own + REQUESTS] >= backend.rows[backend.own + RESPONSES]
        assert not backend.pool.waiting
    assert all(stream.requester is None for stream in world.streams)
    assert sum(client.events.count("finished") for client in world.clients) == world.asked
