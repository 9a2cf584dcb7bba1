"""traceparent and tracestate: what is read, and what is as good as absent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.features.tracing.context import Parent, parse_parent, parse_state, threshold

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
VALID = b"00-%b-%b-01" % (TRACE, SPAN)


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (VALID, True),
        (VALID[:-2] + b"00", False),
        (VALID[:-2] + b"ff", True),
        (VALID[:-2] + b"02", False),
        (b"01" + VALID[2:], True),
        (b"cc" + VALID[2:] + b"-what-comes-later", True),
    ],
    ids=["sampled", "not sampled", "all flags", "another flag", "a later version", "a longer later version"],
)
def test_what_is_read(value: bytes, sampled: bool) -> None:
    assert parse_parent([value]) == Parent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [VALID, VALID],
        [b""],
        [b"ff" + VALID[2:]],
        [VALID + b"-more"],
        [VALID + b"-"],
        [b"01" + VALID[2:] + b"more"],
        [VALID.upper()],
        [b"00-%b-%b-01" % (b"0" * 32, SPAN)],
        [b"00-%b-%b-01" % (TRACE, b"0" * 16)],
        [VALID[:-1]],
        [VALID[:-3]],
        [VALID.replace(b"-", b"_")],
        [VALID + b"\n"],
        [b"0-%b-%b-01" % (TRACE, SPAN)],
        [b"00-%b-%b-0g" % (TRACE, SPAN)],
        [VALID + b"," + VALID],
    ],
)
def test_what_is_as_good_as_absent(values: list[bytes]) -> None:
    assert parse_parent(values) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_not(value: bytes) -> None:
    found = parse_parent([value])
    assert found is None or (found.trace_id in value and found.span_id in value)


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([b"a=1"], b"a=1"),
        ([b"a=1,b=2", b"c=3"], b"a=1,b=2,c=3"),
        ([b" a=1 ,\t b=2 , ,"], b"a=1,b=2"),
        ([b"t@v=x y"], b"t@v=x y"),
        ([b"a=%b" % (b"v" * 256)], b"a=%b" % (b"v" * 256)),
        ([b""], b""),
    ],
)
def test_states(values: list[bytes], state: bytes) -> None:
    assert parse_state(values) == state


@pytest.mark.parametrize(
    "values",
    [
        [b"a"],
        [b"a="],
        [b"=1"],
        [b"A=1"],
        [b"a=1=2"],
        [b"a=1,a=2"],
        [b"a=\x7f"],
        [b"a=%b" % (b"v" * 257)],
        [b"%b=1" % (b"k" * 257)],
        [b",".join(b"k%d=1" % n for n in range(33))],
        [b"a=1", b"b"],
    ],
)
def test_a_malformed_state_is_not_passed_on(values: list[bytes]) -> None:
    assert parse_state(values) == b""


@pytest.mark.parametrize(("share", "least"), [(1.0, b"0" * 14), (0.5, b"8" + b"0" * 13), (0.0, b"g")])
def test_the_threshold_of_a_share(share: float, least: bytes) -> None:
    assert threshold(share) == least


@given(st.floats(0, 1), st.integers(0, 2**56 - 1))
def test_digits_compare_like_numbers(share: float, number: int) -> None:
    assert (b"%014x" % number >= threshold(share)) == (number >= round((1.0 - share) * 2**56))
