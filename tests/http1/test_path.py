"""The canonical path: one form for routing and everything that later keys on it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.codec import RequestHead, canonicalize, matches_at

from .wire import named

CANONICAL: list[tuple[str, bytes, bytes | None]] = [
    ("root", b"/", b"/"),
    ("plain", b"/a/b.c", b"/a/b.c"),
    ("trailing_slash", b"/a/", b"/a/"),
    ("double_slash", b"//", b"/"),
    ("many_slashes", b"///a////b//", b"/a/b/"),
    ("dot", b"/.", b"/"),
    ("dot_inside", b"/a/./b", b"/a/b"),
    ("dot_last", b"/a/.", b"/a/"),
    ("dots_many", b"/././a/././", b"/a/"),
    ("up", b"/a/../b", b"/b"),
    ("up_last", b"/a/b/..", b"/a/"),
    ("up_last_slash", b"/a/b/../", b"/a/"),
    ("up_to_root", b"/a/..", b"/"),
    ("up_twice", b"/a/b/../../c", b"/c"),
    ("up_behind_double_slash", b"/a//../b", b"/b"),
    ("three_dots", b"/.../a", b"/.../a"),
    ("dot_name", b"/.a/..b/c./d..", b"/.a/..b/c./d.."),
    ("encoded_dot", b"/a/%2e/b", b"/a/b"),
    ("encoded_up", b"/a/%2e%2E/b", b"/b"),
    ("half_encoded_up", b"/a/.%2e/b", b"/b"),
    ("encoded_letters", b"/%41%7a%30%2D%5f%7E", b"/Az0-_~"),
    ("encoded_upper_case", b"/%c3%a9%2f%3a", b"/%C3%A9%2F%3A"),
    ("encoded_slash_is_no_slash", b"/a%2F..%2Fb", b"/a%2F..%2Fb"),
    ("encoded_percent", b"/%2541", b"/%2541"),
    ("encoded_control", b"/%0d%0a", b"/%0D%0A"),
    ("encoded_question_mark", b"/%3f", b"/%3F"),
    ("sub_delims", b"/a;b=c,d!$&'()*+:@", b"/a;b=c,d!$&'()*+:@"),
    ("empty", b"", None),
    ("relative", b"a", None),
    ("star", b"*", None),
    ("encoded_slash_first", b"%2Fa", None),
    ("above", b"/..", None),
    ("above_slash", b"/../", None),
    ("above_encoded", b"/%2e%2e/a", None),
    ("above_deep", b"/a/b/../../../c", None),
    ("above_double_slash", b"//..", None),
    ("nul", b"/%00", None),
    ("percent", b"/%", None),
    ("percent_digit", b"/%1", None),
    ("percent_letter", b"/%g0", None),
    ("percent_sign", b"/%+1", None),
]

PATHS = st.lists(
    st.sampled_from(
        [b"/", b"//", b".", b"..", b"a", b"B", b"%2e", b"%2E", b"%2f", b"%41", b"%7e", b"%c3", b"%25", b"~"]
    )
    | st.integers(1, 255).map(b"%%%02x".__mod__)
).map(lambda parts: b"/" + b"".join(parts))


@pytest.mark.parametrize(("path", "expected"), named(CANONICAL))
def test_table(path: bytes, expected: bytes | None) -> None:
    assert canonicalize(path) == expected


@given(PATHS)
def test_a_canonical_path_is_its_own_canonical_form(path: bytes) -> None:
    canonical = canonicalize(path)
    if canonical is not None:
        assert canonicalize(canonical) == canonical
        assert len(canonical) <= len(path)
        assert canonical.startswith(b"/") and b"//" not in canonical
        assert not {b".", b".."} & set(canonical.split(b"/"))
        for code in re.findall(rb"%(..)", canonical):
            assert code == code.upper()
            assert re.fullmatch(rb"[^A-Za-z0-9._~-]", bytes([int(code, 16)]), re.DOTALL)


@given(PATHS)
def test_a_request_has_the_canonical_path(path: bytes) -> None:
    head = RequestHead()
    canonical = canonicalize(path)
    if canonical is not None:
        head.parse(b"GET %s?%s HTTP/1.1\r\nHost: a\r\n\r\n" % (path, path), 0)
        assert (head.path, head.rewritten) == (canonical, canonical != path)
        assert head.query_string() == b"?" + path
        sent = head.forward(None, b"", 0, False, False, None)
        assert sent.startswith(b"GET %s?%s HTTP/1.1\r\n" % (canonical, path))
        head.parse(sent, 0)
        assert (head.path, head.rewritten) == (canonical, False)


@pytest.mark.parametrize(
    ("text", "at", "part", "expected"),
    [
        (b"/a/b", 0, b"/a", True),
        (b"/a/b", 2, b"/b", True),
        (b"/a/b", 2, b"/c", False),
        (b"/a/b", 2, b"/b/", False),
        (b"/a/b", 4, b"", True),
        (b"/a/b", 5, b"", False),
        (b"/a/b", -1, b"b", False),
    ],
)
def test_matches_at(text: bytes, at: int, part: bytes, expected: bool) -> None:
    assert matches_at(text, at, part) is expected
