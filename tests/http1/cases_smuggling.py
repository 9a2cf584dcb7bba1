"""Framing that two readers could understand in two ways: refused, in both directions.

Law of this file: header lines only; the tests put them behind a request line and behind a status line.
`CORPUS` rows are (name, lines, reason for a request, reason for a response).
"""

from __future__ import annotations

from proxy import errors as e
from proxy.errors import Reason

BOTH = (e.LENGTH_AND_CODING, e.BAD_RESPONSE_FRAMING)
CODING = (e.BAD_TRANSFER_ENCODING, e.BAD_RESPONSE_CODING)
UNKNOWN = (e.UNKNOWN_CODING, e.BAD_RESPONSE_CODING)
LENGTH = (e.BAD_CONTENT_LENGTH, e.BAD_RESPONSE_LENGTH)
NAME = (e.BAD_HEADER_NAME, e.BAD_RESPONSE_HEADER)
VALUE = (e.BAD_HEADER_VALUE, e.BAD_RESPONSE_HEADER)
FOLD = (e.OBS_FOLD, e.BAD_RESPONSE_HEADER)
LINE_END = (e.BAD_LINE_END, e.BAD_RESPONSE_HEADER)

TE = b"Transfer-Encoding: chunked"
CL = b"Content-Length: 5"

