"""The formats of load reports: ORCA's header in its three forms, the body of a load endpoint, Server-Timing.

Law of this file: for any input nothing is raised and the work is bounded. A report with any error is refused as a
whole: a malformed number, an empty, unknown or duplicate name, or too many values.

The forms are Envoy's (source/common/orca/orca_parser.cc); the binary one is the protobuf message OrcaLoadReport of
github.com/cncf/xds. It has nine fields of two kinds, which is less code to read here than a library is to depend on.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from struct import Struct
from typing import Any

from ...errors import ReportRefused
from .report import NAN, LoadReport

SIZE_MAX = 8192
"""Bytes of a report in any form."""
SHORT = 16
"""Digits and a point that make a number exactly."""
BLANK, COMMA, POINT, ZERO, NINE, COLON, EQUALS = b" ,.09:="
MOST_NAMED = 64
"""Named metrics, utilizations and costs in one report."""
MAPS = ("named_metrics.", "utilization.", "request_cost.")
DOUBLE = Struct("<d")
SCALAR_FIELDS = {
    1: "cpu_utilization",
    2: "mem_utilization",
    6: "rps_fractional",
    7: "eps",
    9: "application_utilization",
}
MAP_FIELDS = {4: "request_cost.", 5: "utilization.", 8: "named_metrics."}
JSON_NAMES = {
    "cpuUtilization": "cpu_utilization",
    "memUtilization": "mem_utilization",
    "applicationUtilization": "application_utilization",
    "rpsFractional": "rps_fractional",
    "requestCost": "request_cost",
    "namedMetrics": "named_metrics",
}
"""Protobuf's JSON has both forms of a name."""
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
"""A quoted string, also one that does not end: so it never has to be tried twice."""


def parse_header(value: bytes) -> LoadReport | None:
    """`endpoint-load-metrics`: "TEXT cpu_utilization=0.3, ...", "JSON {...}" or "BIN base64". None if refused."""
    try:
        if len(value) > SIZE_MAX:
            return None
        if value.startswith(b"TEXT "):
            return from_text(value, 5)
        if value.startswith(b"JSON "):
            return from_json(value[5:])
        if value.startswith(b"BIN "):
            return from_base64(value[4:])
    except (ValueError, OverflowError, RecursionError):
        pass
    return None


def parse_binary(value: bytes) -> LoadReport | None:
    """`endpoint-load-metrics-bin`: the message in base64, with or without padding. None if refused."""
    try:
        return from_base64(value) if len(value) <= SIZE_MAX else None
    except ValueError:
        return None


def parse_body(body: bytes) -> LoadReport | None:
    """The body of a load endpoint: JSON, the text form, or either of them as in the header. None if refused."""
    body = body.strip()
    if body[:5] in (b"TEXT ", b"JSON "):
        return parse_header(body)
    return parse_header((b"JSON " if body[:1] == b"{" else b"TEXT ") + body)


def parse_server_timing(value: bytes) -> float:
    """The CPU seconds in `cpu;dur=` of a Server-Timing header, NAN without one."""
    if len(value) > SIZE_MAX:
        return NAN
    text = value.decode("latin-1")
    if '"' in text:  # descriptions may have commas in them
        text = QUOTED.sub("", text)
    for metric in text.split(","):
        name, *params = metric.split(";")
        if name.strip() == "cpu":
            for param in params:
                key, _, milliseconds = param.partition("=")
                if key.strip().lower() == "dur":
                    return _milliseconds(milliseconds)
    return NAN


def _milliseconds(text: str) -> float:
    try:
        return once(NAN, number(text.strip())) / 1e3
    except ValueError:
        return NAN


# --- the forms ---


def from_text(text: bytes, at: int) -> LoadReport:
    """The text from an offset on. Raises ValueError."""
    report = LoadReport()
    end = len(text)
    while at <= end:
        start, mark = at, -1
        while at < end and text[at] != COMMA:
            if mark < 0 and (text[at] == EQUALS or text[at] == COLON):  # the colon is an older form
                mark = at
            at += 1
        if mark < 0:
            raise ReportRefused
        put(report, word(text, start, mark), decimal(text, mark + 1, at))
        at += 1
    return report


def word(text: bytes, start: int, end: int) -> str:
    """The text between two offsets, without the blanks around it. Raises ValueError."""
    while start < end and text[start] == BLANK:
        start += 1
    while start < end and text[end - 1] == BLANK:
        end -= 1
    return text[start:end].decode("ascii")


