"""OpenTelemetry traces: what a request was part of, how often it was tried, and which traces are worth keeping.

    context.py    traceparent and tracestate (W3C Trace Context), pure
    trace.py      what is remembered of a request and its tries while it is in flight
    stages.py     send and relay as they are linked where requests are traced
    stages/hedge.py    the second attempt of a hedged request, likewise
    recorder.py   finish: is it kept?

Law of this package: it is linked in when the plan is compiled, and knows nothing of OpenTelemetry's packages. Spans are
made of what is kept, and sent, in a thread (control/tracing/).
"""