_ROWS: list[tuple[str, bytes, tuple[Reason, Reason]]] = [
    ("cl_te", CL + b"\r\n" + TE, BOTH),
    ("te_cl", TE + b"\r\n" + CL, BOTH),
    ("cl_te_apart", CL + b"\r\nA: b\r\n" + TE, BOTH),
    ("cl_zero_te", b"Content-Length: 0\r\n" + TE, BOTH),
    ("cl_te_identity", CL + b"\r\nTransfer-Encoding: identity", BOTH),
    ("te_bad_cl_bad", b"Transfer-Encoding: x\r\nContent-Length: y", BOTH),
    ("te_twice", TE + b"\r\n" + TE, CODING),
    ("te_twice_other_case", TE + b"\r\ntransfer-encoding: identity", CODING),
    ("te_identity_chunked_lines", b"Transfer-Encoding: identity\r\n" + TE, CODING),
    ("te_empty", b"Transfer-Encoding:", CODING),
    ("te_identity", b"Transfer-Encoding: identity", CODING),
    ("te_gzip", b"Transfer-Encoding: gzip", CODING),
    ("te_chunked_identity", b"Transfer-Encoding: chunked, identity", CODING),
    ("te_chunked_gzip", b"Transfer-Encoding: chunked, gzip", CODING),
    ("te_chunked_chunked", b"Transfer-Encoding: chunked, chunked", CODING),
    ("te_chunked_comma", b"Transfer-Encoding: chunked,", CODING),
    ("te_comma_chunked", b"Transfer-Encoding: ,chunked", CODING),
    ("te_space_comma_chunked", b"Transfer-Encoding:  , chunked", CODING),
    ("te_xchunked", b"Transfer-Encoding: xchunked", CODING),
    ("te_chunkedx", b"Transfer-Encoding: chunkedx", CODING),
    ("te_x_xchunked", b"Transfer-Encoding: x, xchunked", CODING),
    ("te_chunke", b"Transfer-Encoding: chunke", CODING),
    ("te_quoted", b'Transfer-Encoding: "chunked"', CODING),
    ("te_single_quoted", b"Transfer-Encoding: 'chunked'", CODING),
    ("te_parameter", b"Transfer-Encoding: chunked;q=1", CODING),
    ("te_gzip_parameter", b"Transfer-Encoding: gzip;q=1, chunked", CODING),
    ("te_space_inside", b"Transfer-Encoding: chun ked", CODING),
    ("te_words", b"Transfer-Encoding: x chunked", CODING),
    ("te_tab_before", b"Transfer-Encoding:\tchunked", CODING),
    ("te_tab_after", b"Transfer-Encoding: chunked\t", CODING),
    ("te_space_tab", b"Transfer-Encoding: \tchunked", CODING),
    ("te_tab_in_list", b"Transfer-Encoding: gzip,\tchunked", CODING),
    ("te_eight_bit", b"Transfer-Encoding: \xffchunked", CODING),
    ("te_no_break_space", b"Transfer-Encoding:\xa0chunked", CODING),
    ("te_kelvin_sign", b"Transfer-Encoding: chun\xe2\x84\xaaed", CODING),
    ("te_gzip_chunked", b"Transfer-Encoding: gzip, chunked", UNKNOWN),
    ("te_identity_chunked", b"Transfer-Encoding: identity, chunked", UNKNOWN),
    ("te_two_codings_chunked", b"Transfer-Encoding: gzip,deflate , Chunked", UNKNOWN),
    ("te_space_before_colon", b"Transfer-Encoding : chunked", NAME),
    ("te_tab_before_colon", b"Transfer-Encoding\t: chunked", NAME),
    ("te_nul_before_colon", b"Transfer-Encoding\0: chunked", NAME),
    ("te_space_in_name", b"Transfer Encoding: chunked", NAME),
    ("te_vertical_tab", b"Transfer-Encoding:\x0bchunked", VALUE),
    ("te_form_feed", b"Transfer-Encoding:\x0cchunked", VALUE),
    ("te_nul", b"Transfer-Encoding: chunked\0", VALUE),
    ("te_escape", b"Transfer-Encoding: \x1bchunked", VALUE),
    ("te_del", b"Transfer-Encoding: chunked\x7f", VALUE),
    ("te_next_line", b"Transfer-Encoding:\r\n chunked", FOLD),
    ("te_fold_tab", b"Transfer-Encoding:\r\n\tchunked", FOLD),
    ("te_leading_space", b"A: b\r\n Transfer-Encoding: chunked", FOLD),
    ("te_fold_after", TE + b"\r\n , identity", FOLD),
    ("te_behind_bare_lf", b"A: b\nTransfer-Encoding: chunked", LINE_END),
    ("te_behind_bare_cr", b"A: b\rTransfer-Encoding: chunked", LINE_END),
    ("te_name_bare_lf", b"Transfer-Encoding\n: chunked", LINE_END),
    ("te_value_bare_lf", b"Transfer-Encoding:\nchunked", LINE_END),
    ("te_value_bare_cr", b"Transfer-Encoding:\rchunked", LINE_END),
    ("cl_twice_same", CL + b"\r\n" + CL, LENGTH),
    ("cl_twice_differ", CL + b"\r\nContent-Length: 6", LENGTH),
    ("cl_twice_other_case", CL + b"\r\ncontent-LENGTH: 5", LENGTH),
    ("cl_list_same", b"Content-Length: 5, 5", LENGTH),
    ("cl_list_differ", b"Content-Length: 5,6", LENGTH),
    ("cl_comma", b"Content-Length: 5,", LENGTH),
    ("cl_empty", b"Content-Length:", LENGTH),
    ("cl_blank", b"Content-Length:   ", LENGTH),
    ("cl_plus", b"Content-Length: +5", LENGTH),
    ("cl_minus", b"Content-Length: -5", LENGTH),
    ("cl_minus_zero", b"Content-Length: -0", LENGTH),
    ("cl_hex", b"Content-Length: 0x5", LENGTH),
    ("cl_hex_digits", b"Content-Length: a", LENGTH),
    ("cl_point", b"Content-Length: 5.0", LENGTH),
    ("cl_exponent", b"Content-Length: 1e3", LENGTH),
    ("cl_underscore", b"Content-Length: 1_0", LENGTH),
    ("cl_space_inside", b"Content-Length: 5 6", LENGTH),
    ("cl_tab_before", b"Content-Length:\t5", LENGTH),
    ("cl_tab_after", b"Content-Length: 5\t", LENGTH),
    ("cl_quoted", b'Content-Length: "5"', LENGTH),
    ("cl_semicolon", b"Content-Length: 5;", LENGTH),
    ("cl_19_digits", b"Content-Length: " + b"1" * 19, LENGTH),
    ("cl_above_64_bits", b"Content-Length: 18446744073709551621", LENGTH),
    ("cl_many_zeros", b"Content-Length: " + b"0" * 30 + b"5", LENGTH),
    ("cl_huge", b"Content-Length: " + b"9" * 400, LENGTH),
    ("cl_arabic_digit", b"Content-Length: \xd9\xa5", LENGTH),
    ("cl_eight_bit", b"Content-Length: 5\xb2", LENGTH),
    ("cl_space_before_colon", b"Content-Length : 5", NAME),
    ("cl_nul_in_name", b"Content\0-Length: 5", NAME),
    ("cl_vertical_tab", b"Content-Length: \x0b5", VALUE),
    ("cl_nul", b"Content-Length: 5\0", VALUE),
    ("cl_fold", b"Content-Length:\r\n 5", FOLD),
    ("cl_behind_bare_lf", b"A: b\nContent-Length: 5", LINE_END),
    ("cl_value_bare_cr", b"Content-Length: 5\r6", LINE_END),
]

CORPUS = [(name, lines, *reasons) for name, lines, reasons in _ROWS]
"""(name, header lines without the last CRLF, reason in a request, reason in a response)"""
