"""Whatever comes: it parses, it asks for more, or it raises ProtocolError; and how it is cut changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Reason
from proxy.http1.codec import canonicalize

from ..http1 import cases_chunked, cases_request, cases_response
from ..http1.wire import MORE, Body, decode, parse_request, parse_response, through_buffer
from . import fuzz_codec
from .grammar import chunked_bodies, damaged, requests, responses

CUTS = st.lists(st.integers(0, 600), max_size=5)


REQUESTS = requests() | st.sampled_from([row[1] for row in (*cases_request.ACCEPTS, *cases_request.REJECTS)])
RESPONSES = responses() | st.sampled_from([row[1] for row in (*cases_response.ACCEPTS, *cases_response.REJECTS)])
BODIES = chunked_bodies() | st.sampled_from(
    [row[1] for row in cases_chunked.ACCEPTS] + [row[1] for row in cases_chunked.REJECTS]
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at these offsets."""
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[a:b] for a, b in pairwise(edges)]


def check_prefixes(parse: Callable[..., object], data: bytes, cuts: list[int]) -> None:
    """Once decided, more bytes decide nothing else; before that, the outcome is MORE."""
    whole = parse(data)
    outcomes = [parse(data[:cut]) for cut in sorted({*cuts, len(data)}) if cut <= len(data)]
    decided = [outcome for outcome in outcomes if outcome != MORE]
    assert all(outcome == whole for outcome in decided)
    assert outcomes[: len(outcomes) - len(decided)] == [MORE] * (len(outcomes) - len(decided))
    assert parse(b"prefix" + data, 6) == whole
    if whole != MORE:
        assert parse(data + b"\r\n\r\nmore") == whole


@given(damaged(REQUESTS) | st.binary(max_size=80), CUTS)
def test_request_heads(data: bytes, cuts: list[int]) -> None:
    check_prefixes(parse_request, data, cuts)
    assert through_buffer(pieces(data, cuts)) == parse_request(data + b"\r\n\r\n")


@given(damaged(RESPONSES) | st.binary(max_size=80).map(b"HTTP/1.1 ".__add__), CUTS)
def test_response_heads(data: bytes, cuts: list[int]) -> None:
    check_prefixes(parse_response, data, cuts)


@given(damaged(BODIES) | st.binary(max_size=80), CUTS)
def test_chunked_bodies(data: bytes, cuts: list[int]) -> None:
    whole = decode([data])
    assert isinstance(whole, Body | Reason) or whole == MORE
    assert decode(pieces(data, cuts)) == whole
    payload = decode(pieces(data, cuts), payload=True)
    if isinstance(whole, Body):
        assert isinstance(payload, Body)
        assert (payload.total, payload.rest) == (whole.total, whole.rest) and payload.total == len(payload.out)
        again = decode([whole.out], payload=True)
        assert again == Body(payload.out, payload.total, b""), "what is forwarded says the same"
    else:
        assert payload == whole


@given(st.binary(max_size=30) | st.binary(max_size=30).map(b"/".__add__))
def test_canonical_paths(path: bytes) -> None:
    canonical = canonicalize(path)
    if canonical is not None:
        assert canonicalize(canonical) == canonical


def test_the_fast_fuzzer() -> None:
    """A moment of what runs for long on its own."""
    outcomes = fuzz_codec.run(seconds=0.3, seed=1)
    assert outcomes["accepted"] > 0 and len(outcomes) > 5
