"""Sticky sessions: who answers a client's further requests, what it is told to bring along, and what backends see.

Invariant: a client stays at its backend as long as that one is usable, and gets no error when it is not.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from proxy.features.sticky.balancer import packed
from proxy.scoreboard import DRAIN, MAINT, STATE
from proxy.server.proxy import Proxy
from proxy.upstream.group import Group
from tests.support import service as processes
from tests.support.client import RawClient, Response, connect
from tests.support.origin import Origin, Script, close, origins, request, reset, response, tell, until, wait
from tests.support.path import get, made, until_true
from tests.support.running import adopt, running

NO_LIMITS = "{traffic: 100%, cool_down: 0s, min_healthy: 0%, error_rate: 100%}"
COOKIE = re.compile(rb"(qantara_route=([A-Za-z0-9_-]{22})); Path=/; HttpOnly; SameSite=Lax")


def answering(body: bytes, *headers: bytes) -> Script:
    return [request(), response(body, headers=headers)]


def numbered() -> list[Script]:
    """Three that answer with their number."""
    return [answering(b"%d" % at) for at in range(3)]


@dataclass(frozen=True, slots=True)
class Way:
    origins: Sequence[Origin]
    proxy: Proxy
    address: tuple[str, int] | str
    client: RawClient

    @property
    def group(self) -> Group:
        return self.proxy.plan.groups["app"]

    async def ask(self, *lines: bytes) -> Response:
        got = await self.client.request(get(*lines))
        assert got.status == 200
        return got

    def set_state(self, at: int, state: int) -> None:
        self.group.members.all[at].rows[STATE] = state
        self.group.refresh(monotonic())


@asynccontextmanager
async def way(
    sticky: str, *scripts: Script, balance: str = "round_robin", more: str = "", route: str = ""
) -> AsyncIterator[Way]:
    """Origins with these scripts, by default three that answer with their number."""
    async with AsyncExitStack() as stack:
        servers = await origins(stack, scripts or numbered())
        listed = ", ".join(f"'{origin.address}'" for origin in servers)
        text = f"""
