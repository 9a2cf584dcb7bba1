"""proxy/pipeline.py: a request and its response through every stage, between two transports that swallow bytes.

What a system call or the event loop costs is not in it. The codec is; its own part is in codec.py, and the mark is the
sum of the marks for the request head there and for the pipeline above the codec. Law of this file: the transports are
made of builtin functions, so that next to nothing of what is timed is theirs.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.configuration.compile import compile_plan
from proxy.configuration.load import load_text
from proxy.downstream.acceptor import Acceptor
from proxy.downstream.http1.connection import ClientConnection
from proxy.features.sticky.balancer import sign
from proxy.features.tracing.recorder import Tracer
from proxy.features.tracing.trace import Rules
from proxy.metrics import Counters
from proxy.pipeline import link_plan
from proxy.upstream.http1 import Http1Connection

from .codec import REQUEST, RESPONSE
from .harness import Case

if TYPE_CHECKING:
    from collections.abc import Callable

CODEC_MARK, PIPELINE_MARK = 1200.0, 2000.0
HEAD = "listeners: [{bind: '127.0.0.1:0'}]\nlimits: {requests_per_connection: 2000000000}\n"
FORWARD = "upstreams: {app: {backends: ['127.0.0.1:9001', '127.0.0.1:9002']}}\nroutes: [{upstream: app}]\n"
EDITED = FORWARD.replace(
    "app}]", "app, request_headers: {set: {X-A: '1'}}, response_headers: {set: {X-B: '2'}, remove: [Server]}}]"
)
GUARDED = FORWARD.replace("9002']", "9002'], breaker: {}, limits: {requests: 100000}")
GUARDED = GUARDED.replace("app}]", "app, rate_limits: [a]}]") + "rate_limits: {a: {rate: 10000000/s}}\nshedding: {}\n"
LISTENING = FORWARD.replace("{backends", "{load_reports: {}, backends")
REPORT = b"\r\nendpoint-load-metrics: TEXT cpu_utilization=0.31, named_metrics.rif=12, request_cost.cpu=0.00123\r\n"
REPORTING = RESPONSE.replace(b"\r\n", REPORT, 1)
SECRET = "a secret of the benchmark"
STICKY = FORWARD.replace("{backends", f"{{sticky: {{cookie: {{secret: {SECRET}}}}}, backends")
COOKIE = b"\r\nCookie: qantara_route=" + sign(SECRET.encode(), "app", "127.0.0.1:9001")
RETURNING = REQUEST.replace(b"\r\n", COOKIE + b"\r\n", 1)
LEARNING = FORWARD.replace("{backends", "{sticky: {learn: 'header:X-Session'}, backends")
IN_SESSION = REQUEST.replace(b"\r\n", b"\r\nX-Session: 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d\r\n", 1)
LOCATED = FORWARD.replace("{backends", "{balance: geographic, backends") + "geo: {networks: {192.0.2.0/24: eu-west}}\n"
FIXED = "routes: [{respond: {body: hello}}]\n"
MANY = FORWARD.replace(
    "[{up", "[" + "".join(f"{{path: /api/v{n}/items, upstream: app}}, " for n in range(1000)) + "{up"
)


class Swallow:
    """A transport with room for everything."""

    def __init__(self) -> None:
        self.written: deque[Any] = deque(maxlen=1)
        self.write = self.written.append
        self.writelines = self.written.extend
        self.is_closing = bool

    def get_extra_info(self, name: str) -> object:
        return ("192.0.2.1", 4711) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        pass


def cases() -> list[Case]:
    mark = CODEC_MARK + PIPELINE_MARK
    return [
        Case("request and response, codec included", partial(forwarded, FORWARD), mark=mark),
        Case("the same as one of 1,000 routes", partial(forwarded, MANY), mark=mark),
        Case("the same with headers edited both ways", partial(forwarded, EDITED)),
        Case("the same with Forwarded of RFC 7239 too", partial(forwarded, FORWARD + "forwarded: both\n")),
        Case("the same with rate limit, breaker, shedding, limits", partial(forwarded, GUARDED)),
        Case("the same, traced", partial(forwarded, FORWARD + "tracing: {}\n")),
        Case("the same, and listens for load reports where there are none", partial(forwarded, LISTENING)),
        Case("the same with a load report in each response", partial(forwarded, LISTENING, REPORTING)),
        Case("the same, sticky, and a client that is told its backend", partial(forwarded, STICKY)),
        Case("the same, sticky, and a client that says its backend", partial(forwarded, STICKY, request=RETURNING)),
        Case(
            "the same, and looks for a session that nobody has named", partial(forwarded, LEARNING, request=IN_SESSION)
        ),
        Case("the same, geographic by a table of networks", partial(forwarded, LOCATED)),
        Case("fixed response", fixed),
    ]


def client_of(yaml: str) -> ClientConnection:
    """A client connection on a plan, whose backends have one idle connection each."""
    plan = link_plan(compile_plan(load_text(HEAD + yaml, "bench.yaml").config))
    plan.settle_groups()
    for group in plan.groups.values():
        for backend in group.members.all:
            connection = Http1Connection(backend.pool, 32768, 100)
            connection.connection_made(Swallow())
            backend.pool.size += 1
            backend.pool.idle.append(connection)
    counters = Counters()
    tracer = Tracer(plan.tracing, Rules(plan.tracing), counters.cells) if plan.tracing is not None else None
    client = ClientConnection(Acceptor(plan, plan.registry.sweep, counters, tracer))
    client.connection_made(Swallow())
    return client


def forwarded(yaml: str, response: bytes = RESPONSE, request: bytes = REQUEST) -> Callable[[], object]:
    client = client_of(yaml)

    def call() -> None:
        client.data_received(request)
        client.x.attempt.upstream.data_received(response)  # type: ignore[union-attr]

    call()
    if not client.transport.written[0].endswith(RESPONSE[-134:]):
        raise AssertionError(f"the response did not come through: {client.transport.written}")
    return call


def fixed() -> Callable[[], object]:
    client = client_of(FIXED)
    client.data_received(REQUEST)
    if not client.transport.written[0].endswith(b"hello"):
        raise AssertionError(f"no answer: {client.transport.written}")
    return lambda: client.data_received(REQUEST)
