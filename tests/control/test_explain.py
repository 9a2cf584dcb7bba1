"""What would happen to a request: told by the code that would do it, and by what is known of backends."""

from __future__ import annotations

from time import monotonic_ns
from typing import Any

import pytest

from proxy import scoreboard
from proxy.configuration.load import load_text
from proxy.control.explain import parse_client, request_bytes
from proxy.limits.buckets import Buckets
from proxy.limits.rate import bucket_key, salt_of
from proxy.scoreboard import DRAIN, EJECTED_FOR, EJECTED_UNTIL, IN_FLIGHT, ROW, STATE
from tests.support.plans import explained

YAML = """
listeners: [{bind: '127.0.0.1:0'}]
upstreams:
  app: {backends: [{address: 'a:1', weight: 3}, 'b:1', 'c:1']}
  keyed: {backends: ['a:1', 'b:1'], balance: {algorithm: 'tests.balancing.algorithms:LastByKey', key: 'header:X-Key'}}
rate_limits: {few: {rate: 10/s}}
trusted_proxies: [10.0.0.0/8]
routes:
  - {name: write, path: /api, methods: [POST], upstream: app}
  - {name: admin, host: admin.example.com, upstream: app}
  - {name: beta, path: /api, headers: {x-beta: '1'}, upstream: app}
  - {name: read, path: /api, upstream: app, rate_limits: [few], strip_prefix: /api}
  - {name: old, exact: /old, redirect: {to: 'https://{host}/new'}}
  - {name: ping, exact: /ping, respond: {status: 204}}
  - {name: keyed, path: /keyed, upstream: keyed}
"""


def told(url: str, method: str = "GET", headers: tuple[tuple[str, str], ...] = (), **more: Any) -> dict[str, Any]:
    return explained(load_text(YAML).config, request_bytes(method, url, headers), **more)


@pytest.mark.parametrize(
    ("text", "address"), [("192.0.2.7", "192.0.2.7"), ("2001:DB8:0::7", "2001:db8::7"), ("unix", "unix")]
)
def test_a_client_is_written_as_its_socket_would_have_it(text: str, address: str) -> None:
    assert parse_client(text) == address


@pytest.mark.parametrize("text", ["", "me", "10.0.0.1:80", "10.0.0", "[::1]", "10.0.0.0/8", "a\nb"])
def test_what_is_no_address_of_a_client(text: str) -> None:
    with pytest.raises(ValueError, match="must be an IP address") as error:
        parse_client(text)
    assert str(error.value).isprintable()


def why(found: dict[str, Any]) -> dict[str, str]:
    return {each["route"]: each["why"] for each in found["routes"]}


def test_each_route_says_why_it_does_not_take_the_request() -> None:
    found = told("http://example.com/api/users?page=2")
    assert found["route"] == "read"
    assert why(found) == {
        "write": "method is not POST",
        "admin": "host is not admin.example.com",
        "beta": "header x-beta is missing",
        "read": "",
        "old": "path is not /old",
        "ping": "path is not /ping",
        "keyed": "path is not below /keyed",
    }
    assert [each["route"] for each in found["routes"] if each.get("chosen")] == ["read"]


def test_a_route_that_fits_but_is_not_the_first_says_so() -> None:
    found = told("/api", headers=(("X-Beta", "1"),))
    assert found["route"] == "beta"
    assert [each["route"] for each in found["routes"] if each["matches"]] == ["beta", "read"]


def test_the_path_is_the_one_that_the_backend_gets() -> None:
    forward = told("/api/./users/%41?x=1")["forward"]
    assert (forward["path"], forward["query"], forward["upstream"]) == ("/users/A", "?x=1", "app")


@pytest.mark.parametrize(("method", "retries"), [("GET", 2), ("PUT", 2), ("POST", 0)])
def test_retries_depend_on_the_method(method: str, retries: int) -> None:
    assert told("/keyed", method)["forward"]["retries"] == retries


def test_answers_of_its_own() -> None:
    assert told("http://x.org/old")["redirect"] == {"status": 308, "to": "https://x.org/new"}
    assert told("/ping")["respond"] == {"status": 204, "body": ""}
    assert told("/nowhere")["refused"]["reason"] == "route.no_route"


def test_what_is_no_request_is_refused_as_the_proxy_would() -> None:
    assert told("/api", headers=(("Host", "a b"),))["refused"]["reason"] == "accept.bad_host"
    assert told("/api", headers=(("Content-Length", "x"),))["refused"]["reason"] == "accept.bad_content_length"
    assert told("/api", "TRACE")["refused"]["reason"] == "accept.method_refused"
    found = told("/api", "POST", (("Content-Length", "999999999"),))
    assert found["refused"]["reason"] == "admit.body_too_large"
    with pytest.raises(ValueError, match="percent-encoded"):
        told("/a b")
    with pytest.raises(ValueError, match="ftp"):
        told("ftp://x/")


def test_a_key_leads_to_a_backend() -> None:
    balance = told("/keyed", headers=(("X-Key", "k"),))["balance"]
    assert (balance["key"], balance["value"]) == ("header:X-Key", "k")
    assert balance["picked"] in ("a:1", "b:1")


def test_the_client_behind_a_trusted_proxy() -> None:
    headers = (("X-Forwarded-For", "192.0.2.7"),)
    assert told("/api", headers=headers, client="10.1.1.1")["request"]["client"] == "192.0.2.7"
    assert told("/api", headers=headers, client="192.0.2.1")["request"]["client"] == "192.0.2.1"


