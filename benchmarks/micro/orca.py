"""proxy/upstream/load/orca.py: what it costs to read a load report."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from proxy.upstream.load.orca import parse_header, parse_server_timing

from .harness import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXT = b"TEXT cpu_utilization=0.31, named_metrics.rif=12, request_cost.cpu=0.00123"
JSON = b'JSON {"cpu_utilization":0.31,"named_metrics":{"rif":12},"request_cost":{"cpu":0.00123}}'
BIN = b"BIN CdejcD0K19M/Qg4KA3JpZhEAAAAAAAAoQCIOCgNjcHUR14aKcf4mVD8="
TEXT_MARK = 1000.0


def cases() -> Iterator[Case]:
    yield Case("TEXT, three fields", partial(reading, parse_header, TEXT), mark=TEXT_MARK)
    yield Case("JSON, three fields", partial(reading, parse_header, JSON))
    yield Case("BIN, three fields", partial(reading, parse_header, BIN))
    yield Case("Server-Timing, two metrics", partial(reading, parse_server_timing, b"db;dur=53, cpu;dur=1.23"))


def reading(parse: Callable[[bytes], object], text: bytes) -> Callable[[], object]:
    return lambda: parse(text)
