"""Responses of the proxy's own: valid messages, valid HTML and JSON, valid Proxy-Status, and the form by Accept."""

from __future__ import annotations

import json
import re
import time
from email.utils import formatdate, parsedate_to_datetime
from html.parser import HTMLParser

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BAD_HOST, FIXED, METHOD_REFUSED, NO_ROUTE, POOL_FULL, REASONS, TOO_MANY_FROM_CLIENT, Reason
from proxy.http import local_replies
from proxy.http1.rendering import imf_fixdate, render

VOID = {"meta", "br", "hr", "img", "input", "link"}
HOSTILE_ID = '"><script>alert(1)</script>&\x27'


def parse(data: bytes, method: bytes = b"GET") -> tuple[h11.Response, bytes]:
    """A response as h11 reads it; it must be exactly one."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    head = connection.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data[0] == b""
    return head, body


def header(head: h11.Response, name: bytes) -> bytes | None:
    values = [value for key, value in head.headers if key == name]
    assert len(values) <= 1
    return values[0] if values else None


def error(
    reason: Reason, accept: bytes = b"", request_id: str = "abc", *, keep: bool = True, minor: int = 1
) -> tuple[h11.Response, bytes]:
    reply = local_replies.error_reply(reason, "qantara", accept, request_id)
    return parse(render(reply, minor == 0, keep, False))


def reply(status: int, fields: tuple[tuple[str, str], ...] = (), body: bytes = b"") -> local_replies.LocalReply:
    return local_replies.LocalReply(FIXED._replace(status=status), fields, body)


class Strict(HTMLParser):
    """Fails on tags that are not balanced; keeps what matters."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.doctype = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_decl(self, decl: str) -> None:
        self.doctype = decl.lower()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


# --- Proxy-Status as a structured field (RFC 9651 3.1, 3.3) -------------------------------------------------

SF_TOKEN = r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*"
SF_STRING = r'"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
SF_KEY = r"[a-z*][a-z0-9_\-.*]*"
SF_ITEM = rf"(?:{SF_TOKEN}|{SF_STRING})"
MEMBER = re.compile(rf"({SF_ITEM})((?:; *{SF_KEY}={SF_ITEM})*)")


def proxy_status(value: str) -> tuple[str, dict[str, str]]:
    """The one member of a Proxy-Status: the name of the proxy, and its parameters as written."""
    match = MEMBER.fullmatch(value)
    assert match is not None, value
    return match[1], dict(re.findall(rf"({SF_KEY})=({SF_ITEM})", match[2]))


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.name)
@pytest.mark.parametrize("accept", [b"text/html", b"application/json"])
def test_every_reason_gives_a_valid_response(reason: Reason, accept: bytes) -> None:
    status = reason.status if reason.status != 499 else 502
    head, body = error(reason._replace(status=status), accept)
    name, parameters = proxy_status((header(head, b"proxy-status") or b"").decode())
    assert (head.status_code, name) == (status, "qantara")
    assert parameters.pop("details") == f'"{reason.name}"'
    assert parameters == ({"error": reason.error} if reason.error else {})
    assert header(head, b"content-length") == str(len(body)).encode()
    assert header(head, b"cache-control") == b"no-store"
    if accept == b"text/html":
        assert header(head, b"content-type") == b"text/html; charset=utf-8"
        page = Strict(body.decode())
        assert page.doctype == "doctype html"
        assert {"html", "title", "h1", "meta"} <= set(page.seen)
        assert reason.name in page.text
        assert reason.hint in page.text
    else:
        assert header(head, b"content-type") == b"application/json"
        fields = json.loads(body)
        assert fields == {"status": status, "reason": reason.name, "message": reason.hint, "request_id": "abc"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("qantara", "qantara"), ("edge-7.x", "edge-7.x"), ("7up", '"7up"'), ("'a", '"\'a"'), ("-", '"-"'), ("*", "*")],
)
def test_the_name_in_proxy_status(name: str, expected: str) -> None:
    field, value = local_replies.proxy_status(name, NO_ROUTE)
    assert field == "Proxy-Status"
    found, parameters = proxy_status(value)
    assert found == expected
    assert parameters == {"error": "destination_not_found", "details": '"route.no_route"'}


