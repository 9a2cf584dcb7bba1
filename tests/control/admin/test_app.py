"""The admin API by its requests: what it shows, what it changes, and whom it refuses."""

from __future__ import annotations

from pathlib import Path
from time import monotonic_ns
from typing import Any

import pytest

from proxy.configuration.load import load_text
from proxy.configuration.sections.admin import AdminSection
from proxy.control.reload import read_token
from proxy.errors import REASONS, BindError, ConfigError
from proxy.scoreboard import (
    C_TRACES_DROPPED,
    C_TRACES_EXPORTED,
    C_TRACES_FAILED,
    C_TRACES_KEPT,
    DOWN,
    EJECTED_FOR,
    EJECTED_UNTIL,
    HEALTH,
    REQUESTS,
    ROW,
    STATE,
    WEIGHT,
)
from tests.control.admin.fake import YAML, admin

# --- what it shows --------------------------------------------------------------------------------------


async def test_alive_and_ready() -> None:
    async with admin() as call:
        assert await call("GET", "/healthz") == (200, {"alive": True})
        assert await call("GET", "/readyz") == (200, {"ready": True})
        assert (await call("POST", "/stop"))[0] == 202
        assert await call("GET", "/readyz") == (503, {"ready": False})
        assert await call("GET", "/healthz") == (200, {"alive": True})


async def test_the_configuration_as_it_runs_without_its_secrets() -> None:
    async with admin() as call:
        status, shown = await call("GET", "/config")
        assert status == 200
        assert shown["timeouts"]["connect"] == 3.0
        assert shown["upstreams"]["app"]["backends"][1]["weight"] == 5
        assert "a-secret" not in str(shown)


async def test_headers_for_the_collector_are_not_shown() -> None:
    async with admin() as call:
        text = "listeners: [{bind: ':80'}]\nroutes: [{respond: {}}]\ntracing: {headers: {x-key: hush-hush}}\n"
        call.fake.serve(text)
        _, shown = await call("GET", "/config")
        assert shown["tracing"]["headers"] == {"x-key": "(not shown)"}


async def test_traces_are_counted() -> None:
    async with admin() as call:
        head = call.fake.board.slot_head(1)
        head[C_TRACES_KEPT], head[C_TRACES_KEPT + 3], head[C_TRACES_DROPPED] = 2, 3, 1
        head[C_TRACES_EXPORTED], head[C_TRACES_FAILED] = 4, 5
        _, text = await call("GET", "/metrics")
        for line in ('kept_total{why="error"} 2', 'kept_total{why="share"} 3', "dropped_total 1", "failed_total 5"):
            assert f"qantara_traces_{line}.0\n" in text
        assert "qantara_traces_exported_total 4.0\n" in text


async def test_each_state_comes_with_its_reason() -> None:
    async with admin() as call:
        board = call.fake.board
        rows = board.backend_rows("app", "a:1")
        rows[HEALTH] = DOWN
        ejected = board.backend_rows("app", "b:1")
        ejected[2 * ROW + EJECTED_UNTIL] = monotonic_ns() + 10**10
        ejected[2 * ROW + EJECTED_FOR] = 2
        for slot in (1, 2):
            ejected[slot * ROW + REQUESTS] = 7
        status, shown = await call("GET", "/upstreams/app")
        assert status == 200
        first, second, third = shown["backends"]
        assert (first["state"], first["why"]) == ("down", "active checks failed")
        assert second["state"] == "ejected"
        assert second["why"].startswith("consecutive_5xx, for ")
        assert (second["requests"], second["weight"]) == (14, 5)
        assert (third["address"], third["state"]) == ("unix:/run/c", "ready")
        assert (shown["healthy"], shown["panic"]) == (1, True)
        assert [each["name"] for each in (await call("GET", "/upstreams"))[1]] == ["app", "other"]


async def test_every_reason_is_listed() -> None:
    async with admin() as call:
        assert len((await call("GET", "/reasons"))[1]) == len(REASONS)


# --- what it changes ------------------------------------------------------------------------------------


async def test_a_backend_is_drained_and_comes_back() -> None:
    async with admin() as call:
        rows = call.fake.board.backend_rows("app", "a:1")
        epoch = call.fake.board.epoch()
        status, shown = await call("PUT", "/upstreams/app/backends/a:1", {"state": "drain"})
        assert (status, shown["state"], shown["why"]) == (200, "drain", "an operator said so")
        assert rows[STATE] == 1
        assert call.fake.board.epoch() != epoch
        assert (await call("PUT", "/upstreams/app/backends/a:1", {"state": "ready"}))[1]["state"] == "ready"