def test_candidates_are_as_the_board_has_them_and_nothing_is_changed() -> None:
    board = scoreboard.create(3)
    rows = {name: board.backend_rows("app", f"{name}:1") for name in "abc"}
    rows["a"][ROW + IN_FLIGHT], rows["a"][2 * ROW + IN_FLIGHT] = 3, 4
    rows["b"][2 * ROW + EJECTED_UNTIL] = monotonic_ns() + 10**12
    rows["b"][2 * ROW + EJECTED_FOR] = 1
    rows["c"][STATE] = DRAIN
    before = {name: list(row) for name, row in rows.items()}
    found = {each["backend"]: each for each in told("/api", board=board)["candidates"]}
    assert (found["a:1"]["share"], found["a:1"]["in_flight"], found["a:1"]["state"]) == (1.0, 7, "ready")
    assert (found["b:1"]["usable"], found["b:1"]["state"]) == (False, "ejected")
    assert "connect" in found["b:1"]["why"]
    assert (found["c:1"]["usable"], found["c:1"]["state"]) == (False, "drain")
    assert {name: list(row) for name, row in rows.items()} == before


def test_what_is_left_of_a_rate_limit() -> None:
    board = scoreboard.create(2)
    number = bucket_key(salt_of(board.secret(), "few"), b"127.0.0.1")
    for _ in range(4):
        Buckets(board.buckets()).take(number, monotonic_ns(), 10**11, 10**12)
    limit = told("/api", board=board)["rate_limits"][0]
    assert (limit["name"], limit["limited"], limit["burst"]) == ("few", True, 10)
    assert limit["left"] == 0
    assert told("/api", board=board, client="192.0.2.9")["rate_limits"][0]["left"] == 10


# --- traces -------------------------------------------------------------------------------------------

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"


def traced(tracing: str, *headers: tuple[str, str], client: str = "10.1.2.3") -> dict[str, Any]:
    config = load_text(f"{YAML}tracing: {tracing}\n").config
    found = explained(config, request_bytes("GET", "/api", headers), client=client)
    return dict(found["tracing"])


def test_without_tracing_nothing_is_said_of_it() -> None:
    assert "tracing" not in told("/api")


@pytest.mark.parametrize(
    ("tracing", "value", "client", "why", "goes_on", "flag", "kept"),
    [
        ("{}", None, "10.1.2.3", "it has no traceparent", False, None, "it takes 1s, or its id is within 1%"),
        ("{}", PARENT + "1", "10.1.2.3", "its traceparent is believed", True, True, "since its sender records it"),
        ("{}", PARENT + "0", "10.1.2.3", "its traceparent is believed", True, False, "if it fails, or it takes 1s"),
        ("{}", PARENT, "10.1.2.3", "its traceparent is malformed", False, None, "or its id is within 1%"),
        ("{}", PARENT + "1", "192.0.2.1", "its client is not believed", False, None, "if it fails"),
        ("{keep: {share: 100%}}", PARENT + "0", "10.1.2.3", "its traceparent is", True, True, "is within the 100%"),
        ("{keep: {errors: false, slow: null, share: 0%}}", None, "10.1.2.3", "it has no", False, None, "never"),
        ("{sampled_flag: always}", None, "10.1.2.3", "it has no traceparent", False, True, "if it fails"),
    ],
)
def test_a_trace_is_explained(
    tracing: str, value: str | None, client: str, why: str, goes_on: bool, flag: bool | None, kept: str
) -> None:
    headers = (("traceparent", value),) if value is not None else ()
    found = traced(tracing, *headers, client=client)
    assert why in found["why"]
    assert (found["trace_id"] is not None, found["sampled_flag"]) == (goes_on, flag)
    assert kept in found["kept"]


# --- labels and locations ---------------------------------------------------------------------------------------------

PLACED = """
listeners: [{bind: '127.0.0.1:0'}]
trusted_proxies: [10.0.0.0/8]
geo: {header: X-Client-Region, networks: {192.0.2.0/24: us-east}}
upstreams:
  app:
    balance: geographic
    backends:
      - {address: 'a:1', region: eu-central, labels: {version: stable}}
      - {address: 'b:1', region: us-east, labels: {version: canary}}
routes:
  - {name: new, path: /new, upstream: app, subset: {version: canary}}
  - {name: all, upstream: app}
"""


def placed(url: str, client: str, *headers: tuple[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = explained(load_text(PLACED).config, request_bytes("GET", url, headers), client=client)
    return found


def test_where_a_client_is_leads_to_a_backend() -> None:
    asked = ("X-Client-Region", "eu-central")
    found = placed("/", "10.1.2.3", asked)["balance"]
    assert (found["key"], found["value"], found["picked"]) == ("location", "eu-central", "a:1")
    found = placed("/", "192.0.2.7", asked)["balance"]  # not trusted: its address counts
    assert (found["value"], found["picked"]) == ("us-east", "b:1")
    assert placed("/", "198.51.100.1")["balance"]["value"] == ""


def test_only_backends_with_the_labels_of_the_route_are_candidates() -> None:
    found = placed("/new", "192.0.2.7")
    assert found["balance"]["subset"] == {"version": "canary"}
    assert [(each["backend"], each["usable"], each["share"]) for each in found["candidates"]] == [
        ("a:1", False, 0.0),
        ("b:1", True, 1.0),
    ]
    assert "subset" not in placed("/", "192.0.2.7")["balance"]