upstreams: {{app: {{backends: [{listed}], balance: {balance}, sticky: {sticky}, {more}}}}}
routes: [{{upstream: app, {route}}}]
"""
        proxy = await stack.enter_async_context(running(text))
        client = await stack.enter_async_context(connect(proxy.address))
        yield Way(servers, proxy.proxy, proxy.address, client)


def cookie(got: Response) -> bytes:
    """The pair that a response sets; it sets exactly one."""
    match = COOKIE.fullmatch(got.header(b"set-cookie") or b"")
    assert match is not None, got.headers
    return match[1]


# --- by cookie --------------------------------------------------------------------------------------------------------


async def test_a_client_stays_where_it_was() -> None:
    async with way("{cookie: {}}") as there:
        first = await there.ask()
        pair = cookie(first)
        for _ in range(7):
            got = await there.ask(b"Cookie: " + pair)
            assert (got.body, got.header(b"set-cookie")) == (first.body, None)
        others = [await there.ask() for _ in range(3)]  # the algorithm goes on with those who bring nothing
        assert sorted(got.body for got in others) == [b"0", b"1", b"2"]
        assert len({cookie(got) for got in others}) == 3


async def test_it_works_over_any_connection_and_among_other_cookies() -> None:
    async with way("{cookie: {}}") as there:
        first = await there.ask()
        async with connect(there.address) as other:
            got = await other.request(get(b"Cookie: a=b; %b; c=d" % cookie(first)))
            assert (got.body, got.header(b"set-cookie")) == (first.body, None)


@pytest.mark.parametrize(
    "balance",
    [
        "{algorithm: random, seed: 1}",
        "{algorithm: power_of_two, seed: 1}",
        "{algorithm: consistent_hash, key: 'header:x-user'}",
        "{algorithm: maglev, key: 'header:x-user'}",
        "{algorithm: rendezvous, key: 'header:x-user'}",
    ],
)
async def test_it_is_on_top_of_any_algorithm(balance: str) -> None:
    async with way("{cookie: {}}", balance=balance) as there:
        homes = [await there.ask(b"X-User: %d" % user) for user in range(24)]
        assert len({home.body for home in homes}) == 3
        for user, home in enumerate(homes):
            for other in (user, (user + 1) % 24, (user + 2) % 24):  # whatever the key says
                got = await there.ask(b"X-User: %d" % other, b"Cookie: " + cookie(home))
                assert (got.body, got.header(b"set-cookie")) == (home.body, None)
            if "key" in balance:  # without the cookie, the key decides as before
                assert (await there.ask(b"X-User: %d" % user)).body == home.body


async def test_the_cookie_is_no_matter_of_the_backend() -> None:
    async with way("{cookie: {}}", answering(b"0")) as there:
        pair = cookie(await there.ask())
        await there.ask(b"Cookie: " + pair)
        await there.ask(b"Cookie: a=b; %b;c=d" % pair, b"Cookie: e=f")
        await there.ask(b"Cookie: a=b")
        (origin,) = there.origins
        assert [each.all(b"cookie") for each in origin.requests] == [[], [], [b"a=b; c=d; e=f"], [b"a=b"]]


async def test_the_cookie_may_be_left_to_the_backend() -> None:
    async with way("{cookie: {strip: false}}", answering(b"0")) as there:
        pair = cookie(await there.ask())
        await there.ask(b"Cookie: " + pair)
        assert there.origins[0].requests[1].all(b"cookie") == [pair]


async def test_what_the_route_changes_is_changed_all_the_same() -> None:
    changes = (
        "request_headers: {set: {x-a: '1'}, append: {x-b: '2'}, remove: [x-c]},"
        "response_headers: {set: {x-d: '3'}, append: {Set-Cookie: mine=1}, remove: [server]}"
    )
    async with way("{cookie: {}}", answering(b"0", b"Server: s", b"Set-Cookie: theirs=1"), route=changes) as there:
        got = await there.ask()
        assert got.header(b"x-d") == b"3"
        assert got.header(b"server") is None
        mine, theirs = sorted(got.all(b"set-cookie"))[0], sorted(got.all(b"set-cookie"))[-1]
        (own,) = set(got.all(b"set-cookie")) - {mine, theirs}
        assert (mine, theirs) == (b"mine=1", b"theirs=1")
        match = COOKIE.fullmatch(own)
        assert match is not None
        got = await there.ask(b"Cookie: q=1; " + match[1], b"X-C: 1")
        assert sorted(got.all(b"set-cookie")) == [b"mine=1", b"theirs=1"]
        asked = there.origins[0].requests[1]
        assert [asked.header(name) for name in (b"x-a", b"x-b", b"x-c", b"cookie")] == [b"1", b"2", None, b"q=1"]


async def test_attributes() -> None:
    sticky = (
        "{cookie: {name: srv, path: /app, domain: example.com, max_age: 90s, http_only: false, same_site: none, "
        "secure: true}}"
    )
    async with way(sticky) as there:
        line = (await there.ask()).header(b"set-cookie") or b""
        assert re.fullmatch(
            rb"srv=[\w-]{22}; Path=/app; Domain=example.com; Max-Age=90; SameSite=None; Secure", line
        ), line


async def test_who_cannot_serve_is_left_and_the_cookie_set_anew() -> None:
    async with way("{cookie: {}, draining: false}", more="panic: 0%") as there:
        first = await there.ask()
        at = int(first.body)
        for state in (MAINT, DRAIN):
            there.set_state(at, state)
            got = await there.ask(b"Cookie: " + cookie(first))
            assert got.body != first.body
            assert (await there.ask(b"Cookie: " + cookie(got))).body == got.body
        there.set_state(at, 0)
        got = await there.ask(b"Cookie: " + cookie(first))  # who has kept the old one finds its backend again
        assert (got.body, got.header(b"set-cookie")) == (first.body, None)


async def test_an_ejected_backend_is_left() -> None:
    async with way("{cookie: {}}", more="outlier: {max_ejected: 100%}") as there:
        first = await there.ask()
        backend = there.group.members.all[int(first.body)]
        there.group.passive_health.eject(backend, 1)
        assert backend not in there.group.usable
        got = await there.ask(b"Cookie: " + cookie(first))
        assert got.body != first.body
        assert cookie(got) != cookie(first)


async def test_a_drained_backend_keeps_its_sessions() -> None:
    async with way("{cookie: {}}") as there:
        first = await there.ask()
        at = int(first.body)
        there.set_state(at, DRAIN)
        for _ in range(4):
            assert (await there.ask(b"Cookie: " + cookie(first))).body == first.body
            assert (await there.ask()).body != first.body  # nothing new comes
        there.set_state(at, MAINT)
        assert (await there.ask(b"Cookie: " + cookie(first))).body != first.body
        assert [backend.in_flight for backend in there.group.members.all] == [0, 0, 0]


async def test_a_backend_of_weight_0_is_like_a_drained_one() -> None:
    for draining, stays in (("false", False), ("true", True)):
        async with way(f"{{cookie: {{}}, draining: {draining}}}") as there:
            first = await there.ask()
            backend = there.group.members.all[int(first.body)]
            backend.spec = backend.spec._replace(weight=0)
            there.group.refresh(monotonic())
            assert ((await there.ask(b"Cookie: " + cookie(first))).body == first.body) is stays


@pytest.mark.parametrize(
    "value", [b"", b"x", b"A" * 22, b"A" * 21, b"A" * 300, b'"quoted"', b"\xff" * 22, b"../../../../etc/passwd"]
)
async def test_what_the_proxy_has_not_made_up_is_ignored(value: bytes) -> None:
    async with way("{cookie: {}}") as there:
        got = await there.ask(b"Cookie: qantara_route=" + value)
        assert cookie(got)


async def test_a_cookie_is_made_with_the_secret() -> None:
    async with Origin(answering(b"0"), forever=True) as origin:
        tokens = []
        for secret in ("a secret of 20 chars", "a secret of 20 chars", "another secret that is longer"):
            sticky = f"{{cookie: {{secret: '{secret}'}}}}"
            text = (
                f"upstreams: {{app: {{backends: ['{origin.address}'], sticky: {sticky}}}}}\nroutes: [{{upstream: app}}]"
            )
            async with running(text) as proxy, connect(proxy.address) as client:
                tokens.append(cookie(await client.request(get())))
                forged = tokens[0]
                got = await client.request(get(b"Cookie: " + forged))
                assert (got.header(b"set-cookie") is None) is (forged == tokens[-1])
        assert tokens[0] == tokens[1] != tokens[2]


async def test_a_request_that_failed_at_its_backend_leaves_it() -> None:
    """The first one breaks off from its second request on."""
    broken: list[Script] = [[request(), response(b"broken")], [request(), reset]]
    async with Origin(*broken) as first, Origin(answering(b"well"), forever=True) as well:
        text = (
            f"upstreams: {{app: {{backends: ['{first.address}', '{well.address}'], sticky: {{cookie: {{}}}}, "
            "balance: 'tests.balancing.algorithms:InOrder', retry: {on: [error, 503]}}}\nroutes: [{upstream: app}]"
        )
        async with running(text) as proxy, connect(proxy.address) as client:
            got = await client.request(get())
            assert got.body == b"broken"
            await until_true(lambda: proxy.proxy.plan.groups["app"].members.all[0].pool.size == 0)
            got = await client.request(get(b"Cookie: " + cookie(got)))
            assert got.body == b"well"
            assert (await client.request(get(b"Cookie: " + cookie(got)))).body == b"well"


@pytest.mark.parametrize("answer", [b"503 Service Unavailable", b"500 Internal Server Error"])
async def test_a_status_that_is_tried_again_moves_the_session(answer: bytes) -> None:
    failing: Script = [request(), response(b"sick", answer)]
    more = "retry: {on: [500, 503], backoff: 1ms}"
    balance = "'tests.balancing.algorithms:InOrder'"
    async with way("{cookie: {}}", failing, answering(b"well"), balance=balance, more=more) as there:
        got = await there.ask()
        assert got.body == b"well"
        assert (await there.ask(b"Cookie: " + cookie(got))).body == b"well"
        assert len(there.origins[0].requests) == 1


async def test_a_request_that_leaves_its_backend_goes_where_its_key_leads() -> None:
    """And not where the fewest requests are, which is at the first one."""
    failing: Script = [request(), response(b"sick", b"503 Service Unavailable")]
    balance, more = "{algorithm: maglev, key: 'header:x-user'}", "retry: {on: [503], backoff: 1ms}"
    scripts = (failing, answering(b"1"), answering(b"2"))
    async with way("{cookie: {}}", *scripts, balance=balance, more=more) as there:
        sick, _, home = there.group.members.all
        user = next(name for n in range(99) if there.group.balancer.pick(packed(None, name := b"%d" % n)) is home)
        pair = b"Cookie: qantara_route=" + there.group.balancer.tokens.of(sick)
        assert (await there.ask(pair, b"X-User: " + user)).body == b"2"
        assert len(there.origins[0].requests) == 1


async def test_nobody_sticks_to_a_failing_backend() -> None:
    failing: Script = [request(), response(b"sick", b"500 Oops")]
    async with way("{cookie: {}}", failing) as there:
        got = await there.client.request(get())
        assert (got.status, got.header(b"set-cookie")) == (500, None)


async def test_without_a_backend_the_answer_is_what_it_always_was() -> None:
    async with way("{cookie: {}}") as there:
        first = await there.ask()
        for at in range(3):
            there.set_state(at, MAINT)
        assert made(await there.client.request(get(b"Cookie: " + cookie(first)))) == (503, "pick.no_backend")


async def test_web_sockets_stick_too() -> None:
    ask = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    agree = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-At: %d\r\n\r\n"
    scripts: list[Script] = [[until(b"\r\n\r\n"), agree % at, close] for at in range(3)]
    async with way("{cookie: {}}", *scripts) as there:
        met = []
        pair = b""
        for _ in range(4):
            async with connect(there.address) as client:
                await client.send(ask + (b"Cookie: " + pair + b"\r\n" if pair else b"") + b"\r\n")
                got = await client.response(upgrade=b"websocket")
                assert got.status == 101
                met.append(got.header(b"x-at"))
                if not pair:
                    pair = cookie(got)
                else:
                    assert got.header(b"set-cookie") is None
        assert len(set(met)) == 1


async def test_hedged_requests_stick_to_who_answered() -> None:
    late = asyncio.Event()

    async def wait_once(_: object) -> None:
        await late.wait()

    slow: Script = [request(), wait_once, response(b"slow")]
    more = "retry: {hedge: {delay: 20ms}}"
    balance = "'tests.balancing.algorithms:InOrder'"
    async with way("{cookie: {}}", slow, answering(b"fast"), balance=balance, more=more) as there:
        got = await there.ask()
        assert got.body == b"fast"
        assert (await there.ask(b"Cookie: " + cookie(got))).body == b"fast"
        late.set()


async def test_who_has_a_backend_is_not_hedged() -> None:
    """Another backend would not know the session, and an answer that is only late would move it."""

    async def late(_: object) -> None:
        await asyncio.sleep(0.1)

    slow: Script = [request(), late, response(b"slow")]
    more = "retry: {hedge: {delay: 10ms}}"
    balance = "'tests.balancing.algorithms:InOrder'"
    async with way("{cookie: {}}", slow, answering(b"fast"), balance=balance, more=more) as there:
        fast = await there.ask()
        assert fast.body == b"fast"
        first = there.group.members.all[0]
        pair = b"qantara_route=" + there.group.balancer.tokens.of(first)
        got = await there.ask(b"Cookie: " + pair)
        assert (got.body, got.header(b"set-cookie")) == (b"slow", None)
        assert len(there.origins[1].requests) == 1


async def test_a_reload_keeps_who_is_where() -> None:
    """The tokens depend on the secret, the upstream and the address; not on the list, or on the process."""
    async with AsyncExitStack() as stack:
        servers = await origins(stack, numbered())
        met: list[tuple[bytes, bytes]] = []
        for order in ((0, 1, 2), (2, 1, 0)):
            listed = ", ".join(f"'{servers[at].address}'" for at in order)
            text = (
                f"upstreams: {{app: {{backends: [{listed}], sticky: {{cookie: {{}}}}}}}}\nroutes: [{{upstream: app}}]"
            )
            async with running(text) as proxy, connect(proxy.address) as client:
                if not met:
                    for _ in range(3):
                        got = await client.request(get())
                        met.append((got.body, cookie(got)))
                for body, pair in met:
                    assert (await client.request(get(b"Cookie: " + pair))).body == body


async def test_a_reload_that_ends_stickiness_loses_no_request_that_is_tried_again() -> None:
    """The second try is placed by the algorithm of after the reload, its response goes back by the route of before."""
    begun, go = asyncio.Event(), asyncio.Event()
    failing: Script = [request(), tell(begun), wait(go), response(b"sick", b"503 Service Unavailable")]
    more, balance = "retry: {on: [503], backoff: 1ms}", "'tests.balancing.algorithms:InOrder'"
    async with way("{cookie: {}}", failing, answering(b"well"), balance=balance, more=more) as there:
        asked = asyncio.create_task(there.ask())
        await begun.wait()
        listed = ", ".join(f"'{origin.address}'" for origin in there.origins)
        text = f"upstreams: {{app: {{backends: [{listed}], balance: {balance}, {more}}}}}\nroutes: [{{upstream: app}}]"
        await adopt(there.proxy, text)
        go.set()
        got = await asked
        assert (got.body, COOKIE.fullmatch(got.header(b"set-cookie") or b"") is not None) == (b"well", True)


# --- caches between the proxy and the client --------------------------------------------------------------------------

KEPT = b"Cache-Control: public, max-age=60"


@pytest.mark.parametrize(
    ("headers", "route", "said"),
    [
        ([], "", [b"private"]),
        ([KEPT], "", [b"public, max-age=60", b"private"]),
        ([b"Cache-Control: max-age=60, Private"], "", [b"max-age=60, Private"]),
        ([b"Cache-Control: no-cache", b"Cache-Control: no-store"], "", [b"no-cache", b"no-store"]),
        ([b'Cache-Control: private="x-a"'], "", [b'private="x-a"', b"private"]),  # that is about one header alone
        ([KEPT], "response_headers: {set: {cache-control: private}}", [b"private"]),
        ([b"Cache-Control: no-store"], "response_headers: {remove: [Cache-Control]}", [b"private"]),
        ([], "response_headers: {append: {Cache-Control: max-age=9}}", [b"max-age=9", b"private"]),
    ],
)
async def test_no_cache_gives_the_cookie_to_others(headers: list[bytes], route: str, said: list[bytes]) -> None:
    async with way("{cookie: {}}", answering(b"0", *headers), route=route) as there:
        got = await there.ask()
        assert got.all(b"cache-control") == said
        pair = cookie(got)
        again = await there.ask(b"Cookie: " + pair)  # no cookie in it: as the backend and the route say
        assert again.header(b"set-cookie") is None
        added = b"private" in said and b"set: {cache-control" not in route.encode()
        assert again.all(b"cache-control") == (said[:-1] if added else said)


async def test_what_no_cache_keeps_is_not_touched() -> None:
    """Responses to other methods, and those that nobody is told a backend with."""
    posted = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    async with way("{cookie: {}}", answering(b"0", KEPT)) as there:
        got = await there.client.request(posted)
        assert cookie(got)
        assert got.all(b"cache-control") == [b"public, max-age=60"]
    failing: Script = [request(), response(b"sick", b"500 Oops", headers=[KEPT])]
    for sticky, script in (("{cookie: {}}", failing), ("{learn: 'header:x'}", answering(b"0", KEPT, b"X: 1"))):
        async with way(sticky, script) as there:
            got = await there.client.request(get())
            assert got.header(b"set-cookie") is None
            assert got.all(b"cache-control") == [b"public, max-age=60"]


# --- secrets that change ----------------------------------------------------------------------------------------------


async def test_a_secret_can_be_changed_without_losing_a_session() -> None:
    """What the old one has signed is known, and set anew; without it, it is not."""
    old, new = "a secret of 20 chars", "another secret that is longer"
    async with AsyncExitStack() as stack:
        servers = await origins(stack, numbered())
        listed = ", ".join(f"'{origin.address}'" for origin in servers)

        async def asked(secrets: str, *pairs: bytes) -> list[Response]:
            """What clients with these cookies get of a proxy with these secrets."""
            sticky = f"{{cookie: {{{secrets}}}}}"
            text = f"upstreams: {{app: {{backends: [{listed}], sticky: {sticky}}}}}\nroutes: [{{upstream: app}}]"
            async with running(text) as proxy, connect(proxy.address) as client:
                return [await client.request(get(*([b"Cookie: " + pair] if pair else []))) for pair in pairs]

        first = await asked(f"secret: {old}", b"", b"", b"")
        pairs = [cookie(got) for got in first]
        bodies = [got.body for got in first]
        # Not in the order in which the algorithm would send them there anyway
        again = await asked(f"secret: {new}, old_secrets: [{old}]", *pairs[::-1])
        assert [got.body for got in again] == bodies[::-1]
        anew = [cookie(got) for got in again]
        assert set(anew).isdisjoint(pairs)
        kept = await asked(f"secret: {new}", *anew)
        assert [(got.body, got.header(b"set-cookie")) for got in kept] == [(body, None) for body in bodies[::-1]]
        lost = await asked(f"secret: {new}", *pairs[::-1])  # as if they had brought nothing
        assert {got.body: cookie(got) for got in lost} == dict(zip(bodies[::-1], anew, strict=True))


# --- by header --------------------------------------------------------------------------------------------------------


def sessions(at: int) -> Script:
    """Names a session if it is asked for /login, and answers with its number."""

    async def answer(peer: object) -> None:
        last = peer.requests[-1]  # type: ignore[attr-defined]
        headers = [b"X-Session: s%d" % at] if last.target == b"/login" else []
        await peer.send(response(b"%d" % at, headers=headers))  # type: ignore[attr-defined]

    return [request(), answer]


async def test_a_session_is_where_the_backend_has_named_it() -> None:
    async with way("{learn: 'header:X-Session'}", *(sessions(at) for at in range(3))) as there:
        named = {}
        for _ in range(3):
            got = await there.client.request(get(target=b"/login"))
            named[got.header(b"x-session") or b""] = got.body
        assert sorted(named) == [b"s0", b"s1", b"s2"]
        for _ in range(3):
            for session, body in named.items():
                assert (await there.ask(b"x-session: " + session)).body == body
        unknown = [(await there.ask(b"X-Session: nobody")).body for _ in range(3)]
        assert sorted(unknown) == [b"0", b"1", b"2"]  # the client cannot bind a session itself


async def test_a_session_moves_for_good_when_its_backend_cannot_serve_it() -> None:
    async with way("{learn: 'header:X-Session'}", *(sessions(at) for at in range(3))) as there:
        got = await there.client.request(get(target=b"/login"))
        session, at = got.header(b"x-session") or b"", int(got.body)
        there.set_state(at, DRAIN)  # it keeps what it has
        assert (await there.ask(b"X-Session: " + session)).body == got.body
        there.set_state(at, MAINT)
        moved = (await there.ask(b"X-Session: " + session)).body
        assert moved != got.body
        there.set_state(at, 0)
        for _ in range(4):
            assert (await there.ask(b"X-Session: " + session)).body == moved


def cookies(at: int) -> Script:
    """Sets two cookies if it is asked for /login, and answers with its number."""

    async def answer(peer: object) -> None:
        last = peer.requests[-1]  # type: ignore[attr-defined]
        lines = [b"Set-Cookie: other=1", b"Set-Cookie: sid=s%d; Path=/; HttpOnly" % at]
        headers = lines if last.target == b"/login" else []
        await peer.send(response(b"%d" % at, headers=headers))  # type: ignore[attr-defined]

    return [request(), answer]


async def test_a_session_that_lives_in_a_cookie_of_the_app() -> None:
    """The backend sets it; the proxy only reads it, and both sides see what they would see without it."""
    async with way("{learn: 'cookie:sid'}", cookies(0), cookies(1)) as there:
        got = await there.client.request(get(target=b"/login"))
        session = b"sid=s" + got.body
        assert got.all(b"set-cookie") == [b"other=1", session + b"; Path=/; HttpOnly"]
        for _ in range(3):
            assert (await there.ask(b"Cookie: a=b; " + session)).body == got.body
        assert there.origins[int(got.body)].requests[-1].all(b"cookie") == [b"a=b; " + session]
        assert {(await there.ask(b"Cookie: sid=unknown")).body for _ in range(2)} == {b"0", b"1"}


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.processes
@pytest.mark.parametrize("sticky", ["{cookie: {}}", "{learn: 'header:X-Session'}"])
async def test_all_workers_know_who_is_where_and_so_do_their_successors(tmp_path: Path, sticky: str) -> None:
    """Two workers; one is killed, the backends are listed in another order, and one of them is drained, then put into
    maintenance."""

    def text(order: tuple[int, ...]) -> str:
        listed = ", ".join(f"'{servers[at].address}'" for at in order)
        upstream = f"backends: [{listed}], sticky: {sticky}"
        return f"upstreams: {{app: {{{upstream}}}}}\nroutes: [{{upstream: app}}]\nworkers: 2\naccess_log: null\n"

    async def ask(*lines: bytes, target: bytes = b"/") -> Response:
        async with connect(service.address) as client:  # each time a connection of its own, and so any worker
            return await client.request(get(*lines, target=target))

    async def gone() -> set[bytes]:
        """Whose sessions are elsewhere."""
        return {body for body, line in known.items() for _ in range(12) if (await ask(line)).body != body}

    async def replaced() -> bool:
        return (await service.workers()).get(1, before[1]) != before[1]

    async def moved() -> bool:
        return {(await ask(known[b"1"])).body for _ in range(12)}.isdisjoint({b"1"})

    async def nothing_new_at(body: bytes) -> bool:
        return all([(await ask()).body != body for _ in range(24)])

    async with AsyncExitStack() as stack:
        servers = await origins(stack, map(sessions, range(3)))
        service = await stack.enter_async_context(processes.running(tmp_path, text((0, 1, 2)), tcp=True))
        known: dict[bytes, bytes] = {}
        while len(known) < 3:
            got = await ask(target=b"/login")
            known[got.body] = b"Cookie: " + cookie(got) if "cookie" in sticky else b"X-Session: s" + got.body
        assert await gone() == set()
        before = await service.workers()
        os.kill(before[1], signal.SIGKILL)
        await processes.until(replaced)
        assert await gone() == set()
        assert (await service.reload(text((2, 0, 1))))["ok"]
        assert await gone() == set()
        path = f"/upstreams/app/backends/{servers[1].address}"
        assert (await service.call("PUT", path, {"state": "drain"}))[0] == 200
        await processes.until(lambda: nothing_new_at(b"1"))
        assert await gone() == set()
        assert (await service.call("PUT", path, {"state": "maint"}))[0] == 200
        await processes.until(moved)
        assert await gone() == {b"1"}


@pytest.mark.processes
@pytest.mark.parametrize("after", [None, "another secret that is longer"])
async def test_the_secret_in_a_file_counts_until_a_reload(tmp_path: Path, after: str | None) -> None:
    """A worker that takes the place of another one, or follows chaos rules, knows the cookies that were given before
    the file changed, or went away; so does what explains."""
    file = tmp_path / "secret"
    file.write_text("a secret of 20 chars")
    async with AsyncExitStack() as stack:
        servers = await origins(stack, numbered())
        listed = ", ".join(f"'{origin.address}'" for origin in servers)
        text = f"""
