"""Algorithms of a user's own where nobody serves: what they do wrong is told in words, and nobody waits for good."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy.balancing import Balancer, user_code
from proxy.balancing.compose import BalanceSpec
from proxy.balancing.user_code import call_guarded, user_algorithms
from proxy.configuration.load import load_text
from proxy.console.explain_view import ask_or_explain
from proxy.control.explain import request_bytes
from proxy.errors import ConfigError
from proxy.upstream.backend import Backend
from tests.support.plans import explained, linked

from ..control.admin.fake import admin

MINE = f"{__name__}:Misbehaves"
GO_ON = threading.Event()


class Misbehaves(Balancer):
    """Never returns from a method, or raises there, once so many calls of it have passed, of whichever instance."""

    passed = 0

    def __init__(self, hangs: str = "", raises: str = "", passes: int = 0) -> None:
        self.hangs, self.raises, self.passes = hangs, raises, passes
        self.backends: Sequence[Backend] = ()
        self._do("__init__")

    def _do(self, method: str) -> None:
        if method not in (self.hangs, self.raises):
            return
        if Misbehaves.passed < self.passes:
            Misbehaves.passed += 1
        elif method == self.raises:
            raise KeyError("broken")
        else:
            GO_ON.wait()

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self._do("members")
        self.backends = usable

    def pick(self, key: bytes | None) -> Backend | None:
        self._do("pick")
        return self.backends[0]


class Keyed(Misbehaves):
    needs_key = True


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(user_code, "CALL_WITHIN", 0.05)
    monkeypatch.setattr(Misbehaves, "passed", 0)
    yield
    GO_ON.set()
    GO_ON.clear()


def text(balance: str, more: str = "", route: str = "") -> str:
    return f"""
listeners: [{{bind: '127.0.0.1:0'}}]
upstreams: {{app: {{backends: ['a:1', 'b:1'], balance: {balance}}}}}
routes: [{{upstream: app{route}}}]
{more}
"""


def problems(balance: str, more: str = "", route: str = "") -> list[str]:
    loaded = load_text(text(balance, more, route), "c.yaml")
    with pytest.raises(ConfigError) as caught:
        linked(loaded.config, loaded.report)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("call", ["__init__", "members"])
def test_a_configuration_with_an_algorithm_that_never_returns_is_refused(call: str) -> None:
    (problem,) = problems(f"{{algorithm: '{MINE}', hangs: {call}}}")
    assert problem.startswith("c.yaml:3:54: upstreams.app.balance: ")
    assert problem.endswith(f"{call} of the algorithm {MINE} has not returned within 0.05 s")


@pytest.mark.parametrize("call", ["__init__", "members"])
def test_so_is_one_with_an_algorithm_that_raises(call: str) -> None:
    (problem,) = problems(f"{{algorithm: '{MINE}', raises: {call}}}")
    assert problem.endswith(f"upstreams.app.balance: {call} of the algorithm {MINE} has raised KeyError('broken')")


@pytest.mark.parametrize("made", range(4))
def test_so_is_one_of_which_not_all_can_be_made(made: int) -> None:
    """One is asked what it needs, one tried out, one picks for the upstream, and one for a route with labels."""
    balance = f"{{algorithm: '{MINE}', raises: __init__, passes: {made}}}"
    (problem,) = problems(balance, route=", subset: {version: canary}")
    assert problem.endswith(f"upstreams.app.balance: __init__ of the algorithm {MINE} has raised KeyError('broken')")


@pytest.mark.parametrize(
    "balance",
    [
        f"{{algorithm: geographic, inner: {{algorithm: '{MINE}', raises: members}}}}",
        f"{{algorithm: geographic, inner: {{algorithm: '{MINE}', hangs: members}}}}",
    ],
)
def test_one_inside_of_another_is_named(balance: str) -> None:
    (problem,) = problems(balance, "geo: {default: eu-west}")
    assert f"members of the algorithm {MINE} has " in problem


def test_what_an_algorithm_says_of_its_parameters_is_told_as_it_stands() -> None:
    (problem,) = problems("{algorithm: 'tests.balancing.algorithms:NotABalancer'}")
    assert "is not a subclass of" in problem


def told(balance: str) -> dict[str, Any]:
    return explained(load_text(text(balance)).config, request_bytes("GET", "/", [("x-user", "ann")]))


@pytest.mark.parametrize(
    ("wrong", "passes", "said"),
    [
        ("hangs: members", 1, "members of the algorithm {} has not returned within 0.05 s"),
        ("hangs: pick", 0, "pick of the algorithm {} has not returned within 0.05 s"),
        ("raises: pick", 0, "pick of the algorithm {} has raised KeyError('broken')"),
    ],
)
def test_an_explanation_ends_too(wrong: str, passes: int, said: str) -> None:
    """One that passes when it is tried out may fail with the backends as they are."""
    name = f"{__name__}:Keyed"
    balance = f"{{algorithm: '{name}', key: 'header:x-user', {wrong}, passes: {passes}}}"
    with pytest.raises(ValueError) as caught:
        told(balance)
    assert str(caught.value) == said.format(name)
    assert told(f"{{algorithm: '{name}', key: 'header:x-user'}}")["balance"]["picked"] == "a:1"


def test_who_asks_about_a_file_is_told_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "q.yaml"
    file.write_text(text(f"{{algorithm: '{MINE}', raises: members}}"))
    with pytest.raises(ConfigError) as caught:
        ask_or_explain(None, str(file), {"method": "GET", "url": "/", "headers": [], "client": "10.0.0.1"})
    assert str(caught.value.problems[0]).startswith(f"{file}:3:54: upstreams.app.balance: members of the algorithm")


async def test_who_asks_a_running_proxy_is_told() -> None:
    async with admin() as call:
        name = f"{__name__}:Keyed"
        balance = f"{{algorithm: '{name}', key: 'header:x-user', hangs: pick}}"
        call.fake.serve(text(balance))
        asked = {"url": "/", "headers": [["x-user", "ann"]]}
        status, answer = await call("POST", "/explain", asked)
        assert (status, answer["detail"]) == (422, f"pick of the algorithm {name} has not returned within 0.05 s")
        call.fake.serve(text(f"{{algorithm: '{MINE}', raises: members, passes: 1}}"))
        status, answer = await call("POST", "/explain", asked)
        assert status == 422
        assert f"members of the algorithm {MINE} has raised KeyError('broken')" in answer["detail"]


def test_only_what_is_a_users_own_is_called_in_a_thread() -> None:
    assert call_guarded("", "members", threading.current_thread) is threading.current_thread()
    assert call_guarded("m:C", "members", threading.current_thread) is not threading.current_thread()
    assert user_algorithms(BalanceSpec("maglev", {"table": 7})) == ""
    assert user_algorithms(BalanceSpec("geographic", {"inner": "m:C"}, "m:D")) == "m:C or m:D"


def test_what_ends_the_process_does_not_end_it_here() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(ValueError, match=r"members of the algorithm m:C has raised SystemExit\(3\)"):
        call_guarded("m:C", "members", leave)
