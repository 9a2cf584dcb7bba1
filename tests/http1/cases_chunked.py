"""Chunked bodies that are refused, each with its Reason, and chunked bodies that are accepted.

Law of this file: literal bytes only. `REJECTS` rows are (name, bytes, reason in a request); in a response
every one of them is BAD_RESPONSE_CHUNK. `ACCEPTS` rows are (name, bytes, what is forwarded, the payload).
"""

from __future__ import annotations

from proxy import errors as e
from proxy.errors import Reason
from proxy.http1.codec import FORBIDDEN_TRAILERS

LAST = b"0\r\n\r\n"

_CHUNKS: list[tuple[str, bytes]] = [
    ("size_empty", b"\r\nabc\r\n" + LAST),
    ("size_only_extension", b";a\r\nabc\r\n" + LAST),
    ("size_0x", b"0x3\r\nabc\r\n" + LAST),
    ("size_minus", b"-1\r\nabc\r\n" + LAST),
    ("size_plus", b"+3\r\nabc\r\n" + LAST),
    ("size_space_before", b" 3\r\nabc\r\n" + LAST),
    ("size_tab_before", b"\t3\r\nabc\r\n" + LAST),
    ("size_space_after", b"3 \r\nabc\r\n" + LAST),
    ("size_tab_after", b"3\t\r\nabc\r\n" + LAST),
    ("size_space_inside", b"1 0\r\n" + b"a" * 16 + b"\r\n" + LAST),
    ("size_not_hex", b"3g\r\nabc\r\n" + LAST),
    ("size_letter_h", b"3h\r\nabc\r\n" + LAST),
    ("size_comma", b"3,3\r\nabc\r\n" + LAST),
    ("size_point", b"3.0\r\nabc\r\n" + LAST),
    ("size_underscore", b"1_0\r\nabc\r\n" + LAST),
    ("size_nul", b"3\0\r\nabc\r\n" + LAST),
    ("size_vertical_tab", b"3\x0b\r\nabc\r\n" + LAST),
    ("size_quoted", b'"3"\r\nabc\r\n' + LAST),
    ("size_eight_bit", b"\xb3\r\nabc\r\n" + LAST),
    ("size_16_digits", b"0000000000000003\r\nabc\r\n" + LAST),
    ("size_17_digits", b"10000000000000000\r\n"),
    ("size_overflow_64", b"10000000000000003\r\nabc\r\n" + LAST),
    ("size_all_f", b"ffffffffffffffff\r\nabc"),
    ("size_endless", b"0" * 100),
    ("size_bare_lf", b"3\nabc\r\n" + LAST),
    ("size_bare_cr", b"3\rabc\r\n" + LAST),
    ("size_cr_cr_lf", b"3\r\r\nabc\r\n" + LAST),
    ("data_bare_lf", b"3\r\nabc\n" + LAST),
    ("data_bare_cr", b"3\r\nabc\r0\r\n\r\n"),
    ("data_too_long", b"3\r\nabcd\r\n" + LAST),
    ("data_two_bytes_over", b"3\r\nabcXX0\r\n\r\n"),
    ("data_too_short", b"4\r\nabc\r\n" + LAST),
    ("data_no_line_end", b"3\r\nabc3\r\nabc\r\n" + LAST),
    ("last_bare_lf", b"0\n\n"),
    ("last_bare_cr", b"0\r\r\n"),
    ("end_bare_cr", b"0\r\n\rX"),
    ("extension_empty", b"3;\r\nabc\r\n" + LAST),
    ("extension_two_semicolons", b"3;;a\r\nabc\r\n" + LAST),
    ("extension_semicolon_last", b"3;a;\r\nabc\r\n" + LAST),
    ("extension_no_semicolon", b"3 a\r\nabc\r\n" + LAST),
    ("extension_no_name", b"3;=b\r\nabc\r\n" + LAST),
    ("extension_no_value", b"3;a=\r\nabc\r\n" + LAST),
    ("extension_two_values", b"3;a=b=c\r\nabc\r\n" + LAST),
    ("extension_space_after", b"3;a \r\nabc\r\n" + LAST),
    ("extension_space_in_name", b"3;a b\r\nabc\r\n" + LAST),
    ("extension_bare_lf", b"3;a\nabc\r\n" + LAST),
    ("extension_lf_then_chunk", b"3;a\nb\r\nabc\r\n" + LAST),
    ("extension_bare_cr", b"3;a\rb\r\nabc\r\n" + LAST),
    ("extension_cr_cr_lf", b"3;a\r\r\nabc\r\n" + LAST),
    ("extension_nul", b"3;a\0\r\nabc\r\n" + LAST),
    ("extension_control", b"3;a=\x01\r\nabc\r\n" + LAST),
    ("extension_eight_bit_token", b"3;a=\xff\r\nabc\r\n" + LAST),
    ("extension_open_quote", b'3;a="b\r\nabc\r\n' + LAST),
    ("extension_lone_quote", b'3;a="\r\nabc\r\n' + LAST),
    ("extension_after_quote", b'3;a="b"c\r\nabc\r\n' + LAST),
    ("extension_quote_in_token", b'3;a=b"c"\r\nabc\r\n' + LAST),
    ("extension_quote_escaped_end", b'3;a="b\\"\r\nabc\r\n' + LAST),
    ("extension_quote_escapes_cr", b'3;a="b\\\r\nabc\r\n' + LAST),
    ("extension_quoted_crlf", b'3;a="b\r\n"\r\nabc\r\n' + LAST),
    ("extension_quoted_control", b'3;a="\x02"\r\nabc\r\n' + LAST),
    ("extension_quoted_name", b'3;"a"=b\r\nabc\r\n' + LAST),
    ("extension_of_last_chunk", b"0;a=\r\n\r\n"),
]

