"""Key functions: from a request head to the bytes that an algorithm goes by."""

from __future__ import annotations

import re

import pytest

from proxy.balancing.keys import make_key
from proxy.http1.codec import RequestHead

PATTERN = re.compile(rb"^/users/(?P<id>[0-9]+)(?:/(?P<rest>.*))?$")


def head(target: bytes = b"/", *lines: bytes) -> RequestHead:
    parsed = RequestHead()
    assert parsed.parse(b"\r\n".join([b"GET %b HTTP/1.1" % target, b"Host: example.com", *lines, b"", b""]), 0)
    return parsed


@pytest.mark.parametrize(
    ("source", "request_head", "key"),
    [
        ("header:x-user", head(b"/", b"X-User: ann"), b"ann"),
        ("header:X-User", head(b"/", b"x-user: ann", b"X-USER: bob"), b"ann"),
        ("header:x-user", head(b"/", b"X-User:"), b""),
        ("header:x-user", head(), None),
        ("header:host", head(), b"example.com"),
        ("cookie:sid", head(b"/", b"Cookie: sid=1"), b"1"),
        ("cookie:sid", head(b"/", b"Cookie: a=b; sid=1; c=d"), b"1"),
        ("cookie:sid", head(b"/", b"Cookie: a=b;sid=x=y"), b"x=y"),
        ("cookie:sid", head(b"/", b"Cookie: a=b", b"Cookie: sid=2"), b"2"),
        ("cookie:sid", head(b"/", b'Cookie: sid="1"'), b'"1"'),
        ("cookie:sid", head(b"/", b"Cookie: xsid=1; SID=2; sid"), None),
        ("cookie:sid", head(b"/", b"Cookie: sid="), b""),
        ("cookie:sid", head(), None),
        ("query:q", head(b"/?q=1"), b"1"),
        ("query:q", head(b"/?a=b&q=x%20y+z&q=2"), b"x y z"),
        ("query:q", head(b"/?q"), None),
        ("query:q", head(b"/?q="), b""),
        ("query:q", head(b"/?aq=1&Q=2"), None),
        ("query:q", head(b"/?q=%2"), b"%2"),
        ("query:q", head(b"/"), None),
        ("query:q", head(b"/?a=%26q=1"), None),
        ("path:id", head(b"/users/42"), b"42"),
        ("path:id", head(b"/users/%34%32/x"), b"42"),
        ("path:rest", head(b"/users/42"), None),
        ("path:id", head(b"/other"), None),
    ],
)
def test_key(source: str, request_head: RequestHead, key: bytes | None) -> None:
    assert make_key(source, PATTERN)(request_head) == key


@pytest.mark.parametrize(
    ("source", "pattern"), [("path:id", None), ("path:nope", PATTERN), ("path:id", re.compile(b"/"))]
)
def test_a_key_from_the_path_needs_a_group(source: str, pattern: re.Pattern[bytes] | None) -> None:
    with pytest.raises(ValueError, match="needs a route with a regex"):
        make_key(source, pattern)
