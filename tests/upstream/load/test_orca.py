"""Load reports in all their forms: what they say, what is refused, and that nothing that comes in does harm."""

from __future__ import annotations

import json
from base64 import b64encode
from math import isnan
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.load.orca import SIZE_MAX, parse_binary, parse_body, parse_header, parse_server_timing
from proxy.upstream.load.report import LoadReport

FIELDS = ("cpu", "memory", "application", "rps", "eps", "cost", "in_flight", "latency")


def said(report: LoadReport | None) -> dict[str, Any] | None:
    """What a report says; None if it was refused."""
    if report is None:
        return None
    found = {name: getattr(report, name) for name in FIELDS if not isnan(getattr(report, name))}
    return found | (report.named or {})


# --- protobuf as others write it: tag, then eight bytes or a length ---


def double(field: int, value: float) -> bytes:
    return bytes([field << 3 | 1]) + pack("<d", value)


def entry(field: int, name: bytes, value: float) -> bytes:
    inner = b"\x0a" + bytes([len(name)]) + name + double(2, value)
    return bytes([field << 3 | 2, len(inner)]) + inner


WHOLE = {
    "cpu": 0.3,
    "memory": 0.8,
    "application": 1.5,
    "rps": 10.0,
    "eps": 1.0,
    "cost": 0.0125,
    "in_flight": 7.0,
    "latency": 0.25,
    "named_metrics.q": -0.4,
    "utilization.disk": 0.5,
    "request_cost.db": 3.0,
}
TEXT = (
    b"TEXT cpu_utilization=0.3, mem_utilization=0.8,application_utilization=1.5 ,  rps_fractional = 10.0, eps=1, "
    b"named_metrics.q=-0.4, utilization.disk=.5, request_cost.db=3, request_cost.cpu=1.25e-2, "
    b"named_metrics.rif=7, named_metrics.latency=0.25"
)
OBJECT = {
    "cpu_utilization": 0.3,
    "mem_utilization": 0.8,
    "application_utilization": 1.5,
    "rps_fractional": 10,
    "eps": 1.0,
    "named_metrics": {"q": -0.4, "rif": 7, "latency": 0.25},
    "utilization": {"disk": 0.5},
    "request_cost": {"db": 3, "cpu": 0.0125},
}
CAMELS = {
    "cpuUtilization": 0.3,
    "memUtilization": 0.8,
    "applicationUtilization": 1.5,
    "rpsFractional": "10",
    "eps": 1.0,
    "rps": "10",
    "namedMetrics": {"q": -0.4, "rif": 7, "latency": 0.25},
    "utilization": {"disk": 0.5},
    "requestCost": {"db": 3, "cpu": 0.0125},
}
PROTO = (
    double(1, 0.3)
    + double(2, 0.8)
    + b"\x18\x0a"  # rps = 10
    + entry(4, b"db", 3.0)
    + entry(4, b"cpu", 0.0125)
    + entry(5, b"disk", 0.5)
    + double(6, 10.0)
    + double(7, 1.0)
    + entry(8, b"q", -0.4)
    + entry(8, b"rif", 7.0)
    + entry(8, b"latency", 0.25)
    + double(9, 1.5)
    + b"\xa2\x06\x01x"  # field 100: not known yet
)


@pytest.mark.parametrize(
    "header",
    [
        TEXT,
        TEXT.replace(b"=", b":"),
        b"JSON " + json.dumps(OBJECT).encode(),
        b"JSON " + json.dumps(CAMELS).encode(),
        b"BIN " + b64encode(PROTO),
    ],
    ids=["text", "text with colons", "json", "json of protobuf", "bin"],
)
def test_every_form_says_the_same(header: bytes) -> None:
    assert said(parse_header(header)) == WHOLE


def test_the_binary_header() -> None:
    encoded = b64encode(PROTO)
    assert said(parse_binary(encoded)) == WHOLE
    assert said(parse_binary(encoded.rstrip(b"="))) == WHOLE, "gRPC leaves the padding out"
    assert said(parse_binary(b64encode(bytes.fromhex("09000000000000e03f")))) == {"cpu": 0.5}


def test_bodies() -> None:
    assert said(parse_body(json.dumps(OBJECT, indent=2).encode() + b"\n")) == WHOLE
    for body in (TEXT, TEXT[5:], b" " + TEXT[5:] + b"\r\n"):
        assert said(parse_body(body)) == WHOLE


