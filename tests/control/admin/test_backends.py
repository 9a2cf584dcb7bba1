"""Backends that come while the proxy runs: what is taken over of them, and which are refused."""

from __future__ import annotations

from typing import Any

from .fake import Client, admin

TWO = """
listeners: [{bind: '127.0.0.1:0'}]
upstreams:
  flat: {backends: ['a:1']}
  levels: {backends: ['a:1', {address: 'b:1', priority: 1}]}
routes: [{path: /f, upstream: flat}, {path: /l, upstream: levels}]
"""


async def adopt(call: Client, text: str) -> None:
    """A reload from the fake's configuration to this one."""
    fake = call.fake
    fake.serve(text)
    fake.discovery.adopt(await fake.discovery.prepare(fake.config.upstreams))


async def test_what_is_said_of_a_backend_is_what_it_gets() -> None:
    async with admin() as call:
        await adopt(call, TWO)
        body = {
            "address": "c:1",
            "weight": 3,
            "region": "us",
            "zone": "z",
            "labels": {"b": "2", "a": "1"},
            "priority": 1,
        }
        status, told = await call("POST", "/upstreams/levels/backends", body)
        assert status == 201
        assert {name: told[name] for name in body} == body
        (found,) = [each for each in call.fake.discovery.backends("levels") if each.address == "c:1"]
        assert (found.weight, found.region, found.zone, found.priority) == (3, "us", "z", 1)
        assert found.labels == (("a", "1"), ("b", "2"))


async def test_a_first_backend_of_another_priority_is_refused() -> None:
    """The algorithms that serve know no priorities: nothing would keep it from getting its share at once."""
    async with admin() as call:
        await adopt(call, TWO)
        status, told = await call("POST", "/upstreams/flat/backends", {"address": "c:1", "priority": 1})
        assert (status, told["status"]) == (409, 409)
        assert told["detail"] == "upstream flat has one priority only; write_back the first of another one"
        assert [each.address for each in call.fake.discovery.backends("flat")] == ["a:1"]
        assert (await call("POST", "/upstreams/flat/backends", {"address": "c:1", "labels": {"v": "1"}}))[0] == 201


async def test_priorities_are_those_of_the_backends_that_there_are() -> None:
    """One that an operator has added outlives a reload of a file that has no priorities any more."""
    async with admin() as call:
        await adopt(call, TWO)
        body: dict[str, Any] = {"address": "c:1", "priority": 1}
        assert (await call("POST", "/upstreams/levels/backends", body))[0] == 201
        await adopt(call, TWO.replace(", {address: 'b:1', priority: 1}", ""))
        assert [each.priority for each in call.fake.discovery.backends("levels")] == [0, 1]
        assert (await call("POST", "/upstreams/levels/backends", body | {"address": "d:1"}))[0] == 201
        assert (await call("POST", "/upstreams/flat/backends", body))[0] == 409


async def test_a_backend_that_is_there_already_is_refused() -> None:
    async with admin() as call:
        await adopt(call, TWO)
        status, told = await call("POST", "/upstreams/flat/backends", {"address": "a:1"})
        assert (status, told["detail"]) == (409, "upstream flat has a:1 already")
