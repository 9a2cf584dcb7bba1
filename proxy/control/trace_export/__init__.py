"""Traces on their way to a collector, in a thread of each worker.

    compiling.py   the section of the configuration, for the path
    spans.py       from what is kept of a request to spans, in the words of OpenTelemetry
    rules.py       what it does not allow elsewhere
    exporting.py   the thread, and the exporter of the opentelemetry packages

Law of this package: the opentelemetry packages are imported in exporting.py and spans.py, and only where tracing is
configured: they are an extra.
"""
