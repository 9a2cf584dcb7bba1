"""Sticky upstreams in the configuration: what is accepted, where the secret comes from, and what explain says."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any

import pytest

from proxy import scoreboard
from proxy.configuration.load import load_text
from proxy.configuration.render import show
from proxy.configuration.sections import sticky as section
from proxy.configuration.sections.sticky import StickyCookie
from proxy.console.explain_view import lines
from proxy.control.explain import request_bytes
from proxy.errors import ConfigError
from proxy.features.sticky.balancer import Sticky, sign
from proxy.features.sticky.sessions import Sessions, sessions_on
from proxy.features.sticky.stages import CookieKey, Learn, LearnedKey, SetCookie
from proxy.scoreboard import DRAIN, EJECTED_UNTIL, MAINT, ROW, STATE
from proxy.stages.relay import Relay
from tests.support.exchanges import exchange, pick_of
from tests.support.plans import explained, linked

SECRET = "0123456789abcdef"
NOT_NOW = "b:1 cannot serve it now"


def yaml(sticky: str, balance: str = "round_robin", route: str = "") -> str:
    return f"""
listeners: [{{bind: '127.0.0.1:0'}}]
upstreams: {{app: {{backends: ['a:1', 'b:1'], balance: {balance}, sticky: {sticky}}}}}
routes: [{{upstream: app, {route}}}]
"""


def complaint(sticky: str) -> str:
    with pytest.raises(ConfigError) as caught:
        linked(load_text(yaml(sticky), "test.yaml").config)
    return str(caught.value)


@pytest.mark.parametrize(
    ("sticky", "said"),
    [
        ("{}", "needs exactly one of cookie and learn; write {cookie: {}} for the usual"),
        ("{cookie: {}, learn: 'header:x'}", "needs exactly one of cookie and learn"),
        ("{cookie: {same_site: none}}", "same_site: none needs secure: true"),
        (f"{{cookie: {{secret: {SECRET}, secret_file: /x}}}}", "has secrets here and a secret_file"),
        (f"{{cookie: {{old_secrets: [{SECRET}], secret_file: /x}}}}", "has secrets here and a secret_file"),
        ("{cookie: {old_secrets: [short]}}", "must have at least 16 characters"),
        ("{cookie: {name: __Host-q}}", "the name __Host-q needs secure: true"),
        ("{cookie: {name: __Secure-q}}", "the name __Secure-q needs secure: true"),
        ("{cookie: {name: __Host-q, secure: true, path: /a}}", "allows no domain, and no path but /"),
        ("{cookie: {name: __Host-q, secure: true, domain: a.example}}", "allows no domain, and no path but /"),
        ("{cookie: {secret: short}}", "must have at least 16 characters"),
        ("{cookie: {name: 'a b'}}", "is no token"),
        ("{cookie: {path: 'a'}}", 'must begin with "/"'),
        ("{cookie: {path: '/a; Secure'}}", 'neither spaces nor ";"'),
        ("{cookie: {domain: 'a_b;c'}}", "must be a domain such as example.com"),
        ("{cookie: {secure: 1}}", "must be true or false"),
        ("{learn: {}}", "is missing"),
        ("{learn: x-session}", "must be header:NAME, query:NAME, cookie:NAME or path:NAME"),
        ("{learn: 'query:session'}", "must be header:NAME or cookie:NAME"),
        ("{learn: 'header:connection'}", "cannot be changed"),
        ("{learn: {session: 'header:x', ttl: 2161h}}", "must be at most 2160h"),
        ("{cookie: {secret_file: /no/such/file}}", "cannot read /no/such/file"),
        ('{cookie: {secret_file: "a\\0b"}}', "the path of a file must not hold control characters"),
    ],
)
def test_what_is_wrong_is_told_in_words(sticky: str, said: str) -> None:
    assert said in complaint(sticky)


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    assert section.secrets_of(StickyCookie(secret_file=str(file))) == (SECRET.encode(),)
    file.write_text(f"\n{SECRET}-new\n\n{SECRET}")
    assert section.secrets_of(StickyCookie(secret_file=str(file))) == (f"{SECRET}-new".encode(), SECRET.encode())
    for content, said in (
        (f"{SECRET}\nshort", "has fewer than 16 characters"),
        ("\n", "there is no secret in"),
        ("\udcff", "cannot read"),
    ):
        file.write_text(content, errors="surrogateescape")
        assert said in complaint(f"{{cookie: {{secret_file: '{file}'}}}}")


def test_secrets_here() -> None:
    assert section.secrets_of(StickyCookie(secret=SECRET)) == (SECRET.encode(),)
    old = (f"{SECRET}-1", f"{SECRET}-2")
    assert section.secrets_of(StickyCookie(secret=SECRET, old_secrets=old)) == (
        SECRET.encode(),
        *(each.encode() for each in old),
    )
    from_machine = section.secrets_of(StickyCookie(old_secrets=old[:1]))  # the way to the machine's own
    assert from_machine == (section.machine_secret(), old[0].encode())


def test_secrets_are_not_shown() -> None:
    config = load_text(yaml(f"{{cookie: {{secret: {SECRET}, old_secrets: [{SECRET}-old]}}}}")).config
    assert SECRET not in config.model_dump_json()
    assert SECRET not in show(config.upstreams["app"])
    assert "name: other" in show(load_text(yaml("{cookie: {name: other}}")).config.upstreams["app"])


def test_without_a_secret_that_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same whenever it is asked for, another one on another machine, and no part of the identity itself."""
    first, second = tmp_path / "machine-id", tmp_path / "boot_id"
    monkeypatch.setattr(section, "IDENTITIES", (first, second))
    assert "this machine has no identity" in complaint("{cookie: {}}")
    second.write_text("6d1f5c0e-0000-4000-8000-000000000000\n")
    by_boot = section.machine_secret()
    first.write_text("")  # as in images that have none yet
    assert section.machine_secret() == by_boot
    first.write_text("0123456789abcdef0123456789abcdef\n")
    assert section.machine_secret() == section.machine_secret() != by_boot
    assert b"0123456789abcdef" not in section.machine_secret()


