"""What tracing does not allow in other sections.

Law of this file: plain data, which may be wrong in every other way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

OWN = ("traceparent", "tracestate")
"""The headers that are the tracer's."""


def said_twice(request_headers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where a route would write a header of the tracer's too, as change and name: two of them are as good as none."""
    for change in ("set", "append"):
        names = request_headers.get(change)
        for name in names if isinstance(names, dict) else ():
            if isinstance(name, str) and name.lower() in OWN:
                yield change, name
