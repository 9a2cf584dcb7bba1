"""OpenTelemetry traces: trace context, the attempts of a request, and tail sampling.

    context.py    traceparent and tracestate (W3C Trace Context), pure
    trace.py      the trace of a request in flight, and its attempts
    stages.py     the traced stages before send and on the way back
    hedging.py    the second attempt of a hedged request, traced
    recorder.py   the sampling decision at the end of a request
    links.py      the links of tracing in the chains of a plan

Law of this package: linked only into routes that are traced, and independent of OpenTelemetry's packages. Spans are
made and exported in a thread of the control side (control/trace_export/).
"""