def test_only_what_is_asked_for_is_linked() -> None:
    for sticky, kinds in (
        ("null", (type(None), Relay)),
        ("{cookie: {}}", (CookieKey, SetCookie)),
        ("{learn: 'header:x-session'}", (LearnedKey, Learn)),
        ("{learn: 'cookie:session'}", (LearnedKey, Learn)),
    ):
        plan = linked(load_text(yaml(sticky), "test.yaml").config)
        route = plan.routes.find(exchange().head)
        assert (type(pick_of(plan).key), type(route.back)) == kinds
        assert route.pick is pick_of(plan)
        assert isinstance(plan.balancers["app"][0], Sticky) is (sticky != "null")


def test_a_route_that_has_its_own_mind_about_cookies_is_left_alone() -> None:
    for sticky, route, strips in (
        ("{cookie: {}}", "", True),
        ("{cookie: {strip: false}}", "", False),
        ("{cookie: {}}", "request_headers: {remove: [Cookie]}", False),
        ("{cookie: {}}", "request_headers: {set: {cookie: a=b}}", False),
    ):
        key = pick_of(linked(load_text(yaml(sticky, route=route)).config)).key
        assert isinstance(key, CookieKey)
        assert key.strip is strips


def test_settings_of_the_cookie_do_not_make_a_new_algorithm() -> None:
    plans = [linked(load_text(yaml(s)).config) for s in ("{cookie: {}}", "{cookie: {max_age: 60s, name: b}}")]
    first, second = (plan.specs["app"].balance for plan in plans)
    assert first == second


# --- explain ----------------------------------------------------------------------------------------------------------


def told(sticky: str, *headers: tuple[str, str], balance: str = "round_robin", board: Any = None) -> dict[str, Any]:
    return explained(load_text(yaml(sticky, balance)).config, request_bytes("GET", "/", headers), board=board)


