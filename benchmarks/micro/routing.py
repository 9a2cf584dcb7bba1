"""proxy/routing.py: what finding a route costs, and that a thousand routes cost no more than ten.

The request is the same for all tables. Among more routes the tree branches more often on the way to the one that is
found: that is a step of some 25 ns for each ten-fold, not a scan, and it is what the marks leave room for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from proxy.http1.codec import RequestHead
from proxy.routing import EXACT, PREFIX, REGEX, Match, RouteTable

from .harness import Case

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = b"/svc-5050/users/42/orders?page=2"
HOST = b"svc-5050.example.com"
MARK = 300.0


def cases() -> list[Case]:
    return [
        Case("10 path prefixes", partial(find, prefixes, 10), mark=MARK),
        Case("1,000 path prefixes", partial(find, prefixes, 1000), mark=MARK),
        Case("10,000 path prefixes", partial(find, prefixes, 10_000), mark=MARK),
        Case("10 hosts", partial(find, hosts, 10), mark=MARK),
        Case("1,000 hosts", partial(find, hosts, 1000), mark=MARK),
        Case("1,000 wildcard hosts", partial(find, wildcards, 1000), mark=2 * MARK),
        Case("1,000 exact paths and a prefix for the rest", partial(find, exacts, 1000), mark=MARK),
        Case("10 anchored regexes", partial(find, regexes, 10)),
        Case("1,000 anchored regexes", partial(find, regexes, 1000)),
        Case("1,000 prefixes, one with methods and headers", partial(find, conditions, 1000)),
    ]


def find(make: Callable[[int], RouteTable], count: int) -> Callable[[], object]:
    table = make(count)
    head = RequestHead()
    head.parse(b"GET %b HTTP/1.1\r\nHost: %b\r\nX-Canary: 1\r\n\r\n" % (TARGET, HOST), 0)
    if table.find(head) is None:
        raise AssertionError("the request has to find a route")
    return lambda: table.find(head)


def numbers(count: int) -> list[int]:
    """`count` numbers of four digits, 5050 among them."""
    step = 9999 // count or 1
    return [5050, *(n for n in range(0, step * count, step) if n != 5050)][:count]


def prefixes(count: int) -> RouteTable:
    return RouteTable([(Match(kind=PREFIX, text=b"/svc-%04d/users" % n), n) for n in numbers(count)])


def exacts(count: int) -> RouteTable:
    routes = [(Match(kind=EXACT, text=b"/svc-%04d/users/42" % n), n) for n in numbers(count)]
    return RouteTable([*routes, (Match(), -1)])


def regexes(count: int) -> RouteTable:
    return RouteTable([(Match(kind=REGEX, text=rb"^/svc-%04d/users/(?P<id>\d+)/" % n), n) for n in numbers(count)])


def hosts(count: int) -> RouteTable:
    return RouteTable([(Match(host=b"svc-%04d.example.com" % n), n) for n in numbers(count)])


def wildcards(count: int) -> RouteTable:
    routes = [(Match(host=b"*.svc-%04d.example.com" % n), n) for n in numbers(count)]
    return RouteTable([*routes, (Match(host=b"*.example.com"), -1)])


def conditions(count: int) -> RouteTable:
    found = Match(text=b"/svc-5050", methods=frozenset({b"GET"}))
    return RouteTable([(found, -1), *((Match(text=b"/svc-%04d" % n), n) for n in numbers(count)[1:])])
