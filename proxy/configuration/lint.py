"""What is allowed in a configuration but not what it seems.

Law of this file: it reads the checked models, and nothing here keeps a configuration from being used.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator

from .geo import geo_warnings
from .rules import Finding, Path
from .schema import Config, Route, Upstream
from .sticking import same_cookie

_FORWARDING = ("request_headers", "upgrades", "forward_path", "subset", "subset_fallback", "timeouts", "limits")
_NO_EFFECT = "has no effect in this version"


def warning_findings(config: Config) -> Iterator[Finding]:
    if config.cache is not None:
        yield Finding(("cache",), _NO_EFFECT, at_key=True)
    used = {route.upstream for route in config.routes}
    for name, upstream in config.upstreams.items():
        yield from _upstream_warnings(name, upstream, used)
    yield from geo_warnings(config)
    for name, other, where in same_cookie(config):
        words = f"overwrites that of upstream {other} {where}: give it another name or path"
        yield Finding(("upstreams", name, "sticky", "cookie"), words)
    seen: dict[Hashable, int] = {}
    for index, route in enumerate(config.routes):
        yield from _route_warnings(("routes", index), route)
        first = seen.setdefault(conditions(route), index)
        if first != index:
            yield Finding(("routes", index), f"can never match: routes[{first}] takes the same requests")


def _upstream_warnings(name: str, upstream: Upstream, used: Collection[str | None]) -> Iterator[Finding]:
    if name not in used:
        yield Finding(("upstreams", name), "no route uses this upstream", at_key=True)
    if upstream.discover is None and not any(backend.weight for backend in upstream.backends):
        yield Finding(("upstreams", name, "backends"), "every weight is 0: this upstream takes no requests")
    if "slow" in upstream.balance.model_fields_set and not upstream.balance.own_code:
        words = f"has no effect: {upstream.balance.algorithm} is no algorithm of your own"
        yield Finding(("upstreams", name, "balance", "slow"), words, at_key=True)


def _route_warnings(path: Path, route: Route) -> Iterator[Finding]:
    if route.cache:
        yield Finding((*path, "cache"), _NO_EFFECT, at_key=True)
    if route.upstream is None:
        for key in _FORWARDING:
            if key in route.model_fields_set:
                yield Finding((*path, key), "has no effect: this route has no upstream", at_key=True)


def conditions(route: Route) -> Hashable:
    methods = None if route.methods is None else frozenset(route.methods)
    headers = frozenset((name.lower(), match) for name, match in route.headers.items())
    return route.host, route.path, route.exact, route.regex, methods, headers