async def test_weights_are_set_and_given_back() -> None:
    async with admin() as call:
        rows = call.fake.board.backend_rows("app", "unix:/run/c")
        assert (await call("PUT", "/upstreams/app/backends/unix:/run/c", {"weight": 0}))[1]["weight"] == 0
        assert rows[WEIGHT] == 1
        await call("PUT", "/upstreams/app/backends/unix:/run/c", {"state": "ready"})
        assert rows[WEIGHT] == 1
        assert (await call("PUT", "/upstreams/app/backends/unix:/run/c", {"weight": None}))[1]["weight"] == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/upstreams/nope/backends/a:1", {"state": "drain"}, 404, "there is app, other"),
        ("/upstreams/app/backends/z:1", {"state": "drain"}, 404, "there is a:1, b:1, unix:/run/c"),
        ("/upstreams/app/backends/a:1", {"state": "off"}, 400, "state: must be ready, drain or maint"),
        ("/upstreams/app/backends/a:1", {"wieght": 1}, 400, "wieght: is no known key"),
        ("/upstreams/app/backends/a:1", {"weight": 257}, 400, "from 0 to 256"),
        ("/upstreams/app/backends/a:1", {"weight": "1"}, 400, "weight: must be a whole number"),
        ("/upstreams/app/backends/a:1", {"weight": 2**80, "state": "drain"}, 400, "weight"),
        ("/upstreams/app/backends/a:1", {}, 400, "the body must have state, weight or both"),
        ("/upstreams/app/backends/a:1", {"state": None}, 400, "state: must be ready, drain or maint, not"),
        ("/upstreams/app/backends/a:1", {"state": None, "weight": 3}, 400, "state: must be ready"),
        ("/upstreams/app/backends/a:1", b"{", 400, "no JSON"),
        ("/upstreams/app/backends/a:1", b"", 400, "no JSON"),
        ("/log-level", {"level": "loud"}, 400, "level: must be"),
    ],
)
async def test_a_bad_call_changes_nothing_and_says_why(path: str, body: Any, status: int, said: str) -> None:
    async with admin() as call:
        epoch = call.fake.board.epoch()
        got, told = await call("PUT", path, body)
        assert (got, told["status"]) == (status, status)
        assert said in told["detail"]
        assert call.fake.board.epoch() == epoch
        assert call.fake.asked == []


async def test_what_is_passed_on() -> None:
    async with admin() as call:
        status, told = await call("POST", "/reload")
        assert (status, told["problems"]) == (422, ["q.yaml:1:1: bad"])
        assert await call("POST", "/upgrade") == (500, {"problems": ["no"]})
        assert (await call("PUT", "/log-level", {"level": "warning"}))[0] == 200
        assert (await call("POST", "/reopen"))[0] == 200
        assert call.fake.asked == [("log_level", "WARNING"), ("reopen", None)]


# --- whom it refuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-origin"},
    ],
)
async def test_a_web_page_cannot_change_anything(headers: dict[str, str]) -> None:
    async with admin() as call:
        status, told = await call("PUT", "/upstreams/app/backends/a:1", {"state": "maint"}, **headers)
        assert status == 403
        assert "web pages" in told["detail"]
        assert call.fake.board.backend_rows("app", "a:1")[STATE] == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [("evil.example", 403), ("localhost:1", 200), ("[::1]:1", 200), ("127.0.0.1", 200), ("[::1", 403), ("", 403)],
)
async def test_a_name_that_was_bent_to_point_here(host: str, status: int) -> None:
    async with admin() as call:
        assert (await call("GET", "/status", Host=host))[0] == status


async def test_with_a_token_nobody_else() -> None:
    async with admin("the-token-is-long") as call:
        assert (await call("GET", "/status"))[0] == 401
        assert (await call("GET", "/status", Authorization="Bearer the-token-is-lonG"))[0] == 401
        assert (await call("GET", "/status", Authorization="Bearer the-token-is-long", Host="q.example"))[0] == 200
        assert (await call("GET", "/readyz"))[0] == 200
        assert (await call("POST", "/stop"))[0] == 401
        assert call.fake.ready()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{bind: ':9900'}", "is no loopback address: add a token"),
        ("{bind: '0.0.0.0:9900'}", "is no loopback address"),
        ("{bind: '192.0.2.1:9900'}", "is no loopback address"),
        ("{bind: 'unix:/q'}", "must be host:port"),
        ("{bind: ':9900', token: short}", "at least 16"),
        ("{bind: ':9900', token: a-secret-of-many-characters, token_file: /t}", "excludes token"),
        ("{}", "bind"),
    ],
)
def test_what_is_refused_in_the_configuration(section: str, said: str) -> None:
    text = f"listeners: [{{bind: ':80'}}]\nroutes: [{{respond: {{}}}}]\nadmin: {section}\n"
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert said in str(caught.value)


@pytest.mark.parametrize("section", ["{bind: '[::1]:9900'}", "{bind: 'localhost:0'}", "{bind: ':1', token_file: /t}"])
def test_what_is_allowed_in_the_configuration(section: str) -> None:
    text = f"listeners: [{{bind: ':80'}}]\nroutes: [{{respond: {{}}}}]\nadmin: {section}\n"
    assert load_text(text).warnings == ()


def test_the_token_may_be_in_a_file(tmp_path: Path) -> None:
    def token(name: str) -> str | None:
        return read_token(AdminSection.model_validate({"bind": ":1", "token_file": str(tmp_path / name)}))

    (tmp_path / "good").write_text("a-secret-of-many-characters\n")
    (tmp_path / "short").write_text("secret")
    assert token("good") == "a-secret-of-many-characters"
    with pytest.raises(BindError, match="fewer than 16"):
        token("short")
    with pytest.raises(BindError, match="cannot read"):
        token("none")


async def test_the_password_of_a_shared_store_is_not_shown() -> None:
    async with admin() as call:
        text = YAML + "rate_limits: {a: {rate: 1/s, shared: 'redis://me:secret@10.0.0.1:6379/0'}, b: {rate: 1/s}}"
        call.fake.serve(text)
        _, shown = await call("GET", "/config")
        assert shown["rate_limits"]["a"]["shared"]["url"] == "(not shown)@10.0.0.1:6379/0"
        assert shown["rate_limits"]["b"]["shared"] is None
