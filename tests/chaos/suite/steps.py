"""The steps that scenarios are made of."""

from __future__ import annotations

from typing import Any

from proxy.features.chaos import Rule
from tests.features.chaos.injected import rule
from tests.support.path import until_true

from .backends import Behaviour, Server
from .load import Client, Load, run_load
from .scenario import Act, Step
from .world import World


def kill(number: int, after: int = 0) -> Step:
    return Step(after, f"backend {number} is killed", lambda world: world.servers[number].kill())


def restart(number: int, after: int = 0) -> Step:
    return Step(after, f"backend {number} is back", lambda world: world.servers[number].start())


def behave(number: int, what: str, behaviour: Behaviour, after: int = 0) -> Step:
    """`what` is said of the backend."""

    async def act(world: World) -> None:
        world.servers[number].behaviour = behaviour

    return Step(after, f"backend {number} {what}", act)


def all_behave(what: str, behaviour: Behaviour, after: int = 0) -> Step:
    async def act(world: World) -> None:
        for server in world.servers:
            server.behaviour = behaviour

    return Step(after, f"all backends {what}", act)


def inject(*rules: tuple[str, str, dict[str, Any]], on: int | None = None, after: int = 0) -> Step:
    """Rules as (stage, fault, further fields); `on` is the number of the backend that they are about."""

    async def act(world: World) -> None:
        backends = frozenset([world.servers[on].address] if on is not None else [])
        made: list[Rule] = [rule(stage, fault, id=fault, backends=backends, **more) for stage, fault, more in rules]
        await world.set_rules(made)

    where = f" (backend {on})" if on is not None else ""
    what = ", ".join(f"{fault} at {stage}" for stage, fault, _ in rules)
    return Step(after, f"injected: {what}{where}", act)


def stop_rules(after: int) -> Step:
    return Step(after, "the rules are taken away", lambda world: world.set_rules([]))


def end_rules(after: int) -> Step:
    """As if their time were over, and nobody there to take them away."""

    async def act(world: World) -> None:
        for live in world.injector.rules:
            live.rule = live.rule._replace(until=0.0)

    return Step(after, "the time of the rules is over", act)


def state(number: int, name: str, after: int = 0) -> Step:
    return Step(after, f"backend {number} is set to {name}", lambda world: world.state(number, name), holds=True)


def checked(number: int, up: bool, after: int = 0) -> Step:
    found = "well" if up else "ill"
    return Step(after, f"checks find backend {number} {found}", lambda world: world.health(number, up))


def asked_so_far(number: int, after: int) -> Step:
    """Remember how many requests a backend has had."""

    async def act(world: World) -> None:
        world.facts[f"asked {number}"] = world.servers[number].requests

    return Step(after, f"backend {number} is watched", act)


def reload(after: int, times: int = 1) -> Step:
    async def act(world: World) -> None:
        for _ in range(times):
            await world.reload()

    return Step(after, "reload" if times == 1 else f"{times} reloads", act)


def add_backend(after: int) -> Step:
    async def act(world: World) -> None:
        server = Server()
        await server.start()
        world.servers.append(server)
        world.used.append(server)
        await world.reload()

    return Step(after, "a reload adds a backend", act)


def remove_backend(number: int, after: int) -> Step:
    async def act(world: World) -> None:
        world.used.remove(world.servers[number])
        await world.reload()

    return Step(after, f"a reload removes backend {number}", act)


def other_clients(what: str, act: Act, count: int = 10) -> Step:
    """Clients that do harm, beside the load; they are all there before it begins."""

    async def begin(world: World) -> None:
        for _ in range(count):
            world.spawn(act(world))
        counters = world.proxy.counters
        await until_true(lambda: counters.connections >= count)

    return Step(0, f"{count} clients {what}", begin)


def more_load(load: Load) -> Step:
    """Further clients, whose outcomes are counted with all the others'."""

    async def begin(world: World) -> None:
        world.spawn(run_load(world.address, load, world.side))

    return Step(0, f"beside it {load.described()}", begin)


def until_ejection_is_over(number: int, after: int) -> Step:
    """A backend that was ejected may be picked again."""

    async def act(world: World) -> None:
        await until_true(lambda: world.backends[number] in world.proxy.plan.groups["app"].usable)

    return Step(after, f"backend {number} has served its time", act, holds=True)


async def send(world: World, data: bytes) -> Client:
    """A client that has sent something, and no more."""
    client = Client(world.address)
    world.clients.append(client)
    await client.connect()
    assert client.writer is not None
    client.writer.write(data)
    return client