def decimal(text: bytes, start: int, end: int) -> float:
    """The number between two offsets. Raises ValueError."""
    while start < end and text[start] == BLANK:
        start += 1
    at, digits, divisor, exact = start, 0, 0, True
    while at < end and exact:  # nearly all look like this; it is exact for so few digits, and cheaper than float()
        byte = text[at]
        if ZERO <= byte <= NINE:
            digits = 10 * digits + byte - ZERO
            divisor *= 10
        elif byte == POINT and divisor == 0:
            divisor = 1
        else:
            exact = False
        at += 1
        exact = exact and at - start <= SHORT
    if exact and at > start + (divisor > 0):
        return digits / divisor if divisor else float(digits)
    return number(text[start:end].decode("ascii"))


def from_json(text: bytes) -> LoadReport:
    """Raises ValueError, OverflowError or RecursionError."""
    found = DECODER.decode(text.decode())
    if not isinstance(found, dict):
        raise ReportRefused
    report = LoadReport()
    for key, value in found.items():
        name = JSON_NAMES.get(str(key), str(key))
        if f"{name}." in MAPS and isinstance(value, dict):
            for inner, each in value.items():
                put(report, f"{name}.{inner}", _json_number(each))
        elif "." in name:
            raise ReportRefused
        elif value is not None:
            put(report, name, _json_number(value))
    return report


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ReportRefused
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_without_doubles)


def _json_number(value: object) -> float:
    if isinstance(value, str):  # protobuf may write numbers so
        return number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReportRefused
    return float(value)


def from_base64(text: bytes) -> LoadReport:
    """Raises ValueError."""
    text = text.strip().rstrip(b"=")
    return from_protobuf(b64decode(text + b"=" * (-len(text) % 4), validate=True))


def from_protobuf(data: bytes) -> LoadReport:
    """The fields of the message; unknown ones are skipped, as protobuf requires. Raises ValueError."""
    report = LoadReport()
    for field, value in _fields(data):
        if field in SCALAR_FIELDS:
            put(report, SCALAR_FIELDS[field], _double(value))
        elif field in MAP_FIELDS:
            if not isinstance(value, bytes):
                raise ReportRefused
            entry = dict(_fields(value))
            name = entry.get(1, b"")
            if not isinstance(name, bytes):
                raise ReportRefused
            put(report, MAP_FIELDS[field] + name.decode(), _double(entry.get(2, 0.0)))
    return report


def _double(value: float | bytes) -> float:
    if isinstance(value, bytes):
        raise ReportRefused
    return value


def _fields(data: bytes) -> list[tuple[int, float | bytes]]:
    """The fields of a protobuf message: doubles, and what has a length. Raises ValueError."""
    found: list[tuple[int, float | bytes]] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:  # `rps`, which rps_fractional has replaced, or something unknown
            _, at = _varint(data, at)
            continue
        size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, SIZE_MAX + 1), at)
        if at + size > len(data):
            raise ReportRefused
        if kind == 1:
            found.append((tag >> 3, DOUBLE.unpack_from(data, at)[0]))
        elif kind == 2:
            found.append((tag >> 3, data[at : at + size]))
        at += size
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number at an offset, and the offset behind it."""
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            raise ReportRefused
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ReportRefused


# --- what they have in common ---


def number(text: str) -> float:
    """A number in decimal. Raises ValueError."""
    if "_" in text:  # Python's own spelling
        raise ReportRefused
    return float(text)


def once(before: float, value: float) -> float:
    """`value`, if `before` is not set and it is a valid load. Raises ValueError."""
    if before == before or not 0.0 <= value < 1e300:
        raise ReportRefused
    return value


def put(report: LoadReport, name: str, value: float) -> None:
    """Set the field of one number. Raises ValueError."""
    if name == "cpu_utilization":
        report.cpu = once(report.cpu, value)
    elif name == "mem_utilization":
        if value > 1.0:
            raise ReportRefused
        report.memory = once(report.memory, value)
    elif name == "application_utilization":
        report.application = once(report.application, value)
    elif name == "rps_fractional":
        report.rps = once(report.rps, value)
    elif name == "eps":
        report.eps = once(report.eps, value)
    elif name == "named_metrics.rif":
        report.in_flight = once(report.in_flight, value)
    elif name == "named_metrics.latency":
        report.latency = once(report.latency, value)
    elif name == "request_cost.cpu":
        report.cost = once(report.cost, value)
    elif name != "rps":  # an old name for rps_fractional, of whole numbers
        _put_named(report, name, value)


def _put_named(report: LoadReport, name: str, value: float) -> None:
    named = report.named
    if named is None:
        named = report.named = {}
    known = name.startswith(MAPS) and name not in MAPS
    if not known or name in named or len(named) >= MOST_NAMED or value - value != 0.0:
        raise ReportRefused
    named[name] = value
