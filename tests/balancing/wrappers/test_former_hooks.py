"""Algorithms with the hook names of the release before: they work, and are named in a warning."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from proxy.balancing import ALGORITHMS, Balancer, Done, create
from proxy.balancing.base import FAILED
from proxy.balancing.power_of_two import PowerOfTwo
from proxy.balancing.round_robin import RoundRobin
from proxy.balancing.standalone import StandalonePicker
from proxy.balancing.wrappers.former_hooks import FORMER, FormerHooks, former_names, warned
from proxy.metrics import U_BALANCER_FAILED, U_BALANCER_SLOW
from tests.support import service
from tests.support.client import connect
from tests.support.launcher import ROOT
from tests.support.origin import Script, origins, request, response
from tests.support.path import GET
from tests.support.running import running, unwatched

from .. import former
from ..members import backends, set_members

OK: Script = [request(), response()]


@pytest.fixture(autouse=True)
def _unwarned() -> Iterator[None]:
    warned.clear()
    yield
    warned.clear()


def adapted(name: str, **params: Any) -> FormerHooks:
    found = create(f"tests.balancing.former:{name}", **params)
    assert isinstance(found, FormerHooks)
    return found


def test_each_hook_calls_its_former_names() -> None:
    balancer = adapted("Former")
    inner = balancer.inner
    assert isinstance(inner, former.Former)
    a, b, c = members = backends(1, 1, 1)
    balancer.scope, balancer.prober = "a=b", print
    set_members(balancer, [b], [a, b], members)
    assert balancer.pick(None) is b
    balancer.assigned(b)
    balancer.released(b, Done(0.1))
    assert balancer.candidates(b"key") == [[b]]
    assert inner.events == [
        *(("roster", 3), ("census", 2), ("rebuild", 1), ("took", "b"), ("dropped", "b"), ("reach", b"key"))
    ]
    assert (inner.scope, inner.prober) == ("a=b", print)
    assert c not in inner.members


def test_its_needs_are_those_of_the_algorithm() -> None:
    balancer = adapted("OnlyRebuild")
    assert (balancer.needs_key, balancer.needs_location, balancer.wants_reports) == (True, False, False)
    set_members(balancer, members := backends(1, 1))
    for _ in range(2):
        set_members(balancer, members)
        balancer.assigned(members[0])
        balancer.tick(1.0)
        balancer.released(members[0], Done(0.1, FAILED))
        assert balancer.pick(b"key") is members[0]
    assert balancer.candidates(None) is None
    assert balancer.explain() == {}


def test_a_built_in_one_is_extended_by_the_former_names_of_its_hooks() -> None:
    balancer = adapted("Filters", seed=1)
    a, _, c = members = backends(1, 1, 1)
    set_members(balancer, members)
    for expected in (1, 2):
        for _ in range(2):
            backend = balancer.pick(None)
            assert backend in (a, c)
            backend.in_flight += 1
            balancer.assigned(backend)
        assert {name: told["in_flight"] for name, told in balancer.explain()["backends"].items()} == {
            "a": expected,
            "c": expected,
        }
    balancer.released(a, Done(0.1, FAILED))
    assert balancer.explain()["backends"]["a"]["failing"] > 0


def test_hooks_without_a_former_name_stay_those_of_the_class() -> None:
    balancer = adapted("Reaches")
    set_members(balancer, members := backends(1, 1))
    assert balancer.pick(None) in members
    assert balancer.candidates(None) in ([members[:1]], [members[1:]])


@pytest.mark.parametrize("name", ["Both", "Renamed", "Shadows"])
def test_with_the_present_names_there_is_nothing_in_the_way(name: str, caplog: pytest.LogCaptureFixture) -> None:
    kind = getattr(former, name)
    assert former_names(kind) == []
    assert type(create(f"tests.balancing.former:{name}")) is kind
    assert caplog.records == []


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_built_in_ones_have_no_former_names(algorithm: str) -> None:
    assert former_names(type(create(algorithm))) == []
    for kind in type(create(algorithm)).__mro__:
        if kind not in (Balancer, object):
            assert FORMER.keys().isdisjoint(vars(kind))


def test_callers_of_former_names_reach_the_present_hooks() -> None:
    """A user's own test of an algorithm calls them."""
    balancer, members = RoundRobin(seed=1), backends(1, 1)
    balancer.roster(members)
    balancer.census(members)
    balancer.rebuild(members[:1])
    balancer.took(members[0])
    balancer.dropped(members[0], Done(0.1))
    assert balancer.pick(None) is members[0]
    assert balancer.reach(None) is None