upstreams: {{app: {{backends: [{listed}], sticky: {{cookie: {{secret_file: '{file}'}}}}}}}}
routes: [{{upstream: app}}]
chaos: {{enabled: true, environment: test, audit: '{tmp_path}/audit.jsonl', i_understand: true, limits: {NO_LIMITS}}}
access_log: null
"""
        service = await stack.enter_async_context(processes.running(tmp_path, text, tcp=True))

        async def ask(*lines: bytes) -> Response:
            async with connect(service.address) as client:
                return await client.request(get(*lines))

        async def kept() -> bool:
            answers = [await ask(b"Cookie: " + pair) for _ in range(4)]
            return all((got.body, got.header(b"set-cookie")) == (first.body, None) for got in answers)

        async def replaced() -> bool:
            return (await service.workers()).get(1, before[1]) != before[1]

        first = await ask()
        pair = cookie(first)
        if after is None:
            file.unlink()
        else:
            file.write_text(after)
        rule = {"name": "late", "fault": "delay", "stage": "admit", "delay": "1ms"}
        status, told = await service.call("POST", "/chaos/experiments", {"rule": rule, "dry_run": False})
        assert status == 201, told
        assert await kept()
        before = await service.workers()
        os.kill(before[1], signal.SIGKILL)
        await processes.until(replaced)
        assert await kept()
        asked = {"url": "/", "headers": [["Cookie", pair.decode()]]}
        told = (await service.call("POST", "/explain", asked))[1]
        assert told["sticky"]["leads_to"] == servers[int(first.body)].address