def test_explain_says_where_a_cookie_leads() -> None:
    sticky = f"{{cookie: {{secret: {SECRET}}}}}"
    mark = sign(SECRET.encode(), "app", "b:1").decode()
    found = told(sticky, ("Cookie", f"qantara_route={mark}"))
    assert found["sticky"] == {"by": "cookie qantara_route", "leads_to": "b:1", "why": "it is usable"}
    assert "sticky by cookie qantara_route, which leads to b:1" in [line for _, line, _ in lines(found)]
    assert told(sticky)["sticky"]["why"] == "the request has none"
    assert told(sticky, ("Cookie", f"qantara_route={'x' * 22}"))["sticky"]["why"] == "no backend is known by it"
    assert told(sticky, ("Cookie", "qantara_route=x"))["sticky"]["why"] == "the request has none"


def test_explain_says_why_a_cookie_leads_nowhere() -> None:
    board = scoreboard.create(3)
    board.backend_rows("app", "b:1")[STATE] = MAINT
    mark = sign(SECRET.encode(), "app", "b:1").decode()
    found = told(f"{{cookie: {{secret: {SECRET}}}}}", ("Cookie", f"qantara_route={mark}"), board=board)
    assert found["sticky"]["why"] == "b:1 cannot serve it now"
    words = [line for _, line, _ in lines(found)]
    assert "sticky by cookie qantara_route, which leads nowhere: b:1 cannot serve it now" in words


@pytest.mark.parametrize(
    ("seconds", "leads"),
    [(-5.0, {"leads_to": "b:1", "why": "it is usable"}), (60.0, {"leads_to": None, "why": NOT_NOW})],
)
def test_explain_goes_by_the_time_until_which_a_drained_backend_is_ejected(
    seconds: float, leads: dict[str, Any]
) -> None:
    board = scoreboard.create(3)
    rows = board.backend_rows("app", "b:1")
    rows[STATE] = DRAIN
    rows[ROW + EJECTED_UNTIL] = monotonic_ns() + int(seconds * 1e9)
    mark = sign(SECRET.encode(), "app", "b:1").decode()
    found = told(f"{{cookie: {{secret: {SECRET}}}}}", ("Cookie", f"qantara_route={mark}"), board=board)
    assert found["sticky"] == {"by": "cookie qantara_route", **leads}


def test_explain_says_where_a_session_is() -> None:
    board = scoreboard.create(3)
    board.backend_rows("other", "x:1")
    board.backend_rows("app", "b:1")
    sessions: Sessions = sessions_on(board, "app", 3600.0)
    sessions.keep(b"abc", board.backends.rows["app\nb:1"], monotonic())
    found = told("{learn: 'header:X-Session'}", ("x-session", "abc"), board=board)
    assert found["sticky"] == {"by": "header:X-Session", "leads_to": "b:1", "why": "it is usable"}
    assert told("{learn: 'header:X-Session'}", ("x-session", "abd"), board=board)["sticky"]["leads_to"] is None


def test_to_ask_for_a_session_is_not_to_use_it() -> None:
    board = scoreboard.create(3)
    board.backend_rows("app", "b:1")
    sessions: Sessions = sessions_on(board, "app", 3600.0)
    sessions.keep(b"abc", board.backends.rows["app\nb:1"], monotonic() - 60.0)
    before = bytes(board.sessions())
    found = told("{learn: 'header:X-Session'}", ("x-session", "abc"), board=board)
    assert found["sticky"]["leads_to"] == "b:1"
    assert bytes(board.sessions()) == before


def test_explain_says_where_the_key_leads_too() -> None:
    balance = "{algorithm: consistent_hash, key: 'header:x-user'}"
    found = told("{cookie: {}}", ("x-user", "ann"), balance=balance)
    assert (found["balance"]["value"], found["balance"]["key"]) == ("ann", "header:x-user")
    assert found["balance"]["picked"] == told("null", ("x-user", "ann"), balance=balance)["balance"]["picked"]
