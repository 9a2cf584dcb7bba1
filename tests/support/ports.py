"""Both sides of an exchange without a socket: a client stream and a backend's stream that take down what happens.

Law of this file: nothing here knows a byte of HTTP/1.1 but the literal heads that tests give to `head`.
"""

from __future__ import annotations

from typing import Any

from proxy.deadlines import NEVER
from proxy.exchange import ClientStream, Exchange
from proxy.http.local_replies import LocalReply
from proxy.http.peer import Peer
from proxy.http1.codec import ResponseHead
from proxy.http1.framing import Trailers
from proxy.metrics import Counters
from proxy.plan import Plan
from proxy.stages.route import start
from proxy.upstream.backend import Backend
from proxy.upstream.ports import OutgoingRequest, Requester, UpstreamStream


class FakeClient(ClientStream):
    """A client: `events` is what it got, in order."""

    def __init__(self) -> None:
        super().__init__(Peer(), Counters())
        self.peer.address = "192.0.2.1"
        self.events: list[Any] = []

    def interim(self, x: Exchange, head: ResponseHead) -> bool:
        self.events.append(("interim", head.status))
        return True

    def respond(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        self.events.append((head.status, head.data[head.end : body_end], complete))

    def data(self, x: Exchange, data: Any) -> None:
        self.events.append(bytes(data))

    def end(self, x: Exchange, trailers: Trailers) -> None:
        self.events.append(("end", trailers))

    def local_reply(self, x: Exchange, reply: LocalReply, close: bool) -> int:
        self.events.append((reply.status, reply.reason.name))
        return 0

    def abort(self, x: Exchange) -> None:
        self.events.append("abort")

    def finished(self, x: Exchange, now: float) -> None:
        self.events.append("finished")

    def pause_reading(self) -> None:
        self.events.append("pause")

    def resume_reading(self) -> None:
        self.events.append("resume")

    def ask(self, plan: Plan, request: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") -> Exchange:
        """Begin a request on a plan; without a body unless it says how long one is."""
        self.peer.introduce(plan.settings)
        x = Exchange()
        assert x.head.parse(request, 0)
        x.begin(self, plan, plan.registry.sweep.now)
        x.request_done = x.head.content_length <= 0
        start(x)
        return x


class FakeStream(UpstreamStream):
    """An idle connection to a backend: what was sent on it, and whether it was closed."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.deadline = NEVER
        self.backend = backend
        self.requester: Requester | None = None
        self.sent: list[Any] = []
        self.discarded = False
        backend.pool.idle.append(self)

    def send(self, requester: Requester, request: OutgoingRequest, body: Any, deadline: float) -> None:
        self.requester = requester
        self.sent.append((request.head.method, request.path or request.head.path))
        if body:
            self.sent.append(bytes(body))

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def usable(self) -> bool:
        return not self.discarded

    def discard(self) -> None:
        self.requester, self.discarded = None, True

    def respond(self, status: int, body: bytes = b"", complete: bool = True) -> None:
        """A response of the backend."""
        found = head(status)
        found.parse(found.data + body, 0)
        requester = self.requester
        assert requester is not None
        if complete:
            self.requester = None
        requester.response(found, found.end + len(body), complete)


class FakeRequester(Requester):
    """A request that wants a connection: what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.request_done = True
        self.events: list[Any] = []
        self.stream: UpstreamStream | None = None

    def connected(self, stream: UpstreamStream) -> None:
        self.stream = stream
        self.events.append("connected")

    def connect_failed(self, reason: Any) -> None:
        self.events.append(reason.name)

    def response(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        self.events.append((head.status, head.data[head.end : body_end], complete))

    def data(self, data: Any) -> None:
        self.events.append(bytes(data))

    def end(self, trailers: Trailers) -> None:
        self.events.append(("end", trailers))

    def failed(self, reason: Any, silent: bool) -> None:
        self.events.append(reason.name)


def head(status: int) -> ResponseHead:
    """The head of a response without fields."""
    found = ResponseHead()
    found.parse(b"HTTP/1.1 %d X\r\n\r\n" % status, 0)
    return found
