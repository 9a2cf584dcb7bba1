"""The conditions of a route: host, path, method, headers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..fields import Regex, Section
from ..findings import Finding, PlainData, mapping, no_upstream, same_name
from ..findings import Path as FindingPath

if TYPE_CHECKING:
    from ...routing import HeaderCondition, Match
    from ..schema import Config, Route


class HeaderMatch(Section):
    """A condition on one header; exactly one of the keys."""

    exact: str | None = None
    """The whole value. A bare string means this."""
    present: bool | None = None
    """Whether the header must be present (true) or absent (false)."""
    regex: Regex | None = None
    """A regular expression that is found in the value."""


MATCHES = ("path", "exact", "regex")
ACTIONS = ("upstream", "redirect", "respond", "shard")
FORWARDING = ("request_headers", "upgrades", "forward_path", "subset", "subset_fallback", "timeouts", "limits")


def rules(path: FindingPath, route: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    matches = [key for key in route if key in MATCHES]
    for key in matches[1:]:
        yield Finding((*path, key), f"excludes {matches[0]}; give one of path, exact and regex", at_key=True)
    actions = [key for key in route if key in ACTIONS]
    for key in actions[1:]:
        yield Finding((*path, key), f"excludes {actions[0]}; give one of upstream, redirect and respond", at_key=True)
    if not actions and not any(difflib.get_close_matches(key[:100], ACTIONS) for key in route):
        yield Finding(path, "the route has no action; give one of upstream, redirect and respond")
    yield from no_upstream((*path, "upstream"), route.get("upstream"), document)
    for name, condition in mapping(route.get("headers")).items():
        known = {"exact", "present", "regex"}
        if isinstance(condition, dict) and condition.keys() <= known and len(condition) != 1:
            yield Finding((*path, "headers", name), "needs exactly one of exact, present and regex")
    yield from same_name((*path, "headers"), mapping(route.get("headers")))


def lint(config: Config) -> Iterator[Finding]:
    used = {route.upstream for route in config.routes}
    for name in config.upstreams:
        if name not in used:
            yield Finding(("upstreams", name), "no route uses this upstream", at_key=True)
    seen: dict[Hashable, int] = {}
    for index, route in enumerate(config.routes):
        for key in FORWARDING if route.upstream is None else ():
            if key in route.model_fields_set:
                yield Finding(("routes", index, key), "has no effect: this route has no upstream", at_key=True)
        first = seen.setdefault(conditions(route), index)
        if first != index:
            yield Finding(("routes", index), f"can never match: routes[{first}] takes the same requests")


def conditions(route: Route) -> Hashable:
    methods = None if route.methods is None else frozenset(route.methods)
    headers = frozenset((name.lower(), match) for name, match in route.headers.items())
    return route.host, route.path, route.exact, route.regex, methods, headers


def match_of(route: Route) -> Match:
    from ...routing import EXACT, PREFIX, REGEX, Match

    kind, text = PREFIX, route.path or "/"
    if route.exact is not None:
        kind, text = EXACT, route.exact
    elif route.regex is not None:
        kind, text = REGEX, route.regex
    return Match(
        host=route.host.encode(),
        kind=kind,
        text=text.encode(),
        methods=frozenset(method.encode() for method in route.methods) if route.methods else None,
        headers=tuple(condition_of(name, match) for name, match in route.headers.items()),
    )


def condition_of(name: str, match: HeaderMatch) -> HeaderCondition:
    from ...routing import HeaderCondition

    return HeaderCondition(
        name=name.lower().encode(),
        present=match.present is not False,
        equals=match.exact.encode("latin-1", "replace") if match.exact is not None else None,
        pattern=re.compile(match.regex.encode()) if match.regex is not None else None,
    )