def test_a_field_may_have_the_name_of_the_hook_members() -> None:
    balancer, members = create("tests.balancing.former:Shadows"), backends(1, 1)
    for usable in (members[:1], members[1:]):
        set_members(balancer, usable)
        assert balancer.pick(None) is usable[0]


def test_a_field_that_hides_another_hook_is_refused() -> None:
    with pytest.raises(ValueError, match=r"its field `candidates` hides the hook `candidates`; give it another name$"):
        create("tests.balancing.former:Hides")


def test_there_is_one_warning_for_a_class(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        adapted("Former")
        adapted("OnlyRebuild")
    words = "uses former names, which the next release drops"
    names = [
        *("`roster` is `members` now", "`census` is `members` now", "`rebuild` is `members` now"),
        *("`took` is `assigned` now", "`dropped` is `released` now", "`reach` is `candidates` now"),
    ]
    assert [record.message for record in caplog.records] == [
        f"balancing algorithm tests.balancing.former:{kind} {words}: {', '.join(told)} (docs/writing-an-algorithm.md)"
        for kind, told in (("Former", names), ("OnlyRebuild", names[2:3]))
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_one_that_is_made_already_works_by_itself() -> None:
    picker = StandalonePicker(former.Former(), ["10.0.0.1:80", "10.0.0.2:80"])
    request = picker.pick()
    assert request is not None
    request.answered(0.1)
    picker.set_backends(["10.0.0.1:80"])
    assert isinstance(picker.balancer, FormerHooks)


# --- in service ---


def yaml(addresses: list[str], params: str = "") -> str:
    balance = f"{{algorithm: 'tests.balancing.former:Former'{params}}}"
    listed = ", ".join(f"'{address}'" for address in addresses)
    return f"upstreams: {{app: {{balance: {balance}, backends: [{listed}]}}}}\nroutes: [{{upstream: app}}]\n"


async def test_in_service_it_gets_all_its_events(caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        servers = await origins(stack, [OK] * 2)
        proxy = await stack.enter_async_context(running(yaml([server.address for server in servers])))
        client = await stack.enter_async_context(connect(proxy.address))
        assert [(await client.request(GET)).status for _ in range(4)] == [200] * 4
        inner = unwatched(proxy.proxy.plan.groups["app"].balancer, FormerHooks).inner
        assert isinstance(inner, former.Former)
        assert [len(server.requests) for server in servers] == [2, 2]
        assert [event[0] for event in inner.events] == ["roster", "census", "rebuild", *("took", "dropped") * 4]
    assert caplog.text.count("uses former names") == 1


@pytest.mark.parametrize("hook", ["took", "dropped"])
async def test_one_that_raises_is_replaced(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        servers = await origins(stack, [OK] * 2)
        text = yaml([server.address for server in servers], f", raises: {hook}")
        proxy = await stack.enter_async_context(running(text))
        client = await stack.enter_async_context(connect(proxy.address))
        assert [(await client.request(GET)).status for _ in range(4)] == [200] * 4
        group = proxy.proxy.plan.groups["app"]
        assert isinstance(group.balancer, PowerOfTwo)
        assert (group.rows[U_BALANCER_FAILED], group.rows[U_BALANCER_SLOW]) == (1, 0)
        assert [backend.in_flight for backend in group.members.all] == [0, 0]
    assert f"broken in {hook}" in caplog.text


@pytest.mark.parametrize(("hook", "present"), [("took", "assigned"), ("dropped", "released")])
async def test_one_that_is_slow_is_replaced(hook: str, present: str, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        servers = await origins(stack, [OK] * 2)
        text = yaml([server.address for server in servers], f", blocks: {hook}")
        proxy = await stack.enter_async_context(running(text))
        client = await stack.enter_async_context(connect(proxy.address))
        group = proxy.proxy.plan.groups["app"]
        inner = unwatched(group.balancer, FormerHooks).inner
        assert isinstance(inner, former.Former)
        assert [(await client.request(GET)).status for _ in range(20)] == [200] * 20
        assert inner.blocked == 5
        assert isinstance(group.balancer, PowerOfTwo)
        assert (group.rows[U_BALANCER_FAILED], group.rows[U_BALANCER_SLOW]) == (1, 1)
    assert f"power_of_two takes over: {present} took " in caplog.text


async def test_of_a_service_the_log_has_the_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # its algorithm lies in the tests
    async with AsyncExitStack() as stack:
        servers = await origins(stack, [OK] * 2)
        text = yaml([server.address for server in servers]) + "workers: 1\naccess_log: null\n"
        proxy = await stack.enter_async_context(service.running(tmp_path, text))
        client = await stack.enter_async_context(connect(proxy.address))
        assert (await client.request(GET)).status == 200
        await proxy.until_said("tests.balancing.former:Former uses former names")
