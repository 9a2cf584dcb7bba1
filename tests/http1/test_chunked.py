"""The chunk decoder: every refusal with its reason, and exactly what is forwarded of what is accepted."""

from __future__ import annotations

import pytest

from proxy.errors import BAD_CHUNK, BAD_RESPONSE_CHUNK, BAD_TRAILER, ProtocolError, Reason
from proxy.http1.codec import ChunkedDecoder

from .cases_chunked import ABC, ACCEPTS, REJECTS, UNDECIDED
from .wire import MORE, Body, decode, named, prove_body


@pytest.mark.parametrize(("data", "reason"), named(REJECTS))
def test_refused(data: bytes, reason: Reason) -> None:
    assert prove_body(data) == prove_body(data, payload=True) == reason
    assert prove_body(data, response=True) == BAD_RESPONSE_CHUNK


@pytest.mark.parametrize(("data", "out", "payload"), named(ACCEPTS))
def test_accepted(data: bytes, out: bytes, payload: bytes) -> None:
    assert prove_body(data) == Body(out, len(payload), b"")
    assert prove_body(data, payload=True, response=True) == Body(payload, len(payload), b"")
    assert prove_body(out) == Body(out, len(payload), b""), "what is forwarded is decoded to itself"


@pytest.mark.parametrize("data", UNDECIDED)
def test_more(data: bytes) -> None:
    assert prove_body(data) == MORE


@pytest.mark.parametrize("control", [*range(0x20), 0x7F], ids=hex)
def test_a_control_byte_in_the_framing(control: int) -> None:
    """A control byte anywhere but in the payload is refused, or is HTAB where white space may stand."""
    data = b'1 ;a="b" ; c\r\nx\r\n0;d\r\nE: f\r\n\r\n'
    expected = Body(b"1\r\nx\r\n0\r\nE: f\r\n\r\n", 1, b"")
    assert decode([data]) == expected
    for at in range(len(data)):
        changed = data[:at] + bytes([control]) + data[at:]
        outcome = decode([changed])
        if isinstance(outcome, Body) and not changed.startswith(data):
            assert control == 0x09
            assert outcome.total == 1 and outcome.out.replace(b"\t", b"") == expected.out


def test_start_and_end_in_one_buffer() -> None:
    """A body begins behind a head and ends before the next one, in the same bytes."""
    decoder = ChunkedDecoder()
    data = b"HEAD" + ABC + b"NEXT"
    assert decoder.feed(data, 4) == ABC
    assert (decoder.done, decoder.end, decoder.total) == (True, 4 + len(ABC), 3)


def test_whole_input_is_not_copied() -> None:
    piece = b"400\r\n" + b"x" * 1024 + b"\r\n"
    assert ChunkedDecoder().feed(piece, 0) is piece


def test_a_finished_decoder_takes_nothing() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(ABC, 0)
    assert (decoder.feed(b"5\r\n", 0), decoder.end, decoder.total) == (b"", 0, 3)


@pytest.mark.parametrize(("bad", "reason"), [(b"x", BAD_CHUNK), (b"0;\r\n", BAD_CHUNK), (b"0\r\n\n", BAD_TRAILER)])
def test_a_failed_decoder_stays_failed(bad: bytes, reason: Reason) -> None:
    decoder = ChunkedDecoder()
    with pytest.raises(ProtocolError) as first:
        decoder.feed(bad, 0)
    assert first.value.reason == reason
    with pytest.raises(ProtocolError):
        decoder.feed(ABC, 0)
    assert not decoder.done


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"1;a=", b"\r\nx\r\n0\r\n\r\n", BAD_CHUNK),
        (b'1;a="', b'"\r\nx\r\n0\r\n\r\n', BAD_CHUNK),
        (b"0\r\nA:", b"\r\n\r\n", BAD_TRAILER),
    ],
)
def test_extensions_and_trailers_are_bounded(before: bytes, after: bytes, reason: Reason) -> None:
    """What is held back of extensions and trailers counts together against `limit`, to the byte."""
    overhead = {b"1;a=": 5, b'1;a="': 7, b"0\r\nA:": 6}[before]  # what else is held on the line
    fits = before + b"b" * (100 - overhead) + after
    over = before + b"b" * (101 - overhead) + after
    assert isinstance(decode([fits], limit=100), Body)
    assert decode([over], limit=100) == reason
    assert decode([bytes([byte]) for byte in over], limit=100) == reason
    endless = [before, *[b"b" * 10] * 20]
    assert decode(endless, limit=100) == reason, "no line end is waited for"


def test_many_small_extensions_are_bounded() -> None:
    assert decode([b"1;abc\r\nx\r\n"] * 20, limit=100) == BAD_CHUNK
    assert decode([b"1\r\nx\r\n"] * 2000, limit=100) == MORE
