"""Routing: tables of what wins over what, and the compiled table against a naive matcher on random routes.

Law of this file: a request is always parsed from bytes by the codec, so that routes meet canonical paths as they do
in service. `expected` in the tables is the name of a route, None if no route serves the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.codec import RequestHead
from proxy.routing import EXACT, PREFIX, REGEX, HeaderCondition, Match, RouteTable, common_length, literal_prefix


def head(target: bytes = b"/", host: bytes = b"x", method: bytes = b"GET", lines: Iterable[bytes] = ()) -> RequestHead:
    parsed = RequestHead()
    assert parsed.parse(b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: " + host, *lines, b"", b""]), 0)
    return parsed


def table(*routes: tuple[str, Match]) -> RouteTable:
    return RouteTable([(match, name) for name, match in routes])


def exact(text: bytes, **more: Any) -> Match:
    return Match(kind=EXACT, text=text, **more)


def prefix(text: bytes, **more: Any) -> Match:
    return Match(kind=PREFIX, text=text, **more)


def regex(text: bytes, **more: Any) -> Match:
    return Match(kind=REGEX, text=text, **more)


# --- hosts ----------------------------------------------------------------------------------------------

HOSTS = table(
    ("any", prefix(b"/")),
    ("wide", prefix(b"/", host=b"*.example.com")),
    ("narrow", prefix(b"/", host=b"*.api.example.com")),
    ("exact", prefix(b"/", host=b"www.example.com")),
    ("exact2", prefix(b"/", host=b"a.api.example.com")),
    ("v6", prefix(b"/", host=b"[2001:db8::1]")),
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"www.example.com", "exact"),
        (b"WWW.Example.COM", "exact"),
        (b"www.example.com:8080", "exact"),
        (b"a.api.example.com", "exact2"),
        (b"b.api.example.com", "narrow"),
        (b"c.b.api.example.com", "narrow"),
        (b"api.example.com", "wide"),
        (b"x.example.com", "wide"),
        (b"y.x.example.com:1", "wide"),
        (b"example.com", "any"),
        (b"notexample.com", "any"),
        (b"x.notexample.com", "any"),
        (b"example.com.evil", "any"),
        (b".example.com", "any"),
        (b"com", "any"),
        (b"192.0.2.1", "any"),
        (b"[2001:db8::1]:80", "v6"),
        (b"[2001:DB8::1]", "v6"),
    ],
)
def test_hosts(host: bytes, expected: str) -> None:
    assert HOSTS.find(head(host=host)) == expected


def test_a_host_without_a_fitting_path_leaves_the_request_to_wider_hosts() -> None:
    routes = table(
        ("exact", prefix(b"/a", host=b"h.example.com")),
        ("wild", prefix(b"/b", host=b"*.example.com")),
        ("wilder", prefix(b"/c", host=b"*.com")),
        ("any", prefix(b"/d")),
    )
    found = [routes.find(head(target, b"h.example.com")) for target in (b"/a", b"/b", b"/c", b"/d", b"/e")]
    assert found == ["exact", "wild", "wilder", "any", None]


def test_no_host_at_all() -> None:
    parsed = RequestHead()
    parsed.parse(b"GET / HTTP/1.0\r\n\r\n", 0)
    assert HOSTS.find(parsed) == "any"
    assert table(("a", prefix(b"/", host=b"a.example"))).find(parsed) is None


def test_the_host_of_an_absolute_target_counts() -> None:
    assert HOSTS.find(head(b"http://www.example.com/", b"other.example")) == "exact"


def test_an_empty_table_finds_nothing() -> None:
    assert table().find(head()) is None


# --- paths ----------------------------------------------------------------------------------------------

PATHS = table(
    ("root", prefix(b"/")),
    ("api", prefix(b"/api")),
    ("api v1", prefix(b"/api/v1")),
    ("slash", prefix(b"/dir/")),
    ("health", exact(b"/api/health")),
    ("id", regex(rb"^/api/v1/users/(?P<id>[0-9]+)$")),
    ("any json", regex(rb"\.json$")),
    ("late", regex(rb"^/api/v1/users/7$")),
    ("encoded", prefix(b"/a%2Fb")),
    ("spelled", prefix(b"/%7euser")),
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/", "root"),
        (b"/?q=/api", "root"),
        (b"/ap", "root"),
        (b"/apix", "root"),
        (b"/api", "api"),
        (b"/api/", "api"),
        (b"/api?x", "api"),
        (b"/api/x", "api"),
        (b"/api/v", "api"),
        (b"/api/v1", "api v1"),
        (b"/api/v1/", "api v1"),
        (b"/api/v10", "api"),
        (b"/api/health", "health"),
        (b"/api/health/", "api"),
        (b"/api/healthy", "api"),
        (b"/api/v1/users/7", "id"),
        (b"/api/v1/users/x", "api v1"),
        (b"/api/health.json", "any json"),
        (b"/data.json", "any json"),
        (b"/data.json?x=.xml", "any json"),
        (b"/dir", "root"),
        (b"/dir/", "slash"),
        (b"/dir/x", "slash"),
        # other spellings of the same path
        (b"//api", "api"),
        (b"/./api/.", "api"),
        (b"/x/../api", "api"),
        (b"/x/%2e%2E/api", "api"),
        (b"/%61pi", "api"),
        (b"/api/v1/../health", "health"),
        (b"/api%2Fv1", "root"),
        (b"/a%2fb", "encoded"),
        (b"/a%2Fb/c", "encoded"),
        (b"/a/b", "root"),
        (b"/~user", "spelled"),
        (b"/%7Euser/x", "spelled"),
    ],
)
def test_paths(target: bytes, expected: str) -> None:
    assert PATHS.find(head(target)) == expected


def test_options_for_the_server_goes_to_the_root() -> None:
    assert PATHS.find(head(b"*", method=b"OPTIONS")) == "root"
    assert table(("api", prefix(b"/api"))).find(head(b"*", method=b"OPTIONS")) is None


def test_regexes_go_in_the_order_given() -> None:
    one, two = ("one", regex(b"^/a")), ("two", regex(b"b$"))
    assert table(one, two).find(head(b"/ab")) == "one"
    assert table(two, one).find(head(b"/ab")) == "two"


def test_a_regex_is_searched_for_in_the_path_alone() -> None:
    routes = table(("in", regex(b"b+")), ("all", prefix(b"/")))
    assert routes.find(head(b"/abc")) == "in"
    assert routes.find(head(b"/a?b")) == "all"


def test_of_equal_routes_the_first_wins() -> None:
    assert table(("a", prefix(b"/x")), ("b", prefix(b"/x"))).find(head(b"/x")) == "a"
    assert table(("a", exact(b"/x")), ("b", exact(b"/x"))).find(head(b"/x")) == "a"


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (rb"^/users/(?P<id>\d+)$", b"/users/"),
        (rb"^/users$", b"/users"),
        (rb"^/a?b", b"/"),
        (rb"^/ab*", b"/a"),
        (rb"^/ab{0,2}", b"/a"),
        (rb"^/ab+", b"/ab"),
        (rb"^/a|/b", b""),
        (rb"^(?:/a)?/b", b""),
        (rb"/a", b""),
        (rb"^/a\.b", b"/a"),
        (rb"^/[ab]", b"/"),
        (rb"^", b""),
        (rb"^/a.b", b"/a"),
    ],
)
def test_what_a_regex_begins_with(pattern: bytes, literal: bytes) -> None:
    assert literal_prefix(pattern) == literal


def test_common_length() -> None:
    assert [common_length(b"abc", other) for other in (b"abd", b"abc", b"", b"x", b"abcd")] == [2, 3, 0, 0, 3]


# --- methods and headers --------------------------------------------------------------------------------

GET = frozenset({b"GET", b"HEAD"})
POST = frozenset({b"POST"})


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"GET", b"/x", "exact get"),
        (b"POST", b"/x", "regex post"),
        (b"PUT", b"/x", "prefix"),
        (b"DELETE", b"/x", "root"),
        (b"get", b"/x", "root"),  # methods are case-sensitive (RFC 9110 9.1)
        (b"PUT", b"/x/y", "prefix"),
        (b"GET", b"/x/y", "root"),
    ],
)
def test_a_route_for_other_methods_steps_aside(method: bytes, target: bytes, expected: str) -> None:
    routes = table(
        ("exact get", exact(b"/x", methods=GET)),
        ("regex post", regex(b"^/x$", methods=POST)),
        ("prefix", prefix(b"/x", methods=frozenset({b"PUT"}))),
        ("root", prefix(b"/")),
    )
    assert routes.find(head(target, method=method)) == expected


CONDITIONS = table(
    ("both", prefix(b"/", headers=(HeaderCondition(b"x-a", equals=b"1"), HeaderCondition(b"x-b")))),
    ("equals", prefix(b"/", headers=(HeaderCondition(b"x-a", equals=b"1"),))),
    ("matches", prefix(b"/", headers=(HeaderCondition(b"x-v", pattern=re.compile(b"^2")),))),
    ("host", prefix(b"/", headers=(HeaderCondition(b"host", equals=b"special"),))),
    ("absent", prefix(b"/", headers=(HeaderCondition(b"x-c", present=False),))),
)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"X-A: 1", b"X-B:"], "both"),
        ([b"x-a:1"], "equals"),
        ([b"X-A: 11"], "absent"),
        ([b"X-V: 2.5"], "matches"),
        ([b"X-V: 1.2"], "absent"),
        ([b"X-C: 1"], None),
        ([b"X-C: 1", b"X-V: 2"], "matches"),
        ([b"X-C:"], None),
    ],
)
def test_header_conditions(lines: list[bytes], expected: str | None) -> None:
    assert CONDITIONS.find(head(lines=lines)) == expected


def test_a_condition_on_host() -> None:
    assert CONDITIONS.find(head(host=b"special")) == "host"


# --- against a naive matcher ----------------------------------------------------------------------------

SEGMENT = st.sampled_from([b"a", b"b", b"ab", b"abc", b"b%2Fa", b"A"])
PATH = st.lists(SEGMENT, max_size=4).map(lambda parts: b"/" + b"/".join(parts))
SPELLED = st.sampled_from([b"/", b"//", b"/./", b"/a/../"])
REGEX_TEXT = st.sampled_from(
    [b"^/a", b"^/a$", b"b$", b"^/ab?/", b"^/(a|b)/", b"^/a|^/b", b"a.b", b"^/[ab]+$", b"^/ab{1,2}"]
)
METHODS = st.sampled_from([None, frozenset({b"GET"}), frozenset({b"POST", b"PUT"})])
HEADERS = st.sampled_from([(), (HeaderCondition(b"x-a"),), (HeaderCondition(b"x-a", equals=b"1"),)])
HOST = st.sampled_from([b"*", b"*.e", b"*.d.e", b"c.d.e", b"d.e", b"f"])


@st.composite
def matches(draw: st.DrawFn) -> Match:
    kind = draw(st.sampled_from([EXACT, PREFIX, PREFIX, REGEX]))
    text = draw(REGEX_TEXT if kind == REGEX else PATH)
    if kind == PREFIX and draw(st.booleans()):
        text = text.rstrip(b"/") + b"/"
    return Match(draw(HOST), kind, text, draw(METHODS), draw(HEADERS))


def naive(routes: Sequence[Match], request: RequestHead) -> int | None:
    """The documented order, read off one route at a time: index of the winner."""
    best: tuple[tuple[int, ...], int] | None = None
    for index, match in enumerate(routes):
        place = rank(match, request)
        if place is not None and (best is None or place > best[0]):
            best = place, index
    return best[1] if best is not None else None


def rank(match: Match, request: RequestHead) -> tuple[int, ...] | None:
    """How specific a route is for a request, None if it does not match."""
    path = request.path
    if match.host == b"*":
        host = 0
    elif match.host.startswith(b"*."):
        if not request.host.endswith(match.host[1:]):
            return None
        host = len(match.host)
    elif match.host == request.host:
        host = 1000
    else:
        return None
    if match.methods is not None and request.method not in match.methods:
        return None
    if not all(condition.holds(request) for condition in match.headers):
        return None
    if match.kind == EXACT:
        return (host, 3, 0) if path == match.text else None
    if match.kind == REGEX:
        return (host, 2, 0) if re.search(match.text, path) else None
    inside = path.startswith(match.text if match.text.endswith(b"/") else match.text + b"/")
    return (host, 1, len(match.text)) if inside or path == match.text else None


@given(
    routes=st.lists(matches(), max_size=12),
    path=PATH,
    spelling=SPELLED,
    host=st.sampled_from([b"c.d.e", b"d.e", b"x.d.e", b"y.x.d.e", b"e", b"f", b"g"]),
    method=st.sampled_from([b"GET", b"POST", b"DELETE"]),
    lines=st.sampled_from([[], [b"X-A: 1"], [b"X-A: 2"]]),
)
def test_the_table_agrees_with_a_naive_matcher(
    routes: list[Match], path: bytes, spelling: bytes, host: bytes, method: bytes, lines: list[bytes]
) -> None:
    request = head(path.replace(b"/", spelling, 1), host, method, lines)
    compiled = RouteTable([(match, index) for index, match in enumerate(routes)])
    assert compiled.find(request) == naive(routes, request)


def test_a_thousand_routes() -> None:
    routes = table(*((f"/app/{n}", prefix(b"/app/%d" % n)) for n in range(1000)))
    for n in (0, 1, 10, 99, 100, 999):
        assert routes.find(head(b"/app/%d/x" % n)) == f"/app/{n}"
    assert routes.find(head(b"/app/1000")) is None