@given(st.text("!#$%&'*+-.^_`|~0189AZaz", min_size=1, max_size=20))
def test_any_token_of_http_makes_a_valid_proxy_status(name: str) -> None:
    found, _ = proxy_status(local_replies.proxy_status(name, BAD_HOST)[1])
    assert found.strip('"') == name


# --- by Accept ------------------------------------------------------------------------------------------

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (b"", False),
        (b"*/*", False),
        (BROWSER, True),
        (b"text/html", True),
        (b"Text/HTML;level=1", True),
        (b"text/*", True),
        (b"text/html, */*", True),
        (b"text/html, application/json", True),
        (b"application/json, text/html", False),
        (b"application/json", False),
        (b"application/*, text/html;q=0.9", False),
        (b"application/json, text/plain, */*", False),
        (b"text/html;q=0.2, application/json", False),
        (b"text/html; q=0.8, application/json; q=0.7", True),
        (b"application/json;q=0.1, text/html", True),
        (b"text/html;q=0", False),
        (b"text/html;q=0, */*", False),
        (b"application/json;q=0, */*;q=0.1", True),
        (b"text/html;q=x", False),
        (b"text/html;q=1.5", False),
        (b"image/png", False),
        (b",,;;=,", False),
        (b"\xff\xfe", False),
    ],
)
def test_wants_html(accept: bytes, html: bool) -> None:
    assert local_replies.wants_html(accept) is html


@given(st.binary(max_size=80))
def test_any_accept_has_an_answer(accept: bytes) -> None:
    local_replies.wants_html(accept)


# --- bodies and heads -----------------------------------------------------------------------------------


def test_what_a_client_sends_does_not_become_markup() -> None:
    _, body = error(NO_ROUTE, b"text/html", HOSTILE_ID)
    page = Strict(body.decode())
    assert "script" not in page.seen
    assert HOSTILE_ID in page.text
    _, body = error(NO_ROUTE, b"", HOSTILE_ID)
    assert json.loads(body)["request_id"] == HOSTILE_ID


@pytest.mark.parametrize(
    ("reason", "name", "expected"),
    [
        (POOL_FULL, b"retry-after", b"1"),
        (TOO_MANY_FROM_CLIENT, b"retry-after", b"1"),
        (NO_ROUTE, b"retry-after", None),
        (METHOD_REFUSED, b"allow", b"GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"),
        (NO_ROUTE, b"allow", None),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_further_headers(reason: Reason, name: bytes, expected: bytes | None) -> None:
    head, _ = error(reason)
    assert header(head, name) == expected


@pytest.mark.parametrize(
    ("minor", "keep", "expected"),
    [(1, True, None), (1, False, b"close"), (0, True, b"keep-alive"), (0, False, b"close")],
)
def test_connection(minor: int, keep: bool, expected: bytes | None) -> None:
    head, _ = error(NO_ROUTE, minor=minor, keep=keep)
    assert header(head, b"connection") == expected


def test_a_response_to_head_has_the_length_and_no_body() -> None:
    data = render(reply(200, (("X", "1"),), b"hello"), False, True, True)
    head, body = parse(data, b"HEAD")
    assert (header(head, b"content-length"), body) == (b"5", b"")
    assert data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body(status: int) -> None:
    head, body = parse(render(reply(status, (), b"ignored"), False, True, False))
    assert (header(head, b"content-length"), body) == (None, b"")


@pytest.mark.parametrize("status", [200, 299, 404, 599])
def test_any_status_makes_a_valid_line(status: int) -> None:
    head, _ = parse(render(reply(status), False, True, False))
    assert head.status_code == status


def test_date() -> None:
    before = int(time.time())
    head, _ = parse(render(reply(200), False, True, False))
    date = (header(head, b"date") or b"").decode()
    assert date.endswith(" GMT")
    assert before <= parsedate_to_datetime(date).timestamp() <= int(time.time())


@pytest.mark.parametrize("second", [0, 951_827_696, 1_700_000_000, 4_102_444_799])
def test_a_date_is_that_of_the_library(second: int) -> None:
    assert imf_fixdate(second) == formatdate(second, usegmt=True)
