"""The state of the balancing algorithms in the workers.

Law of this file: read-only. Each worker has its own instance of an algorithm, and reports its state.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from .answers import answer
from .contract import Control
from .guard import refused


class BalancingEndpoints:
    """GET /upstreams/NAME/explain."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/upstreams/{name}/explain", self.explain)]

    async def explain(self, request: web.Request) -> web.Response:
        """What the algorithm of an upstream knows in each worker."""
        name = request.match_info["name"]
        if name not in self.control.specs():
            return refused(404, f"there is no upstream {name}")
        return answer({"upstream": name, "workers": await explained(self.control, name)})


async def explained(control: Control, upstream: str) -> list[dict[str, Any]]:
    """The answer of each worker that serves; see `Balancer.explain`."""
    found: list[Any] = await control.ask_all("balancing", upstream)
    return [each for each in found if each is not None]
