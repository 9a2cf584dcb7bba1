"""Where a request stands in its trace, and what a backend is told of it."""

from __future__ import annotations

from proxy.exchange import ClientStream, Exchange
from proxy.features.tracing.context import parse_parent
from proxy.features.tracing.trace import Rules, Trace
from proxy.http.peer import Peer
from proxy.metrics import Counters
from proxy.plan import TraceSpec

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def begun(spec: TraceSpec, data: bytes = REQUEST) -> Trace:
    x = Exchange()
    assert x.head.parse(data, 0)
    x.client = ClientStream(Peer(), Counters())
    Rules(spec).begin(x)
    assert isinstance(x.trace, Trace)
    return x.trace


def test_ids_are_never_the_same() -> None:
    traces = [begun(TraceSpec("")) for _ in range(2000)]
    tries = [trace.begin_try(0.0, None) for trace in traces for _ in range(3)]
    assert len({trace.trace_id for trace in traces}) == len(traces)
    assert len({trace.server_id for trace in traces} | {each.id for each in tries}) == len(traces) * 4


def test_the_share_is_what_it_says() -> None:
    kept = sum(begun(TraceSpec("", share=0.1)).shared for _ in range(10_000))
    assert 800 < kept < 1200  # more than six standard deviations


def test_the_lines_are_a_valid_context() -> None:
    for share in (0.0, 1.0):
        trace = begun(TraceSpec("", share=share))
        attempt = trace.begin_try(0.0, None)
        ((name, value),) = trace.fields(attempt).fields
        assert name == b"traceparent"
        assert parse_parent([value]) == (trace.trace_id, attempt.id, share == 1.0)


def test_a_state_goes_along() -> None:
    trace = begun(TraceSpec("", believe="everybody"), REQUEST[:-2] + b"tracestate: a=1\r\n\r\n")
    assert len(trace.fields(trace.begin_try(0.0, None)).fields) == 1  # without a traceparent it means nothing
    lines = b"traceparent: 00-%b-%b-00\r\ntracestate: a=1\r\n\r\n" % (b"1" * 32, b"2" * 16)
    trace = begun(TraceSpec("", believe="everybody"), REQUEST[:-2] + lines)
    assert trace.fields(trace.begin_try(0.0, None)).fields[1] == (b"tracestate", b"a=1")
