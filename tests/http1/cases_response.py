"""Response heads that are refused, each with its Reason, and response heads that are accepted.

Law of this file: literal bytes only, as in cases_request.py.
"""

from __future__ import annotations

from proxy import errors as e
from proxy.errors import Reason

OK = b"HTTP/1.1 200 OK\r\n"

_STATUS_LINES: list[tuple[str, bytes]] = [
    ("http_0_9_body", b"<html>hello</html>"),
    ("another_protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("body_of_before", b"x" + OK + b"\r\n"),
    ("empty_line_first", b"\r\n" + OK + b"\r\n"),
    ("bare_lf_first", b"\n" + OK + b"\r\n"),
    ("space_first", b" " + OK + b"\r\n"),
    ("lower_case", b"http/1.1 200 OK\r\n\r\n"),
    ("version_2", b"HTTP/2 200 OK\r\n\r\n"),
    ("version_2_0", b"HTTP/2.0 200 OK\r\n\r\n"),
    ("version_1_2", b"HTTP/1.2 200 OK\r\n\r\n"),
    ("version_1_10", b"HTTP/1.10 200 OK\r\n\r\n"),
    ("version_tab", b"HTTP/1.1\t200 OK\r\n\r\n"),
    ("two_spaces", b"HTTP/1.1  200 OK\r\n\r\n"),
    ("no_status", b"HTTP/1.1 OK OK\r\n\r\n"),
    ("status_two_digits", b"HTTP/1.1 20 OK\r\n\r\n"),
    ("status_four_digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
    ("status_099", b"HTTP/1.1 099 OK\r\n\r\n"),
    ("status_sign", b"HTTP/1.1 +20 OK\r\n\r\n"),
    ("status_minus", b"HTTP/1.1 -20 OK\r\n\r\n"),
    ("status_hex", b"HTTP/1.1 0xc OK\r\n\r\n"),
    ("status_letter", b"HTTP/1.1 20a OK\r\n\r\n"),
    ("status_dash", b"HTTP/1.1 200-OK\r\n\r\n"),
    ("status_tab", b"HTTP/1.1 200\tOK\r\n\r\n"),
    ("status_bare_lf", b"HTTP/1.1 200\nA: b\r\n\r\n"),
    ("status_bare_cr", b"HTTP/1.1 200\rA: b\r\n\r\n"),
    ("reason_bare_lf", b"HTTP/1.1 200 OK\nA: b\r\n\r\n"),
    ("reason_bare_cr", b"HTTP/1.1 200 OK\rA: b\r\n\r\n"),
    ("reason_nul", b"HTTP/1.1 200 O\0K\r\n\r\n"),
    ("reason_del", b"HTTP/1.1 200 OK\x7f\r\n\r\n"),
    ("reason_escape", b"HTTP/1.1 200 \x1b[0mOK\r\n\r\n"),
]

_FIELDS: list[tuple[str, bytes]] = [
    ("space_before_colon", b"A : b\r\n\r\n"),
    ("empty_name", b": b\r\n\r\n"),
    ("no_colon", b"Ab\r\n\r\n"),
    ("fold", b"A: b\r\n c\r\n\r\n"),
    ("fold_first", b" A: b\r\n\r\n"),
    ("name_nul", b"A\0: b\r\n\r\n"),
    ("name_eight_bit", b"\xffA: b\r\n\r\n"),
    ("value_nul", b"A: b\0\r\n\r\n"),
    ("value_control", b"Set-Cookie: a=\x01\r\n\r\n"),
    ("value_bare_cr", b"A: b\rc\r\n\r\n"),
    ("value_bare_lf", b"A: b\nc: d\r\n\r\n"),
    ("end_bare_lf", b"A: b\r\n\n"),
    ("end_bare_cr", b"A: b\r\n\rX"),
    ("connection_malformed", b"Connection: a;b\r\n\r\n"),
    ("host_twice", b"Host: a\r\nHost: b\r\n\r\n"),
]

REJECTS: list[tuple[str, bytes, Reason]] = [
    *((f"status-{name}", data, e.BAD_STATUS_LINE) for name, data in _STATUS_LINES),
    *((f"field-{name}", OK + lines, e.BAD_RESPONSE_HEADER) for name, lines in _FIELDS),
    ("headers_101", OK + b"A: b\r\n" * 100 + b"B: c\r\n\r\n", e.RESPONSE_HEAD_TOO_LARGE),
    ("connection_101", OK + b"Connection: " + b"a," * 101 + b"\r\n\r\n", e.RESPONSE_HEAD_TOO_LARGE),
]

ACCEPTS: list[tuple[str, bytes, dict[str, object]]] = [
    ("no_headers", OK + b"\r\n", {"status": 200, "minor": 1, "content_length": -1, "count": 0}),
    ("http_1_0", b"HTTP/1.0 404 Not Found\r\n\r\n", {"status": 404, "minor": 0}),
    ("interim", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", {"status": 103}),
    (
        "switching",
        b"HTTP/1.1 101 a\r\nConnection: Upgrade\r\nUpgrade: b\r\n\r\n",
        {"status": 101, "upgrade": True},
    ),
    ("no_content", b"HTTP/1.1 204 No Content\r\n\r\n", {"status": 204}),
    ("unknown_status", b"HTTP/1.1 999 ?\r\n\r\n", {"status": 999}),
    ("empty_reason", b"HTTP/1.1 200 \r\n\r\n", {"status": 200}),
    ("no_space_no_reason", b"HTTP/1.1 200\r\nA: b\r\n\r\n", {"status": 200, "count": 1}),
    ("reason_tab_and_eight_bit", b"HTTP/1.1 200 caf\xc3\xa9\tgut\r\n\r\n", {"status": 200}),
    ("length", OK + b"Content-Length: 5\r\n\r\n", {"content_length": 5, "chunked": False}),
    ("chunked", OK + b"Transfer-Encoding: Chunked\r\n\r\n", {"content_length": -1, "chunked": True}),
    ("close", OK + b"Connection: close\r\n\r\n", {"close": True}),
    ("keep_alive", b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", {"keep_alive": True, "minor": 0}),
    ("host_once", OK + b"Host: a\r\n\r\n", {"count": 1}),
    ("headers_100", OK + b"Set-Cookie: b\r\n" * 100 + b"\r\n", {"count": 100}),
]