def test_what_was_not_said_is_not_zero() -> None:
    report = parse_header(b"TEXT cpu_utilization=0")
    assert report is not None
    assert report.cpu == 0.0
    assert all(isnan(getattr(report, name)) for name in FIELDS if name != "cpu")
    assert report.named is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cpu_utilization",
        "cpu_utilization=",
        "cpu_utilization=.",
        "cpu_utilization=x",
        "cpu_utilization=1_0",
        "cpu_utilization=1.2.3",
        "cpu_utilization=NaN",
        "cpu_utilization=inf",
        "cpu_utilization=1e999",
        "cpu_utilization=-0.1",
        "cpu_utilization=0x10",
        "mem_utilization=1.01",
        "=0.5",
        " = 0.5",
        "cpu_utilization=0.1, cpu_utilization=0.1",
        "cpu_utilization=0.1,, eps=1",
        "cpu=0.1",
        "Cpu_utilization=0.1",
        "named_metrics=1",
        "named_metrics.=1",
        "named_metrics.q=nan",
        "named_metrics.q=1, named_metrics.q=2",
        "named_metrics.rif=-1",
        "named_metrics.rif=1, named_metrics.rif=1",
        "other.q=1",
        "named_metrics.\xe9=1",
    ],
)
def test_one_thing_wrong_refuses_the_whole_text(text: str) -> None:
    assert parse_header(f"TEXT rps_fractional=0, {text}".encode()) is None
    assert parse_header(f"TEXT {text}".encode()) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "0.5",
        "null",
        "{",
        '{"cpu_utilization": NaN}',
        '{"cpu_utilization": Infinity}',
        '{"cpu_utilization": "NaN"}',
        '{"cpu_utilization": true}',
        '{"cpu_utilization": [1]}',
        '{"cpu_utilization": 1e999}',
        '{"cpu_utilization": 1' + "0" * 400 + "}",
        '{"cpu_utilization": -1}',
        '{"cpu_utilization": 1, "cpu_utilization": 1}',
        '{"cpu_utilization": 1, "cpuUtilization": 1}',
        '{"cpu": 1}',
        '{"named_metrics.q": 1}',
        '{"named_metrics": 1}',
        '{"named_metrics": {"": 1}}',
        '{"named_metrics": {"q": 1, "q": 2}}',
        '{"named_metrics": {"q": {"r": 1}}}',
        "[" * 5000,
    ],
)
def test_one_thing_wrong_refuses_the_whole_json(text: str) -> None:
    assert parse_header(b"JSON " + text.encode()) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x09",
        b"\x09\x00\x00",
        b"\x80",
        b"\xff" * 12,
        b"\x0b",  # a group
        b"\x42\x7f",  # longer than what is there
        double(1, float("nan")),
        double(1, -1.0),
        double(1, 0.5) + double(1, 0.5),
        entry(1, b"q", 1.0),
        double(8, 1.0),
        entry(8, b"", 1.0),
        entry(8, b"\xff", 1.0),
        entry(8, b"q", float("inf")),
        entry(8, b"q", 1.0) + entry(8, b"q", 1.0),
    ],
)
def test_one_thing_wrong_refuses_the_whole_message(data: bytes) -> None:
    assert parse_binary(b64encode(data)) is None


@pytest.mark.parametrize(
    "value", [b"", b"cpu_utilization=1", b"text cpu_utilization=1", b"XML <a/>", b"BIN ~", b"BIN \xe9"]
)
def test_other_forms_are_refused(value: bytes) -> None:
    assert parse_header(value) is None


def test_reports_are_bounded() -> None:
    names = [f"named_metrics.m{n}=1" for n in range(65)]
    assert parse_header(f"TEXT {','.join(names[:64])}".encode()) is not None
    assert parse_header(f"TEXT {','.join(names)}".encode()) is None
    long = b"named_metrics." + b"x" * SIZE_MAX + b"=1"
    assert parse_header(b"TEXT " + long) is None
    assert parse_body(long) is None
    assert parse_binary(b64encode(bytes(SIZE_MAX))) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"cpu;dur=12.5", 0.0125),
        (b'db;dur=53, cpu ; desc="a, cpu;dur=1" ; DUR = 2000', 2.0),
        (b'x;desc="\\", cpu;dur=3", cpu;dur=4', 0.004),
        (b"cpu;dur=0", 0.0),
        (b"cpu", None),
        (b"cpu;dur=abc", None),
        (b"cpu;dur=-1", None),
        (b"cpu;dur=nan", None),
        (b"cpux;dur=1, total;dur=2", None),
        (b'a;desc="cpu;dur=1', None),
        (b"", None),
        (b"cpu;dur=1," + b"x" * SIZE_MAX, None),
    ],
)
def test_server_timing(value: bytes, seconds: float | None) -> None:
    found = parse_server_timing(value)
    assert isnan(found) if seconds is None else found == pytest.approx(seconds, abs=1e-12)


# --- whatever comes in ---


@given(st.binary(max_size=300))
def test_no_bytes_do_harm(data: bytes) -> None:
    parsed = [parse_header(data), parse_binary(data), parse_body(data), parse_binary(b64encode(data))]
    parsed += [parse_header(prefix + data) for prefix in (b"TEXT ", b"JSON ", b"BIN ")]
    for report in parsed:
        assert report is None or len(report.named or ()) <= 64
    assert not parse_server_timing(data) < 0


names = st.sampled_from(["cpu_utilization", "eps", "named_metrics.rif", "named_metrics.x", "request_cost.cpu", "rps"])
pieces = st.sampled_from(["=", ":", ",", " ", "nan", "1", "-", "e", "1e400", "0.5", "_", "utilization.", '"'])


@given(st.lists(names | pieces, max_size=20).map("".join))
def test_nearly_right_text_does_no_harm(text: str) -> None:
    parse_header(f"TEXT {text}".encode())
    parse_server_timing(text.encode())


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*OBJECT, *CAMELS]) | st.text(max_size=3), inner, max_size=4)
        ),
    )
)
def test_any_json_does_no_harm(value: object) -> None:
    parse_header(b"JSON " + json.dumps(value).encode())


@given(st.floats(0, 1e15) | st.integers(0, 2**53).map(float), st.sampled_from(["{!r}", "{:.3f}", "{:.12g}", "{:e}"]))
def test_numbers_are_those_of_python(value: float, form: str) -> None:
    text = form.format(value)
    report = parse_header(f"TEXT cpu_utilization={text}".encode())
    assert report is not None
    assert report.cpu == float(text)