_TRAILERS: list[tuple[str, bytes]] = [
    ("no_colon", b"A\r\n"),
    ("empty_name", b": b\r\n"),
    ("space_before_colon", b"A : b\r\n"),
    ("leading_space", b" A: b\r\n"),
    ("fold", b"A: b\r\n c\r\n"),
    ("name_nul", b"A\0: b\r\n"),
    ("name_eight_bit", b"\xe9: b\r\n"),
    ("value_nul", b"A: b\0\r\n"),
    ("value_del", b"A: b\x7f\r\n"),
    ("bare_cr", b"A: b\rc: d\r\n"),
    ("bare_lf", b"A: b\nc: d\r\n"),
    ("second_malformed", b"A: b\r\nc\r\n"),
    ("request_line", b"GET / HTTP/1.1\r\nHost: a\r\n"),
    ("forbidden_behind_allowed", b"A: b\r\nContent-Length: 5\r\n"),
    *((f"forbidden_{name.decode()}", name.title() + b": 1\r\n") for name in sorted(FORBIDDEN_TRAILERS)),
]

REJECTS: list[tuple[str, bytes, Reason]] = [
    *((name, data, e.BAD_CHUNK) for name, data in _CHUNKS),
    *((f"trailer_{name}", b"3\r\nabc\r\n0\r\n" + lines + b"\r\n", e.BAD_TRAILER) for name, lines in _TRAILERS),
    ("trailer_lf_first", b"0\r\n\n", e.BAD_TRAILER),
]

ABC = b"3\r\nabc\r\n" + LAST


def _same(name: str, data: bytes, payload: bytes) -> tuple[str, bytes, bytes, bytes]:
    """A row for what is forwarded as it stands."""
    return name, data, data, payload


ACCEPTS: list[tuple[str, bytes, bytes, bytes]] = [
    ("empty", LAST, LAST, b""),
    ("one_chunk", ABC, ABC, b"abc"),
    ("two_chunks", b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", b"abcd"),
    _same(
        "hex_both_cases",
        b"1a\r\n" + b"x" * 26 + b"\r\n1B\r\n" + b"y" * 27 + b"\r\n" + LAST,
        b"x" * 26 + b"y" * 27,
    ),
    ("leading_zeros", b"003\r\nabc\r\n000\r\n\r\n", b"003\r\nabc\r\n000\r\n\r\n", b"abc"),
    _same("fifteen_digits", b"000000000000003\r\nabc\r\n" + LAST, b"abc"),
    _same("payload_like_chunks", b"7\r\n0\r\n\r\n\r\n\r\n" + LAST, b"0\r\n\r\n\r\n"),
    _same("payload_any_byte", b"100\r\n" + bytes(range(256)) + b"\r\n" + LAST, bytes(range(256))),
    ("extension", b"3;a\r\nabc\r\n" + LAST, ABC, b"abc"),
    ("extension_value", b"3;a=b\r\nabc\r\n" + LAST, ABC, b"abc"),
    ("extension_space", b"3 \t; a = b ; c\r\nabc\r\n" + LAST, ABC, b"abc"),
    ("extension_quoted", b'3;a="b;\t\\"\\\\ \xff";c\r\nabc\r\n' + LAST, ABC, b"abc"),
    ("extension_quoted_empty", b'3;a=""\r\nabc\r\n' + LAST, ABC, b"abc"),
    (
        "extension_every_chunk",
        b"1;a\r\nx\r\n1;b\r\ny\r\n0;c\r\n\r\n",
        b"1\r\nx\r\n1\r\ny\r\n0\r\n\r\n",
        b"xy",
    ),
    _same("trailer", b"3\r\nabc\r\n0\r\nA: b\r\n\r\n", b"abc"),
    _same("trailers", b"0\r\nA: b\r\na:\tc \xff\r\nEmpty:\r\n\r\n", b""),
    ("trailer_behind_extension", b"0;x\r\nETag: b\r\n\r\n", b"0\r\nETag: b\r\n\r\n", b""),
]

UNDECIDED = [
    b"",
    b"3",
    b"3\r",
    b"3\r\n",
    b"3\r\nab",
    b"3;a",
    b"0\r\n",
    b"0\r\nA: b\r\n",
    b"fffffffffffffff\r\nabc",
]
